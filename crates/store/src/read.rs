//! Reading one record, wherever it is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::commit::Log;
use crate::disk::read_full;
use crate::error::{Damage, Lost, ReadError};
use crate::id::{GroupId, Lsn, Place};
use crate::record::{HEADER_BYTES, Header, Kind, Seed};
use crate::segment::Segment;
use crate::segments::Segments;

/// Why a record was not read.
pub(crate) enum Read {
    Damaged(Damage),
    Disk(String, io::Error),
    Moved,
}

impl Read {
    pub fn into_error(self) -> ReadError {
        match self {
            Read::Damaged(damage) => ReadError::Damaged(damage),
            Read::Disk(file, cause) => ReadError::Disk { file, cause },
            Read::Moved => ReadError::Moved,
        }
    }
}

/// Appends a record, header first, to `out`, and returns the bytes of its head. When it fails, what was appended is of no use.
pub(crate) fn read_record(
    log: &Log,
    segments: &Segments,
    what: (Kind, GroupId, u64),
    place: Place,
    out: &mut Vec<u8>,
) -> Result<usize, Read> {
    let start = out.len();
    match place.lsn() {
        Some(Lsn(lsn)) => {
            if lsn >= log.written.load(Ordering::Acquire)
                && let Some((seed, found)) = log.pending.lock().read(lsn, place.bytes() as usize)
            {
                out.extend_from_slice(found);
                return check(&out[start..], (seed, lsn), what, place, || (String::new(), 0));
            }
            let Some(file) = log.files.holding(lsn) else { return Err(Read::Moved) };
            let name = || (format!("log/{}", file.name), file.offset(lsn));
            out.resize(start + place.bytes() as usize, 0);
            let there = read_full(&*file.file, &mut out[start..], file.offset(lsn));
            out.truncate(start + there.map_err(|error| Read::Disk(name().0, error))?);
            let checked = check(&out[start..], (file.seed, lsn), what, place, name);
            // The file may have been given up meanwhile.
            let still = log.files.holding(lsn).is_some_and(|holding| Arc::ptr_eq(&holding, &file));
            if checked.is_err() && !still { Err(Read::Moved) } else { checked }
        }
        None => {
            let id = place.segment_id().unwrap_or_default();
            let Some(segment) = segments.find(id) else { return Err(Read::Moved) };
            read_in_segment(&segment, what, place, out)
        }
    }
}

/// The same, of a record in this segment.
pub(crate) fn read_in_segment(
    segment: &Segment,
    what: (Kind, GroupId, u64),
    place: Place,
    out: &mut Vec<u8>,
) -> Result<usize, Read> {
    let start = out.len();
    let read = segment.read(place.offset(), place.bytes(), out);
    read.map_err(|error| Read::Disk(segment.name(), error))?;
    let at = (segment.seed(), u64::from(place.offset()));
    let checked = check(&out[start..], at, what, place, || (segment.name(), at.1));
    if checked.is_err() {
        segment.damaged.store(true, Ordering::Relaxed);
    }
    checked
}

/// Whether this is the record that was asked for, whole; the bytes of its head.
pub(crate) fn check(
    record: &[u8],
    (seed, at): (Seed, u64),
    (kind, group, seq): (Kind, GroupId, u64),
    place: Place,
    name: impl Fn() -> (String, u64),
) -> Result<usize, Read> {
    let header = Header::decode(record, seed, at).filter(|header| {
        (header.kind, header.group, header.seq) == (kind, group, seq)
            && header.record_bytes() == place.bytes() as usize
            && record.get(HEADER_BYTES..).is_some_and(|data| header.holds(data))
    });
    header.map(|header| header.head_bytes as usize).ok_or_else(|| {
        let (file, offset) = name();
        let what = match kind {
            Kind::Message => Lost::Message { group, seq },
            Kind::State => Lost::State { group },
            Kind::Record | Kind::NewGroup | Kind::DeleteGroup => Lost::Record { group },
        };
        Read::Damaged(Damage { file, range: offset..offset + u64::from(place.bytes()), what })
    })
}
