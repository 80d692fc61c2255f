//! One stream at work: what turns bring to it, under one lock a turn, and what it sends.
//!
//! A publish is decided on, carried out and handed to the log in the turn that brings it. A memory stream acknowledges it in the same turn;
//! a file stream when the log is on disk, and until then its consumers do not see it.

use super::backlog::Backlog;
use super::batches::Open;
use super::emitter::{Noted, NotedAdvisory};
use super::interest::Listeners;
use super::names::Names;
use super::quota::{self, Quota};
use super::reading::Ahead;
use super::session::Session;
use super::shared::{Shared, Why, wall};
use super::sourcing;
use super::state::{State, Wanted};
use super::{answers, direct, due, letters};
use dialtone_broker::account::Account;
use dialtone_broker::inlet::{Batch, Inlet, Publish};
use dialtone_broker::peer::Peer;
use dialtone_broker::subscription::Subscription;
use dialtone_jetstream::config::PersistMode;
use dialtone_jetstream::consumer::ConsumerId;
use dialtone_jetstream::memory::{Charge, Part};
use dialtone_jetstream::messages::{Absent, Body, Freed, Place};
use dialtone_jetstream::stream::{BatchLimits, unpack};
use dialtone_store::{GroupId, Lsn, ReadError};
use parking_lot::{Mutex, MutexGuard};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// What a stream takes that has nothing, with what finds it: measured by `bench/scale`.
const STREAM_BYTES: usize = 6 << 10;
/// The same of a consumer.
const CONSUMER_BYTES: usize = 3 << 9;

/// What a stream takes with its consumers, beside what they hold.
fn own_bytes(state: &State) -> usize {
    STREAM_BYTES + CONSUMER_BYTES * state.consumers.len()
}

pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// What a subscription of a stream is for: the first letter of its sid, then a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tap {
    /// What the stream stores.
    Store,
    /// Requests for messages by sequence or subject.
    Direct,
    /// Requests to consumers, each named by the token of this number.
    Pull(u64),
    /// Acknowledgements, in the same way.
    Ack(u64),
    /// Answers to flow control, in the same way.
    FlowControl(u64),
    /// Answers of those who store the dead letters of a consumer.
    Letter(u64),
    /// What an origin delivers, by the number of the attempt.
    Origin(u64),
    /// What the API of an origin answers.
    Answer(u64),
}

impl Tap {
    /// As a sid, where `number` tells it from others of its kind.
    pub(super) fn sid(self, number: usize) -> String {
        match self {
            Self::Store => format!("s.{number}"),
            Self::Direct => format!("d.{number}"),
            Self::Pull(id) => format!("p{id}.{number}"),
            Self::Ack(id) => format!("a{id}.{number}"),
            Self::FlowControl(id) => format!("f{id}.{number}"),
            Self::Letter(id) => format!("l{id}.{number}"),
            Self::Origin(id) => format!("o{id}.{number}"),
            Self::Answer(id) => format!("r{id}.{number}"),
        }
    }

    pub(super) fn of(sid: &[u8]) -> Option<Self> {
        let (kind, rest) = sid.split_first()?;
        let digits = rest.split(|byte| *byte == b'.').next()?;
        let number = std::str::from_utf8(digits).ok()?.parse();
        Some(match kind {
            b's' => Self::Store,
            b'd' => Self::Direct,
            b'p' => Self::Pull(number.ok()?),
            b'a' => Self::Ack(number.ok()?),
            b'f' => Self::FlowControl(number.ok()?),
            b'l' => Self::Letter(number.ok()?),
            b'o' => Self::Origin(number.ok()?),
            b'r' => Self::Answer(number.ok()?),
            _ => return None,
        })
    }
}

/// What the lock of a stream holds.
pub(crate) struct Inner {
    pub(crate) state: State,
    pub(super) waiting: due::Queue,
    /// What is sent when the disk was read.
    pub(super) backlog: Backlog,
    pub(super) noted: Noted,
    /// What was set in the agenda.
    pub(super) timer: Option<i64>,
    /// It takes nothing any more.
    pub(crate) is_gone: bool,
    /// Bytes of its state that count in the quotas.
    pub(super) counted: u64,
    pub(super) scratch: Vec<u8>,
    pub(super) record: Vec<u8>,
    /// Where messages are that were just logged.
    pub(super) places: Vec<(u64, Place)>,
    /// Batches of publishes that are open.
    pub(super) batches: Open,
    /// Answers to publishers that wait until their messages are written.
    pub(super) unsynced: due::Queue,
    /// What these queues have of memory.
    pub(super) charge: Charge,
    /// What it takes itself, and its consumers.
    own: Charge,
}

impl Inner {
    /// Counts what waits, and what there is for it.
    pub(super) fn count_memory(&mut self) {
        let queues = self.waiting.memory_bytes() + self.unsynced.memory_bytes();
        self.charge.set(queues + self.backlog.memory_bytes());
        self.own.set(own_bytes(&self.state));
    }

    /// Whether no consumer has something to say.
    pub(super) fn noted_is_silent(&self) -> bool {
        self.noted.advisories.is_empty()
    }

    /// What consumers had to say.
    pub(super) fn take_advisories(&mut self) -> Vec<(ConsumerId, NotedAdvisory)> {
        std::mem::take(&mut self.noted.advisories)
    }

    /// Bytes of its state that count in the quotas.
    pub(super) fn counted(&self) -> u64 {
        self.counted
    }

    /// Copies the body of a message that is in memory. Whether there is one; an error is where it is on the disk, and its bytes.
    pub(super) fn copy_body(&self, seq: u64, out: &mut Vec<u8>) -> Result<bool, (Place, u32)> {
        match self.state.machine.get(seq) {
            Some((_, Body::Hot(bytes))) => {
                out.extend_from_slice(bytes);
                Ok(true)
            }
            Some((head, Body::Cold(place))) => Err((place, head.body_bytes)),
            None => Ok(false),
        }
    }

    /// Where the log ends with what is not on disk yet; `None`: all is.
    pub(crate) fn unwritten(&self) -> Option<Lsn> {
        self.waiting.upto()
    }

    /// Whether something waits for the disk: to be written, or to be read.
    pub(super) fn awaits_disk(&self) -> bool {
        self.unwritten().is_some() || !self.backlog.is_empty()
    }
}

/// What is known of a stream without its lock.
#[derive(Default)]
pub(super) struct Flags {
    /// Subjects of it may be on disk alone.
    has_subjects_on_disk: AtomicBool,
    /// It is in the agenda since it has something to do.
    pub(super) is_ready: AtomicBool,
    /// It is in the agenda since it waits for a commit.
    pub(super) is_waiting: AtomicBool,
    /// It is among those for which the disk is read.
    pub(super) is_reading: AtomicBool,
    /// Its account has no JetStream at present: it takes and sends nothing.
    pub(super) is_suspended: AtomicBool,
}

/// One stream.
pub(crate) struct Hosted {
    /// Unique among the streams of the server.
    pub(crate) number: u64,
    pub(crate) name: Box<str>,
    pub(super) account: Weak<Account>,
    /// Where its log is; `None`: in memory alone.
    pub(crate) group: Option<GroupId>,
    pub(super) shared: Arc<Shared>,
    /// What publishers are told.
    pub(super) acknowledgement: answers::Stored,
    pub(super) quota: Arc<Quota>,
    pub(super) inner: Mutex<Inner>,
    pub(super) peer: OnceLock<Arc<Peer>>,
    /// What it stores, and where it answers.
    pub(super) taps: Mutex<Vec<Arc<Subscription>>>,
    pub(super) flags: Flags,
    pub(super) listeners: Listeners,
    pub(super) names: Names,
    pub(super) this: Weak<Hosted>,
}

impl Hosted {
    /// A stream that has its state.
    pub(super) fn new(
        number: u64,
        (account, quota): (&Arc<Account>, Arc<Quota>),
        group: Option<GroupId>,
        shared: &Arc<Shared>,
        state: State,
    ) -> Arc<Self> {
        let counted = state.machine.totals().bytes;
        let budget = group.map(|_| shared.care.budget.clone());
        let mut own = Charge::new(budget.clone(), Part::Own);
        own.set(own_bytes(&state));
        // Whether it is so cannot be changed.
        let is_async = state.meta.config.persist_mode == PersistMode::Async;
        let is_ahead = is_async || shared.ahead.all;
        shared.ahead.any.fetch_or(is_async, Ordering::Relaxed);
        let place = quota::place(group.is_some());
        quota.add(place, signed(counted));
        shared.quota.add(place, signed(counted));
        Arc::new_cyclic(|this| Self {
            number,
            name: state.meta.config.name.as_str().into(),
            account: Arc::downgrade(account),
            group,
            shared: shared.clone(),
            acknowledgement: answers::Stored::new(
                &state.meta.config.name,
                shared.domain.as_deref(),
                is_ahead,
            ),
            inner: Mutex::new(Inner {
                state,
                waiting: due::Queue::default(),
                backlog: Backlog::default(),
                noted: Noted::default(),
                timer: None,
                is_gone: false,
                counted,
                scratch: Vec::new(),
                record: Vec::new(),
                places: Vec::new(),
                batches: Open::new(shared.batches.limits()),
                unsynced: due::Queue::default(),
                charge: Charge::new(budget, Part::Waiting),
                own,
            }),
            quota,
            peer: OnceLock::new(),
            taps: Mutex::default(),
            flags: Flags::default(),
            listeners: Listeners::default(),
            names: Names::default(),
            this: this.clone(),
        })
    }

    /// The account, as long as there is one.
    pub(crate) fn account(&self) -> Option<Arc<Account>> {
        self.account.upgrade()
    }

    /// Looks at its state.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Does something with its state, then what follows from it: the log, answers, deliveries.
    pub(super) fn with<T>(
        &self,
        turn: &mut dyn Publish,
        act: impl FnOnce(&mut Session<'_>) -> T,
    ) -> Option<T> {
        self.with_disk(turn, &mut None, act)
    }

    /// The same with bodies that were read from the disk.
    pub(super) fn with_disk<T>(
        &self,
        turn: &mut dyn Publish,
        disk: &mut Option<Ahead>,
        act: impl FnOnce(&mut Session<'_>) -> T,
    ) -> Option<T> {
        let account = self.account()?;
        let mut inner = self.inner.lock();
        let now = wall();
        inner.state.changes.clear(now);
        inner.state.machine.renew_subjects();
        let mut session = Session {
            hosted: self,
            account: &account,
            inner: &mut inner,
            turn,
            now,
            upto: None,
            lingers: false,
            disk: disk.take(),
        };
        let out = act(&mut session);
        session.deliver();
        session.finish();
        let is_there = session.inner.state.machine.messages().has_subjects_on_disk();
        self.flags.has_subjects_on_disk.store(is_there, Ordering::Relaxed);
        *disk = session.disk.take();
        let upto = session.upto;
        // Before the lock goes: the commit that lets them go on needs it.
        self.pace(upto);
        Some(out)
    }

    /// Whoever publishes waits, unread, while much is on its way to the disk or waits for it, as an official server reads nobody while it writes.
    fn pace(&self, upto: Option<Lsn>) {
        if let Some((upto, peer)) = upto.zip(self.peer.get())
            && (upto.0.saturating_sub(self.shared.committed().0) > self.shared.held_bytes()
                || self.shared.memory().is_over(Part::Waiting))
        {
            peer.hold_producers();
            self.wait_for(upto);
        }
        if upto.is_some() && self.shared.is_index_full() {
            // The thread of checkpoints wakes the stream when there is room.
            self.peer.get().into_iter().for_each(|peer| peer.hold_producers());
            self.shared.care.alarm.ring();
        }
    }

    /// Messages are gone. Under the lock of the stream, so that a checkpoint sees either that they are there, or that their places are free.
    pub(super) fn drop_places(&self, freed: &mut Freed) {
        let (Some(store), Some(group)) = (self.shared.store(), self.group) else { return };
        if let Some(upto) = freed.upto.take() {
            store.dropped_upto(group, upto);
        }
        for place in freed.single.drain(..) {
            let place = dialtone_store::Place::from_bytes(place.0);
            // What is in the log alone goes with it.
            if place.lsn().is_none() {
                store.dropped(group, place);
            }
        }
    }

    /// What time and commits bring.
    pub(crate) fn work(&self, turn: &mut dyn Publish) {
        let committed = (self.shared.written(), self.shared.committed());
        self.with(turn, |session| {
            if session.inner.is_gone {
                return;
            }
            session.committed(committed);
            if let Some(peer) = self.peer.get().filter(|peer| peer.stalls() && !self.shared.is_index_full()) {
                peer.release_producers();
            }
            session.look_at_interest();
            session.expire();
            if !self.flags.is_suspended.load(Ordering::Acquire) {
                sourcing::expire(session);
            }
        });
    }

    /// The log has it now or later; `what` is called when it does.
    pub(super) fn wait_for(&self, upto: Lsn) {
        if !self.flags.is_waiting.swap(true, Ordering::AcqRel)
            && let Some(this) = self.this.upgrade()
        {
            self.shared.await_commit(this, upto);
        }
    }

    /// It was taken from the agenda.
    pub(super) fn is_taken(&self, why: Why) {
        let flag = if why == Why::Ready { &self.flags.is_ready } else { &self.flags.is_waiting };
        flag.store(false, Ordering::Release);
    }

    /// Has consumers told that they are gone, and takes nothing more.
    pub(super) fn end(&self, turn: &mut dyn Publish) {
        self.with(turn, |session| {
            session.inner.is_gone = true;
            sourcing::end_all(session);
            for id in session.inner.state.consumer_ids() {
                super::consumers::end(session, id);
            }
            session.inner.waiting.clear();
            session.inner.backlog.clear();
            session.inner.batches.clear();
            session.inner.unsynced.clear();
        });
    }

    /// Goes by other limits of batches from here on.
    pub(crate) fn set_batch_limits(&self, limits: BatchLimits) {
        self.lock().batches.set_limits(limits);
    }

    /// The server is about to stop: requests that wait are answered.
    pub(crate) fn say_stop(&self, turn: &mut dyn Publish) {
        self.with(turn, |session| {
            for id in session.inner.state.consumer_ids() {
                session.consumer(id, |machine, ctx| machine.stopped(ctx));
            }
        });
    }

    /// Takes messages and requests, and sends, as long as its account has JetStream.
    pub(crate) fn set_served(&self, is_served: bool) {
        let was_served = !self.flags.is_suspended.swap(!is_served, Ordering::AcqRel);
        if was_served == is_served {
            return;
        }
        if is_served {
            self.renew_taps();
            self.open_consumers();
            self.open_origins();
            self.wake();
        } else {
            let mut taps = std::mem::take(&mut *self.taps.lock());
            taps.extend(self.lock().state.consumer_taps());
            taps.extend(self.names.taps.lock().drain(..).map(|(_, tap)| tap));
            self.unsubscribe(&taps);
            self.close_origins();
        }
    }

    pub(super) fn wake(&self) {
        if !self.flags.is_ready.swap(true, Ordering::AcqRel)
            && let Some(this) = self.this.upgrade()
        {
            self.shared.ready(this);
        }
    }

    /// What deciding on a message needs to know besides the stream; `counted` are its bytes that count in the quotas.
    pub(super) fn wanted<'a>(&'a self, state: &'a State, counted: u64) -> Wanted<'a> {
        let more = signed(state.machine.totals().bytes) - signed(counted);
        let place = quota::place(self.group.is_some());
        Wanted {
            consumers: &state.consumers,
            server_bytes: self.shared.quota.left(place, more),
            account_bytes: self.quota.left(place, more),
            hosted: self,
        }
    }

    /// The domain of the server.
    pub(crate) fn domain(&self) -> Option<&str> {
        self.shared.domain.as_deref()
    }

    /// Reads a body from the disk, or names it as one that cannot be read.
    pub(crate) fn read(&self, seq: u64, place: (Place, u32), out: &mut Vec<u8>) -> bool {
        let read = self.try_read(seq, place, out);
        read.inspect_err(|error| self.unreadable(seq, error)).is_ok()
    }

    /// Names a message that cannot be read, unless it is only gone.
    pub(super) fn unreadable(&self, seq: u64, error: &ReadError) {
        let why: &dyn std::fmt::Display = match error {
            ReadError::Moved => return,
            ReadError::Damaged(damage) => damage,
            ReadError::Disk { cause, .. } => cause,
        };
        let name = format!("stream {:?}: message {seq} cannot be read: {error}: {why}", &*self.name);
        self.shared.damages.note_of(name, self.this.upgrade().map(|this| (this, seq)));
    }

    /// Looks up subjects that are published and on disk alone, so that nobody who waits for the stream waits for that.
    fn look_ahead(&self, batch: &Batch) -> Option<Absent> {
        self.flags.has_subjects_on_disk.load(Ordering::Relaxed).then_some(())?;
        let published =
            batch.messages().filter(|received| Tap::of(received.subscription.sid()) == Some(Tap::Store));
        let subjects = published.map(|received| received.message.subject);
        let absent = self.lock().state.machine.messages().absent(subjects);
        absent.map(Absent::look_up)
    }

    /// Reads a body from the disk. Under the lock of the stream, a place that it has is no other meanwhile.
    ///
    /// # Errors
    /// Why it was not read; then nothing is appended.
    pub(super) fn try_read(
        &self,
        seq: u64,
        (place, body_bytes): (Place, u32),
        out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let (Some(store), Some(group)) = (self.shared.store(), self.group) else {
            return Err(ReadError::Moved);
        };
        let start = out.len();
        let place = dialtone_store::Place::from_bytes(place.0);
        store.read(group, seq, place, out)?;
        if unpack(out, start, body_bytes) {
            return Ok(());
        }
        out.truncate(start);
        // What it was compressed from is not what it says.
        Err(ReadError::Damaged(store.damage_of(group, seq, place)))
    }
}

impl Inlet for Hosted {
    fn take(&self, batch: &Batch, turn: &mut dyn Publish) {
        let ahead = self.look_ahead(batch);
        self.with(turn, |session| {
            if session.inner.is_gone {
                return;
            }
            if let Some(absent) = ahead {
                session.inner.state.machine.messages().take_in(absent);
            }
            for received in batch.messages() {
                match Tap::of(received.subscription.sid()) {
                    Some(Tap::Store) => session.store(&received.message, received.traced),
                    Some(Tap::Direct) => direct::answer(session, &received.message),
                    Some(tap @ (Tap::Pull(_) | Tap::Ack(_) | Tap::FlowControl(_))) => {
                        session.tell_consumer(tap, &received);
                    }
                    Some(Tap::Letter(id)) => letters::answered(session, id, &received.message),
                    Some(Tap::Origin(number)) => sourcing::delivered(session, number, &received.message),
                    Some(Tap::Answer(number)) => sourcing::answered(session, number, &received.message),
                    None => {}
                }
            }
        });
    }

    fn account(&self) -> Option<Arc<Account>> {
        self.account.upgrade()
    }
}
