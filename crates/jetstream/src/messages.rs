//! The messages of a stream: an index by sequence and by subject, and the bodies that are in memory.
//!
//! Begin with [`Messages`]. Rooms inside: [`entry`] is what is known of one message (32 bytes, and 16 for the place of its body),
//! `chunk` 1,024 sequences of them, `live` which of these have a message, `paged` the chunks that are on disk alone, `subjects` the table of
//! subjects with first, last and count, `order` the same by name and `behind` which name a filter can match next, `runs` that table on disk, `changes` what
//! is not there yet, `loaded` what was looked up there, `absent` looks there while others work at the stream, and `evict` what is there alone, `bodies` the bodies in memory, `walk` goes from message to message, `links` those of a subject,
//! `page` changes between memory and disk, `select` reads by filter.
//!
//! Invariants: `count` and `bytes` are those of the live messages; the first sequence is live, or one behind the last where nothing is. Chunks
//! that are on disk alone come before all others. What lives is known in memory; a link counts where it leads to what lives.

mod absent;
mod behind;
mod bodies;
mod changes;
mod chunk;
mod entry;
mod evict;
mod links;
mod live;
mod loaded;
mod order;
mod page;
mod paged;
mod runs;
mod select;
mod subjects;
#[cfg(test)]
mod tests;
mod walk;

use crate::memory::{Charge, Part};
pub use absent::Absent;
use bodies::Bodies;
use chunk::{CHUNK, Chunk};
use entry::Entry;
pub use entry::Links;
pub(crate) use page::Listed;
pub use page::{Chunks, Counted, Resumed};
use paged::{Cache, Paged};
pub use paged::{Cold, Found, Heads};
pub use runs::{BlockSink, NotWritten, Outgoing, Runs, RunsError, Unread};
pub use select::{Next, Selector, TooMany};
use std::collections::BTreeMap;
use subjects::Subjects;
pub use subjects::{Subject, SubjectId};

/// Where the store keeps the bytes of a message: its own value, opaque here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place(pub [u8; 16]);

/// Where bodies are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All in memory: a memory stream.
    All,
    /// The latest, up to so many bytes; all have a [`Place`] besides: a file stream.
    Latest {
        /// Bytes of bodies in memory before the oldest go.
        bytes_max: usize,
    },
}

/// What is stored of one message, without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// Its stream sequence, from 1.
    pub seq: u64,
    /// When it was stored: nanoseconds since 1970.
    pub time: i64,
    /// Its subject, behind all transforms.
    pub subject: &'a [u8],
    /// Its subject's number; good until the next change.
    pub subject_id: SubjectId,
    /// Bytes of the header block, at the front of the body.
    pub header_bytes: u16,
    /// Bytes of headers and payload.
    pub body_bytes: u32,
    /// Whether neither `max_age` nor a TTL removes it (`Nats-TTL: never`).
    pub is_kept_forever: bool,
    /// Whether it is a subject delete marker, which is not replaced by another one when it expires.
    pub is_marker: bool,
}

/// Where the body of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// In memory: headers and payload.
    Hot(&'a [u8]),
    /// The store has it.
    Cold(Place),
}

/// A message to be added behind the last.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Nanoseconds since 1970.
    pub time: i64,
    /// Valid, without wildcards that would count.
    pub subject: &'a [u8],
    /// Bytes of headers in `body`.
    pub header_bytes: u16,
    /// Bytes of headers and payload, also if `body` is empty since it is on disk alone.
    pub body_bytes: u32,
    /// Headers and payload in parts; empty in recovery.
    pub body: [&'a [u8]; 2],
    /// See [`Head::is_kept_forever`].
    pub is_kept_forever: bool,
    /// See [`Head::is_marker`].
    pub is_marker: bool,
}

/// A message that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Its sequence.
    pub seq: u64,
    /// Its subject, whose name can be asked for until the next change of the stream begins.
    pub subject: SubjectId,
    /// What it counted in the stream's `bytes`.
    pub bytes: u64,
}

/// The figures of a stream's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Live messages.
    pub count: u64,
    /// Their bytes, as the official server counts them.
    pub bytes: u64,
    /// The sequence of the first one; one behind `last` if there is none, 0 in a stream that never had any.
    pub first: u64,
    /// The last sequence given, 0 at the beginning.
    pub last: u64,
    /// When the message with the last sequence was stored; 0: never.
    pub last_time: i64,
}

/// The messages of one stream.
#[derive(Debug)]
pub struct Messages {
    totals: Totals,
    /// Chunks that are on disk alone, by number, all before those in `chunks`.
    paged: BTreeMap<u64, Paged>,
    /// Where these are read; `None`: there are none.
    cache: Option<Cache>,
    /// By the number of the chunk; the one that is written is `tail`.
    chunks: BTreeMap<u64, Chunk>,
    tail: Chunk,
    subjects: Subjects,
    bodies: Bodies,
    keep: Keep,
    freed: Freed,
    index: IndexBytes,
    /// Subjects that were looked up in runs and stayed when others went.
    subjects_kept: usize,
}

/// What the index takes in memory.
#[derive(Debug)]
struct IndexBytes {
    /// Chunks that are in memory, but for the one that is written.
    chunk_bytes: usize,
    /// What is known of those that are not.
    paged_bytes: usize,
    charge: Charge,
    /// The table of subjects.
    subjects: Charge,
}

impl IndexBytes {
    #[inline]
    fn set_tail(&mut self, tail: &Chunk) {
        self.charge.set(self.chunk_bytes + self.paged_bytes + tail.memory_bytes());
    }
}

/// Where messages were that are gone. Among them are defaults, which are no places.
#[derive(Debug, Default)]
pub struct Freed {
    /// One by one.
    pub single: Vec<Place>,
    /// All of them up to this sequence.
    pub upto: Option<u64>,
}

impl Messages {
    /// None yet; the first will have the sequence `first`, at least 1.
    pub fn new(keep: Keep, first: u64) -> Self {
        let last = first.max(1) - 1;
        let totals = Totals { last, first: if last == 0 { 0 } else { first }, ..Totals::default() };
        let (tail, bodies) = (Chunk::new(first.max(1) / CHUNK, keep != Keep::All), Bodies::new(keep));
        let (chunks, subjects) = (BTreeMap::new(), Subjects::default());
        let (paged, cache, freed) = (BTreeMap::new(), None, Freed::default());
        let index = IndexBytes {
            chunk_bytes: 0,
            paged_bytes: 0,
            charge: Charge::new(None, Part::Index),
            subjects: Charge::new(None, Part::Subjects),
        };
        Self { totals, paged, cache, chunks, tail, subjects, bodies, keep, freed, index, subjects_kept: 0 }
    }

    /// The figures.
    #[inline]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// How many subjects have messages.
    pub fn subjects_count(&self) -> usize {
        self.subjects.len()
    }

    /// What a message counts in `bytes`: the official server's own accounting of its file and memory stores.
    #[inline]
    pub fn size(&self, subject_bytes: usize, header_bytes: u16, body_bytes: u32) -> u64 {
        let own = match (self.keep, header_bytes) {
            (Keep::All, _) => 16,
            (Keep::Latest { .. }, 0) => 30,
            (Keep::Latest { .. }, _) => 34,
        };
        own + subject_bytes as u64 + u64::from(body_bytes)
    }

    /// Begins a change: names of subjects that the last change left without messages are forgotten.
    #[inline]
    pub fn begin(&mut self) {
        self.subjects.recycle();
        self.settle_subjects();
    }

    /// Adds a message behind the last, and returns its sequence.
    pub fn push(&mut self, new: &New<'_>) -> u64 {
        let seq = self.totals.last + 1;
        self.make_room(seq);
        let id = self.subjects.intern(new.subject);
        let previous = self.subjects.push(id, seq);
        let is_partial = self.subjects.loaded.is_some();
        if previous.is_none() && !is_partial || self.subjects.changes.is_some() && seq.is_multiple_of(64) {
            self.count_subjects();
        }
        let mut entry = Entry::new(new, id);
        if let Some(previous) = previous {
            entry.link_back(seq, previous);
            if let Some(previous) = self.entry_mut(previous) {
                previous.1.link_on(previous.0, seq);
            }
        }
        let bytes = self.size(new.subject.len(), new.header_bytes, new.body_bytes);
        self.tail.push(seq, entry, bytes);
        self.index.set_tail(&self.tail);
        self.bodies.push(seq, &new.body);
        let totals = &mut self.totals;
        if totals.count == 0 {
            totals.first = seq;
        }
        (totals.last, totals.last_time) = (seq, new.time);
        totals.count += 1;
        totals.bytes += bytes;
        self.cool();
        seq
    }

    /// Begins anew behind these sequences, to be filled by [`Self::push_at`].
    pub(crate) fn reset(&mut self, totals: Totals) {
        self.clear(0);
        self.totals = Totals { last: totals.first.max(1) - 1, ..Totals::default() };
    }

    /// Adds a message with this sequence; `false`: it is not behind the last.
    pub(crate) fn push_at(&mut self, seq: u64, new: &New<'_>) -> bool {
        if seq <= self.totals.last {
            return false;
        }
        self.skip(seq - 1, 0);
        self.push(new) == seq
    }

    /// Ends a restore; `false`: the first message is another one.
    pub(crate) fn finish(&mut self, first: u64, last: u64, last_time: i64) -> bool {
        let is_right = self.totals.count == 0 || self.totals.first == first;
        (self.totals.first, self.totals.last, self.totals.last_time) = (first, last, last_time);
        is_right
    }

    /// Where the store keeps the body of a message. `None`: there is no such message, or the stream is in memory.
    pub fn place(&self, seq: u64) -> Option<Place> {
        match self.chunk(seq) {
            Some(chunk) => {
                chunk.get(seq)?;
                chunk.place(seq)
            }
            None => self.in_page(seq, |page| page.place(seq))?,
        }
    }

    /// Says where the store keeps a message of a file stream.
    pub fn set_place(&mut self, seq: u64, place: Place) {
        if let Some(chunk) = self.chunk_mut(seq) {
            chunk.set_place(seq, place);
        }
    }

    /// Where messages were that are gone, until the caller takes it out. Nothing of a stream in memory.
    pub fn freed(&mut self) -> &mut Freed {
        &mut self.freed
    }

    /// Gives a sequence to no message: one that nobody is interested in, or that the origin of a mirror does not have.
    pub fn skip(&mut self, upto: u64, time: i64) {
        if upto <= self.totals.last {
            return;
        }
        self.totals.last = upto;
        if time != 0 || self.totals.last_time == 0 {
            self.totals.last_time = time;
        }
        if self.totals.count == 0 {
            self.totals.first = upto + 1;
        }
    }

    /// Removes a message. `None`: there is none, or nothing is known of it but that it was there.
    pub fn remove(&mut self, seq: u64) -> Option<Removed> {
        let no = seq / CHUNK;
        let Some(entry) = self.chunk(seq).map(|chunk| chunk.get(seq).copied()) else {
            return self.remove_paged(seq);
        };
        let entry = entry?;
        let bytes = self.size_of(&entry);
        let before = self.chunks.get(&no).map_or(0, Chunk::memory_bytes);
        let (_, place) = self.chunk_mut(seq)?.remove(seq, bytes)?;
        self.freed.single.extend(place);
        if self.chunks.get(&no).is_some_and(Chunk::is_empty) {
            self.chunks.remove(&no);
        }
        let after = self.chunks.get(&no).map_or(0, Chunk::memory_bytes);
        self.index.chunk_bytes -= before.saturating_sub(after);
        self.index.set_tail(&self.tail);
        self.totals.count -= 1;
        Some(self.removed(seq, &entry, bytes))
    }

    /// What follows when the entry of a message is gone.
    fn removed(&mut self, seq: u64, entry: &Entry, bytes: u64) -> Removed {
        self.unlink(seq, entry);
        self.totals.bytes -= bytes;
        let live = |seq: u64| live(&self.chunks, &self.tail, seq);
        self.bodies.remove(seq, entry.body_bytes, live);
        self.move_first(seq);
        Removed { seq, subject: entry.subject, bytes }
    }

    /// The first sequence is another one, if it was this one that is gone.
    fn move_first(&mut self, gone: u64) {
        if gone == self.totals.first {
            self.totals.first = self.next_live(gone + 1).unwrap_or(self.totals.last + 1);
        }
    }

    /// Removes everything; the next sequence stays, or is `next` if that is more. Returns how many messages there were.
    pub fn clear(&mut self, next: u64) -> u64 {
        let last = self.totals.last.max(next.saturating_sub(1));
        let count = self.totals.count;
        self.totals = Totals { count: 0, bytes: 0, first: last + 1, last, last_time: self.totals.last_time };
        self.tail = Chunk::new((last + 1) / CHUNK, self.keep != Keep::All);
        if self.keep != Keep::All {
            self.freed.upto = Some(last);
        }
        self.chunks.clear();
        self.paged.clear();
        if let Some(cache) = &self.cache {
            cache.clear();
        }
        self.subjects = self.subjects.emptied();
        self.bodies.clear();
        self.count_index();
        count
    }

    /// What is known of a message.
    pub fn head(&self, seq: u64) -> Option<Head<'_>> {
        let entry = self.entry(seq)?;
        Some(self.head_of(seq, &entry))
    }

    /// The body of a message. `None`: there is no such message, or one of a memory stream whose body is lost, which cannot be.
    pub fn body(&self, seq: u64) -> Option<Body<'_>> {
        let entry = self.entry(seq)?;
        match self.bodies.at(seq) {
            Some(body) if body.len() == entry.body_bytes as usize => Some(Body::Hot(body)),
            _ => self.place(seq).map(Body::Cold),
        }
    }

    /// The name, first, last and count of a subject by its number.
    pub fn subject(&self, id: SubjectId) -> &Subject {
        self.subjects.at(id)
    }

    /// The number of a subject that has messages.
    #[inline]
    pub fn subject_id(&self, subject: &[u8]) -> Option<SubjectId> {
        self.subjects.find(subject)
    }

    /// Bytes of memory that the index takes, about.
    pub fn memory_bytes(&self) -> usize {
        let chunks: usize =
            self.chunks.values().chain(std::iter::once(&self.tail)).map(Chunk::memory_bytes).sum();
        chunks + self.index.paged_bytes + self.subjects.memory_bytes() + self.bodies.memory_bytes()
    }

    /// Bytes that bodies take in memory.
    pub fn body_bytes(&self) -> usize {
        self.bodies.memory_bytes()
    }

    /// Drops the oldest bodies from memory that the store has, while they take more than so many bytes.
    pub fn cool_to(&mut self, bytes_max: usize) {
        if self.keep != Keep::All {
            self.bodies.shrink_memory(bytes_max);
        }
    }

    /// Drops all bodies from memory that the store has, for a stream that is idle.
    pub fn cool_all(&mut self) {
        if self.keep != Keep::All {
            self.bodies.shrink(0);
        }
    }

    fn cool(&mut self) {
        if let Keep::Latest { bytes_max } = self.keep {
            self.bodies.shrink(bytes_max);
        }
    }

    fn head_of<'a>(&'a self, seq: u64, entry: &Entry) -> Head<'a> {
        Head {
            seq,
            time: entry.time,
            subject: self.subjects.at(entry.subject).name(),
            subject_id: entry.subject,
            header_bytes: entry.header_bytes,
            body_bytes: entry.body_bytes,
            is_kept_forever: entry.is_kept_forever(),
            is_marker: entry.is_marker(),
        }
    }

    /// Moves to the chunk of `seq`, if it begins another one.
    #[inline]
    fn make_room(&mut self, seq: u64) {
        let no = seq / CHUNK;
        if no == self.tail.no() {
            return;
        }
        let mut full = std::mem::replace(&mut self.tail, Chunk::new(no, self.keep != Keep::All));
        if !full.is_empty() {
            full.seal();
            self.index.chunk_bytes += full.memory_bytes();
            self.chunks.insert(full.no(), full);
        }
    }

    #[inline]
    fn chunk(&self, seq: u64) -> Option<&Chunk> {
        let no = seq / CHUNK;
        if no == self.tail.no() { Some(&self.tail) } else { self.chunks.get(&no) }
    }

    #[inline]
    fn chunk_mut(&mut self, seq: u64) -> Option<&mut Chunk> {
        let no = seq / CHUNK;
        if no == self.tail.no() { Some(&mut self.tail) } else { self.chunks.get_mut(&no) }
    }

    /// What is known of a message, wherever that is.
    #[inline]
    fn entry(&self, seq: u64) -> Option<Entry> {
        match self.chunk(seq) {
            Some(chunk) => chunk.get(seq).copied(),
            None => self.in_page(seq, |page| page.get(seq).copied())?,
        }
    }

    #[inline]
    fn entry_mut(&mut self, seq: u64) -> Option<(u64, &mut Entry)> {
        self.chunk_mut(seq)?.get_mut(seq).map(|entry| (seq, entry))
    }

    fn size_of(&self, entry: &Entry) -> u64 {
        self.size(self.subjects.at(entry.subject).name().len(), entry.header_bytes, entry.body_bytes)
    }
}

fn live(chunks: &BTreeMap<u64, Chunk>, tail: &Chunk, seq: u64) -> bool {
    let no = seq / CHUNK;
    let chunk = if no == tail.no() { Some(tail) } else { chunks.get(&no) };
    chunk.is_some_and(|chunk| chunk.get(seq).is_some())
}
