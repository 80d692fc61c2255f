//! How far a consumer is, as official servers write it: varints behind a mark and a version.

use crate::archive::{BySequence, ConsumerState, Delivered, PendingAck};
use std::collections::BTreeMap;

/// What it begins with.
const MARK: u8 = 22;
/// Nanoseconds of a second: times are of whole ones.
const SECOND: i64 = 1_000_000_000;
/// No sequence is larger.
const SEQ_MAX: u64 = 1 << 62;

/// These bytes are no state of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state of a consumer cannot be read")]
pub struct MalformedState;

/// Reads it; no bytes are that of a consumer that delivered nothing.
///
/// # Errors
/// It is cut, of another version, or contradicts itself.
pub fn consumer_state(bytes: &[u8]) -> Result<ConsumerState, MalformedState> {
    if bytes.is_empty() {
        return Ok(ConsumerState::default());
    }
    let (&mark, rest) = bytes.split_first().ok_or(MalformedState)?;
    let (&version, rest) = rest.split_first().ok_or(MalformedState)?;
    if mark != MARK || !(1..=2).contains(&version) {
        return Err(MalformedState);
    }
    let mut reader = Reader(rest);
    let mut sequences = [0; 4];
    for seq in &mut sequences {
        *seq = reader.seq()?;
    }
    let [floor_consumer, floor_stream, mut consumer, mut stream] = sequences;
    if version == 1 {
        consumer += floor_consumer.saturating_sub(1);
        stream += floor_stream.saturating_sub(1);
    }
    let mut pending = BTreeMap::new();
    let count = reader.count()?;
    let base = if count > 0 { reader.signed()? } else { 0 };
    for _ in 0..count {
        let seq = reader.seq()? + floor_stream;
        let sequence = if version == 2 { reader.seq()? + floor_consumer } else { 0 };
        let time = reader.signed()?;
        let seconds = if version == 1 { base.saturating_add(time) } else { base.saturating_sub(time) };
        if seq == 0 {
            return Err(MalformedState);
        }
        pending.insert(seq, PendingAck { sequence, timestamp: seconds.saturating_mul(SECOND) });
    }
    let mut redelivered = BTreeMap::new();
    for _ in 0..reader.count()? {
        let (seq, times) = (reader.seq()?, reader.number()?);
        if seq > 0 && times > 0 {
            redelivered.insert(seq + floor_stream, times);
        }
    }
    Ok(ConsumerState {
        delivered: Delivered { consumer_seq: consumer, stream_seq: stream },
        ack_floor: Delivered { consumer_seq: floor_consumer, stream_seq: floor_stream },
        pending: BySequence(pending),
        redelivered: BySequence(redelivered),
    })
}

/// Writes it, as official servers read it; `now` in nanoseconds since 1970.
pub fn write_consumer_state(state: &ConsumerState, now: i64) -> Vec<u8> {
    let mut out = vec![MARK, 2];
    let (floor, delivered) = (&state.ack_floor, &state.delivered);
    for seq in [floor.consumer_seq, floor.stream_seq, delivered.consumer_seq, delivered.stream_seq] {
        put(seq, &mut out);
    }
    // What is not above the floor is acknowledged.
    let pending = || state.pending.0.iter().filter(|(seq, _)| **seq > floor.stream_seq);
    put(pending().count() as u64, &mut out);
    let base = now / SECOND;
    if pending().next().is_some() {
        put_signed(base, &mut out);
    }
    for (seq, one) in pending() {
        put(seq - floor.stream_seq, &mut out);
        put(one.sequence.saturating_sub(floor.consumer_seq), &mut out);
        put_signed(base.saturating_sub(one.timestamp / SECOND), &mut out);
    }
    let again = || state.redelivered.0.iter().filter(|(seq, _)| **seq > floor.stream_seq);
    put(again().count() as u64, &mut out);
    for (seq, times) in again() {
        put(seq - floor.stream_seq, &mut out);
        put(*times, &mut out);
    }
    out
}

fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(value: i64, out: &mut Vec<u8>) {
    put(((value << 1) ^ (value >> 63)) as u64, out);
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Result<u64, MalformedState> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(MalformedState)?;
            self.0 = rest;
            if shift == 63 && byte > 1 {
                return Err(MalformedState);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(MalformedState)
    }

    fn signed(&mut self) -> Result<i64, MalformedState> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn seq(&mut self) -> Result<u64, MalformedState> {
        self.number().and_then(|seq| if seq <= SEQ_MAX { Ok(seq) } else { Err(MalformedState) })
    }

    /// How many follow, each of at least two bytes.
    fn count(&mut self) -> Result<u64, MalformedState> {
        let count = self.number()?;
        if count <= (self.0.len() / 2) as u64 { Ok(count) } else { Err(MalformedState) }
    }
}
