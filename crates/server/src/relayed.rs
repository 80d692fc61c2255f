//! What routes and gateways have in common: in which account what they say is, and where messages go that they pass on.

use crate::conduct::{Conduct, Tracing};
use crate::lines;
use crate::policy::Policy;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::{Carried, Origin, Turn};
use dialtone_broker::gateways::{Gateways, Lead};
use dialtone_broker::permission::Refused;
use dialtone_broker::{permission, trace};
use dialtone_identity::nkey::{Kind, Public};
use dialtone_identity::permission::Permissions;
use dialtone_subject::{is_valid_filter, is_valid_literal};
use dialtone_wire::gateway::reply::{self, Prefixed};
use dialtone_wire::interserver::{Limits, RoutedMessage};
use dialtone_wire::message::Message;
use std::sync::Arc;

/// Bytes of a message that another server may pass on: it may allow its clients more than this one does.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What one turn received from a server that speaks for all accounts; counted at its end and where the account changes, not per message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Batch {
    msgs: u64,
    bytes: u64,
    /// Those of the last account.
    account_msgs: u64,
    account_bytes: u64,
}

impl Batch {
    /// A message of this size came.
    #[inline(always)]
    pub(crate) fn add(&mut self, bytes: u64) {
        self.msgs += 1;
        self.bytes += bytes;
    }

    /// It is in the last account.
    #[inline(always)]
    pub(crate) fn add_in_account(&mut self, bytes: u64) {
        self.account_msgs += 1;
        self.account_bytes += bytes;
    }

    /// Counts the messages of the last account so far.
    pub(crate) fn count_in_account(&mut self, conduct: &Conduct, last: Option<&Arc<Account>>) {
        let (msgs, bytes) = (std::mem::take(&mut self.account_msgs), std::mem::take(&mut self.account_bytes));
        if let Some(account) = last.filter(|_| msgs > 0) {
            account.count_relayed_in(conduct.peer().kind(), msgs, bytes);
        }
    }

    /// Counts all at the end of the turn.
    pub(crate) fn count(&mut self, conduct: &Conduct, last: Option<&Arc<Account>>, turn: &Turn) {
        if self.msgs > 0 {
            self.count_in_account(conduct, last);
            conduct.peer().count_in(self.msgs, self.bytes);
            conduct.peer().touch(turn.now());
        }
    }
}

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
    let account = conduct.node.accounts.make(&key.to_string(), &conduct.policy, &conduct.node.connections);
    conduct.node.delivery.gateways.meet(&account);
    Some(account)
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
    // Another server may be of another mind. A wildcard may stand in what is published: requests to the API of JetStream end with filters.
    if !is_valid_filter(routed.message.subject) {
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
    let carried = Carried { cluster: routed.origin.unwrap_or_default(), serves_all: false };
    if is_led(&routed.message) {
        let leads = conduct.node.delivery.leads.as_deref();
        // Who is not let publish there has a server of its own that should have known.
        let _ = follow(origin, (permissions, leads), carried, routed, turn);
        return;
    }
    let Ok(authorized) = permission::publish(origin.peer, permissions, &routed.message, turn.now()) else {
        return;
    };
    turn.publish_relayed(origin, routed.queues.iter(), carried, authorized);
}

/// Whether subject or reply may say where answers lead.
#[inline(always)]
pub(crate) fn is_led(message: &Message<'_>) -> bool {
    reply::is_prefixed(message.subject) || message.reply.is_some_and(reply::is_prefixed)
}

/// Follows what subject and reply of a message say of where answers lead. The rights are those for the subject that it leads to.
///
/// # Errors
///
/// The other end may not publish there.
#[cold]
pub(crate) fn follow(
    origin: Origin<'_>,
    (permissions, leads): (Option<&Permissions>, Option<&Gateways>),
    carried: Carried<'_>,
    routed: &RoutedMessage<'_>,
    turn: &mut Turn,
) -> Result<(), Refused> {
    let mut message = routed.message;
    let asked = message.reply.and_then(reply::unwrap);
    let answer = reply::unwrap(message.subject);
    if let Some(asked) = &asked {
        message.reply = Some(asked.subject);
    }
    if let Some(answer) = &answer {
        message.subject = answer.subject;
    }
    if !is_valid_filter(message.subject) || message.reply.is_some_and(|reply| !is_valid_literal(reply)) {
        return Ok(());
    }
    let authorized = permission::publish(origin.peer, permissions, &message, turn.now())?;
    if let Some(answer) = &answer
        && !leads_here(origin, leads, carried, (answer, &routed.message), turn)
    {
        return Ok(());
    }
    match (asked, routed.message.reply) {
        (Some(_), Some(way_back)) => {
            turn.publish_from_cluster(origin, routed.queues.iter(), (way_back, carried), authorized)
        }
        _ => turn.publish_relayed(origin, routed.queues.iter(), carried, authorized),
    };
    Ok(())
}

/// Whether an answer is for this server to deliver. Otherwise it is passed on to where it leads.
fn leads_here(
    origin: Origin<'_>,
    leads: Option<&Gateways>,
    carried: Carried<'_>,
    (answer, message): (&Prefixed<'_>, &Message<'_>),
    turn: &mut Turn,
) -> bool {
    let kind = origin.peer.kind();
    match leads.map_or(Lead::Nowhere, |leads| leads.lead(answer)) {
        Lead::Here => return true,
        // It goes over one route at most.
        Lead::Server(peer) if kind.is_of_other_cluster() || kind.is_leaf_connection() => {
            turn.pass_on(origin.account, &peer, message);
        }
        Lead::Server(_) => {}
        // What comes by a leaf node has its first server of a cluster here.
        Lead::Nowhere if kind.is_leaf_connection() => {
            match leads.and_then(|leads| leads.to_cluster(answer)) {
                Some(peer) => turn.pass_on(origin.account, &peer, message),
                None => {
                    turn.pass_on_led(origin, carried.cluster, message);
                }
            }
        }
        Lead::Nowhere => {}
    }
    false
}
