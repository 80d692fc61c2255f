//! Erasing a message's body where it stands, and looking at segments before somebody asks for what is in them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::disk::write_full;
use crate::error::{Damage, Failure, Lost, ReadError, Refused};
use crate::id::{GroupId, Lsn, Place};
use crate::log::LogFile;
use crate::read::read_record;
use crate::record::{Binding, Found, HEADER_BYTES, Header, Kind, finish};
use crate::recover::lost;
use crate::segment::Segment;
use crate::store::Store;

/// Why a message was not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store has failed for good.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// What looking at a segment found.
#[derive(Debug)]
pub struct Scrubbed {
    /// By which the next one is asked for.
    pub segment: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What cannot be read.
    pub damage: Vec<Damage>,
}

/// Files that were written to and are not synced yet.
#[derive(Default)]
struct Touched {
    log: BTreeMap<u64, Arc<LogFile>>,
    segments: BTreeMap<u64, Arc<Segment>>,
}

impl Touched {
    fn sync(&self) -> io::Result<()> {
        self.log.values().try_for_each(|file| file.file.sync())?;
        self.segments.values().try_for_each(|segment| segment.sync())
    }
}

impl Store {
    /// Writes zeros over the body of a message, durably, as soon as all that was submitted before is durable: so the record that deletes the
    /// message is to be submitted before, or a crash would leave a message without its body. Its head stays. Waits for the disk and for a
    /// checkpoint that runs: not for event loops. Copies that an earlier checkpoint has left in the log go with their files, the latest when
    /// the log has been written over once.
    ///
    /// # Errors
    /// It cannot be read: `Moved`, ask for its new place. Or the disk failed, and with it the store.
    pub fn erase(&self, group: GroupId, seq: u64, place: Place) -> Result<(), EraseError> {
        let mut unread = None;
        self.erase_all(&[(group, seq, place)], &mut |_, _, error| unread = Some(error))?;
        unread.map_or(Ok(()), |error| Err(error.into()))
    }

    /// The same of several messages, with one sync for each file. `unread` is told of those that cannot be read.
    ///
    /// # Errors
    /// The disk failed, and with it the store.
    pub fn erase_all(
        &self,
        messages: &[(GroupId, u64, Place)],
        unread: &mut dyn FnMut(GroupId, u64, ReadError),
    ) -> Result<(), Failure> {
        match self.wait(self.position()) {
            Err(Refused::Failed(failure)) => return Err(failure),
            // What is not in its file yet cannot be written over there.
            Err(Refused::Full | Refused::Busy) => {
                for &(group, seq, _) in messages {
                    let (file, cause) = ("log".into(), io::ErrorKind::StorageFull.into());
                    unread(group, seq, ReadError::Disk { file, cause });
                }
                return Ok(());
            }
            Ok(()) => {}
        }
        // No checkpoint copies them meanwhile.
        let _files = self.files.lock();
        self.give_up_spares();
        let mut touched = Touched::default();
        let mut erased = Ok(());
        for &(group, seq, place) in messages {
            match self.erase_one(group, seq, place, &mut touched) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => unread(group, seq, error),
                Err(error) => {
                    erased = Err(error);
                    break;
                }
            }
        }
        erased.and_then(|()| touched.sync()).map_err(|error| {
            let failure = Failure { doing: "erase a message".into(), cause: Arc::new(error) };
            self.log.fail(failure.clone());
            failure
        })
    }

    fn erase_one(
        &self,
        group: GroupId,
        seq: u64,
        place: Place,
        touched: &mut Touched,
    ) -> io::Result<Result<(), ReadError>> {
        let mut record = Vec::new();
        let read = read_record(&self.log, &self.segments, (Kind::Message, group, seq), place, &mut record);
        let head_bytes = match read {
            Ok(head_bytes) => head_bytes,
            Err(error) => return Ok(Err(error.into_error())),
        };
        record[HEADER_BYTES + head_bytes..].fill(0);
        let (head_bytes, body_bytes) = (head_bytes as u32, (record.len() - HEADER_BYTES - head_bytes) as u32);
        let header = Header {
            kind: Kind::Message,
            group,
            seq,
            head_bytes,
            body_bytes,
            data_checksum: 0,
            tag_bytes: 0,
            is_erased: false,
        };
        let is_there = self.overwrite(place, &mut record, header, touched)?;
        Ok(if is_there { Ok(()) } else { Err(ReadError::Moved) })
    }

    /// Files of the log that were to be written again are removed, those that there are and those that there will be.
    fn give_up_spares(&self) {
        let position = self.position().0;
        self.log.files.spares.lock().erased_below = position;
        self.log.spares_given_up();
    }

    fn overwrite(
        &self,
        place: Place,
        record: &mut Vec<u8>,
        header: Header,
        touched: &mut Touched,
    ) -> io::Result<bool> {
        // Sealed once more at its place, it is sealed as something else: no key seals two things by one nonce.
        let mut finished = |binding: &Binding, at| {
            let is_erased = binding.key.tag_bytes() > 0;
            finish(record, 0, (binding, at), Header { is_erased, ..header });
        };
        if let Some(Lsn(lsn)) = place.lsn() {
            let Some(file) = self.log.files.holding(lsn) else { return Ok(false) };
            finished(&file.binding, lsn);
            write_full(&*file.file, record, file.offset(lsn))?;
            touched.log.insert(file.first, file);
        } else {
            let id = place.segment_id().unwrap_or_default();
            let Some(segment) = self.segments.find(id) else { return Ok(false) };
            finished(segment.binding(), u64::from(place.offset()));
            segment.overwrite(place.offset(), record)?;
            touched.segments.insert(id, segment);
        }
        Ok(true)
    }

    /// Reads the whole of the first segment behind `after` (0 to begin), so that damage is found before somebody asks for what is there. `None`
    /// behind the last one. The caller decides how fast it goes on.
    ///
    /// # Errors
    /// The disk's own.
    pub fn scrub(&self, after: u64) -> Result<Option<Scrubbed>, ReadError> {
        let Some(segment) = self.segments.next(after) else { return Ok(None) };
        let file = segment.name();
        let mut damage = Vec::new();
        let mut report = |range, what| damage.push(Damage { file: file.clone(), range, what });
        let scanned = segment.scan(&mut |found| match found {
            Found::Record { .. } => {}
            Found::DamagedData { at, header } => report(at..at + header.record_bytes() as u64, lost(&header)),
            Found::Unreadable { at, bytes } => {
                report(at..at + bytes, Lost::Unknown { sequences_max: bytes / HEADER_BYTES as u64 });
            }
        });
        let whole = scanned.and_then(|()| segment.is_index_whole());
        let whole = whole.map_err(|cause| ReadError::Disk { file: file.clone(), cause })?;
        if !whole {
            report(0..segment.file_bytes, Lost::Nothing);
        }
        Ok(Some(Scrubbed { segment: segment.id, bytes: segment.file_bytes, damage }))
    }
}
