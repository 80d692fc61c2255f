//! What a turn has for each peer, until it is moved to the outboxes and written.

use crate::account::Account;
use crate::inlet::Batch;
use crate::kind::Kind;
use crate::outbox::{Chunk, Pool};
use crate::peer::Peer;
use dialtone_wire::mqtt::PropertiesBuf;
use std::sync::Arc;
use std::time::Instant;

/// Staged bytes a peer at which a turn is written out before its end: enough for a system call to be worth it, and few
/// enough that what was just staged is still in the processor's cache when it is written.
const BYTES_PER_PEER: usize = 64 * 1024;
/// The same for all peers together: at least, and at most.
const BYTES_MIN: usize = 512 * 1024;
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Empty batches that are kept.
const SPARE_MAX: usize = 64;
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

/// What one turn has for one receiver inside the server.
pub(super) struct Delivered {
    pub peer: Arc<Peer>,
    pub batch: Batch,
}

/// The stages of a turn.
#[derive(Default)]
pub(super) struct Staging {
    stages: Vec<Stage>,
    /// Peers whose outboxes hold something of this turn that is to be written.
    enqueued: Vec<Arc<Peer>>,
    /// For receivers inside the server.
    batches: Vec<Delivered>,
    /// Batches that are empty, to be used again.
    spare: Vec<Batch>,
    /// By a peer's slot: the index of its stage, or of its batch, plus one.
    slots: Vec<u32>,
    bytes: usize,
    bytes_max: usize,
    pool: Pool,
    relayed: Relayed,
    /// Of the delivery at hand to a client of MQTT 5.
    pub properties: PropertiesBuf,
}

/// Messages of one account to connections of one kind that is in all accounts, which are not counted yet. A turn often has one account's.
#[derive(Default)]
struct Relayed {
    of: Option<(Arc<Account>, Kind)>,
    msgs: u64,
    bytes: u64,
}

impl Relayed {
    fn count(&mut self, account: &Arc<Account>, kind: Kind, bytes: usize) {
        if !self.of.as_ref().is_some_and(|(known, of)| known.id == account.id && *of == kind) {
            self.settle();
            self.of = Some((account.clone(), kind));
        }
        self.msgs += 1;
        self.bytes += bytes as u64;
    }

    fn settle(&mut self) {
        let Self { of, msgs, bytes } = std::mem::take(self);
        if let Some((account, kind)) = of {
            account.count_relayed_out(kind, msgs, bytes);
        }
    }
}

impl Staging {
    /// The stage of a peer.
    #[inline(always)]
    pub fn stage(&mut self, peer: &Arc<Peer>) -> &mut Stage {
        let index = match self.slots.get(peer.slot() as usize) {
            // A slot is reused as soon as its peer is gone, maybe while this turn has a stage for that one: what is for
            // the new peer must not go there.
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
        // The stage is there if the slot names it; both are cleared together in `finish`.
        &mut self.stages[index]
    }

    #[cold]
    fn add(&mut self, peer: &Arc<Peer>) -> usize {
        let slot = peer.slot() as usize;
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, NONE);
        }
        let bytes = self.pool.take();
        self.stages.push(Stage { peer: peer.clone(), full: Vec::new(), bytes, msgs: 0, body_bytes: 0 });
        self.bound();
        if let Some(entry) = self.slots.get_mut(slot) {
            *entry = self.stages.len() as u32;
        }
        self.stages.len() - 1
    }

    /// As many bytes as the receivers are worth.
    fn bound(&mut self) {
        let receivers = self.stages.len() + self.batches.len();
        self.bytes_max = BYTES_PER_PEER.saturating_mul(receivers).clamp(BYTES_MIN, BYTES_MAX);
    }

    /// The batch of a receiver inside the server.
    pub fn batch(&mut self, peer: &Arc<Peer>) -> &mut Batch {
        let slot = peer.slot() as usize;
        let known = self.slots.get(slot).map(|&number| (number as usize).wrapping_sub(1));
        let is_its = |at: &usize| self.batches.get(*at).is_some_and(|known| Arc::ptr_eq(&known.peer, peer));
        let index = known.filter(is_its).unwrap_or_else(|| {
            if slot >= self.slots.len() {
                self.slots.resize(slot + 1, NONE);
            }
            let batch = self.spare.pop().unwrap_or_default();
            self.batches.push(Delivered { peer: peer.clone(), batch });
            self.bound();
            if let Some(entry) = self.slots.get_mut(slot) {
                *entry = self.batches.len() as u32;
            }
            self.batches.len() - 1
        });
        // The batch is there if the slot names it; both are cleared together in `take_batches`.
        &mut self.batches[index].batch
    }

    /// What was staged for receivers inside the server since the last time.
    pub fn take_batches(&mut self) -> Vec<Delivered> {
        for delivered in &self.batches {
            if let Some(slot) = self.slots.get_mut(delivered.peer.slot() as usize) {
                *slot = NONE;
            }
        }
        std::mem::take(&mut self.batches)
    }

    /// Whether something is staged for receivers inside the server.
    #[inline(always)]
    pub fn has_batches(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Takes a batch of [`Staging::take_batches`] back, to be used again.
    pub fn recycle(&mut self, mut batch: Batch) {
        if self.spare.len() < SPARE_MAX {
            batch.clear();
            self.spare.push(batch);
        }
    }

    /// Takes back what held the batches of [`Staging::take_batches`].
    pub fn give_back(&mut self, emptied: Vec<Delivered>) {
        if self.batches.is_empty() {
            self.batches = emptied;
        }
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

    /// Moves everything to the outboxes, then writes.
    pub fn finish(&mut self, now: Instant) {
        self.bytes = 0;
        if self.relayed.msgs > 0 {
            self.relayed.settle();
        }
        let mut stages = std::mem::take(&mut self.stages);
        for stage in &mut stages {
            self.enqueue_stage(stage, now);
        }
        for peer in self.enqueued.drain(..) {
            peer.flush(now, &mut self.pool);
        }
        for stage in stages.drain(..) {
            stage.peer.flush(now, &mut self.pool);
        }
        self.stages = stages;
    }

    /// Moves everything to the outboxes; the next [`Staging::finish`] writes it.
    pub fn enqueue(&mut self, now: Instant) {
        let mut stages = std::mem::take(&mut self.stages);
        for mut stage in stages.drain(..) {
            self.enqueue_stage(&mut stage, now);
            if !self.enqueued.last().is_some_and(|last| Arc::ptr_eq(last, &stage.peer)) {
                self.enqueued.push(stage.peer);
            }
        }
        self.stages = stages;
    }

    /// Moves bytes to the outbox of a peer at once; the next [`Staging::finish`] writes them.
    pub fn enqueue_bytes(&mut self, peer: &Arc<Peer>, bytes: &[u8]) {
        let mut buffer = self.pool.take();
        buffer.extend_from_slice(bytes);
        peer.enqueue(std::iter::once(Chunk::Own(buffer)), 0, &mut self.pool);
        if !self.enqueued.iter().any(|known| Arc::ptr_eq(known, peer)) {
            self.enqueued.push(peer.clone());
        }
    }

    #[inline(always)]
    fn enqueue_stage(&mut self, stage: &mut Stage, now: Instant) {
        if let Some(slot) = self.slots.get_mut(stage.peer.slot() as usize) {
            *slot = NONE;
        }
        let last = Some(std::mem::take(&mut stage.bytes)).filter(|b| !b.is_empty()).map(Chunk::Own);
        let chunks = stage.full.drain(..).chain(last);
        stage.peer.enqueue(chunks, stage.msgs, &mut self.pool);
        if stage.msgs > 0 {
            stage.peer.count_out(u64::from(stage.msgs), stage.body_bytes, now);
        }
    }

    /// Counts a message of an account that goes to a connection which is in all of them.
    #[inline]
    pub fn count_relayed(&mut self, account: &Arc<Account>, kind: Kind, bytes: usize) {
        self.relayed.count(account, kind, bytes);
    }

    /// Drops what is kept for the next turns.
    pub fn idle(&mut self) {
        self.pool.clear();
        self.spare = Vec::new();
    }

    /// Writes what waits for a peer.
    pub fn flush(&mut self, peer: &Peer, now: Instant) {
        peer.flush(now, &mut self.pool);
    }
}
