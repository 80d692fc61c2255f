//! From message to message, in memory or not.

use super::chunk::{CHUNK, Chunk};
use super::entry::Entry;
use super::live::Live;
use super::{Head, Messages, Place};
use std::sync::Arc;

/// A chunk that is gone through.
enum Held<'a> {
    Here(&'a Chunk),
    /// One that was read, and what of it lives.
    Page(Arc<Chunk>, &'a Live),
}

impl Held<'_> {
    #[inline]
    fn chunk(&self) -> &Chunk {
        match self {
            Self::Here(chunk) => chunk,
            Self::Page(chunk, _) => chunk,
        }
    }
}

/// Goes from message to message.
pub(super) struct Walk<'a> {
    messages: &'a Messages,
    held: Option<Held<'a>>,
    slot: usize,
    /// The chunk that comes next has this number at least; `None`: there is none.
    next: Option<u64>,
}

impl<'a> Walk<'a> {
    /// Takes up the next chunk; `from` is where to begin in it.
    fn take_up(&mut self, from: u64) -> Option<()> {
        let messages = self.messages;
        let no = self.next.take()?;
        let held = if let Some((&no, paged)) = messages.paged.range(no..).next() {
            self.next = Some(no + 1);
            Held::Page(messages.page(no), &paged.live)
        } else if let Some((&no, chunk)) = messages.chunks.range(no..).next() {
            self.next = Some(no + 1);
            Held::Here(chunk)
        } else if no <= messages.tail.no() {
            Held::Here(&messages.tail)
        } else {
            return None;
        };
        self.slot = held.chunk().slot_from(from);
        self.held = Some(held);
        Some(())
    }

    /// Goes on to the next message, and says what `of` makes of the chunk and it.
    #[inline]
    fn step<T>(&mut self, of: impl Fn(&Chunk, u64, &Entry) -> T) -> Option<T> {
        loop {
            if let Some(held) = &self.held {
                let chunk = held.chunk();
                while let Some((seq, entry, slot)) = chunk.next_slot(self.slot) {
                    self.slot = slot;
                    let is_live = match held {
                        Held::Here(_) => true,
                        Held::Page(_, live) => live.has((seq % CHUNK) as u16),
                    };
                    if is_live {
                        return Some(of(chunk, seq, entry));
                    }
                }
            }
            self.take_up(0)?;
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = (u64, Entry);

    #[inline]
    fn next(&mut self) -> Option<(u64, Entry)> {
        self.step(|_, seq, entry| (seq, *entry))
    }
}

impl Messages {
    /// All messages from `seq` on that can be read, in order.
    pub(super) fn walk(&self, seq: u64) -> Walk<'_> {
        let mut walk = Walk { messages: self, held: None, slot: 0, next: Some(seq / CHUNK) };
        walk.take_up(seq);
        walk
    }

    /// All messages from `seq` on in order. Those that are not in memory are read, and left out if they cannot be.
    pub fn iter_from(&self, seq: u64) -> impl Iterator<Item = Head<'_>> {
        self.walk(seq).map(|(seq, entry)| self.head_of(seq, &entry))
    }

    /// Where the store keeps the messages between two sequences, both included.
    pub fn places(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, Place)> {
        let mut walk = self.walk(from);
        let all = std::iter::from_fn(move || {
            walk.step(|chunk, seq, _| (seq, chunk.place(seq).unwrap_or_default()))
        });
        all.take_while(move |(seq, _)| *seq <= to)
    }

    /// Whether there is such a message.
    #[inline]
    pub(super) fn is_live(&self, seq: u64) -> bool {
        match self.chunk(seq) {
            Some(chunk) => chunk.get(seq).is_some(),
            None => self.paged.get(&(seq / CHUNK)).is_some_and(|paged| paged.live.has((seq % CHUNK) as u16)),
        }
    }

    /// The first message at or behind `seq`.
    pub fn next_live(&self, seq: u64) -> Option<u64> {
        if seq > self.totals.last {
            return None;
        }
        let tail_from = self.tail.base();
        if seq < tail_from {
            let in_page = || {
                self.paged.range(seq / CHUNK..).find_map(|(no, paged)| {
                    let offset = if seq / CHUNK == *no { (seq % CHUNK) as u16 } else { 0 };
                    Some(no * CHUNK + u64::from(paged.live.next(offset)?))
                })
            };
            let in_chunk = || self.chunks.range(seq / CHUNK..).find_map(|(_, chunk)| chunk.next(seq));
            if let Some(found) = in_page().or_else(in_chunk) {
                return Some(found);
            }
        }
        self.tail.next(seq)
    }

    /// The last message at or before `seq`.
    pub fn previous_live(&self, seq: u64) -> Option<u64> {
        let seq = seq.min(self.totals.last);
        let in_tail = if seq >= self.tail.base() { self.tail.previous(seq) } else { None };
        let in_chunk = || self.chunks.range(..=seq / CHUNK).rev().find_map(|(_, chunk)| chunk.previous(seq));
        let in_page = || {
            self.paged.range(..=seq / CHUNK).rev().find_map(|(no, paged)| {
                let offset = if seq / CHUNK == *no { seq % CHUNK } else { CHUNK - 1 };
                Some(no * CHUNK + u64::from(paged.live.previous(offset as u16)?))
            })
        };
        in_tail.or_else(in_chunk).or_else(in_page)
    }

    /// The first message that was stored at or behind a time (nanoseconds since 1970); one behind the last if there is none.
    pub fn seq_at(&self, time: i64) -> u64 {
        let in_page = || {
            let late = self.paged.iter().filter(|(_, paged)| paged.latest >= time);
            late.map(|(no, paged)| (self.page(*no), &paged.live)).find_map(|(page, live)| {
                let late =
                    page.iter().find(|(seq, entry)| entry.time >= time && live.has((seq % CHUNK) as u16));
                late.map(|(seq, _)| seq)
            })
        };
        let in_chunk = || {
            let chunks = self.chunks.values().chain(std::iter::once(&self.tail));
            let late = chunks.filter(|chunk| chunk.latest() >= time);
            late.flat_map(Chunk::iter).find(|(_, entry)| entry.time >= time).map(|(seq, _)| seq)
        };
        in_page().or_else(in_chunk).unwrap_or(self.totals.last + 1)
    }

    /// The sequences that have a message, as runs from `.0` to `.1`. Where few are gone, it takes little time.
    pub fn runs(&self) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let mut run = |first: u64, last: u64| match runs.last_mut() {
            Some(run) if run.1 + 1 == first => run.1 = last,
            _ => runs.push((first, last)),
        };
        for (no, paged) in &self.paged {
            match &paged.live {
                Live::Run(first, last) => run(no * CHUNK + u64::from(*first), no * CHUNK + u64::from(*last)),
                live => {
                    live.iter().map(|offset| no * CHUNK + u64::from(offset)).for_each(|seq| run(seq, seq))
                }
            }
        }
        for chunk in self.chunks.values().chain(std::iter::once(&self.tail)) {
            chunk.runs(&mut run);
        }
        runs
    }

    /// The sequences between first and last that have no message, as runs from `.0` to `.1`.
    pub fn gaps(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut expected = self.totals.first;
        let mut at = (self.totals.count > 0).then_some(self.totals.first);
        let live = std::iter::from_fn(move || {
            let found = self.next_live(at?);
            at = found.map(|seq| seq + 1);
            found
        });
        let live = live.chain((self.totals.count > 0).then_some(self.totals.last + 1));
        live.filter_map(move |seq| {
            let from = std::mem::replace(&mut expected, seq + 1);
            (from < seq).then(|| (from, seq - 1))
        })
    }

    /// How many messages there are at or behind `seq`.
    pub(super) fn live_from(&self, seq: u64) -> u64 {
        let no = seq / CHUNK;
        let mut count = 0;
        for (at, paged) in self.paged.range(no..) {
            let all = u64::from(paged.live.count());
            let before = if *at == no {
                paged.live.iter().take_while(|&offset| u64::from(offset) < seq % CHUNK).count()
            } else {
                0
            };
            count += all - before as u64;
        }
        for chunk in self.chunks.range(no..).map(|(_, chunk)| chunk).chain(std::iter::once(&self.tail)) {
            count += if chunk.base() >= seq { chunk.count() } else { chunk.iter_from(seq).count() as u64 };
        }
        count
    }
}
