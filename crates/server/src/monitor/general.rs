//! The endpoints of parts that this server does not have, and those about the process, in the official fields and their
//! order.

use super::options::IpqueueszOptions;
use crate::documents::{is_default, json};
use crate::node::Node;
use crate::process;
use serde::Serialize;
use serde_json::Value;

/// An object without fields.
#[derive(Default, Serialize)]
pub(super) struct Empty {}

/// What waits in a queue, and what of it is being worked at.
#[derive(Serialize)]
struct Queue {
    pending: usize,
    #[serde(skip_serializing_if = "is_default")]
    in_progress: usize,
}

/// What waits inside, by the names that the official server has for it. Here all of it waits in one queue, and what is
/// sent waits nowhere.
pub(crate) fn ipqueuesz(node: &Node, options: &IpqueueszOptions, in_progress: usize) -> Value {
    let queues = [
        ("System recvQ", Queue { pending: node.internal.waiting(), in_progress }),
        ("System recvQ Pings", Queue { pending: 0, in_progress: 0 }),
        ("System sendQ", Queue { pending: 0, in_progress: 0 }),
        ("SendQ", Queue { pending: 0, in_progress: 0 }),
        ("delayed API responses", Queue { pending: 0, in_progress: 0 }),
    ];
    let wanted = queues.into_iter().filter(|(name, queue)| {
        (options.all || queue.pending + queue.in_progress > 0) && name.contains(&options.filter)
    });
    wanted.map(|(name, queue)| (name, json(&queue))).collect()
}

#[derive(Serialize)]
struct Profilez {
    profile: Option<Empty>,
    error: String,
}

/// Profiles of a Go program, which this is not.
pub(crate) fn profilez(name: &str) -> Value {
    let error = match name {
        "" => "Profile name not specified".to_owned(),
        name => format!("Profile {name:?} not found"),
    };
    json(&Profilez { profile: None, error })
}

/// Stacks are for a debugger.
pub(super) const STACKS: &str =
    "stacks are shown by a debugger: gdb -p PID -batch -ex 'thread apply all bt'\n";

#[derive(Serialize)]
struct Expvarz {
    memstats: Memory,
    cpu_seconds: f64,
    uptime_seconds: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Memory {
    sys: u64,
    alloc: u64,
}

/// Figures of the process. The command line is not among them: it may hold secrets (CVE-2026-33247).
pub(crate) fn expvarz(node: &Node) -> Value {
    let memory = process::resident_bytes();
    json(&Expvarz {
        memstats: Memory { sys: memory, alloc: memory },
        cpu_seconds: process::cpu_seconds(),
        uptime_seconds: node.monitoring.start_instant.elapsed().as_secs(),
    })
}
