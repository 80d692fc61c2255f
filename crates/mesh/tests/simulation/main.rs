//! Clusters of simulated servers: random joins, leaves, crashes, partitions and delays, and what must be true once nothing more happens.
//!
//! Each world is a [`plan::Plan`] that a seed makes, and one that fails is made as small as it can be before it is printed. Some hundred
//! worlds are played each time; `SEEDS=50000 cargo test -p dialtone-mesh --test simulation --release` plays more, from seed `FIRST` on.

mod check;
mod node;
mod official;
mod plan;
mod world;

use plan::Plan;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use world::World;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

struct Figures {
    /// Seconds from when all was whole until the mesh was.
    together_after: u32,
    dials: usize,
}

/// What is wrong in a world, if anything.
fn play(plan: &Plan) -> Result<Figures, String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(plan);
        let (whole_at, second) = (world.whole_at(), Duration::from_secs(1));
        world.run_until(whole_at);
        let mut together_at = None;
        for seconds in 1..=world::PEACE.as_secs() as u32 {
            world.run_until(whole_at + second * seconds);
            together_at = check::mesh(&world).ok().and(together_at.or(Some(seconds)));
        }
        check::all(&world)
            .map(|()| Figures { together_after: together_at.unwrap_or_default(), dials: world.dialled.len() })
    }));
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("panic: {}", text.unwrap_or_else(|| "without words".into())))
    })
}

fn shrunk(mut plan: Plan) -> Plan {
    loop {
        let Some(smaller) = plan.smaller().into_iter().find(|smaller| play(smaller).is_err()) else {
            return plan;
        };
        plan = smaller;
    }
}

fn play_all(make: fn(u64) -> Plan, seeds: u64) {
    let first = number("FIRST", 0);
    let mut after: Vec<(u32, u64)> = Vec::new();
    let mut dials = 0;
    for seed in first..first + number("SEEDS", seeds) {
        match play(&make(seed)) {
            Ok(figures) => {
                after.push((figures.together_after, seed));
                dials += figures.dials;
            }
            Err(wrong) => {
                let plan = shrunk(make(seed));
                let smaller = play(&plan).err().unwrap_or_default();
                panic!("seed {seed}: {wrong}\nsmallest: {plan:#?}\n{smaller}");
            }
        }
    }
    after.sort_unstable();
    let at = |percent: usize| after[(after.len() - 1) * percent / 100];
    println!(
        "together after (seconds, seed): half {:?}, 99 % {:?}, all {:?}; {dials} dials",
        at(50),
        at(99),
        at(100)
    );
}

#[test]
fn servers_become_one_cluster() {
    play_all(Plan::of, 150);
}

#[test]
fn servers_and_official_ones_become_one_cluster() {
    play_all(Plan::mixed, 80);
}

/// Nothing has to be dialled again: of the routes that cross, one stays.
#[test]
fn two_servers_that_dial_each_other_are_connected_at_once() {
    for seed in 0..100 {
        for official in [false, true] {
            let plan = Plan::pair(seed, official);
            let mut world = World::new(&plan);
            world.run_until(Duration::from_millis(900));
            let wrong = check::mesh(&world).err();
            assert_eq!(wrong, None, "seed {seed}, official: {official}");
        }
    }
}
