//! What a proposal changed.

use crate::messages::Removed;

/// Why a message is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A limit of the stream: messages, bytes, or those of a subject.
    Limit,
    /// Its age or TTL.
    Expired,
    /// A request to delete it.
    Deleted,
    /// A purge, or a later message that rolled it up.
    Purged,
    /// All consumers that are interested have acknowledged it.
    Acknowledged,
}

/// A message that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The first sequence.
    pub first: u64,
    /// The last sequence, the same unless it is a batch.
    pub last: u64,
}

/// A message that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedMessage {
    /// Which. The name of its subject can be asked of the messages until the next change.
    pub message: Removed,
    /// Why.
    pub reason: Reason,
}

/// Messages that are gone in numbers, so that consumers count anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Which subjects; `None`: all.
    pub filter: Option<Box<[u8]>>,
    /// How many messages.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What one proposal changed. Used again for the next one, so that nothing is allocated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// What was stored, or given to no message (then `skipped`).
    pub stored: Option<Stored>,
    /// A sequence was given to no message, all of them unless it is a batch.
    pub skipped: bool,
    /// Messages removed one by one, in the order in which that happened. One that was stored by the same proposal may be among them.
    pub removed: Vec<RemovedMessage>,
    /// Purges, those by a rollup, too. What they removed does not stand in `removed`.
    pub purged: Vec<Purged>,
}

impl Effects {
    /// As new.
    #[inline]
    pub fn clear(&mut self) {
        self.stored = None;
        self.skipped = false;
        self.removed.clear();
        self.purged.clear();
    }
}
