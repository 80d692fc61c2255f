//! Whole clusters whose servers hand clients over to each other, in simulated time: what must hold whatever the delays, and wherever the
//! clients that are sent away turn up.

use dialtone_mesh::ServerId;
use dialtone_mesh::balance::{Balance, REPORT_EVERY as REPORT_EVERY_IN_ROUND};
use dialtone_sim::random::Random;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// Servers report so often, each at its own second: in a round, and otherwise.
const REPORT_EVERY: [u64; 2] = [REPORT_EVERY_IN_ROUND.as_secs(), 10];
/// Seconds that a client stays at most when it was sent away.
const GRACE: u64 = 10;
/// Seconds that it takes at most from then on until it is connected elsewhere.
const RECONNECTS_WITHIN: usize = 8;

struct Server {
    id: ServerId,
    balance: Balance,
    /// When each of its clients came, the first ones first. Those that were sent away are not in it.
    clients: VecDeque<Instant>,
    phase: u64,
}

struct World {
    servers: Vec<Server>,
    random: Random,
    start: Instant,
    /// Clients on their way: when each arrives, and where.
    under_way: Vec<(u64, usize)>,
    /// When somebody was sent away last, and how many were in all.
    last: u64,
    sent: u64,
    /// Clients of servers that ended may be in no report, so the mean may be taken for lower than it is.
    restarted: bool,
}

/// Where a client goes that is sent away.
#[derive(Clone, Copy, Debug)]
enum Goes {
    /// To one of those that it was told of.
    AsTold,
    /// To any other, since it knows all.
    Anywhere,
    /// Back.
    Back,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = 2 + random.below(6);
        let start = Instant::now();
        let most = [3, 40, 5000][random.below(3)];
        let servers = (0..count)
            .map(|number| Server {
                id: ServerId::new(&number.to_string()),
                balance: Balance::default(),
                clients: std::iter::repeat_n(start - SECOND, random.below(most) * random.below(2)).collect(),
                phase: random.below(REPORT_EVERY[1] as usize) as u64,
            })
            .collect();
        Self { servers, random, start, under_way: Vec::new(), last: 0, sent: 0, restarted: false }
    }

    fn clients(&self, server: usize) -> u64 {
        self.servers[server].clients.len() as u64
    }

    fn counts(&self) -> Vec<u64> {
        (0..self.servers.len()).map(|server| self.clients(server)).collect()
    }

    fn total(&self) -> u64 {
        self.counts().iter().sum::<u64>() + self.under_way.len() as u64
    }

    fn mean(&self) -> u64 {
        self.total().div_ceil(self.servers.len() as u64)
    }

    /// Clients above the mean.
    fn above(&self) -> u64 {
        let mean = self.total() / self.servers.len() as u64;
        self.counts().iter().map(|clients| clients.saturating_sub(mean)).sum()
    }

    fn others(&mut self, than: usize) -> impl Iterator<Item = &mut Server> {
        self.servers
            .iter_mut()
            .enumerate()
            .filter(move |(number, _)| *number != than)
            .map(|(_, server)| server)
    }

    fn another(&mut self, than: usize) -> usize {
        let others = self.servers.len() - 1;
        (than + 1 + self.random.below(others)) % self.servers.len()
    }

    fn report(&mut self, from: usize, now: Instant) {
        let own = self.clients(from);
        let (clients, id) = (self.servers[from].balance.report(own, now), self.servers[from].id.clone());
        self.others(from).for_each(|server| server.balance.reported(id.clone(), clients, now));
    }

    /// A server sends all its clients to others, and starts again as another one.
    fn restart(&mut self, number: usize, second: u64) {
        self.restarted = true;
        let id = self.servers[number].id.clone();
        self.others(number).for_each(|server| server.balance.gone(&id));
        for _ in 0..self.clients(number) {
            let to = self.another(number);
            self.under_way.push((second + 1 + self.random.below(RECONNECTS_WITHIN) as u64, to));
        }
        let server = &mut self.servers[number];
        server.clients.clear();
        server.balance = Balance::default();
        server.id = ServerId::new(&format!("{}+", id.as_str()));
        self.report(number, self.start + SECOND * second as u32);
    }

    fn second(&mut self, second: u64, goes: Goes) {
        let now = self.start + SECOND * second as u32;
        let arrived: Vec<usize> =
            self.under_way.extract_if(.., |(at, _)| *at == second).map(|(_, to)| to).collect();
        arrived.into_iter().for_each(|to| self.servers[to].clients.push_back(now));
        for server in 0..self.servers.len() {
            let Server { balance, phase, .. } = &self.servers[server];
            let every = REPORT_EVERY[usize::from(!balance.is_active())];
            if second == 0 || second % every == phase % every {
                self.report(server, now);
            }
        }
        (0..self.servers.len()).for_each(|server| self.hand_over(server, second, goes));
    }

    fn hand_over(&mut self, from: usize, second: u64, goes: Goes) {
        let now = self.start + SECOND * second as u32;
        let (own, mean) = (self.clients(from), self.mean());
        let server = &mut self.servers[from];
        let Some(handover) = server.balance.next(own, now) else { return };
        let may_go = server.clients.partition_point(|came| *came < handover.before) as u64;
        let going = handover.clients.min(may_go);
        server.balance.sent(going, now + SECOND * GRACE as u32, now);
        if going == 0 {
            return;
        }
        server.clients.drain(..going as usize);
        (self.last, self.sent) = (second, self.sent + going);
        assert!(going <= (own / 100).max(1), "{going} of {own}");
        assert!(self.restarted || self.clients(from) >= mean, "{own} - {going} is below {mean}");
        for _ in 0..going {
            let to = match goes {
                Goes::Back => from,
                Goes::AsTold => {
                    let to = self.random.pick(&handover.to).expect("there is one").clone();
                    self.servers.iter().position(|server| server.id == to).expect("it is there")
                }
                Goes::Anywhere => self.another(from),
            };
            let closed = second + self.random.below(GRACE as usize + 1) as u64;
            self.under_way.push((closed + 1 + self.random.below(RECONNECTS_WITHIN) as u64, to));
        }
    }

    fn play(&mut self, seconds: std::ops::Range<u64>, goes: Goes) {
        seconds.for_each(|second| self.second(second, goes));
    }

    /// Within ten per cent, or one client where a client is more than that.
    fn is_even(&self) -> bool {
        let mean = self.mean();
        self.counts().iter().all(|clients| *clients <= (mean * 110 / 100).max(mean + 1))
    }
}

#[test]
fn clusters_become_even_and_stay_so() {
    for seed in 0..60 {
        let mut world = World::new(seed);
        let above = world.above();
        world.play(0..1500, Goes::AsTold);
        assert!(world.is_even(), "seed {seed}: {:?}", world.counts());
        assert!(world.last < 1000, "seed {seed}: somebody is sent away in second {}", world.last);
        // Nobody is sent to and fro: hardly more go than are above the mean.
        assert!(world.sent <= above + above / 4 + 2, "seed {seed}: {} of {above}", world.sent);
    }
}

#[test]
fn a_rolling_restart_ends_even() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        let mut second = 0;
        for number in 0..world.servers.len() {
            let pause = 5 + world.random.below(300) as u64;
            world.play(second..second + pause, Goes::AsTold);
            second += pause;
            world.restart(number, second);
        }
        let (before, restarted) = (world.sent, second);
        world.play(second..second + 1500, Goes::AsTold);
        assert!(world.is_even(), "seed {seed}: {:?}", world.counts());
        assert!(world.last < restarted + 1000, "seed {seed}: somebody is sent away in second {}", world.last);
        assert!(
            world.sent - before <= world.total(),
            "seed {seed}: {} of {}",
            world.sent - before,
            world.total()
        );
    }
}

#[test]
fn clients_that_choose_by_themselves_leave_no_server_below_the_mean() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        world.play(0..1500, Goes::Anywhere);
        assert!(world.last < 1400, "seed {seed}: somebody is sent away in second {}", world.last);
    }
}

#[test]
fn clients_that_come_back_are_left_alone() {
    for seed in 0..60 {
        let mut world = World::new(seed);
        let total = world.total();
        world.play(0..1500, Goes::Back);
        assert!(world.sent <= 2 * total, "seed {seed}: {} of {total}", world.sent);
        assert!(world.last < 1400, "seed {seed}: somebody is sent away in second {}", world.last);
    }
}
