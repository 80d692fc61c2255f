//! permessage-deflate without context takeover (RFC 7692): each message is compressed by itself, so no connection has a window.
//!
//! What compresses is large (some 300 KiB) and what inflates is not small; a thread keeps a few of them, and a connection borrows one
//! while it is inside a message.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::cell::RefCell;

/// What each message's compressed bytes end with, and what is not sent. RFC 7692 §7.2.1.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
/// What a message is inflated with that a thread keeps for the next.
const SPARE_MAX: usize = 8;
/// Room that is made at once for what comes out.
const ROOM_BYTES: usize = 16 * 1024;

thread_local! {
    // In boxes, as connections have them: they are large.
    #[allow(clippy::vec_box)]
    static SPARE: RefCell<Vec<Box<Decompress>>> = const { RefCell::new(Vec::new()) };
    static COMPRESS: RefCell<Option<Compress>> = const { RefCell::new(None) };
}

/// Why a message cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// It would be larger than it may be.
    #[error("message is too large when it is inflated")]
    TooLarge,
    /// It is not DEFLATE.
    #[error("invalid compressed data")]
    Invalid,
}

/// Inflates one message after the other.
#[derive(Debug, Default)]
pub struct Inflater {
    /// There while a message is not over.
    state: Option<Box<Decompress>>,
    /// The last block has come; what follows it means nothing.
    is_over: bool,
    /// Bytes that came out of this message.
    bytes: usize,
}

impl Inflater {
    /// Appends to `out` what `input` holds, the next bytes of a message. With `last` the message is over.
    ///
    /// # Errors
    /// It is not DEFLATE, or more than `bytes_max` bytes have come out of the message.
    pub fn inflate(
        &mut self,
        input: &[u8],
        last: bool,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), InflateError> {
        let mut state = self.state.take().unwrap_or_else(|| {
            SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Box::new(Decompress::new(false)))
        });
        self.run(&mut state, input, bytes_max, out)?;
        if !last {
            self.state = Some(state);
            return Ok(());
        }
        self.run(&mut state, &TAIL, bytes_max, out)?;
        (self.is_over, self.bytes) = (false, 0);
        state.reset(false);
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                spare.push(state);
            }
        });
        Ok(())
    }

    fn run(
        &mut self,
        state: &mut Decompress,
        mut input: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), InflateError> {
        while !self.is_over {
            // One byte more than it may be, so that a message that is just as large ends.
            out.reserve((bytes_max - self.bytes.min(bytes_max) + 1).min(ROOM_BYTES));
            let (read, len) = (state.total_in(), out.len());
            let status =
                state.decompress_vec(input, out, FlushDecompress::Sync).map_err(|_| InflateError::Invalid)?;
            let (read, written) = ((state.total_in() - read) as usize, out.len() - len);
            let is_full = out.len() == out.capacity();
            input = input.get(read..).unwrap_or_default();
            self.bytes += written;
            if self.bytes > bytes_max {
                return Err(InflateError::TooLarge);
            }
            match status {
                Status::StreamEnd => self.is_over = true,
                Status::Ok | Status::BufError if is_full => {}
                Status::Ok | Status::BufError if input.is_empty() => break,
                Status::Ok => {}
                Status::BufError => return Err(InflateError::Invalid),
            }
        }
        Ok(())
    }
}

/// Appends `pieces` to `out` as the compressed bytes of one message. False: `out` is as it was, and they go as they are.
pub fn deflate<'a>(pieces: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) -> bool {
    let begin = out.len();
    let done = COMPRESS.with_borrow_mut(|kept| {
        let state = kept.get_or_insert_with(|| Compress::new(Compression::fast(), false));
        state.reset();
        let mut pieces = pieces.peekable();
        while let Some(mut piece) = pieces.next() {
            let flush = if pieces.peek().is_some() { FlushCompress::None } else { FlushCompress::Sync };
            loop {
                out.reserve(ROOM_BYTES);
                let before = state.total_in();
                if state.compress_vec(piece, out, flush).is_err() {
                    return false;
                }
                piece = piece.get((state.total_in() - before) as usize..).unwrap_or_default();
                // What does not fill its room has nothing more to write.
                if piece.is_empty() && out.len() < out.capacity() {
                    break;
                }
            }
        }
        out.ends_with(&TAIL)
    });
    out.truncate(if done { out.len() - TAIL.len() } else { begin });
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compressed(bytes: &[u8], cut: usize) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(deflate(bytes.chunks(cut.max(1)), &mut out));
        out
    }

    #[test]
    fn a_message_that_grows_too_large_is_refused_before_it_is_there() {
        let bomb = compressed(&vec![0; 10 << 20], 64 * 1024);
        assert!(bomb.len() < 256 * 1024);
        let mut out = Vec::new();
        let refused = Inflater::default().inflate(&bomb, true, 1 << 20, &mut out);
        assert_eq!(refused, Err(InflateError::TooLarge));
        assert!(out.len() <= 2 << 20, "{}", out.len());
    }

    #[test]
    fn a_message_may_be_just_as_large_as_it_may_be() {
        let message = compressed(&[7; 1000], 1000);
        for (max, expected) in [(1000, Ok(())), (999, Err(InflateError::TooLarge))] {
            assert_eq!(Inflater::default().inflate(&message, true, max, &mut Vec::new()), expected, "{max}");
        }
    }

    #[test]
    fn what_is_no_deflate_is_refused() {
        let refused = Inflater::default().inflate(&[0xFF; 40], true, 1000, &mut Vec::new());
        assert_eq!(refused, Err(InflateError::Invalid));
    }

    proptest! {
        #[test]
        fn what_was_deflated_comes_back_however_it_is_cut(
            messages in prop::collection::vec(prop::collection::vec(0u8..4, 1..5000), 1..4),
            cut in 1usize..3000,
        ) {
            let mut inflater = Inflater::default();
            for message in messages {
                let bytes = compressed(&message, cut);
                let mut out = Vec::new();
                let pieces: Vec<_> = bytes.chunks(cut).collect();
                for (i, piece) in pieces.iter().enumerate() {
                    inflater.inflate(piece, i + 1 == pieces.len(), message.len(), &mut out).expect("it comes out");
                }
                prop_assert_eq!(&out, &message);
            }
        }
    }
}
