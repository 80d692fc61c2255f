//! Figures of the links to other servers: one row a kind and other end, for all links to that together.

use crate::compression::Sent;
use crate::links::{Carried, Link};
use crate::node::Node;
use dialtone_broker::kind::Kind;
use std::collections::BTreeMap;
use std::time::Duration;

/// Other ends of a kind that have series of their own; all others are one.
const LINKS_MAX: usize = 100;

/// All links of a kind to one other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkRow {
    pub(super) kind: Kind,
    pub(super) remote: String,
    pub(super) links: u64,
    pub(super) subscriptions: u64,
    pub(super) pending_bytes: u64,
    pub(super) carried: Carried,
    /// By the links that there are.
    pub(super) compressed: Sent,
    /// The slowest.
    pub(super) rtt: Duration,
}

impl LinkRow {
    fn of(link: &Link) -> Self {
        Self {
            kind: link.kind,
            remote: link.remote.clone(),
            links: 1,
            subscriptions: link.subscriptions as u64,
            pending_bytes: link.session.peer.pending_bytes() as u64,
            carried: Carried::by(&link.session),
            compressed: link.compression.as_ref().map(|state| state.sent()).unwrap_or_default(),
            rtt: link.session.rtt(),
        }
    }

    fn add(&mut self, other: &Self) {
        for (sum, n) in [
            (&mut self.links, other.links),
            (&mut self.subscriptions, other.subscriptions),
            (&mut self.pending_bytes, other.pending_bytes),
            (&mut self.compressed.plain_bytes, other.compressed.plain_bytes),
            (&mut self.compressed.bytes, other.compressed.bytes),
        ] {
            *sum = sum.saturating_add(n);
        }
        self.carried.add(&other.carried);
        self.rtt = self.rtt.max(other.rtt);
    }
}

/// The rows, by kind and other end. What went by links that are over counts too, so that counters only grow.
pub(super) fn rows(node: &Node) -> Vec<LinkRow> {
    let past = node.delivery.past_links.read().into_iter();
    let past = past.map(|((kind, remote), carried)| LinkRow { kind, remote, carried, ..LinkRow::default() });
    let open = node.delivery.links();
    summed(open.iter().map(LinkRow::of).chain(past), LINKS_MAX)
}

/// One row a kind and other end, and at most `max` of a kind: the first by name, and the sum of all others.
fn summed(all: impl Iterator<Item = LinkRow>, max: usize) -> Vec<LinkRow> {
    let mut kinds: BTreeMap<Kind, BTreeMap<String, LinkRow>> = BTreeMap::new();
    for row in all {
        let known = kinds.entry(row.kind).or_default().entry(row.remote.clone()).or_default();
        known.add(&row);
        (known.kind, known.remote) = (row.kind, row.remote);
    }
    let bounded = |(kind, remotes): (Kind, BTreeMap<String, LinkRow>)| {
        let mut rows: Vec<_> = remotes.into_values().collect();
        if rows.len() > max {
            let mut others = LinkRow { kind, remote: "other".into(), ..LinkRow::default() };
            rows.drain(max..).for_each(|row| others.add(&row));
            rows.push(others);
        }
        rows
    };
    kinds.into_iter().flat_map(bounded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialtone_broker::stats::Traffic;

    #[test]
    fn links_are_summed_by_their_other_end_and_are_bounded_by_kind() {
        let row = |kind, remote: &str, in_msgs, rtt| LinkRow {
            kind,
            remote: remote.into(),
            links: 1,
            carried: Carried { traffic: Traffic { in_msgs, ..Traffic::default() }, interest_told: 1 },
            rtt: Duration::from_millis(rtt),
            ..LinkRow::default()
        };
        let two =
            |row: LinkRow| LinkRow { links: 2, carried: Carried { interest_told: 2, ..row.carried }, ..row };
        let route = |remote: &str, in_msgs, rtt| row(Kind::Route, remote, in_msgs, rtt);
        let spoke = row(Kind::Spoke, "a", 9, 9);
        let all = || {
            [spoke.clone(), route("b", 1, 3), route("a", 2, 1), route("c", 4, 5), route("a", 8, 2)]
                .into_iter()
        };
        let a = two(route("a", 10, 2));
        assert_eq!(summed(all(), 3), [a.clone(), route("b", 1, 3), route("c", 4, 5), spoke.clone()]);
        assert_eq!(summed(all(), 1), [a, two(route("other", 5, 5)), spoke.clone()]);
    }
}
