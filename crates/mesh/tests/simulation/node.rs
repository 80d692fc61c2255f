//! A server of the simulation: what a driver of [`Cluster`] is, without sockets.

use crate::official::Official;
use crate::plan::ServerPlan;
use dialtone_mesh::{
    Action, ClientUrls, Cluster, Event, Identity, LinkId, Place, RouteUrl, ServerId, Settings,
};
use dialtone_wire::route::Info;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

pub const PORT: u16 = 6222;

pub fn address(server: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, server as u8 + 1))
}

/// The server that a URL leads to, if it is one.
pub fn server_at(url: &RouteUrl) -> Option<usize> {
    match url.host.parse().ok()? {
        IpAddr::V4(v4) => Some(usize::from(v4.octets()[3]) - 1),
        IpAddr::V6(_) => None,
    }
}

/// What a server is configured with.
pub fn settings(plan: &ServerPlan, client_url: &str) -> Settings {
    let seeds = plan.seeds.then(|| RouteUrl::of("seeds", PORT, None)).flatten();
    let routes = plan.routes.iter().filter_map(|to| RouteUrl::of(&address(*to).to_string(), PORT, None));
    Settings {
        cluster: (!plan.dynamic).then(|| "C".to_owned()),
        info: Info {
            go: "dialtone 0 (rust)".into(),
            host: "0.0.0.0".into(),
            port: PORT,
            headers: true,
            leafnode_urls: vec![leaf_url(client_url)],
            ..Info::default()
        },
        routes: routes.chain(seeds).collect(),
        connect_retries: 0,
        connect_backoff: false,
        no_advertise: false,
        pool_size: NonZeroU32::new(plan.pool_size),
        dedicated: plan.dedicated.iter().map(|account| (*account).into()).collect(),
        credentials: None,
        handshake_timeout: Duration::from_secs(2),
        client_urls: ClientUrls { plain: vec![client_url.to_owned()], ..ClientUrls::default() },
    }
}

/// Where leaf nodes of a server go.
pub fn leaf_url(client_url: &str) -> String {
    // That for clients may move.
    format!("{}:7422", client_url.split(':').next().unwrap_or_default())
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub connection: usize,
    /// 0: who dialled.
    pub side: usize,
}

/// What is simulated.
pub enum Server {
    Ours(Box<Cluster>),
    Official(Box<Official>),
}

impl Server {
    pub fn handle(&mut self, event: Event<'_>, now: Instant, out: &mut Vec<Action>) {
        match self {
            Self::Ours(cluster) => cluster.handle(event, now, out),
            Self::Official(official) => official.handle(event, now, out),
        }
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Ours(cluster) => cluster.next_timeout(),
            Self::Official(official) => official.next_timeout(),
        }
    }

    pub fn is_dedicated(&self, account: &str) -> bool {
        match self {
            Self::Ours(cluster) => cluster.is_dedicated(account),
            Self::Official(official) => official.is_dedicated(account),
        }
    }

    pub fn cluster_name(&self) -> &str {
        match self {
            Self::Ours(cluster) => cluster.name().0,
            Self::Official(official) => official.name(),
        }
    }
}

pub struct Node {
    pub id: String,
    pub server: Server,
    pub is_official: bool,
    pub client_url: String,
    pub links: BTreeMap<LinkId, End>,
    pub joined: BTreeMap<LinkId, (ServerId, Place)>,
    pub peers: Vec<ServerId>,
    pub told_clients: ClientUrls,
    pub told_leafs: Vec<String>,
    pub lame_duck: bool,
}

impl Node {
    pub fn new(number: usize, start: usize, plan: &ServerPlan, seed: u64) -> Self {
        // So that the order of ids is not that of addresses.
        let scrambled = seed.wrapping_mul(0x9E37_79B9).wrapping_add((number * 7 + start * 3) as u64) % 89;
        let id = format!("N{scrambled:02}-{number}-{start}");
        let client_url = format!("10.0.0.{}:4222", number + 1);
        let settings = settings(plan, &client_url);
        let told_clients = settings.client_urls.clone();
        let told_leafs = settings.info.leafnode_urls.clone();
        let me = Identity {
            id: id.clone(),
            name: format!("server-{number}"),
            made_up_cluster: format!("dynamic-{scrambled}-{number}"),
            seed: seed ^ (number as u64) << 8 ^ (start as u64) << 16,
        };
        let server = if plan.official {
            let info = Info {
                server_id: id.clone(),
                server_name: me.name,
                go: "go1.26.1".into(),
                cluster: settings.cluster.clone().unwrap_or(me.made_up_cluster),
                cluster_dynamic: plan.dynamic,
                route_pool_size: plan.pool_size,
                connect_urls: vec![client_url.clone()],
                ..settings.info
            };
            Server::Official(Box::new(Official::new(info, settings.routes, &plan.dedicated, me.seed)))
        } else {
            Server::Ours(Box::new(Cluster::new(me, settings)))
        };
        Self {
            id,
            server,
            is_official: plan.official,
            client_url,
            links: BTreeMap::new(),
            joined: BTreeMap::new(),
            peers: Vec::new(),
            told_clients,
            told_leafs,
            lame_duck: false,
        }
    }
}
