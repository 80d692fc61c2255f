//! Direct gets: messages by sequence or subject, answered by the stream itself in the turn that asks.

use super::emitter::{Later, add, emit_status};
use super::hosted::Session;
use dialtone_broker::account::Account;
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::messages::{Body, Head, Selector};
use dialtone_jetstream::time::Time;
use dialtone_wire::message::Message;
use serde::Deserialize;
use std::sync::Arc;

/// What may be asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Request {
    seq: u64,
    last_by_subj: String,
    next_by_subj: String,
    batch: i64,
    max_bytes: i64,
    multi_last: Vec<String>,
    start_time: Option<String>,
    no_hdr: bool,
}

/// Answers a request.
pub(super) fn answer(session: &mut Session<'_>, message: &Message<'_>) {
    let Some(to) = message.reply else { return };
    let found = find(session, message);
    let seq = match found {
        Ok(seq) => seq,
        Err(status) => {
            let head = format!("NATS/1.0 {status}\r\n\r\n");
            emit_status(session.turn, session.account, (to, None), head.as_bytes());
            return;
        }
    };
    send(session, to, seq);
}

/// The sequence that is asked for, or the status of the answer.
fn find(session: &Session<'_>, message: &Message<'_>) -> Result<u64, &'static str> {
    const NOT_FOUND: &str = "404 Message Not Found";
    let messages = session.inner.state.machine.messages();
    let committed = session.inner.state.committed;
    let marker: &[u8] = b".DIRECT.GET.";
    let at = message.subject.windows(marker.len()).position(|window| window == marker);
    let rest = at.and_then(|at| message.subject.get(at + marker.len()..)).unwrap_or_default();
    let behind = rest.get(session.hosted.name.len()..).and_then(|rest| rest.strip_prefix(b"."));
    let last_of = |subject: &[u8]| {
        messages.last_of(&Selector::new([subject])).filter(|&seq| seq <= committed).ok_or(NOT_FOUND)
    };
    if let Some(subject) = behind {
        return match message.payload() {
            [] => last_of(subject),
            payload if serde_json::from_slice::<serde_json::Value>(payload).is_ok() => Err("408 Bad Request"),
            _ => Err("408 Malformed Request"),
        };
    }
    if message.payload().is_empty() {
        return Err("408 Empty Request");
    }
    let request: Request = serde_json::from_slice(message.payload()).map_err(|_| "408 Malformed Request")?;
    // What is not carried out is not ignored.
    let is_more = !request.multi_last.is_empty() || request.start_time.is_some() || request.no_hdr;
    if is_more || request.batch != 0 || request.max_bytes != 0 {
        return Err("408 Bad Request");
    }
    match (request.seq, &*request.last_by_subj, &*request.next_by_subj) {
        (0, "", "") => Err("408 Empty Request"),
        (0, last, "") => last_of(last.as_bytes()),
        (seq, "", "") => {
            messages.head(seq).map(|head| head.seq).filter(|&seq| seq <= committed).ok_or(NOT_FOUND)
        }
        (seq, "", next) => {
            let found = messages.next(&Selector::new([next.as_bytes()]), seq.max(1));
            found.filter(|&seq| seq <= committed).ok_or(NOT_FOUND)
        }
        _ => Err("408 Bad Request"),
    }
}

/// The headers of an answer: those of the message, then what it is.
pub(super) fn headers(own: &[u8], stream: &str, head: &Head<'_>) -> Vec<u8> {
    let mut out = own.to_vec();
    add(&mut out, "Nats-Stream", stream);
    add(&mut out, "Nats-Subject", &String::from_utf8_lossy(head.subject));
    add(&mut out, "Nats-Sequence", &head.seq.to_string());
    add(&mut out, "Nats-Time-Stamp", &Time::from_unix_nanos(head.time).to_string());
    out
}

/// Answers with a message that was read from the disk.
pub(super) fn send_read(session: &mut Session<'_>, to: &[u8], seq: u64, body: &[u8]) {
    let Some(head) = session.inner.state.machine.messages().head(seq) else { return };
    let framed = framed(&session.hosted.name, &head, body);
    emit(session.turn, session.account, to, &framed);
}

fn framed(stream: &str, head: &Head<'_>, body: &[u8]) -> (Vec<u8>, usize) {
    let (own, payload) = body.split_at_checked(usize::from(head.header_bytes)).unwrap_or((b"", body));
    let mut framed = headers(own, stream, head);
    let header_bytes = framed.len();
    framed.extend_from_slice(payload);
    framed.extend_from_slice(b"\r\n");
    (framed, header_bytes)
}

fn emit(
    turn: &mut dyn Publish,
    account: &Arc<Account>,
    to: &[u8],
    (framed, header_bytes): &(Vec<u8>, usize),
) {
    turn.emit(account, &Message { subject: to, reply: None, header_bytes: *header_bytes, framed });
}

fn send(session: &mut Session<'_>, to: &[u8], seq: u64) {
    let inner = &mut *session.inner;
    let messages = inner.state.machine.messages();
    let (Some(head), Some(body)) = (messages.head(seq), messages.body(seq)) else { return };
    match body {
        Body::Hot(body) => {
            let framed = framed(&session.hosted.name, &head, body);
            emit(session.turn, session.account, to, &framed);
        }
        Body::Cold(_) => inner.push_later(Later::Answer { to: to.into(), seq }),
    }
}
