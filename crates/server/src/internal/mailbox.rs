//! What waits for the threads of the domains and for those that answer questions: messages that were delivered inside, and work
//! that other threads hand over.

use super::executor::Task;
use super::message::Message;
use super::questions::Question;
use super::{Domain, Host};
use crate::registry::Session;
use crate::share::line::Line;
use crate::share::{Lane, Share};
use crate::verdict::Verdict;
use dialtone_broker::account::Account;
use dialtone_broker::inlet::{Batch, Inlet, Publish};
use std::sync::{Arc, Weak};

/// Bytes that wait in each lane of a queue at most.
pub(super) const LANE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What an item counts at least, however small it is.
pub(super) const ITEM_BYTES_MIN: usize = 512;

/// Something for the thread of a domain to do.
pub(super) enum Work<N: Host> {
    /// A message for one of its subscriptions.
    Message(Message),
    /// Something that a connection waits for. Skipped if the connection is gone.
    Login(Arc<Session>, Task<N>),
    /// Whatever else.
    Task(Task<N>),
}

/// The queues, as those see them who put something in.
pub(super) struct Queues<N: Host> {
    /// In the order of [`Domain::ALL`].
    works: [Arc<Line<Work<N>>>; Domain::ALL.len()],
    pub(super) questions: Arc<Line<Question<N>>>,
}

impl<N: Host> Queues<N> {
    pub(super) fn new() -> Self {
        Self { works: Domain::ALL.map(|_| Line::new(LANE_BYTES_MAX)), questions: Line::new(LANE_BYTES_MAX) }
    }

    /// What waits for the thread of a domain.
    pub(super) fn of(&self, domain: Domain) -> &Arc<Line<Work<N>>> {
        &self.works[domain as usize]
    }

    /// Puts a message where its subscription wants it. Never waits.
    pub(super) fn deliver(&self, message: Message) {
        let (share, bytes) = (message.share(), message.size().max(ITEM_BYTES_MIN));
        match message.place() {
            None => {}
            Some((_, lane @ Lane::Question)) => {
                self.questions.push(lane, share, bytes, Question::Message(message));
            }
            Some(place) => self.post(place, share, bytes, Work::Message(message)),
        }
    }

    /// Puts work in. Never waits; a connection whose work was dropped gets the verdict that too many wait.
    pub(super) fn post(&self, (domain, lane): (Domain, Lane), share: Share, bytes: usize, work: Work<N>) {
        for dropped in self.of(domain).push(lane, share, bytes.max(ITEM_BYTES_MIN), work) {
            if let Work::Login(session, _) = dropped {
                session.decide(Verdict::Overloaded);
            }
        }
    }
}

/// Where messages for an internal peer go: into the queue that their subscription wants.
pub(super) struct Mailbox<N: Host> {
    queues: Arc<Queues<N>>,
    /// Weak: the account's interest holds the peer, and the peer this.
    account: Weak<Account>,
}

impl<N: Host> Mailbox<N> {
    pub(super) fn new(queues: Arc<Queues<N>>, account: &Arc<Account>) -> Self {
        Self { queues, account: Arc::downgrade(account) }
    }
}

impl<N: Host> Inlet for Mailbox<N> {
    fn take(&self, batch: &Batch, _: &mut dyn Publish) {
        let Some(account) = self.account.upgrade() else { return };
        for received in batch.messages() {
            if let Some(message) = Message::of(&account, &received) {
                self.queues.deliver(message);
            }
        }
    }

    fn account(&self) -> Option<Arc<Account>> {
        self.account.upgrade()
    }

    fn posts(&self) -> bool {
        true
    }
}
