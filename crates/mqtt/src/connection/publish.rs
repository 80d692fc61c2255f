//! Messages of the client: stored before they are acknowledged, and those of quality of service 2 published once. MQTT 5.0 §4.3.

use super::{Commands, Connection};
use crate::command::{Command, Ended, Published, Ticket};
use crate::incoming::{Arrival, Step};
use dialtone_wire::mqtt::{Ack, AckKind, Delivery, PacketId, Property, Publish, Qos, Reason};

impl Connection {
    /// PUBLISH.
    pub(super) fn published(
        &mut self,
        publish: &Publish<'_>,
        out: &mut Vec<u8>,
        commands: &mut Commands<'_>,
    ) -> Result<(), Ended> {
        let qos = publish.delivery.qos();
        if qos == Qos::ExactlyOnce && self.options.reject_qos2_publish {
            return Err(Ended::Refused(Reason::QosNotSupported));
        }
        let is_again = matches!(publish.delivery, Delivery::ExactlyOnce { id, .. } if self.session.incoming.step(id).is_some());
        let in_flight = usize::from(self.storing) + self.session.incoming.len();
        let has_room = in_flight < usize::from(self.receive_maximum());
        if qos != Qos::AtMostOnce && !is_again && !has_room {
            return Err(Ended::Refused(Reason::ReceiveMaximumExceeded));
        }
        let alias = publish.properties.find(|property| match property {
            Property::TopicAlias(alias) => Some(alias),
            _ => None,
        });
        let topic = match alias {
            Some(alias) => self.aliases_in.resolve(alias, publish.topic).map_err(Ended::Refused)?,
            None => publish.topic,
        };
        let (retain, properties, payload) = (publish.retain, publish.properties, publish.payload);
        let message = Published { topic, qos, retain, properties, payload };
        match publish.delivery {
            Delivery::AtMostOnce => commands(Command::Publish(message, None)),
            Delivery::AtLeastOnce { id, .. } => {
                self.storing += 1;
                commands(Command::Publish(message, Some(Ticket::Once(id))));
            }
            Delivery::ExactlyOnce { id, .. } => match self.session.incoming.arrive(id, u16::MAX) {
                Arrival::New => commands(Command::Hold(id, message)),
                Arrival::Again => self.ack(out, AckKind::PubRec, id, Reason::Success),
                Arrival::UnderWay => {}
                Arrival::TooMany => return Err(Ended::Refused(Reason::ReceiveMaximumExceeded)),
            },
        }
        Ok(())
    }

    /// Messages that the client may have in flight. Only MQTT 5 was told of a maximum; before, identifiers are the bound.
    fn receive_maximum(&self) -> u16 {
        if self.is_v5() { self.options.receive_maximum.get() } else { u16::MAX }
    }

    /// PUBREL. [MQTT-4.3.3-11]
    pub(super) fn released(
        &mut self,
        ack: &Ack<'_>,
        out: &mut Vec<u8>,
        commands: &mut Commands<'_>,
    ) -> Result<(), Ended> {
        match self.session.incoming.step(ack.id) {
            Some(Step::Held) if ack.reason.is_error() => {
                self.session.incoming.remove(ack.id);
                commands(Command::Drop(ack.id));
                self.ack(out, AckKind::PubComp, ack.id, Reason::Success);
            }
            Some(Step::Held) => {
                self.session.incoming.set(ack.id, Step::Releasing);
                commands(Command::Release(ack.id));
            }
            Some(Step::Releasing | Step::Asking) => {}
            Some(Step::Storing) => return Err(Ended::Refused(Reason::ProtocolError)),
            None if ack.reason.is_error() => self.ack(out, AckKind::PubComp, ack.id, Reason::Success),
            // What is held from a connection before is known to the stream alone.
            None => {
                self.session.incoming.hold(ack.id);
                self.session.incoming.set(ack.id, Step::Asking);
                commands(Command::Release(ack.id));
            }
        }
        Ok(())
    }

    /// The server has stored what the ticket names, or says why it has not. Before MQTT 5 there is no way to tell a client that a message
    /// was refused: it is acknowledged, as by the official server.
    pub fn stored(&mut self, ticket: Ticket, reason: Reason, out: &mut Vec<u8>) {
        self.stored_because(ticket, reason, None, out);
    }

    /// The same, with a reason for people.
    pub fn stored_because(&mut self, ticket: Ticket, reason: Reason, why: Option<&str>, out: &mut Vec<u8>) {
        let is_refused = reason.is_error();
        match ticket {
            Ticket::Once(id) => {
                self.storing = self.storing.saturating_sub(1);
                self.ack_because(out, AckKind::PubAck, id, reason, why);
            }
            Ticket::Held(id) => {
                if is_refused && self.is_v5() {
                    self.session.incoming.remove(id);
                } else {
                    self.session.incoming.set(id, Step::Held);
                }
                self.ack_because(out, AckKind::PubRec, id, reason, why);
            }
            Ticket::Released(id) => {
                let was_unknown = self.session.incoming.step(id) == Some(Step::Asking);
                self.session.incoming.remove(id);
                let is_unknown = was_unknown && reason == Reason::PacketIdentifierNotFound;
                self.ack(out, AckKind::PubComp, id, if is_unknown { reason } else { Reason::Success });
            }
            Ticket::Received(id) => self.ack(out, AckKind::PubRel, id, Reason::Success),
        }
    }

    /// Whether the server holds this message.
    pub fn holds(&self, id: PacketId) -> bool {
        self.session.incoming.step(id).is_some()
    }
}
