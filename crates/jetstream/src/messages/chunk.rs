//! The entries of 1,024 sequences in a row: all of them while most live, those that live with their offsets when few do.

use super::entry::Entry;
use super::live::Live;
use super::{Links, Place};

/// Sequences of a chunk.
pub(super) const CHUNK: u64 = if cfg!(test) { 16 } else { 1024 };

/// A chunk keeps only what lives once less than a quarter does.
const SPARSE_BELOW: usize = 4;

#[derive(Debug)]
pub(super) struct Chunk {
    no: u64,
    live: u32,
    is_sealed: bool,
    entries: Vec<Entry>,
    /// One for each entry, in a file stream.
    places: Option<Vec<Place>>,
    /// Offsets of the entries, ascending; `None`: they are in a row from `start`.
    offsets: Option<Vec<u16>>,
    /// The offset of the first entry while they are in a row.
    start: u16,
    /// The latest time of a message in it, which never goes back.
    latest: i64,
    /// What its live messages count in the stream's bytes.
    bytes: u64,
}

impl Chunk {
    pub(super) fn new(no: u64, has_places: bool) -> Self {
        let places = has_places.then(Vec::new);
        Self {
            no,
            live: 0,
            is_sealed: false,
            entries: Vec::new(),
            places,
            offsets: None,
            start: 0,
            latest: i64::MIN,
            bytes: 0,
        }
    }

    #[inline]
    pub(super) fn no(&self) -> u64 {
        self.no
    }

    /// Its first sequence.
    pub(super) fn base(&self) -> u64 {
        self.no * CHUNK
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    pub(super) fn count(&self) -> u64 {
        u64::from(self.live)
    }

    /// More entries come.
    pub(super) fn unseal(&mut self) {
        self.is_sealed = false;
    }

    pub(super) fn latest(&self) -> i64 {
        self.latest
    }

    /// There were messages in it as late as this.
    pub(super) fn note_latest(&mut self, latest: i64) {
        self.latest = self.latest.max(latest);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Which sequences live.
    pub(super) fn live(&self) -> Live {
        if self.offsets.is_none() && self.live as usize == self.entries.len() && self.live > 0 {
            return Live::Run(self.start, self.start + (self.live - 1) as u16);
        }
        Live::new(self.iter().map(|(seq, _)| (seq % CHUNK) as u16))
    }

    /// Whether all of its messages have places that pass.
    pub(super) fn all_places(&self, passes: impl Fn(Place) -> bool) -> bool {
        self.places_from(0).all(|(_, place)| passes(place))
    }

    /// Adds an entry behind all others, which counts so many bytes; sequences between have none.
    #[inline]
    pub(super) fn push(&mut self, seq: u64, entry: Entry, bytes: u64) {
        self.bytes += bytes;
        let offset = (seq % CHUNK) as u16;
        if self.entries.is_empty() {
            self.start = offset;
        }
        if let Some(offsets) = &mut self.offsets {
            offsets.push(offset);
        } else {
            let slot = usize::from(offset - self.start);
            if slot > self.entries.len() {
                self.entries.resize(slot, Entry::GONE);
                if let Some(places) = &mut self.places {
                    places.resize(slot, Place::default());
                }
            }
        }
        self.latest = self.latest.max(entry.time);
        self.entries.push(entry);
        if let Some(places) = &mut self.places {
            places.push(Place::default());
        }
        self.live += 1;
    }

    /// No more entries come: what was reserved for them is given back.
    pub(super) fn seal(&mut self) {
        self.is_sealed = true;
        self.thin();
        if self.entries.capacity() > self.entries.len() + self.entries.len() / 8 {
            self.entries.shrink_to_fit();
        }
    }

    #[inline]
    fn slot(&self, seq: u64) -> Option<usize> {
        if seq / CHUNK != self.no {
            return None;
        }
        let offset = (seq % CHUNK) as u16;
        match &self.offsets {
            None => offset.checked_sub(self.start).map(usize::from),
            Some(offsets) => offsets.binary_search(&offset).ok(),
        }
    }

    #[inline]
    pub(super) fn get(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(self.slot(seq)?).filter(|entry| !entry.is_gone())
    }

    #[inline]
    pub(super) fn get_mut(&mut self, seq: u64) -> Option<&mut Entry> {
        let slot = self.slot(seq)?;
        self.entries.get_mut(slot).filter(|entry| !entry.is_gone())
    }

    /// The place of a message that lives; `None` in a memory stream.
    pub(super) fn place(&self, seq: u64) -> Option<Place> {
        self.places.as_ref()?.get(self.slot(seq)?).copied()
    }

    pub(super) fn set_place(&mut self, seq: u64, place: Place) {
        let slot = self.slot(seq);
        if let Some(known) = slot.and_then(|slot| self.places.as_mut()?.get_mut(slot)) {
            *known = place;
        }
    }

    /// Removes a message that counts so many bytes.
    pub(super) fn remove(&mut self, seq: u64, bytes: u64) -> Option<(Entry, Option<Place>)> {
        let entry = std::mem::replace(self.get_mut(seq)?, Entry::GONE);
        let slot = self.slot(seq);
        let place = slot.and_then(|slot| self.places.as_mut()?.get_mut(slot)).map(std::mem::take);
        self.live -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        if self.is_sealed {
            self.thin();
        }
        Some((entry, place))
    }

    /// The sequences that live, as runs from `.0` to `.1`.
    pub(super) fn runs(&self, mut run: impl FnMut(u64, u64)) {
        if self.offsets.is_none() && self.live as usize == self.entries.len() && self.live > 0 {
            let first = self.base() + u64::from(self.start);
            return run(first, first + u64::from(self.live) - 1);
        }
        self.iter().for_each(|(seq, _)| run(seq, seq));
    }

    /// Keeps only what lives, if that is little.
    fn thin(&mut self) {
        if self.live as usize * SPARSE_BELOW >= self.entries.len() {
            return;
        }
        let start = self.start;
        let offset = |slot: usize| match &self.offsets {
            None => start + slot as u16,
            Some(offsets) => offsets.get(slot).copied().unwrap_or_default(),
        };
        let live: Vec<usize> = (0..self.entries.len())
            .filter(|&slot| self.entries.get(slot).is_some_and(|entry| !entry.is_gone()))
            .collect();
        let offsets = live.iter().map(|&slot| offset(slot)).collect();
        let entries = live.iter().filter_map(|&slot| self.entries.get(slot).copied()).collect();
        let places = self
            .places
            .as_ref()
            .map(|places| live.iter().filter_map(|&slot| places.get(slot).copied()).collect());
        (self.offsets, self.entries, self.places) = (Some(offsets), entries, places);
    }

    /// The slot from which on entries have sequences of at least `seq`.
    #[inline]
    pub(super) fn slot_from(&self, seq: u64) -> usize {
        let offset = seq.saturating_sub(self.base());
        match &self.offsets {
            None => offset.saturating_sub(u64::from(self.start)).min(CHUNK) as usize,
            Some(offsets) => offsets.partition_point(|&known| u64::from(known) < offset),
        }
    }

    #[inline]
    fn seq(&self, slot: usize) -> u64 {
        let offset = match &self.offsets {
            None => u64::from(self.start) + slot as u64,
            Some(offsets) => offsets.get(slot).copied().map_or(CHUNK, u64::from),
        };
        self.base() + offset
    }

    /// The messages from `seq` on.
    pub(super) fn iter_from(&self, seq: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let from = self.slot_from(seq).min(self.entries.len());
        let entries = self.entries.get(from..).unwrap_or_default().iter().enumerate();
        entries.filter(|(_, entry)| !entry.is_gone()).map(move |(slot, entry)| (self.seq(from + slot), entry))
    }

    /// The first message at or behind a slot, and the slot behind it.
    #[inline]
    pub(super) fn next_slot(&self, slot: usize) -> Option<(u64, &Entry, usize)> {
        let rest = self.entries.get(slot..)?;
        let (at, entry) = rest.iter().enumerate().find(|(_, entry)| !entry.is_gone())?;
        Some((self.seq(slot + at), entry, slot + at + 1))
    }

    /// Places and links of the messages from `seq` on.
    pub(super) fn moving_from(&self, seq: u64) -> impl Iterator<Item = (u64, Place, Links)> {
        let entries = self.iter_from(seq).map(|(_, entry)| entry.links());
        self.places_from(seq).zip(entries).map(|((seq, place), links)| (seq, place, links))
    }

    /// The places of the messages from `seq` on.
    pub(super) fn places_from(&self, seq: u64) -> impl Iterator<Item = (u64, Place)> {
        let from = self.slot_from(seq).min(self.entries.len());
        let places = self.places.iter().flat_map(move |places| places.get(from..).unwrap_or_default());
        let entries = self.entries.get(from..).unwrap_or_default().iter().zip(places).enumerate();
        let live = entries.filter(|(_, (entry, _))| !entry.is_gone());
        live.map(move |(slot, (_, place))| (self.seq(from + slot), *place))
    }

    /// All of them, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut Entry)> {
        let (base, start, offsets) = (self.base(), self.start, &self.offsets);
        let entries = self.entries.iter_mut().enumerate().filter(|(_, entry)| !entry.is_gone());
        entries.map(move |(slot, entry)| {
            let offset = match offsets {
                None => u64::from(start) + slot as u64,
                Some(offsets) => offsets.get(slot).copied().map_or(CHUNK, u64::from),
            };
            (base + offset, entry)
        })
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.iter_from(0)
    }

    /// The first message at or behind `seq`.
    pub(super) fn next(&self, seq: u64) -> Option<u64> {
        self.iter_from(seq).next().map(|(seq, _)| seq)
    }

    /// The last message at or before `seq`.
    pub(super) fn previous(&self, seq: u64) -> Option<u64> {
        let until = self.slot_from(seq.checked_add(1)?).min(self.entries.len());
        let slot = self.entries.get(..until)?.iter().rposition(|entry| !entry.is_gone())?;
        Some(self.seq(slot))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let places = self.places.as_ref().map_or(0, |places| places.capacity() * size_of::<Place>());
        let offsets = self.offsets.as_ref().map_or(0, |offsets| offsets.capacity() * 2);
        size_of::<Self>() + self.entries.capacity() * size_of::<Entry>() + places + offsets
    }
}
