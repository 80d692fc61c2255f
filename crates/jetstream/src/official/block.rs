//! A file of messages: records one behind the other, compressed as a whole or not.

use super::hash::HighwayHash;
use dialtone_wire::s2;
use sha2::{Digest, Sha256};

/// Largest file that is read, and what one that is compressed may become. Official servers make them of 8 MiB and less.
pub const BLOCK_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Bytes before the subject: length, sequence, time, bytes of the subject.
const HEAD_BYTES: usize = 22;
/// Bytes behind the payload.
const SUM_BYTES: usize = 8;
/// No record is larger.
const RECORD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// In the length: there are headers.
const HAS_HEADERS: u32 = 1 << 31;
/// In the sequence: the message was erased.
const ERASED: u64 = 1 << 63;
/// In the sequence: another message, of this sequence, was deleted.
const DELETED: u64 = 1 << 62;
/// What a compressed file begins with.
const COMPRESSED: &[u8] = b"cmp";

/// What stands in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// A message; one that is deleted later is followed by [`Record::Deleted`], in this block or a later one.
    Message {
        /// Its sequence.
        seq: u64,
        /// When it was stored: nanoseconds since 1970.
        time: i64,
        /// Its subject.
        subject: &'a [u8],
        /// Its header block, empty if it has none.
        headers: &'a [u8],
        /// Its payload.
        payload: &'a [u8],
    },
    /// There is no message of this sequence any more, or there never was one.
    Deleted {
        /// The sequence.
        seq: u64,
        /// When the message was stored: nanoseconds since 1970.
        time: i64,
    },
    /// These bytes are no record, from here on as many as are said.
    Damaged {
        /// Where they begin, in what the block is uncompressed.
        at: usize,
        /// How many.
        bytes: usize,
    },
}

/// Why a block cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Its compression is damaged.
    #[error("it cannot be uncompressed: {0}")]
    Compression(#[from] s2::S2Error),
    /// It is compressed in a way that is not known, or cut.
    #[error("its compression is not known, or it is cut")]
    Unknown,
    /// It is larger than any.
    #[error("it is larger than {BLOCK_BYTES_MAX} bytes")]
    TooLarge,
}

/// A block.
#[derive(Debug)]
pub struct Block {
    bytes: Vec<u8>,
    hash: HighwayHash,
}

impl Block {
    /// The file `index` of a stream.
    ///
    /// # Errors
    /// It cannot be uncompressed.
    pub fn new(stream: &str, index: u64, file: Vec<u8>) -> Result<Self, BlockError> {
        if file.len() > BLOCK_BYTES_MAX {
            return Err(BlockError::TooLarge);
        }
        let bytes = match file.strip_prefix(COMPRESSED) {
            Some(compressed) => uncompressed(compressed)?,
            None => file,
        };
        Ok(Self { bytes, hash: hash(stream, index) })
    }

    /// What its last record ends with.
    pub fn last_checksum(&self) -> Option<[u8; SUM_BYTES]> {
        self.bytes.last_chunk().copied()
    }

    /// Hands over its records in their order. Behind what is damaged it goes on as soon as it can.
    pub fn records(&self, each: &mut dyn FnMut(Record<'_>)) {
        let mut at = 0;
        while let Some(rest) = self.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match record(&self.hash, rest) {
                Some((record, bytes)) => {
                    each(record.unwrap_or(Record::Damaged { at, bytes }));
                    at += bytes;
                }
                None => return each(Record::Damaged { at, bytes: rest.len() }),
            }
        }
    }
}

/// Bytes of the record that begins so, once its head is there; 0: it is none.
pub(super) fn record_bytes(rest: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*rest.first_chunk()?);
    let bytes = (length & !HAS_HEADERS) as usize;
    Some(if (HEAD_BYTES + SUM_BYTES..=RECORD_BYTES_MAX).contains(&bytes) { bytes } else { 0 })
}

/// The checksums of the records in the file `index` of a stream.
pub(super) fn hash(stream: &str, index: u64) -> HighwayHash {
    HighwayHash::new(&Sha256::digest(format!("{stream}-{index}")).into())
}

/// The record at the front and its length. `None`: its length is none; the inner `None`: its checksum is another one.
pub(super) fn record<'a>(hash: &HighwayHash, rest: &'a [u8]) -> Option<(Option<Record<'a>>, usize)> {
    let head = rest.first_chunk::<HEAD_BYTES>()?;
    let word = |at: usize| head.get(at..at + 8).and_then(|word| word.try_into().ok());
    let length = u32::from_le_bytes(*head.first_chunk()?);
    let (seq, time) = (u64::from_le_bytes(word(4)?), i64::from_le_bytes(word(12)?));
    let subject_bytes = usize::from(u16::from_le_bytes(*head.last_chunk()?));
    let (has_headers, bytes) = (length & HAS_HEADERS != 0, (length & !HAS_HEADERS) as usize);
    if bytes > RECORD_BYTES_MAX {
        return None;
    }
    let data = rest.get(HEAD_BYTES..bytes)?;
    let (data, sum) = data.split_last_chunk::<SUM_BYTES>()?;
    let (subject, body) = data.split_at_checked(subject_bytes)?;
    let (header_bytes, body) = match has_headers {
        true => {
            let (length, body) = body.split_first_chunk::<4>()?;
            (u32::from_le_bytes(*length) as usize, body)
        }
        false => (0, body),
    };
    let mut hash = hash.clone();
    [&head[4..20], subject, body].into_iter().for_each(|part| hash.write(part));
    // The fuzzer gets past some that are not right, so that it reaches what is behind them.
    if hash.finish().to_le_bytes() != *sum && !(cfg!(fuzzing) && sum[0].is_multiple_of(4)) {
        return Some((None, bytes));
    }
    let record = match seq {
        seq if seq == 0 || seq & (ERASED | DELETED) != 0 => {
            Some(Record::Deleted { seq: seq & !(ERASED | DELETED), time })
        }
        seq => body.split_at_checked(header_bytes).map(|(headers, payload)| Record::Message {
            seq,
            time,
            subject,
            headers,
            payload,
        }),
    };
    Some((record, bytes))
}

/// A file of messages that is written. Official servers take it as one of theirs.
#[derive(Debug)]
pub struct BlockWriter {
    bytes: Vec<u8>,
    hash: HighwayHash,
}

impl BlockWriter {
    /// The file `index` of a stream.
    pub fn new(stream: &str, index: u64) -> Self {
        Self { bytes: Vec::new(), hash: hash(stream, index) }
    }

    /// Appends a message.
    ///
    /// # Panics
    /// When it is larger than any message of a stream is.
    pub fn message(&mut self, subject: &[u8], (seq, time): (u64, i64), headers: &[u8], payload: &[u8]) {
        let header_bytes = if headers.is_empty() { 0 } else { 4 + headers.len() };
        let bytes = HEAD_BYTES + subject.len() + header_bytes + payload.len() + SUM_BYTES;
        assert!(bytes <= RECORD_BYTES_MAX, "no message is as large");
        let mark = if headers.is_empty() { 0 } else { HAS_HEADERS };
        let mut hash = self.hash.clone();
        let (seq, time) = (seq.to_le_bytes(), time.to_le_bytes());
        [&seq[..], &time, subject, headers, payload].into_iter().for_each(|part| hash.write(part));
        let out = &mut self.bytes;
        out.extend_from_slice(&(bytes as u32 | mark).to_le_bytes());
        out.extend_from_slice(&seq);
        out.extend_from_slice(&time);
        out.extend_from_slice(&u16::try_from(subject.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(subject);
        if !headers.is_empty() {
            out.extend_from_slice(&(headers.len() as u32).to_le_bytes());
            out.extend_from_slice(headers);
        }
        out.extend_from_slice(payload);
        out.extend_from_slice(&hash.finish().to_le_bytes());
    }

    /// Notes that there is no message of a sequence, nor of those since the last record.
    pub fn skipped(&mut self, seq: u64, time: i64) {
        self.message(b"", (seq | ERASED, time), b"", b"");
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The file.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// What is behind the mark of a compressed file: the algorithm, how large it is uncompressed, S2, and the last checksum as it is.
fn uncompressed(compressed: &[u8]) -> Result<Vec<u8>, BlockError> {
    let (algorithm, rest) = compressed.split_first().ok_or(BlockError::Unknown)?;
    let end = rest.iter().take(10).position(|byte| byte & 0x80 == 0).ok_or(BlockError::Unknown)?;
    let rest = rest.get(end + 1..).ok_or(BlockError::Unknown)?;
    match algorithm {
        0 => return Ok(rest.to_vec()),
        1 => {}
        _ => return Err(BlockError::Unknown),
    }
    let (mut body, sum) = rest.split_last_chunk::<SUM_BYTES>().ok_or(BlockError::Unknown)?;
    let (mut reader, mut out) = (s2::Reader::new(s2::BLOCK_BYTES_MAX), Vec::new());
    while !body.is_empty() {
        // Few bytes may become very many.
        let piece = body.get(..4096).unwrap_or(body);
        let mut left = piece;
        while !left.is_empty() {
            let decoded = reader.decode(left, &mut out);
            left = left.get(decoded.used..).unwrap_or_default();
            if let Some(problem) = decoded.ended {
                return Err(problem.into());
            }
            if out.len() > BLOCK_BYTES_MAX {
                return Err(BlockError::TooLarge);
            }
        }
        body = body.get(piece.len()..).unwrap_or_default();
    }
    out.extend_from_slice(sum);
    Ok(out)
}
