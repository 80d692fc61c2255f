//! A whole server in simulated time: what comes over links of the network goes to its event loop.

use super::carrier::Wire;
use super::plan::{Plan, Site};
use crate::policy::ListenerKind;
use crate::stepped::{Settings, SteppedServer, options};
use dialtone_net::{Dial, Origin, Readiness};
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

pub(super) struct Server {
    stepped: SteppedServer,
    number: usize,
    wanted: Wanted,
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
        let logs = std::env::var("LOGS").ok();
        let logged = logs
            .map(|to| format!("log_file: {:?}, debug: true, trace: true\n", format!("{to}/{}", site.name())));
        let config = plan.config(site) + &logged.unwrap_or_default();
        let mut seed = [0; 32];
        for (to, from) in seed.iter_mut().zip([plan.seed.to_le_bytes(), [number as u8; 8]].concat()) {
            *to = from;
        }
        seed[16..20].copy_from_slice(&start.to_le_bytes());
        let settings = Settings { options: options(&config), name: &site.name(), ports: &PORTS, seed };
        let stepped = SteppedServer::start(settings, began + now);
        let wanted = wanted.clone();
        let server = Self { stepped, number, wanted, began, wires: BTreeMap::new(), next: None };
        server.dial();
        server
    }

    /// The most that waits for any other server or leaf node.
    pub fn pending_bytes(&self) -> usize {
        self.stepped.pending_bytes()
    }

    /// A dial of its has come to nothing.
    pub fn undialed(&mut self, now: Duration, number: u64) {
        self.stepped.undialed(self.began + now, number);
        self.dial();
    }

    /// Hands on what it dials.
    fn dial(&self) {
        let dials = self.stepped.take_dials().into_iter().map(|dial| (self.number, dial));
        self.wanted.lock().extend(dials);
    }

    fn turn(&mut self, now: Duration, happened: Option<(usize, Readiness)>) {
        let happened = happened.map(|(end, readiness)| (end as RawFd, readiness));
        self.stepped.turn(self.began + now, happened);
        self.dial();
    }

    pub fn opened(&mut self, now: Duration, end: End) {
        let Some((origin, remote)) = self.next.take() else { return };
        let (number, wire) = (end.number(), Wire::new(end));
        self.wires.insert(number, wire.clone());
        self.stepped.open(self.began + now, Box::new(wire), remote, origin);
        self.dial();
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
        self.stepped.deadline().map(|at| at.saturating_duration_since(self.began))
    }

    pub fn expire(&mut self, now: Duration) {
        self.turn(now, None);
    }
}
