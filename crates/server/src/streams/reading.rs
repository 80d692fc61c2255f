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
use std::collections::VecDeque;
use std::ops::Range;
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
    /// What became of those that were asked for, in their order.
    fetched: VecDeque<Fetched>,
    /// Their bytes.
    bytes: Vec<u8>,
    /// A body that was compressed.
    whole: Vec<u8>,
    /// Bytes that may be sent before others have their turn.
    left: usize,
    /// Consumers could go on, with what is in memory or at hand.
    pub(super) has_more: bool,
}

/// A message that was asked for, where it was, and where its body stands.
struct Fetched {
    seq: u64,
    place: Place,
    body: Result<Range<usize>, ReadError>,
}

impl Ahead {
    fn new(store: &Store, group: GroupId) -> Self {
        Self {
            reader: store.reader(),
            group,
            fetched: VecDeque::new(),
            bytes: Vec::new(),
            whole: Vec::new(),
            left: READ_BYTES_MAX,
            has_more: false,
        }
    }

    /// Reads bodies, in place of those that were read before. Waits for the disk.
    fn fetch(&mut self, store: &Store, wanted: &[Wanted]) {
        self.fetched.clear();
        self.bytes.clear();
        for &(seq, place, body_bytes) in wanted {
            let at = dialtone_store::Place::from_bytes(place.0);
            let start = self.bytes.len();
            let read = self.reader.read(self.group, seq, at).map(|body| self.bytes.extend_from_slice(body));
            let body = read.and_then(|()| match unpack(&mut self.bytes, start, body_bytes) {
                true => Ok(start..self.bytes.len()),
                // What it was compressed from is not what it says.
                false => Err(ReadError::Damaged(store.damage_of(self.group, seq, at))),
            });
            self.fetched.push_back(Fetched { seq, place, body });
        }
    }

    /// A body that was read together with others, if more may be sent. The disk is not asked.
    pub(super) fn at_hand(&mut self, seq: u64, (place, body_bytes): (Place, u32)) -> Option<&[u8]> {
        if self.left == 0 {
            return None;
        }
        self.left = self.left.saturating_sub(body_bytes as usize);
        let fetched = self.fetched.iter().find(|fetched| fetched.is(seq, place));
        if let Some(Ok(range)) = fetched.map(|fetched| &fetched.body) {
            return self.bytes.get(range.clone());
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
        let position = self.fetched.iter().position(|fetched| fetched.is(seq, at.0));
        match position.and_then(|position| self.fetched.remove(position)).map(|fetched| fetched.body) {
            Some(Ok(range)) => {
                out.extend_from_slice(self.bytes.get(range).unwrap_or_default());
                return Ok(());
            }
            Some(Err(error)) => return Err(Unread::For(error)),
            None => {}
        }
        // What is asked for is sent, whatever was sent before.
        self.left = self.left.max(1);
        let body = self.at_hand(seq, at).ok_or(Unread::Yet)?;
        out.extend_from_slice(body);
        Ok(())
    }
}

impl Fetched {
    /// Whether it is this message, there; it may be elsewhere by now.
    fn is(&self, seq: u64, place: Place) -> bool {
        (self.seq, self.place) == (seq, place)
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
                if inner.backlog.is_empty() && !ahead.as_ref().is_some_and(|ahead| ahead.has_more) {
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
        if ahead.is_some_and(|ahead| ahead.has_more) {
            self.wake();
        }
    }
}
