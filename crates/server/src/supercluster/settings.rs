//! What the configuration means for the supercluster.

use crate::cluster::gateway_address;
use crate::policy::{COMPATIBLE_VERSION, Identity, ListenerKind, Policy};
use crate::tls::TlsSetup;
use dialtone_config::options::ServerUrl;
use dialtone_config::options::gateway::RemoteGateway;
use dialtone_identity::password;
use dialtone_mesh::gateways::{RemoteSettings, Settings};
use dialtone_mesh::{Credentials, RouteUrl};
use dialtone_wire::gateway::Info;
use dialtone_wire::interserver::PROTOCOL;
use std::time::Duration;

/// How long a connection has until it is a gateway's, beyond the time to say who it is.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// What a supercluster is asked to be. `None`: there is none.
pub(crate) fn settings(policy: &Policy, identity: &Identity) -> Option<Settings> {
    let own = policy.options.gateway.as_ref()?;
    let listener = policy.of(ListenerKind::Gateway);
    let tls = listener.tls.as_ref().map(TlsSetup::timeout).unwrap_or_default();
    // The other end of a hash is nobody's to know.
    let plain = own.authorization.password.as_ref().filter(|password| !password::is_slow(password));
    let credentials =
        own.authorization.user.as_ref().zip(plain).map(|(user, password)| Credentials {
            user: user.clone(),
            password: password.expose().to_owned(),
        });
    let (host, port) = gateway_address(&policy.options, identity)?;
    Some(Settings {
        name: own.name.clone()?,
        url: RouteUrl::of(&host, port, None).map(|url| url.address()).unwrap_or_default(),
        info: info(policy, host, port),
        remotes: own.remotes.iter().map(remote).collect(),
        connect_retries: own.dialing.retries as u32,
        connect_backoff: own.dialing.backoff,
        reject_unknown: own.reject_unknown,
        credentials,
        handshake_timeout: tls + listener.auth_timeout + JOIN_TIMEOUT,
    })
}

fn remote(remote: &RemoteGateway) -> RemoteSettings {
    RemoteSettings { name: remote.name.clone(), urls: remote.urls.iter().filter_map(url).collect() }
}

fn url(url: &ServerUrl) -> Option<RouteUrl> {
    let credentials = url.user.as_ref().map(|user| Credentials {
        user: user.clone(),
        password: url.password.as_ref().map(|p| p.expose().to_owned()).unwrap_or_default(),
    });
    RouteUrl::of(&url.host, url.port?, credentials)
}

fn info(policy: &Policy, host: String, port: u16) -> Info {
    let own = policy.options.gateway.as_ref();
    let listener = policy.of(ListenerKind::Gateway);
    let has_tls = listener.tls.is_some();
    Info {
        version: COMPATIBLE_VERSION.into(),
        proto: PROTOCOL,
        host,
        port,
        headers: policy.options.clients.headers,
        auth_required: own.is_some_and(|own| own.authorization.user.is_some()),
        tls_required: has_tls,
        tls_verify: has_tls,
        max_payload: policy.options.limits.payload_bytes_max as i64,
        ..Info::default()
    }
}
