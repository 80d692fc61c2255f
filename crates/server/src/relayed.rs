//! What routes and gateways have in common: in which account what they say is, and where messages go that they pass on.

use crate::conduct::{Conduct, Tracing};
use crate::lines;
use crate::policy::Policy;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::{Carried, Origin, Turn};
use dialtone_broker::gateways::{Gateways, Lead};
use dialtone_broker::{permission, trace};
use dialtone_identity::nkey::{Kind, Public};
use dialtone_identity::permission::Permissions;
use dialtone_subject::is_valid_literal;
use dialtone_wire::gateway::reply;
use dialtone_wire::interserver::{Limits, RoutedMessage};
use dialtone_wire::message::Message;
use std::sync::Arc;

/// Bytes of a message that another server may pass on: it may allow its clients more than this one does.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What another server may send at most.
pub(crate) fn limits(policy: &Policy) -> Limits {
    lines::limits(policy, PAYLOAD_BYTES_MAX)
}

/// Whether a line that begins so may become CONNECT.
pub(crate) fn may_become_connect(begin: &[u8]) -> bool {
    begin.iter().zip(b"CONNECT").all(|(found, expected)| found.eq_ignore_ascii_case(expected))
}

/// The account of this name.
pub(crate) fn account_of(conduct: &Conduct, name: &[u8]) -> Option<Arc<Account>> {
    conduct.node.accounts.find(std::str::from_utf8(name).ok()?)
}

/// An account that nobody has been in here, of which other servers may know before this one has its JWT. Interest in it must not be lost:
/// it is announced once. In it is nobody before its JWT is here.
#[cold]
pub(crate) fn account_to_come(conduct: &Conduct, name: &[u8]) -> Option<Arc<Account>> {
    conduct.policy.authenticator.operators()?;
    let name = std::str::from_utf8(name).ok()?;
    let key = Public::parse(name).ok().filter(|key| key.kind == Kind::Account)?;
    Some(conduct.node.accounts.make(&key.to_string(), &conduct.policy, &conduct.node.connections))
}

#[cold]
pub(crate) fn trace_message(conduct: &Conduct, routed: &RoutedMessage<'_>) {
    let subject = String::from_utf8_lossy(routed.message.subject);
    let account = String::from_utf8_lossy(routed.account.unwrap_or_default());
    let bytes = routed.message.body_bytes();
    lines::trace_message(conduct, format_args!("RMSG {account} {subject} {bytes}"), routed);
}

/// Delivers a message that another server passes on, and what becomes of it here if it is traced.
#[inline(always)]
pub(crate) fn deliver(
    conduct: &Conduct,
    account: &Arc<Account>,
    routed: &RoutedMessage<'_>,
    turn: &mut Turn,
) {
    // Another server may be of another mind.
    if !is_valid_literal(routed.message.subject) {
        return;
    }
    if routed.message.has_headers() && trace::may_ask(routed.message.headers()) {
        return deliver_traced(conduct, account, routed, turn);
    }
    publish(conduct, account, routed, turn);
}

#[cold]
fn deliver_traced(conduct: &Conduct, account: &Arc<Account>, routed: &RoutedMessage<'_>, turn: &mut Turn) {
    match conduct.begin_trace(account, &routed.message, turn) {
        Tracing::Nothing => publish(conduct, account, routed, turn),
        Tracing::Disabled(body) => {
            let message = body.message(&routed.message);
            publish(conduct, account, &RoutedMessage { message, ..*routed }, turn);
        }
        Tracing::Dropped | Tracing::Denied(_) => {}
        Tracing::Begun(ingress) => {
            publish(conduct, account, routed, turn);
            conduct.end_trace(ingress, turn);
        }
    }
}

/// Where there are other clusters, subject and reply may say where answers lead.
#[inline(always)]
fn publish(conduct: &Conduct, account: &Arc<Account>, routed: &RoutedMessage<'_>, turn: &mut Turn) {
    let origin = Origin { peer: &conduct.session.peer, account, echo: false };
    let permissions = conduct.place.permissions.as_deref();
    let message = match &conduct.node.delivery.leads {
        None => routed.message,
        Some(leads) => match led(origin, permissions, leads, routed, turn) {
            Some(message) => message,
            None => return,
        },
    };
    let Ok(authorized) = permission::publish(origin.peer, permissions, &message, turn.now()) else { return };
    let carried = Carried { cluster: routed.origin.unwrap_or_default(), serves_all: false };
    turn.publish_relayed(origin, routed.queues.iter(), carried, authorized);
}

/// Follows what subject and reply say of where answers lead. The message that is to be delivered; `None`: it has gone its way.
fn led<'a>(
    origin: Origin<'_>,
    permissions: Option<&Permissions>,
    leads: &Gateways,
    routed: &RoutedMessage<'a>,
    turn: &mut Turn,
) -> Option<Message<'a>> {
    let mut message = routed.message;
    if let Some(answer) = reply::unwrap(message.subject) {
        match leads.lead(&answer) {
            Lead::Here => message.subject = answer.subject,
            Lead::Server(peer) => {
                // It goes over one route at most.
                if origin.peer.kind.is_of_other_cluster() {
                    turn.pass_on(origin.account, &peer, &message);
                }
                return None;
            }
            Lead::Nowhere => return None,
        }
    }
    let Some(asked) = message.reply.and_then(reply::unwrap) else { return Some(message) };
    if !is_valid_literal(message.subject) || !is_valid_literal(asked.subject) {
        return None;
    }
    let way_back = message.reply.unwrap_or_default();
    let message = Message { reply: Some(asked.subject), ..message };
    if let Ok(authorized) = permission::publish(origin.peer, permissions, &message, turn.now()) {
        turn.publish_from_cluster(origin, routed.queues.iter(), way_back, authorized);
    }
    None
}
