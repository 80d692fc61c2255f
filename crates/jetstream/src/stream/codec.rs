//! Proposals as bytes: a version, a kind, then its fields. Numbers are LEB128, bytes have their length before them.

pub use crate::bytes::Malformed;
pub(super) use crate::bytes::{Reader, put, put_bytes};

use super::{Delayed, MadeBy, Proposal, Purge, REMOVED_MAX, Reason, Remove, Rollup, Sourced, Store, Ttl};
use std::borrow::Cow;

/// The version of everything here.
const VERSION: u8 = 1;
/// Messages of an atomic batch that are read at most.
const BATCH_MAX: u64 = 65_536;

const HAS_MSG_ID: u16 = 1;
const HAS_DEADLINE: u16 = 2;
const NEVER: u16 = 4;
const ROLLUP_SUBJECT: u16 = 8;
const ROLLUP_ALL: u16 = 16;
const MARKER: u16 = 32;
const MADE_BY: u16 = 64;
const SKIPPED: u16 = 128;
const SCHEDULE: u16 = 256;
const REPEATS: u16 = 512;
const SOURCED: u16 = 1024;
const PACKED: u16 = 2048;
const DELAYED: u16 = 4096;

impl<'a> Store<'a> {
    /// Appends all but the sequence and the body: what the store keeps as the head of the message.
    pub fn encode_head(&self, out: &mut Vec<u8>) {
        self.encode_head_as(false, out);
    }

    /// The same, where what the store has of the body is [`pack`](super::pack)ed.
    pub fn encode_packed_head(&self, out: &mut Vec<u8>) {
        self.encode_head_as(true, out);
    }

    fn encode_head_as(&self, is_packed: bool, out: &mut Vec<u8>) {
        let mut marks = 0u16;
        let mut mark = |is_so: bool, bit: u16| marks |= if is_so { bit } else { 0 };
        mark(!self.msg_id.is_empty(), HAS_MSG_ID);
        mark(matches!(self.ttl, Ttl::Until(_)), HAS_DEADLINE);
        mark(self.ttl == Ttl::Never, NEVER);
        mark(self.rollup == Some(Rollup::Subject), ROLLUP_SUBJECT);
        mark(self.rollup == Some(Rollup::All), ROLLUP_ALL);
        mark(self.is_marker, MARKER);
        let next = self.made_by.as_ref().and_then(|made_by| made_by.next);
        mark(self.made_by.is_some(), MADE_BY);
        mark(next.is_some(), REPEATS);
        mark(self.schedule.is_some(), SCHEDULE);
        mark(self.is_skipped, SKIPPED);
        mark(self.sourced.is_some(), SOURCED);
        mark(is_packed, PACKED);
        mark(self.delayed.is_some(), DELAYED);
        out.push(VERSION);
        out.extend_from_slice(&marks.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        put(out, u64::from(self.header_bytes));
        put_bytes(out, &self.subject);
        if marks & HAS_MSG_ID != 0 {
            put_bytes(out, &self.msg_id);
        }
        if let Ttl::Until(deadline) = self.ttl {
            out.extend_from_slice(&deadline.to_le_bytes());
        }
        if let Some(made_by) = &self.made_by {
            put_bytes(out, &made_by.subject);
        }
        for time in [next, self.schedule].into_iter().flatten() {
            out.extend_from_slice(&time.to_le_bytes());
        }
        if let Some(sourced) = &self.sourced {
            put_bytes(out, &sourced.index);
            put(out, sourced.seq);
            put_bytes(out, &sourced.identity);
        }
        if let Some(id) = self.delayed {
            put(out, id);
        }
        if is_packed {
            put(out, u64::from(self.body_bytes));
        }
    }

    /// Reads a head. The body stays where it is: `headers` and `payload` are empty; `body_bytes` is what the store has of it, and that of the
    /// message what it has itself.
    ///
    /// # Errors
    ///
    /// It is no head of a known version.
    pub fn decode_head(seq: u64, head: &'a [u8], body_bytes: u32) -> Result<Self, Malformed> {
        let mut reader = Reader(head);
        if reader.byte()? != VERSION {
            return Err(Malformed);
        }
        let marks = u16::from_le_bytes([reader.byte()?, reader.byte()?]);
        let mut store = Store { seq, body_bytes, time: reader.time()?, ..Store::default() };
        store.header_bytes = u16::try_from(reader.number()?).map_err(|_| Malformed)?;
        store.subject = Cow::Borrowed(reader.bytes()?);
        if marks & HAS_MSG_ID != 0 {
            store.msg_id = Cow::Borrowed(reader.bytes()?);
        }
        store.ttl = match marks & (HAS_DEADLINE | NEVER) {
            0 => Ttl::None,
            HAS_DEADLINE => Ttl::Until(reader.time()?),
            NEVER => Ttl::Never,
            _ => return Err(Malformed),
        };
        store.rollup = match marks & (ROLLUP_SUBJECT | ROLLUP_ALL) {
            0 => None,
            ROLLUP_SUBJECT => Some(Rollup::Subject),
            ROLLUP_ALL => Some(Rollup::All),
            _ => return Err(Malformed),
        };
        store.is_marker = marks & MARKER != 0;
        store.read_schedule(marks, &mut reader)?;
        if marks & SOURCED != 0 {
            let (index, seq) = (Cow::Borrowed(reader.bytes()?), reader.number()?);
            store.sourced = Some(Sourced { index, seq, identity: Cow::Borrowed(reader.bytes()?) });
        }
        store.is_skipped = marks & SKIPPED != 0;
        if marks & DELAYED != 0 {
            store.delayed = Some(reader.number()?);
        }
        if marks & PACKED != 0 {
            let whole = u32::try_from(reader.number()?).map_err(|_| Malformed)?;
            store.body_bytes = Some(whole).filter(|&whole| whole > body_bytes).ok_or(Malformed)?;
        }
        let is_sound = marks < 2 * DELAYED && u32::from(store.header_bytes) <= store.body_bytes && seq > 0;
        reader.end().and(if is_sound { Ok(store) } else { Err(Malformed) })
    }

    fn read_schedule(&mut self, marks: u16, reader: &mut Reader<'a>) -> Result<(), Malformed> {
        if marks & MADE_BY != 0 {
            let subject = Cow::Borrowed(reader.bytes()?);
            let next = if marks & REPEATS != 0 { Some(reader.time()?) } else { None };
            self.made_by = Some(MadeBy { subject, next });
        } else if marks & REPEATS != 0 {
            return Err(Malformed);
        }
        if marks & SCHEDULE != 0 {
            self.schedule = Some(reader.time()?);
        }
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>, has_body: bool) {
        put(out, self.seq);
        let mut head = Vec::new();
        self.encode_head(&mut head);
        put_bytes(out, &head);
        put(out, u64::from(self.body_bytes));
        if has_body {
            out.extend_from_slice(&self.headers);
            out.extend_from_slice(&self.payload);
        }
    }

    fn decode(reader: &mut Reader<'a>, has_body: bool) -> Result<Self, Malformed> {
        let (seq, head) = (reader.number()?, reader.bytes()?);
        let body_bytes = u32::try_from(reader.number()?).map_err(|_| Malformed)?;
        let mut store = Self::decode_head(seq, head, body_bytes)?;
        if has_body {
            let body = reader.take(u64::from(body_bytes))?;
            let (headers, payload) =
                body.split_at_checked(usize::from(store.header_bytes)).ok_or(Malformed)?;
            (store.headers, store.payload) = (Cow::Borrowed(headers), Cow::Borrowed(payload));
        }
        Ok(store)
    }
}

const STORE: u8 = 1;
const BATCH: u8 = 2;
const SKIP: u8 = 3;
const REMOVE: u8 = 4;
const PURGE: u8 = 5;
const SKIP_TO: u8 = 6;
const RESCHEDULE: u8 = 7;
const DELAY: u8 = 8;
const UNDELAY: u8 = 9;
const POSTPONE: u8 = 10;

impl<'a> Proposal<'a> {
    /// Appends all of it. Where the store keeps messages apart, a [`Proposal::Store`] is [`Store::encode_head`] and its body instead.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        match self {
            Self::Store(store) => {
                out.push(STORE);
                store.encode(out, true);
            }
            Self::Batch(stores) => {
                out.push(BATCH);
                put(out, stores.len() as u64);
                stores.iter().for_each(|store| store.encode(out, true));
            }
            Self::Skip(store) => {
                out.push(SKIP);
                store.encode(out, false);
            }
            Self::Remove(remove) => {
                out.extend_from_slice(&[REMOVE, remove.reason as u8, u8::from(remove.erase)]);
                put(out, remove.runs.len() as u64);
                for &(first, last) in &remove.runs {
                    put(out, first);
                    put(out, last - first);
                }
            }
            Self::Purge(purge) => {
                out.push(PURGE);
                put(out, purge.before);
                put(out, purge.keep);
                put_bytes(out, purge.filter.as_deref().unwrap_or_default());
            }
            Self::SkipTo(upto) => {
                out.push(SKIP_TO);
                put(out, *upto);
            }
            Self::Delay(delayed) => {
                out.push(DELAY);
                delayed.encode(out);
            }
            Self::Undelay(id) => {
                out.push(UNDELAY);
                put(out, *id);
            }
            Self::Postpone { id, at } => {
                out.push(POSTPONE);
                put(out, *id);
                out.extend_from_slice(&at.to_le_bytes());
            }
            Self::Reschedule { seq, at } => {
                out.push(RESCHEDULE);
                put(out, *seq);
                out.extend(at.map(i64::to_le_bytes).into_iter().flatten());
            }
        }
    }

    /// Reads one. Its bytes are borrowed.
    ///
    /// # Errors
    ///
    /// It is none of a known version.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        if reader.byte()? != VERSION {
            return Err(Malformed);
        }
        let proposal = match reader.byte()? {
            STORE => Self::Store(Store::decode(&mut reader, true)?),
            BATCH => {
                let count = reader.number()?;
                if count > BATCH_MAX {
                    return Err(Malformed);
                }
                Self::Batch((0..count).map(|_| Store::decode(&mut reader, true)).collect::<Result<_, _>>()?)
            }
            SKIP => Self::Skip(Store::decode(&mut reader, false)?),
            REMOVE => Self::Remove(remove(&mut reader)?),
            PURGE => {
                let (before, keep, filter) = (reader.number()?, reader.number()?, reader.bytes()?);
                let filter = (!filter.is_empty()).then(|| Box::from(filter));
                Self::Purge(Purge { filter, before, keep })
            }
            SKIP_TO => Self::SkipTo(reader.number()?),
            DELAY => Self::Delay(Delayed::decode(&mut reader)?),
            UNDELAY => Self::Undelay(reader.number()?),
            POSTPONE => Self::Postpone { id: reader.number()?, at: reader.time()? },
            RESCHEDULE => {
                let seq = reader.number()?;
                let at = if reader.0.is_empty() { None } else { Some(reader.time()?) };
                Self::Reschedule { seq, at }
            }
            _ => return Err(Malformed),
        };
        reader.end()?;
        Ok(proposal)
    }
}

fn remove(reader: &mut Reader<'_>) -> Result<Remove, Malformed> {
    let reason = match reader.byte()? {
        0 => Reason::Limit,
        1 => Reason::Expired,
        2 => Reason::Deleted,
        3 => Reason::Purged,
        4 => Reason::Acknowledged,
        _ => return Err(Malformed),
    };
    let erase = match reader.byte()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed),
    };
    let count = reader.number()?;
    if count > REMOVED_MAX as u64 {
        return Err(Malformed);
    }
    let run = |_| {
        let (first, more) = (reader.number()?, reader.number()?);
        Ok((first, first.checked_add(more).ok_or(Malformed)?))
    };
    let runs = (0..count).map(run).collect::<Result<_, _>>()?;
    Ok(Remove { runs, reason, erase })
}
