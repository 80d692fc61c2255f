//! What the configuration means for routes.

use super::{Identity, ListenerPolicy, Patience, PolicyError, default_auth_timeout};
use crate::tls::{TlsDialing, TlsSetup};
use dialtone_config::Options;
use dialtone_config::options::cluster::RouteLimits;
use dialtone_config::options::{Tls, TlsFirst};
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
    // Neither end says anything in plain, and some of what can be asked of clients is not for servers.
    let first = block.map(|tls| Tls { first: TlsFirst::Yes, rate_max: 0, ocsp_peer: None, ..tls.clone() });
    let mut tls = first.as_ref().map(TlsSetup::load).transpose()?;
    if let Some(tls) = &mut tls {
        tls.staple(&options.staples.own, options.staples.store_dir.as_deref())?;
    }
    let user = &own.authorization;
    let hosts = own.routes.iter().map(|route| route.url.host.as_str());
    Ok(Some(ListenerPolicy {
        tls,
        dialing: block.map(TlsDialing::load).transpose()?,
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
        write_deadline: own.write_deadline.unwrap_or(clients.write_deadline),
        keeps_slow: own.write_retry,
    }
}
