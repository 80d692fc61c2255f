//! A stream that is made of what comes from elsewhere: an archive, or the folder of an official server.
//!
//! Nobody sees it before it is whole. The log says that it begins and that it ends; one that did not end is deleted at the next start, or
//! when it is dropped.

use super::hosted::{Hosted, signed};
use super::kept::KeptConfig;
use super::meta::{ConsumerMeta, StreamMeta};
use super::quota::{self, Quota};
use super::record::Record;
use super::registry::{All, group_meta};
use super::session::{log_message, log_proposal};
use super::settings;
use super::shared::{Shared, wall};
use super::state::State;
use dialtone_broker::account::Account;
use dialtone_jetstream::archive::ConsumerState;
use dialtone_jetstream::config::{ConsumerConfig, Storage, StreamConfig};
use dialtone_jetstream::consumer::Start;
use dialtone_jetstream::messages::Place;
use dialtone_jetstream::stream::{Archived, Proposal, Reason, Remove, Store};
use dialtone_store::{Batch, GroupId, Lsn, Refused, Urgency};
use std::sync::Arc;

/// Largest message: that of the official file store.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Longest subject that the head of a message in the log has room for.
const SUBJECT_BYTES_MAX: usize = 32 * 1024;

/// Why a stream cannot go on being made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The store takes nothing.
    #[error(transparent)]
    Store(#[from] Refused),
    /// What streams in memory may take is used.
    #[error("insufficient memory resources available")]
    MemoryFull,
    /// What streams in files may take is used.
    #[error("insufficient storage resources available")]
    StorageFull,
    /// A message that no stream has.
    #[error("message sequence {0} cannot be stored")]
    Message(u64),
    /// A stream of this name came meanwhile.
    #[error("stream name already in use, cannot restore")]
    Exists,
}

/// A stream that is not whole yet.
pub(crate) struct Loading {
    account: Arc<Account>,
    shared: Arc<Shared>,
    quota: Arc<Quota>,
    group: Option<GroupId>,
    /// `None`: it is in the table, or given up.
    state: Option<State>,
    /// Where the log ends that has it.
    upto: Option<Lsn>,
    counted: u64,
    scratch: Vec<u8>,
    places: Vec<(u64, Place)>,
}

impl Loading {
    /// A stream without messages that was made at `created`, nanoseconds since 1970; `None`: now.
    ///
    /// # Errors
    /// The store takes nothing.
    pub(crate) fn begin(
        all: &All,
        account: &Arc<Account>,
        (config, created): (StreamConfig, Option<i64>),
        (shared, payload_max): (&Arc<Shared>, u32),
    ) -> Result<Self, LoadError> {
        let is_file = config.storage == Storage::File;
        let meta = StreamMeta { created: created.unwrap_or_else(wall), config: Arc::new(config) };
        let state = State::new(meta.clone(), settings::stream(&meta.config, payload_max));
        let mut loading = Self {
            account: account.clone(),
            shared: shared.clone(),
            quota: all.quota(account.id),
            group: None,
            state: Some(state),
            upto: None,
            counted: 0,
            scratch: Vec::new(),
            places: Vec::new(),
        };
        if let Some(store) = shared.store().filter(|_| is_file) {
            let mut batch = store.batch(Urgency::Ordinary)?;
            let group = batch.new_group(&group_meta(account, &meta));
            for record in [Record::Stream(&meta.encode()), Record::Loading] {
                loading.scratch.clear();
                record.encode(&mut loading.scratch);
                batch.record(group, &loading.scratch);
            }
            loading.upto = Some(batch.submit());
            loading.group = Some(group);
        }
        Ok(loading)
    }

    /// Its last sequence.
    pub(crate) fn last(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.machine.totals().last)
    }

    /// It with its consumers, until it is in the table or given up.
    pub(crate) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Something for the log, once it takes it.
    fn log(&mut self, write: impl FnOnce(&mut Batch<'_>, GroupId, &mut Vec<u8>)) -> Result<(), LoadError> {
        let (Some(group), Some(store)) = (self.group, self.shared.store()) else { return Ok(()) };
        let mut batch = loop {
            match (store.batch(Urgency::Ordinary), self.upto) {
                (Ok(batch), _) => break batch,
                (Err(Refused::Busy), Some(upto)) => store.wait(upto)?,
                (Err(refused), _) => return Err(refused.into()),
            }
        };
        write(&mut batch, group, &mut self.scratch);
        self.upto = Some(batch.submit());
        Ok(())
    }

    /// Hands a proposal to the log, and carries it out.
    fn carry_out(&mut self, proposal: &Proposal<'_>) -> Result<(), LoadError> {
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        let is_packed = self.state.as_ref().is_some_and(State::is_packed);
        self.log(|batch, group, scratch| match proposal {
            Proposal::Store(message) => log_message(batch, (group, is_packed), message, scratch, &mut places),
            other => log_proposal(batch, group, other, scratch),
        })?;
        if let Some(state) = &mut self.state {
            state.apply(proposal);
            places.iter().for_each(|&(seq, place)| state.machine.set_place(seq, place));
        }
        self.places = places;
        self.count();
        Ok(())
    }

    /// A message, behind those before. Not for event loops.
    ///
    /// # Errors
    /// There is no room, or it is none that a stream has.
    pub(crate) fn message(&mut self, message: &Archived<'_>) -> Result<(), LoadError> {
        let bytes = message.headers.len() + message.payload.len();
        let is_odd = message.seq <= self.last()
            || message.seq > dialtone_jetstream::consumer::SEQ_MAX
            || message.headers.len() > usize::from(u16::MAX)
            || bytes > MESSAGE_BYTES_MAX
            || message.subject.len() > SUBJECT_BYTES_MAX
            || !dialtone_subject::set::is_valid_literal(message.subject);
        if is_odd {
            return Err(LoadError::Message(message.seq));
        }
        let size = (message.subject.len() + bytes) as u64;
        let place = quota::place(self.group.is_some());
        if self.quota.left(place, 0).min(self.shared.quota.left(place, 0)) < size {
            return Err(if self.group.is_some() { LoadError::StorageFull } else { LoadError::MemoryFull });
        }
        let Some(state) = &self.state else { return Ok(()) };
        let store = state.machine.archived(message, wall());
        self.carry_out(&Proposal::Store(store))
    }

    /// Sequences up to this one are given, and have no message; the last of them was stored at `time`, nanoseconds since 1970, 0: nobody knows.
    ///
    /// # Errors
    /// The store takes nothing.
    pub(crate) fn skip_to(&mut self, seq: u64, time: i64) -> Result<(), LoadError> {
        let seq = seq.min(dialtone_jetstream::consumer::SEQ_MAX);
        if seq <= self.last() {
            return Ok(());
        }
        self.carry_out(&match time {
            0 => Proposal::SkipTo(seq),
            time => Proposal::Skip(Store { seq, time, ..Store::default() }),
        })
    }

    /// There is no message of a sequence, or no longer; `time` as for [`Self::skip_to`].
    ///
    /// # Errors
    /// The store takes nothing.
    pub(crate) fn delete(&mut self, seq: u64, time: i64) -> Result<(), LoadError> {
        if seq > self.last() {
            return self.skip_to(seq, time);
        }
        let is_there = self.state.as_ref().is_some_and(|state| state.machine.messages().head(seq).is_some());
        if !is_there {
            return Ok(());
        }
        let remove = Remove { runs: vec![(seq, seq)], reason: Reason::Deleted, erase: false };
        self.carry_out(&Proposal::Remove(remove))
    }

    /// A consumer that is so far. All messages are there.
    ///
    /// # Errors
    /// The store takes nothing.
    pub(crate) fn consumer(
        &mut self,
        (name, created): (&str, Option<i64>),
        config: ConsumerConfig,
        archived: &ConsumerState,
    ) -> Result<(), LoadError> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let id = state.next_consumer();
        let start = Start { next: archived.delivered.stream_seq.saturating_add(1), first: Vec::new() };
        let created = created.unwrap_or_else(wall);
        let kept = KeptConfig::of(config, name);
        let meta = ConsumerMeta { id, created, start, name: name.into(), kept };
        let encoded = meta.encode();
        let snapshot = state.place_consumer(meta, archived, wall());
        let progress = [&id.to_le_bytes()[..], &snapshot].concat();
        self.log(|batch, group, scratch| {
            for record in [Record::Consumer(&encoded), Record::Progress(&progress)] {
                scratch.clear();
                record.encode(scratch);
                batch.record(group, scratch);
            }
        })
    }

    /// It is whole, and on disk, and becomes a stream, which is still to be opened.
    ///
    /// # Errors
    /// The store takes nothing, or there is another of its name.
    pub(crate) fn finish(mut self, all: &All) -> Result<Arc<Hosted>, LoadError> {
        let name = self.state.as_ref().map(|state| state.meta.config.name.clone()).unwrap_or_default();
        if all.find(&self.account, &name).is_some() {
            return Err(LoadError::Exists);
        }
        self.log(|batch, group, scratch| {
            scratch.clear();
            Record::Loaded.encode(scratch);
            batch.record(group, scratch);
        })?;
        if let (Some(upto), Some(store)) = (self.upto, self.shared.store()) {
            store.wait(upto)?;
        }
        let Some(mut state) = self.state.take() else { return Err(LoadError::Exists) };
        if self.group.is_some() {
            state.recovered();
        } else {
            state.consumers.recovered();
        }
        let hosted = all.put(&self.account, &self.shared, self.group, state);
        // From here on the stream counts for itself.
        self.uncount();
        Ok(hosted)
    }

    /// What it takes counts while it is made.
    fn count(&mut self) {
        let bytes = self.state.as_ref().map_or(0, |state| state.machine.totals().bytes);
        let more = signed(bytes) - signed(self.counted);
        let place = quota::place(self.group.is_some());
        self.quota.add(place, more);
        self.shared.quota.add(place, more);
        self.counted = bytes;
    }

    fn uncount(&mut self) {
        let place = quota::place(self.group.is_some());
        self.quota.add(place, -signed(self.counted));
        self.shared.quota.add(place, -signed(self.counted));
        self.counted = 0;
    }
}

impl Drop for Loading {
    /// What did not become a stream is deleted.
    fn drop(&mut self) {
        if self.state.take().is_none() {
            return;
        }
        self.uncount();
        if let (Some(group), Some(store)) = (self.group, self.shared.store())
            && let Ok(mut batch) = store.batch(Urgency::FreesRoom)
        {
            batch.delete_group(group);
            batch.submit();
        }
    }
}
