//! The state of a consumer, as archives have it.

use crate::config::ConsumerConfig;
use crate::json::{Abort, Empty, Field, Kind, Node, Reader, document};
use std::collections::BTreeMap;

document! {
    /// A sequence of the consumer and one of the stream that belong to each other.
    pub struct Delivered = "SequencePair" {
        /// Deliveries.
        pub consumer_seq: u64, "consumer_seq" always "uint64";
        /// The sequence of the stream.
        pub stream_seq: u64, "stream_seq" always "uint64";
    }
}

document! {
    /// A message that waits for its acknowledgement.
    pub struct PendingAck = "Pending" {
        /// The delivery.
        pub sequence: u64, "Sequence" always "uint64";
        /// When it was delivered: nanoseconds since 1970.
        pub timestamp: i64, "Timestamp" always "int64";
    }
}

/// Something by sequences of the stream, which JSON has as names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BySequence<T>(pub BTreeMap<u64, T>);

impl<T> Default for BySequence<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Empty for BySequence<T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: serde::Serialize> serde::Serialize for BySequence<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Go sorts names as texts.
        let by_name: BTreeMap<String, &T> =
            self.0.iter().map(|(seq, value)| (seq.to_string(), value)).collect();
        by_name.serialize(serializer)
    }
}

impl<T: Field + Default> Field for BySequence<T> {
    fn read(&mut self, node: &Node<'_>, go: &str, reader: &mut Reader) -> Result<(), Abort> {
        let mut by_name: BTreeMap<String, T> = BTreeMap::new();
        by_name.read(node, go, reader)?;
        if node.kind == Kind::Null {
            self.0.clear();
        }
        for (name, value) in by_name {
            let Ok(seq) = name.parse() else {
                reader.mismatch(&format!("number {name}"), "uint64");
                continue;
            };
            self.0.insert(seq, value);
        }
        Ok(())
    }
}

document! {
    /// How far a consumer is.
    pub struct ConsumerState = "ConsumerState" {
        /// What was delivered last.
        pub delivered: Delivered, "delivered" always "server.SequencePair";
        /// Up to where all is acknowledged.
        pub ack_floor: Delivered, "ack_floor" always "server.SequencePair";
        /// Messages that wait for their acknowledgement.
        pub pending: BySequence<PendingAck>, "pending" omitempty "map[uint64]*server.Pending";
        /// How often messages were delivered again.
        pub redelivered: BySequence<u64>, "redelivered" omitempty "map[uint64]uint64";
    }
}

document! {
    /// A consumer.
    pub struct ConsumerEntry = "SnapshotConsumerState" {
        /// What it is. Its name is there even if it came without one.
        pub config: Option<ConsumerConfig>, "config" always "server.ConsumerConfig";
        /// How far it is.
        pub state: Option<ConsumerState>, "state" always "server.ConsumerState";
    }
}
