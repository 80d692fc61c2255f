//! The message ids of the duplicate window, oldest first.

use dialtone_subject::Hashing;
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::hash::BuildHasher;

#[derive(Clone, Copy, Debug)]
struct Known {
    time: i64,
    seq: u64,
    /// Where the id begins in all bytes there ever were.
    start: u64,
    hash: u64,
    len: u32,
}

/// Message ids with when they came and what sequence they got.
#[derive(Debug, Default)]
pub(super) struct Dedupe {
    known: VecDeque<Known>,
    /// The ids themselves, in the same order.
    bytes: VecDeque<u8>,
    /// Numbers of entries, counted from the first there ever was.
    table: HashTable<u64>,
    forgotten: u64,
    forgotten_bytes: u64,
    hashing: Hashing,
}

impl Dedupe {
    /// The sequence that an id got within the window.
    pub(super) fn find(&self, id: &[u8], now: i64, window: i64) -> Option<u64> {
        if self.table.is_empty() || window <= 0 {
            return None;
        }
        let hash = self.hashing.hash_one(id);
        let at = self.table.find(hash, |&number| self.is(number, hash, id))?;
        let known = self.at(*at)?;
        (now.saturating_sub(known.time) < window).then_some(known.seq)
    }

    fn at(&self, number: u64) -> Option<&Known> {
        self.known.get((number - self.forgotten) as usize)
    }

    fn is(&self, number: u64, hash: u64, id: &[u8]) -> bool {
        let Some(known) = self.at(number) else { return false };
        known.hash == hash && known.len as usize == id.len() && self.id(known).eq(id.iter().copied())
    }

    fn id(&self, known: &Known) -> impl Iterator<Item = u8> + '_ {
        let start = (known.start - self.forgotten_bytes) as usize;
        self.bytes.range(start..start + known.len as usize).copied()
    }

    /// Notes an id; what is older than the window goes. A later message with the same id takes its place.
    pub(super) fn note(&mut self, id: &[u8], seq: u64, time: i64, window: i64) {
        self.forget(time, window);
        if window <= 0 {
            return;
        }
        let hash = self.hashing.hash_one(id);
        let start = self.forgotten_bytes + self.bytes.len() as u64;
        let number = self.forgotten + self.known.len() as u64;
        self.bytes.extend(id.iter());
        self.known.push_back(Known { time, seq, start, hash, len: id.len() as u32 });
        let (known, forgotten) = (&self.known, self.forgotten);
        let before = self.table.find_entry(hash, |&other| {
            known.get((other - forgotten) as usize).is_some_and(|entry| {
                let start = (entry.start - self.forgotten_bytes) as usize;
                entry.hash == hash && self.bytes.range(start..start + entry.len as usize).eq(id.iter())
            })
        });
        if let Ok(mut before) = before {
            *before.get_mut() = number;
            return;
        }
        self.table.insert_unique(hash, number, |&other| {
            known.get((other - forgotten) as usize).map_or(0, |entry| entry.hash)
        });
    }

    /// Forgets what is older than the window.
    pub(super) fn forget(&mut self, now: i64, window: i64) {
        while let Some(&oldest) = self.known.front() {
            if now.saturating_sub(oldest.time) < window {
                return;
            }
            let number = self.forgotten;
            if let Ok(entry) = self.table.find_entry(oldest.hash, |&other| other == number) {
                entry.remove();
            }
            self.bytes.drain(..oldest.len as usize);
            self.known.pop_front();
            self.forgotten += 1;
            self.forgotten_bytes += u64::from(oldest.len);
        }
    }

    /// All ids with their sequences and times, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Vec<u8>, u64, i64)> + '_ {
        self.known.iter().map(|known| (self.id(known).collect(), known.seq, known.time))
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
