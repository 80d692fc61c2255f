//! The state machine of a stream: what may be stored, what that changes, what can be read.
//!
//! Begin with [`Stream`]. [`Stream::admit_publish`] and its siblings decide and only read; what they answer is a [`Proposal`], which holds all
//! that was decided: times, sequences, subjects behind transforms. [`Stream::apply`] carries it out, never fails, and says in [`Effects`]
//! what changed. The log holds proposals: a message as the head of [`Store::encode_head`] and its body, those of a [`Proposal::Batch`] at once and
//! in a row, all else by [`Proposal::encode`].
//!
//! Invariants: no clock, no randomness, no I/O; the same proposals make the same state ([`Stream::snapshot`] gives its bytes).

mod admit;
mod apply;
mod archived;
mod batch;
mod codec;
mod counter;
mod dedupe;
mod delayed;
mod effects;
mod expiry;
mod fast;
mod marks;
#[cfg(test)]
mod model;
mod packed;
mod pattern;
mod proposal;
mod refusal;
mod restoring;
mod schedules;
mod settings;
mod snapshot;
mod sourced;
#[cfg(test)]
mod tests;

use crate::memory::Budget;
use crate::messages::{Body, Freed, Head, Heads, Keep, Messages, Place, Removed, Totals};
pub use admit::append as append_header;
pub(crate) use admit::without_prefixes;
pub use admit::{Admitted, Publish, Room};
pub use archived::Archived;
pub use batch::{Abandoned, BatchLimits, Batches};
pub use codec::Malformed;
use dedupe::Dedupe;
use delayed::Delays;
pub use delayed::{DELAYED_BYTES_MAX, DELAYED_MAX, Delayed};
pub use effects::{Effects, Purged, Reason, RemovedMessage, Stored};
use expiry::Deadlines;
pub use fast::{FastAnswer, FastBatches, FastMark, FastOperation, is_fast};
pub use marks::{Marks, Rollup};
pub use packed::{pack, unpack};
pub use proposal::{MadeBy, Proposal, Purge, Remove, Sourced, Store, Ttl};
pub use refusal::Refusal;
pub use restoring::Restoring;
use schedules::Schedules;
pub use settings::{Discard, Features, Limits, Retention, Settings, Storage};
pub use snapshot::Whole;
use sourced::Places;
pub(crate) use sourced::with_source;
pub use sourced::{Inbound, Place as SourcePlace};
use std::sync::Arc;

/// Messages removed one by one that one proposal names at most.
pub const REMOVED_MAX: usize = 4096;

/// The level of the JetStream API that is carried out.
pub const API_LEVEL: u64 = 5;

/// A stream.
#[derive(Debug)]
pub struct Stream {
    settings: Settings,
    messages: Messages,
    dedupe: Dedupe,
    deadlines: Deadlines,
    schedules: Schedules,
    /// What is stored later.
    delays: Delays,
    /// The `Nats-Msg-Id` of the last message, empty if it had none.
    last_msg_id: Vec<u8>,
    /// How far its sources are.
    places: Places,
}

impl Stream {
    /// A stream without messages.
    pub fn new(settings: Settings) -> Self {
        let keep = match settings.storage {
            Storage::Memory => Keep::All,
            Storage::File => Keep::Latest { bytes_max: settings.hot_bytes_max },
        };
        let messages = Messages::new(keep, settings.first_seq);
        Self {
            settings,
            messages,
            dedupe: Dedupe::default(),
            deadlines: Deadlines::default(),
            schedules: Schedules::default(),
            delays: Delays::default(),
            last_msg_id: Vec::new(),
            places: Places::default(),
        }
    }

    /// What the configuration asks for.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The messages, to read: heads, bodies, filters, counts.
    pub fn messages(&self) -> &Messages {
        &self.messages
    }

    /// The figures of the state.
    pub fn totals(&self) -> Totals {
        self.messages.totals()
    }

    /// A message by its sequence.
    pub fn get(&self, seq: u64) -> Option<(Head<'_>, Body<'_>)> {
        Some((self.messages.head(seq)?, self.messages.body(seq)?))
    }

    /// Where the heads of messages can be read that the store has, and what may be taken of memory.
    pub fn set_heads(&mut self, heads: Arc<dyn Heads>, budget: Arc<Budget>) {
        self.messages.set_heads(heads, budget);
    }

    /// See [`Messages::subjects_out`].
    pub fn subjects_out(&mut self, bytes_max: usize, is_settled: impl Fn(Place) -> bool) {
        self.messages.subjects_out(bytes_max, is_settled);
    }

    /// See [`Messages::page_out`].
    pub fn page_out(&mut self, bytes_max: usize, is_settled: impl Fn(Place) -> bool) -> usize {
        self.messages.page_out(bytes_max, is_settled)
    }

    /// See [`Messages::cool_to`].
    pub fn cool_to(&mut self, bytes_max: usize) {
        self.messages.cool_to(bytes_max);
    }

    /// See [`Messages::moved`].
    pub fn moved(&mut self, seq: u64, from: Place, to: Place) -> bool {
        self.messages.moved(seq, from, to)
    }

    /// Says where the store keeps a message.
    pub fn set_place(&mut self, seq: u64, place: Place) {
        self.messages.set_place(seq, place);
    }

    /// Where messages were that are gone, until the caller takes it out.
    pub fn freed(&mut self) -> &mut Freed {
        self.messages.freed()
    }

    /// Removes a message that all consumers who are interested have acknowledged, of a stream with interest or work-queue retention. Part of
    /// carrying out the proposal that brings the acknowledgement, so the log holds nothing else of it.
    pub fn remove_acknowledged(&mut self, seq: u64) -> Option<Removed> {
        self.remove_one(seq)
    }
}
