//! A listener for clients by WebSocket.

use super::{Options, Tls};
use crate::Secret;
use crate::error::Position;
use std::time::Duration;

/// How long an upgrade may take by default. The official server waits for ever.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A listener for clients by WebSocket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebSocket {
    /// Where the block stands.
    pub at: Position,
    /// Address to listen on; empty: all.
    pub host: String,
    /// Port to listen on; `None` takes a free one.
    pub port: Option<u16>,
    /// What clients of other servers are told instead.
    pub advertise: Option<String>,
    /// TLS.
    pub tls: Option<Tls>,
    /// There need be none.
    pub no_tls: bool,
    /// Only pages of the address that is connected to may connect.
    pub same_origin: bool,
    /// Only pages of these origins may; empty: all.
    pub allowed_origins: Vec<String>,
    /// Messages may be compressed.
    pub compression: bool,
    /// How long the upgrade may take; `None`: what is usual.
    pub handshake_timeout: Option<Duration>,
    /// Names of cookies that hold credentials.
    pub cookies: CookieNames,
    /// The user that a connection without credentials is.
    pub no_auth_user: Option<String>,
    /// The only user.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// A token.
    pub token: Option<Secret>,
    /// How long a client may take to say who it is.
    pub auth_timeout: Option<Duration>,
    /// More headers of the answer to an upgrade.
    pub headers: Vec<(String, String)>,
    /// How often a silent connection is pinged; `None`: as others are.
    pub ping_interval: Option<Duration>,
}

/// Names of cookies; empty: no cookie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieNames {
    /// With a user's JWT.
    pub jwt: String,
    /// With a name.
    pub user: String,
    /// With a password.
    pub password: String,
    /// With a token.
    pub token: String,
}

impl WebSocket {
    /// Whether it has users of its own, beside which those of the other listener do not count.
    pub fn has_own_users(&self) -> bool {
        self.user.is_some() || self.token.is_some() || self.no_auth_user.is_some()
    }

    /// The options that decide who may come in by this listener.
    pub fn options_for_users(&self, options: &Options) -> Options {
        let mut own = options.clone();
        if self.has_own_users() {
            own.authorization.user.clone_from(&self.user);
            own.authorization.password.clone_from(&self.password);
            own.authorization.token.clone_from(&self.token);
            own.no_auth_user.clone_from(&self.no_auth_user);
        }
        own.tls.clone_from(&self.tls);
        own
    }
}
