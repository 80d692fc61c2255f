//! Why bytes are no packet, and the reason code that MQTT 5 has for it.

use super::packet::PacketKind;
use super::reason::Reason;

/// What is wrong with a packet. The connection cannot go on after any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first four bits name no packet.
    #[error("packet type 0 is reserved")]
    PacketType,
    /// Flags in the first byte that this packet does not have.
    #[error("{kind} packet with flags {flags:#x}")]
    Flags {
        /// Which packet.
        kind: PacketKind,
        /// The lower four bits of the first byte.
        flags: u8,
    },
    /// A packet that the other end has no business to send, or that its version does not know.
    #[error("{0} packet is not for this end")]
    Direction(PacketKind),
    /// Something else came before CONNECT.
    #[error("first packet is {0}, not CONNECT")]
    NotConnected(PacketKind),
    /// CONNECT came twice.
    #[error("second CONNECT packet")]
    ConnectedAlready,
    /// A number of variable length has more than four bytes, or more than it needs.
    #[error("malformed variable byte integer")]
    VariableInteger,
    /// The packet is larger than may be.
    #[error("packet of {bytes} bytes, at most {max}")]
    TooLarge {
        /// Its size with the first bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A length inside the packet reaches beyond its end, or the packet has a size that it cannot have.
    #[error("{0} packet ends too early")]
    Short(PacketKind),
    /// There are bytes behind the end of what the packet holds.
    #[error("{0} packet has bytes behind its end")]
    Trailing(PacketKind),
    /// A string that is not UTF-8, or that has a U+0000.
    #[error("malformed UTF-8 string")]
    Text,
    /// The protocol name is none that is known.
    #[error("unknown protocol name")]
    ProtocolName,
    /// The level is none that is known. Whoever connects with it may be told so.
    #[error("unacceptable protocol version {0}")]
    ProtocolLevel(u8),
    /// Flags of CONNECT that contradict each other, or the reserved one.
    #[error("malformed CONNECT flags {0:#010b}")]
    ConnectFlags(u8),
    /// Quality of service 3.
    #[error("quality of service 3 does not exist")]
    Qos,
    /// A packet identifier of 0.
    #[error("{0} packet with identifier 0")]
    PacketId(PacketKind),
    /// A topic to publish to that is empty.
    #[error("empty topic name")]
    TopicEmpty,
    /// A filter that is empty.
    #[error("empty topic filter")]
    FilterEmpty,
    /// A client identifier that is not UTF-8, or that has a U+0000. Whoever connects with it may be told so.
    #[error("malformed client identifier")]
    ClientId,
    /// A topic to publish to with wildcards.
    #[error("topic name with wildcards")]
    TopicWildcard,
    /// Options of a subscription that mean nothing.
    #[error("malformed subscription options {0:#x}")]
    SubscribeOptions(u8),
    /// SUBSCRIBE or UNSUBSCRIBE without filters, or an answer without codes.
    #[error("{0} packet with an empty list")]
    Empty(PacketKind),
    /// More filters in a packet than may be.
    #[error("more than {0} filters in a packet")]
    Filters(usize),
    /// A property that does not exist, or not in this packet.
    #[error("property {0:#x} where it may not be")]
    PropertyUnknown(u32),
    /// A property that may stand once stands twice.
    #[error("property {0:#x} twice")]
    PropertyTwice(u32),
    /// The value of a property is out of its range.
    #[error("property {0:#x} with a value that it cannot have")]
    PropertyValue(u32),
    /// More user properties than may be.
    #[error("more than {0} user properties in a packet")]
    UserProperties(usize),
    /// Authentication data without a method.
    #[error("authentication data without a method")]
    AuthMethod,
    /// A reason code that does not exist, or not in this packet.
    #[error("reason code {0:#x} where it may not be")]
    ReasonCode(u8),
}

impl DecodeError {
    /// What an MQTT 5 client is told. MQTT 5.0 §4.13 and the sections of the packets.
    pub fn reason(self) -> Reason {
        match self {
            Self::PacketType
            | Self::Flags { .. }
            | Self::VariableInteger
            | Self::Short(_)
            | Self::Trailing(_)
            | Self::Text
            | Self::ConnectFlags(_)
            | Self::Qos
            | Self::SubscribeOptions(_)
            | Self::PropertyUnknown(_)
            | Self::ReasonCode(_) => Reason::MalformedPacket,
            Self::Direction(_)
            | Self::NotConnected(_)
            | Self::ConnectedAlready
            | Self::PacketId(_)
            | Self::TopicEmpty
            | Self::FilterEmpty
            | Self::Empty(_)
            | Self::PropertyTwice(_)
            | Self::PropertyValue(_)
            | Self::AuthMethod => Reason::ProtocolError,
            Self::TooLarge { .. } => Reason::PacketTooLarge,
            Self::ProtocolName | Self::ProtocolLevel(_) => Reason::UnsupportedProtocolVersion,
            Self::ClientId => Reason::ClientIdentifierNotValid,
            Self::TopicWildcard => Reason::TopicNameInvalid,
            Self::Filters(_) | Self::UserProperties(_) => Reason::QuotaExceeded,
        }
    }
}
