//! How far a consumer is, as archives and official servers have it.

use super::change::ConsumerId;
use super::log::{Log, SEQ_MAX};
use super::machine::Consumer;
use super::pending::{Entry, Pending};
use super::rare::Rare;
use super::reply::Prefixes;
use super::settings::Settings;
use super::state::{Position, State};
use crate::archive::{self, BySequence, ConsumerState, PendingAck};
use std::collections::{BTreeMap, BTreeSet};

impl From<Position> for archive::Delivered {
    fn from(position: Position) -> Self {
        Self { consumer_seq: position.consumer, stream_seq: position.stream }
    }
}

impl Consumer {
    /// How far it is, as far as messages up to `last` are concerned.
    pub fn archived(&self, last: u64) -> ConsumerState {
        let state = &self.state;
        let capped = |position: Position| archive::Delivered {
            consumer_seq: position.consumer,
            stream_seq: position.stream.min(last),
        };
        let waiting = || state.pending.iter().filter(|entry| entry.seq <= last);
        let pending = waiting()
            .map(|entry| (entry.seq, PendingAck { sequence: entry.consumer_seq, timestamp: entry.at }));
        // What is parked was not delivered; an official server takes it for a delivery that is over due.
        let parked = state.parked.iter().flatten().filter(|seq| **seq <= last.min(state.delivered.stream));
        let parked =
            parked.map(|seq| (*seq, PendingAck { sequence: state.delivered.consumer, timestamp: 0 }));
        // A dead letter that is not stored yet is as good as pending.
        let dead = || state.letters.iter().flat_map(|letters| letters.dead.range(..=last));
        let dead_again = dead().map(|(seq, dead)| (*seq, u64::from(dead.deliveries.saturating_sub(1))));
        let dead = dead()
            .map(|(seq, dead)| (*seq, PendingAck { sequence: dead.consumer_seq, timestamp: dead.last_at }));
        let again = waiting()
            .filter(|entry| entry.deliveries > 1)
            .map(|entry| (entry.seq, u64::from(entry.deliveries) - 1));
        let exhausted = state.exhausted.range(..=last);
        let exhausted = exhausted.map(|(&seq, &deliveries)| (seq, u64::from(deliveries)));
        ConsumerState {
            delivered: capped(state.delivered),
            ack_floor: capped(state.floor),
            pending: BySequence(pending.chain(parked).chain(dead).collect()),
            redelivered: BySequence(again.chain(exhausted).chain(dead_again).collect()),
        }
    }

    /// One that goes on from there. What contradicts itself, or is about messages that the stream does not have, is left out; what waited too
    /// long comes again.
    pub fn of_archive(
        id: ConsumerId,
        prefixes: Prefixes,
        settings: Settings,
        archived: &ConsumerState,
        log: &dyn Log,
        now: i64,
    ) -> Self {
        let last = log.last_stored().min(SEQ_MAX - 1);
        let position = |at: &archive::Delivered| Position {
            consumer: at.consumer_seq.min(SEQ_MAX),
            stream: at.stream_seq.min(last),
        };
        let delivered = position(&archived.delivered);
        let floor = position(&archived.ack_floor);
        let floor = Position {
            consumer: floor.consumer.min(delivered.consumer),
            stream: floor.stream.min(delivered.stream),
        };
        let is_there = |seq: u64| (1..=delivered.stream).contains(&seq) && log.message(seq).is_some();
        let again = |seq: &u64| archived.redelivered.0.get(seq).copied().unwrap_or(0);
        let mut pending = Rare::<Pending>::default();
        let mut parked = settings.order_by.as_ref().map(|_| BTreeSet::new());
        for (seq, waiting) in archived.pending.0.iter().filter(|(seq, _)| is_there(**seq)) {
            if let Some(parked) = parked.as_mut().filter(|_| waiting.timestamp == 0) {
                parked.insert(*seq);
                continue;
            }
            let deliveries = u32::try_from(again(seq).saturating_add(1)).unwrap_or(u32::MAX);
            let (at, consumer_seq) = (waiting.timestamp, waiting.sequence.clamp(1, SEQ_MAX));
            let due = at.saturating_add(settings.retry.wait(deliveries));
            let mut entry = Entry::new(*seq, consumer_seq, at, due);
            entry.deliveries = deliveries;
            pending.insert(entry);
        }
        let mut exhausted = BTreeMap::new();
        for (&seq, &times) in &archived.redelivered.0 {
            let deliveries = u32::try_from(times).unwrap_or(u32::MAX);
            if pending.get(seq).is_none() && settings.retry.is_exhausted(deliveries) && is_there(seq) {
                exhausted.insert(seq, deliveries);
            }
        }
        let mut state = State {
            next: delivered.stream + 1,
            listed: Rare::default(),
            delivered,
            delivered_at: None,
            floor,
            acked_at: None,
            pending,
            exhausted: exhausted.into(),
            parked,
            letters: settings.dead_letter.as_ref().map(|_| Box::default()),
            num_pending: 0,
        };
        state.count(&settings.filters, log);
        Self::with_state(id, prefixes, settings, state, log, now)
    }
}
