//! Clusters of simulated servers: random joins, leaves, crashes, partitions and delays, and what must be true once nothing more happens.
//!
//! Each world is a [`plan::Plan`] that a seed makes, and one that fails is made as small as it can be before it is printed. Some hundred
//! worlds are played each time; `SEEDS=50000 cargo test -p dialtone-mesh --test simulation --release` plays more, from seed `FIRST` on.

mod check;
mod node;
mod plan;
mod world;

use plan::Plan;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What is wrong in a world, if anything.
fn play(plan: &Plan) -> Result<world::Figures, String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(plan);
        world.run();
        check::all(&world).map(|()| world.figures())
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
    let mut slowest = (std::time::Duration::ZERO, 0);
    let mut dials = 0;
    for seed in first..first + number("SEEDS", seeds) {
        match play(&make(seed)) {
            Ok(figures) => {
                slowest = slowest.max((figures.converged_after, seed));
                dials += figures.dials;
            }
            Err(wrong) => {
                let plan = shrunk(make(seed));
                let smaller = play(&plan).err().unwrap_or_default();
                panic!("seed {seed}: {wrong}\nsmallest: {plan:#?}\n{smaller}");
            }
        }
    }
    println!("slowest to come together: {} ms (seed {}); {dials} dials", slowest.0.as_millis(), slowest.1);
}

#[test]
fn servers_become_one_cluster() {
    play_all(Plan::of, 200);
}
