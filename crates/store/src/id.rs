//! The names by which the store and its users speak of groups, positions and messages.

use std::fmt;

/// One group of messages and records: what the store holds of one stream. Never used twice in a store, since it is the position in the
/// log at which the group began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

/// A position in the log, in bytes. It only grows, over restarts too, and no position is written twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

/// Where a message is: in the log or in a segment. A checkpoint moves messages and hands back their new places.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Position in the log, or `SEGMENT` and the number of a segment.
    at: u64,
    /// Within the segment; 0 in the log.
    offset: u32,
    /// Header, head and body.
    bytes: u32,
}

const SEGMENT: u64 = 1 << 63;

impl Place {
    pub(crate) fn log(lsn: u64, bytes: u32) -> Place {
        debug_assert!(lsn < SEGMENT);
        Place { at: lsn, offset: 0, bytes }
    }

    pub(crate) fn segment(segment: u64, offset: u32, bytes: u32) -> Place {
        debug_assert!(segment < SEGMENT);
        Place { at: segment | SEGMENT, offset, bytes }
    }

    /// The position in the log, `None` in a segment.
    pub fn lsn(self) -> Option<Lsn> {
        (self.at & SEGMENT == 0).then_some(Lsn(self.at))
    }

    pub(crate) fn segment_id(self) -> Option<u64> {
        (self.at & SEGMENT != 0).then_some(self.at & !SEGMENT)
    }

    pub(crate) fn offset(self) -> u32 {
        self.offset
    }

    /// As bytes, for an index that does not know what it keeps.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.at.to_le_bytes());
        out[8..12].copy_from_slice(&self.offset.to_le_bytes());
        out[12..].copy_from_slice(&self.bytes.to_le_bytes());
        out
    }

    /// The place that these bytes are; of other bytes nothing can be read.
    pub fn from_bytes(bytes: [u8; 16]) -> Place {
        let [at @ .., o0, o1, o2, o3, b0, b1, b2, b3] = bytes;
        Place {
            at: u64::from_le_bytes(at),
            offset: u32::from_le_bytes([o0, o1, o2, o3]),
            bytes: u32::from_le_bytes([b0, b1, b2, b3]),
        }
    }

    /// What the message takes on disk: record header, head and body.
    pub fn bytes(self) -> u32 {
        self.bytes
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.segment_id() {
            Some(id) => write!(f, "segment {id}@{}+{}", self.offset, self.bytes),
            None => write!(f, "log@{}+{}", self.at, self.bytes),
        }
    }
}

const _: () = assert!(size_of::<Place>() == 16, "an index holds one for each message");
