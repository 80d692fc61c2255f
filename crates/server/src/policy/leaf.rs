//! What the configuration means for leaf nodes that connect here.

use super::{Identity, ListenerPolicy, Patience, PolicyError};
use crate::clock;
use crate::tls::TlsSetup;
use dialtone_config::options::LeafRemote;
use dialtone_config::{ConfigError, ConfigErrors, Options};
use dialtone_identity::authenticator::{Authenticator, Servers};

/// Schemes of URLs that are not dialled.
const NOT_DIALED: [&str; 3] = ["ws", "wss", "tls"];

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

/// Remotes that are reached by what is not carried out.
pub(super) fn check(options: &Options) -> Vec<ConfigError> {
    let remotes = options.leafnodes.iter().flat_map(|own| &own.remotes);
    let missing =
        remotes.filter(|remote| remote.urls.iter().any(|url| NOT_DIALED.contains(&url.scheme.as_str())));
    let error = |remote: &LeafRemote| {
        ConfigError::new(
            &remote.at,
            "remotes of leaf nodes by TLS and WebSocket are not part of this version",
        )
        .help("`nats://` or `nats-leaf://`")
    };
    missing.map(error).collect()
}
