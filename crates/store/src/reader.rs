//! Reading messages one after the other: what stands behind one is read with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::commit::Log;
use crate::error::ReadError;
use crate::id::{GroupId, Lsn, Place};
use crate::log::LogFile;
use crate::read::{Read, check, open, read_record};
use crate::record::{HEADER_BYTES, Kind, padded};
use crate::segment::Segment;
use crate::segments::Segments;
use crate::store::Store;

/// Bytes that are read at once, when what is read stands close together: so many first, then more each time.
const BLOCK_BYTES: usize = 128 << 10;
/// And so many at most.
const BLOCK_BYTES_MAX: usize = 1 << 20;
/// What is read next stands close if no more bytes are between.
const NEAR_BYTES: u64 = 64 << 10;

/// Reads messages of a store. It holds what it has read ahead, so make it for one walk over messages, and while nothing erases them. It may
/// outlive the store, and reads what there is then.
pub struct Reader {
    log: Arc<Log>,
    segments: Arc<Segments>,
    /// Which file the block is of.
    source: Source,
    /// The position of the block's first byte: in the log, or within the segment.
    from: u64,
    block: Vec<u8>,
    /// Bytes that are read ahead next.
    block_bytes: usize,
    /// Where the message that was read last ends.
    end: u64,
    /// A message that was read by itself.
    single: Vec<u8>,
}

enum Source {
    Nothing,
    Log(Arc<LogFile>),
    Segment(Arc<Segment>),
}

/// Where a record is that the block has.
enum InBlock {
    /// Its body, in the block.
    Plain(std::ops::Range<usize>),
    /// It is sealed in the block, and opened in `single`; the bytes of its head.
    Opened(usize),
}

impl Source {
    /// Whether a place is in this file; a position of the log that the block holds is nowhere else.
    fn holds(&self, place: Place) -> bool {
        match (self, place.segment_id()) {
            (Source::Log(_), None) => true,
            (Source::Segment(segment), Some(id)) => segment.id == id,
            _ => false,
        }
    }

    fn read(&self, from: u64, block: &mut [u8]) -> usize {
        let there = match self {
            Source::Log(file) => file.read(block, from),
            Source::Segment(segment) => segment.read_into(block, from),
            Source::Nothing => Ok(0),
        };
        // What cannot be read ahead is asked for by itself, and told then.
        there.unwrap_or(0)
    }
}

impl Store {
    /// Begins to read messages one after the other.
    pub fn reader(&self) -> Reader {
        Reader {
            log: Arc::clone(&self.log),
            segments: Arc::clone(&self.segments),
            source: Source::Nothing,
            from: 0,
            block: Vec::new(),
            block_bytes: BLOCK_BYTES,
            end: 0,
            single: Vec::new(),
        }
    }
}

fn at_in_file(place: Place) -> u64 {
    place.lsn().map_or(u64::from(place.offset()), |Lsn(lsn)| lsn)
}

impl Reader {
    /// The body of a message, whether it is durable or not.
    ///
    /// # Errors
    /// It is damaged, it cannot be read at the moment, or it is not there any more.
    pub fn read(&mut self, group: GroupId, seq: u64, place: Place) -> Result<&[u8], ReadError> {
        let at = at_in_file(place);
        let is_near = self.source.holds(place) && at.wrapping_sub(self.end) < NEAR_BYTES;
        if !self.has(at, place) && (is_near || matches!(self.source, Source::Nothing)) {
            self.read_ahead(at, place, is_near);
        }
        self.end = at + padded(place.bytes() as usize) as u64;
        let what = (Kind::Message, group, seq);
        match self.in_block(what, at, place) {
            Some(found) => return Ok(self.body(found)),
            None => self.single.clear(),
        }
        let read = read_record(&self.log, &self.segments, what, place, &mut self.single);
        let head_bytes = read.map_err(Read::into_error)?;
        Ok(self.single.get(HEADER_BYTES + head_bytes..).unwrap_or_default())
    }

    /// The body of a message, if it was read together with one before: the disk is not asked.
    pub fn at_hand(&mut self, group: GroupId, seq: u64, place: Place) -> Option<&[u8]> {
        let at = at_in_file(place);
        let found = self.in_block((Kind::Message, group, seq), at, place)?;
        self.end = at + padded(place.bytes() as usize) as u64;
        Some(self.body(found))
    }

    fn body(&self, found: InBlock) -> &[u8] {
        match found {
            InBlock::Plain(body) => self.block.get(body).unwrap_or_default(),
            InBlock::Opened(head_bytes) => self.single.get(HEADER_BYTES + head_bytes..).unwrap_or_default(),
        }
    }

    /// A record of the block. What is there and is not right is read again by itself, and told then.
    fn in_block(&mut self, what: (Kind, GroupId, u64), at: u64, place: Place) -> Option<InBlock> {
        self.single.clear();
        if !self.has(at, place) {
            return None;
        }
        let offset = usize::try_from(at - self.from).ok()?;
        let record = self.block.get(offset..offset + place.bytes() as usize)?;
        let binding = match &self.source {
            Source::Log(file) => &file.binding,
            Source::Segment(segment) => segment.binding(),
            Source::Nothing => return None,
        };
        let name = || (String::new(), at);
        if binding.key.tag_bytes() > 0 {
            // The block stays as it is: the record may be asked for again.
            self.single.extend_from_slice(record);
            return open((&mut self.single, 0), (binding, at), what, place, name).ok().map(InBlock::Opened);
        }
        let header = check(record, (binding, at), what, place, name).ok()?;
        let head = offset + HEADER_BYTES;
        Some(InBlock::Plain(head + header.head_bytes as usize..offset + header.plain_bytes()))
    }

    /// Whether the block has all of a record.
    fn has(&self, at: u64, place: Place) -> bool {
        let inside = at
            .checked_sub(self.from)
            .is_some_and(|offset| offset + u64::from(place.bytes()) <= self.block.len() as u64);
        inside && self.source.holds(place)
    }

    /// Reads what stands at a place and behind it; the first time only finds out which file that is.
    fn read_ahead(&mut self, at: u64, place: Place, is_near: bool) {
        self.block.clear();
        let written = self.log.written.load(Ordering::Acquire);
        let (source, end) = match place.segment_id() {
            None if at >= written => return,
            None => match self.log.files.holding(at) {
                Some(file) => (Source::Log(file), written),
                None => return,
            },
            Some(id) => match self.segments.find(id) {
                Some(segment) => {
                    let end = segment.entry().file_bytes;
                    (Source::Segment(segment), end)
                }
                None => return,
            },
        };
        self.source = source;
        if is_near {
            let bytes = self.block_bytes.max(place.bytes() as usize);
            let bytes = (bytes as u64).min(end.saturating_sub(at)) as usize;
            self.block_bytes = (self.block_bytes * 2).min(BLOCK_BYTES_MAX);
            self.block.resize(bytes, 0);
            let there = self.source.read(at, &mut self.block);
            self.block.truncate(there);
            self.from = at;
        }
    }
}
