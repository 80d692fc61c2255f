//! Every fault at every call: nothing that was acknowledged is lost, nothing that was not submitted is there, and what was submitted
//! together is there together.

mod common;

use std::sync::Arc;

use common::{App, Digest, Op, options, plain_and_sealed, script};
use dialtone_store::{After, Disk, Fault, SimulatedDisk};

/// What was true after each operation, and how many of them were acknowledged.
struct Ran {
    digests: Vec<Digest>,
    acknowledged: usize,
}

/// Runs operations until the store fails.
fn run(disk: &SimulatedDisk, ops: &[Op]) -> Ran {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut ran = Ran { digests: vec![Digest::new()], acknowledged: 0 };
    let Ok((store, mut app)) = App::open(&shared, options()) else { return ran };
    for op in ops {
        let done = app.run(&store, op);
        ran.digests.push(app.digest());
        if done.is_none() {
            return ran;
        }
        ran.acknowledged = ran.digests.len() - 1;
    }
    ran
}

/// What is there must be what was true after some operation, the last acknowledged one or a later one.
#[track_caller]
fn check(disk: &SimulatedDisk, ran: &Ran, context: &str) {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (store, app) = match App::open(&shared, options()) {
        Ok(opened) => opened,
        Err(error) => {
            panic!("{context}: {error}: {:?}", std::error::Error::source(&error).map(ToString::to_string))
        }
    };
    assert_eq!(app.damage, [], "{context}");
    let digest = app.digest();
    let possible = &ran.digests[ran.acknowledged..];
    assert!(possible.contains(&digest), "{context}: there is {digest:?}, and could be {possible:?}");
    assert_eq!(app.read_all(&store), [], "{context}");
    // And it goes on from there.
    let mut app = app;
    for op in [Op::NewGroup(9), Op::Publish(9, 2, 10), Op::Checkpoint, Op::Note(9, 1)] {
        app.run(&store, &op).expect("the store works");
    }
    let after = app.digest();
    drop(store);
    let (store, app) = App::open(&shared, options()).expect("it opens once more");
    assert_eq!(app.digest(), after, "{context}");
    assert_eq!(app.read_all(&store), [], "{context}");
}

/// How many calls a run without faults makes.
fn calls(ops: &[Op]) -> u64 {
    let disk = SimulatedDisk::new();
    disk.fail_at(u64::MAX, Fault::Crash);
    let ran = run(&disk, ops);
    let calls = disk.stop_failing();
    assert_eq!(ran.acknowledged, ops.len());
    check(&disk, &ran, "without a fault");
    println!("a script of {} operations makes {calls} calls", ops.len());
    calls
}

fn seeds() -> u64 {
    std::env::var("STORE_FAULT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2)
}

#[test]
fn a_crash_at_any_call_loses_nothing_acknowledged() {
    plain_and_sealed(|| {
        for seed in 0..seeds() {
            let ops = script(seed, 40);
            for at in 1..=calls(&ops) {
                let disk = SimulatedDisk::new();
                disk.fail_at(at, Fault::Crash);
                let ran = run(&disk, &ops);
                for after in [After::Kill, After::PowerLoss(at), After::PowerLoss(at + 1_000_000)] {
                    let disk = disk.fork();
                    disk.restart(after);
                    check(&disk, &ran, &format!("seed {seed}, crash at call {at}, {after:?}"));
                }
            }
        }
    });
}

#[test]
fn a_crash_while_recovering_from_a_crash_loses_nothing_acknowledged() {
    plain_and_sealed(|| {
        for seed in 0..seeds() {
            let ops = script(seed + 100, 30);
            for at in 1..=calls(&ops) {
                let crashed = SimulatedDisk::new();
                crashed.fail_at(at, Fault::Crash);
                let ran = run(&crashed, &ops);
                crashed.restart(if at % 2 == 0 { After::Kill } else { After::PowerLoss(at) });
                for again in 1.. {
                    let disk = crashed.fork();
                    disk.fail_at(again, Fault::Crash);
                    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
                    let opened = App::open(&shared, options()).map(|_| ());
                    let calls = disk.stop_failing();
                    disk.restart(After::PowerLoss(at * 1000 + again));
                    check(
                        &disk,
                        &ran,
                        &format!("seed {seed}, crash at call {at}, and at {again} of the recovery"),
                    );
                    if opened.is_ok() && calls < again {
                        break;
                    }
                }
            }
        }
    });
}

#[test]
fn an_error_of_the_device_at_any_call_loses_nothing_acknowledged() {
    plain_and_sealed(|| {
        for seed in 0..seeds() {
            let ops = script(seed + 200, 40);
            for at in 1..=calls(&ops) {
                let disk = SimulatedDisk::new();
                disk.fail_at(at, Fault::Error);
                let ran = run(&disk, &ops);
                disk.stop_failing();
                for after in [After::Kill, After::PowerLoss(at)] {
                    let disk = disk.fork();
                    disk.restart(after);
                    check(&disk, &ran, &format!("seed {seed}, error at call {at}, {after:?}"));
                }
            }
        }
    });
}

#[test]
fn a_short_write_at_any_call_is_no_fault() {
    plain_and_sealed(|| {
        let ops = script(300, 40);
        for at in 1..=calls(&ops) {
            let disk = SimulatedDisk::new();
            disk.fail_at(at, Fault::Short);
            let ran = run(&disk, &ops);
            disk.stop_failing();
            assert_eq!(ran.acknowledged, ops.len(), "short write at call {at}");
            disk.restart(After::PowerLoss(at));
            check(&disk, &ran, &format!("short write at call {at}"));
        }
    });
}

#[test]
fn a_full_disk_at_any_call_refuses_and_recovers() {
    plain_and_sealed(|| {
        for seed in 0..seeds() {
            let ops = script(seed + 400, 40);
            for at in 1..=calls(&ops) {
                for calls in [1, 7] {
                    let disk = SimulatedDisk::new();
                    disk.fail_at(at, Fault::Full { calls });
                    let ran = run(&disk, &ops);
                    disk.stop_failing();
                    let context = format!("seed {seed}, full for {calls} calls from {at} on");
                    // A store that could not be made is made at the next start.
                    if ran.digests.len() > 1 {
                        assert_eq!(ran.acknowledged, ops.len(), "{context}");
                    }
                    disk.restart(After::PowerLoss(at));
                    check(&disk, &ran, &context);
                }
            }
        }
    });
}
