//! A stream's messages as its consumers see them.

use super::log::{Bounds, Filters, Found, Log, Stored};
use crate::messages::{Head, Messages, Next};

/// Entries that one search looks at.
const LOOKED_AT_MAX: usize = 4096;

/// The messages of a stream, up to the last one that is committed.
#[derive(Clone, Copy, Debug)]
pub struct StreamLog<'a> {
    /// The messages.
    pub messages: &'a Messages,
    /// The last sequence that may be seen; `u64::MAX` for all.
    pub committed: u64,
    /// The stream keeps one message of a subject.
    pub keeps_one_per_subject: bool,
}

impl<'a> StreamLog<'a> {
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
}

impl Log for StreamLog<'_> {
    fn bounds(&self) -> Bounds {
        let totals = self.messages.totals();
        let last = totals.last.min(self.committed);
        let first = if last == 0 { 0 } else { totals.first.min(last + 1) };
        Bounds { first, last }
    }

    fn last_stored(&self) -> u64 {
        self.messages.totals().last
    }

    fn next(&self, filters: &Filters, from: u64) -> Found<'_> {
        match self.messages.next_within(filters.selector(), from, LOOKED_AT_MAX) {
            Next::Found(seq) => self.message(seq).map_or(Found::End, Found::Message),
            Next::Continue(from) if from <= self.committed => Found::Further(from),
            Next::Continue(_) | Next::End => Found::End,
        }
    }

    fn message(&self, seq: u64) -> Option<Stored<'_>> {
        if seq > self.committed {
            return None;
        }
        self.messages.head(seq).map(Self::stored)
    }

    fn last(&self, filters: &Filters) -> Option<u64> {
        let last = self.messages.last_of(filters.selector()).filter(|last| *last <= self.committed);
        // What is not committed hides what is: then the lists of subjects are asked.
        last.or_else(|| self.last_per_subject(filters).last().copied())
    }

    fn last_per_subject(&self, filters: &Filters) -> Vec<u64> {
        let upto = if self.committed >= self.messages.totals().last { 0 } else { self.committed };
        if upto == 0 && self.committed == 0 {
            return Vec::new();
        }
        self.messages.last_of_each(filters.selector(), upto, usize::MAX).unwrap_or_default()
    }

    fn keeps_one_per_subject(&self) -> bool {
        self.keeps_one_per_subject
    }

    fn count(&self, filters: &Filters, from: u64) -> u64 {
        self.messages.count_from(filters.selector(), from)
    }

    fn at_time(&self, at: i64) -> u64 {
        self.messages.seq_at(at).min(self.bounds().last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::testing::MapLog;
    use crate::messages::{Keep, New};
    use proptest::prelude::*;

    const SUBJECTS: [&str; 4] = ["a", "a.b", "a.c", "b.b"];

    proptest! {
        /// A stream is read as a map of its messages is, with what is not committed left out.
        #[test]
        fn streams_are_read_as_maps(
            stored in proptest::collection::vec((0..SUBJECTS.len(), 0_i64..3), 0..40),
            removed in proptest::collection::vec(1_u64..40, 0..15),
            (hidden, from) in (0_u64..5, 0_u64..45),
            filters in proptest::collection::vec(prop_oneof![Just("a"), Just("a.*"), Just("*.b"), Just(">")], 0..3),
        ) {
            let mut messages = Messages::new(Keep::All, 1);
            let mut all = MapLog::default();
            let mut at = 0;
            for (subject, step) in stored {
                at += step;
                let subject = SUBJECTS[subject];
                let (header_bytes, is_kept_forever, is_marker) = (0, false, false);
                let (body_bytes, body) = (3, [&b""[..], b"abc"]);
                let subject_bytes = subject.as_bytes();
                messages.push(&New { time: at, subject: subject_bytes, header_bytes, body_bytes, body, is_kept_forever, is_marker });
                all.store(subject, at);
            }
            for seq in removed {
                messages.remove(seq);
                all.messages.remove(&seq);
            }
            let committed = all.last.saturating_sub(hidden);
            let mut seen = all.clone();
            seen.messages.retain(|seq, _| *seq <= committed);
            seen.last = committed;
            let log = StreamLog { messages: &messages, committed, keeps_one_per_subject: false };
            let filters = Filters::new(filters.into_iter().map(str::as_bytes));
            prop_assert_eq!(log.next(&filters, from), seen.next(&filters, from));
            prop_assert_eq!(log.last(&filters), seen.last(&filters));
            prop_assert_eq!(log.last_per_subject(&filters), seen.last_per_subject(&filters));
            prop_assert_eq!(log.count(&filters, from), all.count(&filters, from));
            prop_assert_eq!(log.message(from), seen.message(from));
            prop_assert_eq!(log.bounds(), seen.bounds());
            prop_assert_eq!(log.at_time(from as i64), seen.at_time(from as i64));
        }
    }
}
