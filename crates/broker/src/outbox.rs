//! The bytes that wait for one peer: bounded, in order, written by whoever touched the peer last.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A backlog from which on producers are held back for a moment.
pub const STALL_BYTES: usize = 256 * 1024;
/// A backlog at which held-back producers go on.
const RESUME_BYTES: usize = STALL_BYTES / 4;
/// A reader that took nothing for this long is not waited for; it runs into `max_pending` or its write deadline alone.
const PROGRESS_WINDOW: Duration = Duration::from_millis(100);
/// A buffer with this much in it gets no more appended; the next chunk begins.
const CHUNK_BYTES: usize = 64 * 1024;
/// Slices of one `writev`.
const SLICES_MAX: usize = 64;
/// What a pool keeps at most: buffers, their bytes together, and the bytes of one. A message to many peers needs as many buffers.
const POOL_BUFFERS_MAX: usize = 1024;
const POOL_BYTES_MAX: usize = 8 * 1024 * 1024;
const POOL_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// Where an outbox's bytes go. Never blocks.
pub trait Sink: Send + Sync {
    /// Takes bytes from the front of `slices`, as many as it can without waiting, and returns how many.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it can take no byte now; anything else: the connection is broken.
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// A piece of what is to be sent.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes for this peer only.
    Own(Vec<u8>),
    /// A body that several peers get.
    Shared(Arc<[u8]>),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// Buffers for reuse, one pool a loop.
#[derive(Debug, Default)]
pub struct Pool {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    /// An empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes = self.bytes.saturating_sub(buffer.capacity());
        buffer
    }

    /// Puts a buffer back.
    pub fn put(&mut self, mut buffer: Vec<u8>) {
        let bytes = self.bytes.saturating_add(buffer.capacity());
        if self.buffers.len() < POOL_BUFFERS_MAX
            && bytes <= POOL_BYTES_MAX
            && (1..=POOL_BUFFER_BYTES_MAX).contains(&buffer.capacity())
        {
            buffer.clear();
            self.buffers.push(buffer);
            self.bytes = bytes;
        }
    }

    /// Drops all buffers.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// How a flush ended.
#[derive(Debug)]
pub enum Flushed {
    /// Nothing is left.
    Empty,
    /// The peer takes no more for now.
    Blocked,
    /// The connection is broken.
    Failed(io::Error),
}

/// The bytes that wait for one peer.
pub struct Outbox {
    sink: Option<Arc<dyn Sink>>,
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are already written.
    written: usize,
    pending_bytes: usize,
    blocked_since: Option<Instant>,
    /// Of the bytes that waited when the peer fell behind, those that wait still.
    behind_bytes: usize,
    /// When it fell behind, as long as that is not 0.
    behind_since: Option<Instant>,
    progress_at: Option<Instant>,
}

impl Outbox {
    /// An empty outbox in front of `sink`.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self {
            sink: Some(sink),
            chunks: VecDeque::new(),
            written: 0,
            pending_bytes: 0,
            blocked_since: None,
            behind_bytes: 0,
            behind_since: None,
            progress_at: None,
        }
    }

    /// Bytes that wait.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Since when the peer has taken nothing, while something waits.
    pub fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// Since when the peer has not taken all that waited then.
    pub fn behind_since(&self) -> Option<Instant> {
        self.behind_since.filter(|_| self.behind_bytes > 0)
    }

    /// Whether producers should be held back: much waits, and the peer is reading.
    pub fn stalls(&self, now: Instant) -> bool {
        self.pending_bytes > STALL_BYTES
            && self.progress_at.is_some_and(|at| now.saturating_duration_since(at) < PROGRESS_WINDOW)
    }

    /// Whether producers that were held back may go on.
    pub fn resumes(&self) -> bool {
        self.pending_bytes <= RESUME_BYTES
    }

    /// Drops the connection and all that waits.
    pub fn close(&mut self) {
        self.sink = None;
        self.chunks = VecDeque::new();
        self.pending_bytes = 0;
        self.written = 0;
        self.blocked_since = None;
        self.behind_bytes = 0;
    }

    /// Whether [`Outbox::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.sink.is_none()
    }

    /// Appends a chunk. Small ones are copied behind the last, so that a slow peer's backlog stays in few buffers.
    pub fn push(&mut self, chunk: Chunk, pool: &mut Pool) {
        if self.sink.is_none() {
            return;
        }
        self.pending_bytes += chunk.bytes().len();
        match (self.chunks.back_mut(), chunk) {
            (Some(Chunk::Own(last)), Chunk::Own(bytes)) if last.len() + bytes.len() <= CHUNK_BYTES => {
                last.extend_from_slice(&bytes);
                pool.put(bytes);
            }
            (_, chunk) => self.chunks.push_back(chunk),
        }
    }

    /// Writes as much as the peer takes.
    pub fn flush(&mut self, now: Instant, pool: &mut Pool) -> Flushed {
        while self.pending_bytes > 0 {
            let Some(sink) = self.sink.as_ref() else { return Flushed::Empty };
            let first = self.chunks.front().map(Chunk::bytes).and_then(|b| b.get(self.written..));
            let result = if self.chunks.len() == 1 {
                sink.write(&[IoSlice::new(first.unwrap_or_default())])
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let mut count = 0;
                let rest = self.chunks.iter().skip(1).map(Chunk::bytes);
                for (slot, bytes) in slices.iter_mut().zip(first.into_iter().chain(rest)) {
                    *slot = IoSlice::new(bytes);
                    count += 1;
                }
                sink.write(slices.get(..count).unwrap_or_default())
            };
            match result {
                Ok(0) => return Flushed::Failed(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    self.progress_at = Some(now);
                    self.blocked_since = None;
                    self.behind_bytes = self.behind_bytes.saturating_sub(taken);
                    self.advance(taken, pool);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked_since.get_or_insert(now);
                    if self.behind_bytes == 0 {
                        (self.behind_bytes, self.behind_since) = (self.pending_bytes, Some(now));
                    }
                    return Flushed::Blocked;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Flushed::Failed(e),
            }
        }
        self.blocked_since = None;
        Flushed::Empty
    }

    /// Drops the first `taken` bytes and puts their buffers back into the pool.
    fn advance(&mut self, mut taken: usize, pool: &mut Pool) {
        self.pending_bytes = self.pending_bytes.saturating_sub(taken);
        while let Some(first) = self.chunks.front() {
            let left = first.bytes().len().saturating_sub(self.written);
            if taken < left {
                self.written += taken;
                return;
            }
            taken -= left;
            self.written = 0;
            if let Some(Chunk::Own(bytes)) = self.chunks.pop_front() {
                pool.put(bytes);
            }
        }
        // A queue that was long once does not keep its memory.
        if self.chunks.capacity() > SLICES_MAX {
            self.chunks = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    /// Takes `room` bytes in all, at most `step` at a time.
    struct Narrow {
        got: Mutex<Vec<u8>>,
        room: Mutex<usize>,
        step: usize,
    }

    impl Sink for Narrow {
        fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let mut room = self.room.lock();
            let all: Vec<u8> = slices.iter().flat_map(|s| s.iter().copied()).collect();
            let taken = all.len().min(*room).min(self.step);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            *room -= taken;
            self.got.lock().extend_from_slice(&all[..taken]);
            Ok(taken)
        }
    }

    #[test]
    fn a_pool_is_bounded() {
        let mut pool = Pool::default();
        let held = |pool: &Pool| pool.buffers.iter().map(Vec::capacity).sum::<usize>();
        for bytes in [0, 1, 100, POOL_BUFFER_BYTES_MAX, POOL_BUFFER_BYTES_MAX + 1] {
            (0..2 * POOL_BUFFERS_MAX).for_each(|_| pool.put(Vec::with_capacity(bytes)));
            assert!(pool.buffers.len() <= POOL_BUFFERS_MAX && held(&pool) <= POOL_BYTES_MAX, "{bytes}");
            assert_eq!(pool.bytes, held(&pool), "{bytes}");
            (0..10).for_each(|_| drop(pool.take()));
            assert_eq!(pool.bytes, held(&pool), "{bytes}");
        }
    }

    #[test]
    fn who_takes_something_is_behind_until_all_is_taken_that_waited() {
        let sink = Arc::new(Narrow { got: Mutex::default(), room: Mutex::new(0), step: 100 });
        let (mut outbox, mut pool) = (Outbox::new(sink.clone()), Pool::default());
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut flush = |second, pushed, room| {
            outbox.push(Chunk::Own(vec![b'x'; pushed]), &mut pool);
            *sink.room.lock() = room;
            outbox.flush(at(second), &mut pool);
            (outbox.blocked_since(), outbox.behind_since())
        };
        assert_eq!(flush(0, 10, 10), (None, None));
        assert_eq!(flush(1, 10, 4), (Some(at(1)), Some(at(1))));
        assert_eq!(flush(2, 10, 0), (Some(at(1)), Some(at(1))));
        // What came later does not count, neither as progress nor as backlog.
        assert_eq!(flush(3, 10, 5), (Some(at(3)), Some(at(1))));
        assert_eq!(flush(4, 0, 1), (Some(at(4)), Some(at(4))));
        assert_eq!(flush(5, 0, 19), (Some(at(5)), Some(at(4))));
        assert_eq!(flush(6, 0, 1), (None, None));
    }

    proptest::proptest! {
        #[test]
        fn bytes_leave_whole_and_in_order(
            chunks in proptest::collection::vec((proptest::collection::vec(0u8..9, 0..40), proptest::bool::ANY), 0..80),
            step in 1usize..50,
            rooms in proptest::collection::vec(0usize..200, 0..40),
        ) {
            let sink = Arc::new(Narrow { got: Mutex::default(), room: Mutex::new(0), step });
            let (mut outbox, mut pool) = (Outbox::new(sink.clone()), Pool::default());
            let (now, mut rooms) = (Instant::now(), rooms.into_iter());
            let mut sent = Vec::new();
            for (bytes, shared) in chunks {
                sent.extend_from_slice(&bytes);
                outbox.push(if shared { Chunk::Shared(bytes.into()) } else { Chunk::Own(bytes) }, &mut pool);
                *sink.room.lock() = rooms.next().unwrap_or(0);
                outbox.flush(now, &mut pool);
                assert_eq!(outbox.pending_bytes(), sent.len() - sink.got.lock().len());
            }
            *sink.room.lock() = usize::MAX;
            assert!(matches!(outbox.flush(now, &mut pool), Flushed::Empty));
            assert_eq!(*sink.got.lock(), sent);
        }
    }
}
