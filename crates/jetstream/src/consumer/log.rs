//! What a consumer reads of its stream, and which messages of it are for the consumer.

use dialtone_subject::set;

/// A stream's messages as a consumer sees them: those that are committed. Sequences begin at 1.
pub trait Log {
    /// Where the stream begins and ends.
    fn bounds(&self) -> Bounds;

    /// The first message at or behind `from` that `filters` match.
    fn next(&self, filters: &Filters, from: u64) -> Option<Stored<'_>>;

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

/// The filters of a consumer. None at all match everything; more than one match what any of them matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(Box<[Box<[u8]>]>);

impl Filters {
    /// Of filters that were checked.
    pub fn new<'a>(filters: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let filters: Box<[Box<[u8]>]> = filters.into_iter().map(Into::into).collect();
        // A filter that matches all is as good as none.
        if filters.iter().any(|filter| **filter == *b">") { Self::default() } else { Self(filters) }
    }

    /// Whether everything matches.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them matches.
    pub fn matches(&self, subject: &[u8]) -> bool {
        self.0.is_empty() || self.0.iter().any(|filter| set::matches(filter, subject))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|filter| &**filter)
    }
}
