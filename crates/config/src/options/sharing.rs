//! What accounts share with each other: exports, imports, mappings.

use crate::error::Position;
use dialtone_subject::Literal;
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

/// A subject whose messages go elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// Where it stands.
    pub at: Position,
    /// The original subject; wildcards are allowed.
    pub subject: String,
    /// Where they go. What the weights leave of 100 keeps its subject, unless that is a destination itself: then it is lost.
    pub destinations: Vec<Destination>,
}

/// Where a part of the messages goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The subject, `$1` standing for the first wildcard.
    pub subject: String,
    /// How many of a hundred.
    pub weight: u8,
    /// Only in this cluster.
    pub cluster: Option<String>,
}
