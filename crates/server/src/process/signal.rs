//! `--signal`: a signal to a server that runs elsewhere.

use dialtone_config::flags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use std::io;

/// Why no signal was sent. The texts are the official server's.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// There is no such process.
    #[error("no dialtone processes running")]
    NoProcess,
    /// There are several.
    #[error("multiple dialtone processes running:\n{0}")]
    Several(String),
    /// That is no process id, nor a file that holds one.
    #[error("invalid pid: {0}")]
    NoPid(String),
    /// The system refuses, for each of these processes.
    #[error("{0}")]
    Refused(String),
}

/// Sends a signal. The process is named by its number, by the beginning of its number and a `*` (all of these), by pid
/// file, or be the only one of its name.
///
/// Errors: see [`SignalError`].
pub fn send(signal: flags::Signal, target: Option<&str>) -> Result<(), SignalError> {
    let (name, number) = match signal {
        flags::Signal::Stop => ("stop", Signal::KILL),
        flags::Signal::Quit => ("quit", Signal::INT),
        flags::Signal::Term => ("term", Signal::TERM),
        flags::Signal::Reopen => ("reopen", Signal::USR1),
        flags::Signal::Reload => ("reload", Signal::HUP),
        flags::Signal::LameDuck => ("ldm", Signal::USR2),
    };
    let pids = match target.filter(|target| !target.is_empty()) {
        None => vec![only(&running())?],
        Some(target) => match target.strip_suffix('*') {
            Some(start) if start.bytes().all(|b| b.is_ascii_digit()) => {
                running().into_iter().filter(|pid| pid.to_string().starts_with(start)).collect()
            }
            _ => vec![named(target)?],
        },
    };
    let mut refused = String::new();
    for pid in pids {
        let process = Pid::from_raw(pid).ok_or(SignalError::NoProcess)?;
        if let Err(e) = kill_process(process, number) {
            let why =
                if e == Errno::SRCH { "no such process".to_owned() } else { io::Error::from(e).to_string() };
            refused += &format!("\nsignal {name:?} {pid}: {why}");
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(SignalError::Refused(refused)) }
}

/// The process id that `target` is, or that the file holds. Never 0 or less: to the system these are groups of
/// processes, and -1 is all of them.
fn named(target: &str) -> Result<i32, SignalError> {
    let text = if target.parse::<i32>().is_ok() {
        target.to_owned()
    } else {
        std::fs::read_to_string(target).map_err(|_| SignalError::NoPid(target.to_owned()))?
    };
    let pid = text.trim();
    let short: String = pid.chars().take(PID_CHARS_SHOWN_MAX).collect();
    pid.parse().ok().filter(|&pid| pid > 0).ok_or(SignalError::NoPid(short))
}

/// Characters that an error shows of a file that holds no process id.
const PID_CHARS_SHOWN_MAX: usize = 64;

/// Bytes of a process's name that the system keeps.
const COMM_BYTES: usize = 15;

/// Other processes that run this program, whatever it is called.
fn running() -> Vec<i32> {
    let own = std::process::id().cast_signed();
    let mut names = [super::program(), "dialtone".to_owned()];
    names.iter_mut().for_each(|name| *name = name.chars().take(COMM_BYTES).collect());
    let mut found: Vec<i32> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
            (pid != own && names.iter().any(|n| n == name.trim())).then_some(pid)
        })
        .collect();
    found.sort_unstable();
    found
}

/// The one process there is.
fn only(running: &[i32]) -> Result<i32, SignalError> {
    match running {
        [] => Err(SignalError::NoProcess),
        [one] => Ok(*one),
        many => {
            Err(SignalError::Several(many.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, problem: &str) {
        let told = send(flags::Signal::Reload, Some(target)).expect_err("nothing is signalled").to_string();
        assert_eq!(told, problem);
    }

    #[test]
    fn what_is_wrong_is_told() {
        check("/no/such/file", "invalid pid: /no/such/file");
        check("1x", "invalid pid: 1x");
        check("99999999", "\nsignal \"reload\" 99999999: no such process");
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("pid");
        std::fs::write(&file, "abc\n").expect("write");
        check(&file.to_string_lossy(), "invalid pid: abc");
    }

    #[test]
    fn groups_of_processes_are_no_target() {
        for target in ["0", "-1", "-2", "00"] {
            assert!(matches!(named(target), Err(SignalError::NoPid(_))), "{target}");
        }
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("pid");
        std::fs::write(&file, "-1").expect("write");
        assert!(matches!(named(&file.to_string_lossy()), Err(SignalError::NoPid(_))));
    }

    #[test]
    fn one_process_is_meant_or_none() {
        assert!(matches!(only(&[7]), Ok(7)));
        assert_eq!(only(&[]).expect_err("none").to_string(), "no dialtone processes running");
        assert_eq!(
            only(&[68, 69]).expect_err("two").to_string(),
            "multiple dialtone processes running:\n68\n69"
        );
    }
}
