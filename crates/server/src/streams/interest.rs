//! Whether somebody listens to consumers that send: looked at when a consumer begins, and when subscriptions to its deliver subject change.

use super::hosted::Hosted;
use super::session::Session;
use dialtone_broker::account::Account;
use dialtone_broker::lookout::{Lookout, Observer};
use dialtone_jetstream::config::ConsumerConfig;
use dialtone_jetstream::consumer::ConsumerId;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock, Weak};

/// What a stream knows of who listens to its consumers.
#[derive(Default)]
pub(super) struct Listeners {
    /// Boxed: a table has room for more than it has.
    lookouts: Mutex<HashMap<u64, Box<Lookout>>>,
    /// Consumers to look at; each once, so there are no more than consumers.
    changed: Mutex<BTreeSet<u64>>,
    /// One for all consumers.
    bell: OnceLock<Arc<Bell>>,
}

/// Tells a stream that it has to look.
struct Bell(Weak<Hosted>);

impl Observer for Bell {
    fn changed(&self, number: u64) {
        if let Some(hosted) = self.0.upgrade() {
            hosted.look_at(number);
        }
    }
}

impl Listeners {
    /// A consumer sends to this subject from now on.
    pub(super) fn watch(
        &self,
        hosted: &Weak<Hosted>,
        account: &Arc<Account>,
        id: u64,
        config: &ConsumerConfig,
    ) {
        let group = Some(config.deliver_group.as_bytes()).filter(|group| !group.is_empty());
        let bell = self.bell.get_or_init(|| Arc::new(Bell(hosted.clone()))).clone();
        let lookout = Lookout::new(account, config.deliver_subject.as_bytes(), group, id, bell);
        let before = self.lookouts.lock().insert(id, Box::new(lookout));
        drop(before);
    }

    /// A consumer is gone.
    pub(super) fn forget(&self, id: u64) {
        let gone = self.lookouts.lock().remove(&id);
        drop(gone);
    }

    /// Has a consumer looked at with whatever is done next. Whether somebody listens to it.
    pub(super) fn note(&self, id: u64) -> bool {
        self.changed.lock().insert(id);
        self.is_met(id)
    }

    pub(super) fn is_met(&self, id: u64) -> bool {
        self.lookouts.lock().get_mut(&id).is_some_and(|lookout| lookout.is_met())
    }
}

impl Hosted {
    /// Has the thread of streams look whether somebody listens to a consumer.
    pub(super) fn look_at(&self, id: u64) {
        self.listeners.changed.lock().insert(id);
        self.wake();
    }
}

impl Session<'_> {
    /// Looks whether somebody listens to consumers whose listeners changed.
    pub(super) fn look_at_interest(&mut self) {
        let changed = std::mem::take(&mut *self.hosted.listeners.changed.lock());
        changed.into_iter().for_each(|id| self.look_at(id));
    }

    /// Looks whether somebody listens to a consumer.
    pub(super) fn look_at(&mut self, id: u64) {
        let is_active = self.hosted.listeners.is_met(id);
        self.consumer(ConsumerId(id), |machine, ctx| machine.set_interest(ctx, is_active));
    }
}
