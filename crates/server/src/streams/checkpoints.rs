//! Checkpoints of the store: when there is one, and what of each stream it takes along.

use super::care::Scrub;
use super::hosted::Hosted;
use super::memory::behind_bytes;
use super::registry::All;
use super::shared::Shared;
use super::table::Table;
use crate::clock;
use dialtone_jetstream::messages::Place;
use dialtone_store::{
    BODY_BYTES_MAX, BlockError, Blocks, Captured, CheckpointError, Checkpointed, GroupId, Moved, Plan, Store,
};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
        Self { state: Mutex::default(), changed: Condvar::new(), at_bytes: AtomicU64::new(u64::MAX) }
    }
}

impl Alarm {
    /// The log has so many bytes behind the last checkpoint.
    pub(super) fn look(&self, behind: u64) {
        if behind > self.at_bytes.load(Ordering::Relaxed) {
            self.ring();
        }
    }

    /// It rings now.
    pub(super) fn ring(&self) {
        self.state.lock().is_rung = true;
        self.changed.notify_one();
    }

    /// It rings from so many bytes on.
    pub(super) fn set_at(&self, bytes: u64) {
        self.at_bytes.store(bytes, Ordering::Relaxed);
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
    pub(super) shared: &'a Shared,
    pub(super) all: &'a All,
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
        let (mut at, mut position) = (clock::moment(), store.position());
        let mut is_due = has_news;
        let mut has_failed = false;
        let mut scrub = Scrub::new();
        while self.shared.care.alarm.wait(LOOK.min(interval)) {
            if !store.is_there() {
                say(None);
                continue;
            }
            self.shared.care.erase_all(store, self.shared);
            scrub.look(store, self.shared, self.all);
            self.cool();
            self.page_out();
            is_due |= self.shared.is_index_due()
                || store.to_move_bytes() > self.shared.care.alarm.at_bytes.load(Ordering::Relaxed)
                || store.is_low()
                || (at.elapsed() >= interval && (store.position() != position || store.to_seal_bytes() > 0));
            if !std::mem::take(&mut is_due) {
                say(None);
                continue;
            }
            let done = self.checkpoint(store);
            self.page_out();
            self.note_index_left();
            (at, position) = (clock::moment(), store.position());
            // What cannot move stays behind, and is no reason for another one.
            self.shared.care.alarm.set_at(store.to_move_bytes() + behind_bytes(self.shared.memory()));
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
        let tables = HashMap::new();
        let done = store.checkpoint(&mut Groups { store, streams: streams.collect(), tables })?;
        for damage in done.damage {
            self.shared.damages.note_damage(&damage, self.all);
        }
        Ok(())
    }
}

/// The streams that have groups.
struct Groups<'a> {
    store: &'a Store,
    streams: HashMap<GroupId, Arc<Hosted>>,
    /// What of tables of subjects is to be written, or was.
    tables: HashMap<GroupId, Table>,
}

impl Checkpointed for Groups<'_> {
    fn capture(&mut self, group: GroupId, plan: &Plan<'_>, captured: &mut Captured) -> bool {
        let Some(hosted) = self.streams.get(&group) else { return false };
        let mut has_table = false;
        let is_captured = hosted.capture(self.store, plan, captured, &mut has_table);
        self.tables.extend(has_table.then_some((group, Table::Captured)));
        is_captured
    }

    fn write_blocks(
        &mut self,
        group: GroupId,
        plan: &Plan<'_>,
        blocks: &mut Blocks<'_, '_>,
        state: &mut Vec<u8>,
    ) -> Result<(), BlockError> {
        let (Some(hosted), Some(Table::Captured)) = (self.streams.get(&group), self.tables.remove(&group))
        else {
            return Ok(());
        };
        let runs = hosted.write_table((plan, blocks), state)?;
        self.tables.insert(group, Table::Written(runs));
        Ok(())
    }

    fn settled(&mut self, group: GroupId) {
        if let (Some(hosted), Some(Table::Written(runs))) =
            (self.streams.get(&group), self.tables.remove(&group))
        {
            hosted.lock().state.machine.set_runs(Some(runs));
        }
    }

    fn moved(&mut self, group: GroupId, moved: &[Moved], gone: &mut Vec<dialtone_store::Place>) {
        match self.streams.get(&group) {
            Some(hosted) => hosted.moved(moved, gone),
            None => gone.extend(moved.iter().map(|one| one.to)),
        }
    }
}

/// A place as the store has it.
fn stored(place: Place) -> dialtone_store::Place {
    dialtone_store::Place::from_bytes(place.0)
}

impl Hosted {
    /// Lets what is known of the oldest messages go from memory, but for so many bytes.
    pub(super) fn page_out(&self, bytes_max: usize) {
        let is_settled = |place: Place| stored(place).lsn().is_none();
        self.lock().state.machine.page_out(bytes_max, is_settled);
    }

    /// Leaves subjects to the disk, and what names them but for so many bytes.
    pub(super) fn subjects_out(&self, bytes_max: usize) {
        let is_settled = |place: Place| stored(place).lsn().is_none();
        self.lock().state.machine.subjects_out(bytes_max, is_settled);
    }

    /// Captures the stream for a checkpoint, if it is to stay.
    fn capture(&self, store: &Store, plan: &Plan<'_>, captured: &mut Captured, has_table: &mut bool) -> bool {
        let mut inner = self.lock();
        if inner.is_gone || !inner.state.machine.renew_subjects() {
            return false;
        }
        plan.begin(captured);
        *has_table = inner.state.capture(&mut captured.state);
        if captured.state.len() > BODY_BYTES_MAX {
            return false;
        }
        let messages = inner.state.machine.messages();
        let mut cold = BTreeMap::new();
        for range in plan.sequences() {
            cold.extend(messages.cold(*range.start(), *range.end()));
            let moving = messages.moving(*range.start(), *range.end());
            let moving = moving.map(|(seq, place, links)| (seq, stored(place), links.0));
            captured.moves.extend(moving.filter(|(_, place, _)| plan.moves(*place)));
        }
        drop(inner);
        // Nobody but this checkpoint changes where messages on disk are.
        if let Some(group) = self.group.filter(|_| !cold.is_empty()) {
            let heads = self.shared.index().of(&self.name, store.heads(group));
            let mut moves = Vec::new();
            for cold in cold.values() {
                cold.read(&*heads, |seq, place, links| {
                    moves.extend(plan.moves(stored(place)).then_some((seq, stored(place), links.0)));
                });
            }
            moves.append(&mut captured.moves);
            captured.moves = moves;
        }
        true
    }

    /// Messages have new places; those of messages that are gone are added to `gone`.
    fn moved(&self, moved: &[Moved], gone: &mut Vec<dialtone_store::Place>) {
        for piece in moved.chunks(PIECE) {
            let mut inner = self.lock();
            for one in piece {
                let (from, to) = (Place(one.from.to_bytes()), Place(one.to.to_bytes()));
                if !inner.state.machine.moved(one.seq, from, to) {
                    gone.push(one.to);
                    if let Some(group) = self.group {
                        self.shared.care.copied(group, one.seq, one.to);
                    }
                }
            }
        }
    }
}
