//! What the machine has of memory and disk for this process: the whole of it, or what its control group leaves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of memory; `None` where the system does not say.
pub(crate) fn memory_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = group_files(&groups).into_iter().filter_map(|file| fs::read_to_string(file).ok());
    // A group without a limit says `max`, or a number that no machine has.
    let limits = limits.filter_map(|text| text.trim().parse().ok());
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    limits.chain(machine).min()
}

/// Files that may hold the limit of a process in these groups: of its own group and of all around it, since each limits what is in it.
fn group_files(groups: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // Within a container the path may be that outside of it; then the root is its own group.
        let own = Path::new(path.trim_start_matches('/'));
        out.extend(own.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    out
}

/// `MemTotal`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Bytes that are free for this user where a folder is, or will be.
///
/// # Errors
/// The system does not say.
pub(crate) fn disk_bytes_free(folder: &Path) -> io::Result<u64> {
    // One that is still to be made will be where the nearest one above it is.
    let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let found = rustix::fs::statvfs(there)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_both_versions() {
        let files = |groups: &str| -> Vec<String> {
            group_files(groups).iter().map(|file| file.display().to_string()).collect()
        };
        assert_eq!(
            files("0::/a/b\n"),
            ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"]
        );
        assert_eq!(files("3:cpu,cpuacct:/x\n2:memory:/\n"), ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
        assert_eq!(files("nonsense\n1:cpu"), Vec::<String>::new());
    }

    #[test]
    fn the_machine_says_what_it_has() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       16 kB\n"), Some(16 * 1024));
        assert_eq!(total("MemTotal: x"), None);
        assert!(memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
        let here = disk_bytes_free(Path::new("/tmp/not/there/yet")).expect("known");
        assert!(here > 0);
    }
}
