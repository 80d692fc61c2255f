//! What a turn has for each peer, until it is handed to the outboxes and written.

use crate::outbox::{Chunk, Pool};
use crate::peer::Peer;
use std::sync::Arc;
use std::time::Instant;

/// Staged bytes a peer at which a turn is written out before its end: enough for a system call to be worth it, and few
/// enough that what was just staged is still in the processor's cache when it is written.
const BYTES_PER_PEER: usize = 64 * 1024;
/// The same for all peers together: at least, and at most.
const BYTES_MIN: usize = 512 * 1024;
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// No stage: what a slot holds for a peer that nothing was staged for.
const NONE: u32 = 0;

/// What one turn has for one peer.
pub(super) struct Stage {
    peer: Arc<Peer>,
    full: Vec<Chunk>,
    pub bytes: Vec<u8>,
    msgs: u32,
    body_bytes: u64,
}

impl Stage {
    /// Counts a message that was staged.
    #[inline(always)]
    pub fn count(&mut self, body_bytes: usize) {
        self.msgs = self.msgs.saturating_add(1);
        self.body_bytes = self.body_bytes.wrapping_add(body_bytes as u64);
    }

    /// Puts a body behind what is staged without copying it.
    pub fn share(&mut self, body: &Arc<[u8]>) {
        let head = std::mem::take(&mut self.bytes);
        self.full.push(Chunk::Own(head));
        self.full.push(Chunk::Shared(body.clone()));
    }
}

/// The stages of a turn.
#[derive(Default)]
pub(super) struct Staging {
    stages: Vec<Stage>,
    /// By a peer's slot: its stage's index plus one.
    slots: Vec<u32>,
    bytes: usize,
    bytes_max: usize,
    pool: Pool,
}

impl Staging {
    /// The stage of a peer.
    #[inline(always)]
    pub fn stage(&mut self, peer: &Arc<Peer>) -> &mut Stage {
        let index = match self.slots.get(peer.slot as usize) {
            // A slot is given again as soon as its peer is gone, maybe while this turn has a stage for that one: what is for
            // the newcomer must not go there.
            Some(&number)
                if self
                    .stages
                    .get((number as usize).wrapping_sub(1))
                    .is_some_and(|stage| Arc::ptr_eq(&stage.peer, peer)) =>
            {
                number as usize - 1
            }
            _ => self.add(peer),
        };
        // The slot says that the stage is there; both are cleared together in `finish`.
        &mut self.stages[index]
    }

    #[cold]
    fn add(&mut self, peer: &Arc<Peer>) -> usize {
        let slot = peer.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, NONE);
        }
        let bytes = self.pool.take();
        self.stages.push(Stage { peer: peer.clone(), full: Vec::new(), bytes, msgs: 0, body_bytes: 0 });
        self.bytes_max = BYTES_PER_PEER.saturating_mul(self.stages.len()).clamp(BYTES_MIN, BYTES_MAX);
        if let Some(entry) = self.slots.get_mut(slot) {
            *entry = self.stages.len() as u32;
        }
        self.stages.len() - 1
    }

    /// Counts bytes that were copied into a stage.
    #[inline(always)]
    pub fn note(&mut self, bytes: usize) {
        self.bytes = self.bytes.wrapping_add(bytes);
    }

    /// Whether so much is staged that it should be written.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.bytes > self.bytes_max
    }

    /// Hands everything to the outboxes, then writes.
    pub fn finish(&mut self, now: Instant) {
        self.bytes = 0;
        let mut stages = std::mem::take(&mut self.stages);
        for stage in &mut stages {
            if let Some(slot) = self.slots.get_mut(stage.peer.slot as usize) {
                *slot = NONE;
            }
            let last = Some(std::mem::take(&mut stage.bytes)).filter(|b| !b.is_empty()).map(Chunk::Own);
            let chunks = stage.full.drain(..).chain(last);
            stage.peer.enqueue(chunks, stage.msgs, &mut self.pool);
            if stage.msgs > 0 {
                stage.peer.count_out(u64::from(stage.msgs), stage.body_bytes, now);
            }
        }
        for stage in stages.drain(..) {
            stage.peer.flush(now, &mut self.pool);
        }
        self.stages = stages;
    }

    /// Lets go of what is kept for the next turns.
    pub fn idle(&mut self) {
        self.pool.clear();
    }

    /// Writes what waits for a peer.
    pub fn flush(&mut self, peer: &Peer, now: Instant) {
        peer.flush(now, &mut self.pool);
    }
}
