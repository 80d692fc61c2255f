//! Direct gets: messages by sequence, subject or time, answered by the stream itself in the turn that asks. What is large, or has to be read from
//! the disk, is answered by the reader's thread, part by part ([`Series`]).

use super::backlog::Later;
use super::due::Due;
use super::emitter::{add, emit_status};
use super::republish::Republished;
use super::series::{Plan, Series};
use super::session::Session;
use dialtone_broker::account::Account;
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::api::{MessageGetRequest, read_plain};
use dialtone_jetstream::messages::{Body, Head, Messages, Selector};
use dialtone_jetstream::time::Time;
use dialtone_wire::message::Message;
use std::sync::Arc;

/// Subjects that one request may have the last messages of. The official figure.
const SUBJECTS_MAX: usize = 1024;
/// Payload bytes of a request for several messages where it does not say how many. The official figure: a quarter of the default `max_pending`.
const SERIES_BYTES_MAX: u64 = 16 * 1024 * 1024;

const EMPTY: &str = "408 Empty Request";
const BAD: &str = "408 Bad Request";
const MALFORMED: &str = "408 Malformed Request";
pub(super) const NOT_FOUND: &str = "404 Message Not Found";
const NO_RESULTS: &str = "404 No Results";
const TOO_MANY: &str = "413 Too Many Results";

/// Messages of a stream that may all be looked at in the turn of an event loop.
pub(super) const LOOKED_AT_ONCE: u64 = 10_000;

/// What is sent.
enum Found {
    /// One message; whether without headers.
    One(u64, bool),
    /// Several.
    Series(Series),
}

/// What a request asks for.
pub(super) enum Asked {
    /// The last message of a subject; whether without headers.
    LastOf(Box<[u8]>, bool),
    /// What its body says.
    Body(MessageGetRequest),
}

/// Answers a request: at once if finding what it asks for takes no time.
pub(super) fn answer(session: &mut Session<'_>, message: &Message<'_>) {
    let Some(to) = message.reply else { return };
    match read(message) {
        Ok(asked) if asked.is_for_several() && session.inner.state.is_ahead() => {
            // What was acknowledged to nobody yet is no part of the answer before it is on disk, and what it replaced is gone.
            session.when_durable(Due::Asked(Box::new((to.into(), asked))));
        }
        Ok(asked) if session.inner.state.machine.totals().count > LOOKED_AT_ONCE && asked.takes_long() => {
            session.inner.backlog.push(Later::Asked { to: to.into(), asked: Box::new(asked) });
        }
        Ok(asked) => answer_later(session, to, &asked),
        Err(status) => refuse(session, to, status),
    }
}

/// Answers a request, however long it takes.
pub(super) fn answer_later(session: &mut Session<'_>, to: &[u8], asked: &Asked) {
    let view =
        View { messages: session.inner.state.machine.messages(), visible: session.inner.state.visible() };
    let found = match asked {
        Asked::LastOf(subject, no_headers) => view.last_of(subject).map(|seq| Found::One(seq, *no_headers)),
        Asked::Body(asked) => view.find(asked, to),
    };
    match found {
        Ok(Found::One(seq, no_headers)) => send(session, to, (seq, no_headers)),
        Ok(Found::Series(series)) => series.begin(session),
        Err(status) => refuse(session, to, status),
    }
}

/// Answers with a status.
pub(super) fn refuse(session: &mut Session<'_>, to: &[u8], status: &str) {
    let head = format!("NATS/1.0 {status}\r\n\r\n");
    emit_status(session.turn, session.account, (to, None), head.as_bytes());
}

/// What is asked for, or the status of the answer.
fn read(message: &Message<'_>) -> Result<Asked, &'static str> {
    let marker: &[u8] = b".DIRECT.GET.";
    let at = message.subject.windows(marker.len()).position(|window| window == marker);
    let rest = at.and_then(|at| message.subject.get(at + marker.len()..)).unwrap_or_default();
    let subject = rest.iter().position(|byte| *byte == b'.').and_then(|dot| rest.get(dot + 1..));
    let read = || read_plain::<MessageGetRequest>(message.payload(), MessageGetRequest::GO);
    let asked = match message.payload() {
        [] if subject.is_none() => return Err(EMPTY),
        [] => MessageGetRequest::default(),
        _ => read().map_err(|_| MALFORMED)?,
    };
    let Some(subject) = subject else { return Ok(Asked::Body(asked)) };
    let no_hdr = asked.no_hdr;
    match asked == (MessageGetRequest { no_hdr, ..MessageGetRequest::default() }) {
        true => Ok(Asked::LastOf(subject.into(), no_hdr)),
        false => Err(BAD),
    }
}

impl Asked {
    /// Whether it asks for more than one message.
    fn is_for_several(&self) -> bool {
        matches!(self, Self::Body(asked) if asked.batch != 0 || !asked.multi_last.is_empty())
    }

    /// Whether finding what it asks for takes a look at everything in the stream.
    fn takes_long(&self) -> bool {
        let is_open = |filter: &[u8]| Selector::new([filter]).is_open();
        match self {
            Self::LastOf(subject, _) => is_open(subject),
            Self::Body(asked) if !asked.multi_last.is_empty() => {
                let selector = Selector::new(asked.multi_last.iter().map(String::as_bytes));
                selector.is_all() || selector.is_open() || asked.up_to_seq > 0 || asked.up_to_time.is_some()
            }
            Self::Body(asked) => [&asked.last_by_subj, &asked.next_by_subj]
                .into_iter()
                .any(|filter| !filter.is_empty() && is_open(filter.as_bytes())),
        }
    }
}

/// The messages, and up to where they may be seen. One that is not on disk yet may be found: the answer waits until it is, since the one whose
/// place it took is gone already.
struct View<'a> {
    messages: &'a Messages,
    visible: u64,
}

impl View<'_> {
    fn last_of(&self, subject: &[u8]) -> Result<u64, &'static str> {
        self.messages.last_of(&Selector::new([subject])).ok_or(NOT_FOUND)
    }

    fn find(&self, asked: &MessageGetRequest, to: &[u8]) -> Result<Found, &'static str> {
        let (has_last, has_next) = (!asked.last_by_subj.is_empty(), !asked.next_by_subj.is_empty());
        if !asked.multi_last.is_empty() {
            let is_twice = has_last || has_next || asked.up_to_seq > 0 && asked.up_to_time.is_some();
            return if is_twice { Err(BAD) } else { self.last_of_each(asked, to) };
        }
        let has_start = asked.seq > 0 || asked.start_time.is_some();
        if !(has_last || has_next || has_start) {
            return Err(EMPTY);
        }
        let is_twice = asked.seq > 0 && asked.start_time.is_some();
        if is_twice || has_last && (has_next || has_start || asked.batch != 0) {
            return Err(BAD);
        }
        if has_last {
            let seq = self.last_of(asked.last_by_subj.as_bytes())?;
            return Ok(Found::One(seq, asked.no_hdr));
        }
        let from = asked.start_time.map_or(asked.seq, |time| self.messages.seq_at(time.unix_nanos())).max(1);
        let selector = match &*asked.next_by_subj {
            "" => Selector::all(),
            next => Selector::new([next.as_bytes()]),
        };
        if asked.batch != 0 {
            let left = u64::try_from(asked.batch).unwrap_or(0);
            let plan = Plan::Next { selector, from, left };
            return Ok(Found::Series(self.series(asked, to, plan)));
        }
        let is_exact = !has_next && asked.start_time.is_none();
        let found = match is_exact {
            true => self.messages.head(from).map(|head| head.seq),
            false => self.messages.next(&selector, from),
        };
        found.map(|seq| Found::One(seq, asked.no_hdr)).ok_or(NOT_FOUND)
    }

    /// The last message of each of some subjects, as it was at a sequence or time.
    fn last_of_each(&self, asked: &MessageGetRequest, to: &[u8]) -> Result<Found, &'static str> {
        let upto = match asked.up_to_time {
            Some(time) => self.messages.seq_at(time.unix_nanos()).saturating_sub(1),
            None if asked.up_to_seq > 0 => asked.up_to_seq,
            None => self.visible,
        };
        // Official servers find nothing behind the last message.
        if upto == 0 || asked.up_to_time.is_none() && upto > self.visible {
            return Err(NO_RESULTS);
        }
        let upto = upto.min(self.visible);
        let selector = Selector::new(asked.multi_last.iter().map(String::as_bytes));
        let mut all = self.messages.last_of_each(&selector, upto, SUBJECTS_MAX).map_err(|_| TOO_MANY)?;
        if all.is_empty() {
            return Err(NO_RESULTS);
        }
        let from = asked.start_time.map_or(asked.seq, |time| self.messages.seq_at(time.unix_nanos()));
        all.retain(|&seq| seq >= from);
        let left = u64::try_from(asked.batch).ok().filter(|&batch| batch > 0).unwrap_or(u64::MAX);
        let plan = Plan::These { seqs: all.into(), left, upto };
        Ok(Found::Series(self.series(asked, to, plan)))
    }

    fn series(&self, asked: &MessageGetRequest, to: &[u8], plan: Plan) -> Series {
        let bytes_max = match asked.max_bytes {
            0 => SERIES_BYTES_MAX,
            bytes => u64::try_from(bytes).unwrap_or(1).min(SERIES_BYTES_MAX),
        };
        // The last messages of subjects always say what they are.
        let no_headers = asked.no_hdr && matches!(plan, Plan::Next { .. });
        Series::new(to, plan, bytes_max, no_headers)
    }
}

/// Adds to the headers of a message what it is.
pub(super) fn describe(headers: &mut Vec<u8>, stream: &str, head: &Head<'_>) {
    add(headers, "Nats-Stream", stream);
    add(headers, "Nats-Subject", &String::from_utf8_lossy(head.subject));
    add(headers, "Nats-Sequence", &head.seq.to_string());
    add(headers, "Nats-Time-Stamp", &Time::from_unix_nanos(head.time).to_string());
}

/// The answer where a message cannot be read from the disk.
pub(super) const UNREADABLE: &[u8] = b"NATS/1.0 500 Message Cannot Be Read\r\n\r\n";

/// Answers with a message that was read from the disk.
pub(super) fn send_read(session: &mut Session<'_>, to: &[u8], (seq, no_headers): (u64, bool), body: &[u8]) {
    let Some(head) = session.inner.state.machine.messages().head(seq) else { return };
    let framed = framed(body, &head, |headers| match no_headers {
        true => headers.clear(),
        false => describe(headers, &session.hosted.name, &head),
    });
    answer_with(session, to, seq, framed);
}

/// Answers with a message, once it may be seen.
fn answer_with(session: &mut Session<'_>, to: &[u8], seq: u64, (framed, header_bytes): (Vec<u8>, usize)) {
    if seq <= session.inner.state.visible() {
        return emit(session.turn, session.account, to, &(framed, header_bytes));
    }
    let answer = Republished { subject: to.into(), reply: None, header_bytes, framed: framed.into() };
    session.when_durable(Due::Again(answer));
}

/// A message as it is sent, with its headers `changed`, and how many bytes of it are headers.
pub(super) fn framed(body: &[u8], head: &Head<'_>, changed: impl FnOnce(&mut Vec<u8>)) -> (Vec<u8>, usize) {
    let (own, payload) = body.split_at_checked(usize::from(head.header_bytes)).unwrap_or((b"", body));
    let mut framed = own.to_vec();
    changed(&mut framed);
    let header_bytes = framed.len();
    framed.extend_from_slice(payload);
    framed.extend_from_slice(b"\r\n");
    (framed, header_bytes)
}

pub(super) fn emit(
    turn: &mut dyn Publish,
    account: &Arc<Account>,
    to: &[u8],
    (framed, header_bytes): &(Vec<u8>, usize),
) {
    turn.emit(account, &Message { subject: to, reply: None, header_bytes: *header_bytes, framed });
}

fn send(session: &mut Session<'_>, to: &[u8], (seq, no_headers): (u64, bool)) {
    let inner = &mut *session.inner;
    match inner.state.machine.messages().body(seq) {
        Some(Body::Hot(body)) => {
            let Some(head) = inner.state.machine.messages().head(seq) else { return };
            let framed = framed(body, &head, |headers| match no_headers {
                true => headers.clear(),
                false => describe(headers, &session.hosted.name, &head),
            });
            answer_with(session, to, seq, framed);
        }
        Some(Body::Cold(_)) => inner.backlog.push(Later::Answer { to: to.into(), seq, no_headers }),
        None => {}
    }
}
