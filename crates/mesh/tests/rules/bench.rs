//! One server, and what it does with each event, in words.

use dialtone_mesh::{
    Action, ClientUrls, Cluster, Credentials, DialId, Event, Identity, Lane, LinkId, Place, RouteUrl,
    Settings,
};
use dialtone_wire::route::{Connect, GossipMode, Info};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

pub struct Bench {
    pub cluster: Cluster,
    pub now: Instant,
}

pub fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

/// Server `M` of cluster `C`: a pool of 2, one account with connections of its own, nobody to dial.
pub fn settings() -> Settings {
    Settings {
        cluster: Some("C".into()),
        info: Info { go: "dialtone 0 (rust)".into(), host: "0.0.0.0".into(), port: 6222, ..Info::default() },
        routes: Vec::new(),
        connect_retries: 0,
        connect_backoff: false,
        no_advertise: false,
        pool_size: NonZeroU32::new(2),
        dedicated: ["$SYS".into()].into(),
        credentials: Some(Credentials { user: "own".into(), password: "secret".into() }),
        handshake_timeout: Duration::from_secs(2),
        client_urls: ClientUrls { plain: vec!["m:4222".into()], ..ClientUrls::default() },
    }
}

pub fn routes(urls: &[&str]) -> Vec<RouteUrl> {
    urls.iter().map(|url| RouteUrl::parse(url).expect("a URL")).collect()
}

/// What server `id` says of itself: it is at 10.0.0.9, knows pools of 2, and its clients are at `id:4222`.
pub fn info(id: &str) -> Info {
    Info {
        server_id: id.into(),
        server_name: format!("name of {id}"),
        go: "dialtone 0 (rust)".into(),
        host: "0.0.0.0".into(),
        port: 6222,
        cluster: "C".into(),
        nonce: "nonce".into(),
        route_pool_size: 2,
        connect_urls: vec![format!("{id}:4222")],
        ..Info::default()
    }
}

/// What server `by` tells of server `id`, which is at 10.0.0.`last`.
pub fn gossip(id: &str, last: u8) -> Info {
    Info { ip: format!("nats-route://10.0.0.{last}:6222/"), nonce: String::new(), ..info(id) }
}

impl Bench {
    /// A server that has started, and what it did.
    pub fn start(settings: Settings) -> (Self, Vec<String>) {
        let me = Identity { id: "M".into(), name: "me".into(), made_up_cluster: "made-up".into(), seed: 1 };
        let mut bench = Self { cluster: Cluster::new(me, settings), now: Instant::now() };
        let done = bench.event(Event::Started);
        (bench, done)
    }

    pub fn new(settings: Settings) -> Self {
        Self::start(settings).0
    }

    pub fn event(&mut self, event: Event<'_>) -> Vec<String> {
        let mut out = Vec::new();
        self.cluster.handle(event, self.now, &mut out);
        out.iter().filter_map(words).collect()
    }

    pub fn accept(&mut self, link: u64, last: u8) -> Vec<String> {
        self.event(Event::Accepted { link: LinkId(link), address: address(last) })
    }

    pub fn connect(&mut self, link: u64, name: &str, cluster: &str, dynamic: bool) -> Vec<String> {
        let connect = Connect {
            name: name.into(),
            cluster: cluster.into(),
            cluster_dynamic: dynamic,
            ..Connect::default()
        };
        self.event(Event::Connect { link: LinkId(link), connect: &connect })
    }

    pub fn info(&mut self, link: u64, info: &Info) -> Vec<String> {
        self.event(Event::Info { link: LinkId(link), info })
    }

    pub fn dialled(&mut self, dial: u64, link: u64) -> Vec<String> {
        self.event(Event::Dialled { dial: DialId(dial), link: LinkId(link), address: address(9) })
    }

    /// Server `id` dialled, and says `info`.
    pub fn joins(&mut self, link: u64, last: u8, info: &Info) -> Vec<String> {
        self.accept(link, last);
        self.connect(link, &info.server_id, &info.cluster, info.cluster_dynamic);
        self.info(link, info)
    }

    pub fn after(&mut self, time: Duration) -> Vec<String> {
        let end = self.now + time;
        let mut done = Vec::new();
        while let Some(at) = self.cluster.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            done.extend(self.event(Event::Timeout));
        }
        self.now = end;
        done
    }
}

fn lane(lane: &Lane) -> &str {
    match lane {
        Lane::Pool => "pool",
        Lane::Dedicated(account) => account,
    }
}

/// What is to be done. Notes are left out.
fn words(action: &Action) -> Option<String> {
    Some(match action {
        Action::Dial { dial, url, lane: what, attempt, .. } => {
            let user = url.credentials.as_ref().map(|who| format!("{}@", who.user)).unwrap_or_default();
            format!("dial {} {user}{} for {}, attempt {attempt}", dial.0, url.address(), lane(what))
        }
        Action::SendConnect { link, connect } => format!("connect {} to {}", link.0, connect.cluster),
        Action::SendInfo { link, info } => format!("info {}{}", link.0, told(info)),
        Action::Join { link, server, place, .. } => format!("join {} {server} {}", link.0, placed(place)),
        Action::Close { link, reason, error } => {
            let error = error.as_ref().map(|error| format!(" '{error}'")).unwrap_or_default();
            format!("close {} {}{error}", link.0, reason.text())
        }
        Action::PeerJoined { server, .. } => format!("peer {server}"),
        Action::PeerLeft { server } => format!("no peer {server}"),
        Action::AccountMoves { account } => format!("{account} moves"),
        Action::AccountReturns { account } => format!("{account} returns"),
        Action::ClientUrls(urls) => format!("clients {}", urls.plain.join(" ")),
        Action::LeafUrls(urls) => format!("leaf nodes {}", urls.join(" ")),
        Action::ClusterNamed(name) => format!("cluster {name}"),
        Action::Note(_) => return None,
    })
}

fn placed(place: &Place) -> String {
    match place {
        Place::Single => "single".into(),
        Place::Pool { index, size } => format!("{index} of {size}"),
        Place::Dedicated(account) => account.to_string(),
    }
}

/// What of INFO is not always the same.
fn told(info: &Info) -> String {
    let mut text = String::new();
    if info.server_id != "M" && !info.server_id.is_empty() {
        text += &format!(" {} at {}", info.server_id, info.ip);
    }
    if info.route_pool_idx != 0 {
        text += &format!(" index {}", info.route_pool_idx);
    }
    if !info.route_account.is_empty() {
        text += &format!(" {}", info.route_account);
    }
    if !info.route_acc_add_reqid.is_empty() {
        text += " moves";
    }
    text += match info.gossip_mode {
        GossipMode::Default => "",
        GossipMode::Disabled => " quietly",
        GossipMode::Override => " loudly",
    };
    if info.lame_duck {
        text += " lame duck";
    }
    text
}
