//! Messages for the client: one exchange at a time, sent again until it is answered. MQTT-SN 1.2 §6.6, §6.10, §6.13

use super::proof::Proof;
use super::{Client, Phase, Verdict};
use crate::sn::action::Context;
use crate::sn::queue::{Item, Queue, Queued};
use crate::sn::topics::Named;
use dialtone_wire::mqtt::{
    Ack, AckKind, Delivery, Packet, PacketId, Properties, Publish as MqttPublish, Qos as MqttQos, Reason,
};
use dialtone_wire::mqtt_sn::{Message, Publish, Qos, ReturnCode, Topic};
use std::time::{Duration, Instant};

/// What is sent to a client.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    pub(super) queue: Queue,
    under_way: Option<UnderWay>,
    pub(super) proof: Proof,
}

/// What the front of the queue waits for.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    step: Step,
    sent: Instant,
    /// How often it was sent again.
    retries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// REGACK with these numbers.
    Register { topic_id: u16, id: u16 },
    /// PUBACK or PUBREC.
    Publish,
    /// PUBREL of the server: the client has the message, and the server writes that down.
    Server,
    /// PUBCOMP.
    Release,
}

impl Outbound {
    pub(super) fn new(connect_bytes: usize) -> Self {
        Self { proof: Proof { received_bytes: connect_bytes, ..Proof::default() }, ..Self::default() }
    }

    /// When what is under way is due again.
    pub(super) fn resend_at(&self, retry_interval: Duration) -> Option<Instant> {
        let under_way = self.under_way.filter(|under_way| under_way.step != Step::Server)?;
        Some(under_way.sent + retry_interval)
    }

    /// Nothing is sent for a while. What was under way begins anew then, in its step.
    pub(super) fn pause(&mut self) {
        if self.under_way.is_some_and(|under_way| under_way.step != Step::Server) {
            self.under_way = None;
        }
    }

    fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }
}

impl Client {
    /// A message of the server.
    pub(super) fn deliver(&mut self, publish: &MqttPublish<'_>, context: &mut Context<'_>) {
        let is_idle = self.phase == Phase::Active && self.outbound.queue.len() == 0;
        // Most messages go on at once, and nothing is kept of them.
        if is_idle
            && publish.delivery == Delivery::AtMostOnce
            && self.outbound.proof.allows(publish.payload.len())
            && let Named::Known(topic) = self.topics.name(publish.topic, context.options.topics_max)
        {
            let (retain, payload) = (publish.retain, publish.payload);
            let message = Publish { dup: false, qos: Qos::AtMostOnce, retain, topic, id: 0, payload };
            self.send(Message::Publish(message), context);
            return;
        }
        self.outbound.queue.push(publish, context.options);
        self.pump(context);
    }

    fn send(&mut self, message: Message<'_>, context: &mut Context<'_>) -> usize {
        let bytes = context.send(&self.address, message);
        self.outbound.proof.sent_bytes += bytes;
        bytes
    }

    /// Sends what waits, as far as it goes.
    pub(super) fn pump(&mut self, context: &mut Context<'_>) {
        while !self.outbound.is_under_way() {
            match self.phase {
                Phase::Active => {}
                Phase::Awake { left: 1.., .. } => {}
                Phase::Awake { .. } => return self.doze(context),
                _ => return,
            }
            match self.outbound.queue.front() {
                None => return self.doze(context),
                Some(Item::Release(id)) => {
                    let id = id.get();
                    self.send(Message::PubRel(id), context);
                    self.begin(Step::Release, context.now);
                }
                Some(Item::Message(_)) => self.begin_message(context),
            }
        }
    }

    fn begin(&mut self, step: Step, now: Instant) {
        self.outbound.under_way = Some(UnderWay { step, sent: now, retries: 0 });
        self.outbound.queue.is_under_way = true;
    }

    /// The front of the queue is over.
    fn pop(&mut self) {
        self.outbound.under_way = None;
        self.outbound.queue.pop();
        if let Phase::Awake { left, .. } = &mut self.phase {
            *left = left.saturating_sub(1);
        }
    }

    /// Begins with the message at the front: with the number of its topic, if the client has to be told of it.
    fn begin_message(&mut self, context: &mut Context<'_>) {
        let Some(Item::Message(message)) = self.outbound.queue.front() else { return };
        let max = context.options.topics_max;
        let is_allowed = self.outbound.proof.allows(message.payload.len());
        let named = match self.topics.name(&message.topic, max) {
            // By REGISTER the address shows that somebody is there who wants this.
            Named::Known(Topic::Registered(topic_id)) if !is_allowed => Named::Unknown(topic_id),
            Named::Known(_) if !is_allowed => {
                self.topics.assign(&message.topic, max).map_or(Named::Full, Named::Unknown)
            }
            named => named,
        };
        match named {
            Named::Known(topic) => self.send_message(topic, context),
            Named::Unknown(topic_id) => {
                let id = context.random_id();
                self.begin(Step::Register { topic_id, id }, context.now);
                self.send_step(context);
            }
            Named::Full => self.give_up(context),
        }
    }

    /// Sends the message at the front; one of quality of service 0 is over with that.
    fn send_message(&mut self, topic: Topic, context: &mut Context<'_>) {
        let Some(Item::Message(message)) = self.outbound.queue.front_mut() else { return };
        let sent = context.send(&self.address, Message::Publish(message.publish(topic)));
        let is_over = message.id.is_none();
        message.dup = true;
        self.outbound.proof.sent_bytes += sent;
        match sent {
            // It does not fit a datagram.
            0 => self.give_up(context),
            _ if is_over => self.pop(),
            _ if self.outbound.under_way.is_none() => self.begin(Step::Publish, context.now),
            _ => {}
        }
    }

    /// The client does not get the message at the front.
    fn give_up(&mut self, context: &mut Context<'_>) {
        if let Some(Item::Message(Queued { id: Some(id), qos, .. })) = self.outbound.queue.front() {
            let (id, properties) = (*id, Properties::NONE);
            let (kind, reason) = match qos {
                // With an error, PUBREC ends the exchange.
                MqttQos::ExactlyOnce => (AckKind::PubRec, Reason::UnspecifiedError),
                _ => (AckKind::PubAck, Reason::Success),
            };
            context.server(self.link, &Packet::Ack(Ack { kind, id, reason, properties }));
        }
        self.pop();
    }

    /// Sends what is under way, as the step that it is in.
    fn send_step(&mut self, context: &mut Context<'_>) {
        let Some(UnderWay { step, .. }) = self.outbound.under_way else { return };
        match (step, self.outbound.queue.front()) {
            (Step::Register { topic_id, id }, Some(Item::Message(message))) => {
                let register = Message::Register { topic_id, id, topic: &message.topic };
                let bytes = context.send(&self.address, register);
                self.outbound.proof.sent_bytes += bytes;
            }
            (Step::Publish, Some(Item::Message(message))) => {
                match self.topics.name(&message.topic, context.options.topics_max) {
                    Named::Known(topic) => self.send_message(topic, context),
                    Named::Unknown(_) | Named::Full => {}
                }
            }
            (Step::Release, Some(Item::Release(id))) => {
                let id = id.get();
                self.send(Message::PubRel(id), context);
            }
            _ => {}
        }
    }

    /// No answer has come in time. A client that is only awake for what waits may have gone to sleep.
    pub(super) fn resend(&mut self, context: &mut Context<'_>) -> Verdict {
        let Some(under_way) = &mut self.outbound.under_way else { return Verdict::Stays };
        if under_way.retries >= context.options.retries_max {
            if let Phase::Awake { for_seconds, .. } = self.phase {
                self.fall_asleep(for_seconds);
                return Verdict::Stays;
            }
            return self.lose(context);
        }
        under_way.retries += 1;
        self.resend_now(context)
    }

    /// Sends again what is under way.
    pub(super) fn resend_now(&mut self, context: &mut Context<'_>) -> Verdict {
        if let Some(under_way) = &mut self.outbound.under_way {
            under_way.sent = context.now;
        }
        self.send_step(context);
        Verdict::Stays
    }

    /// REGACK.
    pub(super) fn registered(&mut self, of: u16, to: u16, code: ReturnCode, context: &mut Context<'_>) {
        let Some(UnderWay { step: Step::Register { topic_id, id }, .. }) = self.outbound.under_way else {
            return;
        };
        if to != id || code == ReturnCode::Congestion {
            return;
        }
        self.outbound.proof.is_given = true;
        self.outbound.under_way = None;
        if of == topic_id && code == ReturnCode::Accepted {
            self.topics.set_known(topic_id, true);
        } else {
            self.give_up(context);
        }
        self.pump(context);
    }

    /// PUBACK. With an error also of a message of quality of service 0, or in the place of PUBREC.
    pub(super) fn acknowledged(
        &mut self,
        topic_id: u16,
        id: u16,
        code: ReturnCode,
        context: &mut Context<'_>,
    ) {
        if code == ReturnCode::InvalidTopicId {
            self.topics.set_known(topic_id, false);
        }
        let Some(Item::Message(message)) = self.outbound.queue.front() else { return };
        let is_it = message.id.is_some_and(|of| of.get() == id)
            && self.outbound.under_way.is_some_and(|under_way| under_way.step == Step::Publish);
        let qos = message.qos;
        match code {
            _ if !is_it => return,
            ReturnCode::Accepted if qos == MqttQos::AtLeastOnce => {
                if let Some(id) = message.id {
                    context.ack(self.link, AckKind::PubAck, id);
                }
                self.pop();
            }
            // It comes again after a while.
            ReturnCode::Accepted | ReturnCode::Congestion => return,
            // Once more with the number of its topic, if it has one to be told of.
            ReturnCode::InvalidTopicId if self.may_register_again() => self.outbound.under_way = None,
            ReturnCode::InvalidTopicId | ReturnCode::NotSupported => self.give_up(context),
        }
        self.pump(context);
    }

    /// Whether the client can be told of the topic at the front.
    fn may_register_again(&mut self) -> bool {
        let Some(Item::Message(message)) = self.outbound.queue.front() else { return false };
        matches!(self.topics.name(&message.topic, 0), Named::Unknown(_))
    }

    /// PUBREC.
    pub(super) fn has_received(&mut self, id: u16, context: &mut Context<'_>) {
        let step = self.outbound.under_way.map(|under_way| under_way.step);
        match (step, self.outbound.queue.front()) {
            (Some(Step::Publish), Some(Item::Message(Queued { id: Some(of), qos, .. })))
                if of.get() == id && *qos == MqttQos::ExactlyOnce =>
            {
                context.ack(self.link, AckKind::PubRec, *of);
                self.begin(Step::Server, context.now);
            }
            (Some(Step::Server), Some(Item::Message(Queued { id: Some(of), .. }))) if of.get() == id => {}
            // One that is over here, and not there.
            _ => {
                self.send(Message::PubRel(id), context);
            }
        }
    }

    /// PUBREL of the server: of the message at the front, or of one from before this connection.
    pub(super) fn released(&mut self, id: PacketId, context: &mut Context<'_>) {
        let is_awaited = self.outbound.under_way.is_some_and(|under_way| under_way.step == Step::Server);
        match self.outbound.queue.front() {
            Some(Item::Message(message)) if is_awaited && message.id == Some(id) => {
                self.outbound.queue.replace_front(Item::Release(id));
                self.outbound.under_way = None;
            }
            _ if !self.outbound.queue.has_release(id) => self.outbound.queue.push_release(id),
            _ => {}
        }
        self.pump(context);
    }

    /// PUBCOMP.
    pub(super) fn has_completed(&mut self, id: u16, context: &mut Context<'_>) {
        let is_released = self.outbound.under_way.is_some_and(|under_way| under_way.step == Step::Release);
        match self.outbound.queue.front() {
            Some(Item::Release(of)) if is_released && of.get() == id => {
                let id = *of;
                context.ack(self.link, AckKind::PubComp, id);
                self.pop();
                self.pump(context);
            }
            _ => {}
        }
    }
}

impl Queued {
    /// As it is sent.
    fn publish(&self, topic: Topic) -> Publish<'_> {
        let qos = match self.qos {
            MqttQos::AtMostOnce => Qos::AtMostOnce,
            MqttQos::AtLeastOnce => Qos::AtLeastOnce,
            MqttQos::ExactlyOnce => Qos::ExactlyOnce,
        };
        let (dup, id) = (self.dup && self.id.is_some(), self.id.map_or(0, PacketId::get));
        Publish { dup, qos, retain: self.retain, topic, id, payload: &self.payload }
    }
}
