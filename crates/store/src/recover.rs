//! Reading the log when the store is opened: what counts, what is damaged, and where the log ends.
//!
//! First all batch headers are found, and with them up to where the log is known to have been durable. Then the records are read: what
//! cannot be read below that position is damage, and a batch above it that is not whole is one that was being written when everything
//! stopped. It is cut as a whole, so that what was submitted together is there together.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Access, Disk};
use crate::error::{Damage, Lost};
use crate::log::{
    BATCH_HEADER_BYTES, BatchHeader, CONTINUED, DATA_OFFSET, FILE_HEADER_BYTES, FileHeader, FileHeaderFound,
    HEADERS_BYTES, LogFile, LogFiles, NONE, bytes_ahead, file_name, parse_file_name,
};
use crate::manifest::Manifest;
use crate::options::Options;
use crate::record::{ALIGNMENT, Binding, Found, HEADER_BYTES, Header, Seed, scan};
use crate::seal::{FileKey, FileSeal};

/// What the log turned out to be.
pub(crate) struct LogFound {
    pub files: LogFiles,
    /// Everything below counts.
    pub end: u64,
    /// The header of the next file: nothing of it was ever written.
    pub next: FileHeader,
    /// Bytes of a batch that was never acknowledged.
    pub torn_bytes: u64,
    /// The names of files in which something is damaged.
    pub damaged: Vec<String>,
}

/// What is found on the way.
pub(crate) enum LogEvent<'a> {
    Record { at: u64, header: Header, head: &'a [u8], body: &'a [u8] },
    Damage(Damage),
}

/// Why it was given up.
pub(crate) enum LogError {
    Version { file: String, version: u32 },
    Disk(String, io::Error),
}

/// Part of a file: the records of one batch, or what lies between two batches.
struct Stretch {
    start: u64,
    records: u64,
    end: u64,
    whole: bool,
}

struct Candidate {
    file: Arc<LogFile>,
    header: Option<FileHeader>,
    /// The header stands there whole, and not just its copy.
    is_header_whole: bool,
    stretches: Vec<Stretch>,
    /// How far its batches go.
    end: u64,
    /// It says that there is another one behind it.
    continued: bool,
}

/// Reads the part of the log that counts.
pub(crate) fn recover(
    (disk, dir): (&dyn Disk, &Path),
    options: &Options,
    manifest: &Manifest,
    sink: &mut dyn FnMut(LogEvent<'_>),
) -> Result<LogFound, LogError> {
    let (from, mut durable) = (manifest.log_from, manifest.log_end);
    let mut files = open_files(disk, dir, manifest)?;
    for index in 0..files.len() {
        let limit = files.get(index + 1).and_then(|next| next.header).map(|next| next.previous_end);
        // What the next file begins above is nobody's any more.
        if files.get(index + 1).is_some_and(|next| next.file.first <= from) {
            continue;
        }
        durable = durable.max(find_batches(&mut files[index], limit)?).max(limit.unwrap_or(0));
    }
    let mut damaged = Vec::new();
    let mut report = |sink: &mut dyn FnMut(LogEvent<'_>), damage: Damage| {
        if !damaged.contains(&damage.file) {
            damaged.push(damage.file.clone());
        }
        sink(LogEvent::Damage(damage));
    };
    let mut reached = from;
    let mut torn_bytes = 0;
    for index in 0..files.len() {
        if files.get(index + 1).is_some_and(|next| next.file.first <= from) {
            continue;
        }
        let last = index + 1 == files.len();
        missing(&files[index], reached, last && durable <= files[index].file.first, &mut |damage| {
            report(sink, damage)
        });
        let expected = match files.get(index + 1).and_then(|next| next.header) {
            Some(next) => next.previous_end,
            None if last => durable,
            None => 0,
        };
        let candidate = &mut files[index];
        if expected > candidate.end.max(candidate.file.first) {
            let start = candidate.end;
            candidate.stretches.push(Stretch { start, records: start, end: expected, whole: false });
            candidate.end = expected;
        }
        for stretch in &candidate.stretches {
            if stretch.end <= from {
                continue;
            }
            let may_be_torn = last && stretch.end > durable;
            match read_stretch(&candidate.file, stretch, from, may_be_torn, sink, &mut report) {
                Ok(true) => reached = reached.max(stretch.end),
                Ok(false) => {
                    torn_bytes = stretch.end - stretch.start;
                    break;
                }
                Err(error) => {
                    return Err(LogError::Disk(format!("read log file {}", candidate.file.name), error));
                }
            }
        }
    }
    if let Some(damage) = lost_end(&files, manifest.log_epoch, options) {
        report(sink, damage);
    }
    let end = reached.max(durable);
    let mut next = next_file(&files, end, (manifest.log_epoch, options.ahead_bytes()));
    next.seal = FileSeal::new(&manifest.ring);
    let found = LogFiles::default();
    keep_spares((disk, dir), manifest, &found)?;
    for candidate in files {
        found.insert(candidate.file);
    }
    Ok(LogFound { files: found, end, next, torn_bytes, damaged })
}

/// Keeps files that may be written again, and removes those that hold what was written before the store was encrypted.
fn keep_spares(
    (disk, dir): (&dyn Disk, &Path),
    manifest: &Manifest,
    found: &LogFiles,
) -> Result<(), LogError> {
    let names = disk.list(dir).map_err(|error| LogError::Disk("list the log's files".into(), error))?;
    let mut spares = found.spares.lock();
    spares.sealed_from = manifest.sealed_from;
    for name in names.into_iter().filter_map(|name| spares.keep(name)) {
        let removed = disk.remove(&dir.join(&name));
        removed.map_err(|error| LogError::Disk(format!("remove log file {name}"), error))?;
    }
    Ok(())
}

/// Whether the newest file is not there, or is shorter than it was. How much it held is not known.
fn lost_end(files: &[Candidate], epoch: u64, options: &Options) -> Option<Damage> {
    let bytes = options.log_file_bytes + options.pending_bytes_max as u64;
    let Some(last) = files.last() else {
        return (epoch > 0).then(|| lost_file("the last file of the log".into(), 0..0, bytes));
    };
    if last.file.epoch < epoch || last.continued {
        return Some(lost_file(format!("the file after {}", last.file.name), 0..0, bytes));
    }
    let there = last.file.file.bytes().unwrap_or(0);
    // A file in the making may be short: nothing says yet that it is there.
    let before = files.len().checked_sub(2).and_then(|index| files.get(index));
    let made = !last.stretches.is_empty()
        || last.file.epoch <= epoch
        || before.is_some_and(|before| before.continued);
    let ahead = last.header.map_or(options.ahead_bytes(), |header| header.ahead);
    let short = there < bytes_ahead(last.file.offset(last.end), ahead);
    (made && short).then(|| lost_file(last.file.name.clone(), there..there, bytes))
}

fn lost_file(file: String, range: std::ops::Range<u64>, bytes: u64) -> Damage {
    Damage { file, range, what: Lost::Unknown { sequences_max: bytes / HEADER_BYTES as u64 } }
}

/// Opens the files, the oldest first.
fn open_files(disk: &dyn Disk, dir: &Path, manifest: &Manifest) -> Result<Vec<Candidate>, LogError> {
    let store = &manifest.store;
    let names = disk.list(dir).map_err(|error| LogError::Disk("list the log's files".into(), error))?;
    let mut names: Vec<_> =
        names.into_iter().filter_map(|name| parse_file_name(&name).map(|parsed| (parsed, name))).collect();
    names.sort();
    let newest = names.last().map(|(parsed, _)| *parsed);
    let mut files = Vec::new();
    for ((epoch, first), name) in names {
        let failed = |doing: &str, error| LogError::Disk(format!("{doing} log file {name}"), error);
        let file = disk.open(&dir.join(&name), Access::Write).map_err(|error| failed("open", error))?;
        // The process may have ended between a write and its sync, or a sync may have failed: what counts from here on is what is on the
        // device.
        if newest == Some((epoch, first)) {
            file.sync().map_err(|error| failed("sync", error))?;
            file.forget_cached().map_err(|error| failed("read", error))?;
        }
        let mut bytes = [0; HEADERS_BYTES];
        let there = crate::disk::read_full(&*file, &mut bytes, 0).map_err(|error| failed("read", error))?;
        let found = FileHeader::decode(&bytes[..there], store, (epoch, first));
        let header = match found {
            FileHeaderFound::Header(header) | FileHeaderFound::Copy(header) => Some(header),
            FileHeaderFound::Invalid => None,
            FileHeaderFound::Version(version) => return Err(LogError::Version { file: name, version }),
        };
        let key = file_key(manifest, epoch, header.and_then(|header| header.seal));
        let binding = Binding { seed: Seed::new(store, epoch), key };
        let file = LogFile { name, epoch, first, binding, file };
        files.push(Candidate {
            file: Arc::new(file),
            header,
            is_header_whole: matches!(found, FileHeaderFound::Header(_)),
            stretches: Vec::new(),
            end: first,
            continued: false,
        });
    }
    // Positions grow with epochs; a name that says otherwise is not the store's.
    files.dedup_by(|later, earlier| later.file.first <= earlier.file.first);
    Ok(files)
}

/// The key of a file. One that must be sealed, and does not say by what, is not read as if it were not.
fn file_key(manifest: &Manifest, epoch: u64, seal: Option<FileSeal>) -> FileKey {
    match seal {
        Some(seal) => manifest.ring.file_key(&manifest.store, epoch, seal),
        None if !manifest.ring.is_empty() && epoch >= manifest.sealed_from => FileKey::Lost,
        None => FileKey::Plain,
    }
}

/// Finds the batches of a file and returns up to where they say that the log was durable. Batches at `limit` or above do not count.
fn find_batches(candidate: &mut Candidate, limit: Option<u64>) -> Result<u64, LogError> {
    let file = Arc::clone(&candidate.file);
    let failed = |error| LogError::Disk(format!("read log file {}", file.name), error);
    let mut window = Window::new(&file);
    let (mut position, mut durable) = (file.first, 0);
    let mut damaged_from = None;
    while limit.is_none_or(|limit| position < limit) {
        let bytes = window.at(position, BATCH_HEADER_BYTES).map_err(failed)?;
        if bytes.len() < BATCH_HEADER_BYTES {
            break;
        }
        let Some(header) = BatchHeader::decode(bytes, file.binding.seed, position) else {
            damaged_from.get_or_insert(position);
            position += ALIGNMENT as u64;
            continue;
        };
        if let Some(start) = damaged_from.take() {
            candidate.stretches.push(Stretch { start, records: start, end: position, whole: false });
        }
        durable = durable.max(header.durable);
        if header.records == CONTINUED {
            candidate.end = position;
            candidate.continued = true;
            break;
        }
        let records = position + BATCH_HEADER_BYTES as u64;
        let end = records + u64::from(header.bytes);
        candidate.stretches.push(Stretch { start: position, records, end, whole: true });
        (position, candidate.end) = (end, end);
    }
    if let Some(limit) = limit.map(|limit| limit.max(file.first)) {
        let mark = BatchHeader::decode(
            window.at(limit, BATCH_HEADER_BYTES).map_err(failed)?,
            file.binding.seed,
            limit,
        );
        candidate.continued = mark.is_some_and(|mark| mark.records == CONTINUED);
    }
    Ok(durable)
}

/// Reports what is missing or damaged between what was read up to `reached` and this file. Of one in the making, not even the header was
/// durable.
fn missing(candidate: &Candidate, reached: u64, in_the_making: bool, report: &mut dyn FnMut(Damage)) {
    let name = &candidate.file.name;
    match candidate.header {
        Some(header) if header.previous_end > reached && header.previous_first != NONE => {
            let name = format!("the file before {name}");
            report(lost_file(name, 0..0, header.previous_end - reached));
        }
        _ if !candidate.is_header_whole && !in_the_making => {
            let range = 0..FILE_HEADER_BYTES as u64;
            report(Damage { file: name.clone(), range, what: Lost::Nothing });
        }
        _ => {}
    }
}

/// Notes damage, and hands it to the sink.
type Report<'a> = dyn FnMut(&mut dyn FnMut(LogEvent<'_>), Damage) + 'a;

/// Reads the records of a stretch; whether it counts. Records below `from` are passed over.
fn read_stretch(
    file: &LogFile,
    stretch: &Stretch,
    from: u64,
    may_be_torn: bool,
    sink: &mut dyn FnMut(LogEvent<'_>),
    report: &mut Report<'_>,
) -> io::Result<bool> {
    let wanted = (stretch.end - stretch.records) as usize;
    // What the file does not have is neither allocated nor read.
    let available = file.file.bytes()?.saturating_sub(file.offset(stretch.records));
    let mut bytes = vec![0; wanted.min(usize::try_from(available).unwrap_or(usize::MAX))];
    let there = file.read(&mut bytes, stretch.records)?;
    if may_be_torn {
        let mut whole = there == wanted && stretch.whole;
        scan(&bytes[..there], &file.binding, stretch.records, &mut |found| {
            whole &= matches!(found, Found::Record { .. });
        });
        if !whole {
            return Ok(false);
        }
    }
    let mut damaged = false;
    let mut damage = |sink: &mut dyn FnMut(LogEvent<'_>), at: u64, bytes: u64, what: Lost| {
        damaged = true;
        if at + bytes > from {
            let range = file.offset(at)..file.offset(at) + bytes;
            report(sink, Damage { file: file.name.clone(), range, what });
        }
    };
    scan(&bytes[..there], &file.binding, stretch.records, &mut |found| match found {
        Found::Record { at, header, head, body } => {
            if at >= from {
                sink(LogEvent::Record { at, header, head, body });
            }
        }
        Found::DamagedData { at, header } => damage(sink, at, header.record_bytes() as u64, lost(&header)),
        Found::Unreadable { at, bytes } => {
            // The header of the batch stands first where it is what is damaged.
            let header = !stretch.whole && at == stretch.start && bytes == BATCH_HEADER_BYTES as u64;
            let sequences_max = bytes / HEADER_BYTES as u64;
            damage(sink, at, bytes, if header { Lost::Nothing } else { Lost::Unknown { sequences_max } });
        }
    });
    if there < wanted {
        let missing = (wanted - there) as u64;
        let sequences_max = missing / HEADER_BYTES as u64;
        damage(sink, stretch.records + there as u64, missing, Lost::Unknown { sequences_max });
    }
    Ok(true)
}

/// What is lost with a record whose header can be read.
pub(crate) fn lost(header: &Header) -> Lost {
    use crate::record::Kind;
    match header.kind {
        Kind::Message => Lost::Message { group: header.group, seq: header.seq },
        Kind::State => Lost::State { group: header.group },
        Kind::Block => Lost::Block { group: header.group },
        Kind::Record | Kind::NewGroup | Kind::DeleteGroup => Lost::Record { group: header.group },
    }
}

/// The file that is written next: above everything that any file could hold, so that no position is used twice.
fn next_file(files: &[Candidate], end: u64, (epoch, ahead): (u64, u32)) -> FileHeader {
    let Some(last) = files.last() else {
        let first = end.next_multiple_of(64);
        return FileHeader {
            epoch: epoch + 1,
            first,
            previous_end: end,
            previous_first: NONE,
            ahead,
            seal: None,
        };
    };
    let physical = last.file.file.bytes().unwrap_or(0).saturating_sub(DATA_OFFSET);
    // A file without a batch was one, too.
    let first = (last.file.first + physical.max(1)).max(end).next_multiple_of(64);
    let epoch = last.file.epoch.max(epoch) + 1;
    FileHeader { epoch, first, previous_end: end, previous_first: last.file.first, ahead, seal: None }
}

/// A file that is read from the front to the back.
struct Window<'a> {
    file: &'a LogFile,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
}

const WINDOW_BYTES: usize = 1 << 20;

impl<'a> Window<'a> {
    fn new(file: &'a LogFile) -> Self {
        Window { file, buffer: vec![0; WINDOW_BYTES], start: 0, filled: 0 }
    }

    /// So many bytes from a position on, less at the end of the file.
    fn at(&mut self, position: u64, bytes: usize) -> io::Result<&[u8]> {
        let inside = position >= self.start && position + bytes as u64 <= self.start + self.filled as u64;
        if !inside {
            self.filled = self.file.read(&mut self.buffer, position)?;
            self.start = position;
        }
        let offset = (position - self.start) as usize;
        Ok(&self.buffer[offset..self.filled.min(offset + bytes)])
    }
}

impl FileHeader {
    /// The name of the file.
    pub fn name(&self) -> String {
        file_name(self.epoch, self.first)
    }
}
