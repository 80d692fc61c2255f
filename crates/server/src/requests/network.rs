//! What other servers publish of themselves in the system account: that they are there, that they go, and how many connections their
//! accounts have.

use super::explain;
use crate::elsewhere::Connections;
use crate::handover;
use crate::internal::Message;
use crate::node::{Executor, Node};
use crate::review;
use crate::system;
use dialtone_broker::account::Account;
use dialtone_mesh::Event;
use dialtone_wire::{CloseReason, ProtocolError};
use serde::Deserialize;
use std::time::Instant;

/// What is read of an account's connections at another server.
#[derive(Deserialize)]
struct AccountConnections {
    server: Sender,
    acc: String,
    conns: u32,
    /// Servers without leaf nodes may leave it out.
    #[serde(default)]
    leafnodes: u32,
}

/// Who says so.
#[derive(Deserialize)]
struct Sender {
    id: String,
}

/// What is read of a server's last event. Official servers are always taken to be back soon.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Farewell {
    leaves_for_good: bool,
}

/// What is read of a server's figures.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Figures {
    /// Official servers have no such field.
    rebalance: Option<Reported>,
}

/// How many clients a server has that takes over some and hands over some.
#[derive(Deserialize)]
struct Reported {
    clients: u64,
}

/// `$SYS.SERVER.<id>.STATSZ`: a server is there. A new one hears of this one at once.
pub(super) fn present(executor: &mut Executor, message: &Message) {
    let server = message.token(2);
    if hear_of(executor, server) && executor.node.settings.policy().options.rebalances() {
        let figures: Figures = serde_json::from_slice(&message.payload).unwrap_or_default();
        if let Some(Reported { clients }) = figures.rebalance {
            handover::reported(executor, server, clients);
        }
    }
}

/// `$SYS.SERVER.<id>.SHUTDOWN` and `.LAMEDUCK`: a server goes, and with it its connections.
pub(super) fn gone(executor: &mut Executor, message: &Message) {
    executor.state.rebalance.gone(message.token(2));
    let node = &executor.node;
    node.connections.elsewhere.forget(message.token(2));
    if message.token(3) == "SHUTDOWN" {
        let farewell: Farewell = serde_json::from_slice(&message.payload).unwrap_or_default();
        node.cluster.handle(Event::Left { server: message.token(2), for_good: farewell.leaves_for_good });
    }
}

/// `$SYS._INBOX_.<id>`: the same as an answer, or a question that another server passes on.
pub(super) fn inbox(executor: &mut Executor, message: &Message) {
    match serde_json::from_slice(&message.payload) {
        Ok(said) => take_connections(executor, &said),
        Err(_) => explain::passed_on(executor, message),
    }
}

/// `$SYS.SERVER.ACCOUNT.<account>.CONNS`: how many connections a server has in an account.
pub(super) fn account_connections(executor: &mut Executor, message: &Message) {
    if let Ok(said) = serde_json::from_slice(&message.payload) {
        take_connections(executor, &said);
    }
}

fn take_connections(executor: &mut Executor, said: &AccountConnections) {
    if !hear_of(executor, &said.server.id) {
        return;
    }
    let node = &executor.node;
    let Some(account) = node.accounts.find(&said.acc) else { return };
    let connections = Connections { clients: said.conns.into(), leaf_nodes: said.leafnodes.into() };
    node.connections.elsewhere.set_connections(&said.server.id, account.id, connections);
    make_room(node, &account);
}

/// Notes that a server is there; not this one itself.
fn hear_of(executor: &mut Executor, server: &str) -> bool {
    let node = &executor.node;
    if server == node.settings.identity.id {
        return false;
    }
    if node.connections.elsewhere.hear_of(server, Instant::now()) {
        system::broadcast(executor);
    }
    true
}

/// Closes the youngest clients of an account that has too many on all servers together: two servers let somebody in at the same
/// time. Each of them does, as officially.
fn make_room(node: &Node, account: &Account) {
    let Some(max) = node.accounts.limits(&account.name, &node.settings.policy()).connections_max else {
        return;
    };
    let all = u64::from(account.connections()) + node.connections.elsewhere.connections(account.id).clients;
    let over = usize::try_from(all.saturating_sub(max)).unwrap_or(usize::MAX);
    if over == 0 {
        return;
    }
    let mut sessions = node.connections.registry.open_in(Some(account.id));
    sessions.retain(|session| session.peer.closing().is_none());
    for session in sessions.iter().rev().take(over) {
        let reason = CloseReason::MaxAccountConnectionsExceeded;
        review::end(node, session, Some(ProtocolError::AccountConnectionsExceeded), reason);
    }
}
