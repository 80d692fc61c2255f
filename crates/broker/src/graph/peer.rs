//! A peer: the end of one connection, as everyone else sees it.

use crate::account::Account;
use crate::connection_info::{ConnectionInfo, ConnectionInfoSource};
use crate::format::{Format, RelayFormat, RelayHead};
pub use crate::id::ClientId;
use crate::inlet::Inlet;
use crate::kind::{Entry, Kind, Via, Zone};
use crate::outbox::{Chunk, Flushed, Outbox, Pool, STALL_BYTES, Sink};
use crate::replies::{Replies, Requester};
use crate::reserved::Bound;
use crate::stats::{Counters, Totals};
use crate::subscription::Subscriptions;
use dialtone_identity::permission::Permissions;
use dialtone_wire::CloseReason;
use dialtone_wire::interserver::PROTOCOL_WITH_TRACES;
use dialtone_wire::mqtt::Version;
use parking_lot::{Mutex, RwLock};
use std::io::{self, IoSlice};
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
const KNOWS_ORIGINS: u8 = 16;
const IN_OTHER_ZONE: u8 = 32;
const KNOWS_TRACES: u8 = 64;

/// Producers should wait for it.
const STALLED: u8 = 1;
/// It is inside the server.
const INSIDE: u8 = 2;
/// It speaks MQTT: of a version before 5, or 5.
const MQTT: u8 = 4;
const MQTT_5: u8 = 8;

/// A peer inside the server has no connection.
struct Nowhere;

impl Sink for Nowhere {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

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

/// The end of one connection: where what is sent to it goes, its subscriptions and what it counted. Shared by all who send
/// to it.
pub struct Peer {
    /// Its number.
    pub id: ClientId,
    /// [`Peer::kind`].
    kind: AtomicU8,
    /// What it sent and got.
    pub counters: Counters,
    totals: Arc<Totals>,
    /// When it connected.
    pub start: Instant,
    flags: AtomicU8,
    outlet: Outlet,
    seat: Seat,
    subscriptions: Mutex<Subscriptions>,
    info_source: OnceLock<Weak<dyn ConnectionInfoSource>>,
    active_us: AtomicU64,
    rtt_ns: AtomicU64,
}

/// Where what is sent to a peer goes.
struct Outlet {
    /// Its place in the tables that each loop keeps by peer. Given again after the peer is gone.
    slot: u32,
    /// [`STALLED`], [`INSIDE`], and which protocol it speaks: what is looked at with each message.
    marks: AtomicU8,
    closing: AtomicU8,
    /// Whether [`Outbox::blocked_since`] is something: the owner asks after each read, while another loop may hold the outbox over a
    /// system call.
    blocked: AtomicBool,
    /// Messages dropped because too much was waiting.
    dropped: AtomicU32,
    pending_bytes_max: usize,
    outbox: Mutex<Outbox>,
    owner: Owner,
    waiters: Mutex<Vec<Arc<Peer>>>,
}

/// Who looks after a peer.
enum Owner {
    /// A loop, which is woken.
    Loop(Box<dyn Wake>),
    /// It is inside the server: each turn hands over what it staged.
    Inlet(Arc<dyn Inlet>),
}

/// Where a peer is, and what it may do there.
#[derive(Default)]
struct Seat {
    place: RwLock<Place>,
    version: AtomicU32,
    replies: Mutex<Option<Box<Replies>>>,
    leaf_cluster: OnceLock<Box<[u8]>>,
}

/// Which account a peer is in and what it may do there. Changes when it connects and when rights are reloaded.
#[derive(Clone, Default)]
pub struct Place {
    /// The account; `None` until the peer is authenticated.
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
        Entry { from: self.peer.kind(), by }
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
        Self::of(basics, totals, Outbox::new(sink), Owner::Loop(owner))
    }

    /// A peer inside the server. It is never sent bytes.
    pub fn inside(basics: Basics, totals: Arc<Totals>, inlet: Arc<dyn Inlet>) -> Arc<Self> {
        Self::of(basics, totals, Outbox::new(Arc::new(Nowhere)), Owner::Inlet(inlet))
    }

    fn of(basics: Basics, totals: Arc<Totals>, outbox: Outbox, owner: Owner) -> Arc<Self> {
        let Basics { id, kind, slot, pending_bytes_max, start } = basics;
        let marks = if matches!(owner, Owner::Inlet(_)) { INSIDE } else { 0 };
        Arc::new(Self {
            id,
            kind: AtomicU8::new(kind as u8),
            counters: Counters::default(),
            totals,
            start,
            flags: AtomicU8::new(0),
            outlet: Outlet {
                slot,
                marks: AtomicU8::new(marks),
                closing: AtomicU8::new(OPEN),
                blocked: AtomicBool::new(false),
                dropped: AtomicU32::new(0),
                pending_bytes_max,
                outbox: Mutex::new(outbox),
                owner,
                waiters: Mutex::default(),
            },
            seat: Seat::default(),
            subscriptions: Mutex::default(),
            info_source: OnceLock::new(),
            active_us: AtomicU64::new(0),
            rtt_ns: AtomicU64::new(0),
        })
    }

    /// What it is.
    #[inline(always)]
    pub fn kind(&self) -> Kind {
        Kind::numbered(self.kind.load(Ordering::Relaxed))
    }

    /// A leaf node says which of the two ends is the hub when it shows who it is: before it has interest, and before anything is sent to it.
    pub fn set_hub(&self, yes: bool) {
        self.kind.store(Kind::of_leaf(yes) as u8, Ordering::Relaxed);
    }

    /// What takes messages to it, if it is inside the server.
    pub(crate) fn inlet(&self) -> Option<&Arc<dyn Inlet>> {
        match &self.outlet.owner {
            Owner::Loop(_) => None,
            Owner::Inlet(inlet) => Some(inlet),
        }
    }

    /// Whether a message for it needs nothing special: it is not inside the server, speaks the client protocol, and producers need not
    /// wait for it.
    #[inline(always)]
    pub(crate) fn is_usual(&self) -> bool {
        self.outlet.marks.load(Ordering::Relaxed) == 0
    }

    /// The protocol that it speaks.
    pub fn format(&self) -> Format {
        match self.outlet.marks.load(Ordering::Relaxed) & (MQTT | MQTT_5) {
            0 => Format::Client,
            MQTT => Format::Mqtt(Version::V311),
            _ => Format::Mqtt(Version::V5),
        }
    }

    /// Sets it, before the peer has subscriptions.
    pub fn set_format(&self, format: Format) {
        let mark = match format {
            Format::Client => 0,
            Format::Mqtt(Version::V5) => MQTT_5,
            Format::Mqtt(_) => MQTT,
        };
        self.outlet.marks.fetch_and(!(MQTT | MQTT_5), Ordering::Relaxed);
        self.outlet.marks.fetch_or(mark, Ordering::Relaxed);
    }

    /// Its place in tables by peer.
    pub fn slot(&self) -> u32 {
        self.outlet.slot
    }

    /// Where it is and what it may do.
    pub fn place(&self) -> Place {
        self.seat.place.read().clone()
    }

    /// The account that it is in. The lock is released before the caller uses it.
    pub(crate) fn account(&self) -> Option<Arc<Account>> {
        let place = self.seat.place.read();
        place.account.clone()
    }

    /// The account that its subscriptions are in. One inside the server is in no account, so that what it gets does not count there.
    pub(crate) fn subscribed_in(&self) -> Option<Arc<Account>> {
        self.inlet().map_or_else(|| self.account(), |inlet| inlet.account())
    }

    /// What messages with `subject` in `account` to it begin with. Of what is in all accounts, a connection that was given one has only
    /// messages of that one.
    pub(crate) fn relay_head(&self, account: &Account, subject: &[u8]) -> RelayHead {
        let is_named = self.seat.place.read().account.is_none();
        self.relay_format().head(is_named.then_some(account.name.as_bytes()), subject)
    }

    /// What it speaks if it is a relay.
    pub(crate) fn relay_format(&self) -> RelayFormat {
        RelayFormat::of(self.kind())
    }

    /// The cluster of leaf nodes at the other end; empty if there is none.
    pub fn leaf_cluster(&self) -> &[u8] {
        self.seat.leaf_cluster.get().map_or(&[], |name| &**name)
    }

    /// Sets [`Peer::leaf_cluster`]. The first one stays.
    pub fn set_leaf_cluster(&self, name: &[u8]) {
        let _ = self.seat.leaf_cluster.set(name.into());
    }

    /// Whether the other end, by a route, takes messages with the cluster of the leaf node that they came from.
    pub(crate) fn knows_origins(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & KNOWS_ORIGINS != 0
    }

    /// Sets whether it does.
    pub fn set_knows_origins(&self, yes: bool) {
        self.set_flag(KNOWS_ORIGINS, yes);
    }

    /// Whether the other end, a server, reports what becomes of a message that is traced: it knows traces, and gets the headers that ask
    /// for one.
    pub(crate) fn follows_traces(&self) -> bool {
        let both = HEADERS | KNOWS_TRACES;
        self.flags.load(Ordering::Relaxed) & both == both
    }

    /// Sets which version of the protocol between servers the other end speaks.
    pub fn set_protocol(&self, version: i64) {
        self.set_flag(KNOWS_TRACES, version >= PROTOCOL_WITH_TRACES);
    }

    /// In which zone the other end is.
    pub fn zone(&self) -> Zone {
        let is_other = self.flags.load(Ordering::Relaxed) & IN_OTHER_ZONE != 0;
        if is_other { Zone::Other } else { Zone::Own }
    }

    /// Sets it. Whether it is another one than before: then what was worked out from it is no longer true.
    pub fn set_zone(&self, zone: Zone) -> bool {
        let before = self.zone();
        self.set_flag(IN_OTHER_ZONE, zone == Zone::Other);
        before != zone
    }

    /// Whether its rights let it have messages of `subject` by a subscription in this queue group.
    pub(crate) fn may_have(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.seat.place.read().permissions.as_ref().is_none_or(|p| p.may_deliver(subject, queue))
    }

    /// Puts it into an account with rights.
    pub fn set_place(&self, place: Place) {
        let tracks = place.permissions.as_ref().is_some_and(|p| p.allow_responses().is_some());
        self.set_flag(TRACKS_REPLIES, tracks);
        self.set_flag(IS_SYSTEM, place.account.as_ref().is_some_and(|account| account.is_system()));
        *self.seat.place.write() = place;
        self.seat.version.fetch_add(1, Ordering::Release);
    }

    /// Changes whenever [`Peer::place`] does.
    #[inline]
    pub fn place_version(&self) -> u32 {
        self.seat.version.load(Ordering::Acquire)
    }

    /// What services may know of its connection.
    pub fn connection_info(&self) -> Option<ConnectionInfo> {
        Some(self.info_source.get()?.upgrade()?.connection_info())
    }

    /// Sets the source of [`Peer::connection_info`]. The first one stays.
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

    /// Sets whether it understands headers.
    pub fn set_understands_headers(&self, yes: bool) {
        self.set_flag(HEADERS, yes);
    }

    /// Whether it takes INFO at any time.
    pub fn takes_info(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & TAKES_INFO != 0
    }

    /// Sets whether it takes INFO at any time.
    pub fn set_takes_info(&self, yes: bool) {
        self.set_flag(TAKES_INFO, yes);
    }

    /// How subjects bind it that servers keep for themselves.
    pub(crate) fn bound(&self) -> Bound {
        match self.flags.load(Ordering::Relaxed) & IS_SYSTEM != 0 {
            _ if !self.kind().is_bound() => Bound::Free,
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
            let place = self.seat.place.read();
            let limits = place.permissions.as_ref().and_then(|p| p.allow_responses().copied());
            (limits, place.account.as_ref().map(|account| account.id))
        };
        let Some(limits) = limits else { return };
        let requester = match origin.account.id {
            asking if Some(asking) == account => Requester::Connection(origin.peer.id),
            asking => Requester::Account(asking),
        };
        self.seat.replies.lock().get_or_insert_default().expect(requester, reply, &limits, now);
    }

    /// Whether it may publish to `subject` because it was asked to; uses up one of the answers it may give.
    pub(crate) fn may_answer(&self, subject: &[u8], now: Instant) -> bool {
        self.seat.replies.lock().as_mut().is_some_and(|replies| replies.take(subject, now))
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
        let first =
            self.outlet.closing.compare_exchange(OPEN, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            self.wake_owner();
        }
    }

    /// Why it is to be closed, if it is.
    pub fn closing(&self) -> Option<CloseReason> {
        CloseReason::from_number(self.outlet.closing.load(Ordering::Acquire))
    }

    /// Whether it is to be closed.
    #[inline]
    pub fn is_closing(&self) -> bool {
        self.outlet.closing.load(Ordering::Acquire) != OPEN
    }

    /// Bytes that wait for it.
    pub fn pending_bytes(&self) -> usize {
        self.outlet.outbox.lock().pending_bytes()
    }

    /// Since when it has taken nothing of what waits.
    pub fn blocked_since(&self) -> Option<Instant> {
        self.outlet.blocked.load(Ordering::Acquire).then(|| self.outlet.outbox.lock().blocked_since())?
    }

    /// Since when it has not taken all that waited then.
    pub fn behind_since(&self) -> Option<Instant> {
        self.outlet.blocked.load(Ordering::Acquire).then(|| self.outlet.outbox.lock().behind_since())?
    }

    /// Whether so much waits for it that others should have what is for any one of several.
    pub(crate) fn is_slow(&self) -> bool {
        self.outlet.blocked.load(Ordering::Acquire) && self.pending_bytes() > STALL_BYTES
    }

    /// Bytes that wait for it, if its connection takes no more at present.
    pub(crate) fn unread(&self) -> usize {
        if self.outlet.blocked.load(Ordering::Acquire) { self.pending_bytes() } else { 0 }
    }

    /// Messages that were dropped because too much waited.
    pub fn dropped(&self) -> u32 {
        self.outlet.dropped.load(Ordering::Relaxed)
    }

    /// Whether producers should wait for it.
    pub fn stalls(&self) -> bool {
        self.outlet.marks.load(Ordering::Relaxed) & STALLED != 0
    }

    /// Wakes the owner of `waiter` when this peer has read enough. False if it already has.
    pub fn wait_for(&self, waiter: &Arc<Peer>) -> bool {
        let mut waiters = self.outlet.waiters.lock();
        if !self.stalls() {
            return false;
        }
        if !waiters.iter().any(|w| Arc::ptr_eq(w, waiter)) {
            waiters.push(waiter.clone());
        }
        true
    }

    /// Wakes the owner loop. What is inside the server has no loop to wake.
    pub fn wake_owner(&self) {
        if let Owner::Loop(owner) = &self.outlet.owner {
            owner.wake();
        }
    }

    /// Appends what one turn has for this peer.
    pub(crate) fn enqueue(&self, chunks: impl Iterator<Item = Chunk>, msgs: u32, pool: &mut Pool) {
        let mut outbox = self.outlet.outbox.lock();
        if outbox.is_closed() {
            self.outlet.dropped.fetch_add(msgs, Ordering::Relaxed);
            return;
        }
        for chunk in chunks {
            outbox.push(chunk, pool);
        }
    }

    /// Counts what it sent in one turn: for itself, and for the server.
    pub fn count_in(&self, msgs: u64, bytes: u64) {
        self.counters.add_in(msgs, bytes);
        self.totals.of(self.kind()).add_in(msgs, bytes);
    }

    /// Counts what it gets in one turn: for itself, its account and the server.
    pub(crate) fn count_out(&self, msgs: u64, bytes: u64, now: Instant) {
        let kind = self.kind();
        self.touch(now);
        self.counters.add_out(msgs, bytes);
        self.totals.of(kind).add_out(msgs, bytes);
        // What is in all accounts is counted by account where it is staged.
        if kind.is_in_all_accounts() {
            return;
        }
        if let Some(account) = &self.seat.place.read().account {
            account.counters.add_out(msgs, bytes);
            if kind.is_leaf_connection() {
                account.leaf_nodes.counters.add_out(msgs, bytes);
            }
        }
    }

    /// Writes as much as the connection takes. A peer that leaves more than its bound waiting is a slow consumer and
    /// is closed; the bound is looked at after the write, since what the socket takes at once was never a backlog.
    pub fn flush(&self, now: Instant, pool: &mut Pool) {
        let mut outbox = self.outlet.outbox.lock();
        let flushed = outbox.flush(now, pool);
        let stalls = outbox.stalls(now);
        let resumes = outbox.resumes();
        let over = outbox.pending_bytes() > self.outlet.pending_bytes_max;
        let blocked = outbox.blocked_since().is_some();
        if blocked != self.outlet.blocked.load(Ordering::Relaxed) {
            self.outlet.blocked.store(blocked, Ordering::Release);
        }
        drop(outbox);
        match flushed {
            Flushed::Failed(_) => self.close(CloseReason::WriteError),
            Flushed::Blocked if over => self.close(CloseReason::SlowConsumerPendingBytes),
            Flushed::Blocked | Flushed::Empty => {}
        }
        if stalls {
            self.outlet.marks.fetch_or(STALLED, Ordering::Relaxed);
        } else if self.stalls() && (resumes || !matches!(flushed, Flushed::Blocked)) {
            self.release_producers();
        }
    }

    /// Producers wait for it from here on. It is for what is inside the server and has no outbox that says so.
    pub fn hold_producers(&self) {
        self.outlet.marks.fetch_or(STALLED, Ordering::Relaxed);
    }

    /// Producers wait for it no longer, and those that do are woken.
    pub fn release_producers(&self) {
        self.outlet.marks.fetch_and(!STALLED, Ordering::Relaxed);
        for waiter in std::mem::take(&mut *self.outlet.waiters.lock()) {
            waiter.wake_owner();
        }
    }

    /// Whether it is inside the server.
    pub fn is_inside(&self) -> bool {
        matches!(self.outlet.owner, Owner::Inlet(_))
    }

    /// Drops the connection: nothing is sent any more, nobody waits for it.
    pub fn shut(&self) {
        let mut outbox = self.outlet.outbox.lock();
        outbox.close();
        self.outlet.blocked.store(false, Ordering::Release);
        drop(outbox);
        self.release_producers();
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
