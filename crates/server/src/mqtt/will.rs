//! Wills when a connection has ended: published at once, or when their delay is over and their client has not come back.

use super::effects::Effects;
use super::publish::is_own;
use crate::client_ids::LateWill;
use crate::node::{Executor, Node};
use dialtone_broker::deliver::Turn;
use dialtone_broker::inlet::Publish as _;
use dialtone_broker::sharing::Mapped;
use dialtone_broker::trace::{self, DESTINATION, DISABLED, Rewritten};
use dialtone_mqtt::headers::{self, Marks, Response};
use dialtone_mqtt::talk::Talk;
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
        };
        let node = self.conduct.node.clone();
        match node.connections.client_ids.late_wills.insert(late, turn.now() + delay) {
            Ok(is_first) => {
                if is_first {
                    begin_to_look(&node);
                }
            }
            // Too much waits: better early than never.
            Err(late) => self.publish_will(&late.will.message(), turn),
        }
    }
}

/// With what a will is stored. Nobody waits for an answer, but the streams are asked all the same.
pub(super) fn ticket_of(will: &Published<'_>) -> Option<Ticket> {
    PacketId::new(1).filter(|_| will.qos > Qos::AtMostOnce).map(Ticket::Once)
}

fn begin_to_look(node: &Arc<Node>) {
    node.internal.run(|executor| executor.repeat(LOOK, publish_due));
}

fn publish_due(executor: &mut Executor) -> Option<Duration> {
    let (node, turn) = executor.parts();
    let (due, has_more) = node.connections.client_ids.late_wills.due(turn.now());
    due.iter().for_each(|late| publish(late, turn));
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
