//! What a consumer knows of the messages that are next for it, so that those of others are not looked at again and again.
//!
//! With filters that match little, a look for the next message passes most of the stream. The stream tells each consumer of the messages that
//! match, so once it has seen all there was, it needs no look: the next ones are those it was told of.

use super::log::{Filters, Found, Log, Stored};
use super::rare::Rare;
use std::collections::VecDeque;

/// Messages that are remembered. Beyond, they are looked for again.
const TOLD_MAX: usize = 512;

/// Nothing of it is kept over a restart.
#[derive(Clone, Debug)]
pub(super) struct Ahead {
    /// No message before it is left to deliver.
    looked_to: u64,
    /// Messages at or behind `looked_to` that match, ascending.
    told: Rare<VecDeque<u64>>,
    /// Besides these, there are none.
    is_complete: bool,
    /// The last one that the stream told of, or that was there before it told of any.
    last_told: u64,
}

/// What a look found.
pub(super) enum Looked<'a> {
    Message(Stored<'a>),
    /// There is none.
    End,
    /// Go on later.
    Later,
}

impl Ahead {
    /// Whether it is worth it: without a filter, or with one subject, the stream finds the next message at once.
    fn is_used(filters: &Filters) -> bool {
        !filters.is_all() && !filters.is_one_subject()
    }

    /// What one knows that begins, or begins anew: nothing of what is in `log`.
    pub fn new(log: &dyn Log) -> Self {
        Self { looked_to: 0, told: Rare::default(), is_complete: false, last_told: log.last_stored() }
    }

    /// Up to where nothing is left to deliver, as far as it was looked.
    pub fn looked_to(&self) -> u64 {
        self.looked_to
    }

    /// A message that matches was stored.
    pub fn stored(&mut self, seq: u64, filters: &Filters) {
        self.last_told = seq;
        if !self.is_complete || !Self::is_used(filters) {
            return;
        }
        if self.told.len() < TOLD_MAX {
            self.told.push_back(seq);
        } else {
            self.is_complete = false;
            self.looked_to = self.told.back().map_or(0, |last| last + 1);
        }
    }

    /// The first message at or behind `next` that matches.
    pub fn next<'a>(&mut self, filters: &Filters, next: u64, log: &'a dyn Log) -> Looked<'a> {
        let last = log.bounds().last;
        while let Some(seq) = self.told.front().copied() {
            if seq > last {
                return Looked::End;
            }
            if seq >= next
                && let Some(message) = log.message(seq)
            {
                return Looked::Message(message);
            }
            self.told.pop_front();
        }
        if self.is_complete {
            self.looked_to = self.looked_to.max(last + 1);
            return Looked::End;
        }
        let is_used = Self::is_used(filters);
        let from = if is_used { next.max(self.looked_to) } else { next };
        match log.next(filters, from) {
            Found::Message(message) => Looked::Message(message),
            Found::Further(from) => {
                self.looked_to = from;
                Looked::Later
            }
            Found::End => {
                self.looked_to = self.looked_to.max(last + 1);
                // What is not committed yet was not seen.
                self.is_complete = is_used && self.last_told <= last;
                Looked::End
            }
        }
    }
}
