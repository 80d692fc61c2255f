//! Why a connection ended: the table that logs, `/connz` and system events read.

macro_rules! close_reasons {
    ($($(#[doc = $doc:literal])* $name:ident $text:literal;)*) => {
        /// Why a connection ended, in the official server's words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum CloseReason { $($(#[doc = $doc])* $name,)* }

        impl CloseReason {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it stands in `/connz` and in system events.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether the peer read too slowly.
            pub fn is_slow_consumer(self) -> bool {
                matches!(self, Self::SlowConsumerPendingBytes | Self::SlowConsumerWriteDeadline)
            }

            /// The reason with this number (`as u8`), if there is one.
            pub fn from_number(number: u8) -> Option<Self> {
                Self::ALL.get(usize::from(number)).copied()
            }
        }
    };
}

close_reasons! {
    /// The peer closed it.
    ClientClosed "Client Closed";
    /// No CONNECT in time.
    AuthenticationTimeout "Authentication Timeout";
    /// Wrong or missing credentials.
    AuthenticationViolation "Authentication Failure";
    /// The TLS handshake failed.
    TlsHandshake "TLS Handshake Failure";
    /// More bytes wait for the peer than `max_pending`.
    SlowConsumerPendingBytes "Slow Consumer (Pending Bytes)";
    /// The peer did not take bytes within `write_deadline`.
    SlowConsumerWriteDeadline "Slow Consumer (Write Deadline)";
    /// Writing failed.
    WriteError "Write Error";
    /// Reading failed.
    ReadError "Read Error";
    /// The peer's bytes could not be understood.
    ParseError "Parse Error";
    /// The peer did not answer PING.
    StaleConnection "Stale Connection";
    /// The peer broke the protocol.
    ProtocolViolation "Protocol Violation";
    /// CONNECT with an unknown protocol number.
    BadClientProtocolVersion "Bad Client Protocol Version";
    /// The peer meant another listener.
    WrongPort "Incorrect Port";
    /// Over the account's connections.
    MaxAccountConnectionsExceeded "Maximum Account Connections Exceeded";
    /// Over the server's connections.
    MaxConnectionsExceeded "Maximum Connections Exceeded";
    /// A message over `max_payload`.
    MaxPayloadExceeded "Maximum Message Payload Exceeded";
    /// A line over `max_control_line`.
    MaxControlLineExceeded "Maximum Control Line Exceeded";
    /// Over the subscriptions.
    MaxSubscriptionsExceeded "Maximum Subscriptions Exceeded";
    /// A second route to the same server.
    DuplicateRoute "Duplicate Route";
    /// The route was taken out of the configuration.
    RouteRemoved "Route Removed";
    /// This server stops.
    ServerShutdown "Server Shutdown";
    /// The credentials have run out.
    AuthenticationExpired "Authentication Expired";
    /// A gateway connection from an unknown cluster.
    WrongGateway "Wrong Gateway";
    /// The account does not exist.
    MissingAccount "Missing Account";
    /// The credentials were withdrawn.
    Revocation "Credentials Revoked";
    /// A connection of the server to itself.
    InternalClient "Internal Client";
    /// A header block that is not one.
    MessageHeaderViolation "Message Header Violation";
    /// `no_responders` without headers.
    NoRespondersRequiresHeaders "No Responders Requires Headers";
    /// A server of another cluster.
    ClusterNameConflict "Cluster Name Conflict";
    /// A second leaf node connection of one remote.
    DuplicateRemoteLeafnodeConnection "Duplicate Remote LeafNode Connection";
    /// An MQTT client id that is taken over.
    DuplicateClientId "Duplicate Client ID";
    /// A server with a name that is taken.
    DuplicateServerName "Duplicate Server Name";
    /// The peer is too old.
    MinimumVersionRequired "Minimum Version Required";
    /// Both ends of a leaf connection have one cluster name.
    ClusterNamesIdentical "Cluster Names Identical";
    /// An operator closed it.
    Kicked "Kicked";
    /// A proxy that is not trusted.
    ProxyNotTrusted "Proxy Not Trusted";
    /// A user that must come through a proxy did not.
    ProxyRequired "Proxy Required";
}
