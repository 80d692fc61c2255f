//! The server as a process: its files, its limits, and signals to another one.

pub mod signal;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Writes the process id.
pub(crate) fn write_pid(file: &Path) -> io::Result<()> {
    std::fs::write(file, std::process::id().to_string())
}

/// The file that lists the ports of this process.
pub(crate) fn ports_file(folder: &Path) -> PathBuf {
    let program = std::env::current_exe().ok();
    let name =
        program.as_deref().and_then(Path::file_name).map_or("dialtone".into(), |n| n.to_string_lossy());
    folder.join(format!("{name}_{}.ports", std::process::id()))
}

/// Writes that file: which protocol is where.
pub(crate) fn write_ports(folder: &Path, clients: SocketAddr, http: &[String]) -> io::Result<()> {
    let ports = serde_json::json!({ "nats": [format!("nats://{clients}")], "monitoring": http });
    std::fs::write(ports_file(folder), format!("{ports:#}"))
}

/// Removes a file of ours; it may be gone already.
pub(crate) fn remove(file: &Path) {
    let _ = std::fs::remove_file(file);
}

/// As many file descriptors as the system allows.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If it is refused, the limit stays what it is, and accepting rests when it is reached.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Resident memory in bytes; 0 where it cannot be told.
pub(crate) fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// Processor time used so far, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let read = || {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        Some((user + system) / rustix::param::clock_ticks_per_second() as f64)
    };
    read().unwrap_or(0.0)
}
