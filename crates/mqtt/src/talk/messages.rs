//! Messages of quality of service 1 and 2 on their way into the streams, and out of what is held.

use super::{Asked, Failure, Send, Talk, sessions};
use crate::command::{Published, Ticket};
use crate::headers::{self, Marks, Response, Source};
use crate::streams::{Hash, Stream};
use dialtone_jetstream::api::PurgeRequest;
use dialtone_jetstream::error;
use dialtone_wire::mqtt::{PacketId, Qos};
use std::time::Instant;

/// A message that was held until its PUBREL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Where it is held.
    pub sequence: u64,
    /// The subject that it is for.
    pub subject: Vec<u8>,
    /// Its quality of service.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// The headers it is held with: its properties are among them.
    pub headers: Vec<u8>,
    /// The message.
    pub payload: Vec<u8>,
}

/// What official servers say when a message is held already.
const HELD_ALREADY: &str = "maximum messages per subject exceeded";

pub(super) fn is_held_already(failure: &Failure) -> bool {
    let is_it = |error: &error::ApiError| error.description.contains(HELD_ALREADY);
    matches!(failure, Failure::Refused(error) if is_it(error))
}

impl Talk {
    /// Stores a message for the sessions that want it with quality of service 1 or 2; [`super::Answer::Stored`] follows.
    pub fn store(
        &mut self,
        now: Instant,
        ticket: Ticket,
        subject: &[u8],
        (message, marks): (&Published<'_>, Marks<'_>),
        send: &mut Send<'_>,
    ) {
        self.draft.begin(&[Stream::Messages.prefix().as_bytes(), subject]);
        self.draft.headers(|out| {
            headers::put_published(out, message.qos, marks, message.properties, Response::Header);
        });
        self.draft.payload(message.payload);
        self.ask(now, Asked::Store(ticket), send);
    }

    /// Holds a message until its PUBREL; [`super::Answer::Stored`] follows. One that is held already is that.
    pub fn hold(
        &mut self,
        now: Instant,
        packet: PacketId,
        client_id: &str,
        subject: &[u8],
        message: &Published<'_>,
        send: &mut Send<'_>,
    ) {
        self.draft.begin(&[held_subject(client_id, packet).as_bytes()]);
        let flags = headers::flags(message.qos, message.retain);
        self.draft.headers(|out| headers::put_held(out, subject, flags, message.properties));
        self.draft.payload(message.payload);
        self.ask(now, Asked::Store(Ticket::Held(packet)), send);
    }

    /// Reads what is held; [`super::Answer::Held`] follows.
    pub fn release(&mut self, now: Instant, packet: PacketId, client_id: &str, send: &mut Send<'_>) {
        self.draft_last(Stream::Held, held_subject(client_id, packet));
        self.ask(now, Asked::Held(packet), send);
    }

    /// Forgets what was held. Nobody waits for it.
    pub fn discard(&mut self, sequence: u64, send: &mut Send<'_>) {
        self.draft_delete(Stream::Held, sequence);
        self.tell(send);
    }

    /// Notes that a client has a message, until it has said so for good; [`super::Answer::Stored`] follows.
    pub fn received(&mut self, now: Instant, packet: PacketId, client_id: &str, send: &mut Send<'_>) {
        let prefix = Stream::Released.prefix().as_bytes();
        self.draft.begin(&[prefix, b"pubrel.", Hash::of(client_id).as_str().as_bytes()]);
        self.draft.headers(|out| headers::put_pubrel(out, packet));
        self.ask(now, Asked::Store(Ticket::Received(packet)), send);
    }

    /// Acknowledges a message of a consumer, at the subject that it came with.
    pub fn acknowledge(&mut self, subject: &[u8], send: &mut Send<'_>) {
        self.draft.begin(&[subject]);
        self.tell(send);
    }

    /// Gives a message back to its consumer, which delivers it again as soon as somebody is there.
    pub fn give_back(&mut self, subject: &[u8], send: &mut Send<'_>) {
        self.draft.begin(&[subject]);
        self.draft.payload(b"-NAK");
        self.tell(send);
    }

    /// Keeps a message that was published, as far as that is asked for: as what its topic retains, and with a ticket for the sessions that want it.
    pub fn keep(
        &mut self,
        now: Instant,
        ticket: Option<Ticket>,
        subject: &[u8],
        (message, marks): (&Published<'_>, Marks<'_>),
        send: &mut Send<'_>,
    ) {
        match (message.retain, message.payload.is_empty()) {
            (true, true) => self.unretain(subject, send),
            (true, false) => self.retain(subject, message, send),
            (false, _) => {}
        }
        if let Some(ticket) = ticket {
            self.store(now, ticket, subject, (message, marks), send);
        }
    }

    /// Retains a message. Nobody waits for it: what is stored behind it in the same log is not stored before it.
    pub fn retain(&mut self, subject: &[u8], message: &Published<'_>, send: &mut Send<'_>) {
        let (server, flags) = (self.settings.server, headers::flags(message.qos, true));
        let source = Source { origin: server.as_str(), user: &self.user };
        self.draft.begin(&[Stream::Retained.prefix().as_bytes(), subject]);
        self.draft.headers(|out| {
            headers::put_retained(out, message.topic, flags, source, message.properties);
        });
        self.draft.payload(message.payload);
        self.tell(send);
    }

    /// Forgets what is retained for a topic. Nobody waits for it. Where the subject of a topic is a filter, too, nothing is done.
    pub fn unretain(&mut self, subject: &[u8], send: &mut Send<'_>) {
        let Some(subject) = std::str::from_utf8(subject).ok().filter(|subject| is_literal(subject)) else {
            return;
        };
        let filter = format!("{}{subject}", Stream::Retained.prefix());
        self.draft_request(
            "STREAM.PURGE.",
            Stream::Retained.name(),
            &PurgeRequest { filter, ..PurgeRequest::default() },
        );
        self.tell(send);
    }
}

/// Whether a filter of NATS is a subject.
pub(super) fn is_literal(filter: &str) -> bool {
    !filter.split('.').any(|token| matches!(token, "*" | ">"))
}

fn held_subject(client_id: &str, packet: PacketId) -> String {
    format!("{}{client_id}.{}", Stream::Held.prefix(), packet.get())
}

/// The message that was held.
pub(super) fn held(answer: &[u8]) -> Result<Option<Box<Held>>, Failure> {
    let Some(message) = sessions::message(answer)? else { return Ok(None) };
    let (headers, payload) = (message.hdrs.0, message.data.0);
    let Some((subject, qos, retain)) = headers::held(&headers) else {
        return Err(Failure::Bad("a message that is held for nothing".into()));
    };
    let subject = subject.to_vec();
    Ok(Some(Box::new(Held { sequence: message.seq, subject, qos, retain, headers, payload })))
}
