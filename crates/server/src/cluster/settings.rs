//! What the configuration means for the cluster.

use crate::accounts::Accounts;
use crate::compression::wanted;
use crate::policy::{COMPATIBLE_VERSION, Identity, ListenerKind, ListenerPolicy, Policy};
use crate::tls::TlsSetup;
use dialtone_config::Options;
use dialtone_config::options::cluster::{Cluster as Block, RouteUrl as Url};
use dialtone_config::options::{self, Rules, advertised};
use dialtone_identity::password;
use dialtone_identity::permission::Permissions;
use dialtone_mesh::{ClientUrls, Credentials, RouteUrl, Settings};
use dialtone_wire::interserver::{PROTOCOL, SubjectRules};
use dialtone_wire::route::Info;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection has until it is a route, beyond the time to say who it is: INFO has to come, and comes again behind others.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// What a cluster is asked to be.
pub(crate) fn settings(policy: &Policy, identity: &Identity, accounts: &Accounts) -> Option<Settings> {
    let own = policy.options.cluster.as_ref().filter(|own| own.is_on())?;
    let system = accounts.system().map(|account| account.name.clone());
    let dedicated = own.pool.accounts.iter().map(|name| name.as_str().into());
    Some(Settings {
        cluster: policy.cluster_name.clone(),
        info: info(own, policy, identity),
        routes: own.routes.iter().filter_map(route_url).collect(),
        connect_retries: own.dialing.retries as u32,
        connect_backoff: own.dialing.backoff,
        no_advertise: own.listener.no_advertise,
        pool_size: own.pool.size.and_then(|size| NonZeroU32::new(size as u32)),
        dedicated: dedicated.chain(system.map(|name| (*name).into())).collect(),
        credentials: credentials(own),
        handshake_timeout: handshake_timeout(policy.of(ListenerKind::Cluster)),
        client_urls: client_urls(&policy.options, identity),
    })
}

/// What other servers may publish here, and what they may subscribe to. `None`: everything.
pub(crate) fn permissions(options: &Options) -> Option<Arc<Permissions>> {
    let own = options.cluster.as_ref()?.permissions.as_ref()?;
    let (publish, subscribe) = (own.import.clone(), own.export.clone());
    Some(Arc::new(Permissions::new(&options::Permissions { publish, subscribe, responses: None })))
}

/// What other servers are told of these rights: to publish here, and to subscribe.
pub(crate) fn exchanged(options: &Options) -> [Option<SubjectRules>; 2] {
    let own = options.cluster.as_ref().and_then(|own| own.permissions.as_ref());
    [own.and_then(|own| shown(&own.import)), own.and_then(|own| shown(&own.export))]
}

/// Rules as they are shown; none: everything passes.
fn shown(rules: &Rules) -> Option<SubjectRules> {
    let allow = rules.allow.clone().unwrap_or_default();
    let is_any = !allow.is_empty() || !rules.deny.is_empty();
    is_any.then(|| SubjectRules { allow, deny: rules.deny.clone() })
}

/// From the beginning of a connection: TLS, then who the other server is, then all that makes a route.
fn handshake_timeout(routes: &ListenerPolicy) -> Duration {
    let tls = routes.tls.as_ref().map(TlsSetup::timeout).unwrap_or_default();
    tls + routes.auth_timeout + JOIN_TIMEOUT
}

fn info(own: &Block, policy: &Policy, identity: &Identity) -> Info {
    let port = identity.port(ListenerKind::Cluster);
    // An invalid address was refused with the configuration.
    let advertised = own.listener.advertise.as_deref().and_then(|text| advertised("", text).ok());
    let (host, port, ip) = match advertised {
        Some((host, advertised)) => {
            let port = advertised.unwrap_or(port);
            let ip = RouteUrl::of(host, port, None).map(|url| url.to_string()).unwrap_or_default();
            (host.to_owned(), port, ip)
        }
        None => (own.listener.address.host.clone(), port, String::new()),
    };
    let [import, export] = exchanged(&policy.options);
    Info {
        version: COMPATIBLE_VERSION.into(),
        proto: PROTOCOL,
        go: policy.clients().info.go.clone(),
        host,
        port,
        ip,
        headers: policy.options.clients.headers,
        tls_required: own.listener.tls.is_some(),
        tls_verify: own.listener.tls.is_some(),
        auth_required: own.authorization.user.is_some(),
        max_payload: policy.options.limits.payload_bytes_max as i64,
        compression: wanted(&own.pool.compression).text().into(),
        import,
        export,
        gateway_url: gateway_url(&policy.options, identity),
        leafnode_urls: leaf_urls(&policy.options, identity),
        lnoc: true,
        lnocu: true,
        ln: true,
        zone: policy.options.zone().unwrap_or_default().to_owned(),
        ..Info::default()
    }
}

/// What servers of the cluster tell other clusters of this one.
fn gateway_url(options: &Options, identity: &Identity) -> String {
    let url = gateway_address(options, identity).and_then(|(host, port)| RouteUrl::of(&host, port, None));
    url.map(|url| url.address()).unwrap_or_default()
}

/// Who this server is to those that others spoke of: the user that all of a cluster have. Of a password that is known by its hash alone, the
/// routes say what it is.
fn credentials(own: &Block) -> Option<Credentials> {
    let user = own.authorization.user.clone()?;
    match &own.authorization.password {
        Some(hash) if password::is_slow(hash) => {
            own.routes.iter().filter_map(route_url).find_map(|url| url.credentials)
        }
        known => {
            let password = known.as_ref().map(|p| p.expose().to_owned()).unwrap_or_default();
            Some(Credentials { user, password })
        }
    }
}

fn route_url(route: &Url) -> Option<RouteUrl> {
    let url = &route.url;
    let credentials = url.user.as_ref().map(|user| Credentials {
        user: user.clone(),
        password: url.password.as_ref().map(|p| p.expose().to_owned()).unwrap_or_default(),
    });
    RouteUrl::of(&url.host, url.port?, credentials)
}

/// Where clients reach this server: the advertised address, the one that is listened on, or all that the machine has.
fn client_urls(options: &Options, identity: &Identity) -> ClientUrls {
    let own = identity.port(ListenerKind::Clients);
    let plain = match options.advertised().ok().flatten() {
        Some((host, port)) => vec![joined(host, port.unwrap_or(own))],
        None if own == 0 => Vec::new(),
        None => reachable(&options.clients.host, own),
    };
    let websocket = options.websocket.as_ref().map(|websocket| {
        let port = identity.port(ListenerKind::WebSocket);
        match websocket.advertise.as_deref().and_then(|text| advertised("", text).ok()) {
            Some((host, advertised)) => vec![joined(host, advertised.unwrap_or(port))],
            None => reachable(&websocket.address.host, port),
        }
    });
    let mqtt = options.mqtt.as_ref().filter(|_| identity.port(ListenerKind::Mqtt) > 0);
    let mqtt = mqtt.map(|mqtt| reachable(&mqtt.address.host, identity.port(ListenerKind::Mqtt)));
    ClientUrls { plain, websocket: websocket.unwrap_or_default(), mqtt: mqtt.unwrap_or_default() }
}

/// Where leaf nodes connect: the advertised address, the one that is listened on, or one that the machine has.
pub(crate) fn leaf_address(options: &Options, identity: &Identity) -> Option<(String, u16)> {
    let own = &options.leafnodes.as_ref().filter(|own| own.listens())?.listener;
    let port = identity.port(ListenerKind::LeafNodes);
    // An invalid address was refused with the configuration.
    Some(match own.advertise.as_deref().and_then(|text| advertised("", text).ok()) {
        Some((host, advertised)) => (host.to_owned(), advertised.unwrap_or(port)),
        None => (reachable_hosts(&own.address.host).into_iter().next().unwrap_or_default(), port),
    })
}

/// What leaf nodes are told of this server, by itself and by the others of its cluster.
pub(crate) fn leaf_urls(options: &Options, identity: &Identity) -> Vec<String> {
    let is_told = options.leafnodes.as_ref().is_some_and(|own| !own.listener.no_advertise);
    let address = leaf_address(options, identity).filter(|_| is_told);
    address.map(|(host, port)| joined(&host, port)).into_iter().collect()
}

pub(crate) fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Where other clusters reach this server: what is advertised, what is listened on, or an address of the machine.
pub(crate) fn gateway_address(options: &Options, identity: &Identity) -> Option<(String, u16)> {
    let own = options.gateway.as_ref()?;
    let port = identity.port(ListenerKind::Gateway);
    // An invalid address was refused with the configuration.
    if let Some((host, advertised)) =
        own.listener.advertise.as_deref().and_then(|text| advertised("", text).ok())
    {
        return Some((host.to_owned(), advertised.unwrap_or(port)));
    }
    let found =
        reachable(&own.listener.address.host, port).into_iter().find_map(|url| RouteUrl::parse(&url).ok());
    Some(found.map_or_else(|| (own.listener.address.host.clone(), port), |url| (url.host, url.port)))
}

/// The addresses of a listener: its own, or those of the machine that others can reach.
fn reachable(host: &str, port: u16) -> Vec<String> {
    reachable_hosts(host).iter().map(|host| joined(host, port)).collect()
}

/// The same without the port.
fn reachable_hosts(host: &str) -> Vec<String> {
    let is_any = host.is_empty() || host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
    if !is_any {
        return vec![host.to_owned()];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses = interfaces.into_iter().map(|interface| interface.ip()).filter(is_global);
    let found: Vec<String> = addresses.map(|address| address.to_string()).collect();
    if found.is_empty() { vec![if host.is_empty() { "0.0.0.0" } else { host }.to_owned()] } else { found }
}

/// Whether others may reach the machine by it.
fn is_global(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || is_link_local)
}
