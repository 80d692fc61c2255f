//! Messages of quality of service 1 and 2 to a client, between PUBLISH and its last acknowledgement, in the order in which they were sent.

use dialtone_wire::mqtt::{PacketId, Qos};
use std::collections::VecDeque;

/// Where a message stands: the stream knows what the number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u64);

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// PUBLISH was sent, which PUBACK or PUBREC answers.
    Published(Qos),
    /// It was sent by the connection before, and is to be sent again.
    Awaited(Qos),
    /// PUBREL was sent, which PUBCOMP answers. The client has the message.
    Released,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub(crate) id: PacketId,
    pub(crate) place: Place,
    pub(crate) step: Step,
    /// Whether it was sent in this connection.
    pub(crate) is_sent: bool,
}

/// Those of a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outgoing {
    messages: VecDeque<InFlight>,
    /// Those that are awaited.
    awaited: u16,
    last_id: u16,
}

impl InFlight {
    fn is_awaited(&self) -> bool {
        matches!(self.step, Step::Awaited(_))
    }
}

impl Outgoing {
    /// Those that count in the window.
    pub(crate) fn sent(&self) -> usize {
        self.messages.len() - usize::from(self.awaited)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = InFlight> + '_ {
        self.messages.iter().copied()
    }

    /// Takes an identifier that is not in use. `None`: all are. [MQTT-2.2.1-4]
    pub(crate) fn publish(&mut self, place: Place, qos: Qos) -> Option<PacketId> {
        if self.messages.len() >= usize::from(u16::MAX) {
            return None;
        }
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = PacketId::new(self.last_id).filter(|id| self.find(*id).is_none()) {
                self.messages.push_back(InFlight { id, place, step: Step::Published(qos), is_sent: true });
                return Some(id);
            }
        }
    }

    pub(crate) fn find(&self, id: PacketId) -> Option<InFlight> {
        self.messages.iter().find(|message| message.id == id).copied()
    }

    pub(crate) fn set(&mut self, id: PacketId, step: Step) {
        if let Some(message) = self.messages.iter_mut().find(|message| message.id == id) {
            let was_awaited = message.is_awaited();
            message.step = step;
            self.awaited = self.awaited - u16::from(was_awaited) + u16::from(message.is_awaited());
        }
    }

    pub(crate) fn remove(&mut self, id: PacketId) {
        // Acknowledgements come in order, so this is most often the first. [MQTT-4.6.0-2]
        if let Some(at) = self.messages.iter().position(|message| message.id == id) {
            let gone = self.messages.remove(at);
            self.awaited -= u16::from(gone.is_some_and(|message| message.is_awaited()));
        }
    }

    /// A connection begins: nothing was sent in it.
    pub(crate) fn connect(&mut self) {
        self.messages.iter_mut().for_each(|message| message.is_sent = false);
    }

    /// The first message that was not sent in this connection, if fewer than `window` were; it counts as sent from here on.
    pub(crate) fn resume(&mut self, window: u16) -> Option<InFlight> {
        let sent = self.messages.iter().filter(|message| message.is_sent).count();
        if sent >= usize::from(window) {
            return None;
        }
        let message = self.messages.iter_mut().find(|message| !message.is_sent)?;
        message.is_sent = true;
        Some(*message)
    }

    pub(crate) fn restore(&mut self, message: InFlight) {
        if self.find(message.id).is_none() {
            self.last_id = message.id.get();
            self.awaited += u16::from(message.is_awaited());
            self.messages.push_back(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_awaited_does_not_count_in_the_window() {
        let (place, qos) = (Place(1), Qos::AtLeastOnce);
        let id = |id| PacketId::new(id).expect("not 0");
        let mut outgoing = Outgoing::default();
        for number in [7, 9, 11] {
            outgoing.restore(InFlight { id: id(number), place, step: Step::Awaited(qos), is_sent: true });
        }
        let new = outgoing.publish(place, qos).expect("some are free");
        assert_eq!((new, outgoing.sent()), (id(12), 1));
        outgoing.set(id(9), Step::Published(qos));
        assert_eq!(outgoing.sent(), 2);
        outgoing.set(id(9), Step::Released);
        outgoing.remove(id(7));
        assert_eq!(outgoing.sent(), 2);
        [9, 11, 12, 12].into_iter().for_each(|number| outgoing.remove(id(number)));
        assert_eq!((outgoing.sent(), outgoing.iter().count()), (0, 0));
    }
}
