//! The system account: what the server publishes there. What it answers is in `requests`.
//!
//! [`events`] publishes who comes and goes, [`statsz`] how the server is doing; [`granted`] is what other
//! accounts have of the system account. [`trace`] publishes in any
//! account what became of a message that asked for it. A loop publishes in the turn in which it
//! happened, so an event is in its receivers' outboxes before the connection that it is about hears of it; what comes
//! by time, and all answers, come from the control thread.
//!
//! Without a system account (`no_system_account`) nothing is published and nothing is answered.

pub(crate) mod about;
mod certificates;
pub(crate) mod events;
mod granted;
pub(crate) mod statsz;
mod trace;
mod usage;

pub(crate) use about::{feature_flags, server};
pub(crate) use certificates::{certificate_rejected, link_invalid};
pub(crate) use events::{
    Proof, connected, joined, lame_duck, leaf_connected, left, refused, refused_by_service, refused_for_room,
    rejoined, shutdown,
};
pub(crate) use granted::exports;
pub(crate) use statsz::broadcast;
pub(crate) use trace::{Ingress, traced};
pub(crate) use usage::renew as renew_usage;

use crate::accounts::Accounts;
use crate::delivery::Delivery;
use crate::internal::{Host, Internal, Outgoing, Timer};
use crate::node::Node;
use crate::rebalance::Rebalance;
use crate::registry::Registry;
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::Turn;
use dialtone_config::options::cluster::Cluster;
use dialtone_net::Threads;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// What the control thread remembers for the system account.
#[derive(Default)]
pub struct System {
    /// When an account's connections are published again though nothing changed.
    heartbeats: HashMap<AccountId, Timer>,
    /// The interval at whose end the usage is published.
    usage: Option<usage::Interval>,
    /// Clients that are handed over to other servers.
    pub(crate) rebalance: Rebalance,
}

impl Host for Node {
    type State = System;

    fn internal(&self) -> &Internal<Self> {
        &self.internal
    }

    fn registry(&self) -> &Registry {
        &self.connections.registry
    }

    fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    fn threads(&self) -> &Threads {
        &self.threads
    }
}

/// Begins to publish.
pub(crate) fn start(node: &Arc<Node>) {
    let policy = node.settings.policy();
    let is_clustered =
        policy.options.cluster.as_ref().is_some_and(Cluster::is_on) || policy.options.gateway.is_some();
    let has_tenants =
        policy.options.access.accounts.iter().any(|a| policy.system_account() != Some(a.name.as_str()));
    let beside = granted::InCluster {
        is_clustered,
        is_open: !has_tenants && policy.authenticator.operators().is_none(),
        acknowledges: policy.options.cluster.as_ref().is_some_and(|own| own.acknowledge_subscriptions),
    };
    let grant = move |account: &Account, system: &Arc<Account>, has_jetstream: bool| {
        granted::grant_services(account, system, has_jetstream, beside);
    };
    let Some(system) = node.accounts.begin_system(&policy, Box::new(grant)) else {
        return;
    };
    node.internal.run(move |executor| {
        executor.listen(&system);
        statsz::begin(executor);
    });
    usage::renew(node);
}

/// Takes back what accounts have of the system account, which holds itself by it.
pub(crate) fn end(accounts: &Accounts) {
    accounts.all().iter().for_each(|account| account.set_granted_services(Vec::new()));
}

/// Publishes to the system account what `body` makes, if there is one and anybody gets it: where connections come and go in storms, what is
/// told of them costs as much as they do. It has its number in any case.
pub(crate) fn publish_event(node: &Node, turn: &mut Turn, subject: &str, body: impl FnOnce() -> Value) {
    let Some(system) = node.accounts.system() else { return };
    if system.maps() || turn.is_awaited(&system, subject.as_bytes()) {
        publish_made(node, turn, subject, &body());
    } else {
        about::next_number(node);
    }
}

/// Publishes an event to the system account, if there is one.
pub(crate) fn publish_made(node: &Node, turn: &mut Turn, subject: &str, event: &Value) {
    if let Some(system) = node.accounts.system() {
        // Maps with text keys and plain values have no way to fail.
        let payload = serde_json::to_vec(event).unwrap_or_default();
        Outgoing::new(subject, payload).emit(turn, &system);
    }
}
