//! What the configuration means for leaf nodes that connect here.

use super::{Identity, ListenerPolicy, Patience, PolicyError, default_auth_timeout, stapled};
use crate::clock;
use crate::tls::{Dialings, TlsSetup};
use dialtone_config::options::{LeafNodes, Tls};
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
    let block = own.listener.tls.as_ref();
    // How many shake hands in a second is for clients alone.
    let unhurried = block.map(|tls| Tls { rate_max: 0, ..tls.clone() });
    let tls = stapled(unhurried.as_ref(), options)?;
    let dialing = Dialings::load(None, own.remotes.iter().filter_map(|remote| remote.tls.as_ref()))?;
    policy_with(own, &own.options_for_users(options), clients, tls, dialing).map(Some)
}

/// The same by WebSocket, whose listener has the TLS, and may say who those are that show nothing.
///
/// # Errors
/// Users cannot be used.
pub(super) fn websocket_policy(
    options: &Options,
    _: &Identity,
    clients: &ListenerPolicy,
) -> Result<Option<ListenerPolicy>, PolicyError> {
    let Some(own) = &options.leafnodes else { return Ok(None) };
    let users = own.options_for_websocket_users(options);
    policy_with(own, &users, clients, None, Dialings::default()).map(Some)
}

fn policy_with(
    own: &LeafNodes,
    users: &Options,
    clients: &ListenerPolicy,
    tls: Option<TlsSetup>,
    dialing: Dialings,
) -> Result<ListenerPolicy, PolicyError> {
    let authenticator = Authenticator::new(users, clock::now()).map_err(ConfigErrors)?;
    let block = own.listener.tls.as_ref();
    Ok(ListenerPolicy {
        tls,
        dialing,
        plain_allowed: false,
        authenticator: Some(authenticator),
        servers: Servers::default(),
        info: clients.info.clone(),
        auth_timeout: own.authorization.timeout.unwrap_or_else(|| default_auth_timeout(block)),
        patience: Patience {
            write_deadline: own.writing.deadline.unwrap_or(clients.patience.write_deadline),
            keeps_slow: own.writing.retry,
            ..clients.patience
        },
        upgrade: None,
    })
}
