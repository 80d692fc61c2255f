//! What accounts share with each other: exports, imports, and the mapping of subjects.

pub use crate::blocks::mapping::{Destination, Mapping};
use crate::blocks::reader::Errors;
pub use crate::blocks::sharing::{
    Export, ExportKind, Import, ImportKind, Latency, ResponseType, Sampling, ServiceExport,
};
use crate::error::{ConfigError, ErrorKind, Location};
use crate::options::Account;
use dialtone_subject::set::{contains, is_valid_filter};
use dialtone_subject::transform::{number_wildcards, unnumber_wildcards};
use dialtone_subject::{Entry, Interest, Matches, Transform, is_literal};
use std::collections::{HashMap, HashSet};

mod cycles;
pub mod refusal;

/// What must hold between accounts: each one that is named exists, and shares what is imported from it.
pub(crate) fn check(accounts: &[Account], has_system_account: bool, errors: &mut Errors) {
    let by_name: HashMap<&str, Sharer<'_>> =
        accounts.iter().map(|a| (a.name.as_str(), Sharer::new(a))).collect();
    for account in accounts {
        let mut say = |at: &Location, problem: String| errors.push(ConfigError::new(at, problem));
        for export in &account.exports {
            check_export(export, has_system_account, &|name| by_name.contains_key(name), &mut say);
        }
        for mapping in &account.mappings {
            check_mapping(mapping, &mut say);
        }
        let mut streams: HashSet<(&str, &str)> = HashSet::new();
        for import in &account.imports {
            let twice = matches!(import.kind, ImportKind::Stream { .. })
                && !streams.insert((&import.account, &import.subject));
            let error = import_error(account, import, &by_name, twice);
            errors.extend(error.map(|error| error.kind(ErrorKind::Import)));
        }
    }
}

/// Why an import does not hold.
fn import_error(
    account: &Account,
    import: &Import,
    by_name: &HashMap<&str, Sharer<'_>>,
    twice: bool,
) -> Option<ConfigError> {
    let kind = import.kind.name();
    let Some(exporter) = by_name.get(import.account.as_str()) else {
        let problem = format!("{:?} account not defined for {kind} import", import.account);
        return Some(ConfigError::new(&import.at, problem));
    };
    let error = |problem: String| {
        let problem = format!("Error adding {kind} import {:?}: {problem}", import.subject);
        ConfigError::new(&import.at, problem)
    };
    if !exporter.allows(import, &account.name) {
        let help = refusal::why(exporter.all, import, &account.name);
        return Some(error(format!("{kind} import not authorized")).help(help));
    }
    if twice {
        return Some(error("stream import already exists".to_owned()));
    }
    let problem = import.problem().or_else(|| cycles::problem(account, import, by_name).map(str::to_owned));
    problem.map(error)
}

fn check_export(
    export: &Export,
    has_system_account: bool,
    exists: &dyn Fn(&str) -> bool,
    say: &mut impl FnMut(&Location, String),
) {
    let (kind, service) = match &export.kind {
        ExportKind::Stream => ("stream", None),
        ExportKind::Service(service) => ("service", Some(service)),
    };
    for name in export.accounts.iter().filter(|name| !exists(name)) {
        say(&export.at, format!("{name:?} account not defined for {kind} export"));
    }
    let Some((service, latency)) = service.and_then(|s| Some((s, s.latency.as_ref()?))) else { return };
    let subjects = format!("{:?} on subject {:?}", export.subject, &*latency.subject);
    if service.response != ResponseType::Single {
        let problem =
            format!("Error adding service latency sampling for {subjects}: bad service response type");
        say(&export.at, problem);
    }
    if !has_system_account {
        let problem = format!(
            "Error adding service latency sampling for {:?}: system account not setup",
            export.subject
        );
        say(&export.at, problem);
    }
}

/// Whether the destinations of a mapping can be made of its subject.
pub(crate) fn check_mapping(mapping: &Mapping, say: &mut impl FnMut(&Location, String)) {
    for destination in &mapping.destinations {
        if let Err(problem) = Transform::new(&mapping.subject, &destination.subject) {
            let (from, to) = (&mapping.subject, &destination.subject);
            say(&mapping.at, format!("Error adding mapping for {from:?} to {to:?} : {problem}"));
        }
    }
}

/// An export that an index finds.
#[derive(Clone, Copy)]
struct Found<'a>(&'a Export);

impl Entry for Found<'_> {
    fn filter(&self) -> &[u8] {
        self.0.subject.as_bytes()
    }
    fn queue(&self) -> Option<&[u8]> {
        None
    }
    fn same(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

/// Whether `importer` may have what it imports of an account with these exports. Where several contain the subject, the
/// narrowest decide: what is exported to some by name is not for all because a wider subject is.
pub fn may_import<'a>(
    exports: impl IntoIterator<Item = &'a Export>,
    import: &Import,
    importer: &str,
) -> bool {
    let exports = deciding(exports, import);
    let lets = |subject: &str| {
        let mut same = exports.iter().filter(|export| export.subject == subject);
        same.any(|export| export.lets(import, importer))
    };
    let mut subjects = exports.iter().map(|export| export.subject.as_str()).peekable();
    subjects.peek().is_some() && subjects.all(lets)
}

/// The exports that decide whether something may be imported: the narrowest that contain it.
fn deciding<'a>(exports: impl IntoIterator<Item = &'a Export>, import: &Import) -> Vec<&'a Export> {
    let exports: Vec<&Export> = exports.into_iter().filter(|export| export.offers(import)).collect();
    let decides = |export: &&&Export| {
        let subject = &export.subject;
        let mut others = exports.iter().map(|other| &other.subject);
        !others.any(|other| other != subject && contains(subject.as_bytes(), other.as_bytes()))
    };
    exports.iter().filter(decides).copied().collect()
}

/// An account as others see it; with ten thousand exports it is asked as quickly as with one.
struct Sharer<'a> {
    all: &'a [Export],
    exports: Interest<Found<'a>>,
    imports: cycles::Imports<'a>,
}

impl<'a> Sharer<'a> {
    fn new(account: &'a Account) -> Self {
        let mut exports = Interest::default();
        account.exports.iter().for_each(|export| exports.insert(Found(export)));
        Self { all: &account.exports, exports, imports: cycles::Imports::new(&account.imports) }
    }

    fn allows(&self, import: &Import, importer: &str) -> bool {
        may_import(self.exports_of(&import.subject).iter().map(|found| found.0), import, importer)
    }

    fn exports_stream(&self, subject: &str) -> bool {
        let is = |export: &Found<'_>| {
            export.0.kind == ExportKind::Stream && contains(export.0.subject.as_bytes(), subject.as_bytes())
        };
        self.exports_of(subject).iter().any(is)
    }

    /// Exports that may contain a subject; its wildcards are looked up like any token.
    fn exports_of(&self, subject: &str) -> Vec<Found<'a>> {
        let mut found = Matches::default();
        self.exports.matches(subject.as_bytes(), &mut found);
        found.plain
    }
}

impl ExportKind {
    fn name(&self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Service(_) => "service",
        }
    }
}

impl ImportKind {
    fn name(&self) -> &'static str {
        match self {
            Self::Stream { .. } => "stream",
            Self::Service { .. } => "service",
        }
    }
}

impl Import {
    /// Its subject in the importing account, wildcards for `$1` and the like.
    pub fn local(&self) -> String {
        let local = match &self.kind {
            ImportKind::Stream { prefix, to, .. } => {
                stream_subject(&self.subject, prefix.as_deref(), to.as_deref())
            }
            ImportKind::Service { to, .. } => to.clone(),
        };
        unnumber_wildcards(&local).0
    }

    /// Why its subjects do not go together.
    fn problem(&self) -> Option<String> {
        if let ImportKind::Stream { prefix: Some(prefix), .. } = &self.kind
            && !is_literal(prefix.strip_suffix('.').unwrap_or(prefix).as_bytes())
        {
            return Some("stream import prefix can not contain wildcard tokens".into());
        }
        if !is_valid_filter(self.local().as_bytes()) {
            return Some(format!("{:?} is not a valid subject", self.local()));
        }
        let subject = self.subject.as_str();
        let (to, named) = match &self.kind {
            ImportKind::Stream { prefix, to, .. } => {
                let to = stream_subject(subject, prefix.as_deref(), to.as_deref());
                let named = format!("{subject:?} to {to:?}");
                (to, named)
            }
            ImportKind::Service { to, .. } => (to.clone(), format!("{to:?} to {subject:?}")),
        };
        if to == subject || is_literal(subject.as_bytes()) {
            return None;
        }
        let problem = Transform::reversible(subject, &number_wildcards(&to)).err()?;
        let kind = self.kind.name();
        Some(format!("failed to create mapping transform for {kind} import subject from {named}: {problem}"))
    }
}

/// What the subject of an imported stream is called in the importing account.
pub fn stream_subject(subject: &str, prefix: Option<&str>, to: Option<&str>) -> String {
    match (prefix.filter(|prefix| !prefix.is_empty()), to.filter(|to| !to.is_empty())) {
        (Some(prefix), _) => format!("{}.{subject}", prefix.strip_suffix('.').unwrap_or(prefix)),
        (None, Some(to)) => to.to_owned(),
        (None, None) => subject.to_owned(),
    }
}

impl Export {
    /// Whether it is this that `importer` imports, and may.
    pub fn allows(&self, import: &Import, importer: &str) -> bool {
        self.offers(import) && self.lets(import, importer)
    }

    /// Whether it is this that is imported.
    pub fn offers(&self, import: &Import) -> bool {
        let same_kind = matches!(
            (&self.kind, &import.kind),
            (ExportKind::Stream, ImportKind::Stream { .. })
                | (ExportKind::Service(_), ImportKind::Service { .. })
        );
        same_kind && contains(self.subject.as_bytes(), import.subject.as_bytes())
    }

    /// Whether `importer` may have of it what it imports.
    pub fn lets(&self, import: &Import, importer: &str) -> bool {
        let for_all = self.accounts.is_empty() && self.account_token_position.is_none();
        let named = self.accounts.iter().any(|name| name == importer);
        let by_token = self
            .account_token_position
            .is_some_and(|at| import.subject.split('.').nth(at.saturating_sub(1)) == Some(importer));
        for_all || named || by_token
    }
}

#[cfg(test)]
mod tests;
