//! A stream's table of subjects, as checkpoints write it.

use super::hosted::Hosted;
use dialtone_jetstream::messages::{BlockSink, NotWritten, Place, Runs, RunsError, Unread};
use dialtone_store::{BlockError, Blocks, Plan};

/// Subjects that are taken out under one lock of the stream.
const PIECE: usize = 4096;

/// What of a table is in a checkpoint.
pub(super) enum Table {
    /// It is still to be taken out.
    Captured,
    /// What is in force once the checkpoint is durable.
    Written(Runs),
}

/// Hands blocks to the store, and keeps its error.
struct Sink<'a, 'b, 'c> {
    plan: &'a Plan<'a>,
    blocks: &'a mut Blocks<'b, 'c>,
    error: Option<BlockError>,
}

impl Sink<'_, '_, '_> {
    fn keep<T>(&mut self, done: Result<T, BlockError>) -> Result<T, NotWritten> {
        done.map_err(|error| {
            self.error = Some(error);
            NotWritten
        })
    }
}

impl BlockSink for Sink<'_, '_, '_> {
    fn begin(&mut self, bytes: u64) -> Result<(), NotWritten> {
        let done = self.blocks.begin(bytes);
        self.keep(done)
    }

    fn add(&mut self, no: u64, bytes: &[u8]) -> Result<Place, NotWritten> {
        let done = self.blocks.add(no, bytes);
        Ok(Place(self.keep(done)?.to_bytes()))
    }

    fn uses(&mut self, place: Place) {
        let place = dialtone_store::Place::from_bytes(place.0);
        self.blocks.uses(place, u64::from(place.bytes()));
    }

    fn has_to_move(&self, place: Place) -> bool {
        self.plan.moves(dialtone_store::Place::from_bytes(place.0))
    }
}

impl Hosted {
    /// Takes out and writes what changed in the table, as it was when the stream was captured, and appends to the state where it is.
    ///
    /// # Errors
    /// The checkpoint does not happen. Where that is for something of before that is damaged, the next one makes it anew.
    pub(super) fn write_table(
        &self,
        (plan, blocks): (&Plan<'_>, &mut Blocks<'_, '_>),
        state: &mut Vec<u8>,
    ) -> Result<Runs, BlockError> {
        let failed = || std::io::Error::other("a table of subjects").into();
        let (group, store) = self.group.zip(self.shared.store()).ok_or_else(failed)?;
        while self.lock().state.machine.capture_some(PIECE) {}
        let outgoing = self.lock().state.machine.outgoing().ok_or_else(failed)?;
        let heads = self.shared.index().of(&self.name, store.heads(group));
        let mut sink = Sink { plan, blocks, error: None };
        let written = outgoing.write(&*heads, &mut sink, state);
        let error = sink.error.take();
        written.map_err(|why| {
            if why == RunsError::Unread(Unread::Damaged) {
                self.lock().state.machine.set_runs(None);
            }
            error.unwrap_or_else(failed)
        })
    }
}
