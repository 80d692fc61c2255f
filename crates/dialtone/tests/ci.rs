//! What `.ci/run` promises: a stage that hangs fails by its name, with what ran, and costs the others nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A script under a limit of seconds, and the file that has what it printed.
fn within(seconds: u32, script: &str) -> (Output, String) {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("log");
    let mut command = Command::new(root().join(".ci/within"));
    command.arg(seconds.to_string()).arg(&file).args(["bash", "-c", script]);
    let output = command.output().expect("it starts");
    (output, fs::read_to_string(file).expect("a log"))
}

/// Whether a process is there and not about to be reaped.
fn runs(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn what_hangs_is_ended_with_all_that_it_started_and_is_named() {
    let (output, log) = within(1, "echo begun; setsid sleep 86399 & echo $!; sleep 86398");
    assert_eq!(output.status.code(), Some(124), "{log}");
    assert!(log.contains("not done after 1 s") && log.contains("sleep 86399"), "{log}");
    let child = log.lines().nth(1).expect("the number of the child");
    assert!(!runs(child), "{log}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), log);
}

#[test]
fn what_ends_in_time_has_its_own_exit_code_and_leaves_nothing_behind() {
    let (output, log) = within(3600, "echo done; exit 3");
    assert_eq!((output.status.code(), log.as_str()), (Some(3), "done\n"));
    let (output, log) = within(3600, "setsid sleep 86397 & echo $!");
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("has left processes behind"), "{log}");
    assert!(!runs(log.lines().next().expect("the number of the child")), "{log}");
}

#[test]
fn every_stage_has_a_limit_and_something_to_do_and_is_played() {
    let run = fs::read_to_string(root().join(".ci/run")).expect("the script");
    let does = fs::read_to_string(root().join(".ci/stage")).expect("the script");
    let stages: Vec<Vec<&str>> = run
        .lines()
        .filter_map(|line| line.strip_prefix("stage "))
        .map(|rest| rest.split(' ').collect())
        .collect();
    assert!(stages.len() > 10, "{stages:?}");
    for stage in stages {
        let [name, limit, lane, ..] = stage[..] else { panic!("a name, a limit and a lane: {stage:?}") };
        assert!(limit.parse::<u32>().is_ok_and(|limit| limit <= 2400), "{stage:?}");
        let played =
            |line: &str| line.strip_prefix("play ").is_some_and(|rest| rest.split(' ').next() == Some(lane));
        assert!(run.lines().any(played), "the lane of {stage:?} is played");
        assert!(does.contains(&format!("\n{}() {{", name.replace('-', "_"))), "{name} does something");
    }
}
