//! What the configuration means for leaf nodes that connect here.

use super::{Identity, ListenerPolicy, Patience, PolicyError};
use crate::clock;
use crate::tls::TlsSetup;
use dialtone_config::{ConfigErrors, Options};
use dialtone_identity::authenticator::{Authenticator, Servers};

/// # Errors
/// Certificates cannot be used.
pub(super) fn policy(
    options: &Options,
    _: &Identity,
    clients: &ListenerPolicy,
) -> Result<Option<ListenerPolicy>, PolicyError> {
    let Some(own) = &options.leafnodes else { return Ok(None) };
    let authenticator =
        Authenticator::new(&own.options_for_users(options), clock::now()).map_err(ConfigErrors)?;
    Ok(Some(ListenerPolicy {
        tls: own.listener.tls.as_ref().map(TlsSetup::load).transpose()?,
        dialing: None,
        plain_allowed: false,
        authenticator: Some(authenticator),
        servers: Servers::default(),
        info: clients.info.clone(),
        auth_timeout: own.authorization.timeout.unwrap_or(super::AUTH_TIMEOUT),
        patience: Patience {
            write_deadline: own.write_deadline.unwrap_or(clients.patience.write_deadline),
            keeps_slow: own.write_retry,
            ..clients.patience
        },
        upgrade: None,
    }))
}
