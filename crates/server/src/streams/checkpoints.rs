//! Checkpoints of the store: when there is one, and what of each stream it takes along.

use super::care::Scrub;
use super::hosted::Hosted;
use super::registry::All;
use super::shared::Shared;
use dialtone_jetstream::messages::Place;
use dialtone_store::{
    BODY_BYTES_MAX, Captured, CheckpointError, Checkpointed, GroupId, Moved, Note, Plan, Store,
};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes of the log behind the last checkpoint that make the next one due.
const BEHIND_BYTES: u64 = 64 << 20;
/// How often there is one where there is news, unless it is more often by the configuration.
pub(crate) const INTERVAL: Duration = Duration::from_secs(30);
/// How often it is looked whether one is due, beside the alarm. On a full disk there is one each time.
const LOOK: Duration = Duration::from_secs(1);
/// Messages that are looked at, or have their places set, under one lock of a stream.
const PIECE: usize = 4096;

/// What wakes the thread of checkpoints.
pub(super) struct Alarm {
    state: Mutex<Rung>,
    changed: Condvar,
    /// Bytes of the log from which on it rings.
    at_bytes: AtomicU64,
}

#[derive(Default)]
struct Rung {
    is_rung: bool,
    is_closed: bool,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), at_bytes: AtomicU64::new(BEHIND_BYTES) }
    }
}

impl Alarm {
    /// The log has so many bytes behind the last checkpoint.
    pub(super) fn look(&self, behind: u64) {
        if behind > self.at_bytes.load(Ordering::Relaxed) {
            self.state.lock().is_rung = true;
            self.changed.notify_one();
        }
    }

    /// There are no checkpoints any more.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Waits for it; whether to go on.
    fn wait(&self, most: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.is_rung && !state.is_closed {
            self.changed.wait_for(&mut state, most);
        }
        state.is_rung = false;
        !state.is_closed
    }
}

/// Checkpoints of the streams of a server: the work of a thread.
pub(crate) struct Checkpoints<'a> {
    shared: &'a Shared,
    all: &'a All,
}

impl<'a> Checkpoints<'a> {
    /// Of these streams.
    pub(crate) fn new(shared: &'a Shared, all: &'a All) -> Self {
        Self { shared, all }
    }

    /// Has checkpoints until JetStream ends, as often as `interval` where there is news; `has_news`: the log may have had something when the
    /// store was opened. `say` is told why there is none, and called besides now and then.
    pub(crate) fn run(&self, interval: Duration, has_news: bool, say: &dyn Fn(Option<CheckpointError>)) {
        let Some(store) = self.shared.store() else { return };
        let (mut at, mut position) = (Instant::now(), store.position());
        let mut is_due = has_news;
        let mut has_failed = false;
        let mut scrub = Scrub::new();
        while self.shared.alarm.wait(LOOK.min(interval)) {
            self.shared.care.erase_all(store, self.shared);
            scrub.look(store, self.shared);
            is_due |= store.behind() > self.shared.alarm.at_bytes.load(Ordering::Relaxed)
                || store.is_low()
                || (at.elapsed() >= interval && (store.position() != position || store.to_seal_bytes() > 0));
            if !std::mem::take(&mut is_due) {
                say(None);
                continue;
            }
            let done = self.checkpoint(store);
            (at, position) = (Instant::now(), store.position());
            // What cannot move stays behind, and is no reason for another one.
            self.shared.alarm.at_bytes.store(store.behind() + BEHIND_BYTES, Ordering::Relaxed);
            match done {
                Ok(()) => has_failed = false,
                Err(error) if !has_failed => {
                    has_failed = true;
                    say(Some(error));
                }
                Err(_) => {}
            }
        }
    }

    /// One checkpoint.
    ///
    /// # Errors
    /// There was none.
    pub(crate) fn checkpoint(&self, store: &Store) -> Result<(), CheckpointError> {
        let streams = self.all.all().into_iter().filter_map(|hosted| Some((hosted.group?, hosted)));
        let done = store.checkpoint(&mut Groups { streams: streams.collect() })?;
        for damage in done.damage {
            self.shared.damages.note(damage.to_string());
        }
        Ok(())
    }
}

/// The streams that have groups.
struct Groups {
    streams: HashMap<GroupId, Arc<Hosted>>,
}

impl Checkpointed for Groups {
    fn capture(&mut self, group: GroupId, plan: &Plan<'_>, captured: &mut Captured) -> bool {
        self.streams.get(&group).is_some_and(|hosted| hosted.capture(plan, captured))
    }

    fn moved(&mut self, group: GroupId, moved: &[Moved], gone: &mut Vec<dialtone_store::Place>) {
        match self.streams.get(&group) {
            Some(hosted) => hosted.moved(moved, gone),
            None => gone.extend(moved.iter().map(|one| one.to)),
        }
    }
}

impl Hosted {
    /// Captures the stream for a checkpoint, if it is to stay.
    fn capture(&self, plan: &Plan<'_>, captured: &mut Captured) -> bool {
        let inner = self.lock();
        if inner.is_gone {
            return false;
        }
        plan.begin(captured);
        inner.state.capture(&mut captured.state);
        if captured.state.len() > BODY_BYTES_MAX {
            return false;
        }
        for range in plan.sequences() {
            let places = inner.state.machine.messages().places(*range.start(), *range.end());
            let places = places.map(|(seq, place)| (seq, dialtone_store::Place::from_bytes(place.0)));
            let moves = places.filter(|(_, place)| plan.moves(*place));
            captured.moves.extend(moves.map(|(seq, place)| (seq, place, Note::default())));
        }
        true
    }

    /// Messages have new places; those of messages that are gone are added to `gone`.
    fn moved(&self, moved: &[Moved], gone: &mut Vec<dialtone_store::Place>) {
        for piece in moved.chunks(PIECE) {
            let mut inner = self.lock();
            for one in piece {
                let from = Place(one.from.to_bytes());
                if inner.state.machine.messages().place(one.seq) == Some(from) {
                    inner.state.machine.set_place(one.seq, Place(one.to.to_bytes()));
                } else {
                    gone.push(one.to);
                    if let Some(group) = self.group {
                        self.shared.care.copied(group, one.seq, one.to);
                    }
                }
            }
        }
    }
}
