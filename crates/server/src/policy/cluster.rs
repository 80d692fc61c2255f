//! What the configuration means for routes.

use super::{Identity, ListenerPolicy, Patience, PolicyError, default_auth_timeout, servers_tls};
use crate::tls::Dialings;
use dialtone_config::Options;
use dialtone_config::options::cluster::RouteLimits;
use dialtone_identity::authenticator::Servers;

/// # Errors
/// Certificates cannot be used.
pub(super) fn policy(
    options: &Options,
    _: &Identity,
    clients: &ListenerPolicy,
) -> Result<Option<ListenerPolicy>, PolicyError> {
    let Some(own) = &options.cluster else { return Ok(None) };
    let block = own.listener.tls.as_ref();
    let user = &own.authorization;
    let hosts = own.routes.iter().map(|route| route.url.host.as_str());
    Ok(Some(ListenerPolicy {
        tls: servers_tls(block, options)?,
        dialing: Dialings::load(block, std::iter::empty())?,
        plain_allowed: false,
        authenticator: None,
        servers: Servers::new(user.user.as_deref(), user.password.as_ref(), block, hosts),
        info: clients.info.clone(),
        auth_timeout: own.authorization.timeout.unwrap_or_else(|| default_auth_timeout(block)),
        patience: patience(&own.limits, clients.patience),
        upgrade: None,
    }))
}

fn patience(own: &RouteLimits, clients: Patience) -> Patience {
    Patience {
        ping_interval: own.ping_interval.unwrap_or(clients.ping_interval),
        pings_out_max: own.pings_out_max.unwrap_or(clients.pings_out_max),
        write_deadline: own.writing.deadline.unwrap_or(clients.write_deadline),
        keeps_slow: own.writing.retry,
    }
}
