//! One message at a time for each key: which keys have one in flight, and which messages are parked behind it.
//!
//! All of it follows from the state and the stream, so that nothing of it is kept: after a restart it is made anew.

use super::change::Change;
use super::log::Log;
use super::state::State;
use crate::config::KeyTokens;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// Messages that may be parked. Beyond, nothing further of the stream is looked at until one of them is delivered.
pub const PARKED_MAX: usize = 64 * 1024;

type Key = Box<[u8]>;

/// The messages of one key that are not done.
#[derive(Clone, Debug, Default, PartialEq)]
struct Line {
    /// Those that wait for an acknowledgement: one, unless the state is from elsewhere.
    in_flight: usize,
    /// Those that wait behind it, ascending.
    parked: VecDeque<u64>,
}

/// The keys of a consumer's messages.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    tokens: KeyTokens,
    lines: HashMap<Key, Line>,
    /// The keys of what is in flight.
    in_flight: HashMap<u64, Key>,
    /// The first of those that are parked, of each key that has none in flight.
    free: BTreeSet<u64>,
    /// It has to be made anew.
    is_stale: bool,
}

impl Keys {
    /// Nothing is known yet.
    pub fn new(tokens: KeyTokens) -> Self {
        let (lines, in_flight, free) = (HashMap::new(), HashMap::new(), BTreeSet::new());
        Self { tokens, lines, in_flight, free, is_stale: true }
    }

    /// What is known is no longer so.
    pub fn forget(&mut self) {
        self.is_stale = true;
    }

    /// Looks at the state, if need be.
    pub fn refresh(&mut self, state: &State, log: &dyn Log) {
        if !self.is_stale {
            return;
        }
        *self = Self { is_stale: false, ..Self::new(self.tokens.clone()) };
        for seq in state.pending.iter().map(|entry| entry.seq) {
            if let Some(message) = log.message(seq) {
                self.delivered(seq, message.subject);
            }
        }
        for seq in state.parked.iter().flatten().copied() {
            if let Some(message) = log.message(seq) {
                self.park(seq, message.subject);
            }
        }
    }

    /// The first message that was parked and need not wait any more.
    pub fn first_free(&self) -> Option<u64> {
        self.free.first().copied()
    }

    /// Whether a message that was not looked at yet has to wait for another one of its key.
    pub fn is_busy(&self, subject: &[u8]) -> bool {
        self.lines.contains_key(&self.tokens.of(subject))
    }

    /// A change was carried out.
    pub fn changed(&mut self, change: Change, log: &dyn Log) {
        if self.is_stale {
            return;
        }
        match change {
            Change::Deliver { seq } => match log.message(seq) {
                Some(message) => self.delivered(seq, message.subject),
                None => self.is_stale = true,
            },
            Change::Park { seq } => match log.message(seq) {
                Some(message) => self.park(seq, message.subject),
                None => self.is_stale = true,
            },
            Change::Ack { seq } | Change::Exhaust { seq } | Change::Bury { seq, .. } => self.done(seq),
            Change::AckUpTo { .. } | Change::Reset { .. } | Change::Skip { .. } => self.is_stale = true,
            Change::Redeliver { .. }
            | Change::Undelivered { .. }
            | Change::Delay { .. }
            | Change::Buried { .. }
            | Change::Progress { .. } => {}
        }
    }

    fn park(&mut self, seq: u64, subject: &[u8]) {
        let line = self.lines.entry(self.tokens.of(subject)).or_default();
        line.parked.push_back(seq);
        if line.in_flight == 0 && line.parked.len() == 1 {
            self.free.insert(seq);
        }
    }

    fn delivered(&mut self, seq: u64, subject: &[u8]) {
        let key = self.tokens.of(subject);
        let line = self.lines.entry(key.clone()).or_default();
        line.in_flight += 1;
        if let Some(first) = line.parked.front().copied() {
            self.free.remove(&first);
            if first == seq {
                line.parked.pop_front();
            }
        }
        self.in_flight.insert(seq, key);
    }

    /// A message waits no longer for its acknowledgement.
    pub fn done(&mut self, seq: u64) {
        let Some(key) = self.in_flight.remove(&seq) else { return };
        let Some(line) = self.lines.get_mut(&key) else { return };
        line.in_flight -= 1;
        if line.in_flight == 0 {
            match line.parked.front() {
                Some(first) => {
                    self.free.insert(*first);
                }
                None => {
                    self.lines.remove(&key);
                }
            }
        }
    }

    /// The stream took a message out that was in flight, or was parked.
    pub fn removed(&mut self, seq: u64, was_parked: bool) {
        // Whose line it stood in is not known: its subject is gone with it.
        self.is_stale |= was_parked;
        self.done(seq);
    }
}
