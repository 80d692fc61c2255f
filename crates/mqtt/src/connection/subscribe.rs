//! SUBSCRIBE and UNSUBSCRIBE: answered when the server has decided on each filter and the session is written. MQTT 5.0 §3.8, §3.10.

use super::{Commands, Connection};
use crate::command::{Command, Ended, sends_retained};
use crate::subscriptions::{Subscribed, Wanted};
use dialtone_wire::mqtt::{
    Packet, PacketId, Properties, Property, Qos, Reason, Reasons, SubAck, Subscribe, UnsubAck, Unsubscribe,
};

/// SUBSCRIBE and UNSUBSCRIBE that wait for their answers; a client that sends more is not waiting for answers.
const WAITING_MAX: usize = 64;

/// A packet that waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    packet: PacketId,
    asked: Asked,
    /// Reason codes, one a filter.
    codes: Vec<u8>,
    /// Filters on which the server has to decide.
    undecided: Vec<(usize, Subscribed)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Subscribe,
    Unsubscribe,
}

impl Connection {
    /// SUBSCRIBE.
    pub(super) fn subscribe(
        &mut self,
        subscribe: &Subscribe<'_>,
        commands: &mut Commands<'_>,
    ) -> Result<(), Ended> {
        self.check_waiting()?;
        let id = subscribe.properties.find(|property| match property {
            Property::SubscriptionId(id) => Some(id),
            _ => None,
        });
        let mut waiting = Waiting {
            packet: subscribe.id,
            asked: Asked::Subscribe,
            codes: Vec::new(),
            undecided: Vec::new(),
        };
        for (at, subscription) in subscribe.filters.iter().enumerate() {
            let mut options = subscription.options;
            if self.options.downgrade_qos2_subscribe {
                options.qos = options.qos.min(Qos::AtLeastOnce);
            }
            let is_new = self.session.subscriptions.find(subscription.filter).is_none();
            let count = self.session.subscriptions.all().len() + waiting.undecided.len();
            let wanted = match Wanted::parse(subscription.filter, self.is_v5()) {
                Ok(_) if is_new && count >= self.options.subscriptions_max => Err(Reason::QuotaExceeded),
                wanted => wanted,
            };
            let Wanted { filter, group } = match wanted {
                // [MQTT-3.8.3-4]
                Ok(Wanted { group: Some(_), .. }) if options.no_local => {
                    return Err(Ended::Refused(Reason::ProtocolError));
                }
                Ok(wanted) => wanted,
                Err(reason) => {
                    waiting.codes.push(reason.code());
                    continue;
                }
            };
            waiting.codes.push(options.qos as u8);
            waiting.undecided.push((at, Subscribed { filter: subscription.filter.into(), options, id }));
            let retained = sends_retained(options.retain_handling, is_new, group.is_some());
            commands(Command::Subscribe { packet: subscribe.id, at, filter, group, options, id, retained });
        }
        if waiting.undecided.is_empty() {
            commands(Command::Save(waiting.packet));
        }
        self.waiting.push(waiting);
        Ok(())
    }

    fn check_waiting(&self) -> Result<(), Ended> {
        if self.waiting.len() >= WAITING_MAX { Err(Ended::Refused(Reason::QuotaExceeded)) } else { Ok(()) }
    }

    /// The server has decided on a filter of a SUBSCRIBE: with which quality of service at most it is granted. With the last of them the
    /// session is to be saved. [MQTT-3.8.4-5]
    pub fn granted(
        &mut self,
        packet: PacketId,
        at: usize,
        decision: Result<Qos, Reason>,
        commands: &mut Commands<'_>,
    ) {
        let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.packet == packet) else { return };
        let Some(of) = waiting.undecided.iter().position(|(of, _)| *of == at) else { return };
        let (at, mut subscribed) = waiting.undecided.swap_remove(of);
        let granted = match decision {
            Ok(qos) => {
                subscribed.options.qos = subscribed.options.qos.min(qos);
                let granted = subscribed.options.qos as u8;
                self.session.subscriptions.insert(subscribed);
                granted
            }
            Err(reason) => reason.code(),
        };
        if let Some(code) = waiting.codes.get_mut(at) {
            *code = granted;
        }
        if waiting.undecided.is_empty() {
            commands(Command::Save(packet));
        }
    }

    /// UNSUBSCRIBE. [MQTT-3.10.4-1], [MQTT-3.10.4-5]
    pub(super) fn unsubscribe(
        &mut self,
        unsubscribe: &Unsubscribe<'_>,
        commands: &mut Commands<'_>,
    ) -> Result<(), Ended> {
        self.check_waiting()?;
        let mut codes = Vec::new();
        for filter in unsubscribe.filters.iter() {
            let reason = match Wanted::parse(filter, self.is_v5()) {
                Err(reason) => reason,
                Ok(Wanted { filter: plain, group }) => match self.session.subscriptions.remove(filter) {
                    Some(_) => {
                        commands(Command::Unsubscribe { filter: plain, group });
                        Reason::Success
                    }
                    None => Reason::NoSubscriptionExisted,
                },
            };
            codes.push(reason.code());
        }
        let packet = unsubscribe.id;
        self.waiting.push(Waiting { packet, asked: Asked::Unsubscribe, codes, undecided: Vec::new() });
        commands(Command::Save(packet));
        Ok(())
    }

    /// The session is written, so that the packet is answered. [MQTT-3.8.4-1], [MQTT-3.8.4-6], [MQTT-3.10.4-4]
    pub fn saved(&mut self, packet: PacketId, out: &mut Vec<u8>) {
        let is = |waiting: &Waiting| waiting.packet == packet && waiting.undecided.is_empty();
        let Some(at) = self.waiting.iter().position(is) else { return };
        let waiting = self.waiting.remove(at);
        if self.waiting.is_empty() {
            // Most clients subscribe once.
            self.waiting = Vec::new();
        }
        let Some(reasons) = Reasons::of(&waiting.codes) else { return };
        let (id, properties) = (packet, Properties::NONE);
        let answer = match waiting.asked {
            Asked::Subscribe => Packet::SubAck(SubAck { id, properties, reasons }),
            Asked::Unsubscribe => Packet::UnsubAck(UnsubAck { id, properties, reasons }),
        };
        // A client that takes no packet as large as its own question gets no answer.
        let _ = self.send(out, &answer);
    }
}
