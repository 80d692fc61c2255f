//! What the server tells those who want to know: advisories and metrics, in the official order of their fields.
//!
//! [`KINDS`] has all kinds with their subjects and types. Those of clusters have no document yet.

use super::StreamState;
use crate::json::{document, names};
use crate::time::{Nanos, Time};

/// A kind of advisory or metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindRow {
    /// Its subject behind `$JS.EVENT.`; behind it stand the stream and the consumer that it is about.
    pub subject: &'static str,
    /// Its `type`, behind `io.nats.jetstream.`.
    pub kind: &'static str,
    /// What stands behind the subject.
    pub about: About,
}

/// What an advisory is about, which is what its subject ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Nothing stands behind the subject.
    Server,
    /// The name of a stream.
    Stream,
    /// The names of a stream and a consumer.
    Consumer,
    /// Only servers of a cluster say it.
    Cluster,
}

const fn row(subject: &'static str, kind: &'static str, about: About) -> KindRow {
    KindRow { subject, kind, about }
}

/// All kinds.
pub const KINDS: &[KindRow] = &[
    row("ADVISORY.API", "advisory.v1.api_audit", About::Server),
    row("ADVISORY.API.LIMIT_REACHED", "advisory.v1.api_limit_reached", About::Server),
    row("ADVISORY.STREAM.CREATED", "advisory.v1.stream_action", About::Stream),
    row("ADVISORY.STREAM.UPDATED", "advisory.v1.stream_action", About::Stream),
    row("ADVISORY.STREAM.DELETED", "advisory.v1.stream_action", About::Stream),
    row("ADVISORY.STREAM.SNAPSHOT_CREATE", "advisory.v1.snapshot_create", About::Stream),
    row("ADVISORY.STREAM.SNAPSHOT_COMPLETE", "advisory.v1.snapshot_complete", About::Stream),
    row("ADVISORY.STREAM.RESTORE_CREATE", "advisory.v1.restore_create", About::Stream),
    row("ADVISORY.STREAM.RESTORE_COMPLETE", "advisory.v1.restore_complete", About::Stream),
    row("ADVISORY.STREAM.BATCH_ABANDONED", "advisory.v1.stream_batch_abandoned", About::Stream),
    row("ADVISORY.STREAM.LEADER_ELECTED", "advisory.v1.stream_leader_elected", About::Cluster),
    row("ADVISORY.STREAM.QUORUM_LOST", "advisory.v1.stream_quorum_lost", About::Cluster),
    row("ADVISORY.CONSUMER.CREATED", "advisory.v1.consumer_action", About::Consumer),
    row("ADVISORY.CONSUMER.DELETED", "advisory.v1.consumer_action", About::Consumer),
    row("ADVISORY.CONSUMER.PAUSE", "advisory.v1.consumer_pause", About::Consumer),
    row("ADVISORY.CONSUMER.PINNED", "advisory.v1.consumer_group_pinned", About::Consumer),
    row("ADVISORY.CONSUMER.UNPINNED", "advisory.v1.consumer_group_unpinned", About::Consumer),
    row("ADVISORY.CONSUMER.MAX_DELIVERIES", "advisory.v1.max_deliver", About::Consumer),
    row("ADVISORY.CONSUMER.MSG_NAKED", "advisory.v1.nak", About::Consumer),
    row("ADVISORY.CONSUMER.MSG_TERMINATED", "advisory.v1.terminated", About::Consumer),
    row("METRIC.CONSUMER.ACK", "metric.v1.consumer_ack", About::Consumer),
    row("ADVISORY.CONSUMER.LEADER_ELECTED", "advisory.v1.consumer_leader_elected", About::Cluster),
    row("ADVISORY.CONSUMER.QUORUM_LOST", "advisory.v1.consumer_quorum_lost", About::Cluster),
    row("ADVISORY.DOMAIN.LEADER_ELECTED", "advisory.v1.domain_leader_elected", About::Cluster),
    row("ADVISORY.SERVER.OUT_OF_STORAGE", "advisory.v1.server_out_of_space", About::Server),
    row("ADVISORY.SERVER.REMOVED", "advisory.v1.server_removed", About::Cluster),
    row("ADVISORY.SERVER.META_RESCUE", "advisory.v1.meta_rescue", About::Cluster),
];

document! {
    /// What all of them begin with.
    pub struct Event = "TypedEvent" {
        /// Which kind.
        pub kind: String, "type" always "string";
        /// A random id.
        pub id: String, "id" always "string";
        /// When it happened.
        pub timestamp: Time, "timestamp" always "time.Time";
    }
}

impl Event {
    /// The beginning of an event whose type, behind `io.nats.jetstream.`, is `kind`.
    pub fn new(kind: &str, id: String, timestamp: Time) -> Self {
        Self { kind: ["io.nats.jetstream.", kind].concat(), id, timestamp }
    }
}

names! {
    /// What was done with a stream or consumer.
    pub enum Action, can_not_unmarshal {
        /// Made.
        Create = "create",
        /// Changed.
        Modify = "modify",
        /// Deleted.
        Delete = "delete",
    }
}

names! {
    /// Why a batch is not stored.
    pub enum AbandonReason, can_not_unmarshal {
        /// Nothing came for too long.
        Timeout = "timeout",
        /// It has too many messages.
        Large = "large",
        /// A message is missing.
        Incomplete = "incomplete",
        /// It asks for what is not there.
        Unsupported = "unsupported",
    }
}

document! {
    /// A client, as it is shown to others.
    pub struct ClientShown = "ClientInfo" {
        /// When it connected.
        pub start: Option<Time>, "start" omitempty "time.Time";
        /// Its address.
        pub host: String, "host" omitempty "string";
        /// Its number.
        pub id: u64, "id" omitempty "uint64";
        /// Its account.
        pub acc: String, "acc" omitempty "string";
        /// The account whose service it asked.
        pub svc: String, "svc" omitempty "string";
        /// Its user.
        pub user: String, "user" omitempty "string";
        /// What it calls itself.
        pub name: String, "name" omitempty "string";
        /// What its library is written in.
        pub lang: String, "lang" omitempty "string";
        /// The version of its library.
        pub ver: String, "ver" omitempty "string";
        /// How long an answer takes.
        pub rtt: Nanos, "rtt" omitempty "time.Duration";
        /// The server that it is connected to.
        pub server: String, "server" omitempty "string";
        /// The cluster of that.
        pub cluster: String, "cluster" omitempty "string";
        /// Clusters where the same is answered.
        pub alts: Vec<String>, "alts" omitempty "[]string";
        /// When it went.
        pub stop: Option<Time>, "stop" omitempty "time.Time";
        /// Its JWT.
        pub jwt: String, "jwt" omitempty "string";
        /// Who signed that.
        pub issuer_key: String, "issuer_key" omitempty "string";
        /// The name in it.
        pub name_tag: String, "name_tag" omitempty "string";
        /// The tags in it.
        pub tags: Vec<String>, "tags" omitempty "jwt.TagList";
        /// `Client`, or what else it is.
        pub kind: String, "kind" omitempty "string";
        /// `nats`, `websocket` or `mqtt`.
        pub client_type: String, "client_type" omitempty "string";
        /// What an MQTT client calls itself.
        pub client_id: String, "client_id" omitempty "string";
        /// What it signed.
        pub nonce: String, "nonce" omitempty "string";
        /// The reply subject that it gave, when it asked a service.
        pub reply: String, "reply" omitempty "string";
    }
}

/// Declares an advisory: the beginning, and what follows it.
macro_rules! advisory {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident = $go:literal { $($fields:tt)* }
    ) => {
        document! {
            $(#[$attribute])*
            pub struct $name = $go {
                embed /// The beginning.
                pub event: Event, "TypedEvent";
                $($fields)*
            }
        }
    };
}

advisory! {
    /// A request to the API, and its answer.
    pub struct ApiAudit = "JSAPIAudit" {
        /// The name of the server.
        pub server: String, "server" always "string";
        /// Who asked.
        pub client: Option<ClientShown>, "client" always "server.ClientInfo";
        /// What was asked.
        pub subject: String, "subject" always "string";
        /// The body.
        pub request: String, "request" omitempty "string";
        /// The answer.
        pub response: String, "response" always "string";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// A stream that was created, changed or deleted.
    pub struct StreamAction = "JSStreamActionAdvisory" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// What was done.
        pub action: Action, "action" always "server.ActionAdvisoryType";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// A consumer that was created, changed or deleted.
    pub struct ConsumerActed = "JSConsumerActionAdvisory" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// The consumer.
        pub consumer: String, "consumer" always "string";
        /// What was done.
        pub action: Action, "action" always "server.ActionAdvisoryType";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// A consumer that is paused, or goes on.
    pub struct ConsumerPaused = "JSConsumerPauseAdvisory" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// The consumer.
        pub consumer: String, "consumer" always "string";
        /// Whether it is paused.
        pub paused: bool, "paused" always "bool";
        /// Until when.
        pub pause_until: Time, "pause_until" always "time.Time";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// A consumer that delivers nothing though it could, which official servers do not watch.
    pub struct ConsumerStanding = "ConsumerStandingAdvisory" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// The consumer.
        pub consumer: String, "consumer" always "string";
        /// Messages that it has yet to deliver.
        pub num_pending: u64, "num_pending" always "uint64";
        /// Requests that wait.
        pub num_waiting: u64, "num_waiting" always "uint64";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// A message that was acknowledged, of those that are sampled.
    pub struct Acknowledged = "JSConsumerAckMetric" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// The consumer.
        pub consumer: String, "consumer" always "string";
        /// The delivery.
        pub consumer_seq: u64, "consumer_seq" always "uint64";
        /// The sequence of the message.
        pub stream_seq: u64, "stream_seq" always "uint64";
        /// Nanoseconds from its delivery.
        pub ack_time: i64, "ack_time" always "int64";
        /// How often the message was delivered.
        pub deliveries: u64, "deliveries" always "uint64";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// A message that is not delivered any more.
    pub struct MaxDeliveries = "JSConsumerDeliveryExceededAdvisory" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// The consumer.
        pub consumer: String, "consumer" always "string";
        /// The sequence of the message.
        pub stream_seq: u64, "stream_seq" always "uint64";
        /// How often the message was delivered.
        pub deliveries: u64, "deliveries" always "uint64";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// A message that was acknowledged as not processed.
    pub struct Naked = "JSConsumerDeliveryNakAdvisory" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// The consumer.
        pub consumer: String, "consumer" always "string";
        /// The delivery.
        pub consumer_seq: u64, "consumer_seq" always "uint64";
        /// The sequence of the message.
        pub stream_seq: u64, "stream_seq" always "uint64";
        /// How often the message was delivered.
        pub deliveries: u64, "deliveries" always "uint64";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// A message that is not to be delivered again.
    pub struct Terminated = "JSConsumerDeliveryTerminatedAdvisory" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// The consumer.
        pub consumer: String, "consumer" always "string";
        /// The delivery.
        pub consumer_seq: u64, "consumer_seq" always "uint64";
        /// The sequence of the message.
        pub stream_seq: u64, "stream_seq" always "uint64";
        /// How often the message was delivered.
        pub deliveries: u64, "deliveries" always "uint64";
        /// Why.
        pub reason: String, "reason" omitempty "string";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// An archive that is being sent.
    pub struct SnapshotBegun = "JSSnapshotCreateAdvisory" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// What the stream holds.
        pub state: StreamState, "state" always "server.StreamState";
        /// Who asked.
        pub client: Option<ClientShown>, "client" always "server.ClientInfo";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// An archive that was sent, or not.
    pub struct SnapshotEnded = "JSSnapshotCompleteAdvisory" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// When it began.
        pub start: Time, "start" always "time.Time";
        /// When it ended.
        pub end: Time, "end" always "time.Time";
        /// Who asked.
        pub client: Option<ClientShown>, "client" always "server.ClientInfo";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
        /// Why it was not sent.
        pub error: String, "error" omitempty "string";
    }
}

advisory! {
    /// An archive that is awaited.
    pub struct RestoreBegun = "JSRestoreCreateAdvisory" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// Who asked.
        pub client: Option<ClientShown>, "client" always "server.ClientInfo";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// An archive that came.
    pub struct RestoreEnded = "JSRestoreCompleteAdvisory" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// When it began.
        pub start: Time, "start" always "time.Time";
        /// When it ended.
        pub end: Time, "end" always "time.Time";
        /// Bytes that came.
        pub bytes: i64, "bytes" always "int64";
        /// Who asked.
        pub client: Option<ClientShown>, "client" always "server.ClientInfo";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// A batch that is not stored.
    pub struct BatchAbandoned = "JSStreamBatchAbandonedAdvisory" {
        /// The account of the stream.
        pub account: String, "account" omitempty "string";
        /// The stream.
        pub stream: String, "stream" always "string";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
        /// Its id.
        pub batch: String, "batch" always "string";
        /// Why.
        pub reason: AbandonReason, "reason" always "server.BatchAbandonReason";
    }
}

advisory! {
    /// Something of a stream cannot be read. Official servers have no such advisory.
    pub struct StreamDamaged = "StreamDamagedAdvisory" {
        /// The stream.
        pub stream: String, "stream" always "string";
        /// The message; 0: it is none.
        pub stream_seq: u64, "stream_seq" omitempty "uint64";
        /// What cannot be read, and where that stood.
        pub error: String, "error" always "string";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// A client that is pinned.
    pub struct Pinned = "JSConsumerGroupPinnedAdvisory" {
        /// The account of the stream.
        pub account: String, "account" omitempty "string";
        /// The stream.
        pub stream: String, "stream" always "string";
        /// The consumer.
        pub consumer: String, "consumer" always "string";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
        /// The priority group.
        pub group: String, "group" always "string";
        /// The pin that the client got.
        pub pinned_id: String, "pinned_id" always "string";
    }
}

advisory! {
    /// A client that is pinned no more.
    pub struct Unpinned = "JSConsumerGroupUnpinnedAdvisory" {
        /// The account of the stream.
        pub account: String, "account" omitempty "string";
        /// The stream.
        pub stream: String, "stream" always "string";
        /// The consumer.
        pub consumer: String, "consumer" always "string";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
        /// The priority group.
        pub group: String, "group" always "string";
        /// `admin` or `timeout`.
        pub reason: String, "reason" always "string";
    }
}

advisory! {
    /// A server whose disk is full.
    pub struct OutOfStorage = "JSServerOutOfSpaceAdvisory" {
        /// Its name.
        pub server: String, "server" always "string";
        /// Its id.
        pub server_id: String, "server_id" always "string";
        /// The stream whose message found no room.
        pub stream: String, "stream" omitempty "string";
        /// Its cluster.
        pub cluster: String, "cluster" always "string";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
    }
}

advisory! {
    /// Requests to the API that are not answered.
    pub struct ApiLimitReached = "JSAPILimitReachedAdvisory" {
        /// The name of the server.
        pub server: String, "server" always "string";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
        /// How many.
        pub dropped: i64, "dropped" always "int64";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Field, Strictness, from_slice, to_string};
    use std::collections::BTreeSet;

    const RECORDED: &str = include_str!("../../tests/advisories.txt");

    fn again<T: Field + serde::Serialize + Default>(text: &str) -> String {
        let mut document = T::default();
        match from_slice(text.as_bytes(), "", Strictness::Strict, &mut document) {
            Ok(()) => to_string(&document),
            Err(error) => error,
        }
    }

    /// A payload, read and written by the document of its type; none for kinds that only clusters have.
    fn rewritten(kind: &str, text: &str) -> String {
        match kind {
            "advisory.v1.api_audit" => again::<ApiAudit>(text),
            "advisory.v1.api_limit_reached" => again::<ApiLimitReached>(text),
            "advisory.v1.stream_action" => again::<StreamAction>(text),
            "advisory.v1.consumer_action" => again::<ConsumerActed>(text),
            "advisory.v1.consumer_pause" => again::<ConsumerPaused>(text),
            "advisory.v1.consumer_group_pinned" => again::<Pinned>(text),
            "advisory.v1.consumer_group_unpinned" => again::<Unpinned>(text),
            "advisory.v1.max_deliver" => again::<MaxDeliveries>(text),
            "advisory.v1.nak" => again::<Naked>(text),
            "advisory.v1.terminated" => again::<Terminated>(text),
            "advisory.v1.snapshot_create" => again::<SnapshotBegun>(text),
            "advisory.v1.snapshot_complete" => again::<SnapshotEnded>(text),
            "advisory.v1.restore_create" => again::<RestoreBegun>(text),
            "advisory.v1.restore_complete" => again::<RestoreEnded>(text),
            "advisory.v1.stream_batch_abandoned" => again::<BatchAbandoned>(text),
            "advisory.v1.server_out_of_space" => again::<OutOfStorage>(text),
            "metric.v1.consumer_ack" => again::<Acknowledged>(text),
            other => format!("{other} has no document"),
        }
    }

    /// What no conversation of a moment brings about.
    const NOT_RECORDED: &[&str] =
        &["ADVISORY.API.LIMIT_REACHED", "ADVISORY.SERVER.OUT_OF_STORAGE", "ADVISORY.STREAM.RESTORE_COMPLETE"];

    #[test]
    fn advisories_are_written_as_the_official_server_writes_them() {
        let (mut subject, mut seen) = ("", BTreeSet::new());
        for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
            let Some(text) = line.strip_prefix("= ") else {
                subject = line.strip_prefix("$JS.EVENT.").expect("an event");
                continue;
            };
            let fits = |row: &&KindRow| {
                let names = subject.strip_prefix(row.subject).map(|behind| behind.matches('.').count());
                names
                    == Some(match row.about {
                        About::Server | About::Cluster => 0,
                        About::Stream => 1,
                        About::Consumer => 2,
                    })
            };
            let row = KINDS.iter().find(fits).unwrap_or_else(|| panic!("{subject} is a kind"));
            assert!(text.starts_with(&format!("{{\"type\":\"io.nats.jetstream.{}\"", row.kind)), "{subject}");
            assert_eq!(rewritten(row.kind, text), text, "{subject}");
            seen.insert(row.subject);
        }
        for row in KINDS.iter().filter(|row| row.about != About::Cluster) {
            assert!(seen.contains(row.subject) != NOT_RECORDED.contains(&row.subject), "{}", row.subject);
            assert!(!rewritten(row.kind, "{}").ends_with("no document"), "{}", row.subject);
        }
    }
}
