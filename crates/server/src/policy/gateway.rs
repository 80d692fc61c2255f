//! What the configuration means for gateways.

use super::{Identity, ListenerPolicy, Patience, PolicyError, default_auth_timeout, servers_tls};
use crate::tls::Dialings;
use dialtone_config::Options;
use dialtone_identity::authenticator::Servers;

/// # Errors
/// Certificates cannot be used.
pub(super) fn policy(
    options: &Options,
    _: &Identity,
    clients: &ListenerPolicy,
) -> Result<Option<ListenerPolicy>, PolicyError> {
    let Some(own) = &options.gateway else { return Ok(None) };
    let block = own.listener.tls.as_ref();
    let user = &own.authorization;
    let hosts = own.remotes.iter().flat_map(|remote| &remote.urls).map(|url| url.host.as_str());
    Ok(Some(ListenerPolicy {
        tls: servers_tls(block, options)?,
        dialing: Dialings::load(block, own.remotes.iter().filter_map(|remote| remote.tls.as_ref()))?,
        plain_allowed: false,
        authenticator: None,
        servers: Servers::new(user.user.as_deref(), user.password.as_ref(), block, hosts),
        info: clients.info.clone(),
        auth_timeout: user.timeout.unwrap_or_else(|| default_auth_timeout(block)),
        patience: Patience {
            write_deadline: own.writing.deadline.unwrap_or(clients.patience.write_deadline),
            keeps_slow: own.writing.retry,
            ..clients.patience
        },
        upgrade: None,
    }))
}
