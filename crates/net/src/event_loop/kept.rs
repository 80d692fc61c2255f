//! Bytes of a connection that were read and could not be used yet: a message that is not whole, or messages that wait.
//!
//! Each byte is moved a constant number of times, however the bytes are cut: little that comes behind much is put to what is
//! kept, and what is kept is put before it only if at least as much came.

use super::READ_BUFFER_BYTES;
use crate::handler::Received;

/// What a connection keeps up to this size is put before what comes next in the loop's buffer, rather than the other way round.
const CARRIED_BYTES_MAX: usize = READ_BUFFER_BYTES / 2;
/// Room that a message leaves behind when it is used, at most so many times what is kept then.
const ROOM_FACTOR_MAX: usize = 4;

/// The bytes that a connection keeps.
#[derive(Debug, Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    /// Bytes at their front that are used. Not 0 only in a pause after which the rest is used.
    used: usize,
    /// Bytes that the front needs to be of use, if that is known.
    want: usize,
    #[cfg(test)]
    moved: usize,
}

impl Kept {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes there must be room for in front of the next read; 0 also if all of them are too many.
    pub(super) fn carried(&self) -> usize {
        if self.bytes.len() <= CARRIED_BYTES_MAX { self.bytes.len() } else { 0 }
    }

    /// Brings the kept bytes together with `got` new ones, which are in `buffer` behind room for `carried`. True: they stand at the
    /// front of `buffer`, and [`Kept::keep`] is to be called with what is not used of them. False: they are here.
    pub(super) fn join(&mut self, buffer: &mut [u8], carried: usize, got: usize) -> bool {
        let kept = self.bytes.len();
        let carries = carried == kept && carried <= got && kept + got >= self.want;
        if carries {
            if let Some(front) = buffer.get_mut(..carried) {
                front.copy_from_slice(&self.bytes);
                self.count(carried);
            }
        } else {
            self.append(buffer.get(carried..carried + got).unwrap_or_default());
        }
        carries
    }

    /// Puts bytes to those that are kept.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.count(bytes.len());
    }

    /// Keeps the rest of a read for the next one, in a buffer that is gone when the message is whole.
    pub(super) fn keep(&mut self, rest: &[u8], want: usize) {
        self.want = want;
        if rest.is_empty() {
            self.clear();
            return;
        }
        self.bytes.clear();
        self.bytes.reserve_exact(rest.len().max(want.min(READ_BUFFER_BYTES)));
        self.bytes.extend_from_slice(rest);
        self.count(rest.len());
    }

    /// What is kept and not used.
    pub(super) fn unused(&self) -> &[u8] {
        self.bytes.get(self.used..).unwrap_or_default()
    }

    /// Notes what came of [`Kept::unused`].
    pub(super) fn note(&mut self, received: &Received) {
        self.used += received.used;
        self.want = received.want;
        if self.used >= self.bytes.len() {
            self.clear();
        } else if self.used > 0 && !received.resume_after_pause {
            // Messages that wait for one another would move all behind them each time.
            self.shrink();
        }
    }

    pub(super) fn clear(&mut self) {
        (self.used, self.want) = (0, 0);
        if self.bytes.capacity() > 0 {
            self.bytes = Vec::new();
        }
    }

    /// Lets go of what is used.
    fn shrink(&mut self) {
        let rest = self.bytes.len() - self.used;
        if self.bytes.capacity() / ROOM_FACTOR_MAX > rest {
            self.bytes = self.unused().to_vec();
        } else {
            self.bytes.drain(..self.used);
        }
        self.used = 0;
        self.count(rest);
    }

    #[cfg(test)]
    fn count(&mut self, bytes: usize) {
        self.moved += bytes;
    }

    #[cfg(not(test))]
    fn count(&self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Messages in the tests: three bytes that say their size with these, then the rest.
    fn message(size: usize) -> Vec<u8> {
        let size = size.max(3);
        let mut bytes = vec![(size >> 16) as u8, (size >> 8) as u8, size as u8];
        bytes.resize(size, b'x');
        bytes
    }

    /// Uses whole messages, as a handler does, up to `max` of them: the others have to wait.
    fn receive(input: &[u8], out: &mut Vec<usize>, max: usize) -> Received {
        let mut received = Received::default();
        for _ in 0..max {
            let rest = &input[received.used..];
            let [high, middle, low, ..] = rest else { return received };
            let size = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            if rest.len() < size {
                received.want = size;
                return received;
            }
            out.push(size);
            received.used += size;
        }
        received.resume_after_pause = received.used < input.len();
        received
    }

    /// Feeds `stream` in pieces as an event loop does. The sizes of the messages; how much was kept at most, and moved in all.
    fn feed(stream: &[u8], pieces: &[usize], at_once: usize) -> (Vec<usize>, usize, usize) {
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        let (mut kept, mut out, mut kept_max, mut at) = (Kept::default(), Vec::new(), 0, 0);
        let mut pieces = pieces.iter().cycle();
        while at < stream.len() {
            let carried = kept.carried();
            let piece = (*pieces.next().expect("a piece")).min(buffer.len() - carried).min(stream.len() - at);
            buffer[carried..carried + piece].copy_from_slice(&stream[at..at + piece]);
            at += piece;
            let mut received = if kept.join(&mut buffer, carried, piece) {
                let input = &buffer[..carried + piece];
                let received = receive(input, &mut out, at_once);
                kept.keep(&input[received.used..], received.want);
                received
            } else {
                let received = receive(kept.unused(), &mut out, at_once);
                kept.note(&received);
                received
            };
            kept_max = kept_max.max(kept.bytes.capacity());
            while received.resume_after_pause {
                received = receive(kept.unused(), &mut out, at_once);
                kept.note(&received);
            }
        }
        assert!(kept.is_empty());
        (out, kept_max, kept.moved)
    }

    #[track_caller]
    fn check(sizes: &[usize], pieces: &[usize], at_once: usize) {
        let stream: Vec<u8> = sizes.iter().flat_map(|&size| message(size)).collect();
        let (out, kept_max, moved) = feed(&stream, pieces, at_once);
        assert_eq!(out, sizes);
        assert!(moved <= 4 * stream.len(), "{moved} bytes moved of {}", stream.len());
        let largest = sizes.iter().max().expect("a size");
        let most = 2 * (largest + READ_BUFFER_BYTES);
        assert!(kept_max <= most, "{kept_max} bytes kept, of messages of {largest} at most");
    }

    #[test]
    fn a_large_message_in_small_pieces_is_moved_a_few_times() {
        check(&[100_000], &[1], usize::MAX);
        check(&[300_000, 5, 300_000], &[7, 1, 100], usize::MAX);
        check(&[70_000; 5], &[65_536], usize::MAX);
        check(&[10; 30_000], &[100_000], 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn bytes_are_moved_a_few_times_however_they_are_cut(
            sizes in prop::collection::vec(prop_oneof![3usize..50, 3usize..5000, 3usize..300_000], 1..20),
            pieces in prop::collection::vec(prop_oneof![1usize..10, 1usize..3000, 1usize..300_000], 1..8),
            at_once in prop_oneof![Just(usize::MAX), 1usize..4],
        ) {
            check(&sizes, &pieces, at_once);
        }
    }
}
