//! Wills when a connection has ended: published at once, or when their delay is over and their client has not come back.

use super::effects::Effects;
use super::ending::said;
use super::publish::is_own;
use super::session::now_seconds;
use crate::client_ids::{LateWill, Waits};
use crate::internal::{Domain, Outgoing, Reply};
use crate::node::{Executor, Node};
use crate::share::Share;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::inlet::Publish as _;
use dialtone_broker::sharing::Mapped;
use dialtone_broker::trace::{self, DESTINATION, DISABLED, Rewritten};
use dialtone_mqtt::headers::{self, Marks, Response};
use dialtone_mqtt::streams::Settings;
use dialtone_mqtt::talk::{KeptWill, Talk, stored};
use dialtone_mqtt::{OwnWill, Published, Ticket};
use dialtone_wire::message::Message;
use dialtone_wire::mqtt::subject::put_subject;
use dialtone_wire::mqtt::{PacketId, Qos};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked for wills whose delay is over, while there are some.
const LOOK: Duration = Duration::from_millis(500);

impl Effects {
    /// Publishes a will now, or lets it wait. `is_taken`: its client has come back already, which takes back one with a delay. [MQTT-3.1.2-8]
    pub(super) fn leave_will(&mut self, will: OwnWill, delay: Duration, is_taken: bool, turn: &mut Turn) {
        if delay.is_zero() {
            return self.publish_will(&will.message(), turn);
        }
        if is_taken || !self.may_publish(will.message().topic, turn) {
            return;
        }
        let Some(conversation) = &self.conversation else { return };
        let late = LateWill {
            account: conversation.account.clone(),
            client_id: self.client_id.clone(),
            user: self.conduct.user.clone(),
            settings: conversation.settings.clone(),
            will,
            sequence: 0,
        };
        let (node, due) = (self.conduct.node.clone(), now_seconds().saturating_add(delay.as_secs()));
        let (account, settings, client_id) =
            (late.account.clone(), late.settings.clone(), late.client_id.clone());
        let (user, will) = (late.user.clone(), late.will.clone());
        match node.connections.client_ids.late_wills.insert(late, turn.now() + delay) {
            Ok(waits) => {
                let number = waits.number;
                begin(&node, waits);
                let request = said(settings.clone(), |talk, send| {
                    talk.keep_will((&client_id, &user), (due, number), &will, send);
                });
                keep(&node, (account, settings), (client_id, number), request);
            }
            // Too much waits: better early than never.
            Err(late) => self.publish_will(&late.will.message(), turn),
        }
    }
}

/// A will waits that was not there before.
fn begin(node: &Arc<Node>, waits: Waits) {
    if waits.is_first {
        node.internal.run(|executor| executor.repeat(LOOK, publish_due));
    }
    if let Some(replaced) = waits.replaced {
        node.internal.run_in(Domain::JetStream, move |executor| forget(executor, &replaced));
    }
}

/// Has a will kept in case that the server ends before it is due.
fn keep(
    node: &Arc<Node>,
    (account, settings): (Arc<Account>, Arc<Settings>),
    (client_id, number): (Arc<str>, u64),
    request: Vec<Outgoing>,
) {
    let Some(request) = request.into_iter().next() else { return };
    let (share, timeout) = (Share::account(&account), settings.streams.api_timeout);
    node.internal.run_in(Domain::JetStream, move |executor| {
        let of = account.clone();
        executor.ask(&account, request, timeout, share, move |executor, reply| {
            let Reply::Message(message) = reply else { return };
            let Ok(sequence) = stored(&message.payload) else { return };
            let late_wills = &executor.node.connections.client_ids.late_wills;
            if !late_wills.set_kept(of.id, &client_id, number, sequence) {
                discard(executor, &of, settings, sequence);
            }
        });
    });
}

/// A will that was kept is published, or taken back.
fn forget(executor: &mut Executor, late: &LateWill) {
    if late.sequence > 0 {
        discard(executor, &late.account, late.settings.clone(), late.sequence);
    }
}

fn discard(executor: &mut Executor, account: &Arc<Account>, settings: Arc<Settings>, sequence: u64) {
    for message in said(settings, |talk, send| talk.discard(sequence, send)) {
        executor.publish(account, &message);
    }
}

/// A will that was kept when a server ended. It waits again, unless its client has come back. Whether it waited at that server, and in that process,
/// was looked at.
pub(super) fn wait_again(
    executor: &mut Executor,
    (account, settings): (&Arc<Account>, &Arc<Settings>),
    (sequence, kept): (u64, KeptWill),
) {
    let KeptWill { client_id, user, due, will, .. } = kept;
    let (account, settings, client_id) = (account.clone(), settings.clone(), Arc::<str>::from(client_id));
    let node = executor.node.clone();
    let client_ids = &node.connections.client_ids;
    if client_ids.is_connected(account.id, &client_id) || client_ids.late_wills.has(account.id, &client_id) {
        return discard(executor, &account, settings, sequence);
    }
    let left = Duration::from_secs(due.saturating_sub(now_seconds()));
    // What is centuries away never comes.
    let Some(at) = executor.now().checked_add(left) else { return };
    let late = LateWill { account, client_id, user: user.into(), settings, will, sequence };
    match client_ids.late_wills.insert(late, at) {
        Ok(waits) => begin(&node, waits),
        Err(late) => {
            publish(&late, executor.parts().1);
            forget(executor, &late);
        }
    }
}

/// With what a will is stored. Nobody waits for an answer, but the streams are asked all the same.
pub(super) fn ticket_of(will: &Published<'_>) -> Option<Ticket> {
    PacketId::new(1).filter(|_| will.qos > Qos::AtMostOnce).map(Ticket::Once)
}

fn publish_due(executor: &mut Executor) -> Option<Duration> {
    let (node, turn) = executor.parts();
    let (due, has_more) = node.connections.client_ids.late_wills.due(turn.now());
    due.iter().for_each(|late| publish(late, turn));
    due.iter().for_each(|late| forget(executor, late));
    has_more.then_some(LOOK)
}

/// Publishes a will whose client is gone. What it may was decided when it went.
fn publish(late: &LateWill, turn: &mut Turn) {
    let (account, will) = (&late.account, late.will.message());
    let (mut subject, mut mapped) = (Vec::new(), Vec::new());
    if put_subject(&mut subject, will.topic).is_err() {
        return;
    }
    if account.maps() {
        match turn.map(account, &subject, &mut mapped) {
            Mapped::Unchanged => {}
            Mapped::To => subject = mapped,
            Mapped::Lost => return,
        }
    }
    if is_own(&subject) {
        return;
    }
    let (mut framed, mut reply) = (Vec::new(), Vec::new());
    let marks = Marks { retain: will.retain, client: None };
    headers::put_published(&mut framed, will.qos, marks, will.properties, Response::Reply);
    let header_bytes = framed.len();
    framed.extend_from_slice(will.payload);
    framed.extend_from_slice(b"\r\n");
    let has_reply = headers::put_reply(&mut reply, will.properties);
    let reply = has_reply.then_some(&*reply);
    let message = Message { subject: &subject, reply, header_bytes, framed: &framed };
    // Where it would be traced was not held against its rights: nobody on its way traces it.
    let untraced =
        trace::may_ask(message.headers()).then(|| Rewritten::with(&message, DESTINATION, DISABLED));
    turn.emit(account, &untraced.as_ref().map_or(message, |body| body.message(&message)));
    // Nobody waits for an answer.
    let mut talk = Talk::new(late.settings.clone(), 0);
    talk.set_user(&late.user);
    let now = turn.now();
    let mut send = |message: &Message<'_>| turn.emit(account, message);
    talk.keep(now, ticket_of(&will), &subject, (&will, marks), &mut send);
}
