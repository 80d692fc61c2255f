//! Reading the disk for streams: by a thread of its own, which has no lock while it reads. So nobody who has something for a stream waits for
//! the disk, and neither does what other consumers of it get.

use super::backlog::Wanted;
use super::hosted::Hosted;
use super::session::Unread;
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::messages::Place;
use dialtone_jetstream::stream::unpack;
use dialtone_store::{GroupId, ReadError, Reader, Store};
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes that are read from the disk for a stream before others have their turn.
pub(super) const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often it is looked what a stream wants before others have their turn.
const ROUNDS_MAX: usize = 64;

/// Streams that want something from the disk, each once.
#[derive(Default)]
pub(super) struct Reads {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    streams: VecDeque<Arc<Hosted>>,
    is_closed: bool,
}

impl Reads {
    /// A stream wants something.
    pub(super) fn push(&self, hosted: Arc<Hosted>) {
        self.queue.lock().streams.push_back(hosted);
        self.changed.notify_one();
    }

    /// Waits for a stream that wants something, unless there is more to be done already. `None`: there will be none any more.
    pub(super) fn next(&self, has_more: bool) -> Option<Option<Arc<Hosted>>> {
        let mut queue = self.queue.lock();
        loop {
            if queue.is_closed {
                return None;
            }
            let next = queue.streams.pop_front();
            if next.is_some() || has_more {
                return Some(next);
            }
            self.changed.wait(&mut queue);
        }
    }

    /// Nothing is read any more.
    pub(super) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.is_closed = true;
        let rest = std::mem::take(&mut queue.streams);
        drop(queue);
        self.changed.notify_all();
        drop(rest);
    }
}

/// Bodies of a stream that were read.
pub(super) struct Ahead {
    reader: Reader,
    group: GroupId,
    /// What became of those that were asked for, and where they were.
    fetched: HashMap<u64, (Place, Result<Vec<u8>, ReadError>)>,
    /// A body that was compressed.
    whole: Vec<u8>,
    /// Bytes that may be sent before others have their turn.
    left: usize,
}

impl Ahead {
    fn new(store: &Store, group: GroupId) -> Self {
        let (reader, whole) = (store.reader(), Vec::new());
        Self { reader, group, fetched: HashMap::new(), whole, left: READ_BYTES_MAX }
    }

    /// Reads bodies, in place of those that were read before. Waits for the disk.
    fn fetch(&mut self, store: &Store, wanted: &[Wanted]) {
        self.fetched.clear();
        for &(seq, place, body_bytes) in wanted {
            let at = dialtone_store::Place::from_bytes(place.0);
            let read = self.reader.read(self.group, seq, at).map(<[u8]>::to_vec);
            let read = read.and_then(|mut body| match unpack(&mut body, 0, body_bytes) {
                true => Ok(body),
                // What it was compressed from is not what it says.
                false => Err(ReadError::Damaged(store.damage_of(self.group, seq, at))),
            });
            self.fetched.insert(seq, (place, read));
        }
    }

    /// A body that was read together with others, if more may be sent. The disk is not asked.
    pub(super) fn at_hand(&mut self, seq: u64, (place, body_bytes): (Place, u32)) -> Option<&[u8]> {
        if self.left == 0 {
            return None;
        }
        self.left = self.left.saturating_sub(body_bytes as usize);
        if let Some((at, Ok(_))) = self.fetched.get(&seq)
            && *at == place
        {
            return self.fetched.get(&seq).and_then(|(_, body)| body.as_deref().ok());
        }
        let body = self.reader.at_hand(self.group, seq, dialtone_store::Place::from_bytes(place.0))?;
        if body.len() == body_bytes as usize {
            return Some(body);
        }
        self.whole.clear();
        self.whole.extend_from_slice(body);
        unpack(&mut self.whole, 0, body_bytes).then_some(&self.whole)
    }

    /// Appends a body that was asked for, or read together with others.
    pub(super) fn take(&mut self, seq: u64, at: (Place, u32), out: &mut Vec<u8>) -> Result<(), Unread> {
        match self.fetched.remove(&seq) {
            Some((place, Ok(body))) if place == at.0 => {
                out.extend_from_slice(&body);
                return Ok(());
            }
            Some((place, Err(error))) if place == at.0 => return Err(Unread::For(error)),
            // It is elsewhere by now.
            _ => {}
        }
        // What is asked for is sent, whatever was sent before.
        self.left = self.left.max(1);
        let body = self.at_hand(seq, at).ok_or(Unread::Yet)?;
        out.extend_from_slice(body);
        Ok(())
    }
}

impl Hosted {
    /// Has what waits for the disk read, by the thread that does.
    pub(super) fn want_read(&self) {
        if !self.flags.is_reading.swap(true, Ordering::AcqRel)
            && let Some(this) = self.this.upgrade()
        {
            self.shared.reads.push(this);
        }
    }

    /// Reads from the disk what waits for it, and sends it. Only on a thread that may wait; the lock is not held meanwhile.
    pub(crate) fn read_later(&self, turn: &mut dyn Publish) {
        self.flags.is_reading.store(false, Ordering::Release);
        let store = self.shared.store();
        let mut ahead = store.zip(self.group).map(|(store, group)| Ahead::new(store, group));
        for _ in 0..ROUNDS_MAX {
            let wanted = {
                let inner = self.lock();
                if inner.backlog.is_empty() {
                    return;
                }
                inner.backlog.wanted(inner.state.machine.messages())
            };
            if let Some((store, ahead)) = store.zip(ahead.as_mut()) {
                ahead.fetch(store, &wanted);
            }
            self.with_disk(turn, &mut ahead, |session| session.flush_later());
            if ahead.as_ref().is_some_and(|ahead| ahead.left == 0) {
                break;
            }
        }
        if !self.lock().backlog.is_empty() {
            self.want_read();
        }
    }
}
