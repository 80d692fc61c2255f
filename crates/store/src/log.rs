//! The log's files: a header each, then batches, each of which was written and synced as a whole.
//!
//! ```text
//! file    0  checksum u32, "DLOG", version u32, bytes ahead u32, store [16], epoch u64, first position u64,
//!            end of what was durable before u64, first position of the file before u64
//!            version 2, whose records are sealed: number of the data key u32, salt [16]; and all of it again at 2048
//!         4096  batches
//! batch   0  checksum u32, "BTCH", position u64, durable up to u64, bytes behind this header u32, records u32
//!         32 records
//! ```
//! A batch says up to where everything was durable when it was written, which is where it begins: only one is on its way at a time. So damage
//! below the last batch header that can be read is damage, and what cannot be read behind it was never acknowledged. A batch without
//! records (a mark) follows when nothing else does for a while, so that the last one has its witness too.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::disk::File;
use crate::record::{Binding, NUMBER_MAX, Seed, long, number, same};
use crate::seal::{FileSeal, SALT_BYTES};

/// Newest version of all file formats. A store with a newer one is not opened.
pub(crate) const VERSION: u32 = 2;

/// The version of a file: what is not sealed is as it was before anything could be.
pub(crate) fn version(is_sealed: bool) -> u32 {
    if is_sealed { 2 } else { 1 }
}
/// Where batches begin in a file.
pub(crate) const DATA_OFFSET: u64 = 4096;
/// Bytes of a batch's header.
pub(crate) const BATCH_HEADER_BYTES: usize = 32;
/// Bytes of a file's header.
pub(crate) const FILE_HEADER_BYTES: usize = 64;
/// Bytes of the header of a file whose records are sealed.
const SEALED_HEADER_BYTES: usize = FILE_HEADER_BYTES + 4 + SALT_BYTES;
/// Where it stands once more, since without it nothing can be read.
const COPY_OFFSET: usize = 2048;
/// Bytes that have both.
pub(crate) const HEADERS_BYTES: usize = COPY_OFFSET + SEALED_HEADER_BYTES;

const FILE_MAGIC: &[u8; 4] = b"DLOG";
const BATCH_MAGIC: &[u8; 4] = b"BTCH";

/// What is true of one log file for as long as it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// Counts the files of the log; no two uses of a file have the same.
    pub epoch: u64,
    /// The position of the first batch.
    pub first: u64,
    /// Up to where the files before this one count. It is less than `first` after a restart.
    pub previous_end: u64,
    /// The first position of the file before, `NONE` if there was none.
    pub previous_first: u64,
    /// The file grows by so many bytes at once.
    pub ahead: u32,
    /// By what its records are sealed.
    pub seal: Option<FileSeal>,
}

/// The number of records that says: there is another file behind this one.
pub(crate) const CONTINUED: u32 = u32::MAX;

/// How long a file is in which batches go up to an offset.
pub(crate) fn bytes_ahead(offset: u64, ahead: u32) -> u64 {
    (offset + BATCH_HEADER_BYTES as u64).next_multiple_of(u64::from(ahead.max(1)))
}

/// No file before.
pub(crate) const NONE: u64 = u64::MAX;

/// What a file's header turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileHeaderFound {
    Header(FileHeader),
    /// Its copy is whole.
    Copy(FileHeader),
    /// Whole, of a version that this program does not know.
    Version(u32),
    /// Not a header of this store.
    Invalid,
}

impl FileHeader {
    pub fn encode(&self, store: &[u8; 16]) -> Vec<u8> {
        let mut bytes = vec![0; FILE_HEADER_BYTES];
        bytes[4..8].copy_from_slice(FILE_MAGIC);
        bytes[8..12].copy_from_slice(&version(self.seal.is_some()).to_le_bytes());
        bytes[12..16].copy_from_slice(&self.ahead.to_le_bytes());
        bytes[16..32].copy_from_slice(store);
        for (at, value) in
            [(32, self.epoch), (40, self.first), (48, self.previous_end), (56, self.previous_first)]
        {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        if let Some(seal) = self.seal {
            bytes.extend_from_slice(&seal.key.to_le_bytes());
            bytes.extend_from_slice(&seal.salt);
        }
        let checksum = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        if self.seal.is_some() {
            bytes.resize(COPY_OFFSET, 0);
            bytes.extend_from_within(..SEALED_HEADER_BYTES);
        }
        bytes
    }

    /// The header of the file that is called so.
    pub fn decode(bytes: &[u8], store: &[u8; 16], named: (u64, u64)) -> FileHeaderFound {
        let is_it = |header: &FileHeader| (header.epoch, header.first) == named;
        match FileHeader::decode_one(bytes, store) {
            FileHeaderFound::Header(header) if is_it(&header) => FileHeaderFound::Header(header),
            FileHeaderFound::Version(version) => FileHeaderFound::Version(version),
            _ => match FileHeader::decode_one(bytes.get(COPY_OFFSET..).unwrap_or_default(), store) {
                FileHeaderFound::Header(header) if is_it(&header) => FileHeaderFound::Copy(header),
                _ => FileHeaderFound::Invalid,
            },
        }
    }

    fn decode_one(bytes: &[u8], store: &[u8; 16]) -> FileHeaderFound {
        let is_sealed = bytes.get(8..12).is_some_and(|bytes| number(bytes) >= version(true));
        let whole = if is_sealed { SEALED_HEADER_BYTES } else { FILE_HEADER_BYTES };
        let Some(bytes) = bytes.get(..whole) else { return FileHeaderFound::Invalid };
        if !same(number(&bytes[..4]), crc32c::crc32c(&bytes[4..])) || &bytes[4..8] != FILE_MAGIC {
            return FileHeaderFound::Invalid;
        }
        if number(&bytes[8..12]) > VERSION {
            return FileHeaderFound::Version(number(&bytes[8..12]));
        }
        if &bytes[16..32] != store || long(&bytes[48..56]) >= NUMBER_MAX {
            return FileHeaderFound::Invalid;
        }
        let seal = bytes
            .get(FILE_HEADER_BYTES..)
            .filter(|_| is_sealed)
            .and_then(|rest| Some(FileSeal { key: number(rest), salt: *rest.get(4..)?.first_chunk()? }));
        FileHeaderFound::Header(FileHeader {
            epoch: long(&bytes[32..40]),
            first: long(&bytes[40..48]),
            previous_end: long(&bytes[48..56]),
            previous_first: long(&bytes[56..64]),
            ahead: number(&bytes[12..16]),
            seal,
        })
    }
}

/// What stands before a batch's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub position: u64,
    pub durable: u64,
    pub bytes: u32,
    pub records: u32,
}

impl BatchHeader {
    pub fn encode(&self, seed: Seed) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[4..8].copy_from_slice(BATCH_MAGIC);
        bytes[8..16].copy_from_slice(&self.position.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.durable.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.records.to_le_bytes());
        let checksum = seed.checksum(self.position, &bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header at the beginning of `bytes`, if one of this position stands there whole.
    pub fn decode(bytes: &[u8], seed: Seed, position: u64) -> Option<BatchHeader> {
        let bytes: &[u8; BATCH_HEADER_BYTES] = bytes.first_chunk()?;
        if &bytes[4..8] != BATCH_MAGIC || !same(number(&bytes[..4]), seed.checksum(position, &bytes[4..])) {
            return None;
        }
        let header = BatchHeader {
            position: long(&bytes[8..16]),
            durable: long(&bytes[16..24]),
            bytes: number(&bytes[24..28]),
            records: number(&bytes[28..32]),
        };
        (header.position == position && header.durable <= position).then_some(header)
    }
}

/// The name of a file, which says what its header says.
pub(crate) fn file_name(epoch: u64, first: u64) -> String {
    format!("{epoch:016x}-{first:016x}.log")
}

/// Epoch and first position by a file's name.
pub(crate) fn parse_file_name(name: &str) -> Option<(u64, u64)> {
    let (epoch, first) = name.strip_suffix(".log")?.split_once('-')?;
    let hex = |text: &str| {
        (text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
            .then(|| u64::from_str_radix(text, 16).ok())
            .flatten()
            .filter(|number| *number < NUMBER_MAX)
    };
    Some((hex(epoch)?, hex(first)?))
}

/// A file of the log that can be read.
pub(crate) struct LogFile {
    pub name: String,
    pub epoch: u64,
    pub first: u64,
    pub binding: Binding,
    pub file: Box<dyn File>,
}

impl LogFile {
    /// Where in the file a position is.
    pub fn offset(&self, position: u64) -> u64 {
        DATA_OFFSET + (position - self.first)
    }

    /// Reads up to a buffer's length from a position on, and returns how many bytes there were.
    pub fn read(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        crate::disk::read_full(&*self.file, buffer, self.offset(position))
    }
}

/// The files of the log, by their first positions.
#[derive(Default)]
pub(crate) struct LogFiles {
    table: RwLock<BTreeMap<u64, Arc<LogFile>>>,
    /// Files that were cut off and are written again: room that is there, and is synced faster.
    pub spares: Mutex<Spares>,
}

/// Files that are kept at most.
const SPARES_MAX: usize = 2;
const SPARE_PREFIX: &str = "spare-";

#[derive(Default)]
pub(crate) struct Spares {
    names: Vec<String>,
    /// Files that begin below are not kept: they hold copies of what was erased.
    pub erased_below: u64,
    /// Files of a lower epoch are not kept: they hold what was written before the store was encrypted.
    pub sealed_from: u64,
}

impl Spares {
    /// The name by which a file is kept, if it may be.
    pub fn name_for(&self, file: &LogFile) -> Option<String> {
        let keep = self.names.len() < SPARES_MAX
            && file.first >= self.erased_below
            && file.epoch >= self.sealed_from;
        keep.then(|| format!("{SPARE_PREFIX}{:016x}", file.epoch))
    }

    /// Keeps a file, if it is one by its name. One that is not to be kept is handed back.
    pub fn keep(&mut self, name: String) -> Option<String> {
        let epoch = u64::from_str_radix(name.strip_prefix(SPARE_PREFIX)?, 16);
        if epoch.is_ok_and(|epoch| epoch < self.sealed_from) {
            return Some(name);
        }
        self.names.push(name);
        None
    }

    pub fn take(&mut self) -> Option<String> {
        self.names.pop()
    }
}

impl LogFiles {
    pub fn insert(&self, file: Arc<LogFile>) {
        self.table.write().insert(file.first, file);
    }

    /// The file in which a position is, if there is one.
    pub fn holding(&self, position: u64) -> Option<Arc<LogFile>> {
        self.table.read().range(..=position).next_back().map(|(_, file)| Arc::clone(file))
    }

    /// The epoch of the newest file, 0 when there is none.
    pub fn newest_epoch(&self) -> u64 {
        self.table.read().last_key_value().map_or(0, |(_, file)| file.epoch)
    }

    /// Takes out the files that end below a position: those behind which another one begins at or below it.
    pub fn take_below(&self, position: u64) -> Vec<Arc<LogFile>> {
        let mut files = self.table.write();
        let firsts: Vec<u64> = files.keys().copied().collect();
        let gone = firsts.windows(2).filter(|pair| pair[1] <= position).map(|pair| pair[0]);
        gone.collect::<Vec<_>>().into_iter().filter_map(|first| files.remove(&first)).collect()
    }
}
