//! What accounts share with each other: exports and imports. Both have forms that exclude each other: their keys are declared, and
//! what was read of them becomes one of the forms.

use super::block;
use super::keys::Status::Reloads;
use super::mapping::{self, percent};
use super::reader::{self, Block, Notes, noted};
use super::rule::Rule::Within;
use crate::error::{ConfigError, Position};
use crate::language::{Kind, Value};
use dialtone_subject::Literal;
use std::collections::BTreeSet;
use std::time::Duration;

/// Something that an account shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// Where it stands.
    pub at: Position,
    /// Its subject; wildcards are allowed.
    pub subject: String,
    /// Accounts that may import it; empty: all.
    pub accounts: Vec<String>,
    /// Which token of the subject, from 1, is the name of the importing account.
    pub account_token_position: Option<usize>,
    /// A stream or a service.
    pub kind: ExportKind,
}

/// What an export is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExportKind {
    /// Importers get what is published here.
    Stream,
    /// Importers may ask, and get answers.
    Service(ServiceExport),
}

/// How many answers a request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseType {
    /// One.
    #[default]
    Single,
    /// Any number.
    Stream,
    /// One, in parts; an empty message ends it.
    Chunked,
}

/// Where and how often the latency of a service is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The subject.
    pub subject: Literal,
    /// Of which requests.
    pub sampling: Sampling,
}

/// Which requests have their latency told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Those whose headers ask for it.
    Headers,
    /// So many of a hundred, 1 to 100.
    Percent(u8),
}

/// Something that another account shares, and what it is called here.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// Where it stands.
    pub at: Position,
    /// The account that exports it.
    pub account: String,
    /// Its subject there.
    pub subject: String,
    /// A stream or a service.
    pub kind: ImportKind,
}

/// What an import is.
#[derive(Clone, Debug, PartialEq)]
pub enum ImportKind {
    /// What is published there is delivered here.
    Stream {
        /// Tokens before its subject; wins over `to`.
        prefix: Option<String>,
        /// Its subject here, `$1` standing for the first wildcard; `None`: the same.
        to: Option<String>,
        /// Message traces may go on into this account.
        allow_trace: bool,
    },
    /// What is asked here is answered there.
    Service {
        /// Its subject here.
        to: String,
        /// The service may know who asks.
        share: bool,
    },
}

/// What is particular to a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceExport {
    /// How many answers a request has.
    pub response: ResponseType,
    /// How long an answer may take; `None`: the official default of 2 minutes.
    pub threshold: Option<Duration>,
    /// Where the latency is published.
    pub latency: Option<Latency>,
    /// Message traces may go on into the account of the service.
    pub allow_trace: bool,
}

block! {
    /// The keys of an export.
    pub struct ExportKeys in "export" {
        stream: Option<String> = None,
            stream: "Subject of a stream that others may import.", read (|v| mapping::subject(v).map(Some)), Within(Reloads);
        service: Option<String> = None,
            service: "Subject of a service that others may import.", read (|v| mapping::subject(v).map(Some)), Within(Reloads);
        accounts: Vec<String> = Vec::new(),
            accounts: "Accounts that may import it. Default: all.", read (reader::texts), Within(Reloads);
        response: ResponseType = ResponseType::Single,
            response_type | "response": "Answers of a service: `single`, `stream` or `chunked`. Default `single`.",
            read (response_type), Within(Reloads);
        threshold: Option<Duration> = None,
            response_threshold | "threshold" | "response_max_time" | "response_time": "How long an answer of a service may take. Default 2m.",
            read (threshold), Within(Reloads);
        latency: Option<Latency> = None,
            latency: "Where the latency of a service is told: a subject, or a block.",
            read (|v| latency(v).map(Some)), Within(Reloads);
        account_token_position: Option<usize> = None,
            account_token_position: "Which token of the subject is the importing account, from 1.",
            read (|v| Ok(Some(reader::count(v)?).filter(|&n| n > 0))), Within(Reloads);
        allow_trace: bool = false,
            allow_trace: "Message traces may go on into the account of the service.", read (reader::boolean), Within(Reloads);
    }
}

block! {
    /// The keys of `latency`.
    pub struct LatencyKeys in "latency" {
        sampling: Sampling = Sampling::Percent(100),
            sampling: "Percent of requests, or `headers` for those that ask for it. Default 100.", read (sampling), Within(Reloads);
        subject: Option<Literal> = None,
            subject: "Subject to tell it on.", read (|v| mapping::literal(v).map(Some)), Within(Reloads);
    }
}

block! {
    /// The keys of an import.
    pub struct ImportKeys in "import" {
        stream: () = (), stream: "Account and subject of a stream.", by_hand (), Within(Reloads);
        service: () = (), service: "Account and subject of a service.", by_hand (), Within(Reloads);
        prefix: Option<String> = None,
            prefix: "Tokens before the subject of a stream.", read (|v| reader::text(v).map(Some)), Within(Reloads);
        to: Option<String> = None,
            to: "Subject that it has in this account.", read (|v| reader::text(v).map(Some)), Within(Reloads);
        share: bool = false,
            share: "The service may know who asks.", read (reader::boolean), Within(Reloads);
        allow_trace: bool = false,
            allow_trace: "Message traces may go on into this account.", read (reader::boolean), Within(Reloads);
    }
}

block! {
    /// The keys of what is imported.
    pub struct SourceKeys in "source" {
        account: String = String::new(),
            account: "Account that exports it.", read (reader::text), Within(Reloads);
        subject: String = String::new(),
            subject: "Subject that it has there.", read (mapping::subject), Within(Reloads);
    }
}

pub(crate) fn exports(value: &Value, notes: &mut Notes) -> Vec<Export> {
    let Kind::Array(values) = &value.kind else {
        let problem = format!("Exports should be an array, got {}", value.kind.name());
        notes.errors.push(ConfigError::new(&value.at, problem));
        return Vec::new();
    };
    reader::each(values, |value| export(value, notes))
}

fn export(value: &Value, notes: &mut Notes) -> Option<Export> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    let block = Block::new("export", map, &mut notes.errors);
    let mut keys = ExportKeys::default();
    keys.read(&block, notes);
    let ExportKeys { stream, service, accounts, account_token_position, .. } = keys;
    let ExportKeys { response, threshold, latency, allow_trace, .. } = keys;
    let (subject, kind) = match (stream, service) {
        (Some(_), Some(service)) => {
            let problem = format!("Detected service {service:?} but already saw a stream");
            notes.errors.push(ConfigError::new(&value.at, problem));
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
                    notes.errors.push(ConfigError::new(&value.at, problem));
                }
            }
            (subject, ExportKind::Stream)
        }
        (None, Some(subject)) => {
            (subject, ExportKind::Service(ServiceExport { response, threshold, latency, allow_trace }))
        }
        (None, None) => {
            if block.get("stream").is_none() && block.get("service").is_none() {
                notes.errors.push(ConfigError::new(&value.at, "an export needs a stream or a service"));
            }
            return None;
        }
    };
    if let Some(position) = account_token_position
        && subject.split('.').nth(position - 1) != Some("*")
    {
        let at = block.get("account_token_position").map_or(&value.at, |v| &v.at);
        let problem = format!("account_token_position {position} is no `*` token of {subject:?}");
        notes.errors.push(ConfigError::new(at, problem));
    }
    Some(Export { at: value.at.clone().into(), subject, accounts, account_token_position, kind })
}

fn threshold(value: &Value) -> Result<Option<Duration>, ConfigError> {
    match &value.kind {
        Kind::String(_) => reader::duration(value).map(Some),
        _ => Err(ConfigError::new(
            &value.at,
            format!("Expected response threshold to be a parseable time duration, got {}", value.kind.name()),
        )),
    }
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
    match &value.kind {
        Kind::String(_) => {
            Ok(Latency { subject: mapping::literal(value)?, sampling: Sampling::Percent(100) })
        }
        Kind::Map(map) => {
            let (mut notes, mut keys) = (Notes::default(), LatencyKeys::default());
            keys.read(&Block::new("latency", map, &mut notes.errors), &mut notes);
            let missing = || ConfigError::new(&value.at, "Latency subject required, but missing");
            match (notes.errors.into_iter().next(), keys.subject) {
                (Some(error), _) => Err(error),
                (None, Some(subject)) => Ok(Latency { subject, sampling: keys.sampling }),
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

pub(crate) fn imports(value: &Value, notes: &mut Notes) -> Vec<Import> {
    let Kind::Array(values) = &value.kind else {
        let problem = format!("Imports should be an array, got {}", value.kind.name());
        notes.errors.push(ConfigError::new(&value.at, problem));
        return Vec::new();
    };
    let imports: Vec<Import> = reader::each(values, |value| import(value, notes));
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for import in &imports {
        if let ImportKind::Service { to, .. } = &import.kind
            && !seen.insert((to, &import.account))
        {
            let problem = format!(
                "Duplicate service import subject {to:?}, previously used in import for account {:?}",
                import.account
            );
            notes.errors.push(ConfigError::new(&import.at, problem));
        }
    }
    imports
}

fn import(value: &Value, notes: &mut Notes) -> Option<Import> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    let block = Block::new("import", map, &mut notes.errors);
    let mut keys = ImportKeys::default();
    keys.read(&block, notes);
    let ImportKeys { prefix, to, share, allow_trace, .. } = keys;
    let at = value.at.clone();
    match (block.get("stream"), block.get("service")) {
        (Some(_), Some(service)) => {
            notes.errors.push(ConfigError::new(&service.at, "Detected service but already saw a stream"));
            None
        }
        (Some(stream), None) => {
            let (account, subject) = source(stream, "Stream", notes)?;
            if to.is_some() && prefix.is_some() {
                let problem = "Stream import can not have a 'prefix' and a 'to' property";
                notes.errors.push(ConfigError::new(&at, problem));
            }
            let kind = ImportKind::Stream { prefix, to, allow_trace };
            Some(Import { at: at.into(), account, subject, kind })
        }
        (None, Some(service)) => {
            let (account, subject) = source(service, "Service", notes)?;
            if let Some(value) = block.get("allow_trace") {
                let problem = "Detected allow_trace directive on a non-stream";
                notes.errors.push(ConfigError::new(&value.at, problem));
            }
            let to = to.unwrap_or_else(|| subject.clone());
            Some(Import { at: at.into(), account, subject, kind: ImportKind::Service { to, share } })
        }
        (None, None) => {
            notes.errors.push(ConfigError::new(&at, "an import needs a stream or a service"));
            None
        }
    }
}

/// `{ account: …, subject: … }`
fn source(value: &Value, what: &str, notes: &mut Notes) -> Option<(String, String)> {
    let Kind::Map(map) = &value.kind else {
        let problem = format!("{what} entry should be an account map, got {}", value.kind.name());
        notes.errors.push(ConfigError::new(&value.at, problem));
        return None;
    };
    let block = Block::new("source", map, &mut notes.errors);
    let mut keys = SourceKeys::default();
    keys.read(&block, notes);
    let SourceKeys { account, subject } = keys;
    if account.is_empty() || block.get("subject").is_none() {
        notes.errors.push(ConfigError::new(&value.at, "Expect an account name and a subject"));
    }
    (!account.is_empty() && !subject.is_empty()).then_some((account, subject))
}
