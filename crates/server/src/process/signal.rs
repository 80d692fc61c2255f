//! `--signal`: a signal to a server that runs elsewhere.

use dialtone_config::flags;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;

/// Why no signal was sent.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// There is no such process.
    #[error("no dialtone processes running")]
    NoProcess,
    /// There are several.
    #[error("multiple dialtone processes running:\n{0}")]
    Several(String),
    /// The file holds no process id.
    #[error("{0}: not a process id, nor a file that holds one")]
    NoPid(String),
    /// The system refuses.
    #[error("cannot signal process {0}: {1}")]
    Refused(i32, std::io::Error),
}

/// Sends a signal; the process can be told by number, by pid file, or be the only one of its name.
///
/// Errors: see [`SignalError`].
pub fn send(signal: flags::Signal, target: Option<&str>) -> Result<(), SignalError> {
    let signal = match signal {
        flags::Signal::Stop => Signal::KILL,
        flags::Signal::Quit => Signal::INT,
        flags::Signal::Term => Signal::TERM,
        flags::Signal::Reopen => Signal::USR1,
        flags::Signal::Reload => Signal::HUP,
        flags::Signal::LameDuck => Signal::USR2,
    };
    let pid = target.map_or_else(only_process, named)?;
    let process = Pid::from_raw(pid).ok_or(SignalError::NoProcess)?;
    kill_process(process, signal).map_err(|e| SignalError::Refused(pid, e.into()))
}

fn named(target: &str) -> Result<i32, SignalError> {
    let text = if target.parse::<i32>().is_ok() {
        target.to_owned()
    } else {
        std::fs::read_to_string(Path::new(target)).map_err(|_| SignalError::NoPid(target.to_owned()))?
    };
    text.trim().parse().ok().filter(|&pid| pid > 0).ok_or_else(|| SignalError::NoPid(target.to_owned()))
}

/// The one other process with this program's name.
fn only_process() -> Result<i32, SignalError> {
    let mut found = Vec::new();
    let own = std::process::id() as i32;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if pid != own && name.trim() == "dialtone" {
            found.push(pid);
        }
    }
    match found.as_slice() {
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

    #[test]
    fn what_is_wrong_is_told() {
        let send = |target| send(flags::Signal::Reload, Some(target));
        assert!(matches!(send("/no/such/file"), Err(SignalError::NoPid(_))));
        assert!(matches!(send("0"), Err(SignalError::NoPid(_))));
    }
}
