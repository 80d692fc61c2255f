//! What consumers send, on its way into a turn.

use super::direct::Asked;
use super::series::Series;
use dialtone_broker::account::Account;
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::consumer::{Advisory, ConsumerId, Delivery, Event, Host};
use dialtone_jetstream::messages::{Body, Messages, Place};
use dialtone_jetstream::stream::unpack;
use dialtone_store::{GroupId, Reader};
use dialtone_wire::message::Message;
use std::collections::VecDeque;
use std::sync::Arc;

/// Something that a consumer sends once what is before it has been read from the disk.
pub(super) enum Later {
    /// A message.
    Message {
        /// The consumer that it is from.
        consumer: ConsumerId,
        /// Where to.
        to: Box<[u8]>,
        /// The subject of its acknowledgement.
        reply: Box<[u8]>,
        /// Its own subject.
        subject: Box<[u8]>,
        /// Which it is.
        seq: u64,
        /// Where its body is.
        place: Option<Place>,
        /// How it is sent.
        form: Form,
    },
    /// The answer to a direct get.
    Answer {
        /// Where to.
        to: Box<[u8]>,
        /// Which message.
        seq: u64,
        /// Whether without headers.
        no_headers: bool,
    },
    /// A direct get that takes long to find what it asks for.
    Asked {
        /// Where the answer goes.
        to: Box<[u8]>,
        /// What is asked.
        asked: Box<Asked>,
    },
    /// A dead letter.
    Letter {
        /// The consumer that it is from.
        consumer: ConsumerId,
        /// What it says.
        letter: Box<super::letters::Sealed>,
    },
    /// The rest of an answer of several messages.
    Series(Series),
    /// Headers without a payload.
    Status {
        /// Where to.
        to: Box<[u8]>,
        /// Its reply.
        reply: Option<Box<[u8]>>,
        /// The header block.
        head: Box<[u8]>,
    },
}

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

/// Bodies on disk, for a thread that may wait for them.
pub(super) struct Ahead<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) group: GroupId,
    /// Bytes that may be read before others have their turn.
    pub(super) left: usize,
    /// A body that was compressed.
    pub(super) whole: Vec<u8>,
}

impl Ahead<'_> {
    /// A body, if it may be read now, and can be.
    fn read(&mut self, seq: u64, (place, body_bytes): (Place, u32)) -> Option<&[u8]> {
        if self.left == 0 {
            return None;
        }
        let body = self.reader.read(self.group, seq, dialtone_store::Place::from_bytes(place.0)).ok()?;
        self.left = self.left.saturating_sub(body.len());
        if body.len() == body_bytes as usize {
            return Some(body);
        }
        self.whole.clear();
        self.whole.extend_from_slice(body);
        unpack(&mut self.whole, 0, body_bytes).then_some(&self.whole)
    }
}

/// Carries out what one consumer wants.
pub(super) struct Emitter<'a, 'd> {
    pub(super) turn: &'a mut dyn Publish,
    pub(super) account: &'a Arc<Account>,
    pub(super) messages: &'a Messages,
    /// What has to wait for the disk, with all behind it.
    pub(super) later: &'a mut VecDeque<Later>,
    pub(super) noted: &'a mut Noted,
    pub(super) consumer: ConsumerId,
    pub(super) scratch: &'a mut Vec<u8>,
    pub(super) disk: Option<&'a mut Ahead<'d>>,
}

/// What consumers want that is done behind their call.
#[derive(Default)]
pub(super) struct Noted {
    /// Acknowledgements to be confirmed.
    pub(super) confirmed: Vec<Box<[u8]>>,
    /// Deliveries that reached nobody.
    pub(super) lost: Vec<(ConsumerId, u64)>,
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

impl Host for Emitter<'_, '_> {
    fn has_interest(&mut self, subject: &[u8]) -> bool {
        self.turn.is_awaited(self.account, subject)
    }

    fn random(&mut self) -> u64 {
        crate::random::random()
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Deliver(delivery) => self.deliver(&delivery),
            Event::Status(status) if self.later.is_empty() => {
                emit_status(self.turn, self.account, (status.to, status.reply), status.head);
            }
            Event::Status(status) => self.later.push_back(Later::Status {
                to: status.to.into(),
                reply: status.reply.map(Box::from),
                head: status.head.into(),
            }),
            Event::DeadLetter(letter) => self.later.push_back(super::letters::later(self.consumer, &letter)),
            Event::Acknowledged { to } => self.noted.confirmed.push(to.into()),
            Event::Advisory(advisory) => {
                self.noted.advisories.push((self.consumer, NotedAdvisory::of(&advisory)));
            }
            Event::Inactive => self.noted.inactive.push(self.consumer),
        }
    }
}

impl Emitter<'_, '_> {
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
            _ if !self.later.is_empty() => None,
            Some(Body::Hot(body)) => Some(body),
            Some(Body::Cold(place)) => {
                self.disk.as_mut().and_then(|disk| disk.read(message.seq, (place, form.body_bytes)))
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
            if self.turn.emit_stored(self.account, delivery.to, &sent) == 0 {
                self.noted.lost.push((self.consumer, message.seq));
            }
            return;
        }
        self.later.push_back(Later::Message {
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
