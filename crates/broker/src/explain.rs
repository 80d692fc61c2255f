//! Where a message would go, and where one comes from, as values: nothing is delivered, drawn or counted.
//!
//! [`publish`] follows the steps of [`crate::deliver::Turn`] and asks the same functions at each; where that one draws at
//! random, it follows every outcome. [`sources`] looks from a subscription back at who may reach it.
//!
//! Invariant: it has no rule of its own; each is one that delivery asks too.

use crate::account::{Account, AccountId};
use crate::deliver::services::{HOPS_MAX, may_ask};
use crate::kind::{Entry, Kind, Via};
use crate::peer::{ClientId, Peer};
use crate::permission;
use crate::relay::RelayInterest;
use crate::reserved::{Use, is_reserved};
use crate::route::{MatchedImports, goes_on_by, leads_on};
use crate::sharing::{Mapping, MappingOutcome, ServiceExport, ServiceImport, StreamImport};
use crate::subscription::Subscriber;
use dialtone_identity::permission::{Permissions, ResponseLimits, Ruling};
use dialtone_subject::{Matches, set};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What may become of a message at the mappings of an account.
#[derive(Debug)]
pub struct Chance {
    /// The mapping, if one is meant, and with how many of a hundred messages it does this.
    pub mapping: Option<(Arc<Mapping>, MappingOutcome)>,
    /// What then.
    pub then: Disposition,
}

/// What becomes of a message after that.
#[derive(Debug)]
pub enum Disposition {
    /// It is lost, on purpose.
    Lost,
    /// None of those who publish may: their rights, in order, deny this subject.
    Denied(Box<[u8]>, Vec<Publishing>),
    /// No client may publish there, whatever its rights: servers keep the subject for themselves.
    Reserved(Box<[u8]>),
    /// It goes on.
    Arrives(Place),
}

/// An account that a message comes to.
#[derive(Debug)]
pub struct Place {
    /// The account.
    pub account: Arc<Account>,
    /// Its subject there.
    pub subject: Box<[u8]>,
    /// Where it is published: what the rights of each publisher allow. Elsewhere empty.
    pub publishing: Vec<Publishing>,
    /// Who listens there, on this server.
    pub listeners: Listeners,
    /// Other servers that it goes on to.
    pub onward: Vec<Onward>,
    /// Accounts that take it as a stream.
    pub streams: Vec<(Arc<StreamImport>, Place)>,
    /// Services that it asks.
    pub services: Vec<Request>,
}

/// Another server that a message goes on to.
#[derive(Debug)]
pub struct Onward {
    /// The connection to it.
    pub peer: Arc<Peer>,
    /// It goes there in any case; otherwise only if a member of one of `groups` is drawn there.
    pub is_plain: bool,
    /// Queue groups with members behind it.
    pub groups: BTreeSet<Box<[u8]>>,
}

impl Onward {
    /// The servers that a message to `subject` goes on to from `account`, in the order of their connections.
    fn of(account: &Account, subject: &[u8], entry: Entry, is_own: bool) -> Vec<Self> {
        let mut found: BTreeMap<ClientId, Self> = BTreeMap::new();
        for Subscriber(subscription) in matching(account, subject) {
            let peer = subscription.peer();
            if !peer.kind().is_relay() || !goes_on_by(&subscription, account, subject, entry, is_own) {
                continue;
            }
            let new = || Self { peer: peer.clone(), is_plain: false, groups: BTreeSet::new() };
            let onward = found.entry(peer.id).or_insert_with(new);
            match subscription.queue() {
                None => onward.is_plain = true,
                Some(queue) => drop(onward.groups.insert(queue.into())),
            }
        }
        found.into_values().collect()
    }
}

/// What a server wants of the messages that are published in an account, as far as it has told.
#[derive(Debug, Default)]
pub struct Wanted {
    /// By which filters.
    pub filters: BTreeSet<Box<[u8]>>,
    /// By these, and its rights do not let it have them.
    pub withheld: BTreeSet<Box<[u8]>>,
}

impl Wanted {
    /// What is wanted of subjects that `filter` matches, in this queue group or in none.
    pub fn of(interest: &RelayInterest, account: &Account, filter: &[u8], queue: Option<&[u8]>) -> Self {
        let mut out = Self::default();
        for subscription in interest.meeting(account, filter, queue) {
            // Of a wildcard each message is looked at: some may go on.
            let known = [filter, subscription.filter()].into_iter().find(|known| set::is_literal(known));
            let goes_on =
                |subject| goes_on_by(subscription, account, subject, Entry::of_client(Via::Publish), true);
            let filters = if known.is_none_or(goes_on) { &mut out.filters } else { &mut out.withheld };
            filters.insert(subscription.filter().into());
        }
        out
    }
}

/// Whether messages that a server of one kind sends go on to one of another, if they are of subjects that `filter` matches.
pub fn goes_on(from: Kind, to: Kind, filter: &[u8]) -> bool {
    Entry { from, by: Via::Publish }.passes_to(to, filter)
}

/// All subscriptions of an account for a subject.
fn matching(account: &Account, subject: &[u8]) -> Vec<Subscriber> {
    let mut matches: Matches<Subscriber> = Matches::default();
    account.interest().matches(subject, &mut matches);
    let groups: Vec<Subscriber> = matches.groups().flat_map(|group| group.iter().cloned()).collect();
    matches.take_plain().chain(groups).collect()
}

/// A service that a message asks.
#[derive(Debug)]
pub struct Request {
    /// The import.
    pub import: Arc<ServiceImport>,
    /// Its subject there, before that account maps it.
    pub subject: Box<[u8]>,
    /// What becomes of it there. Empty: it came to this service before, or passed too many accounts.
    pub chances: Vec<Chance>,
}

/// Subscriptions for one subject in one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// Subscriptions without a queue group that get it.
    pub plain: usize,
    /// Queue groups of which one member gets it, with their numbers of members.
    pub groups: BTreeMap<Box<[u8]>, usize>,
    /// Subscriptions that ask for it, and whose rights do not let them have it.
    pub withheld: usize,
}

impl Listeners {
    /// Who asks for `subject` in `account` on this server, and may have it.
    pub fn of(account: &Account, subject: &[u8], entry: Entry) -> Self {
        let mut out = Self::default();
        let is_here = |s: &Subscriber| !s.0.peer().kind().is_relay() && leads_on(&s.0, subject, entry);
        let here = matching(account, subject).into_iter().filter(is_here);
        for Subscriber(subscription) in here {
            let queue = subscription.queue();
            match queue {
                _ if !subscription.peer().may_have(subject, queue) => out.withheld += 1,
                None => out.plain += 1,
                Some(queue) => *out.groups.entry(queue.into()).or_default() += 1,
            }
        }
        out
    }

    /// Whether anybody gets it.
    pub fn is_empty(&self) -> bool {
        self.plain == 0 && self.groups.is_empty()
    }
}

/// Whether somebody's rights let it publish to a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publishing {
    /// They let it.
    Allowed(Ruling),
    /// Only to answer a request that it was sent with this reply subject, so often and so long.
    Answers(ResponseLimits),
    /// They do not let it.
    Denied(Ruling),
}

impl Publishing {
    /// What these rights allow.
    pub fn of(permissions: Option<&Permissions>, subject: &[u8]) -> Self {
        let ruling = permissions.map_or(Ruling::Open, |permissions| permissions.publishing(subject));
        let answers = permissions.and_then(|permissions| permission::answers(permissions, subject));
        match (ruling.allows(), answers) {
            (true, _) => Self::Allowed(ruling),
            (false, Some(limits)) => Self::Answers(*limits),
            (false, None) => Self::Denied(ruling),
        }
    }
}

/// What becomes of a message that one of those with these rights publishes in `account`.
pub fn publish(account: &Arc<Account>, rights: &[Option<&Permissions>], subject: &[u8]) -> Vec<Chance> {
    let mut walk = Walk { hops_left: HOPS_MAX };
    walk.chances(account, subject, &mut |walk, subject| {
        let publishing: Vec<_> = rights.iter().map(|rights| Publishing::of(*rights, subject)).collect();
        if publishing.iter().all(|publishing| matches!(publishing, Publishing::Denied(_))) {
            return Disposition::Denied(subject.into(), publishing);
        }
        if is_reserved(|| account.clients_bound(), Use::Subject, subject) {
            return Disposition::Reserved(subject.into());
        }
        let place = walk.pass(account, subject, Entry::of_client(Via::Publish), &mut Vec::new());
        Disposition::Arrives(Place { publishing, ..place })
    })
}

/// What becomes of a message that another server of this kind sends in `account`.
pub fn arrive(account: &Arc<Account>, from: Kind, subject: &[u8]) -> Vec<Chance> {
    let mut walk = Walk { hops_left: HOPS_MAX };
    let entry = Entry { from, by: Via::Publish };
    let mut then = |walk: &mut Walk, subject: &[u8]| {
        Disposition::Arrives(walk.pass(account, subject, entry, &mut Vec::new()))
    };
    // What is in all accounts was mapped where it was published.
    match from.is_in_all_accounts() {
        true => vec![Chance { mapping: None, then: then(&mut walk, subject) }],
        false => walk.chances(account, subject, &mut then),
    }
}

struct Walk {
    hops_left: u32,
}

impl Walk {
    fn chances(
        &mut self,
        account: &Account,
        subject: &[u8],
        then: &mut dyn FnMut(&mut Self, &[u8]) -> Disposition,
    ) -> Vec<Chance> {
        let mapping = account.sharing().mapping_of(subject);
        let Some(mapping) = mapping else {
            return vec![Chance { mapping: None, then: then(self, subject) }];
        };
        let outcomes = mapping.outcomes(subject).into_iter();
        let chance = |outcome: MappingOutcome| Chance {
            then: outcome.to.as_deref().map_or(Disposition::Lost, |to| then(self, to)),
            mapping: Some((mapping.clone(), outcome)),
        };
        outcomes.map(chance).collect()
    }

    fn pass(
        &mut self,
        account: &Arc<Account>,
        subject: &[u8],
        entry: Entry,
        passed: &mut Vec<Arc<ServiceExport>>,
    ) -> Place {
        let MatchedImports { streams, services } = MatchedImports::of(account, subject, entry);
        let taken = |(import, here): (Arc<StreamImport>, Box<[u8]>)| {
            let place = Place::end(&import.importer, here, entry, false);
            (import, place)
        };
        let mut requests = Vec::new();
        let asking = Entry { by: Via::Service, ..entry };
        for hop in services {
            let may = self.hops_left > 0 && may_ask(passed.iter(), &hop.import.export);
            self.hops_left = self.hops_left.saturating_sub(1);
            let mut chances = Vec::new();
            if may {
                let exporter = hop.import.exporter.clone();
                passed.push(hop.import.export.clone());
                chances = self.chances(&exporter, &hop.subject, &mut |walk, subject| {
                    Disposition::Arrives(walk.pass(&exporter, subject, asking, passed))
                });
                passed.pop();
            }
            requests.push(Request { import: hop.import, subject: hop.subject, chances });
        }
        Place {
            streams: streams.into_iter().map(taken).collect(),
            services: requests,
            ..Place::end(account, subject.into(), entry, true)
        }
    }
}

impl Place {
    /// A place that nothing leads on from.
    fn end(account: &Arc<Account>, subject: Box<[u8]>, entry: Entry, is_own: bool) -> Self {
        let listeners = Listeners::of(account, &subject, entry);
        let onward = Onward::of(account, &subject, entry, is_own);
        let account = account.clone();
        Self {
            account,
            subject,
            publishing: Vec::new(),
            listeners,
            onward,
            streams: Vec::new(),
            services: Vec::new(),
        }
    }

    /// It, and every place that leads on from it.
    pub fn all(&self) -> Vec<&Self> {
        let mut all = vec![self];
        all.extend(self.streams.iter().map(|(_, place)| place));
        for request in &self.services {
            all.extend(places(&request.chances));
        }
        all
    }
}

/// Every place that a message may come to.
pub fn places(chances: &[Chance]) -> Vec<&Place> {
    let arrives = chances.iter().filter_map(|chance| match &chance.then {
        Disposition::Arrives(place) => Some(place),
        Disposition::Lost | Disposition::Denied(..) | Disposition::Reserved(_) => None,
    });
    arrives.flat_map(Place::all).collect()
}

/// Another account from which messages come to a subscription.
#[derive(Debug)]
pub enum Source {
    /// What is published there is taken as a stream.
    Stream(Arc<StreamImport>),
    /// Who asks there is answered here; and who reaches the account that asks.
    Service(Arc<Account>, Arc<ServiceImport>, Vec<Source>),
}

/// The mappings of an account that make something which `filter` matches.
pub fn mapped_to(account: &Account, filter: &[u8]) -> Vec<Arc<Mapping>> {
    account.sharing().mappings().filter(|mapping| mapping.makes(filter)).cloned().collect()
}

/// From where, other than the account itself, messages come to a subscription to `filter` in `account`; `all` are the
/// accounts that there are.
pub fn sources(account: &Arc<Account>, filter: &[u8], all: &[Arc<Account>]) -> Vec<Source> {
    let reaches = |local: &str| set::overlap(local.as_bytes(), filter);
    let streams: Vec<_> = account.sharing().streams().iter().filter(|s| reaches(&s.local)).cloned().collect();
    let mut requesters = Requesters::new(all);
    let services = requesters.of(account, filter, &mut Vec::new());
    streams.into_iter().map(Source::Stream).chain(services).collect()
}

/// Who asks whose services.
struct Requesters {
    by_exporter: HashMap<AccountId, Vec<Asks>>,
    left: u32,
}

/// An account, and a service that it asks.
type Asks = (Arc<Account>, Arc<ServiceImport>);

impl Requesters {
    fn new(all: &[Arc<Account>]) -> Self {
        let mut by_exporter: HashMap<AccountId, Vec<Asks>> = HashMap::new();
        for importer in all {
            for import in importer.sharing().services() {
                let asks = (importer.clone(), import.clone());
                by_exporter.entry(import.exporter.id).or_default().push(asks);
            }
        }
        Self { by_exporter, left: HOPS_MAX }
    }

    /// Who asks `account` with what `filter` matches.
    fn of(&mut self, account: &Account, filter: &[u8], passed: &mut Vec<Arc<ServiceExport>>) -> Vec<Source> {
        // A request is mapped before anybody gets it.
        let mapped = mapped_to(account, filter);
        let meets = |subject: &str| {
            set::overlap(subject.as_bytes(), filter)
                || mapped.iter().any(|m| set::overlap(subject.as_bytes(), m.subject().as_bytes()))
        };
        let all = self.by_exporter.get(&account.id).map(Vec::as_slice).unwrap_or_default();
        let reaches = |(_, import): &&Asks| meets(&import.subject) && may_ask(passed.iter(), &import.export);
        let asking: Vec<Asks> = all.iter().filter(reaches).cloned().collect();
        let mut out = Vec::new();
        for (importer, import) in asking {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            passed.push(import.export.clone());
            let before = self.of(&importer, import.local.as_bytes(), passed);
            passed.pop();
            out.push(Source::Service(importer, import, before));
        }
        out
    }
}
