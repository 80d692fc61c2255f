//! What is logged: one table of events, each with an id that stays and a level.

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The protocol itself.
    Trace,
    /// The life of connections.
    Debug,
    /// The life of the server.
    Info,
    /// Someone may have to act.
    Warn,
    /// Someone must act.
    Error,
    /// The server cannot go on.
    Fatal,
}

impl Level {
    /// As in the official format.
    pub fn label(self) -> &'static str {
        match self {
            Self::Trace => "TRC",
            Self::Debug => "DBG",
            Self::Info => "INF",
            Self::Warn => "WRN",
            Self::Error => "ERR",
            Self::Fatal => "FTL",
        }
    }

    /// How a terminal colours the label, as in the official format.
    pub fn colour(self) -> &'static str {
        match self {
            Self::Trace => "33",
            Self::Debug => "36",
            Self::Info => "32",
            Self::Warn => "0;93",
            Self::Error | Self::Fatal => "31",
        }
    }

    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

macro_rules! events {
    ($($(#[doc = $doc:literal])* $name:ident $id:literal $level:ident;)*) => {
        /// Something that is logged.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event { $($(#[doc = $doc])* $name,)* }

        impl Event {
            /// All events.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The id, which never changes its meaning.
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// How much it matters.
            pub fn level(self) -> Level {
                match self { $(Self::$name => Level::$level,)* }
            }
        }
    };
}

events! {
    /// The server starts; what it is.
    Starting "starting" Info;
    /// A listener is open.
    Listening "listening" Info;
    /// The server takes connections.
    Ready "ready" Info;
    /// A signal came.
    Signal "signal" Info;
    /// The server stops.
    Stopping "stopping" Info;
    /// The server has stopped.
    Stopped "stopped" Info;
    /// The server lets its clients go.
    LameDuck "lame_duck" Info;
    /// The configuration was reloaded.
    Reloaded "reloaded" Info;
    /// The configuration was not reloaded.
    ReloadFailed "reload_failed" Error;
    /// The log file was opened again.
    LogReopened "log_reopened" Info;
    /// The log file was set aside, and another begun.
    LogRotated "log_rotated" Info;
    /// A log file that was set aside was removed.
    LogPurged "log_purged" Info;
    /// The log cannot be opened or set aside.
    LogFailed "log_failed" Error;
    /// Lines came faster than the log could be written.
    LinesDropped "lines_dropped" Warn;
    /// Certificates were read again.
    CertificatesReloaded "certificates_reloaded" Info;
    /// Certificates could not be read again; the old ones stay.
    CertificatesFailed "certificates_failed" Error;
    /// A certificate's authority says that it is good.
    StapleGood "staple_good" Info;
    /// Nobody says how a certificate stands.
    StapleFailed "staple_failed" Error;
    /// A certificate's authority says that it is not good.
    StapleBad "staple_bad" Error;
    /// A thread panicked.
    Panicked "panicked" Fatal;
    /// A thread makes no progress.
    Stalled "stalled" Error;
    /// The disk of streams does not do what it says: JetStream is off, and all else goes on.
    StoreFailed "store_failed" Error;
    /// A consumer of a stream delivers nothing though it could.
    ConsumerStanding "consumer_standing" Error;
    /// The server cannot start.
    Fatal "fatal" Fatal;
    /// Something is worth a thought.
    Warning "warning" Warn;
    /// A client has come.
    ClientCreated "client_created" Debug;
    /// A client has gone.
    ClientClosed "client_closed" Debug;
    /// A connection with another server is there.
    RouteOpened "route_opened" Info;
    /// It is gone.
    RouteClosed "route_closed" Info;
    /// Another server is heard of, or dialled.
    RouteDialed "route_dialed" Debug;
    /// Clients are handed over to servers that have fewer.
    Rebalancing "rebalancing" Info;
    /// A configured server left for good and is not dialed any more.
    RouteRetired "route_retired" Info;
    /// Another server cannot be reached.
    RouteFailed "route_failed" Error;
    /// Interest of another server is not let out.
    RouteDenied "route_denied" Debug;
    /// A connection of a leaf node is there.
    LeafOpened "leaf_opened" Info;
    /// It is gone.
    LeafClosed "leaf_closed" Info;
    /// A hub is dialled.
    LeafDialed "leaf_dialed" Debug;
    /// A hub cannot be reached, or a connection of a leaf node cannot be.
    LeafFailed "leaf_failed" Error;
    /// A connection with another cluster is there.
    GatewayOpened "gateway_opened" Info;
    /// It is gone.
    GatewayClosed "gateway_closed" Info;
    /// Another cluster is heard of, or dialled.
    GatewayDialed "gateway_dialed" Info;
    /// Another cluster cannot be reached.
    GatewayFailed "gateway_failed" Error;
    /// A client could not prove who it is.
    AuthenticationFailed "authentication_failed" Error;
    /// A client did not say in time who it is.
    AuthenticationTimeout "authentication_timeout" Debug;
    /// A client's rights do not suffice.
    PermissionDenied "permission_denied" Error;
    /// A subscription was ended that its client's rights cover no longer.
    SubscriptionRemoved "subscription_removed" Info;
    /// A client publishes more than its rate limits allow.
    RateLimited "rate_limited" Warn;
    /// A client's bytes are no protocol.
    ProtocolError "protocol_error" Error;
    /// A client gave up.
    ClientError "client_error" Error;
    /// A connection's PROXY header cannot be used.
    ProxyHeaderBad "proxy_header_bad" Warn;
    /// A connection was not upgraded to WebSocket.
    UpgradeRefused "upgrade_refused" Error;
    /// What came by WebSocket is no frame.
    FrameInvalid "frame_invalid" Error;
    /// A TLS handshake failed.
    TlsFailed "tls_failed" Error;
    /// TLS is up.
    TlsDone "tls_done" Debug;
    /// A client does not read fast enough.
    SlowConsumer "slow_consumer" Info;
    /// A client does not answer.
    StaleConnection "stale_connection" Debug;
    /// A limit is reached.
    LimitReached "limit_reached" Error;
    /// An account cannot do all that its token says.
    AccountFault "account_fault" Warn;
    /// An account's token is in force.
    AccountUpdated "account_updated" Debug;
    /// PING and PONG.
    Ping "ping" Debug;
    /// What a peer sent.
    TraceIn "trace_in" Trace;
    /// What a peer is sent.
    TraceOut "trace_out" Trace;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<_> = Event::ALL.iter().map(|e| e.id()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Event::ALL.len());
    }
}
