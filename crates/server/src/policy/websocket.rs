//! What the configuration means for clients by WebSocket.

use super::listener::UpgradePolicy;
use super::{Identity, ListenerKind, ListenerPolicy, Patience, PolicyError};
use crate::clock;
use crate::tls::{Dialings, TlsSetup};
use dialtone_config::options::websocket::{CookieNames, HANDSHAKE_TIMEOUT, WebSocket};
use dialtone_config::{ConfigErrors, Options};
use dialtone_identity::authenticator::{Authenticator, Servers};
use dialtone_wire::Info;
use dialtone_wire::websocket::origin::Origin;
use dialtone_wire::websocket::upgrade::Cookies;
use dialtone_wire::websocket::{Origins, Terms};

/// # Errors
/// Certificates cannot be used.
pub(super) fn policy(
    options: &Options,
    identity: &Identity,
    clients: &ListenerPolicy,
) -> Result<Option<ListenerPolicy>, PolicyError> {
    let Some(own) = &options.websocket else { return Ok(None) };
    let mut tls = own.tls.as_ref().map(TlsSetup::load).transpose()?;
    if let Some(tls) = &mut tls {
        tls.staple(&options.operation.staples.own, options.operation.staples.store_dir.as_deref())?;
    }
    let maps = |tls: Option<&dialtone_config::options::Tls>| tls.is_some_and(|tls| tls.map);
    let differs = own.has_own_users() || maps(own.tls.as_ref()) != maps(options.clients.tls.as_ref());
    let authenticator = differs
        .then(|| Authenticator::new(&own.options_for_users(options), clock::now()).map_err(ConfigErrors));
    let limits = &options.limits;
    Ok(Some(ListenerPolicy {
        dialing: Dialings::default(),
        plain_allowed: false,
        authenticator: authenticator.transpose()?,
        servers: Servers::default(),
        info: info(own, identity, &clients.info),
        auth_timeout: own.users.timeout.unwrap_or(clients.auth_timeout),
        patience: Patience {
            ping_interval: own.ping_interval.unwrap_or(clients.patience.ping_interval),
            ..clients.patience
        },
        upgrade: Some(UpgradePolicy {
            timeout: own.handshake_timeout.unwrap_or(HANDSHAKE_TIMEOUT),
            terms: Terms { takes_mqtt: options.mqtt.is_some(), ..terms(own, tls.is_some()) },
            message_bytes_max: limits.payload_bytes_max.saturating_add(limits.control_line_bytes_max),
        }),
        tls,
    }))
}

fn info(own: &WebSocket, identity: &Identity, clients: &Info) -> Info {
    let mut info = clients.clone();
    info.host = if own.address.host.is_empty() { "0.0.0.0".into() } else { own.address.host.clone() };
    info.port = identity.port(ListenerKind::WebSocket);
    info.auth_required |= own.has_own_users();
    info.tls_required = own.tls.is_some();
    info.tls_verify = own.tls.as_ref().is_some_and(|tls| tls.verify);
    info.tls_available = false;
    info
}

fn terms(own: &WebSocket, is_tls: bool) -> Terms {
    let allowed = own.allowed_origins.iter().filter_map(|origin| Origin::parse(origin).ok()).collect();
    let CookieNames { jwt, user, password, token } = own.cookies.clone();
    Terms {
        is_tls,
        compression: own.compression,
        origins: Origins { same_only: own.same_origin, allowed },
        headers: own.headers.clone(),
        cookie_names: Cookies { jwt, user, password, token },
        takes_mqtt: false,
    }
}
