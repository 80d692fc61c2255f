//! Reading one record, wherever it is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::commit::Log;
use crate::disk::read_full;
use crate::error::{Damage, Lost, ReadError};
use crate::id::{GroupId, Lsn, Place};
use crate::record::{Binding, HEADER_BYTES, Header, Kind};
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

/// Appends a record, header first and without a tag, to `out`, and returns the bytes of its head. When it fails, what was appended is of no use.
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
                && let Some(binding) = copy_pending(log, lsn, place, out)
            {
                return open((out, start), (&binding, lsn), what, place, || (String::new(), 0));
            }
            let Some(file) = log.files.holding(lsn) else { return Err(Read::Moved) };
            let name = || (format!("log/{}", file.name), file.offset(lsn));
            out.resize(start + place.bytes() as usize, 0);
            let there = read_full(&*file.file, &mut out[start..], file.offset(lsn));
            out.truncate(start + there.map_err(|error| Read::Disk(name().0, error))?);
            let checked = open((out, start), (&file.binding, lsn), what, place, name);
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

/// Appends a record that has not been written yet as it will be, if it is one.
fn copy_pending(log: &Log, lsn: u64, place: Place, out: &mut Vec<u8>) -> Option<Binding> {
    let pending = log.pending.lock();
    let (binding, found) = pending.read(lsn, place.bytes() as usize)?;
    out.extend_from_slice(found);
    Some(binding)
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
    let at = (segment.binding(), u64::from(place.offset()));
    let checked = open((out, start), at, what, place, || (segment.name(), at.1));
    if checked.is_err() {
        segment.damaged.store(true, Ordering::Relaxed);
    }
    checked
}

/// Opens the record that `out` ends with, from `start` on, and takes its tag away; the bytes of its head.
pub(crate) fn open(
    (out, start): (&mut Vec<u8>, usize),
    (binding, at): (&Binding, u64),
    what: (Kind, GroupId, u64),
    place: Place,
    name: impl Fn() -> (String, u64),
) -> Result<usize, Read> {
    let header = check(&out[start..], (binding, at), what, place, &name)?;
    if !header.open(binding, at, &mut out[start + HEADER_BYTES..]) {
        return Err(damaged(what, place, name()));
    }
    out.truncate(start + header.plain_bytes());
    Ok(header.head_bytes as usize)
}

/// Whether this is the record that was asked for, whole, though it may be sealed; its header.
pub(crate) fn check(
    record: &[u8],
    (binding, at): (&Binding, u64),
    (kind, group, seq): (Kind, GroupId, u64),
    place: Place,
    name: impl Fn() -> (String, u64),
) -> Result<Header, Read> {
    let header = Header::decode(record, binding, at).filter(|header| {
        (header.kind, header.group, header.seq) == (kind, group, seq)
            && header.record_bytes() == place.bytes() as usize
            && record.get(HEADER_BYTES..).is_some_and(|data| header.holds(data))
    });
    header.ok_or_else(|| damaged((kind, group, seq), place, name()))
}

fn damaged((kind, group, seq): (Kind, GroupId, u64), place: Place, (file, offset): (String, u64)) -> Read {
    let what = match kind {
        Kind::Message => Lost::Message { group, seq },
        Kind::State => Lost::State { group },
        Kind::Block => Lost::Block { group },
        Kind::Record | Kind::NewGroup | Kind::DeleteGroup => Lost::Record { group },
    };
    Read::Damaged(Damage { file, range: offset..offset + u64::from(place.bytes()), what })
}
