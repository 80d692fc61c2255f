//! The packets of all versions. Each borrows from the buffer it was read from.

use super::fields::{Fields, put_binary};
use super::property::{Properties, TooLong};
use super::reason::Reason;
use std::fmt;
use std::num::NonZeroU16;

/// The version of the protocol, as CONNECT names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1: `MQIsdp`, level 3.
    V31 = 3,
    /// MQTT 3.1.1: `MQTT`, level 4.
    V311 = 4,
    /// MQTT 5.0: `MQTT`, level 5.
    V5 = 5,
}

impl Version {
    /// The name that CONNECT begins with.
    pub fn protocol_name(self) -> &'static str {
        if self == Self::V31 { "MQIsdp" } else { "MQTT" }
    }
}

/// What a packet is; the value is the upper half of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum PacketKind {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketKind {
    /// What the first byte of a packet says.
    pub(super) fn of(first: u8) -> Option<Self> {
        use PacketKind as K;
        Some(match first >> 4 {
            1 => K::Connect,
            2 => K::ConnAck,
            3 => K::Publish,
            4 => K::PubAck,
            5 => K::PubRec,
            6 => K::PubRel,
            7 => K::PubComp,
            8 => K::Subscribe,
            9 => K::SubAck,
            10 => K::Unsubscribe,
            11 => K::UnsubAck,
            12 => K::PingReq,
            13 => K::PingResp,
            14 => K::Disconnect,
            15 => K::Auth,
            _ => return None,
        })
    }
}

impl fmt::Display for PacketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        })
    }
}

/// Quality of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl Qos {
    /// `None`: there is no such.
    pub fn of(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// By which the two ends know an exchange of packets; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// `None`: it is 0.
    pub fn new(id: u16) -> Option<Self> {
        NonZeroU16::new(id).map(Self)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    /// PUBACK, PUBREC, PUBREL and PUBCOMP.
    Ack(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(UnsubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

impl<'a> From<Publish<'a>> for Packet<'a> {
    fn from(publish: Publish<'a>) -> Self {
        Self::Publish(publish)
    }
}

/// CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version of all that follows.
    pub version: Version,
    /// Whether a session of before is forgotten. In 3.1 and 3.1.1 (*clean session*) also whether this one is, at its end.
    pub clean_start: bool,
    /// Seconds within which something comes from the client; 0: it need not.
    pub keep_alive: u16,
    /// The client's name for itself; empty if it has none.
    pub client_id: &'a str,
    /// What is published when the connection ends without DISCONNECT.
    pub will: Option<Will<'a>>,
    /// The user.
    pub username: Option<&'a str>,
    /// The password. In MQTT 5 it may come without a user.
    pub password: Option<&'a [u8]>,
    /// Properties.
    pub properties: Properties<'a>,
}

/// The will inside CONNECT. Its topic may still be one that cannot be published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// How it is published.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// Where it is published.
    pub topic: &'a str,
    /// Properties, the will's own.
    pub properties: Properties<'a>,
    /// What is published.
    pub payload: &'a [u8],
}

/// CONNACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// Whether a session of before goes on. 3.1 does not say.
    pub session_present: bool,
    /// Whether the client is let in.
    pub reason: Reason,
    /// Properties.
    pub properties: Properties<'a>,
}

/// How a message is delivered, and what comes with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Quality of service 0.
    AtMostOnce,
    /// Quality of service 1.
    AtLeastOnce {
        /// PUBACK names it.
        id: PacketId,
        /// Sent before.
        dup: bool,
    },
    /// Quality of service 2.
    ExactlyOnce {
        /// PUBREC, PUBREL and PUBCOMP name it.
        id: PacketId,
        /// Sent before.
        dup: bool,
    },
}

impl Delivery {
    /// The quality of service.
    pub fn qos(self) -> Qos {
        match self {
            Self::AtMostOnce => Qos::AtMostOnce,
            Self::AtLeastOnce { .. } => Qos::AtLeastOnce,
            Self::ExactlyOnce { .. } => Qos::ExactlyOnce,
        }
    }

    /// The packet identifier, and whether it was sent before.
    pub fn sent(self) -> Option<(PacketId, bool)> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce { id, dup } | Self::ExactlyOnce { id, dup } => Some((id, dup)),
        }
    }
}

/// PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// How it is delivered.
    pub delivery: Delivery,
    /// From a client: shall be retained. From a server: was, or is published with the flag.
    pub retain: bool,
    /// The topic, without wildcards. Empty if the properties have a topic alias.
    pub topic: &'a str,
    /// Properties.
    pub properties: Properties<'a>,
    /// The message.
    pub payload: &'a [u8],
}

/// Which step of quality of service 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum AckKind {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

impl AckKind {
    /// The packet.
    pub fn kind(self) -> PacketKind {
        match self {
            Self::PubAck => PacketKind::PubAck,
            Self::PubRec => PacketKind::PubRec,
            Self::PubRel => PacketKind::PubRel,
            Self::PubComp => PacketKind::PubComp,
        }
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Which of them.
    pub kind: AckKind,
    /// The message.
    pub id: PacketId,
    /// How it went; before MQTT 5 always success.
    pub reason: Reason,
    /// Properties.
    pub properties: Properties<'a>,
}

/// What a subscription asks for besides its filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscribeOptions {
    /// Messages come with at most this quality of service.
    pub qos: Qos,
    /// What the client publishes itself does not come back.
    pub no_local: bool,
    /// Messages keep their retain flag.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

/// When a subscription gets retained messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RetainHandling {
    /// Whenever it is made. 3.1 and 3.1.1 have only this.
    #[default]
    Always = 0,
    /// When there was no such subscription.
    IfNew = 1,
    /// Not at all.
    Never = 2,
}

impl SubscribeOptions {
    /// As it stands on the wire; `None` if the byte means nothing in this version.
    pub(super) fn of(byte: u8, version: Version) -> Option<Self> {
        let qos = Qos::of(byte & 0b11)?;
        match version {
            // 3.1 does not say what the other bits are.
            Version::V31 => Some(Self { qos, ..Self::default() }),
            Version::V311 => (byte & !0b11 == 0).then_some(Self { qos, ..Self::default() }),
            Version::V5 => Some(Self {
                qos,
                no_local: byte & 0b100 != 0,
                retain_as_published: byte & 0b1000 != 0,
                retain_handling: match byte >> 4 {
                    0 => RetainHandling::Always,
                    1 => RetainHandling::IfNew,
                    2 => RetainHandling::Never,
                    _ => return None,
                },
            }),
        }
    }

    /// What [`Self::byte`] gave; `None` if it means nothing.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::of(byte, Version::V5)
    }

    /// As it stands in a SUBSCRIBE of MQTT 5.
    pub fn byte(self) -> u8 {
        self.qos as u8
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | (self.retain_handling as u8) << 4
    }
}

/// A filter of SUBSCRIBE with its options. The filter is UTF-8; whether it is well formed, [`super::topic::is_filter`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// What is subscribed to.
    pub filter: &'a str,
    /// How.
    pub options: SubscribeOptions,
}

/// The filters of SUBSCRIBE, as they stand on the wire.
#[derive(Clone, Copy)]
pub struct Filters<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) version: Version,
}

impl<'a> Filters<'a> {
    /// Filters that were put together by [`Filters::push`].
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, version: Version::V5 }
    }

    /// Appends a subscription to the bytes of which [`Filters::of`] makes filters.
    ///
    /// # Errors
    /// The filter is too long.
    pub fn push(bytes: &mut Vec<u8>, subscription: Subscription<'_>) -> Result<(), TooLong> {
        Topics::push(bytes, subscription.filter)?;
        bytes.push(subscription.options.byte());
        Ok(())
    }

    /// The subscriptions in their order; at least one.
    pub fn iter(&self) -> impl Iterator<Item = Subscription<'a>> + use<'a> {
        let mut rest = Fields { kind: PacketKind::Subscribe, rest: self.bytes };
        let version = self.version;
        std::iter::from_fn(move || {
            let filter = rest.text().ok()?;
            let options = SubscribeOptions::of(rest.u8().ok()?, version)?;
            Some(Subscription { filter, options })
        })
    }
}

impl PartialEq for Filters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Filters<'_> {}

impl fmt::Debug for Filters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// SUBACK names it.
    pub id: PacketId,
    /// Properties.
    pub properties: Properties<'a>,
    /// What is subscribed to.
    pub filters: Filters<'a>,
}

/// Reason codes, one for each filter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reasons<'a> {
    pub(super) bytes: &'a [u8],
}

impl<'a> Reasons<'a> {
    /// Of bytes that are all reason codes; `None` if one is not.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        bytes.iter().all(|code| Reason::of(*code).is_some()).then_some(Self { bytes })
    }

    /// In the order of the filters.
    pub fn iter(&self) -> impl Iterator<Item = Reason> + use<'a> {
        self.bytes.iter().filter_map(|code| Reason::of(*code))
    }
}

impl fmt::Debug for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// SUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// The SUBSCRIBE.
    pub id: PacketId,
    /// Properties.
    pub properties: Properties<'a>,
    /// What was granted. Before MQTT 5 every error is [`Reason::UnspecifiedError`].
    pub reasons: Reasons<'a>,
}

/// The filters of UNSUBSCRIBE, as they stand on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Topics<'a> {
    pub(super) bytes: &'a [u8],
}

impl<'a> Topics<'a> {
    /// Filters that were put together by [`Topics::push`].
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Appends a filter to the bytes of which [`Topics::of`] makes filters.
    ///
    /// # Errors
    /// The filter is too long.
    pub fn push(bytes: &mut Vec<u8>, filter: &str) -> Result<(), TooLong> {
        if filter.len() > usize::from(u16::MAX) {
            return Err(TooLong(filter.len()));
        }
        put_binary(bytes, filter.as_bytes());
        Ok(())
    }

    /// The filters in their order; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut rest = Fields { kind: PacketKind::Unsubscribe, rest: self.bytes };
        std::iter::from_fn(move || rest.text().ok())
    }
}

impl fmt::Debug for Topics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// UNSUBACK names it.
    pub id: PacketId,
    /// Properties.
    pub properties: Properties<'a>,
    /// What is not subscribed to any longer.
    pub filters: Topics<'a>,
}

/// UNSUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// The UNSUBSCRIBE.
    pub id: PacketId,
    /// Properties.
    pub properties: Properties<'a>,
    /// How it went; before MQTT 5 there are none.
    pub reasons: Reasons<'a>,
}

/// DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why.
    pub reason: Reason,
    /// Properties.
    pub properties: Properties<'a>,
}

/// AUTH, a step of enhanced authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Which step.
    pub reason: Reason,
    /// Properties, the method among them.
    pub properties: Properties<'a>,
}
