//! Archives as servers before 2.15 make and take them: the files of a stream's folder in a tar, compressed by S2 by whoever sends them.

use super::block::{BlockWriter, Record, hash, record, record_bytes};
use super::consumer::{consumer_state, write_consumer_state};
use super::hash::HighwayHash;
use super::meta::{ConsumerFile, StreamFile, meta_sum};
use super::tar::{self, Kind, RECORD_BYTES};
use crate::archive::{ArchiveError, ConsumerEntry, Entry};
use crate::config::{ConsumerConfig, StreamConfig};
use crate::json::{self, Strictness};
use crate::time::Time;
use std::mem::take;

/// Largest file that is no block.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Longest list of what is said of a file.
const EXTENDED_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a block from which on the next one begins.
const BLOCK_BYTES: usize = 4 * 1024 * 1024;

/// An archive that is read, a piece at a time. What is kept is a record, or a file that is no block.
#[derive(Debug)]
pub struct Snapshot {
    stream: String,
    plain: Vec<u8>,
    /// Bytes of `plain` that were used.
    used: usize,
    at: At,
    /// The name that stands before the next head.
    long_name: Option<String>,
    has_meta: bool,
    consumer: Consumer,
}

/// Where the archive goes on.
#[derive(Debug)]
enum At {
    Head,
    /// A file that is taken as a whole: bytes of it, and how many fill it up.
    File(File, u64),
    /// A block: how its records are summed up, and how much of it is left.
    Block {
        hash: HighwayHash,
        left: u64,
        fill: u64,
    },
    /// Bytes that nobody wants.
    Skip(u64),
    End,
}

#[derive(Debug, Clone)]
enum File {
    Extended,
    Meta,
    /// What a consumer is.
    Consumer(String),
    /// How far it is.
    Progress(String),
    /// Why the server could not make the archive.
    Error,
}

/// A consumer whose files are coming.
#[derive(Debug, Default)]
struct Consumer {
    name: String,
    entry: ConsumerEntry,
}

impl Snapshot {
    /// An archive of this stream.
    pub fn new(stream: &str) -> Self {
        let stream = stream.to_owned();
        let (plain, consumer) = (Vec::new(), Consumer::default());
        Self { stream, plain, used: 0, at: At::Head, long_name: None, has_meta: false, consumer }
    }

    /// Takes the next bytes, uncompressed, and hands over what is whole with them. Messages that are deleted come with their deletes behind them.
    ///
    /// # Errors
    /// The archive cannot be used; entries before that were handed over.
    pub fn read(&mut self, bytes: &[u8], entry: &mut dyn FnMut(Entry)) -> Result<(), ArchiveError> {
        self.plain.extend_from_slice(bytes);
        while self.step(entry)? {}
        self.plain.drain(..self.used);
        self.used = 0;
        Ok(())
    }

    /// Nothing comes any more.
    ///
    /// # Errors
    /// Something is missing.
    pub fn finish(self) -> Result<(), ArchiveError> {
        if matches!(self.at, At::End) && self.has_meta { Ok(()) } else { Err(ArchiveError::Truncated) }
    }

    /// Goes on; whether there may be more in what is there.
    fn step(&mut self, entry: &mut dyn FnMut(Entry)) -> Result<bool, ArchiveError> {
        let there = self.plain.len() - self.used;
        match &mut self.at {
            At::End => {
                self.used = self.plain.len();
                Ok(false)
            }
            At::Skip(left) => {
                let skipped = (*left).min(there as u64);
                (self.used, *left) = (self.used + skipped as usize, *left - skipped);
                let is_over = *left == 0;
                if is_over {
                    self.at = At::Head;
                }
                Ok(is_over)
            }
            At::Head => {
                let Some(head) = self.plain[self.used..].first_chunk::<RECORD_BYTES>() else {
                    return Ok(false);
                };
                let head = tar::head(head).map_err(|()| ArchiveError::Invalid)?;
                self.used += RECORD_BYTES;
                match head {
                    Some(head) => self.begin(head)?,
                    None => self.end(entry)?,
                }
                Ok(true)
            }
            At::File(_, bytes) => {
                // Within its bound, so it fits.
                let bytes = *bytes as usize;
                if there < bytes.next_multiple_of(RECORD_BYTES) {
                    return Ok(false);
                }
                let content = self.plain[self.used..self.used + bytes].to_vec();
                self.used += bytes.next_multiple_of(RECORD_BYTES);
                if let At::File(file, _) = std::mem::replace(&mut self.at, At::Head) {
                    self.file(file, &content, entry)?;
                }
                Ok(true)
            }
            At::Block { .. } => self.block(entry),
        }
    }

    /// A file begins.
    fn begin(&mut self, head: tar::Head) -> Result<(), ArchiveError> {
        let named = match head.kind {
            Kind::File => self.long_name.take().unwrap_or(head.name),
            _ => head.name,
        };
        let filled = head.bytes.checked_next_multiple_of(RECORD_BYTES as u64).ok_or(ArchiveError::Invalid)?;
        let file = match head.kind {
            Kind::Global => None,
            Kind::Extended if head.bytes <= EXTENDED_BYTES_MAX => Some(File::Extended),
            Kind::Extended | Kind::Other => return Err(ArchiveError::Unexpected(named)),
            Kind::File => match named.split('/').collect::<Vec<_>>()[..] {
                ["meta.inf"] => Some(File::Meta),
                ["errors.txt"] => Some(File::Error),
                ["obs", name, "meta.inf"] if is_name(name) => Some(File::Consumer(name.to_owned())),
                ["obs", name, "o.dat"] if is_name(name) => Some(File::Progress(name.to_owned())),
                ["obs", name, _] if is_name(name) => None,
                ["msgs", name] if is_name(name) => match name.strip_suffix(".blk").map(str::parse) {
                    Some(Ok(index)) if self.has_meta => {
                        let (hash, left) = (hash(&self.stream, index), head.bytes);
                        self.at = At::Block { hash, left, fill: filled - left };
                        return Ok(());
                    }
                    Some(_) => return Err(ArchiveError::Unexpected(named)),
                    None => None,
                },
                ["meta.sum"] => None,
                _ => return Err(ArchiveError::Unexpected(named)),
            },
        };
        self.at = match file {
            None => At::Skip(filled),
            Some(_) if head.bytes > FILE_BYTES_MAX => return Err(ArchiveError::Unexpected(named)),
            Some(file) => At::File(file, head.bytes),
        };
        Ok(())
    }

    /// A file is whole.
    fn file(&mut self, file: File, content: &[u8], entry: &mut dyn FnMut(Entry)) -> Result<(), ArchiveError> {
        let problem = |name: &str, problem: String| ArchiveError::Document { name: name.to_owned(), problem };
        match file {
            File::Extended => {
                self.long_name = tar::extended_name(content).map_err(|()| ArchiveError::Invalid)?;
            }
            File::Error => {
                return Err(problem("errors.txt", String::from_utf8_lossy(content).into_owned()));
            }
            File::Meta => {
                let mut meta = StreamFile::default();
                json::from_slice(content, StreamFile::GO, Strictness::Lax, &mut meta)
                    .map_err(|why| problem("meta.inf", why))?;
                if meta.config.name != self.stream {
                    return Err(ArchiveError::OtherStream(meta.config.name));
                }
                self.has_meta = true;
                entry(Entry::State(Box::default()));
            }
            File::Consumer(name) => {
                let mut meta = ConsumerFile::default();
                json::from_slice(content, ConsumerFile::GO, Strictness::Lax, &mut meta)
                    .map_err(|why| problem(&name, why))?;
                self.consumer(&name, entry).config = Some(meta.config);
            }
            File::Progress(name) => {
                let state = consumer_state(content).map_err(|why| problem(&name, why.to_string()))?;
                self.consumer(&name, entry).state = Some(state);
            }
        }
        Ok(())
    }

    /// The consumer of this name. The one before is whole then.
    fn consumer(&mut self, name: &str, entry: &mut dyn FnMut(Entry)) -> &mut ConsumerEntry {
        if self.consumer.name != name {
            self.flush_consumer(entry);
            name.clone_into(&mut self.consumer.name);
        }
        &mut self.consumer.entry
    }

    fn flush_consumer(&mut self, entry: &mut dyn FnMut(Entry)) {
        let Consumer { name, entry: found } = take(&mut self.consumer);
        // Of one whose configuration is not there nobody knows what it is.
        if found.config.is_some() {
            entry(Entry::Consumer(name, Box::new(found)));
        }
    }

    fn end(&mut self, entry: &mut dyn FnMut(Entry)) -> Result<(), ArchiveError> {
        if !self.has_meta {
            return Err(ArchiveError::Truncated);
        }
        self.flush_consumer(entry);
        entry(Entry::End);
        self.at = At::End;
        Ok(())
    }

    /// Hands over records of a block.
    fn block(&mut self, entry: &mut dyn FnMut(Entry)) -> Result<bool, ArchiveError> {
        let At::Block { hash, left, fill } = &mut self.at else { return Ok(false) };
        if *left == 0 {
            self.at = At::Skip(*fill);
            return Ok(true);
        }
        let rest = &self.plain[self.used..];
        let rest = &rest[..rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX))];
        let bytes = match record_bytes(rest) {
            None if (rest.len() as u64) < *left => return Ok(false),
            Some(bytes) if bytes > rest.len() && bytes as u64 <= *left => return Ok(false),
            Some(bytes) if bytes > 0 && bytes <= rest.len() => bytes,
            // What is behind it in the block has no beginning.
            _ => {
                entry(Entry::Damaged { bytes: *left });
                self.at = At::Skip(*left + *fill);
                return Ok(true);
            }
        };
        let damaged = Entry::Damaged { bytes: bytes as u64 };
        entry(match record(hash, &rest[..bytes]) {
            Some((Some(Record::Message { seq, time, subject, headers, payload }), _)) => {
                let (headers, payload) = (headers.to_vec(), payload.to_vec());
                match String::from_utf8(subject.to_vec()) {
                    Ok(subject) => Entry::Message { subject, seq, time, headers, payload },
                    Err(_) => damaged,
                }
            }
            Some((Some(Record::Deleted { seq, time }), _)) => Entry::Deleted { seq, time },
            _ => damaged,
        });
        self.used += bytes;
        *left -= bytes as u64;
        Ok(true)
    }
}

/// Whether a part of a path stays where it is.
fn is_name(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0'])
}

/// An archive that is written, uncompressed: first the stream, then messages by their sequences, then consumers, then the end.
#[derive(Debug)]
pub struct SnapshotWriter {
    stream: String,
    index: u64,
    block: BlockWriter,
    /// The last sequence that was written.
    last: u64,
}

impl SnapshotWriter {
    /// Begins with what the stream is, and when it was made.
    pub fn new(config: &StreamConfig, created: Time, out: &mut Vec<u8>) -> Self {
        let meta = json::to_vec(&StreamFile { config: config.clone(), created });
        tar::put_file("meta.inf", &meta, out);
        tar::put_file("meta.sum", meta_sum(&config.name, &meta).as_bytes(), out);
        let block = BlockWriter::new(&config.name, 1);
        Self { stream: config.name.clone(), index: 1, block, last: 0 }
    }

    /// A message; `time` in nanoseconds since 1970.
    pub fn message(
        &mut self,
        subject: &[u8],
        (seq, time): (u64, i64),
        headers: &[u8],
        payload: &[u8],
        out: &mut Vec<u8>,
    ) {
        if self.block.len() >= BLOCK_BYTES {
            self.flush(out);
        }
        self.block.message(subject, (seq, time), headers, payload);
        self.last = seq;
    }

    /// All messages are there; the last sequence was given at `time`.
    pub fn messages_end(&mut self, last: u64, time: i64, out: &mut Vec<u8>) {
        if last > self.last {
            self.block.skipped(last, time);
        }
        self.flush(out);
    }

    /// A consumer, and when it was made; `now` in nanoseconds since 1970.
    pub fn consumer(
        &self,
        name: &str,
        consumer: &ConsumerEntry,
        (created, now): (Time, i64),
        out: &mut Vec<u8>,
    ) {
        let config: ConsumerConfig = consumer.config.clone().unwrap_or_default();
        let meta = json::to_vec(&ConsumerFile { config, created });
        let sum = meta_sum(&format!("{}/{name}", self.stream), &meta);
        let state = write_consumer_state(&consumer.state.clone().unwrap_or_default(), now);
        for (file, content) in [("meta.inf", &meta[..]), ("meta.sum", sum.as_bytes()), ("o.dat", &state)] {
            tar::put_file(&format!("obs/{name}/{file}"), content, out);
        }
    }

    /// The end.
    pub fn end(self, out: &mut Vec<u8>) {
        tar::put_end(out);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if self.block.is_empty() {
            return;
        }
        let next = BlockWriter::new(&self.stream, self.index + 1);
        let block = std::mem::replace(&mut self.block, next).into_bytes();
        tar::put_file(&format!("msgs/{}.blk", self.index), &block, out);
        self.index += 1;
    }
}
