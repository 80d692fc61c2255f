//! The store as its users see it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::checkpoint::{Checkpoint, CheckpointError, Checkpointed, Round, Trouble};
use crate::commit::{Batch, Committed, Log, Urgency};
use crate::disk::{Access, Disk, Lock, is_full};
use crate::error::{Damage, Failure, Lost, OpenError, ReadError, Refused};
use crate::heads::Heads;
use crate::id::{GroupId, Lsn, Place};
use crate::manifest::{Manifest, NAMES};
use crate::opening::{self, Keys, Recovered};
use crate::options::Options;
use crate::read::read_record;
use crate::record::{HEADER_BYTES, Kind};
use crate::segment::file_name;
use crate::segments::Segments;
use crate::writer::Writer;

/// What a checkpoint takes of memory for each record that it moves, about.
const MOVED_BYTES: u64 = 100;

/// Groups of messages and records on disk. Dropping it writes what was submitted.
pub struct Store {
    pub(crate) log: Arc<Log>,
    pub(crate) segments: Arc<Segments>,
    /// Whoever writes files other than the log holds it.
    pub(crate) files: Mutex<Files>,
    keys: Keys,
    /// Until a thread has it.
    writer: Mutex<Option<Writer>>,
    _lock: Box<dyn Lock>,
}

impl Store {
    /// Opens the store in a folder, or begins one where the folder is empty or missing, and hands what is in it to `sink`. What was being
    /// written when the last process ended is cut; this is the only way in, after an orderly end as after any other.
    ///
    /// # Errors
    /// In use, of a newer version, without a manifest that can be read, or the disk's own. Damage elsewhere is no error: it is handed to `sink`.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        sink: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<Store, OpenError> {
        let opened = opening::open(disk, dir, options, sink)?;
        let log = Arc::new(opened.log);
        let writer = Mutex::new(Some(Writer::new(Arc::clone(&log))));
        let files = Mutex::new(Files { manifest: opened.manifest, damaged: opened.damaged });
        let (segments, keys) = (opened.segments, opened.keys);
        Ok(Store { log, segments, files, keys, writer, _lock: opened.lock })
    }

    /// What writes, for a thread of its own: `None` when one has it. Where it is not taken, nothing becomes durable but by `step` and `wait`,
    /// as simulations want it. Dropping the store waits for the writer, so its thread must run.
    pub fn writer(&self) -> Option<Writer> {
        self.writer.lock().take()
    }

    /// Writes what was submitted by now, on this thread, where no other has the writer; whether the store works.
    pub fn step(&self) -> bool {
        self.writer.lock().as_mut().map_or_else(|| self.failure().is_none(), Writer::step)
    }

    /// Begins a batch. It holds the lock of the store's buffer until it is submitted.
    ///
    /// # Errors
    /// `Busy` while too much waits for the disk, `Full` while the disk is full and the batch takes room, `Failed` for good.
    pub fn batch(&self, urgency: Urgency) -> Result<Batch<'_>, Refused> {
        self.log.batch(urgency)
    }

    /// Where the log ends: what was submitted is below, and what comes is not.
    pub fn position(&self) -> Lsn {
        Lsn(self.log.pending.lock().end())
    }

    /// Sets how many bytes may wait for the disk before no more is taken: [`Options::pending_bytes_max`].
    pub fn set_pending_bytes_max(&self, bytes: usize) {
        self.log.pending.lock().bytes_max = bytes;
    }

    /// Bytes of memory that what is on its way to the disk has.
    pub fn buffered_bytes(&self) -> usize {
        self.log.pending.lock().memory_bytes()
    }

    /// What became of the store's keys when it was opened.
    pub fn keys(&self) -> Keys {
        self.keys
    }

    /// Bytes of segments that are not sealed by the newest data key: checkpoints write them anew, some at a time.
    pub fn to_seal_bytes(&self) -> u64 {
        let newest = self.log.identity.ring.newest();
        let segments = self.segments.all();
        let old = segments.iter().filter(|segment| !segment.is_sealed_by(newest));
        old.map(|segment| segment.file_bytes).sum()
    }

    /// Everything below is durable.
    pub fn committed(&self) -> Lsn {
        Lsn(self.log.committed.load(Ordering::Acquire))
    }

    /// Everything below is in its file, and durable soon.
    pub fn written(&self) -> Lsn {
        Lsn(self.log.written.load(Ordering::Acquire))
    }

    /// Who is called after each commit from now on, instead of who was before.
    pub fn on_commit(&self, listener: Arc<dyn Committed>) {
        *self.log.listener.write() = Some(listener);
    }

    /// Ends the writer in order: what was submitted is written, and where the log ends says so, so that whatever is damaged later can be told
    /// from what was never whole. What is submitted from now on is not written any more.
    pub fn stop(&self) {
        self.log.pending.lock().stop = true;
        self.log.wake.notify_all();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            writer.run();
        }
        let mut pending = self.log.pending.lock();
        while !pending.writer_ended {
            self.log.progress.wait(&mut pending);
        }
    }

    /// Waits until everything below a position is durable. Not for event loops.
    ///
    /// # Errors
    /// The store failed before it was; or the disk is full, its reserve, too, so that nobody knows when it will be: it is still taken.
    pub fn wait(&self, upto: Lsn) -> Result<(), Refused> {
        self.step();
        self.log.wait(upto)
    }

    /// Somebody waits for what was submitted by now, by `Batch::submit_later` too.
    pub fn hasten(&self) {
        self.log.hasten();
    }

    /// Whether the store has failed for good, and why.
    pub fn failure(&self) -> Option<&Failure> {
        self.log.failed.get()
    }

    /// Whether the store's folder is still there, as far as it can be asked. One that was removed has failed: what is written goes nowhere.
    pub fn is_there(&self) -> bool {
        let is_gone = |name: &str| {
            let opened = self.log.disk.open(&self.log.root.join(name), Access::Read);
            opened.err().filter(|error| error.kind() == io::ErrorKind::NotFound)
        };
        let [one, other] = NAMES;
        let Some(cause) = is_gone(one).filter(|_| is_gone(other).is_some()) else { return true };
        let doing = format!("find its files in {}", self.log.root.display());
        self.log.fail(Failure { doing, cause: Arc::new(cause) });
        false
    }

    /// Whether the disk is full: only batches that free room are taken.
    pub fn is_low(&self) -> bool {
        self.log.room.low.load(Ordering::Relaxed)
    }

    /// Whether the disk is so full that not even what was taken has room. It becomes durable once there is some.
    pub fn is_stuck(&self) -> bool {
        self.log.room.stuck.load(Ordering::Relaxed)
    }

    /// Appends the body of a message to `body`, whether it is durable or not.
    ///
    /// # Errors
    /// It is damaged, it cannot be read at the moment, or it is not there any more; then nothing is appended.
    pub fn read(&self, group: GroupId, seq: u64, place: Place, body: &mut Vec<u8>) -> Result<(), ReadError> {
        let start = body.len();
        match read_record(&self.log, &self.segments, (Kind::Message, group, seq), place, body) {
            Ok(head_bytes) => {
                body.drain(start..start + HEADER_BYTES + head_bytes);
                Ok(())
            }
            Err(read) => {
                body.truncate(start);
                Err(read.into_error())
            }
        }
    }

    /// The damage that a message is at a place: its record is whole, and what it says is not.
    pub fn damage_of(&self, group: GroupId, seq: u64, place: Place) -> Damage {
        let (file, from) = match place.lsn() {
            Some(Lsn(lsn)) => match self.log.files.holding(lsn) {
                Some(file) => (format!("log/{}", file.name), file.offset(lsn)),
                None => (String::new(), 0),
            },
            None => (
                format!("segments/{}", file_name(place.segment_id().unwrap_or_default())),
                u64::from(place.offset()),
            ),
        };
        let range = from..from + u64::from(place.bytes());
        Damage { file, range, what: Lost::Message { group, seq } }
    }

    /// A message is not in use any more: what it takes can be freed once a checkpoint holds that. Call it when the record that deletes the
    /// message was submitted; and after `open`, for each message of a checkpoint that is not in use.
    pub fn dropped(&self, group: GroupId, place: Place) {
        self.segments.dropped(group, place);
    }

    /// No message of the group up to this sequence is in use any more, wherever it is; no other one has a lower sequence. As `dropped`.
    pub fn dropped_upto(&self, group: GroupId, upto: u64) {
        self.segments.dropped_upto(group, upto);
    }

    /// How many of a group's messages in segments are in use.
    pub fn in_use(&self, group: GroupId) -> u64 {
        let all = self.segments.all();
        let parts = all.iter().filter_map(|segment| segment.part(group));
        parts.map(|part| part.live.load(Ordering::Relaxed)).sum()
    }

    /// Reads heads of a group's messages that are in segments.
    pub fn heads(&self, group: GroupId) -> Heads {
        Heads::new(&self.segments, group)
    }

    /// Bytes of the log that no checkpoint covers.
    pub fn behind(&self) -> u64 {
        let from = self.log.log_from.load(Ordering::Relaxed);
        self.position().0.saturating_sub(from)
    }

    /// The same, with what a checkpoint takes of memory to move each record.
    pub fn to_move_bytes(&self) -> u64 {
        let covered = self.log.covered.load(Ordering::Relaxed);
        let records = self.log.submitted.load(Ordering::Relaxed).saturating_sub(covered);
        self.behind() + records * MOVED_BYTES
    }

    /// Moves states and messages from the log into segments, cuts the log, writes segments anew of which less than half is in use, and
    /// removes what is not. One runs at a time. Worth it every 64 MiB of `to_move_bytes` or every 30 s, and every second while `is_low`: with room
    /// for it, the reserve is made again and the store takes everything again.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub fn checkpoint(&self, groups: &mut dyn Checkpointed) -> Result<Checkpoint, CheckpointError> {
        let mut files = self.files.lock();
        if let Some(failure) = self.failure() {
            return Err(CheckpointError::Failed(failure.clone()));
        }
        if self.is_stuck() {
            // What is captured could not count before what was taken is durable.
            return Err(CheckpointError::Full);
        }
        let submitted = self.log.submitted.load(Ordering::Relaxed);
        let mut done = self.round(&mut files, groups);
        if matches!(&done, Err(Trouble::Write(_, error)) if is_full(error)) && self.log.give_up_reserve() {
            done = self.round(&mut files, groups);
        }
        let done = done.and_then(|done| {
            self.log.log_from.store(files.manifest.log_from, Ordering::Relaxed);
            self.log.covered.store(submitted, Ordering::Relaxed);
            // What the log could use again is of more use as a reserve, where there is no room for both.
            if self.is_low() {
                self.log.spares_given_up();
            }
            let reserve = self.log.make_reserve();
            reserve.map_err(|error| Trouble::Write("write the reserve".into(), error))?;
            Ok(done)
        });
        done.map_err(|trouble| match trouble {
            Trouble::Read(error) => CheckpointError::Read(error),
            Trouble::Write(_, error) if is_full(&error) => CheckpointError::Full,
            Trouble::Write(doing, error) => {
                let failure = Failure { doing, cause: Arc::new(error) };
                self.log.fail(failure.clone());
                CheckpointError::Failed(failure)
            }
            Trouble::Failed(failure) => CheckpointError::Failed(failure),
        })
    }

    fn round(&self, files: &mut Files, groups: &mut dyn Checkpointed) -> Result<Checkpoint, Trouble> {
        let Files { manifest, damaged } = files;
        let step = || self.step();
        Round { log: &self.log, segments: &self.segments, manifest, damaged, step: &step }.run(groups)
    }
}

/// What checkpoints change.
pub(crate) struct Files {
    manifest: Manifest,
    /// Names of log files in which something cannot be read.
    damaged: Vec<String>,
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop();
    }
}
