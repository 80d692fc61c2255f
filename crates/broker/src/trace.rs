//! Message tracing: a message whose headers ask for it has what becomes of it noted, and published to a subject (ADR-41).
//!
//! [`may_ask`] is the look that each message with headers gets; [`TraceRequest`] is what its headers ask for. A [`Trace`] is
//! given to a turn for the one message, [`crate::deliver`] notes in it, and whoever began it takes it out and reports it.

use crate::id::AccountId;
use crate::peer::Peer;
use crate::permission::{Authorized, Destination};
pub use crate::sampling_rule::SamplingRule;
use dialtone_wire::header;
use std::sync::Arc;
use std::time::SystemTime;

/// The header that names the subject for the trace.
pub const DESTINATION: &[u8] = b"Nats-Trace-Dest";
/// Its value once a trace must not go on: an invalid subject, so nothing can be published to it.
pub const DISABLED: &[u8] = b"trace disabled";
/// The header by which a message is traced and not delivered.
const ONLY: &[u8] = b"Nats-Trace-Only";
/// The header in which servers send each other the account of the trace. From a client it is forged.
const ORIGIN: &[u8] = b"Nats-Trace-Origin-Account";
/// The header of W3C trace contexts; its name counts in any case.
const CONTEXT: &[u8] = b"traceparent";

/// Events that are noted of one message, which may come to many thousands of subscriptions; what is beyond is left out.
pub const EVENTS_MAX: usize = 10_000;

/// Whether the headers of a message may ask for a trace. Most don't: only the names are looked at.
#[inline]
pub fn may_ask(headers: &[u8]) -> bool {
    let asks = |line: &[u8]| match line.first() {
        Some(b'N') => line.starts_with(DESTINATION),
        Some(b't' | b'T') => line.get(..CONTEXT.len()).is_some_and(|name| name.eq_ignore_ascii_case(CONTEXT)),
        _ => false,
    };
    headers.split(|&byte| byte == b'\n').skip(1).any(asks)
}

/// What headers ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceRequest<'a> {
    /// Where the trace goes, if they name a subject.
    pub destination: Option<&'a [u8]>,
    /// The trace context is sampled: the account's rule holds.
    pub sampled: bool,
    /// The message is not to be delivered. Holds only with a destination.
    pub only: bool,
    /// They speak as only servers do.
    pub forged: bool,
}

impl<'a> TraceRequest<'a> {
    /// Reads a header block. The first value that is not empty counts.
    pub fn read(headers: &'a [u8]) -> Self {
        let mut out = Self::default();
        let (mut only, mut context): (Option<&[u8]>, Option<&[u8]>) = (None, None);
        for (name, value) in header::lines(headers).filter(|(_, value)| !value.is_empty()) {
            match name {
                DESTINATION => out.destination = out.destination.or(Some(value)),
                ONLY => only = only.or(Some(value)),
                ORIGIN => out.forged = true,
                name if name.eq_ignore_ascii_case(CONTEXT) => context = context.or(Some(value)),
                _ => {}
            }
        }
        let is_yes =
            |value: &[u8]| [&b"1"[..], b"true", b"on"].iter().any(|yes| value.eq_ignore_ascii_case(yes));
        out.only = out.destination.is_some() && only.is_some_and(is_yes);
        out.sampled = context.is_some_and(is_sampled);
        out
    }
}

/// Whether the last of the four parts of a trace context has its lowest bit set.
///
/// Above `7f` it counts as no flags at all, as in the official server.
fn is_sampled(context: &[u8]) -> bool {
    let mut parts = context.split(|&byte| byte == b'-');
    let flags = parts.nth(3).filter(|flags| flags.len() == 2);
    let flags = flags.and_then(|flags| std::str::from_utf8(flags).ok());
    parts.next().is_none()
        && flags.is_some_and(|f| i8::from_str_radix(f, 16).is_ok_and(|flags| flags & 1 == 1))
}

/// What becomes of one message.
pub struct Trace {
    destination: Box<[u8]>,
    /// The message is not delivered.
    pub only: bool,
    /// The account that it was published in.
    pub origin: AccountId,
    clock: fn() -> SystemTime,
    /// What was noted, in order.
    events: Vec<(SystemTime, Event)>,
    /// Bytes of the events that are not part of `Event` itself.
    text_bytes: usize,
    /// Why it was not taken at all.
    pub error: Option<Box<str>>,
}

/// Something that became of a message.
#[derive(Debug)]
pub enum Event {
    /// Its account mapped its subject, to nothing if it is lost.
    Mapped(Box<[u8]>),
    /// Another account took it as a stream, under this subject.
    Stream(Box<str>, Box<[u8]>),
    /// It asked a service of another account, or answered: from this subject to that.
    Service(Box<str>, Box<[u8]>, Box<[u8]>),
    /// It came to a subscription.
    Arrival(Arrival),
}

impl Event {
    fn text_bytes(&self) -> usize {
        match self {
            Self::Mapped(to) => to.len(),
            Self::Stream(account, to) => account.len() + to.len(),
            Self::Service(account, from, to) => account.len() + from.len() + to.len(),
            Self::Arrival(arrival) => {
                let account = arrival.account.as_ref().map_or(0, |account| account.len());
                account + arrival.filter.len() + arrival.queue.as_ref().map_or(0, |queue| queue.len())
            }
        }
    }
}

/// A message that came to a subscription.
#[derive(Debug)]
pub struct Arrival {
    /// Whose.
    pub peer: Arc<Peer>,
    /// Its account, if it is another one than that of who published.
    pub account: Option<Box<str>>,
    /// Its filter, in subjects of the account that the message comes from.
    pub filter: Box<[u8]>,
    /// Its queue group.
    pub queue: Option<Box<[u8]>>,
    /// Why it did not get the message. `None`: it did.
    pub problem: Option<Problem>,
}

/// Why a subscription did not get a message, in the official words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is the publisher's own.
    #[error("Not delivered because of no echo")]
    NoEcho,
    /// Its rights do not let it have the message.
    #[error("Not delivered because subscription denies this subject")]
    Denied,
    /// It got as many as it wanted.
    #[error("Not delivered because auto-unsubscribe exceeded")]
    Exceeded,
    /// Its connection is ending.
    #[error("Not delivered because client is closed")]
    Closed,
}

impl Trace {
    /// A trace of a message that is published in `origin`; `clock` is read for each event.
    pub fn new(
        destination: &Authorized<Destination<'_>>,
        only: bool,
        origin: AccountId,
        clock: fn() -> SystemTime,
    ) -> Box<Self> {
        let destination = destination.get().0.into();
        Box::new(Self { destination, only, origin, clock, events: Vec::new(), text_bytes: 0, error: None })
    }

    /// Where it goes.
    pub fn destination(&self) -> &[u8] {
        &self.destination
    }

    /// What was noted, in order.
    pub fn events(&self) -> &[(SystemTime, Event)] {
        &self.events
    }

    /// Bytes that it takes while it waits to be reported.
    pub fn bytes(&self) -> usize {
        let events = self.events.capacity() * size_of::<(SystemTime, Event)>();
        size_of::<Self>() + self.destination.len() + events + self.text_bytes
    }

    pub(crate) fn note(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.text_bytes += event.text_bytes();
            self.events.push(((self.clock)(), event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(lines: &[&str]) -> Vec<u8> {
        format!("NATS/1.0\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes()
    }

    #[track_caller]
    fn check(lines: &[&str], destination: Option<&str>, sampled: bool, only: bool, forged: bool) {
        let block = block(lines);
        let expected = TraceRequest { destination: destination.map(str::as_bytes), sampled, only, forged };
        assert_eq!(TraceRequest::read(&block), expected, "{lines:?}");
        // Nothing that asks is overlooked.
        assert!(may_ask(&block) || (destination.is_none() && !sampled), "{lines:?}");
    }

    #[test]
    fn what_headers_ask_for() {
        check(&["Nats-Trace-Dest: t.1"], Some("t.1"), false, false, false);
        check(&["nats-trace-dest: t.1"], None, false, false, false);
        check(&["Nats-Trace-Dest: ", "Nats-Trace-Dest: b"], Some("b"), false, false, false);
        check(&["Nats-Trace-Dest: a", "Nats-Trace-Only: On"], Some("a"), false, true, false);
        check(&["Nats-Trace-Dest: a", "Nats-Trace-Only: yes"], Some("a"), false, false, false);
        check(&["Nats-Trace-Only: 1"], None, false, false, false);
        check(&["Nats-Trace-Dest: a", "Nats-Trace-Origin-Account: A"], Some("a"), false, false, true);
    }

    /// What waits to be reported says what it takes, and is bounded.
    #[test]
    fn a_trace_says_its_size() {
        let mut trace = Trace {
            destination: b"t.1".as_slice().into(),
            only: false,
            origin: AccountId(1),
            clock: SystemTime::now,
            events: Vec::new(),
            text_bytes: 0,
            error: None,
        };
        let empty = trace.bytes();
        trace.note(Event::Stream("account".into(), b"x".repeat(1000).into()));
        assert!(trace.bytes() > empty + 1000 + "account".len());
        for _ in 0..EVENTS_MAX + 5 {
            trace.note(Event::Mapped(b"y".repeat(100).into()));
        }
        assert_eq!(trace.events().len(), EVENTS_MAX);
        let least = (EVENTS_MAX - 1) * (100 + size_of::<Event>());
        assert!((least..4 * least).contains(&trace.bytes()), "{} of {least}", trace.bytes());
    }

    #[test]
    fn trace_contexts_are_sampled_by_their_lowest_bit() {
        for (value, sampled) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", false),
            ("00-a-b-03", true),
            ("x-y-z-01", true),
            ("x-y-z-1", false),
            ("x-y-z-ff", false),
            ("x-y-z-zz", false),
            ("x-y-z-01-w", false),
            ("01", false),
        ] {
            check(&["A: b", &format!("TraceParent: {value}")], None, sampled, false, false);
        }
        check(&["traceparent: 00-a-b-01", "traceparent: 00-a-b-00"], None, true, false, false);
    }
}
