//! What those behind a relay are interested in, by account: the subscriptions of a connection that is in all accounts at once.
//!
//! Only the loop that has the connection changes it; monitoring reads it.

use crate::account::Account;
use crate::peer::Peer;
use crate::subscription::{Subscription, Subscriptions};
use dialtone_subject::{Hashing, ShortBytes, set};
use hashbrown::HashMap;
use std::sync::Arc;

/// The interest that one connection has announced.
#[derive(Debug, Default)]
pub struct RelayInterest {
    /// By the account's name and, behind a blank, the cluster of the leaf node that it is of.
    accounts: HashMap<Box<[u8]>, InAccount, Hashing>,
    len: usize,
}

#[derive(Debug)]
struct InAccount {
    account: Arc<Account>,
    name_bytes: usize,
    subscriptions: Subscriptions,
}

/// Interest that has ended: all in one account, and of one cluster of leaf nodes.
#[derive(Debug)]
pub struct Ended {
    /// The account.
    pub account: Arc<Account>,
    /// The cluster; empty if it was of others.
    pub cluster: Box<[u8]>,
    /// What it was.
    pub subscriptions: Vec<Arc<Subscription>>,
}

fn key(account: &[u8], cluster: &[u8]) -> ShortBytes<62> {
    if cluster.is_empty() {
        ShortBytes::concat(&[account])
    } else {
        ShortBytes::concat(&[account, b" ", cluster])
    }
}

impl RelayInterest {
    /// The account of this name, if something in it was announced.
    pub fn account(&self, name: &[u8]) -> Option<&Arc<Account>> {
        let of_leaf = || self.accounts.values().find(|entry| entry.account.name.as_bytes() == name);
        self.accounts.get(name).or_else(of_leaf).map(|entry| &entry.account)
    }

    /// Whether there is such interest that is of no leaf node.
    pub fn has(&self, account: &[u8], filter: &[u8], queue: Option<&[u8]>) -> bool {
        let entry = self.accounts.get(account);
        entry.is_some_and(|entry| entry.subscriptions.find_of_relay(filter, queue).is_some())
    }

    /// Whether there is interest in this filter, without a queue group, in some account.
    pub fn has_filter(&self, filter: &[u8]) -> bool {
        self.accounts.values().any(|entry| entry.subscriptions.find_of_relay(filter, None).is_some())
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

    /// Its subscriptions in an account, in this queue group or in none, that a subject of `filter` may match.
    pub(crate) fn meeting(
        &self,
        account: &Account,
        filter: &[u8],
        queue: Option<&[u8]>,
    ) -> impl Iterator<Item = &Arc<Subscription>> {
        let entries = self.accounts.values().filter(move |entry| entry.account.id == account.id);
        let all = entries.flat_map(|entry| entry.subscriptions.iter());
        all.filter(move |s| s.queue() == queue && set::overlap(s.filter(), filter))
    }

    /// What was worked out from it is worked out anew: the other end is nearer or farther than before.
    pub fn outdate(&self) {
        self.iter().for_each(|(account, subscription)| account.forget_matches_of(subscription.filter()));
    }

    /// The same with the cluster of leaf nodes that each is of; empty if it is of others.
    pub(crate) fn by_cluster(&self) -> impl Iterator<Item = (&Arc<Account>, &[u8], &Arc<Subscription>)> {
        self.accounts.iter().flat_map(|(key, entry)| {
            let cluster = cluster_in(key, entry).unwrap_or_default();
            entry.subscriptions.iter().map(move |subscription| (&entry.account, cluster, subscription))
        })
    }

    /// Interest in `filter` begins in an account, of a leaf node's cluster if that is named; of a queue group with so many members, or
    /// with so many now. How many there were.
    pub(crate) fn subscribe(
        &mut self,
        peer: &Arc<Peer>,
        (account, cluster): (&Arc<Account>, &[u8]),
        filter: &[u8],
        queue: Option<&[u8]>,
        weight: u32,
    ) -> u32 {
        let name = account.name.as_bytes();
        let key = key(name, cluster);
        let key = key.as_slice();
        if !self.accounts.contains_key(key) {
            let (account, subscriptions) = (account.clone(), Subscriptions::default());
            self.accounts.insert(key.into(), InAccount { account, name_bytes: name.len(), subscriptions });
        }
        let Some(entry) = self.accounts.get_mut(key) else { return 0 };
        if let Some(known) = entry.subscriptions.find_of_relay(filter, queue) {
            let before = known.weight();
            if before != weight {
                known.set_weight(weight);
                entry.account.forget_matches_of(filter);
            }
            return before;
        }
        let subscription = Subscription::of_relay(peer.clone(), filter, queue, weight);
        entry.account.insert(&subscription);
        entry.subscriptions.insert(subscription);
        self.len += 1;
        0
    }

    /// It ends. How many there were; `None` if it was not there.
    pub(crate) fn unsubscribe(
        &mut self,
        account: &[u8],
        cluster: &[u8],
        filter: &[u8],
        queue: Option<&[u8]>,
    ) -> Option<u32> {
        let key = key(account, cluster);
        let entry = self.accounts.get_mut(key.as_slice())?;
        let subscription = entry.subscriptions.find_of_relay(filter, queue).cloned()?;
        entry.subscriptions.remove(&subscription);
        entry.account.remove(&subscription);
        self.len -= 1;
        if entry.subscriptions.is_empty() {
            self.accounts.remove(key.as_slice());
        }
        Some(subscription.weight())
    }

    /// The cluster of leaf nodes of which there is such interest: some servers do not name it where it ends.
    pub fn cluster_of(&self, account: &[u8], filter: &[u8], queue: Option<&[u8]>) -> Option<Box<[u8]>> {
        let entries = self.accounts.iter().filter(|(_, entry)| entry.account.name.as_bytes() == account);
        let mut with_it =
            entries.filter(|(_, entry)| entry.subscriptions.find_of_relay(filter, queue).is_some());
        with_it.find_map(|(key, entry)| cluster_in(key, entry).map(Into::into))
    }

    /// Of filters and queue groups that are not kept, it ends in all accounts.
    #[must_use = "others are told that it has ended"]
    pub fn retain(&mut self, keeps: impl Fn(&[u8], Option<&[u8]>) -> bool) -> Vec<Ended> {
        let is_kept = |subscription: &Arc<Subscription>| keeps(subscription.filter(), subscription.queue());
        let mut ended = Vec::new();
        for (key, entry) in &mut self.accounts {
            let gone: Vec<_> = entry.subscriptions.iter().filter(|s| !is_kept(s)).cloned().collect();
            for subscription in &gone {
                entry.subscriptions.remove(subscription);
            }
            entry.account.remove_all(&gone);
            self.len -= gone.len();
            let cluster = cluster_in(key, entry).unwrap_or_default().into();
            ended.push(Ended { account: entry.account.clone(), cluster, subscriptions: gone });
        }
        self.accounts.retain(|_, entry| !entry.subscriptions.is_empty());
        ended
    }

    /// All of it in an account ends.
    #[must_use = "others are told that it has ended"]
    pub fn forget(&mut self, account: &[u8]) -> Vec<Ended> {
        self.forget_where(|known| known.name.as_bytes() == account)
    }

    /// All of it in some accounts ends.
    #[must_use = "others are told that it has ended"]
    pub fn forget_where(&mut self, is_it: impl Fn(&Arc<Account>) -> bool) -> Vec<Ended> {
        let gone = self.accounts.extract_if(|_, entry| is_it(&entry.account)).collect();
        self.end(gone)
    }

    /// All of it ends: the connection is gone.
    #[must_use = "others are told that it has ended"]
    pub fn clear(&mut self) -> Vec<Ended> {
        let gone = self.accounts.drain().collect();
        self.end(gone)
    }

    fn end(&mut self, gone: Vec<(Box<[u8]>, InAccount)>) -> Vec<Ended> {
        let mut ended = Vec::with_capacity(gone.len());
        for (key, mut entry) in gone {
            let subscriptions = entry.subscriptions.take_all();
            entry.account.remove_all(&subscriptions);
            self.len -= subscriptions.len();
            let cluster = cluster_in(&key, &entry).unwrap_or_default().into();
            ended.push(Ended { account: entry.account, cluster, subscriptions });
        }
        ended
    }
}

/// The cluster in the key of an entry.
fn cluster_in<'k>(key: &'k [u8], entry: &InAccount) -> Option<&'k [u8]> {
    key.get(entry.name_bytes + 1..)
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
        interest.subscribe(&peer, (&account, b""), b"a.*", None, 1);
        interest.subscribe(&peer, (&account, b""), b"a.*", Some(b"q"), 2);
        interest.subscribe(&peer, (&account, b""), b"a.", Some(b"*q"), 2);
        assert_eq!((interest.len(), weights()), (3, (1, vec![2])));
        interest.subscribe(&peer, (&account, b""), b"a.*", Some(b"q"), 5);
        assert_eq!((interest.len(), weights()), (3, (1, vec![5])));
        let end = |interest: &mut RelayInterest| interest.unsubscribe(b"A", b"", b"a.*", None);
        assert_eq!((end(&mut interest), end(&mut interest)), (Some(1), None));
        assert_eq!(interest.unsubscribe(b"B", b"", b"a.*", Some(b"q")), None);
        assert_eq!((interest.len(), weights()), (2, (1, vec![5])));
        let ended: Vec<_> = interest.clear().iter().map(|ended| ended.subscriptions.len()).collect();
        assert_eq!(ended, [2]);
        assert_eq!((interest.is_empty(), weights(), account.interest().len()), (true, (0, vec![]), 0));
    }
}
