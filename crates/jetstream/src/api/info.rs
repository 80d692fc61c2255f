//! What there is to say of streams, consumers and messages.

use crate::config::{ConsumerConfig, ExternalStream, StreamConfig, SubjectTransform};
use crate::error::ApiError;
use crate::json::{Abort, Empty, Field, Kind, Node, Reader, document};
use crate::time::{Nanos, Time};
use data_encoding::BASE64;
use std::collections::BTreeMap;

/// Bytes, which JSON has as base64.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl Empty for Bytes {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl serde::Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl Field for Bytes {
    fn read(&mut self, node: &Node<'_>, go: &str, reader: &mut Reader) -> Result<(), Abort> {
        let Kind::Text(text) = &node.kind else {
            return self.0.read(node, go, reader);
        };
        match BASE64.decode(text.as_bytes()) {
            Ok(bytes) => self.0 = bytes,
            Err(error) => {
                return Err(Abort(format!("illegal base64 data at input byte {}", error.position)));
            }
        }
        Ok(())
    }
}

document! {
    /// Messages that were lost by damage.
    pub struct LostMessages = "LostStreamData" {
        /// Their sequences.
        pub msgs: Vec<u64>, "msgs" always "[]uint64";
        /// How large they were.
        pub bytes: u64, "bytes" always "uint64";
    }
}

document! {
    /// What a stream holds.
    pub struct StreamState = "StreamState" {
        /// How many messages.
        pub messages: u64, "messages" always "uint64";
        /// How large they are.
        pub bytes: u64, "bytes" always "uint64";
        /// The sequence of the first, or of the next one if there is none.
        pub first_seq: u64, "first_seq" always "uint64";
        /// When the first came.
        pub first_ts: Time, "first_ts" always "time.Time";
        /// The sequence of the last that came.
        pub last_seq: u64, "last_seq" always "uint64";
        /// When it came.
        pub last_ts: Time, "last_ts" always "time.Time";
        /// How many subjects.
        pub num_subjects: i64, "num_subjects" omitempty "int";
        /// How many messages each subject has.
        pub subjects: BTreeMap<String, u64>, "subjects" omitempty "map[string]uint64";
        /// How many are missing between the first and the last.
        pub num_deleted: i64, "num_deleted" omitempty "int";
        /// Which.
        pub deleted: Vec<u64>, "deleted" omitempty "[]uint64";
        /// What was lost by damage.
        pub lost: Option<LostMessages>, "lost" omitempty "server.LostStreamData";
        /// How many consumers.
        pub consumer_count: i64, "consumer_count" always "int";
    }
}

document! {
    /// The servers of a stream or consumer.
    pub struct ClusterInfo = "ClusterInfo" {
        /// The cluster.
        pub name: String, "name" omitempty "string";
        /// The Raft group.
        pub raft_group: String, "raft_group" omitempty "string";
        /// The server that leads.
        pub leader: String, "leader" omitempty "string";
        /// Since when it leads.
        pub leader_since: Option<Time>, "leader_since" omitempty "time.Time";
        /// Whether what servers say to each other goes by the system account.
        pub system_account: bool, "system_account" omitempty "bool";
        /// The account by which it goes.
        pub traffic_account: String, "traffic_account" omitempty "string";
    }
}

document! {
    /// How far a mirror or source is.
    pub struct StreamSourceInfo = "StreamSourceInfo" {
        /// The stream.
        pub name: String, "name" always "string";
        /// How it is reached in another account or domain.
        pub external: Option<ExternalStream>, "external" omitempty "server.ExternalStream";
        /// How many messages are still to come.
        pub lag: u64, "lag" always "uint64";
        /// The sequence, in the origin, of the last message that came.
        pub seq: u64, "seq" omitempty "uint64";
        /// How long ago something came; -1 if nothing ever did.
        pub active: Nanos, "active" always "time.Duration";
        /// Why nothing comes.
        pub error: Option<ApiError>, "error" omitempty "server.ApiError";
        /// Which messages.
        pub filter_subject: String, "filter_subject" omitempty "string";
        /// Which messages, and what becomes of their subjects.
        pub subject_transforms: Vec<SubjectTransform>, "subject_transforms" omitempty "[]server.SubjectTransformConfig";
    }
}

document! {
    /// A stream or mirror where the same messages can be read.
    pub struct StreamAlternate = "StreamAlternate" {
        /// Its name.
        pub name: String, "name" always "string";
        /// Its domain.
        pub domain: String, "domain" omitempty "string";
        /// Its cluster.
        pub cluster: String, "cluster" always "string";
    }
}

document! {
    /// What there is to say of a stream.
    pub struct StreamInfo = "StreamInfo" {
        /// What it is.
        pub config: StreamConfig, "config" always "server.StreamConfig";
        /// When it was made.
        pub created: Time, "created" always "time.Time";
        /// What it holds.
        pub state: StreamState, "state" always "server.StreamState";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
        /// Its servers.
        pub cluster: Option<ClusterInfo>, "cluster" omitempty "server.ClusterInfo";
        /// How far it is as a mirror.
        pub mirror: Option<StreamSourceInfo>, "mirror" omitempty "server.StreamSourceInfo";
        /// How far it is with its sources.
        pub sources: Vec<StreamSourceInfo>, "sources" omitempty "[]*server.StreamSourceInfo";
        /// Where the same can be read.
        pub alternates: Vec<StreamAlternate>, "alternates" omitempty "[]server.StreamAlternate";
        /// When this was so.
        pub ts: Time, "ts" always "time.Time";
    }
}

document! {
    /// How far a consumer is, in its own count and in the stream's.
    pub struct SequenceInfo = "SequenceInfo" {
        /// Deliveries.
        pub consumer_seq: u64, "consumer_seq" always "uint64";
        /// The sequence of the stream.
        pub stream_seq: u64, "stream_seq" always "uint64";
        /// When something last happened.
        pub last_active: Option<Time>, "last_active" omitempty "time.Time";
    }
}

document! {
    /// A priority group of a consumer.
    pub struct PriorityGroupState = "PriorityGroupState" {
        /// Its name.
        pub group: String, "group" always "string";
        /// The client that is pinned.
        pub pinned_client_id: String, "pinned_client_id" omitempty "string";
        /// Since when.
        pub pinned_ts: Time, "pinned_ts" always "time.Time";
    }
}

document! {
    /// What there is to say of a consumer.
    pub struct ConsumerInfo = "ConsumerInfo" {
        /// Its stream.
        pub stream_name: String, "stream_name" always "string";
        /// Its name.
        pub name: String, "name" always "string";
        /// When it was made.
        pub created: Time, "created" always "time.Time";
        /// What it is.
        pub config: Option<ConsumerConfig>, "config" omitempty "server.ConsumerConfig";
        /// What was delivered last.
        pub delivered: SequenceInfo, "delivered" always "server.SequenceInfo";
        /// Up to where all is acknowledged.
        pub ack_floor: SequenceInfo, "ack_floor" always "server.SequenceInfo";
        /// How many messages wait for their acknowledgement.
        pub num_ack_pending: i64, "num_ack_pending" always "int";
        /// How many of them were delivered more than once.
        pub num_redelivered: i64, "num_redelivered" always "int";
        /// How many pull requests wait.
        pub num_waiting: i64, "num_waiting" always "int";
        /// How many messages are still to be delivered.
        pub num_pending: u64, "num_pending" always "uint64";
        /// Its servers.
        pub cluster: Option<ClusterInfo>, "cluster" omitempty "server.ClusterInfo";
        /// Whether somebody listens where it delivers.
        pub push_bound: bool, "push_bound" omitempty "bool";
        /// Whether it is paused.
        pub paused: bool, "paused" omitempty "bool";
        /// For how long.
        pub pause_remaining: Nanos, "pause_remaining" omitempty "time.Duration";
        /// When this was so.
        pub ts: Time, "ts" always "time.Time";
        /// Its priority groups.
        pub priority_groups: Vec<PriorityGroupState>, "priority_groups" omitempty "[]server.PriorityGroupState";
    }
}

document! {
    /// A message of a stream.
    pub struct StoredMessage = "StoredMsg" {
        /// Its subject.
        pub subject: String, "subject" always "string";
        /// Its sequence.
        pub seq: u64, "seq" always "uint64";
        /// Its headers.
        pub hdrs: Bytes, "hdrs" omitempty "[]uint8";
        /// Its payload.
        pub data: Bytes, "data" omitempty "[]uint8";
        /// When it came.
        pub time: Time, "time" always "time.Time";
    }
}
