//! How the server is doing: `$SYS.SERVER.<id>.STATSZ`, often at first and then every ten seconds.

use super::{about, publish_made};
use crate::documents::{self, ByKind, Sum, is_default};
use crate::gateways::{Direction, Gateway, Gateways};
use crate::jetstream::figures::Whole;
use crate::node::{Executor, Node};
use crate::process;
use crate::routes::Route;
use crate::times::stamp;
use dialtone_broker::account::Account;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

/// When it is first published after the start; each pause is twice the one before. The official figures.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Publishes from now on.
pub(super) fn begin(executor: &mut Executor) {
    let mut pause = PAUSE_FIRST;
    executor.repeat(pause, move |executor| {
        pause = next(pause);
        executor.node.connections.elsewhere.forget_silent(Instant::now());
        broadcast(executor);
        Some(pause)
    });
}

fn next(pause: Duration) -> Duration {
    (pause * 2).min(PAUSE_MAX)
}

/// Publishes to whoever listens.
pub(crate) fn broadcast(executor: &mut Executor) {
    let clients = reported_clients(executor);
    let (node, turn) = executor.parts();
    let mut event = message(node);
    if let Some(clients) = clients {
        event["rebalance"] = json!({ "clients": clients });
    }
    publish_made(node, turn, &format!("$SYS.SERVER.{}.STATSZ", node.settings.identity.id), &event);
}

/// How many clients there are, for servers that hand some over to others; `None`: this server takes no part in that.
fn reported_clients(executor: &mut Executor) -> Option<u64> {
    let (node, now, state) = (&executor.node.clone(), executor.now(), &mut executor.state);
    let takes_part = node.settings.policy().options.rebalances() && !node.connections.lame_duck.load(Acquire);
    takes_part.then(|| state.rebalance.report(&node.connections.registry, now))
}

#[derive(Serialize)]
struct Message {
    server: Value,
    statsz: Statsz,
}

/// The event, which is also the answer to a request.
pub(crate) fn message(node: &Node) -> Value {
    let statsz = statsz(node);
    documents::json(&Message { server: about::server(node), statsz })
}

/// The figures, in the official order.
#[derive(Serialize)]
struct Statsz {
    #[serde(flatten)]
    load: Load,
    sent: Sum,
    sent_to_clients: Sum,
    received: Sum,
    received_from_clients: Sum,
    #[serde(flatten)]
    failures: Failures,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<RouteStats>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<GatewayStats>,
    active_servers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    jetstream: Option<Whole>,
    gomaxprocs: usize,
}

/// Connections that did not keep up.
#[derive(Serialize)]
struct Failures {
    slow_consumers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow_consumer_stats: Option<ByKind>,
    #[serde(skip_serializing_if = "is_default")]
    stale_connections: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_connection_stats: Option<ByKind>,
    #[serde(skip_serializing_if = "is_default")]
    stalled_clients: u64,
}

/// A route.
#[derive(Serialize)]
struct RouteStats {
    rid: u64,
    name: String,
    sent: Sum,
    received: Sum,
    pending: usize,
}

impl RouteStats {
    fn of(route: &Route) -> Self {
        let peer = &route.session.peer;
        let traffic = peer.counters.read();
        Self {
            rid: peer.id.0,
            name: route.remote.read().server_name.clone(),
            sent: Sum { msgs: traffic.out_msgs, bytes: traffic.out_bytes },
            received: Sum { msgs: traffic.in_msgs, bytes: traffic.in_bytes },
            pending: peer.pending_bytes(),
        }
    }
}

/// Another cluster.
#[derive(Serialize)]
struct GatewayStats {
    gwid: u64,
    name: String,
    sent: Sum,
    received: Sum,
    inbound_connections: usize,
}

impl GatewayStats {
    /// What was sent to each, and what came from all of its servers.
    fn all(gateways: &Gateways) -> Vec<Self> {
        let inbound = gateways.towards(Direction::Inbound);
        let stats = |outbound: &Arc<Gateway>| {
            let own = || inbound.iter().filter(|gateway| gateway.name == outbound.name);
            let received = own().map(|gateway| gateway.session.peer.counters.read());
            let (msgs, bytes) =
                received.fold((0, 0), |sum, traffic| (sum.0 + traffic.in_msgs, sum.1 + traffic.in_bytes));
            let peer = &outbound.session.peer;
            let sent = peer.counters.read();
            Self {
                gwid: peer.id.0,
                name: outbound.name.clone(),
                sent: Sum { msgs: sent.out_msgs, bytes: sent.out_bytes },
                received: Sum { msgs, bytes },
                inbound_connections: own().count(),
            }
        };
        gateways.towards(Direction::Outbound).iter().map(stats).collect()
    }
}

#[derive(Serialize)]
struct Load {
    start: String,
    mem: u64,
    cores: usize,
    cpu: Value,
    connections: usize,
    total_connections: u64,
    active_accounts: usize,
    subscriptions: usize,
}

fn statsz(node: &Node) -> Statsz {
    let (traffic, clients) = (node.delivery.totals.traffic(), node.delivery.totals.of_clients());
    Statsz {
        load: load(node),
        sent: Sum { msgs: traffic.out_msgs, bytes: traffic.out_bytes },
        sent_to_clients: Sum { msgs: clients.out_msgs, bytes: clients.out_bytes },
        received: Sum { msgs: traffic.in_msgs, bytes: traffic.in_bytes },
        received_from_clients: Sum { msgs: clients.in_msgs, bytes: clients.in_bytes },
        failures: failures(node),
        routes: node.delivery.routes.listed().iter().map(|route| RouteStats::of(route)).collect(),
        gateways: GatewayStats::all(&node.delivery.gateways),
        active_servers: 1 + node.connections.elsewhere.servers(),
        jetstream: Whole::for_others(node),
        gomaxprocs: process::cores(),
    }
}

fn failures(node: &Node) -> Failures {
    let failures = &node.connections.failures;
    let (slow, stale) = (failures.slow.total(), failures.stale.total());
    Failures {
        slow_consumers: slow,
        slow_consumer_stats: (slow > 0).then(|| ByKind::of(&failures.slow)),
        stale_connections: stale,
        stale_connection_stats: (stale > 0).then(|| ByKind::of(&failures.stale)),
        stalled_clients: failures.stalled.load(Relaxed),
    }
}

fn load(node: &Node) -> Load {
    let accounts = node.accounts.all();
    Load {
        start: stamp(node.monitoring.start),
        mem: process::resident_bytes(),
        cores: process::cores(),
        cpu: node.monitoring.load.percent(),
        connections: node.connections.registry.len(),
        total_connections: node.connections.registry.total(),
        active_accounts: accounts.iter().filter(|account| is_active(node, account)).count(),
        subscriptions: accounts.iter().map(|account| account.subscriptions()).sum(),
    }
}

/// Whether somebody is in an account: a client, a leaf node, or a route that is for it alone. The server itself is in that for system events.
fn is_active(node: &Node, account: &Account) -> bool {
    let routes = node.delivery.routes.open();
    let connections = account.connections() + account.leaf_nodes.connections();
    account.is_system()
        || connections > 0
        || routes.iter().any(|route| route.dedicated_to() == Some(&account.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_often_at_first() {
        let pauses = std::iter::successors(Some(PAUSE_FIRST), |&pause| Some(next(pause)));
        let seconds: Vec<_> = pauses.map(|pause| pause.as_secs_f64()).take(8).collect();
        assert_eq!(seconds, [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
    }
}
