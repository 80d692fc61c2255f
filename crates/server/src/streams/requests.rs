//! What the API asks of a stream.

use super::hosted::Hosted;
use super::meta::StreamMeta;
use super::record::Record;
use super::session::Session;
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::config::{ConsumerConfig, StreamConfig};
use dialtone_jetstream::consumer::ResetError;
use dialtone_jetstream::stream::{Proposal, Purge, Refusal};
use dialtone_store::{Lsn, ReadError, Refused, Urgency};
use std::sync::Arc;

/// How often a message is read that has another place each time.
const READ_ATTEMPTS: usize = 8;

impl Hosted {
    /// Gives the stream another configuration, which was checked. `None`: the account is gone.
    ///
    /// # Errors
    /// The store takes nothing.
    pub(crate) fn reconfigure(
        &self,
        config: StreamConfig,
        turn: &mut dyn Publish,
    ) -> Option<Result<Option<Lsn>, Refused>> {
        self.with(turn, |session| {
            let meta = StreamMeta { config: Arc::new(config), created: session.inner.state.meta.created };
            let upto = session.log_record(Record::Stream(&meta.encode()), Urgency::Ordinary)?;
            let said = session.inner.state.reconfigure(meta);
            session.note(said);
            super::sourcing::renew(session);
            // The answer shows what is left.
            session.expire();
            Ok(upto)
        })
    }

    /// Purges messages. How many there were, and where the log ends.
    ///
    /// # Errors
    /// The stream does not allow it.
    pub(crate) fn purge(
        &self,
        purge: Purge,
        turn: &mut dyn Publish,
    ) -> Option<Result<(u64, Option<Lsn>), Refusal>> {
        self.with(turn, |session| {
            let proposal = session.inner.state.machine.admit_purge(purge)?;
            let before = session.inner.state.machine.totals().count;
            let upto = carry_out(session, &proposal)?;
            let after = session.inner.state.machine.totals().count;
            Ok((before.saturating_sub(after), upto))
        })
    }

    /// Gives up a message that was to be stored later. Where the log ends.
    ///
    /// # Errors
    /// There is none of this number.
    pub(crate) fn cancel_delayed(
        &self,
        id: u64,
        turn: &mut dyn Publish,
    ) -> Option<Result<Option<Lsn>, Refusal>> {
        self.with(turn, |session| {
            let proposal = session.inner.state.machine.admit_undelay(id).ok_or(Refusal::NotFound)?;
            carry_out(session, &proposal)
        })
    }

    /// Deletes one message. Where the log ends.
    ///
    /// # Errors
    /// There is none, or the stream does not allow it.
    pub(crate) fn delete_message(
        &self,
        seq: u64,
        erase: bool,
        turn: &mut dyn Publish,
    ) -> Option<Result<Option<Lsn>, Refusal>> {
        self.with(turn, |session| {
            let proposal = session.inner.state.machine.admit_delete(seq, erase)?;
            carry_out(session, &proposal)
        })
    }

    /// Reads the body of a message. Not for event loops.
    pub(crate) fn read_body(&self, seq: u64, body: &mut Vec<u8>) -> bool {
        // The lock is not held while the disk is read: a checkpoint may move it meanwhile, which is rare.
        for _ in 0..READ_ATTEMPTS {
            let copied = self.lock().copy_body(seq, body);
            let place = match copied {
                Ok(is_there) => return is_there,
                Err(place) => place,
            };
            match self.try_read(seq, place, body) {
                Ok(()) => return true,
                Err(ReadError::Moved) => {}
                Err(error) => {
                    self.unreadable(seq, &error);
                    return false;
                }
            }
        }
        false
    }

    /// The configurations of the consumers, by name.
    pub(crate) fn consumer_configs(&self) -> Vec<(String, ConsumerConfig)> {
        let inner = self.lock();
        let all = inner.state.consumers_by_name();
        all.map(|held| (held.meta.name().to_owned(), held.meta.config())).collect()
    }

    /// The configuration of a consumer.
    pub(crate) fn consumer_config(&self, name: &str) -> Option<ConsumerConfig> {
        self.lock().state.consumer(name).map(|held| held.meta.config())
    }

    /// Ends the pin of a consumer's priority group.
    pub(crate) fn unpin(&self, name: &str, turn: &mut dyn Publish) -> Option<bool> {
        self.with(turn, |session| {
            let id = session.inner.state.consumer_id(name)?;
            session.consumer(id, |machine, ctx| machine.unpin(ctx))
        })?
    }

    /// Has a consumer begin anew at a sequence, which is returned.
    pub(crate) fn reset_consumer(
        &self,
        name: &str,
        seq: Option<u64>,
        turn: &mut dyn Publish,
    ) -> Option<Result<u64, ResetError>> {
        self.with(turn, |session| {
            let id = session.inner.state.consumer_id(name)?;
            session.consumer(id, |machine, ctx| machine.reset(ctx, seq))
        })?
    }
}

fn carry_out(session: &mut Session<'_>, proposal: &Proposal<'_>) -> Result<Option<Lsn>, Refusal> {
    session.carry_out(proposal)?;
    Ok(session.upto())
}
