//! One stream with its consumers: the state machine, and how it follows the log.

use super::batches;
use super::hosted::Hosted;
use super::meta::{ConsumerMeta, StreamMeta};
use super::record::Record;
use super::republish::Republish;
use super::sourcing::Origins;
use dialtone_broker::subscription::Subscription;
use dialtone_jetstream::archive::ConsumerState;
use dialtone_jetstream::config::{self, Compression, ConsumerConfig};
use dialtone_jetstream::consumer::{Advisory, Changes, Consumer, ConsumerId, Filters, Prefixes, StreamLog};
use dialtone_jetstream::consumers::Consumers;
use dialtone_jetstream::messages::Place;
use dialtone_jetstream::stream::{Effects, Proposal, Retention, Room, Settings, Store, Stream};
use std::sync::Arc;

/// What belongs to a consumer besides its machine.
pub(crate) struct Held {
    /// What it is.
    pub(crate) meta: ConsumerMeta,
    /// Where it is asked and acknowledged.
    pub(crate) taps: Vec<Arc<Subscription>>,
}

/// A stream and its consumers.
pub(crate) struct State {
    pub(crate) meta: StreamMeta,
    pub(crate) machine: Stream,
    pub(crate) consumers: Consumers<Held>,
    next_consumer: u64,
    /// Consumers that count towards limits.
    countable: i64,
    pub(super) effects: Effects,
    pub(super) changes: Changes,
    /// Those of consumers that the log does not know.
    pub(super) unlogged: Changes,
    /// The streams that this one takes messages from.
    pub(crate) origins: Origins,
    /// Messages up to here are on disk, or need not be.
    pub(super) committed: u64,
    /// What is published again.
    pub(super) republish: Option<Republish>,
    /// Messages that are gone and are to be erased, and where they are.
    pub(super) to_erase: Vec<(u64, Place)>,
}

impl config::Consumers for State {
    fn by_name(&self, name: &str) -> Option<ConsumerConfig> {
        Some(self.consumer(name)?.meta.config())
    }

    fn for_each(&self, each: &mut dyn FnMut(&str, &ConsumerConfig)) {
        self.consumers.iter().for_each(|(_, held)| each(held.meta.name(), &held.meta.config()));
    }

    fn countable(&self) -> i64 {
        self.countable
    }

    fn is_bound(&self, name: &str) -> bool {
        self.consumer_id(name).and_then(|id| self.consumers.get(id)).is_some_and(Consumer::is_bound)
    }
}

/// Whether consumers want a subject, and how much room there is.
pub(super) struct Wanted<'a> {
    pub(super) consumers: &'a Consumers<Held>,
    pub(super) server_bytes: u64,
    pub(super) account_bytes: u64,
    pub(super) hosted: &'a Hosted,
}

impl Room for Wanted<'_> {
    fn is_wanted(&self, subject: &[u8]) -> bool {
        self.consumers.has_interest(subject)
    }

    fn server_bytes(&self) -> u64 {
        self.server_bytes
    }

    fn account_bytes(&self) -> u64 {
        self.account_bytes
    }

    fn random(&self) -> u32 {
        crate::random::random()
    }

    fn may_open_batch(&self) -> bool {
        self.hosted.shared.batches.has_room(batches::ATOMIC)
    }

    fn may_open_fast_batch(&self) -> bool {
        self.hosted.shared.batches.has_room(batches::FAST)
    }

    fn read(&self, seq: u64, place: (Place, u32), out: &mut Vec<u8>) -> bool {
        self.hosted.read(seq, place, out)
    }
}

/// What of the log cannot be read: it is of a later version, or contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log of a stream has an entry that is not known")]
pub(crate) struct Unreadable;

impl State {
    /// A stream without messages.
    pub(super) fn new(meta: StreamMeta, settings: Settings) -> Self {
        Self::of(meta, Stream::new(settings), 1)
    }

    /// A stream that has its messages.
    pub(super) fn of(meta: StreamMeta, machine: Stream, next_consumer: u64) -> Self {
        Self {
            republish: Republish::of(&meta.config),
            meta,
            machine,
            consumers: Consumers::default(),
            next_consumer,
            countable: 0,
            effects: Effects::default(),
            changes: Changes::default(),
            unlogged: Changes::default(),
            origins: Origins::default(),
            committed: u64::MAX,
            to_erase: Vec::new(),
        }
    }

    /// The messages as consumers see them.
    pub(super) fn view(&self) -> StreamLog<'_> {
        view(&self.machine, self.committed)
    }

    /// Whether bodies are compressed where they are kept.
    pub(super) fn is_packed(&self) -> bool {
        self.meta.config.compression == Compression::S2
    }

    /// Bytes that a message may have.
    pub(super) fn payload_max(&self) -> u32 {
        self.machine.settings().payload_max
    }

    /// Whether messages are stored that may not be seen yet.
    pub(super) fn is_ahead(&self) -> bool {
        self.visible() < self.machine.totals().last
    }

    /// The last message that may be seen.
    pub(crate) fn visible(&self) -> u64 {
        self.committed.min(self.machine.totals().last)
    }

    /// What belongs to a consumer, by its name.
    pub(crate) fn consumer(&self, name: &str) -> Option<&Held> {
        self.consumers.about(self.consumers.id_of(name)?)
    }

    /// A consumer's number by its name.
    pub(super) fn consumer_id(&self, name: &str) -> Option<ConsumerId> {
        self.consumers.id_of(name)
    }

    /// A number for another consumer.
    pub(super) fn next_consumer(&self) -> u64 {
        self.next_consumer
    }

    /// Consumers by name.
    pub(crate) fn consumers_by_name(&self) -> impl Iterator<Item = &Held> {
        self.consumers.by_name(None).filter_map(|(_, id)| self.consumers.about(id))
    }

    /// How many consumers the API shows.
    pub(crate) fn shown_consumers(&self) -> usize {
        self.consumers.iter().filter(|(_, held)| !held.meta.common().direct).count()
    }

    /// All consumers.
    pub(super) fn consumer_ids(&self) -> Vec<ConsumerId> {
        self.consumers.iter().map(|(machine, _)| machine.id()).collect()
    }

    /// Where all consumers are asked and acknowledged.
    pub(super) fn consumer_taps(&self) -> Vec<Arc<Subscription>> {
        self.consumers.iter().flat_map(|(_, held)| held.taps.iter().cloned()).collect()
    }

    /// Carries a proposal out, and has the consumers follow. What they have to say of it.
    pub(super) fn apply(&mut self, proposal: &Proposal<'_>) -> Vec<(ConsumerId, Advisory<'static>)> {
        if let Proposal::Remove(remove) = proposal
            && remove.erase
        {
            let messages = self.machine.messages();
            let places = remove.runs.iter().flat_map(|&(first, last)| messages.places(first, last));
            self.to_erase.extend(places);
        }
        self.machine.apply(proposal, &mut self.effects);
        match proposal {
            Proposal::Store(store) => self.follow(&[(store.seq, &store.subject)], Some(store.time)),
            Proposal::Batch(stores) => {
                let at = stores.last().map(|store| store.time);
                let stored = stores.iter().filter(|store| !store.is_skipped);
                let stored: Vec<(u64, &[u8])> = stored.map(|store| (store.seq, &*store.subject)).collect();
                self.follow(&stored, at)
            }
            // The log does not say when; after a restart nobody asks.
            _ => self.follow(&[], Some(self.changes.at()).filter(|at| *at > 0)),
        }
    }

    /// Has the consumers follow what changed; `stored` are the sequences and subjects of what was stored, `at` is when.
    pub(super) fn follow(
        &mut self,
        stored: &[(u64, &[u8])],
        at: Option<i64>,
    ) -> Vec<(ConsumerId, Advisory<'static>)> {
        let mut said = Vec::new();
        if self.consumers.is_empty() {
            return said;
        }
        for &(seq, subject) in stored {
            self.consumers.stored(seq, subject);
        }
        for removed in &self.effects.removed {
            let name = self.machine.messages().subject(removed.message.subject).name();
            self.consumers.removed(removed.message.seq, name, at, |id, advisory| said.push((id, advisory)));
        }
        for purged in &self.effects.purged {
            // What is on disk by now is no part of what the log says.
            self.consumers.purged(&view(&self.machine, u64::MAX), purged.filter.as_deref(), at);
        }
        said
    }

    /// Messages up to here may be seen.
    pub(super) fn commit(&mut self, seq: u64) {
        self.consumers.committed(seq);
        if self.committed != u64::MAX {
            self.committed = seq;
        }
    }

    /// The log was read to its end: from here on, messages are seen once they are on disk.
    pub(super) fn recovered(&mut self) {
        let last = self.machine.totals().last;
        self.committed = last;
        // By those that are direct, other streams take messages.
        let ends = |held: &Held| held.meta.common().mem_storage && !held.meta.common().direct;
        let ended = self.consumers.iter().filter(|(_, held)| ends(held)).map(|(one, _)| one.id());
        let ended: Vec<ConsumerId> = ended.collect();
        for id in ended {
            self.end_consumer(id);
        }
        self.consumers.committed(last);
        self.consumers.recovered();
    }

    /// Removes what no consumer needs any more, of a stream that keeps only that.
    pub(super) fn settle(&mut self, settled: &mut Vec<u64>) {
        for seq in settled.drain(..) {
            let is_needed = match self.machine.messages().head(seq) {
                Some(head) => self.consumers.is_needed(seq, head.subject),
                None => true,
            };
            if !is_needed {
                self.machine.remove_acknowledged(seq);
            }
        }
    }

    /// Removes what consumers have just settled.
    pub(super) fn settle_all(&mut self) {
        let mut settled = std::mem::take(&mut self.changes.settled);
        self.settle(&mut settled);
        self.changes.settled = settled;
    }

    /// A consumer begins.
    pub(super) fn begin_consumer(&mut self, meta: ConsumerMeta, prefixes: Prefixes, now: i64) -> ConsumerId {
        let settings = super::settings::consumer(&meta.config(), &self.meta.config, self.payload_max());
        let id = ConsumerId(meta.id);
        let view = view(&self.machine, self.committed);
        let machine = Consumer::new(id, prefixes, settings, meta.start.clone(), &view, now);
        self.next_consumer = self.next_consumer.max(meta.id + 1);
        let name = meta.name.clone();
        self.countable += i64::from(meta.common().is_countable());
        self.consumers.insert(name, machine, Held { meta, taps: Vec::new() });
        id
    }

    /// A consumer is gone.
    pub(super) fn end_consumer(&mut self, id: ConsumerId) -> Option<(Consumer, Held)> {
        let ended = self.consumers.remove(id)?;
        self.countable -= i64::from(ended.1.meta.common().is_countable());
        self.let_go(ended.0.filters());
        Some(ended)
    }

    /// A consumer no longer wants what matches `filters`: a stream that keeps only what consumers want removes what no other one does.
    pub(super) fn let_go(&mut self, filters: &Filters) {
        if self.machine.settings().retention != Retention::Interest {
            return;
        }
        let messages = self.machine.messages();
        let wanted = messages.iter_from(0).filter(|head| filters.matches(head.subject));
        let mut settled: Vec<u64> = wanted.map(|head| head.seq).collect();
        self.settle(&mut settled);
    }

    /// Takes a message in that the log holds.
    ///
    /// # Errors
    /// Its head is not known.
    pub(super) fn recover_message(
        &mut self,
        seq: u64,
        head: &[u8],
        body_bytes: u32,
    ) -> Result<(), Unreadable> {
        let store = Store::decode_head(seq, head, body_bytes).map_err(|_| Unreadable)?;
        if seq > self.machine.totals().last + 1 {
            self.apply(&Proposal::SkipTo(seq - 1));
        }
        self.apply(&Proposal::Store(store));
        Ok(())
    }

    /// Takes a record in that the log holds.
    ///
    /// # Errors
    /// It is not known.
    pub(super) fn recover_record(&mut self, bytes: &[u8], now: i64) -> Result<(), Unreadable> {
        match Record::decode(bytes).ok_or(Unreadable)? {
            Record::Proposal(bytes) => {
                let proposal = Proposal::decode(bytes).map_err(|_| Unreadable)?;
                self.apply(&proposal);
            }
            Record::Changes(bytes) => self.recover_changes(bytes)?,
            Record::Stream(json) => {
                self.reconfigure(StreamMeta::decode(json)?);
            }
            Record::OldConsumer(json) => self.recover_consumer(ConsumerMeta::decode_old(json)?, now),
            Record::Consumer(packed) => self.recover_consumer(ConsumerMeta::decode(packed)?, now),
            Record::Gone(id) => {
                let id = <[u8; 8]>::try_from(id).map_err(|_| Unreadable)?;
                self.end_consumer(ConsumerId(u64::from_le_bytes(id)));
            }
            Record::Progress(bytes) => {
                let (id, snapshot) = bytes.split_first_chunk::<8>().ok_or(Unreadable)?;
                self.recover_progress(ConsumerId(u64::from_le_bytes(*id)), snapshot, now)?;
            }
            // Who makes streams of the log looks at these.
            Record::Loading | Record::Loaded => {}
        }
        Ok(())
    }

    /// A consumer goes on from a state that came from elsewhere.
    fn recover_progress(&mut self, id: ConsumerId, snapshot: &[u8], now: i64) -> Result<(), Unreadable> {
        let (_, held) = self.consumers.remove(id).ok_or(Unreadable)?;
        let (settings, prefixes) = self.consumer_parts(&held.meta);
        let log = view(&self.machine, self.committed);
        let machine = Consumer::restore(id, prefixes, settings, snapshot, &log, now);
        let name = held.meta.name.clone();
        self.consumers.insert(name, machine.map_err(|_| Unreadable)?, held);
        Ok(())
    }

    /// What a consumer's machine is made with.
    fn consumer_parts(&self, meta: &ConsumerMeta) -> (dialtone_jetstream::consumer::Settings, Prefixes) {
        let settings = super::settings::consumer(&meta.config(), &self.meta.config, self.payload_max());
        (settings, Prefixes::new(&self.meta.config.name, meta.name()))
    }

    /// A consumer that is as far as an archive says. Its state, as the log holds it.
    pub(super) fn place_consumer(
        &mut self,
        meta: ConsumerMeta,
        archived: &ConsumerState,
        now: i64,
    ) -> Vec<u8> {
        let (settings, prefixes) = self.consumer_parts(&meta);
        let id = ConsumerId(meta.id);
        let log = view(&self.machine, self.committed);
        let machine = Consumer::of_archive(id, prefixes, settings, archived, &log, now);
        let mut snapshot = Vec::new();
        machine.snapshot(&mut snapshot);
        self.next_consumer = self.next_consumer.max(meta.id + 1);
        let name = meta.name.clone();
        self.consumers.insert(name, machine, Held { meta, taps: Vec::new() });
        snapshot
    }

    fn recover_changes(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let mut settled = Vec::new();
        let log = view(&self.machine, self.committed);
        let read = self.consumers.apply(bytes, &log, &mut settled);
        self.settle(&mut settled);
        read.map_err(|_| Unreadable)
    }

    fn recover_consumer(&mut self, meta: ConsumerMeta, now: i64) {
        let settings = super::settings::consumer(&meta.config(), &self.meta.config, self.payload_max());
        let id = ConsumerId(meta.id);
        let log = view(&self.machine, self.committed);
        match self.consumers.about_mut(id) {
            Some(held) => {
                held.meta = meta;
                let before = self.consumers.get(id).map(|machine| machine.filters().clone());
                self.consumers.update(id, settings, |machine, settings| machine.apply_update(settings, &log));
                self.let_go(&before.unwrap_or_default());
            }
            None => {
                // One of this name that was kept in memory alone ended with the server, which the log need not say.
                if let Some(ended) = self.consumer_id(meta.name()) {
                    self.end_consumer(ended);
                }
                let prefixes = Prefixes::new(&self.meta.config.name, meta.name());
                self.begin_consumer(meta, prefixes, now);
            }
        }
    }

    /// Puts another configuration in force.
    pub(super) fn reconfigure(&mut self, meta: StreamMeta) -> Vec<(ConsumerId, Advisory<'static>)> {
        let settings = super::settings::stream(&meta.config, self.payload_max());
        self.republish = Republish::of(&meta.config);
        self.meta = meta;
        self.machine.reconfigure(settings, &mut self.effects);
        self.follow(&[], None)
    }
}

/// The messages of a stream as consumers see them.
pub(super) fn view(machine: &Stream, committed: u64) -> StreamLog<'_> {
    let keeps_one_per_subject = machine.settings().limits.per_subject == Some(1);
    StreamLog { messages: machine.messages(), committed, keeps_one_per_subject }
}
