//! PUBLISH, PUBREL, and wills: the gate of publishing, delivery in the account, and copies in the streams.

use super::effects::{Answer, Effects};
use super::will::ticket_of;
use crate::log::Event;
use dialtone_broker::deliver::{Origin, Turn};
use dialtone_broker::permission;
use dialtone_broker::sharing::Mapped;
use dialtone_mqtt::headers::{self, Marks, Response};
use dialtone_mqtt::streams::Hash;
use dialtone_mqtt::talk::Held;
use dialtone_mqtt::{Place, Published, Ticket};
use dialtone_wire::message::Message;
use dialtone_wire::mqtt::subject::{put_subject, put_topic};
use dialtone_wire::mqtt::{PacketId, PropertiesBuf, Reason, Version};
use dialtone_wire::quoted;
use std::time::Instant;

/// Subjects of the streams that keep sessions and messages: no client may use them.
const OWN_PREFIX: &[u8] = b"$MQTT.";

/// What the topic of a birth certificate of Sparkplug B begins with, and where it is kept as a retained message. Sparkplug 3.0 §5.
const SPARKPLUG: &str = "spBv1.0/";
const CERTIFICATES: &str = "$sparkplug/certificates/";

/// Whether a topic is that of a birth certificate: `spBv1.0/GROUP/NBIRTH/NODE` or `spBv1.0/GROUP/DBIRTH/NODE/DEVICE`.
fn is_birth(topic: &str) -> bool {
    let Some(rest) = topic.strip_prefix(SPARKPLUG) else { return false };
    let levels: Vec<&str> = rest.splitn(5, '/').collect();
    matches!(levels.as_slice(), [_, "NBIRTH", _] | [_, "DBIRTH", _, _])
}

/// Whether a subject or filter is one of those that the streams of MQTT use.
pub(super) fn is_own(subject: &[u8]) -> bool {
    subject.starts_with(OWN_PREFIX)
}

impl Effects {
    /// Publishes a message, and answers for it if it has a ticket.
    #[inline]
    pub(super) fn publish(&mut self, published: &Published<'_>, ticket: Option<Ticket>, turn: &mut Turn) {
        let delivered = self.deliver(published, matches!(ticket, Some(Ticket::Released(_))), turn);
        if self.is_refused() {
            return;
        }
        let Some(reason) = delivered else {
            return self.answers.extend(ticket.map(|ticket| Answer::Stored(ticket, Reason::Success)));
        };
        if ticket.is_some() || published.retain {
            self.store(published, reason, ticket, turn);
        }
        if published.topic.starts_with(SPARKPLUG) {
            self.publish_birth(published, turn);
        }
    }

    /// A birth certificate is kept for applications that come later.
    #[cold]
    fn publish_birth(&mut self, published: &Published<'_>, turn: &mut Turn) {
        if is_birth(published.topic) {
            let topic = [CERTIFICATES, published.topic].concat();
            self.publish(&Published { topic: &topic, retain: true, ..*published }, None, turn);
        }
    }

    /// Keeps a message that was published, as far as that is asked for.
    fn store(&mut self, published: &Published<'_>, reason: Reason, ticket: Option<Ticket>, turn: &mut Turn) {
        if reason.is_error() {
            return self.answers.extend(ticket.map(|ticket| Answer::Stored(ticket, reason)));
        }
        let retain = self.is_marked(published);
        let Self { conversation, scratch, client_id, .. } = self;
        let Some(conversation) = conversation else { return };
        let own = conversation.wants_none_of_its_own().then(|| Hash::of(client_id));
        let marks = Marks { retain, client: own.as_ref().map(Hash::as_str) };
        let subject = &scratch.subject;
        conversation.say(turn, |talk, now, send| talk.keep(now, ticket, subject, (published, marks), send));
    }

    /// Delivers a message in the account. How it went: before MQTT 5 no client is told. Its subject, as it was delivered, is left in the scratch.
    /// `None`: it asked for nothing but a trace. `is_counted`: it was held against rate limits when it came.
    #[inline]
    fn deliver(&mut self, published: &Published<'_>, is_counted: bool, turn: &mut Turn) -> Option<Reason> {
        if let Err(reason) = self.take_subject(published.topic) {
            return Some(reason);
        }
        let marks = Marks { retain: self.is_marked(published), client: None };
        let framed = &mut self.scratch.framed;
        framed.clear();
        headers::put_published(framed, published.qos, marks, published.properties, Response::Reply);
        let header_bytes = framed.len();
        if header_bytes + published.payload.len() > self.allowance.payload_bytes_max {
            self.refuse(Reason::PacketTooLarge);
            return Some(Reason::PacketTooLarge);
        }
        framed.extend_from_slice(published.payload);
        framed.extend_from_slice(b"\r\n");
        // The official count is short by the line end.
        if let Some(count) = self.batch.msgs.get_mut(published.qos as usize) {
            *count += 1;
        }
        self.batch.bytes += framed.len().saturating_sub(4) as u64;
        if is_own(&self.scratch.subject) || self.is_told(&self.scratch.subject) {
            return Some(Reason::NotAuthorized);
        }
        if !published.properties.is_empty() && self.may_ask_for_trace(header_bytes) {
            return self.deliver_traced(header_bytes, published, is_counted, turn);
        }
        Some(self.deliver_mapped(header_bytes, published, is_counted, turn))
    }

    /// Delivers the message in the scratch, whose trace is under way, or that has none.
    #[inline]
    pub(super) fn deliver_mapped(
        &mut self,
        header_bytes: usize,
        published: &Published<'_>,
        is_counted: bool,
        turn: &mut Turn,
    ) -> Reason {
        let written = self.rated.as_ref().filter(|_| !is_counted).map(|_| self.scratch.subject.clone());
        self.map_subject(turn);
        if let Some(written) = written
            && let Err(reason) = self.admit_mapped(&written, turn.now())
        {
            return reason;
        }
        self.deliver_as(header_bytes, published, turn)
    }

    /// Whether a message says that it is retained: MQTT 5 may ask for that, and to official eyes there is no MQTT 5.
    fn is_marked(&self, published: &Published<'_>) -> bool {
        published.retain
            && (self.version == Version::V5 || self.conduct.node.connections.client_ids.keep_flags())
    }

    /// Puts the subject of a topic into the scratch.
    fn take_subject(&mut self, topic: &str) -> Result<(), Reason> {
        self.scratch.subject.clear();
        put_subject(&mut self.scratch.subject, topic).map_err(|_| {
            self.refuse(Reason::TopicNameInvalid);
            Reason::TopicNameInvalid
        })
    }

    /// The subject may go elsewhere; the rights are looked at after that.
    #[inline]
    fn map_subject(&mut self, turn: &mut Turn) {
        let Some(account) = self.conduct.place.account.as_ref().filter(|account| account.maps()) else {
            return;
        };
        let mut mapped = Vec::new();
        match turn.map(account, &self.scratch.subject, &mut mapped) {
            Mapped::Unchanged => return,
            Mapped::To => self.scratch.subject = mapped,
            // Nobody has the empty subject.
            Mapped::Lost => self.scratch.subject.clear(),
        }
        turn.trace_mapping(&self.scratch.subject);
    }

    /// Holds the message in the scratch against the rate limits.
    #[cold]
    fn admit_mapped(&mut self, written: &[u8], now: Instant) -> Result<(), Reason> {
        let mapped = std::mem::take(&mut self.scratch.subject);
        let is_other = mapped != written && !mapped.is_empty();
        let bytes = self.scratch.framed.len().saturating_sub(2);
        let admitted = self.admit(written, is_other.then_some(&*mapped), bytes, now);
        self.scratch.subject = mapped;
        admitted
    }

    #[inline]
    fn deliver_as(&self, header_bytes: usize, published: &Published<'_>, turn: &mut Turn) -> Reason {
        let mut reply = Vec::new();
        let has_reply =
            !published.properties.is_empty() && headers::put_reply(&mut reply, published.properties);
        let message = Message {
            subject: &self.scratch.subject,
            reply: has_reply.then_some(&reply),
            header_bytes,
            framed: &self.scratch.framed,
        };
        let (peer, place) = (&self.conduct.session.peer, &self.conduct.place);
        let (Ok(authorized), Some(account)) =
            (permission::publish(peer, place.permissions.as_deref(), &message, turn.now()), &place.account)
        else {
            if let Some(trace) = turn.trace_mut() {
                let subject = quoted(message.subject);
                trace.error = Some(format!("Permissions Violation for Publish to {subject}").into());
            }
            return self.publish_denied(message.subject);
        };
        turn.publish(Origin { peer, account, echo: true }, authorized);
        Reason::Success
    }

    #[cold]
    pub(super) fn publish_denied(&self, subject: &[u8]) -> Reason {
        let subject = quoted(subject);
        self.conduct.log(Event::PermissionDenied, format_args!("Publish Violation - Subject {subject}"));
        Reason::NotAuthorized
    }

    /// Whether its rights allow it to publish to a topic.
    pub(super) fn may_publish(&self, topic: &str, turn: &Turn) -> bool {
        let mut subject = Vec::new();
        put_subject(&mut subject, topic).is_ok() && self.may_publish_to(&subject, turn)
    }

    fn may_publish_to(&self, subject: &[u8], turn: &Turn) -> bool {
        let message = Message { subject, reply: None, header_bytes: 0, framed: b"\r\n" };
        let (peer, place) = (&self.conduct.session.peer, &self.conduct.place);
        !is_own(subject)
            && !self.is_told(subject)
            && permission::publish(peer, place.permissions.as_deref(), &message, turn.now()).is_ok()
    }

    /// Holds a message of quality of service 2 until its PUBREL.
    pub(super) fn hold(&mut self, id: PacketId, published: &Published<'_>, turn: &mut Turn) {
        if self.take_subject(published.topic).is_err() {
            return;
        }
        let mut header = Vec::new();
        headers::put_published(
            &mut header,
            published.qos,
            Marks::default(),
            published.properties,
            Response::Reply,
        );
        if header.len() + published.payload.len() > self.allowance.payload_bytes_max {
            return self.refuse(Reason::PacketTooLarge);
        }
        let may = self.conduct.place.account.as_ref().is_some_and(|account| account.maps())
            || self.may_publish_to(&self.scratch.subject, turn);
        if !may {
            let reason = self.publish_denied(&self.scratch.subject);
            return self.answers.push(Answer::Stored(Ticket::Held(id), reason));
        }
        let subject = std::mem::take(&mut self.scratch.subject);
        let bytes = header.len() + published.payload.len();
        let admitted = self.admit(&subject, None, bytes, turn.now());
        self.scratch.subject = subject;
        if let Err(reason) = admitted {
            return self.answers.push(Answer::Stored(Ticket::Held(id), reason));
        }
        let Self { conversation, scratch, client_id, .. } = self;
        let Some(conversation) = conversation else { return };
        let subject = &scratch.subject;
        conversation.say(turn, |talk, now, send| talk.hold(now, id, client_id, subject, published, send));
    }

    /// A message is released: it is read from where it is held.
    pub(super) fn release_held(&mut self, id: PacketId, turn: &mut Turn) {
        let Self { conversation, client_id, .. } = self;
        let Some(conversation) = conversation else { return };
        conversation.say(turn, |talk, now, send| talk.release(now, id, client_id, send));
    }

    /// What was held is here: it is published, and held no longer.
    pub(super) fn held(&mut self, id: PacketId, held: Option<&Held>, turn: &mut Turn) {
        let ticket = Ticket::Released(id);
        let Some(held) = held else {
            return self.answers.push(Answer::Stored(ticket, Reason::PacketIdentifierNotFound));
        };
        let (mut topic, mut properties) = (String::new(), PropertiesBuf::default());
        headers::read_properties(&mut properties, &held.headers, None);
        if put_topic(&mut topic, &held.subject).is_ok() {
            let (qos, retain, payload) = (held.qos, held.retain, &*held.payload);
            let properties = properties.properties();
            let published = Published { topic: &topic, qos, retain, properties, payload };
            self.publish(&published, Some(ticket), turn);
        } else {
            self.answers.push(Answer::Stored(ticket, Reason::Success));
        }
        if let Some(conversation) = &mut self.conversation {
            conversation.say(turn, |talk, _, send| talk.discard(held.sequence, send));
        }
    }

    /// The client has a message of quality of service 2: that is stored before it is told to forget it.
    pub(super) fn note_received(&mut self, id: PacketId, place: Place, turn: &mut Turn) {
        let Self { conversation, client_id, .. } = self;
        let Some(conversation) = conversation else { return };
        conversation.owed.released.insert(place, id);
        conversation.say(turn, |talk, now, send| talk.received(now, id, client_id, send));
    }

    /// Publishes a will.
    pub(super) fn publish_will(&mut self, will: &Published<'_>, turn: &mut Turn) {
        self.publish(will, ticket_of(will), turn);
        self.answers.clear();
        self.count(turn.now());
    }
}

#[cfg(test)]
mod tests {
    use super::is_birth;

    #[test]
    fn birth_certificates_are_known_by_their_topics() {
        for topic in ["spBv1.0/g/NBIRTH/n", "spBv1.0/g/DBIRTH/n/d"] {
            assert!(is_birth(topic), "{topic}");
        }
        for topic in [
            "spBv1.0/g/NDEATH/n",
            "spBv1.0/g/NBIRTH",
            "spBv1.0/g/NBIRTH/n/d",
            "spBv1.0/g/DBIRTH/n",
            "spBv1.0/g/DBIRTH/n/d/e",
            "x/g/NBIRTH/n",
            "$sparkplug/certificates/spBv1.0/g/NBIRTH/n",
        ] {
            assert!(!is_birth(topic), "{topic}");
        }
    }
}
