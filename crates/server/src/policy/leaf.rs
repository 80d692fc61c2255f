//! What the configuration means for leaf nodes that connect here.

use super::{Identity, ListenerPolicy, Patience, PolicyError, default_auth_timeout, stapled};
use crate::clock;
use crate::tls::Dialings;
use dialtone_config::options::{LeafRemote, Tls};
use dialtone_config::{ConfigError, ConfigErrors, Options};
use dialtone_identity::authenticator::{Authenticator, Servers};

/// Schemes of URLs that are not dialled.
const NOT_DIALED: [&str; 2] = ["ws", "wss"];

/// # Errors
/// Certificates cannot be used.
pub(super) fn policy(
    options: &Options,
    _: &Identity,
    clients: &ListenerPolicy,
) -> Result<Option<ListenerPolicy>, PolicyError> {
    let Some(own) = &options.leafnodes else { return Ok(None) };
    let missing = check(options);
    if !missing.is_empty() {
        return Err(ConfigErrors(missing).into());
    }
    let authenticator =
        Authenticator::new(&own.options_for_users(options), clock::now()).map_err(ConfigErrors)?;
    let block = own.listener.tls.as_ref();
    // How many shake hands in a second is for clients alone.
    let unhurried = block.map(|tls| Tls { rate_max: 0, ..tls.clone() });
    Ok(Some(ListenerPolicy {
        tls: stapled(unhurried.as_ref(), options)?,
        dialing: Dialings::load(None, own.remotes.iter().filter_map(|remote| remote.tls.as_ref()))?,
        plain_allowed: false,
        authenticator: Some(authenticator),
        servers: Servers::default(),
        info: clients.info.clone(),
        auth_timeout: own.authorization.timeout.unwrap_or_else(|| default_auth_timeout(block)),
        patience: Patience {
            write_deadline: own.write_deadline.unwrap_or(clients.patience.write_deadline),
            keeps_slow: own.write_retry,
            ..clients.patience
        },
        upgrade: None,
    }))
}

/// Remotes that are reached by what is not carried out.
pub(super) fn check(options: &Options) -> Vec<ConfigError> {
    let remotes = options.leafnodes.iter().flat_map(|own| &own.remotes);
    let missing =
        remotes.filter(|remote| remote.urls.iter().any(|url| NOT_DIALED.contains(&url.scheme.as_str())));
    let error = |remote: &LeafRemote| {
        ConfigError::new(&remote.at, "remotes of leaf nodes by WebSocket are not part of this version")
            .help("`nats://`, `nats-leaf://` or `tls://`")
    };
    missing.map(error).collect()
}
