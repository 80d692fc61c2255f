//! MQTT 3.1, 3.1.1 and 5.0 as a codec without I/O: packets of all three from bytes, and back.
//!
//! Begin with [`decode::parse`], which reads one [`Packet`] from the front of a buffer, and [`encode::packet`], which appends one.
//! [`Property`] and [`Reason`] are the tables of MQTT 5; where 3.1 and 3.1.1 have less, the encoder leaves out what they do not know.
//! [`topic`] has the rules of topic names and filters, [`subject`] is how they become NATS subjects, and [`headers`] how properties become headers.
//!
//! Invariants: packets borrow from what they were read from, and reading allocates nothing; a packet that was read is valid throughout,
//! its properties, filters and reason codes included; every length is held against [`Limits`] before its bytes are waited for.

pub mod decode;
pub mod encode;
pub mod error;
mod fields;
pub mod fuzzed;
pub mod headers;
mod limits;
pub mod packet;
pub mod property;
pub mod reason;
pub mod subject;
pub mod topic;

#[cfg(test)]
mod tests;

pub use decode::{Parsed, parse};
pub use error::DecodeError;
pub use fields::SubscriptionId;
pub use limits::{Limits, Sender};
pub use packet::{
    Ack, AckKind, Auth, ConnAck, Connect, Delivery, Disconnect, Filters, Packet, PacketId, PacketKind,
    Publish, Qos, Reasons, RetainHandling, SubAck, Subscribe, SubscribeOptions, Subscription, Topics,
    UnsubAck, Unsubscribe, Version, Will,
};
pub use property::{Properties, PropertiesBuf, Property};
pub use reason::Reason;
