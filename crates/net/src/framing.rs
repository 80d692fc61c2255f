//! Framing between the socket, or TLS, and the protocol: the trait, and how what is framed is written.
//!
//! A frame that has begun is written to its end before anything else goes, so what was promised by its head must still wait: who
//! writes hands the same bytes again until they are taken.

use std::cell::Cell;
use std::io::{self, IoSlice};

/// Bytes in frames that may wait behind the socket before more are framed.
const PENDING_BYTES_MAX: usize = 64 * 1024;
/// Slices of a frame that one write takes.
const SLICES_MAX: usize = 64;
/// Room that a thread keeps for what it frames next.
const SPARE_BYTES_MAX: usize = 2 * PENDING_BYTES_MAX;

thread_local! {
    /// An empty buffer for whichever connection is written to next. No connection keeps one of its own.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What turns bytes of a protocol into frames and back. Given by the connection; nothing here knows what frames look like.
pub trait Framing: Send {
    /// Decodes from the front of `input`, in place. Bytes that cannot stand in place go to `extra`, which is empty.
    fn decode(&mut self, input: &mut [u8], extra: &mut Vec<u8>) -> Decoded;

    /// Frames bytes from the front of `slices`, behind `out`.
    fn frame(&mut self, slices: &[IoSlice<'_>], out: &mut Vec<u8>) -> Framed;

    /// Moves frames that go between others behind `out`.
    fn take_control(&mut self, out: &mut Vec<u8>);

    /// The last frame of all, once. `wanted` is what the owner wants it to hold, if it wants one.
    fn take_farewell(&mut self, wanted: Option<&[u8]>) -> Option<Vec<u8>>;
}

/// What came of bytes in frames.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Bytes of the input that were used. If not all were, what came out is to be taken before the others are decoded.
    pub used: usize,
    /// Bytes of the protocol that stand at the front of the input. The extra ones follow them.
    pub plain: usize,
    /// Nothing comes any more, for this reason.
    pub ended: Option<Ended>,
}

/// Why no more frames come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The peer said that they end.
    Closed,
    /// They cannot be used.
    Broken(FramingError),
}

/// What is wrong with frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// They are none; the text says why.
    Invalid(String),
    /// One is too large.
    TooLarge,
}

/// How bytes were framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed {
    /// A head was written for so many bytes, which follow it as they are.
    Head(usize),
    /// They are in what was written.
    Whole(usize),
}

/// Framing with what it has begun to write.
pub(crate) struct Framer {
    pub(crate) framing: Box<dyn Framing>,
    /// Framed bytes that go before all others.
    pending: Vec<u8>,
    /// Bytes that the frame that has begun still wants, or that go before the first one.
    in_frame: usize,
    farewell: Option<Vec<u8>>,
}

/// What is below: TLS or the socket.
pub(crate) type Below<'a> = &'a mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>;

impl Framer {
    /// `first` goes before any frame.
    pub(crate) fn new(framing: Box<dyn Framing>, first: Vec<u8>) -> Self {
        Self { framing, pending: first, in_frame: 0, farewell: None }
    }

    /// The next `unframed_bytes` go as they are, before any frame.
    pub(crate) fn behind(framing: Box<dyn Framing>, unframed_bytes: usize) -> Self {
        Self { in_frame: unframed_bytes, ..Self::new(framing, Vec::new()) }
    }

    /// Writes bytes from the front of `slices`. How many were taken.
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>], below: Below<'_>) -> io::Result<usize> {
        if self.in_frame == 0 {
            self.framing.take_control(&mut self.pending);
            // What waits of a frame that was written whole goes first, so that little is copied for a peer that does not read.
            if self.pending.len() > PENDING_BYTES_MAX {
                self.write_pending(below)?;
            }
            if self.pending.capacity() == 0 {
                self.pending = SPARE.take();
            }
            match self.framing.frame(slices, &mut self.pending) {
                Framed::Head(bytes) => self.in_frame = bytes,
                Framed::Whole(taken) => {
                    return match self.write_pending(below) {
                        Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
                        // It counts as written: it leaves before anything else does.
                        _ => Ok(taken),
                    };
                }
            }
        }
        let taken = self.write_in_frame(slices, below)?;
        if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    /// Writes the head, if it waits, and what the frame wants, in one go.
    fn write_in_frame(&mut self, slices: &[IoSlice<'_>], below: Below<'_>) -> io::Result<usize> {
        let mut out = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let mut left = self.in_frame;
        let payload = slices.iter().map(|slice| {
            let piece = slice.get(..left.min(slice.len())).unwrap_or_default();
            left -= piece.len();
            piece
        });
        let all = std::iter::once(self.pending.as_slice()).chain(payload).filter(|piece| !piece.is_empty());
        for (slot, piece) in out.iter_mut().zip(all) {
            *slot = IoSlice::new(piece);
            count += 1;
        }
        let written = below(out.get(..count).unwrap_or_default())?;
        let head = written.min(self.pending.len());
        self.drop_pending(head);
        self.in_frame -= written - head;
        Ok(written - head)
    }

    /// Writes what waits. `WouldBlock` if anything still does.
    pub(crate) fn flush(&mut self, below: Below<'_>) -> io::Result<()> {
        if self.in_frame == 0 {
            self.framing.take_control(&mut self.pending);
        }
        self.write_pending(below)
    }

    fn write_pending(&mut self, below: Below<'_>) -> io::Result<()> {
        while !self.pending.is_empty() {
            match below(&[IoSlice::new(&self.pending)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.drop_pending(written),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn drop_pending(&mut self, bytes: usize) {
        if bytes == self.pending.len() {
            let mut spare = std::mem::take(&mut self.pending);
            if (1..=SPARE_BYTES_MAX).contains(&spare.capacity()) {
                spare.clear();
                SPARE.set(spare);
            }
        } else {
            self.pending.drain(..bytes);
        }
    }

    /// What the last frame is to hold.
    pub(crate) fn set_farewell(&mut self, payload: Vec<u8>) {
        self.farewell = Some(payload);
    }

    /// Bytes that go before another frame begins, of those that are framed.
    pub(crate) fn unwritten(&self) -> usize {
        self.pending.len()
    }

    /// Sends the last frame, if the one before is whole.
    pub(crate) fn goodbye(&mut self, below: Below<'_>) {
        let wanted = self.farewell.take();
        if self.in_frame == 0
            && let Some(farewell) = self.framing.take_farewell(wanted.as_deref())
        {
            self.framing.take_control(&mut self.pending);
            self.pending.extend_from_slice(&farewell);
        }
        // The peer may be gone, or not reading; then it does not miss a goodbye.
        let _ = self.write_pending(below);
    }
}

#[cfg(test)]
mod tests;
