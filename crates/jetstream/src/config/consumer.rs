//! The configuration of a consumer, in the official order of its fields.

use super::Metadata;
use crate::json::{document, names};
use crate::time::{Nanos, Time};

names! {
    /// Which message a consumer begins with.
    pub enum DeliverPolicy, can_not_unmarshal {
        /// The first of the stream.
        All = "all" | "undefined",
        /// The last of the stream.
        Last = "last",
        /// The next that comes.
        New = "new",
        /// `opt_start_seq`
        ByStartSequence = "by_start_sequence",
        /// The first at or after `opt_start_time`.
        ByStartTime = "by_start_time",
        /// The last of each subject.
        LastPerSubject = "last_per_subject",
    }
}

names! {
    /// Which messages are acknowledged.
    pub enum AckPolicy, can_not_unmarshal {
        /// None.
        None = "none",
        /// One stands for all before it.
        All = "all",
        /// Each.
        Explicit = "explicit",
        /// As `all`, by the answers to flow control.
        FlowControl = "flow_control",
    }
}

names! {
    /// How fast what is stored is delivered.
    pub enum ReplayPolicy, can_not_unmarshal {
        /// As fast as it goes.
        Instant = "instant",
        /// As it came.
        Original = "original",
    }
}

names! {
    /// Which of several pullers gets messages.
    pub enum PriorityPolicy, priority_policy {
        /// Whoever asked first.
        None = "none",
        /// Some only when much is pending.
        Overflow = "overflow",
        /// One, while it is there.
        PinnedClient = "pinned_client",
        /// Those of the lowest number.
        Prioritized = "prioritized",
    }
}

names! {
    /// What a request to create a consumer may do.
    pub enum ConsumerAction, consumer_action {
        /// Create or update it.
        CreateOrUpdate = "",
        /// Update it alone.
        Update = "update",
        /// Create it alone.
        Create = "create",
    }
}

document! {
    /// What a consumer is.
    pub struct ConsumerConfig = "ConsumerConfig" {
        /// The name of one that stays when nobody uses it.
        pub durable_name: String, "durable_name" omitempty "string";
        /// The name.
        pub name: String, "name" omitempty "string";
        /// For people.
        pub description: String, "description" omitempty "string";
        /// Which message it begins with.
        pub deliver_policy: DeliverPolicy, "deliver_policy" always "server.DeliverPolicy";
        /// The sequence it begins with; 0 is none.
        pub opt_start_seq: u64, "opt_start_seq" omitempty "uint64";
        /// The time it begins at.
        pub opt_start_time: Option<Time>, "opt_start_time" omitempty "time.Time";
        /// Which messages are acknowledged.
        pub ack_policy: AckPolicy, "ack_policy" always "server.AckPolicy";
        /// How long an acknowledgement is waited for.
        pub ack_wait: Nanos, "ack_wait" omitempty "time.Duration";
        /// How often a message is delivered; -1 is no limit.
        pub max_deliver: i64, "max_deliver" omitempty "int";
        /// How long the acknowledgement of each delivery is waited for; the last stands for all behind it.
        pub backoff: Vec<Nanos>, "backoff" omitempty "[]time.Duration";
        /// Which messages; empty is all.
        pub filter_subject: String, "filter_subject" omitempty "string";
        /// Which messages, by several filters.
        pub filter_subjects: Vec<String>, "filter_subjects" omitempty "[]string";
        /// How fast what is stored is delivered.
        pub replay_policy: ReplayPolicy, "replay_policy" always "server.ReplayPolicy";
        /// Bits a second; 0 is no limit.
        pub rate_limit_bps: u64, "rate_limit_bps" omitempty "uint64";
        /// How many of a hundred acknowledgements are reported.
        pub sample_freq: String, "sample_freq" omitempty "string";
        /// How many pull requests may wait.
        pub max_waiting: i64, "max_waiting" omitempty "int";
        /// How many messages may wait for their acknowledgement; -1 is no limit.
        pub max_ack_pending: i64, "max_ack_pending" omitempty "int";
        /// Whether the server asks how far the client is.
        pub flow_control: bool, "flow_control" omitempty "bool";
        /// Whether payloads are left out.
        pub headers_only: bool, "headers_only" omitempty "bool";
        /// How many messages a pull request may ask for; 0 is no limit.
        pub max_batch: i64, "max_batch" omitempty "int";
        /// How long a pull request may wait; 0 is no limit.
        pub max_expires: Nanos, "max_expires" omitempty "time.Duration";
        /// How many bytes a pull request may ask for; 0 is no limit.
        pub max_bytes: i64, "max_bytes" omitempty "int";
        /// Where it delivers. Empty means that it is pulled.
        pub deliver_subject: String, "deliver_subject" omitempty "string";
        /// The queue group that it delivers to.
        pub deliver_group: String, "deliver_group" omitempty "string";
        /// After how long without messages a heartbeat is sent; 0 is none.
        pub idle_heartbeat: Nanos, "idle_heartbeat" omitempty "time.Duration";
        /// After how long without interest it goes; 0 is the default of one without a durable name.
        pub inactive_threshold: Nanos, "inactive_threshold" omitempty "time.Duration";
        /// How many servers have its state; 0 is as many as have the stream.
        pub num_replicas: i64, "num_replicas" always "int";
        /// Whether its state is in memory, whatever the stream's storage is.
        pub mem_storage: bool, "mem_storage" omitempty "bool";
        /// Whether it is one of another stream, which no list shows.
        pub direct: bool, "direct" omitempty "bool";
        /// Whether it is a durable one of another stream.
        pub sourcing: bool, "sourcing" omitempty "bool";
        /// What clients keep beside it.
        pub metadata: Metadata, "metadata" omitempty "map[string]string";
        /// Until when it delivers nothing.
        pub pause_until: Option<Time>, "pause_until" omitempty "time.Time";
        /// The groups that pull requests name.
        pub priority_groups: Vec<String>, "priority_groups" omitempty "[]string";
        /// Which puller gets messages.
        pub priority_policy: PriorityPolicy, "priority_policy" omitempty "server.PriorityPolicy";
        /// After how long without a request another client is pinned.
        pub priority_timeout: Nanos, "priority_timeout" omitempty "time.Duration";
    }
}

impl ConsumerConfig {
    /// Whether it is pulled.
    pub fn is_pull(&self) -> bool {
        self.deliver_subject.is_empty()
    }

    /// Whether it counts towards limits: it is none by which another stream takes messages.
    pub fn is_countable(&self) -> bool {
        !self.direct && !self.sourcing
    }

    /// Its filters; none is all.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        let one = (!self.filter_subject.is_empty()).then_some(self.filter_subject.as_str());
        one.into_iter().chain(self.filter_subjects.iter().map(String::as_str))
    }
}
