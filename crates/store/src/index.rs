//! The index of a group's messages in a segment: in pieces, each with a checksum, so that the heads of some sequences are read without all others.

use std::io;

use crate::record::{HEADER_BYTES, long, number};

/// What the caller wants to have back with a message's head from the index: opaque, and a hint, since an index that is made from the records has
/// none. All zeros: none.
pub type Note = [u8; NOTE_BYTES];

/// Bytes of a note.
pub const NOTE_BYTES: usize = 10;
/// A piece has messages of the sequences between two multiples of this: whoever asks for such a range reads one piece of a segment.
pub const PIECE_SEQUENCES: u64 = 1024;

/// The format of indexes that are written. 0 is that of versions 1 and 2.
pub(crate) const INDEX_FORMAT: u32 = 1;
/// Bytes of a piece in the table.
pub(crate) const PIECE_BYTES: usize = 24;
const NUMBERS_BYTES: usize = 20;
const ENTRY_BYTES: usize = NUMBERS_BYTES + NOTE_BYTES;

/// The index of a group that is being made.
#[derive(Default)]
pub(crate) struct Index {
    pub first: u64,
    pub last: u64,
    pub messages: u64,
    pub record_bytes: u64,
    /// The first sequence of each piece, and its entries.
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Index {
    /// Adds a message whose record stands at this offset and takes so many bytes, behind those with lower sequences.
    pub fn add(&mut self, (seq, offset, bytes): (u64, u32, u32), body_bytes: u32, note: &Note, head: &[u8]) {
        assert!(self.messages == 0 || self.last < seq, "messages come by sequence");
        if self.messages == 0 {
            self.first = seq;
        }
        if self.messages == 0 || self.last / PIECE_SEQUENCES != seq / PIECE_SEQUENCES {
            self.pieces.push((seq, Vec::new()));
        }
        self.last = seq;
        self.messages += 1;
        self.record_bytes += u64::from(bytes);
        if let Some((_, entries)) = self.pieces.last_mut() {
            put_entry(entries, (seq, offset, head.len() as u32, body_bytes), note, head);
        }
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Its pieces, each with its first sequence.
    pub fn pieces_of(&self, mut sink: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        self.pieces.iter().try_for_each(|(first, entries)| sink(*first, entries))
    }
}

/// A piece of an index, as its table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub first: u64,
    pub offset: u64,
    pub bytes: u32,
    pub checksum: u32,
}

impl Piece {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&self.checksum.to_le_bytes());
    }

    /// Of the first `PIECE_BYTES` bytes.
    pub fn decode(bytes: &[u8]) -> Piece {
        Piece {
            first: long(bytes),
            offset: long(&bytes[8..]),
            bytes: number(&bytes[16..]),
            checksum: number(&bytes[20..]),
        }
    }

    /// Where it ends.
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.bytes))
    }
}

/// A message as the index has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub seq: u64,
    pub offset: u32,
    pub body_bytes: u32,
    pub note: Note,
    pub head: &'a [u8],
}

impl Entry<'_> {
    /// Bytes of its record in a segment whose records end with so long a tag.
    pub fn record_bytes(&self, tag_bytes: usize) -> u32 {
        ((HEADER_BYTES + self.head.len() + tag_bytes) as u32).saturating_add(self.body_bytes)
    }
}

/// Sequence, offset, bytes of head and body.
type Numbers = (u64, u32, u32, u32);

/// Appends a message to an index.
pub(crate) fn put_entry(
    out: &mut Vec<u8>,
    (seq, offset, head_bytes, body_bytes): Numbers,
    note: &Note,
    head: &[u8],
) {
    out.extend_from_slice(&seq.to_le_bytes());
    for number in [offset, head_bytes, body_bytes] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(note);
    out.extend_from_slice(head);
}

/// The messages of an index. What does not fit ends it.
pub(crate) fn entries(mut index: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    std::iter::from_fn(move || {
        let (entry, rest) = index.split_at_checked(ENTRY_BYTES)?;
        let (head, rest) = rest.split_at_checked(number(&entry[12..]) as usize)?;
        index = rest;
        let note = entry[NUMBERS_BYTES..].try_into().ok()?;
        Some(Entry {
            seq: long(entry),
            offset: number(&entry[8..]),
            body_bytes: number(&entry[16..]),
            note,
            head,
        })
    })
}

/// The messages of an index of versions 1 and 2, which has no notes.
pub(crate) fn of_version_2(mut index: &[u8], mut sink: impl FnMut(Numbers, &[u8])) {
    while let Some((entry, rest)) = index.split_at_checked(NUMBERS_BYTES) {
        let Some((head, rest)) = rest.split_at_checked(number(&entry[12..]) as usize) else { return };
        index = rest;
        sink((long(entry), number(&entry[8..]), head.len() as u32, number(&entry[16..])), head);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_ends_where_another_multiple_begins() {
        let mut index = Index::default();
        for seq in [1, 2, 1023, 1024, 5000] {
            index.add((seq, seq as u32 * 64, 64), 28, &[seq as u8; NOTE_BYTES], b"head");
        }
        let mut pieces = Vec::new();
        let done = index.pieces_of(|first, bytes| {
            pieces.push((first, entries(bytes).map(|entry| entry.seq).collect::<Vec<_>>()));
            Ok(())
        });
        assert!(done.is_ok());
        assert_eq!(pieces, [(1, vec![1, 2, 1023]), (1024, vec![1024]), (5000, vec![5000])]);
        assert_eq!((index.first, index.last, index.messages, index.record_bytes), (1, 5000, 5, 320));
    }

    #[test]
    fn what_is_cut_ends_an_index() {
        let mut bytes = Vec::new();
        put_entry(&mut bytes, (7, 64, 4, 28), &[9; NOTE_BYTES], b"head");
        let whole = Entry { seq: 7, offset: 64, body_bytes: 28, note: [9; NOTE_BYTES], head: b"head" };
        assert_eq!(entries(&bytes).collect::<Vec<_>>(), [whole]);
        for cut in 0..bytes.len() {
            assert_eq!(entries(&bytes[..cut]).count(), 0, "cut at {cut}");
        }
    }
}
