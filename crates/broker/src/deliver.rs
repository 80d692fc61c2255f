//! One turn of a loop: messages are staged per peer, then handed to all outboxes, then written.
//!
//! Nothing is locked or written per message. Everything that a turn delivers is in all outboxes before the first
//! byte is written, the sender's own PONG included, so that no peer sees an effect before its cause.

use crate::account::Account;
use crate::format::{Format, Middle};
use crate::gateways::Gateways;
use crate::kind::{Entry, Via};
pub use crate::peer::Origin;
use crate::peer::Peer;
use crate::permission::Authorized;
use crate::random::{Draws, Seed};
use crate::route::{Route, RouteCache, Target};
use crate::sharing::Mapped;
use crate::sharing::responses::PREFIX;
use crate::sharing::service_requests::ServiceRequests;
use crate::subscription::Counted;
use crate::trace::{Problem, Trace};
use dialtone_wire::message::Message;
use inside::Inside;
use interest::Gate;
use mappings::MappingCache;
use observe::{Candidate, Observe, Silent};
pub use relays::Carried;
use relays::Chosen;
use staging::Staging;
use std::sync::Arc;
use std::time::Instant;

mod counts;
mod inside;
pub mod interest;
mod ledger;
mod mappings;
mod mqtt;
mod observe;
mod relays;
pub(crate) mod services;
mod staging;
mod stored;
mod traced;

/// Bodies from this size on are shared by their targets instead of copied to each.
const SHARED_BODY_BYTES_MIN: usize = 4096;
/// Called for each delivery with the receiver, its control line, and headers and payload.
pub type Tracer = Box<dyn Fn(&Peer, &[u8], &[u8]) + Send>;

/// What a loop keeps between and during its turns.
pub struct Turn {
    routes: RouteCache,
    mappings: MappingCache,
    last: Option<Arc<Route>>,
    staging: Staging,
    draws: Draws,
    /// Services that the message being published may still ask.
    hops_left: u32,
    service_requests: Arc<ServiceRequests>,
    neighbours: Neighbours,
    now: Instant,
    tracer: Option<Tracer>,
    /// What becomes of the message being published, if it is noted.
    trace: Option<Box<Trace>>,
    /// A peer that was delivered to and that producers should wait for.
    stalled: Option<Arc<Peer>>,
    inside: Inside,
    chosen: Chosen,
}

/// What a turn knows of other servers.
#[derive(Default)]
struct Neighbours {
    /// Where changes of interest pass.
    gate: Arc<Gate>,
    /// Where replies lead that say it; `None`: there are no other clusters.
    gateways: Option<Arc<Gateways>>,
}

impl Turn {
    /// A turn for one loop; all that it draws at random comes from `seed`.
    pub fn new(seed: Seed, now: Instant) -> Self {
        Self {
            routes: RouteCache::default(),
            mappings: MappingCache::default(),
            last: None,
            staging: Staging::default(),
            draws: Draws::new(seed),
            hops_left: 0,
            service_requests: Arc::default(),
            neighbours: Neighbours::default(),
            now,
            tracer: None,
            trace: None,
            stalled: None,
            inside: Inside::new(now),
            chosen: Chosen::default(),
        }
    }

    /// One of the turns of a server.
    pub fn with_service_requests(mut self, service_requests: &Arc<ServiceRequests>) -> Self {
        self.service_requests = service_requests.clone();
        self
    }

    /// One whose changes of interest pass this gate.
    pub fn with_gate(mut self, gate: &Arc<Gate>) -> Self {
        self.neighbours.gate = gate.clone();
        self
    }

    /// One of a server that is in a supercluster.
    pub fn with_gateways(mut self, gateways: Option<&Arc<Gateways>>) -> Self {
        self.neighbours.gateways = gateways.cloned();
        self
    }

    fn gate(&self) -> Arc<Gate> {
        self.neighbours.gate.clone()
    }

    /// A turn begins at `now`.
    pub fn begin(&mut self, now: Instant) {
        self.now = now;
    }

    /// Whether deliveries are traced.
    pub fn is_traced(&self) -> bool {
        self.tracer.is_some()
    }

    /// Sets or removes what traces deliveries.
    pub fn trace(&mut self, tracer: Option<Tracer>) {
        self.tracer = tracer;
    }

    /// When the turn began.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Delivers a message to all who may have it. How many got it.
    #[inline(always)]
    pub fn publish(&mut self, origin: Origin<'_>, message: Authorized<&Message<'_>>) -> usize {
        let message = message.get();
        // Publishers often go on with the subject they had: the last route needs neither hashing nor counting.
        match &self.last {
            Some(route) if route.is_of(origin.account, message.subject, origin.entry(Via::Publish)) => {
                if route.is_empty() && self.trace.is_none() {
                    0
                } else {
                    self.deliver_along_last(&origin, message)
                }
            }
            _ => self.publish_elsewhere(&origin, message),
        }
    }

    #[inline(never)]
    fn publish_elsewhere(&mut self, origin: &Origin<'_>, message: &Message<'_>) -> usize {
        // The cache may use its place again.
        self.last = None;
        if message.subject.starts_with(PREFIX) {
            return self.publish_answer(origin, message);
        }
        let route = self.routes.route(origin.account, message.subject, origin.entry(Via::Publish));
        let passes_by = route.is_empty() && self.trace.is_none();
        self.last = Some(route);
        if passes_by { 0 } else { self.deliver_along_last(origin, message) }
    }

    #[inline(never)]
    fn deliver_along_last(&mut self, origin: &Origin<'_>, message: &Message<'_>) -> usize {
        let Some(route) = self.last.take() else { return 0 };
        let mut delivered = self.deliver(origin.account, &route, origin, message);
        if !route.services.is_empty() {
            delivered += self.ask_services(&route, origin, message);
        }
        self.last = Some(route);
        self.write_if_full();
        delivered
    }

    /// Where a message to `subject` goes, if this account maps some subjects; appends it to `out`. Done once, before
    /// the gate of publishing.
    pub fn map(&mut self, account: &Account, subject: &[u8], out: &mut Vec<u8>) -> Mapped {
        let mapping = self.mappings.find(account, subject);
        mapping.map_or(Mapped::Unchanged, |mapping| mapping.choose(subject, &mut self.draws.choices, out))
    }

    #[inline(always)]
    fn write_if_full(&mut self) {
        if self.staging.is_full() {
            self.write_early();
        }
    }

    /// Whether it pays to [`Turn::warm`]: so many different subjects come that none is known.
    #[inline]
    pub fn looks_ahead(&self) -> bool {
        self.routes.misses_often()
    }

    /// Makes ready for subjects that are published to soon.
    pub fn warm(&self, account: &Account, subjects: &[&[u8]]) {
        account.interest().warm(subjects);
    }

    /// Sends bytes of the protocol itself to a peer: INFO, PONG, errors.
    pub fn send(&mut self, peer: &Arc<Peer>, bytes: &[u8]) {
        self.staging.stage(peer).bytes.extend_from_slice(bytes);
        self.staging.note(bytes.len());
    }

    /// Moves what was sent so far to the outboxes, so that what other threads send from now on comes behind it. It is still written at the end.
    pub fn enqueue_staged(&mut self) {
        self.staging.enqueue(self.now);
    }

    /// Delivers `headers` to the peer's own plain subscription for `reply`, if it has one, and to nobody else: a status that
    /// states why no answer will come.
    /// This is no message: it counts nowhere, as with the official server.
    pub fn send_status(&mut self, origin: Origin<'_>, reply: &[u8], headers: &[u8]) {
        let route = self.routes.route(origin.account, reply, Entry::OF_SERVER);
        let Some(target) = route.plain.iter().find(|t| Arc::ptr_eq(t.subscription.peer(), origin.peer))
        else {
            return;
        };
        let framed = [headers, b"\r\n"].concat();
        let status = Message { subject: reply, reply: None, header_bytes: headers.len(), framed: &framed };
        let mut bytes = Vec::new();
        if origin.peer.format() != Format::Client {
            return;
        }
        Format::Client.write(&target.head, &status, true, &mut bytes);
        self.send(origin.peer, &bytes);
    }

    /// Moves everything to receivers inside the server and to the outboxes, then writes. Returns whether receivers inside have more to
    /// do, which is left for the next turn.
    pub fn finish(&mut self) -> bool {
        let has_more = self.staging.has_batches() && self.run_inlets();
        self.staging.finish(self.now);
        has_more
    }

    /// Writes in the midst of a turn.
    #[cold]
    fn write_early(&mut self) {
        // A receiver that publishes much is not called again before it is done.
        if self.staging.has_batches() && !self.inside.is_running() {
            self.run_inlets();
        }
        self.staging.finish(self.now);
    }

    /// Writes what waits for a peer, now that its connection takes more.
    pub fn flush(&mut self, peer: &Arc<Peer>) {
        self.staging.flush(peer, self.now);
    }

    /// A peer that was delivered to since the last call, and that the producer should wait for.
    pub fn take_stalled(&mut self) -> Option<Arc<Peer>> {
        self.stalled.take()
    }

    /// Drops cached routes and buffers; called when nothing happens, so that closed peers do not linger.
    pub fn idle(&mut self) {
        self.last = None;
        self.routes.clear();
        self.staging.idle();
        self.mappings = MappingCache::default();
    }

    /// Delivers a message to the targets of a route.
    #[inline]
    fn deliver(
        &mut self,
        account: &Arc<Account>,
        route: &Route,
        origin: &Origin<'_>,
        message: &Message<'_>,
    ) -> usize {
        if self.trace.is_some() {
            return self.deliver_traced(account, route, origin, message);
        }
        let delivery = Delivery::new(message, origin, route);
        if route.has_relays() {
            if origin.peer.kind().is_relay()
                && let Some(parts) = stored::parts(message)
            {
                return self.deliver_stored(account, route, origin, message, parts);
            }
            return self.deliver_beyond(
                account,
                route,
                (&route.plain, &route.queues),
                &delivery,
                &mut Silent,
            );
        }
        self.deliver_to(&route.plain, &route.queues, &delivery, &mut Silent)
    }

    /// The one loop that delivers: each of `plain` gets the message, and one of each group.
    #[inline(always)]
    fn deliver_to<O: Observe>(
        &mut self,
        plain: &[O::Candidate],
        groups: &[Vec<O::Candidate>],
        delivery: &Delivery<'_>,
        observer: &mut O,
    ) -> usize {
        let mut delivered = 0;
        for candidate in plain {
            delivered += usize::from(self.offer(candidate, delivery, observer));
        }
        for members in groups {
            // A random one, or the next that can take it.
            let (before, from) = members.split_at(self.draws.choices.below(members.len()));
            let mut order = from.iter().chain(before);
            delivered += usize::from(order.any(|member| self.offer(member, delivery, observer)));
        }
        delivered
    }

    /// Offers a message to one candidate. Returns whether it got the message, or would have.
    #[inline(always)]
    fn offer<O: Observe>(
        &mut self,
        candidate: &O::Candidate,
        delivery: &Delivery<'_>,
        observer: &mut O,
    ) -> bool {
        let outcome = match candidate.target() {
            None => Err(Problem::Denied),
            Some(_) if delivery.origin.excepts(candidate.peer()) => Err(Problem::NoEcho),
            Some(_) if candidate.peer().is_closing() => Err(Problem::Closed),
            Some(target) => match observer.intake(candidate) {
                Some(traced) => self.stage_traced(target, delivery, traced),
                None if observer.withholds() => Ok(()),
                None if self.stage_message(target, delivery) => Ok(()),
                None => Err(Problem::Exceeded),
            },
        };
        observer.note(candidate, outcome);
        outcome.is_ok()
    }

    /// Stages a message for one target. False if its subscription got its maximum of messages before.
    #[inline(always)]
    fn stage_message(&mut self, target: &Target, delivery: &Delivery<'_>) -> bool {
        match target.subscription.peer().is_usual() {
            true => self.stage_usual(target, delivery),
            false => self.stage_unusual(target, delivery),
        }
    }

    /// A target that is a connection of the client protocol.
    #[inline(always)]
    fn stage_usual(&mut self, target: &Target, delivery: &Delivery<'_>) -> bool {
        let peer = target.subscription.peer();
        match target.subscription.count() {
            Counted::Deliver => {}
            Counted::DeliverLast => {
                self.unsubscribe(&target.subscription);
            }
            Counted::Over => return false,
        }
        let message = delivery.message;
        if let Some(reply) = message.reply
            && peer.tracks_replies()
        {
            peer.expect_answer(delivery.origin, reply, self.now);
        }
        let with_headers = message.has_headers();
        if with_headers && !peer.understands_headers() {
            self.stage_without_headers(target, message);
            return true;
        }
        if let Some(tracer) = &self.tracer {
            trace_delivery(tracer, target, message);
        }
        let stage = self.staging.stage(peer);
        let before = stage.bytes.len();
        target.head.append(with_headers, &mut stage.bytes);
        delivery.middle.append(&mut stage.bytes);
        stage.count(message.body_bytes());
        match &delivery.shared {
            None => {
                stage.bytes.extend_from_slice(Format::Client.body(message, true));
                let staged = stage.bytes.len().wrapping_sub(before);
                self.staging.note(staged);
            }
            Some(body) => {
                let staged = stage.bytes.len().wrapping_sub(before);
                stage.share(body);
                self.staging.note(staged);
            }
        }
        true
    }

    /// A target that is inside the server, speaks another protocol, or that producers wait for. No way leads from here back into the path of
    /// the others, which would cost each delivery several instructions.
    #[inline(never)]
    fn stage_unusual(&mut self, target: &Target, delivery: &Delivery<'_>) -> bool {
        let peer = target.subscription.peer();
        if peer.stalls() {
            self.stalled.get_or_insert_with(|| peer.clone());
        }
        if peer.inlet().is_some() {
            return self.stage_inside(target, delivery);
        }
        match peer.format() {
            Format::Client => self.stage_usual(target, delivery),
            Format::Mqtt(version) => self.stage_mqtt(target, delivery, version),
        }
    }

    /// A peer that does not understand headers gets the payload alone.
    #[cold]
    #[inline(never)]
    fn stage_without_headers(&mut self, target: &Target, message: &Message<'_>) {
        let peer = target.subscription.peer();
        let stage = self.staging.stage(peer);
        let before = stage.bytes.len();
        Format::Client.write(&target.head, message, false, &mut stage.bytes);
        stage.count(message.payload().len());
        let staged = stage.bytes.len() - before;
        self.staging.note(staged);
    }
}

/// A message that is being delivered: what all deliveries of it have in common.
struct Delivery<'a> {
    message: &'a Message<'a>,
    origin: &'a Origin<'a>,
    middle: Middle<'a>,
    /// The body, if it is shared instead of copied.
    shared: Option<Arc<[u8]>>,
}

impl<'a> Delivery<'a> {
    #[inline(always)]
    fn new(message: &'a Message<'a>, origin: &'a Origin<'a>, route: &Route) -> Self {
        let is_shared = message.framed.len() >= SHARED_BODY_BYTES_MIN && route.receivers_max() > 1;
        let shared = is_shared.then(|| Arc::from(message.framed));
        Self { shared, ..Self::copied(message, origin) }
    }

    /// Its body is copied to each target.
    #[inline(always)]
    fn copied(message: &'a Message<'a>, origin: &'a Origin<'a>) -> Self {
        // What MQTT clients get has nothing between head and body that is the same for all of them.
        let middle = Format::Client.middle(message, true);
        Self { message, origin, middle, shared: None }
    }
}

#[cold]
fn trace_delivery(tracer: &Tracer, target: &Target, message: &Message<'_>) {
    let (peer, mut line) = (target.subscription.peer(), Vec::new());
    target.head.append(message.has_headers(), &mut line);
    Format::Client.middle(message, true).append(&mut line);
    tracer(peer, line.trim_ascii_end(), message.body());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::outbox::Sink;
    use crate::peer::{Basics, ClientId, Wake};
    use parking_lot::Mutex;
    use std::io::{self, IoSlice};

    #[derive(Default)]
    struct Kept(Mutex<Vec<u8>>);

    impl Sink for Kept {
        fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let mut kept = self.0.lock();
            slices.iter().for_each(|slice| kept.extend_from_slice(slice));
            Ok(slices.iter().map(|s| s.len()).sum())
        }
    }

    struct Unheard;

    impl Wake for Unheard {
        fn wake(&self) {}
    }

    /// A peer that goes and one that comes may have the same slot within one turn of another loop.
    #[test]
    fn a_slot_that_is_given_again_takes_nothing_to_its_former_peer() {
        let mut turn = Turn::new([1; 32], Instant::now());
        let sinks = [Arc::new(Kept::default()), Arc::new(Kept::default())];
        let peers = sinks.clone().map(|sink| {
            Peer::new(
                Basics {
                    id: ClientId(1),
                    kind: Kind::default(),
                    slot: 7,
                    pending_bytes_max: 1 << 20,
                    start: Instant::now(),
                },
                Arc::default(),
                sink,
                Box::new(Unheard),
            )
        });
        for _ in 0..2 {
            for (peer, bytes) in peers.iter().zip([b"old", b"new"]) {
                turn.send(peer, bytes);
            }
            turn.finish();
        }
        let kept = sinks.map(|sink| String::from_utf8_lossy(&sink.0.lock()).into_owned());
        assert_eq!(kept, ["oldold", "newnew"]);
    }
}
