//! Messages that streams bring for a client: of its consumers, and retained ones. Each passes the gate of delivery for what the client may have now.

use super::conversation::{Again, Conversation, Release};
use super::effects::Effects;
use super::mail::{For, Mailed};
use super::session::now_seconds;
use dialtone_broker::deliver::Turn;
use dialtone_broker::format::Format;
use dialtone_mqtt::record::Sent;
use dialtone_mqtt::streams::{Hash, Stream};
use dialtone_mqtt::talk::{Answer, Retained};
use dialtone_mqtt::{Connection as Engine, Delivered, Message, Place, headers};
use dialtone_wire::mqtt::subject::put_topic;
use dialtone_wire::mqtt::{PropertiesBuf, Property, Qos, SubscriptionId, Version};
use std::collections::{HashMap, VecDeque};

/// Places of messages that no consumer brings.
const RETAINED_PLACE: u64 = 1 << 63;
const RELEASE_PLACE: u64 = 1 << 62;
const NANOS: u64 = 1_000_000_000;

/// What the subject of an acknowledgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Delivery {
    /// How often the message was delivered.
    count: u64,
    /// Its sequence in the stream.
    sequence: u64,
    /// When it came, in nanoseconds since 1970.
    stored: u64,
}

fn delivery(ack: &[u8]) -> Option<Delivery> {
    // `$JS.ACK.STREAM.CONSUMER.` or `$JS.ACK.DOMAIN.ACCOUNT.STREAM.CONSUMER.`, then five numbers, and behind the longer one a token more.
    let tokens: Vec<&[u8]> = ack.split(|byte| *byte == b'.').collect();
    let from = match tokens.len() {
        9 => 4,
        11 | 12 => 6,
        _ => return None,
    };
    let number = |at: usize| std::str::from_utf8(tokens.get(at)?).ok()?.parse().ok();
    Some(Delivery { count: number(from)?, sequence: number(from + 1)?, stored: number(from + 3)? })
}

/// The properties of a message that was kept since then, in seconds since 1970, for a subscription with this number. `None`: its time is over.
fn properties(
    version: Version,
    headers: &[u8],
    since: u64,
    id: Option<SubscriptionId>,
) -> Option<PropertiesBuf> {
    let mut properties = PropertiesBuf::default();
    let is_good =
        headers::read_kept_properties(&mut properties, headers, now_seconds().saturating_sub(since));
    if version != Version::V5 {
        properties.clear();
    } else if let Some(id) = id {
        // A number is never too long.
        let _ = properties.push(Property::SubscriptionId(id));
    }
    is_good.then_some(properties)
}

impl Effects {
    /// Something came from the streams, but for answers. Back comes what there is no room for.
    pub(super) fn deliver_mailed(
        &mut self,
        mailed: Mailed,
        engine: &mut Engine,
        out: &mut Vec<u8>,
        turn: &mut Turn,
    ) -> Option<Mailed> {
        match For::of(&mailed.sid) {
            Some(For::Consumer(number)) => self.deliver_stored(number, mailed, engine, out, turn),
            Some(For::Releases) => {
                self.remind(&mailed, engine, out, turn);
                None
            }
            Some(For::Answers) | None => None,
        }
    }

    /// There is room: what waited goes on.
    pub(super) fn deliver_backlog(&mut self, engine: &mut Engine, out: &mut Vec<u8>, turn: &mut Turn) {
        while let Some(mailed) = self.conversation.as_mut().and_then(|of| of.backlog.pop_front()) {
            if let Some(back) = self.deliver_mailed(mailed, engine, out, turn) {
                if let Some(conversation) = &mut self.conversation {
                    conversation.backlog.push_front(back);
                }
                return;
            }
        }
    }

    fn may_have(&self, subject: &[u8]) -> bool {
        self.conduct.place.permissions.as_deref().is_none_or(|own| own.may_deliver(subject, None))
    }

    fn deliver_stored(
        &mut self,
        number: u32,
        mailed: Mailed,
        engine: &mut Engine,
        out: &mut Vec<u8>,
        turn: &mut Turn,
    ) -> Option<Mailed> {
        let message = mailed.message();
        let ack = message.reply?;
        let Delivery { count: deliveries, sequence, stored } = delivery(ack)?;
        let place = Conversation::place(number, sequence);
        let subject = message.subject.strip_prefix(Stream::Messages.prefix().as_bytes())?;
        let may = self.may_have(subject);
        let conversation = self.conversation.as_mut()?;
        let Some(consumer) = conversation.consumers.get(&number) else {
            // It was sent before its subscription ended: the others of a group need not wait for it.
            conversation.say(turn, |talk, _, send| talk.give_back(ack, send));
            return None;
        };
        let asks = Format::Mqtt(self.version).asks_for(&consumer.filter, subject);
        let (options, id) = (consumer.options, consumer.id);
        if !may && consumer.is_shared {
            let key = consumer.key.clone();
            conversation.leave_group(&key, ack, turn);
            return None;
        }
        let qos = headers::published_qos(message.headers()).unwrap_or_default().min(options.qos);
        let marks = headers::marks(message.headers());
        let may = may && !(options.no_local && marks.client == Some(Hash::of(&self.client_id).as_str()));
        let mut topic = String::new();
        conversation.owed.messages.insert(place, ack.into());
        let properties =
            properties(self.version, message.headers(), stored / NANOS, id).filter(|_| may && asks);
        let (Some(properties), Ok(()), true) =
            (properties, put_topic(&mut topic, subject), qos > Qos::AtMostOnce)
        else {
            // It is not this client's, or its time is over: it need not come again.
            conversation.acknowledge(place, turn);
            self.forget_again(place, engine, out, turn);
            return None;
        };
        let told = Message {
            topic: &topic,
            retain: options.retain_as_published && marks.retain,
            properties: properties.properties(),
            payload: message.payload(),
        };
        let again = conversation.owed.again.as_ref();
        if let Some(id) = again.and_then(|again| again.awaited.get(&place).copied()) {
            let mut carry_out = |command: dialtone_mqtt::Command<'_>| self.carry_out(command, turn);
            let told = engine.deliver_resumed(id, Some(&told), out, &mut carry_out);
            if told == Delivered::Full {
                return Some(mailed);
            }
            self.conversation.as_mut()?.owed.has_come(place);
            return None;
        }
        self.stop_waiting(engine, out, turn);
        let mut carry_out = |command: dialtone_mqtt::Command<'_>| self.carry_out(command, turn);
        if deliveries > 1 && engine.deliver_again(place, &told, out, &mut carry_out) {
            return None;
        }
        match engine.deliver_stored(&told, (qos, deliveries > 1), place, out, &mut carry_out) {
            Delivered::Sent | Delivered::TooLarge => None,
            Delivered::Full => Some(mailed),
        }
    }

    /// A message that was to come again does not.
    fn forget_again(&mut self, place: Place, engine: &mut Engine, out: &mut Vec<u8>, turn: &mut Turn) {
        let Some(id) = self.conversation.as_mut().and_then(|of| of.owed.has_come(place)) else { return };
        engine.deliver_resumed(id, None, out, &mut |command| self.carry_out(command, turn));
    }

    /// Messages that were to come again and have not come in time are there no more: they are in nobody's way.
    fn stop_waiting(&mut self, engine: &mut Engine, out: &mut Vec<u8>, turn: &mut Turn) {
        let Some(conversation) = &mut self.conversation else { return };
        let is_over = |again: &mut Box<Again>| again.until.is_some_and(|until| until <= turn.now());
        let Some(again) = conversation.owed.again.take_if(is_over) else { return };
        for id in again.awaited.into_values() {
            engine.deliver_resumed(id, None, out, &mut |command| self.carry_out(command, turn));
        }
    }

    /// Messages that the connection before had in flight come again: their identifiers are in use.
    pub(super) fn await_again(&mut self, sent: &[Sent], engine: &mut Engine, turn: &Turn) {
        let Some(conversation) = &mut self.conversation else { return };
        let mut again = Again::default();
        for Sent { consumer, sequence, id, qos } in sent {
            let number =
                conversation.consumers.iter().find(|(_, of)| of.key == *consumer).map(|(number, _)| *number);
            let Some(number) = number else { continue };
            let place = Conversation::place(number, *sequence);
            again.awaited.insert(place, *id);
            engine.await_resumed(*id, place, *qos);
        }
        let wait = conversation.settings.streams.ack_wait.saturating_mul(2);
        again.until = turn.now().checked_add(wait);
        conversation.owed.again = (!again.awaited.is_empty()).then(|| Box::new(again));
    }

    /// The stream says that the client has a message that it has not said PUBCOMP for.
    fn remind(&mut self, mailed: &Mailed, engine: &mut Engine, out: &mut Vec<u8>, turn: &mut Turn) {
        let message = mailed.message();
        let (Some(ack), Some(id)) = (message.reply, headers::pubrel(message.headers())) else { return };
        let Some(Delivery { count: deliveries, .. }) = delivery(ack) else { return };
        let Some(conversation) = &mut self.conversation else { return };
        if conversation.owed.releases.get(&id) == Some(&Release::Over) {
            conversation.owed.releases.remove(&id);
            return conversation.say(turn, |talk, _, send| talk.acknowledge(ack, send));
        }
        conversation.owed.releases.insert(id, Release::Known(ack.into()));
        let known = conversation.owed.released.iter().find(|(_, of)| **of == id).map(|(place, _)| *place);
        let place = known.unwrap_or(Place(RELEASE_PLACE | u64::from(id.get())));
        conversation.owed.released.insert(place, id);
        engine.release(id, place, deliveries > 1, out);
    }

    /// A retained message for a subscription, or the end of them: behind those that wait for room.
    pub(super) fn take_retained(
        &mut self,
        number: u32,
        retained: Option<Box<Retained>>,
        engine: &mut Engine,
        out: &mut Vec<u8>,
        turn: &mut Turn,
    ) {
        let Some(conversation) = &mut self.conversation else { return };
        let is_first = conversation.retained.is_empty();
        conversation.retained.push_back((number, retained));
        if is_first {
            self.deliver_found(engine, out, turn);
        }
    }

    /// Delivers retained messages as long as there is room for them. While some wait, no more are read.
    pub(super) fn deliver_found(&mut self, engine: &mut Engine, out: &mut Vec<u8>, turn: &mut Turn) {
        while let Some(conversation) = &mut self.conversation
            && let Some((number, retained)) = conversation.retained.pop_front()
        {
            let Some(retained) = retained else {
                conversation.finding.remove(&number);
                continue;
            };
            if self.deliver_retained(number, &retained, engine, out, turn) == Delivered::Full {
                let Some(conversation) = &mut self.conversation else { return };
                conversation.retained.push_front((number, Some(retained)));
                return conversation.say(turn, |talk, _, _| talk.pause_retained());
            }
        }
        let Some(conversation) = &mut self.conversation else { return };
        conversation.retained = VecDeque::new();
        let mut ended = Vec::new();
        conversation.say(turn, |talk, now, send| {
            talk.resume_retained(now, send, &mut |answer| {
                if let Answer::RetainedEnd(number) = answer {
                    ended.push(number);
                }
            });
        });
        for number in ended {
            conversation.finding.remove(&number);
        }
        if conversation.finding.is_empty() {
            conversation.finding = HashMap::new();
        }
    }

    fn deliver_retained(
        &mut self,
        number: u32,
        retained: &Retained,
        engine: &mut Engine,
        out: &mut Vec<u8>,
        turn: &mut Turn,
    ) -> Delivered {
        let may = self.may_have(retained.subject.as_bytes());
        let Some(conversation) = &mut self.conversation else { return Delivered::Sent };
        let Some(&(options, id)) = conversation.finding.get(&number).filter(|_| may) else {
            return Delivered::Sent;
        };
        let place = Place(RETAINED_PLACE | u64::from(conversation.next_number()));
        let properties = properties(self.version, &retained.headers, retained.published, id);
        let Some(properties) = properties else { return Delivered::Sent };
        let (topic, payload) = (&*retained.topic, &*retained.payload);
        let told = Message { topic, retain: true, properties: properties.properties(), payload };
        match retained.qos.min(options.qos) {
            Qos::AtMostOnce => engine.deliver(&told, out),
            qos => engine.deliver_stored(&told, (qos, false), place, out, &mut |command| {
                self.carry_out(command, turn);
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Delivery, delivery};

    #[test]
    fn an_acknowledgement_says_what_it_is_for() {
        for (subject, expected) in [
            ("$JS.ACK.S.C.3.17.4.1795954146163176088.0", Some((3, 17))),
            ("$JS.ACK.hub.xNZj6HOx.S.C.1.2.3.1795954146163176088.0", Some((1, 2))),
            ("$JS.ACK._.xNZj6HOx.S.C.1.2.3.1795954146163176088.0.r", Some((1, 2))),
            ("$JS.ACK.S.C.x.17.4.1.0", None),
            ("$JS.ACK.S.C.1.2", None),
            ("", None),
        ] {
            let expected = expected.map(|(count, sequence)| Delivery {
                count,
                sequence,
                stored: 1_795_954_146_163_176_088,
            });
            assert_eq!(delivery(subject.as_bytes()), expected, "{subject}");
        }
    }
}
