//! The one gate of changes of interest: every subscription begins and ends here, whoever causes it, and a watcher is notified of how
//! many subscriptions an account has for each filter and queue group.
//!
//! Invariants: each change is reported once, in the order in which the counts changed, and in the turn in which it took effect. The
//! watcher must not change interest itself. Without a watcher nothing is counted.

use super::Turn;
use super::ledger::{Change, Ledger, Wanted};
use crate::account::Account;
use crate::peer::Peer;
use crate::subscription::Subscription;
use parking_lot::Mutex;
use std::sync::Arc;

/// A change of how many subscriptions of an account have the same filter and queue group. From or to 0: the interest begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta<'a> {
    /// The filter.
    pub filter: &'a [u8],
    /// The queue group.
    pub queue: Option<&'a [u8]>,
    /// How many there were.
    pub before: u32,
    /// How many there are.
    pub now: u32,
}

impl<'a> From<&Change<'a>> for Delta<'a> {
    fn from(change: &Change<'a>) -> Self {
        let Change { wanted: Wanted { filter, queue }, before, now, .. } = *change;
        Self { filter, queue, before, now }
    }
}

/// Is notified of changes of interest.
pub trait Watch: Send + Sync {
    /// Interest changed. What is sent to others because of it must be enqueued at once ([`Turn::enqueue`], [`Peer::send`]): several loops
    /// report changes, and only the calls are in order. `turn` is `None` where no loop did it: for the server's own subscriptions, and
    /// when rights are taken away.
    fn changed(&self, account: &Arc<Account>, delta: Delta<'_>, turn: Option<&mut Turn>);
}

struct Watched {
    watch: Box<dyn Watch>,
    /// Held while the watcher is notified, which keeps the order.
    ledger: Mutex<Ledger>,
}

/// The gate. One a server; a watcher is there from the beginning or never.
#[derive(Default)]
pub struct Gate(Option<Watched>);

impl Gate {
    /// A gate that reports changes to a watcher.
    pub fn watched(watch: impl Watch + 'static) -> Arc<Self> {
        Arc::new(Self(Some(Watched { watch: Box::new(watch), ledger: Mutex::default() })))
    }

    /// Adds a subscription to its peer and to `account`. False, and nothing changes, if its sid is taken: only one thread at a time
    /// adds subscriptions of one sid.
    pub fn subscribe(
        &self,
        account: &Arc<Account>,
        subscription: &Arc<Subscription>,
        turn: Option<&mut Turn>,
    ) -> bool {
        let peer = subscription.peer();
        if peer.subscriptions().find(subscription.sid()).is_some() {
            return false;
        }
        account.insert(subscription);
        self.report(account, std::slice::from_ref(subscription), true, turn);
        // It comes into its peer's table last: the begin of what other threads take out there is reported before its end.
        peer.subscriptions().insert(subscription.clone())
    }

    /// Takes a subscription out of its peer and of `account`. False if somebody else has.
    pub fn unsubscribe(
        &self,
        account: &Arc<Account>,
        subscription: &Arc<Subscription>,
        turn: Option<&mut Turn>,
    ) -> bool {
        if !subscription.peer().subscriptions().remove(subscription) {
            return false;
        }
        account.remove(subscription);
        self.report(account, std::slice::from_ref(subscription), false, turn);
        true
    }

    /// Takes all subscriptions of a peer out of `account`.
    pub fn unsubscribe_all(
        &self,
        account: &Arc<Account>,
        peer: &Peer,
        turn: Option<&mut Turn>,
    ) -> Vec<Arc<Subscription>> {
        let all = peer.subscriptions().take_all();
        account.remove_all(&all);
        self.report(account, &all, false, turn);
        all
    }

    /// Counts interest without a subscription: the answers of services that an account waits for.
    pub(crate) fn announce(&self, account: &Arc<Account>, filter: &[u8], turn: Option<&mut Turn>) {
        self.count(account, std::iter::once(Wanted { filter, queue: None }), true, turn);
    }

    /// Changes what an account takes from others as streams: `change` must change nothing else that concerns interest.
    pub fn change_imports<T>(&self, account: &Arc<Account>, change: impl FnOnce() -> T) -> T {
        let Some(Watched { watch, ledger }) = &self.0 else { return change() };
        let mut ledger = ledger.lock();
        let mut report = |change: Change<'_>| watch.changed(change.account, Delta::from(&change), None);
        ledger.change_imports(account, change, &mut report)
    }

    /// Whether somebody watches.
    pub fn is_watched(&self) -> bool {
        self.0.is_some()
    }

    /// Reads all that is counted. No change is reported meanwhile: who begins to listen to changes in `read` misses none.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&mut dyn Iterator<Item = (&Arc<Account>, Delta<'_>)>) -> T,
    ) -> Option<T> {
        let Watched { ledger, .. } = self.0.as_ref()?;
        let ledger = ledger.lock();
        let mut all = ledger.all().map(|change| (change.account, Delta::from(&change)));
        Some(read(&mut all))
    }

    fn report(
        &self,
        account: &Arc<Account>,
        subscriptions: &[Arc<Subscription>],
        begins: bool,
        turn: Option<&mut Turn>,
    ) {
        let announced = subscriptions.iter().filter(|subscription| subscription.peer().kind.is_announced());
        let wanted = announced.map(|s| Wanted { filter: s.filter(), queue: s.queue() });
        self.count(account, wanted, begins, turn);
    }

    fn count<'a>(
        &self,
        account: &Arc<Account>,
        all: impl Iterator<Item = Wanted<'a>>,
        begins: bool,
        mut turn: Option<&mut Turn>,
    ) {
        let Some(Watched { watch, ledger }) = &self.0 else { return };
        let mut ledger = ledger.lock();
        let mut report = |change: Change<'_>| {
            watch.changed(change.account, Delta::from(&change), turn.as_deref_mut());
        };
        for wanted in all {
            ledger.count(account, wanted, begins, &mut report);
        }
    }
}

impl Turn {
    /// Sends bytes to a peer, behind what is in its outbox already and before what this turn has staged for it.
    pub fn enqueue(&mut self, peer: &Arc<Peer>, bytes: &[u8]) {
        self.staging.enqueue_bytes(peer, bytes);
    }

    /// Adds a subscription of a peer that is in `account`. False, and nothing changes, if its sid is taken.
    pub fn subscribe(&mut self, account: &Arc<Account>, subscription: &Arc<Subscription>) -> bool {
        self.gate().subscribe(account, subscription, Some(self))
    }

    /// Takes a subscription out, wherever it still is. False if somebody else has.
    pub fn unsubscribe(&mut self, subscription: &Arc<Subscription>) -> bool {
        let Some(account) = subscription.peer().subscribed_in() else { return false };
        self.gate().unsubscribe(&account, subscription, Some(self))
    }

    /// Takes all subscriptions of a peer out of its account.
    pub fn unsubscribe_all(&mut self, peer: &Peer) -> Vec<Arc<Subscription>> {
        let Some(account) = peer.subscribed_in() else { return Vec::new() };
        self.gate().unsubscribe_all(&account, peer, Some(self))
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("is_watched", &self.0.is_some()).finish()
    }
}
