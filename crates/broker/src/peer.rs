//! A peer: the end of one connection, as everyone else sees it.

use crate::account::Account;
use crate::connection_info::{ConnectionInfo, ConnectionInfoSource};
use crate::format::Format;
pub use crate::id::ClientId;
use crate::kind::{Entry, Kind, Via};
use crate::outbox::{Chunk, Flushed, Outbox, Pool, Sink};
use crate::replies::{Replies, Requester};
use crate::reserved::Bound;
use crate::stats::{Counters, Totals};
use crate::subscription::Subscriptions;
use dialtone_identity::permission::Permissions;
use dialtone_wire::CloseReason;
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

/// Wakes the loop that owns a connection, from any thread.
pub trait Wake: Send + Sync {
    /// The owner looks at the connection soon: it is to be closed, or may read again.
    fn wake(&self);
}

const OPEN: u8 = u8::MAX;
const HEADERS: u8 = 1;
const TRACKS_REPLIES: u8 = 2;
const TAKES_INFO: u8 = 4;
const IS_SYSTEM: u8 = 8;

/// What is known of a peer from its first moment on.
#[derive(Clone, Copy, Debug)]
pub struct Basics {
    /// Its number.
    pub id: ClientId,
    /// What it is.
    pub kind: Kind,
    /// Its place in tables by peer: unique among the living ones.
    pub slot: u32,
    /// Bytes that may wait for it; with more it is a slow consumer.
    pub pending_bytes_max: usize,
    /// When it came.
    pub start: Instant,
}

/// The end of one connection: its outbox, its subscriptions and what it counted. Shared by all who send to it.
pub struct Peer {
    /// Its number.
    pub id: ClientId,
    /// What it is.
    pub kind: Kind,
    /// Its place in the tables that each loop keeps by peer. Given again after the peer is gone.
    pub(crate) slot: u32,
    /// The protocol that it speaks.
    pub(crate) format: Format,
    /// What it sent and got.
    pub counters: Counters,
    totals: Arc<Totals>,
    flags: AtomicU8,
    closing: AtomicU8,
    stalls: AtomicBool,
    /// Messages dropped because too much was waiting.
    dropped: AtomicU32,
    outbox: Mutex<Outbox>,
    /// Whether [`Outbox::blocked_since`] is something: the owner asks after each read, while another loop may hold the outbox over a
    /// system call.
    blocked: AtomicBool,
    owner: Box<dyn Wake>,
    place: RwLock<Place>,
    place_version: AtomicU32,
    subscriptions: Mutex<Subscriptions>,
    waiters: Mutex<Vec<Arc<Peer>>>,
    replies: Mutex<Option<Box<Replies>>>,
    info_source: OnceLock<Weak<dyn ConnectionInfoSource>>,
    /// When it connected.
    pub start: Instant,
    active_us: AtomicU64,
    rtt_ns: AtomicU64,
    pending_bytes_max: usize,
}

/// Which account a peer is in and what it may do there. Changes when it connects and when rights are reloaded.
#[derive(Clone, Default)]
pub struct Place {
    /// The account; `None` until the peer has said who it is.
    pub account: Option<Arc<Account>>,
    /// Its rights; `None` means everything.
    pub permissions: Option<Arc<Permissions>>,
}

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

impl Origin<'_> {
    /// How its messages come into an account.
    #[inline(always)]
    pub(crate) fn entry(&self, by: Via) -> Entry {
        Entry { from: self.peer.kind, by }
    }

    /// Whether this peer does not get the message, since it is the publisher itself.
    #[inline(always)]
    pub(crate) fn excepts(&self, peer: &Arc<Peer>) -> bool {
        !self.echo && Arc::ptr_eq(peer, self.peer)
    }
}

impl Peer {
    /// A peer without account; what it sends and gets counts in `totals` too.
    pub fn new(basics: Basics, totals: Arc<Totals>, sink: Arc<dyn Sink>, owner: Box<dyn Wake>) -> Arc<Self> {
        let Basics { id, kind, slot, pending_bytes_max, start } = basics;
        Arc::new(Self {
            id,
            kind,
            slot,
            format: Format::default(),
            counters: Counters::default(),
            totals,
            flags: AtomicU8::new(0),
            closing: AtomicU8::new(OPEN),
            stalls: AtomicBool::new(false),
            dropped: AtomicU32::new(0),
            outbox: Mutex::new(Outbox::new(sink)),
            blocked: AtomicBool::new(false),
            owner,
            place: RwLock::default(),
            place_version: AtomicU32::new(0),
            subscriptions: Mutex::default(),
            waiters: Mutex::default(),
            replies: Mutex::default(),
            info_source: OnceLock::new(),
            start,
            active_us: AtomicU64::new(0),
            rtt_ns: AtomicU64::new(0),
            pending_bytes_max,
        })
    }

    /// Its place in tables by peer.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Where it is and what it may do.
    pub fn place(&self) -> Place {
        self.place.read().clone()
    }

    /// The account that it is in. The lock is let go before anything is done with it.
    pub(crate) fn account(&self) -> Option<Arc<Account>> {
        let place = self.place.read();
        place.account.clone()
    }

    /// Whether its rights let it have messages of `subject` by a subscription in this queue group.
    pub(crate) fn may_have(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.place.read().permissions.as_ref().is_none_or(|p| p.may_deliver(subject, queue))
    }

    /// Puts it into an account with rights.
    pub fn set_place(&self, place: Place) {
        let tracks = place.permissions.as_ref().is_some_and(|p| p.allow_responses().is_some());
        self.set_flag(TRACKS_REPLIES, tracks);
        self.set_flag(IS_SYSTEM, place.account.as_ref().is_some_and(|account| account.is_system()));
        *self.place.write() = place;
        self.place_version.fetch_add(1, Ordering::Release);
    }

    /// Changes whenever [`Peer::place`] does.
    #[inline]
    pub fn place_version(&self) -> u32 {
        self.place_version.load(Ordering::Acquire)
    }

    /// What services may be told of it.
    pub fn connection_info(&self) -> Option<ConnectionInfo> {
        Some(self.info_source.get()?.upgrade()?.connection_info())
    }

    /// Says who knows what services may be told of it. Said once.
    pub fn set_info_source(&self, info_source: Weak<dyn ConnectionInfoSource>) {
        let _ = self.info_source.set(info_source);
    }

    /// It did something, or got something.
    pub fn touch(&self, now: Instant) {
        let since = now.saturating_duration_since(self.start).as_micros() as u64;
        self.active_us.store(since, Ordering::Relaxed);
    }

    /// When it last did or got something, counted from its start.
    pub fn activity(&self) -> Duration {
        Duration::from_micros(self.active_us.load(Ordering::Relaxed))
    }

    /// Sets the round-trip time.
    pub fn set_rtt(&self, rtt: Duration) {
        self.rtt_ns.store(rtt.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The last round-trip time; zero before the first.
    pub fn rtt(&self) -> Duration {
        Duration::from_nanos(self.rtt_ns.load(Ordering::Relaxed))
    }

    /// Sends bytes of the protocol from outside a loop.
    pub fn send(&self, bytes: &[u8], now: Instant) {
        let mut pool = Pool::default();
        self.enqueue(std::iter::once(Chunk::Own(bytes.to_vec())), 0, &mut pool);
        self.flush(now, &mut pool);
    }

    /// Whether it understands headers; others get messages without.
    pub fn understands_headers(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & HEADERS != 0
    }

    /// Says whether it understands headers.
    pub fn set_understands_headers(&self, yes: bool) {
        self.set_flag(HEADERS, yes);
    }

    /// Whether it takes INFO at any time.
    pub fn takes_info(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & TAKES_INFO != 0
    }

    /// Says whether it takes INFO at any time.
    pub fn set_takes_info(&self, yes: bool) {
        self.set_flag(TAKES_INFO, yes);
    }

    /// How subjects bind it that servers keep for themselves.
    pub(crate) fn bound(&self) -> Bound {
        match self.flags.load(Ordering::Relaxed) & IS_SYSTEM != 0 {
            _ if !self.kind.is_bound() => Bound::Free,
            true => Bound::SystemClient,
            false => Bound::Client,
        }
    }

    /// Whether it may answer what it is asked, though its rights do not name the reply subject.
    pub fn tracks_replies(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & TRACKS_REPLIES != 0
    }

    /// Notes that `origin` asked it to answer at `reply`.
    #[cold]
    pub(crate) fn expect_answer(&self, origin: &Origin<'_>, reply: &[u8], now: Instant) {
        let (limits, account) = {
            let place = self.place.read();
            let limits = place.permissions.as_ref().and_then(|p| p.allow_responses().copied());
            (limits, place.account.as_ref().map(|account| account.id))
        };
        let Some(limits) = limits else { return };
        let requester = match origin.account.id {
            asking if Some(asking) == account => Requester::Connection(origin.peer.id),
            asking => Requester::Account(asking),
        };
        self.replies.lock().get_or_insert_default().expect(requester, reply, &limits, now);
    }

    /// Whether it may publish to `subject` because it was asked to; uses up one of the answers it may give.
    pub(crate) fn may_answer(&self, subject: &[u8], now: Instant) -> bool {
        self.replies.lock().as_mut().is_some_and(|replies| replies.take(subject, now))
    }

    fn set_flag(&self, flag: u8, on: bool) {
        if on {
            self.flags.fetch_or(flag, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flag, Ordering::Relaxed);
        }
    }

    /// Asks for the connection to be closed. The first reason stays.
    pub fn close(&self, reason: CloseReason) {
        let first = self.closing.compare_exchange(OPEN, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            self.owner.wake();
        }
    }

    /// Why it is to be closed, if it is.
    pub fn closing(&self) -> Option<CloseReason> {
        CloseReason::from_number(self.closing.load(Ordering::Acquire))
    }

    /// Whether it is to be closed.
    #[inline]
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire) != OPEN
    }

    /// Bytes that wait for it.
    pub fn pending_bytes(&self) -> usize {
        self.outbox.lock().pending_bytes()
    }

    /// Since when it has taken nothing of what waits.
    pub fn blocked_since(&self) -> Option<Instant> {
        self.blocked.load(Ordering::Acquire).then(|| self.outbox.lock().blocked_since())?
    }

    /// Messages that were dropped because too much waited.
    pub fn dropped(&self) -> u32 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether producers should wait for it.
    pub fn stalls(&self) -> bool {
        self.stalls.load(Ordering::Relaxed)
    }

    /// `waiter` is called when this peer has read enough. False if it already has.
    pub fn wait_for(&self, waiter: &Arc<Peer>) -> bool {
        let mut waiters = self.waiters.lock();
        if !self.stalls() {
            return false;
        }
        if !waiters.iter().any(|w| Arc::ptr_eq(w, waiter)) {
            waiters.push(waiter.clone());
        }
        true
    }

    /// Calls the owner loop.
    pub fn wake_owner(&self) {
        self.owner.wake();
    }

    /// Appends what one turn has for this peer.
    pub(crate) fn enqueue(&self, chunks: impl Iterator<Item = Chunk>, msgs: u32, pool: &mut Pool) {
        let mut outbox = self.outbox.lock();
        if outbox.is_closed() {
            self.dropped.fetch_add(msgs, Ordering::Relaxed);
            return;
        }
        for chunk in chunks {
            outbox.push(chunk, pool);
        }
    }

    /// Counts what it sent in one turn: for itself, and for the server.
    pub fn count_in(&self, msgs: u64, bytes: u64) {
        self.counters.add_in(msgs, bytes);
        self.totals.of(self.kind).add_in(msgs, bytes);
    }

    /// Counts what it gets in one turn: for itself, its account and the server.
    pub(crate) fn count_out(&self, msgs: u64, bytes: u64, now: Instant) {
        self.touch(now);
        self.counters.add_out(msgs, bytes);
        self.totals.of(self.kind).add_out(msgs, bytes);
        if let Some(account) = &self.place.read().account {
            account.counters.add_out(msgs, bytes);
        }
    }

    /// Writes as much as the connection takes. A peer that leaves more than its bound waiting is a slow consumer and
    /// is closed; the bound is looked at after the write, since what the socket takes at once was never a backlog.
    pub fn flush(&self, now: Instant, pool: &mut Pool) {
        let mut outbox = self.outbox.lock();
        let flushed = outbox.flush(now, pool);
        let stalls = outbox.stalls(now);
        let resumes = outbox.resumes();
        let over = outbox.pending_bytes() > self.pending_bytes_max;
        let blocked = outbox.blocked_since().is_some();
        if blocked != self.blocked.load(Ordering::Relaxed) {
            self.blocked.store(blocked, Ordering::Release);
        }
        drop(outbox);
        match flushed {
            Flushed::Failed(_) => self.close(CloseReason::WriteError),
            Flushed::Blocked if over => self.close(CloseReason::SlowConsumerPendingBytes),
            Flushed::Blocked | Flushed::Empty => {}
        }
        if stalls {
            self.stalls.store(true, Ordering::Relaxed);
        } else if self.stalls() && (resumes || !matches!(flushed, Flushed::Blocked)) {
            self.stalls.store(false, Ordering::Relaxed);
            for waiter in std::mem::take(&mut *self.waiters.lock()) {
                waiter.owner.wake();
            }
        }
    }

    /// Lets go of the connection: nothing is sent any more, nobody waits for it.
    pub fn shut(&self) {
        let mut outbox = self.outbox.lock();
        outbox.close();
        self.blocked.store(false, Ordering::Release);
        drop(outbox);
        self.stalls.store(false, Ordering::Relaxed);
        for waiter in std::mem::take(&mut *self.waiters.lock()) {
            waiter.owner.wake();
        }
    }

    /// Its subscriptions. A leaf lock: nothing else is taken while it is held.
    pub fn subscriptions(&self) -> parking_lot::MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock()
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("id", &self.id).finish_non_exhaustive()
    }
}
