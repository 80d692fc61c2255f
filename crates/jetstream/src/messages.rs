//! The messages of a stream: an index by sequence and by subject, and the bodies that are in memory.
//!
//! Begin with [`Messages`]. Rooms inside: [`entry`] is what is known of one message (32 bytes, and 16 for the place of its body),
//! `chunk` 1,024 sequences of them, `subjects` the table of subjects with first, last and count, `bodies` the bodies in memory,
//! `select` reads by filter.
//!
//! Invariants: the live messages of a subject are linked in the order of their sequences; `count` and `bytes` are those of the live messages;
//! the first sequence is live, or one behind the last where nothing is.

mod bodies;
mod chunk;
mod entry;
mod select;
mod subjects;
#[cfg(test)]
mod tests;

use bodies::Bodies;
use chunk::{CHUNK, Chunk};
use entry::Entry;
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
    /// By the number of the chunk; the one that is written is `tail`.
    chunks: BTreeMap<u64, Chunk>,
    tail: Chunk,
    subjects: Subjects,
    bodies: Bodies,
    keep: Keep,
    freed: Freed,
}

/// Where messages were that are gone. Among them are defaults, which are no places.
#[derive(Debug, Default)]
pub struct Freed {
    /// One by one.
    pub single: Vec<Place>,
    /// Those of whole chunks.
    pub many: Vec<Vec<Place>>,
}

impl Messages {
    /// None yet; the first will have the sequence `first`, at least 1.
    pub fn new(keep: Keep, first: u64) -> Self {
        let last = first.max(1) - 1;
        let totals = Totals { last, first: if last == 0 { 0 } else { first }, ..Totals::default() };
        let (tail, bodies) = (Chunk::new(first.max(1) / CHUNK, keep != Keep::All), Bodies::new(keep));
        let (chunks, subjects) = (BTreeMap::new(), Subjects::default());
        Self { totals, chunks, tail, subjects, bodies, keep, freed: Freed::default() }
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
    }

    /// Adds a message behind the last, and returns its sequence.
    pub fn push(&mut self, new: &New<'_>) -> u64 {
        let seq = self.totals.last + 1;
        self.make_room(seq);
        let id = self.subjects.intern(new.subject);
        let subject = self.subjects.at_mut(id);
        let previous = subject.last;
        let was_empty = subject.count == 0;
        if was_empty {
            subject.first = seq;
        }
        subject.last = seq;
        subject.count += 1;
        let mut entry = Entry::new(new, id);
        if !was_empty {
            entry.link_back(seq, previous);
            if let Some(previous) = self.entry_mut(previous) {
                previous.1.link_on(previous.0, seq);
            }
        }
        self.tail.push(seq, entry);
        self.bodies.push(seq, &new.body);
        let totals = &mut self.totals;
        if totals.count == 0 {
            totals.first = seq;
        }
        (totals.last, totals.last_time) = (seq, new.time);
        totals.count += 1;
        self.totals.bytes += self.size(new.subject.len(), new.header_bytes, new.body_bytes);
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
        self.entry(seq)?;
        self.chunk(seq)?.place(seq)
    }

    /// Where the store keeps the messages between two sequences, both included.
    pub fn places(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, Place)> {
        let chunks = self.chunks.range(from / CHUNK..).map(|(_, chunk)| chunk);
        let chunks = chunks.chain(std::iter::once(&self.tail));
        chunks.flat_map(move |chunk| chunk.places_from(from)).take_while(move |(seq, _)| *seq <= to)
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

    /// Removes a message. `None`: there is none.
    pub fn remove(&mut self, seq: u64) -> Option<Removed> {
        let no = seq / CHUNK;
        let (entry, place) = self.chunk_mut(seq)?.remove(seq)?;
        self.freed.single.extend(place);
        self.unlink(seq, &entry);
        let bytes =
            self.size(self.subjects.at(entry.subject).name().len(), entry.header_bytes, entry.body_bytes);
        self.totals.count -= 1;
        self.totals.bytes -= bytes;
        if self.chunks.get(&no).is_some_and(Chunk::is_empty) {
            self.chunks.remove(&no);
        }
        let live = |seq: u64| live(&self.chunks, &self.tail, seq);
        self.bodies.remove(seq, entry.body_bytes, live);
        if seq == self.totals.first {
            self.totals.first = self.next_live(seq + 1).unwrap_or(self.totals.last + 1);
        }
        Some(Removed { seq, subject: entry.subject, bytes })
    }

    /// Removes everything; the next sequence stays, or is `next` if that is more. Returns how many messages there were.
    pub fn clear(&mut self, next: u64) -> u64 {
        let last = self.totals.last.max(next.saturating_sub(1));
        let count = self.totals.count;
        self.totals = Totals { count: 0, bytes: 0, first: last + 1, last, last_time: self.totals.last_time };
        let tail = std::mem::replace(&mut self.tail, Chunk::new((last + 1) / CHUNK, self.keep != Keep::All));
        if self.keep != Keep::All {
            let chunks = std::mem::take(&mut self.chunks).into_values().chain([tail]);
            self.freed.many.extend(chunks.map(Chunk::into_places).filter(|places| !places.is_empty()));
        }
        self.chunks.clear();
        self.subjects = Subjects::default();
        self.bodies = Bodies::new(self.keep);
        count
    }

    /// What is known of a message.
    pub fn head(&self, seq: u64) -> Option<Head<'_>> {
        let entry = self.entry(seq)?;
        Some(self.head_of(seq, entry))
    }

    /// The body of a message. `None`: there is no such message, or one of a memory stream whose body is lost, which cannot be.
    pub fn body(&self, seq: u64) -> Option<Body<'_>> {
        let entry = self.entry(seq)?;
        match self.bodies.at(seq) {
            Some(body) if body.len() == entry.body_bytes as usize => Some(Body::Hot(body)),
            _ => self.chunk(seq)?.place(seq).map(Body::Cold),
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

    /// The first message at or behind `seq`.
    pub fn next_live(&self, seq: u64) -> Option<u64> {
        if seq > self.totals.last {
            return None;
        }
        let tail_from = self.tail.base();
        if seq < tail_from {
            let found = self.chunks.range(seq / CHUNK..).find_map(|(_, chunk)| chunk.next(seq));
            if found.is_some() {
                return found;
            }
        }
        self.tail.next(seq)
    }

    /// The last message at or before `seq`.
    pub fn previous_live(&self, seq: u64) -> Option<u64> {
        let seq = seq.min(self.totals.last);
        let in_tail = if seq >= self.tail.base() { self.tail.previous(seq) } else { None };
        in_tail.or_else(|| self.chunks.range(..=seq / CHUNK).rev().find_map(|(_, chunk)| chunk.previous(seq)))
    }

    /// The next message of the same subject.
    pub fn next_of_subject(&self, seq: u64) -> Option<u64> {
        let entry = self.entry(seq)?;
        entry.next(seq).resolve(|| self.scan_on(seq, entry.subject))
    }

    /// The previous message of the same subject.
    pub fn previous_of_subject(&self, seq: u64) -> Option<u64> {
        let entry = self.entry(seq)?;
        entry.previous(seq).resolve(|| self.scan_back(seq, entry.subject))
    }

    /// The first message that was stored at or behind a time (nanoseconds since 1970); one behind the last if there is none.
    pub fn seq_at(&self, time: i64) -> u64 {
        let chunks = self.chunks.values().chain(std::iter::once(&self.tail));
        let mut found = None;
        for chunk in chunks.filter(|chunk| chunk.latest() >= time) {
            found = chunk.iter().find(|(_, entry)| entry.time >= time).map(|(seq, _)| seq);
            if found.is_some() {
                break;
            }
        }
        found.unwrap_or(self.totals.last + 1)
    }

    /// All messages from `seq` on in order.
    pub fn iter_from(&self, seq: u64) -> impl Iterator<Item = Head<'_>> {
        let chunks =
            self.chunks.range(seq / CHUNK..).map(|(_, chunk)| chunk).chain(std::iter::once(&self.tail));
        chunks.flat_map(move |chunk| chunk.iter_from(seq)).map(|(seq, entry)| self.head_of(seq, entry))
    }

    /// The sequences that have a message, as runs from `.0` to `.1`. Where few are gone, it takes little time.
    pub fn runs(&self) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for chunk in self.chunks.values().chain(std::iter::once(&self.tail)) {
            chunk.runs(|first, last| match runs.last_mut() {
                Some(run) if run.1 + 1 == first => run.1 = last,
                _ => runs.push((first, last)),
            });
        }
        runs
    }

    /// The sequences between first and last that have no message, as runs from `.0` to `.1`.
    pub fn gaps(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut expected = self.totals.first;
        let live = self.iter_from(self.totals.first).map(|head| head.seq);
        let live = live.chain((self.totals.count > 0).then_some(self.totals.last + 1));
        live.filter_map(move |seq| {
            let from = std::mem::replace(&mut expected, seq + 1);
            (from < seq).then(|| (from, seq - 1))
        })
    }

    /// Bytes of memory that the index takes, about.
    pub fn memory_bytes(&self) -> usize {
        let chunks: usize =
            self.chunks.values().chain(std::iter::once(&self.tail)).map(Chunk::memory_bytes).sum();
        chunks + self.subjects.memory_bytes() + self.bodies.memory_bytes()
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

    #[inline]
    fn entry(&self, seq: u64) -> Option<&Entry> {
        self.chunk(seq)?.get(seq)
    }

    #[inline]
    fn entry_mut(&mut self, seq: u64) -> Option<(u64, &mut Entry)> {
        self.chunk_mut(seq)?.get_mut(seq).map(|entry| (seq, entry))
    }

    /// Takes a removed message out of its subject's list.
    fn unlink(&mut self, seq: u64, entry: &Entry) {
        let id = entry.subject;
        let (first, last, count) = {
            let subject = self.subjects.at(id);
            (subject.first, subject.last, subject.count)
        };
        if count == 1 {
            self.subjects.release(id);
            return;
        }
        // The first has none before it and the last none behind it, whatever its links say.
        let previous =
            if seq == first { None } else { entry.previous(seq).resolve(|| self.scan_back(seq, id)) };
        let next = if seq == last { None } else { entry.next(seq).resolve(|| self.scan_on(seq, id)) };
        if let Some((seq, entry)) = previous.and_then(|seq| self.entry_mut(seq)) {
            entry.set_next(seq, next);
        }
        if let Some((seq, entry)) = next.and_then(|seq| self.entry_mut(seq)) {
            entry.set_previous(seq, previous);
        }
        let subject = self.subjects.at_mut(id);
        subject.count -= 1;
        subject.first = if seq == first { next.unwrap_or(subject.last) } else { first };
        subject.last = if seq == last { previous.unwrap_or(subject.first) } else { last };
    }

    /// The next message of a subject where its link is too far for its entry.
    fn scan_on(&self, seq: u64, subject: SubjectId) -> Option<u64> {
        self.iter_from(seq + 1).find(|head| head.subject_id == subject).map(|head| head.seq)
    }

    /// The same backwards.
    fn scan_back(&self, seq: u64, subject: SubjectId) -> Option<u64> {
        let mut before = self.previous_live(seq.checked_sub(1)?);
        while let Some(seq) = before {
            if self.entry(seq)?.subject == subject {
                return Some(seq);
            }
            before = self.previous_live(seq.checked_sub(1)?);
        }
        None
    }
}

fn live(chunks: &BTreeMap<u64, Chunk>, tail: &Chunk, seq: u64) -> bool {
    let no = seq / CHUNK;
    let chunk = if no == tail.no() { Some(tail) } else { chunks.get(&no) };
    chunk.is_some_and(|chunk| chunk.get(seq).is_some())
}
