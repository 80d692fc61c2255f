//! A consumer's state as bytes, for checkpoints.

use super::change::ConsumerId;
use super::letters::{Dead, Letters};
use super::log::{Filters, Log, SEQ_MAX};
use super::machine::Consumer;
use super::pending::{Entry, Pending};
use super::rare::Rare;
use super::reply::Prefixes;
use super::settings::Settings;
use super::state::{Position, State};
use super::varint::{Reader, unzigzag, write, zigzag};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Version of the encoding, its first byte.
const VERSION: u8 = 1;
/// The same with more: a byte of these flags follows, and what they say stands at the end.
const VERSION_MORE: u8 = 2;
const PARKED: u8 = 1;
const LETTERS: u8 = 2;
/// How many messages are before it.
const COUNTED: u8 = 4;
/// A time that there is none.
const NEVER: i64 = i64::MIN;

/// These bytes are no state of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state of a consumer cannot be read at byte {at}")]
pub struct InvalidSnapshot {
    /// Where.
    pub at: usize,
}

impl Consumer {
    /// Writes the state. Who waits for messages is no part of it, nor what follows from the stream, but for how many messages are before it: counting
    /// these may take long.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        let state = &self.state;
        let more =
            (u8::from(state.parked.is_some()) * PARKED) | (u8::from(state.letters.is_some()) * LETTERS);
        out.extend([VERSION_MORE, more | COUNTED]);
        for value in [
            state.next,
            state.delivered.consumer,
            state.delivered.stream,
            zigzag(state.delivered_at.unwrap_or(NEVER)),
            state.floor.consumer,
            state.floor.stream,
            zigzag(state.acked_at.unwrap_or(NEVER)),
        ] {
            write(out, value);
        }
        write(out, state.listed.len() as u64);
        ascending(out, state.listed.iter().copied(), |_, _| {});
        write(out, state.pending.len() as u64);
        let mut last = Entry::new(0, 0, 0, 0);
        for entry in state.pending.iter() {
            write(out, entry.seq - last.seq);
            write(out, zigzag(entry.consumer_seq.wrapping_sub(last.consumer_seq) as i64));
            write(out, zigzag(entry.at.wrapping_sub(last.at)));
            write(out, zigzag(entry.due.wrapping_sub(entry.at)));
            write(out, u64::from(entry.deliveries));
            last = *entry;
        }
        write(out, state.exhausted.len() as u64);
        ascending(out, state.exhausted.keys().copied(), |out, seq| {
            write(out, u64::from(state.exhausted.get(&seq).copied().unwrap_or(0)));
        });
        write(out, state.num_pending);
        if let Some(parked) = &state.parked {
            write(out, parked.len() as u64);
            ascending(out, parked.iter().copied(), |_, _| {});
        }
        if let Some(letters) = &state.letters {
            letters.write(out);
        }
    }

    /// One that goes on from a snapshot, with the stream as it was then. What waited too long comes again.
    ///
    /// # Errors
    ///
    /// The bytes are cut, of another version, or contradict themselves.
    pub fn restore(
        id: ConsumerId,
        prefixes: Prefixes,
        settings: Settings,
        snapshot: &[u8],
        log: &dyn Log,
        now: i64,
    ) -> Result<Self, InvalidSnapshot> {
        let mut reader = Reader::new(snapshot);
        let state = read(&mut reader).filter(|_| reader.is_done());
        let mut state = state.ok_or(InvalidSnapshot { at: reader.at() })?;
        // Its configuration says whether it has keys.
        let is_as_it_was = state.parked.is_some() == settings.order_by.is_some();
        state.parked = settings.order_by.as_ref().map(|_| state.parked.unwrap_or_default());
        let is_as_it_was = is_as_it_was && state.letters.is_some() == settings.dead_letter.is_some();
        state.keep_letters(settings.dead_letter.is_some());
        let is_counted = matches!(snapshot, [VERSION_MORE, more, ..] if more & COUNTED != 0);
        let kept = state.listed.len() + state.parked.as_ref().map_or(0, BTreeSet::len);
        let most = log.count(&Filters::default(), 0).saturating_add(kept as u64);
        if !is_as_it_was || !is_counted || state.num_pending > most {
            state.count(&settings.filters, log);
        }
        Ok(Self::with_state(id, prefixes, settings, state, log, now))
    }
}

impl Letters {
    fn write(&self, out: &mut Vec<u8>) {
        write(out, self.dead.len() as u64);
        let mut last = 0;
        for (&seq, dead) in &self.dead {
            write(out, seq - last);
            last = seq;
            write(out, dead.consumer_seq);
            write(out, u64::from(dead.deliveries));
            out.push(u8::from(dead.is_terminated));
            write(out, zigzag(dead.first_at));
            write(out, zigzag(dead.last_at));
        }
        write(out, self.first_at.len() as u64);
        ascending(out, self.first_at.keys().copied(), |out, seq| {
            write(out, zigzag(self.first_at.get(&seq).copied().unwrap_or(NEVER)));
        });
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut letters = Self::default();
        read_ascending(reader, |reader, at| {
            let consumer_seq = seq(reader)?;
            let deliveries = u32::try_from(reader.varint()?).ok()?;
            let is_terminated = match reader.byte()? {
                0 => false,
                1 => true,
                _ => return None,
            };
            let (first_at, last_at) = (unzigzag(reader.varint()?), unzigzag(reader.varint()?));
            letters.dead.insert(at, Dead { consumer_seq, deliveries, is_terminated, first_at, last_at });
            Some(())
        })?;
        read_ascending(reader, |reader, at| {
            letters.first_at.insert(at, unzigzag(reader.varint()?));
            Some(())
        })?;
        Some(letters)
    }
}

/// Writes ascending numbers as differences, each with what belongs to it.
fn ascending(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64>, with: impl Fn(&mut Vec<u8>, u64)) {
    let mut last = 0;
    for number in numbers {
        write(out, number - last);
        with(out, number);
        last = number;
    }
}

fn read(reader: &mut Reader<'_>) -> Option<State> {
    let version = reader.byte()?;
    let more = match version {
        VERSION => 0,
        VERSION_MORE => reader.byte().filter(|more| more & !(PARKED | LETTERS | COUNTED) == 0)?,
        _ => return None,
    };
    let next = seq(reader).filter(|next| *next > 0)?;
    let delivered = Position { consumer: seq(reader)?, stream: seq(reader)? };
    let delivered_at = time(reader)?;
    let floor = Position { consumer: seq(reader)?, stream: seq(reader)? };
    let acked_at = time(reader)?;
    let mut listed = VecDeque::new();
    read_ascending(reader, |_, seq| {
        listed.push_back(seq);
        Some(())
    })?;
    let pending = read_pending(reader)?;
    let mut exhausted = BTreeMap::new();
    read_ascending(reader, |reader, seq| {
        exhausted.insert(seq, u32::try_from(reader.varint()?).ok()?);
        Some(())
    })?;
    let num_pending = if more & COUNTED != 0 { seq(reader)? } else { 0 };
    let mut parked = None;
    if more & PARKED != 0 {
        let parked = parked.insert(BTreeSet::new());
        read_ascending(reader, |_, seq| {
            // What is in flight cannot be parked.
            (seq < next && pending.get(seq).is_none()).then(|| parked.insert(seq)).map(|_| ())
        })?;
    }
    let letters = if more & LETTERS == 0 { None } else { Some(Box::new(Letters::read(reader)?)) };
    Some(State {
        parked,
        letters,
        next,
        listed: listed.into(),
        delivered,
        delivered_at,
        floor,
        acked_at,
        pending,
        exhausted: exhausted.into(),
        num_pending,
    })
}

fn seq(reader: &mut Reader<'_>) -> Option<u64> {
    reader.varint().filter(|seq| *seq <= SEQ_MAX)
}

fn time(reader: &mut Reader<'_>) -> Option<Option<i64>> {
    Some(Some(unzigzag(reader.varint()?)).filter(|at| *at != NEVER))
}

/// How many follow, each of at least a byte.
fn count(reader: &mut Reader<'_>) -> Option<u64> {
    let left = reader.left() as u64;
    reader.varint().filter(|count| *count <= left)
}

fn read_ascending(
    reader: &mut Reader<'_>,
    mut each: impl FnMut(&mut Reader<'_>, u64) -> Option<()>,
) -> Option<()> {
    let mut last = 0_u64;
    for _ in 0..count(reader)? {
        last = last.checked_add(reader.varint().filter(|step| *step > 0)?).filter(|seq| *seq <= SEQ_MAX)?;
        each(reader, last)?;
    }
    Some(())
}

fn read_pending(reader: &mut Reader<'_>) -> Option<Rare<Pending>> {
    let mut pending = Rare::<Pending>::default();
    let mut last = Entry::new(0, 0, 0, 0);
    for _ in 0..count(reader)? {
        let step = reader.varint().filter(|step| *step > 0)?;
        let seq = last.seq.checked_add(step).filter(|seq| *seq <= SEQ_MAX)?;
        let consumer_seq = last.consumer_seq.wrapping_add(unzigzag(reader.varint()?) as u64);
        if !(1..=SEQ_MAX).contains(&consumer_seq) {
            return None;
        }
        let at = last.at.wrapping_add(unzigzag(reader.varint()?));
        let due = at.wrapping_add(unzigzag(reader.varint()?));
        let deliveries = u32::try_from(reader.varint()?).ok()?;
        last = Entry::new(seq, consumer_seq, at, due);
        last.deliveries = deliveries;
        pending.insert(last);
    }
    Some(pending)
}
