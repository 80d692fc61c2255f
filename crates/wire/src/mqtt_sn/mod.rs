//! MQTT-SN 1.2 as a codec without I/O: a datagram is one message, which a forwarder may have wrapped.
//!
//! Begin with [`parse`], which reads a datagram, and [`encode`], which writes one. [`Message`] has all messages of the specification.
//!
//! Invariants: messages borrow from the datagram, and reading allocates nothing; a datagram is one message from its first byte to its last;
//! what was read is valid throughout, texts and topic names included.

mod decode;
mod encode;
mod error;
pub mod fuzzed;
mod message;

#[cfg(test)]
mod tests;

pub use decode::parse;
pub use encode::{TooLarge, encode};
pub use error::DecodeError;
pub use message::{
    Connect, Datagram, Filter, Forwarder, Kind, Message, Publish, Qos, ReturnCode, Subscribe, Topic,
    Unsubscribe, WillTopic,
};

/// Bytes of a datagram over UDP at most: what a packet of IPv4 holds behind its heads.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;
