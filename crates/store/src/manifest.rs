//! The manifest: which segments and groups there are, and from where on the log counts. Two copies, written one after the other, so that a
//! crash leaves one whole and damage of one loses nothing.
//!
//! ```text
//! 0   checksum u32 of all behind it, "DMAN", version u32, 0 u32, store [16], generation u64
//! 40  log from u64, log end u64, log epoch u64, next segment u64, segments u64, groups u64
//! 88  a segment: id u64, file bytes u64, checksum of its end u32, 1 when it is to be removed u32
//!     a group: id u64, covered up to u64, state segment u64, state offset u32, state bytes u32, meta bytes u32, meta
//! ```
//! That of an encrypted store has version 2. Behind its header stand the bytes of the ring of data keys u32, the ring, sealed by the
//! operator's key, a salt [16], and the rest, sealed by the newest data key: the epoch of the first log file that is sealed u64, segments,
//! each with the number of its data key u32 (0: it is not sealed) and its salt [16], and groups.

use std::io;
use std::path::Path;

use crate::disk::{Access, Disk, not_full, write_full};
use crate::id::GroupId;
use crate::log::{VERSION, version};
use crate::record::{NUMBER_MAX, long, number, same};
use crate::seal::{Encryption, FileSeal, KEYS_MAX, Ring, SALT_BYTES, Salt, Use};

/// The names of the two copies.
pub(crate) const NAMES: [&str; 2] = ["manifest-a", "manifest-b"];
/// Bytes of a manifest. At the bound a checkpoint fails, and the log grows.
pub(crate) const BYTES_MAX: u64 = 1 << 30;

const MAGIC: &[u8; 4] = b"DMAN";
const HEADER_BYTES: usize = 88;
const SEGMENT_BYTES: usize = 24;
const GROUP_BYTES: usize = 36;
const SEAL_BYTES: usize = 4 + SALT_BYTES;
const RING_BYTES_MAX: usize = KEYS_MAX * 64;
/// What the key of a sealed manifest belongs to, beside files with numbers.
const FILE: u64 = u64::MAX;

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
    /// By what an encrypted store is sealed.
    pub ring: Ring,
    /// Files of the log from this epoch on are sealed.
    pub sealed_from: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentEntry {
    pub id: u64,
    pub file_bytes: u64,
    pub checksum: u32,
    /// It holds nothing any more, and may be removed.
    pub retired: bool,
    /// By what its records are sealed.
    pub seal: Option<FileSeal>,
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
    /// It is whole, of an encrypted store, and there is no key.
    #[error("encrypted")]
    NoKey { generation: u64 },
    /// It is whole, and sealed by another key.
    #[error("encrypted by another key")]
    OtherKey { generation: u64 },
}

/// By which key a manifest was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenedBy {
    Nothing,
    Key,
    Previous,
}

impl Manifest {
    /// `encryption` is that of an encrypted store.
    pub fn encode(&self, encryption: Option<&Encryption>) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES];
        out[4..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&version(encryption.is_some()).to_le_bytes());
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
        match encryption {
            None => self.encode_entries(false, &mut out),
            Some(encryption) => {
                let ring = self.ring.seal(&self.store, encryption);
                out.extend_from_slice(&(ring.len() as u32).to_le_bytes());
                out.extend_from_slice(&ring);
                let salt: Salt = rand::random();
                out.extend_from_slice(&salt);
                let start = out.len();
                out.extend_from_slice(&self.sealed_from.to_le_bytes());
                self.encode_entries(true, &mut out);
                let header: [u8; HEADER_BYTES] = *out.first_chunk().expect("a header was written");
                let key = self.ring.file_key(&self.store, FILE, FileSeal { key: self.ring.newest(), salt });
                key.seal((Use::Manifest, 0), &header[4..], &mut out, start);
            }
        }
        let checksum = crc32c::crc32c(&out[4..]);
        out[..4].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    fn encode_entries(&self, are_sealed: bool, out: &mut Vec<u8>) {
        for segment in &self.segments {
            out.extend_from_slice(&segment.id.to_le_bytes());
            out.extend_from_slice(&segment.file_bytes.to_le_bytes());
            out.extend_from_slice(&segment.checksum.to_le_bytes());
            out.extend_from_slice(&u32::from(segment.retired).to_le_bytes());
            if are_sealed {
                let seal = segment.seal.unwrap_or(FileSeal { key: 0, salt: [0; SALT_BYTES] });
                out.extend_from_slice(&seal.key.to_le_bytes());
                out.extend_from_slice(&seal.salt);
            }
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
    }

    /// Errors: `Damaged` for anything that is not, to the last byte, a manifest.
    pub fn decode(bytes: &[u8], encryption: Option<&Encryption>) -> Result<(Manifest, OpenedBy), Unusable> {
        let whole = bytes.len() >= HEADER_BYTES
            && &bytes[4..8] == MAGIC
            && same(number(&bytes[..4]), crc32c::crc32c(&bytes[4..]));
        if !whole {
            return Err(Unusable::Damaged);
        }
        let found = number(&bytes[8..12]);
        if found > VERSION {
            return Err(Unusable::Version(found));
        }
        let (header, rest) = bytes.split_at(HEADER_BYTES);
        let manifest = Manifest::parse_header(header).ok_or(Unusable::Damaged)?;
        if found < version(true) {
            let manifest = manifest.parse_entries(header, rest, false).ok_or(Unusable::Damaged)?;
            return Ok((manifest, OpenedBy::Nothing));
        }
        manifest.open(header, rest, encryption)
    }

    /// Reads what is sealed behind a header.
    fn open(
        mut self,
        header: &[u8],
        rest: &[u8],
        encryption: Option<&Encryption>,
    ) -> Result<(Manifest, OpenedBy), Unusable> {
        let generation = self.generation;
        let encryption = encryption.ok_or(Unusable::NoKey { generation })?;
        let split = || {
            let (ring_bytes, rest) = rest.split_at_checked(4)?;
            let ring_bytes = Some(number(ring_bytes) as usize).filter(|bytes| *bytes <= RING_BYTES_MAX)?;
            let (ring, rest) = rest.split_at_checked(ring_bytes)?;
            let (salt, sealed) = rest.split_first_chunk::<SALT_BYTES>()?;
            Some((ring, *salt, sealed))
        };
        let (ring, salt, sealed) = split().ok_or(Unusable::Damaged)?;
        let by_key = Ring::open(ring, &self.store, &encryption.key).map(|ring| (ring, OpenedBy::Key));
        let opened = by_key.or_else(|| {
            let ring = Ring::open(ring, &self.store, encryption.previous.as_ref()?)?;
            Some((ring, OpenedBy::Previous))
        });
        let (ring, by) = opened.ok_or(Unusable::OtherKey { generation })?;
        let mut entries = sealed.to_vec();
        let key = ring.file_key(&self.store, FILE, FileSeal { key: ring.newest(), salt });
        let plain = key.open((Use::Manifest, 0), &header[4..], &mut entries).ok_or(Unusable::Damaged)?;
        let (sealed_from, entries) = entries[..plain].split_at_checked(8).ok_or(Unusable::Damaged)?;
        self.sealed_from = long(sealed_from);
        self.ring = ring;
        let manifest = self.parse_entries(header, entries, true).ok_or(Unusable::Damaged)?;
        Ok((manifest, by))
    }

    fn parse_header(header: &[u8]) -> Option<Manifest> {
        let manifest = Manifest {
            store: *header[16..].first_chunk()?,
            generation: long(&header[32..]),
            log_from: long(&header[40..]),
            log_end: long(&header[48..]),
            log_epoch: long(&header[56..]),
            next_segment: long(&header[64..]),
            ..Manifest::default()
        };
        let is_valid = (32..72).step_by(8).all(|at| long(&header[at..]) < NUMBER_MAX);
        is_valid.then_some(manifest)
    }

    fn parse_entries(mut self, header: &[u8], mut rest: &[u8], are_sealed: bool) -> Option<Manifest> {
        let segment_bytes = SEGMENT_BYTES + if are_sealed { SEAL_BYTES } else { 0 };
        for _ in 0..long(&header[72..]) {
            let (entry, after) = rest.split_at_checked(segment_bytes)?;
            rest = after;
            let seal = entry.get(SEGMENT_BYTES..).filter(|seal| !seal.is_empty() && number(seal) > 0);
            self.segments.push(SegmentEntry {
                id: long(entry),
                file_bytes: long(&entry[8..]),
                checksum: number(&entry[16..]),
                retired: number(&entry[20..]) != 0,
                seal: match seal {
                    Some(seal) => Some(FileSeal { key: number(seal), salt: *seal[4..].first_chunk()? }),
                    None => None,
                },
            });
        }
        for _ in 0..long(&header[80..]) {
            let (entry, after) = rest.split_at_checked(GROUP_BYTES)?;
            let (meta, after) = after.split_at_checked(number(&entry[32..]) as usize)?;
            rest = after;
            self.groups.push(GroupEntry {
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
            self.segments.iter().all(|entry| entry.id < NUMBER_MAX && entry.file_bytes < NUMBER_MAX);
        let groups = self.groups.iter().all(|entry| entry.upto.max(entry.state.segment) < NUMBER_MAX);
        (rest.is_empty() && segments && groups).then_some(self)
    }
}

/// Writes both copies under names of their own, durable but for the names. Nothing has changed when it fails.
pub(crate) fn prepare(
    disk: &dyn Disk,
    dir: &Path,
    manifest: &Manifest,
    encryption: Option<&Encryption>,
) -> io::Result<()> {
    let bytes = manifest.encode(encryption);
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
    use crate::seal::{Cipher, Key};

    fn manifest() -> Manifest {
        Manifest {
            store: [7; 16],
            generation: 3,
            log_from: 100,
            log_end: 300,
            log_epoch: 2,
            next_segment: 9,
            segments: vec![SegmentEntry { id: 8, file_bytes: 4096, checksum: 77, retired: true, seal: None }],
            groups: vec![GroupEntry {
                id: GroupId(5),
                upto: 200,
                state: StatePlace { segment: 8, offset: 64, bytes: 40 },
                meta: b"A.ORDERS".to_vec(),
            }],
            ..Manifest::default()
        }
    }

    fn encryption(key: &str, previous: Option<&str>) -> Encryption {
        let key_of = |text: &str| Key::new(text.as_bytes());
        Encryption { cipher: Cipher::Aes256Gcm, key: key_of(key), previous: previous.map(key_of) }
    }

    fn check_flips_and_cuts(bytes: &[u8], encryption: Option<&Encryption>) {
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 0x10;
            assert_eq!(Manifest::decode(&flipped, encryption), Err(Unusable::Damaged), "byte {at}");
            assert_eq!(Manifest::decode(&bytes[..at], encryption), Err(Unusable::Damaged), "cut at {at}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_every_flip_and_cut_is_found() {
        let bytes = manifest().encode(None);
        assert_eq!(Manifest::decode(&bytes, None), Ok((manifest(), OpenedBy::Nothing)));
        check_flips_and_cuts(&bytes, None);
    }

    #[test]
    fn a_sealed_one_opens_by_its_key() {
        let one = encryption("one", None);
        let mut sealed = manifest();
        sealed.ring.add(Cipher::Aes256Gcm);
        sealed.sealed_from = 4;
        sealed.segments.push(SegmentEntry {
            id: 9,
            file_bytes: 64,
            checksum: 1,
            retired: false,
            seal: FileSeal::new(&sealed.ring),
        });
        let bytes = sealed.encode(Some(&one));
        assert!(!bytes.windows(8).any(|bytes| bytes == b"A.ORDERS"));
        assert_eq!(Manifest::decode(&bytes, Some(&one)), Ok((sealed.clone(), OpenedBy::Key)));
        let next = encryption("two", Some("one"));
        assert_eq!(Manifest::decode(&bytes, Some(&next)), Ok((sealed, OpenedBy::Previous)));
        assert_eq!(Manifest::decode(&bytes, None), Err(Unusable::NoKey { generation: 3 }));
        let other = encryption("two", Some("three"));
        assert_eq!(Manifest::decode(&bytes, Some(&other)), Err(Unusable::OtherKey { generation: 3 }));
        check_flips_and_cuts(&bytes, Some(&one));
        // Checksums are no secret: what was changed by who knows them does not pass either.
        for at in 32..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            let checksum = crc32c::crc32c(&forged[4..]);
            forged[..4].copy_from_slice(&checksum.to_le_bytes());
            assert!(Manifest::decode(&forged, Some(&one)).is_err(), "byte {at}");
        }
    }
}
