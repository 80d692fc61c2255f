//! The system account: what the server publishes there, and what it answers.
//!
//! [`events`] publishes who comes and goes, [`statsz`] how the server is doing; [`subjects`] is the table of what is answered,
//! [`requests`], [`commands`] and [`tenants`] answer; [`granted`] is what other accounts have of that. [`trace`] publishes in any
//! account what became of a message that asked for it. A loop publishes in the turn in which it
//! happened, so an event is in its receivers' outboxes before the connection that it is about hears of it; what comes
//! by time, and all answers, come from the control thread.
//!
//! Without a system account (`no_system_account`) nothing is published and nothing is answered.

mod about;
mod certificates;
mod commands;
mod events;
mod explain;
mod filter;
mod granted;
mod requests;
mod statsz;
mod subjects;
mod tenants;
mod trace;
mod usage;

pub(crate) use about::{feature_flags, server};
pub(crate) use certificates::{certificate_rejected, link_invalid};
pub(crate) use events::{
    Proof, connected, joined, lame_duck, left, refused, refused_by_service, refused_for_room, rejoined,
    shutdown,
};
pub(crate) use granted::exports;
pub(crate) use subjects::is_unlisted;
pub(crate) use trace::{Ingress, traced};
pub(crate) use usage::renew as renew_usage;

use crate::internal::{Outgoing, Timer};
use crate::shared::Shared;
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::Turn;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// What the control thread remembers for the system account.
#[derive(Default)]
pub(crate) struct System {
    /// When an account's connections are published again though nothing changed.
    heartbeats: HashMap<AccountId, Timer>,
    /// The interval at whose end the usage is published.
    usage: Option<usage::Interval>,
}

/// Begins to publish and to answer.
pub(crate) fn start(shared: &Arc<Shared>) {
    shared.find_system();
    let Some(system) = shared.system() else { return };
    subjects::serve_system(shared, &system);
    for account in shared.accounts() {
        equip(shared, &account);
    }
    shared.internal.run(move |executor| {
        executor.listen(&system);
        statsz::begin(executor);
    });
    usage::renew(shared);
}

/// Lets an account ask the system account what every one may ask.
pub(crate) fn equip(shared: &Shared, account: &Account) {
    if let Some(system) = shared.system() {
        granted::grant_services(account, &system);
    }
}

/// Takes back what accounts have of the system account, which holds itself by it.
pub(crate) fn end(shared: &Shared) {
    shared.accounts().iter().for_each(|account| account.set_granted_services(Vec::new()));
}

/// Publishes to the system account what `body` makes, if there is one.
fn publish_event(shared: &Shared, turn: &mut Turn, subject: &str, body: &Value) {
    if let Some(system) = shared.system() {
        // Maps with text keys and plain values have no way to fail.
        let payload = serde_json::to_vec(body).unwrap_or_default();
        let message = Outgoing::new(subject, payload);
        shared.internal.publish(&shared.registry, turn, &system, &message);
    }
}
