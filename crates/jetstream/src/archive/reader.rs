//! Reading an archive.

use super::{CONSUMERS, ConsumerEntry, MAGIC, STATE};
use crate::api::StreamState;
use crate::json::{Field, Strictness, from_slice};
use dialtone_wire::s2;

/// Longest name of an entry: a subject, or that of a consumer.
const NAME_BYTES_MAX: u64 = 64 * 1024;
/// Largest entry that is no message: the state of a consumer with very many messages pending.
const DOCUMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a varint.
const VARINT_BYTES_MAX: usize = 10;

/// What stands in an archive.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// What the stream holds.
    State(Box<StreamState>),
    /// A consumer, with its name.
    Consumer(String, Box<ConsumerEntry>),
    /// A message.
    Message {
        /// Its subject.
        subject: String,
        /// Its sequence, above that of all before.
        seq: u64,
        /// When it came: nanoseconds since 1970.
        time: i64,
        /// Its headers.
        headers: Vec<u8>,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// There is no message of this sequence, or no longer. In archives of servers before 2.15 alone.
    Deleted {
        /// The sequence.
        seq: u64,
        /// When the message was stored, or deleted: nanoseconds since 1970.
        time: i64,
    },
    /// Messages that were damaged when the archive was made. In archives of servers before 2.15 alone.
    Damaged {
        /// Bytes of them.
        bytes: u64,
    },
    /// The end: all is there.
    End,
}

/// Why an archive cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// It is not compressed as archives are, or damaged.
    #[error("{0}")]
    Compression(#[from] s2::S2Error),
    /// It is something else.
    #[error("archive: invalid archive stream")]
    Invalid,
    /// The first entry is another one.
    #[error("expected state.json first")]
    StateFirst,
    /// The state or a consumer cannot be read.
    #[error("error in {name}: {problem}")]
    Document {
        /// The entry.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Something is there where a consumer should be.
    #[error("expected consumer, found {0:?}")]
    ConsumerExpected(String),
    /// A consumer without its configuration or state.
    #[error("consumer {0:?} is missing {1}")]
    ConsumerIncomplete(String, &'static str),
    /// A message without a sequence.
    #[error("expected message sequence")]
    NoSequence,
    /// A message that is larger than messages may be.
    #[error("message sequence {0} exceeds maximum payload size")]
    MessageTooLarge(u64),
    /// A message that is not above the one before.
    #[error("message sequence {0} out of order")]
    OutOfOrder(u64),
    /// A file that no archive of a stream has.
    #[error("unexpected content: {0:?}")]
    Unexpected(String),
    /// It is of another stream.
    #[error("stream names do not match: the archive is of stream {0:?}")]
    OtherStream(String),
    /// It ends too early.
    #[error("backup was truncated")]
    Truncated,
}

/// What an archive is expected to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Magic,
    State,
    Consumers(i64),
    Messages { after: u64 },
    Nothing,
}

/// The head of an entry.
struct Head {
    name: String,
    time: i64,
    seq: u64,
    header_bytes: u64,
    payload_bytes: u64,
    /// Bytes of the head itself.
    bytes: usize,
}

/// An archive that is read. What is not used yet is kept: one entry at most, beside what was handed in last.
#[derive(Debug)]
pub struct Reader {
    compressed: s2::Reader,
    expanded: Vec<u8>,
    /// Bytes of `expanded` that were used.
    used: usize,
    expected: Expected,
    message_bytes_max: u64,
}

impl Reader {
    /// An archive whose messages may have so many bytes of headers and payload.
    pub fn new(message_bytes_max: u32) -> Self {
        Self {
            compressed: s2::Reader::new(s2::BLOCK_BYTES_MAX),
            expanded: Vec::new(),
            used: 0,
            expected: Expected::Magic,
            message_bytes_max: u64::from(message_bytes_max),
        }
    }

    /// Takes the next bytes of the archive, and hands over the entries that are whole with them.
    ///
    /// # Errors
    /// The archive cannot be used; entries before that were handed over.
    pub fn read(&mut self, mut bytes: &[u8], entry: &mut dyn FnMut(Entry)) -> Result<(), ArchiveError> {
        loop {
            let decoded = self.compressed.decode(bytes, &mut self.expanded);
            bytes = &bytes[decoded.used..];
            self.hand_over(entry)?;
            if let Some(problem) = decoded.ended {
                return Err(problem.into());
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// The same of bytes that are uncompressed already.
    ///
    /// # Errors
    /// The archive cannot be used; entries before that were handed over.
    pub fn read_plain(&mut self, bytes: &[u8], entry: &mut dyn FnMut(Entry)) -> Result<(), ArchiveError> {
        self.expanded.extend_from_slice(bytes);
        self.hand_over(entry)
    }

    fn hand_over(&mut self, entry: &mut dyn FnMut(Entry)) -> Result<(), ArchiveError> {
        while let Some(next) = self.next()? {
            entry(next);
        }
        self.expanded.drain(..self.used);
        self.used = 0;
        Ok(())
    }

    /// Nothing comes any more.
    ///
    /// # Errors
    /// Something is missing.
    pub fn finish(self) -> Result<(), ArchiveError> {
        if self.expected == Expected::Nothing { Ok(()) } else { Err(ArchiveError::Truncated) }
    }

    fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        if self.expected == Expected::Magic {
            let there = self.expanded.len().min(MAGIC.len());
            if self.expanded[..there] != MAGIC[..there] {
                return Err(ArchiveError::Invalid);
            }
            if there < MAGIC.len() {
                return Ok(None);
            }
            self.used = there;
            self.expected = Expected::State;
        }
        let rest = &self.expanded[self.used..];
        if self.expected == Expected::Nothing {
            return if rest.is_empty() { Ok(None) } else { Err(ArchiveError::Invalid) };
        }
        let Some(head) = head(rest)? else { return Ok(None) };
        self.check_size(&head)?;
        // Both are within bounds, so they fit.
        let (headers, payload) = (head.header_bytes as usize, head.payload_bytes as usize);
        let Some(body) = rest.get(head.bytes..head.bytes + headers + payload) else { return Ok(None) };
        let (headers, payload) = (body[..headers].to_vec(), body[headers..].to_vec());
        self.used += head.bytes + body.len();
        self.entry(head, headers, payload).map(Some)
    }

    fn check_size(&self, head: &Head) -> Result<(), ArchiveError> {
        let bytes = head.header_bytes.saturating_add(head.payload_bytes);
        match self.expected {
            Expected::Messages { .. } if bytes > self.message_bytes_max => {
                Err(ArchiveError::MessageTooLarge(head.seq))
            }
            Expected::Messages { .. } => Ok(()),
            _ if bytes > DOCUMENT_BYTES_MAX => Err(ArchiveError::Invalid),
            _ => Ok(()),
        }
    }

    fn entry(&mut self, head: Head, headers: Vec<u8>, payload: Vec<u8>) -> Result<Entry, ArchiveError> {
        match self.expected {
            Expected::State => {
                if head.name != STATE {
                    return Err(ArchiveError::StateFirst);
                }
                let state: StreamState = document(&head.name, &payload)?;
                self.expected = after_consumers(state.consumer_count);
                Ok(Entry::State(Box::new(state)))
            }
            Expected::Consumers(left) => {
                let Some(name) = head.name.strip_prefix(CONSUMERS) else {
                    return Err(ArchiveError::ConsumerExpected(head.name));
                };
                let consumer: ConsumerEntry = document(&head.name, &payload)?;
                for (is_missing, what) in
                    [(consumer.config.is_none(), "config"), (consumer.state.is_none(), "state")]
                {
                    if is_missing {
                        return Err(ArchiveError::ConsumerIncomplete(name.to_owned(), what));
                    }
                }
                self.expected = after_consumers(left - 1);
                Ok(Entry::Consumer(name.to_owned(), Box::new(consumer)))
            }
            Expected::Messages { after } => self.message(head, headers, payload, after),
            Expected::Magic | Expected::Nothing => Err(ArchiveError::Invalid),
        }
    }

    fn message(
        &mut self,
        head: Head,
        headers: Vec<u8>,
        payload: Vec<u8>,
        after: u64,
    ) -> Result<Entry, ArchiveError> {
        if head.seq == 0 {
            if head.time != 0 || !headers.is_empty() || !payload.is_empty() {
                return Err(ArchiveError::NoSequence);
            }
            self.expected = Expected::Nothing;
            return Ok(Entry::End);
        }
        if head.seq <= after {
            return Err(ArchiveError::OutOfOrder(head.seq));
        }
        self.expected = Expected::Messages { after: head.seq };
        Ok(Entry::Message { subject: head.name, seq: head.seq, time: head.time, headers, payload })
    }
}

fn after_consumers(left: i64) -> Expected {
    if left > 0 { Expected::Consumers(left) } else { Expected::Messages { after: 0 } }
}

fn document<T: Field + Default>(name: &str, text: &[u8]) -> Result<T, ArchiveError> {
    let mut document = T::default();
    match from_slice(text, "", Strictness::Lax, &mut document) {
        Ok(()) => Ok(document),
        Err(problem) => Err(ArchiveError::Document { name: name.to_owned(), problem }),
    }
}

/// The head at the front of `bytes`, if it is whole.
fn head(bytes: &[u8]) -> Result<Option<Head>, ArchiveError> {
    let mut at = 0;
    let mut numbers = [0; 5];
    for number in &mut numbers {
        let Some((value, used)) = varint(&bytes[at..])? else { return Ok(None) };
        *number = value;
        at += used;
    }
    let [name_bytes, time, seq, header_bytes, payload_bytes] = numbers;
    if name_bytes > NAME_BYTES_MAX || header_bytes > i64::MAX as u64 || payload_bytes > i64::MAX as u64 {
        return Err(ArchiveError::Invalid);
    }
    let end = at + name_bytes as usize;
    let Some(name) = bytes.get(at..end) else { return Ok(None) };
    Ok(Some(Head {
        name: String::from_utf8(name.to_vec()).map_err(|_| ArchiveError::Invalid)?,
        time: (time >> 1) as i64 ^ -((time & 1) as i64),
        seq,
        header_bytes,
        payload_bytes,
        bytes: end,
    }))
}

/// A varint at the front of `bytes` and how long it is, if it is whole.
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, ArchiveError> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        if at == VARINT_BYTES_MAX - 1 && *byte > 1 {
            return Err(ArchiveError::Invalid);
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if bytes.len() >= VARINT_BYTES_MAX { Err(ArchiveError::Invalid) } else { Ok(None) }
}
