//! The bodies in memory: blocks that are filled one after the other, found by sequence.

use super::Keep;
use crate::memory::{Budget, Charge, Part};
use std::collections::VecDeque;
use std::sync::Arc;

/// A block is full behind so many bytes. A larger body has one of its own.
const BLOCK_BYTES: usize = 128 * 1024;
/// And behind so many sequences.
const BLOCK_SEQS: usize = 4096;

#[derive(Debug)]
struct Block {
    first: u64,
    /// Where the body of each sequence begins; it ends where the next one begins.
    starts: Vec<u32>,
    bytes: Vec<u8>,
    live_bytes: usize,
}

impl Block {
    fn new(first: u64, mut bytes: Vec<u8>, mut starts: Vec<u32>) -> Self {
        bytes.clear();
        starts.clear();
        Self { first, starts, bytes, live_bytes: 0 }
    }

    fn range(&self, slot: usize) -> Option<std::ops::Range<usize>> {
        let start = *self.starts.get(slot)? as usize;
        let end = self.starts.get(slot + 1).map_or(self.bytes.len(), |&end| end as usize);
        Some(start..end)
    }

    fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.starts.capacity() * 4
    }

    /// Keeps only what lives.
    fn compact(&mut self, is_live: impl Fn(u64) -> bool) {
        let mut bytes = Vec::with_capacity(self.live_bytes);
        let mut starts = Vec::with_capacity(self.starts.len());
        for slot in 0..self.starts.len() {
            starts.push(bytes.len() as u32);
            if is_live(self.first + slot as u64) {
                bytes.extend_from_slice(
                    self.range(slot).and_then(|range| self.bytes.get(range)).unwrap_or_default(),
                );
            }
        }
        (self.bytes, self.starts) = (bytes, starts);
    }
}

#[derive(Debug)]
pub(super) struct Bodies {
    blocks: VecDeque<Block>,
    /// Bytes of all blocks.
    bytes: usize,
    keep: Keep,
    /// What the blocks have of memory.
    charge: Charge,
}

impl Bodies {
    pub(super) fn new(keep: Keep) -> Self {
        Self { blocks: VecDeque::new(), bytes: 0, keep, charge: Charge::new(None, Part::Bodies) }
    }

    /// Counts there from now on, and goes by its share.
    pub(super) fn count_in(&mut self, budget: Arc<Budget>) {
        self.charge.count_in(budget);
    }

    /// Drops all.
    pub(super) fn clear(&mut self) {
        (self.blocks, self.bytes) = (VecDeque::new(), 0);
        self.charge.set(0);
    }

    /// Adds a body behind all others. An empty one of a message whose body is on disk alone stands here as empty, too.
    #[inline]
    pub(super) fn push(&mut self, seq: u64, body: &[&[u8]; 2]) {
        let bytes = body[0].len() + body[1].len();
        let fits = |block: &Block| {
            let slot = seq.wrapping_sub(block.first);
            slot < BLOCK_SEQS as u64 && (block.bytes.len() + bytes <= BLOCK_BYTES || block.bytes.is_empty())
        };
        if !self.blocks.back().is_some_and(fits) {
            self.add_block(seq, bytes);
        }
        let Some(block) = self.blocks.back_mut() else { return };
        let slot = (seq - block.first) as usize;
        let at = block.bytes.len() as u32;
        let before = block.memory_bytes();
        while block.starts.len() <= slot {
            block.starts.push(at);
        }
        block.bytes.extend_from_slice(body[0]);
        block.bytes.extend_from_slice(body[1]);
        block.live_bytes += bytes;
        self.bytes += bytes;
        let after = block.memory_bytes();
        if after != before {
            self.grown(after.saturating_sub(before));
        }
    }

    /// The last block takes more memory. Where all streams together have more than they may, this one gives its own: what others have too much is
    /// taken from them later.
    #[cold]
    fn grown(&mut self, more: usize) {
        self.charge.set(self.charge.bytes() + more);
        while self.keep != Keep::All && self.charge.is_over() {
            let Some(oldest) = self.blocks.pop_front() else { return };
            self.forget(&oldest);
        }
    }

    /// A block is gone.
    fn forget(&mut self, block: &Block) {
        self.bytes -= block.bytes.len();
        self.charge.set(self.charge.bytes().saturating_sub(block.memory_bytes()));
    }

    /// Drops the oldest blocks while they take more memory than that.
    pub(super) fn shrink_memory(&mut self, bytes_max: usize) {
        while self.charge.bytes() > bytes_max {
            let Some(oldest) = self.blocks.pop_front() else { return };
            self.forget(&oldest);
        }
    }

    /// Begins a block, in the memory of the oldest one if that may go.
    #[cold]
    fn add_block(&mut self, seq: u64, bytes: usize) {
        let (mut buffer, mut starts) = (Vec::new(), Vec::new());
        if let Keep::Latest { bytes_max } = self.keep
            && self.bytes + bytes > bytes_max
            && let Some(oldest) = self.blocks.pop_front()
        {
            self.forget(&oldest);
            if oldest.bytes.capacity() <= 2 * BLOCK_BYTES {
                (buffer, starts) = (oldest.bytes, oldest.starts);
            }
        } else if !self.blocks.is_empty() {
            buffer.reserve(BLOCK_BYTES.max(bytes));
        }
        let block = Block::new(seq, buffer, starts);
        self.charge.set(self.charge.bytes() + block.memory_bytes());
        self.blocks.push_back(block);
    }

    fn index(&self, seq: u64) -> Option<usize> {
        // Most reads are of what came last.
        let last = self.blocks.len().checked_sub(1)?;
        if self.blocks.get(last)?.first <= seq {
            return Some(last);
        }
        self.blocks.partition_point(|block| block.first <= seq).checked_sub(1)
    }

    /// What is here of a body: nothing where it is on disk alone.
    #[inline]
    pub(super) fn at(&self, seq: u64) -> Option<&[u8]> {
        let block = self.blocks.get(self.index(seq)?)?;
        let range = block.range(usize::try_from(seq - block.first).ok()?)?;
        block.bytes.get(range)
    }

    /// A message is gone. Its bytes go with the block, or when a memory stream has less than half of a block left.
    pub(super) fn remove(&mut self, seq: u64, body_bytes: u32, is_live: impl Fn(u64) -> bool) {
        let Some(at) = self.index(seq) else { return };
        let is_last = at + 1 == self.blocks.len();
        let Some(block) = self.blocks.get_mut(at) else { return };
        let slot = seq - block.first;
        if slot >= block.starts.len() as u64 {
            return;
        }
        block.live_bytes = block.live_bytes.saturating_sub(body_bytes as usize);
        let bytes = block.bytes.len();
        if is_last && bytes < BLOCK_BYTES {
            return;
        }
        if block.live_bytes == 0 {
            if let Some(gone) = self.blocks.remove(at) {
                self.forget(&gone);
            }
        } else if self.keep == Keep::All && block.live_bytes * 2 < bytes {
            let before = block.memory_bytes();
            block.compact(is_live);
            self.bytes -= bytes - block.bytes.len();
            self.charge.set(self.charge.bytes() + block.memory_bytes() - before);
        }
    }

    /// Drops the oldest blocks while there are more bytes than these.
    #[inline]
    pub(super) fn shrink(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some(oldest) = self.blocks.pop_front() else { return };
            self.forget(&oldest);
        }
    }

    /// What is counted is what there is.
    #[cfg(test)]
    pub(super) fn check_figures(&self) {
        assert_eq!(self.charge.bytes(), self.blocks.iter().map(Block::memory_bytes).sum::<usize>());
        assert_eq!(self.bytes, self.blocks.iter().map(|block| block.bytes.len()).sum::<usize>());
    }

    /// What they take in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.charge.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(budget: &Arc<Budget>, first: u64, count: u64) -> Bodies {
        let mut bodies = Bodies::new(Keep::Latest { bytes_max: 2 << 20 });
        bodies.count_in(budget.clone());
        (first..first + count).for_each(|seq| bodies.push(seq, &[b"", &[7; 1000]]));
        bodies.check_figures();
        bodies
    }

    #[test]
    fn all_streams_together_have_their_share_of_memory() {
        let budget = Arc::new(Budget::new(16 << 20));
        let share = budget.share(Part::Bodies);
        let mut all: Vec<Bodies> = (0..10).map(|_| filled(&budget, 1, 1000)).collect();
        assert!(budget.used(Part::Bodies) <= share, "however much they store");
        assert!(budget.used(Part::Bodies) > share / 4 * 3, "which is used");
        assert_eq!(all[0].at(1000), Some(&[7; 1000][..]), "who was first keeps what it has");
        // Until it is taken away, for which those without have room.
        all.iter_mut().for_each(|bodies| bodies.shrink_memory(share / 10));
        all.iter().for_each(Bodies::check_figures);
        let last = filled(&budget, 1, 1000);
        assert!(last.at(1000).is_some_and(|body| body.len() == 1000));
        drop((all, last));
        assert_eq!(budget.used(Part::Bodies), 0);
    }
}
