//! What an account shares: its mappings, what it imports, and who imports from it.
//!
//! [`compile`] makes it from claims, wherever those came from, and `change` puts it in force; [`Sharing`] is the index
//! that routes are worked out from. [`responses`] holds the answers that services owe, [`requester`] is what is
//! disclosed to a service of who asks; `sampling`, [`latency`] and `awaited` report how long it takes. [`service_requests`] is what
//! the turns of all loops share of this.
//!
//! A stream import is kept in the account that exports it, since that is where its messages are published; a service import
//! is kept in the account that asks.

pub(crate) mod awaited;
mod change;
pub mod compile;
pub mod latency;
pub mod parts;
pub mod requester;
pub mod responses;
pub(crate) mod sampling;
pub mod service_requests;

use crate::account::Account;
use compile::ImportError;
use dialtone_config::sharing::{Latency, ResponseType};
use dialtone_subject::transform::Random;
use dialtone_subject::{Entry, Filter, Interest, Literal, Matches, Transform, set};
use std::sync::Arc;
use std::time::Duration;

/// How long an answer of a service may take, unless its export has another threshold. The official figure.
pub const THRESHOLD_DEFAULT: Duration = Duration::from_secs(120);

/// A service that an account shares.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceExport {
    /// Its subject.
    pub subject: Filter,
    /// How many answers a request has.
    pub response: ResponseType,
    /// How long an answer may take.
    pub threshold: Duration,
    /// Where the latency is published.
    pub latency: Option<Latency>,
    /// Message traces go on into the account of the service.
    pub allow_trace: bool,
}

impl ServiceExport {
    /// A service with one answer and the usual time.
    pub fn new(subject: Filter) -> Self {
        Self {
            subject,
            response: ResponseType::Single,
            threshold: THRESHOLD_DEFAULT,
            latency: None,
            allow_trace: false,
        }
    }
}

/// What becomes of a subject at the border between two accounts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SubjectMap {
    /// Nothing.
    Same,
    /// Always this.
    Fixed(Literal),
    /// What the transform makes of it.
    Transformed(Transform),
}

impl SubjectMap {
    fn apply(&self, subject: &[u8]) -> Box<[u8]> {
        match self {
            Self::Same => subject.into(),
            Self::Fixed(fixed) => fixed.as_bytes().into(),
            Self::Transformed(transform) => {
                let mut out = Vec::with_capacity(subject.len() + 16);
                // A transform of an import has no random part.
                transform.apply(subject, &mut || 0, &mut out);
                out.into()
            }
        }
    }
}

/// A service of another account.
#[derive(Debug)]
pub struct ServiceImport {
    /// What is asked here.
    pub local: Filter,
    /// Who answers.
    pub exporter: Arc<Account>,
    /// What it is there.
    pub export: Arc<ServiceExport>,
    /// The subject there, as it was imported.
    pub subject: Filter,
    subject_map: SubjectMap,
    /// The service may know who asks.
    pub share: bool,
    /// It sees which server asks, even if it may not know who: so do the services of the system account.
    pub includes_server: bool,
}

impl ServiceImport {
    /// An import by which `subject` of `exporter` is `local` here; `$1` in `local` is its first wildcard.
    ///
    /// # Errors
    ///
    /// `local` does not use each wildcard of `subject`.
    pub fn new(
        exporter: &Arc<Account>,
        export: Arc<ServiceExport>,
        subject: &str,
        local: &str,
    ) -> Result<Self, ImportError> {
        let (local, subject_map) = compile::service_subjects(subject, local)?;
        let (subject, exporter) = (Filter::parse(subject)?, exporter.clone());
        Ok(Self { local, exporter, export, subject, subject_map, share: false, includes_server: false })
    }

    /// The subject in the exporting account.
    pub fn subject_in_exporter(&self, subject: &[u8]) -> Box<[u8]> {
        self.subject_map.apply(subject)
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        self.local == other.local
            && self.subject == other.subject
            && Arc::ptr_eq(&self.exporter, &other.exporter)
            && Arc::ptr_eq(&self.export, &other.export)
            && self.subject_map == other.subject_map
            && (self.share, self.includes_server) == (other.share, other.includes_server)
    }
}

/// A stream of this account that another one takes.
#[derive(Debug)]
pub struct StreamImport {
    /// The subject in the account that exports it.
    pub subject: Filter,
    /// Who takes it.
    pub importer: Arc<Account>,
    /// Who exports it.
    pub exporter: Arc<Account>,
    /// Its subject in the importing account.
    pub local: Filter,
    /// Message traces go on into the importing account.
    pub allow_trace: bool,
    subject_map: SubjectMap,
}

impl StreamImport {
    /// The subject in the importing account.
    pub fn subject_in_importer(&self, subject: &[u8]) -> Box<[u8]> {
        self.subject_map.apply(subject)
    }

    fn same(&self, other: &Self) -> bool {
        self.subject == other.subject
            && self.local == other.local
            && self.subject_map == other.subject_map
            && self.allow_trace == other.allow_trace
            && Arc::ptr_eq(&self.exporter, &other.exporter)
    }

    /// A filter of the importing account, in subjects of the exporting account.
    pub fn filter_in_exporter(&self, filter: &[u8]) -> Box<[u8]> {
        if set::contains(filter, self.local.as_bytes()) {
            return self.subject.as_bytes().into();
        }
        // Each wildcard passes the import as a token of its own.
        let stand_in = |at: usize| format!("\u{1}{at}").into_bytes();
        let wildcard = |token: &&[u8]| matches!(*token, b"*" | b">");
        let marked: Vec<Vec<u8>> = set::tokens(self.subject.as_bytes())
            .enumerate()
            .map(|(at, token)| if wildcard(&token) { stand_in(at) } else { token.to_vec() })
            .collect();
        let here = self.subject_map.apply(&marked.join(&b'.'));
        let here: Vec<&[u8]> = set::tokens(&here).collect();
        let asked: Vec<&[u8]> = set::tokens(filter).collect();
        let out = set::tokens(self.subject.as_bytes()).enumerate().map(|(at, token)| {
            if !wildcard(&token) {
                return token.to_vec();
            }
            let place = here.iter().position(|token| **token == *stand_in(at));
            let found = place.and_then(|place| asked.get(place..)).unwrap_or_default();
            match found {
                [] | [b">", ..] => token.to_vec(),
                rest if token == b">" => rest.join(&b'.'),
                [first, ..] => first.to_vec(),
            }
        });
        out.collect::<Vec<_>>().join(&b'.').into()
    }
}

/// A subject whose messages go elsewhere.
#[derive(Debug)]
pub struct Mapping {
    subject: Filter,
    /// Earlier mappings go before later ones.
    rank: u32,
    /// Up to which number of a hundred each destination is chosen; beyond the last the message is lost.
    destinations: Box<[(u8, Transform)]>,
}

/// Where the message of a mapped subject goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// No mapping is meant.
    Unchanged,
    /// To the subject that was written.
    To,
    /// Nowhere.
    Lost,
}

/// One of the things that a mapping may do with a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingOutcome {
    /// With how many of a hundred messages.
    pub percent: u8,
    /// Where they go; `None`: nowhere.
    pub to: Option<Box<[u8]>>,
    /// Whether a part of that is drawn, so that this is one of several subjects.
    pub is_drawn: bool,
}

impl Mapping {
    /// The subjects that it is for.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether something of what it makes is matched by `filter`.
    pub(crate) fn makes(&self, filter: &[u8]) -> bool {
        self.destinations.iter().any(|(_, to)| dialtone_subject::set::overlap(&to.image(), filter))
    }

    /// All that [`Mapping::choose`] may draw for `subject`.
    pub(crate) fn outcomes(&self, subject: &[u8]) -> Vec<MappingOutcome> {
        let mut from = 0;
        let mut outcomes = Vec::with_capacity(self.destinations.len() + 1);
        for (below, transform) in &self.destinations {
            let (mut to, mut is_drawn) = (Vec::new(), false);
            let mut draw = || {
                is_drawn = true;
                0
            };
            transform.apply(subject, &mut draw, &mut to);
            outcomes.push(MappingOutcome {
                percent: below.saturating_sub(from),
                to: Some(to.into()),
                is_drawn,
            });
            from = *below;
        }
        outcomes.push(MappingOutcome { percent: 100u8.saturating_sub(from), to: None, is_drawn: false });
        outcomes.retain(|outcome| outcome.percent > 0);
        outcomes
    }

    /// Draws where a message to `subject` goes; appends it to `out`.
    pub(crate) fn choose(&self, subject: &[u8], random: &mut impl Random, out: &mut Vec<u8>) -> Mapped {
        let chosen = match &*self.destinations {
            [(100, only)] => Some(only),
            all => {
                let of_hundred = random.next() % 100;
                all.iter().find(|(below, _)| of_hundred < u32::from(*below)).map(|(_, transform)| transform)
            }
        };
        let Some(transform) = chosen else { return Mapped::Lost };
        transform.apply(subject, random, out);
        Mapped::To
    }
}

/// Something that an index finds by its filter.
trait Filtered {
    fn filter(&self) -> &[u8];
}

impl Filtered for ServiceImport {
    fn filter(&self) -> &[u8] {
        self.local.as_bytes()
    }
}
impl Filtered for StreamImport {
    fn filter(&self) -> &[u8] {
        self.subject.as_bytes()
    }
}
impl Filtered for Mapping {
    fn filter(&self) -> &[u8] {
        self.subject.as_bytes()
    }
}
impl Filtered for ServiceExport {
    fn filter(&self) -> &[u8] {
        self.subject.as_bytes()
    }
}

/// An entry of an index.
#[derive(Debug)]
pub(crate) struct Indexed<T>(Arc<T>);

impl<T> Clone for Indexed<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Filtered> Entry for Indexed<T> {
    fn filter(&self) -> &[u8] {
        self.0.filter()
    }
    fn queue(&self) -> Option<&[u8]> {
        None
    }
    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// All that an account shares, found by subject.
#[derive(Debug, Default)]
pub struct Sharing {
    mappings: Interest<Indexed<Mapping>>,
    services: Interest<Indexed<ServiceImport>>,
    taken: Interest<Indexed<StreamImport>>,
    exports: Interest<Indexed<ServiceExport>>,
    /// The streams that this account takes from others.
    streams: Vec<Arc<StreamImport>>,
    /// Services that it has without having asked for them.
    granted: Vec<Arc<ServiceImport>>,
    /// Mappings that it has without having asked for them; its own go before.
    granted_mappings: Vec<Arc<Mapping>>,
}

fn find<T: Filtered>(index: &Interest<Indexed<T>>, subject: &[u8]) -> Vec<Arc<T>> {
    if index.is_empty() {
        return Vec::new();
    }
    let mut found = Matches::default();
    index.matches(subject, &mut found);
    found.plain.drain(..).map(|entry| entry.0).collect()
}

impl Sharing {
    /// The services that are asked by a message to `subject`.
    pub(crate) fn services_for(&self, subject: &[u8]) -> Vec<Arc<ServiceImport>> {
        find(&self.services, subject)
    }

    /// Who takes a message to `subject` as a stream.
    pub(crate) fn taken_of(&self, subject: &[u8]) -> Vec<Arc<StreamImport>> {
        find(&self.taken, subject)
    }

    /// Whether nothing is shared but the services that the server grants, so that other messages need no look at it.
    pub(crate) fn is_empty(&self) -> bool {
        self.services.len() <= self.granted.len() && self.taken.is_empty()
    }

    pub(crate) fn has_mappings(&self) -> bool {
        !self.mappings.is_empty()
    }

    /// The mapping that a subject has: the first that fits. A `>` that a client published to stands for more than one token,
    /// so `*` does not fit it.
    pub(crate) fn mapping_of(&self, subject: &[u8]) -> Option<Arc<Mapping>> {
        let fits = |mapping: &Arc<Mapping>| dialtone_subject::set::contains(mapping.filter(), subject);
        find(&self.mappings, subject).into_iter().filter(fits).min_by_key(|mapping| mapping.rank)
    }

    /// The service that `subject`, a filter, is of: the one with this very subject before one that contains it.
    pub fn service(&self, subject: &str) -> Option<Arc<ServiceExport>> {
        let contains = |export: &ServiceExport| {
            dialtone_subject::set::contains(export.subject.as_bytes(), subject.as_bytes())
        };
        let all = find(&self.exports, subject.as_bytes()).into_iter().filter(|export| contains(export));
        all.max_by_key(|export| *export.subject == *subject)
    }

    /// Whether it takes `subject` as a service of another account that it asked for.
    pub fn imports_service(&self, subject: &str) -> bool {
        let is_granted =
            |service: &Arc<ServiceImport>| self.granted.iter().any(|granted| Arc::ptr_eq(granted, service));
        find(&self.services, subject.as_bytes()).iter().any(|service| !is_granted(service))
    }

    /// How many services it takes.
    pub fn services_len(&self) -> usize {
        self.services.len()
    }

    /// What it asks of others as services, and what it maps: what is published elsewhere to these subjects has to come to it.
    pub fn filters(&self) -> Vec<Box<[u8]>> {
        let services = self.services().map(|service| service.local.as_bytes());
        let mut all: Vec<Box<[u8]>> = services
            .chain(self.mappings().map(|mapping| mapping.subject.as_bytes()))
            .map(Into::into)
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Its mappings.
    pub fn mappings(&self) -> impl Iterator<Item = &Arc<Mapping>> {
        self.mappings.iter().map(|entry| &entry.0)
    }

    /// The services that it takes.
    pub fn services(&self) -> impl Iterator<Item = &Arc<ServiceImport>> {
        self.services.iter().map(|entry| &entry.0)
    }

    /// The streams that it takes.
    pub fn streams(&self) -> &[Arc<StreamImport>] {
        &self.streams
    }
}
