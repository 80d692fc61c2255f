//! Panics are looked at from outside: a test runs itself again as a child, which panics.

use super::{PANIC_EXIT_CODE, Threads, Watch, apart, contained};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Names what a child is to do.
const ROLE: &str = "DIALTONE_TEST_PANIC";

/// Runs the test of this name again, in the role of a child.
fn child(test: &str, role: &str) -> Output {
    let test = format!("threads::tests::{test}");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([&test, "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command.output().expect("the child runs")
}

fn threads() -> Threads {
    let threads = Threads::default();
    threads.at_panic(|panic| {
        eprintln!("report: {panic}");
        std::process::exit(PANIC_EXIT_CODE);
    });
    threads
}

fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

#[test]
fn a_panic_is_reported_with_its_place_and_ends_the_process() {
    match std::env::var(ROLE).as_deref() {
        Ok("spawned") => {
            threads().spawn("worker", || panic!("no {}", "reason")).expect("thread");
            wait_for_ever();
        }
        Ok("unset") => {
            Threads::default().spawn("worker", || panic!("no reason")).expect("thread");
            wait_for_ever();
        }
        Ok("caught") => {
            // As a runtime catches the panics of its tasks.
            let run = || drop(std::panic::catch_unwind(|| panic!("no reason")));
            threads().spawn("worker", run).expect("thread");
            wait_for_ever();
        }
        Ok("apart") => {
            let run = || apart("errand", || panic!("no reason")).expect("thread");
            threads().spawn("worker", run).expect("thread");
            wait_for_ever();
        }
        Ok("contained") => {
            // Only what is contained is forgiven, and only once.
            let run = || {
                assert_eq!(contained(|| panic!("a peer's fault")), None::<()>);
                assert_eq!(contained(|| 7), Some(7));
                eprintln!("goes on");
                panic!("no reason");
            };
            threads().spawn("worker", run).expect("thread");
            wait_for_ever();
        }
        Ok("foreign") => {
            // A thread of the program that the server is part of: its panics are not the server's.
            threads().spawn("worker", || ()).expect("thread").join().expect("ended");
            let foreign = std::thread::spawn(|| panic!("not ours"));
            assert!(foreign.join().is_err());
        }
        _ => {
            let test = "a_panic_is_reported_with_its_place_and_ends_the_process";
            for (role, thread, reported) in [
                ("spawned", "worker", true),
                ("unset", "worker", false),
                ("caught", "worker", true),
                ("apart", "errand", true),
                ("contained", "worker", true),
            ] {
                let output = child(test, role);
                let text = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(PANIC_EXIT_CODE), "{role}: {text}");
                let report =
                    format!("report: thread {thread:?} panicked at crates/net/src/threads/tests.rs:");
                assert_eq!(text.contains(&report), reported, "{role}: {text}");
                assert!(text.contains("no reason"), "{role}: {text}");
                assert_eq!(text.contains("goes on"), role == "contained", "{role}: {text}");
            }
            let output = child(test, "foreign");
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !text.contains("report:"), "{text}");
        }
    }
}

#[test]
fn a_thread_whose_panic_was_taken_note_of_is_a_fault_for_ever() {
    match std::env::var(ROLE).as_deref() {
        Ok(_) => {
            let threads = Threads::default();
            threads.at_panic(|_| ());
            assert_eq!(threads.fault(Instant::now()), None);
            assert!(threads.spawn("worker", || panic!("no reason")).expect("thread").join().is_err());
            let fault = threads.fault(Instant::now()).expect("a fault");
            assert!(fault.starts_with("thread \"worker\" panicked at crates/net/"), "{fault}");
        }
        Err(_) => {
            let output = child("a_thread_whose_panic_was_taken_note_of_is_a_fault_for_ever", "noted");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_thread_that_stays_at_the_same_work_is_a_fault() {
    let (threads, start) = (Threads::default(), Instant::now());
    let progress = threads.watch("loop-0", Watch::new(PATIENCE));
    let fault = |seconds| threads.fault(start + Duration::from_secs(seconds));
    // Without work it may rest as long as it likes.
    assert_eq!((fault(0), fault(1000)), (None, None));
    progress.begin();
    assert_eq!((fault(2000), fault(2009)), (None, None));
    assert_eq!(fault(2010).as_deref(), Some("thread loop-0 stands still for 10 s at the same work"));
    progress.end();
    assert_eq!(fault(2011), None);
    progress.begin();
    assert_eq!((fault(2012), fault(2021)), (None, None));
    // Other work of the same kind is progress.
    progress.next();
    assert_eq!((fault(2022), fault(2031)), (None, None));
    assert!(fault(2032).is_some());
    drop(progress);
    assert_eq!(fault(2033), None, "a thread that ended is watched no more");
}

#[test]
fn a_thread_that_does_not_begin_what_waits_is_a_fault() {
    let (threads, start) = (Threads::default(), Instant::now());
    let waits = Arc::new(AtomicBool::new(false));
    let its = waits.clone();
    let watch = Watch::new(PATIENCE).waiting(move || its.load(Ordering::Relaxed));
    let _progress = threads.watch("control", watch);
    let fault = |seconds| threads.fault(start + Duration::from_secs(seconds));
    assert_eq!((fault(0), fault(100)), (None, None));
    waits.store(true, Ordering::Relaxed);
    assert_eq!((fault(200), fault(209)), (None, None));
    assert_eq!(fault(210).as_deref(), Some("thread control stands still for 10 s with work waiting"));
    let other = threads.watch("loop-1", Watch::new(PATIENCE));
    other.begin();
    assert!(fault(220).is_some());
    let both = "thread control stands still for 30 s with work waiting, thread loop-1 stands still for 10 s at the same work";
    assert_eq!(fault(230).as_deref(), Some(both));
    other.end();
    waits.store(false, Ordering::Relaxed);
    assert_eq!(fault(231), None);
}
