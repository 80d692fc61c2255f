//! What the configuration means for clients by WebSocket.

use super::{Identity, PolicyError};
use crate::clock;
use crate::tls::TlsSetup;
use dialtone_config::options::websocket::{CookieNames, HANDSHAKE_TIMEOUT, WebSocket};
use dialtone_config::{ConfigErrors, Options};
use dialtone_identity::authenticator::Authenticator;
use dialtone_net::{HandshakeFirst, Transport};
use dialtone_wire::Info;
use dialtone_wire::websocket::origin::Origin;
use dialtone_wire::websocket::upgrade::Cookies;
use dialtone_wire::websocket::{Origins, Terms};
use std::time::Duration;

/// What the listener's block means. Part of a policy, and replaced with it.
pub(crate) struct WebSocketPolicy {
    pub(crate) tls: Option<TlsSetup>,
    /// Who may connect by it, if that is not who may connect otherwise.
    pub(crate) authenticator: Option<Authenticator>,
    /// INFO, without what differs by connection.
    pub(crate) info: Info,
    /// How long a client may take to say who it is, if it is not what others may take.
    pub(crate) auth_timeout: Option<Duration>,
    pub(crate) ping_interval: Option<Duration>,
    /// How long TLS and the upgrade may take.
    pub(crate) handshake_timeout: Duration,
    pub(crate) terms: Terms,
    /// Bytes of a message when it is inflated.
    pub(crate) message_bytes_max: usize,
}

impl WebSocketPolicy {
    /// # Errors
    /// Certificates cannot be used.
    pub(crate) fn new(
        own: &WebSocket,
        options: &Options,
        identity: &Identity,
        main: &Info,
    ) -> Result<Self, PolicyError> {
        let mut tls = own.tls.as_ref().map(TlsSetup::load).transpose()?;
        if let Some(tls) = &mut tls {
            tls.staple(&options.ocsp, options.store_dir.as_deref())?;
        }
        let maps = |tls: Option<&dialtone_config::options::Tls>| tls.is_some_and(|tls| tls.map);
        let differs = own.has_own_users() || maps(own.tls.as_ref()) != maps(options.tls.as_ref());
        let authenticator = differs
            .then(|| Authenticator::new(&own.options_for_users(options), clock::now()).map_err(ConfigErrors));
        let mut info = main.clone();
        info.host = if own.host.is_empty() { "0.0.0.0".into() } else { own.host.clone() };
        info.port = identity.websocket_port;
        info.auth_required |= own.has_own_users();
        info.tls_required = own.tls.is_some();
        info.tls_verify = own.tls.as_ref().is_some_and(|tls| tls.verify);
        info.tls_available = false;
        let allowed = own.allowed_origins.iter().filter_map(|origin| Origin::parse(origin).ok()).collect();
        let CookieNames { jwt, user, password, token } = own.cookies.clone();
        let limits = &options.limits;
        Ok(Self {
            terms: Terms {
                is_tls: tls.is_some(),
                compression: own.compression,
                origins: Origins { same_only: own.same_origin, allowed },
                headers: own.headers.clone(),
                cookie_names: Cookies { jwt, user, password, token },
            },
            tls,
            authenticator: authenticator.transpose()?,
            info,
            auth_timeout: own.users.timeout,
            ping_interval: own.ping_interval,
            handshake_timeout: own.handshake_timeout.unwrap_or(HANDSHAKE_TIMEOUT),
            message_bytes_max: limits.payload_bytes_max.saturating_add(limits.control_line_bytes_max),
        })
    }

    /// What stands between a socket and the upgrade.
    pub(crate) fn transport(&self) -> Transport {
        let Some(tls) = &self.tls else { return Transport::Plain };
        Transport::Tls {
            config: tls.config(),
            first: HandshakeFirst::Yes,
            timeout: self.handshake_timeout,
            plain_allowed: false,
        }
    }
}
