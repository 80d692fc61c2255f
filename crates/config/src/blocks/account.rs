//! Accounts.

use super::block;
use super::jetstream::switch;
use super::keys::Status::Reloads;
use super::mapping::{self, Mapping, mappings};
use super::permissions::{Permissions, permissions};
use super::rate_limits::{RateLimit, rate_limits};
use super::reader::{self, Block, Notes, noted};
use super::rule::Rule::Within;
use super::sharing::{Export, Import, exports, imports};
use super::user::{User, public_key, users};
use crate::error::{ConfigError, Position};
use crate::language::{Kind, Map, Value};
use dialtone_subject::Literal;

block! {
    /// An account.
    pub struct Account in "account" {
        /// Where it stands.
        at: Position = Position::default();
        /// What it is called.
        name: String = String::new();
        nkey: Option<String> = None,
            nkey: "Public NKey of the account.", read (account_nkey), Within(Reloads);
        users: Vec<User> = Vec::new(),
            users: "Its users.", block (users), Within(Reloads);
        default_permissions: Option<Permissions> = None,
            default_permissions: "Permissions of users that have none.", block (permissions), Within(Reloads);
        limits: AccountLimits = AccountLimits::default(),
            limits: "Limits of the account.", block (limits), Within(Reloads);
        exports: Vec<Export> = Vec::new(),
            exports: "What it shares.", block (exports), Within(Reloads);
        imports: Vec<Import> = Vec::new(),
            imports: "What others share with it.", block (imports), Within(Reloads);
        mappings: Vec<Mapping> = Vec::new(),
            mappings | "maps": "Subject mappings.", block (mappings), Within(Reloads);
        msg_trace: Option<MsgTrace> = None,
            msg_trace | "trace_dest": "Where traces of messages go that ask for it by `traceparent`: a subject, or a block.",
            read (msg_trace), Within(Reloads);
        /// `None`: what the default says.
        rate_limits: Option<Vec<RateLimit>> = None,
            rate_limits: "How much its connections may publish together. Not an official key.",
            block (|v, notes| Some(rate_limits(v, notes))), Within(Reloads);
        /// `None`: what the top level says.
        denied_publish_status: Option<bool> = None,
            denied_publish_status: "The same as at the top level, for this account. Not an official key.",
            read (|v| reader::boolean(v).map(Some)), Within(Reloads);
        /// `None`: what the default says.
        default_rate_limits: Option<Vec<RateLimit>> = None,
            default_rate_limits: "How much each of its users may publish that has no `rate_limits`. Not an official key.",
            block (|v, notes| Some(rate_limits(v, notes))), Within(Reloads);
        /// `None`: it has none.
        jetstream: Option<AccountJetStream> = None,
            jetstream: "Its users use JetStream, that of this server or of others of the network; `enabled`, `disabled` or a block.",
            block (jetstream), Within(Reloads);
    }
}

block! {
    /// Limits of an account; `None`: none.
    #[derive(Copy, Eq)]
    pub struct AccountLimits in "limits" {
        connections_max: Option<u64> = None,
            max_connections | "max_conn": "Connections of the account.", read (limit), Within(Reloads);
        subscriptions_max: Option<u64> = None,
            max_subscriptions | "max_subs": "Subscriptions of the account.", read (limit), Within(Reloads);
        /// Bytes.
        payload_bytes_max: Option<u64> = None,
            max_payload | "max_pay": "Bytes of a message.", read (limit), Within(Reloads);
        leaf_nodes_max: Option<u64> = None,
            max_leafnodes | "max_leafs": "Leaf node connections of the account, on all servers together.", read (limit), Within(Reloads);
    }
}

block! {
    /// How much of JetStream an account may have; `None`: as much as there is.
    pub struct AccountJetStream in "account_jetstream" {
        memory_bytes_max: Option<u64> = None,
            max_memory | "max_mem" | "mem" | "memory": "Bytes of its streams in memory.", read (limit), Within(Reloads);
        file_bytes_max: Option<u64> = None,
            max_store | "max_file" | "max_disk" | "store" | "disk": "Bytes of its streams in files.",
            read (limit), Within(Reloads);
        streams_max: Option<u64> = None,
            max_streams | "streams": "Streams.", read (limit), Within(Reloads);
        consumers_max: Option<u64> = None,
            max_consumers | "consumers": "Consumers of each stream.", read (limit), Within(Reloads);
        needs_bytes_max: bool = false,
            max_bytes_required | "max_stream_bytes" | "max_bytes": "Whether each stream must have `max_bytes`.",
            read (reader::boolean), Within(Reloads);
        memory_stream_bytes_max: Option<u64> = None,
            mem_max_stream_bytes | "memory_max_stream_bytes": "Bytes of one stream in memory.", read (limit), Within(Reloads);
        file_stream_bytes_max: Option<u64> = None,
            disk_max_stream_bytes | "store_max_stream_bytes": "Bytes of one stream in files.", read (limit), Within(Reloads);
        ack_pending_max: Option<u64> = None,
            max_ack_pending: "Highest `max_ack_pending` of a consumer.", read (limit), Within(Reloads);
        cluster_traffic: String = String::new(),
            cluster_traffic: "Accepted: streams are not replicated.", read (cluster_traffic), Within(Reloads);
    }
}

block! {
    /// The keys of `msg_trace`.
    pub struct MsgTraceKeys in "msg_trace" {
        dest: Option<Literal> = None,
            dest: "Subject that traces go to.", read (|v| mapping::literal(v).map(Some)), Within(Reloads);
        sampling: u8 = 100,
            sampling: "Percent of the messages that ask for it by `traceparent`. Default 100.",
            read (sampling), Within(Reloads);
    }
}

/// Where traces of an account's messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsgTrace {
    /// The subject.
    pub destination: Literal,
    /// How many of a hundred messages that ask for it by `traceparent`, 1 to 100.
    pub sampling: u8,
}

/// `{ NAME: { users: … }, … }`, or a list of names.
pub(crate) fn accounts(value: &Value, notes: &mut Notes) -> Vec<Account> {
    if let Kind::Array(values) = &value.kind {
        return reader::each(values, |value| {
            let name = noted(reader::text(value), &mut notes.errors)?;
            Some(Account { at: value.at.clone().into(), name, ..Account::default() })
        });
    }
    let map = noted(reader::map(value), &mut notes.errors).unwrap_or(const { &Map::EMPTY });
    let entries = map.iter().filter(|entry| !entry.variable);
    entries.map(|entry| account(&entry.key, &entry.value, notes)).collect()
}

fn account(name: &str, value: &Value, notes: &mut Notes) -> Account {
    let mut out = Account { at: value.at.clone().into(), name: name.to_owned(), ..Account::default() };
    if name == "$G" {
        notes.errors.push(ConfigError::new(&value.at, "\"$G\" is a Reserved Account"));
    }
    if let Some(map) = noted(reader::map(value), &mut notes.errors) {
        out.read(&Block::new("account", map, &mut notes.errors), notes);
    }
    out
}

fn account_nkey(value: &Value) -> Result<Option<String>, ConfigError> {
    public_key(value, 'A', "Not a valid public nkey for an account").map(Some)
}

fn limits(value: &Value, notes: &mut Notes) -> AccountLimits {
    let mut out = AccountLimits::default();
    if let Some(map) = noted(reader::map(value), &mut notes.errors) {
        out.read(&Block::new("limits", map, &mut notes.errors), notes);
    }
    out
}

/// Whether an account has JetStream, and how much of it.
fn jetstream(value: &Value, notes: &mut Notes) -> Option<AccountJetStream> {
    let mut out = AccountJetStream::default();
    match &value.kind {
        Kind::Map(map) => out.read(&Block::new("account_jetstream", map, &mut notes.errors), notes),
        _ if !noted(switch(value), &mut notes.errors).unwrap_or_default() => return None,
        _ => {}
    }
    Some(out)
}

/// The account whose connections replicated streams would use: there are none, so it says nothing.
fn cluster_traffic(value: &Value) -> Result<String, ConfigError> {
    match reader::text(value)? {
        text if ["", "system", "owner"].contains(&text.as_str()) => Ok(text),
        _ => Err(ConfigError::new(
            &value.at,
            "Expected 'system' or 'owner' string value for \"cluster_traffic\"",
        )),
    }
}

fn limit(value: &Value) -> Result<Option<u64>, ConfigError> {
    Ok(u64::try_from(reader::integer(value)?).ok())
}

/// A subject, or `{ dest: …, sampling: … }`. An empty block asks for nothing.
fn msg_trace(value: &Value) -> Result<Option<MsgTrace>, ConfigError> {
    let Kind::Map(map) = &value.kind else {
        return Ok(Some(MsgTrace { destination: mapping::literal(value)?, sampling: 100 }));
    };
    if map.iter().next().is_none() {
        return Ok(None);
    }
    let (mut notes, mut keys) = (Notes::default(), MsgTraceKeys::default());
    keys.read(&Block::new("msg_trace", map, &mut notes.errors), &mut notes);
    let MsgTraceKeys { dest, sampling } = keys;
    match (notes.errors.into_iter().next(), dest) {
        (Some(error), _) => Err(error),
        (None, Some(destination)) => Ok(Some(MsgTrace { destination, sampling })),
        (None, None) => Err(ConfigError::new(&value.at, "message tracing needs a `dest`")),
    }
}

fn sampling(value: &Value) -> Result<u8, ConfigError> {
    match mapping::percent(value)? {
        Some(n @ 1..=100) => Ok(n as u8),
        _ => Err(ConfigError::new(&value.at, "trace destination sampling is invalid, needs to be [1..100]")),
    }
}
