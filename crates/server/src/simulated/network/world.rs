//! Servers, clients and the network between them, in virtual time.

use super::client::Client;
use super::model::Spaces;
use super::plan::{ACCOUNTS, Plan, SUBJECTS, Step, TROUBLE};
use super::server::{self, Server, Wanted};
use crate::policy::ListenerKind;
use crate::stepped::seed_random;
use dialtone_net::{Dial, Origin};
use dialtone_sim::link::{Conditions, End};
use dialtone_sim::network::Network;
use dialtone_sim::process::Process;
use dialtone_sim::random::Random;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Within this time both ends notice that the other one is gone: two PINGs.
const STALE: Duration = Duration::from_secs(10);
/// How long a dial into a cut takes to fail.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);
/// From when all is whole until all is connected: a stale connection ends, and what was tried in vain is tried again.
pub(super) const PEACE: Duration = Duration::from_secs(30);
/// How long messages that were published may take.
const DELIVERY: Duration = Duration::from_secs(4);

pub(super) enum Part {
    Server(Box<Server>),
    Client(Box<Client>),
    Stranger(Stranger),
    /// A server that is not there.
    Gone,
}

impl Process for Part {
    fn opened(&mut self, now: Duration, end: End) {
        match self {
            Self::Server(server) => server.opened(now, end),
            Self::Client(client) => client.opened(end),
            Self::Stranger(stranger) => stranger.end = Some(end),
            Self::Gone => {}
        }
    }

    fn received(&mut self, now: Duration, end: usize, bytes: &[u8]) {
        match self {
            Self::Server(server) => server.received(now, end, bytes),
            Self::Client(client) => client.received(bytes),
            Self::Stranger(stranger) => stranger.got.extend_from_slice(bytes),
            Self::Gone => {}
        }
    }

    fn writable(&mut self, now: Duration, end: usize) {
        match self {
            Self::Server(server) => server.writable(now, end),
            Self::Client(client) => client.flush(),
            Self::Stranger(stranger) => stranger.flush(),
            Self::Gone => {}
        }
    }

    fn closed(&mut self, now: Duration, end: usize) {
        match self {
            Self::Server(server) => server.closed(now, end),
            Self::Client(client) => client.closed(end),
            Self::Stranger(stranger) => stranger.is_closed = true,
            Self::Gone => {}
        }
    }

    fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Server(server) => server.deadline(),
            Self::Client(_) | Self::Stranger(_) | Self::Gone => None,
        }
    }

    fn expire(&mut self, now: Duration) {
        if let Self::Server(server) = self {
            server.expire(now);
        }
    }
}

/// Somebody who connects and sends whatever a test says.
#[derive(Default)]
pub(super) struct Stranger {
    pub end: Option<End>,
    unsent: Vec<u8>,
    pub got: Vec<u8>,
    pub is_closed: bool,
}

impl Stranger {
    fn flush(&mut self) {
        let Some(end) = &self.end else { return };
        while let Ok(taken) = end.write(&[IoSlice::new(&self.unsent)]) {
            self.unsent.drain(..taken);
            if self.unsent.is_empty() {
                return;
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Step(usize),
    Start(usize),
    /// A dial of a server's reaches another one, for what that listens for there.
    Reaches {
        from: (usize, u32),
        number: u64,
        to: usize,
        listener: usize,
    },
    Fails {
        from: (usize, u32),
        number: u64,
    },
    /// Both ends notice that a connection is dead.
    Notices(usize),
}

/// A message that a client has published.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub client: usize,
    pub space: usize,
    pub subject: &'static str,
    pub body: String,
    /// The subscription that answers come by.
    pub inbox: Option<u32>,
}

pub(super) struct World<'p> {
    pub plan: &'p Plan,
    network: Network<Part>,
    began: Instant,
    /// How often each server has started.
    starts: Vec<u32>,
    /// Both ends of each link.
    links: Vec<[usize; 2]>,
    /// What does not reach what.
    cuts: BTreeSet<(usize, usize)>,
    queue: BinaryHeap<Reverse<(Duration, u64, Due)>>,
    planned: u64,
    wanted: Wanted,
    random: Random,
    spaces: Spaces,
    pub published: Vec<Published>,
    /// The groups of all subscriptions that ever were.
    pub queues: BTreeMap<(usize, u32), Option<&'static str>>,
}

impl<'p> World<'p> {
    pub fn new(plan: &'p Plan) -> Self {
        seed_random(Some(plan.seed));
        let servers = plan.sites().len();
        let mut world = Self {
            plan,
            network: Network::new(plan.seed),
            began: Instant::now(),
            starts: vec![0; servers],
            links: Vec::new(),
            cuts: BTreeSet::new(),
            queue: BinaryHeap::new(),
            planned: 0,
            wanted: Wanted::default(),
            random: Random::new(plan.seed ^ 0x5eed),
            spaces: Spaces::of(plan),
            published: Vec::new(),
            queues: BTreeMap::new(),
        };
        for server in 0..servers {
            world.network.add(Part::Gone);
            let at = world.random.between(Duration::ZERO, plan.starts_within);
            world.due(at, Due::Start(server));
        }
        for (number, client) in plan.clients.iter().enumerate() {
            let part = Client::new(number, ACCOUNTS[client.account], &client.subs);
            world.network.add(Part::Client(Box::new(part)));
        }
        for (step, (at, _)) in plan.steps.iter().enumerate() {
            world.due(*at, Due::Step(step));
        }
        world
    }

    /// A digest of all that arrived anywhere, and when.
    pub fn digest(&self) -> u64 {
        self.network.digest()
    }

    pub fn client(&mut self, client: usize) -> &mut Client {
        let servers = self.starts.len();
        match self.network.process(servers + client) {
            Some(Part::Client(client)) => client,
            _ => panic!("{client} is no client"),
        }
    }

    pub fn space_of(&self, client: usize) -> usize {
        let plan = &self.plan.clients[client];
        self.spaces.find(plan.site.domain, plan.account)
    }

    pub fn queue_of(&self, client: usize, sid: u32) -> Option<&'static str> {
        self.queues.get(&(client, sid)).copied().flatten()
    }

    /// Everything happens that the plan says, and then nothing more.
    pub fn play(&mut self) -> Result<(), String> {
        self.run_until(TROUBLE.max(self.plan.starts_within));
        self.check_always()?;
        self.heal();
        for server in 0..self.starts.len() {
            self.start(server);
        }
        self.connect_clients();
        self.pass(PEACE);
        self.check_deliveries()
    }

    /// Everybody publishes, and whoever is to get it does.
    pub fn check_deliveries(&mut self) -> Result<(), String> {
        let first = self.published.len();
        for client in 0..self.plan.clients.len() {
            for subject in SUBJECTS {
                self.publish(client, subject, false);
                self.publish(client, subject, true);
            }
        }
        self.pass(DELIVERY);
        self.check_always()?;
        self.check_whole(first)
    }

    pub fn pass(&mut self, time: Duration) {
        self.run_until(self.network.now() + time);
    }

    /// The most that waits at a server for another one.
    pub fn pending_bytes(&mut self, server: usize) -> usize {
        self.server(server).map_or(0, |server| server.pending_bytes())
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.links.len()
    }

    /// Somebody connects to a server; its number.
    pub fn stranger(&mut self, server: usize, listener: ListenerKind) -> usize {
        let number = self.network.add(Part::Stranger(Stranger::default()));
        if let Some(server) = self.server(server) {
            server.next =
                Some((Origin::Listener(listener.number()), SocketAddr::from(([192, 0, 2, 1], 60_000))));
        }
        self.network.connect(number, server, Conditions { window_bytes: 1 << 16, ..Conditions::default() });
        number
    }

    pub fn stranger_at(&mut self, number: usize) -> &mut Stranger {
        match self.network.process(number) {
            Some(Part::Stranger(stranger)) => stranger,
            _ => panic!("{number} is no stranger"),
        }
    }

    pub fn say(&mut self, stranger: usize, bytes: &[u8]) {
        let part = self.stranger_at(stranger);
        part.unsent.extend_from_slice(bytes);
        part.flush();
        self.network.settle();
    }

    fn due(&mut self, at: Duration, due: Due) {
        self.planned += 1;
        self.queue.push(Reverse((at, self.planned, due)));
    }

    fn run_until(&mut self, until: Duration) {
        self.network.settle();
        loop {
            self.take_dials();
            let next = self.network.next_time().filter(|at| *at <= until);
            match self.queue.peek().map(|Reverse((at, ..))| *at).filter(|at| *at <= until) {
                Some(at) if next.is_none_or(|next| at <= next) => {
                    self.network.run_until(at.max(self.network.now()));
                    if let Some(Reverse((_, _, due))) = self.queue.pop() {
                        self.happen(due);
                    }
                }
                _ if next.is_some() => drop(self.network.step()),
                _ => break,
            }
        }
        self.network.run_until(until);
    }

    fn server(&mut self, server: usize) -> Option<&mut Server> {
        match self.network.process(server) {
            Some(Part::Server(server)) => Some(server),
            _ => None,
        }
    }

    fn is_cut(&self, one: usize, other: usize) -> bool {
        self.cuts.contains(&(one, other)) || self.cuts.contains(&(other, one))
    }

    /// Plans what comes of the dials that servers want.
    fn take_dials(&mut self) {
        let wanted = std::mem::take(&mut *self.wanted.lock());
        for (from, dial) in wanted {
            let Dial { number, addresses, .. } = dial;
            let to = addresses.first().and_then(|address| server::at(*address));
            let to =
                to.and_then(|(site, kind)| Some((self.plan.sites().iter().position(|s| *s == site)?, kind)));
            let (from, after) = ((from, self.starts[from]), self.delay());
            match to {
                Some((to, kind)) if !self.is_cut(from.0, to) => {
                    let listener = kind.number();
                    self.due(self.network.now() + after, Due::Reaches { from, number, to, listener });
                }
                _ => self.due(self.network.now() + DIAL_TIMEOUT, Due::Fails { from, number }),
            }
        }
    }

    fn delay(&mut self) -> Duration {
        self.random.between(Duration::from_micros(20), self.plan.delay_max)
    }

    fn conditions(&self) -> Conditions {
        Conditions {
            delay_max: self.plan.delay_max,
            piece_bytes_max: self.plan.piece_bytes_max,
            ..Conditions::default()
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Step(step) => {
                let plan = self.plan;
                self.step(&plan.steps[step].1);
            }
            Due::Start(server) => self.start(server),
            Due::Reaches { from, number, to, listener } => self.reach(from, number, to, listener),
            Due::Fails { from: (from, start), number } => {
                let now = self.network.now();
                if self.starts[from] == start
                    && let Some(server) = self.server(from)
                {
                    server.undialed(now, number);
                    self.network.settle();
                }
            }
            Due::Notices(link) => {
                self.network.reset(link);
                self.network.mend(link);
            }
        }
    }

    fn reach(&mut self, (from, start): (usize, u32), number: u64, to: usize, listener: usize) {
        if self.starts[from] != start {
            return;
        }
        if self.is_cut(from, to) || self.server(to).is_none() {
            return self.due(self.network.now() + DIAL_TIMEOUT, Due::Fails { from: (from, start), number });
        }
        let sites = self.plan.sites();
        let origins = [(from, to, Origin::Dialed(number)), (to, from, Origin::Listener(listener))];
        for (own, other, origin) in origins {
            let remote = SocketAddr::new(server::address(sites[other]), 40_000);
            if let Some(server) = self.server(own) {
                server.next = Some((origin, remote));
            }
        }
        let conditions = self.conditions();
        self.network.connect(from, to, conditions);
        self.links.push([from, to]);
    }

    fn connect_clients(&mut self) {
        let servers = self.starts.len();
        for client in 0..self.plan.clients.len() {
            let site = self.plan.site_of(&self.plan.clients[client]);
            if self.client(client).is_connected() {
                continue;
            }
            let origin = Origin::Listener(ListenerKind::Clients.number());
            let Some(server) = self.server(site) else { continue };
            server.next = Some((origin, SocketAddr::from(([127, 0, 0, 1], 50_000))));
            self.network.connect(servers + client, site, Conditions::default());
            self.links.push([servers + client, site]);
            self.note_queues(client);
        }
    }

    fn note_queues(&mut self, client: usize) {
        let subs: Vec<_> = self.client(client).subs.iter().map(|(sid, sub)| (*sid, sub.queue)).collect();
        self.queues.extend(subs.into_iter().map(|(sid, queue)| ((client, sid), queue)));
    }

    fn publish(&mut self, client: usize, subject: &'static str, is_request: bool) {
        if !self.client(client).is_connected() {
            return;
        }
        let body = format!("m{}", self.published.len());
        let space = self.space_of(client);
        let own = self.client(client);
        let inbox = is_request.then(|| own.request(subject, &body));
        if inbox.is_none() {
            own.publish(subject, &body);
        }
        self.published.push(Published { client, space, subject, body, inbox });
        self.network.settle();
    }

    fn step(&mut self, step: &Step) {
        let count = self.starts.len();
        match step {
            Step::Crash { server, silent } => self.crash(server % count, *silent),
            Step::Start(server) => self.start(server % count),
            Step::Cut(bits) => {
                let side = |server: usize| bits >> (server % 64) & 1;
                let pairs = (0..count).flat_map(|one| (0..count).map(move |other| (one, other)));
                let apart: Vec<_> = pairs.filter(|(one, other)| side(*one) != side(*other)).collect();
                self.cut(apart);
            }
            Step::CutPair(one, other) => {
                self.cut([(one % count, other % count), (other % count, one % count)]);
            }
            Step::CutOneWay(one, other) => self.cut([(one % count, other % count)]),
            Step::Heal => self.heal(),
            Step::Break(one, other) => self.break_between(one % count, other % count),
            Step::Subscribe(client, sub) => {
                self.client(*client).subscribe(sub);
                self.note_queues(*client);
            }
            Step::Unsubscribe(client) => self.client(*client).unsubscribe(),
            Step::Publish(client, subject, is_request) => self.publish(*client, subject, *is_request),
            Step::Disconnect(client) => {
                self.client(*client).close();
                self.network.settle();
                self.connect_clients();
            }
        }
        self.network.settle();
    }

    fn cut(&mut self, pairs: impl IntoIterator<Item = (usize, usize)>) {
        for (from, to) in pairs.into_iter().filter(|(from, to)| from != to) {
            self.cuts.insert((from, to));
            for (link, ends) in self.links.iter().enumerate() {
                if *ends == [from, to] {
                    self.network.cut_toward(2 * link + 1);
                } else if *ends == [to, from] {
                    self.network.cut_toward(2 * link);
                }
            }
        }
    }

    fn heal(&mut self) {
        for (link, [one, other]) in self.links.iter().enumerate() {
            if self.cuts.contains(&(*one, *other)) || self.cuts.contains(&(*other, *one)) {
                self.network.mend(link);
            }
        }
        self.cuts.clear();
    }

    fn break_between(&mut self, one: usize, other: usize) {
        for link in 0..self.links.len() {
            if self.links[link] == [one, other] || self.links[link] == [other, one] {
                self.network.reset(link);
                self.network.mend(link);
            }
        }
    }

    fn crash(&mut self, server: usize, silent: bool) {
        if self.server(server).is_none() {
            return;
        }
        if let Some(part) = self.network.process(server) {
            *part = Part::Gone;
        }
        self.starts[server] += 1;
        for link in 0..self.links.len() {
            if self.links[link].contains(&server) {
                let is_client = self.links[link][0] >= self.starts.len();
                self.network.cut(link);
                let longest = if silent && !is_client { STALE } else { Duration::ZERO };
                let after = self.random.between(Duration::ZERO, longest);
                self.due(self.network.now() + after, Due::Notices(link));
            }
        }
    }

    fn start(&mut self, server: usize) {
        if self.server(server).is_some() {
            return;
        }
        self.starts[server] += 1;
        let (site, now) = (self.plan.sites()[server], self.network.now());
        let fresh =
            Server::start(self.plan, site, (server, self.starts[server]), self.began, now, &self.wanted);
        if let Some(part) = self.network.process(server) {
            *part = Part::Server(Box::new(fresh));
        }
        self.network.settle();
        self.connect_clients();
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        seed_random(None);
        crate::clock::simulate(None);
    }
}
