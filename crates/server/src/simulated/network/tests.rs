//! Random worlds are played, and the first that fails is made small.
#![cfg(test)]

use super::plan::Plan;
use super::world::World;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What is wrong in a world, if anything.
fn play(plan: &Plan) -> Result<(), String> {
    let played = catch_unwind(AssertUnwindSafe(|| World::new(plan).play()));
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

fn shrunk(mut plan: Plan) -> Plan {
    while let Some(smaller) = plan.smaller().into_iter().find(|smaller| play(smaller).is_err()) {
        plan = smaller;
    }
    plan
}

/// Plays worlds on all cores, and shows the first that fails.
fn play_all(make: fn(u64) -> Plan, seeds: u64) {
    let (next, first) = (AtomicU64::new(0), number("FIRST", 0));
    let seeds = number("SEEDS", seeds);
    let failed: Mutex<Option<(u64, String)>> = Mutex::default();
    let play_some = || {
        while failed.lock().expect("not poisoned").is_none() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= seeds {
                return;
            }
            if let Err(wrong) = play(&make(first + index)) {
                failed.lock().expect("not poisoned").get_or_insert((first + index, wrong));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(play_some))));
    if let Some((seed, wrong)) = failed.lock().expect("not poisoned").take() {
        let plan = shrunk(make(seed));
        let smaller = play(&plan).err().unwrap_or_default();
        let again = format!("FIRST={seed} SEEDS=1 cargo test -p dialtone-server --lib simulated::network");
        panic!("seed {seed}: {wrong}\nsmallest: {plan:?}\n{smaller}\nagain: {again}");
    }
}

#[test]
fn whoever_is_connected_gets_what_the_model_says() {
    play_all(Plan::of, 2000);
}

#[test]
fn a_hundred_servers_deliver_what_the_model_says() {
    play_all(Plan::large, 5);
}

/// What arrived where in a world, and when.
fn digest(plan: &Plan) -> u64 {
    let mut world = World::new(plan);
    let played = world.play();
    assert_eq!(played, Ok(()));
    world.digest()
}

/// A process that has this variable only prints the digests.
const PRINTS: &str = "PRINT_DIGESTS";

/// Tables are hashed in another way in each process, and addresses differ: neither may decide what is sent, or when.
#[test]
fn a_seed_replays_in_another_process_byte_for_byte() {
    let digests: Vec<String> =
        (100..106).map(|seed| format!("{seed}={:016x}", digest(&Plan::of(seed)))).collect();
    if std::env::var_os(PRINTS).is_some() {
        return println!("{}", digests.join("\n"));
    }
    let name = std::thread::current().name().expect("a test's thread has its name").to_owned();
    let mut other = Command::new(std::env::current_exe().expect("a path"));
    let printed = other.args([&name, "--exact", "--nocapture"]).env(PRINTS, "1").output().expect("it ran");
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    for digest in &digests {
        assert!(printed.contains(digest), "{digest} is not in {printed}");
    }
}
