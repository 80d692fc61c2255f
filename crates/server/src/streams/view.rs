//! A stream's messages as its consumers see them: those that are committed.

use dialtone_jetstream::consumer::{Bounds, Filters, Found, Log, Stored};
use dialtone_jetstream::messages::{Head, Messages, Next};

/// Messages up to a sequence.
pub(super) struct View<'a> {
    pub(super) messages: &'a Messages,
    /// Messages behind it are not on disk yet.
    pub(super) committed: u64,
    /// The stream keeps one message of a subject.
    pub(super) keeps_one: bool,
}

impl<'a> View<'a> {
    fn stored(head: Head<'a>) -> Stored<'a> {
        let header_bytes = usize::from(head.header_bytes);
        Stored {
            seq: head.seq,
            time: head.time,
            subject: head.subject,
            header_bytes,
            payload_bytes: (head.body_bytes as usize).saturating_sub(header_bytes),
        }
    }

    fn committed(&self, seq: u64) -> Option<u64> {
        Some(seq).filter(|&seq| seq <= self.committed)
    }
}

/// Messages that a search looks at before others have their turn.
const LOOKED_AT_MAX: usize = 16 * 1024;

impl Log for View<'_> {
    fn bounds(&self) -> Bounds {
        let totals = self.messages.totals();
        Bounds { first: totals.first, last: totals.last.min(self.committed) }
    }

    fn last_stored(&self) -> u64 {
        self.messages.totals().last
    }

    fn next(&self, filters: &Filters, from: u64) -> Found<'_> {
        match self.messages.next_within(filters.selector(), from, LOOKED_AT_MAX) {
            Next::Found(seq) => self.message(seq).map_or(Found::End, Found::Message),
            Next::Continue(seq) if seq <= self.committed => Found::Further(seq),
            Next::Continue(_) | Next::End => Found::End,
        }
    }

    fn message(&self, seq: u64) -> Option<Stored<'_>> {
        self.messages.head(self.committed(seq)?).map(Self::stored)
    }

    fn last(&self, filters: &Filters) -> Option<u64> {
        self.messages.last_of(filters.selector())
    }

    fn last_per_subject(&self, filters: &Filters) -> Vec<u64> {
        self.messages.last_of_each(filters.selector(), u64::MAX, usize::MAX).unwrap_or_default()
    }

    fn keeps_one_per_subject(&self) -> bool {
        self.keeps_one
    }

    fn count(&self, filters: &Filters, from: u64) -> u64 {
        self.messages.count_from(filters.selector(), from)
    }

    fn at_time(&self, at: i64) -> u64 {
        self.messages.seq_at(at)
    }
}
