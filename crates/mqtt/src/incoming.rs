//! Messages of quality of service 2 from a client, between PUBLISH and PUBCOMP: held once, published once.

use dialtone_wire::mqtt::PacketId;

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is being stored.
    Storing,
    /// PUBREC was sent.
    Held,
    /// PUBREL came; it is being published.
    Releasing,
    /// PUBREL came of something that is not known here; whether it is held is asked.
    Asking,
}

/// Those of a session, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incoming {
    messages: Vec<(PacketId, Step)>,
}

/// What is to be done about a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is held.
    New,
    /// It is there already: PUBREC once more.
    Again,
    /// It is there, and its answer comes with what is under way.
    UnderWay,
    /// There are too many.
    TooMany,
}

impl Incoming {
    /// PUBLISH. [MQTT-4.3.3-10]
    pub(crate) fn arrive(&mut self, id: PacketId, max: u16) -> Arrival {
        match self.step(id) {
            Some(Step::Held) => Arrival::Again,
            Some(Step::Storing | Step::Releasing | Step::Asking) => Arrival::UnderWay,
            None if self.messages.len() >= usize::from(max) => Arrival::TooMany,
            None => {
                self.messages.push((id, Step::Storing));
                Arrival::New
            }
        }
    }

    pub(crate) fn step(&self, id: PacketId) -> Option<Step> {
        self.messages.iter().find(|(of, _)| *of == id).map(|(_, step)| *step)
    }

    pub(crate) fn set(&mut self, id: PacketId, step: Step) {
        if let Some((_, of)) = self.messages.iter_mut().find(|(of, _)| *of == id) {
            *of = step;
        }
    }

    pub(crate) fn remove(&mut self, id: PacketId) {
        self.messages.retain(|(of, _)| *of != id);
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Those that are held by the server, for a session that is read again.
    pub(crate) fn ids(&self) -> impl Iterator<Item = PacketId> + '_ {
        self.messages.iter().map(|(id, _)| *id)
    }

    /// The connection ends: what was being stored or released is as it was stored, and the client asks again.
    pub(crate) fn disconnect(&mut self) {
        self.messages.iter_mut().for_each(|(_, step)| *step = Step::Held);
    }

    pub(crate) fn hold(&mut self, id: PacketId) {
        if self.step(id).is_none() {
            self.messages.push((id, Step::Held));
        }
    }
}
