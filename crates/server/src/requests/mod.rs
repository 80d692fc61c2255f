//! What the system account answers: questions about the server, and commands.
//!
//! [`subjects`] is the table of what is answered; [`answer`] answers questions about this server and its accounts, [`tenants`]
//! those of other accounts, [`subscribed`] acknowledges subscriptions, [`commands`] carries out commands, [`explain`] says why a message arrives or does not.
//! [`filter`] is which servers a question is for.

mod answer;
mod commands;
mod explain;
mod filter;
mod latency;
mod network;
mod subjects;
mod subscribed;
mod tenants;

use crate::node::Node;

/// Begins to answer, if there is a system account.
pub(crate) fn start(node: &Node) {
    if let Some(system) = node.accounts.system() {
        subjects::serve(node, &system);
    }
}
