//! What a change of an account's JWT means for those who are connected.

use crate::accounts::Accounts;
use crate::node::Node;
use crate::registry::{Registry, Session};
use crate::review::{self, end, report};
use dialtone_wire::{CloseReason, ProtocolError};
use std::sync::Arc;

/// Looks at each connection of an account, and at those that its authorization service let in: who may be here by the
/// account's present JWT stays, with the rights that it gives; the others are closed.
pub(super) fn connections(node: &Node, key: &str) {
    let sessions = of_account(&node.accounts, &node.connections.registry, key);
    let elsewhere =
        node.connections.registry.let_in_by(key).into_iter().filter(|session| !session.is_of(key));
    sessions.iter().cloned().chain(elsewhere).for_each(|session| review::session(node, &session));
    if let Some(account) = node.accounts.find(key) {
        account.forget_matches();
    }
    let Some(limits) = node.accounts.jwts.find(key).map(|verified| verified.claims.limits) else { return };
    let open = || sessions.iter().filter(|session| session.peer.closing().is_none());
    for session in open() {
        let max = [limits.subscriptions_max, session.claimed().and_then(|c| c.subscriptions_max)];
        let max = max.into_iter().flatten().min();
        if max.is_some_and(|max| session.peer.subscriptions().len() as u64 >= max) {
            report(session, ProtocolError::SubscriptionsExceeded);
        }
    }
    // The youngest go first.
    let max = limits.connections_max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    for session in open().skip(max) {
        end(
            node,
            session,
            Some(ProtocolError::AccountConnectionsExceeded),
            CloseReason::MaxAccountConnectionsExceeded,
        );
    }
}

/// Closes each connection of an account that is one no longer.
pub(super) fn refuse(node: &Node, key: &str) {
    for session in of_account(&node.accounts, &node.connections.registry, key) {
        end(node, &session, Some(ProtocolError::Authorization), CloseReason::AuthenticationViolation);
    }
}

/// The connections that are in an account by its JWT, the oldest first. Those of other accounts are not walked.
fn of_account(accounts: &Accounts, registry: &Registry, key: &str) -> Vec<Arc<Session>> {
    let Some(account) = accounts.find(key) else { return Vec::new() };
    let mut sessions = registry.open_in(Some(account.id));
    sessions.retain(|session| session.is_of(key) && session.peer.closing().is_none());
    sessions
}
