//! The operations, as they are read and written.

use super::lines::words;
use crate::message::Message;
use std::num::NonZeroU32;

/// One operation of another server. Borrows from the buffer it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// RMSG, HMSG or LMSG.
    Message(RoutedMessage<'a>),
    /// RS+ or LS+: the other server wants messages, or as many subscriptions of a queue group as `weight` says.
    Subscribe {
        /// For what.
        interest: Interest<'a>,
        /// Subscriptions behind it; 1 if there is no queue group, or if it is no number that it could be.
        weight: NonZeroU32,
    },
    /// RS- or LS-.
    Unsubscribe(Interest<'a>),
    /// A+: a gateway has interest in this account again.
    AccountSubscribe(&'a [u8]),
    /// A-: a gateway has no interest in this account.
    AccountUnsubscribe(&'a [u8]),
    /// PING.
    Ping,
    /// PONG.
    Pong,
    /// CONNECT with its JSON, not yet read.
    Connect(&'a [u8]),
    /// INFO with its JSON, not yet read.
    Info(&'a [u8]),
    /// +OK, ignored.
    Ok,
    /// -ERR with its text, as it stands there: in quotes.
    Err(&'a [u8]),
}

/// What stands at the front of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole operation and the bytes it took.
    Op(Op<'a>, usize),
    /// The beginning of an operation; `total` is how many bytes it will have as far as is known (0: unknown).
    Partial {
        /// Bytes of the whole operation, or 0 while its control line is not complete.
        total: usize,
    },
}

/// The leaf node that interest on a route is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// One in this cluster. Its own messages are not sent back to it.
    Cluster(&'a [u8]),
    /// One in no cluster.
    Unnamed,
}

impl<'a> Origin<'a> {
    /// The name that stands for no cluster, and that no cluster may have.
    pub const UNNAMED: &'static [u8] = b"_";

    /// By the word in the line.
    pub(super) fn from_word(word: &'a [u8]) -> Self {
        if word == Self::UNNAMED { Self::Unnamed } else { Self::Cluster(word) }
    }

    /// What it is called in lines.
    pub fn name(self) -> &'a [u8] {
        match self {
            Self::Cluster(name) => name,
            Self::Unnamed => Self::UNNAMED,
        }
    }
}

/// What a server wants, or no longer wants, messages of. Nothing in it is validated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest<'a> {
    /// The leaf node whose interest it is, on a route; `None` if it is of others.
    pub origin: Option<Origin<'a>>,
    /// `None` where the connection is for one account.
    pub account: Option<&'a [u8]>,
    /// The filter.
    pub filter: &'a [u8],
    /// The queue group.
    pub queue: Option<&'a [u8]>,
}

/// A message that another server passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutedMessage<'a> {
    /// The cluster of the leaf node that it came from.
    pub origin: Option<&'a [u8]>,
    /// `None` where the connection is for one account.
    pub account: Option<&'a [u8]>,
    /// The message itself.
    pub message: Message<'a>,
    /// The queue groups of which the receiver is to serve one member each.
    pub queues: Queues<'a>,
}

/// Names of queue groups, as they stand in a line.
#[derive(Clone, Copy, Default)]
pub struct Queues<'a>(pub(super) &'a [u8]);

impl<'a> Queues<'a> {
    /// No queue groups.
    pub const NONE: Self = Self(&[]);

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each name, in the order of the line. A name may be there twice.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + Clone {
        words(self.0)
    }
}

impl PartialEq for Queues<'_> {
    /// How they are spaced does not count.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Queues<'_> {}

impl std::fmt::Debug for Queues<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
