//! Configurations of streams and consumers: their documents, and their checks.
//!
//! [`StreamConfig`] and [`ConsumerConfig`] are what requests carry and what is stored.

mod consumer;
mod stream;

pub use consumer::{AckPolicy, ConsumerAction, ConsumerConfig, DeliverPolicy, PriorityPolicy, ReplayPolicy};
pub use stream::{
    Compression, ConsumerLimits, DiscardPolicy, ExternalStream, PersistMode, Placement, Republish, Retention,
    SourceConsumer, Storage, StreamConfig, StreamSource, SubjectTransform,
};

/// What a stream or consumer is told by a client, and what clients may keep beside it.
pub type Metadata = std::collections::BTreeMap<String, String>;
