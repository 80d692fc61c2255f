//! What a consumer reads of its stream, and which messages of it are for the consumer.

use crate::messages::Selector;

/// No stream has a sequence beyond it, so that none that is named overflows.
pub const SEQ_MAX: u64 = 1 << 62;

/// A stream's messages as a consumer sees them: those that are committed. Sequences begin at 1.
pub trait Log {
    /// Where the stream begins and ends.
    fn bounds(&self) -> Bounds;

    /// The last sequence that was given out, committed or not.
    fn last_stored(&self) -> u64;

    /// The first message at or behind `from` that `filters` match. May give up after a while.
    fn next(&self, filters: &Filters, from: u64) -> Found<'_>;

    /// One message. `None` if it is gone.
    fn message(&self, seq: u64) -> Option<Stored<'_>>;

    /// The last message that `filters` match.
    fn last(&self, filters: &Filters) -> Option<u64>;

    /// The last message of each subject that `filters` match, ascending.
    fn last_per_subject(&self, filters: &Filters) -> Vec<u64>;

    /// Whether the stream keeps one message of a subject, so that each message is the last of its subject.
    fn keeps_one_per_subject(&self) -> bool {
        false
    }

    /// How many messages at or behind `from` `filters` match, also those that are not committed.
    fn count(&self, filters: &Filters, from: u64) -> u64;

    /// The first message that was stored at this time (nanoseconds since 1970) or later; behind the last if there is none.
    fn at_time(&self, at: i64) -> u64;
}

/// Where a stream begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The first message that is there; one more than `last` if there is none. 0 if there never was one.
    pub first: u64,
    /// The last sequence that may be seen, whether its message is there or not.
    pub last: u64,
}

/// A message, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    /// Its sequence in the stream.
    pub seq: u64,
    /// When it was stored, nanoseconds since 1970.
    pub time: i64,
    /// Its subject.
    pub subject: &'a [u8],
    /// Bytes of its header block, 0 without one.
    pub header_bytes: usize,
    /// Bytes of its payload.
    pub payload_bytes: usize,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// This message.
    Message(Stored<'a>),
    /// There is none.
    End,
    /// None before this sequence: go on there.
    Further(u64),
}

/// The filters of a consumer. None at all match everything; more than one match what any of them matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(Selector);

impl Filters {
    /// Of filters that were checked.
    pub fn new<'a>(filters: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(Selector::new(filters))
    }

    /// Whether everything matches.
    pub fn is_all(&self) -> bool {
        self.0.is_all()
    }

    /// Whether they are one filter without wildcards.
    pub fn is_one_subject(&self) -> bool {
        self.0.literal().is_some()
    }

    /// Whether one of them matches.
    pub fn matches(&self, subject: &[u8]) -> bool {
        self.0.matches(subject)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter()
    }

    /// The same for the stream's messages.
    pub fn selector(&self) -> &Selector {
        &self.0
    }
}
