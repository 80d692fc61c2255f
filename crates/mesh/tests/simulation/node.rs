//! A server of the simulation: what a driver of [`Cluster`] is, without sockets.

use crate::plan::ServerPlan;
use dialtone_mesh::{ClientUrls, Cluster, Identity, LinkId, Place, RouteUrl, ServerId, Settings};
use dialtone_wire::route::Info;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

pub const PORT: u16 = 6222;

pub fn address(server: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, server as u8 + 1))
}

/// The server that a URL leads to.
pub fn server_at(url: &RouteUrl) -> Option<usize> {
    match url.host.parse().ok()? {
        IpAddr::V4(v4) => Some(usize::from(v4.octets()[3]) - 1),
        IpAddr::V6(_) => None,
    }
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub connection: usize,
    /// 0: who dialled.
    pub side: usize,
}

pub struct Node {
    pub id: String,
    pub cluster: Cluster,
    pub client_url: String,
    pub links: BTreeMap<LinkId, End>,
    pub joined: BTreeMap<LinkId, (ServerId, Place)>,
    pub peers: Vec<ServerId>,
    pub told_clients: ClientUrls,
    pub lame_duck: bool,
}

impl Node {
    pub fn new(number: usize, start: usize, plan: &ServerPlan, seed: u64) -> Self {
        // So that the order of ids is not that of addresses.
        let scrambled = seed.wrapping_mul(0x9E37_79B9).wrapping_add((number * 7 + start * 3) as u64) % 89;
        let id = format!("N{scrambled:02}-{number}-{start}");
        let client_url = format!("10.0.0.{}:4222", number + 1);
        let told_clients = ClientUrls { plain: vec![client_url.clone()], websocket: vec![] };
        let settings = Settings {
            cluster: (!plan.dynamic).then(|| "C".to_owned()),
            info: Info {
                go: "dialtone 0 (rust)".into(),
                host: "0.0.0.0".into(),
                port: PORT,
                headers: true,
                ..Info::default()
            },
            routes: plan
                .routes
                .iter()
                .filter_map(|to| RouteUrl::of(&address(*to).to_string(), PORT, None))
                .collect(),
            connect_retries: 0,
            connect_backoff: false,
            no_advertise: false,
            pool_size: NonZeroU32::new(plan.pool_size),
            dedicated: plan.dedicated.iter().map(|account| (*account).into()).collect(),
            credentials: None,
            handshake_timeout: Duration::from_secs(2),
            client_urls: told_clients.clone(),
        };
        let me = Identity {
            id: id.clone(),
            name: format!("server-{number}"),
            made_up_cluster: format!("dynamic-{scrambled}-{number}"),
            seed: seed ^ (number as u64) << 8 ^ (start as u64) << 16,
        };
        Self {
            id,
            cluster: Cluster::new(me, settings),
            client_url,
            links: BTreeMap::new(),
            joined: BTreeMap::new(),
            peers: Vec::new(),
            told_clients,
            lame_duck: false,
        }
    }
}
