//! What accounts share with each other: exports, imports, and the mapping of subjects.

use crate::blocks::reader::{self, Block, Errors, noted};
use crate::error::{ConfigError, ErrorKind, Location};
use crate::language::{self, Kind, Map, Value};
use crate::options::Account;
pub use crate::options::sharing::{
    Destination, Export, ExportKind, Import, ImportKind, Latency, Mapping, ResponseType, Sampling,
    ServiceExport,
};
use dialtone_subject::set::{contains, is_valid_filter};
use dialtone_subject::transform::{number_wildcards, unnumber_wildcards};
use dialtone_subject::{Entry, Interest, Literal, Matches, Transform, is_literal};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

mod cycles;
pub mod refusal;

pub(crate) fn exports(value: &Value, errors: &mut Errors) -> Vec<Export> {
    let Kind::Array(values) = &value.kind else {
        let problem = format!("Exports should be an array, got {}", value.kind.name());
        errors.push(ConfigError::new(&value.at, problem));
        return Vec::new();
    };
    reader::each(values, |value| export(value, errors))
}

fn export(value: &Value, errors: &mut Errors) -> Option<Export> {
    let map = noted(reader::map(value), errors)?;
    let block = Block::new("export", map, errors);
    let subject = |v: &Value| checked_subject(v).map(Some);
    let (mut stream, mut service) = (None, None);
    block.set("stream", &mut stream, errors, subject);
    block.set("service", &mut service, errors, subject);
    let mut accounts = Vec::new();
    block.set("accounts", &mut accounts, errors, reader::texts);
    let mut position = None;
    block.set("account_token_position", &mut position, errors, |v| match reader::count(v)? {
        0 => Ok(None),
        n => Ok(Some(n)),
    });
    let mut options = ServiceExport::default();
    block.set("response_type", &mut options.response, errors, response_type);
    block.set("response_threshold", &mut options.threshold, errors, |v| match &v.kind {
        Kind::String(_) => reader::duration(v).map(Some),
        _ => Err(ConfigError::new(
            &v.at,
            format!("Expected response threshold to be a parseable time duration, got {}", v.kind.name()),
        )),
    });
    block.set("latency", &mut options.latency, errors, |v| latency(v).map(Some));
    block.set("allow_trace", &mut options.allow_trace, errors, reader::boolean);
    let (subject, kind) = match (stream, service) {
        (Some(_), Some(service)) => {
            let problem = format!("Detected service {service:?} but already saw a stream");
            errors.push(ConfigError::new(&value.at, problem));
            return None;
        }
        (Some(subject), None) => {
            for (name, what) in [
                ("response_type", "response"),
                ("response_threshold", "response"),
                ("latency", "latency"),
                ("allow_trace", "allow_trace"),
            ] {
                if let Some(value) = block.get(name) {
                    let problem = format!("Detected {what} directive on non-service");
                    errors.push(ConfigError::new(&value.at, problem));
                }
            }
            (subject, ExportKind::Stream)
        }
        (None, Some(subject)) => (subject, ExportKind::Service(options)),
        (None, None) => {
            if block.get("stream").is_none() && block.get("service").is_none() {
                errors.push(ConfigError::new(&value.at, "an export needs a stream or a service"));
            }
            return None;
        }
    };
    if let Some(position) = position
        && subject.split('.').nth(position - 1) != Some("*")
    {
        let at = block.get("account_token_position").map_or(&value.at, |v| &v.at);
        let problem = format!("account_token_position {position} is no `*` token of {subject:?}");
        errors.push(ConfigError::new(at, problem));
    }
    Some(Export { at: value.at.clone().into(), subject, accounts, account_token_position: position, kind })
}

fn response_type(value: &Value) -> Result<ResponseType, ConfigError> {
    let text = reader::text(value)?;
    match text.to_ascii_lowercase().as_str() {
        "single" | "singleton" => Ok(ResponseType::Single),
        "stream" => Ok(ResponseType::Stream),
        "chunk" | "chunked" => Ok(ResponseType::Chunked),
        _ => Err(ConfigError::new(&value.at, format!("Unknown response type: {text:?}"))
            .help("known are `single`, `stream` and `chunked`")),
    }
}

/// A subject, or `{ sampling: …, subject: … }`.
fn latency(value: &Value) -> Result<Latency, ConfigError> {
    let mut share = Sampling::Percent(100);
    match &value.kind {
        Kind::String(_) => Ok(Latency { subject: checked_literal(value)?, sampling: share }),
        Kind::Map(map) => {
            let mut errors = Errors::new();
            let block = Block::new("latency", map, &mut errors);
            let mut subject = None;
            block.set("sampling", &mut share, &mut errors, sampling);
            block.set("subject", &mut subject, &mut errors, |v| checked_literal(v).map(Some));
            let missing = || ConfigError::new(&value.at, "Latency subject required, but missing");
            match (errors.into_iter().next(), subject) {
                (Some(error), _) => Err(error),
                (None, Some(subject)) => Ok(Latency { subject, sampling: share }),
                (None, None) => Err(missing()),
            }
        }
        _ => Err(ConfigError::new(
            &value.at,
            format!("Expected latency entry to be a map/struct or string, got {}", value.kind.name()),
        )),
    }
}

fn sampling(value: &Value) -> Result<Sampling, ConfigError> {
    if value.as_str().is_some_and(|text| text.trim().eq_ignore_ascii_case("headers")) {
        return Ok(Sampling::Headers);
    }
    match percent(value)? {
        Some(n @ 1..=100) => Ok(Sampling::Percent(n as u8)),
        _ => Err(ConfigError::new(&value.at, "bad sampling percentage, should be 1-100")),
    }
}

/// A number, or a number and `%`. `None`: the text is no number.
pub(crate) fn percent(value: &Value) -> Result<Option<i64>, ConfigError> {
    match &value.kind {
        Kind::String(text) => Ok(text.strip_suffix('%').unwrap_or(text).trim().parse().ok()),
        _ => reader::integer(value).map(Some),
    }
}

pub(crate) fn imports(value: &Value, errors: &mut Errors) -> Vec<Import> {
    let Kind::Array(values) = &value.kind else {
        let problem = format!("Imports should be an array, got {}", value.kind.name());
        errors.push(ConfigError::new(&value.at, problem));
        return Vec::new();
    };
    let imports: Vec<Import> = reader::each(values, |value| import(value, errors));
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for import in &imports {
        if let ImportKind::Service { to, .. } = &import.kind
            && !seen.insert((to, &import.account))
        {
            let problem = format!(
                "Duplicate service import subject {to:?}, previously used in import for account {:?}",
                import.account
            );
            errors.push(ConfigError::new(&import.at, problem));
        }
    }
    imports
}

fn import(value: &Value, errors: &mut Errors) -> Option<Import> {
    let map = noted(reader::map(value), errors)?;
    let block = Block::new("import", map, errors);
    let (mut prefix, mut to, mut share, mut allow_trace) = (None, None, false, false);
    block.set("prefix", &mut prefix, errors, |v| reader::text(v).map(Some));
    block.set("to", &mut to, errors, |v| reader::text(v).map(Some));
    block.set("share", &mut share, errors, reader::boolean);
    block.set("allow_trace", &mut allow_trace, errors, reader::boolean);
    let at = value.at.clone();
    match (block.get("stream"), block.get("service")) {
        (Some(_), Some(service)) => {
            errors.push(ConfigError::new(&service.at, "Detected service but already saw a stream"));
            None
        }
        (Some(stream), None) => {
            let (account, subject) = source(stream, "Stream", errors)?;
            if to.is_some() && prefix.is_some() {
                let problem = "Stream import can not have a 'prefix' and a 'to' property";
                errors.push(ConfigError::new(&at, problem));
            }
            Some(Import {
                at: at.into(),
                account,
                subject,
                kind: ImportKind::Stream { prefix, to, allow_trace },
            })
        }
        (None, Some(service)) => {
            let (account, subject) = source(service, "Service", errors)?;
            if let Some(value) = block.get("allow_trace") {
                errors.push(ConfigError::new(&value.at, "Detected allow_trace directive on a non-stream"));
            }
            let to = to.unwrap_or_else(|| subject.clone());
            Some(Import { at: at.into(), account, subject, kind: ImportKind::Service { to, share } })
        }
        (None, None) => {
            errors.push(ConfigError::new(&at, "an import needs a stream or a service"));
            None
        }
    }
}

/// `{ account: …, subject: … }`
fn source(value: &Value, what: &str, errors: &mut Errors) -> Option<(String, String)> {
    let Kind::Map(map) = &value.kind else {
        let problem = format!("{what} entry should be an account map, got {}", value.kind.name());
        errors.push(ConfigError::new(&value.at, problem));
        return None;
    };
    let block = Block::new("source", map, errors);
    let (mut account, mut subject) = (String::new(), String::new());
    block.set("account", &mut account, errors, reader::text);
    block.set("subject", &mut subject, errors, checked_subject);
    if account.is_empty() || block.get("subject").is_none() {
        errors.push(ConfigError::new(&value.at, "Expect an account name and a subject"));
    }
    (!account.is_empty() && !subject.is_empty()).then_some((account, subject))
}

/// `{ SUBJECT: destination, … }`, a destination being a subject, a block, or a list of blocks.
pub(crate) fn mappings(value: &Value, errors: &mut Errors) -> Vec<Mapping> {
    let map = noted(reader::map(value), errors).unwrap_or(const { &Map::EMPTY });
    map.iter().filter(|entry| !entry.variable).filter_map(|entry| mapping(entry, errors)).collect()
}

fn mapping(entry: &language::Entry, errors: &mut Errors) -> Option<Mapping> {
    let subject = entry.key.clone();
    if !is_valid_filter(subject.as_bytes()) {
        errors.push(ConfigError::new(&entry.at, format!("Subject {subject:?} is not a valid subject")));
        return None;
    }
    let destinations = match &entry.value.kind {
        Kind::String(to) => vec![Destination { subject: to.clone(), weight: 100, cluster: None }],
        Kind::Array(values) => values.iter().filter_map(|value| destination(value, errors)).collect(),
        _ => destination(&entry.value, errors).into_iter().collect(),
    };
    let adding = |problem: String| {
        ConfigError::new(&entry.at, format!("Error adding mapping for {subject:?} : {problem}"))
    };
    let mut seen = BTreeSet::new();
    let mut weights: BTreeMap<Option<&str>, u64> = BTreeMap::new();
    for destination in &destinations {
        if !seen.insert(&destination.subject) {
            errors.push(adding(format!("duplicate entry for {:?}", destination.subject)));
        }
        *weights.entry(destination.cluster.as_deref()).or_default() += u64::from(destination.weight);
    }
    if weights.values().any(|weight| *weight > 100) {
        errors.push(adding("total weight needs to be <= 100".into()));
    }
    Some(Mapping { at: entry.at.clone().into(), subject, destinations })
}

fn destination(value: &Value, errors: &mut Errors) -> Option<Destination> {
    let Kind::Map(map) = &value.kind else {
        errors.push(ConfigError::new(&value.at, "Expected an entry for the mapping destination"));
        return None;
    };
    let before = errors.len();
    let block = Block::new("destination", map, errors);
    let mut out = Destination { subject: String::new(), weight: 0, cluster: None };
    block.set("destination", &mut out.subject, errors, reader::text);
    block.set("cluster", &mut out.cluster, errors, |v| reader::text(v).map(Some));
    block.set("weight", &mut out.weight, errors, |v| match percent(v)? {
        Some(n @ 0..=100) => Ok(n as u8),
        Some(n) => Err(ConfigError::new(&v.at, format!("Invalid weight {n} for mapping destination"))),
        None => Err(ConfigError::new(&v.at, "Invalid weight for mapping destination")),
    });
    if out.subject.is_empty() {
        errors.push(ConfigError::new(&value.at, "a mapping destination needs a `destination`"));
    }
    if block.get("weight").is_none() {
        let problem = format!("Missing weight for mapping destination {:?}", out.subject);
        errors.push(ConfigError::new(&value.at, problem));
    }
    (errors.len() == before).then_some(out)
}

fn checked_subject(value: &Value) -> Result<String, ConfigError> {
    let subject = reader::text(value)?;
    if is_valid_filter(subject.as_bytes()) {
        return Ok(subject);
    }
    Err(ConfigError::new(&value.at, format!("subject {subject:?} is not a valid subject")))
}

pub(crate) fn checked_literal(value: &Value) -> Result<Literal, ConfigError> {
    let subject = reader::text(value)?;
    Literal::parse(&subject).map_err(|_| {
        ConfigError::new(&value.at, format!("subject {subject:?} is not a valid subject to publish on"))
    })
}

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
