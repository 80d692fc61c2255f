//! What a process on this machine uses: CPU time and memory, from `/proc`.

use anyhow::{Context as _, Result};
use std::fs;
use std::time::Duration;

/// Clock ticks a second in `/proc/<pid>/stat`; Linux has used 100 on every architecture we run on.
const TICKS_PER_SECOND: u64 = 100;

/// A process that is watched.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
}

/// Memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident now, in bytes.
    pub resident: u64,
    /// The most that was ever resident, in bytes.
    pub peak: u64,
}

impl Process {
    /// CPU time of all threads that live, user and kernel together, in nanoseconds of the scheduler's account; from the
    /// coarser account of the whole process where the kernel keeps no finer one. Threads that ended are missing, so
    /// this suits servers that keep their threads.
    pub fn cpu_time(&self) -> Result<Duration> {
        let fine = self.cpu_time_of_tasks().filter(|time| !time.is_zero());
        fine.map_or_else(|| self.cpu_time_of_process(), Ok)
    }

    fn cpu_time_of_tasks(&self) -> Option<Duration> {
        let mut nanos = 0_u64;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid)).ok()? {
            // A thread may end while the list is read.
            let Ok(line) = fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue };
            nanos += line.split_ascii_whitespace().next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(nanos))
    }

    /// CPU time of all threads, those that ended too, by clock ticks.
    pub fn cpu_time_of_process(&self) -> Result<Duration> {
        let line = self.read("stat")?;
        // The name, in parentheses, may hold anything; user and system time are the 14th and 15th field.
        let after_name = line.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = after_name
            .split_ascii_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse::<u64>)
            .sum::<Result<u64, _>>()
            .context("reading the CPU time of a process")?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    /// Resident memory.
    pub fn memory(&self) -> Result<Memory> {
        let status = self.read("status")?;
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_start_matches(':').split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
        };
        let at = || format!("process {}: its status names no memory", self.pid);
        Ok(Memory { resident: bytes("VmRSS").with_context(at)?, peak: bytes("VmHWM").with_context(at)? })
    }

    fn read(&self, file: &str) -> Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid)).with_context(|| {
            format!("process {}: cannot read /proc; it must run on this machine, on Linux", self.pid)
        })
    }
}

/// CPU time that everything on this machine has used since it started, idle time left out. Counts by clock ticks.
pub fn machine_cpu_time() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat; comparing needs Linux")?;
    let fields = stat.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    // user nice system idle iowait irq softirq steal; what follows is part of user.
    let ticks: u64 = fields
        .take(8)
        .enumerate()
        .filter(|(number, _)| !matches!(number, 3 | 4))
        .filter_map(|(_, field)| field.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn work_shows_as_cpu_time_and_memory() {
        let me = Process { pid: std::process::id() };
        let before = me.cpu_time_of_process().unwrap();
        let mut block = vec![1_u8; 32 << 20];
        while me.cpu_time_of_process().unwrap() < before + Duration::from_millis(50) {
            block.iter_mut().for_each(|byte| *byte = byte.wrapping_mul(3));
        }
        let memory = me.memory().unwrap();
        assert!(memory.resident > 16 << 20 && memory.peak >= memory.resident, "{memory:?}");
        assert!(me.cpu_time().unwrap() > Duration::ZERO);
        assert!(block.iter().any(|byte| *byte != 0));
    }
}
