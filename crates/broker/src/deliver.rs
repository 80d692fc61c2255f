//! One turn of a loop: messages are staged per peer, then handed to all outboxes, then written.
//!
//! Nothing is locked or written per message. Everything that a turn delivers is in all outboxes before the first
//! byte is written, the sender's own PONG included, so that no peer sees an effect before its cause.

use crate::account::Account;
use crate::outbox::{Chunk, Pool};
use crate::peer::Peer;
use crate::permission::Authorized;
use crate::random::{Draws, Seed};
use crate::route::{Route, RouteCache, Target, Via};
use crate::sharing::Mapped;
use crate::sharing::responses::PREFIX;
use crate::sharing::service_requests::ServiceRequests;
use crate::subscription::Counted;
use crate::trace::Trace;
use dialtone_wire::client::{Publish, encode};
use mappings::MappingCache;
use std::sync::Arc;
use std::time::Instant;

mod mappings;
pub(crate) mod services;
mod traced;

/// Bodies from this size on are shared by their targets instead of copied to each.
const SHARED_BODY_BYTES_MIN: usize = 4096;
/// Staged bytes a peer at which a turn is written out before its end: enough for a system call to be worth it, and few
/// enough that what was just staged is still in the processor's cache when it is written.
const STAGED_BYTES_PER_PEER: usize = 64 * 1024;
/// The same for all peers together: at least, and at most.
const STAGED_BYTES_MIN: usize = 512 * 1024;
const STAGED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// No stage: what a slot holds for a peer that nothing was staged for.
const NONE: u32 = 0;

/// What one turn has for one peer.
struct Stage {
    peer: Arc<Peer>,
    full: Vec<Chunk>,
    bytes: Vec<u8>,
    msgs: u32,
    body_bytes: u64,
}

/// Is told of each delivery: to whom, its control line, and headers and payload.
pub type Tracer = Box<dyn Fn(&Peer, &[u8], &[u8]) + Send>;

/// Who publishes.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The peer that the message came from.
    pub peer: &'a Arc<Peer>,
    /// The account that it is in.
    pub account: &'a Arc<Account>,
    /// Whether it gets its own messages back.
    pub echo: bool,
}

/// What a loop keeps between and during its turns.
pub struct Turn {
    routes: RouteCache,
    mappings: MappingCache,
    last: Option<Arc<Route>>,
    stages: Vec<Stage>,
    /// By a peer's slot: its stage's index plus one.
    slots: Vec<u32>,
    staged_bytes: usize,
    pool: Pool,
    middle: Vec<u8>,
    draws: Draws,
    /// Services that the message being published may still ask.
    hops_left: u32,
    service_requests: Arc<ServiceRequests>,
    now: Instant,
    tracer: Option<Tracer>,
    /// What becomes of the message being published, if it is noted.
    trace: Option<Box<Trace>>,
    /// A peer that was delivered to and that producers should wait for.
    stalled: Option<Arc<Peer>>,
}

impl Turn {
    /// A turn for one loop; all that it draws at random comes from `seed`.
    pub fn new(seed: Seed, now: Instant) -> Self {
        Self {
            routes: RouteCache::default(),
            mappings: MappingCache::default(),
            last: None,
            stages: Vec::new(),
            slots: Vec::new(),
            staged_bytes: 0,
            pool: Pool::default(),
            middle: Vec::new(),
            draws: Draws::new(seed),
            hops_left: 0,
            service_requests: Arc::default(),
            now,
            tracer: None,
            trace: None,
            stalled: None,
        }
    }

    /// One of the turns of a server.
    pub fn with_service_requests(mut self, service_requests: &Arc<ServiceRequests>) -> Self {
        self.service_requests = service_requests.clone();
        self
    }

    /// A turn begins at `now`.
    pub fn begin(&mut self, now: Instant) {
        self.now = now;
    }

    /// Whether deliveries are traced.
    pub fn is_traced(&self) -> bool {
        self.tracer.is_some()
    }

    /// Traces deliveries, or no longer.
    pub fn trace(&mut self, tracer: Option<Tracer>) {
        self.tracer = tracer;
    }

    /// When the turn began.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Delivers a message to all who may have it. How many got it.
    pub fn publish(&mut self, origin: Origin<'_>, message: &Authorized<Publish<'_>>) -> usize {
        let message = message.get();
        // Publishers often go on with the subject they had: the last route needs neither hashing nor counting.
        let last = self.last.take().filter(|route| route.is_of(origin.account, message.subject));
        let route = match last {
            Some(route) => route,
            None if message.subject.starts_with(PREFIX) => return self.publish_answer(origin, message),
            None => self.routes.route(origin.account, message.subject, Via::Publish),
        };
        let mut delivered = 0;
        if !route.is_empty() || self.trace.is_some() {
            delivered = self.deliver(origin.account, &route, Some(&origin), message);
            if !route.services.is_empty() {
                delivered += self.ask_services(&route, origin, message);
            }
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

    #[inline]
    fn write_if_full(&mut self) {
        let full = STAGED_BYTES_PER_PEER.saturating_mul(self.stages.len());
        if self.staged_bytes > full.clamp(STAGED_BYTES_MIN, STAGED_BYTES_MAX) {
            self.finish();
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
        self.stage(peer).bytes.extend_from_slice(bytes);
        self.staged_bytes += bytes.len();
    }

    /// Delivers `headers` to the peer's own plain subscription for `reply`, if it has one, and to nobody else: a status that
    /// says why no answer will come.
    /// This is no message: it counts nowhere, as with the official server.
    pub fn send_status(&mut self, origin: Origin<'_>, reply: &[u8], headers: &[u8]) {
        let route = self.routes.route(origin.account, reply, Via::Publish);
        let Some(target) = route.plain.iter().find(|t| Arc::ptr_eq(t.subscription.peer(), origin.peer))
        else {
            return;
        };
        let mut line = target.prefix(true).to_vec();
        encode::delivery_middle(&mut line, None, Some(headers.len()), headers.len());
        let bytes = [&line, headers, b"\r\n"].concat();
        self.send(origin.peer, &bytes);
    }

    /// Hands everything to the outboxes, then writes.
    pub fn finish(&mut self) {
        self.staged_bytes = 0;
        let mut stages = std::mem::take(&mut self.stages);
        for stage in &mut stages {
            if let Some(slot) = self.slots.get_mut(stage.peer.slot as usize) {
                *slot = NONE;
            }
            let last = Some(std::mem::take(&mut stage.bytes)).filter(|b| !b.is_empty()).map(Chunk::Own);
            let chunks = stage.full.drain(..).chain(last);
            stage.peer.enqueue(chunks, stage.msgs, &mut self.pool);
            if stage.msgs > 0 {
                stage.peer.count_out(u64::from(stage.msgs), stage.body_bytes, self.now);
            }
        }
        for stage in stages.drain(..) {
            stage.peer.flush(self.now, &mut self.pool);
        }
        self.stages = stages;
    }

    /// Writes what waits for a peer, now that its connection takes more.
    pub fn flush(&mut self, peer: &Arc<Peer>) {
        peer.flush(self.now, &mut self.pool);
    }

    /// A peer that was delivered to since the last call, and that the producer should wait for.
    pub fn take_stalled(&mut self) -> Option<Arc<Peer>> {
        self.stalled.take()
    }

    /// Forgets cached routes; called when nothing happens, so that closed peers do not linger.
    pub fn idle(&mut self) {
        self.last = None;
        self.routes.clear();
        self.mappings = MappingCache::default();
    }

    /// Delivers to the targets of a route a message that `origin` published, or the server.
    fn deliver(
        &mut self,
        account: &Account,
        route: &Route,
        origin: Option<&Origin<'_>>,
        message: &Publish<'_>,
    ) -> usize {
        if self.trace.is_some() {
            return self.deliver_traced(account, route, origin, message);
        }
        let except = origin.and_then(Origin::except);
        let shared = (message.framed.len() >= SHARED_BODY_BYTES_MIN
            && route.plain.len() + route.queues.len() > 1)
            .then(|| Arc::<[u8]>::from(message.framed));
        self.middle(message, true);
        let mut delivered = 0;
        for target in &route.plain {
            if except.is_none_or(|peer| !Arc::ptr_eq(target.subscription.peer(), peer)) {
                delivered += usize::from(self.stage_message(target, origin, message, shared.as_ref()));
            }
        }
        for members in &route.queues {
            delivered += usize::from(self.deliver_to_one(members, origin, message, shared.as_ref()));
        }
        delivered
    }

    /// One of a queue group's members gets the message: a random one, or the next that can take it.
    fn deliver_to_one(
        &mut self,
        members: &[Target],
        origin: Option<&Origin<'_>>,
        message: &Publish<'_>,
        shared: Option<&Arc<[u8]>>,
    ) -> bool {
        let except = origin.and_then(Origin::except);
        let start = self.draws.choices.below(members.len());
        let (before, from) = members.split_at(start);
        from.iter()
            .chain(before)
            .filter(|t| except.is_none_or(|peer| !Arc::ptr_eq(t.subscription.peer(), peer)))
            .any(|target| self.stage_message(target, origin, message, shared))
    }

    /// Writes the part of a delivery that all targets share into the scratch buffer.
    fn middle(&mut self, message: &Publish<'_>, with_headers: bool) {
        self.middle.clear();
        let header_bytes = message.header_bytes.filter(|_| with_headers);
        let body_bytes = if with_headers { message.body_bytes() } else { message.payload().len() };
        encode::delivery_middle(&mut self.middle, message.reply, header_bytes, body_bytes);
    }

    /// Stages a message for one target. False if it can have no more.
    #[inline]
    fn stage_message(
        &mut self,
        target: &Target,
        origin: Option<&Origin<'_>>,
        message: &Publish<'_>,
        shared: Option<&Arc<[u8]>>,
    ) -> bool {
        let peer = target.subscription.peer();
        if peer.is_closing() {
            return false;
        }
        if peer.stalls() {
            self.stalled.get_or_insert_with(|| peer.clone());
        }
        match target.subscription.count() {
            Counted::Deliver => {}
            Counted::DeliverLast => {
                peer.unsubscribe(&target.subscription);
            }
            Counted::Over => return false,
        }
        if peer.tracks_replies()
            && let Some(reply) = message.reply
        {
            peer.expect_answer(origin, reply, self.now);
        }
        if message.header_bytes.is_some() && !peer.understands_headers() {
            self.stage_without_headers(target, message);
            return true;
        }
        let middle = std::mem::take(&mut self.middle);
        if let Some(tracer) = &self.tracer {
            let line = [target.prefix(message.header_bytes.is_some()), middle.trim_ascii_end()].concat();
            tracer(peer, &line, message.body());
        }
        let stage = self.stage(peer);
        let before = stage.bytes.len();
        stage.bytes.extend_from_slice(target.prefix(message.header_bytes.is_some()));
        stage.bytes.extend_from_slice(&middle);
        stage.msgs += 1;
        stage.body_bytes += message.body_bytes() as u64;
        let staged = match shared {
            None => {
                stage.bytes.extend_from_slice(message.framed);
                stage.bytes.len() - before
            }
            Some(body) => {
                let head = std::mem::take(&mut stage.bytes);
                let head_bytes = head.len() - before;
                stage.full.push(Chunk::Own(head));
                stage.full.push(Chunk::Shared(body.clone()));
                head_bytes
            }
        };
        self.middle = middle;
        self.staged_bytes += staged;
        true
    }

    /// A peer that does not understand headers gets the payload alone.
    #[cold]
    fn stage_without_headers(&mut self, target: &Target, message: &Publish<'_>) {
        let mut middle = Vec::new();
        encode::delivery_middle(&mut middle, message.reply, None, message.payload().len());
        let from = message.header_bytes.unwrap_or(0);
        let framed = message.framed.get(from..).unwrap_or_default();
        let stage = self.stage(target.subscription.peer());
        let before = stage.bytes.len();
        stage.bytes.extend_from_slice(target.prefix(false));
        stage.bytes.extend_from_slice(&middle);
        stage.bytes.extend_from_slice(framed);
        stage.msgs += 1;
        stage.body_bytes += message.payload().len() as u64;
        let staged = stage.bytes.len() - before;
        self.staged_bytes += staged;
    }

    /// The stage of a peer in this turn.
    #[inline]
    fn stage(&mut self, peer: &Arc<Peer>) -> &mut Stage {
        let slot = peer.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, NONE);
        }
        // A slot is given again as soon as its peer is gone, maybe while this turn has a stage for that one: what is for
        // the newcomer must not go there.
        let known = self.slots.get(slot).filter(|&&index| index != NONE).map(|&index| index as usize - 1);
        let known = known.filter(|&index| self.stages.get(index).is_some_and(|s| Arc::ptr_eq(&s.peer, peer)));
        let index = match known {
            Some(index) => index,
            None => {
                let bytes = self.pool.take();
                self.stages.push(Stage {
                    peer: peer.clone(),
                    full: Vec::new(),
                    bytes,
                    msgs: 0,
                    body_bytes: 0,
                });
                if let Some(entry) = self.slots.get_mut(slot) {
                    *entry = self.stages.len() as u32;
                }
                self.stages.len() - 1
            }
        };
        // The slot says that the stage is there; both are cleared together in `finish`.
        &mut self.stages[index]
    }
}

impl<'a> Origin<'a> {
    /// Who does not get the message.
    #[inline]
    fn except(&self) -> Option<&'a Arc<Peer>> {
        (!self.echo).then_some(self.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Sink;
    use crate::peer::{ClientId, Wake};
    use crate::stats::Counters;
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
                ClientId(1),
                7,
                Arc::new(Counters::default()),
                sink,
                Box::new(Unheard),
                1 << 20,
                Instant::now(),
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
