//! Virtual time, and a network between servers.

use crate::node::{End, Node, address, server_at, settings};
use crate::plan::{Change, Plan, ServerPlan, Step, TROUBLE};
use dialtone_mesh::{Action, ClientUrls, DialFailure, DialId, Event, Lane, LinkId, RouteUrl};
use dialtone_sim::random::Random;
use dialtone_wire::route::{Connect, Info};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

/// How long servers have once all is whole.
pub const PEACE: Duration = Duration::from_secs(75);
/// After so long a connection is found dead whose other end said nothing.
const STALE: Duration = Duration::from_secs(10);
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

pub enum Message {
    Connect(Box<Connect>),
    Info(Box<Info>),
    Ping,
    Pong,
    /// The server says to all that it leaves.
    Leaving {
        id: String,
        for_good: bool,
    },
    End,
}

enum Due {
    Step(usize),
    Start(usize),
    Whole,
    Timeout(usize, u64),
    Arrives { connection: usize, side: usize, message: Message },
    Connects { from: (usize, usize), dial: DialId, to: usize },
    DialFails { from: (usize, usize), dial: DialId },
}

struct Connection {
    /// Server, which start of it, and its link; the link is gone once it is closed there.
    ends: [(usize, usize, LinkId); 2],
    /// When the last message arrives at each end.
    last: [Duration; 2],
    /// Nothing passes any more: bytes were lost.
    broken: bool,
}

pub struct World<'a> {
    plan: &'a Plan,
    /// How servers are configured after the reloads so far.
    configured: Vec<ServerPlan>,
    base: Instant,
    now: Duration,
    random: Random,
    due: BinaryHeap<Reverse<(Duration, u64)>>,
    events: BTreeMap<u64, Due>,
    planned: u64,
    pub nodes: Vec<Option<Node>>,
    starts: Vec<usize>,
    connections: Vec<Connection>,
    links: u64,
    cut: BTreeSet<(usize, usize)>,
    /// Who dialled whom, for what, and when.
    pub dialled: Vec<(Duration, usize, String, Lane)>,
    /// Who must not dial whom, which left for good.
    retired: BTreeSet<(usize, usize)>,
    timers: Vec<u64>,
    whole_at: Duration,
}

impl<'a> World<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        let count = plan.servers.len();
        let mut world = Self {
            plan,
            configured: plan.servers.clone(),
            base: Instant::now(),
            now: Duration::ZERO,
            random: Random::new(plan.seed ^ 0x5eed),
            due: BinaryHeap::new(),
            events: BTreeMap::new(),
            planned: 0,
            nodes: (0..count).map(|_| None).collect(),
            starts: vec![0; count],
            connections: Vec::new(),
            links: 0,
            cut: BTreeSet::new(),
            dialled: Vec::new(),
            retired: BTreeSet::new(),
            timers: vec![0; count],
            whole_at: TROUBLE,
        };
        for (number, server) in plan.servers.iter().enumerate() {
            world.plan_at(server.starts_at, Due::Start(number));
        }
        for (index, (at, _)) in plan.steps.iter().enumerate() {
            world.plan_at(*at, Due::Step(index));
        }
        world.plan_at(TROUBLE, Due::Whole);
        world
    }

    /// Plays on until then.
    pub fn run_until(&mut self, end: Duration) {
        while let Some(Reverse((at, number))) = self.due.peek().copied() {
            if at > end {
                break;
            }
            self.due.pop();
            self.now = at;
            if let Some(due) = self.events.remove(&number) {
                self.happen(due);
            }
        }
        self.now = end;
    }

    /// Since when nothing is wrong with the network and no server comes or goes.
    pub fn whole_at(&self) -> Duration {
        self.whole_at
    }

    pub fn server_plan(&self, server: usize) -> &ServerPlan {
        &self.configured[server]
    }

    pub fn same_connection(&self, one: (usize, LinkId), other: (usize, LinkId)) -> bool {
        let end = |(node, link): (usize, LinkId)| {
            self.nodes[node].as_ref().and_then(|node| node.links.get(&link).copied())
        };
        match (end(one), end(other)) {
            (Some(a), Some(b)) => a.connection == b.connection && a.side != b.side,
            _ => false,
        }
    }

    fn plan_at(&mut self, at: Duration, due: Due) {
        self.planned += 1;
        self.due.push(Reverse((at, self.planned)));
        self.events.insert(self.planned, due);
    }

    fn delay(&mut self) -> Duration {
        self.random.between(Duration::from_micros(50), self.plan.delay_max)
    }

    fn is_cut(&self, one: usize, other: usize) -> bool {
        self.cut.contains(&(one.min(other), one.max(other)))
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Step(index) => self.step(&self.plan.steps[index].1.clone()),
            Due::Start(server) => self.start(server),
            Due::Whole => {
                self.cut.clear();
                // At least two are there.
                for server in 0..2 {
                    self.start(server);
                }
                // Who is gone could be the only one who knew two parts.
                for server in 0..self.nodes.len() {
                    if self.is_needed(server) {
                        self.start(server);
                    }
                }
                // Who left for good and is back may be one whom it does not dial itself.
                let left = |(_, step): &(Duration, Step)| matches!(step, Step::Leave { for_good: true, .. });
                for server in (0..self.nodes.len()).filter(|_| self.plan.steps.iter().any(left)) {
                    if !self.configured[server].official {
                        self.read_again(server);
                    }
                }
            }
            Due::Timeout(server, timer) => {
                if self.timers[server] == timer {
                    self.handle(server, Event::Timeout);
                }
            }
            Due::Arrives { connection, side, message } => self.arrives(connection, side, message),
            Due::Connects { from, dial, to } => self.connects(from, dial, to),
            Due::DialFails { from: (server, start), dial } => {
                if self.starts[server] == start {
                    self.handle(server, Event::DialFailed { dial, failure: DialFailure::Unreachable });
                }
            }
        }
    }

    /// Whether a living server would find the others only by this one: routes are a graph that must hold together.
    fn is_needed(&self, _server: usize) -> bool {
        let alive = |server: &usize| self.nodes[*server].is_some();
        let Some(first) = (0..self.nodes.len()).find(|server| alive(server)) else { return false };
        let mut reached = BTreeSet::from([first]);
        let mut open = vec![first];
        while let Some(one) = open.pop() {
            for other in (0..self.nodes.len()).filter(alive) {
                let joined = self.configured[one].routes.contains(&other)
                    || self.configured[other].routes.contains(&one);
                if joined && reached.insert(other) {
                    open.push(other);
                }
            }
        }
        reached.len() < self.nodes.iter().flatten().count()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Leave { server, for_good } => self.leave(*server, *for_good),
            Step::Crash { server, silent } => self.crash(*server, *silent),
            Step::Start(server) => self.start(*server),
            Step::Cut(bits) => {
                for one in 0..self.nodes.len() {
                    for other in one + 1..self.nodes.len() {
                        if (bits >> one ^ bits >> other) & 1 == 1 {
                            self.cut_pair(one, other);
                        }
                    }
                }
            }
            Step::CutPair(one, other) => self.cut_pair(*one, *other),
            Step::Heal => self.cut.clear(),
            Step::Break(one, other) => self.break_between(*one, *other, Duration::ZERO),
            Step::Reload(server, change) => self.reload(*server, change),
            Step::Moves(server) => {
                if let Some(node) = self.nodes[*server].as_mut().filter(|node| !node.is_official) {
                    node.client_url = format!("{}-moved", node.client_url);
                    let urls = ClientUrls { plain: vec![node.client_url.clone()], ..ClientUrls::default() };
                    self.handle(*server, Event::ClientUrls(urls));
                }
            }
            Step::LameDuck(server) => {
                if let Some(node) = self.nodes[*server].as_mut().filter(|node| !node.is_official) {
                    node.lame_duck = true;
                    self.handle(*server, Event::LameDuck);
                }
            }
        }
    }

    fn reload(&mut self, server: usize, change: &Change) {
        if self.configured[server].official {
            return;
        }
        change.apply(&mut self.configured[server]);
        self.read_again(server);
    }

    fn read_again(&mut self, server: usize) {
        self.retired.retain(|(by, _)| *by != server);
        if let Some(node) = &self.nodes[server] {
            let settings = settings(&self.configured[server], &node.client_url);
            self.handle(server, Event::Reloaded(Box::new(settings)));
        }
    }

    fn cut_pair(&mut self, one: usize, other: usize) {
        if one != other {
            self.cut.insert((one.min(other), one.max(other)));
            self.break_between(one, other, STALE);
        }
    }

    /// Connections end, at each end at its own time.
    fn break_between(&mut self, one: usize, other: usize, within: Duration) {
        for connection in 0..self.connections.len() {
            let ends = self.connections[connection].ends.map(|(server, ..)| server);
            if ends == [one, other] || ends == [other, one] {
                self.connections[connection].broken = true;
                for side in [0, 1] {
                    let after = self.random.between(Duration::ZERO, within);
                    self.plan_at(self.now + after, Due::Arrives { connection, side, message: Message::End });
                }
            }
        }
    }

    fn leave(&mut self, server: usize, for_good: bool) {
        let Some(node) = &self.nodes[server] else { return };
        let id = node.id.clone();
        let ends: Vec<End> = node.joined.keys().filter_map(|link| node.links.get(link)).copied().collect();
        for end in ends {
            self.send(end, Message::Leaving { id: id.clone(), for_good });
        }
        self.crash(server, false);
    }

    fn crash(&mut self, server: usize, silent: bool) {
        let Some(node) = self.nodes[server].take() else { return };
        self.starts[server] += 1;
        self.timers[server] += 1;
        self.retired.retain(|(by, _)| *by != server);
        for end in node.links.values() {
            if silent {
                let after = self.random.between(Duration::ZERO, STALE);
                let arrives =
                    Due::Arrives { connection: end.connection, side: 1 - end.side, message: Message::End };
                self.plan_at(self.now + after, arrives);
            } else {
                self.send(*end, Message::End);
            }
        }
    }

    fn start(&mut self, server: usize) {
        if self.nodes[server].is_none() {
            self.retired.retain(|(_, other)| *other != server);
            self.nodes[server] =
                Some(Node::new(server, self.starts[server], &self.configured[server], self.plan.seed));
            self.handle(server, Event::Started);
        }
    }

    fn send(&mut self, end: End, message: Message) {
        let side = 1 - end.side;
        let delay = self.delay();
        let connection = &mut self.connections[end.connection];
        let at = (self.now + delay).max(connection.last[side] + Duration::from_nanos(1));
        connection.last[side] = at;
        if !connection.broken {
            self.plan_at(at, Due::Arrives { connection: end.connection, side, message });
        }
    }

    fn connects(&mut self, (from, start): (usize, usize), dial: DialId, to: usize) {
        if self.starts[from] != start || self.nodes[from].is_none() {
            return;
        }
        if self.nodes[to].is_none() || self.is_cut(from, to) {
            return self.handle(from, Event::DialFailed { dial, failure: DialFailure::Unreachable });
        }
        let connection = self.connections.len();
        self.links += 2;
        let (dialled, accepted) = (LinkId(self.links - 1), LinkId(self.links));
        let ends = [(from, self.starts[from], dialled), (to, self.starts[to], accepted)];
        self.connections.push(Connection { ends, last: [self.now; 2], broken: false });
        for (side, (server, _, link)) in ends.into_iter().enumerate() {
            if let Some(node) = &mut self.nodes[server] {
                node.links.insert(link, End { connection, side });
            }
        }
        self.handle(to, Event::Accepted { link: accepted, address: address(from) });
        self.handle(from, Event::Dialled { dial, link: dialled, address: address(to) });
    }

    fn arrives(&mut self, connection: usize, side: usize, message: Message) {
        let (server, start, link) = self.connections[connection].ends[side];
        if self.starts[server] != start {
            return;
        }
        let Some(node) = &mut self.nodes[server] else { return };
        let Some(end) = node.links.get(&link).copied() else { return };
        match message {
            Message::Connect(connect) => self.handle(server, Event::Connect { link, connect: &connect }),
            Message::Info(info) => self.handle(server, Event::Info { link, info: &info }),
            Message::Ping => self.send(end, Message::Pong),
            Message::Pong => self.handle(server, Event::Confirmed { link }),
            Message::Leaving { id, for_good } => {
                if for_good && !node.is_official {
                    let other = self.connections[connection].ends[1 - side].0;
                    self.retired.insert((server, other));
                }
                self.handle(server, Event::Left { server: &id, for_good });
            }
            Message::End => {
                node.links.remove(&link);
                node.joined.remove(&link);
                self.handle(server, Event::Lost { link });
            }
        }
    }

    fn handle(&mut self, server: usize, event: Event<'_>) {
        let now = self.base + self.now;
        let Some(node) = &mut self.nodes[server] else { return };
        let mut out = Vec::new();
        node.server.handle(event, now, &mut out);
        if std::env::var_os("SHOW").is_some() {
            println!("{:?} {server} {out:#?}", self.now);
        }
        for action in out {
            self.act(server, action);
        }
        self.timers[server] += 1;
        let next = self.nodes[server].as_ref().and_then(|node| node.server.next_timeout());
        if let Some(at) = next {
            let at = at.saturating_duration_since(self.base).max(self.now);
            self.plan_at(at, Due::Timeout(server, self.timers[server]));
        }
    }

    fn act(&mut self, server: usize, action: Action) {
        let Some(node) = &mut self.nodes[server] else { return };
        match action {
            Action::Dial { dial, url, lane, .. } => self.dial(server, dial, &url, lane),
            Action::SendConnect { link, connect } => {
                if let Some(end) = node.links.get(&link).copied() {
                    self.send(end, Message::Connect(connect));
                }
            }
            Action::SendInfo { link, info } => {
                if let Some(end) = node.links.get(&link).copied() {
                    self.send(end, Message::Info(info));
                }
            }
            Action::Join { link, server: other, place, .. } => {
                assert!(node.joined.insert(link, (other, place)).is_none(), "{link:?} joins twice");
                let end = node.links[&link];
                if end.side == 0 {
                    self.send(end, Message::Ping);
                }
            }
            Action::Close { link, .. } => {
                node.joined.remove(&link);
                if let Some(end) = node.links.remove(&link) {
                    self.send(end, Message::End);
                }
            }
            Action::PeerJoined { server: other, .. } => {
                assert!(!node.peers.contains(&other), "{other} joins twice");
                node.peers.push(other);
            }
            Action::PeerLeft { server: other } => {
                assert!(node.peers.contains(&other), "{other} leaves and was not there");
                node.peers.retain(|peer| *peer != other);
                assert!(
                    node.joined.values().all(|(joined, _)| *joined != other),
                    "{other} left and is joined"
                );
            }
            Action::ClientUrls(urls) => node.told_clients = urls,
            Action::LeafUrls(urls) => node.told_leafs = urls,
            Action::AccountMoves { .. }
            | Action::AccountReturns { .. }
            | Action::ClusterNamed(_)
            | Action::Note(_) => {}
        }
    }

    fn dial(&mut self, server: usize, dial: DialId, url: &RouteUrl, lane: Lane) {
        self.dialled.push((self.now, server, url.address(), lane));
        let from = (server, self.starts[server]);
        let left = server_at(url).is_some_and(|to| self.retired.contains(&(server, to)));
        assert!(!left, "at {:?} server {server} dials {url}, which left for good", self.now);
        let to = server_at(url).unwrap_or_else(|| self.random.below(self.nodes.len()));
        let to = Some(to).filter(|to| *to < self.nodes.len());
        match to {
            Some(to) if !self.is_cut(server, to) => {
                let at = self.now + self.delay();
                self.plan_at(at, Due::Connects { from, dial, to });
            }
            _ => self.plan_at(self.now + DIAL_TIMEOUT, Due::DialFails { from, dial }),
        }
    }
}
