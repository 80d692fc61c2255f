//! Figures that monitoring and system events have in common.

use crate::accounts::Accounts;
use dialtone_broker::account::Account;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;

/// A count by kind of connection.
#[derive(Default, Serialize)]
pub(crate) struct ByKind {
    clients: u64,
    routes: u64,
    gateways: u64,
    leafs: u64,
}

impl ByKind {
    /// All of them are clients.
    pub(crate) fn clients(clients: u64) -> Self {
        Self { clients, ..Self::default() }
    }
}

/// An account with so many connections: its traffic and its size.
pub(crate) fn statistics(accounts: &Accounts, account: &Account, connections: u32) -> Map<String, Value> {
    let traffic = account.counters.read();
    let side = |msgs: u64, bytes: u64| {
        let none = json!({ "msgs": 0, "bytes": 0 });
        json!({ "msgs": msgs, "bytes": bytes, "gateways": none, "routes": none, "leafs": none })
    };
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| {
        out.insert(key.into(), value);
    };
    set("acc", (*account.name).into());
    set("name", accounts.name_of(&account.name).to_string().into());
    set("conns", connections.into());
    set("leafnodes", 0.into());
    set("total_conns", connections.into());
    set("num_subscriptions", account.subscriptions().into());
    set("sent", side(traffic.out_msgs, traffic.out_bytes));
    set("received", side(traffic.in_msgs, traffic.in_bytes));
    set("slow_consumers", account.slow_consumers.load(Ordering::Relaxed).into());
    out
}
