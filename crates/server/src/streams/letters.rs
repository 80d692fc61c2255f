//! Dead letters: they go out with the body of the message that a consumer gave up, and what stores them answers. Redriving puts them back.

use super::backlog::Later;
use super::hosted::Hosted;
use super::republish::Republished;
use super::session::{Session, Unread};
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::consumer::{ConsumerId, DEAD_LETTER_PREFIX, Letter, Prefixes, plain_headers};
use dialtone_jetstream::stream::{Admitted, Publish as Published, Refusal, append_header};
use dialtone_store::{Lsn, ReadError};
use dialtone_subject::set;
use dialtone_wire::header;
use dialtone_wire::message::Message;

/// A letter whose message is to be read first.
pub(super) struct Sealed {
    to: Box<[u8]>,
    reason: Box<[u8]>,
    /// The rest of it.
    rest: Letter<'static>,
}

impl Sealed {
    pub(super) fn new(letter: &Letter<'_>) -> Self {
        let rest = Letter { to: b"", reason: b"", ..*letter };
        Self { to: letter.to.into(), reason: letter.reason.into(), rest }
    }

    /// The message that it is about.
    pub(super) fn seq(&self) -> u64 {
        self.rest.seq
    }

    fn letter(&self) -> Letter<'_> {
        Letter { to: &self.to, reason: &self.reason, ..self.rest }
    }
}

/// Has a letter sent once its message is read.
pub(super) fn later(consumer: ConsumerId, letter: &Letter<'_>) -> Later {
    Later::Letter { consumer, letter: Box::new(Sealed::new(letter)) }
}

/// Sends a letter, behind all that was decided so far. Whether its message was read.
pub(super) fn send(session: &mut Session<'_>, consumer: ConsumerId, sealed: &Sealed) -> bool {
    let letter = sealed.letter();
    let mut body = Vec::new();
    match session.body_of(letter.seq, None, &mut body) {
        Ok(()) => {}
        Err(Unread::Yet) => return false,
        Err(Unread::For(error)) => {
            session.hosted.unreadable(letter.seq, &error);
            if let ReadError::Damaged(_) = error {
                // Nobody will ever read it: the damage is named, and the letter ends here.
                session.consumer(consumer, |machine, ctx| machine.letter_stored(ctx, letter.seq));
            }
            return true;
        }
    }
    let state = &session.inner.state;
    let (Some(head), Some(held)) =
        (state.machine.messages().head(letter.seq), state.consumers.about(consumer))
    else {
        return true;
    };
    let (headers, payload) = body.split_at(usize::from(head.header_bytes).min(body.len()));
    let (stream, name) = (&*session.hosted.name, held.meta.name());
    let mut framed = letter.headers(headers, (head.subject, head.time), (stream, name, held.meta.created));
    let header_bytes = framed.len();
    let reply = Prefixes::letter(stream, name, letter.seq);
    framed.extend_from_slice(payload);
    framed.extend_from_slice(b"\r\n");
    session.send_when_durable(Republished {
        subject: letter.to.into(),
        reply: Some(reply.into_bytes().into()),
        header_bytes,
        framed: framed.into(),
    });
    true
}

/// Whoever got a letter answers.
pub(super) fn answered(session: &mut Session<'_>, id: u64, message: &Message<'_>) {
    let seq = message.subject.rsplit(|byte| *byte == b'.').next();
    let seq = seq.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let has_error = message.payload().windows(8).any(|text| text == b"\"error\":");
    if let Some(seq) = seq.filter(|_| !has_error) {
        session.consumer(ConsumerId(id), |machine, ctx| machine.letter_stored(ctx, seq));
    }
}

/// A dead letter that is put back.
pub(crate) struct PutBack {
    /// Its sequence in the stream of dead letters.
    pub(crate) seq: u64,
    /// The stream that it came from.
    pub(crate) stream: String,
    /// The subject that it had there.
    pub(crate) subject: Vec<u8>,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

impl Hosted {
    /// The first dead letter at or behind a sequence, of one consumer if it is named; the error is where to go on when many others were passed.
    pub(crate) fn dead_letter(&self, from: u64, consumer: &str) -> Result<Option<PutBack>, u64> {
        const LOOKED_AT_MAX: usize = 256;
        let mut from = from;
        for _ in 0..LOOKED_AT_MAX {
            let found = {
                let inner = self.lock();
                let messages = inner.state.machine.messages();
                let seq = messages.next_live(from).filter(|seq| *seq <= inner.state.visible());
                seq.and_then(|seq| messages.head(seq)).map(|head| (head.seq, usize::from(head.header_bytes)))
            };
            let Some((seq, header_bytes)) = found else { return Ok(None) };
            let mut body = Vec::new();
            if self.read_body(seq, &mut body)
                && let Some(letter) = self.opened(seq, &body, header_bytes)
                && (consumer.is_empty() || letter.0 == consumer)
            {
                return Ok(Some(letter.1));
            }
            from = seq + 1;
        }
        Err(from)
    }

    /// What a message is put back as, with the name of the consumer that gave it up. `None`: it is no dead letter.
    fn opened(&self, seq: u64, body: &[u8], header_bytes: usize) -> Option<(String, PutBack)> {
        let (headers, payload) = body.split_at_checked(header_bytes)?;
        let said = |name: &str| {
            let value = header::value(headers, format!("{DEAD_LETTER_PREFIX}{name}").as_bytes())?;
            Some(String::from_utf8_lossy(value).trim().to_owned())
        };
        let (stream, consumer, subject) = (said("Stream")?, said("Consumer")?, said("Subject")?);
        let mut out = plain_headers(headers);
        append_header(&mut out, "Dialtone-Redriven", &format!("{stream} {consumer} {}", said("Sequence")?));
        let created = self.lock().state.meta.created;
        append_header(&mut out, "Nats-Msg-Id", &format!("redriven.{}.{created}.{seq}", self.name));
        let subject = subject.into_bytes();
        let letter = PutBack { seq, stream, subject, headers: out, payload: payload.to_vec() };
        Some((consumer, letter))
    }

    /// Stores a dead letter again. Where the log ends then. `None`: it is not for this stream.
    ///
    /// # Errors
    /// The stream does not take it.
    pub(crate) fn put_back(
        &self,
        letter: &PutBack,
        turn: &mut dyn Publish,
    ) -> Option<Result<Option<Lsn>, Refusal>> {
        let put = self.with(turn, |session| {
            let subjects = &session.inner.state.meta.config.subjects;
            let is_valid = set::is_valid_literal(&letter.subject);
            if !is_valid || !subjects.iter().any(|own| set::matches(own.as_bytes(), &letter.subject)) {
                return None;
            }
            Some(store_again(session, letter))
        });
        put.flatten()
    }
}

fn store_again(session: &mut Session<'_>, letter: &PutBack) -> Result<Option<Lsn>, Refusal> {
    let published =
        Published { subject: &letter.subject, headers: &letter.headers, payload: &letter.payload };
    let (state, batches) = (&session.inner.state, &mut session.inner.batches.atomic);
    let wanted = session.hosted.wanted(state, session.inner.counted);
    match state.machine.admit(batches, &published, &wanted, session.now)? {
        Some(Admitted::Proposal(proposal)) => {
            session.carry_out(&proposal)?;
            Ok(session.upto())
        }
        // It was put back before.
        Some(Admitted::Duplicate(_)) | None => Ok(session.inner.unwritten()),
    }
}
