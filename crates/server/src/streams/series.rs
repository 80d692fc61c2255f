//! The answer to a direct get of several messages: one message after the other, then a status that says how it ended.

use super::backlog::Later;
use super::direct::{LOOKED_AT_ONCE, NOT_FOUND, describe, emit, framed, refuse};
use super::emitter::{add, emit_status};
use super::session::{Session, Unread};
use dialtone_jetstream::messages::{Next, Selector};
use std::collections::VecDeque;

/// Messages that are sent in the turn that asks for them, if they are in memory.
const MESSAGES_AT_ONCE: usize = 128;
/// Bytes of the same.
const BYTES_AT_ONCE: usize = 256 * 1024;
/// Messages that are looked at for a filter before others have their turn.
const LOOKED_AT_MAX: usize = 4096;

/// Which messages are sent.
pub(super) enum Plan {
    /// The next of some subjects, so many.
    Next { selector: Selector, from: u64, left: u64 },
    /// These; `upto` is the sequence up to which they were looked for.
    These { seqs: VecDeque<u64>, left: u64, upto: u64 },
}

/// Several messages that are sent.
pub(super) struct Series {
    to: Box<[u8]>,
    plan: Plan,
    bytes_left: u64,
    no_headers: bool,
    /// How many are still to come, once they are counted.
    pending: Option<u64>,
    /// The sequence of the last one that was sent.
    last: u64,
    /// The message that is to be read first.
    wanted: Option<u64>,
}

/// What one may do before others have their turn.
struct Allowance {
    messages: usize,
    bytes: usize,
    /// It may take long.
    may_take_long: bool,
}

/// What to do next.
enum Step {
    Send(u64),
    /// Look on when others had their turn.
    Pause,
    End,
    NotFound,
}

impl Series {
    /// Nothing of it is sent yet.
    pub(super) fn new(to: &[u8], plan: Plan, bytes_left: u64, no_headers: bool) -> Self {
        Self { to: to.into(), plan, bytes_left, no_headers, pending: None, last: 0, wanted: None }
    }

    /// Sends what can be sent at once; the rest follows from the thread of streams.
    pub(super) fn begin(self, session: &mut Session<'_>) {
        let allowance = Allowance { messages: MESSAGES_AT_ONCE, bytes: BYTES_AT_ONCE, may_take_long: false };
        self.send(session, allowance);
    }

    /// The message that is to be read first, if one is.
    pub(super) fn wanted(&self) -> Option<u64> {
        self.wanted
    }

    /// Sends more, about so many bytes. Not for event loops. How many bytes it sent.
    pub(super) fn go_on(self, session: &mut Session<'_>, bytes: usize) -> usize {
        let allowance = Allowance { messages: usize::MAX, bytes, may_take_long: true };
        bytes - self.send(session, allowance)
    }

    /// Bytes of the allowance that are left.
    fn send(mut self, session: &mut Session<'_>, mut allowance: Allowance) -> usize {
        let mut body = Vec::new();
        self.wanted = None;
        if !self.count(session, allowance.may_take_long) {
            session.inner.backlog.push(Later::Series(self));
            return allowance.bytes;
        }
        loop {
            match self.step(session) {
                Step::Send(seq) if allowance.messages > 0 && allowance.bytes > 0 => {
                    let read = session.body_of(seq, None, &mut body);
                    if let Err(Unread::Yet) = read {
                        self.wanted = Some(seq);
                        break;
                    }
                    allowance.messages -= 1;
                    let sent = self.send_one(session, seq, read.map(|()| &*body));
                    allowance.bytes = allowance.bytes.saturating_sub(sent);
                }
                Step::Send(_) | Step::Pause => break,
                Step::End => {
                    self.end(session);
                    return allowance.bytes;
                }
                Step::NotFound => {
                    refuse(session, &self.to, NOT_FOUND);
                    return allowance.bytes;
                }
            }
        }
        session.inner.backlog.push(Later::Series(self));
        allowance.bytes
    }

    /// Counts what is to come. Whether it did: much is not counted on an event loop.
    fn count(&mut self, session: &Session<'_>, may_take_long: bool) -> bool {
        if self.pending.is_some() {
            return true;
        }
        let (messages, visible) = (session.inner.state.machine.messages(), session.inner.state.visible());
        let pending = match &self.plan {
            Plan::These { seqs, .. } => seqs.len() as u64,
            Plan::Next { .. } if !may_take_long && messages.totals().count > LOOKED_AT_ONCE => return false,
            Plan::Next { selector, from, .. } => {
                let count = |from: u64| messages.count_from(selector, from);
                count(*from).saturating_sub(count((*from).max(visible.saturating_add(1))))
            }
        };
        self.pending = Some(pending);
        true
    }

    fn step(&mut self, session: &Session<'_>) -> Step {
        let (messages, visible) = (session.inner.state.machine.messages(), session.inner.state.visible());
        if self.bytes_left == 0 {
            return Step::End;
        }
        match &mut self.plan {
            Plan::These { left: 0, .. } | Plan::Next { left: 0, .. } => Step::End,
            Plan::These { seqs, .. } => {
                while seqs.front().is_some_and(|&seq| messages.head(seq).is_none()) {
                    seqs.pop_front();
                }
                seqs.front().map_or(Step::End, |&seq| Step::Send(seq))
            }
            Plan::Next { selector, from, .. } => match messages.next_within(selector, *from, LOOKED_AT_MAX) {
                Next::Found(seq) if seq <= visible => Step::Send(seq),
                Next::Continue(on) if on <= visible => {
                    *from = on;
                    Step::Pause
                }
                _ if self.last == 0 => Step::NotFound,
                _ => Step::End,
            },
        }
    }

    /// Sends a message. How many bytes it has.
    fn send_one(&mut self, session: &mut Session<'_>, seq: u64, body: Result<&[u8], Unread>) -> usize {
        match &mut self.plan {
            Plan::These { seqs, left, .. } => {
                seqs.pop_front();
                *left -= 1;
            }
            Plan::Next { from, left, .. } => {
                *from = seq + 1;
                *left -= 1;
            }
        }
        let body = match body {
            Ok(body) => body,
            Err(Unread::Yet) => return 0,
            Err(Unread::For(error)) => {
                session.hosted.unreadable(seq, &error);
                return 0;
            }
        };
        let Some(head) = session.inner.state.machine.messages().head(seq) else { return 0 };
        let (stream, before) = (&session.hosted.name, self.last);
        // Official servers count on only where they say so.
        let pending = self.pending.get_or_insert_default();
        let framed = framed(body, &head, |headers| {
            if self.no_headers {
                return headers.clear();
            }
            *pending = pending.saturating_sub(1);
            describe(headers, stream, &head);
            add(headers, "Nats-Num-Pending", &pending.to_string());
            add(headers, "Nats-Last-Sequence", &before.to_string());
        });
        let bytes = head.subject.len() + body.len();
        self.last = seq;
        self.bytes_left = self.bytes_left.saturating_sub(bytes as u64);
        emit(session.turn, session.account, &self.to, &framed);
        framed.0.len()
    }

    fn end(&self, session: &mut Session<'_>) {
        let (pending, last) = (self.pending.unwrap_or(0), self.last);
        let upto = match &self.plan {
            Plan::These { upto, .. } => format!("Nats-UpTo-Sequence: {upto}\r\n"),
            Plan::Next { .. } => String::new(),
        };
        let head = format!(
            "NATS/1.0 204 EOB\r\nNats-Num-Pending: {pending}\r\nNats-Last-Sequence: {last}\r\n{upto}\r\n"
        );
        emit_status(session.turn, session.account, (&self.to, None), head.as_bytes());
    }
}
