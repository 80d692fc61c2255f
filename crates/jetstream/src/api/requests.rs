//! What requests say, and how their bodies are read.

use super::StreamState;
use crate::config::StreamConfig;
use crate::error::{self, ApiError};
use crate::json::{Field, Kind, Reader, Strictness, document, from_slice, parse};
use crate::time::{Nanos, Time};

document! {
    /// Which streams.
    pub struct StreamsRequest = "JSApiStreamListRequest" {
        embed /// From where on.
        pub page: PageRequest, "ApiPagedRequest";
        /// Only those that store some of these subjects.
        pub subject: String, "subject" omitempty "string";
    }
}

document! {
    /// From where on a list is wanted.
    pub struct PageRequest = "ApiPagedRequest" {
        /// How many come before.
        pub offset: i64, "offset" always "int";
    }
}

document! {
    /// Which consumers.
    pub struct ConsumersRequest = "JSApiConsumersRequest" {
        embed /// From where on.
        pub page: PageRequest, "ApiPagedRequest";
    }
}

document! {
    /// What is wanted of a stream besides what is always said.
    pub struct StreamInfoRequest = "JSApiStreamInfoRequest" {
        embed /// From where on subjects are wanted.
        pub page: PageRequest, "ApiPagedRequest";
        /// Whether the sequences that are missing are wanted.
        pub deleted_details: bool, "deleted_details" omitempty "bool";
        /// The subjects that are wanted, with how many messages each has.
        pub subjects_filter: String, "subjects_filter" omitempty "string";
    }
}

document! {
    /// Which messages go. `seq` and `keep` exclude each other.
    pub struct PurgeRequest = "JSApiStreamPurgeRequest" {
        /// Those before this one.
        pub seq: u64, "seq" omitempty "uint64";
        /// Those of these subjects.
        pub filter: String, "filter" omitempty "string";
        /// All but the last of so many.
        pub keep: u64, "keep" omitempty "uint64";
    }
}

document! {
    /// Which message goes.
    pub struct MessageDeleteRequest = "JSApiMsgDeleteRequest" {
        /// Its sequence.
        pub seq: u64, "seq" always "uint64";
        /// Whether its bytes may stay on the disk until something is written over them.
        pub no_erase: bool, "no_erase" omitempty "bool";
    }
}

document! {
    /// Which message is wanted, or which, for direct gets.
    pub struct MessageGetRequest = "JSApiMsgGetRequest" {
        /// The one of this sequence.
        pub seq: u64, "seq" omitempty "uint64";
        /// The last of this subject.
        pub last_by_subj: String, "last_by_subj" omitempty "string";
        /// The first of these subjects, from `seq` on.
        pub next_by_subj: String, "next_by_subj" omitempty "string";
        /// So many.
        pub batch: i64, "batch" omitempty "int";
        /// Of not more bytes than this.
        pub max_bytes: i64, "max_bytes" omitempty "int";
        /// From this time on.
        pub start_time: Option<Time>, "start_time" omitempty "time.Time";
        /// The last of each of these subjects.
        pub multi_last: Vec<String>, "multi_last" omitempty "[]string";
        /// As it was when this was the last sequence.
        pub up_to_seq: u64, "up_to_seq" omitempty "uint64";
        /// As it was at this time.
        pub up_to_time: Option<Time>, "up_to_time" omitempty "time.Time";
        /// Whether without headers.
        pub no_hdr: bool, "no_hdr" omitempty "bool";
    }
}

document! {
    /// How an archive of a stream is wanted.
    pub struct SnapshotRequest = "JSApiStreamSnapshotRequest" {
        /// Where it goes.
        pub deliver_subject: String, "deliver_subject" always "string";
        /// Whether without consumers.
        pub no_consumers: bool, "no_consumers" omitempty "bool";
        /// Bytes of one message.
        pub chunk_size: i64, "chunk_size" omitempty "int";
        /// Bytes that may be on their way.
        pub window_size: i64, "window_size" omitempty "int";
        /// Whether all messages are to be verified before.
        pub jsck: bool, "jsck" omitempty "bool";
    }
}

document! {
    /// What a stream of an archive is.
    pub struct RestoreRequest = "JSApiStreamRestoreRequest" {
        /// Its configuration.
        pub config: StreamConfig, "config" always "server.StreamConfig";
        /// What it held.
        pub state: StreamState, "state" always "server.StreamState";
    }
}

document! {
    /// Until when a consumer is paused; Go's zero time has it go on.
    pub struct PauseRequest = "JSApiConsumerPauseRequest" {
        /// The time.
        pub pause_until: Time, "pause_until" omitempty "time.Time";
    }
}

document! {
    /// Which client loses its pin.
    pub struct UnpinRequest = "JSApiConsumerUnpinRequest" {
        /// That of this priority group.
        pub group: String, "group" always "string";
    }
}

document! {
    /// Where a consumer begins again.
    pub struct ResetRequest = "JSApiConsumerResetRequest" {
        /// With this sequence; 0 is where its policy says.
        pub seq: u64, "seq" omitempty "uint64";
    }
}

document! {
    /// What a pull request says of its priority group.
    pub struct PriorityGroup = "PriorityGroup" {
        /// The group.
        pub group: String, "group" omitempty "string";
        /// How many messages must be pending.
        pub min_pending: i64, "min_pending" omitempty "int64";
        /// How many acknowledgements must be pending.
        pub min_ack_pending: i64, "min_ack_pending" omitempty "int64";
        /// The pin that the client has.
        pub id: String, "id" omitempty "string";
        /// 0 to 9, the lowest first.
        pub priority: i64, "priority" omitempty "int";
    }
}

document! {
    /// A pull request.
    pub struct NextRequest = "JSApiConsumerGetNextRequest" {
        embed /// Its priority group.
        pub priority: PriorityGroup, "PriorityGroup";
        /// How long it waits.
        pub expires: Nanos, "expires" omitempty "time.Duration";
        /// How many messages it wants.
        pub batch: i64, "batch" omitempty "int";
        /// How many bytes it wants at most.
        pub max_bytes: i64, "max_bytes" omitempty "int";
        /// Whether it is answered at once, with what is there.
        pub no_wait: bool, "no_wait" omitempty "bool";
        /// After how long without messages a heartbeat is sent.
        pub idle_heartbeat: Nanos, "idle_heartbeat" omitempty "time.Duration";
    }
}

document! {
    /// What a negative acknowledgement asks for.
    pub struct NakRequest = "ConsumerNakOptions" {
        /// How long until the message comes again.
        pub delay: Nanos, "delay" always "time.Duration";
    }
}

/// Reads a body. `go` is the name of the document in Go (`T::GO`). Nothing in it is a document of defaults.
///
/// # Errors
/// 10025, as official servers word it.
pub fn read_request<T: Field + Default>(
    body: &[u8],
    go: &str,
    strictness: Strictness,
) -> Result<T, ApiError> {
    let mut document = T::default();
    match from_slice(body, go, strictness, &mut document) {
        Ok(()) => Ok(document),
        Err(error) => Err(error::INVALID_JSON.with(error)),
    }
}

/// Reads the body of a list: what does not begin like an object or array counts as nothing.
///
/// # Errors
/// As [`read_request`].
pub fn read_list<T: Field + Default>(body: &[u8], go: &str, strictness: Strictness) -> Result<T, ApiError> {
    let first = body.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    match first {
        Some(b'{' | b'[') => read_request(body, go, strictness),
        _ => Ok(T::default()),
    }
}

/// Reads a body of one value, and nothing else, whose unknown fields are ignored.
///
/// # Errors
/// What is behind `invalid JSON: `, as official servers word it.
pub fn read_plain<T: Field + Default>(body: &[u8], go: &str) -> Result<T, String> {
    let (node, used) = parse(body).map_err(|error| error.to_string())?;
    let behind = &body[used..];
    if let Some(at) = behind.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
        let character = crate::json::quoted_byte(behind[at]);
        return Err(format!("invalid character {character} after top-level value"));
    }
    let mut document = T::default();
    if node.kind == Kind::Null {
        return Ok(document);
    }
    let mut reader = Reader::new(Strictness::Lax);
    document.read(&node, go, &mut reader).map_err(|abort| abort.0)?;
    match reader.error() {
        None => Ok(document),
        Some(error) => Err(error),
    }
}

/// Whether a body says nothing: no bytes, or an object without fields. White space alone is something.
pub fn is_empty(body: &[u8]) -> bool {
    if body.is_empty() {
        return true;
    }
    match parse(body) {
        Ok((node, used)) => {
            let is_end = body[used..].iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
            is_end && matches!(&node.kind, Kind::Object(fields) if fields.is_empty())
        }
        Err(_) => false,
    }
}
