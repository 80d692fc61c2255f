//! What the configuration means for routes.

use super::{Identity, ListenerPolicy, PolicyError};
use crate::tls::TlsSetup;
use dialtone_config::Options;

/// # Errors
/// Certificates cannot be used.
pub(super) fn policy(
    options: &Options,
    _: &Identity,
    clients: &ListenerPolicy,
) -> Result<Option<ListenerPolicy>, PolicyError> {
    let Some(own) = &options.cluster else { return Ok(None) };
    Ok(Some(ListenerPolicy {
        tls: own.listener.tls.as_ref().map(TlsSetup::load).transpose()?,
        plain_allowed: false,
        authenticator: None,
        info: clients.info.clone(),
        auth_timeout: own.authorization.timeout.unwrap_or(super::AUTH_TIMEOUT),
        ping_interval: own.limits.ping_interval.unwrap_or(clients.ping_interval),
        upgrade: None,
    }))
}
