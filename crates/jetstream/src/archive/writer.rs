//! Writing an archive.

use super::{CONSUMERS, ConsumerEntry, MAGIC, STATE};
use crate::api::StreamState;
use crate::json::to_vec;
use dialtone_wire::s2;

/// Bytes that are gathered before they are compressed.
const BLOCK_BYTES: usize = 64 * 1024;

/// A stream of S2 that is written, in blocks of some size.
pub struct Compressor {
    compressed: s2::Writer,
    scratch: s2::Scratch,
    /// What is to be compressed yet.
    pub gathered: Vec<u8>,
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Compressor {
    /// One that begins.
    pub fn new() -> Self {
        let gathered = Vec::with_capacity(BLOCK_BYTES * 2);
        Self { compressed: s2::Writer::new(s2::Level::Fast), scratch: s2::Scratch::default(), gathered }
    }

    /// Compresses what was gathered, but for less than a block.
    pub fn go_on(&mut self, out: &mut Vec<u8>) {
        self.compress(BLOCK_BYTES, out);
    }

    /// Compresses all of it.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.compress(0, out);
    }

    /// Compresses what was gathered, block by block, as long as there is more than `keep`.
    fn compress(&mut self, keep: usize, out: &mut Vec<u8>) {
        let mut done = 0;
        while self.gathered.len() - done > keep {
            let rest = &self.gathered[done..];
            let framed = self.compressed.frame(std::iter::once(rest), &mut self.scratch, out);
            let (s2::Framed::Head(bytes) | s2::Framed::Whole(bytes)) = framed;
            done += bytes;
        }
        self.gathered.drain(..done);
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").field("gathered_bytes", &self.gathered.len()).finish_non_exhaustive()
    }
}

/// An archive that is written: first the state, then as many consumers as it says, then messages by their sequences, then the end.
pub struct Writer {
    compressor: Compressor,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// An archive that begins.
    pub fn new() -> Self {
        let mut compressor = Compressor::new();
        compressor.gathered.extend_from_slice(MAGIC);
        Self { compressor }
    }

    /// The state of the stream; `consumer_count` says how many consumers follow. `now` in nanoseconds since 1970.
    pub fn state(&mut self, state: &StreamState, now: i64, out: &mut Vec<u8>) {
        self.entry(STATE, now, 0, &[], &to_vec(state), out);
    }

    /// A consumer.
    pub fn consumer(&mut self, name: &str, consumer: &ConsumerEntry, now: i64, out: &mut Vec<u8>) {
        self.entry(&[CONSUMERS, name].concat(), now, 0, &[], &to_vec(consumer), out);
    }

    /// A message; `time` in nanoseconds since 1970.
    pub fn message(
        &mut self,
        subject: &str,
        (seq, time): (u64, i64),
        headers: &[u8],
        payload: &[u8],
        out: &mut Vec<u8>,
    ) {
        debug_assert!(seq > 0, "0 is the end");
        self.entry(subject, time, seq, headers, payload, out);
    }

    /// The end. Without it an archive counts as cut off.
    pub fn end(mut self, out: &mut Vec<u8>) {
        self.entry("", 0, 0, &[], &[], out);
        self.compressor.end(out);
    }

    fn entry(&mut self, name: &str, time: i64, seq: u64, headers: &[u8], payload: &[u8], out: &mut Vec<u8>) {
        let gathered = &mut self.compressor.gathered;
        varint(name.len() as u64, gathered);
        varint(((time << 1) ^ (time >> 63)) as u64, gathered);
        varint(seq, gathered);
        varint(headers.len() as u64, gathered);
        varint(payload.len() as u64, gathered);
        gathered.extend_from_slice(name.as_bytes());
        gathered.extend_from_slice(headers);
        gathered.extend_from_slice(payload);
        self.compressor.go_on(out);
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("gathered_bytes", &self.compressor.gathered.len())
            .finish_non_exhaustive()
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
