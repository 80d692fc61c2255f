//! A server and its clients in simulated time, without sockets: what drives the state machine of clients in tests.
//!
//! Each event loop is a process of its own, as each is a thread of its own in a server, and delivers into the connections of the others.

mod conduct;
mod event_loop;
mod network;
mod player;
mod tests;

use crate::driver::Driver;
use crate::log::Logger;
use crate::node::Node;
use crate::policy::{Identity, ListenerKind, Policy};
use crate::protocol::Connection;
use crate::resolver::Resolver;
use dialtone_identity::callout::Keys;
use dialtone_identity::nkey::{Kind, Seed};
use dialtone_net::Threads;
use dialtone_sim::link::{Conditions, End};
use dialtone_sim::network::Network;
use dialtone_sim::process::Process;
use event_loop::EventLoop;
use player::Player;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A link without delay.
const AT_ONCE: Conditions = Conditions {
    delay_min: Duration::ZERO,
    delay_max: Duration::ZERO,
    piece_bytes_max: usize::MAX,
    window_bytes: 1 << 20,
};

/// What takes part.
enum Actor {
    EventLoop(Box<EventLoop>),
    Player(Player),
}

/// Says the same of both kinds of actors.
macro_rules! either {
    ($actor:expr, $part:ident => $result:expr) => {
        match $actor {
            Actor::EventLoop($part) => $result,
            Actor::Player($part) => $result,
        }
    };
}

impl Process for Actor {
    fn opened(&mut self, now: Duration, end: End) {
        either!(self, part => part.opened(now, end));
    }

    fn received(&mut self, now: Duration, end: usize, bytes: &[u8]) {
        either!(self, part => part.received(now, end, bytes));
    }

    fn writable(&mut self, now: Duration, end: usize) {
        either!(self, part => part.writable(now, end));
    }

    fn closed(&mut self, now: Duration, end: usize) {
        either!(self, part => part.closed(now, end));
    }

    fn deadline(&self) -> Option<Duration> {
        either!(self, part => part.deadline())
    }

    fn expire(&mut self, now: Duration) {
        either!(self, part => part.expire(now));
    }

    fn is_called(&self) -> bool {
        either!(self, part => part.is_called())
    }

    fn called(&mut self, now: Duration) {
        either!(self, part => part.called(now));
    }
}

/// A server with some event loops, and the network that it is in.
struct World {
    network: Network<Actor>,
    loops: usize,
    node: Arc<Node>,
}

impl World {
    /// A server with this configuration. The seed decides all that is random.
    fn new(seed: u64, config: &str, loops: usize) -> Self {
        let mut no_files = |path: &std::path::Path| Err(std::io::Error::other(path.display().to_string()));
        let options =
            dialtone_config::load_text(config, "t.conf", &mut no_files, &|_| None).expect("options");
        let log = Logger::silent();
        let keys = Keys {
            seed: Seed::from_bytes(Kind::Server, [1; 32]),
            curve: Seed::from_bytes(Kind::Curve, [2; 32]),
        };
        let (id, xkey) = (keys.seed.public().to_string(), keys.curve.public().to_string());
        let identity = Identity {
            id,
            xkey,
            keys: Arc::new(keys),
            name: "simulated".into(),
            ports: [(ListenerKind::Clients, 4222)].into(),
        };
        let policy = Policy::new(options, &identity).expect("policy");
        let resolver =
            Resolver::new(&policy.options, policy.authenticator.operators(), &log).expect("resolver");
        let node = Node::new(identity, policy, log, Threads::default(), resolver);
        let (mut network, began) = (Network::new(seed), Instant::now());
        for index in 0..loops {
            let driver = Driver::new(node.clone(), [index as u8 + 1; 32]);
            network.add(Actor::EventLoop(Box::new(EventLoop::new(driver, began))));
        }
        Self { network, loops, node }
    }

    /// A client of one of the loops, which sends `CONNECT` with these fields, and its link.
    fn player(&mut self, connect: &str, conditions: Conditions) -> (usize, usize) {
        let number = self.network.add(Actor::Player(Player::default()));
        let event_loop = self.network.random().below(self.loops);
        let link = self.network.connect(number, event_loop, conditions);
        self.send(number, format!("CONNECT {connect}\r\n").as_bytes());
        (number, link)
    }

    /// A client that says nothing yet.
    fn stranger(&mut self) -> usize {
        let number = self.network.add(Actor::Player(Player::default()));
        self.network.connect(number, 0, AT_ONCE);
        self.pass(Duration::from_millis(1));
        number
    }

    /// The first event loop.
    fn event_loop(&mut self) -> &mut EventLoop {
        match self.network.process(0) {
            Some(Actor::EventLoop(event_loop)) => event_loop,
            _ => panic!("the first actor is an event loop"),
        }
    }

    /// Does something with the connection of the first event loop that came last.
    fn with_newest(&mut self, act: impl FnOnce(&mut Driver, &mut Connection)) {
        let now = self.network.now();
        self.event_loop().with_newest(now, act);
        self.pass(Duration::from_millis(1));
    }

    /// The INFO that a player got so far.
    fn infos(&mut self, player: usize) -> Vec<serde_json::Value> {
        let got = String::from_utf8_lossy(&self.at(player).got).into_owned();
        let infos = got.lines().filter_map(|line| line.strip_prefix("INFO "));
        infos.map(|info| serde_json::from_str(info).expect("JSON")).collect()
    }

    fn at(&mut self, player: usize) -> &mut Player {
        match self.network.process(player) {
            Some(Actor::Player(player)) => player,
            _ => panic!("{player} is no player"),
        }
    }

    fn send(&mut self, player: usize, bytes: &[u8]) {
        self.at(player).send(bytes);
        self.network.settle();
    }

    /// Lets this much time pass.
    fn pass(&mut self, time: Duration) {
        self.network.run_until(self.network.now() + time);
    }

    /// What a player got of the protocol so far, INFO aside.
    fn got(&mut self, player: usize) -> String {
        let got = String::from_utf8_lossy(&self.at(player).got).into_owned();
        got.split_inclusive("\r\n").filter(|line| !line.starts_with("INFO ")).collect()
    }
}
