//! One end of a connection, as a process writes to it.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

/// How a link behaves.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// A piece takes at least this long.
    pub delay_min: Duration,
    /// And at most this long; never less than a piece before it.
    pub delay_max: Duration,
    /// Bytes of the largest piece.
    pub piece_bytes_max: usize,
    /// Bytes that may be on their way or wait to be read in each direction.
    pub window_bytes: usize,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            delay_min: Duration::from_micros(20),
            delay_max: Duration::from_millis(2),
            piece_bytes_max: 4096,
            window_bytes: 256 * 1024,
        }
    }
}

/// What one end has written and the other has not read yet.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Written, and not under way yet.
    pub written: Vec<u8>,
    /// Bytes under way or arrived, but not read.
    pub unread_bytes: usize,
    /// Pieces that arrived while the other end does not read.
    pub arrived: VecDeque<Vec<u8>>,
    /// A write found no room; who wrote is told when there is some.
    pub blocked: bool,
    /// The writer has closed it.
    pub closed: bool,
    /// Nothing goes through any more, in either direction.
    pub broken: bool,
    /// The other end reads what arrives.
    pub reading: bool,
}

/// Numbers of ends that something was done to.
pub(crate) type Touched = Arc<Mutex<Vec<usize>>>;

/// One end of a connection. Clones are the same end.
#[derive(Clone, Debug)]
pub struct End {
    number: usize,
    window_bytes: usize,
    /// Whoever does something to it is noted here.
    touched: Touched,
    outgoing: Arc<Mutex<Outgoing>>,
    incoming: Arc<Mutex<Outgoing>>,
}

impl End {
    /// Two ends that are connected.
    pub(crate) fn pair(first: usize, window_bytes: usize, touched: &Touched) -> [Self; 2] {
        let fresh = || Arc::new(Mutex::new(Outgoing { reading: true, ..Outgoing::default() }));
        let (there, back) = (fresh(), fresh());
        let end = |number, outgoing: &Arc<_>, incoming: &Arc<_>| Self {
            number,
            window_bytes,
            touched: touched.clone(),
            outgoing: Arc::clone(outgoing),
            incoming: Arc::clone(incoming),
        };
        [end(first, &there, &back), end(first + 1, &back, &there)]
    }

    /// Its number in the simulation.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Takes as many bytes as there is room for.
    ///
    /// Errors: `WouldBlock` without room, `BrokenPipe` once it is closed or broken.
    pub fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.touched.lock().push(self.number);
        let mut outgoing = self.outgoing.lock();
        if outgoing.closed || outgoing.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut room = self.window_bytes.saturating_sub(outgoing.written.len() + outgoing.unread_bytes);
        if room == 0 {
            outgoing.blocked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut taken = 0;
        for slice in slices {
            let part = slice.get(..slice.len().min(room)).unwrap_or_default();
            outgoing.written.extend_from_slice(part);
            room -= part.len();
            taken += part.len();
        }
        if taken < slices.iter().map(|slice| slice.len()).sum() {
            outgoing.blocked = true;
        }
        Ok(taken)
    }

    /// Closes this direction when what was written has arrived.
    pub fn close(&self) {
        self.touched.lock().push(self.number);
        self.outgoing.lock().closed = true;
    }

    /// Whether this end reads what arrives. What is not read fills the window.
    pub fn set_reading(&self, reading: bool) {
        self.touched.lock().push(self.number);
        self.incoming.lock().reading = reading;
    }

    pub(crate) fn with_outgoing<T>(&self, then: impl FnOnce(&mut Outgoing) -> T) -> T {
        then(&mut self.outgoing.lock())
    }

    pub(crate) fn with_incoming<T>(&self, then: impl FnOnce(&mut Outgoing) -> T) -> T {
        then(&mut self.incoming.lock())
    }
}
