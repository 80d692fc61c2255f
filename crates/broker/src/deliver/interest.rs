//! The one gate of changes of interest: every subscription begins and ends here, whoever causes it, and a watcher is notified of how
//! many subscriptions an account has for each filter and queue group.
//!
//! Invariants: each change is reported once, in the order in which the counts changed, and in the turn in which it took effect. The
//! watcher must not change interest itself. Without a watcher nothing is counted.

use super::Turn;
use crate::account::{Account, AccountId};
use crate::peer::Peer;
use crate::subscription::Subscription;
use hashbrown::HashMap;
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
    /// Counts all changes. What several loops stage may be written in another order than the changes were reported.
    pub number: u64,
}

/// Is notified of changes of interest.
pub trait Watch: Send + Sync {
    /// Interest changed. What is staged in `turn` is written with what else that turn did; `None` where no loop did it: for the
    /// server's own subscriptions, and when rights are taken away.
    fn changed(&self, account: &Arc<Account>, delta: Delta<'_>, turn: Option<&mut Turn>);
}

/// Account, filter and queue group.
type Key = (AccountId, Box<[u8]>, Option<Box<[u8]>>);

#[derive(Default)]
struct Ledger {
    counts: HashMap<Key, u32, foldhash::fast::RandomState>,
    number: u64,
}

impl Ledger {
    /// Counts one more, or one less. What there were and are.
    fn count(&mut self, account: &Account, subscription: &Subscription, begins: bool) -> (u32, u32) {
        let key = (account.id, subscription.filter().into(), subscription.queue().map(Into::into));
        let before = self.counts.get(&key).copied().unwrap_or(0);
        let now = if begins { before.saturating_add(1) } else { before.saturating_sub(1) };
        if now > 0 {
            self.counts.insert(key, now);
        } else {
            self.counts.remove(&key);
        }
        self.number += 1;
        (before, now)
    }
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

    fn report(
        &self,
        account: &Arc<Account>,
        subscriptions: &[Arc<Subscription>],
        begins: bool,
        mut turn: Option<&mut Turn>,
    ) {
        let Some(Watched { watch, ledger }) = &self.0 else { return };
        let mut ledger = ledger.lock();
        for subscription in subscriptions {
            let (before, now) = ledger.count(account, subscription, begins);
            let (filter, queue, number) = (subscription.filter(), subscription.queue(), ledger.number);
            watch.changed(account, Delta { filter, queue, before, now, number }, turn.as_deref_mut());
        }
    }
}

impl Turn {
    /// Adds a subscription of a peer that is in `account`. False, and nothing changes, if its sid is taken.
    pub fn subscribe(&mut self, account: &Arc<Account>, subscription: &Arc<Subscription>) -> bool {
        self.gate().subscribe(account, subscription, Some(self))
    }

    /// Takes a subscription out, wherever it still is. False if somebody else has.
    pub fn unsubscribe(&mut self, subscription: &Arc<Subscription>) -> bool {
        let Some(account) = subscription.peer().account() else { return false };
        self.gate().unsubscribe(&account, subscription, Some(self))
    }

    /// Takes all subscriptions of a peer out of its account.
    pub fn unsubscribe_all(&mut self, peer: &Peer) -> Vec<Arc<Subscription>> {
        let Some(account) = peer.account() else { return Vec::new() };
        self.gate().unsubscribe_all(&account, peer, Some(self))
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("is_watched", &self.0.is_some()).finish()
    }
}
