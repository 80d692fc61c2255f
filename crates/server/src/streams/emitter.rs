//! What consumers send, on its way into a turn.

use super::backlog::{Backlog, Later};
use super::reading::Ahead;
use dialtone_broker::account::Account;
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::consumer::{Advisory, ConsumerId, Delivery, Event, Host};
use dialtone_jetstream::messages::{Body, Messages};
use dialtone_wire::message::Message;
use std::sync::Arc;

/// What is changed of a message when it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) header_bytes: usize,
    /// Bytes of headers and payload.
    pub(super) body_bytes: u32,
    pub(super) headers_only: bool,
    pub(super) pin: Option<Box<str>>,
}

impl Form {
    /// Writes a body as it is sent, with the end of the line; returns the bytes of its headers.
    pub(super) fn write(&self, body: &[u8], out: &mut Vec<u8>) -> usize {
        out.clear();
        let (headers, payload) = body.split_at_checked(self.header_bytes).unwrap_or((b"", body));
        out.extend_from_slice(headers);
        if let Some(pin) = &self.pin {
            add(out, "Nats-Pin-Id", pin);
        }
        if self.headers_only {
            add(out, "Nats-Msg-Size", &payload.len().to_string());
        }
        let header_bytes = out.len();
        if !self.headers_only {
            out.extend_from_slice(payload);
        }
        out.extend_from_slice(b"\r\n");
        header_bytes
    }
}

/// Adds a header at the end of a block.
pub(super) fn add(headers: &mut Vec<u8>, name: &str, value: &str) {
    if headers.is_empty() {
        headers.extend_from_slice(b"NATS/1.0\r\n\r\n");
    }
    headers.truncate(headers.len().saturating_sub(2));
    for part in [name, ": ", value, "\r\n\r\n"] {
        headers.extend_from_slice(part.as_bytes());
    }
}

/// Publishes headers without a payload.
pub(super) fn emit_status(
    turn: &mut dyn Publish,
    account: &Arc<Account>,
    (to, reply): (&[u8], Option<&[u8]>),
    head: &[u8],
) -> usize {
    let framed = [head, b"\r\n"].concat();
    turn.emit(account, &Message { subject: to, reply, header_bytes: head.len(), framed: &framed })
}

/// Publishes a payload.
pub(super) fn emit_plain(turn: &mut dyn Publish, account: &Arc<Account>, to: &[u8], payload: &[u8]) -> usize {
    let framed = [payload, b"\r\n"].concat();
    turn.emit(account, &Message { subject: to, reply: None, header_bytes: 0, framed: &framed })
}

/// Carries out what one consumer wants.
pub(super) struct Emitter<'a> {
    pub(super) turn: &'a mut dyn Publish,
    pub(super) account: &'a Arc<Account>,
    pub(super) messages: &'a Messages,
    /// What has to wait for the disk, with all of the consumer behind it.
    pub(super) backlog: &'a mut Backlog,
    pub(super) noted: &'a mut Noted,
    pub(super) consumer: ConsumerId,
    pub(super) scratch: &'a mut Vec<u8>,
    pub(super) disk: Option<&'a mut Ahead>,
}

/// What consumers want that is done behind their call.
#[derive(Default)]
pub(super) struct Noted {
    /// Acknowledgements to be confirmed.
    pub(super) confirmed: Vec<Box<[u8]>>,
    /// Where the log ends with what they decided last.
    pub(super) logged: Option<dialtone_store::Lsn>,
    /// Deliveries that reached nobody.
    pub(super) lost: Vec<(ConsumerId, u64)>,
    /// Whether messages were sent.
    pub(super) has_sent: bool,
    /// Consumers that nobody used for too long.
    pub(super) inactive: Vec<ConsumerId>,
    /// What others may want to know.
    pub(super) advisories: Vec<(ConsumerId, NotedAdvisory)>,
}

/// An advisory that holds itself what it says.
pub(super) enum NotedAdvisory {
    /// One that says no text.
    Plain(Advisory<'static>),
    /// A message is not delivered again, and why.
    Terminated(dialtone_jetstream::consumer::Handled, Box<[u8]>),
    /// A client of a priority group is served alone.
    Pinned(Box<str>, Box<str>),
    /// It is no longer.
    Unpinned(Box<str>, Box<str>),
}

impl NotedAdvisory {
    /// Of what a consumer says.
    pub(super) fn of(advisory: &Advisory<'_>) -> Self {
        match *advisory {
            Advisory::Terminated(handled, reason) => Self::Terminated(handled, reason.into()),
            Advisory::Pinned { group, id } => Self::Pinned(group.into(), id.into()),
            Advisory::Unpinned { group, reason } => Self::Unpinned(group.into(), reason.into()),
            Advisory::MaxDeliveries { stream_seq, deliveries } => {
                Self::Plain(Advisory::MaxDeliveries { stream_seq, deliveries })
            }
            Advisory::Nak(handled) => Self::Plain(Advisory::Nak(handled)),
            Advisory::Acknowledged(handled, delay) => Self::Plain(Advisory::Acknowledged(handled, delay)),
        }
    }
}

impl Host for Emitter<'_> {
    fn has_interest(&mut self, subject: &[u8]) -> bool {
        self.turn.is_awaited(self.account, subject)
    }

    fn random(&mut self) -> u64 {
        crate::random::random()
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Deliver(delivery) => self.deliver(&delivery),
            Event::Status(status) if !self.backlog.holds(self.consumer) => {
                emit_status(self.turn, self.account, (status.to, status.reply), status.head);
            }
            Event::Status(status) => self.backlog.push(Later::Status {
                consumer: self.consumer,
                to: status.to.into(),
                reply: status.reply.map(Box::from),
                head: status.head.into(),
            }),
            Event::DeadLetter(letter) => self.backlog.push(super::letters::later(self.consumer, &letter)),
            Event::Acknowledged { to } => self.noted.confirmed.push(to.into()),
            Event::Advisory(advisory) => {
                self.noted.advisories.push((self.consumer, NotedAdvisory::of(&advisory)));
            }
            Event::Inactive => self.noted.inactive.push(self.consumer),
        }
    }
}

impl Emitter<'_> {
    fn deliver(&mut self, delivery: &Delivery<'_>) {
        let message = &delivery.message;
        let form = Form {
            header_bytes: message.header_bytes,
            body_bytes: u32::try_from(message.header_bytes + message.payload_bytes).unwrap_or(u32::MAX),
            headers_only: delivery.headers_only,
            pin: delivery.pin.map(Box::from),
        };
        let body = self.messages.body(message.seq);
        let at_hand = match body {
            _ if self.backlog.holds(self.consumer) => None,
            Some(Body::Hot(body)) => Some(body),
            Some(Body::Cold(place)) => {
                self.disk.as_mut().and_then(|disk| disk.at_hand(message.seq, (place, form.body_bytes)))
            }
            None => None,
        };
        if let Some(body) = at_hand {
            let header_bytes = form.write(body, self.scratch);
            let sent = Message {
                subject: message.subject,
                reply: Some(delivery.reply),
                header_bytes,
                framed: self.scratch,
            };
            self.noted.has_sent = true;
            if self.turn.emit_stored(self.account, delivery.to, &sent) == 0 {
                self.noted.lost.push((self.consumer, message.seq));
            }
            return;
        }
        self.backlog.push(Later::Message {
            consumer: self.consumer,
            to: delivery.to.into(),
            reply: delivery.reply.into(),
            subject: message.subject.into(),
            seq: message.seq,
            place: match body {
                Some(Body::Cold(place)) => Some(place),
                _ => None,
            },
            form,
        });
    }
}
