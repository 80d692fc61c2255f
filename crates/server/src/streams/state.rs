//! One stream with its consumers: the state machine, and how it follows the log.

use super::hosted::Hosted;
use super::meta::{ConsumerMeta, StreamMeta};
use super::record::Record;
use super::view::View;
use dialtone_broker::subscription::Subscription;
use dialtone_jetstream::consumer::{Advisory, Changes, Consumer, ConsumerId, Prefixes, read_changes};
use dialtone_jetstream::messages::Place;
use dialtone_jetstream::stream::{Effects, Proposal, Room, Settings, Store, Stream};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A consumer, and what belongs to it.
pub(crate) struct Held {
    /// What it is.
    pub(crate) meta: ConsumerMeta,
    /// Its machine.
    pub(crate) machine: Consumer,
    /// Where it is asked and acknowledged.
    pub(crate) taps: Vec<Arc<Subscription>>,
}

/// A stream and its consumers.
pub(crate) struct State {
    pub(crate) meta: StreamMeta,
    pub(crate) machine: Stream,
    /// By number: in the order in which they were made.
    pub(crate) consumers: BTreeMap<u64, Held>,
    names: HashMap<Box<str>, u64>,
    next_consumer: u64,
    pub(super) effects: Effects,
    pub(super) changes: Changes,
    /// Messages up to here are on disk, or need not be.
    pub(super) committed: u64,
}

/// Whether consumers want a subject, and how much room there is.
pub(super) struct Wanted<'a> {
    pub(super) consumers: &'a BTreeMap<u64, Held>,
    pub(super) server_bytes: u64,
    pub(super) account_bytes: u64,
    pub(super) hosted: &'a Hosted,
}

impl Room for Wanted<'_> {
    fn is_wanted(&self, subject: &[u8]) -> bool {
        self.consumers.values().any(|held| held.machine.filters().matches(subject))
    }

    fn server_bytes(&self) -> u64 {
        self.server_bytes
    }

    fn account_bytes(&self) -> u64 {
        self.account_bytes
    }

    fn random(&self) -> u32 {
        rand::random()
    }

    fn read(&self, seq: u64, place: Place, out: &mut Vec<u8>) -> bool {
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
        Self {
            meta,
            machine: Stream::new(settings),
            consumers: BTreeMap::new(),
            names: HashMap::new(),
            next_consumer: 1,
            effects: Effects::default(),
            changes: Changes::default(),
            committed: u64::MAX,
        }
    }

    /// The messages as consumers see them.
    pub(super) fn view(&self) -> View<'_> {
        view(&self.machine, self.committed)
    }

    /// Bytes that a message may have.
    pub(super) fn payload_max(&self) -> u32 {
        self.machine.settings().payload_max
    }

    /// The last message that may be seen.
    pub(crate) fn visible(&self) -> u64 {
        self.committed
    }

    /// A consumer by its name.
    pub(crate) fn consumer(&self, name: &str) -> Option<&Held> {
        self.consumers.get(self.names.get(name)?)
    }

    /// The same to change it.
    pub(super) fn consumer_id(&self, name: &str) -> Option<u64> {
        self.names.get(name).copied()
    }

    /// A number for another consumer.
    pub(super) fn next_consumer(&self) -> u64 {
        self.next_consumer
    }

    /// Consumers by name.
    pub(crate) fn consumers_by_name(&self) -> Vec<&Held> {
        let mut all: Vec<&Held> = self.consumers.values().collect();
        all.sort_by(|a, b| a.meta.name().cmp(b.meta.name()));
        all
    }

    /// Carries a proposal out, and has the consumers follow. What they have to say of it.
    pub(super) fn apply(&mut self, proposal: &Proposal<'_>) -> Vec<(ConsumerId, Advisory<'static>)> {
        self.machine.apply(proposal, &mut self.effects);
        match proposal {
            Proposal::Store(store) => self.follow(&[(store.seq, &store.subject)]),
            Proposal::Batch(stores) => {
                let stored = stores.iter().filter(|store| !store.is_skipped);
                let stored: Vec<(u64, &[u8])> = stored.map(|store| (store.seq, &*store.subject)).collect();
                self.follow(&stored)
            }
            _ => self.follow(&[]),
        }
    }

    /// Has the consumers follow what changed; `stored` are the sequences and subjects of what was stored.
    pub(super) fn follow(&mut self, stored: &[(u64, &[u8])]) -> Vec<(ConsumerId, Advisory<'static>)> {
        let mut said = Vec::new();
        if self.consumers.is_empty() {
            return said;
        }
        for &(seq, subject) in stored {
            for held in self.consumers.values_mut().filter(|held| held.machine.filters().matches(subject)) {
                held.machine.stored(seq);
            }
        }
        for removed in &self.effects.removed {
            let name = self.machine.messages().subject(removed.message.subject).name();
            for held in self.consumers.values_mut().filter(|held| held.machine.filters().matches(name)) {
                let advisory = held.machine.removed(removed.message.seq);
                said.extend(advisory.map(|advisory| (held.machine.id(), advisory)));
            }
        }
        if !self.effects.purged.is_empty() {
            let view = view(&self.machine, self.committed);
            self.consumers.values_mut().for_each(|held| held.machine.purged(&view));
        }
        said
    }

    /// Removes what no consumer needs any more, of a stream that keeps only that.
    pub(super) fn settle(&mut self, settled: &mut Vec<u64>) {
        for seq in settled.drain(..) {
            if self.consumers.values().any(|held| self.is_needed_by(held, seq)) {
                continue;
            }
            self.machine.remove_acknowledged(seq);
        }
    }

    /// Removes what consumers have just settled.
    pub(super) fn settle_all(&mut self) {
        let mut settled = std::mem::take(&mut self.changes.settled);
        self.settle(&mut settled);
        self.changes.settled = settled;
    }

    fn is_needed_by(&self, held: &Held, seq: u64) -> bool {
        let head = self.machine.messages().head(seq);
        head.is_some_and(|head| held.machine.filters().matches(head.subject) && held.machine.needs(seq))
    }

    /// A consumer begins.
    pub(super) fn begin_consumer(&mut self, meta: ConsumerMeta, prefixes: Prefixes, now: i64) -> u64 {
        let settings = super::settings::consumer(&meta.config, &self.meta.config, self.payload_max());
        let id = meta.id;
        let view = view(&self.machine, self.committed);
        let machine = Consumer::new(ConsumerId(id), prefixes, settings, meta.start.clone(), &view, now);
        self.hold(Held { meta, machine, taps: Vec::new() });
        id
    }

    fn hold(&mut self, held: Held) {
        let id = held.meta.id;
        self.names.insert(held.meta.name().into(), id);
        self.next_consumer = self.next_consumer.max(id + 1);
        self.consumers.insert(id, held);
    }

    /// A consumer is gone.
    pub(super) fn end_consumer(&mut self, id: u64) -> Option<Held> {
        let held = self.consumers.remove(&id)?;
        self.names.remove(held.meta.name());
        Some(held)
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
            Record::Consumer(json) => {
                self.recover_consumer(ConsumerMeta::decode(json)?, now);
            }
            Record::Gone(id) => {
                let id = <[u8; 8]>::try_from(id).map_err(|_| Unreadable)?;
                self.end_consumer(u64::from_le_bytes(id));
            }
        }
        Ok(())
    }

    fn recover_changes(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let mut settled = Vec::new();
        let (consumers, log) = (&mut self.consumers, view(&self.machine, self.committed));
        let read = read_changes(bytes, |id, at, change| {
            if let Some(held) = consumers.get_mut(&id.0) {
                held.machine.apply(change, at, &log, &mut settled);
            }
        });
        self.settle(&mut settled);
        read.map_err(|_| Unreadable)
    }

    fn recover_consumer(&mut self, meta: ConsumerMeta, now: i64) {
        let settings = super::settings::consumer(&meta.config, &self.meta.config, self.payload_max());
        match self.consumers.get_mut(&meta.id) {
            Some(held) => {
                held.machine.apply_update(settings, &view(&self.machine, self.committed));
                held.meta = meta;
            }
            None => {
                let prefixes = Prefixes::new(&self.meta.config.name, meta.name());
                self.begin_consumer(meta, prefixes, now);
            }
        }
    }

    /// Puts another configuration in force.
    pub(super) fn reconfigure(&mut self, meta: StreamMeta) -> Vec<(ConsumerId, Advisory<'static>)> {
        let settings = super::settings::stream(&meta.config, self.payload_max());
        self.meta = meta;
        self.machine.reconfigure(settings, &mut self.effects);
        self.follow(&[])
    }
}

/// The messages of a stream as consumers see them.
pub(super) fn view(machine: &Stream, committed: u64) -> View<'_> {
    let keeps_one = machine.settings().limits.per_subject == Some(1);
    View { messages: machine.messages(), committed, keeps_one }
}
