//! The manifest: which segments and groups there are, and from where on the log counts. Two copies, written one after the other, so that a
//! crash leaves one whole and damage of one loses nothing.
//!
//! ```text
//! 0   checksum u32 of all behind it, "DMAN", version u32, 0 u32, store [16], generation u64
//! 40  log from u64, log end u64, log epoch u64, next segment u64, segments u64, groups u64
//! 88  a segment: id u64, file bytes u64, checksum of its end u32, 1 when it is to be removed u32
//!     a group: id u64, covered up to u64, state segment u64, state offset u32, state bytes u32, meta bytes u32, meta
//! ```

use std::io;
use std::path::Path;

use crate::disk::{Access, Disk, not_full, write_full};
use crate::id::GroupId;
use crate::log::VERSION;
use crate::record::{NUMBER_MAX, long, number, same};

/// The names of the two copies.
pub(crate) const NAMES: [&str; 2] = ["manifest-a", "manifest-b"];
/// Bytes of a manifest. At the bound a checkpoint fails, and the log grows.
pub(crate) const BYTES_MAX: u64 = 1 << 30;

const MAGIC: &[u8; 4] = b"DMAN";
const HEADER_BYTES: usize = 88;
const SEGMENT_BYTES: usize = 24;
const GROUP_BYTES: usize = 36;

/// What a store is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    pub store: [u8; 16],
    /// Counts the manifests of a store.
    pub generation: u64,
    /// Nothing below this position of the log counts.
    pub log_from: u64,
    /// Up to here the log was durable when this was written.
    pub log_end: u64,
    /// The epoch of the newest log file then, 0 when there was none.
    pub log_epoch: u64,
    /// No segment had this number or a higher one.
    pub next_segment: u64,
    pub segments: Vec<SegmentEntry>,
    pub groups: Vec<GroupEntry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentEntry {
    pub id: u64,
    pub file_bytes: u64,
    pub checksum: u32,
    /// It holds nothing any more, and may be removed.
    pub retired: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupEntry {
    pub id: GroupId,
    /// The state holds what the group's records below this position did.
    pub upto: u64,
    pub state: StatePlace,
    pub meta: Vec<u8>,
}

/// Where the state of a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatePlace {
    pub segment: u64,
    pub offset: u32,
    pub bytes: u32,
}

/// Why a copy does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("damaged")]
    Damaged,
    #[error("format version {0}")]
    Version(u32),
}

impl Manifest {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES];
        out[4..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[16..32].copy_from_slice(&self.store);
        let numbers = [
            self.generation,
            self.log_from,
            self.log_end,
            self.log_epoch,
            self.next_segment,
            self.segments.len() as u64,
            self.groups.len() as u64,
        ];
        for (index, number) in numbers.into_iter().enumerate() {
            let at = 32 + index * 8;
            out[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        for segment in &self.segments {
            out.extend_from_slice(&segment.id.to_le_bytes());
            out.extend_from_slice(&segment.file_bytes.to_le_bytes());
            out.extend_from_slice(&segment.checksum.to_le_bytes());
            out.extend_from_slice(&u32::from(segment.retired).to_le_bytes());
        }
        for group in &self.groups {
            out.extend_from_slice(&group.id.0.to_le_bytes());
            out.extend_from_slice(&group.upto.to_le_bytes());
            out.extend_from_slice(&group.state.segment.to_le_bytes());
            out.extend_from_slice(&group.state.offset.to_le_bytes());
            out.extend_from_slice(&group.state.bytes.to_le_bytes());
            out.extend_from_slice(&(group.meta.len() as u32).to_le_bytes());
            out.extend_from_slice(&group.meta);
        }
        let checksum = crc32c::crc32c(&out[4..]);
        out[..4].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Errors: `Damaged` for anything that is not, to the last byte, a manifest.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, Unusable> {
        let whole = bytes.len() >= HEADER_BYTES
            && &bytes[4..8] == MAGIC
            && same(number(&bytes[..4]), crc32c::crc32c(&bytes[4..]));
        if !whole {
            return Err(Unusable::Damaged);
        }
        if number(&bytes[8..12]) > VERSION {
            return Err(Unusable::Version(number(&bytes[8..12])));
        }
        Manifest::parse(bytes).ok_or(Unusable::Damaged)
    }

    fn parse(bytes: &[u8]) -> Option<Manifest> {
        let (header, mut rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let mut manifest = Manifest {
            store: *header[16..].first_chunk()?,
            generation: long(&header[32..]),
            log_from: long(&header[40..]),
            log_end: long(&header[48..]),
            log_epoch: long(&header[56..]),
            next_segment: long(&header[64..]),
            ..Manifest::default()
        };
        if (32..72).step_by(8).any(|at| long(&header[at..]) >= NUMBER_MAX) {
            return None;
        }
        for _ in 0..long(&header[72..]) {
            let (entry, after) = rest.split_at_checked(SEGMENT_BYTES)?;
            rest = after;
            manifest.segments.push(SegmentEntry {
                id: long(entry),
                file_bytes: long(&entry[8..]),
                checksum: number(&entry[16..]),
                retired: number(&entry[20..]) != 0,
            });
        }
        for _ in 0..long(&header[80..]) {
            let (entry, after) = rest.split_at_checked(GROUP_BYTES)?;
            let (meta, after) = after.split_at_checked(number(&entry[32..]) as usize)?;
            rest = after;
            manifest.groups.push(GroupEntry {
                id: GroupId(long(entry)),
                upto: long(&entry[8..]),
                state: StatePlace {
                    segment: long(&entry[16..]),
                    offset: number(&entry[24..]),
                    bytes: number(&entry[28..]),
                },
                meta: meta.to_vec(),
            });
        }
        let segments =
            manifest.segments.iter().all(|entry| entry.id < NUMBER_MAX && entry.file_bytes < NUMBER_MAX);
        let groups = manifest.groups.iter().all(|entry| entry.upto.max(entry.state.segment) < NUMBER_MAX);
        (rest.is_empty() && segments && groups).then_some(manifest)
    }
}

/// Writes both copies under names of their own, durable but for the names. Nothing has changed when it fails.
pub(crate) fn prepare(disk: &dyn Disk, dir: &Path, manifest: &Manifest) -> io::Result<()> {
    let bytes = manifest.encode();
    for name in NAMES {
        let unfinished = dir.join(format!("{name}.new"));
        match disk.remove(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.open(&unfinished, Access::Create)?;
        write_full(&*file, &bytes, 0)?;
        file.sync().map_err(not_full)?;
    }
    Ok(())
}

/// Gives the copies their names. When it fails, the manifest may count or not.
pub(crate) fn publish(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for name in NAMES {
        disk.rename(&dir.join(format!("{name}.new")), &dir.join(name)).map_err(not_full)?;
        disk.sync_dir(dir).map_err(not_full)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_every_flip_and_cut_is_found() {
        let manifest = Manifest {
            store: [7; 16],
            generation: 3,
            log_from: 100,
            log_end: 300,
            log_epoch: 2,
            next_segment: 9,
            segments: vec![SegmentEntry { id: 8, file_bytes: 4096, checksum: 77, retired: true }],
            groups: vec![GroupEntry {
                id: GroupId(5),
                upto: 200,
                state: StatePlace { segment: 8, offset: 64, bytes: 40 },
                meta: b"A.ORDERS".to_vec(),
            }],
        };
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert_eq!(Manifest::decode(&flipped), Err(Unusable::Damaged), "byte {at}");
            assert_eq!(Manifest::decode(&bytes[..at]), Err(Unusable::Damaged), "cut at {at}");
        }
    }
}
