//! A whole server without threads and sockets: its event loop, and what its dialer does.

use super::carrier::Wire;
use super::plan::{Plan, Site};
use crate::builder::begin_network;
use crate::clock;
use crate::dialed::Dials;
use crate::dialer::{gateway_task, hub_task, route_task};
use crate::driver::Driver;
use crate::log::Logger;
use crate::node::Node;
use crate::policy::{Identity, ListenerKind, Policy};
use crate::resolver::Resolver;
use dialtone_identity::callout::Keys;
use dialtone_identity::nkey::{Kind, Seed};
use dialtone_net::{Dial, DialError, Origin, Readiness, SteppedLoop, Threads};
use dialtone_sim::link::End;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Dials that servers want, by the numbers of the servers.
pub(super) type Wanted = Arc<Mutex<Vec<(usize, Dial)>>>;

pub(super) const PORTS: [(ListenerKind, u16); 4] = [
    (ListenerKind::Clients, 4222),
    (ListenerKind::Cluster, 6222),
    (ListenerKind::LeafNodes, 7422),
    (ListenerKind::Gateway, 7222),
];

pub(super) fn address(site: Site) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, site.domain as u8, site.index as u8 + 1))
}

/// The server at an address, and what it listens for there.
pub(super) fn at(address: SocketAddr) -> Option<(Site, ListenerKind)> {
    let IpAddr::V4(v4) = address.ip() else { return None };
    let [10, 0, domain, place] = v4.octets() else { return None };
    let site = Site { domain: usize::from(domain), index: usize::from(place).checked_sub(1)? };
    let (kind, _) = PORTS.into_iter().find(|(_, port)| *port == address.port())?;
    Some((site, kind))
}

struct Dialer {
    server: usize,
    wanted: Wanted,
}

impl Dials for Dialer {
    fn dial(&self, dial: Dial) {
        self.wanted.lock().push((self.server, dial));
    }
}

pub(super) struct Server {
    event_loop: SteppedLoop<Driver>,
    node: Arc<Node>,
    dialer: Dialer,
    began: Instant,
    wires: BTreeMap<usize, Wire>,
    /// How the connection comes that is opened next.
    pub next: Option<(Origin, SocketAddr)>,
}

impl Server {
    /// One that starts now. It is another one each time.
    pub fn start(
        plan: &Plan,
        site: Site,
        (number, start): (usize, u32),
        began: Instant,
        now: Duration,
        wanted: &Wanted,
    ) -> Self {
        clock::simulate(Some(began + now));
        let logs = std::env::var("LOGS").ok();
        let logged = logs
            .map(|to| format!("log_file: {:?}, debug: true, trace: true\n", format!("{to}/{}", site.name())));
        let config = plan.config(site) + &logged.clone().unwrap_or_default();
        let mut no_files = |path: &std::path::Path| Err(std::io::Error::other(path.display().to_string()));
        let options =
            dialtone_config::load_text(&config, "t.conf", &mut no_files, &|_| None).expect("options");
        let mut seed = [0; 32];
        for (to, from) in seed.iter_mut().zip([plan.seed.to_le_bytes(), [number as u8; 8]].concat()) {
            *to = from;
        }
        seed[16..20].copy_from_slice(&start.to_le_bytes());
        let keys =
            Keys { seed: Seed::from_bytes(Kind::Server, seed), curve: Seed::from_bytes(Kind::Curve, seed) };
        let (id, xkey) = (keys.seed.public().to_string(), keys.curve.public().to_string());
        let identity = Identity {
            id,
            xkey,
            keys: Arc::new(keys),
            name: site.name(),
            ports: PORTS.into_iter().collect(),
        };
        let policy = Policy::new(options, &identity).expect("policy");
        let threads = Threads::default();
        let log = match logged {
            Some(_) => Logger::new(&policy.options.log, &threads).expect("a log"),
            None => Logger::silent(),
        };
        let resolver =
            Resolver::new(&policy.options, policy.authenticator.operators(), &log).expect("resolver");
        let node = Node::new(identity, policy, log, threads, resolver);
        begin_network(&node);
        let event_loop = SteppedLoop::new(Driver::new(node.clone(), seed), began + now);
        let dialer = Dialer { server: number, wanted: wanted.clone() };
        let mut server = Self { event_loop, node, dialer, began, wires: BTreeMap::new(), next: None };
        server.turn(now, None);
        server
    }

    /// The most that waits for any other server or leaf node.
    pub fn pending_bytes(&self) -> usize {
        let delivery = &self.node.delivery;
        let routes = delivery.routes.open().iter().map(|route| route.session.peer.pending_bytes()).max();
        let gateways = delivery.gateways.open().iter().map(|one| one.session.peer.pending_bytes()).max();
        let leafs = self.node.connections.registry.open();
        let leafs = leafs.iter().map(|session| session.peer.pending_bytes()).max();
        [routes, gateways, leafs].into_iter().flatten().max().unwrap_or_default()
    }

    /// A dial of its has come to nothing.
    pub fn undialed(&mut self, now: Duration, number: u64) {
        clock::simulate(Some(self.began + now));
        self.event_loop.undialed(self.began + now, number, DialError::default());
        self.turn(now, None);
    }

    /// One turn, and what the network's state machines want of the dialer.
    fn turn(&mut self, now: Duration, happened: Option<(usize, Readiness)>) {
        let now = self.began + now;
        clock::simulate(Some(now));
        self.event_loop.turn(now, happened.map(|(end, readiness)| (end as RawFd, readiness)));
        loop {
            let mut is_done = true;
            while let Some(task) = self.node.cluster.task_due() {
                route_task(&self.node, &self.dialer, task);
                is_done = false;
            }
            while let Some(task) = self.node.hubs.task_due() {
                hub_task(&self.node, &self.dialer, &task);
                is_done = false;
            }
            while let Some(task) = self.node.supercluster.task_due() {
                gateway_task(&self.node, &self.dialer, task);
                is_done = false;
            }
            if self.event_loop.has_commands() {
                self.event_loop.turn(now, None);
                is_done = false;
            }
            if is_done {
                return;
            }
        }
    }

    pub fn opened(&mut self, now: Duration, end: End) {
        let Some((origin, remote)) = self.next.take() else { return };
        let (number, wire) = (end.number(), Wire::new(end));
        self.event_loop.take(Box::new(wire.clone()), Some(remote), origin);
        self.wires.insert(number, wire);
        self.turn(now, None);
    }

    pub fn received(&mut self, now: Duration, end: usize, bytes: &[u8]) {
        let Some(wire) = self.wires.get(&end) else { return };
        wire.arrive(bytes);
        self.turn(now, Some((end, Readiness { is_readable: true, ..Readiness::default() })));
    }

    pub fn writable(&mut self, now: Duration, end: usize) {
        self.turn(now, Some((end, Readiness { is_writable: true, ..Readiness::default() })));
    }

    pub fn closed(&mut self, now: Duration, end: usize) {
        let Some(wire) = self.wires.remove(&end) else { return };
        wire.end();
        self.turn(now, Some((end, Readiness { is_readable: true, is_writable: true, is_over: true })));
    }

    pub fn deadline(&self) -> Option<Duration> {
        let machines = [
            self.node.cluster.next_timeout(),
            self.node.hubs.next_timeout(),
            self.node.supercluster.next_timeout(),
        ];
        let first = machines.into_iter().flatten().chain(self.event_loop.deadline()).min();
        first.map(|at| at.saturating_duration_since(self.began))
    }

    pub fn expire(&mut self, now: Duration) {
        self.turn(now, None);
    }
}
