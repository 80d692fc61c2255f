//! What the thread of checkpoints does for the store besides: it erases what was deleted for good, and reads what nobody asks for, so that damage is
//! found early.

use super::checkpoints::Alarm;
use super::registry::All;
use super::shared::Shared;
use crate::clock;
use dialtone_jetstream::memory::Budget;
use dialtone_jetstream::messages::Place;
use dialtone_store::{GroupId, ReadError, Store};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

/// How often a segment is read through: some megabytes a second where there are many.
const SCRUB_INTERVAL: Duration = Duration::from_secs(10);
/// How long it rests when all were read.
const SCRUB_REST: Duration = Duration::from_secs(3600);

/// What the thread of checkpoints looks after.
#[derive(Default)]
pub(super) struct Care {
    /// When a checkpoint is due.
    pub(super) alarm: Alarm,
    /// Messages that are deleted and wait for being erased, with all places where they are.
    to_erase: Mutex<BTreeMap<(GroupId, u64), Vec<dialtone_store::Place>>>,
    /// What streams in files may take of memory.
    pub(super) budget: Arc<Budget>,
    /// Bytes that the index and subjects had when a checkpoint had made them smaller.
    pub(super) left: [AtomicUsize; 2],
}

impl Care {
    /// Messages of a group are gone, and are to be erased.
    pub(super) fn erase(&self, group: GroupId, messages: impl Iterator<Item = (u64, Place)>) {
        let mut to_erase = self.to_erase.lock();
        for (seq, place) in messages {
            let places = to_erase.entry((group, seq)).or_default();
            places.push(dialtone_store::Place::from_bytes(place.0));
        }
    }

    /// A checkpoint copied a message that was deleted meanwhile: if it is to be erased, its copy is, too.
    pub(super) fn copied(&self, group: GroupId, seq: u64, to: dialtone_store::Place) {
        if let Some(places) = self.to_erase.lock().get_mut(&(group, seq)) {
            places.push(to);
        }
    }

    /// Erases what waits for it.
    pub(super) fn erase_all(&self, store: &Store, shared: &Shared) {
        let taken = std::mem::take(&mut *self.to_erase.lock());
        if taken.is_empty() {
            return;
        }
        let messages: Vec<_> = taken
            .into_iter()
            .flat_map(|((group, seq), places)| places.into_iter().map(move |place| (group, seq, place)))
            .collect();
        let mut later = std::collections::BTreeSet::new();
        // That the store has failed is said elsewhere.
        let _ = store.erase_all(&messages, &mut |group, seq, error| match error {
            // Its file is gone.
            ReadError::Moved => {}
            // It is not in its file before there is room.
            ReadError::Disk { cause, .. } if cause.kind() == std::io::ErrorKind::StorageFull => {
                later.insert((group, seq));
            }
            error => {
                shared.damages.note(format!("message {seq}, which is deleted, cannot be erased: {error}"))
            }
        });
        if later.is_empty() {
            return;
        }
        let mut to_erase = self.to_erase.lock();
        for (group, seq, place) in
            messages.into_iter().filter(|(group, seq, _)| later.contains(&(*group, *seq)))
        {
            to_erase.entry((group, seq)).or_default().push(place);
        }
    }
}

/// Reads one segment after the other.
pub(super) struct Scrub {
    after: u64,
    due: Instant,
}

impl Scrub {
    /// It begins in a while.
    pub(super) fn new() -> Self {
        Self { after: 0, due: clock::moment() + SCRUB_INTERVAL }
    }

    /// Reads a segment, if it is time.
    pub(super) fn look(&mut self, store: &Store, shared: &Shared, all: &All) {
        if clock::moment() < self.due {
            return;
        }
        self.step(store, shared, all);
    }

    fn step(&mut self, store: &Store, shared: &Shared, all: &All) {
        let rest = match store.scrub(self.after) {
            Ok(Some(scrubbed)) => {
                scrubbed.damage.iter().for_each(|damage| shared.damages.note_damage(damage, all));
                self.after = scrubbed.segment;
                SCRUB_INTERVAL
            }
            Ok(None) => {
                self.after = 0;
                SCRUB_REST
            }
            Err(error) => {
                shared.damages.note(format!("{error} while looking for damage"));
                self.after = 0;
                SCRUB_REST
            }
        };
        self.due = clock::moment() + rest;
    }
}
