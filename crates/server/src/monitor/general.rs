//! `/varz`, and the endpoints of parts that this server does not have.

use super::options::{IpqueueszOptions, JszOptions};
use super::times::{stamp, uptime};
use crate::policy::COMPATIBLE_VERSION;
use crate::process;
use crate::shared::Shared;
use crate::system::feature_flags;
use dialtone_identity::jwt;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

/// Where the server stands: options, load, traffic.
pub(crate) fn varz(shared: &Shared) -> Value {
    let policy = shared.policy();
    let options = &policy.options;
    let limits = &options.limits;
    let traffic = shared.counters.read();
    let (slow, stale) = (shared.failures.slow.load(Relaxed), shared.failures.stale.load(Relaxed));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (http, https) = shared.monitor_ports();
    let subscriptions: usize = shared.accounts().iter().map(|a| a.subscriptions()).sum();
    let kinds = |clients: u64| json!({ "clients": clients, "routes": 0, "gateways": 0, "leafs": 0 });
    let mut out = json!({
        "server_id": shared.identity.id,
        "server_name": shared.identity.name,
        "version": COMPATIBLE_VERSION,
        "proto": 1,
        "git_commit": policy.info.git_commit,
        "go": policy.info.go,
        "host": policy.info.host,
        "port": policy.info.port,
        "max_connections": if limits.connections_max == 0 { -1 } else { limits.connections_max as i64 },
        "ping_interval": limits.ping_interval.as_nanos() as u64,
        "ping_max": limits.pings_out_max,
        "http_host": if options.http.host.is_empty() { &options.host } else { &options.http.host },
        "http_port": http,
        "http_base_path": options.http.base_path,
        "https_port": https,
        "auth_timeout": number(policy.auth_timeout),
        "max_control_line": limits.control_line_bytes_max,
        "max_payload": limits.payload_bytes_max,
        "max_pending": limits.pending_bytes_max,
        "cluster": {}, "gateway": {}, "leaf": {}, "mqtt": {}, "websocket": {}, "jetstream": {},
        "tls_timeout": number(options.tls.as_ref().map_or(Duration::from_secs(2), |tls| tls.timeout)),
        "write_deadline": limits.write_deadline.as_nanos() as u64,
        "start": stamp(shared.start),
        "now": stamp(SystemTime::now()),
        "uptime": uptime(shared.start_instant.elapsed()),
        "mem": process::resident_bytes(),
        "cores": cores,
        "gomaxprocs": cores,
        "cpu": shared.load.percent(),
        "connections": shared.registry.len(),
        "total_connections": shared.registry.total(),
        "routes": 0, "remotes": 0, "leafnodes": 0,
        "in_msgs": traffic.in_msgs, "in_bytes": traffic.in_bytes,
        "in_client_msgs": traffic.in_msgs, "in_client_bytes": traffic.in_bytes,
        "out_msgs": traffic.out_msgs, "out_bytes": traffic.out_bytes,
        "out_client_msgs": traffic.out_msgs, "out_client_bytes": traffic.out_bytes,
        "slow_consumers": slow,
        "stale_connections": stale,
        "stalled_clients": shared.failures.stalled.load(Relaxed),
        "subscriptions": subscriptions,
        "http_req_stats": shared.requests(),
        "config_load_time": stamp(shared.config_loaded()),
        "config_digest": options.config_digest,
        "feature_flags": feature_flags(),
        "slow_consumer_stats": kinds(slow),
        "stale_connection_stats": kinds(stale),
        "disk_io_wait_stats": { "waiters": 0, "waits": 0, "wait_time": 0, "max_wait_time": 0 },
    });
    let mut add = |key: &str, value: Value| {
        if let Some(object) = out.as_object_mut() {
            object.insert(key.into(), value);
        }
    };
    for (key, on) in [
        ("auth_required", policy.auth_required()),
        ("tls_required", policy.info.tls_required),
        ("tls_verify", policy.info.tls_verify),
    ] {
        if on {
            add(key, true.into());
        }
    }
    if limits.subscriptions_max > 0 {
        add("max_subscriptions", limits.subscriptions_max.into());
    }
    if !options.server_tags.is_empty() {
        add("tags", options.server_tags.clone().into());
    }
    if !options.server_metadata.is_empty() {
        add("metadata", json!(options.server_metadata));
    }
    if !options.trusted_proxies.is_empty() {
        let trusted: Vec<_> = options.trusted_proxies.iter().map(|key| json!({ "key": key })).collect();
        add("proxies", json!({ "trusted": trusted }));
    }
    if let Some(system) = shared.system_account() {
        add("system_account", system.into());
    }
    let tokens = &options.operator_mode.operators;
    if !tokens.is_empty() {
        add("trusted_operators_jwt", tokens.iter().map(|token| token.jwt.as_str()).collect());
        add(
            "trusted_operators_claim",
            tokens.iter().filter_map(|token| jwt::payload(&token.jwt).ok()).collect(),
        );
    }
    if policy.tls.as_ref().is_some_and(|tls| tls.peer_check().is_some()) {
        add("tls_ocsp_peer_verify", true.into());
        if options.ocsp_cache.is_some() {
            add("ocsp_peer_cache", shared.peer_cache.figures());
        }
    }
    if let Some(until) = policy.tls.as_ref().and_then(|tls| tls.not_after()) {
        add("tls_cert_not_after", until.into());
    }
    out
}

/// A figure, without a point where there is no fraction.
pub(super) fn figure(n: f64) -> Value {
    if n.fract() == 0.0 && n.abs() < 1e15 { (n as i64).into() } else { n.into() }
}

/// Seconds, as a figure.
fn number(span: Duration) -> Value {
    figure(span.as_secs_f64())
}

/// A document that begins with the server's number and the time.
fn with_head(shared: &Shared, rest: Value) -> Value {
    let mut map = Map::new();
    map.insert("server_id".into(), shared.identity.id.clone().into());
    map.insert("now".into(), stamp(SystemTime::now()).into());
    if let Value::Object(rest) = rest {
        map.extend(rest);
    }
    map.into()
}

/// There are no routes.
pub(crate) fn routez(shared: &Shared) -> Value {
    with_head(shared, json!({ "server_name": shared.identity.name, "num_routes": 0, "routes": [] }))
}

/// There are no gateways.
pub(crate) fn gatewayz(shared: &Shared) -> Value {
    with_head(shared, json!({ "outbound_gateways": {}, "inbound_gateways": {} }))
}

/// There are no leaf nodes.
pub(crate) fn leafz(shared: &Shared) -> Value {
    with_head(shared, json!({ "leafnodes": 0, "leafs": [] }))
}

/// JetStream is off.
///
/// Errors: only a leader was asked.
pub(crate) fn jsz(shared: &Shared, options: &JszOptions) -> Result<Value, &'static str> {
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
    Ok(with_head(shared, rest))
}

/// What waits inside, by the names that the official server has for it. Here all of it waits in one queue, and what is
/// sent waits nowhere.
pub(crate) fn ipqueuesz(shared: &Shared, options: &IpqueueszOptions, in_progress: usize) -> Value {
    let waiting = shared.internal.waiting();
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

/// Profiles of a Go program; this is none.
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
pub(crate) fn expvarz(shared: &Shared) -> Value {
    let memory = process::resident_bytes();
    json!({
        "memstats": { "Sys": memory, "Alloc": memory },
        "cpu_seconds": process::cpu_seconds(),
        "uptime_seconds": shared.start_instant.elapsed().as_secs(),
    })
}
