//! Segments: what checkpoints write of messages and states. A segment is never changed once it is sealed, except to erase.
//!
//! ```text
//! 0      checksum u32, "DSEG", version u32, 0 u32, store [16], number u64, 0 to 64
//! 64     records
//!        index: for each group its messages by sequence: sequence u64, offset u32, head bytes u32, body bytes u32, note [10], head;
//!               in pieces that begin where another multiple of 1,024 does; then its table, for each piece: first sequence u64,
//!               offset u64, bytes u32, checksum u32
//!        directory: for each group: group u64, first sequence u64, last sequence u64, messages u64, bytes of their records u64,
//!                   offset u64 and bytes u64 of its table, checksum u32 of it, 0 u32
//! end-48 checksum u32, "DEND", number u64, offset u64 and groups u64 of the directory, checksum u32 of it, format of the index u32,
//!        where the records end u64
//! ```
//! So heads are read without bodies, and those of some sequences without all others. Where index or directory are damaged, the records say
//! the same, but for the notes. In the format 0 of the index, that of versions 1 and 2, there are no notes, and one piece that the directory names.
//! Where the manifest says by what a segment is sealed, each record and each piece has a tag behind it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::disk::{Access, Disk, File, read_full, write_full};
use crate::id::GroupId;
use crate::index::{INDEX_FORMAT, Index, Note, PIECE_BYTES, Piece, of_version_2, put_entry};
use crate::manifest::SegmentEntry;
use crate::record::{
    Binding, Found, Header, Kind, NUMBER_MAX, Seed, append, long, number, padded, same, scan,
};
use crate::seal::{FileKey, FileSeal, Ring, Use};

/// Version of segments that are written. One of a newer version is not opened.
const SEGMENT_VERSION: u32 = 3;
const MAGIC: &[u8; 4] = b"DSEG";
const END_MAGIC: &[u8; 4] = b"DEND";
const SEGMENT_HEADER_BYTES: usize = 64;
const END_BYTES: usize = 48;
const DIRECTORY_ENTRY_BYTES: usize = 64;
/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 1 << 20;
/// Bytes of a segment, which positions of 32 bits reach.
const FILE_BYTES_MAX: u64 = 1 << 32;

/// The name of a segment's file.
pub(crate) fn file_name(id: u64) -> String {
    format!("{id:016x}.seg")
}

/// The number of a segment by its file's name.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let hex = name.strip_suffix(".seg").filter(|hex| hex.len() == 16)?;
    u64::from_str_radix(hex, 16).ok().filter(|id| *id < NUMBER_MAX)
}

fn binding(store: &[u8; 16], id: u64, seal: Option<FileSeal>, ring: &Ring) -> Binding {
    // Log files count from 1 too.
    let file = id | 1 << 63;
    let key = seal.map_or(FileKey::Plain, |seal| ring.file_key(store, file, seal));
    Binding { seed: Seed::new(store, file), key }
}

/// A segment that is being written.
pub(crate) struct SegmentWriter {
    id: u64,
    binding: Binding,
    seal: Option<FileSeal>,
    file: Box<dyn File>,
    buffer: Vec<u8>,
    written: u64,
    groups: BTreeMap<GroupId, Index>,
}

impl SegmentWriter {
    pub fn create(
        disk: &dyn Disk,
        dir: &Path,
        (store, ring): (&[u8; 16], &Ring),
        id: u64,
    ) -> io::Result<SegmentWriter> {
        let seal = FileSeal::new(ring);
        let file = disk.open(&dir.join(file_name(id)), Access::Create)?;
        let mut buffer = vec![0; SEGMENT_HEADER_BYTES];
        buffer[4..8].copy_from_slice(MAGIC);
        buffer[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
        buffer[16..32].copy_from_slice(store);
        buffer[32..40].copy_from_slice(&id.to_le_bytes());
        let checksum = crc32c::crc32c(&buffer[4..]);
        buffer[..4].copy_from_slice(&checksum.to_le_bytes());
        let binding = binding(store, id, seal, ring);
        Ok(SegmentWriter { id, binding, seal, file, buffer, written: 0, groups: BTreeMap::new() })
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    /// Bytes of records so far.
    pub fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Whether a record of so many bytes has room.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.bytes() + (bytes as u64) < FILE_BYTES_MAX / 2
    }

    /// Adds a message, behind those of its group with lower sequences, with a note for the index, or a state. Returns its offset and bytes.
    pub fn add(
        &mut self,
        (kind, group, seq): (Kind, GroupId, u64),
        note: &Note,
        head: &[u8],
        body: &[&[u8]],
    ) -> io::Result<(u32, u32)> {
        let offset = self.bytes();
        let bytes = append(&mut self.buffer, (&self.binding, offset), (kind, group, seq), head, body);
        if kind == Kind::Message {
            let body_bytes: usize = body.iter().map(|part| part.len()).sum();
            let index = self.groups.entry(group).or_default();
            index.add((seq, offset as u32, bytes), body_bytes as u32, note, head);
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok((offset as u32, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        write_full(&*self.file, &self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes index, directory and end.
    pub fn seal(&mut self) -> io::Result<()> {
        let records_end = self.bytes();
        let mut directory = Vec::new();
        let groups = std::mem::take(&mut self.groups);
        for (group, index) in &groups {
            let mut table = Vec::with_capacity(index.pieces() * PIECE_BYTES);
            index.pieces_of(|first, bytes| {
                let (offset, start) = (self.bytes(), self.buffer.len());
                self.buffer.extend_from_slice(bytes);
                self.binding.key.seal((Use::Index, offset), &group.0.to_le_bytes(), &mut self.buffer, start);
                let written = &self.buffer[start..];
                let checksum = self.binding.seed.checksum(offset, written);
                Piece { first, offset, bytes: written.len() as u32, checksum }.encode(&mut table);
                if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
            })?;
            let offset = self.bytes();
            let checksum = self.binding.seed.checksum(offset, &table);
            let numbers = [
                group.0,
                index.first,
                index.last,
                index.messages,
                index.record_bytes,
                offset,
                table.len() as u64,
                u64::from(checksum),
            ];
            directory.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            self.buffer.extend_from_slice(&table);
        }
        let offset = self.bytes();
        self.buffer.extend_from_slice(&directory);
        let mut end = [0; END_BYTES];
        end[4..8].copy_from_slice(END_MAGIC);
        end[8..16].copy_from_slice(&self.id.to_le_bytes());
        end[16..24].copy_from_slice(&offset.to_le_bytes());
        end[24..32].copy_from_slice(&(groups.len() as u64).to_le_bytes());
        end[32..36].copy_from_slice(&self.binding.seed.checksum(offset, &directory).to_le_bytes());
        end[36..40].copy_from_slice(&INDEX_FORMAT.to_le_bytes());
        end[40..48].copy_from_slice(&records_end.to_le_bytes());
        let checksum = self.binding.seed.checksum(offset + directory.len() as u64, &end[4..]);
        end[..4].copy_from_slice(&checksum.to_le_bytes());
        self.buffer.extend_from_slice(&end);
        self.flush()
    }

    /// Makes it durable; its name is durable when the folder is synced.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Reads back what was sealed: the segment as it will be found.
    pub fn into_segment(self) -> io::Result<Segment> {
        let mut segment = Segment {
            id: self.id,
            binding: self.binding,
            seal: self.seal,
            file_bytes: self.written,
            checksum: 0,
            file: self.file,
            parts: Vec::new(),
            records_end: 0,
            index_format: INDEX_FORMAT,
            damaged: AtomicBool::new(false),
        };
        match segment.read_directory()? {
            true => Ok(segment),
            false => Err(io::Error::other("what was written is not what is read")),
        }
    }
}

/// A sealed segment.
pub(crate) struct Segment {
    pub id: u64,
    pub file_bytes: u64,
    /// Of its end, by which the manifest knows it.
    pub checksum: u32,
    /// By group.
    pub parts: Vec<Part>,
    /// Something in it cannot be read.
    pub damaged: AtomicBool,
    binding: Binding,
    seal: Option<FileSeal>,
    file: Box<dyn File>,
    records_end: u64,
    index_format: u32,
}

/// What a segment holds of a group.
#[derive(Debug)]
pub(crate) struct Part {
    pub group: GroupId,
    pub first: u64,
    pub last: u64,
    pub messages: u64,
    pub record_bytes: u64,
    offset: u64,
    bytes: u64,
    checksum: u32,
    /// The pieces of its index, once somebody asked for one.
    pieces: OnceLock<Box<[Piece]>>,
    /// Messages that are in use, and the bytes of their records.
    pub live: AtomicU64,
    pub live_bytes: AtomicU64,
}

/// Why a segment was not opened.
#[derive(Debug)]
pub(crate) enum SegmentError {
    Missing,
    Version(u32),
    Disk(io::Error),
}

impl Segment {
    /// Opens a segment of the manifest. Where its directory is damaged, it is made anew from the records, and `damaged` is set.
    pub fn open(
        disk: &dyn Disk,
        dir: &Path,
        (store, ring): (&[u8; 16], &Ring),
        entry: &SegmentEntry,
    ) -> Result<Segment, SegmentError> {
        let path = dir.join(file_name(entry.id));
        let file = disk.open(&path, Access::Write).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SegmentError::Missing,
            _ => SegmentError::Disk(error),
        })?;
        let mut header = [0; SEGMENT_HEADER_BYTES];
        read_full(&*file, &mut header, 0).map_err(SegmentError::Disk)?;
        let whole = same(number(&header), crc32c::crc32c(&header[4..])) && &header[4..8] == MAGIC;
        if whole && number(&header[8..]) > SEGMENT_VERSION {
            return Err(SegmentError::Version(number(&header[8..])));
        }
        let whole = whole && &header[16..32] == store && long(&header[32..]) == entry.id;
        let mut segment = Segment {
            id: entry.id,
            binding: binding(store, entry.id, entry.seal, ring),
            seal: entry.seal,
            file_bytes: entry.file_bytes,
            checksum: entry.checksum,
            file,
            parts: Vec::new(),
            records_end: entry.file_bytes,
            index_format: INDEX_FORMAT,
            damaged: AtomicBool::new(!whole),
        };
        let same =
            segment.read_directory().map_err(SegmentError::Disk)? && segment.checksum == entry.checksum;
        if !same {
            segment.damaged.store(true, Ordering::Relaxed);
            segment.checksum = entry.checksum;
            segment.rebuild().map_err(SegmentError::Disk)?;
        }
        Ok(segment)
    }

    /// Whether the directory could be read.
    fn read_directory(&mut self) -> io::Result<bool> {
        let Some(end_offset) = self.file_bytes.checked_sub(END_BYTES as u64) else { return Ok(false) };
        if self.file.bytes()? < self.file_bytes {
            return Ok(false);
        }
        let mut end = [0; END_BYTES];
        let there = read_full(&*self.file, &mut end, end_offset)?;
        let offset = long(&end[16..]);
        let bytes = end_offset.saturating_sub(offset);
        let whole = there == END_BYTES
            && same(number(&end), self.binding.seed.checksum(end_offset, &end[4..]))
            && &end[4..8] == END_MAGIC
            && long(&end[8..]) == self.id
            && long(&end[24..]).checked_mul(DIRECTORY_ENTRY_BYTES as u64) == Some(bytes);
        if !whole {
            return Ok(false);
        }
        if number(&end[36..]) > INDEX_FORMAT {
            return Ok(false);
        }
        self.index_format = number(&end[36..]);
        self.records_end = long(&end[40..]).min(end_offset);
        let mut directory = vec![0; bytes as usize];
        let there = read_full(&*self.file, &mut directory, offset)?;
        if there < directory.len()
            || !same(number(&end[32..]), self.binding.seed.checksum(offset, &directory))
        {
            return Ok(false);
        }
        self.checksum = number(&end);
        self.parts = directory.chunks_exact(DIRECTORY_ENTRY_BYTES).map(Part::decode).collect();
        let inside = |part: &Part| part.offset.checked_add(part.bytes).is_some_and(|end| end <= offset);
        Ok(self.parts.iter().all(inside) && self.parts.is_sorted_by(|one, next| one.group < next.group))
    }

    /// Makes the directory from the records.
    fn rebuild(&mut self) -> io::Result<()> {
        let mut parts = BTreeMap::<GroupId, Part>::new();
        self.scan(&mut |found| {
            let (Found::Record { header, .. } | Found::DamagedData { header, .. }) = found else { return };
            if header.kind != Kind::Message {
                return;
            }
            let part = parts.entry(header.group).or_insert_with(|| Part::unindexed(header.group, header.seq));
            part.last = header.seq;
            part.messages += 1;
            part.record_bytes += header.record_bytes() as u64;
        })?;
        self.parts = parts.into_values().collect();
        for part in &self.parts {
            part.live.store(part.messages, Ordering::Relaxed);
            part.live_bytes.store(part.record_bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Goes through all records, with a bounded buffer where nothing is damaged. Where the directory is damaged, what stands behind the
    /// records is gone through as well.
    pub fn scan(&self, sink: &mut dyn FnMut(Found<'_>)) -> io::Result<()> {
        let mut buffer = Vec::new();
        let (mut at, mut wanted) = (SEGMENT_HEADER_BYTES as u64, BUFFER_BYTES);
        // What the file does not have is neither allocated nor read.
        let end = self.records_end.min(self.file.bytes()?);
        while at < end {
            let rest = end - at;
            let bytes = rest.min(wanted as u64) as usize;
            buffer.resize(bytes, 0);
            let there = read_full(&*self.file, &mut buffer, at)?;
            if bytes as u64 == rest {
                scan(&buffer[..there], &self.binding, at, sink);
                at += there as u64;
                break;
            }
            let (whole, next) = self.whole_records(&buffer[..there], at);
            scan(&buffer[..whole], &self.binding, at, sink);
            at += whole as u64;
            wanted = match next {
                _ if whole > 0 => BUFFER_BYTES,
                Some(record) if record > bytes => record,
                // Damage: what follows is looked at as a whole.
                _ => usize::try_from(rest).unwrap_or(usize::MAX),
            };
        }
        if at < self.records_end {
            sink(Found::Unreadable { at, bytes: self.records_end - at });
        }
        Ok(())
    }

    /// Bytes of the whole records at the beginning of `bytes`, and what the one behind them takes if its header can be read.
    fn whole_records(&self, bytes: &[u8], at: u64) -> (usize, Option<usize>) {
        let mut offset = 0;
        while let Some(header) =
            bytes.get(offset..).and_then(|rest| Header::decode(rest, &self.binding, at + offset as u64))
        {
            let record = padded(header.record_bytes());
            if offset + record > bytes.len() {
                return (offset, Some(record));
            }
            offset += record;
        }
        (offset, None)
    }

    /// Whether directory and index can be read.
    pub fn is_index_whole(&self) -> io::Result<bool> {
        if self.damaged.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        for part in &self.parts {
            let Some(pieces) = self.pieces(part)? else { return Ok(false) };
            for piece in pieces {
                bytes.clear();
                if !self.read_piece(part.group, piece, &mut bytes)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The pieces of a group's index. `None`: they cannot be read.
    fn pieces<'a>(&self, part: &'a Part) -> io::Result<Option<&'a [Piece]>> {
        if let Some(known) = part.pieces.get() {
            return Ok(Some(known));
        }
        let pieces = match (part.bytes, self.index_format) {
            // It was made from the records.
            (0, _) => return Ok((part.messages == 0).then_some(&[])),
            (_, 0) => {
                let Ok(bytes) = u32::try_from(part.bytes) else { return Ok(None) };
                let (first, offset, checksum) = (part.first, part.offset, part.checksum);
                Box::from([Piece { first, offset, bytes, checksum }])
            }
            _ => {
                let mut table = vec![0; part.bytes as usize];
                let there = read_full(&*self.file, &mut table, part.offset)?;
                if there < table.len()
                    || !same(part.checksum, self.binding.seed.checksum(part.offset, &table))
                {
                    return Ok(None);
                }
                let pieces: Box<[Piece]> = table.chunks_exact(PIECE_BYTES).map(Piece::decode).collect();
                let inside = |piece: &Piece| piece.end().is_some_and(|end| end <= part.offset);
                if !pieces.iter().all(inside) || !pieces.is_sorted_by(|one, next| one.first < next.first) {
                    return Ok(None);
                }
                pieces
            }
        };
        Ok(Some(part.pieces.get_or_init(|| pieces)))
    }

    /// Appends a piece of an index, as bytes for `entries`; whether it could be read.
    fn read_piece(&self, group: GroupId, piece: &Piece, out: &mut Vec<u8>) -> io::Result<bool> {
        let start = out.len();
        out.resize(start + piece.bytes as usize, 0);
        let there = read_full(&*self.file, &mut out[start..], piece.offset)?;
        let mut whole = start + there == out.len()
            && same(piece.checksum, self.binding.seed.checksum(piece.offset, &out[start..]));
        if whole {
            let place = (Use::Index, piece.offset);
            let plain = self.binding.key.open(place, &group.0.to_le_bytes(), &mut out[start..]);
            whole = plain.is_some();
            out.truncate(start + plain.unwrap_or_default());
        }
        if whole && self.index_format == 0 {
            let old = out.split_off(start);
            of_version_2(&old, |(seq, offset, head_bytes, body_bytes), head| {
                put_entry(out, (seq, offset, head_bytes, body_bytes), &Note::default(), head);
            });
        }
        if !whole {
            out.truncate(start);
        }
        Ok(whole)
    }

    /// Writes over a record; durable when it is synced.
    pub fn overwrite(&self, offset: u32, record: &[u8]) -> io::Result<()> {
        write_full(&*self.file, record, u64::from(offset))
    }

    /// Makes durable what was written over.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Bytes of records, in use or not.
    pub fn records_bytes(&self) -> u64 {
        self.records_end.saturating_sub(SEGMENT_HEADER_BYTES as u64)
    }

    pub fn name(&self) -> String {
        format!("segments/{}", file_name(self.id))
    }

    pub fn part(&self, group: GroupId) -> Option<&Part> {
        let index = self.parts.binary_search_by_key(&group, |part| part.group).ok()?;
        self.parts.get(index)
    }

    /// The index of a group between two sequences, both included, as bytes for `entries`, with others around them; and whether it had to be
    /// made from the records, without notes.
    pub fn index(&self, part: &Part, (from, to): (u64, u64)) -> io::Result<(Vec<u8>, bool)> {
        let mut bytes = Vec::new();
        let mut whole = false;
        if let Some(pieces) = self.pieces(part)? {
            let begin = pieces.partition_point(|piece| piece.first <= from).saturating_sub(1);
            let asked = pieces.iter().skip(begin).take_while(|piece| piece.first <= to);
            whole = true;
            for piece in asked {
                whole &= self.read_piece(part.group, piece, &mut bytes)?;
            }
        }
        if whole {
            return Ok((bytes, false));
        }
        self.damaged.store(true, Ordering::Relaxed);
        bytes.clear();
        self.scan(&mut |found| {
            let (at, header, head): (u64, Header, &[u8]) = match found {
                Found::Record { at, header, head, .. } => (at, header, head),
                Found::DamagedData { .. } | Found::Unreadable { .. } => return,
            };
            let asked = (from..=to).contains(&header.seq);
            if header.kind == Kind::Message && header.group == part.group && asked {
                let numbers = (header.seq, at as u32, header.head_bytes, header.body_bytes);
                put_entry(&mut bytes, numbers, &Note::default(), head);
            }
        })?;
        Ok((bytes, true))
    }

    /// Reads a record's bytes, header first, behind what `out` holds.
    pub fn read(&self, offset: u32, bytes: u32, out: &mut Vec<u8>) -> io::Result<()> {
        let start = out.len();
        out.resize(start + bytes as usize, 0);
        let there = read_full(&*self.file, &mut out[start..], u64::from(offset))?;
        out.truncate(start + there);
        Ok(())
    }

    /// Reads up to a buffer's length from an offset on, and returns how many bytes there were.
    pub fn read_into(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        read_full(&*self.file, buffer, offset)
    }

    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// Whether its records are sealed by this data key; 0: whether they are not sealed.
    pub fn is_sealed_by(&self, key: u32) -> bool {
        self.seal.map_or(0, |seal| seal.key) == key
    }

    pub fn entry(&self) -> SegmentEntry {
        SegmentEntry {
            id: self.id,
            file_bytes: self.file_bytes,
            checksum: self.checksum,
            retired: false,
            seal: self.seal,
        }
    }

    /// Bytes of records that are in use.
    pub fn live_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.live_bytes.load(Ordering::Relaxed)).sum()
    }
}

impl Part {
    fn decode(bytes: &[u8]) -> Part {
        let part = Part {
            group: GroupId(long(bytes)),
            first: long(&bytes[8..]),
            last: long(&bytes[16..]),
            messages: long(&bytes[24..]),
            record_bytes: long(&bytes[32..]),
            offset: long(&bytes[40..]),
            bytes: long(&bytes[48..]),
            checksum: number(&bytes[56..]),
            pieces: OnceLock::new(),
            live: AtomicU64::new(0),
            live_bytes: AtomicU64::new(0),
        };
        part.live.store(part.messages, Ordering::Relaxed);
        part.live_bytes.store(part.record_bytes, Ordering::Relaxed);
        part
    }

    /// A part whose index is to be made from the records.
    fn unindexed(group: GroupId, first: u64) -> Part {
        let mut bytes = [0; DIRECTORY_ENTRY_BYTES];
        bytes[..8].copy_from_slice(&group.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&first.to_le_bytes());
        Part::decode(&bytes)
    }

    /// One of its messages is not in use any more.
    pub fn drop_one(&self, bytes: u32) {
        let less = |by: u64| move |value: u64| Some(value.saturating_sub(by));
        _ = self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less(1));
        _ = self.live_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less(u64::from(bytes)));
    }
}

impl Part {
    /// None of its messages is in use any more.
    pub fn drop_all(&self) {
        self.live.store(0, Ordering::Relaxed);
        self.live_bytes.store(0, Ordering::Relaxed);
    }
}
