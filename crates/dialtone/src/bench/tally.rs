//! Counts equal-sized messages by their bytes: one byte is looked at a message.
//!
//! The messages of a flow have one length, so a subscriber knows where each begins. The first byte there tells a message
//! from the lines a server may put in between (a PING, an INFO), and the last beginning in what was read is compared
//! with the whole header expected; only where one of them differs are the operations walked one by one. Where messages
//! carry the time they were sent, that is read at its fixed place.

use super::histogram::Histogram;
use anyhow::{Result, anyhow};

/// Bytes of a time stamp at the beginning of a payload: nanoseconds, little endian.
pub const STAMP_BYTES: usize = 8;
const PING: &[u8] = b"PING\r\n";
/// Lines that may come between messages besides.
const LINES: [&[u8]; 3] = [b"INFO ", b"-ERR ", b"+OK"];
/// Longest such line that is waited for.
const LINE_BYTES_MAX: usize = 1 << 20;
/// A line that was not expected is cut to this in the report.
const REPORTED_BYTES_MAX: usize = 256;

/// What every message of a subscriber looks like.
#[derive(Clone)]
pub struct Frame {
    /// How each message begins.
    pub prefix: Vec<u8>,
    /// Bytes of a whole message, from MSG to the last line end.
    pub message_bytes: usize,
    /// Where the time stamp is, if there is one.
    pub stamp_at: Option<usize>,
}

/// What one subscriber has received.
pub struct Tally {
    frame: Frame,
    /// Bytes of messages, whole or not.
    bytes: u64,
    /// Bytes received of the message that is not whole yet.
    into: usize,
    /// The beginning of a line that is no message, cut off by the end of a read.
    control: Vec<u8>,
    pings: usize,
}

impl Tally {
    /// Expects messages like `frame`.
    pub fn new(frame: Frame) -> Tally {
        Tally { frame, bytes: 0, into: 0, control: Vec::new(), pings: 0 }
    }

    /// Whole messages received.
    pub fn messages(&self) -> u64 {
        self.bytes / self.frame.message_bytes as u64
    }

    /// Whether the messages carry the time they were sent.
    pub fn stamped(&self) -> bool {
        self.frame.stamp_at.is_some()
    }

    /// How many PINGs came since the last call; each wants a PONG.
    pub fn pings_taken(&mut self) -> usize {
        std::mem::take(&mut self.pings)
    }

    /// Counts what was read. Errors: an -ERR of the server, or bytes that are no expected message.
    pub fn receive(&mut self, chunk: &[u8]) -> Result<()> {
        if self.control.is_empty() && self.beginnings_fit(chunk) {
            self.bytes += chunk.len() as u64;
            self.into = (self.into + chunk.len()) % self.frame.message_bytes;
            return Ok(());
        }
        self.walk(chunk)
    }

    /// Like [`Tally::receive`], and records how long each message was under way at the time `now` (nanoseconds on the
    /// sender's clock). A stamp cut by the end of a read is left out.
    pub fn receive_stamped(&mut self, chunk: &[u8], now: u64, latency: &mut Histogram) -> Result<()> {
        let plain = self.control.is_empty() && self.beginnings_fit(chunk);
        if let (true, Some(stamp_at)) = (plain, self.frame.stamp_at) {
            let mut at =
                stamp_at.checked_sub(self.into).unwrap_or(self.frame.message_bytes + stamp_at - self.into);
            while let Some(stamp) = chunk.get(at..).and_then(|tail| tail.first_chunk::<STAMP_BYTES>()) {
                latency.record(now.saturating_sub(u64::from_le_bytes(*stamp)));
                at += self.frame.message_bytes;
            }
        }
        self.receive(chunk)
    }

    /// Whether a message begins wherever one would, if `chunk` held nothing else.
    fn beginnings_fit(&self, chunk: &[u8]) -> bool {
        let length = self.frame.message_bytes;
        let first = (length - self.into) % length;
        let Some(beyond) = chunk.len().checked_sub(first + 1) else {
            return true;
        };
        let last = first + beyond / length * length;
        begins_alike(chunk.get(last..).unwrap_or_default(), &self.frame.prefix)
            && chunk.iter().skip(first).step_by(length).all(|byte| *byte == b'M')
    }

    fn walk(&mut self, chunk: &[u8]) -> Result<()> {
        let mut joined = std::mem::take(&mut self.control);
        joined.extend_from_slice(chunk);
        let mut rest = joined.as_slice();
        while !rest.is_empty() {
            if self.into > 0 || begins_alike(rest, &self.frame.prefix) {
                let step = rest.len().min(self.frame.message_bytes - self.into);
                self.bytes += step as u64;
                self.into = (self.into + step) % self.frame.message_bytes;
                rest = rest.get(step..).unwrap_or_default();
            } else if let Some(after) = rest.strip_prefix(PING) {
                self.pings += 1;
                rest = after;
            } else if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let (line, after) = rest.split_at(end + 1);
                if !line.starts_with(b"INFO ") && !line.starts_with(b"+OK") {
                    return Err(self.unexpected(line));
                }
                rest = after;
            } else if rest.len() < LINE_BYTES_MAX
                && (begins_alike(rest, PING) || LINES.iter().any(|line| begins_alike(rest, line)))
            {
                self.control = rest.to_vec();
                return Ok(());
            } else {
                return Err(self.unexpected(rest));
            }
        }
        Ok(())
    }

    fn unexpected(&self, found: &[u8]) -> anyhow::Error {
        let expected = String::from_utf8_lossy(&self.frame.prefix);
        let found = String::from_utf8_lossy(found.get(..REPORTED_BYTES_MAX).unwrap_or(found));
        anyhow!("expected a message like `{}`, the server sent `{}`", expected.trim_end(), found.trim_end())
    }
}

/// Whether the one is a beginning of the other, whichever is shorter.
fn begins_alike(one: &[u8], other: &[u8]) -> bool {
    one.iter().zip(other).all(|(left, right)| left == right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MESSAGE: &[u8] = b"MSG s 1 8\r\n........\r\n";

    const PARTS: &[&[u8]] = &[MESSAGE, MESSAGE, MESSAGE, PING, b"INFO {\"a\":1}\r\n", b"+OK\r\n"];

    fn frame() -> Frame {
        Frame { prefix: b"MSG s 1 8\r\n".to_vec(), message_bytes: MESSAGE.len(), stamp_at: Some(11) }
    }

    proptest! {
        #[test]
        fn messages_and_pings_are_counted_however_they_are_cut(
            parts in prop::collection::vec(prop::sample::select(PARTS), 1..60),
            sizes in prop::collection::vec(1..70_usize, 1..40),
        ) {
            let stream = parts.concat();
            let mut tally = Tally::new(frame());
            let mut rest = stream.as_slice();
            for size in sizes.iter().cycle() {
                let (chunk, after) = rest.split_at(rest.len().min(*size));
                tally.receive(chunk).unwrap();
                rest = after;
                if rest.is_empty() { break; }
            }
            let count = |wanted| parts.iter().filter(|part| **part == wanted).count();
            prop_assert_eq!(tally.messages(), count(MESSAGE) as u64);
            prop_assert_eq!(tally.pings_taken(), count(PING));
            prop_assert_eq!(tally.into, 0);
        }
    }

    #[test]
    fn an_error_of_the_server_ends_the_count() {
        let mut tally = Tally::new(frame());
        tally.receive(MESSAGE).unwrap();
        tally.receive(b"-ERR 'Slow ").unwrap();
        let error = tally.receive(b"Consumer'\r\n").unwrap_err().to_string();
        assert!(error.contains("Slow Consumer"), "{error}");
    }

    #[test]
    fn another_message_is_not_counted() {
        let mut tally = Tally::new(frame());
        assert!(tally.receive(b"MSG t 1 8\r\n........\r\n").is_err());
    }

    #[test]
    fn stamps_tell_how_long_a_message_was_under_way() {
        let mut message = MESSAGE.to_vec();
        message[11..19].copy_from_slice(&1_000_u64.to_le_bytes());
        let stream = message.repeat(3);
        let mut tally = Tally::new(frame());
        let mut latency = Histogram::default();
        tally.receive_stamped(&stream[..25], 1_500, &mut latency).unwrap();
        tally.receive_stamped(&stream[25..], 2_000, &mut latency).unwrap();
        assert_eq!((latency.count(), tally.messages()), (3, 3));
        assert_eq!(latency.max().as_nanos(), 1_000);
    }
}
