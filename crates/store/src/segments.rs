//! All segments of a store, and how much of each is in use.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;

use crate::id::{GroupId, Place};
use crate::record::long;
use crate::segment::Segment;

/// Segments smaller than this are merged when there are `SMALL_MAX` of them, so that many small checkpoints leave few files.
const SMALL_BYTES: u64 = 4 << 20;
const SMALL_MAX: usize = 16;
/// Bytes in use that one checkpoint moves out of segments at most: the rest waits for the next.
const REWRITE_BYTES_MAX: u64 = 128 << 20;

/// What is in use of a group in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InUse {
    pub segment: u64,
    pub messages: u64,
    /// Of their records.
    pub bytes: u64,
}

const IN_USE_BYTES: usize = 24;
/// Instead of a number of messages: these are blocks.
const OF_BLOCKS: u64 = u64::MAX;

impl InUse {
    /// What blocks take of a segment.
    pub fn of_blocks(segment: u64, bytes: u64) -> InUse {
        InUse { segment, messages: OF_BLOCKS, bytes }
    }

    /// Whether these are blocks.
    pub fn is_of_blocks(&self) -> bool {
        self.messages == OF_BLOCKS
    }

    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.segment, self.messages, self.bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// All that stand in these bytes.
    pub fn decode_all(bytes: &[u8]) -> Vec<InUse> {
        let one = |bytes: &[u8]| InUse {
            segment: long(bytes),
            messages: long(&bytes[8..]),
            bytes: long(&bytes[16..]),
        };
        bytes.chunks_exact(IN_USE_BYTES).map(one).collect()
    }
}

pub(crate) struct Segments {
    pub dir: PathBuf,
    table: RwLock<BTreeMap<u64, Arc<Segment>>>,
}

impl Segments {
    pub fn new(dir: PathBuf, segments: Vec<Segment>) -> Segments {
        let table = segments.into_iter().map(|segment| (segment.id, Arc::new(segment))).collect();
        Segments { dir, table: RwLock::new(table) }
    }

    pub fn find(&self, id: u64) -> Option<Arc<Segment>> {
        self.table.read().get(&id).cloned()
    }

    /// The first one with a higher number.
    pub fn next(&self, after: u64) -> Option<Arc<Segment>> {
        self.table.read().range(after.checked_add(1)?..).next().map(|(_, segment)| Arc::clone(segment))
    }

    pub fn insert(&self, segment: Arc<Segment>) {
        self.table.write().insert(segment.id, segment);
    }

    pub fn remove(&self, id: u64) -> Option<Arc<Segment>> {
        self.table.write().remove(&id)
    }

    pub fn all(&self) -> Vec<Arc<Segment>> {
        self.table.read().values().cloned().collect()
    }

    /// Those that hold messages of a group between two sequences, both included, in the order of their numbers.
    pub fn overlapping(&self, group: GroupId, from: u64, to: u64) -> Vec<Arc<Segment>> {
        let table = self.table.read();
        let holds = |segment: &&Arc<Segment>| {
            segment.part(group).is_some_and(|part| part.first <= to && from <= part.last)
        };
        table.values().filter(holds).cloned().collect()
    }

    /// What is in use of a group, where that is not all.
    pub fn in_use(&self, group: GroupId) -> Vec<InUse> {
        let table = self.table.read();
        let parts = table.values().filter_map(|segment| Some((segment.id, segment.part(group)?)));
        let parts = parts.map(|(segment, part)| {
            let (live, live_bytes) = (&part.live, &part.live_bytes);
            let in_use = InUse {
                segment,
                messages: live.load(Ordering::Relaxed),
                bytes: live_bytes.load(Ordering::Relaxed),
            };
            (in_use, part.messages)
        });
        parts.filter(|(in_use, all)| in_use.messages < *all).map(|(in_use, _)| in_use).collect()
    }

    /// Puts that in force; what is not named is in use as a whole.
    pub fn set_in_use(&self, group: GroupId, in_use: &[InUse]) {
        let table = self.table.read();
        for known in in_use {
            if let Some(part) = table.get(&known.segment).and_then(|segment| segment.part(group)) {
                part.live.store(known.messages.min(part.messages), Ordering::Relaxed);
                part.live_bytes.store(known.bytes.min(part.record_bytes), Ordering::Relaxed);
            }
        }
    }

    /// Nothing of a group up to this sequence is in use any more.
    pub fn dropped_upto(&self, group: GroupId, upto: u64) {
        for segment in self.table.read().values() {
            if let Some(part) = segment.part(group).filter(|part| part.last <= upto) {
                part.drop_all();
            }
        }
    }

    /// A message is not in use any more.
    pub fn dropped(&self, group: GroupId, place: Place) {
        let Some(id) = place.segment_id() else { return };
        if let Some(segment) = self.table.read().get(&id)
            && let Some(part) = segment.part(group)
        {
            part.drop_one(place.bytes());
        }
    }

    /// Nothing of these groups is in use any more.
    pub fn forget(&self, gone: &[GroupId]) {
        for segment in self.table.read().values() {
            for part in gone.iter().filter_map(|group| segment.part(*group)) {
                part.drop_all();
            }
        }
    }

    /// Nothing of any group that is not one of these is in use.
    pub fn forget_others(&self, is_present: impl Fn(GroupId) -> bool) {
        for segment in self.table.read().values() {
            for part in segment.parts.iter().filter(|part| !is_present(part.group)) {
                part.drop_all();
            }
        }
    }

    /// Which segments are worth writing anew: those with less than half in use, those that are not sealed by the newest data key, and small
    /// ones where there are many. Those without any message in use are among them. `states` is what groups' states and blocks take in each.
    pub fn to_rewrite(&self, states: &HashMap<u64, u64>, newest_key: u32) -> HashSet<u64> {
        let table = self.table.read();
        let (mut chosen, mut small, mut bytes) = (HashSet::new(), Vec::new(), 0);
        for segment in table.values() {
            let live = segment.live_bytes() + states.get(&segment.id).copied().unwrap_or(0);
            if live * 2 < segment.records_bytes() || !segment.is_sealed_by(newest_key) {
                if bytes + live <= REWRITE_BYTES_MAX || bytes == 0 {
                    bytes += live;
                    chosen.insert(segment.id);
                }
            } else if segment.file_bytes < SMALL_BYTES {
                small.push((segment.id, live));
            }
        }
        if small.len() >= SMALL_MAX {
            for (id, live) in small {
                if bytes + live <= REWRITE_BYTES_MAX {
                    bytes += live;
                    chosen.insert(id);
                }
            }
        }
        chosen
    }
}
