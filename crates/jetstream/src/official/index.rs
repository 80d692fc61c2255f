//! What a stream held when an official server last wrote it down (`msgs/index.db`): which sequences are left of each file of messages.
//!
//! It knows what the files do not say: messages that a limit took away have no record of that. It counts only where the files have not changed
//! since, which the checksum of the last record says.

use super::hash::HighwayHash;
use sha2::{Digest, Sha256};

const MAGIC: u8 = 11;
const VERSIONS: std::ops::RangeInclusive<u8> = 1..=4;
const SUM_BYTES: usize = 8;
/// Sequences that a node of a set has a bit for, and the bytes of one.
const NODE_SEQUENCES: u64 = 2048;
const NODE_BYTES: usize = 8 + 256 + 2;
const SET_HEAD: [u8; 2] = [22, 2];
/// No sequence is larger.
const SEQ_MAX: u64 = 1 << 62;

/// What is left of a stream's files of messages.
#[derive(Debug, PartialEq, Eq)]
pub struct Index {
    files: Vec<File>,
    /// The number of the last file.
    pub last_file: u64,
    /// What its last record ends with.
    pub last_checksum: [u8; SUM_BYTES],
}

#[derive(Debug, PartialEq, Eq)]
struct File {
    first: u64,
    last: u64,
    /// Sequences between them that are gone: where 2,048 of them begin, and a bit for each.
    gone: Vec<(u64, [u8; 256])>,
}

/// Bytes that are no index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the index of a stream cannot be read")]
pub struct MalformedIndex;

impl Index {
    /// The part of a file that is an index, if its checksum is right; it may be sealed.
    ///
    /// # Errors
    /// It is another one.
    pub fn checked<'a>(stream: &str, file: &'a [u8]) -> Result<&'a [u8], MalformedIndex> {
        let (bytes, sum) = file.split_last_chunk::<SUM_BYTES>().ok_or(MalformedIndex)?;
        let mut hash = HighwayHash::new(&Sha256::digest(stream).into());
        hash.write(bytes);
        if hash.finish().to_le_bytes() == *sum { Ok(bytes) } else { Err(MalformedIndex) }
    }

    /// Reads what `checked` returned, opened where it was sealed.
    ///
    /// # Errors
    /// It is cut, of another version, or contradicts itself.
    pub fn read(bytes: &[u8]) -> Result<Index, MalformedIndex> {
        let (&[magic, version], rest) = bytes.split_first_chunk().ok_or(MalformedIndex)?;
        if magic != MAGIC || !VERSIONS.contains(&version) {
            return Err(MalformedIndex);
        }
        let mut reader = Reader(rest);
        // Messages, bytes, first sequence and its time, last sequence and its time: the files below say the same.
        (0..6).try_for_each(|_| reader.number().map(|_| ()))?;
        for _ in 0..reader.number()? {
            let subject_bytes = reader.number()?;
            if subject_bytes == 0 {
                continue;
            }
            reader.take(subject_bytes)?;
            let (total, _first_file) = (reader.number()?, reader.number()?);
            if total > 1 || version >= 4 {
                reader.number()?;
            }
        }
        let mut files = Vec::new();
        for _ in 0..reader.number()? {
            files.push(reader.file(version)?);
        }
        let last_file = reader.number()?;
        let last_checksum = *reader.0.first_chunk().ok_or(MalformedIndex)?;
        Ok(Index { files, last_file, last_checksum })
    }

    /// Whether a message was there.
    pub fn has(&self, seq: u64) -> bool {
        // Files follow each other by their sequences.
        let index = self.files.partition_point(|file| file.last < seq);
        self.files.get(index).is_some_and(|file| file.first <= seq && !file.is_gone(seq))
    }
}

impl File {
    fn is_gone(&self, seq: u64) -> bool {
        let index = self.gone.partition_point(|(base, _)| *base <= seq);
        let node = index.checked_sub(1).and_then(|index| self.gone.get(index));
        node.is_some_and(|(base, bits)| {
            let bit = seq - base;
            bit < NODE_SEQUENCES && bits[(bit / 8) as usize] & (1 << (bit % 8)) != 0
        })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: u64) -> Result<&'a [u8], MalformedIndex> {
        let bytes = usize::try_from(bytes).map_err(|_| MalformedIndex)?;
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(MalformedIndex)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A varint; one with a sign is as long.
    fn number(&mut self) -> Result<u64, MalformedIndex> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = *self.take(1)?.first().ok_or(MalformedIndex)?;
            if shift == 63 && byte > 1 {
                return Err(MalformedIndex);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(MalformedIndex)
    }

    fn file(&mut self, version: u8) -> Result<File, MalformedIndex> {
        let (_number, _bytes) = (self.number()?, self.number()?);
        let (first, _first_time) = (self.number()?, self.number()?);
        let (last, _last_time) = (self.number()?, self.number()?);
        let deleted = self.number()?;
        // How many have a time to live, and a schedule.
        (2..=version.min(3)).try_for_each(|_| self.number().map(|_| ()))?;
        if first.max(last) > SEQ_MAX {
            return Err(MalformedIndex);
        }
        let gone = if deleted > 0 { self.set()? } else { Vec::new() };
        Ok(File { first, last, gone })
    }

    /// A set of sequences, of nodes in any order.
    fn set(&mut self) -> Result<Vec<(u64, [u8; 256])>, MalformedIndex> {
        if self.take(2)? != SET_HEAD {
            return Err(MalformedIndex);
        }
        let nodes = self.take(8)?;
        let count = u32::from_le_bytes(*nodes.first_chunk().ok_or(MalformedIndex)?);
        let mut set = Vec::new();
        for _ in 0..count {
            let node = self.take(NODE_BYTES as u64)?;
            let (base, rest) = node.split_first_chunk().ok_or(MalformedIndex)?;
            set.push((u64::from_le_bytes(*base), *rest.first_chunk().ok_or(MalformedIndex)?));
        }
        set.sort_unstable_by_key(|(base, _)| *base);
        Ok(set)
    }
}
