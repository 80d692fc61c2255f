//! Chunks that change between memory and disk.

use super::chunk::{CHUNK, Chunk};
use super::entry::Entry;
use super::live::Live;
use super::loaded::Loaded;
use super::paged::{Cache, Cold, Heads, Paged};
use super::runs::{Merge, Numbers, Runs, Unread};
use super::subjects::Subjects;
use super::{Keep, Links, Messages, Place, Removed, SubjectId, Totals};
use crate::bytes::Malformed;
use crate::memory::Budget;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// About what a subject takes in memory.
const SUBJECT_BYTES: usize = 100;
/// Subjects of which more stay on disk in debug builds, so that all tests meet it.
const FEW_IN_TESTS: usize = 6;

/// A chunk for a checkpoint: what a later start needs to know of it.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Its number: that of its first sequence, divided by 1,024.
    pub no: u64,
    pub(super) live: Live,
    /// What its live messages count in the stream's bytes.
    pub bytes: u64,
    /// The latest time that a message in it had.
    pub latest: i64,
}

/// Chunks that were read from a checkpoint.
#[derive(Debug, Default)]
pub struct Chunks {
    pub(super) all: BTreeMap<u64, Paged>,
}

/// A subject, its first and last sequence, and how many messages it has.
pub(crate) type Named = (Box<[u8]>, u64, u64, u64);

/// Where a checkpoint has the table of subjects.
pub(crate) enum Listed<'a> {
    /// In its state.
    All(Vec<Named>),
    /// In runs, of which this is written, with so many subjects.
    Runs(&'a [u8], u64),
}

/// How a stream went on from a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Messages that cannot be read by now.
    pub missing: u64,
    /// The table of subjects could not be read, and was made anew from the messages.
    pub has_lost_subjects: bool,
}

impl Counted {
    /// How its live sequences are written: in a row from an offset to another one, or as bits.
    pub fn live(&self) -> Result<(u16, u16), Vec<u64>> {
        match &self.live {
            Live::Run(first, last) => Ok((*first, *last)),
            Live::Bits(bits) => Err(bits.to_vec()),
            Live::None => Err(Vec::new()),
        }
    }
}

impl Messages {
    /// Where the heads of messages can be read that the store has, and what may be taken of memory. From now on chunks and bodies may go from it.
    pub fn set_heads(&mut self, heads: Arc<dyn Heads>, budget: Arc<Budget>) {
        self.index.charge.count_in(budget.clone());
        self.index.subjects.count_in(budget.clone());
        self.bodies.count_in(budget.clone());
        self.cache = Some(Cache::new(heads, budget));
    }

    /// Where the heads of messages are read.
    pub fn heads(&self) -> Option<&dyn Heads> {
        self.cache.as_ref().map(Cache::heads)
    }

    /// A chunk that is on disk alone, read if it has to be.
    pub(super) fn page(&self, no: u64) -> Arc<Chunk> {
        match &self.cache {
            Some(cache) => cache.get(no, |heads| self.read(no, Self::of_chunk(no), heads)),
            None => Arc::new(Chunk::new(no, true)),
        }
    }

    /// The same for whoever asks for one message. The first to ask for one of a chunk has no more than that read.
    fn page_with(&self, seq: u64) -> Arc<Chunk> {
        let no = seq / CHUNK;
        match self.cache.as_ref().filter(|cache| cache.is_first(no)) {
            Some(cache) => Arc::new(self.read(no, seq..=seq, cache.heads()).0),
            None => self.page(no),
        }
    }

    fn of_chunk(no: u64) -> RangeInclusive<u64> {
        no * CHUNK..=no * CHUNK + (CHUNK - 1)
    }

    /// Reads what lives of a chunk between two sequences; `false`: the disk did not give all of it.
    fn read(&self, no: u64, range: RangeInclusive<u64>, heads: &dyn Heads) -> (Chunk, bool) {
        let mut chunk = Chunk::new(no, true);
        let Some(paged) = self.paged.get(&no) else { return (chunk, true) };
        let mut last: Option<(u64, Entry, Place)> = None;
        let mut push = |(seq, entry, place): (u64, Entry, Place)| {
            chunk.push(seq, entry, self.size_of(&entry));
            chunk.set_place(seq, place);
        };
        let is_whole = heads.read(*range.start(), *range.end(), &mut |found| {
            let is_live = range.contains(&found.seq) && paged.live.has((found.seq % CHUNK) as u16);
            let Some(id) = is_live.then(|| self.subjects.find(found.subject)).flatten() else { return };
            let before = last.replace((found.seq, Entry::of(found, id), found.place));
            if let Some(before) = before.filter(|(seq, ..)| *seq != found.seq) {
                push(before);
            }
        });
        if let Some(last) = last {
            push(last);
        }
        chunk.note_latest(paged.latest);
        chunk.seal();
        (chunk, is_whole && !self.subjects.is_unsure())
    }

    /// Asks the chunk on disk that has a live message.
    #[cold]
    pub(super) fn in_page<T>(&self, seq: u64, ask: impl FnOnce(&Chunk) -> T) -> Option<T> {
        let paged = self.paged.get(&(seq / CHUNK))?;
        paged.live.has((seq % CHUNK) as u16).then(|| ask(&self.page_with(seq)))
    }

    /// Removes a message of a chunk that is on disk alone.
    #[cold]
    pub(super) fn remove_paged(&mut self, seq: u64) -> Option<Removed> {
        let no = seq / CHUNK;
        let found = self.in_page(seq, |page| Some((*page.get(seq)?, page.place(seq)?)))?;
        let bytes = found.map_or(0, |(entry, _)| self.size_of(&entry));
        let paged = self.paged.get_mut(&no)?;
        let before = paged.live.memory_bytes();
        paged.live.remove((seq % CHUNK) as u16);
        self.index.paged_bytes = self.index.paged_bytes + paged.live.memory_bytes() - before;
        self.totals.count -= 1;
        paged.bytes = paged.bytes.saturating_sub(bytes);
        if paged.live.is_empty() {
            // What is left was counted for messages that cannot be read.
            self.totals.bytes = self.totals.bytes.saturating_sub(paged.bytes);
            if let Some(gone) = self.paged.remove(&no) {
                self.index.paged_bytes -= gone.memory_bytes();
            }
            self.index.set_tail(&self.tail);
            if let Some(cache) = &self.cache {
                cache.forget(no);
            }
        }
        let Some((entry, place)) = found else {
            self.move_first(seq);
            return None;
        };
        self.freed.single.push(place);
        Some(self.removed(seq, &entry, bytes))
    }

    /// The first message of a subject cannot be read, though it is counted: it does not count any more.
    pub(crate) fn give_up_first(&mut self, id: SubjectId) {
        let (first, last, count) = {
            let subject = self.subjects.at(id);
            (subject.first, subject.last, subject.count)
        };
        let next = self.walk(first.saturating_add(1)).take_while(|(seq, _)| *seq <= last);
        let next = { next }.find(|(_, entry)| entry.subject == id).map(|(seq, _)| seq);
        match next.filter(|_| count > 1) {
            Some(next) => {
                let subject = self.subjects.at_mut(id);
                (subject.first, subject.count) = (next, count - 1);
            }
            None => self.subjects.release(id),
        }
    }

    /// A checkpoint has moved a message; `false`: it is gone meanwhile.
    pub fn moved(&mut self, seq: u64, from: Place, to: Place) -> bool {
        if let Some(chunk) = self.chunk_mut(seq) {
            let is_there = chunk.get(seq).is_some() && chunk.place(seq) == Some(from);
            if is_there {
                chunk.set_place(seq, to);
            }
            return is_there;
        }
        let is_there = self.is_live(seq);
        if let Some(cache) = self.cache.as_ref().filter(|_| is_there) {
            cache.forget(seq / CHUNK);
        }
        is_there
    }

    /// Where messages between two sequences are, both included, and their links: of those that are in memory. The others are in [`Self::cold`].
    pub fn moving(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, Place, Links)> {
        let chunks = self.chunks.range(from / CHUNK..).map(|(_, chunk)| chunk);
        let chunks = chunks.chain(std::iter::once(&self.tail));
        chunks.flat_map(move |chunk| chunk.moving_from(from)).take_while(move |(seq, ..)| *seq <= to)
    }

    /// Chunks that are on disk alone and have messages between two sequences, both included.
    pub fn cold(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, Cold)> {
        self.paged.range(from / CHUNK..=to / CHUNK).map(|(no, paged)| (*no, Cold::new(*no, &paged.live)))
    }

    /// Bytes of the chunks in memory, but for the one that is written.
    pub fn chunk_bytes(&self) -> usize {
        self.index.chunk_bytes
    }

    /// What is counted is what there is.
    #[cfg(test)]
    pub(crate) fn check_figures(&self) {
        let paged: usize = self.paged.values().map(Paged::memory_bytes).sum();
        let chunks: usize = self.chunks.values().map(Chunk::memory_bytes).sum();
        assert_eq!((self.index.paged_bytes, self.index.chunk_bytes), (paged, chunks));
        self.bodies.check_figures();
        self.subjects.check_figures();
    }

    /// Counts anew what chunks take.
    pub(super) fn count_index(&mut self) {
        self.index.paged_bytes = self.paged.values().map(Paged::memory_bytes).sum();
        self.index.chunk_bytes = self.chunks.values().map(Chunk::memory_bytes).sum();
        self.index.set_tail(&self.tail);
        self.count_subjects();
    }

    /// Counts anew what the table of subjects takes.
    #[inline]
    pub(super) fn count_subjects(&mut self) {
        self.index.subjects.set(self.subjects.memory_bytes());
    }

    /// Lets the oldest chunks go from memory, until these take no more than so many bytes, or one has a message that only the log has:
    /// `is_settled` says of a place that it is not in the log. Returns what they take then.
    pub fn page_out(&mut self, bytes_max: usize, is_settled: impl Fn(Place) -> bool) -> usize {
        let mut bytes = self.chunk_bytes();
        if self.cache.is_none() {
            return bytes;
        }
        while bytes > bytes_max {
            let Some((&no, chunk)) = self.chunks.first_key_value() else { break };
            if !chunk.all_places(&is_settled) {
                break;
            }
            let paged = Paged { live: chunk.live(), bytes: chunk.bytes(), latest: chunk.latest() };
            bytes -= chunk.memory_bytes();
            self.chunks.remove(&no);
            self.paged.insert(no, paged);
        }
        self.count_index();
        bytes
    }

    /// Drops what was read of chunks on disk.
    pub fn forget_pages(&self) {
        if let Some(cache) = &self.cache {
            cache.clear();
        }
    }

    /// All chunks that have messages, for a checkpoint, by number.
    pub fn counted(&self) -> impl Iterator<Item = Counted> {
        let paged = self.paged.iter().map(|(no, paged)| {
            let Paged { live, bytes, latest } = paged.clone();
            Counted { no: *no, live, bytes, latest }
        });
        let here = self.chunks.values().chain(std::iter::once(&self.tail)).filter(|chunk| !chunk.is_empty());
        let here = here.map(|chunk| Counted {
            no: chunk.no(),
            live: chunk.live(),
            bytes: chunk.bytes(),
            latest: chunk.latest(),
        });
        paged.chain(here)
    }

    /// Goes on from a checkpoint, with all chunks on disk but for the last one, if that is to be written on. `None`: the figures contradict
    /// each other, or the disk does not give that one.
    pub(crate) fn resume(&mut self, totals: Totals, chunks: Chunks, listed: Listed<'_>) -> Option<Resumed> {
        let all = chunks.all.values();
        let (count, bytes) = all.fold((0, 0u64), |(count, bytes), paged| {
            (count + u64::from(paged.live.count()), bytes.saturating_add(paged.bytes))
        });
        let tail_no = (totals.last + 1) / CHUNK;
        let is_behind = |(no, paged): (&u64, &Paged)| {
            no * CHUNK + paged.live.previous((CHUNK - 1) as u16).map_or(0, u64::from) > totals.last
        };
        let is_right = count == totals.count && !chunks.all.iter().next_back().is_some_and(is_behind);
        if !is_right || self.keep == Keep::All {
            return None;
        }
        self.clear(0);
        self.freed.upto = None;
        self.totals = Totals { bytes, ..totals };
        self.tail = Chunk::new(tail_no, true);
        self.paged = chunks.all;
        let mut resumed = Resumed::default();
        match listed {
            Listed::All(all) => {
                let put = |one: Named| self.put_subject(one);
                all.into_iter().try_for_each(put)?;
            }
            Listed::Runs(bytes, count) => {
                let loaded = self.load(bytes, count).ok()?;
                resumed.has_lost_subjects = loaded.is_err() || self.subjects.len() as u64 != count;
                if resumed.has_lost_subjects {
                    self.subjects = self.counted_on_disk()?;
                }
            }
        }
        resumed.missing = self.resume_tail(tail_no)?;
        Some(resumed)
    }

    fn put_subject(&mut self, (name, first, last, count): Named) -> Option<()> {
        let is_right = self.is_right(Numbers { first, last, count });
        (is_right && self.subjects.put(name, first, last, count)).then_some(())
    }

    /// Whether these can be the numbers of a subject.
    fn is_right(&self, Numbers { first, last, count }: Numbers) -> bool {
        first > 0 && first <= last && last <= self.totals.last && count > 0
    }

    /// Loads the table of subjects from its runs, or leaves it there, if it has very many.
    fn load(&mut self, bytes: &[u8], count: u64) -> Result<Result<(), Unread>, Malformed> {
        let Some(heads) = self.cache.as_ref().map(Cache::heads_for_long) else { return Err(Malformed) };
        let runs = match Runs::read(bytes, &*heads)? {
            Ok(runs) => runs,
            Err(why) => return Ok(Err(why)),
        };
        let mut loaded = Ok(());
        if self.subjects_stay(count) {
            self.subjects.set_live(usize::try_from(count).map_err(|_| Malformed)?);
            self.subjects.loaded = Some(Box::new(Loaded::new(heads)));
        } else {
            loaded = self.load_all(&runs, &*heads);
        }
        self.subjects.set_runs(runs);
        Ok(loaded)
    }

    /// Whether so many subjects stay on disk: they would take half of what all streams may have of them.
    fn subjects_stay(&self, count: u64) -> bool {
        let share = self.cache.as_ref().map_or(usize::MAX, Cache::subjects_share);
        let few = if cfg!(debug_assertions) { FEW_IN_TESTS } else { share / 2 / SUBJECT_BYTES };
        count > few as u64
    }

    fn load_all(&mut self, runs: &Runs, heads: &dyn Heads) -> Result<(), Unread> {
        self.subjects.reserve(runs.largest());
        let mut all = Merge::new(heads, std::iter::empty(), &runs.all)?;
        while let Some((name, numbers)) = all.next()? {
            if numbers.count > 0 {
                if !self.is_right(numbers) {
                    return Err(Unread::Damaged);
                }
                self.subjects.put_new(name, numbers);
            }
        }
        Ok(())
    }

    /// The table of subjects, made from the heads of all messages that are on disk alone.
    pub(super) fn counted_on_disk(&self) -> Option<Subjects> {
        let heads = self.cache.as_ref()?.heads_for_long();
        let mut subjects = Subjects::default();
        for (no, paged) in &self.paged {
            let mut counted = None;
            let is_whole = heads.read(no * CHUNK, no * CHUNK + (CHUNK - 1), &mut |found| {
                let is_live = found.seq / CHUNK == *no && paged.live.has((found.seq % CHUNK) as u16);
                if is_live && counted != Some(found.seq) {
                    subjects.count(found.subject, found.seq);
                    counted = Some(found.seq);
                }
            });
            if !is_whole {
                return None;
            }
        }
        Some(subjects)
    }

    /// Takes the last chunk into memory, if it is to be written on. How many of its messages cannot be read.
    fn resume_tail(&mut self, tail_no: u64) -> Option<u64> {
        self.count_index();
        let Some(tail) = self.paged.get(&tail_no).cloned() else { return Some(0) };
        let (chunk, is_whole) = self.read(tail_no, Self::of_chunk(tail_no), self.cache.as_ref()?.heads());
        if !is_whole {
            return None;
        }
        self.tail = chunk;
        self.tail.unseal();
        self.paged.remove(&tail_no);
        let lost = u64::from(tail.live.count()) - self.tail.count();
        self.totals.count -= lost;
        self.totals.bytes = self.totals.bytes - tail.bytes + self.tail.bytes();
        self.count_index();
        if lost > 0 && !self.is_live(self.totals.first) {
            self.totals.first = self.next_live(self.totals.first).unwrap_or(self.totals.last + 1);
        }
        Some(lost)
    }
}

impl Chunks {
    /// Adds a chunk behind those before: its live sequences in a row, or as bits. `None`: it is not behind them, or has none.
    pub fn push(
        &mut self,
        no: u64,
        live: Result<(u16, u16), &[u64]>,
        (bytes, latest): (u64, i64),
    ) -> Option<()> {
        if self.all.keys().next_back().is_some_and(|last| *last >= no) || no > u64::MAX / CHUNK - 1 {
            return None;
        }
        let live = match live {
            Ok((first, last)) if first <= last && u64::from(last) < CHUNK => Live::Run(first, last),
            Ok(_) => return None,
            Err(words) => {
                let bit = |offset: &u16| {
                    words.get(usize::from(offset / 64)).is_some_and(|word| word >> (offset % 64) & 1 == 1)
                };
                Live::new((0..CHUNK as u16).filter(bit))
            }
        };
        if live.is_empty() {
            return None;
        }
        self.all.insert(no, Paged { live, bytes, latest });
        Some(())
    }

    /// How many words bits have.
    pub const WORDS: usize = (CHUNK as usize).div_ceil(64);
}
