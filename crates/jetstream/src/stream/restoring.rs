//! A stream that goes on from a snapshot of [`Whole::Sequences`](super::Whole), while the store hands over its messages.

use super::codec::{Malformed, Reader};
use super::{Settings, Store, Stream, Ttl};
use crate::messages::{New, Place, Totals};

/// A stream whose messages are still to come.
#[derive(Debug)]
pub struct Restoring {
    stream: Stream,
    totals: Totals,
    /// The sequences that have a message, as runs, and the run that is at hand.
    runs: Vec<(u64, u64)>,
    at: usize,
    /// Sequences of schedules, and when they fire.
    schedules: Vec<(u64, i64)>,
}

impl Restoring {
    /// Begins with a snapshot.
    ///
    /// # Errors
    /// The bytes are no snapshot of a known version.
    pub fn new(settings: Settings, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let (mut stream, totals) = Stream::begin_brief(settings, &mut reader)?;
        let (mut runs, mut before) = (Vec::new(), 0u64);
        for _ in 0..reader.number()? {
            let first = before.checked_add(reader.number()?).filter(|&first| first > before);
            let first = first.ok_or(Malformed)?;
            let last = first.checked_add(reader.number()?).filter(|&last| last <= totals.last);
            before = last.ok_or(Malformed)?;
            runs.push((first, before));
        }
        stream.restore_ids(&mut reader)?;
        let mut schedules = Vec::new();
        for _ in 0..reader.number()? {
            schedules.push((reader.number()?, reader.time()?));
        }
        stream.restore_places(&mut reader)?;
        stream.delays = super::delayed::Delays::restore(&mut reader)?;
        reader.end()?;
        Ok(Self { stream, totals, runs, at: 0, schedules })
    }

    /// Takes in a message that the store has, by sequence: what [`Store::encode_head`] made, and where it is. The place that is not in use:
    /// its own, if the message is gone; that of the one before, if both are the same message.
    ///
    /// # Errors
    /// The head is none of a known version.
    pub fn message(
        &mut self,
        seq: u64,
        head: &[u8],
        body_bytes: u32,
        place: Place,
    ) -> Result<Option<Place>, Malformed> {
        while self.runs.get(self.at).is_some_and(|&(_, last)| last < seq) {
            self.at += 1;
        }
        if self.runs.get(self.at).is_none_or(|&(first, _)| seq < first) {
            return Ok(Some(place));
        }
        let messages = &mut self.stream.messages;
        if let Some(before) = messages.place(seq) {
            messages.set_place(seq, place);
            return Ok(Some(before));
        }
        let store = Store::decode_head(seq, head, body_bytes)?;
        let new = New {
            time: store.time,
            subject: &store.subject,
            header_bytes: store.header_bytes,
            body_bytes: store.body_bytes,
            body: [&[], &[]],
            is_kept_forever: store.ttl == Ttl::Never,
            is_marker: store.is_marker,
        };
        if !messages.push_at(seq, &new) {
            return Err(Malformed);
        }
        messages.set_place(seq, place);
        if let Ttl::Until(deadline) = store.ttl {
            self.stream.deadlines.set(seq, deadline);
        }
        Ok(None)
    }

    /// The stream, and how many messages of it the store did not have.
    pub fn finish(mut self) -> (Stream, u64) {
        let messages = &mut self.stream.messages;
        let there = messages.totals();
        let wanted: u64 = self.runs.iter().map(|(first, last)| last - first + 1).sum();
        let Totals { first, last, last_time, .. } = self.totals;
        let first = match there.count {
            // Without a message the first is the next one.
            0 if wanted > 0 => last + 1,
            0 => first,
            _ => there.first,
        };
        messages.finish(first, last, last_time);
        for (seq, at) in std::mem::take(&mut self.schedules) {
            if let Some(head) = self.stream.messages.head(seq) {
                self.stream.schedules.set(head.subject, seq, at);
            }
        }
        (self.stream, wanted.saturating_sub(there.count))
    }
}
