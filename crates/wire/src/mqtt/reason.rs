//! Reason codes of MQTT 5, one table, and what the return codes of 3.1 and 3.1.1 are in it.

use super::packet::PacketKind;

/// The reason codes: value, name, and the packets in which each may stand. MQTT 5.0 §2.4.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $value:literal $name:ident: $($packet:ident)*;)*) => {
        /// How an operation went. From 0x80 on it did not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[doc = $doc])* $name = $value,)*
        }

        impl Reason {
            /// All of them, by value.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The reason of a code, if there is one.
            pub fn of(code: u8) -> Option<Self> {
                match code {
                    $($value => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Whether it may stand in such a packet.
            pub fn is_for(self, kind: PacketKind) -> bool {
                match self {
                    $(Self::$name => matches!(kind, $(PacketKind::$packet)|*),)*
                }
            }
        }
    };
}

reasons! {
    /// It was done. In DISCONNECT: an orderly end; in SUBACK: granted at most quality of service 0.
    0x00 Success: ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth;
    /// Granted at most quality of service 1.
    0x01 GrantedQos1: SubAck;
    /// Granted at most quality of service 2.
    0x02 GrantedQos2: SubAck;
    /// An end that has the will published.
    0x04 DisconnectWithWill: Disconnect;
    /// Nobody subscribes to it.
    0x10 NoMatchingSubscribers: PubAck PubRec;
    /// There was no such subscription.
    0x11 NoSubscriptionExisted: UnsubAck;
    /// The other end's turn.
    0x18 ContinueAuthentication: Auth;
    /// Begin anew.
    0x19 ReAuthenticate: Auth;
    /// No reason is told.
    0x80 UnspecifiedError: ConnAck PubAck PubRec SubAck UnsubAck Disconnect;
    /// Bytes that are no packet.
    0x81 MalformedPacket: ConnAck Disconnect;
    /// A packet that may not be.
    0x82 ProtocolError: ConnAck Disconnect;
    /// Valid, but not accepted here.
    0x83 ImplementationSpecificError: ConnAck PubAck PubRec SubAck UnsubAck Disconnect;
    /// The version is not spoken here.
    0x84 UnsupportedProtocolVersion: ConnAck;
    /// The client identifier is not accepted.
    0x85 ClientIdentifierNotValid: ConnAck;
    /// These credentials are not accepted.
    0x86 BadUserNameOrPassword: ConnAck;
    /// No right to do this.
    0x87 NotAuthorized: ConnAck PubAck PubRec SubAck UnsubAck Disconnect;
    /// The server does not serve.
    0x88 ServerUnavailable: ConnAck;
    /// The server has too much to do.
    0x89 ServerBusy: ConnAck Disconnect;
    /// An administrator does not want this client.
    0x8A Banned: ConnAck;
    /// The server stops.
    0x8B ServerShuttingDown: Disconnect;
    /// The method is not known, or not the one of before.
    0x8C BadAuthenticationMethod: ConnAck Disconnect;
    /// Nothing came for one and a half times the keep alive.
    0x8D KeepAliveTimeout: Disconnect;
    /// Another connection has the session.
    0x8E SessionTakenOver: Disconnect;
    /// The filter is well formed, but not accepted.
    0x8F TopicFilterInvalid: SubAck UnsubAck Disconnect;
    /// The topic is well formed, but not accepted.
    0x90 TopicNameInvalid: ConnAck PubAck PubRec Disconnect;
    /// The packet identifier is in use.
    0x91 PacketIdentifierInUse: PubAck PubRec SubAck UnsubAck;
    /// The packet identifier is not known.
    0x92 PacketIdentifierNotFound: PubRel PubComp;
    /// More messages are in flight than may be.
    0x93 ReceiveMaximumExceeded: Disconnect;
    /// The topic alias is 0, too large, or not known.
    0x94 TopicAliasInvalid: Disconnect;
    /// The packet is larger than may be.
    0x95 PacketTooLarge: ConnAck Disconnect;
    /// Messages come too fast.
    0x96 MessageRateTooHigh: Disconnect;
    /// A limit is reached.
    0x97 QuotaExceeded: ConnAck PubAck PubRec SubAck Disconnect;
    /// An administrator closed it.
    0x98 AdministrativeAction: Disconnect;
    /// The payload is not what it says to be.
    0x99 PayloadFormatInvalid: ConnAck PubAck PubRec Disconnect;
    /// Nothing is retained here.
    0x9A RetainNotSupported: ConnAck Disconnect;
    /// The quality of service is above the maximum.
    0x9B QosNotSupported: ConnAck Disconnect;
    /// Use another server for now.
    0x9C UseAnotherServer: ConnAck Disconnect;
    /// Use another server from now on.
    0x9D ServerMoved: ConnAck Disconnect;
    /// There are no shared subscriptions here.
    0x9E SharedSubscriptionsNotSupported: SubAck Disconnect;
    /// Connections come too fast.
    0x9F ConnectionRateExceeded: ConnAck Disconnect;
    /// The connection has lasted as long as it may.
    0xA0 MaximumConnectTime: Disconnect;
    /// There are no subscription identifiers here.
    0xA1 SubscriptionIdentifiersNotSupported: SubAck Disconnect;
    /// There are no wildcards here.
    0xA2 WildcardSubscriptionsNotSupported: SubAck Disconnect;
}

impl Reason {
    /// The byte on the wire.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether the operation failed.
    pub fn is_error(self) -> bool {
        self.code() >= 0x80
    }

    /// The return code of a CONNACK of 3.1 and 3.1.1. `None`: there is none, and the connection is closed without an answer.
    pub fn return_code(self) -> Option<u8> {
        match self {
            Self::Success => Some(0),
            Self::UnsupportedProtocolVersion => Some(1),
            Self::ClientIdentifierNotValid => Some(2),
            Self::ServerUnavailable
            | Self::ServerBusy
            | Self::QuotaExceeded
            | Self::UseAnotherServer
            | Self::ServerMoved
            | Self::ConnectionRateExceeded => Some(3),
            Self::BadUserNameOrPassword => Some(4),
            Self::NotAuthorized | Self::Banned => Some(5),
            // The official server's own: a will of quality of service 2 where that is refused.
            Self::QosNotSupported => Some(0x10),
            _ => None,
        }
    }

    /// What a return code of 3.1 and 3.1.1 says.
    pub fn of_return_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdentifierNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            0x10 => Some(Self::QosNotSupported),
            _ => None,
        }
    }
}
