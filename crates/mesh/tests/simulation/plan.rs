//! What happens in a world, as data that a seed makes.

use dialtone_sim::random::Random;
use std::time::Duration;

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
    /// 0: without pools.
    pub pool_size: u32,
    pub dedicated: Vec<&'static str>,
    /// Whether the cluster's name is made up.
    pub dynamic: bool,
    pub starts_at: Duration,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Says that it leaves, and goes.
    Leave(usize),
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
}

/// Until when steps happen. Then all is whole again.
pub const TROUBLE: Duration = Duration::from_secs(40);

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let more = if random.chance(20) { 10 } else { 4 };
        let count = 3 + random.below(more);
        let pool_size = [0, 1, 3, 3, 5][random.below(5)];
        let dynamic = random.chance(20);
        let uneven = random.chance(15);
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
                routes.sort_unstable();
                routes.dedup();
                let mut dedicated = vec!["$SYS"];
                if random.chance(50) || !uneven {
                    dedicated.push("AA");
                }
                ServerPlan {
                    routes,
                    pool_size: if uneven { [0, 1, 2, 3, 5][random.below(5)] } else { pool_size },
                    dedicated,
                    dynamic: dynamic && random.chance(70),
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

    fn step(&self, random: &mut Random) -> Step {
        let count = self.servers.len();
        let (one, other) = (random.below(count), random.below(count));
        match random.below(9) {
            0 => Step::Leave(one),
            1 => Step::Crash { server: one, silent: random.chance(50) },
            2 | 3 => Step::Start(one),
            4 => Step::Cut(random.number()),
            5 => Step::CutPair(one, other),
            6 => Step::Heal,
            7 => Step::Break(one, other),
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
            Step::Leave(server) | Step::Start(server) | Step::LameDuck(server) => *server == last,
            Step::Crash { server, .. } => *server == last,
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
