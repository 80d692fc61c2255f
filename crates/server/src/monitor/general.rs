//! The endpoints of parts that this server does not have, and those about the process.

use super::options::{IpqueueszOptions, JszOptions};
use crate::node::Node;
use crate::process;
use crate::times::stamp;
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// A figure, without a point where there is no fraction.
pub(super) fn figure(n: f64) -> Value {
    if n.fract() == 0.0 && n.abs() < 1e15 { (n as i64).into() } else { n.into() }
}

/// A document that begins with the server's number and the time.
fn with_head(node: &Node, rest: Value) -> Value {
    let mut map = Map::new();
    map.insert("server_id".into(), node.settings.identity.id.clone().into());
    map.insert("now".into(), stamp(SystemTime::now()).into());
    if let Value::Object(rest) = rest {
        map.extend(rest);
    }
    map.into()
}

/// There are no routes.
pub(crate) fn routez(node: &Node) -> Value {
    with_head(node, json!({ "server_name": node.settings.identity.name, "num_routes": 0, "routes": [] }))
}

/// There are no gateways.
pub(crate) fn gatewayz(node: &Node) -> Value {
    with_head(node, json!({ "outbound_gateways": {}, "inbound_gateways": {} }))
}

/// There are no leaf nodes.
pub(crate) fn leafz(node: &Node) -> Value {
    with_head(node, json!({ "leafnodes": 0, "leafs": [] }))
}

/// JetStream is off.
///
/// Errors: only a leader was asked.
pub(crate) fn jsz(node: &Node, options: &JszOptions) -> Result<Value, &'static str> {
    if options.leader_only {
        return Err("filtered response: not leader");
    }
    let rest = json!({
        "memory": 0, "storage": 0, "reserved_memory": 0, "reserved_storage": 0, "accounts": 0, "ha_assets": 0,
        "api": { "level": 0, "total": 0, "errors": 0 },
        "disabled": true,
        "config": { "max_memory": 0, "max_storage": 0 },
        "streams": 0, "consumers": 0, "messages": 0, "bytes": 0, "total": 0,
    });
    Ok(with_head(node, rest))
}

/// What waits inside, by the names that the official server has for it. Here all of it waits in one queue, and what is
/// sent waits nowhere.
pub(crate) fn ipqueuesz(node: &Node, options: &IpqueueszOptions, in_progress: usize) -> Value {
    let waiting = node.internal.waiting();
    let queues = [
        ("System recvQ", waiting),
        ("System recvQ Pings", 0),
        ("System sendQ", 0),
        ("SendQ", 0),
        ("delayed API responses", 0),
    ];
    let rows = queues.into_iter().map(|(name, waiting)| {
        let working = if name == "System recvQ" { in_progress } else { 0 };
        (name, waiting, working)
    });
    let wanted = rows.filter(|(name, waiting, working)| {
        (options.all || waiting + working > 0) && name.contains(&options.filter)
    });
    let row = |(name, waiting, working): (&str, usize, usize)| {
        let mut row = Map::from_iter([("pending".to_owned(), waiting.into())]);
        if working > 0 {
            row.insert("in_progress".into(), working.into());
        }
        (name.to_owned(), Value::Object(row))
    };
    wanted.map(row).collect()
}

/// Profiles of a Go program, which this is not.
pub(crate) fn profilez(name: &str) -> Value {
    let error = match name {
        "" => "Profile name not specified".to_owned(),
        name => format!("Profile {name:?} not found"),
    };
    json!({ "profile": null, "error": error })
}

/// Stacks are for a debugger.
pub(super) const STACKS: &str =
    "stacks are shown by a debugger: gdb -p PID -batch -ex 'thread apply all bt'\n";

/// Figures of the process. The command line is not among them: it may hold secrets (CVE-2026-33247).
pub(crate) fn expvarz(node: &Node) -> Value {
    let memory = process::resident_bytes();
    json!({
        "memstats": { "Sys": memory, "Alloc": memory },
        "cpu_seconds": process::cpu_seconds(),
        "uptime_seconds": node.monitoring.start_instant.elapsed().as_secs(),
    })
}
