//! The configuration of a stream, in the official order of its fields.

use super::Metadata;
use crate::json::{document, names};
use crate::time::{Nanos, Time};

names! {
    /// When messages leave a stream.
    pub enum Retention, can_not_unmarshal {
        /// At its limits only.
        Limits = "limits",
        /// When all consumers that want them acknowledged them, or when none wants them.
        Interest = "interest",
        /// When one consumer acknowledged them.
        WorkQueue = "workqueue",
    }
}

names! {
    /// What goes when a limit is reached.
    pub enum DiscardPolicy, can_not_unmarshal_in_any_case {
        /// The oldest message.
        Old = "old",
        /// The one that comes.
        New = "new",
    }
}

names! {
    /// Where messages are kept.
    pub enum Storage, can_not_unmarshal {
        /// On disk.
        File = "file",
        /// In memory, until the server ends.
        Memory = "memory",
    }
}

names! {
    /// How messages on disk are compressed.
    pub enum Compression, compression {
        /// Not.
        None = "none",
        /// With S2.
        S2 = "s2",
    }
}

names! {
    /// When a message is acknowledged to its publisher.
    pub enum PersistMode, can_not_unmarshal {
        /// When it is on stable storage.
        Default = "default" | "",
        /// When it is written.
        Async = "async",
    }
}

document! {
    /// What a stream is. Limits of -1 mean none.
    pub struct StreamConfig = "StreamConfig" {
        /// Its name, one in the account.
        pub name: String, "name" always "string";
        /// For people.
        pub description: String, "description" omitempty "string";
        /// What it stores: filters, which no other stream of the account overlaps.
        pub subjects: Vec<String>, "subjects" omitempty "[]string";
        /// When messages leave.
        pub retention: Retention, "retention" always "server.RetentionPolicy";
        /// How many consumers it may have.
        pub max_consumers: i64, "max_consumers" always "int";
        /// How many messages.
        pub max_msgs: i64, "max_msgs" always "int64";
        /// How many bytes of messages.
        pub max_bytes: i64, "max_bytes" always "int64";
        /// How old messages may become; 0 is no limit.
        pub max_age: Nanos, "max_age" always "time.Duration";
        /// How many messages of one subject.
        pub max_msgs_per_subject: i64, "max_msgs_per_subject" always "int64";
        /// Bytes of headers and payload that one message may have.
        pub max_msg_size: i32, "max_msg_size" omitempty "int32";
        /// What goes at a limit.
        pub discard: DiscardPolicy, "discard" always "server.DiscardPolicy";
        /// Where messages are kept.
        pub storage: Storage, "storage" always "server.StorageType";
        /// How many servers have it.
        pub num_replicas: i64, "num_replicas" always "int";
        /// Whether publishers get no acknowledgement.
        pub no_ack: bool, "no_ack" omitempty "bool";
        /// How long a message id is remembered.
        pub duplicate_window: Nanos, "duplicate_window" omitempty "time.Duration";
        /// On which servers it may be.
        pub placement: Option<Placement>, "placement" omitempty "server.Placement";
        /// The stream that it is a copy of.
        pub mirror: Option<StreamSource>, "mirror" omitempty "server.StreamSource";
        /// The streams whose messages it takes in.
        pub sources: Vec<StreamSource>, "sources" omitempty "[]*server.StreamSource";
        /// How messages on disk are compressed.
        pub compression: Compression, "compression" always "server.StoreCompression";
        /// The sequence of its first message; 0 is 1.
        pub first_seq: u64, "first_seq" omitempty "uint64";
        /// What becomes of subjects before anything else.
        pub subject_transform: Option<SubjectTransform>, "subject_transform" omitempty "server.SubjectTransformConfig";
        /// What is published again once it is stored.
        pub republish: Option<Republish>, "republish" omitempty "server.RePublish";
        /// Whether direct gets are answered.
        pub allow_direct: bool, "allow_direct" always "bool";
        /// Whether a mirror answers direct gets for its origin.
        pub mirror_direct: bool, "mirror_direct" always "bool";
        /// Whether `discard: new` holds for `max_msgs_per_subject`, too.
        pub discard_new_per_subject: bool, "discard_new_per_subject" omitempty "bool";
        /// Whether nothing comes in or goes any more.
        pub sealed: bool, "sealed" always "bool";
        /// Whether messages cannot be deleted by the API.
        pub deny_delete: bool, "deny_delete" always "bool";
        /// Whether it cannot be purged by the API.
        pub deny_purge: bool, "deny_purge" always "bool";
        /// Whether `Nats-Rollup` is allowed.
        pub allow_rollup_hdrs: bool, "allow_rollup_hdrs" always "bool";
        /// Defaults and limits of its consumers.
        pub consumer_limits: ConsumerLimits, "consumer_limits" always "server.StreamConsumerLimits";
        /// Whether `Nats-TTL` is allowed.
        pub allow_msg_ttl: bool, "allow_msg_ttl" always "bool";
        /// How long the marker of a subject lives whose last message went by a limit; 0 is no marker.
        pub subject_delete_marker_ttl: Nanos, "subject_delete_marker_ttl" omitempty "time.Duration";
        /// Whether its subjects are counters, by `Nats-Incr`.
        pub allow_msg_counter: bool, "allow_msg_counter" omitempty "bool";
        /// Whether batches are stored all or none.
        pub allow_atomic: bool, "allow_atomic" omitempty "bool";
        /// Whether `Nats-Schedule` is allowed.
        pub allow_msg_schedules: bool, "allow_msg_schedules" omitempty "bool";
        /// When a message is acknowledged.
        pub persist_mode: PersistMode, "persist_mode" omitempty "server.PersistModeType";
        /// Whether fast batches are allowed.
        pub allow_batched: bool, "allow_batched" omitempty "bool";
        /// What clients keep beside it.
        pub metadata: Metadata, "metadata" omitempty "map[string]string";
    }
}

document! {
    /// On which servers a stream may be.
    pub struct Placement = "Placement" {
        /// The cluster.
        pub cluster: String, "cluster" omitempty "string";
        /// Tags that a server must have, all of them.
        pub tags: Vec<String>, "tags" omitempty "[]string";
        /// The server that shall lead.
        pub preferred: String, "preferred" omitempty "string";
    }
}

document! {
    /// A stream that another one takes messages from.
    pub struct StreamSource = "StreamSource" {
        /// Its name.
        pub name: String, "name" always "string";
        /// The sequence to begin with; 0 is none.
        pub opt_start_seq: u64, "opt_start_seq" omitempty "uint64";
        /// The time to begin at.
        pub opt_start_time: Option<Time>, "opt_start_time" omitempty "time.Time";
        /// Which of its messages.
        pub filter_subject: String, "filter_subject" omitempty "string";
        /// Which of its messages, and what becomes of their subjects.
        pub subject_transforms: Vec<SubjectTransform>, "subject_transforms" omitempty "[]server.SubjectTransformConfig";
        /// How it is reached in another account or domain.
        pub external: Option<ExternalStream>, "external" omitempty "server.ExternalStream";
        /// The durable consumer that is used.
        pub consumer: Option<SourceConsumer>, "consumer" omitempty "server.StreamConsumerSource";
    }
}

document! {
    /// The durable consumer by which a source is read.
    pub struct SourceConsumer = "StreamConsumerSource" {
        /// Its name.
        pub name: String, "name" omitempty "string";
        /// Where it delivers.
        pub deliver_subject: String, "deliver_subject" omitempty "string";
    }
}

document! {
    /// How a stream is reached in another account or domain.
    pub struct ExternalStream = "ExternalStream" {
        /// The prefix of its API.
        pub api: String, "api" always "string";
        /// The prefix of what it delivers.
        pub deliver: String, "deliver" always "string";
    }
}

document! {
    /// How one subject becomes another.
    pub struct SubjectTransform = "SubjectTransformConfig" {
        /// A filter; empty is all.
        pub src: String, "src" always "string";
        /// What a subject becomes.
        pub dest: String, "dest" always "string";
    }
}

document! {
    /// What a stream publishes again.
    pub struct Republish = "RePublish" {
        /// Which messages.
        pub src: String, "src" omitempty "string";
        /// With which subject; empty means that nothing is published.
        pub dest: String, "dest" always "string";
        /// Whether without the payload.
        pub headers_only: bool, "headers_only" omitempty "bool";
    }
}

document! {
    /// Defaults and limits of a stream's consumers; 0 is none.
    pub struct ConsumerLimits = "StreamConsumerLimits" {
        /// After how long without interest a consumer goes.
        pub inactive_threshold: Nanos, "inactive_threshold" omitempty "time.Duration";
        /// How many messages may wait for their acknowledgement.
        pub max_ack_pending: i64, "max_ack_pending" omitempty "int";
    }
}
