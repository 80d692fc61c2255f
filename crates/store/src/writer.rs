//! What writes the log: takes what was collected, writes it with one call, syncs once, and says so.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::commit::{Flight, Log};
use crate::disk::{Access, Disk, File, is_full, not_full, write_full};
use crate::error::Failure;
use crate::log::{
    BATCH_HEADER_BYTES, BatchHeader, CONTINUED, DATA_OFFSET, FileHeader, HEADERS_BYTES, LogFile, bytes_ahead,
};

/// Writes what was submitted. A server gives it a thread of its own (`Store::writer`, `run`); otherwise `Store::step` and `Store::wait` write.
pub struct Writer {
    log: Arc<Log>,
    active: Option<Active>,
    /// The end of the last batch has no witness behind it yet.
    unmarked: bool,
}

struct Active {
    epoch: u64,
    file: Arc<LogFile>,
    /// The length of the file, which is durable.
    bytes: u64,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.log.pending.lock().writer_ended = true;
        self.log.progress.notify_all();
    }
}

impl Writer {
    pub(crate) fn new(log: Arc<Log>) -> Writer {
        Writer { log, active: None, unmarked: false }
    }

    /// Writes until the store is dropped or fails.
    pub fn run(mut self) {
        loop {
            let mark_at = self.unmarked.then(|| Instant::now() + self.log.options.mark_delay);
            let Some(flight) = self.log.take(mark_at) else { return };
            if !self.land(flight) {
                return;
            }
        }
    }

    /// Writes what was submitted by now, if anything was; whether the store works.
    pub(crate) fn step(&mut self) -> bool {
        match self.log.take_now() {
            Some(flight) => self.land(flight),
            None => self.log.failed.get().is_none(),
        }
    }

    /// Makes a flight durable; whether the store works.
    fn land(&mut self, flight: Flight) -> bool {
        if self.log.failed.get().is_some() {
            return false;
        }
        let records = flight.bytes.len() > BATCH_HEADER_BYTES;
        loop {
            match self.write(&flight) {
                Ok(()) => break,
                // The batch was taken, so it waits until there is room: it is not acknowledged, and nothing is behind it.
                Err((_, error)) if is_full(&error) => {
                    if !self.wait_for_room() {
                        return false;
                    }
                }
                Err((doing, error)) => {
                    self.log.fail(Failure { doing, cause: Arc::new(error) });
                    return false;
                }
            }
        }
        self.unmarked = records;
        self.log.room.stuck.store(false, Ordering::Release);
        self.log.landed(flight);
        true
    }

    fn write(&mut self, flight: &Flight) -> Result<(), (String, io::Error)> {
        if self.active.as_ref().is_none_or(|active| active.epoch != flight.file.epoch) {
            let created = self.create(&flight.file);
            let created =
                created.map_err(|error| (format!("create log file {}", flight.file.name()), error))?;
            self.active = Some(created);
        }
        let Some(active) = &mut self.active else { return Ok(()) };
        let offset = active.file.offset(flight.base);
        let failed = |doing: &str, error| (format!("{doing} log file {}", active.file.name), error);
        let ahead = self.log.options.ahead_bytes();
        let needed = bytes_ahead(offset + flight.bytes.len() as u64, ahead);
        if needed > active.bytes {
            extend(&*active.file.file, active.bytes, needed).map_err(|error| failed("extend", error))?;
            active.bytes = needed;
        }
        write_full(&*active.file.file, &flight.bytes, offset).map_err(|error| failed("write", error))?;
        self.log.wrote(flight.end());
        active.file.file.sync().map_err(|error| failed("sync", not_full(error)))
    }

    /// A file with its header, durable under its name; and the file before says that there is one.
    fn create(&self, header: &FileHeader) -> io::Result<Active> {
        let log = &self.log;
        let dir = log.dir();
        let path = dir.join(header.name());
        let spare = log.files.spares.lock().take();
        if let Some(spare) = spare {
            log.disk.rename(&dir.join(spare), &path).map_err(not_full)?;
        }
        let file = create_or_take_over(&*log.disk, &path)?;
        write_full(&*file, &header.encode(&log.identity.store), 0)?;
        let there = file.bytes()?;
        let bytes = there.max(bytes_ahead(DATA_OFFSET, log.options.ahead_bytes()));
        extend(&*file, there, bytes)?;
        log.disk.sync_dir(&dir).map_err(not_full)?;
        if let Some(before) = log.files.holding(header.previous_first) {
            let position = header.previous_end.max(before.first);
            let mark = BatchHeader { position, durable: header.previous_end, bytes: 0, records: CONTINUED };
            write_full(&*before.file, &mark.encode(before.binding.seed), before.offset(position))?;
            before.file.sync().map_err(not_full)?;
        }
        let binding = header.binding(&log.identity.store, &log.identity.ring);
        let (epoch, first) = (header.epoch, header.first);
        let file = Arc::new(LogFile { name: header.name(), epoch, first, binding, file });
        log.files.insert(Arc::clone(&file));
        Ok(Active { epoch, file, bytes })
    }

    /// Waits a moment, unless the reserve makes room; whether to go on.
    fn wait_for_room(&self) -> bool {
        if self.log.give_up_reserve() {
            return true;
        }
        let mut pending = self.log.pending.lock();
        // Whoever waits for this could be who makes room.
        if !self.log.room.stuck.swap(true, Ordering::AcqRel) {
            self.log.progress.notify_all();
        }
        if !pending.stop {
            self.log.wake.wait_for(&mut pending, self.log.options.full_retry_interval);
        }
        !pending.stop
    }
}

/// A new file, or what an attempt that found the disk full has left of it.
fn create_or_take_over(disk: &dyn Disk, path: &Path) -> io::Result<Box<dyn File>> {
    match disk.open(path, Access::Create) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(path, Access::Write),
        opened => opened,
    }
}

/// Makes a file longer, durably: whatever was acknowledged stands in a file that was longer before, so one that is too short was cut.
/// And a batch that is written into a file that does not grow is synced faster.
fn extend(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    const PIECE_BYTES: u64 = 256 << 10;
    let zeros = vec![0; PIECE_BYTES.min(to.saturating_sub(from)) as usize];
    let mut at = from;
    while at < to {
        let bytes = PIECE_BYTES.min(to - at);
        write_full(file, &zeros[..bytes as usize], at)?;
        at += bytes;
    }
    file.sync().map_err(not_full)
}

const _: () = assert!(DATA_OFFSET as usize > HEADERS_BYTES);
