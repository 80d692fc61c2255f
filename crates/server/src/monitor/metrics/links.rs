//! Figures of the links to other servers: one row a server, for all routes to it together.

use crate::compression::Sent;
use crate::node::Node;
use crate::routes::Route;
use dialtone_broker::stats::Traffic;
use std::collections::BTreeMap;
use std::time::Duration;

/// Servers that have series of their own; all others are one.
const LINKS_MAX: usize = 100;

/// A server at the other end of routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkRow {
    pub(super) server: String,
    pub(super) routes: u64,
    pub(super) subscriptions: u64,
    pub(super) pending_bytes: u64,
    pub(super) traffic: Traffic,
    /// By the routes that there are.
    pub(super) compressed: Sent,
    /// The slowest.
    pub(super) rtt: Duration,
}

impl LinkRow {
    fn of(route: &Route) -> Self {
        let peer = &route.session.peer;
        Self {
            server: route.remote.read().server_name.clone(),
            routes: 1,
            subscriptions: route.interest.lock().len() as u64,
            pending_bytes: peer.pending_bytes() as u64,
            traffic: peer.counters.read(),
            compressed: route.compression.sent(),
            rtt: route.session.rtt(),
        }
    }

    /// How many times less than the protocol's bytes were sent; `None`: nothing was compressed.
    pub(super) fn compression_ratio(&self) -> Option<f64> {
        let Sent { plain_bytes, bytes } = self.compressed;
        (bytes > 0).then(|| plain_bytes as f64 / bytes as f64)
    }

    fn add(&mut self, other: &Self) {
        for (sum, n) in [
            (&mut self.routes, other.routes),
            (&mut self.subscriptions, other.subscriptions),
            (&mut self.pending_bytes, other.pending_bytes),
            (&mut self.compressed.plain_bytes, other.compressed.plain_bytes),
            (&mut self.compressed.bytes, other.compressed.bytes),
        ] {
            *sum = sum.saturating_add(n);
        }
        self.traffic = self.traffic + other.traffic;
        self.rtt = self.rtt.max(other.rtt);
    }
}

/// The rows, by server. What went by routes that are over counts too, so that counters only grow.
pub(super) fn rows(node: &Node) -> Vec<LinkRow> {
    let open = node.delivery.routes.open();
    let past = node.delivery.routes.past().into_iter();
    let past = past.map(|(server, traffic)| LinkRow { server, traffic, ..LinkRow::default() });
    summed(open.iter().map(|route| LinkRow::of(route)).chain(past), LINKS_MAX)
}

/// One row a server, and at most `max`: the first by name, and the sum of all others.
fn summed(all: impl Iterator<Item = LinkRow>, max: usize) -> Vec<LinkRow> {
    let mut servers: BTreeMap<String, LinkRow> = BTreeMap::new();
    for row in all {
        let known = servers.entry(row.server.clone()).or_default();
        known.add(&row);
        known.server = row.server;
    }
    let mut rows: Vec<_> = servers.into_values().collect();
    if rows.len() > max {
        let mut others = LinkRow { server: "other".into(), ..LinkRow::default() };
        rows.drain(max..).for_each(|row| others.add(&row));
        rows.push(others);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_summed_by_server_and_servers_are_bounded() {
        let row = |server: &str, in_msgs, rtt| LinkRow {
            server: server.into(),
            routes: 1,
            traffic: Traffic { in_msgs, ..Traffic::default() },
            rtt: Duration::from_millis(rtt),
            ..LinkRow::default()
        };
        let all = || [row("b", 1, 3), row("a", 2, 1), row("c", 4, 5), row("a", 8, 2)].into_iter();
        let a = LinkRow { routes: 2, ..row("a", 10, 2) };
        assert_eq!(summed(all(), 3), [a.clone(), row("b", 1, 3), row("c", 4, 5)]);
        assert_eq!(summed(all(), 1), [a, LinkRow { routes: 2, ..row("other", 5, 5) }]);
    }
}
