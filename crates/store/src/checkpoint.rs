//! A checkpoint: states and messages move from the log into segments, so that the log can be cut and a start has little to read.
//!
//! New segments are written and synced, then the manifest, and only then is anything removed. The caller captures each group's state at a
//! position of its own; records behind it stay in the log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::commit::{Group, Log};
use crate::disk::not_full;
use crate::error::{Damage, Failure, Refused};
use crate::id::{GroupId, Lsn, Place};
use crate::index::Note;
use crate::manifest::{self, GroupEntry, Manifest, SegmentEntry, StatePlace};
use crate::read::{Read, read_record};
use crate::record::{HEADER_BYTES, Kind};
use crate::segment::{Segment, SegmentWriter, file_name};
use crate::segments::{InUse, Segments};

/// Who has the state of groups and the places of their messages.
pub trait Checkpointed {
    /// Captures a group: its state, up to which position it holds what the group's records did, and which messages move. All of it from one
    /// moment, under whatever lock keeps the group from changing: `upto` is `Store::position` then. `false`: the group stays as it is, and the
    /// log is kept for it; for one that is being deleted that is right.
    fn capture(&mut self, group: GroupId, plan: &Plan<'_>, captured: &mut Captured) -> bool;

    /// Writes blocks that belong to what was captured, without the lock, and appends to the state what says where they are. `plan` as before.
    /// What is not said to be in use by [`Blocks::uses`] ends with this checkpoint. Without it, no group has blocks.
    ///
    /// # Errors
    /// Those of `blocks`.
    fn write_blocks(
        &mut self,
        group: GroupId,
        plan: &Plan<'_>,
        blocks: &mut Blocks<'_, '_>,
        state: &mut Vec<u8>,
    ) -> Result<(), BlockError> {
        let _ = (group, plan, blocks, state);
        Ok(())
    }

    /// The checkpoint is durable with what was captured of the group.
    fn settled(&mut self, group: GroupId) {
        let _ = group;
    }

    /// The checkpoint is durable: these messages have new places, and when all groups were told, the old ones end. The new places of those that
    /// were deleted since they were captured, for which `Store::dropped` was or will be called with the old one, are added to `gone`, in order.
    fn moved(&mut self, group: GroupId, moved: &[Moved], gone: &mut Vec<Place>);
}

/// Which messages of a group move.
pub struct Plan<'a> {
    log: &'a Log,
    group: GroupId,
    segments: &'a Segments,
    /// The sequences of messages in segments that are written anew, from and to, one for each segment.
    rewritten: &'a [(u64, u64)],
    rewrite: Arc<HashSet<u64>>,
}

impl Plan<'_> {
    /// Begins to capture the group: notes where the log ends, which is `Captured::upto`, and what of segments is in use. To be called first,
    /// under the lock that keeps the group from changing, and under which messages are dropped.
    pub fn begin(&self, captured: &mut Captured) {
        captured.upto = Lsn(self.log.pending.lock().end());
        captured.in_use = Some(self.segments.in_use(self.group));
    }

    /// No message outside of these sequences moves, ascending and apart. To be asked under the lock that keeps the group from changing: what
    /// was submitted since the checkpoint began moves, too.
    pub fn sequences(&self) -> Vec<RangeInclusive<u64>> {
        let logged = self.log.pending.lock().groups.get(&self.group).and_then(|group| group.sequences);
        let mut all: Vec<(u64, u64)> = self.rewritten.iter().copied().chain(logged).collect();
        all.sort_unstable();
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        for (from, to) in all {
            match ranges.last_mut() {
                Some(last) if from <= last.end().saturating_add(1) => {
                    *last = *last.start()..=to.max(*last.end())
                }
                _ => ranges.push(from..=to),
            }
        }
        ranges
    }

    /// Whether a message at this place moves, and a block has to.
    pub fn moves(&self, place: Place) -> bool {
        place.segment_id().is_none_or(|id| self.rewrite.contains(&id))
    }
}

/// What was captured of a group.
#[derive(Debug, Default)]
pub struct Captured {
    /// The state holds what all of the group's records below this position did.
    pub upto: Lsn,
    /// The state, opaque to the store.
    pub state: Vec<u8>,
    /// All of the group's messages that are in use and move, by sequence, each with a note for [`Heads`](crate::Heads).
    pub moves: Vec<(u64, Place, Note)>,
    /// What is in use in segments, before anything moves; made by [`Plan::begin`]. `None`: that is found out at each start.
    pub(crate) in_use: Option<Vec<InUse>>,
}

/// A message that has a new place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Its sequence.
    pub seq: u64,
    /// Where it was.
    pub from: Place,
    /// Where it is.
    pub to: Place,
}

/// What a checkpoint did.
#[derive(Debug, Default)]
pub struct Checkpoint {
    /// Groups whose state was written.
    pub groups: usize,
    /// Messages that have new places.
    pub moved: usize,
    /// Segments that were removed.
    pub removed: usize,
    /// What could not be moved since it cannot be read. It keeps its place.
    pub damage: Vec<Damage>,
}

/// Why a checkpoint did not happen. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// There is no room for it.
    #[error("checkpoint: the disk is full")]
    Full,
    /// The store has failed for good.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// Something could not be read.
    #[error("checkpoint: cannot read")]
    Read(#[source] io::Error),
}

/// What went wrong with the disk.
#[derive(Debug)]
pub(crate) enum Trouble {
    Read(io::Error),
    Write(String, io::Error),
    Failed(Failure),
}

impl Trouble {
    /// Of waiting for the log. What the checkpoint has written may have the room that the log waits for, so it goes again.
    fn waiting(refused: Refused) -> Trouble {
        match refused {
            Refused::Failed(failure) => Trouble::Failed(failure),
            Refused::Full | Refused::Busy => {
                Trouble::Write("write the log".into(), io::ErrorKind::StorageFull.into())
            }
        }
    }
}

/// What checkpoints of a store need.
pub(crate) struct Round<'a> {
    pub log: &'a Log,
    pub segments: &'a Segments,
    pub manifest: &'a mut Manifest,
    /// Names of log files in which something cannot be read.
    pub damaged: &'a [String],
    /// Writes what was submitted, where no thread does.
    pub step: &'a dyn Fn() -> bool,
}

/// The bytes of a record.
type HeadAndBody = (Vec<u8>, Vec<u8>);

/// What was captured and written, and not yet in the manifest.
#[derive(Default)]
struct Written {
    segments: Vec<Segment>,
    states: HashMap<GroupId, (Option<u64>, StatePlace)>,
    /// The last sequence that was captured of a group.
    last: HashMap<GroupId, u64>,
    /// What the blocks of a group take that was captured.
    blocks: HashMap<GroupId, Arc<[InUse]>>,
    moved: Vec<(GroupId, Vec<Moved>)>,
    damage: Vec<Damage>,
    upto: u64,
}

impl Written {
    /// What was captured of groups counts.
    fn put_in_force(&self, groups: &mut HashMap<GroupId, Group>) {
        for (id, (upto, state)) in &self.states {
            let Some(group) = groups.get_mut(id) else { continue };
            group.state = Some(*state);
            if let Some(blocks) = self.blocks.get(id) {
                group.blocks = Arc::clone(blocks);
            }
            if let Some(upto) = *upto {
                group.since = since(group, upto);
                let behind = self.last.get(id).map_or(0, |last| last + 1);
                let left = group.sequences.map(|(from, to)| (from.max(behind), to));
                group.sequences = left.filter(|(from, to)| group.since.is_some() && from <= to);
                group.upto = upto;
            }
        }
    }
}

impl Round<'_> {
    /// The whole of it. Nothing has changed when it fails.
    pub fn run(&mut self, caller: &mut dyn Checkpointed) -> Result<Checkpoint, Trouble> {
        let groups = self.log.pending.lock().groups.clone();
        let mut states = HashMap::new();
        for state in groups.values().filter_map(|group| group.state) {
            *states.entry(state.segment).or_insert(0) += u64::from(state.bytes);
        }
        for blocks in groups.values().flat_map(|group| group.blocks.iter()) {
            *states.entry(blocks.segment).or_insert(0) += blocks.bytes;
        }
        let rewrite = Arc::new(self.segments.to_rewrite(&states, self.log.identity.ring.newest()));
        let plans = self.plans(&groups, &rewrite);
        let deleted = groups.values().any(|group| group.deleted.is_some());
        if plans.is_empty() && rewrite.is_empty() && !deleted {
            return Ok(Checkpoint::default());
        }
        let mut next_segment = self.manifest.next_segment;
        let written = self.write(caller, &plans, &groups, &rewrite, &mut next_segment);
        let written = written.and_then(|written| {
            (self.step)();
            self.log.wait(Lsn(written.upto)).map_err(Trouble::waiting)?;
            Ok(written)
        });
        let disk = &*self.log.disk;
        let failed = |doing: &str, error| Trouble::Write(doing.into(), error);
        let prepared = written.and_then(|written| {
            // The names of new segments, and that those of the last checkpoint are gone, which the manifest does not say again.
            let synced = disk.sync_dir(&self.segments.dir);
            synced.map_err(|error| failed("sync the folder of segments", not_full(error)))?;
            let (manifest, gone) = self.manifest(&written, &rewrite, next_segment);
            let by = self.log.options.encryption.as_ref();
            let prepared = manifest::prepare(disk, &self.log.root, &manifest, by);
            prepared.map_err(|error| failed("write the manifest", error))?;
            Ok((written, manifest, gone))
        });
        match prepared {
            Ok((written, manifest, gone)) => {
                // When this fails, what was written may count, and nothing is removed.
                let published = manifest::publish(disk, &self.log.root);
                published.map_err(|error| failed("rename the manifest", error))?;
                Ok(self.finish(caller, written, manifest, &gone))
            }
            Err(trouble) => {
                // What was written is of no use, and is removed at the next start if it cannot be now.
                for id in self.manifest.next_segment..next_segment {
                    _ = disk.remove(&self.segments.dir.join(file_name(id)));
                }
                Err(trouble)
            }
        }
    }

    /// Which groups are captured, and between which sequences their messages move out of segments.
    fn plans(
        &self,
        groups: &HashMap<GroupId, Group>,
        rewrite: &Arc<HashSet<u64>>,
    ) -> BTreeMap<GroupId, Vec<(u64, u64)>> {
        let present = groups.iter().filter(|(_, group)| group.deleted.is_none());
        let mut plans: BTreeMap<_, _> =
            present.filter(|(_, group)| group.since.is_some()).map(|(id, _)| (*id, Vec::new())).collect();
        for (id, group) in groups.iter().filter(|(_, group)| group.deleted.is_none()) {
            if group.blocks.iter().any(|blocks| rewrite.contains(&blocks.segment)) {
                plans.entry(*id).or_default();
            }
        }
        for segment in rewrite.iter().filter_map(|id| self.segments.find(*id)) {
            for part in &segment.parts {
                let present = groups.get(&part.group).is_some_and(|group| group.deleted.is_none());
                if present && part.live.load(Ordering::Relaxed) > 0 {
                    plans.entry(part.group).or_default().push((part.first, part.last));
                }
            }
        }
        plans
    }

    /// Captures the groups and writes segments.
    fn write(
        &self,
        caller: &mut dyn Checkpointed,
        plans: &BTreeMap<GroupId, Vec<(u64, u64)>>,
        groups: &HashMap<GroupId, Group>,
        rewrite: &Arc<HashSet<u64>>,
        next_segment: &mut u64,
    ) -> Result<Written, Trouble> {
        let mut written = Written::default();
        let mut sink = SegmentSink { round: self, next_segment, writer: None, sealed: Vec::new() };
        let mut captured = Captured::default();
        for (&group, rewritten) in plans {
            let (log, segments, rewrite) = (self.log, self.segments, Arc::clone(rewrite));
            let plan = Plan { log, group, segments, rewritten, rewrite };
            captured.state.clear();
            captured.in_use = None;
            if !caller.capture(group, &plan, &mut captured) {
                continue;
            }
            written.upto = written.upto.max(captured.upto.0);
            written.last.extend(captured.moves.last().map(|(seq, ..)| (group, *seq)));
            let moved = sink.messages(group, std::mem::take(&mut captured.moves), &mut written.damage)?;
            let mut in_use = in_use_then(captured.in_use.take(), (self.segments, group), &moved);
            let mut blocks = Blocks { sink: &mut sink, group, in_use: BTreeMap::new() };
            let done = caller.write_blocks(group, &plan, &mut blocks, &mut captured.state);
            done.map_err(|BlockError(trouble)| trouble)?;
            let blocks: Arc<[InUse]> =
                blocks.in_use.into_iter().map(|(segment, bytes)| InUse::of_blocks(segment, bytes)).collect();
            blocks.iter().for_each(|blocks| blocks.encode(&mut in_use));
            written.blocks.insert(group, blocks);
            let what = (Kind::State, group, captured.upto.0);
            let place = sink.add(what, &Note::default(), &in_use, &captured.state)?;
            let Some(state) = state_place(place) else { continue };
            written.states.insert(group, (Some(captured.upto.0), state));
            written.moved.push((group, moved));
        }
        // States in segments that go, of groups without news.
        for (id, group) in groups {
            let Some(state) = group.state.filter(|state| rewrite.contains(&state.segment)) else { continue };
            if written.states.contains_key(id) || group.deleted.is_some() {
                continue;
            }
            if let Some((in_use, bytes)) = self.state(*id, group.upto, state)? {
                let what = (Kind::State, *id, group.upto);
                let place = sink.add(what, &Note::default(), &in_use, &bytes)?;
                if let Some(state) = state_place(place) {
                    written.states.insert(*id, (None, state));
                }
            }
        }
        sink.seal()?;
        written.segments = sink.sealed;
        Ok(written)
    }

    /// The head and the body of a group's state as it is on disk, `None` when it cannot be read.
    fn state(&self, group: GroupId, upto: u64, at: StatePlace) -> Result<Option<HeadAndBody>, Trouble> {
        let mut bytes = Vec::new();
        let place = Place::segment(at.segment, at.offset, at.bytes);
        match read_record(self.log, self.segments, (Kind::State, group, upto), place, &mut bytes) {
            Ok(head_bytes) => {
                let state = bytes.split_off(HEADER_BYTES + head_bytes);
                Ok(Some((bytes.split_off(HEADER_BYTES), state)))
            }
            Err(Read::Disk(_, error)) => Err(Trouble::Read(error)),
            Err(Read::Damaged(..) | Read::Moved) => Ok(None),
        }
    }

    /// The manifest with all that was written, and the groups that are gone with it.
    fn manifest(
        &self,
        written: &Written,
        rewrite: &HashSet<u64>,
        next_segment: u64,
    ) -> (Manifest, Vec<GroupId>) {
        let pending = self.log.pending.lock();
        let committed = self.log.committed.load(Ordering::Acquire);
        let (mut cut, mut entries, mut gone) = (committed, Vec::new(), Vec::new());
        let (mut kept_states, moved) = (HashSet::new(), moved_out(written));
        for (id, group) in &pending.groups {
            if group.deleted.is_some_and(|at| at < committed) {
                gone.push(*id);
                continue;
            }
            let update = written.states.get(id);
            let upto = update.and_then(|(upto, _)| *upto).unwrap_or(group.upto);
            if let Some(since) = since(group, upto) {
                cut = cut.min(since);
            }
            if let Some(state) = update.map(|(_, state)| *state).or(group.state) {
                kept_states.insert(state.segment);
                let blocks = written.blocks.get(id).unwrap_or(&group.blocks);
                kept_states.extend(blocks.iter().map(|blocks| blocks.segment));
                entries.push(GroupEntry { id: *id, upto, state, meta: group.meta.to_vec() });
            }
        }
        entries.sort_by_key(|entry| entry.id);
        let mut segments: Vec<_> = written.segments.iter().map(Segment::entry).collect();
        for segment in self.segments.all() {
            let may_go = rewrite.contains(&segment.id) && !kept_states.contains(&segment.id);
            let retired = may_go && is_done_with(&segment, (written, &moved), &pending.groups, committed);
            segments.push(SegmentEntry { retired, ..segment.entry() });
        }
        segments.extend(self.manifest.segments.iter().filter(|entry| entry.retired));
        segments.sort_by_key(|entry| entry.id);
        let manifest = Manifest {
            store: self.manifest.store,
            generation: self.manifest.generation + 1,
            log_from: cut.max(self.manifest.log_from),
            log_epoch: self.log.files.newest_epoch(),
            log_end: self.log.written.load(Ordering::Acquire),
            next_segment,
            segments,
            groups: entries,
            ring: self.manifest.ring.clone(),
            sealed_from: self.manifest.sealed_from,
        };
        (manifest, gone)
    }

    /// The manifest is durable: the new counts, and the old goes.
    fn finish(
        &mut self,
        caller: &mut dyn Checkpointed,
        mut written: Written,
        mut manifest: Manifest,
        gone: &[GroupId],
    ) -> Checkpoint {
        let mut done = Checkpoint {
            groups: written.moved.len(),
            damage: std::mem::take(&mut written.damage),
            ..Checkpoint::default()
        };
        for segment in std::mem::take(&mut written.segments) {
            self.segments.insert(Arc::new(segment));
        }
        {
            let mut pending = self.log.pending.lock();
            written.put_in_force(&mut pending.groups);
            for id in gone {
                pending.groups.remove(id);
            }
        }
        self.segments.forget(gone);
        let mut gone = Vec::new();
        for (group, moved) in &written.moved {
            done.moved += moved.len();
            caller.settled(*group);
            if !moved.is_empty() {
                gone.clear();
                caller.moved(*group, moved, &mut gone);
                let mut gone = gone.iter().copied().peekable();
                for one in moved {
                    // Of one that is gone, whoever deleted it drops the old place.
                    let is_gone = gone.next_if_eq(&one.to).is_some();
                    self.segments.dropped(*group, if is_gone { one.to } else { one.from });
                }
            }
        }
        let disk = &*self.log.disk;
        manifest.segments.retain(|entry| {
            if !entry.retired {
                return true;
            }
            let damaged =
                self.segments.remove(entry.id).is_some_and(|segment| segment.damaged.load(Ordering::Relaxed));
            let path = self.segments.dir.join(file_name(entry.id));
            let gone = match damaged {
                true => disk.rename(&path, &self.quarantine(&file_name(entry.id))),
                false => disk.remove(&path),
            };
            done.removed += 1;
            // What is still there stays in the manifest as what may be removed.
            gone.is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
        });
        let mut spares = self.log.files.spares.lock();
        for file in self.log.files.take_below(manifest.log_from) {
            let path = self.log.dir().join(&file.name);
            // A file that stays under its name is below what counts, and is taken up by a later checkpoint.
            match spares.name_for(&file) {
                _ if self.damaged.contains(&file.name) => {
                    _ = disk.rename(&path, &self.quarantine(&file.name))
                }
                Some(name) if disk.rename(&path, &self.log.dir().join(&name)).is_ok() => {
                    _ = spares.keep(name);
                }
                _ => _ = disk.remove(&path),
            }
        }
        drop(spares);
        *self.manifest = manifest;
        done
    }

    fn quarantine(&self, name: &str) -> std::path::PathBuf {
        self.segments.dir.with_file_name("quarantine").join(name)
    }
}

/// The first record that a state up to `upto` does not cover. Records between `upto` and the last are not known one by one.
fn since(group: &Group, upto: u64) -> Option<u64> {
    (group.last > upto).then(|| group.since.unwrap_or(upto).max(upto))
}

/// What stands before a group's state: what is in use in segments when that state is true, as a start will find it. What has moved is new
/// in its segment, and in use there as a whole.
fn in_use_then(
    in_use: Option<Vec<InUse>>,
    (segments, group): (&Segments, GroupId),
    moved: &[Moved],
) -> Vec<u8> {
    let Some(in_use) = in_use else { return Vec::new() };
    let mut table: BTreeMap<u64, InUse> = in_use.into_iter().map(|one| (one.segment, one)).collect();
    for (segment, from) in moved.iter().filter_map(|one| Some((one.from.segment_id()?, one.from))) {
        let all = || {
            let found = segments.find(segment);
            let part = found.as_ref().and_then(|found| found.part(group));
            let (messages, bytes) = part.map_or((0, 0), |part| (part.messages, part.record_bytes));
            InUse { segment, messages, bytes }
        };
        let known = table.entry(segment).or_insert_with(all);
        known.messages = known.messages.saturating_sub(1);
        known.bytes = known.bytes.saturating_sub(u64::from(from.bytes()));
    }
    let mut out = Vec::new();
    table.values().for_each(|in_use| in_use.encode(&mut out));
    out
}

/// How many messages of each group left each segment.
fn moved_out(written: &Written) -> HashMap<(u64, GroupId), u64> {
    let mut counts = HashMap::new();
    for (group, moved) in &written.moved {
        for segment in moved.iter().filter_map(|one| one.from.segment_id()) {
            *counts.entry((segment, *group)).or_insert(0) += 1;
        }
    }
    counts
}

/// Whether nothing in a segment is in use once `written` counts: what was moved out of it is all there was, and the deletes of the rest are
/// in states.
fn is_done_with(
    segment: &Segment,
    (written, moved): (&Written, &HashMap<(u64, GroupId), u64>),
    groups: &HashMap<GroupId, Group>,
    committed: u64,
) -> bool {
    let name = segment.name();
    segment.parts.iter().all(|part| {
        // What could not be read of it keeps its place, whatever was deleted beside it meanwhile.
        if written.damage.iter().any(|damage| damage.file == name) {
            return false;
        }
        let Some(group) =
            groups.get(&part.group).filter(|group| group.deleted.is_none_or(|at| at >= committed))
        else {
            return true;
        };
        let captured = written.states.get(&part.group).is_some_and(|(upto, _)| upto.is_some());
        let moved = moved.get(&(segment.id, part.group)).copied().unwrap_or(0);
        (captured || group.since.is_none()) && part.live.load(Ordering::Relaxed) <= moved
    })
}

fn state_place(place: Place) -> Option<StatePlace> {
    Some(StatePlace { segment: place.segment_id()?, offset: place.offset(), bytes: place.bytes() })
}

/// Where a group's blocks go in a checkpoint: parts of its state that stay where they are from one checkpoint to the next.
pub struct Blocks<'a, 'b> {
    sink: &'a mut SegmentSink<'b>,
    group: GroupId,
    /// Bytes by segment.
    in_use: BTreeMap<u64, u64>,
}

/// A block was not written, or not read to be written anew. The checkpoint does not happen.
#[derive(Debug)]
pub struct BlockError(Trouble);

impl From<io::Error> for BlockError {
    /// The disk's own, of reading.
    fn from(error: io::Error) -> Self {
        BlockError(Trouble::Read(error))
    }
}

impl Blocks<'_, '_> {
    /// About so many bytes of blocks follow, which go out of use together: many have a file of their own.
    ///
    /// # Errors
    /// The disk's own.
    pub fn begin(&mut self, bytes: u64) -> Result<(), BlockError> {
        if bytes >= self.sink.round.log.options.segment_bytes / 4 {
            self.sink.seal().map_err(BlockError)?;
        }
        Ok(())
    }

    /// Writes a block, and returns where it is. It is read by this number, and can be once the checkpoint is durable.
    ///
    /// # Errors
    /// The disk's own.
    pub fn add(&mut self, no: u64, bytes: &[u8]) -> Result<Place, BlockError> {
        let place = self.sink.add((Kind::Block, self.group, no), &Note::default(), &[], bytes);
        place.map_err(BlockError)
    }

    /// So many bytes of the file that has this place are in use by blocks, those that were just written among them. In all for each file.
    pub fn uses(&mut self, place: Place, bytes: u64) {
        if let Some(segment) = place.segment_id() {
            *self.in_use.entry(segment).or_insert(0) += bytes;
        }
    }
}

/// Why a message keeps its place.
enum Unmoved {
    Damaged(Damage),
    Gone,
    /// The checkpoint does not happen.
    Trouble(Trouble),
}

/// Writes one segment after the other.
struct SegmentSink<'a> {
    round: &'a Round<'a>,
    next_segment: &'a mut u64,
    writer: Option<SegmentWriter>,
    sealed: Vec<Segment>,
}

impl SegmentSink<'_> {
    /// Copies messages of a group. What cannot be read keeps its place.
    fn messages(
        &mut self,
        group: GroupId,
        moves: Vec<(u64, Place, Note)>,
        damage: &mut Vec<Damage>,
    ) -> Result<Vec<Moved>, Trouble> {
        let bytes: u64 = moves.iter().map(|(_, place, _)| u64::from(place.bytes())).sum();
        // Much of one group stays apart, so that it goes as a whole when the group's oldest do.
        if bytes >= self.round.log.options.segment_bytes / 4 {
            self.seal()?;
        }
        let (mut record, mut trouble) = (Vec::new(), None);
        // There may be very many: each that has moved takes the room of the one that is to move.
        let moved = moves.into_iter().filter_map(|(seq, from, note)| {
            if trouble.is_some() {
                return None;
            }
            record.clear();
            match self.message((group, seq), (from, &note), &mut record) {
                Ok(to) => Some(Moved { seq, from, to }),
                Err(Unmoved::Damaged(found)) => {
                    damage.push(found);
                    None
                }
                Err(Unmoved::Gone) => None,
                Err(Unmoved::Trouble(why)) => {
                    trouble = Some(why);
                    None
                }
            }
        });
        let moved = moved.collect();
        trouble.map_or(Ok(moved), Err)
    }

    /// Copies a message, and returns where it is then.
    fn message(
        &mut self,
        (group, seq): (GroupId, u64),
        (from, note): (Place, &Note),
        record: &mut Vec<u8>,
    ) -> Result<Place, Unmoved> {
        let what = (Kind::Message, group, seq);
        let head_bytes = read_record(self.round.log, self.round.segments, what, from, record);
        let head_bytes = head_bytes.map_err(|why| match why {
            Read::Disk(_, error) => Unmoved::Trouble(Trouble::Read(error)),
            Read::Damaged(found) => Unmoved::Damaged(found),
            Read::Moved => Unmoved::Gone,
        })?;
        let (head, body) = record[HEADER_BYTES..].split_at(head_bytes);
        self.add(what, note, head, body).map_err(Unmoved::Trouble)
    }

    fn add(
        &mut self,
        what: (Kind, GroupId, u64),
        note: &Note,
        head: &[u8],
        body: &[u8],
    ) -> Result<Place, Trouble> {
        let bytes = HEADER_BYTES + head.len() + body.len();
        let full = self.writer.as_ref().is_some_and(|writer| {
            writer.bytes() >= self.round.log.options.segment_bytes || !writer.has_room(bytes)
        });
        if full {
            self.seal()?;
        }
        let (disk, dir) = (&*self.round.log.disk, &self.round.segments.dir);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let id = *self.next_segment;
                *self.next_segment += 1;
                let bound = (&self.round.log.identity.store, &self.round.log.identity.ring);
                let created = SegmentWriter::create(disk, dir, bound, id);
                let created =
                    created.map_err(|error| Trouble::Write(format!("create segment {id}"), error))?;
                self.writer.insert(created)
            }
        };
        let id = writer.id();
        let added = writer.add(what, note, head, &[body]);
        let (offset, bytes) = added.map_err(|error| Trouble::Write(format!("write segment {id}"), error))?;
        Ok(Place::segment(id, offset, bytes))
    }

    /// Ends the segment that is being written, if there is one.
    fn seal(&mut self) -> Result<(), Trouble> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        let id = writer.id();
        let failed = |doing: &str, error| Trouble::Write(format!("{doing} segment {id}"), error);
        writer.seal().map_err(|error| failed("write", error))?;
        writer.sync().map_err(|error| failed("sync", not_full(error)))?;
        let segment = writer.into_segment().map_err(Trouble::Read)?;
        self.sealed.push(segment);
        Ok(())
    }
}
