//! `/varz`: where the server stands, in the official fields and their order. Each group of fields is made by one function.

use super::{cluster, gateways, leafs, mqtt, websocket};
use crate::documents::{self, ByKind, is_default, nanos, seconds};
use crate::jetstream::figures::Whole;
use crate::monitoring::MonitorPorts;
use crate::node::Node;
use crate::policy::{COMPATIBLE_VERSION, ListenerKind, Policy};
use crate::process;
use crate::system::feature_flags;
use crate::times::{stamp, uptime};
use dialtone_broker::stats::Totals;
use dialtone_config::options::Tls;
use dialtone_identity::jwt;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

#[derive(Serialize)]
struct Varz {
    #[serde(flatten)]
    identity: Identity,
    #[serde(flatten)]
    security: Security,
    #[serde(flatten)]
    limits: Limits,
    #[serde(flatten)]
    blocks: Blocks,
    tls_timeout: Value,
    write_deadline: u64,
    #[serde(flatten)]
    process: Process,
    #[serde(flatten)]
    load: Load,
    #[serde(flatten)]
    traffic: AllTraffic,
    #[serde(flatten)]
    faults: Faults,
    #[serde(flatten)]
    configuration: Configuration,
    #[serde(flatten)]
    trust: Trust,
    #[serde(flatten)]
    by_kind: FaultsByKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cert_not_after: Option<String>,
}

/// The document.
pub(crate) fn varz(node: &Node) -> Value {
    let policy = node.settings.policy();
    let tls = policy.options.clients.tls.as_ref();
    let document = Varz {
        identity: identity(node, &policy),
        security: security(node, &policy),
        limits: limits(node, &policy),
        blocks: Blocks {
            cluster: cluster::Block::of(node, &policy),
            gateway: gateways::Block::of(node, &policy),
            leaf: leafs::Block::of(node, &policy),
            mqtt: mqtt::Block::of(&policy),
            websocket: websocket::Block::of(&policy),
            jetstream: Whole::of(node),
        },
        tls_timeout: seconds(tls.map_or(Tls::TIMEOUT, |tls| tls.timeout)),
        write_deadline: nanos(policy.options.limits.write_deadline),
        process: process(node),
        load: load(node),
        traffic: AllTraffic::of(&node.delivery.totals),
        faults: faults(node),
        configuration: configuration(node, &policy),
        trust: trust(node, &policy),
        by_kind: FaultsByKind::of(node),
        tls_cert_not_after: policy.clients().tls.as_ref().and_then(|tls| tls.not_after()),
    };
    documents::json(&document)
}

#[derive(Serialize)]
struct Identity {
    server_id: String,
    server_name: String,
    version: &'static str,
    proto: u8,
    git_commit: String,
    go: String,
    host: String,
    port: u16,
}

fn identity(node: &Node, policy: &Policy) -> Identity {
    let info = &policy.clients().info;
    Identity {
        server_id: node.settings.identity.id.clone(),
        server_name: node.settings.identity.name.clone(),
        version: COMPATIBLE_VERSION,
        proto: 1,
        git_commit: info.git_commit.to_string(),
        go: info.go.to_string(),
        host: info.host.clone(),
        port: info.port,
    }
}

#[derive(Serialize)]
struct Security {
    #[serde(skip_serializing_if = "is_default")]
    auth_required: bool,
    #[serde(skip_serializing_if = "is_default")]
    tls_required: bool,
    #[serde(skip_serializing_if = "is_default")]
    tls_verify: bool,
    #[serde(skip_serializing_if = "is_default")]
    tls_ocsp_peer_verify: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connect_urls: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ws_connect_urls: Vec<String>,
}

fn security(node: &Node, policy: &Policy) -> Security {
    let urls = node.cluster.client_urls();
    Security {
        auth_required: policy.auth_required(ListenerKind::Clients),
        tls_required: policy.clients().info.tls_required,
        tls_verify: policy.clients().info.tls_verify,
        tls_ocsp_peer_verify: asks_about_peers(policy),
        connect_urls: urls.plain.clone(),
        ws_connect_urls: urls.websocket.clone(),
    }
}

/// Whether responders are asked about clients' certificates.
fn asks_about_peers(policy: &Policy) -> bool {
    policy.clients().tls.as_ref().is_some_and(|tls| tls.peer_check().is_some())
}

#[derive(Serialize)]
struct Limits {
    max_connections: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_subscriptions: Option<usize>,
    ping_interval: u64,
    ping_max: u32,
    http_host: String,
    http_port: u16,
    http_base_path: String,
    https_port: u16,
    auth_timeout: Value,
    max_control_line: usize,
    max_payload: usize,
    max_pending: usize,
}

fn limits(node: &Node, policy: &Policy) -> Limits {
    let (options, limits) = (&policy.options, &policy.options.limits);
    let MonitorPorts { http: http_port, https: https_port } = node.monitoring.ports();
    let http_host = if options.operation.http.host.is_empty() {
        &options.clients.host
    } else {
        &options.operation.http.host
    };
    Limits {
        max_connections: if limits.connections_max == 0 { -1 } else { limits.connections_max as i64 },
        max_subscriptions: Some(limits.subscriptions_max).filter(|&max| max > 0),
        ping_interval: nanos(limits.ping_interval),
        ping_max: limits.pings_out_max,
        http_host: http_host.clone(),
        http_port,
        http_base_path: options.operation.http.base_path.clone(),
        https_port,
        auth_timeout: seconds(policy.clients().auth_timeout),
        max_control_line: limits.control_line_bytes_max,
        max_payload: limits.payload_bytes_max,
        max_pending: limits.pending_bytes_max,
    }
}

/// What capabilities report of themselves. Each that the server has makes its block in a file of its own.
#[derive(Default, Serialize)]
struct Blocks {
    cluster: cluster::Block,
    gateway: gateways::Block,
    leaf: leafs::Block,
    mqtt: mqtt::Block,
    websocket: websocket::Block,
    jetstream: Whole,
}

#[derive(Serialize)]
struct Process {
    start: String,
    now: String,
    uptime: String,
    mem: u64,
    cores: usize,
    gomaxprocs: usize,
    cpu: Value,
}

fn process(node: &Node) -> Process {
    let cores = process::cores();
    Process {
        start: stamp(node.monitoring.start),
        now: stamp(SystemTime::now()),
        uptime: uptime(node.monitoring.start_instant.elapsed()),
        mem: process::resident_bytes(),
        cores,
        gomaxprocs: cores,
        cpu: node.monitoring.load.percent(),
    }
}

#[derive(Serialize)]
struct Load {
    connections: usize,
    total_connections: u64,
    routes: usize,
    remotes: usize,
    leafnodes: usize,
}

fn load(node: &Node) -> Load {
    Load {
        connections: node.connections.registry.len(),
        total_connections: node.connections.registry.total(),
        routes: node.delivery.routes.open().len(),
        remotes: node.delivery.routes.remotes(),
        leafnodes: node.delivery.leafs.len(),
    }
}

/// What came and went, and what of it clients had.
#[derive(Serialize)]
struct AllTraffic {
    in_msgs: u64,
    in_bytes: u64,
    in_client_msgs: u64,
    in_client_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
    out_client_msgs: u64,
    out_client_bytes: u64,
}

impl AllTraffic {
    fn of(totals: &Totals) -> Self {
        let (all, clients) = (totals.traffic(), totals.of_clients());
        Self {
            in_msgs: all.in_msgs,
            in_bytes: all.in_bytes,
            in_client_msgs: clients.in_msgs,
            in_client_bytes: clients.in_bytes,
            out_msgs: all.out_msgs,
            out_bytes: all.out_bytes,
            out_client_msgs: clients.out_msgs,
            out_client_bytes: clients.out_bytes,
        }
    }
}

#[derive(Serialize)]
struct Faults {
    slow_consumers: u64,
    stale_connections: u64,
    stalled_clients: u64,
}

fn faults(node: &Node) -> Faults {
    Faults {
        slow_consumers: node.connections.failures.slow.total(),
        stale_connections: node.connections.failures.stale.total(),
        stalled_clients: node.connections.failures.stalled.load(Relaxed),
    }
}

#[derive(Serialize)]
struct Configuration {
    subscriptions: usize,
    http_req_stats: BTreeMap<&'static str, u64>,
    config_load_time: String,
    config_digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
    feature_flags: Value,
}

fn configuration(node: &Node, policy: &Policy) -> Configuration {
    let options = &policy.options;
    Configuration {
        subscriptions: node.accounts.all().iter().map(|account| account.subscriptions()).sum(),
        http_req_stats: node.monitoring.requests(),
        config_load_time: stamp(node.settings.config_loaded()),
        config_digest: options.source.digest.clone(),
        tags: options.server.tags.clone(),
        metadata: (!options.server.metadata.is_empty()).then(|| json!(options.server.metadata)),
        feature_flags: feature_flags(options),
    }
}

#[derive(Serialize)]
struct Trust {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trusted_operators_jwt: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trusted_operators_claim: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxies: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ocsp_peer_cache: Option<Value>,
}

fn trust(node: &Node, policy: &Policy) -> Trust {
    let options = &policy.options;
    let operators = &options.access.operator_mode.operators;
    let keys = || options.access.trusted_proxies.iter().map(|key| json!({ "key": key })).collect::<Vec<_>>();
    let shows_cache = asks_about_peers(policy) && options.operation.staples.peers.is_some();
    Trust {
        trusted_operators_jwt: operators.iter().map(|token| token.jwt.clone()).collect(),
        trusted_operators_claim: operators.iter().filter_map(|token| jwt::payload(&token.jwt).ok()).collect(),
        system_account: policy.system_account().map(str::to_owned),
        proxies: (!options.access.trusted_proxies.is_empty()).then(|| json!({ "trusted": keys() })),
        ocsp_peer_cache: shows_cache.then(|| node.connections.peer_cache.figures()),
    }
}

#[derive(Serialize)]
struct FaultsByKind {
    slow_consumer_stats: ByKind,
    stale_connection_stats: ByKind,
    disk_io_wait_stats: DiskWaits,
}

impl FaultsByKind {
    fn of(node: &Node) -> Self {
        let failures = &node.connections.failures;
        Self {
            slow_consumer_stats: ByKind::of(&failures.slow),
            stale_connection_stats: ByKind::of(&failures.stale),
            disk_io_wait_stats: DiskWaits::default(),
        }
    }
}

/// Nothing waits for a disk.
#[derive(Default, Serialize)]
struct DiskWaits {
    waiters: u64,
    waits: u64,
    wait_time: u64,
    max_wait_time: u64,
}
