//! What a consumer must not forget: where it is, what waits for acknowledgements, what had its last delivery.
//!
//! It changes by `apply` alone, besides what happens to the stream's messages: both are in the log, so that the same log makes the same state.

use super::change::Change;
use super::letters::Letters;
use super::log::{Bounds, Filters, Log, SEQ_MAX};
use super::pending::{Delivered, Entry, Pending};
use super::rare::Rare;
use super::settings::{AckPolicy, Settings, StartAt};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A place in the consumer's deliveries and in the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Deliveries, counted from 1.
    pub consumer: u64,
    /// The stream's sequence.
    pub stream: u64,
}

/// Where a consumer begins: decided when it is made, then a part of the proposal that makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The first sequence to look at.
    pub next: u64,
    /// Deliver these first, ascending, and go on at `next`: the last messages of each subject.
    pub first: Vec<u64>,
}

impl Start {
    /// By the deliver policy of `settings` and what is in the stream.
    pub fn of(settings: &Settings, log: &dyn Log) -> Self {
        let Bounds { first, last } = log.bounds();
        let first = first.min(last + 1);
        let filters = &settings.filters;
        let next = match settings.start {
            // Who asks for a sequence gets it, even one that is not there yet.
            StartAt::BySequence(seq) => return Self::at(seq.max(first)),
            StartAt::LastPerSubject if !log.keeps_one_per_subject() => {
                let mut list = log.last_per_subject(filters);
                // What is not committed yet is found behind the list.
                list.retain(|seq| *seq <= last);
                let next = if list.is_empty() { last } else { last + 1 };
                return Self { next: next.max(1), first: list };
            }
            StartAt::All | StartAt::LastPerSubject => first,
            StartAt::Last => log.last(filters).unwrap_or(if filters.is_all() { last } else { first }),
            StartAt::New => last + 1,
            StartAt::ByTime(at) => log.at_time(at),
        };
        Self::at(next.clamp(first, last + 1))
    }

    fn at(next: u64) -> Self {
        Self { next: next.clamp(1, SEQ_MAX), first: vec![] }
    }

    /// The first sequence that will be delivered, or looked at.
    fn first_seq(&self) -> u64 {
        self.first.first().copied().unwrap_or(self.next).max(1)
    }
}

/// The state.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The next sequence to look at, once `listed` is empty.
    pub(super) next: u64,
    /// Sequences to deliver before, ascending.
    pub(super) listed: Rare<VecDeque<u64>>,
    /// The last delivery. The sequence is the highest that was delivered.
    pub(super) delivered: Position,
    pub(super) delivered_at: Option<i64>,
    /// Everything up to here is acknowledged.
    pub(super) floor: Position,
    pub(super) acked_at: Option<i64>,
    pub(super) pending: Rare<Pending>,
    /// What had its last delivery without an acknowledgement, and how many deliveries. Bounded by the messages of the stream.
    pub(super) exhausted: Rare<BTreeMap<u64, u32>>,
    /// Messages that were passed over until another one of their key is done; `None` for a consumer without keys. At most
    /// [`PARKED_MAX`](super::PARKED_MAX) and those that a client's configuration adds.
    pub(super) parked: Option<BTreeSet<u64>>,
    /// What was given up; `None` for a consumer that does not say where that goes.
    pub(super) letters: Option<Box<Letters>>,
    /// Messages of the stream that are still to be delivered for the first time. Follows from the rest.
    pub(super) num_pending: u64,
}

impl State {
    /// Of a consumer that delivered nothing.
    pub fn new(start: Start, settings: &Settings, log: &dyn Log) -> Self {
        let at = Position { consumer: 0, stream: start.first_seq() - 1 };
        let mut state = Self {
            next: start.next.max(1),
            listed: VecDeque::from(start.first).into(),
            delivered: at,
            delivered_at: None,
            floor: at,
            acked_at: None,
            pending: Rare::default(),
            exhausted: Rare::default(),
            parked: settings.order_by.as_ref().map(|_| BTreeSet::new()),
            letters: settings.dead_letter.as_ref().map(|_| Box::default()),
            num_pending: 0,
        };
        state.count(&settings.filters, log);
        state
    }

    /// How many messages are parked.
    pub(super) fn parked_len(&self) -> usize {
        self.parked.as_ref().map_or(0, BTreeSet::len)
    }

    /// Counts what is to be delivered.
    pub(super) fn count(&mut self, filters: &Filters, log: &dyn Log) {
        let passed = self.listed.len() + self.parked_len();
        self.num_pending = passed as u64 + log.count(filters, self.next);
    }

    /// How many messages are to come again.
    pub fn pending_ready(&self) -> usize {
        self.pending.ready()
    }

    /// The next sequence to look at, once what is listed is delivered.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// What waits for an acknowledgement.
    #[cfg(test)]
    pub(super) fn pending_entry(&self, seq: u64) -> Option<Entry> {
        self.pending.get(seq).copied()
    }

    /// The sequence that will be delivered or looked at next.
    pub(super) fn position(&self) -> u64 {
        self.listed.front().copied().unwrap_or(self.next)
    }

    /// Carries a change out. What the consumer no longer needs is added to `settled`.
    ///
    /// Everything can be carried out in every state: a change that does not fit does nothing.
    pub fn apply(&mut self, change: Change, at: i64, settings: &Settings, settled: &mut Vec<u64>) {
        match change {
            Change::Deliver { seq } => self.deliver(seq, at, settings, settled),
            Change::Redeliver { seq } => self.redeliver(seq, at, settings),
            Change::Undelivered { seq } => self.pending.postpone(seq, at, at, Delivered::NotAtAll),
            Change::Ack { seq } => {
                self.acked_at = Some(at);
                if let Some(letters) = &mut self.letters {
                    letters.first_at.remove(&seq);
                }
                if self.release(seq) && settings.settles {
                    settled.push(seq);
                }
            }
            Change::AckUpTo { seq, consumer_seq } => self.ack_up_to(seq, consumer_seq, at, settings, settled),
            Change::Delay { seq, due } => {
                self.pending.postpone(seq, at, due.max(at), Delivered::No);
            }
            Change::Progress { seq } => {
                if let Some(entry) = self.pending.get(seq) {
                    self.letters.iter_mut().for_each(|letters| letters.again(entry));
                    let due = at.saturating_add(settings.retry.wait(entry.deliveries));
                    self.pending.postpone(seq, at, due, Delivered::Progress);
                    self.delivered_at = Some(at);
                }
            }
            Change::Exhaust { seq } => {
                if let Some(entry) = self.pending.remove(seq) {
                    // The floor stays: nobody acknowledged it.
                    self.exhausted.insert(seq, entry.deliveries);
                    self.letters.iter_mut().for_each(|letters| letters.forget(seq));
                }
            }
            Change::Skip { next } => self.next = self.next.max(next),
            Change::Reset { next } => self.reset(next),
            Change::Park { seq } => self.park(seq),
            Change::Bury { seq, is_terminated } => self.bury(seq, is_terminated, settings, settled),
            Change::Buried { seq } => {
                self.letters.iter_mut().for_each(|letters| letters.forget(seq));
                if settings.settles {
                    settled.push(seq);
                }
            }
        }
    }

    fn deliver(&mut self, seq: u64, at: i64, settings: &Settings, settled: &mut Vec<u64>) {
        let was_parked = self.parked.as_mut().is_some_and(|parked| parked.remove(&seq));
        if !was_parked {
            self.pass(seq);
        }
        self.num_pending = self.num_pending.saturating_sub(1);
        self.delivered.consumer += 1;
        self.delivered.stream = self.delivered.stream.max(seq);
        self.delivered_at = Some(at);
        if settings.ack == AckPolicy::None {
            self.floor = Position { consumer: self.delivered.consumer, stream: seq };
            if settings.settles {
                settled.push(seq);
            }
        } else if self.pending.get(seq).is_none() {
            let due = at.saturating_add(settings.retry.wait(1));
            self.pending.insert(Entry::new(seq, self.delivered.consumer, at, due));
        }
    }

    /// A message is not the next any more.
    fn pass(&mut self, seq: u64) {
        if self.listed.front() == Some(&seq) {
            self.listed.pop_front();
        } else {
            self.next = self.next.max(seq.saturating_add(1));
        }
    }

    fn park(&mut self, seq: u64) {
        if self.parked.is_some() && self.pending.get(seq).is_none() {
            self.pass(seq);
            self.parked.get_or_insert_default().insert(seq);
        }
    }

    fn redeliver(&mut self, seq: u64, at: i64, settings: &Settings) {
        let Some(entry) = self.pending.get(seq) else { return };
        self.letters.iter_mut().for_each(|letters| letters.again(entry));
        let due = at.saturating_add(settings.retry.wait(entry.deliveries.saturating_add(1)));
        self.pending.postpone(seq, at, due, Delivered::Again);
        self.delivered.consumer += 1;
        self.delivered.stream = self.delivered.stream.max(seq);
        self.delivered_at = Some(at);
    }

    fn bury(&mut self, seq: u64, is_terminated: bool, settings: &Settings, settled: &mut Vec<u64>) {
        let Some(entry) = self.pending.get(seq).copied() else { return };
        self.release(seq);
        match &mut self.letters {
            Some(letters) => letters.bury(&entry, is_terminated),
            None if settings.settles => settled.push(seq),
            None => {}
        }
    }

    /// Takes a message out, however it waits. False if it does not.
    fn release(&mut self, seq: u64) -> bool {
        let was_exhausted = !self.exhausted.is_empty() && self.exhausted.remove(&seq).is_some();
        let waiting = if self.pending.is_empty() { None } else { self.pending.remove(seq) };
        match waiting {
            Some(entry) => {
                self.move_floor(&entry);
                true
            }
            None => was_exhausted,
        }
    }

    /// Moves the floor up, once `entry` is no longer pending.
    fn move_floor(&mut self, entry: &Entry) {
        if let Some(parked) = &self.parked {
            // Deliveries are not in the order of sequences.
            let first = |seq: Option<u64>| seq.unwrap_or(u64::MAX);
            let parked = first(parked.first().copied());
            let waits = first(self.pending.first().map(|first| first.seq));
            self.floor.stream = self.delivered.stream.min(parked.min(waits) - 1).max(self.floor.stream);
            if self.pending.is_empty() {
                self.floor.consumer = self.delivered.consumer;
            } else if entry.consumer_seq == self.floor.consumer + 1 {
                let first = self.pending.iter().map(|entry| entry.consumer_seq).min();
                self.floor.consumer = first.unwrap_or(self.delivered.consumer + 1) - 1;
            }
            return;
        }
        match self.pending.first() {
            None => self.floor = self.delivered,
            Some(first) if entry.consumer_seq == self.floor.consumer + 1 => {
                self.floor = Position { consumer: first.consumer_seq - 1, stream: first.seq - 1 };
            }
            Some(_) => {}
        }
    }

    fn ack_up_to(
        &mut self,
        seq: u64,
        consumer_seq: u64,
        at: i64,
        settings: &Settings,
        settled: &mut Vec<u64>,
    ) {
        if seq <= self.floor.stream {
            return;
        }
        self.acked_at = Some(at);
        let mut consumer = consumer_seq.min(self.delivered.consumer);
        while let Some(first) = self.pending.first().copied().filter(|first| first.seq <= seq) {
            self.pending.remove(first.seq);
            if first.seq == seq {
                consumer = first.consumer_seq;
            }
            if settings.settles {
                settled.push(first.seq);
            }
        }
        if !self.exhausted.is_empty() {
            let kept = self.exhausted.split_off(&(seq + 1));
            let done = std::mem::replace(&mut *self.exhausted, kept);
            if settings.settles {
                settled.extend(done.into_keys());
            }
        }
        self.floor = Position { consumer: consumer.max(self.floor.consumer), stream: seq };
    }

    /// Everything up to `next` counts as done, and deliveries are counted anew.
    fn reset(&mut self, next: u64) {
        let next = next.max(1);
        self.pending = Rare::default();
        (self.exhausted, self.listed) = (Rare::default(), Rare::default());
        self.parked.iter_mut().for_each(BTreeSet::clear);
        self.letters.iter_mut().for_each(|letters| **letters = Letters::default());
        self.next = next;
        self.delivered = Position { consumer: 0, stream: next - 1 };
        self.floor = self.delivered;
        (self.delivered_at, self.acked_at) = (None, None);
    }

    /// A message that matches was stored.
    pub(super) fn stored(&mut self, seq: u64) {
        if seq >= self.next {
            self.num_pending += 1;
        }
    }

    /// A message that matches was taken out of the stream. Gives what waited for its acknowledgement.
    pub(super) fn removed(&mut self, seq: u64) -> Option<Entry> {
        let was_waiting = match self.listed.binary_search(&seq) {
            Ok(at) => {
                self.listed.remove(at);
                true
            }
            Err(_) => self.parked.as_mut().is_some_and(|parked| parked.remove(&seq)) || seq >= self.next,
        };
        self.num_pending = self.num_pending.saturating_sub(u64::from(was_waiting));
        let entry = self.pending.get(seq).copied();
        self.release(seq);
        self.letters.iter_mut().for_each(|letters| letters.forget(seq));
        entry
    }

    /// Messages were taken out of the stream, nobody knows which; what waited for an acknowledgement counts as acknowledged `at` this time.
    /// If `from` is known, nothing before it is left.
    pub(super) fn purged(
        &mut self,
        filters: &Filters,
        log: &dyn Log,
        (from, at): (Option<u64>, Option<i64>),
    ) {
        if !self.listed.is_empty() {
            self.listed.retain(|seq| log.message(*seq).is_some());
        }
        self.parked.iter_mut().for_each(|parked| parked.retain(|seq| log.message(*seq).is_some()));
        let gone: Vec<u64> =
            self.pending.iter().map(|e| e.seq).filter(|seq| log.message(*seq).is_none()).collect();
        if !gone.is_empty() {
            self.acked_at = at.or(self.acked_at);
        }
        for seq in gone {
            self.release(seq);
        }
        if !self.exhausted.is_empty() {
            self.exhausted.retain(|seq, _| log.message(*seq).is_some());
        }
        if let Some(letters) = &mut self.letters {
            let Letters { dead, first_at } = &mut **letters;
            dead.retain(|seq, _| log.message(*seq).is_some());
            first_at.retain(|seq, _| log.message(*seq).is_some());
        }
        let first = from.unwrap_or(0).max(log.bounds().first);
        self.delivered.stream = self.delivered.stream.max(first.saturating_sub(1));
        if self.floor.stream + 1 < first {
            if self.pending.is_empty() {
                self.floor = Position { consumer: self.delivered.consumer, stream: first - 1 };
            } else if from.is_some() {
                self.floor.stream = first - 1;
            }
        }
        self.next = self.next.max(first);
        self.count(filters, log);
    }

    /// Whether a message is passed over until another one of its key is done.
    pub(super) fn is_parked(&self, seq: u64) -> bool {
        self.parked.as_ref().is_some_and(|parked| parked.contains(&seq))
    }

    /// Whether it is known where messages go that are given up.
    pub(super) fn keep_letters(&mut self, has_subject: bool) {
        self.letters = has_subject.then(|| self.letters.take().unwrap_or_default());
    }

    /// The filters are others: what was parked and is not for them goes.
    pub(super) fn refilter(&mut self, filters: &Filters, log: &dyn Log) {
        if let Some(parked) = &mut self.parked {
            parked.retain(|seq| log.message(*seq).is_some_and(|message| filters.matches(message.subject)));
        }
        self.count(filters, log);
    }

    /// Whether a message that matches must stay in a stream that keeps what its consumers need.
    pub(super) fn needs(&self, seq: u64, ack: AckPolicy) -> bool {
        let is_dead = self.letters.as_ref().is_some_and(|letters| letters.dead.contains_key(&seq));
        if is_dead || self.exhausted.contains_key(&seq) || self.is_parked(seq) {
            return true;
        }
        if seq >= self.position() {
            return true;
        }
        match ack {
            AckPolicy::None => false,
            AckPolicy::All | AckPolicy::FlowControl => {
                seq > self.floor.stream && seq <= self.delivered.stream
            }
            AckPolicy::Explicit => self.pending.get(seq).is_some(),
        }
    }
}
