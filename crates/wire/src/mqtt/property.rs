//! Properties of MQTT 5, one table: number, name, type, and the packets in which each may stand. MQTT 5.0 §2.2.2.

use super::error::DecodeError;
use super::fields::{Field, Fields, SubscriptionId, put_variable, variable_bytes};
use super::limits::{Limits, Sender};
use super::packet::PacketKind;
use super::topic;
use std::num::{NonZeroU16, NonZeroU32};

/// Where properties stand: a packet, or the will inside CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Packet(PacketKind),
    Will,
}

macro_rules! properties {
    ($($(#[doc = $doc:literal])* $id:literal $name:ident($type:ty): $($place:ident)*;)*) => {
        /// A property with its value. Types hold what the value may be; a `bool` is a byte of 0 or 1.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Property<'a> {
            $($(#[doc = $doc])* $name($type),)*
        }

        impl<'a> Property<'a> {
            /// Its number on the wire.
            pub fn id(&self) -> u32 {
                match self { $(Self::$name(_) => $id,)* }
            }

            fn read(id: u32, fields: &mut Fields<'a>) -> Result<Self, DecodeError> {
                match id {
                    $($id => <$type>::read(fields)?.map(Self::$name).ok_or(DecodeError::PropertyValue(id)),)*
                    _ => Err(DecodeError::PropertyUnknown(id)),
                }
            }

            pub(super) fn is_for(&self, place: Place) -> bool {
                match self { $(Self::$name(_) => matches!(place, $(properties!(@$place))|*),)* }
            }

            fn write(&self, out: &mut Vec<u8>) {
                put_variable(out, self.id());
                match self { $(Self::$name(value) => value.write(out),)* }
            }

            /// Bytes that it takes.
            fn size(&self) -> usize {
                variable_bytes(self.id()) + match self { $(Self::$name(value) => value.size(),)* }
            }
        }
    };
    (@Will) => { Place::Will };
    (@$packet:ident) => { Place::Packet(PacketKind::$packet) };
}

properties! {
    /// The payload is UTF-8.
    0x01 PayloadFormat(bool): Publish Will;
    /// Seconds after which nobody shall get the message any more.
    0x02 MessageExpiry(u32): Publish Will;
    /// What the payload is, in the words of the applications.
    0x03 ContentType(&'a str): Publish Will;
    /// The topic of an answer.
    0x08 ResponseTopic(&'a str): Publish Will;
    /// By which an answer is found to belong to its request.
    0x09 CorrelationData(&'a [u8]): Publish Will;
    /// By which a client knows its subscription; of a server as many as match.
    0x0B SubscriptionId(SubscriptionId): Publish Subscribe;
    /// Seconds that the session outlives the connection; `u32::MAX` is for ever.
    0x11 SessionExpiry(u32): Connect ConnAck Disconnect;
    /// The identifier of a client that came without one.
    0x12 AssignedClientId(&'a str): ConnAck;
    /// Seconds of keep alive that the server wants.
    0x13 ServerKeepAlive(u16): ConnAck;
    /// The method of enhanced authentication.
    0x15 AuthMethod(&'a str): Connect ConnAck Auth;
    /// What the method says.
    0x16 AuthData(&'a [u8]): Connect ConnAck Auth;
    /// Whether reasons and user properties may come with packets other than PUBLISH, CONNACK and DISCONNECT.
    0x17 RequestProblemInfo(bool): Connect;
    /// Seconds that the will waits.
    0x18 WillDelay(u32): Will;
    /// Whether response information is wanted.
    0x19 RequestResponseInfo(bool): Connect;
    /// From which response topics can be made.
    0x1A ResponseInfo(&'a str): ConnAck;
    /// Another server.
    0x1C ServerReference(&'a str): ConnAck Disconnect;
    /// Why, for people.
    0x1F ReasonString(&'a str): ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth;
    /// Messages of quality of service 1 and 2 that may be in flight.
    0x21 ReceiveMaximum(NonZeroU16): Connect ConnAck;
    /// The highest topic alias that is accepted; 0 is none.
    0x22 TopicAliasMaximum(u16): Connect ConnAck;
    /// A number in place of the topic.
    0x23 TopicAlias(NonZeroU16): Publish;
    /// Quality of service 1 instead of 0 is the highest.
    0x24 MaximumQos(bool): ConnAck;
    /// Whether messages are retained.
    0x25 RetainAvailable(bool): ConnAck;
    /// Name and value, as often as one likes.
    0x26 UserProperty((&'a str, &'a str)): Connect ConnAck Publish Will PubAck PubRec PubRel PubComp Subscribe SubAck Unsubscribe UnsubAck Disconnect Auth;
    /// Bytes of a packet that are accepted.
    0x27 MaximumPacketSize(NonZeroU32): Connect ConnAck;
    /// Whether filters may have wildcards.
    0x28 WildcardSubscriptionsAvailable(bool): ConnAck;
    /// Whether there are subscription identifiers.
    0x29 SubscriptionIdsAvailable(bool): ConnAck;
    /// Whether there are shared subscriptions.
    0x2A SharedSubscriptionsAvailable(bool): ConnAck;
}

impl Property<'_> {
    /// Whether it may stand more than once. From servers subscription identifiers may, and user properties everywhere.
    pub(super) fn may_repeat(&self, place: Place) -> bool {
        match self {
            Self::UserProperty(_) => true,
            Self::SubscriptionId(_) => place == Place::Packet(PacketKind::Publish),
            _ => false,
        }
    }

    /// Whether this end may say it where it may stand. [MQTT-3.3.4-6], MQTT 5.0 §3.14.2.2.
    pub(super) fn is_from(&self, sender: Sender, place: Place) -> bool {
        use Property as P;
        let is_wrong_end = match place {
            Place::Packet(PacketKind::Publish) => {
                matches!((self, sender), (P::SubscriptionId(_), Sender::Client))
            }
            Place::Packet(PacketKind::Disconnect) => {
                matches!(
                    (self, sender),
                    (P::ServerReference(_), Sender::Client) | (P::SessionExpiry(_), Sender::Server)
                )
            }
            _ => false,
        };
        !is_wrong_end
    }

    /// Whether what its type cannot hold is right. [MQTT-3.3.2-14]
    fn has_good_value(&self) -> bool {
        match self {
            Self::ResponseTopic(topic) => topic::is_name(topic),
            _ => true,
        }
    }
}

/// Valid properties as they stand on the wire, without the length in front. Empty in packets of 3.1 and 3.1.1.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Properties<'a> {
    bytes: &'a [u8],
}

impl<'a> Properties<'a> {
    /// No properties.
    pub const NONE: Properties<'static> = Properties { bytes: &[] };

    /// Reads the length, and looks at each property once.
    pub(super) fn read(fields: &mut Fields<'a>, place: Place, limits: &Limits) -> Result<Self, DecodeError> {
        let count = fields.variable()?;
        let bytes = fields.bytes(count as usize)?;
        let mut rest = Fields { kind: fields.kind, rest: bytes };
        let (mut seen, mut user, mut method, mut data) = (0_u64, 0, false, false);
        while !rest.is_empty() {
            let id = rest.variable()?;
            let property = Property::read(id, &mut rest)?;
            if !property.is_for(place) {
                return Err(DecodeError::PropertyUnknown(id));
            }
            if !property.may_repeat(place) && seen & (1 << id) != 0 {
                return Err(DecodeError::PropertyTwice(id));
            }
            if !property.is_from(limits.sender, place) || !property.has_good_value() {
                return Err(DecodeError::PropertyValue(id));
            }
            seen |= 1 << id;
            user += usize::from(matches!(property, Property::UserProperty(_)));
            method |= matches!(property, Property::AuthMethod(_));
            data |= matches!(property, Property::AuthData(_));
        }
        if user > limits.user_properties_max {
            return Err(DecodeError::UserProperties(limits.user_properties_max));
        }
        if data && !method {
            return Err(DecodeError::AuthMethod);
        }
        Ok(Self { bytes })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The properties in their order.
    pub fn iter(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        let mut rest = Fields { kind: PacketKind::Publish, rest: self.bytes };
        std::iter::from_fn(move || {
            let id = rest.variable().ok()?;
            Property::read(id, &mut rest).ok()
        })
    }

    /// What `get` makes of the first property that it knows.
    pub fn find<T>(&self, get: impl FnMut(Property<'a>) -> Option<T>) -> Option<T> {
        self.iter().find_map(get)
    }

    /// Bytes on the wire, with the length in front.
    pub(super) fn framed_bytes(&self) -> usize {
        variable_bytes(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)) + self.bytes.len()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_variable(out, u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(self.bytes);
    }
}

impl std::fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Properties that are put together for a packet to send. One for many packets saves allocations.
#[derive(Clone, Debug, Default)]
pub struct PropertiesBuf {
    bytes: Vec<u8>,
}

/// A string or data of more than 65,535 bytes, which no packet can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a string of {0} bytes cannot be sent")]
pub struct TooLong(pub usize);

impl PropertiesBuf {
    /// Takes all out.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Appends a property. Whether it may stand where it is sent is the caller's to know.
    ///
    /// # Errors
    /// A part of it is too long; nothing was appended then.
    pub fn push(&mut self, property: Property<'_>) -> Result<(), TooLong> {
        let (one, other) = match property {
            Property::UserProperty((name, value)) => (name.len(), value.len()),
            Property::CorrelationData(bytes) | Property::AuthData(bytes) => (bytes.len(), 0),
            Property::ContentType(text)
            | Property::ResponseTopic(text)
            | Property::AssignedClientId(text)
            | Property::AuthMethod(text)
            | Property::ResponseInfo(text)
            | Property::ServerReference(text)
            | Property::ReasonString(text) => (text.len(), 0),
            _ => (0, 0),
        };
        let longest = one.max(other);
        if longest > usize::from(u16::MAX) {
            return Err(TooLong(longest));
        }
        let begin = self.bytes.len();
        property.write(&mut self.bytes);
        debug_assert_eq!(self.bytes.len() - begin, property.size());
        Ok(())
    }

    /// What was appended so far.
    pub fn properties(&self) -> Properties<'_> {
        Properties { bytes: &self.bytes }
    }
}
