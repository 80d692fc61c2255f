//! What of a client outlives its connections.

use crate::incoming::Incoming;
use crate::outgoing::{InFlight, Outgoing, Place, Step};
use crate::subscriptions::{Subscribed, Subscriptions};
use dialtone_wire::mqtt::{PacketId, Qos};

/// How long a session outlives its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// It ends with it.
    #[default]
    AtEnd,
    /// So many seconds.
    After(u32),
    /// Until the client ends it.
    Never,
}

impl Expiry {
    /// What MQTT 5 says in seconds, bounded by what the server allows.
    pub(crate) fn of(seconds: u32, max: u32) -> Self {
        match seconds.min(max) {
            0 => Self::AtEnd,
            u32::MAX => Self::Never,
            seconds => Self::After(seconds),
        }
    }
}

/// The state of a session. MQTT 5.0 §4.1.
#[derive(Clone, Debug, Default)]
pub struct Session {
    pub(crate) subscriptions: Subscriptions,
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
    pub(crate) expiry: Expiry,
}

impl Session {
    /// The subscriptions, as they were made.
    pub fn subscriptions(&self) -> &[Subscribed] {
        self.subscriptions.all()
    }

    /// How long it outlives its connection.
    pub fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// Messages of quality of service 2 that the server holds for it.
    pub fn held(&self) -> impl Iterator<Item = PacketId> + '_ {
        self.incoming.ids()
    }

    /// Messages in flight to the client, in their order: where they stand, and whether the client has said PUBREC.
    pub fn in_flight(&self) -> impl Iterator<Item = (PacketId, Place, bool)> + '_ {
        self.outgoing.iter().map(|message| (message.id, message.place, message.step == Step::Released))
    }

    /// Messages that were sent and that the client has not answered, in their order.
    pub fn unanswered(&self) -> impl Iterator<Item = (PacketId, Place, Qos)> + '_ {
        self.outgoing.iter().filter_map(|message| match message.step {
            Step::Published(qos) | Step::Awaited(qos) => Some((message.id, message.place, qos)),
            Step::Released => None,
        })
    }

    /// Puts back a subscription that was read from a record.
    pub fn restore_subscription(&mut self, subscribed: Subscribed) {
        self.subscriptions.insert(subscribed);
    }

    /// Puts back that the server holds a message.
    pub fn restore_held(&mut self, id: PacketId) {
        self.incoming.hold(id);
    }

    /// Puts back a message in flight, behind those that were put back before; `qos` is `None` if the client has said PUBREC.
    pub fn restore_in_flight(&mut self, id: PacketId, place: Place, qos: Option<Qos>) {
        let step = qos.map_or(Step::Released, Step::Published);
        self.outgoing.restore(InFlight { id, place, step, is_sent: false });
    }
}
