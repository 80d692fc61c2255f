//! Reading the heads of messages that are in segments, some sequences at a time.

use std::io;
use std::sync::Arc;

use crate::error::ReadError;
use crate::id::{GroupId, Place};
use crate::index::{Note, entries};
use crate::read::read_in_segment;
use crate::record::{HEADER_BYTES, Kind};
use crate::segments::Segments;

/// What is known of a message without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// Its sequence.
    pub seq: u64,
    /// What was given with it.
    pub head: &'a [u8],
    /// Where it is.
    pub place: Place,
    /// Bytes of the body.
    pub body_bytes: u32,
    /// What was given with it when it moved there; zeros where the index is damaged.
    pub note: Note,
}

/// The heads of a group's messages that are in segments. It may outlive the store, and reads what there is then.
#[derive(Clone)]
pub struct Heads {
    segments: Arc<Segments>,
    group: GroupId,
}

impl std::fmt::Debug for Heads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heads").field("group", &self.group).finish_non_exhaustive()
    }
}

impl Heads {
    pub(crate) fn new(segments: &Arc<Segments>, group: GroupId) -> Heads {
        Heads { segments: Arc::clone(segments), group }
    }

    /// Appends what [`Blocks::add`](crate::Blocks::add) was given under this number.
    ///
    /// # Errors
    /// It is damaged, it cannot be read at the moment, or it is not there any more; then nothing is appended.
    pub fn block(&self, no: u64, place: Place, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let start = out.len();
        let segment = place.segment_id().and_then(|id| self.segments.find(id)).ok_or(ReadError::Moved)?;
        match read_in_segment(&segment, (Kind::Block, self.group, no), place, out) {
            Ok(head_bytes) => {
                out.drain(start..start + HEADER_BYTES + head_bytes);
                Ok(())
            }
            Err(read) => {
                out.truncate(start);
                Err(read.into_error())
            }
        }
    }

    /// Hands over the messages between two sequences, both included, ascending, whether they are in use or not. One that several segments
    /// have comes several times, and the last is the one that counts. Whether all of it was found where it belongs; else it was made
    /// from the records, and what cannot be read of these is left out.
    ///
    /// # Errors
    /// The disk's own. Some may have been handed over.
    pub fn read(&self, from: u64, to: u64, sink: &mut dyn FnMut(Head<'_>)) -> io::Result<bool> {
        let mut indexes = Vec::new();
        let mut is_whole = true;
        for segment in self.segments.overlapping(self.group, from, to) {
            let Some(part) = segment.part(self.group) else { continue };
            let (bytes, rebuilt) = segment.index(part, (from, to))?;
            is_whole &= !rebuilt;
            indexes.push((segment.id, segment.binding().key.tag_bytes(), bytes));
        }
        let all = indexes.iter().flat_map(|(id, tag_bytes, bytes)| {
            entries(bytes).map(move |entry| (entry.seq, *id, entry.record_bytes(*tag_bytes), entry))
        });
        let mut found: Vec<_> = all.filter(|(seq, ..)| (from..=to).contains(seq)).collect();
        if indexes.len() > 1 || !is_whole {
            found.sort_by_key(|(seq, id, ..)| (*seq, *id));
        }
        for (seq, id, bytes, entry) in found {
            let place = Place::segment(id, entry.offset, bytes);
            let (head, body_bytes, note) = (entry.head, entry.body_bytes, entry.note);
            sink(Head { seq, head, place, body_bytes, note });
        }
        Ok(is_whole)
    }
}
