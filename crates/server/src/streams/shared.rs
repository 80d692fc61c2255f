//! What all streams of a server have in common: the store, who works for them behind a commit, and when.

use super::batches::OpenBatches;
use super::care::Care;
use super::damages::Damages;
use super::hosted::Hosted;
use super::index::Index;
use super::quota::Quota;
use super::reading::Reads;
use crate::clock;
use dialtone_broker::deliver::interest::Gate;
use dialtone_broker::stats::Totals;
use dialtone_store::{Committed, Failure, Lsn, Store};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// How long the thread sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

pub(crate) use clock::wall;

/// Why a stream was put into the agenda.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It has something to do now.
    Ready,
    /// It waits for a commit.
    Committed,
}

/// Which publishers are answered when their messages are written, ahead of the sync.
pub(super) struct AcksAhead {
    /// Those of all streams in files.
    pub(super) all: bool,
    /// Those of one at least.
    pub(super) any: AtomicBool,
}

/// Which subjects name domain and account.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SubjectForms {
    /// Those of acknowledgements and flow control.
    pub(crate) acks_v2: bool,
    /// Those at which a stream is answered that asks another one for its messages.
    pub(crate) replies_v2: bool,
}

/// What all streams have in common.
pub(crate) struct Shared {
    /// Not before it is open.
    store: OnceLock<Store>,
    /// Why it has failed for good.
    failed: OnceLock<Failure>,
    agenda: Agenda,
    /// The domain, where there is one.
    pub(crate) domain: Option<Box<str>>,
    /// Which forms of subjects are made.
    pub(super) forms: SubjectForms,
    /// Where interest changes.
    pub(super) gate: Arc<Gate>,
    /// What streams get and send counts there, and not as traffic of the server.
    pub(super) totals: Arc<Totals>,
    next_sid: AtomicUsize,
    /// What all streams of the server may take.
    pub(crate) quota: Quota,
    /// Streams for which the disk is to be read.
    pub(super) reads: Reads,
    /// Batches of publishes that are open.
    pub(crate) batches: OpenBatches,
    /// What cannot be read.
    pub(crate) damages: Arc<Damages>,
    /// What is to be erased.
    pub(super) care: Care,
    /// Who is answered before the sync.
    pub(super) ahead: AcksAhead,
}

/// What streams have to do, and its bell.
#[derive(Default)]
struct Agenda {
    entries: Mutex<Entries>,
    changed: Condvar,
}

impl Agenda {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock()
    }
}

#[derive(Default)]
struct Entries {
    /// Streams that have something to do now.
    ready: Vec<Arc<Hosted>>,
    /// Streams that wait for a commit.
    waiting: Vec<Arc<Hosted>>,
    /// When streams have something to do, by time and number.
    timers: BTreeMap<(i64, u64), Weak<Hosted>>,
    is_committed: bool,
    is_closed: bool,
}

impl Shared {
    /// Before the store is opened.
    pub(crate) fn new(
        (domain, forms): (Option<&str>, SubjectForms),
        (batches, acks_when_written): (OpenBatches, bool),
        gate: Arc<Gate>,
        totals: Arc<Totals>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store: OnceLock::new(),
            failed: OnceLock::new(),
            agenda: Agenda::default(),
            domain: domain.map(Box::from),
            forms,
            gate,
            totals,
            next_sid: AtomicUsize::new(0),
            quota: Quota::default(),
            reads: Reads::default(),
            batches,
            damages: Arc::default(),
            care: Care::default(),
            ahead: AcksAhead { all: acks_when_written, any: AtomicBool::new(acks_when_written) },
        })
    }

    /// A number for another subscription.
    pub(super) fn next_sid(&self) -> usize {
        self.next_sid.fetch_add(1, Ordering::Relaxed)
    }

    /// How heads of messages are read that are on disk alone.
    pub(crate) fn index(&self) -> Index {
        Index { budget: self.care.budget.clone(), damages: self.damages.clone() }
    }

    /// The store is open.
    pub(crate) fn opened(self: &Arc<Self>, store: Store) {
        store.on_commit(Arc::new(Listener(Arc::downgrade(self))));
        let _ = self.store.set(store);
    }

    /// The store, once it is open.
    pub(crate) fn store(&self) -> Option<&Store> {
        self.store.get()
    }

    /// Why the store has failed for good, if it has.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.failed.get()
    }

    /// Everything below is on disk.
    pub(super) fn committed(&self) -> Lsn {
        self.store.get().map_or(Lsn(0), Store::committed)
    }

    /// Everything below is written, if not on disk.
    pub(super) fn written(&self) -> Lsn {
        self.store.get().map_or(Lsn(0), Store::written)
    }

    /// A stream has something to do.
    pub(super) fn ready(&self, hosted: Arc<Hosted>) {
        self.agenda.lock().ready.push(hosted);
        self.agenda.changed.notify_one();
    }

    /// A stream has something to do when what it submitted up to `upto` is on disk.
    pub(super) fn await_commit(&self, hosted: Arc<Hosted>, upto: Lsn) {
        let mut agenda = self.agenda.lock();
        agenda.waiting.push(hosted);
        // The commit may have been before, or what comes ahead of it.
        if self.committed() >= upto || self.ahead.any.load(Ordering::Relaxed) && self.written() >= upto {
            agenda.is_committed = true;
            drop(agenda);
            self.agenda.changed.notify_one();
        }
    }

    /// Sets when a stream has something to do, instead of `before`. One that is due may have been taken.
    pub(super) fn set_timer(&self, hosted: &Arc<Hosted>, (before, at): (Option<i64>, Option<i64>), now: i64) {
        if before == at && at.is_none_or(|at| at > now) {
            return;
        }
        let mut agenda = self.agenda.lock();
        if let Some(before) = before {
            agenda.timers.remove(&(before, hosted.number));
        }
        if let Some(at) = at {
            agenda.timers.insert((at, hosted.number), Arc::downgrade(hosted));
            if agenda.timers.keys().next() == Some(&(at, hosted.number)) {
                drop(agenda);
                self.agenda.changed.notify_one();
            }
        }
    }

    /// Waits for streams that have something to do, and takes them. `None`: there will be no more.
    pub(crate) fn next(&self, has_more: bool) -> Option<Vec<Arc<Hosted>>> {
        let mut agenda = self.agenda.lock();
        loop {
            if agenda.is_closed {
                return None;
            }
            let mut out = std::mem::take(&mut agenda.ready);
            out.iter().for_each(|hosted| hosted.is_taken(Why::Ready));
            if std::mem::take(&mut agenda.is_committed) {
                agenda.waiting.iter().for_each(|hosted| hosted.is_taken(Why::Committed));
                out.append(&mut agenda.waiting);
            }
            let now = wall();
            while let Some(entry) = agenda.timers.first_entry().filter(|entry| entry.key().0 <= now) {
                out.extend(entry.remove().upgrade());
            }
            if has_more || !out.is_empty() {
                return Some(out);
            }
            let timer = agenda.timers.keys().next().map(|(at, _)| at.saturating_sub(now));
            let span =
                timer.map_or(IDLE, |nanos| Duration::from_nanos(nanos.max(0).unsigned_abs()).min(IDLE));
            self.agenda.changed.wait_until(&mut agenda, clock::moment() + span);
        }
    }

    /// Waits for a stream for which the disk is to be read, unless there is more to be done already. `None`: there will be none any more.
    pub(crate) fn next_read(&self, has_more: bool) -> Option<Option<Arc<Hosted>>> {
        self.reads.next(has_more)
    }

    /// Nothing is done any more.
    pub(crate) fn close(&self) {
        let rest = {
            let mut agenda = self.agenda.lock();
            let rest = std::mem::take(&mut *agenda);
            agenda.is_closed = true;
            rest
        };
        self.agenda.changed.notify_all();
        self.care.alarm.close();
        self.reads.close();
        drop(rest);
        if let Some(store) = self.store() {
            store.stop();
        }
    }
}

/// Told of each commit by the store's own thread, which does nothing else for it.
struct Listener(Weak<Shared>);

impl Committed for Listener {
    fn written(&self, _: Lsn) {
        if let Some(shared) = self.0.upgrade()
            && shared.ahead.any.load(Ordering::Relaxed)
        {
            shared.agenda.lock().is_committed = true;
            shared.agenda.changed.notify_one();
        }
    }

    fn committed(&self, _: Lsn) {
        if let Some(shared) = self.0.upgrade() {
            shared.agenda.lock().is_committed = true;
            shared.agenda.changed.notify_one();
            if let Some(store) = shared.store() {
                shared.care.alarm.look(store.to_move_bytes());
            }
            if shared.is_index_due() {
                shared.care.alarm.ring();
            }
        }
    }

    fn failed(&self, failure: &Failure) {
        if let Some(shared) = self.0.upgrade() {
            let _ = shared.failed.set(failure.clone());
            shared.agenda.lock().is_committed = true;
            shared.agenda.changed.notify_one();
        }
    }
}
