//! What waits until the log is on disk, in the order in which it was decided.
//!
//! An acknowledgement takes an entry of its own and the bytes of the subject that it goes to; it is written out when it goes.

use super::direct::Asked;
use super::republish::Republished;
use dialtone_store::Lsn;
use std::collections::VecDeque;

/// Bytes that stand in front of the texts in use before they are moved.
const GONE_BYTES_MAX: usize = 64 * 1024;

/// Something that is done when the log is on disk.
pub(super) enum Due<'q> {
    /// The message with this sequence may be seen; whoever published it is told so.
    Stored {
        /// Where the acknowledgement goes; empty: nowhere.
        to: &'q [u8],
        /// The message, and all before it.
        seq: u64,
    },
    /// An answer to a publish, or an empty one that confirms an acknowledgement.
    Answer {
        /// Where it goes.
        to: &'q [u8],
        /// What it says.
        payload: &'q [u8],
    },
    /// A message that is published again.
    Again(Republished),
    /// A request for several messages, and where its answer goes.
    Asked(Box<(Box<[u8]>, Asked)>),
}

/// An entry of the queue. Texts stand behind one another.
struct Entry {
    upto: Lsn,
    to_bytes: u32,
    what: What,
}

enum What {
    Stored(u64),
    Answer { payload_bytes: u32 },
    Again(Box<Republished>),
    Asked(Box<(Box<[u8]>, Asked)>),
}

/// What waits.
#[derive(Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    texts: Vec<u8>,
    /// Where the texts of the first entry begin.
    start: usize,
}

impl Queue {
    /// Where the log ends when all of it can be done.
    pub(super) fn upto(&self) -> Option<Lsn> {
        self.entries.back().map(|last| last.upto)
    }

    /// Memory that it has, but for messages that are published again.
    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.texts.capacity()
    }

    /// Nothing waits any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds something that is done when the log is on disk up to `upto`.
    pub(super) fn push(&mut self, upto: Lsn, due: Due<'_>) {
        let (to, payload, what): (&[u8], &[u8], What) = match due {
            Due::Stored { to, seq } => (to, b"", What::Stored(seq)),
            Due::Answer { to, payload } => {
                (to, payload, What::Answer { payload_bytes: u32::try_from(payload.len()).unwrap_or(0) })
            }
            Due::Again(again) => (b"", b"", What::Again(Box::new(again))),
            Due::Asked(asked) => (b"", b"", What::Asked(asked)),
        };
        self.texts.extend_from_slice(to);
        self.texts.extend_from_slice(payload);
        self.entries.push_back(Entry { upto, to_bytes: u32::try_from(to.len()).unwrap_or(0), what });
    }

    /// Hands over what can be done now that the log is on disk up to `committed`.
    pub(super) fn take(&mut self, committed: Lsn, mut done: impl FnMut(Due<'_>)) {
        while self.entries.front().is_some_and(|entry| entry.upto <= committed) {
            let Some(entry) = self.entries.pop_front() else { break };
            let rest = self.texts.get(self.start..).unwrap_or_default();
            let (to, rest) = rest.split_at_checked(entry.to_bytes as usize).unwrap_or_default();
            self.start += to.len();
            match entry.what {
                What::Stored(seq) => done(Due::Stored { to, seq }),
                What::Answer { payload_bytes } => {
                    let payload = rest.get(..payload_bytes as usize).unwrap_or_default();
                    self.start += payload.len();
                    done(Due::Answer { to, payload });
                }
                What::Again(again) => done(Due::Again(*again)),
                What::Asked(asked) => done(Due::Asked(asked)),
            }
        }
        if self.entries.is_empty() {
            self.texts.clear();
            self.start = 0;
            // What many waited for once is not kept for few.
            self.texts.shrink_to(GONE_BYTES_MAX);
            self.entries.shrink_to(1024);
        } else if self.start >= GONE_BYTES_MAX && self.start * 2 >= self.texts.len() {
            self.texts.drain(..self.start);
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(queue: &mut Queue, committed: u64) -> Vec<String> {
        let mut out = Vec::new();
        queue.take(Lsn(committed), |due| {
            out.push(match due {
                Due::Stored { to, seq } => format!("{} {seq}", String::from_utf8_lossy(to)),
                Due::Answer { to, payload } => {
                    format!("{}: {}", String::from_utf8_lossy(to), String::from_utf8_lossy(payload))
                }
                Due::Again(again) => format!("again {}", String::from_utf8_lossy(&again.subject)),
                Due::Asked(asked) => format!("asked by {}", String::from_utf8_lossy(&asked.0)),
            });
        });
        out
    }

    #[test]
    fn what_is_on_disk_is_handed_over_in_order() {
        let mut queue = Queue::default();
        assert_eq!(queue.upto(), None);
        queue.push(Lsn(10), Due::Stored { to: b"inbox.1", seq: 1 });
        queue.push(Lsn(20), Due::Stored { to: b"", seq: 2 });
        queue.push(Lsn(20), Due::Answer { to: b"inbox.2", payload: b"{}" });
        queue.push(Lsn(30), Due::Answer { to: b"inbox.3", payload: b"" });
        queue.push(Lsn(30), Due::Stored { to: b"inbox.4", seq: 3 });
        assert_eq!(queue.upto(), Some(Lsn(30)));
        assert_eq!(taken(&mut queue, 9), [""; 0]);
        assert_eq!(taken(&mut queue, 20), ["inbox.1 1", " 2", "inbox.2: {}"]);
        assert_eq!(taken(&mut queue, 30), ["inbox.3: ", "inbox.4 3"]);
        assert_eq!(queue.upto(), None);
    }

    #[test]
    fn texts_are_right_however_many_wait() {
        let mut queue = Queue::default();
        let mut next = 0;
        for seq in 0..20_000_u64 {
            queue.push(Lsn(seq), Due::Stored { to: format!("inbox.{seq}").as_bytes(), seq });
            if seq % 3 == 0 {
                for found in taken(&mut queue, seq / 2) {
                    assert_eq!(found, format!("inbox.{next} {next}"));
                    next += 1;
                }
            }
            assert!(queue.texts.len() <= queue.entries.len() * 11 * 2 + 2 * GONE_BYTES_MAX);
        }
        assert_eq!(next, 10_000);
    }
}
