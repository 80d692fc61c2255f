//! Messages for the client, and what it says of them. MQTT 5.0 §4.3, §4.9.

use super::{Commands, Connection};
use crate::alias::Known;
use crate::command::{Command, Ended};
use crate::outgoing::{InFlight, Place, Step};
use dialtone_wire::mqtt::encode;
use dialtone_wire::mqtt::{Ack, AckKind, Delivery, PacketId, Properties, Property, Publish, Qos, Reason};

/// A message for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Whether it was retained, or is sent with the flag that it was published with.
    pub retain: bool,
    /// Properties for this client, without an alias.
    pub properties: Properties<'a>,
    /// The message.
    pub payload: &'a [u8],
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It was sent.
    Sent,
    /// The window is full; [`Command::Room`] says when it is not.
    Full,
    /// It is too large for the client, and counts as delivered. [MQTT-3.1.2-25]
    TooLarge,
}

impl Connection {
    /// Sends a message of quality of service 0.
    pub fn deliver(&mut self, message: &Message<'_>, out: &mut Vec<u8>) -> Delivered {
        if self.publish(message, Delivery::AtMostOnce, out) { Delivered::Sent } else { Delivered::TooLarge }
    }

    /// Sends a message of quality of service 1 or 2 that a stream holds. `dup`: it may have been sent by a connection before.
    pub fn deliver_stored(
        &mut self,
        message: &Message<'_>,
        (qos, dup): (Qos, bool),
        place: Place,
        out: &mut Vec<u8>,
        commands: &mut Commands<'_>,
    ) -> Delivered {
        if self.session.outgoing.sent() >= usize::from(self.agreed.window.get()) {
            return Delivered::Full;
        }
        let Some(id) = self.session.outgoing.publish(place, qos) else { return Delivered::Full };
        if self.publish(message, delivery(id, qos, dup), out) {
            return Delivered::Sent;
        }
        self.session.outgoing.remove(id);
        commands(Command::Acknowledge(place));
        Delivered::TooLarge
    }

    /// Sends a message once more that was asked for by [`Command::Fetch`]. [MQTT-3.3.1-1]
    pub fn fetched(
        &mut self,
        id: PacketId,
        message: Option<&Message<'_>>,
        out: &mut Vec<u8>,
        commands: &mut Commands<'_>,
    ) {
        let Some(in_flight) = self.session.outgoing.find(id) else { return };
        let Step::Published(qos) = in_flight.step else { return };
        // One that the stream has no more is never acknowledged.
        let is_sent = message.is_some_and(|message| self.publish(message, delivery(id, qos, true), out));
        if !is_sent {
            self.done(in_flight, out, commands);
        }
    }

    /// A message of the connection before is to come again: its identifier is in use until [`Connection::deliver_resumed`]. [MQTT-2.2.1-4]
    pub fn await_resumed(&mut self, id: PacketId, place: Place, qos: Qos) {
        self.session.outgoing.restore(InFlight { id, place, step: Step::Awaited(qos), is_sent: true });
    }

    /// It has come, and is sent under the identifier that it had; `None`: it does not come any more. [MQTT-4.4.0-1]
    pub fn deliver_resumed(
        &mut self,
        id: PacketId,
        message: Option<&Message<'_>>,
        out: &mut Vec<u8>,
        commands: &mut Commands<'_>,
    ) -> Delivered {
        let Some(found) = self.session.outgoing.find(id) else { return Delivered::Sent };
        let Step::Awaited(qos) = found.step else { return Delivered::Sent };
        if message.is_some() && self.session.outgoing.sent() >= usize::from(self.agreed.window.get()) {
            return Delivered::Full;
        }
        self.session.outgoing.set(id, Step::Published(qos));
        self.fetched(id, message, out, commands);
        Delivered::Sent
    }

    /// The stream brings a message again that is in flight, since the client has not acknowledged it: to clients before MQTT 5 the step that it
    /// is at is sent again, as by the official server. MQTT 5 wants it again in the next connection only. [MQTT-4.4.0-1]
    /// False: it is not in flight.
    pub fn deliver_again(
        &mut self,
        place: Place,
        message: &Message<'_>,
        out: &mut Vec<u8>,
        commands: &mut Commands<'_>,
    ) -> bool {
        let Some(found) = self.session.outgoing.iter().find(|in_flight| in_flight.place == place) else {
            return false;
        };
        if self.is_v5() && found.is_sent {
            return true;
        }
        match found.step {
            Step::Published(_) => self.fetched(found.id, Some(message), out, commands),
            Step::Released => self.ack(out, AckKind::PubRel, found.id, Reason::Success),
            Step::Awaited(_) => {}
        }
        true
    }

    /// The stream says that the client has this message and has not said PUBCOMP: it is asked for that, if that was not done in this
    /// connection, or again. [MQTT-4.3.3-7]
    pub fn release(&mut self, id: PacketId, place: Place, is_again: bool, out: &mut Vec<u8>) {
        match self.session.outgoing.find(id) {
            None => {
                self.session.outgoing.restore(InFlight { id, place, step: Step::Released, is_sent: true });
                self.ack(out, AckKind::PubRel, id, Reason::Success);
            }
            Some(found) if found.step == Step::Released && is_again && !(self.is_v5() && found.is_sent) => {
                self.ack(out, AckKind::PubRel, id, Reason::Success);
            }
            Some(_) => {}
        }
    }

    /// Appends a PUBLISH, with an alias if there is one; false if it is too large.
    fn publish(&mut self, message: &Message<'_>, delivery: Delivery, out: &mut Vec<u8>) -> bool {
        let Message { topic, retain, properties, payload } = *message;
        let (version, max) = (self.agreed.version, self.agreed.packet_bytes_max);
        let plain = Publish { delivery, retain, topic, properties, payload };
        let Some((alias, known)) = self.aliases_out.assign(topic) else {
            return encode::packet(out, &plain.into(), version, max).is_ok();
        };
        self.scratch.clear();
        // Properties of a packet fit into a packet.
        let _ = self.scratch.push(Property::TopicAlias(alias));
        for property in properties.iter() {
            let _ = self.scratch.push(property);
        }
        let topic = if known == Known::Yes { "" } else { topic };
        let aliased = Publish { topic, properties: self.scratch.properties(), ..plain };
        let is_sent = encode::packet(out, &aliased.into(), version, max).is_ok();
        if !is_sent && known == Known::No {
            self.aliases_out.forget_last();
        }
        is_sent
    }

    /// Goes on with what is in flight from the connection before, as far as there is room. [MQTT-4.4.0-1], [MQTT-3.3.4-9]
    pub(super) fn resume(&mut self, out: &mut Vec<u8>, commands: &mut Commands<'_>) {
        while let Some(message) = self.session.outgoing.resume(self.agreed.window.get()) {
            match message.step {
                Step::Published(_) => commands(Command::Fetch(message.id, message.place)),
                Step::Released => self.ack(out, AckKind::PubRel, message.id, Reason::Success),
                Step::Awaited(_) => {}
            }
        }
    }

    /// A message is in flight no longer: the next may be.
    fn done(&mut self, message: InFlight, out: &mut Vec<u8>, commands: &mut Commands<'_>) {
        self.session.outgoing.remove(message.id);
        commands(Command::Acknowledge(message.place));
        self.resume(out, commands);
        commands(Command::Room);
    }

    /// PUBACK or PUBCOMP, which end what is at this step.
    pub(super) fn acknowledged(
        &mut self,
        ack: &Ack<'_>,
        at: Step,
        out: &mut Vec<u8>,
        commands: &mut Commands<'_>,
    ) -> Result<(), Ended> {
        match self.session.outgoing.find(ack.id) {
            Some(message) if message.step == at => {
                self.done(message, out, commands);
                Ok(())
            }
            // It was not sent in this connection yet.
            Some(InFlight { step: Step::Awaited(_), .. }) => Ok(()),
            Some(_) if self.is_v5() => Err(Ended::Refused(Reason::ProtocolError)),
            _ => Ok(()),
        }
    }

    /// PUBREC. With an error the client does not want the message. [MQTT-4.3.3-4]
    pub(super) fn received(
        &mut self,
        ack: &Ack<'_>,
        out: &mut Vec<u8>,
        commands: &mut Commands<'_>,
    ) -> Result<(), Ended> {
        let is_v5 = self.is_v5();
        match self.session.outgoing.find(ack.id) {
            Some(message) if message.step == Step::Published(Qos::ExactlyOnce) => {
                if ack.reason.is_error() {
                    self.done(message, out, commands);
                } else {
                    self.session.outgoing.set(ack.id, Step::Released);
                    commands(Command::Received(ack.id, message.place));
                }
                Ok(())
            }
            Some(message) if message.step == Step::Released => {
                self.ack(out, AckKind::PubRel, ack.id, Reason::Success);
                Ok(())
            }
            Some(InFlight { step: Step::Awaited(_), .. }) => Ok(()),
            Some(_) if is_v5 => Err(Ended::Refused(Reason::ProtocolError)),
            None if is_v5 => {
                self.ack(out, AckKind::PubRel, ack.id, Reason::PacketIdentifierNotFound);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn delivery(id: PacketId, qos: Qos, dup: bool) -> Delivery {
    match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => Delivery::AtLeastOnce { id, dup },
        Qos::ExactlyOnce => Delivery::ExactlyOnce { id, dup },
    }
}
