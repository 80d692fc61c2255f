//! Why a datagram is no message.

use super::message::Kind;

/// What is wrong with a datagram. It is dropped; the next one is none the worse for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The announced length is not that of the datagram.
    #[error("datagram of {bytes} bytes, {announced} announced")]
    Length {
        /// Bytes that came.
        bytes: usize,
        /// Bytes that the first ones say.
        announced: usize,
    },
    /// The second byte names no message.
    #[error("unknown message type {0:#04x}")]
    Type(u8),
    /// The message ends before what it has to hold.
    #[error("{0:?} ends too early")]
    Short(Kind),
    /// There are bytes behind what it can hold.
    #[error("{0:?} has bytes behind its end")]
    Trailing(Kind),
    /// A text that is not UTF-8, or that has a U+0000.
    #[error("malformed UTF-8 text")]
    Text,
    /// Topic type 3, which does not exist.
    #[error("topic type 3 is reserved")]
    TopicType,
    /// A topic that is empty, or one to publish to that has a wildcard.
    #[error("malformed topic")]
    Topic,
    /// Quality of service -1 where it cannot be.
    #[error("quality of service -1 is only for PUBLISH")]
    Qos,
    /// A return code that is reserved.
    #[error("return code {0} is reserved")]
    ReturnCode(u8),
    /// CONNECT of another protocol. Whoever connects with it may be told so.
    #[error("unknown protocol {0}")]
    Protocol(u8),
    /// A forwarder inside another.
    #[error("a forwarder's message holds another")]
    Nested,
}
