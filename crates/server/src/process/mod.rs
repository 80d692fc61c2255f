//! The server as a process: its files, its limits, and signals to another one.

mod capacity;
mod load;
mod ports;
pub mod signal;

pub(crate) use capacity::{disk_bytes_free, memory_bytes};
pub(crate) use load::Load;
pub(crate) use ports::{ports_file, write_ports};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes the process id, for this user's eyes as the official server does.
pub(crate) fn write_pid(file: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(file)?;
    file.write_all(std::process::id().to_string().as_bytes())
}

/// The name that this program was called by, by which its files, processes and log lines are found: `nats-server` where
/// it is linked in that place.
pub(crate) fn program() -> String {
    let path = std::env::args_os().next();
    let name = path.as_deref().map(Path::new).and_then(Path::file_name);
    name.map_or("dialtone".into(), |name| name.to_string_lossy().into_owned())
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

/// How many file descriptors may be open; `None`: as many as there are.
pub(crate) fn open_files_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// How many file descriptors are open; `None` where the system does not say.
pub(crate) fn open_files() -> Option<u64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    // The one that is read by is among them.
    Some((entries.count() as u64).saturating_sub(1))
}

/// Cores that the process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Resident memory in bytes; 0 where it is unknown.
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
