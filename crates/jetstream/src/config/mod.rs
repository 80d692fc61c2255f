//! Configurations of streams and consumers: their documents, and their checks.
//!
//! [`StreamConfig`] and [`ConsumerConfig`] are what requests carry and what is stored. [`create_stream`], [`update_stream`] and
//! [`create_consumer`] make of a request what is to be stored, or say why not, in the words of official servers.

pub mod beyond;
mod check_consumer;
mod check_sources;
mod check_stream;
mod check_subjects;
mod consumer;
mod create_consumer;
mod limits;
mod metadata;
mod request;
mod source_index;
mod stream;
pub mod unsupported;
mod update_stream;

#[cfg(test)]
mod tests;

pub use beyond::KeyTokens;
pub use check_consumer::{
    ACK_WAIT_DEFAULT, INACTIVE_THRESHOLD_DEFAULT, MAX_ACK_PENDING_DEFAULT, MAX_WAITING_DEFAULT,
    PRIORITY_TIMEOUT_DEFAULT, sampling_percent,
};
pub use check_stream::{
    Creation, DUPLICATE_WINDOW_DEFAULT, create_stream, is_valid_name, restore_stream, restored_stream,
};
pub use consumer::{AckPolicy, ConsumerAction, ConsumerConfig, DeliverPolicy, PriorityPolicy, ReplayPolicy};
pub use create_consumer::{ConsumerCreation, Consumers, Naming, check_naming, create_consumer};
pub use limits::{
    AccountLimits, Context, DESCRIPTION_BYTES_MAX, METADATA_BYTES_MAX, NAME_BYTES_MAX, NoStreams,
    REPLICAS_MAX, ServerLimits, Streams,
};
pub use metadata::{
    API_LEVEL, API_VERSION, Metadata, REQUIRED_API_LEVEL_HEADER, refuses_level, shown_metadata,
    static_consumer_metadata, static_stream_metadata,
};
pub use request::{ConsumerRequest, StreamRequest};
pub use source_index::short_name;
pub use stream::{
    Compression, ConsumerLimits, DiscardPolicy, ExternalStream, PersistMode, Placement, Republish, Retention,
    SourceConsumer, Storage, StreamConfig, StreamSource, SubjectTransform,
};
pub use update_stream::update_stream;
