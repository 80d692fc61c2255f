//! What waits for the disk to be read, in the order in which it was decided. A consumer of which something waits says nothing else meanwhile;
//! other consumers go on.

use super::direct::Asked;
use super::emitter::Form;
use super::letters::Sealed;
use super::series::Series;
use dialtone_jetstream::consumer::ConsumerId;
use dialtone_jetstream::messages::{Body, Messages, Place};
use std::collections::{HashMap, VecDeque};

/// Messages that are read for a stream before something is sent.
const WANTED_MAX: usize = 128;
/// Bytes of the same. The last message may go beyond.
const WANTED_BYTES_MAX: usize = 1 << 20;

/// What something that waits takes besides its place in the queue: its subjects, about.
const LATER_BYTES: usize = 128;

/// Something that is sent once what is before it has been read from the disk.
pub(super) enum Later {
    /// A message.
    Message {
        /// The consumer that it is from.
        consumer: ConsumerId,
        /// Where to.
        to: Box<[u8]>,
        /// The subject of its acknowledgement.
        reply: Box<[u8]>,
        /// Its own subject.
        subject: Box<[u8]>,
        /// Which it is.
        seq: u64,
        /// Where its body is.
        place: Option<Place>,
        /// How it is sent.
        form: Form,
    },
    /// The answer to a direct get.
    Answer {
        /// Where to.
        to: Box<[u8]>,
        /// Which message.
        seq: u64,
        /// Whether without headers.
        no_headers: bool,
    },
    /// A direct get that takes long to find what it asks for.
    Asked {
        /// Where the answer goes.
        to: Box<[u8]>,
        /// What is asked.
        asked: Box<Asked>,
    },
    /// A dead letter.
    Letter {
        /// The consumer that it is from.
        consumer: ConsumerId,
        /// What it says.
        letter: Box<Sealed>,
    },
    /// The rest of an answer of several messages.
    Series(Series),
    /// Headers without a payload.
    Status {
        /// The consumer that says it.
        consumer: ConsumerId,
        /// Where to.
        to: Box<[u8]>,
        /// Its reply.
        reply: Option<Box<[u8]>>,
        /// The header block.
        head: Box<[u8]>,
    },
}

impl Later {
    fn consumer(&self) -> Option<ConsumerId> {
        match self {
            Self::Message { consumer, .. }
            | Self::Letter { consumer, .. }
            | Self::Status { consumer, .. } => Some(*consumer),
            Self::Answer { .. } | Self::Asked { .. } | Self::Series(_) => None,
        }
    }

    /// The message whose body it needs, and where that was when it was decided.
    fn message(&self) -> Option<(u64, Option<(Place, u32)>)> {
        match self {
            Self::Message { seq, place, form, .. } => {
                Some((*seq, place.map(|place| (place, form.body_bytes))))
            }
            Self::Answer { seq, .. } => Some((*seq, None)),
            Self::Letter { letter, .. } => Some((letter.seq(), None)),
            Self::Series(series) => Some((series.wanted()?, None)),
            Self::Asked { .. } | Self::Status { .. } => None,
        }
    }
}

/// A body that is to be read: of which message, where it is, and how many bytes it has.
pub(super) type Wanted = (u64, Place, u32);

/// All that waits.
#[derive(Default)]
pub(super) struct Backlog {
    queue: VecDeque<Later>,
    /// How much of each consumer waits.
    held: HashMap<ConsumerId, usize>,
    /// Consumers of which nothing waits any more.
    released: Vec<ConsumerId>,
}

impl Backlog {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Memory that it has, about.
    pub(super) fn memory_bytes(&self) -> usize {
        self.queue.capacity() * size_of::<Later>() + self.queue.len() * LATER_BYTES
    }

    /// Whether something of a consumer waits.
    pub(super) fn holds(&self, consumer: ConsumerId) -> bool {
        !self.held.is_empty() && self.held.contains_key(&consumer)
    }

    /// Adds something behind all others.
    pub(super) fn push(&mut self, later: Later) {
        if let Some(consumer) = later.consumer() {
            *self.held.entry(consumer).or_default() += 1;
        }
        self.queue.push_back(later);
    }

    /// Takes out what comes first.
    pub(super) fn pop(&mut self) -> Option<Later> {
        let later = self.queue.pop_front()?;
        if let Some(consumer) = later.consumer()
            && let Some(count) = self.held.get_mut(&consumer)
        {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&consumer);
                self.released.push(consumer);
            }
        }
        Some(later)
    }

    /// Puts back what was taken out, since it cannot be sent yet.
    pub(super) fn put_back(&mut self, later: Later) {
        if let Some(consumer) = later.consumer() {
            *self.held.entry(consumer).or_default() += 1;
            self.released.retain(|released| *released != consumer);
        }
        self.queue.push_front(later);
    }

    /// Consumers of which nothing waits any more, each once.
    pub(super) fn take_released(&mut self) -> Vec<ConsumerId> {
        std::mem::take(&mut self.released)
    }

    /// Nothing waits any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The bodies that come first of those that are not in memory.
    pub(super) fn wanted(&self, messages: &Messages) -> Vec<Wanted> {
        let (mut wanted, mut bytes) = (Vec::new(), 0);
        for (seq, otherwise) in self.queue.iter().filter_map(Later::message).take(WANTED_MAX) {
            let (place, body_bytes) = match messages.body(seq) {
                Some(Body::Hot(_)) => continue,
                Some(Body::Cold(place)) => (place, messages.head(seq).map_or(0, |head| head.body_bytes)),
                None => match otherwise {
                    Some(there) => there,
                    None => continue,
                },
            };
            wanted.push((seq, place, body_bytes));
            bytes += body_bytes as usize;
            if bytes >= WANTED_BYTES_MAX {
                break;
            }
        }
        wanted
    }
}
