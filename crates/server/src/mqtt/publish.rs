//! PUBLISH, and wills.

use super::effects::Effects;
use crate::log::Event;
use dialtone_broker::deliver::{Origin, Turn};
use dialtone_broker::permission;
use dialtone_broker::sharing::Mapped;
use dialtone_mqtt::Published;
use dialtone_wire::message::Message;
use dialtone_wire::mqtt::Reason;
use dialtone_wire::mqtt::subject::put_subject;
use dialtone_wire::quoted;

/// Subjects of the streams that keep sessions and messages: no client may use them.
const OWN_PREFIX: &[u8] = b"$MQTT.";
/// How messages of MQTT tell in NATS with which quality of service they were published; the digit stands behind it. The official header.
const PUBLISHED_HEADER: &[u8] = b"NATS/1.0\r\nNmqtt-Pub:";

/// Whether a subject or filter is one of those that the streams of MQTT use.
pub(super) fn is_own(subject: &[u8]) -> bool {
    subject.starts_with(OWN_PREFIX)
}

impl Effects {
    /// Publishes a message. How it went: before MQTT 5 no client is told.
    #[inline]
    pub(super) fn publish(&mut self, published: &Published<'_>, turn: &mut Turn) -> Reason {
        self.scratch.subject.clear();
        if put_subject(&mut self.scratch.subject, published.topic).is_err() {
            self.refuse(Reason::TopicNameInvalid);
            return Reason::TopicNameInvalid;
        }
        let framed = &mut self.scratch.framed;
        framed.clear();
        framed.extend_from_slice(PUBLISHED_HEADER);
        framed.extend_from_slice(&[b'0' + published.qos as u8]);
        framed.extend_from_slice(b"\r\n\r\n");
        let header_bytes = framed.len();
        if header_bytes + published.payload.len() > self.payload_bytes_max {
            self.refuse(Reason::PacketTooLarge);
            return Reason::PacketTooLarge;
        }
        framed.extend_from_slice(published.payload);
        framed.extend_from_slice(b"\r\n");
        self.batch.msgs += 1;
        self.batch.bytes += published.payload.len() as u64;
        if is_own(&self.scratch.subject) {
            return Reason::NotAuthorized;
        }
        let message = Message {
            subject: &self.scratch.subject,
            reply: None,
            header_bytes,
            framed: &self.scratch.framed,
        };
        self.publish_in(&message, turn)
    }

    #[inline]
    fn publish_in(&self, message: &Message<'_>, turn: &mut Turn) -> Reason {
        let Some(account) = &self.conduct.place.account else { return Reason::NotAuthorized };
        if !account.maps() {
            return self.publish_as(message, turn);
        }
        let mut mapped = Vec::new();
        let subject = match turn.map(account, message.subject, &mut mapped) {
            Mapped::Unchanged => message.subject,
            Mapped::To => &mapped,
            Mapped::Lost => return Reason::Success,
        };
        self.publish_as(&Message { subject, ..*message }, turn)
    }

    #[inline]
    fn publish_as(&self, message: &Message<'_>, turn: &mut Turn) -> Reason {
        let place = &self.conduct.place;
        let peer = &self.conduct.session.peer;
        let (Ok(authorized), Some(account)) =
            (permission::publish(peer, place.permissions.as_deref(), message, turn.now()), &place.account)
        else {
            return self.publish_denied(message.subject);
        };
        turn.publish(Origin { peer, account, echo: true }, authorized);
        Reason::Success
    }

    #[cold]
    fn publish_denied(&self, subject: &[u8]) -> Reason {
        let subject = quoted(subject);
        self.conduct.log(Event::PermissionDenied, format_args!("Publish Violation - Subject {subject}"));
        Reason::NotAuthorized
    }
}

impl Effects {
    /// Whether its rights allow it to publish to a topic.
    pub(super) fn may_publish(&self, topic: &str, turn: &Turn) -> bool {
        let mut subject = Vec::new();
        if put_subject(&mut subject, topic).is_err() {
            return false;
        }
        let message = Message { subject: &subject, reply: None, header_bytes: 0, framed: b"\r\n" };
        let (peer, place) = (&self.conduct.session.peer, &self.conduct.place);
        !is_own(&subject)
            && permission::publish(peer, place.permissions.as_deref(), &message, turn.now()).is_ok()
    }
}
