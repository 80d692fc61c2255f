//! The whole state as bytes, for checkpoints.

use super::codec::{Malformed, Reader, put, put_bytes};
use super::delayed::Delays;
use super::{Settings, Sourced, Stream};
use crate::memory::Budget;
use crate::messages::{Body, Chunks, Heads, Listed, New, Outgoing, Place, Resumed, Runs, Totals};
use std::borrow::Cow;
use std::sync::Arc;

/// The version of a snapshot.
const VERSION: u8 = 1;
/// That of [`Whole::Indexed`], and of [`Whole::Runs`].
const INDEXED: u8 = 2;
const RUNS: u8 = 3;
/// Before the live messages of a chunk: they are in a row, or stand there as bits.
const IN_A_ROW: u8 = 0;
const BITS: u8 = 1;
const KEPT_FOREVER: u8 = 1;
const MARKER: u8 = 2;
const IS_HOT: u8 = 4;

/// What a snapshot holds of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// Their heads, and where their bodies are: a file stream whose bodies the store has.
    Heads,
    /// Their bodies, too, where they are in memory: a memory stream.
    Bodies,
    /// Which sequences have a message: the store has all else, and [`Restoring`](super::Restoring) is given it.
    Sequences,
    /// What a stream has to know before it asks the store: see [`Stream::resume`].
    Indexed,
    /// The same, of a stream whose table of subjects is in runs.
    Runs,
}

/// Messages with a deadline that a snapshot of [`Whole::Indexed`] holds at most.
const DEADLINES_MAX: usize = 1 << 20;

impl Stream {
    /// What a checkpoint writes where the store has the messages, at this moment. With [`Whole::Runs`] it is to take out the table of subjects
    /// by [`Self::capture_some`] and [`Self::outgoing`], too. A stream of very many deadlines finds them out at each start.
    pub fn brief(&mut self) -> Whole {
        if self.messages.heads().is_none() || self.deadlines.iter().len() > DEADLINES_MAX {
            self.messages.forget_runs();
            return Whole::Sequences;
        }
        if self.messages.begin_capture() { Whole::Runs } else { Whole::Indexed }
    }

    /// Takes out so many subjects at most, as they were when [`Self::brief`] was asked; whether there are more.
    pub fn capture_some(&mut self, subjects_max: usize) -> bool {
        self.messages.capture_some(subjects_max)
    }

    /// What a checkpoint is to write of the table of subjects. `None`: [`Self::brief`] was not asked.
    pub fn outgoing(&mut self) -> Option<Outgoing> {
        self.messages.outgoing()
    }

    /// A checkpoint is durable with these runs; `None`: what was written before cannot be read.
    pub fn set_runs(&mut self, runs: Option<Runs>) {
        match runs {
            Some(runs) => self.messages.set_runs(runs),
            None => self.messages.forget_runs(),
        }
    }

    /// Appends the state, without the configuration.
    pub fn snapshot(&self, whole: Whole, out: &mut Vec<u8>) {
        out.push(match whole {
            Whole::Indexed => INDEXED,
            Whole::Runs => RUNS,
            Whole::Heads | Whole::Bodies | Whole::Sequences => VERSION,
        });
        let totals = self.messages.totals();
        for number in [totals.first, totals.last, totals.count] {
            put(out, number);
        }
        out.extend_from_slice(&totals.last_time.to_le_bytes());
        put_bytes(out, &self.last_msg_id);
        match whole {
            Whole::Heads | Whole::Bodies => self.put_messages(whole, out),
            Whole::Sequences => self.put_runs(out),
            Whole::Indexed => {
                self.put_chunks(out);
                self.put_subjects(out);
            }
            Whole::Runs => {
                self.put_chunks(out);
                put(out, self.messages.subjects_count() as u64);
            }
        }
        put(out, self.dedupe.len() as u64);
        for (id, seq, time) in self.dedupe.iter() {
            put_bytes(out, &id);
            put(out, seq);
            out.extend_from_slice(&time.to_le_bytes());
        }
        // They stand in the heads, too.
        if whole != Whole::Sequences {
            let deadlines: Vec<(i64, u64)> = self.deadlines.iter().collect();
            put(out, deadlines.len() as u64);
            for (deadline, seq) in deadlines {
                out.extend_from_slice(&deadline.to_le_bytes());
                put(out, seq);
            }
        }
        put(out, self.schedules.iter().count() as u64);
        for (seq, at, subject) in self.schedules.iter() {
            put(out, seq);
            out.extend_from_slice(&at.to_le_bytes());
            if matches!(whole, Whole::Indexed | Whole::Runs) {
                put_bytes(out, subject);
            }
        }
        put(out, self.places.iter().count() as u64);
        for (index, place) in self.places.iter() {
            put_bytes(out, index);
            put(out, place.seq);
            put_bytes(out, &place.identity);
        }
        self.delays.snapshot(out);
    }

    fn put_runs(&self, out: &mut Vec<u8>) {
        let runs = self.messages.runs();
        put(out, runs.len() as u64);
        let mut before = 0;
        for (first, last) in runs {
            put(out, first - before);
            put(out, last - first);
            before = last;
        }
    }

    fn put_chunks(&self, out: &mut Vec<u8>) {
        put(out, self.messages.counted().count() as u64);
        let mut before = 0;
        for chunk in self.messages.counted() {
            put(out, chunk.no - before);
            before = chunk.no;
            match chunk.live() {
                Ok((first, last)) => {
                    out.push(IN_A_ROW);
                    put(out, u64::from(first));
                    put(out, u64::from(last));
                }
                Err(words) => {
                    out.push(BITS);
                    words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
                }
            }
            put(out, chunk.bytes);
            out.extend_from_slice(&chunk.latest.to_le_bytes());
        }
    }

    fn put_subjects(&self, out: &mut Vec<u8>) {
        put(out, self.messages.subjects_count() as u64);
        for subject in self.messages.all_subjects() {
            put_bytes(out, subject.name());
            for number in [subject.first, subject.last - subject.first, subject.count] {
                put(out, number);
            }
        }
    }

    fn put_messages(&self, whole: Whole, out: &mut Vec<u8>) {
        let mut before = 0;
        for head in self.messages.iter_from(0) {
            let body = self.messages.body(head.seq);
            let hot = match body {
                Some(Body::Hot(bytes)) if whole == Whole::Bodies => Some(bytes),
                _ => None,
            };
            let mut marks = u8::from(head.is_kept_forever) * KEPT_FOREVER + u8::from(head.is_marker) * MARKER;
            marks |= if hot.is_some() { IS_HOT } else { 0 };
            put(out, head.seq - before);
            before = head.seq;
            out.push(marks);
            out.extend_from_slice(&head.time.to_le_bytes());
            put_bytes(out, head.subject);
            put(out, u64::from(head.header_bytes));
            put(out, u64::from(head.body_bytes));
            match hot {
                Some(bytes) => out.extend_from_slice(bytes),
                None => out.extend_from_slice(&self.messages.place(head.seq).unwrap_or_default().0),
            }
        }
    }

    /// A stream with the state of a snapshot.
    ///
    /// # Errors
    ///
    /// The bytes are no snapshot of a known version.
    pub fn restore(settings: Settings, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        let (mut stream, Totals { first, last, count, last_time, .. }) =
            Self::begin(settings, VERSION, &mut reader)?;
        let mut seq = 0u64;
        for _ in 0..count {
            seq = seq.checked_add(reader.number()?).filter(|&seq| seq > 0 && seq <= last).ok_or(Malformed)?;
            stream.restore_message(seq, &mut reader)?;
        }
        stream.messages.finish(first, last, last_time).then_some(()).ok_or(Malformed)?;
        stream.restore_ids(&mut reader)?;
        for _ in 0..reader.number()? {
            let deadline = reader.time()?;
            stream.deadlines.set(reader.number()?, deadline);
        }
        for _ in 0..reader.number()? {
            let seq = reader.number()?;
            let subject = stream.messages.head(seq).ok_or(Malformed)?.subject;
            stream.schedules.set(subject, seq, reader.time()?);
        }
        stream.restore_places(&mut reader)?;
        stream.delays = Delays::restore(&mut reader)?;
        reader.end()?;
        Ok(stream)
    }

    /// Whether a snapshot is one for [`Self::resume`].
    pub fn is_indexed(bytes: &[u8]) -> bool {
        matches!(bytes.first(), Some(&INDEXED | &RUNS))
    }

    /// A stream with the state of a snapshot of [`Whole::Indexed`] or [`Whole::Runs`], then with what [`Outgoing::write`] appended; it reads the
    /// heads of its messages where it needs them. And what it found.
    ///
    /// # Errors
    ///
    /// The bytes are no such snapshot.
    pub fn resume(
        settings: Settings,
        (bytes, runs): (&[u8], &[u8]),
        heads: Arc<dyn Heads>,
        budget: Arc<Budget>,
    ) -> Result<(Self, Resumed), Malformed> {
        let mut reader = Reader(bytes);
        let has_runs = bytes.first() == Some(&RUNS);
        let version = if has_runs { RUNS } else { INDEXED };
        let (mut stream, totals) = Self::begin(settings, version, &mut reader)?;
        stream.messages.set_heads(heads, budget);
        let chunks = read_chunks(&mut reader)?;
        let listed =
            if has_runs { Listed::Runs(runs, reader.number()?) } else { read_subjects(&mut reader)? };
        let resumed = stream.messages.resume(totals, chunks, listed).ok_or(Malformed)?;
        stream.restore_ids(&mut reader)?;
        for _ in 0..reader.number()? {
            let deadline = reader.time()?;
            stream.deadlines.set(reader.number()?, deadline);
        }
        for _ in 0..reader.number()? {
            let (seq, at) = (reader.number()?, reader.time()?);
            stream.schedules.set(reader.bytes()?, seq, at);
        }
        stream.restore_places(&mut reader)?;
        stream.delays = Delays::restore(&mut reader)?;
        reader.end()?;
        Ok((stream, resumed))
    }

    /// What stands before the messages, of a snapshot for [`Restoring`](super::Restoring).
    pub(super) fn begin_brief(
        settings: Settings,
        reader: &mut Reader<'_>,
    ) -> Result<(Self, Totals), Malformed> {
        Self::begin(settings, VERSION, reader)
    }

    /// What stands before the messages.
    fn begin(settings: Settings, version: u8, reader: &mut Reader<'_>) -> Result<(Self, Totals), Malformed> {
        if reader.byte()? != version {
            return Err(Malformed);
        }
        let mut stream = Self::new(settings);
        let (first, last, count) = (reader.number()?, reader.number()?, reader.number()?);
        let last_time = reader.time()?;
        if last == u64::MAX || first > last + 1 {
            return Err(Malformed);
        }
        stream.last_msg_id = reader.bytes()?.to_vec();
        stream.messages.reset(Totals { first, last, last_time, ..Totals::default() });
        Ok((stream, Totals { first, last, count, last_time, ..Totals::default() }))
    }

    pub(super) fn restore_ids(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        for _ in 0..reader.number()? {
            let (id, seq) = (reader.bytes()?, reader.number()?);
            let time = reader.time()?;
            self.dedupe.note(id, seq, time, i64::MAX);
        }
        Ok(())
    }

    pub(super) fn restore_places(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        for _ in 0..reader.number()? {
            let (index, seq) = (Cow::Borrowed(reader.bytes()?), reader.number()?);
            self.places.note(&Sourced { index, seq, identity: Cow::Borrowed(reader.bytes()?) });
        }
        Ok(())
    }

    fn restore_message(&mut self, seq: u64, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let marks = reader.byte()?;
        let time = reader.time()?;
        let subject = reader.bytes()?;
        let header_bytes = u16::try_from(reader.number()?).map_err(|_| Malformed)?;
        let body_bytes = u32::try_from(reader.number()?).map_err(|_| Malformed)?;
        let is_hot = marks & IS_HOT != 0;
        let body = if is_hot { reader.take(u64::from(body_bytes))? } else { &[] };
        let place =
            if is_hot { None } else { Some(Place(reader.take(16)?.try_into().map_err(|_| Malformed)?)) };
        let (is_kept_forever, is_marker) = (marks & KEPT_FOREVER != 0, marks & MARKER != 0);
        let new =
            New { time, subject, header_bytes, body_bytes, body: [body, &[]], is_kept_forever, is_marker };
        if !self.messages.push_at(seq, &new) {
            return Err(Malformed);
        }
        if let Some(place) = place {
            self.messages.set_place(seq, place);
        }
        Ok(())
    }
}

fn read_subjects(reader: &mut Reader<'_>) -> Result<Listed<'static>, Malformed> {
    let mut subjects = Vec::new();
    for _ in 0..reader.number()? {
        let name = Box::from(reader.bytes()?);
        let (first, more) = (reader.number()?, reader.number()?);
        subjects.push((name, first, first.checked_add(more).ok_or(Malformed)?, reader.number()?));
    }
    Ok(Listed::All(subjects))
}

fn read_chunks(reader: &mut Reader<'_>) -> Result<Chunks, Malformed> {
    let (mut chunks, mut no) = (Chunks::default(), 0u64);
    for _ in 0..reader.number()? {
        no = no.checked_add(reader.number()?).ok_or(Malformed)?;
        let offset = |reader: &mut Reader<'_>| u16::try_from(reader.number()?).map_err(|_| Malformed);
        let (mut words, mut row) = ([0; Chunks::WORDS], None);
        match reader.byte()? {
            IN_A_ROW => row = Some((offset(reader)?, offset(reader)?)),
            BITS => {
                for word in &mut words {
                    *word = u64::from_le_bytes(reader.take(8)?.try_into().map_err(|_| Malformed)?);
                }
            }
            _ => return Err(Malformed),
        }
        let live = row.ok_or(&words[..]);
        chunks.push(no, live, (reader.number()?, reader.time()?)).ok_or(Malformed)?;
    }
    Ok(chunks)
}
