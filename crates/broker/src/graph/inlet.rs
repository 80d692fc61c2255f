//! Receivers inside the server.
//!
//! What a turn staged for one of them comes as one [`Batch`], whole and in order, on the loop that staged it; it may publish
//! with the same turn ([`Publish`]). Each message is copied once; nothing is parsed, and nothing allocated for it.
//!
//! Whose share: what waits for receivers is part of what the turn has staged, so it is bounded by the turn, and whoever publishes
//! pays with the time of its own loop. Several loops may call one receiver at the same time; it locks what it keeps, once a batch.

use crate::account::Account;
use crate::id::ClientId;
use crate::intake::TracedIntake;
use crate::kind::Kind;
use crate::subscription::Subscription;
use dialtone_wire::message::Message;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Takes what is delivered to subscriptions from inside.
pub trait Inlet: Send + Sync {
    /// Takes what was staged since the last batch. Runs on the loop that staged it and must not wait. What is published with `turn`
    /// is written together with all else that the turn delivers, and receivers inside take it in the next round. Only if it is more
    /// than a turn stages it is written at once, and not kept for receivers that have yet to be called.
    ///
    /// Must not publish more to other receivers, for each message that it takes, than a bounded few: a turn calls receivers in
    /// bounded rounds, but what they staged for each other waits for the next turn and is never dropped.
    fn take(&self, batch: &Batch, turn: &mut dyn Publish);

    /// The account that its subscriptions are in, where they end when they have got their maximum of messages.
    fn account(&self) -> Option<Arc<Account>>;

    /// The JetStream stream that decides whether it stores what comes to the subscription of this sid: traces show it, and so does `explain`.
    fn stream(&self, _sid: &[u8]) -> Option<Box<str>> {
        None
    }

    /// Whether what it subscribes to by this sid leads anywhere with this very subject: one subscription may stand for much that comes and
    /// goes. Whoever says something else later than before has [`Account::forget_matches_of`] called. Runs while a route is worked out, and must
    /// neither wait nor change interest.
    fn takes(&self, _sid: &[u8], _subject: &[u8]) -> bool {
        true
    }

    /// Whether it posts what it takes to another thread, which may be quicker than the turn. Such a receiver takes its batch last,
    /// when all outboxes are filled and all receivers that do not are called: what the other thread makes of it comes behind its cause.
    fn posts(&self) -> bool {
        false
    }
}

/// Publishes from inside the server.
///
/// A trait, since the room that delivers is above this one.
pub trait Publish {
    /// Publishes in an account, by the server's own rights, and returns how many got it: none if the subject is invalid.
    fn emit(&mut self, account: &Arc<Account>, message: &Message<'_>) -> usize;
    /// Publishes a message of a stream to `to`, where it is delivered under its own subject, that which it was stored under; its reply is
    /// the subject of its acknowledgement. Returns how many got it: none without a reply, or if `to` is invalid.
    fn emit_stored(&mut self, account: &Arc<Account>, to: &[u8], message: &Message<'_>) -> usize;
    /// Whether anybody would get what is published to `subject` in an account now; a subject of answers leads back to who asked.
    fn is_awaited(&mut self, account: &Arc<Account>, subject: &[u8]) -> bool;
    /// What was published so far comes ahead of all that other turns publish from now on.
    fn hand_on(&mut self) {}
    /// Bytes that wait for whoever gets what is published to `subject`, and does not read them: of several, for the one with least.
    fn unread(&mut self, _account: &Arc<Account>, _subject: &[u8]) -> usize {
        0
    }
    /// When the turn began.
    fn now(&self) -> Instant;
}

/// Who published a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publisher {
    /// Its number.
    pub id: ClientId,
    /// What it is.
    pub kind: Kind,
}

/// The messages of a turn for one receiver.
#[derive(Default)]
pub struct Batch {
    rows: Vec<Row>,
    bytes: Vec<u8>,
    /// Bytes of headers and payloads, as counted for a receiver.
    body_bytes: u64,
    /// Of messages that are traced, by the number of their row. Few are.
    traced: Vec<(usize, TracedIntake)>,
}

/// Where one message is in the bytes of its batch: subject, reply and body follow each other.
struct Row {
    subscription: Arc<Subscription>,
    publisher: Publisher,
    subject: Range<usize>,
    reply_bytes: usize,
    has_reply: bool,
    header_bytes: usize,
    end: usize,
}

/// A message that was delivered inside.
#[derive(Clone, Copy)]
pub struct Received<'a> {
    /// The subscription that it is for.
    pub subscription: &'a Arc<Subscription>,
    /// Who published it.
    pub publisher: Publisher,
    /// The message, with the subject that it has in the account of the subscription.
    pub message: Message<'a>,
    /// Where a stream says what becomes of it, if it is traced.
    pub traced: Option<&'a TracedIntake>,
}

impl Batch {
    /// Appends a message; its subject is what the receiver's account calls it. Returns how much memory that takes: many messages
    /// without a payload are as much as few large ones.
    pub(crate) fn push(
        &mut self,
        subscription: &Arc<Subscription>,
        publisher: Publisher,
        subject: &[u8],
        message: &Message<'_>,
    ) -> usize {
        let start = self.bytes.len();
        let reply = message.reply.unwrap_or_default();
        self.bytes.extend_from_slice(subject);
        self.bytes.extend_from_slice(reply);
        self.bytes.extend_from_slice(message.framed);
        self.rows.push(Row {
            subscription: subscription.clone(),
            publisher,
            subject: start..start + subject.len(),
            reply_bytes: reply.len(),
            has_reply: message.reply.is_some(),
            header_bytes: message.header_bytes,
            end: self.bytes.len(),
        });
        self.body_bytes += message.body_bytes() as u64;
        size_of::<Row>() + self.bytes.len() - start
    }

    /// The message that was pushed last is traced.
    pub(crate) fn trace_last(&mut self, traced: TracedIntake) {
        self.traced.push((self.rows.len().saturating_sub(1), traced));
    }

    /// How many messages.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no message.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of headers and payloads, as counted for a receiver.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// The messages, in the order in which they were delivered.
    pub fn messages(&self) -> impl Iterator<Item = Received<'_>> {
        let mut traced = self.traced.iter().peekable();
        self.rows.iter().enumerate().map(move |(number, row)| {
            let part = |range: Range<usize>| self.bytes.get(range).unwrap_or_default();
            let reply = row.subject.end..row.subject.end + row.reply_bytes;
            let framed = part(reply.end..row.end);
            Received {
                subscription: &row.subscription,
                publisher: row.publisher,
                message: Message {
                    subject: part(row.subject.clone()),
                    reply: row.has_reply.then(|| part(reply)),
                    header_bytes: row.header_bytes,
                    framed,
                },
                traced: traced.next_if(|(traced, _)| *traced == number).map(|(_, traced)| traced),
            }
        })
    }

    /// Empties it. What it needed is kept for the next messages, up to some size.
    pub(crate) fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 64 * 1024;
        const KEPT_ROWS_MAX: usize = 1024;
        self.rows.clear();
        self.bytes.clear();
        self.traced.clear();
        self.body_bytes = 0;
        self.rows.shrink_to(KEPT_ROWS_MAX);
        self.bytes.shrink_to(KEPT_BYTES_MAX);
    }
}
