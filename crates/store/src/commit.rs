//! What is appended and not yet durable: one buffer, into which submitters copy, and one thread that writes and syncs it.
//!
//! While a sync runs, what comes is collected and goes with the next one; where none runs, the thread is woken at once. So a lone publisher
//! waits for nobody, and many share a sync. What nobody waits for lingers a moment, and goes with what somebody does wait for, if there is any.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

use crate::disk::Disk;
use crate::error::{Failure, Refused};
use crate::id::{GroupId, Lsn, Place};
use crate::log::{BATCH_HEADER_BYTES, BatchHeader, FileHeader, LogFiles};
use crate::manifest::StatePlace;
use crate::options::Options;
use crate::record::{Binding, Kind, Seed, append};
use crate::seal::{FileKey, FileSeal, Ring};
use crate::segments::InUse;

/// Who wants to know of commits. Called by the store's writer thread, one call at a time, without a lock of the store: it may append, and it
/// should be short.
pub trait Committed: Send + Sync {
    /// Everything that was submitted below this position is durable.
    fn committed(&self, upto: Lsn);
    /// Everything that was submitted below this position is in its file, and survives the end of the server, though not that of the machine.
    fn written(&self, upto: Lsn) {
        let _ = upto;
    }
    /// The store has failed for good: nothing more becomes durable.
    fn failed(&self, failure: &Failure);
}

/// The log as its users share it.
pub(crate) struct Log {
    pub disk: Arc<dyn Disk>,
    /// The store's folder.
    pub root: PathBuf,
    pub identity: Identity,
    pub options: Options,
    pub files: LogFiles,
    pub pending: Mutex<Pending>,
    /// The writer waits here for something to write.
    pub wake: Condvar,
    /// Others wait here for a commit.
    pub progress: Condvar,
    /// Everything below is durable. Only the writer changes it.
    pub committed: AtomicU64,
    /// Everything below is in its file. Only the writer changes it.
    pub written: AtomicU64,
    /// Nothing below counts any more.
    pub log_from: AtomicU64,
    /// Records that were submitted since the store was opened, and how many of them the last checkpoint covers.
    pub submitted: AtomicU64,
    pub covered: AtomicU64,
    pub failed: OnceLock<Failure>,
    pub room: Room,
    pub listener: RwLock<Option<Arc<dyn Committed>>>,
}

/// By what new files are bound to their store, and sealed.
pub(crate) struct Identity {
    pub store: [u8; 16],
    pub ring: Ring,
}

/// What a full disk lets be done.
#[derive(Default)]
pub(crate) struct Room {
    /// Only what frees room is taken.
    pub low: AtomicBool,
    /// What was taken waits for room, and the reserve is used up. Only the writer changes it.
    pub stuck: AtomicBool,
}

/// What the lock holds.
pub(crate) struct Pending {
    /// Room for the batch's header, and the records.
    buffer: Vec<u8>,
    /// The position of the buffer's first byte.
    base: u64,
    records: u32,
    /// Until when the buffer may linger. `None`: somebody waits for it, or it is empty.
    lingers_until: Option<Instant>,
    /// The file that the buffer goes to.
    file: FileHeader,
    binding: Binding,
    /// The buffer that is used next.
    spare: Vec<u8>,
    /// What the writer writes: its position, and what binds it to its file.
    flight: Option<(u64, Binding, Arc<Vec<u8>>)>,
    writer_waits: bool,
    pub stop: bool,
    pub writer_ended: bool,
    /// See [`Options::pending_bytes_max`].
    pub bytes_max: usize,
    pub groups: HashMap<GroupId, Group>,
}

/// What the store knows of a group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub meta: Arc<[u8]>,
    /// The first record that no checkpoint covers.
    pub since: Option<u64>,
    /// Where the last record ends.
    pub last: u64,
    /// The sequences of messages in the log that no checkpoint covers, from and to.
    pub sequences: Option<(u64, u64)>,
    /// The state on disk covers all records below.
    pub upto: u64,
    pub state: Option<StatePlace>,
    /// What the blocks take that the state speaks of.
    pub blocks: Arc<[InUse]>,
    /// The position of the record that deleted it.
    pub deleted: Option<u64>,
}

impl Group {
    /// Notes records from `at` to `last`.
    pub fn note(&mut self, at: u64, last: u64, sequences: Option<(u64, u64)>) {
        self.since.get_or_insert(at);
        self.last = last;
        if let Some((from, to)) = sequences {
            let known = self.sequences.get_or_insert((from, to));
            *known = (known.0.min(from), known.1.max(to));
        }
    }
}

/// What the writer is to write.
pub(crate) struct Flight {
    pub base: u64,
    pub bytes: Arc<Vec<u8>>,
    pub file: FileHeader,
}

impl Flight {
    pub fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }
}

/// A buffer that grew beyond this is not kept.
const SPARE_BYTES_MAX: usize = 16 << 20;

impl Pending {
    pub fn new(
        file: FileHeader,
        (store, ring): (&[u8; 16], &Ring),
        groups: HashMap<GroupId, Group>,
    ) -> Pending {
        Pending {
            buffer: vec![0; BATCH_HEADER_BYTES],
            base: file.first,
            records: 0,
            lingers_until: None,
            file,
            binding: file.binding(store, ring),
            spare: vec![0; BATCH_HEADER_BYTES],
            flight: None,
            writer_waits: false,
            stop: false,
            writer_ended: false,
            bytes_max: Options::default().pending_bytes_max,
            groups,
        }
    }

    /// The position of the next record.
    pub fn position(&self) -> u64 {
        self.base + self.buffer.len() as u64
    }

    /// Everything that was submitted is below.
    pub fn end(&self) -> u64 {
        if self.buffer.len() > BATCH_HEADER_BYTES { self.position() } else { self.base }
    }

    /// Whether the buffer is to be written now, and else when.
    fn due(&self) -> Result<(), Option<Instant>> {
        match (self.records, self.lingers_until) {
            (0, _) => Err(None),
            (_, None) => Ok(()),
            (_, Some(until)) if self.stop || Instant::now() >= until => Ok(()),
            (_, until) => Err(until),
        }
    }

    /// Somebody waits for what was submitted, and the writer for something to do.
    fn hasten(&mut self, wake: &Condvar) {
        if self.lingers_until.take().is_some() && self.writer_waits {
            wake.notify_one();
        }
    }

    /// Memory that the buffers have.
    pub fn memory_bytes(&self) -> usize {
        let flight = self.flight.as_ref().map_or(0, |(.., bytes)| bytes.capacity());
        self.buffer.capacity() + self.spare.capacity() + flight
    }

    /// Bytes of a message that has not been written yet, if it is one.
    pub fn read(&self, lsn: u64, bytes: usize) -> Option<(Binding, &[u8])> {
        let (base, binding, buffer) = match &self.flight {
            Some((base, binding, flight)) if lsn < base + flight.len() as u64 => (*base, binding, &**flight),
            _ => (self.base, &self.binding, &self.buffer),
        };
        let offset = usize::try_from(lsn.checked_sub(base)?).ok()?;
        let found = buffer.get(offset..offset.checked_add(bytes)?)?;
        Some((binding.clone(), found))
    }
}

impl FileHeader {
    /// What binds the file's bytes to it.
    pub fn binding(&self, store: &[u8; 16], ring: &Ring) -> Binding {
        let key = self.seal.map_or(FileKey::Plain, |seal| ring.file_key(store, self.epoch, seal));
        Binding { seed: Seed::new(store, self.epoch), key }
    }
}

impl Log {
    /// The folder of the log's files.
    pub fn dir(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Takes what is to be written. `None`: there is nothing, and it is time to stop. At `mark_at` an empty batch is returned where nothing
    /// else has come.
    pub fn take(&self, mark_at: Option<Instant>) -> Option<Flight> {
        let mut pending = self.pending.lock();
        while let Err(lingers_until) = pending.due() {
            if mark_at.is_some_and(|at| pending.stop || Instant::now() >= at) {
                break;
            }
            if pending.stop {
                return None;
            }
            pending.writer_waits = true;
            match lingers_until.into_iter().chain(mark_at).min() {
                Some(at) => _ = self.wake.wait_until(&mut pending, at),
                None => self.wake.wait(&mut pending),
            }
            pending.writer_waits = false;
        }
        Some(self.swap(&mut pending))
    }

    /// Takes what was submitted by now.
    pub fn take_now(&self) -> Option<Flight> {
        let mut pending = self.pending.lock();
        (pending.records > 0).then(|| self.swap(&mut pending))
    }

    fn swap(&self, pending: &mut Pending) -> Flight {
        let next = std::mem::take(&mut pending.spare);
        let mut bytes = std::mem::replace(&mut pending.buffer, next);
        let (base, file) = (pending.base, pending.file);
        pending.lingers_until = None;
        let header = BatchHeader {
            position: base,
            durable: self.committed.load(Ordering::Acquire),
            bytes: (bytes.len() - BATCH_HEADER_BYTES) as u32,
            records: std::mem::take(&mut pending.records),
        };
        bytes[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode(pending.binding.seed));
        let bytes = Arc::new(bytes);
        pending.flight = Some((base, pending.binding.clone(), Arc::clone(&bytes)));
        pending.buffer.clear();
        pending.buffer.resize(BATCH_HEADER_BYTES, 0);
        pending.base += bytes.len() as u64;
        if pending.base - file.first >= self.options.log_file_bytes {
            pending.file = FileHeader {
                epoch: file.epoch + 1,
                first: pending.base,
                previous_end: pending.base,
                previous_first: file.first,
                ahead: self.options.ahead_bytes(),
                seal: FileSeal::new(&self.identity.ring),
            };
            pending.binding = pending.file.binding(&self.identity.store, &self.identity.ring);
        }
        Flight { base, bytes, file }
    }

    /// What ends here is in its file: says so to who wants to know.
    pub fn wrote(&self, end: u64) {
        self.written.store(end, Ordering::Release);
        if let Some(listener) = self.listener.read().clone() {
            listener.written(Lsn(end));
        }
    }

    /// A flight is durable: says so to all who wait.
    pub fn landed(&self, flight: Flight) {
        let end = flight.end();
        self.written.store(end, Ordering::Release);
        self.committed.store(end, Ordering::Release);
        {
            let mut pending = self.pending.lock();
            pending.flight = None;
            if let Ok(mut bytes) = Arc::try_unwrap(flight.bytes)
                && bytes.capacity() <= SPARE_BYTES_MAX.min(pending.bytes_max)
            {
                bytes.clear();
                pending.spare = bytes;
            }
        }
        self.progress.notify_all();
        if let Some(listener) = self.listener.read().clone() {
            listener.committed(Lsn(end));
        }
    }

    /// The store has failed for good.
    pub fn fail(&self, failure: Failure) {
        if self.failed.set(failure.clone()).is_ok() {
            // Whoever is about to wait holds the lock and has seen no failure, or waits.
            drop(self.pending.lock());
            self.progress.notify_all();
            self.wake.notify_all();
            if let Some(listener) = self.listener.read().clone() {
                listener.failed(&failure);
            }
        }
    }

    /// Waits until everything below a position is durable, but not for room on a full disk.
    pub fn wait(&self, upto: Lsn) -> Result<(), Refused> {
        let mut pending = self.pending.lock();
        pending.hasten(&self.wake);
        while self.committed.load(Ordering::Acquire) < upto.0 {
            if let Some(failure) = self.failed.get() {
                return Err(failure.clone().into());
            }
            if self.room.stuck.load(Ordering::Acquire) {
                return Err(Refused::Full);
            }
            // The writer may be gone without a word only if it panicked; then nobody shall wait for ever unseen.
            self.progress.wait_for(&mut pending, Duration::from_secs(1));
        }
        Ok(())
    }

    /// Somebody waits for what was submitted by now.
    pub fn hasten(&self) {
        self.pending.lock().hasten(&self.wake);
    }

    /// Begins a batch.
    pub fn batch(&self, urgency: Urgency) -> Result<Batch<'_>, Refused> {
        if let Some(failure) = self.failed.get() {
            return Err(Refused::Failed(failure.clone()));
        }
        if urgency == Urgency::Ordinary && self.room.low.load(Ordering::Relaxed) {
            return Err(Refused::Full);
        }
        let pending = self.pending.lock();
        // What frees room, and what says how far somebody is, is small, and lost work where it is refused.
        let most = match urgency {
            Urgency::Ordinary => pending.bytes_max,
            Urgency::FreesRoom => pending.bytes_max.saturating_mul(FREEING_SHARE),
        };
        if pending.buffer.len() >= most {
            return Err(Refused::Busy);
        }
        let start = pending.buffer.len();
        Ok(Batch { log: self, start, records: 0, current: None, pending })
    }
}

/// A buffer with so many bytes lingers no longer.
const LINGERING_BYTES_MAX: usize = 1 << 20;

/// How many times as much may wait for the disk before what frees room is refused, too.
const FREEING_SHARE: usize = 2;

/// Whether a batch may use the reserve of a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// It takes room: messages, consumers' progress.
    Ordinary,
    /// It frees room, or must not fail: deletes, purges.
    FreesRoom,
}

/// A group, its first record in a batch, and the sequences of its messages there, from and to.
type Noted = (GroupId, u64, Option<(u64, u64)>);

/// Messages and records that become durable together or not at all. It holds the lock of the buffer: make it when everything is ready, and
/// submit it soon. One that is dropped leaves nothing behind.
#[must_use = "what is not submitted is not appended"]
pub struct Batch<'a> {
    log: &'a Log,
    pending: MutexGuard<'a, Pending>,
    start: usize,
    records: u32,
    /// The group of the last records, and what is to be noted of it.
    current: Option<Noted>,
}

impl Batch<'_> {
    /// Appends a message and returns where it is. `head` is what recovery hands back of each message without reading its body, such as time
    /// and subject; the body is the parts, one behind the other.
    ///
    /// # Panics
    /// When the head has more than `HEAD_BYTES_MAX` bytes, or the body more than `BODY_BYTES_MAX`.
    pub fn message(&mut self, group: GroupId, seq: u64, head: &[u8], body: &[&[u8]]) -> Place {
        let at = self.pending.position();
        let bytes = self.append((Kind::Message, group, seq), head, body);
        self.note(group, at, Some(seq));
        Place::log(at, bytes)
    }

    /// Appends a record: a change of a group that recovery hands back in the order of the log.
    ///
    /// # Panics
    /// When it has more than `BODY_BYTES_MAX` bytes.
    pub fn record(&mut self, group: GroupId, bytes: &[u8]) {
        let at = self.pending.position();
        self.append((Kind::Record, group, 0), &[], &[bytes]);
        self.note(group, at, None);
    }

    /// Begins a group. `meta` says what it is, and never changes: a name, rather than a configuration, since the store keeps it in memory.
    ///
    /// # Panics
    /// When it has more than `META_BYTES_MAX` bytes.
    pub fn new_group(&mut self, meta: &[u8]) -> GroupId {
        assert!(meta.len() <= META_BYTES_MAX, "meta within its bound");
        let at = self.pending.position();
        let id = GroupId(at);
        self.append((Kind::NewGroup, id, 0), &[], &[meta]);
        let group =
            Group { meta: meta.into(), since: Some(at), last: self.pending.position(), ..Group::default() };
        self.pending.groups.insert(id, group);
        id
    }

    /// Deletes a group with all that it has. What it takes on disk is free after the next checkpoint.
    pub fn delete_group(&mut self, id: GroupId) {
        let at = self.pending.position();
        self.append((Kind::DeleteGroup, id, 0), &[], &[]);
        self.note(id, at, None);
        if let Some(group) = self.pending.groups.get_mut(&id) {
            group.deleted = Some(at);
        }
    }

    /// Hands the batch over. It is durable when everything below what this returns is committed. Never waits for the disk.
    pub fn submit(mut self) -> Lsn {
        let end = self.hand_over();
        self.pending.lingers_until = None;
        if self.pending.writer_waits {
            self.log.wake.notify_one();
        }
        end
    }

    /// Hands over a batch that nobody waits for: it may linger for [`Options::linger`], to be written with what comes meanwhile. Whoever
    /// waits for it after all says so by `Store::wait` or `Store::hasten`.
    pub fn submit_later(mut self) -> Lsn {
        let (was_empty, was_waited_for) = (self.pending.records == 0, self.pending.lingers_until.is_none());
        let end = self.hand_over();
        if was_empty {
            self.pending.lingers_until = Some(Instant::now() + self.log.options.linger);
        } else if !was_waited_for && self.pending.buffer.len() >= LINGERING_BYTES_MAX {
            self.pending.lingers_until = None;
        } else {
            return end;
        }
        if self.pending.writer_waits {
            self.log.wake.notify_one();
        }
        end
    }

    fn hand_over(&mut self) -> Lsn {
        self.settle();
        let records = std::mem::take(&mut self.records);
        self.log.submitted.fetch_add(records.into(), Ordering::Relaxed);
        self.pending.records += records;
        self.start = self.pending.buffer.len();
        Lsn(self.pending.end())
    }

    fn append(&mut self, what: (Kind, GroupId, u64), head: &[u8], body: &[&[u8]]) -> u32 {
        self.records += 1;
        let at = self.pending.position();
        let pending = &mut *self.pending;
        append(&mut pending.buffer, (&pending.binding, at), what, head, body)
    }

    fn note(&mut self, group: GroupId, at: u64, seq: Option<u64>) {
        match &mut self.current {
            Some((current, _, sequences)) if *current == group => {
                if let Some(seq) = seq {
                    let known = sequences.get_or_insert((seq, seq));
                    *known = (known.0.min(seq), known.1.max(seq));
                }
            }
            _ => {
                self.settle();
                self.current = Some((group, at, seq.map(|seq| (seq, seq))));
            }
        }
    }

    /// Notes what the records of the last group mean for it.
    fn settle(&mut self) {
        let last = self.pending.position();
        if let Some((id, at, sequences)) = self.current.take()
            && let Some(group) = self.pending.groups.get_mut(&id)
        {
            group.note(at, last, sequences);
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let start = self.start;
        let position = self.pending.base + start as u64;
        if self.pending.buffer.len() > start {
            self.pending.buffer.truncate(start);
            self.pending.groups.retain(|id, group| {
                group.deleted = group.deleted.filter(|at| *at < position);
                id.0 < position
            });
        }
    }
}

/// Bytes that say what a group is.
pub const META_BYTES_MAX: usize = 64 << 10;
