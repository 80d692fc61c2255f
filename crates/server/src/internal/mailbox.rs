//! What waits for the control thread: messages that were delivered inside, and work that other threads hand over.

use super::desk::Task;
use super::message::Message;
use dialtone_broker::account::Account;
use dialtone_broker::outbox::Sink;
use dialtone_wire::client::delivery::{Read, read};
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, SyncSender};
use std::sync::{Arc, Weak};

/// Works that wait at most; what comes then is dropped and counted.
pub(super) const WORKS_MAX: usize = 64 * 1024;
/// Bytes of the messages among them at most.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Something for the control thread to do.
pub(super) enum Work {
    /// A message for one of its subscriptions.
    Message(Message),
    /// Whatever else.
    Task(Task),
    /// Nothing more; it says when it is done.
    Stop(SyncSender<()>),
}

/// The queue, as those see it who put something in.
///
/// It counts what waits itself: a queue of a fixed length takes room for all of it at once, several megabytes at start.
pub(super) struct Mailbox {
    sender: Sender<Work>,
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    lost: AtomicU64,
}

impl Mailbox {
    pub(super) fn new(sender: Sender<Work>) -> Self {
        Self {
            sender,
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// Puts work in. Never waits; false if it does not fit.
    pub(super) fn post(&self, work: Work) -> bool {
        let bytes = size(&work);
        let fits = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= WAITING_BYTES_MAX;
        let has_room = self.waiting.fetch_add(1, Ordering::Relaxed) < WORKS_MAX;
        let taken = fits && has_room && self.sender.send(work).is_ok();
        if !taken {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Work was taken out.
    pub(super) fn taken(&self, work: &Work) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(size(work), Ordering::Relaxed);
    }

    /// How many works wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

fn size(work: &Work) -> usize {
    match work {
        Work::Message(message) => message.size(),
        Work::Task(_) | Work::Stop(_) => 0,
    }
}

/// Where an internal peer's bytes go: what is whole becomes a message in the mailbox. Takes everything at once.
pub(super) struct Inlet {
    mailbox: Arc<Mailbox>,
    /// Weak: the account's interest holds the peer, and the peer this.
    account: Weak<Account>,
    /// The beginning of a message whose rest comes with the next write.
    partial: Mutex<Vec<u8>>,
}

impl Inlet {
    pub(super) fn new(mailbox: Arc<Mailbox>, account: &Arc<Account>) -> Self {
        Self { mailbox, account: Arc::downgrade(account), partial: Mutex::default() }
    }
}

impl Sink for Inlet {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut buffer = self.partial.lock();
        slices.iter().for_each(|slice| buffer.extend_from_slice(slice));
        let Some(account) = self.account.upgrade() else {
            buffer.clear();
            return Ok(slices.iter().map(|s| s.len()).sum());
        };
        let mut used = 0;
        loop {
            match read(buffer.get(used..).unwrap_or_default()) {
                Read::Delivery(delivery, bytes) => {
                    used += bytes;
                    if let Some(message) = Message::of(&account, &delivery) {
                        self.mailbox.post(Work::Message(message));
                    }
                }
                Read::Other(bytes) => used += bytes,
                Read::Partial => break,
            }
        }
        buffer.drain(..used);
        if buffer.is_empty() {
            *buffer = Vec::new();
        }
        Ok(slices.iter().map(|s| s.len()).sum())
    }
}
