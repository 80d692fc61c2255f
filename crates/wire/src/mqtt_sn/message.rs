//! The messages. Each borrows from the datagram it was read from. MQTT-SN 1.2 §5.

/// What a message is; the value is its second byte. §5.2.2
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum Kind {
    Advertise = 0x00,
    SearchGw = 0x01,
    GwInfo = 0x02,
    Connect = 0x04,
    ConnAck = 0x05,
    WillTopicReq = 0x06,
    WillTopic = 0x07,
    WillMsgReq = 0x08,
    WillMsg = 0x09,
    Register = 0x0A,
    RegAck = 0x0B,
    Publish = 0x0C,
    PubAck = 0x0D,
    PubComp = 0x0E,
    PubRec = 0x0F,
    PubRel = 0x10,
    Subscribe = 0x12,
    SubAck = 0x13,
    Unsubscribe = 0x14,
    UnsubAck = 0x15,
    PingReq = 0x16,
    PingResp = 0x17,
    Disconnect = 0x18,
    WillTopicUpd = 0x1A,
    WillTopicResp = 0x1B,
    WillMsgUpd = 0x1C,
    WillMsgResp = 0x1D,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::Advertise,
        Self::SearchGw,
        Self::GwInfo,
        Self::Connect,
        Self::ConnAck,
        Self::WillTopicReq,
        Self::WillTopic,
        Self::WillMsgReq,
        Self::WillMsg,
        Self::Register,
        Self::RegAck,
        Self::Publish,
        Self::PubAck,
        Self::PubComp,
        Self::PubRec,
        Self::PubRel,
        Self::Subscribe,
        Self::SubAck,
        Self::Unsubscribe,
        Self::UnsubAck,
        Self::PingReq,
        Self::PingResp,
        Self::Disconnect,
        Self::WillTopicUpd,
        Self::WillTopicResp,
        Self::WillMsgUpd,
        Self::WillMsgResp,
    ];

    /// `None`: there is no such message.
    pub(super) fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who forwarded it, if it did not come from the client itself.
    pub forwarder: Option<Forwarder<'a>>,
    /// What it says.
    pub message: Message<'a>,
}

/// What a forwarder puts around a message. §5.4.20
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarder<'a> {
    /// Hops that the message is broadcast, towards clients; 2 bits.
    pub radius: u8,
    /// The client behind the forwarder, at most [`Forwarder::NODE_BYTES_MAX`] bytes.
    pub node: &'a [u8],
}

impl Forwarder<'_> {
    /// Bytes of a node's name: the length in front of them is a single byte.
    pub const NODE_BYTES_MAX: usize = 252;
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// ADVERTISE: a gateway says that it is there.
    Advertise {
        /// The gateway.
        gateway: u8,
        /// Seconds until it says so again.
        seconds: u16,
    },
    /// SEARCHGW: a client looks for a gateway within so many hops.
    SearchGw(u8),
    /// GWINFO: where a gateway is. A gateway that speaks of itself gives no address.
    GwInfo(u8, &'a [u8]),
    /// CONNECT.
    Connect(Connect<'a>),
    /// CONNACK.
    ConnAck(ReturnCode),
    /// WILLTOPICREQ.
    WillTopicReq,
    /// WILLTOPIC; `None`: there is no will.
    WillTopic(Option<WillTopic<'a>>),
    /// WILLMSGREQ.
    WillMsgReq,
    /// WILLMSG.
    WillMsg(&'a [u8]),
    /// REGISTER: a topic and its number. The client leaves the number 0.
    Register {
        /// The number.
        topic_id: u16,
        /// REGACK names it.
        id: u16,
        /// The topic.
        topic: &'a str,
    },
    /// REGACK.
    RegAck {
        /// The number.
        topic_id: u16,
        /// That of REGISTER.
        id: u16,
        /// How it went.
        code: ReturnCode,
    },
    /// PUBLISH.
    Publish(Publish<'a>),
    /// PUBACK.
    PubAck {
        /// The two bytes that named the topic.
        topic_id: u16,
        /// That of PUBLISH.
        id: u16,
        /// How it went.
        code: ReturnCode,
    },
    /// PUBREC.
    PubRec(u16),
    /// PUBREL.
    PubRel(u16),
    /// PUBCOMP.
    PubComp(u16),
    /// SUBSCRIBE.
    Subscribe(Subscribe<'a>),
    /// SUBACK.
    SubAck {
        /// What is granted.
        qos: Qos,
        /// The topic's number; 0: a filter with wildcards, or none.
        topic_id: u16,
        /// That of SUBSCRIBE.
        id: u16,
        /// How it went.
        code: ReturnCode,
    },
    /// UNSUBSCRIBE.
    Unsubscribe(Unsubscribe<'a>),
    /// UNSUBACK.
    UnsubAck(u16),
    /// PINGREQ; a client that sleeps gives its name, the others an empty one.
    PingReq(&'a str),
    /// PINGRESP.
    PingResp,
    /// DISCONNECT; with seconds from a client that goes to sleep.
    Disconnect(Option<u16>),
    /// WILLTOPICUPD; `None`: there is no will any more.
    WillTopicUpd(Option<WillTopic<'a>>),
    /// WILLTOPICRESP.
    WillTopicResp(ReturnCode),
    /// WILLMSGUPD.
    WillMsgUpd(&'a [u8]),
    /// WILLMSGRESP.
    WillMsgResp(ReturnCode),
}

impl Message<'_> {
    /// Which message it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Advertise { .. } => Kind::Advertise,
            Self::SearchGw(_) => Kind::SearchGw,
            Self::GwInfo(..) => Kind::GwInfo,
            Self::Connect(_) => Kind::Connect,
            Self::ConnAck(_) => Kind::ConnAck,
            Self::WillTopicReq => Kind::WillTopicReq,
            Self::WillTopic(_) => Kind::WillTopic,
            Self::WillMsgReq => Kind::WillMsgReq,
            Self::WillMsg(_) => Kind::WillMsg,
            Self::Register { .. } => Kind::Register,
            Self::RegAck { .. } => Kind::RegAck,
            Self::Publish(_) => Kind::Publish,
            Self::PubAck { .. } => Kind::PubAck,
            Self::PubRec(_) => Kind::PubRec,
            Self::PubRel(_) => Kind::PubRel,
            Self::PubComp(_) => Kind::PubComp,
            Self::Subscribe(_) => Kind::Subscribe,
            Self::SubAck { .. } => Kind::SubAck,
            Self::Unsubscribe(_) => Kind::Unsubscribe,
            Self::UnsubAck(_) => Kind::UnsubAck,
            Self::PingReq(_) => Kind::PingReq,
            Self::PingResp => Kind::PingResp,
            Self::Disconnect(_) => Kind::Disconnect,
            Self::WillTopicUpd(_) => Kind::WillTopicUpd,
            Self::WillTopicResp(_) => Kind::WillTopicResp,
            Self::WillMsgUpd(_) => Kind::WillMsgUpd,
            Self::WillMsgResp(_) => Kind::WillMsgResp,
        }
    }
}

/// Quality of service. §5.3.4
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// -1: at most once, by a client that has not connected.
    Unconnected,
    /// At most once.
    #[default]
    AtMostOnce,
    /// At least once.
    AtLeastOnce,
    /// Exactly once.
    ExactlyOnce,
}

/// How it went. §5.3.10
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum ReturnCode {
    Accepted = 0,
    Congestion = 1,
    InvalidTopicId = 2,
    NotSupported = 3,
}

impl ReturnCode {
    pub(super) fn of(byte: u8) -> Option<Self> {
        [Self::Accepted, Self::Congestion, Self::InvalidTopicId, Self::NotSupported]
            .into_iter()
            .find(|code| *code as u8 == byte)
    }
}

/// CONNECT. §5.4.4
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Whether the gateway is to ask for a will.
    pub will: bool,
    /// Whether subscriptions and will of before are forgotten, and this session at its end.
    pub clean_session: bool,
    /// Seconds within which something comes from the client; 0: it need not.
    pub keep_alive: u16,
    /// The client's name for itself.
    pub client_id: &'a str,
}

/// Where a will goes. §5.4.7
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WillTopic<'a> {
    /// How it is published.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// The topic, not empty, without wildcards.
    pub topic: &'a str,
}

/// What names a topic in PUBLISH. §5.3.11
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The number that was agreed on by REGISTER or SUBACK.
    Registered(u16),
    /// A number that both ends know from the start.
    Predefined(u16),
    /// A topic of two bytes, in itself.
    Short([u8; 2]),
}

impl Topic {
    /// The two bytes that stand for it, which PUBACK and SUBACK repeat.
    pub fn bytes(self) -> [u8; 2] {
        match self {
            Self::Registered(id) | Self::Predefined(id) => id.to_be_bytes(),
            Self::Short(name) => name,
        }
    }

    /// The same as a number.
    pub fn id(self) -> u16 {
        u16::from_be_bytes(self.bytes())
    }
}

/// PUBLISH. §5.4.12
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Sent before.
    pub dup: bool,
    /// How it is delivered.
    pub qos: Qos,
    /// Whether it is to be retained, or was.
    pub retain: bool,
    /// The topic. A short one is without wildcards.
    pub topic: Topic,
    /// Names the exchange; 0 with quality of service 0 and -1.
    pub id: u16,
    /// The message.
    pub payload: &'a [u8],
}

/// What SUBSCRIBE and UNSUBSCRIBE are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter<'a> {
    /// A topic or a filter, not empty.
    Name(&'a str),
    /// A number that both ends know from the start.
    Predefined(u16),
    /// A topic of two bytes.
    Short([u8; 2]),
}

/// SUBSCRIBE. §5.4.15
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Sent before.
    pub dup: bool,
    /// What is asked for.
    pub qos: Qos,
    /// SUBACK names it.
    pub id: u16,
    /// What about.
    pub filter: Filter<'a>,
}

/// UNSUBSCRIBE. §5.4.17
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// UNSUBACK names it.
    pub id: u16,
    /// What about.
    pub filter: Filter<'a>,
}
