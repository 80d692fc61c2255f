//! By which way clients come.

/// By which way a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientTransport {
    /// Over the network.
    Network,
    /// By the Unix-domain socket.
    Unix,
    /// From the program that the server is part of.
    InProcess,
    /// Over the network, by WebSocket.
    WebSocket,
}

impl ClientTransport {
    /// The kind of connection, as in `allowed_connection_types`.
    pub fn connection_type(self) -> &'static str {
        match self {
            Self::Network | Self::Unix => "STANDARD",
            Self::InProcess => "IN_PROCESS",
            Self::WebSocket => "WEBSOCKET",
        }
    }

    /// The kind of client, as monitoring, events and services call it.
    pub fn client_type(self) -> &'static str {
        match self {
            Self::Network | Self::Unix | Self::InProcess => "nats",
            Self::WebSocket => "websocket",
        }
    }

    /// Whether it comes from another machine, perhaps.
    pub fn is_remote(self) -> bool {
        matches!(self, Self::Network | Self::WebSocket)
    }

    /// How the log calls the number of a connection.
    pub(crate) fn number_label(self) -> &'static str {
        match self {
            Self::Network | Self::Unix | Self::InProcess => "cid",
            Self::WebSocket => "wid",
        }
    }
}
