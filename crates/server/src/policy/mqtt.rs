//! What the configuration means for clients of MQTT.

use super::{Identity, ListenerKind, ListenerPolicy, PolicyError, default_auth_timeout, stapled};
use crate::clock;
use crate::tls::{Dialings, DtlsSetup, TlsSetup};
use dialtone_config::options::{Mqtt, Tls};
use dialtone_config::{ConfigErrors, Options};
use dialtone_identity::authenticator::{Authenticator, Servers};

/// # Errors
/// Certificates cannot be used.
pub(super) fn policy(
    options: &Options,
    identity: &Identity,
    clients: &ListenerPolicy,
) -> Result<Option<ListenerPolicy>, PolicyError> {
    let Some(own) = &options.mqtt else { return Ok(None) };
    let tls = stapled(own.tls.as_ref(), options)?;
    let mut policy = policy_with(own, options, clients, tls)?;
    policy.info.host = if own.address.host.is_empty() { "0.0.0.0".into() } else { own.address.host.clone() };
    policy.info.port = identity.port(ListenerKind::Mqtt);
    Ok(Some(policy))
}

/// The same by WebSocket, whose listener has the TLS.
///
/// # Errors
/// Users cannot be used.
pub(super) fn websocket_policy(
    options: &Options,
    _: &Identity,
    clients: &ListenerPolicy,
) -> Result<Option<ListenerPolicy>, PolicyError> {
    let Some(own) = &options.mqtt else { return Ok(None) };
    policy_with(own, options, clients, None).map(Some)
}

/// The same by the gateway of MQTT-SN, whose clients have no passwords: it says itself who they are.
///
/// # Errors
/// Users cannot be used.
pub(super) fn sn_policy(
    options: &Options,
    _: &Identity,
    clients: &ListenerPolicy,
) -> Result<Option<ListenerPolicy>, PolicyError> {
    let Some(own) = &options.mqtt_sn else { return Ok(None) };
    if let Some(dtls) = &own.dtls {
        // What cannot be used is to be known before anything listens.
        DtlsSetup::load(dtls)?;
    }
    let authenticator =
        Authenticator::new(&own.options_for_users(options), clock::now()).map_err(ConfigErrors)?;
    let timeout = options.access.authorization.timeout;
    Ok(Some(ListenerPolicy {
        tls: None,
        dialing: Dialings::default(),
        plain_allowed: true,
        authenticator: Some(authenticator.trusting_names()),
        servers: Servers::default(),
        info: clients.info.clone(),
        auth_timeout: timeout.unwrap_or_else(|| default_auth_timeout(None)),
        patience: clients.patience,
        upgrade: None,
    }))
}

fn policy_with(
    own: &Mqtt,
    options: &Options,
    clients: &ListenerPolicy,
    tls: Option<TlsSetup>,
) -> Result<ListenerPolicy, PolicyError> {
    let maps = |tls: Option<&Tls>| tls.is_some_and(|tls| tls.map);
    let differs = own.has_own_users() || maps(own.tls.as_ref()) != maps(options.clients.tls.as_ref());
    let authenticator = differs
        .then(|| Authenticator::new(&own.options_for_users(options), clock::now()).map_err(ConfigErrors));
    let timeout = own.users.timeout.or(options.access.authorization.timeout);
    Ok(ListenerPolicy {
        tls,
        dialing: Dialings::default(),
        plain_allowed: false,
        authenticator: authenticator.transpose()?,
        servers: Servers::default(),
        info: clients.info.clone(),
        auth_timeout: timeout.unwrap_or_else(|| default_auth_timeout(own.tls.as_ref())),
        patience: clients.patience,
        upgrade: None,
    })
}
