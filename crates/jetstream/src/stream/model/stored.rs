//! What a store would have of the stream: the heads of its messages and the blocks of its table of subjects.

use crate::messages::{BlockSink, Found, Heads, Links, NotWritten, Place, Unread};
use crate::stream::{Store, Ttl};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// The heads of all messages that the store ever had, and their links as they were when the store got them.
#[derive(Debug, Default)]
pub(super) struct Had(Mutex<HadHeads>, Mutex<HadBlocks>);

/// Blocks by number and place.
pub(super) type HadBlocks = BTreeMap<(u64, [u8; 16]), Vec<u8>>;

/// Head, bytes of the body, and links, by sequence.
pub(super) type HadHeads = BTreeMap<u64, (Vec<u8>, u32, Links)>;

impl Had {
    pub(super) fn all(&self) -> std::sync::MutexGuard<'_, HadHeads> {
        self.0.lock().expect("nobody panics with it")
    }

    pub(super) fn blocks(&self) -> std::sync::MutexGuard<'_, HadBlocks> {
        self.1.lock().expect("nobody panics with it")
    }
}

/// Where a checkpoint writes blocks.
pub(super) struct Sink<'a> {
    pub(super) had: &'a Had,
    pub(super) used: Vec<Place>,
    /// Places of one in so many have to move.
    pub(super) moving: u8,
}

impl BlockSink for Sink<'_> {
    fn begin(&mut self, _: u64) -> Result<(), NotWritten> {
        Ok(())
    }

    fn add(&mut self, no: u64, bytes: &[u8]) -> Result<Place, NotWritten> {
        let mut blocks = self.had.blocks();
        let place = place(blocks.len() as u64);
        blocks.insert((no, place.0), bytes.to_vec());
        Ok(place)
    }

    fn uses(&mut self, place: Place) {
        self.used.push(place);
    }

    fn has_to_move(&self, place: Place) -> bool {
        self.moving > 0 && place.0[0].is_multiple_of(self.moving)
    }
}

impl Heads for Had {
    fn block(&self, no: u64, place: Place, out: &mut Vec<u8>) -> Result<(), Unread> {
        out.extend_from_slice(self.blocks().get(&(no, place.0)).ok_or(Unread::Damaged)?);
        Ok(())
    }

    fn read(&self, from: u64, to: u64, sink: &mut dyn FnMut(&Found<'_>)) -> bool {
        for (&seq, (head, body_bytes, links)) in self.all().range(from..=to) {
            let store = Store::decode_head(seq, head, *body_bytes).expect("a head is read");
            let found = Found {
                seq,
                time: store.time,
                subject: &store.subject,
                header_bytes: store.header_bytes,
                body_bytes: store.body_bytes,
                is_kept_forever: store.ttl == Ttl::Never,
                is_marker: store.is_marker,
                place: place(seq),
                links: *links,
            };
            // Two segments have it, and the later one counts.
            if seq % 3 == 0 {
                sink(&Found { place: place(0), links: Links::default(), ..found });
            }
            sink(&found);
        }
        true
    }
}

pub(super) fn place(seq: u64) -> Place {
    let mut place = [7; 16];
    place[..8].copy_from_slice(&seq.to_le_bytes());
    Place(place)
}

pub(super) fn seq_of(place: Place) -> u64 {
    u64::from_le_bytes(*place.0.first_chunk().expect("a place is long enough"))
}
