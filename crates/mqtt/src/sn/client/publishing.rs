//! Topics that the client registers, and messages that it publishes. MQTT-SN 1.2 §6.5, §6.6

use super::Client;
use crate::sn::action::Context;
use dialtone_wire::mqtt::{
    Ack, AckKind, Delivery, Packet, PacketId, Properties, Publish as MqttPublish, Reason,
};
use dialtone_wire::mqtt_sn::{Message, Publish, Qos, ReturnCode};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// Messages of a client that the server has not acknowledged. The specification allows one at a time.
const PUBLISHING_MAX: usize = 16;

/// Exchanges of quality of service 2 that are remembered when they are over.
const RECENT_MAX: usize = 8;
/// How long after the end of an exchange its PUBLISH may still be under way, in a copy that the network made.
const COPY_AGE_MAX: Duration = Duration::from_secs(1);

/// A message of the client, until the server has acknowledged it.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    id: PacketId,
    /// What PUBACK repeats.
    topic_id: u16,
    /// Of topic and payload.
    digest: u64,
}

/// An exchange of quality of service 2 that the server holds, or that is over since then.
#[derive(Clone, Copy, Debug)]
struct Recent {
    id: PacketId,
    digest: u64,
    over: Option<Instant>,
}

/// Messages of the client.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    /// Those that the server has not acknowledged.
    exchanges: Vec<Exchange>,
    recent: VecDeque<Recent>,
}

impl Publishing {
    /// Whether this is a message of quality of service 2 that the client has finished, in a copy that was under way for long. A new message
    /// may have the same number, and in clients that count badly be the same: only one that says that it comes again, or comes at once, is a copy.
    fn is_late_copy(&self, publish: &Publish<'_>, now: Instant, retry_interval: Duration) -> bool {
        let age_max = if publish.dup { 2 * retry_interval } else { COPY_AGE_MAX };
        let is_recent = |over: Instant| now.saturating_duration_since(over) < age_max;
        publish.qos == Qos::ExactlyOnce
            && self.recent.iter().any(|recent| {
                recent.id.get() == publish.id
                    && recent.over.is_some_and(is_recent)
                    && recent.digest == digest(publish)
            })
    }

    fn end(&mut self, id: PacketId) -> Option<Exchange> {
        let at = self.exchanges.iter().position(|exchange| exchange.id == id)?;
        Some(self.exchanges.swap_remove(at))
    }

    /// The server holds a message.
    fn note_held(&mut self, exchange: Exchange) {
        let Exchange { id, digest, .. } = exchange;
        self.recent.retain(|recent| recent.id != id);
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { id, digest, over: None });
    }

    /// An exchange is over.
    fn note_over(&mut self, id: PacketId, now: Instant) {
        if let Some(recent) = self.recent.iter_mut().find(|recent| recent.id == id && recent.over.is_none()) {
            recent.over = Some(now);
        }
    }
}

fn digest(publish: &Publish<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    publish.topic.hash(&mut hasher);
    publish.payload.hash(&mut hasher);
    hasher.finish()
}

impl Client {
    /// REGISTER.
    pub(super) fn register(&mut self, id: u16, topic: &str, context: &mut Context<'_>) {
        let assigned = self.topics.assign(topic, context.options.topics_max);
        if let Some(topic_id) = assigned {
            self.topics.set_known(topic_id, true);
        }
        let code = if assigned.is_some() { ReturnCode::Accepted } else { ReturnCode::Congestion };
        let topic_id = assigned.unwrap_or_default();
        context.send(&self.address, Message::RegAck { topic_id, id, code });
    }

    /// PUBLISH. One that is refused is answered whatever its quality of service.
    pub(super) fn publish(&mut self, publish: &Publish<'_>, context: &mut Context<'_>) {
        let (id, topic_id) = (PacketId::new(publish.id), publish.topic.id());
        let Some(topic) = self.topics.resolve(&publish.topic, &context.options.predefined) else {
            return self.refuse_publish(publish, ReturnCode::InvalidTopicId, context);
        };
        let delivery = match (publish.qos, id) {
            (Qos::AtMostOnce | Qos::Unconnected, _) => Delivery::AtMostOnce,
            (Qos::AtLeastOnce, Some(id)) => Delivery::AtLeastOnce { id, dup: publish.dup },
            (Qos::ExactlyOnce, Some(id)) => Delivery::ExactlyOnce { id, dup: publish.dup },
            (_, None) => return self.refuse_publish(publish, ReturnCode::NotSupported, context),
        };
        if let Some((id, _)) = delivery.sent() {
            if self.publishing.exchanges.iter().any(|exchange| exchange.id == id) {
                // It is under way to the server.
                return;
            }
            if self.publishing.is_late_copy(publish, context.now, context.options.retry_interval) {
                context.send(&self.address, Message::PubRec(id.get()));
                return;
            }
            if self.publishing.exchanges.len() >= PUBLISHING_MAX {
                return self.refuse_publish(publish, ReturnCode::Congestion, context);
            }
            self.publishing.exchanges.push(Exchange { id, topic_id, digest: digest(publish) });
        }
        let Publish { retain, payload, .. } = *publish;
        let packet = MqttPublish { delivery, retain, topic, properties: Properties::NONE, payload };
        context.server(self.link, &Packet::Publish(packet));
    }

    fn refuse_publish(&self, publish: &Publish<'_>, code: ReturnCode, context: &mut Context<'_>) {
        let refusal = Message::PubAck { topic_id: publish.topic.id(), id: publish.id, code };
        context.send(&self.address, refusal);
    }

    /// PUBACK of the server.
    pub(super) fn stored(&mut self, ack: &Ack<'_>, context: &mut Context<'_>) {
        if let Some(Exchange { id, topic_id, .. }) = self.publishing.end(ack.id) {
            let code = code_of(ack.reason);
            context.send(&self.address, Message::PubAck { topic_id, id: id.get(), code });
        }
    }

    /// PUBREC of the server. PUBREC of MQTT-SN cannot say that the message is refused.
    pub(super) fn held(&mut self, ack: &Ack<'_>, context: &mut Context<'_>) {
        let Some(exchange) = self.publishing.end(ack.id) else { return };
        let Exchange { id, topic_id, .. } = exchange;
        let answer = if ack.reason.is_error() {
            Message::PubAck { topic_id, id: id.get(), code: code_of(ack.reason) }
        } else {
            self.publishing.note_held(exchange);
            Message::PubRec(id.get())
        };
        context.send(&self.address, answer);
    }

    /// PUBREL.
    pub(super) fn release(&mut self, id: u16, context: &mut Context<'_>) {
        let Some(id) = PacketId::new(id) else { return };
        // One whose PUBLISH is under way comes too early, and again.
        if self.publishing.exchanges.iter().all(|exchange| exchange.id != id) {
            context.ack(self.link, AckKind::PubRel, id);
        }
    }

    /// PUBCOMP of the server.
    pub(super) fn completed(&mut self, ack: &Ack<'_>, context: &mut Context<'_>) {
        self.publishing.note_over(ack.id, context.now);
        context.send(&self.address, Message::PubComp(ack.id.get()));
    }
}

/// What an MQTT-SN client is told of how the server took a message.
fn code_of(reason: Reason) -> ReturnCode {
    match reason {
        reason if !reason.is_error() => ReturnCode::Accepted,
        Reason::QuotaExceeded => ReturnCode::Congestion,
        Reason::TopicNameInvalid => ReturnCode::InvalidTopicId,
        _ => ReturnCode::NotSupported,
    }
}
