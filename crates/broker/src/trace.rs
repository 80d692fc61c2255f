//! Message tracing: a message whose headers ask for it has what becomes of it noted, and published to a subject (ADR-41).
//!
//! [`may_ask`] is the look that each message with headers gets; [`TraceRequest`] is what its headers ask for. A [`Trace`] is
//! given to a turn for the one message, [`crate::deliver`] notes in it, and whoever began it takes it out and reports it.

use crate::account::Account;
use crate::id::AccountId;
pub use crate::intake::{Ending, Intake, IntakeOutcome, TracedIntake};
use crate::peer::Peer;
use crate::permission::{Authorized, Destination};
pub use crate::sampling_rule::SamplingRule;
use dialtone_wire::header;
use dialtone_wire::message::Message;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// The header that names the subject for the trace.
pub const DESTINATION: &[u8] = b"Nats-Trace-Dest";
/// Its value once a trace must not go on: an invalid subject, so nothing can be published to it.
pub const DISABLED: &[u8] = b"trace disabled";
/// The header by which a message is traced and not delivered.
const ONLY: &[u8] = b"Nats-Trace-Only";
/// The header in which servers number the connections between servers that a traced message passes: `2.1` is the first onward of the
/// server that it reached by the second.
pub const HOP: &[u8] = b"Nats-Trace-Hop";
/// The header in which servers send each other the account of the trace. A trace that has it is not followed, whoever sends it, since it
/// would be published in an account other than the message's.
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
    /// They name an account for the trace.
    pub forged: bool,
    /// The hops so far, if it comes from another server.
    pub hop: &'a [u8],
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
                HOP if out.hop.is_empty() => out.hop = value,
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

/// The body of a message with another value of one header.
pub struct Rewritten {
    framed: Vec<u8>,
    header_bytes: usize,
}

impl Rewritten {
    /// Without its trace, as a stream stores it: whoever gets it from there is not traced.
    pub fn untraced(message: &Message<'_>) -> Self {
        let mut framed = Vec::with_capacity(message.framed.len() + DISABLED.len());
        header::replace_in_place(&mut framed, message.headers(), DESTINATION, DISABLED);
        let header_bytes = framed.len();
        framed.extend_from_slice(message.framed_payload());
        Self { framed, header_bytes }
    }

    /// With this value of a header, whatever the message has there.
    pub fn with(message: &Message<'_>, name: &[u8], value: &[u8]) -> Self {
        let mut framed = Vec::with_capacity(message.framed.len() + name.len() + value.len() + 16);
        header::replace(&mut framed, message.headers(), name, value);
        let header_bytes = framed.len();
        framed.extend_from_slice(message.framed_payload());
        Self { framed, header_bytes }
    }

    /// The body, and bytes of its headers.
    pub fn into_parts(self) -> (Vec<u8>, usize) {
        (self.framed, self.header_bytes)
    }

    /// The message with this body.
    pub fn message<'a>(&'a self, message: &Message<'a>) -> Message<'a> {
        Message { header_bytes: self.header_bytes, framed: &self.framed, ..*message }
    }
}

/// How a message goes on to another server.
pub(crate) enum Onward {
    /// With the body that it has.
    Unchanged,
    /// With this one.
    As(Rewritten),
    /// Not at all.
    Withheld,
}

impl Onward {
    /// The message as it goes on, if it does.
    pub fn message<'a>(&'a self, message: &Message<'a>) -> Option<Message<'a>> {
        match self {
            Self::Unchanged => Some(*message),
            Self::As(body) => Some(body.message(message)),
            Self::Withheld => None,
        }
    }
}

/// What becomes of one message.
pub struct Trace {
    destination: Box<[u8]>,
    /// The message is not delivered.
    pub only: bool,
    /// The account that it was published in.
    pub origin: AccountId,
    /// How it came here from another server, as [`HOP`] has it.
    hop: Box<[u8]>,
    /// Connections to other servers that it went on by.
    hops: u32,
    clock: fn() -> SystemTime,
    /// What was noted, in order.
    events: Vec<(SystemTime, Event)>,
    /// Bytes of the events that are not part of `Event` itself.
    text_bytes: usize,
    /// Why it was not taken at all.
    pub error: Option<Box<str>>,
    /// Streams that it came to have something to add.
    ending: Option<Arc<Ending>>,
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
    /// It came to a JetStream stream.
    Intake(Arc<Intake>),
    /// It went on to another server.
    PassedOn(PassedOn),
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
            Self::Intake(intake) => size_of::<Intake>() + intake.stream.len(),
            Self::PassedOn(passed) => {
                passed.account.as_ref().map_or(0, |account| account.len()) + passed.hop.len()
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

/// A message that went on to another server.
#[derive(Debug)]
pub struct PassedOn {
    /// The connection to it.
    pub peer: Arc<Peer>,
    /// The account of the connection, if it is in one and that is another than that of who published.
    pub account: Option<Box<str>>,
    /// What the other server has in [`HOP`].
    pub hop: Box<str>,
    /// What is wrong with that.
    pub problem: Option<Problem>,
}

/// Why a message was not delivered, or is not followed where it was, in the official words.
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
    /// The other server knows no traces, and would deliver what is only to be traced.
    #[error("Not delivered because remote does not support message tracing")]
    Untraceable,
    /// The other server knows no traces.
    #[error(
        "Message delivered but remote does not support message tracing so no trace event generated from there"
    )]
    TraceEnds,
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
        let (hop, events) = (Box::default(), Vec::new());
        let (hops, text_bytes, error, ending) = (0, 0, None, None);
        Box::new(Self { destination, only, origin, hop, hops, clock, events, text_bytes, error, ending })
    }

    /// The message came from another server, by these hops.
    pub fn came_by(mut self: Box<Self>, hop: &[u8]) -> Box<Self> {
        self.hop = hop.into();
        self
    }

    /// Where it goes.
    pub fn destination(&self) -> &[u8] {
        &self.destination
    }

    /// What was noted, in order.
    pub fn events(&self) -> &[(SystemTime, Event)] {
        &self.events
    }

    /// Connections to other servers that it went on by.
    pub fn hops(&self) -> u32 {
        self.hops
    }

    /// It came to a JetStream stream. What that gets with the message.
    pub(crate) fn comes_to_stream(&mut self, stream: Box<str>) -> TracedIntake {
        let intake = Arc::new(Intake { stream, only: self.only, outcome: OnceLock::new() });
        self.note(Event::Intake(intake.clone()));
        TracedIntake::new(intake, self.ending.get_or_insert_default().clone())
    }

    /// Its end, if it came to a stream: it is to be reported when that ends.
    pub fn take_ending(&mut self) -> Option<Arc<Ending>> {
        self.ending.take()
    }

    /// It goes on to another server, with a body that says by which hop.
    pub(crate) fn passes_on(&mut self, relay: &Arc<Peer>, message: &Message<'_>) -> Onward {
        let hop = self.next_hop();
        let (onward, problem) = match (relay.follows_traces(), self.only) {
            (false, true) => (Onward::Withheld, Some(Problem::Untraceable)),
            (follows, _) => {
                let body = Rewritten::with(message, HOP, hop.as_bytes());
                (Onward::As(body), (!follows).then_some(Problem::TraceEnds))
            }
        };
        let is_elsewhere =
            |there: &Arc<Account>| !relay.kind().is_in_all_accounts() && there.id != self.origin;
        let account = relay.account().filter(is_elsewhere).map(|there| there.name.clone());
        self.note(Event::PassedOn(PassedOn { peer: relay.clone(), account, hop, problem }));
        onward
    }

    /// It goes on to another server: the hop that is its.
    fn next_hop(&mut self) -> Box<str> {
        self.hops = self.hops.saturating_add(1);
        let before = String::from_utf8_lossy(&self.hop);
        let dot = if before.is_empty() { "" } else { "." };
        format!("{before}{dot}{}", self.hops).into()
    }

    /// Bytes that it takes while it waits to be reported.
    pub fn bytes(&self) -> usize {
        let events = self.events.capacity() * size_of::<(SystemTime, Event)>();
        size_of::<Self>() + self.destination.len() + self.hop.len() + events + self.text_bytes
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
        let expected =
            TraceRequest { destination: destination.map(str::as_bytes), sampled, only, forged, hop: b"" };
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

    fn trace() -> Trace {
        Trace {
            destination: b"t.1".as_slice().into(),
            only: false,
            origin: AccountId(1),
            hop: Box::default(),
            hops: 0,
            clock: SystemTime::now,
            events: Vec::new(),
            text_bytes: 0,
            error: None,
            ending: None,
        }
    }

    /// A trace is reported when the last stream that it came to has let go of it, whatever that said.
    #[test]
    fn streams_are_waited_for() {
        let mut trace = trace();
        let first = trace.comes_to_stream("A".into());
        let second = trace.comes_to_stream("B".into());
        let is_reported = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = is_reported.clone();
        let is_seen = || seen.load(std::sync::atomic::Ordering::Relaxed);
        let ending = trace.take_ending().expect("it came to streams");
        ending.set(move || is_reported.store(true, std::sync::atomic::Ordering::Relaxed));
        drop(ending);
        first.intake().decide(IntakeOutcome { is_unwanted: true, ..IntakeOutcome::default() });
        first.intake().decide(IntakeOutcome::default());
        drop(first);
        assert!(!is_seen());
        drop(second);
        assert!(is_seen());
        let outcomes = trace.events().iter().map(|(_, event)| match event {
            Event::Intake(intake) => intake.outcome().map(|outcome| outcome.is_unwanted),
            _ => None,
        });
        assert_eq!(outcomes.collect::<Vec<_>>(), [Some(true), None]);
    }

    /// A stream stores the message as it came but for where its trace went.
    #[test]
    fn what_is_stored_is_not_traced() {
        let mut framed = block(&["A: b", "Nats-Trace-Dest: t.1", "C: d", "nats-trace-dest: t.2"]);
        let header_bytes = framed.len();
        framed.extend_from_slice(b"body\r\n");
        let message = Message { subject: b"s", reply: None, header_bytes, framed: &framed };
        let untraced = Rewritten::untraced(&message);
        let untraced = untraced.message(&message);
        assert_eq!(untraced.headers(), block(&["A: b", "Nats-Trace-Dest: trace disabled", "C: d"]));
        assert_eq!(untraced.payload(), b"body");
    }

    /// Whoever collects the traces of all servers finds the order of the hops by their numbers alone.
    #[test]
    fn hops_are_numbered_behind_those_before() {
        let mut trace = trace();
        assert_eq!([trace.next_hop(), trace.next_hop()].map(String::from), ["1", "2"]);
        let request = block(&["Nats-Trace-Dest: t", "Nats-Trace-Hop: 2", "Nats-Trace-Hop: 9"]);
        let mut onward = Box::new(self::trace()).came_by(TraceRequest::read(&request).hop);
        assert_eq!([onward.next_hop(), onward.next_hop()].map(String::from), ["2.1", "2.2"]);
        assert_eq!((trace.hops(), onward.hops()), (2, 2));
    }

    /// What waits to be reported says what it takes, and is bounded.
    #[test]
    fn a_trace_says_its_size() {
        let mut trace = trace();
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
