//! What a consumer wants of the world: messages and statuses to send, advisories to publish.

use super::change::Changes;
use super::letters::Letter;
use super::log::{Log, Stored};

/// What one call of a consumer's machine works with.
pub struct Context<'a> {
    /// Nanoseconds since 1970. The same in all calls of a turn.
    pub now: i64,
    /// The stream.
    pub log: &'a dyn Log,
    /// Who carries out what the machine wants.
    pub host: &'a mut dyn Host,
    /// Where the changes go, which belong in the stream's log.
    pub changes: &'a mut Changes,
}

/// What a machine asks of the server around it: one for each consumer, for events do not say whose they are.
pub trait Host {
    /// Whether somebody listens on a subject, in the consumer's account.
    fn has_interest(&mut self, subject: &[u8]) -> bool;

    /// A random number.
    fn random(&mut self) -> u64;

    /// Carries out an event.
    fn event(&mut self, event: Event<'_>);
}

/// What is to be done. Events are in order.
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    /// Send a message of the stream.
    Deliver(Delivery<'a>),
    /// Send headers without payload.
    Status(Status<'a>),
    /// Send an empty message: an acknowledgement is confirmed. Not before the changes that were made until here are on disk.
    Acknowledged {
        /// Where to.
        to: &'a [u8],
    },
    /// Publish a message that the consumer gave up, and say so when somebody has stored it.
    DeadLetter(Letter<'a>),
    /// Publish an advisory.
    Advisory(Advisory<'a>),
    /// Nobody used the consumer for too long: delete it.
    Inactive,
}

/// A message to send.
#[derive(Debug, PartialEq)]
pub struct Delivery<'a> {
    /// The subject to send it to. What the receiver sees as its subject is that of the message.
    pub to: &'a [u8],
    /// Its reply subject, by which it is acknowledged.
    pub reply: &'a [u8],
    /// Which message.
    pub message: Stored<'a>,
    /// How often it was delivered, this one included.
    pub deliveries: u32,
    /// Send only the headers, with `Nats-Msg-Size: <payload bytes>` added.
    pub headers_only: bool,
    /// Add `Nats-Pin-Id` with this value.
    pub pin: Option<&'a str>,
}

/// Headers to send.
#[derive(Debug, PartialEq)]
pub struct Status<'a> {
    /// Where to.
    pub to: &'a [u8],
    /// The reply subject: that of flow control.
    pub reply: Option<&'a [u8]>,
    /// The status, such as 404.
    pub code: u16,
    /// The whole header block, from `NATS/1.0` to the empty line.
    pub head: &'a [u8],
}

/// What others may want to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Advisory<'a> {
    /// A message had its last delivery.
    MaxDeliveries {
        /// The message.
        stream_seq: u64,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// A message was refused.
    Nak(Handled),
    /// A message is not delivered again.
    Terminated(Handled, &'a [u8]),
    /// A message was acknowledged, after so many nanoseconds: only of as many as the consumer's `sample_freq` says.
    Acknowledged(Handled, i64),
    /// A client is served alone.
    Pinned {
        /// The priority group.
        group: &'a str,
        /// The id of its pin.
        id: &'a str,
    },
    /// No client is served alone any more.
    Unpinned {
        /// The priority group.
        group: &'a str,
        /// `timeout` or `admin`.
        reason: &'a str,
    },
}

/// Which delivery an advisory is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handled {
    /// The sequence of the delivery.
    pub consumer_seq: u64,
    /// The message.
    pub stream_seq: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

impl Context<'_> {
    /// Sends a status whose text is all of its head.
    pub(super) fn status(&mut self, to: &[u8], code: u16, text: std::fmt::Arguments<'_>) {
        let head = format!("NATS/1.0 {code} {text}\r\n\r\n");
        self.host.event(Event::Status(Status { to, reply: None, code, head: head.as_bytes() }));
    }

    /// Sends a status with two numbers.
    pub(super) fn status_with(&mut self, to: &[u8], code: u16, text: &str, numbers: [(&str, i64); 2]) {
        let [(a, x), (b, y)] = numbers;
        let head = format!("NATS/1.0 {code} {text}\r\n{a}: {x}\r\n{b}: {y}\r\n\r\n");
        self.host.event(Event::Status(Status { to, reply: None, code, head: head.as_bytes() }));
    }

    /// Publishes an advisory.
    pub(super) fn advise(&mut self, advisory: Advisory<'_>) {
        self.host.event(Event::Advisory(advisory));
    }
}
