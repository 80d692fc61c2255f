//! What the documents of monitoring and system events have in common. A document is a struct with the official fields in
//! their official order; [`json`] makes a value of it.

use crate::accounts::Accounts;
use crate::connection_failures::CountByKind;
use crate::settings::Settings;
use crate::times::stamp;
use dialtone_broker::account::Account;
use dialtone_broker::kind::Columns;
use dialtone_broker::stats::Traffic;
use serde::Serialize;
use serde_json::Value;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// A document as JSON.
pub(crate) fn json(document: &impl Serialize) -> Value {
    // A struct of texts and numbers cannot fail.
    serde_json::to_value(document).unwrap_or_default()
}

/// Whether a field is left out that is shown only when it is set.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A figure, without a point where there is no fraction.
pub(crate) fn figure(n: f64) -> Value {
    if n.fract() == 0.0 && n.abs() < 1e15 { (n as i64).into() } else { n.into() }
}

/// A span in nanoseconds.
pub(crate) fn nanos(span: Duration) -> u64 {
    span.as_nanos() as u64
}

/// Seconds, as a figure.
pub(crate) fn seconds(span: Duration) -> Value {
    figure(span.as_secs_f64())
}

/// How most documents of monitoring begin.
#[derive(Serialize)]
pub(crate) struct Head {
    server_id: String,
    now: String,
}

impl Head {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { server_id: settings.identity.id.clone(), now: stamp(SystemTime::now()) }
    }
}

/// A count by kind of connection.
#[derive(Default, Serialize)]
pub(crate) struct ByKind {
    clients: u64,
    routes: u64,
    gateways: u64,
    leafs: u64,
}

impl ByKind {
    /// Leaf nodes are the connections of either end.
    pub(crate) fn of(count: &CountByKind) -> Self {
        let Columns { clients, routes, gateways, leafs } = Columns::of(|kind| count.of(kind));
        Self { clients, routes, gateways, leafs }
    }
}

/// Messages and their bytes.
#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Sum {
    pub(crate) msgs: u64,
    pub(crate) bytes: u64,
}

/// Traffic in one direction: all of it, and what of it other servers had.
#[derive(Serialize)]
struct SumByKind {
    #[serde(flatten)]
    all: Sum,
    gateways: Sum,
    routes: Sum,
    leafs: Sum,
}

impl SumByKind {
    /// One direction of an account's traffic; what other servers had not was clients'.
    fn of(account: &Account, direction: fn(Traffic) -> Sum) -> Self {
        let relayed = Columns::of(|kind| account.relayed.of(kind).read());
        Self {
            all: direction(account.counters.read()),
            gateways: direction(relayed.gateways),
            routes: direction(relayed.routes),
            leafs: direction(account.leaf_nodes.counters.read()),
        }
    }
}

/// An account's traffic and size.
#[derive(Serialize)]
pub(crate) struct Statistics {
    acc: String,
    name: String,
    conns: u32,
    leafnodes: u32,
    total_conns: u32,
    num_subscriptions: usize,
    sent: SumByKind,
    received: SumByKind,
    slow_consumers: u64,
}

impl Statistics {
    /// Of an account with so many connections.
    pub(crate) fn of(accounts: &Accounts, account: &Account, connections: u32) -> Self {
        let leaf_nodes = account.leaf_nodes.connections();
        Self {
            acc: account.name.to_string(),
            name: accounts.name_of(&account.name),
            conns: connections,
            leafnodes: leaf_nodes,
            total_conns: connections + leaf_nodes,
            num_subscriptions: account.subscriptions(),
            sent: SumByKind::of(account, |traffic| Sum { msgs: traffic.out_msgs, bytes: traffic.out_bytes }),
            received: SumByKind::of(account, |traffic| Sum {
                msgs: traffic.in_msgs,
                bytes: traffic.in_bytes,
            }),
            slow_consumers: account.slow_consumers.load(Ordering::Relaxed),
        }
    }
}

/// How many characters identify an event.
const EVENT_ID_CHARS: usize = 22;
const EVENT_ID_ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How every event begins.
#[derive(Serialize)]
pub(crate) struct EventHead {
    r#type: String,
    id: String,
    timestamp: String,
}

impl EventHead {
    /// The next event of this type.
    pub(crate) fn new(r#type: impl Into<String>, at: SystemTime) -> Self {
        // 62 to the power of 22 is a little more than 128 bits hold.
        let mut number: u128 = rand::random();
        let mut character = || {
            let at = (number % EVENT_ID_ALPHABET.len() as u128) as usize;
            number /= EVENT_ID_ALPHABET.len() as u128;
            EVENT_ID_ALPHABET.get(at).copied().map(char::from)
        };
        let id = (0..EVENT_ID_CHARS).filter_map(|_| character()).collect();
        Self { r#type: r#type.into(), id, timestamp: stamp(at) }
    }

    /// The next official advisory of this kind.
    pub(crate) fn advisory(kind: &str, at: SystemTime) -> Self {
        Self::new(format!("io.nats.server.advisory.v1.{kind}"), at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn events_have_ids_of_their_own() {
        let ids: BTreeSet<_> = (0..1000).map(|_| EventHead::new("x", SystemTime::UNIX_EPOCH).id).collect();
        assert_eq!(ids.len(), 1000);
        let is_valid = |id: &String| id.len() == 22 && id.bytes().all(|b| b.is_ascii_alphanumeric());
        assert!(ids.iter().all(is_valid), "{ids:?}");
    }

    #[test]
    fn an_advisory_begins_with_type_id_and_time() {
        let head = json(&EventHead::advisory("client_connect", SystemTime::UNIX_EPOCH));
        let fields: Vec<_> = head.as_object().into_iter().flat_map(serde_json::Map::keys).collect();
        assert_eq!(fields, ["type", "id", "timestamp"]);
        assert_eq!(
            head.get("type").and_then(Value::as_str),
            Some("io.nats.server.advisory.v1.client_connect")
        );
    }
}
