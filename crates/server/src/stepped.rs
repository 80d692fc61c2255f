//! A whole server without threads and sockets, for simulations and for fuzzing: its event loop is turned by hand, its connections are
//! [`Carrier`]s, and whoever turns it makes the connections that it dials.

use crate::builder::begin_network;
use crate::clock;
use crate::dialed::Dials;
use crate::dialer::{gateway_task, hub_task, route_task};
use crate::driver::Driver;
use crate::log::Logger;
use crate::node::Node;
use crate::policy::{Identity, ListenerKind, Policy};
use crate::resolver::Resolver;
use dialtone_config::Options;
use dialtone_identity::callout::Keys;
use dialtone_identity::nkey::{Kind, Seed};
use dialtone_net::{Carrier, Dial, DialError, Origin, Readiness, SteppedLoop, Threads};
use dialtone_subject::hashing;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Instant;

/// What a server is made of beside its configuration.
pub struct Settings<'a> {
    /// Its configuration.
    pub options: Options,
    /// Its name.
    pub name: &'a str,
    /// The ports that it is said to listen on.
    pub ports: &'a [(ListenerKind, u16)],
    /// Decides its keys, and what its event loop draws at random.
    pub seed: [u8; 32],
}

#[derive(Default)]
struct Dialer(Mutex<Vec<Dial>>);

impl Dials for Dialer {
    fn dial(&self, dial: Dial) {
        self.0.lock().push(dial);
    }
}

/// A server, as of the time that it was turned to last.
pub struct SteppedServer {
    event_loop: SteppedLoop<Driver>,
    node: Arc<Node>,
    dialer: Dialer,
}

impl SteppedServer {
    /// One that starts now.
    ///
    /// # Panics
    /// The configuration cannot be used.
    pub fn start(settings: Settings<'_>, now: Instant) -> Self {
        clock::simulate(Some(now));
        let keys = Keys {
            seed: Seed::from_bytes(Kind::Server, settings.seed),
            curve: Seed::from_bytes(Kind::Curve, settings.seed),
        };
        let identity = Identity {
            id: keys.seed.public().to_string(),
            xkey: keys.curve.public().to_string(),
            keys: Arc::new(keys),
            name: settings.name.to_owned(),
            ports: settings.ports.iter().copied().collect::<BTreeMap<_, _>>(),
        };
        let policy = Policy::new(settings.options, &identity).expect("policy");
        let threads = Threads::default();
        let log = match policy.options.log.file {
            Some(_) => Logger::new(&policy.options.log, &threads).expect("a log"),
            None => Logger::silent(),
        };
        let resolver =
            Resolver::new(&policy.options, policy.authenticator.operators(), &log).expect("resolver");
        let node = Node::new(identity, policy, log, threads, resolver);
        begin_network(&node);
        let event_loop = SteppedLoop::new(Driver::new(node.clone(), settings.seed), now);
        let mut server = Self { event_loop, node, dialer: Dialer::default() };
        server.turn(now, None);
        server
    }

    /// What its parts share.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Connections that it wants, each once. What becomes of one it is told by [`Self::open`] or [`Self::undialed`].
    pub fn take_dials(&self) -> Vec<Dial> {
        std::mem::take(&mut *self.dialer.0.lock())
    }

    /// A connection comes, or one that it wanted is there.
    pub fn open(&mut self, now: Instant, carrier: Box<dyn Carrier>, remote: SocketAddr, origin: Origin) {
        self.event_loop.take(carrier, Some(remote), origin);
        self.turn(now, None);
    }

    /// Somebody connects where it listens.
    pub fn accept(&mut self, now: Instant, carrier: Box<dyn Carrier>, remote: SocketAddr, at: ListenerKind) {
        self.open(now, carrier, remote, Origin::Listener(at.number()));
    }

    /// A connection that it wanted could not be made.
    pub fn undialed(&mut self, now: Instant, number: u64) {
        clock::simulate(Some(now));
        self.event_loop.undialed(now, number, DialError::default());
        self.turn(now, None);
    }

    /// One turn, in which this has happened at the carrier of a number, and what the network's state machines want of the dialer.
    pub fn turn(&mut self, now: Instant, happened: Option<(RawFd, Readiness)>) {
        clock::simulate(Some(now));
        self.event_loop.turn(now, happened);
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

    /// When a turn is due, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let machines = [
            self.node.cluster.next_timeout(),
            self.node.hubs.next_timeout(),
            self.node.supercluster.next_timeout(),
        ];
        machines.into_iter().flatten().chain(self.event_loop.deadline()).min()
    }

    /// The most bytes that wait for any other server or leaf node.
    pub fn pending_bytes(&self) -> usize {
        let delivery = &self.node.delivery;
        let routes = delivery.routes.open().iter().map(|route| route.session.peer.pending_bytes()).max();
        let gateways = delivery.gateways.open().iter().map(|one| one.session.peer.pending_bytes()).max();
        let others = self.node.connections.registry.open();
        let others = others.iter().map(|session| session.peer.pending_bytes()).max();
        [routes, gateways, others].into_iter().flatten().max().unwrap_or_default()
    }
}

/// What a configuration without files says.
///
/// # Panics
/// It cannot be read.
pub fn options(config: &str) -> Options {
    let mut no_files = |path: &std::path::Path| Err(std::io::Error::other(path.display().to_string()));
    dialtone_config::load_text(config, "t.conf", &mut no_files, &|_| None).expect("options")
}

/// Has all random numbers of this thread, and the order of its tables, come from a seed; `None`: from the system.
pub fn seed_random(seed: Option<u64>) {
    crate::random::simulate(seed);
    hashing::simulate(seed);
}
