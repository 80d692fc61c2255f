//! What leaf nodes say to each other once they know each other: interest, and messages.

use super::{LeafConnection, Side};
use crate::conduct::{Claim, Conduct, Phase, Tracing};
use crate::leafs::LOOP_PREFIX;
use crate::lines::{self, Reading, Speaker};
use crate::log::Event;
use crate::protocol::{Progress, send_error, send_pong};
use crate::relayed;
use crate::walk::{self, Ping};
use dialtone_broker::deliver::interest::Relayed;
use dialtone_broker::deliver::{Carried, Origin, Turn};
use dialtone_broker::sharing::Mapped;
use dialtone_broker::{permission, trace};
use dialtone_identity::authenticator::Refusal;
use dialtone_subject::is_valid_filter;
use dialtone_wire::gateway::reply;
use dialtone_wire::interserver::{Interest, Op, RoutedMessage};
use dialtone_wire::message::Message;
use dialtone_wire::{CloseReason, quoted};
use std::time::Duration;

/// How long the next attempt waits where there is a loop, or rights do not match. The official figure.
const MISTAKE_DELAY: Duration = Duration::from_secs(30);
/// The same where this server's version is too low. The official figure.
const VERSION_DELAY: Duration = Duration::from_secs(5);

/// What one turn received; counted at its end, not per message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Batch {
    msgs: u64,
    bytes: u64,
}

impl Speaker for LeafConnection {
    type Batch = Batch;

    fn conduct(&self) -> &Conduct {
        &self.conduct
    }

    fn reading(&mut self) -> &mut Reading {
        &mut self.reading
    }

    fn is_joined(&self) -> bool {
        self.leaf.is_some()
    }

    fn is_stranger(&self) -> bool {
        !matches!(self.conduct.phase, Phase::Open)
    }

    /// CONNECT, or INFO.
    fn may_become_valid(&self, begin: &[u8]) -> bool {
        matches!(begin.first(), Some(b'C' | b'c' | b'I' | b'i'))
    }

    #[inline(always)]
    fn take_message(&mut self, routed: &RoutedMessage<'_>, batch: &mut Batch, turn: &mut Turn) {
        batch.msgs += 1;
        batch.bytes += routed.message.body_bytes() as u64;
        if self.conduct.traced {
            self.trace_message(routed);
        }
        if routed.message.has_headers() && trace::may_ask(routed.message.headers()) {
            return self.deliver_traced(routed, turn);
        }
        self.deliver(routed, turn);
    }

    #[inline(never)]
    fn operate(&mut self, op: Op<'_>, batch: &mut Batch, turn: &mut Turn) {
        if self.is_stranger() && !self.may_begin_with(&op) {
            return self.turn_away(turn);
        }
        match op {
            Op::Message(routed) => self.take_message(&routed, batch, turn),
            Op::Subscribe { interest, weight } => self.subscribe(&interest, weight.get(), turn),
            Op::Unsubscribe(interest) => self.unsubscribe(&interest, turn),
            Op::Connect(json) => self.take_connect(json, turn),
            Op::Info(json) => self.take_info(json, turn),
            Op::Ping => send_pong(&self.conduct, turn),
            Op::Pong => self.pong(turn),
            Op::AccountSubscribe(_) | Op::AccountUnsubscribe(_) | Op::Ok => {}
            Op::Err(text) => self.take_error(&String::from_utf8_lossy(text)),
        }
    }

    fn begins_framing(&mut self) -> bool {
        self.compression.take_begun()
    }

    #[cold]
    fn turn_away(&mut self, turn: &mut Turn) {
        let why = Refusal::Credentials("no CONNECT");
        let login = self.conduct.refuse_user(&why, &Claim::default(), turn);
        self.carry_out(login, turn);
    }
}

impl LeafConnection {
    /// Takes all whole operations at the front of what came in.
    pub(super) fn take(&mut self, input: &[u8], turn: &mut Turn) -> Progress {
        if let Some(progress) = self.take_answer(input, turn) {
            return progress;
        }
        self.conduct.heard(turn.now());
        if self.conduct.is_outdated() {
            self.renew();
        }
        self.take_rights(turn);
        let mut batch = Batch::default();
        let progress = lines::read(self, input, &mut batch, turn);
        if self.conduct.is_securing() {
            self.begin_tls(progress.used == input.len());
        }
        self.count(batch, turn);
        progress
    }

    fn count(&self, Batch { msgs, bytes }: Batch, turn: &Turn) {
        if msgs > 0 {
            self.peer().count_in(msgs, bytes);
            self.peer().touch(turn.now());
            if let Some(account) = &self.conduct.place.account {
                account.counters.add_in(msgs, bytes);
                account.leaf_nodes.counters.add_in(msgs, bytes);
            }
        }
    }

    fn pong(&mut self, turn: &mut Turn) {
        if self.pings.answered() == Ping::Alive {
            self.conduct.pong(turn.now());
            return self.compression.measured(self.conduct.session.rtt());
        }
        if let Some(leaf) = &self.leaf {
            leaf.walk.lock().answered();
            let more = walk::go_on(&self.conduct.node.delivery.gate, &**leaf, turn);
            self.pings.ask_behind(more, self.conduct.peer(), turn);
        }
    }

    /// Whether who has not said who it is may say this: CONNECT, or one INFO, behind which nothing comes without compression.
    #[cold]
    fn may_begin_with(&mut self, op: &Op<'_>) -> bool {
        let (is_on, may_be) = (self.compression.is_on(), self.may_be_compressed());
        let Side::Accepted { said_info, .. } = &mut self.side else { return false };
        match op {
            Op::Connect(_) => !*said_info || is_on,
            Op::Info(_) => may_be && !std::mem::replace(said_info, true),
            _ => false,
        }
    }

    /// The other end complains. Some complaints are worth to wait for a change of the configuration.
    fn take_error(&mut self, text: &str) {
        self.log(Event::ClientError, format_args!("Leafnode Error {text}"));
        let delay = match text {
            _ if text.contains("Loop detected") || text.contains("same cluster name") => MISTAKE_DELAY,
            _ if text.contains("Permissions Violation") => MISTAKE_DELAY,
            _ if text.contains("minimum version required") => VERSION_DELAY,
            _ => return,
        };
        self.delay_next(delay);
        if text.contains("same cluster name") {
            let text = "Leafnode connection dropped with same cluster name error";
            let text = format_args!("{text}. Delaying attempt to reconnect for {delay:?}");
            self.log(Event::LeafFailed, text);
        }
        if text.contains("Loop detected") {
            self.peer().close(CloseReason::ProtocolViolation);
        }
    }

    #[inline(always)]
    fn deliver(&mut self, routed: &RoutedMessage<'_>, turn: &mut Turn) {
        if relayed::is_led(&routed.message) {
            return self.publish_led(routed, turn);
        }
        let Some(account) = &self.conduct.place.account else { return };
        if account.maps() {
            return self.publish_mapped(routed, turn);
        }
        self.publish(&routed.message, routed, false, turn);
    }

    /// Delivers a message whose headers may ask for a trace, and reports what becomes of it here.
    #[cold]
    fn deliver_traced(&mut self, routed: &RoutedMessage<'_>, turn: &mut Turn) {
        let Some(account) = self.conduct.place.account.clone() else { return };
        match self.conduct.begin_trace(&account, &routed.message, turn) {
            Tracing::Nothing => self.deliver(routed, turn),
            Tracing::Disabled(body) => {
                let message = body.message(&routed.message);
                self.deliver(&RoutedMessage { message, ..*routed }, turn);
            }
            Tracing::Dropped => {}
            // The other end may not know who may be sent traces: that is worth no end of the connection.
            Tracing::Denied(destination) => {
                let text = format_args!("Publish Violation on {} for a trace", quoted(&destination));
                self.log(Event::PermissionDenied, text);
            }
            Tracing::Begun(ingress) => {
                self.deliver(routed, turn);
                self.conduct.end_trace(ingress, turn);
            }
        }
    }

    /// Subject or reply say that another cluster asked.
    #[cold]
    fn publish_led(&mut self, routed: &RoutedMessage<'_>, turn: &mut Turn) {
        let Some(account) = &self.conduct.place.account else { return };
        if !is_valid_filter(routed.message.subject) {
            return;
        }
        let peer = &self.conduct.session.peer;
        let carried = Carried { cluster: peer.leaf_cluster(), serves_all: false };
        let rights = (self.conduct.place.permissions.as_deref(), self.conduct.node.delivery.leads.as_deref());
        let origin = Origin { peer, account, echo: false };
        if relayed::follow(origin, rights, carried, routed, turn).is_err() {
            self.publish_refused(routed.message.subject, turn);
        }
    }

    /// The subject may go elsewhere here; the rights are looked at after that.
    #[cold]
    fn publish_mapped(&mut self, routed: &RoutedMessage<'_>, turn: &mut Turn) {
        let Some(account) = self.conduct.place.account.clone() else { return };
        let mut subject = Vec::new();
        let message = &routed.message;
        let mapped = turn.map(&account, message.subject, &mut subject);
        if mapped != Mapped::Unchanged {
            turn.trace_mapping(&subject);
        }
        match mapped {
            Mapped::Unchanged => self.publish(message, routed, false, turn),
            Mapped::To => self.publish(&Message { subject: &subject, ..*message }, routed, true, turn),
            Mapped::Lost => {}
        }
    }

    #[inline(always)]
    fn publish(
        &mut self,
        message: &Message<'_>,
        routed: &RoutedMessage<'_>,
        is_mapped: bool,
        turn: &mut Turn,
    ) {
        // The other end may be of another mind. Wildcards may stand in what is published.
        if !is_valid_filter(message.subject) {
            return;
        }
        let permissions = self.conduct.place.permissions.as_deref();
        let peer = &self.conduct.session.peer;
        let Ok(authorized) = permission::publish(peer, permissions, message, turn.now()) else {
            return self.publish_refused(message.subject, turn);
        };
        let Some(account) = &self.conduct.place.account else { return };
        // Who sent it did not know of the mapping, and named no queue groups of what it became.
        let serves_all = is_mapped && routed.queues.is_empty();
        let carried = Carried { cluster: peer.leaf_cluster(), serves_all };
        turn.publish_relayed(
            Origin { peer, account, echo: false },
            routed.queues.iter(),
            carried,
            authorized,
        );
    }

    /// A spoke goes by the rights that it was told. A hub knows nothing of what is denied here.
    #[cold]
    fn publish_refused(&self, subject: &[u8], turn: &mut Turn) {
        if matches!(self.side, Side::Dialed(_)) {
            return;
        }
        let subject = quoted(subject);
        let text = format_args!("Publish Violation on {subject} - Check other side configuration");
        self.log(Event::PermissionDenied, text);
        let error = format!("Permissions Violation for Publish to {subject}");
        self.close_with(&error, CloseReason::ProtocolViolation, turn);
    }

    #[cold]
    fn trace_message(&self, routed: &RoutedMessage<'_>) {
        let subject = String::from_utf8_lossy(routed.message.subject);
        let bytes = routed.message.body_bytes();
        lines::trace_message(&self.conduct, format_args!("LMSG {subject} {bytes}"), routed);
    }

    /// LS+: the other end has interest.
    fn subscribe(&mut self, interest: &Interest<'_>, weight: u32, turn: &mut Turn) {
        let Some(leaf) = &self.leaf else { return };
        let Interest { filter, queue, .. } = *interest;
        if self.conduct.traced {
            self.log(Event::TraceIn, format_args!("<<- [LS+ {}]", String::from_utf8_lossy(filter)));
        }
        let leafs = &self.conduct.node.delivery.leafs;
        if filter.starts_with(LOOP_PREFIX) {
            let is_own = *filter == *leafs.loop_subject(&leaf.account);
            if is_own || leafs.is_known_elsewhere(leaf, filter) {
                return self.break_loop(turn);
            }
        } else if !reply::is_prefixed(filter)
            && permission::subscribe_by_leaf(self.conduct.place.permissions.as_deref(), filter).is_err()
        {
            return self.subscribe_refused(filter, turn);
        }
        if !is_valid_filter(filter) {
            return send_error(&self.conduct, "Invalid Subscription", turn);
        }
        let peer = &self.conduct.session.peer;
        let relayed = Relayed { peer, account: &leaf.account, cluster: &leaf.origin, filter, queue };
        let gate = &self.conduct.node.delivery.gate;
        gate.subscribe_relay(&mut leaf.interest.lock(), &relayed, weight, Some(turn));
    }

    /// What it asks for comes back to where it began.
    #[cold]
    fn break_loop(&self, turn: &mut Turn) {
        let account = self.conduct.place.account.as_ref().map_or("", |account| &account.name);
        let error = format!(
            "Loop detected for leafnode account={account:?}. Delaying attempt to reconnect for {MISTAKE_DELAY:?}"
        );
        self.delay_next(MISTAKE_DELAY);
        self.refuse(&error, CloseReason::ProtocolViolation, turn);
    }

    #[cold]
    fn subscribe_refused(&self, filter: &[u8], turn: &mut Turn) {
        // Of services and of what a hub wants beside, the configuration here knows better.
        if matches!(self.side, Side::Dialed(_)) {
            return;
        }
        let filter = quoted(filter);
        let text = format_args!("Subscription Violation on {filter} - Check other side configuration");
        self.log(Event::PermissionDenied, text);
        let error = format!("Permissions Violation for Subscription to {filter}");
        self.close_with(&error, CloseReason::ProtocolViolation, turn);
    }

    /// LS-: it has none any more.
    fn unsubscribe(&mut self, interest: &Interest<'_>, turn: &mut Turn) {
        let Some(leaf) = &self.leaf else { return };
        let Interest { filter, queue, .. } = *interest;
        if self.conduct.traced {
            self.log(Event::TraceIn, format_args!("<<- [LS- {}]", String::from_utf8_lossy(filter)));
        }
        let peer = &self.conduct.session.peer;
        let relayed = Relayed { peer, account: &leaf.account, cluster: &leaf.origin, filter, queue };
        let gate = &self.conduct.node.delivery.gate;
        gate.unsubscribe_relay(&mut leaf.interest.lock(), &relayed, Some(turn));
    }
}
