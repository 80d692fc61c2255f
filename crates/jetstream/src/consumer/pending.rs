//! The messages that were delivered and are not acknowledged: by sequence, by deadline, and those that are to come again.
//!
//! Sequences are delivered in ascending order, and deadlines mostly too, so that both stand in queues: what is acknowledged is only marked, and
//! taken out when it comes to the front, or when more than half of a queue is marked.

use super::rare::Unused;
use std::collections::{BTreeSet, VecDeque};

/// A message that waits for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its sequence in the stream.
    pub seq: u64,
    /// The sequence of its first delivery.
    pub consumer_seq: u64,
    /// When it was delivered last, or when progress was reported. Nanoseconds since 1970.
    pub at: i64,
    /// When it comes again.
    pub due: i64,
    /// How often it was delivered; 0 if its first delivery reached nobody.
    pub deliveries: u32,
    place: Place,
    /// Which of its notes in the queue of those to come again counts.
    ticket: u32,
}

/// Where an entry is noted besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In one of the queues of deadlines.
    Deadlines,
    /// In the queue of those that are to come again.
    Ready,
    /// Nowhere: it was taken out.
    Gone,
}

impl Entry {
    /// Of a message that was just delivered for the first time.
    pub fn new(seq: u64, consumer_seq: u64, at: i64, due: i64) -> Self {
        Self { seq, consumer_seq, at, due, deliveries: 1, place: Place::Deadlines, ticket: 0 }
    }
}

/// Marked entries that a queue may hold besides as many as there are live ones.
const MARKED_MAX: usize = 64;

/// All of one consumer.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Ascending by sequence, with marked ones in between; the first is not marked.
    entries: VecDeque<Entry>,
    live: usize,
    redelivered: usize,
    /// Deadlines in ascending order, also of entries that have another one by now.
    in_order: VecDeque<(i64, u64)>,
    /// Deadlines that came out of order.
    other: BTreeSet<(i64, u64)>,
    /// Those to come again, also those that no longer are.
    ready: VecDeque<(u64, u32)>,
    /// How many of them are.
    ready_live: usize,
}

impl Unused for Pending {
    fn unused() -> &'static Self {
        static UNUSED: Pending = Pending::new();
        &UNUSED
    }
}

impl Default for Pending {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Pending {
    /// Whether both hold the same messages. Which of them are to come again is no part of it: that follows from the deadlines.
    fn eq(&self, other: &Self) -> bool {
        let key = |entry: &Entry| (entry.seq, entry.consumer_seq, entry.at, entry.due, entry.deliveries);
        self.iter().map(key).eq(other.iter().map(key))
    }
}

impl Pending {
    const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            live: 0,
            redelivered: 0,
            in_order: VecDeque::new(),
            other: BTreeSet::new(),
            ready: VecDeque::new(),
            ready_live: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many were delivered more than once.
    pub fn redelivered(&self) -> usize {
        self.redelivered
    }

    /// All, ascending by sequence.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.place != Place::Gone)
    }

    /// The one of the lowest sequence.
    pub fn first(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// The one of this sequence.
    pub fn get(&self, seq: u64) -> Option<&Entry> {
        self.find(seq).map(|at| &self.entries[at])
    }

    fn find(&self, seq: u64) -> Option<usize> {
        let first = self.entries.front()?.seq;
        // Without gaps, the place follows from the sequence.
        let guess = usize::try_from(seq.checked_sub(first)?).unwrap_or(usize::MAX);
        let at = match self.entries.get(guess) {
            Some(entry) if entry.seq == seq => guess,
            _ => self.entries.binary_search_by_key(&seq, |entry| entry.seq).ok()?,
        };
        (self.entries[at].place != Place::Gone).then_some(at)
    }

    /// Adds one, whose sequence is not in it.
    pub fn insert(&mut self, mut entry: Entry) {
        entry.place = Place::Deadlines;
        self.live += 1;
        self.redelivered += usize::from(entry.deliveries > 1);
        match self.entries.back() {
            Some(last) if last.seq >= entry.seq => {
                match self.entries.binary_search_by_key(&entry.seq, |e| e.seq) {
                    Ok(at) => self.entries[at] = entry,
                    Err(at) => self.entries.insert(at, entry),
                }
            }
            _ => self.entries.push_back(entry),
        }
        self.note_deadline(entry.due, entry.seq);
    }

    fn note_deadline(&mut self, due: i64, seq: u64) {
        if self.in_order.back().is_none_or(|last| *last <= (due, seq)) {
            self.in_order.push_back((due, seq));
        } else {
            self.other.insert((due, seq));
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, seq: u64) -> Option<Entry> {
        let at = self.find(seq)?;
        let entry = self.entries[at];
        self.entries[at].place = Place::Gone;
        self.live -= 1;
        self.redelivered -= usize::from(entry.deliveries > 1);
        self.ready_live -= usize::from(entry.place == Place::Ready);
        if !self.other.is_empty() {
            self.other.remove(&(entry.due, seq));
        }
        self.trim();
        Some(entry)
    }

    /// Gives one that is there another deadline, and counts a delivery if it was one. At `at` or before, it is to come again at once.
    pub fn postpone(&mut self, seq: u64, at: i64, due: i64, delivered: Delivered) {
        let Some(index) = self.find(seq) else { return };
        let entry = &mut self.entries[index];
        let old = entry.due;
        let was_ready = entry.place == Place::Ready;
        match delivered {
            Delivered::Again => {
                self.redelivered += usize::from(entry.deliveries == 1);
                entry.deliveries = entry.deliveries.saturating_add(1);
                entry.at = at;
            }
            Delivered::NotAtAll => {
                self.redelivered -= usize::from(entry.deliveries == 2);
                entry.deliveries = entry.deliveries.saturating_sub(1);
            }
            Delivered::Progress => entry.at = at,
            Delivered::No => {}
        }
        entry.due = due;
        if due <= at {
            if !was_ready {
                self.make_ready(index);
            }
        } else {
            entry.place = Place::Deadlines;
            self.ready_live -= usize::from(was_ready);
            self.note_deadline(due, seq);
        }
        if old != due && !self.other.is_empty() {
            self.other.remove(&(old, seq));
        }
        self.trim();
    }

    /// Moves those whose deadline has come to the ones that are to come again: by sequence, as far as they come together.
    pub fn expire(&mut self, now: i64, expired: &mut Vec<u64>) {
        expired.clear();
        while let Some((due, seq)) = self.in_order.front().copied().filter(|(due, _)| *due <= now) {
            self.in_order.pop_front();
            if self.is_waiting(due, seq) {
                expired.push(seq);
            }
        }
        while let Some((due, seq)) = self.other.first().copied().filter(|(due, _)| *due <= now) {
            self.other.pop_first();
            if self.is_waiting(due, seq) {
                expired.push(seq);
            }
        }
        expired.sort_unstable();
        expired.dedup();
        for seq in expired.iter() {
            if let Some(at) = self.find(*seq) {
                self.make_ready(at);
            }
        }
        self.trim();
    }

    /// The next one to come again. It stays until it is delivered.
    pub fn next_ready(&mut self) -> Option<Entry> {
        if self.ready_live == 0 {
            self.ready.clear();
        }
        while let Some(note) = self.ready.front() {
            match self.noted(*note) {
                Some(entry) => return Some(*entry),
                None => self.ready.pop_front(),
            };
        }
        None
    }

    fn make_ready(&mut self, at: usize) {
        let entry = &mut self.entries[at];
        entry.place = Place::Ready;
        entry.ticket = entry.ticket.wrapping_add(1);
        self.ready.push_back((entry.seq, entry.ticket));
        self.ready_live += 1;
    }

    /// The entry of a note in the queue of those to come again, if it counts.
    fn noted(&self, (seq, ticket): (u64, u32)) -> Option<&Entry> {
        self.get(seq).filter(|entry| entry.place == Place::Ready && entry.ticket == ticket)
    }

    /// How many are to come again.
    pub fn ready(&self) -> usize {
        self.ready_live
    }

    /// The earliest deadline.
    pub fn deadline(&self) -> Option<i64> {
        let in_order = self.in_order.front().map(|(due, _)| *due);
        let other = self.other.first().map(|(due, _)| *due);
        in_order.into_iter().chain(other).min()
    }

    /// The latest deadline.
    pub fn last_deadline(&self) -> Option<i64> {
        self.iter().map(|entry| entry.due).max()
    }

    fn is_waiting(&self, due: i64, seq: u64) -> bool {
        self.get(seq).is_some_and(|entry| entry.place == Place::Deadlines && entry.due == due)
    }

    /// Takes marked ones from the fronts, and from everywhere when they are many.
    fn trim(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.place == Place::Gone) {
            self.entries.pop_front();
        }
        while let Some((due, seq)) = self.in_order.front().copied() {
            if self.is_waiting(due, seq) {
                break;
            }
            self.in_order.pop_front();
        }
        let room = self.live * 2 + MARKED_MAX;
        if self.entries.len() > room {
            self.entries.retain(|entry| entry.place != Place::Gone);
        }
        if self.in_order.len() > room {
            let mut kept = std::mem::take(&mut self.in_order);
            kept.retain(|(due, seq)| self.is_waiting(*due, *seq));
            self.in_order = kept;
        }
        if self.ready.len() > room {
            let mut kept = std::mem::take(&mut self.ready);
            kept.retain(|note| self.noted(*note).is_some());
            self.ready = kept;
        }
    }
}

/// What happened to a message whose deadline changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It was delivered once more.
    Again,
    /// Its last delivery did not reach anyone.
    NotAtAll,
    /// Somebody works on it.
    Progress,
    /// Nothing.
    No,
}
