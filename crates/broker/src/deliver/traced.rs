//! Delivering a message that is traced: the same targets, one by one, with a note of each.

use super::observe::{Candidate, Observe};
use super::{Delivery, Origin, Turn};
use crate::account::Account;
use crate::peer::Peer;
use crate::route::{MatchedImports, Route, Target};
use crate::sharing::StreamImport;
use crate::sharing::responses::Pending;
use crate::subscription::{Subscriber, Subscription};
use crate::trace::{Arrival, DESTINATION, Event, Onward, Problem, Trace, TracedIntake};
use dialtone_subject::transform::Random as _;
use dialtone_subject::{Matches, set};
use dialtone_wire::header;
use dialtone_wire::message::Message;
use std::cmp::Ordering;
use std::sync::Arc;

/// A subscription that a message came to.
struct Reached<'a> {
    subscription: &'a Arc<Subscription>,
    /// What delivers to it. `None`: its rights do not let it have the message.
    target: Option<&'a Target>,
    /// The import by which it is reached from another account.
    import: Option<&'a StreamImport>,
    /// Its subject there.
    here: &'a [u8],
    /// Its filter, in subjects of the account that the message comes from.
    filter: Box<[u8]>,
}

/// An import by which a message crosses, and its subject behind it.
type MatchedStream = (Arc<StreamImport>, Box<[u8]>);

impl<'a> Reached<'a> {
    /// What delivers, in `account` or, by one of `streams`, in another one.
    fn by(target: &'a Target, account: &Account, streams: &'a [MatchedStream]) -> Self {
        let there = target.subscription.peer().place().account;
        let here = target.head.subject();
        let is = |(stream, named): &&MatchedStream| {
            **named == *here && there.as_ref().is_some_and(|there| there.id == stream.importer.id)
        };
        let is_own = there.as_ref().is_none_or(|there| there.id == account.id);
        let import = if is_own { None } else { streams.iter().find(is).map(|(stream, _)| &**stream) };
        Self::new(&target.subscription, Some(target), import, here)
    }

    fn new(
        subscription: &'a Arc<Subscription>,
        target: Option<&'a Target>,
        import: Option<&'a StreamImport>,
        here: &'a [u8],
    ) -> Self {
        let filter = subscription.filter();
        let filter = import.map_or_else(|| filter.into(), |import| import.filter_in_exporter(filter));
        Self { subscription, target, import, here, filter }
    }
}

impl Reached<'_> {
    /// The stream whose subscription it is, if that may show what it does with the message.
    fn traced_stream(&self) -> Option<Box<str>> {
        let inlet = self.subscription.peer().inlet()?;
        let may_show = self.import.is_none_or(|import| import.allow_trace);
        may_show.then(|| inlet.stream(self.subscription.sid()))?
    }
}

impl Candidate for Reached<'_> {
    fn peer(&self) -> &Arc<Peer> {
        self.subscription.peer()
    }

    fn target(&self) -> Option<&Target> {
        self.target
    }

    fn queue(&self) -> Option<&[u8]> {
        self.subscription.queue()
    }
}

/// A trace that looks at the deliveries in an account.
struct Traced<'a> {
    trace: &'a mut Trace,
    account: &'a Account,
}

impl<'a> Observe for Traced<'a> {
    type Candidate = Reached<'a>;

    fn withholds(&self) -> bool {
        self.trace.only
    }

    fn intake(&mut self, reached: &Reached<'a>) -> Option<TracedIntake> {
        let stream = reached.traced_stream()?;
        if let Some(import) = reached.import {
            self.trace.note(Event::Stream(import.importer.name.clone(), reached.here.into()));
        }
        Some(self.trace.comes_to_stream(stream))
    }

    fn note(&mut self, reached: &Reached<'a>, outcome: Result<(), Problem>) {
        if outcome.is_ok() && reached.traced_stream().is_some() {
            // It says itself what becomes of the message.
            return;
        }
        if let Some(import) = reached.import {
            self.trace.note(Event::Stream(import.importer.name.clone(), reached.here.into()));
        }
        if reached.import.is_none_or(|import| import.allow_trace) {
            let there = reached.import.map_or(self.account, |import| &import.importer);
            self.trace.note(Event::Arrival(Arrival {
                peer: reached.peer().clone(),
                account: (there.id != self.trace.origin).then(|| there.name.clone()),
                filter: reached.filter.clone(),
                queue: reached.subscription.queue().map(Into::into),
                problem: outcome.err(),
            }));
        }
    }

    fn passes_on(&mut self, relay: &Arc<Peer>, message: &Message<'_>) -> Onward {
        self.trace.passes_on(relay, message)
    }
}

/// Subscriptions that ask for `subject` in `account`, and whose rights do not let them have it.
fn withheld(account: &Account, subject: &[u8]) -> Vec<Subscriber> {
    let mut matches: Matches<Subscriber> = Matches::default();
    account.interest().matches(subject, &mut matches);
    let mut all: Vec<Subscriber> = matches.groups().flatten().cloned().collect();
    all.extend(matches.take_plain());
    all.retain(|Subscriber(subscription)| {
        let peer = subscription.peer();
        !peer.kind().is_relay() && !peer.may_have(subject, subscription.queue())
    });
    all
}

impl Turn {
    /// Has what becomes of the messages noted that are published from now on.
    pub fn begin_trace(&mut self, trace: Box<Trace>) {
        self.trace = Some(trace);
    }

    /// The trace, if one was begun, for changes of it.
    pub fn trace_mut(&mut self) -> Option<&mut Trace> {
        self.trace.as_deref_mut()
    }

    /// Ends the trace.
    pub fn end_trace(&mut self) -> Option<Box<Trace>> {
        self.trace.take()
    }

    /// Notes what a mapping of the publisher's account made of the subject.
    pub fn trace_mapping(&mut self, to: &[u8]) {
        if let Some(trace) = &mut self.trace {
            trace.note(Event::Mapped(to.into()));
        }
    }

    /// Whether one of so many of a hundred messages is this one.
    pub fn draws(&mut self, percent: u8) -> bool {
        percent >= 100 || self.draws.choices.next() % 100 < u32::from(percent)
    }

    /// Delivers to the targets of a route, and notes it. How many got the message, or would have.
    #[cold]
    pub(super) fn deliver_traced(
        &mut self,
        account: &Arc<Account>,
        route: &Route,
        origin: &Origin<'_>,
        message: &Message<'_>,
    ) -> usize {
        let Some(mut trace) = self.trace.take() else { return 0 };
        let streams = MatchedImports::of(account, message.subject, route.entry()).streams;
        let own = withheld(account, message.subject);
        let others: Vec<_> = streams.iter().map(|(s, here)| withheld(&s.importer, here)).collect();
        let by = |target| Reached::by(target, account, &streams);
        let mut plain: Vec<Reached<'_>> = route.plain.iter().map(by).collect();
        let mut groups: Vec<Vec<Reached<'_>>> =
            route.queues.iter().map(|members| members.iter().map(by).collect()).collect();
        let own = own.iter().map(|Subscriber(s)| Reached::new(s, None, None, message.subject));
        let others = streams.iter().zip(&others).flat_map(|((import, here), withheld)| {
            withheld.iter().map(|Subscriber(s)| Reached::new(s, None, Some(import), here))
        });
        for refused in own.chain(others) {
            let queue = refused.subscription.queue();
            let is_same =
                |group: &&mut Vec<Reached<'_>>| group.iter().any(|r| r.subscription.queue() == queue);
            match groups.iter_mut().find(is_same) {
                _ if queue.is_none() => plain.push(refused),
                Some(group) => group.push(refused),
                None => groups.push(vec![refused]),
            }
        }
        plain.sort_by(|a, b| by_index(&a.filter, &b.filter));
        let delivery = Delivery::copied(message, origin);
        let mut observer = Traced { trace: &mut trace, account };
        let delivered = if route.has_relays() {
            self.deliver_beyond(account, route, (&plain, &groups), &delivery, &mut observer)
        } else {
            self.deliver_to(&plain, &groups, &delivery, &mut observer)
        };
        self.trace = Some(trace);
        delivered
    }

    /// Notes that a message goes into the account of a service, and sets in its headers where the trace goes on there.
    pub(super) fn trace_service(
        &mut self,
        to: &Account,
        from: &[u8],
        subject: &[u8],
        destination: &[u8],
        headers: Vec<u8>,
    ) -> Vec<u8> {
        let Some(trace) = &mut self.trace else { return headers };
        trace.note(Event::Service(to.name.clone(), from.into(), subject.into()));
        let mut out = Vec::with_capacity(headers.len() + 48);
        header::replace(&mut out, &headers, DESTINATION, destination);
        out
    }

    /// A subject in the account of a service by which traces of a request to it come back, so that the service does not learn where
    /// they go. `pending` is how they do.
    pub(super) fn hidden_destination(&mut self, exporter: &Arc<Account>, pending: Pending) -> Box<[u8]> {
        if self.neighbours.gate.is_watched() {
            return self.open_response(exporter, pending);
        }
        // Nobody follows the trace but this server, which knows where it goes.
        let secrets = self.draws.secrets.next();
        format!("_R_.{:06x}.{:08x}", secrets & 0xff_ffff, secrets >> 32).into_bytes().into()
    }

    /// Where the message that is traced has its trace in the account that it is in.
    pub(super) fn trace_destination(
        &self,
        message: &Message<'_>,
        is_from_service: bool,
    ) -> Option<Box<[u8]>> {
        let trace = self.trace.as_ref()?;
        let hidden = is_from_service.then(|| header::value(message.headers(), DESTINATION)).flatten();
        Some(hidden.unwrap_or_else(|| trace.destination()).into())
    }

    /// Whether the message is not to be delivered.
    pub(super) fn is_trace_alone(&self) -> bool {
        self.trace.as_ref().is_some_and(|trace| trace.only)
    }

    /// Takes the trace away while a message is where it must not be traced. `None`: the trace goes on, or there was no trace.
    pub(super) fn suspend_trace(&mut self, allowed: bool) -> Option<Box<Trace>> {
        if allowed { None } else { self.trace.take() }
    }

    /// Puts back a trace that was taken away.
    pub(super) fn resume_trace(&mut self, suspended: Option<Box<Trace>>) {
        if suspended.is_some() {
            self.trace = suspended;
        }
    }
}

/// The order in which the official server's index finds filters: `>`, then `*`, then literal tokens; at the end of a
/// subject literal tokens first.
fn by_index(a: &[u8], b: &[u8]) -> Ordering {
    let (mut left, mut right) = (set::tokens(a).peekable(), set::tokens(b).peekable());
    loop {
        let (Some(x), Some(y)) = (left.next(), right.next()) else { return Ordering::Equal };
        let rank = |token: &[u8], is_last: bool| match token {
            b">" => 0,
            b"*" if is_last => 3,
            b"*" => 1,
            _ => 2,
        };
        let order = rank(x, left.peek().is_none()).cmp(&rank(y, right.peek().is_none()));
        if order != Ordering::Equal {
            return order;
        }
    }
}
