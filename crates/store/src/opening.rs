//! Opening a store: what its files say, handed on in order.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::commit::{Group, Identity, Log, Pending, Room};
use crate::disk::{Access, Disk, Lock, read_full};
use crate::error::{Damage, Lost, OpenError};
use crate::heads::{Head, Heads};
use crate::id::{GroupId, Place};
use crate::log::{self, VERSION};
use crate::manifest::{self, GroupEntry, Manifest, OpenedBy, Unusable};
use crate::options::Options;
use crate::read::{Read, read_in_segment};
use crate::record::{Found, HEADER_BYTES, Kind};
use crate::recover::{LogError, LogEvent, lost, recover};
use crate::seal::Encryption;
use crate::segment::{Segment, SegmentError, file_name, parse_file_name};
use crate::segments::{InUse, Segments};

/// What is found when a store is opened. First come the groups of the last checkpoint, each with its
/// messages by sequence, then the log in its order.
#[derive(Debug)]
pub enum Recovered<'a> {
    /// A group there is. Its state holds what its records up to the last checkpoint did; `None` when there was no checkpoint since it began.
    Group {
        /// Its id.
        id: GroupId,
        /// What it is.
        meta: &'a [u8],
        /// Its state.
        state: Option<&'a [u8]>,
        /// Its messages of the last checkpoint.
        heads: &'a Heads,
        /// To be set where these are asked for by `heads` as they are needed: then they do not come as [`Recovered::Message`], and the store
        /// knows which of them are in use, if the state was captured with [`Plan::begin`](crate::Plan::begin).
        is_asked_for: &'a Cell<bool>,
    },
    /// A message. Those of the last checkpoint come by sequence, and some of them may be gone by what the state says.
    Message {
        /// Whose it is.
        group: GroupId,
        /// Its sequence.
        seq: u64,
        /// What was given with it.
        head: &'a [u8],
        /// Where it is.
        place: Place,
        /// Bytes of the body.
        body_bytes: u32,
    },
    /// A change of a group.
    Record {
        /// Whose it is.
        group: GroupId,
        /// What was given.
        bytes: &'a [u8],
    },
    /// A group was deleted.
    Deleted {
        /// Which.
        group: GroupId,
    },
    /// Something cannot be read. It is kept, and everything else is there.
    Damage(Damage),
    /// Bytes at the end of the log that had not been acknowledged were left out.
    TornTail {
        /// How many.
        bytes: u64,
    },
}

/// A store's parts.
pub(crate) struct Opened {
    pub log: Log,
    pub segments: Arc<Segments>,
    pub manifest: Manifest,
    pub damaged: Vec<String>,
    pub lock: Box<dyn Lock>,
    pub keys: Keys,
}

/// What became of a store's keys when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// The store is not encrypted.
    Plain,
    /// The key is the one that the store had.
    Same,
    /// The store was not encrypted, and is from now on.
    Encrypted,
    /// The store had the previous key, and has the key from now on; nothing needs the previous one any more.
    Changed,
    /// What is written is sealed by another cipher from now on.
    OtherCipher,
}

/// Opens what there is, and begins a store where there is nothing.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: Options,
    sink: &mut dyn FnMut(Recovered<'_>),
) -> Result<Opened, OpenError> {
    let at = Opening { disk: &*disk, dir, encryption: options.encryption.as_ref() };
    let (log_dir, segment_dir) = (dir.join("log"), dir.join("segments"));
    for dir in [&log_dir, &segment_dir, &dir.join("quarantine")] {
        disk.create_dir(dir).map_err(|error| at.failed("create its folders", error))?;
    }
    let lock = disk.lock(&dir.join("lock")).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse { dir: dir.display().to_string() },
        _ => at.failed("lock the folder", error),
    })?;
    let (manifest, keys) = at.manifest(&log_dir, sink)?;
    let segments = at.segments(&segment_dir, &manifest, sink)?;
    let segments = Arc::new(Segments::new(segment_dir, segments));
    let mut groups: HashMap<GroupId, Group> = HashMap::new();
    for entry in &manifest.groups {
        let blocks = at.group(entry, &segments, sink)?;
        let group = Group { meta: entry.meta.as_slice().into(), upto: entry.upto, ..Group::default() };
        groups.insert(entry.id, Group { state: Some(entry.state), last: entry.upto, blocks, ..group });
    }
    let found = recover((&*disk, &log_dir), &options, &manifest, &mut |event| {
        replay(event, (&mut groups, &segments), sink);
    });
    let found = found.map_err(|error| match error {
        LogError::Version { file, version } => at.version(file, version),
        LogError::Disk(doing, error) => at.failed(&doing, error),
    })?;
    if found.torn_bytes > 0 {
        sink(Recovered::TornTail { bytes: found.torn_bytes });
    }
    segments.forget_others(|group| groups.contains_key(&group));
    let log = Log {
        disk: Arc::clone(&disk),
        root: dir.to_path_buf(),
        identity: Identity { store: manifest.store, ring: manifest.ring.clone() },
        options,
        files: found.files,
        pending: Mutex::new(Pending::new(found.next, (&manifest.store, &manifest.ring), groups)),
        wake: Condvar::new(),
        progress: Condvar::new(),
        committed: AtomicU64::new(found.next.first),
        written: AtomicU64::new(found.end),
        log_from: AtomicU64::new(manifest.log_from),
        submitted: AtomicU64::new(0),
        covered: AtomicU64::new(0),
        failed: OnceLock::new(),
        room: Room::default(),
        listener: RwLock::new(None),
    };
    Ok(Opened { log, segments, manifest, damaged: found.damaged, lock, keys })
}

/// Hands on what the log holds, of the groups that there are.
fn replay(
    event: LogEvent<'_>,
    (groups, segments): (&mut HashMap<GroupId, Group>, &Arc<Segments>),
    sink: &mut dyn FnMut(Recovered<'_>),
) {
    let (at, header, head, body) = match event {
        LogEvent::Damage(damage) => return sink(Recovered::Damage(damage)),
        LogEvent::Record { at, header, head, body } => (at, header, head, body),
    };
    let (id, end) = (header.group, at + crate::record::padded(header.record_bytes()) as u64);
    if header.kind == Kind::NewGroup {
        let meta: Arc<[u8]> = body.into();
        groups.insert(id, Group { meta, since: Some(at), last: end, ..Group::default() });
        let (heads, is_asked_for) = (&Heads::new(segments, id), &Cell::new(false));
        return sink(Recovered::Group { id, meta: body, state: None, heads, is_asked_for });
    }
    // What a checkpoint covers, or what belongs to a group that is gone.
    let Some(group) = groups.get_mut(&id).filter(|group| at >= group.upto && group.deleted.is_none()) else {
        return;
    };
    let sequences = (header.kind == Kind::Message).then_some((header.seq, header.seq));
    group.note(at, end, sequences);
    match header.kind {
        Kind::Message => sink(Recovered::Message {
            group: id,
            seq: header.seq,
            head,
            place: Place::log(at, header.record_bytes() as u32),
            body_bytes: header.body_bytes,
        }),
        Kind::Record => sink(Recovered::Record { group: id, bytes: body }),
        Kind::DeleteGroup => {
            group.deleted = Some(at);
            sink(Recovered::Deleted { group: id });
        }
        Kind::NewGroup | Kind::State | Kind::Block => {}
    }
}

/// A store that is being opened.
struct Opening<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    encryption: Option<&'a Encryption>,
}

impl Opening<'_> {
    fn failed(&self, doing: &str, cause: io::Error) -> OpenError {
        OpenError::Disk { dir: self.dir.display().to_string(), doing: doing.into(), cause }
    }

    fn version(&self, file: String, version: u32) -> OpenError {
        OpenError::Version { dir: self.dir.display().to_string(), file, version, known: VERSION }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The manifest that counts, or that of a new store. A copy that is damaged or older is written anew.
    fn manifest(
        &self,
        log_dir: &Path,
        sink: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<(Manifest, Keys), OpenError> {
        let (mut best, mut wrong, mut found) = (None::<(Manifest, OpenedBy)>, Vec::new(), Vec::new());
        let mut locked = None::<(u64, OpenError)>;
        for name in manifest::NAMES {
            let bytes = match self.whole(name) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    wrong.push((name, 0, "missing".to_owned()));
                    continue;
                }
                Err(error) => return Err(self.failed("read its manifest", error)),
            };
            match Manifest::decode(&bytes, self.encryption) {
                Ok((manifest, by)) => {
                    found.push(manifest.generation);
                    if best.as_ref().is_none_or(|(best, _)| best.generation < manifest.generation) {
                        best = Some((manifest, by));
                    }
                }
                Err(Unusable::NoKey { generation }) => {
                    locked = Some((generation, OpenError::NoKey { dir: self.dir.display().to_string() }));
                }
                Err(Unusable::OtherKey { generation }) => {
                    let error = OpenError::OtherKey { dir: self.dir.display().to_string() };
                    locked = Some((generation, error));
                }
                Err(Unusable::Version(version)) => return Err(self.version(name.into(), version)),
                Err(why) => wrong.push((name, bytes.len() as u64, why.to_string())),
            }
        }
        // A copy of the key before is older where a change of keys was interrupted, and no older one counts.
        let newest = best.as_ref().map_or(0, |(best, _)| best.generation);
        if let Some((_, error)) = locked.filter(|(generation, _)| *generation >= newest) {
            return Err(error);
        }
        if let Some((manifest, by)) = best {
            // The first manifest of a store is written to one copy before the other.
            for (name, bytes, _) in wrong.iter().filter(|(_, bytes, _)| manifest.generation > 1 || *bytes > 0)
            {
                sink(Recovered::Damage(Damage {
                    file: (*name).into(),
                    range: 0..*bytes,
                    what: Lost::Nothing,
                }));
            }
            let (manifest, keys) = self.renew_keys(manifest, by, log_dir)?;
            if found != [manifest.generation; 2] {
                self.write_manifest(&manifest)?;
            }
            return Ok((manifest, keys));
        }
        // A crash while a new store was made leaves manifests that are not whole, and nothing else.
        let mut others =
            self.disk.list(log_dir).map_err(|error| self.failed("list the log's files", error))?;
        let segments = self.disk.list(&self.path("segments"));
        others.extend(segments.map_err(|error| self.failed("list its segments", error))?);
        if !others.is_empty() {
            let why: Vec<_> = wrong.iter().map(|(name, _, why)| format!("{name}: {why}")).collect();
            return Err(OpenError::NoManifest { dir: self.dir.display().to_string(), why: why.join(", ") });
        }
        let mut manifest =
            Manifest { store: rand::random(), generation: 1, next_segment: 1, ..Manifest::default() };
        self.encryption.iter().for_each(|by| manifest.ring.add(by.cipher));
        self.write_manifest(&manifest)?;
        Ok((manifest, self.encryption.map_or(Keys::Plain, |_| Keys::Same)))
    }

    /// Gives the store a new data key where its key, its cipher, or that it is encrypted is new: the manifest is another one then.
    fn renew_keys(
        &self,
        mut manifest: Manifest,
        by: OpenedBy,
        log_dir: &Path,
    ) -> Result<(Manifest, Keys), OpenError> {
        let Some(encryption) = self.encryption else { return Ok((manifest, Keys::Plain)) };
        let keys = match by {
            OpenedBy::Key if manifest.ring.cipher() == Some(encryption.cipher) => {
                return Ok((manifest, Keys::Same));
            }
            OpenedBy::Key => Keys::OtherCipher,
            OpenedBy::Previous => Keys::Changed,
            OpenedBy::Nothing => {
                let names = self.disk.list(log_dir);
                let names = names.map_err(|error| self.failed("list the log's files", error))?;
                let epochs = names.iter().filter_map(|name| Some(log::parse_file_name(name)?.0));
                manifest.sealed_from = epochs.fold(manifest.log_epoch, u64::max) + 1;
                Keys::Encrypted
            }
        };
        if !manifest.ring.has_room() {
            return Err(OpenError::TooManyKeys { dir: self.dir.display().to_string() });
        }
        manifest.ring.add(encryption.cipher);
        manifest.generation += 1;
        Ok((manifest, keys))
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<(), OpenError> {
        let written = manifest::prepare(self.disk, self.dir, manifest, self.encryption);
        let written = written.and_then(|()| manifest::publish(self.disk, self.dir));
        written.map_err(|error| self.failed("write its manifest", error))
    }

    fn whole(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = self.disk.open(&self.path(name), Access::Read)?;
        let bytes = file.bytes()?.min(manifest::BYTES_MAX);
        let mut whole = vec![0; bytes as usize];
        let there = read_full(&*file, &mut whole, 0)?;
        whole.truncate(there);
        Ok(whole)
    }

    /// Opens the segments of the manifest, and clears away what no manifest knows.
    fn segments(
        &self,
        dir: &Path,
        manifest: &Manifest,
        sink: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<Vec<Segment>, OpenError> {
        let names = self.disk.list(dir).map_err(|error| self.failed("list its segments", error))?;
        for name in names {
            let Some(id) = parse_file_name(&name) else { continue };
            let entry = manifest.segments.iter().find(|entry| entry.id == id);
            let path = dir.join(&name);
            let cleared = match entry {
                Some(entry) if !entry.retired => continue,
                // A manifest says that nothing in it counts, or it was being written for the next one.
                Some(_) => self.disk.remove(&path),
                None if id >= manifest.next_segment => self.disk.remove(&path),
                None => {
                    let range = 0..0;
                    sink(Recovered::Damage(Damage {
                        file: format!("segments/{name}"),
                        range,
                        what: Lost::Nothing,
                    }));
                    self.disk.rename(&path, &self.path("quarantine").join(&name))
                }
            };
            cleared.map_err(|error| self.failed(&format!("clear segments/{name} away"), error))?;
        }
        let mut segments = Vec::new();
        for entry in manifest.segments.iter().filter(|entry| !entry.retired) {
            let name = file_name(entry.id);
            match Segment::open(self.disk, dir, (&manifest.store, &manifest.ring), entry) {
                Ok(segment) => {
                    if segment.damaged.load(Ordering::Relaxed) {
                        self.damaged_records(&segment, sink)?;
                    }
                    segments.push(segment);
                }
                Err(SegmentError::Missing) => {
                    let what = Lost::Unknown { sequences_max: entry.file_bytes / HEADER_BYTES as u64 };
                    let range = 0..entry.file_bytes;
                    sink(Recovered::Damage(Damage { file: format!("segments/{name}"), range, what }));
                }
                Err(SegmentError::Version(version)) => return Err(self.version(name, version)),
                Err(SegmentError::Disk(error)) => {
                    return Err(self.failed(&format!("read segments/{name}"), error));
                }
            }
        }
        Ok(segments)
    }

    /// Names what cannot be read in a segment.
    fn damaged_records(
        &self,
        segment: &Segment,
        sink: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<(), OpenError> {
        let file = segment.name();
        let mut report = |range, what| sink(Recovered::Damage(Damage { file: file.clone(), range, what }));
        report(0..segment.file_bytes, Lost::Nothing);
        let scanned = segment.scan(&mut |found| match found {
            Found::Record { .. } => {}
            Found::DamagedData { at, header } => report(at..at + header.record_bytes() as u64, lost(&header)),
            Found::Unreadable { at, bytes } => {
                report(at..at + bytes, Lost::Unknown { sequences_max: bytes / HEADER_BYTES as u64 });
            }
        });
        scanned.map_err(|error| self.failed(&format!("read {file}"), error))
    }

    /// Hands on a group of the last checkpoint and its messages. What its blocks take in segments.
    fn group(
        &self,
        entry: &GroupEntry,
        segments: &Arc<Segments>,
        sink: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<Arc<[InUse]>, OpenError> {
        let (at, what) = (entry.state, (Kind::State, entry.id, entry.upto));
        let mut state = Vec::new();
        let read = match segments.find(at.segment) {
            Some(segment) => {
                let place = Place::segment(at.segment, at.offset, at.bytes);
                read_in_segment(&segment, what, place, &mut state)
            }
            None => Err(Read::Moved),
        };
        let head_bytes = match read {
            Ok(head_bytes) => Some(head_bytes),
            Err(Read::Disk(file, error)) => return Err(self.failed(&format!("read {file}"), error)),
            Err(Read::Damaged(_) | Read::Moved) => None,
        };
        if head_bytes.is_none() {
            let file = format!("segments/{}", file_name(at.segment));
            let range = u64::from(at.offset)..u64::from(at.offset) + u64::from(at.bytes);
            sink(Recovered::Damage(Damage { file, range, what: Lost::State { group: entry.id } }));
        }
        let parts = head_bytes.map(|bytes| state[HEADER_BYTES..].split_at(bytes));
        let (in_use, state) = parts.map_or((&[][..], None), |(in_use, state)| (in_use, Some(state)));
        let (blocks, in_use): (Vec<InUse>, Vec<InUse>) =
            InUse::decode_all(in_use).into_iter().partition(InUse::is_of_blocks);
        let (heads, is_asked_for) = (Heads::new(segments, entry.id), Cell::new(false));
        sink(Recovered::Group {
            id: entry.id,
            meta: &entry.meta,
            state,
            heads: &heads,
            is_asked_for: &is_asked_for,
        });
        if is_asked_for.get() {
            segments.set_in_use(entry.id, &in_use);
            return Ok(blocks.into());
        }
        let mut parts: Vec<(u64, u64)> = segments
            .all()
            .iter()
            .filter_map(|segment| segment.part(entry.id).map(|part| (part.first, part.last)))
            .collect();
        parts.sort_unstable();
        // Segments whose sequences overlap are read together, any other alone.
        let mut rest = &parts[..];
        while let Some(((first, last), others)) = rest.split_first() {
            let (mut last, mut count) = (*last, 1);
            while let Some((_, end)) = others.get(count - 1).filter(|(begin, _)| *begin <= last) {
                (last, count) = (last.max(*end), count + 1);
            }
            self.messages(entry.id, segments, (*first, last), sink)?;
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(blocks.into())
    }

    /// Hands on the messages that segments hold of a group between two sequences.
    fn messages(
        &self,
        group: GroupId,
        segments: &Arc<Segments>,
        (from, to): (u64, u64),
        sink: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<(), OpenError> {
        let sound: Vec<_> = segments.overlapping(group, from, to);
        let sound: Vec<_> =
            sound.into_iter().filter(|segment| !segment.damaged.load(Ordering::Relaxed)).collect();
        let read = Heads::new(segments, group).read(
            from,
            to,
            &mut |Head { seq, head, place, body_bytes, .. }| {
                sink(Recovered::Message { group, seq, head, place, body_bytes });
            },
        );
        read.map_err(|error| self.failed("read the index of segments", error))?;
        // What was found to be damaged only by that.
        for segment in sound.iter().filter(|segment| segment.damaged.load(Ordering::Relaxed)) {
            self.damaged_records(segment, sink)?;
        }
        Ok(())
    }
}
