//! The table of subjects on disk: runs, each of them sorted by name, the newest first. What a newer one says of a subject counts.
//!
//! A run is written once, in blocks, and never changed. What changed since is in memory until a checkpoint writes it as another run, which
//! takes older ones into it that are no larger than itself. Rooms inside: `block` is how subjects are written, `filter` which are not there, `run` one run, `records` what
//! a checkpoint captured, `merge` goes through several of them at once.

mod block;
mod filter;
mod merge;
mod records;
mod run;
#[cfg(test)]
mod tests;

pub(super) use merge::Merge;
pub(super) use records::Records;
pub(super) use run::Run;

use super::{Heads, Place};
use crate::bytes::{Malformed, Reader, put};
use run::RunWriter;
use std::sync::Arc;

/// Runs that a stream has at most: the oldest are merged beyond that.
const RUNS_MAX: usize = 8;
/// What stands before runs with filters: more than the number of any run, with which earlier ones began.
const WITH_FILTERS: u64 = u64::MAX;

/// What is known of a subject. With a count of 0 it has no messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) count: u64,
}

/// Why a block is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is damaged or lost.
    Damaged,
    /// The disk does not give it now, and may do so later.
    NotNow,
}

/// A block was not written. Whoever writes them knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotWritten;

/// Where blocks go in a checkpoint.
pub trait BlockSink {
    /// About so many bytes follow that go out of use together.
    ///
    /// # Errors
    /// It cannot be written.
    fn begin(&mut self, bytes: u64) -> Result<(), NotWritten>;
    /// Writes a block that is read by its number and by the place that is returned.
    ///
    /// # Errors
    /// It cannot be written.
    fn add(&mut self, no: u64, bytes: &[u8]) -> Result<Place, NotWritten>;
    /// A block is in use, one that was just written or one of before.
    fn uses(&mut self, place: Place);
    /// Whether a block of before has to be written anew.
    fn has_to_move(&self, place: Place) -> bool;
}

/// Why runs were not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunsError {
    /// A block was not written.
    NotWritten,
    /// A block of before was not read.
    Unread(Unread),
}

impl From<NotWritten> for RunsError {
    fn from(_: NotWritten) -> Self {
        Self::NotWritten
    }
}

impl From<Unread> for RunsError {
    fn from(unread: Unread) -> Self {
        Self::Unread(unread)
    }
}

/// Runs that a checkpoint wrote or kept: the stream has them once it is durable.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// The newest first.
    pub(super) all: Vec<Arc<Run>>,
    /// The number of the next one.
    pub(super) next: u64,
}

/// What of a stream's table of subjects goes to disk in a checkpoint.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// What was captured and is not durable yet, the newest first.
    pub(super) records: Vec<Arc<Records>>,
    /// What there is.
    pub(super) runs: Runs,
}

impl Outgoing {
    /// Writes what changed, with older runs that are no larger, and appends to `state` what [`Runs::read`] reads. Takes as long as the disk does.
    ///
    /// # Errors
    /// What could not be written, or read of before.
    pub fn write(
        &self,
        heads: &dyn Heads,
        sink: &mut dyn BlockSink,
        state: &mut Vec<u8>,
    ) -> Result<Runs, RunsError> {
        let old = &self.runs.all;
        let count = self.records.iter().map(|records| records.len() as u64).sum();
        let taken = self.taken(count, &*sink);
        let (merged, kept) = old.split_at_checked(taken).unwrap_or((old, &[]));
        let mut runs = Runs { all: Vec::new(), next: self.runs.next };
        if count > 0 || !merged.is_empty() {
            let bytes = self.records.iter().map(|records| records.bytes()).sum::<u64>()
                + merged.iter().map(|run| run.bytes()).sum::<u64>();
            sink.begin(bytes)?;
            let most = count + merged.iter().map(|run| run.records()).sum::<u64>();
            let mut writer = RunWriter::new(runs.next, most);
            let mut merge = Merge::new(heads, self.records.iter().map(|records| &**records), merged)?;
            while let Some((name, numbers)) = merge.next()? {
                // With nothing older behind it, a subject without messages is none.
                if numbers.count > 0 || !kept.is_empty() {
                    writer.push(name, numbers, sink)?;
                }
            }
            runs.all.extend(writer.finish(sink)?.map(Arc::new));
            runs.next += 1;
        }
        runs.all.extend(kept.iter().cloned());
        runs.all.iter().flat_map(|run| run.places()).for_each(|place| sink.uses(place));
        runs.put(state);
        Ok(runs)
    }

    /// How many of the newest runs are merged with what changed.
    fn taken(&self, count: u64, sink: &dyn BlockSink) -> usize {
        let (mut sum, mut taken) = (count, 0);
        for (index, run) in self.runs.all.iter().enumerate() {
            let is_small = run.records() <= sum && count > 0;
            let has_to_move = || run.places().any(|place| sink.has_to_move(place));
            if is_small || index + 1 >= RUNS_MAX || run.has_lost_filter() || has_to_move() {
                taken = index + 1;
            }
            sum += run.records();
        }
        taken
    }
}

/// What runs say of a subject, the newest first, if they say something. May wait for the disk.
pub(super) fn find(runs: &[Arc<Run>], name: &[u8], heads: &dyn Heads) -> Result<Option<Numbers>, Unread> {
    for run in runs {
        if let Some(numbers) = run.find(name, heads)? {
            return Ok(Some(numbers));
        }
    }
    Ok(None)
}

impl Runs {
    /// Subjects of the largest one, if each has a byte at least.
    pub(super) fn largest(&self) -> usize {
        let largest = self.all.iter().map(|run| run.records().min(run.bytes())).max();
        usize::try_from(largest.unwrap_or(0)).unwrap_or(0)
    }

    /// Bytes of what is known of them.
    pub(super) fn memory_bytes(&self) -> usize {
        self.all.iter().map(|run| run.memory_bytes()).sum()
    }

    fn put(&self, out: &mut Vec<u8>) {
        put(out, WITH_FILTERS);
        put(out, self.next);
        put(out, self.all.len() as u64);
        self.all.iter().for_each(|run| run.put(out));
    }

    /// Reads what [`Outgoing::write`] appended, and of each run what it says of its blocks.
    ///
    /// # Errors
    /// These bytes are none of that; or a block could not be read.
    pub(super) fn read(bytes: &[u8], heads: &dyn Heads) -> Result<Result<Self, Unread>, Malformed> {
        let mut reader = Reader(bytes);
        let first = reader.number()?;
        let has_filters = first == WITH_FILTERS;
        let next = if has_filters { reader.number()? } else { first };
        let mut runs = Self { next, all: Vec::new() };
        let mut unread = None;
        for _ in 0..reader.number()? {
            match Run::read((&mut reader, has_filters), heads)? {
                Ok(run) => runs.all.push(Arc::new(run)),
                Err(why) => unread = unread.or(Some(why)),
            }
        }
        reader.end()?;
        Ok(unread.map_or(Ok(runs), Err))
    }
}
