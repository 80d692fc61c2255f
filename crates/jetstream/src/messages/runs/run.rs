//! One run: its blocks, and which subject each of them begins with.

use super::block::{BLOCK_BYTES, find, put_name, put_numbers, read_name};
use super::filter::Filter;
use super::{BlockSink, NotWritten, Numbers, Unread};
use crate::bytes::{Malformed, Reader, put};
use crate::messages::{Heads, Place};
use dialtone_subject::Hashing;
use std::hash::BuildHasher;

/// Blocks of the directory are larger: all of it is read at a start.
const DIRECTORY_BYTES: usize = 32 * BLOCK_BYTES;
/// The number of a run stands above those of its blocks, and those of its directory and of its filter above these.
const RUN_SHIFT: u32 = 32;
const DIRECTORY: u64 = 1 << 31;
const FILTER: u64 = 1 << 30;

/// Sorted subjects on disk.
#[derive(Debug)]
pub(crate) struct Run {
    no: u64,
    records: u64,
    bytes: u64,
    blocks: Vec<Place>,
    /// Where the name begins, in `names`, that a block begins with.
    starts: Vec<u32>,
    names: Vec<u8>,
    keys: Keys,
    /// Blocks that say where the others are.
    directory: Vec<Place>,
    /// Which subjects are not in it.
    filter: Filter,
}

/// What names differ by that blocks begin with, as numbers that are in the same order.
#[derive(Debug, Default)]
struct Keys {
    /// Bytes that all of them begin with.
    common: usize,
    all: Vec<u64>,
    /// Each of so many, so that a search reads few lines of memory.
    some: Vec<u64>,
}

const KEYS_STEP: usize = if cfg!(debug_assertions) { 2 } else { 64 };

impl Keys {
    fn new(common: usize, all: Vec<u64>) -> Self {
        let some = all.iter().step_by(KEYS_STEP).copied().collect();
        Self { common, all, some }
    }

    /// Where the first one is that is not less, and the first one that is more.
    fn range_of(&self, key: u64) -> (usize, usize) {
        let before = self.some.partition_point(|one| *one < key).saturating_sub(1) * KEYS_STEP;
        let piece = self.all.get(before..self.all.len().min(before + KEYS_STEP)).unwrap_or_default();
        let from = before + piece.partition_point(|one| *one < key);
        if self.all.get(from) != Some(&key) {
            return (from, from);
        }
        (from, from + self.all.get(from..).unwrap_or_default().partition_point(|one| *one == key))
    }

    fn memory_bytes(&self) -> usize {
        (self.all.capacity() + self.some.capacity()) * size_of::<u64>()
    }
}

/// The bytes of a name behind so many, as a number.
fn key_of(name: &[u8], common: usize) -> u64 {
    let mut key = [0; 8];
    key.iter_mut().zip(name.get(common..).unwrap_or_default()).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(key)
}

impl Run {
    fn new(no: u64, filter: Filter) -> Self {
        let (blocks, starts, names, directory) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let keys = Keys::default();
        Self { no, records: 0, bytes: 0, blocks, starts, names, keys, directory, filter }
    }

    /// What it says of a subject, if it says something. May wait for the disk.
    pub(super) fn find(&self, name: &[u8], heads: &dyn Heads) -> Result<Option<Numbers>, Unread> {
        if self.may_have(name, heads) { self.find_in_block(name, heads) } else { Ok(None) }
    }

    /// Whether it may say something of a subject.
    pub(in super::super) fn may_have(&self, name: &[u8], heads: &dyn Heads) -> bool {
        self.filter.may_have(name, (self.no << RUN_SHIFT | FILTER, heads))
    }

    /// What the block says of a subject that would have it.
    pub(in super::super) fn find_in_block(
        &self,
        name: &[u8],
        heads: &dyn Heads,
    ) -> Result<Option<Numbers>, Unread> {
        let Some(index) = self.block_of(name) else { return Ok(None) };
        // With what the store reads around it.
        let mut bytes = Vec::with_capacity(BLOCK_BYTES * 2);
        self.block(index, heads, &mut bytes)?;
        find(&bytes, name).map_err(|Malformed| Unread::Damaged)
    }

    /// The last block that does not begin behind a name.
    pub(super) fn block_of(&self, name: &[u8]) -> Option<usize> {
        let common = self.keys.common;
        let shared = name.iter().zip(self.first_name(0)).take(common).take_while(|(one, other)| one == other);
        let (mut from, mut to) = (0, self.blocks.len());
        if shared.count() == common {
            // Most names are told apart by what stands in one place.
            (from, to) = self.keys.range_of(key_of(name, common));
        }
        while from < to {
            let middle = usize::midpoint(from, to);
            match self.first_name(middle) <= name {
                true => from = middle + 1,
                false => to = middle,
            }
        }
        from.checked_sub(1)
    }

    /// The name that a block begins with.
    fn first_name(&self, index: usize) -> &[u8] {
        let begin = self.starts.get(index).map_or(0, |&start| start as usize);
        let end = self.starts.get(index + 1).map_or(self.names.len(), |&start| start as usize);
        self.names.get(begin..end).unwrap_or_default()
    }

    /// Whether it has to be written anew to say again which subjects it does not have.
    pub(super) fn has_lost_filter(&self) -> bool {
        self.filter.is_lost()
    }

    /// Subjects in it, those without messages among them.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of its blocks.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that this takes.
    pub(super) fn memory_bytes(&self) -> usize {
        (self.blocks.capacity() + self.directory.capacity()) * size_of::<Place>()
            + self.starts.capacity() * size_of::<u32>()
            + self.names.capacity()
            + self.keys.memory_bytes()
            + self.filter.memory_bytes()
    }

    /// Where its blocks are, and those of its directory and its filter.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.blocks.iter().chain(&self.directory).copied().chain(self.filter.places())
    }

    /// How many blocks it has, without the directory.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Appends a block.
    pub(super) fn block(&self, index: usize, heads: &dyn Heads, out: &mut Vec<u8>) -> Result<(), Unread> {
        let place = *self.blocks.get(index).ok_or(Unread::Damaged)?;
        heads.block(self.no << RUN_SHIFT | index as u64, place, out)
    }

    fn add_block(&mut self, first: &[u8], place: Place) -> Option<()> {
        self.starts.push(u32::try_from(self.names.len()).ok()?);
        self.names.extend_from_slice(first);
        self.blocks.push(place);
        Some(())
    }

    /// All its blocks are known.
    fn note_keys(&mut self) {
        // They are sorted: what the first and the last have in common, all have.
        let last = self.first_name(self.blocks.len().saturating_sub(1));
        let common = self.first_name(0).iter().zip(last).take_while(|(one, other)| one == other).count();
        let all = (0..self.blocks.len()).map(|index| key_of(self.first_name(index), common)).collect();
        self.keys = Keys::new(common, all);
    }

    /// Appends what [`Run::read`] reads.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        for number in [self.no, self.records, self.bytes, self.directory.len() as u64] {
            put(out, number);
        }
        self.directory.iter().for_each(|place| out.extend_from_slice(&place.0));
        self.filter.put(out);
    }

    #[cfg(test)]
    pub(super) fn put_filter(&self, out: &mut Vec<u8>) {
        self.filter.put(out);
    }

    #[cfg(test)]
    pub(super) fn filter_places(&self) -> impl Iterator<Item = Place> {
        self.filter.places()
    }

    /// Reads one with its directory. Earlier ones have no filter, and may have any subject.
    pub(super) fn read(
        (reader, has_filter): (&mut Reader<'_>, bool),
        heads: &dyn Heads,
    ) -> Result<Result<Self, Unread>, Malformed> {
        let mut run = Self::new(reader.number()?, Filter::default());
        (run.records, run.bytes) = (reader.number()?, reader.number()?);
        for _ in 0..reader.number()? {
            run.directory.push(place(reader)?);
        }
        if has_filter {
            run.filter = Filter::read(reader)?;
        }
        Ok(run.read_directory(heads).map(|()| run))
    }

    fn read_directory(&mut self, heads: &dyn Heads) -> Result<(), Unread> {
        let (mut bytes, mut name) = (Vec::new(), Vec::new());
        for (index, place) in self.directory.clone().into_iter().enumerate() {
            bytes.clear();
            name.clear();
            heads.block(self.no << RUN_SHIFT | DIRECTORY | index as u64, place, &mut bytes)?;
            let mut reader = Reader(&bytes);
            while !reader.0.is_empty() {
                let place = entry(&mut reader, &mut name).map_err(|Malformed| Unread::Damaged)?;
                self.add_block(&name, place).ok_or(Unread::Damaged)?;
            }
        }
        self.note_keys();
        Ok(())
    }
}

fn place(reader: &mut Reader<'_>) -> Result<Place, Malformed> {
    Ok(Place(reader.take(16)?.try_into().map_err(|_| Malformed)?))
}

fn entry(reader: &mut Reader<'_>, name: &mut Vec<u8>) -> Result<Place, Malformed> {
    read_name(reader, name)?;
    place(reader)
}

/// Writes a run, subject by subject.
pub(super) struct RunWriter {
    run: Run,
    buffer: Vec<u8>,
    /// The first subject of the block, and the last.
    first: Vec<u8>,
    last: Vec<u8>,
}

impl RunWriter {
    /// It will have so many subjects at most.
    pub(super) fn new(no: u64, most: u64) -> Self {
        let filter = Filter::new(Hashing::default().hash_one(no), most);
        Self { run: Run::new(no, filter), buffer: Vec::new(), first: Vec::new(), last: Vec::new() }
    }

    /// Adds a subject behind all others.
    pub(super) fn push(
        &mut self,
        name: &[u8],
        numbers: Numbers,
        sink: &mut dyn BlockSink,
    ) -> Result<(), NotWritten> {
        if self.buffer.is_empty() {
            self.first.clear();
            self.first.extend_from_slice(name);
            self.last.clear();
        }
        put_name(&mut self.buffer, &self.last, name);
        put_numbers(&mut self.buffer, numbers);
        self.last.clear();
        self.last.extend_from_slice(name);
        self.run.filter.add(name);
        self.run.records += 1;
        if self.buffer.len() >= BLOCK_BYTES { self.end_block(sink) } else { Ok(()) }
    }

    fn end_block(&mut self, sink: &mut dyn BlockSink) -> Result<(), NotWritten> {
        let run = &mut self.run;
        let place = sink.add(run.no << RUN_SHIFT | run.blocks.len() as u64, &self.buffer)?;
        run.bytes += self.buffer.len() as u64;
        run.add_block(&self.first, place).ok_or(NotWritten)?;
        self.buffer.clear();
        Ok(())
    }

    /// The run; `None`: it has no subjects.
    pub(super) fn finish(mut self, sink: &mut dyn BlockSink) -> Result<Option<Run>, NotWritten> {
        if !self.buffer.is_empty() {
            self.end_block(sink)?;
        }
        let mut run = self.run;
        let (mut directory, mut buffer, mut before) = (Vec::new(), Vec::new(), &[][..]);
        for (index, place) in run.blocks.iter().enumerate() {
            let name = run.first_name(index);
            put_name(&mut buffer, before, name);
            buffer.extend_from_slice(&place.0);
            before = name;
            if buffer.len() >= DIRECTORY_BYTES || index + 1 == run.blocks.len() {
                let no = run.no << RUN_SHIFT | DIRECTORY | directory.len() as u64;
                directory.push(sink.add(no, &buffer)?);
                buffer.clear();
                before = &[];
            }
        }
        run.directory = directory;
        run.note_keys();
        run.filter.write(run.no << RUN_SHIFT | FILTER, sink)?;
        Ok((run.records > 0).then_some(run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_where_they_are() {
        for len in 0..20u64 {
            let all: Vec<u64> = (0..len).map(|at| at / 3 * 2).collect();
            let keys = Keys::new(0, all.clone());
            for key in 0..20 {
                let from = all.iter().take_while(|one| **one < key).count();
                let to = all.iter().take_while(|one| **one <= key).count();
                assert_eq!(keys.range_of(key), (from, to), "{key} of {all:?}");
            }
        }
    }
}
