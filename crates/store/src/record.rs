//! A record: the unit that the log and segments are made of, with checksums that bind it to its place.
//!
//! ```text
//! 0  header checksum   u32  CRC-32C of bytes 4 to 32, seeded with the file and the position
//! 4  data checksum     u32  CRC-32C of head and body
//! 8  group             u64
//! 16 sequence          u64
//! 24 kind u8, head bytes u24
//! 28 body bytes        u32
//! 32 head, body, a tag of 16 bytes where they are sealed, and zeros up to a multiple of 8
//! ```
//! The header has a checksum of its own, so that a damaged body says whose it is and a damaged length derails nobody. The data's checksum
//! stands in the header that is bound to the place, so bytes that were written elsewhere or at another time do not pass.

use crate::id::GroupId;
use crate::seal::{FileKey, Use};

/// Bytes of a record's header.
pub(crate) const HEADER_BYTES: usize = 32;
/// Records begin at multiples of this, so that a scan over damage finds them.
pub(crate) const ALIGNMENT: usize = 8;
/// Bytes of a message's head.
pub const HEAD_BYTES_MAX: usize = (1 << 24) - 1;
/// Bytes of a message's body, or of another record.
pub const BODY_BYTES_MAX: usize = 256 << 20;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Message = 1,
    Record = 2,
    NewGroup = 3,
    DeleteGroup = 4,
    State = 5,
    Block = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Message,
            2 => Kind::Record,
            3 => Kind::NewGroup,
            4 => Kind::DeleteGroup,
            5 => Kind::State,
            6 => Kind::Block,
            _ => return None,
        })
    }
}

/// What stands before head and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub kind: Kind,
    pub group: GroupId,
    pub seq: u64,
    pub head_bytes: u32,
    pub body_bytes: u32,
    pub data_checksum: u32,
    /// Bytes behind the body, by what the file is sealed.
    pub tag_bytes: u32,
    /// What the body was is erased, in its place.
    pub is_erased: bool,
}

/// In the kind: the body is erased, in a sealed record.
const ERASED: u32 = 0x80;

/// What the checksums of one file begin with: nothing of another file, or of another use of this one, passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    pub fn new(store: &[u8; 16], file: u64) -> Seed {
        Seed(crc32c::crc32c_append(crc32c::crc32c(store), &file.to_le_bytes()))
    }

    /// The checksum of `bytes` at this position. Two seeds always give two checksums, so the position counts like bytes do.
    pub fn checksum(self, at: u64, bytes: &[u8]) -> u32 {
        let position = (at as u32) ^ ((at >> 32) as u32).rotate_left(16);
        crc32c::crc32c_append(self.0 ^ position, bytes)
    }
}

/// What binds the bytes of one file to it.
#[derive(Clone)]
pub(crate) struct Binding {
    pub seed: Seed,
    pub key: FileKey,
}

/// Whether a checksum that was read is the one of the bytes. The fuzzer gets past some that are not, so that it reaches what is behind them.
pub(crate) fn same(read: u32, computed: u32) -> bool {
    read == computed || (cfg!(fuzzing) && read.is_multiple_of(4))
}

/// Positions, epochs and numbers of segments are lower: those that are not were never written by a store.
pub(crate) const NUMBER_MAX: u64 = 1 << 60;

/// Bytes that a record takes, with what fills it up.
pub(crate) fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

impl Header {
    /// Bytes of header, head, body and tag.
    pub fn record_bytes(&self) -> usize {
        self.plain_bytes() + self.tag_bytes as usize
    }

    /// Bytes of header, head and body.
    pub fn plain_bytes(&self) -> usize {
        HEADER_BYTES + self.head_bytes as usize + self.body_bytes as usize
    }

    /// Whether this is the data that the header speaks of.
    pub fn holds(&self, data: &[u8]) -> bool {
        data.len() == self.record_bytes() - HEADER_BYTES && same(self.data_checksum, crc32c::crc32c(data))
    }

    pub fn encode(&self, seed: Seed, at: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[4..8].copy_from_slice(&self.data_checksum.to_le_bytes());
        bytes[8..].copy_from_slice(&self.bound());
        let checksum = seed.checksum(at, &bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// What a header says of its record; it is sealed with that.
    fn bound(&self) -> [u8; HEADER_BYTES - 8] {
        let mut bytes = [0; HEADER_BYTES - 8];
        bytes[..8].copy_from_slice(&self.group.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        let kind = self.kind as u32 | if self.is_erased { ERASED } else { 0 };
        bytes[16..20].copy_from_slice(&((self.head_bytes << 8) | kind).to_le_bytes());
        bytes[20..].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes
    }

    fn sealed_as(&self) -> Use {
        if self.is_erased { Use::Erased } else { Use::Record }
    }

    /// The header at the beginning of `bytes`, if one of this file and position stands there whole.
    pub fn decode(bytes: &[u8], binding: &Binding, at: u64) -> Option<Header> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let kind = u32::from(bytes[24]);
        let is_erased = kind & ERASED != 0;
        let kind = Kind::of((kind & !ERASED) as u8)?;
        if !same(number(&bytes[..4]), binding.seed.checksum(at, &bytes[4..])) {
            return None;
        }
        let header = Header {
            kind,
            group: GroupId(long(&bytes[8..16])),
            seq: long(&bytes[16..24]),
            head_bytes: number(&bytes[24..28]) >> 8,
            body_bytes: number(&bytes[28..32]),
            data_checksum: number(&bytes[4..8]),
            tag_bytes: binding.key.tag_bytes() as u32,
            is_erased,
        };
        (header.body_bytes as usize <= BODY_BYTES_MAX).then_some(header)
    }

    /// Opens what stands behind the header, in its place; whether it is what was sealed there.
    pub fn open(&self, binding: &Binding, at: u64, data: &mut [u8]) -> bool {
        self.tag_bytes == 0 || binding.key.open((self.sealed_as(), at), &self.bound(), data).is_some()
    }
}

/// Finishes a record that begins at `start` of `out`, which has room for a header, and then head and body: seals it where the file is
/// sealed, and writes the header.
pub(crate) fn finish(out: &mut Vec<u8>, start: usize, (binding, at): (&Binding, u64), mut header: Header) {
    header.tag_bytes = binding.key.tag_bytes() as u32;
    if header.tag_bytes > 0 {
        binding.key.seal((header.sealed_as(), at), &header.bound(), out, start + HEADER_BYTES);
    }
    header.data_checksum = crc32c::crc32c(&out[start + HEADER_BYTES..]);
    out[start..start + HEADER_BYTES].copy_from_slice(&header.encode(binding.seed, at));
}

/// Writes a record behind what `out` holds and returns the bytes of header, head, body and tag. `at` is the position of its first byte.
pub(crate) fn append(
    out: &mut Vec<u8>,
    (binding, at): (&Binding, u64),
    (kind, group, seq): (Kind, GroupId, u64),
    head: &[u8],
    body: &[&[u8]],
) -> u32 {
    let body_bytes: usize = body.iter().map(|part| part.len()).sum();
    assert!(head.len() <= HEAD_BYTES_MAX && body_bytes <= BODY_BYTES_MAX, "a record within its bounds");
    let start = out.len();
    out.reserve(padded(HEADER_BYTES + head.len() + body_bytes + binding.key.tag_bytes()));
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out.extend_from_slice(head);
    for part in body {
        out.extend_from_slice(part);
    }
    let header = Header {
        kind,
        group,
        seq,
        head_bytes: head.len() as u32,
        body_bytes: body_bytes as u32,
        data_checksum: 0,
        tag_bytes: 0,
        is_erased: false,
    };
    finish(out, start, (binding, at), header);
    let bytes = out.len() - start;
    out.resize(start + padded(bytes), 0);
    bytes as u32
}

/// Little-endian, of the first 4 bytes.
pub(crate) fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Little-endian, of the first 8 bytes.
pub(crate) fn long(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// A record as it is found among bytes.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// Whole.
    Record { at: u64, header: Header, head: &'a [u8], body: &'a [u8] },
    /// The header is whole, and what it speaks of is not.
    DamagedData { at: u64, header: Header },
    /// No header could be found in these bytes.
    Unreadable { at: u64, bytes: u64 },
}

/// Goes through the records of `bytes`, which begin at position `at`, and over what is damaged to the next record.
pub(crate) fn scan(bytes: &[u8], binding: &Binding, at: u64, sink: &mut dyn FnMut(Found<'_>)) {
    let mut offset = 0;
    let mut damaged_from = None;
    let mut opened = Vec::new();
    while offset < bytes.len() {
        let (rest, position) = (&bytes[offset..], at + offset as u64);
        let Some(header) = Header::decode(rest, binding, position) else {
            damaged_from.get_or_insert(offset);
            offset += ALIGNMENT;
            continue;
        };
        if let Some(from) = damaged_from.take() {
            sink(Found::Unreadable { at: at + from as u64, bytes: (offset - from) as u64 });
        }
        let data = rest.get(HEADER_BYTES..header.record_bytes()).filter(|data| header.holds(data));
        let data = data.and_then(|data| {
            if header.tag_bytes == 0 {
                return Some(data);
            }
            opened.clear();
            opened.extend_from_slice(data);
            header.open(binding, position, &mut opened).then_some(&opened[..])
        });
        match data.map(|data| &data[..header.plain_bytes() - HEADER_BYTES]) {
            Some(data) => {
                let (head, body) = data.split_at(header.head_bytes as usize);
                sink(Found::Record { at: position, header, head, body });
            }
            None => sink(Found::DamagedData { at: position, header }),
        }
        offset += padded(header.record_bytes());
    }
    if let Some(from) = damaged_from {
        sink(Found::Unreadable { at: at + from as u64, bytes: (bytes.len() - from) as u64 });
    }
}
