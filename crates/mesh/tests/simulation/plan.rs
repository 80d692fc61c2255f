//! What happens in a world, as data that a seed makes.

use dialtone_sim::random::Random;
use std::time::Duration;

/// Those that may have routes of their own.
pub const ACCOUNTS: [&str; 3] = ["$SYS", "AA", "BB"];

#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides delays.
    pub seed: u64,
    pub servers: Vec<ServerPlan>,
    pub steps: Vec<(Duration, Step)>,
    /// The longest time that a message travels.
    pub delay_max: Duration,
}

#[derive(Clone, Debug)]
pub struct ServerPlan {
    /// Configured routes, by number of the server; its own may be among them.
    pub routes: Vec<usize>,
    /// Whether the name that stands for all servers by turns is one of its routes.
    pub seeds: bool,
    /// 0: without pools.
    pub pool_size: u32,
    pub dedicated: Vec<&'static str>,
    /// Whether the cluster's name is made up.
    pub dynamic: bool,
    pub starts_at: Duration,
    pub official: bool,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Says that it leaves, and goes.
    Leave {
        server: usize,
        for_good: bool,
    },
    /// Is gone without a word; with `silent`, the others notice late.
    Crash {
        server: usize,
        silent: bool,
    },
    /// Comes (again), as another server at the same address.
    Start(usize),
    /// Those whose bit is set and the others do not reach each other.
    Cut(u64),
    /// These two do not.
    CutPair(usize, usize),
    Heal,
    /// All connections between two break.
    Break(usize, usize),
    LameDuck(usize),
    /// A reload; servers that are dead come back with it.
    Reload(usize, Change),
    /// Clients reach it elsewhere.
    Moves(usize),
}

#[derive(Clone, Debug)]
pub enum Change {
    PoolSize(u32),
    Dedicated(Vec<&'static str>),
    AddRoute(usize),
    /// Any but the first, which all rely on.
    RemoveRoute,
}

impl Change {
    fn of(random: &mut Random, other: usize) -> Self {
        match random.below(5) {
            0 => Self::PoolSize([0, 1, 3, 5][random.below(4)]),
            1 => Self::Dedicated(vec!["$SYS"]),
            2 => Self::Dedicated(ACCOUNTS.to_vec()),
            3 => Self::AddRoute(other),
            _ => Self::RemoveRoute,
        }
    }

    pub fn apply(&self, server: &mut ServerPlan) {
        match self {
            Self::PoolSize(size) => server.pool_size = *size,
            Self::Dedicated(accounts) => server.dedicated.clone_from(accounts),
            Self::AddRoute(other) if server.routes.contains(other) => {}
            Self::AddRoute(other) => server.routes.push(*other),
            Self::RemoveRoute => server.routes.truncate(server.routes.len().max(2) - 1),
        }
    }
}

/// Until when steps happen. Then all is whole again.
pub const TROUBLE: Duration = Duration::from_secs(40);

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let more = if random.chance(20) { 10 } else { 4 };
        let count = 3 + random.below(more);
        let pool_size = [0, 1, 3, 3, 5][random.below(5)];
        let dynamic = [0, 0, 0, 70, 100][random.below(5)];
        let uneven = random.chance(15);
        let seeds = random.chance(20);
        let together = random.chance(50);
        let servers = (0..count)
            .map(|me| {
                // Each has a route to an earlier one, so that all can be found.
                let mut routes = vec![if me == 0 { 0 } else { random.below(me) }];
                for other in 0..count {
                    if random.chance(25) {
                        routes.push(other);
                    }
                }
                let mut seen = Vec::new();
                routes.retain(|route| {
                    !seen.contains(route) && {
                        seen.push(*route);
                        true
                    }
                });
                let mut dedicated = vec!["$SYS"];
                if random.chance(50) || !uneven {
                    dedicated.push("AA");
                }
                ServerPlan {
                    official: false,
                    seeds,
                    routes,
                    pool_size: if uneven { [0, 1, 2, 3, 5][random.below(5)] } else { pool_size },
                    dedicated,
                    dynamic: random.chance(dynamic),
                    starts_at: if together {
                        Duration::ZERO
                    } else {
                        Duration::from_millis(random.below(8000) as u64)
                    },
                }
            })
            .collect();
        let mut plan = Self {
            seed,
            servers,
            steps: Vec::new(),
            delay_max: Duration::from_millis([2, 30, 300][random.below(3)]),
        };
        for _ in 0..random.below(8) {
            let step = plan.step(&mut random);
            plan.steps.push((Duration::from_millis(random.below(TROUBLE.as_millis() as usize) as u64), step));
        }
        plan.steps.sort_by_key(|(at, _)| *at);
        plan
    }

    /// Two servers that know each other and start at the same moment.
    pub fn pair(seed: u64, official: bool) -> Self {
        let mut random = Random::new(seed);
        let pool_size = [0, 1, 3, 5][random.below(4)];
        let server = |other: usize| ServerPlan {
            routes: vec![other],
            seeds: false,
            pool_size,
            dedicated: vec!["$SYS", "AA"],
            dynamic: false,
            starts_at: Duration::ZERO,
            official: official && other == 0,
        };
        let servers = vec![server(1), server(0)];
        Self { seed, servers, steps: Vec::new(), delay_max: Duration::from_millis(10) }
    }

    /// The same with official servers among them: a few, or all but one.
    pub fn mixed(seed: u64) -> Self {
        let mut plan = Self::of(seed);
        let mut random = Random::new(seed ^ 0x0ff1);
        let share = [20, 50, 80][random.below(3)];
        for server in &mut plan.servers {
            server.official = random.chance(share);
            // They dial a name with many addresses again and again, and likewise those whose made up name they do not take.
            server.seeds &= !server.official;
            server.dynamic &= !server.official;
            // So they do where one of two has no routes for an account.
            if server.official {
                server.dedicated = vec!["$SYS", "AA"];
            }
        }
        let ours = random.below(plan.servers.len());
        plan.servers[ours].official = false;
        plan
    }

    fn step(&self, random: &mut Random) -> Step {
        let count = self.servers.len();
        let (one, other) = (random.below(count), random.below(count));
        match random.below(12) {
            0 => Step::Leave { server: one, for_good: random.chance(50) },
            1 => Step::Crash { server: one, silent: random.chance(50) },
            2 | 3 => Step::Start(one),
            4 => Step::Cut(random.number()),
            5 => Step::CutPair(one, other),
            6 => Step::Heal,
            7 => Step::Break(one, other),
            8 => Step::Moves(one),
            9 | 10 => Step::Reload(one, Change::of(random, other)),
            _ => Step::LameDuck(one),
        }
    }

    /// The same with a little less in it, each way.
    pub fn smaller(&self) -> Vec<Self> {
        let without_step = (0..self.steps.len()).map(|index| {
            let mut plan = self.clone();
            plan.steps.remove(index);
            plan
        });
        let last = self.servers.len() - 1;
        let concerns_last = self.steps.iter().any(|(_, step)| match step {
            Step::Reload(server, Change::AddRoute(other)) => *server == last || *other == last,
            Step::Start(server) | Step::LameDuck(server) | Step::Moves(server) | Step::Reload(server, _) => {
                *server == last
            }
            Step::Leave { server, .. } | Step::Crash { server, .. } => *server == last,
            Step::CutPair(one, other) | Step::Break(one, other) => *one == last || *other == last,
            Step::Cut(_) | Step::Heal => false,
        });
        let without_server = (last > 1 && !concerns_last).then(|| {
            let mut plan = self.clone();
            plan.servers.pop();
            for server in &mut plan.servers {
                server.routes.retain(|route| *route != last);
            }
            plan
        });
        let with_one_route_less = self.servers.iter().enumerate().flat_map(|(me, server)| {
            (1..server.routes.len()).map(move |route| {
                let mut plan = self.clone();
                plan.servers[me].routes.remove(route);
                plan
            })
        });
        without_server.into_iter().chain(without_step).chain(with_one_route_less).collect()
    }
}
