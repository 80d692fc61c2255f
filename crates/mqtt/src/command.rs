//! What a connection asks of the server.

use crate::outgoing::Place;
use dialtone_wire::mqtt::{
    PacketId, Properties, Qos, Reason, RetainHandling, SubscribeOptions, SubscriptionId,
};

/// Names what is stored, until [`crate::Connection::stored`] says how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ticket {
    /// A message of quality of service 1: PUBACK follows.
    Once(PacketId),
    /// A message of quality of service 2 that is held: PUBREC follows.
    Held(PacketId),
    /// A held message that was released: PUBCOMP follows.
    Released(PacketId),
    /// That the client has a message of quality of service 2: PUBREL follows.
    Received(PacketId),
}

/// A message that a client publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published<'a> {
    /// The topic; an alias has been replaced.
    pub topic: &'a str,
    /// How.
    pub qos: Qos,
    /// Whether it is retained, or, without a payload, what is retained is removed.
    pub retain: bool,
    /// Properties, with an alias still among them.
    pub properties: Properties<'a>,
    /// The message.
    pub payload: &'a [u8],
}

/// What the server has to do. In the order in which it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Publish it. With a ticket it is stored, and answered for by that.
    Publish(Published<'a>, Option<Ticket>),
    /// Keep it until it is released; answered for by [`Ticket::Held`].
    Hold(PacketId, Published<'a>),
    /// Publish what is held, and forget it; answered for by [`Ticket::Released`].
    Release(PacketId),
    /// Forget what is held: it will not be released.
    Drop(PacketId),
    /// Subscribe, if that may be, and answer by [`crate::Connection::granted`].
    Subscribe {
        /// The SUBSCRIBE.
        packet: PacketId,
        /// Which of its filters.
        at: usize,
        /// The filter, without the prefix of shared subscriptions.
        filter: &'a str,
        /// The queue group of a shared subscription.
        group: Option<&'a str>,
        /// How, with what the server does not grant taken away.
        options: SubscribeOptions,
        /// The client's number for it.
        id: Option<SubscriptionId>,
        /// Whether retained messages are to be sent.
        retained: bool,
    },
    /// Subscribe no longer.
    Unsubscribe {
        /// As the subscription was made.
        filter: &'a str,
        /// The queue group of a shared subscription.
        group: Option<&'a str>,
    },
    /// The client has the message, or will never have it: the stream may forget it for this session.
    Acknowledge(Place),
    /// The client has the message, which must not be sent again; answered for by [`Ticket::Received`].
    Received(PacketId, Place),
    /// The client may not have the message at this place; read it for [`crate::Connection::fetched`].
    Fetch(PacketId, Place),
    /// There is room for more messages to be delivered.
    Room,
    /// The subscriptions of the session may have changed: write them, then say [`crate::Connection::saved`].
    Save(PacketId),
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client said DISCONNECT: the will is forgotten.
    Orderly,
    /// It said so, and wants the will published.
    WithWill,
    /// It did what may not be. MQTT 5 is told.
    Refused(Reason),
}

/// Whether retained messages are sent for a subscription. [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
pub(crate) fn sends_retained(handling: RetainHandling, is_new: bool, is_shared: bool) -> bool {
    match handling {
        // MQTT 5.0 §4.8.2: none are sent to shared subscriptions.
        _ if is_shared => false,
        RetainHandling::Always => true,
        RetainHandling::IfNew => is_new,
        RetainHandling::Never => false,
    }
}
