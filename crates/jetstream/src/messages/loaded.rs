//! Subjects that were looked up in runs: who only looks may add to them, and what stands here stays where it is until a change lets it go.

use super::paged::Heads;
use super::subjects::{Subject, allocated};
use hashbrown::HashTable;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Slots of the first part; each part has twice as many as the one before. In debug builds small streams have some, too.
const FIRST: usize = if cfg!(debug_assertions) { 8 } else { 256 };
/// More slots than there are numbers.
const PARTS: usize = if cfg!(debug_assertions) { 29 } else { 24 };

#[derive(Debug)]
struct Slot {
    subject: Subject,
    /// When it was put here: how many had been before.
    stamp: u64,
}

#[derive(Debug)]
pub(super) struct Loaded {
    /// Where they are looked up.
    pub(super) heads: Arc<dyn Heads>,
    parts: [OnceLock<Box<[OnceLock<Slot>]>>; PARTS],
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    table: HashTable<u32>,
    free: Vec<u32>,
    /// Slots that are or were in use.
    len: u32,
    /// How many were put here.
    stamp: u64,
    name_bytes: usize,
}

/// The part of a slot, and its place there.
#[inline]
fn place_in(at: u32) -> (usize, usize) {
    let block = at as usize / FIRST + 1;
    let part = block.ilog2() as usize;
    (part, FIRST * (block - (1 << part)) + at as usize % FIRST)
}

impl Loaded {
    pub(super) fn new(heads: Arc<dyn Heads>) -> Self {
        Self { heads, parts: [const { OnceLock::new() }; PARTS], index: Mutex::default() }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn slot(&self, at: u32) -> Option<&Slot> {
        let (part, place) = place_in(at);
        self.parts.get(part)?.get()?.get(place)?.get()
    }

    #[inline]
    pub(super) fn get(&self, at: u32) -> Option<&Subject> {
        self.slot(at).map(|slot| &slot.subject)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut Subject> {
        let (part, place) = place_in(at);
        let slot = self.parts.get_mut(part)?.get_mut()?.get_mut(place)?.get_mut();
        slot.map(|slot| &mut slot.subject)
    }

    pub(super) fn find(&self, name: &[u8], hash: u64) -> Option<u32> {
        let is_it = |&at: &u32| self.get(at).is_some_and(|known| known.name() == name);
        self.index().table.find(hash, is_it).copied()
    }

    /// Adds one that is not here; `None`: there is no room.
    pub(super) fn insert(&self, subject: Subject, hash: u64, hash_of: impl Fn(&[u8]) -> u64) -> Option<u32> {
        let mut index = self.index();
        let at = index.free.pop().unwrap_or(index.len);
        let (part, place) = place_in(at);
        let part = self.parts.get(part)?.get_or_init(|| {
            let slots = FIRST << part;
            std::iter::repeat_with(OnceLock::new).take(slots).collect()
        });
        let (name_bytes, stamp) = (allocated(subject.name().len()), index.stamp);
        part.get(place)?.set(Slot { subject, stamp }).ok()?;
        index.len = index.len.max(at + 1);
        index.stamp += 1;
        index.name_bytes += name_bytes;
        index.table.insert_unique(hash, at, |&at| self.get(at).map_or(0, |known| hash_of(known.name())));
        Some(at)
    }

    /// How many were put here so far.
    pub(super) fn stamp(&self) -> u64 {
        self.index().stamp
    }

    /// Whether one was here when so many had been put here.
    pub(super) fn was_here(&self, at: u32, stamp: u64) -> bool {
        self.slot(at).is_some_and(|slot| slot.stamp < stamp)
    }

    /// How many are here.
    pub(super) fn len(&self) -> usize {
        self.index().table.len()
    }

    /// All that were here when so many had been put here.
    pub(super) fn iter(&self, stamp: u64) -> impl Iterator<Item = (u32, &Subject)> {
        let len = self.index().len;
        let all = (0..len).filter_map(|at| Some((at, self.slot(at)?)));
        all.filter(move |(_, slot)| slot.stamp < stamp).map(|(at, slot)| (at, &slot.subject))
    }

    /// Lets go of what is not to stay.
    pub(super) fn retain(&mut self, stays: impl Fn(u32, &Subject) -> bool, hash_of: impl Fn(&[u8]) -> u64) {
        let index = self.index.get_mut().unwrap_or_else(PoisonError::into_inner);
        for at in 0..index.len {
            let (part, place) = place_in(at);
            let slot =
                self.parts.get_mut(part).and_then(OnceLock::get_mut).and_then(|part| part.get_mut(place));
            let Some(slot) = slot else { continue };
            if slot.get().is_none_or(|slot| stays(at, &slot.subject)) {
                continue;
            }
            let Some(gone) = slot.take() else { continue };
            let name = gone.subject.name();
            if let Ok(entry) = index.table.find_entry(hash_of(name), |&known| known == at) {
                entry.remove();
            }
            index.name_bytes -= allocated(name.len());
            index.free.push(at);
        }
        if index.table.is_empty() {
            *index = Index { stamp: index.stamp, ..Index::default() };
            self.parts = [const { OnceLock::new() }; PARTS];
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let slots: usize = self.parts.iter().filter_map(OnceLock::get).map(|part| part.len()).sum();
        let index = self.index();
        size_of::<Self>()
            + slots * size_of::<OnceLock<Slot>>()
            + index.table.capacity() * 5
            + index.free.capacity() * 4
            + index.name_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_in_a_row() {
        let mut before = None;
        for at in 0..(FIRST as u32) * 70 {
            let (part, place) = place_in(at);
            let expected = match before {
                None => (0, 0),
                Some((part, place)) if place + 1 < FIRST << part => (part, place + 1),
                Some((part, _)) => (part + 1, 0),
            };
            assert_eq!((part, place), expected, "{at}");
            before = Some((part, place));
        }
        assert!(place_in(u32::MAX >> 1).0 < PARTS);
    }
}
