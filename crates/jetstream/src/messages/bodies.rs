//! The bodies in memory: blocks that are filled one after the other, found by sequence.

use super::Keep;
use std::collections::VecDeque;

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
}

impl Bodies {
    pub(super) fn new(keep: Keep) -> Self {
        Self { blocks: VecDeque::new(), bytes: 0, keep }
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
        while block.starts.len() <= slot {
            block.starts.push(at);
        }
        block.bytes.extend_from_slice(body[0]);
        block.bytes.extend_from_slice(body[1]);
        block.live_bytes += bytes;
        self.bytes += bytes;
    }

    /// Begins a block, in the memory of the oldest one if that may go.
    #[cold]
    fn add_block(&mut self, seq: u64, bytes: usize) {
        let (mut buffer, mut starts) = (Vec::new(), Vec::new());
        if let Keep::Latest { bytes_max } = self.keep
            && self.bytes + bytes > bytes_max
            && let Some(oldest) = self.blocks.pop_front()
        {
            self.bytes -= oldest.bytes.len();
            if oldest.bytes.capacity() <= 2 * BLOCK_BYTES {
                (buffer, starts) = (oldest.bytes, oldest.starts);
            }
        } else if !self.blocks.is_empty() {
            buffer.reserve(BLOCK_BYTES.max(bytes));
        }
        self.blocks.push_back(Block::new(seq, buffer, starts));
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
            self.bytes -= bytes;
            self.blocks.remove(at);
        } else if self.keep == Keep::All && block.live_bytes * 2 < bytes {
            block.compact(is_live);
            let after = block.bytes.len();
            self.bytes -= bytes - after;
        }
    }

    /// Drops the oldest blocks while there are more bytes than these.
    #[inline]
    pub(super) fn shrink(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some(oldest) = self.blocks.pop_front() else { return };
            self.bytes -= oldest.bytes.len();
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.iter().map(Block::memory_bytes).sum()
    }
}
