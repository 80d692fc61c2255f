//! What those behind a relay are interested in, by account: the subscriptions of a connection that is in all accounts at once.
//!
//! Only the loop that has the connection changes it; monitoring reads it.

use crate::account::Account;
use crate::peer::Peer;
use crate::subscription::{Subscription, Subscriptions};
use hashbrown::HashMap;
use std::sync::Arc;

/// The interest that one connection has announced.
#[derive(Debug, Default)]
pub struct RelayInterest {
    accounts: HashMap<Box<[u8]>, InAccount, foldhash::fast::RandomState>,
    len: usize,
}

#[derive(Debug)]
struct InAccount {
    account: Arc<Account>,
    subscriptions: Subscriptions,
}

impl RelayInterest {
    /// The account of this name, if something in it was announced.
    pub fn account(&self, name: &[u8]) -> Option<&Arc<Account>> {
        self.accounts.get(name).map(|entry| &entry.account)
    }

    /// How many subscriptions.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The subscriptions, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Account>, &Arc<Subscription>)> {
        self.accounts.values().flat_map(|entry| entry.subscriptions.iter().map(|s| (&entry.account, s)))
    }

    /// Interest in `filter` begins in an account; of a queue group with so many members, or with so many now.
    pub fn subscribe(
        &mut self,
        peer: &Arc<Peer>,
        account: &Arc<Account>,
        filter: &[u8],
        queue: Option<&[u8]>,
        weight: u32,
    ) {
        let name = account.name.as_bytes();
        if !self.accounts.contains_key(name) {
            let entry = InAccount { account: account.clone(), subscriptions: Subscriptions::default() };
            self.accounts.insert(name.into(), entry);
        }
        let Some(entry) = self.accounts.get_mut(name) else { return };
        if let Some(known) = entry.subscriptions.find_of_relay(filter, queue) {
            if known.weight() != weight {
                known.set_weight(weight);
                entry.account.forget_matches_of(filter);
            }
            return;
        }
        let subscription = Subscription::of_relay(peer.clone(), filter, queue, weight);
        entry.account.insert(&subscription);
        entry.subscriptions.insert(subscription);
        self.len += 1;
    }

    /// It ends. False if it was not there.
    pub fn unsubscribe(&mut self, account: &[u8], filter: &[u8], queue: Option<&[u8]>) -> bool {
        let Some(entry) = self.accounts.get_mut(account) else { return false };
        let Some(subscription) = entry.subscriptions.find_of_relay(filter, queue).cloned() else {
            return false;
        };
        entry.subscriptions.remove(&subscription);
        entry.account.remove(&subscription);
        self.len -= 1;
        if entry.subscriptions.is_empty() {
            self.accounts.remove(account);
        }
        true
    }

    /// All of it in an account ends.
    pub fn forget(&mut self, account: &[u8]) {
        if let Some(mut entry) = self.accounts.remove(account) {
            let all = entry.subscriptions.take_all();
            entry.account.remove_all(&all);
            self.len -= all.len();
        }
    }

    /// All of it ends: the connection is gone.
    pub fn clear(&mut self) {
        for (_, mut entry) in self.accounts.drain() {
            entry.account.remove_all(&entry.subscriptions.take_all());
        }
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AccountId, ClientId};
    use crate::kind::{Entry, Kind};
    use crate::peer::Basics;
    use crate::route::RouteCache;
    use std::time::Instant;

    fn relay() -> Arc<Peer> {
        struct Deaf;
        impl crate::inlet::Inlet for Deaf {
            fn take(&self, _: &crate::inlet::Batch, _: &mut dyn crate::inlet::Publish) {}

            fn account(&self) -> Option<Arc<Account>> {
                None
            }
        }
        let start = Instant::now();
        let basics = Basics { id: ClientId(9), kind: Kind::ALL[2], slot: 3, pending_bytes_max: 1, start };
        Peer::inside(basics, Arc::default(), Arc::new(Deaf))
    }

    #[test]
    fn interest_begins_changes_and_ends() {
        let (account, peer) = (Account::new(AccountId(1), "A"), relay());
        let (mut interest, mut cache) = (RelayInterest::default(), RouteCache::default());
        let mut weights = || {
            let route = cache.route(&account, b"a.b", Entry::OF_SERVER);
            (route.relays.targets.len(), route.relays.groups.iter().map(|g| g.weight()).collect::<Vec<_>>())
        };
        interest.subscribe(&peer, &account, b"a.*", None, 1);
        interest.subscribe(&peer, &account, b"a.*", Some(b"q"), 2);
        interest.subscribe(&peer, &account, b"a.", Some(b"*q"), 2);
        assert_eq!((interest.len(), weights()), (3, (1, vec![2])));
        interest.subscribe(&peer, &account, b"a.*", Some(b"q"), 5);
        assert_eq!((interest.len(), weights()), (3, (1, vec![5])));
        assert!(interest.unsubscribe(b"A", b"a.*", None) && !interest.unsubscribe(b"A", b"a.*", None));
        assert!(!interest.unsubscribe(b"B", b"a.*", Some(b"q")));
        assert_eq!((interest.len(), weights()), (2, (1, vec![5])));
        interest.clear();
        assert_eq!((interest.is_empty(), weights(), account.interest().len()), (true, (0, vec![]), 0));
    }
}
