//! An account: a space of subjects of its own, and who is interested in what there.

use crate::stats::Counters;
use crate::subscription::{Subscriber, Subscription};
use dialtone_subject::{Generations, Interest};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The number of an account in this process. Never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccountId(pub u32);

/// The name of the account that everyone is in who is put into no other.
pub const GLOBAL: &str = "$G";
/// The default name of the system account.
pub const SYSTEM: &str = "$SYS";

/// A space of subjects. The same subject in two accounts never meets.
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its name: from the configuration, or a public NKey.
    pub name: Box<str>,
    /// What its connections sent and got.
    pub counters: Counters,
    connections: AtomicU32,
    interest: RwLock<Interest<Subscriber>>,
    generations: Generations,
}

impl Account {
    /// An account without subscriptions.
    pub fn new(id: AccountId, name: &str) -> Arc<Self> {
        Arc::new(Self {
            id,
            name: name.into(),
            counters: Counters::default(),
            connections: AtomicU32::new(0),
            interest: RwLock::default(),
            generations: Generations::default(),
        })
    }

    /// When what was matched in this account stops being true.
    pub(crate) fn generations(&self) -> &Generations {
        &self.generations
    }

    /// Reads the interest. Nothing else may be locked while the guard lives.
    pub fn interest(&self) -> parking_lot::RwLockReadGuard<'_, Interest<Subscriber>> {
        self.interest.read()
    }

    /// Adds a subscription; messages published from now on reach it.
    pub fn insert(&self, subscription: &Arc<Subscription>) {
        self.interest.write().insert(Subscriber(subscription.clone()));
        self.generations.bump(subscription.filter());
    }

    /// Takes a subscription out; messages published from now on pass it by.
    pub fn remove(&self, subscription: &Arc<Subscription>) {
        self.interest.write().remove(&Subscriber(subscription.clone()));
        self.generations.bump(subscription.filter());
    }

    /// Takes many out under one lock.
    pub fn remove_all(&self, subscriptions: &[Arc<Subscription>]) {
        let mut interest = self.interest.write();
        for subscription in subscriptions {
            interest.remove(&Subscriber(subscription.clone()));
        }
        drop(interest);
        for subscription in subscriptions {
            self.generations.bump(subscription.filter());
        }
    }

    /// Makes every cached match of this account stale: rights have changed.
    pub fn forget_matches(&self) {
        self.generations.bump_all();
    }

    /// Connections that are in this account.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts a connection in. Its number of connections, this one included.
    pub fn join(&self) -> u32 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts a connection out.
    pub fn leave(&self) -> u32 {
        self.connections.fetch_sub(1, Ordering::Relaxed).saturating_sub(1)
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}
