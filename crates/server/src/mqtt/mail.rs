//! What streams send to a connection: it comes on any loop, and is kept for the one that has the connection.

use dialtone_broker::account::Account;
use dialtone_broker::inlet::{Batch, Inlet, Publish};
use dialtone_broker::peer::Peer;
use dialtone_wire::message::Message;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// Bytes that wait for the loop of a connection. What is more is dropped: consumers bring it again, and requests run out of time.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A message that waits.
pub(super) struct Mailed {
    /// The subscription that it came to.
    pub(super) sid: Box<[u8]>,
    subject: Box<[u8]>,
    pub(super) reply: Option<Box<[u8]>>,
    header_bytes: usize,
    framed: Box<[u8]>,
}

impl Mailed {
    /// The message.
    pub(super) fn message(&self) -> Message<'_> {
        let Self { subject, reply, header_bytes, framed, .. } = self;
        Message { subject, reply: reply.as_deref(), header_bytes: *header_bytes, framed }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.subject.len()
            + self.framed.len()
            + self.reply.as_ref().map_or(0, |reply| reply.len())
    }
}

#[derive(Default)]
struct Waiting {
    messages: Vec<Mailed>,
    bytes: usize,
}

/// The mail of one connection.
pub(super) struct Mail {
    account: Arc<Account>,
    owner: Weak<Peer>,
    waiting: Mutex<Waiting>,
}

impl Mail {
    pub(super) fn new(account: Arc<Account>, owner: &Arc<Peer>) -> Arc<Self> {
        Arc::new(Self { account, owner: Arc::downgrade(owner), waiting: Mutex::default() })
    }

    /// Takes what waits.
    pub(super) fn take(&self) -> Vec<Mailed> {
        let mut waiting = self.waiting.lock();
        waiting.bytes = 0;
        std::mem::take(&mut waiting.messages)
    }
}

impl Inlet for Mail {
    fn take(&self, batch: &Batch, _: &mut dyn Publish) {
        let Some(owner) = self.owner.upgrade() else { return };
        let mut waiting = self.waiting.lock();
        for received in batch.messages() {
            if waiting.bytes > WAITING_BYTES_MAX {
                break;
            }
            let message = &received.message;
            let mailed = Mailed {
                sid: received.subscription.sid().into(),
                subject: message.subject.into(),
                reply: message.reply.map(Box::from),
                header_bytes: message.header_bytes,
                framed: message.framed.into(),
            };
            waiting.bytes += mailed.bytes();
            waiting.messages.push(mailed);
        }
        drop(waiting);
        owner.wake_owner();
    }

    fn account(&self) -> Option<Arc<Account>> {
        Some(self.account.clone())
    }

    /// The loop that has the connection may be quicker than the turn.
    fn posts(&self) -> bool {
        true
    }
}

/// What a subscription of the inlet is for, by its sid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Answers of streams.
    Answers,
    /// What a consumer delivers, by the number that the connection gave it.
    Consumer(u32),
    /// Reminders of PUBREL.
    Releases,
}

impl For {
    /// As a sid.
    pub(super) fn sid(self) -> String {
        match self {
            Self::Answers => "a".into(),
            Self::Consumer(number) => format!("c{number}"),
            Self::Releases => "r".into(),
        }
    }

    pub(super) fn of(sid: &[u8]) -> Option<Self> {
        match sid.split_first()? {
            (b'a', _) => Some(Self::Answers),
            (b'r', _) => Some(Self::Releases),
            (b'c', number) => Some(Self::Consumer(std::str::from_utf8(number).ok()?.parse().ok()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_says_what_it_is_for() {
        for what in [For::Answers, For::Consumer(0), For::Consumer(u32::MAX), For::Releases] {
            assert_eq!(For::of(what.sid().as_bytes()), Some(what));
        }
        assert_eq!([&b""[..], b"x", b"c", b"cx"].map(For::of), [None; 4]);
    }
}
