//! What changes a consumer, as it stands in the log of its stream: few bytes a change, and many changes a record.
//!
//! A record is a version, the time, and changes one after the other: a byte that says which, then numbers as varints, sequences as the
//! difference to the sequence before. One record may hold changes of many consumers: which one they are of is a change too.

use super::log::SEQ_MAX;
use super::varint::{Reader, unzigzag, write, zigzag};

/// Which consumer of a stream, never used twice there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u64);

/// One step of a consumer. It says what was decided; what follows from it is in `State::apply`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A message was delivered for the first time.
    Deliver {
        /// Its sequence.
        seq: u64,
    },
    /// A message was delivered again.
    Redeliver {
        /// Its sequence.
        seq: u64,
    },
    /// A delivery reached nobody: the message is to come again at once, and the delivery does not count.
    Undelivered {
        /// Its sequence.
        seq: u64,
    },
    /// A message is done.
    Ack {
        /// Its sequence.
        seq: u64,
    },
    /// A message and all before it are done.
    AckUpTo {
        /// Its sequence.
        seq: u64,
        /// The sequence of the delivery that was acknowledged.
        consumer_seq: u64,
    },
    /// A message comes again at another time.
    Delay {
        /// Its sequence.
        seq: u64,
        /// When, nanoseconds since 1970. What is past: at once.
        due: i64,
    },
    /// Somebody works on a message: its deadline starts anew.
    Progress {
        /// Its sequence.
        seq: u64,
    },
    /// A message had its last delivery, and waits no longer.
    Exhaust {
        /// Its sequence.
        seq: u64,
    },
    /// A message is passed over until another one of its key is done.
    Park {
        /// Its sequence.
        seq: u64,
    },
    /// A message is given up, and is a dead letter.
    Bury {
        /// Its sequence.
        seq: u64,
        /// A client terminated it; else it had its last delivery.
        is_terminated: bool,
    },
    /// A dead letter is stored elsewhere.
    Buried {
        /// Its sequence.
        seq: u64,
    },
    /// Nothing before this sequence is left to deliver.
    Skip {
        /// The next sequence to look at.
        next: u64,
    },
    /// Everything begins anew at a sequence.
    Reset {
        /// The next sequence to look at.
        next: u64,
    },
}

/// Version of the encoding, its first byte.
const VERSION: u8 = 1;
/// The byte that says that the changes behind it are of another consumer.
const OF: u8 = 0;

/// The changes of a turn, as bytes for the log, and what they mean for the stream.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    bytes: Vec<u8>,
    at: i64,
    consumer: Option<ConsumerId>,
    last_seq: u64,
    /// Messages that a consumer no longer needs. Only those of streams that want to know (`Settings::settles`).
    pub settled: Vec<u64>,
    /// The reply subject that was made last: the room is that of all consumers.
    pub(super) reply: Vec<u8>,
}

impl Changes {
    /// None yet, at a time in nanoseconds since 1970.
    pub fn new(at: i64) -> Self {
        Self { at, ..Self::default() }
    }

    /// Begins anew; the room stays.
    pub fn clear(&mut self, at: i64) {
        self.bytes.clear();
        self.settled.clear();
        (self.at, self.consumer, self.last_seq) = (at, None, 0);
    }

    /// When they were decided.
    pub fn at(&self) -> i64 {
        self.at
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes for the log. Empty if there are no changes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds one.
    pub fn push(&mut self, consumer: ConsumerId, change: Change) {
        if self.bytes.is_empty() {
            self.bytes.push(VERSION);
            self.bytes.extend_from_slice(&self.at.to_le_bytes());
        }
        if self.consumer != Some(consumer) {
            self.consumer = Some(consumer);
            self.bytes.push(OF);
            write(&mut self.bytes, consumer.0);
        }
        match change {
            Change::Deliver { seq } => self.seq(1, seq),
            Change::Redeliver { seq } => self.seq(2, seq),
            Change::Undelivered { seq } => self.seq(3, seq),
            Change::Ack { seq } => self.seq(4, seq),
            Change::AckUpTo { seq, consumer_seq } => {
                self.seq(5, seq);
                write(&mut self.bytes, consumer_seq);
            }
            Change::Delay { seq, due } => {
                self.seq(6, seq);
                write(&mut self.bytes, zigzag(due.wrapping_sub(self.at)));
            }
            Change::Progress { seq } => self.seq(7, seq),
            Change::Exhaust { seq } => self.seq(8, seq),
            Change::Skip { next } => self.seq(9, next),
            Change::Reset { next } => self.seq(10, next),
            Change::Park { seq } => self.seq(11, seq),
            Change::Bury { seq, is_terminated: false } => self.seq(12, seq),
            Change::Bury { seq, is_terminated: true } => self.seq(13, seq),
            Change::Buried { seq } => self.seq(14, seq),
        }
    }

    fn seq(&mut self, which: u8, seq: u64) {
        self.bytes.push(which);
        write(&mut self.bytes, zigzag(seq.wrapping_sub(self.last_seq) as i64));
        self.last_seq = seq;
    }
}

/// These bytes are no changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("changes of consumers cannot be read at byte {at}")]
pub struct InvalidChanges {
    /// Where.
    pub at: usize,
}

/// Reads changes back, and calls `change` for each with its time.
///
/// # Errors
///
/// They are cut, of another version, or name a sequence that cannot be. What came before was called for.
pub fn read_changes(
    bytes: &[u8],
    mut change: impl FnMut(ConsumerId, i64, Change),
) -> Result<(), InvalidChanges> {
    let mut reader = Reader::new(bytes);
    read_all(&mut reader, &mut change).ok_or(InvalidChanges { at: reader.at() })
}

fn read_all(reader: &mut Reader<'_>, change: &mut impl FnMut(ConsumerId, i64, Change)) -> Option<()> {
    if reader.is_done() {
        return Some(());
    }
    if reader.byte()? != VERSION {
        return None;
    }
    let at = i64::from_le_bytes(reader.array()?);
    let mut consumer = None;
    let mut last_seq = 0_u64;
    while !reader.is_done() {
        let which = reader.byte()?;
        let number = reader.varint()?;
        if which == OF {
            consumer = Some(ConsumerId(number));
            continue;
        }
        let seq = last_seq.wrapping_add(unzigzag(number) as u64);
        last_seq = seq;
        if !(1..=SEQ_MAX).contains(&seq) {
            return None;
        }
        let next = seq;
        let one = match which {
            1 => Change::Deliver { seq },
            2 => Change::Redeliver { seq },
            3 => Change::Undelivered { seq },
            4 => Change::Ack { seq },
            5 => Change::AckUpTo { seq, consumer_seq: reader.varint()? },
            6 => Change::Delay { seq, due: at.wrapping_add(unzigzag(reader.varint()?)) },
            7 => Change::Progress { seq },
            8 => Change::Exhaust { seq },
            9 => Change::Skip { next },
            10 => Change::Reset { next },
            11 => Change::Park { seq },
            12 | 13 => Change::Bury { seq, is_terminated: which == 13 },
            14 => Change::Buried { seq },
            _ => return None,
        };
        change(consumer?, at, one);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn change() -> impl Strategy<Value = Change> {
        let seq = prop_oneof![1_u64..50, 1..=SEQ_MAX];
        (0..14, seq, any::<u64>(), any::<i64>()).prop_map(|(which, seq, consumer_seq, due)| match which {
            0 => Change::Deliver { seq },
            1 => Change::Redeliver { seq },
            2 => Change::Undelivered { seq },
            3 => Change::Ack { seq },
            4 => Change::AckUpTo { seq, consumer_seq },
            5 => Change::Delay { seq, due },
            6 => Change::Progress { seq },
            7 => Change::Exhaust { seq },
            8 => Change::Skip { next: seq },
            9 => Change::Park { seq },
            10 | 11 => Change::Bury { seq, is_terminated: which == 11 },
            12 => Change::Buried { seq },
            _ => Change::Reset { next: seq },
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(at: i64, steps in proptest::collection::vec((0_u64..3, change()), 0..40)) {
            let steps: Vec<_> = steps.into_iter().map(|(id, change)| (ConsumerId(id), at, change)).collect();
            let mut changes = Changes::new(at);
            for (id, _, change) in &steps {
                changes.push(*id, *change);
            }
            let mut read = vec![];
            read_changes(changes.bytes(), |id, at, change| read.push((id, at, change))).unwrap();
            prop_assert_eq!(&read, &steps);
            // Cut anywhere, what is read is a beginning.
            for cut in 0..changes.bytes().len() {
                let mut read = vec![];
                let _ = read_changes(&changes.bytes()[..cut], |id, at, change| read.push((id, at, change)));
                prop_assert!(steps.starts_with(&read));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = read_changes(&bytes, |_, _, _| {});
        }
    }

    #[test]
    fn a_delivery_takes_two_bytes() {
        let mut changes = Changes::new(0);
        for seq in 1000..1100 {
            changes.push(ConsumerId(7), Change::Deliver { seq });
        }
        assert!(changes.bytes().len() < 215, "{}", changes.bytes().len());
    }
}
