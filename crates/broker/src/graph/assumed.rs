//! Interest that is assumed: servers before 2.9 send no interest of an account from the beginning, but take all messages, and answer those
//! that nobody wants by saying so, subject by subject.

use crate::account::Account;
use crate::id::ClientId;
use crate::peer::Peer;
use crate::subscription::Subscription;
use dialtone_subject::set;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Subjects that a server may have said that it does not want, in one account. With more, all are forgotten: what comes is sent again. Such
/// servers ask for interest only after 1,000.
const EXCEPTIONS_MAX: usize = 16 * 1024;
/// No relay has so many members: it marks what is assumed.
const WEIGHT: u32 = u32::MAX;

/// Everything in an account is sent to a relay, but what it has said that it does not want. Ends when it is dropped.
#[derive(Debug)]
pub struct Assumed {
    account: Arc<Account>,
    subscription: Arc<Subscription>,
}

impl Assumed {
    /// A relay is assumed to want all of an account.
    pub fn begin(peer: &Arc<Peer>, account: &Arc<Account>) -> Self {
        let subscription = Subscription::of_relay(peer.clone(), b">", None, WEIGHT);
        account.insert(&subscription);
        Self { account: account.clone(), subscription }
    }

    /// The account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// It does not want messages to this subject.
    pub fn except(&self, subject: &[u8]) {
        self.account.exceptions().add(self.subscription.peer().id, subject);
        self.account.forget_matches_of(subject);
    }

    /// It wants those that match this filter after all.
    pub fn wants(&self, filter: &[u8]) {
        self.account.exceptions().remove(self.subscription.peer().id, filter);
        self.account.forget_matches_of(filter);
    }

    /// How many subjects it does not want.
    pub fn exceptions(&self) -> usize {
        self.account.exceptions().len(self.subscription.peer().id)
    }
}

impl Drop for Assumed {
    fn drop(&mut self) {
        self.account.remove(&self.subscription);
        self.account.exceptions().forget(self.subscription.peer().id);
    }
}

impl Subscription {
    /// Whether what matches it is sent because nothing else is known, and is not wanted.
    pub(crate) fn is_needless(&self, account: &Account, subject: &[u8]) -> bool {
        self.weight() == WEIGHT && account.exceptions().has(self.peer().id, subject)
    }
}

/// What relays do not want in an account where all is assumed to be wanted.
#[derive(Debug, Default)]
pub(crate) struct Exceptions {
    are_there: AtomicBool,
    by_peer: Mutex<Option<Box<ByPeer>>>,
}

type ByPeer = HashMap<ClientId, HashSet<Box<[u8]>, foldhash::fast::RandomState>, foldhash::fast::RandomState>;

impl Exceptions {
    fn add(&self, peer: ClientId, subject: &[u8]) {
        let mut by_peer = self.by_peer.lock();
        let subjects = by_peer.get_or_insert_default().entry(peer).or_default();
        if subjects.len() >= EXCEPTIONS_MAX {
            subjects.clear();
        }
        subjects.insert(subject.into());
        self.are_there.store(true, Ordering::Release);
    }

    fn remove(&self, peer: ClientId, filter: &[u8]) {
        if let Some(subjects) = self.by_peer.lock().as_mut().and_then(|by_peer| by_peer.get_mut(&peer))
            && !subjects.remove(filter)
        {
            subjects.retain(|subject| !set::matches(filter, subject));
        }
    }

    fn forget(&self, peer: ClientId) {
        let mut by_peer = self.by_peer.lock();
        if let Some(all) = by_peer.as_mut() {
            all.remove(&peer);
            if all.is_empty() {
                *by_peer = None;
                self.are_there.store(false, Ordering::Release);
            }
        }
    }

    fn has(&self, peer: ClientId, subject: &[u8]) -> bool {
        self.are_there.load(Ordering::Acquire)
            && self
                .by_peer
                .lock()
                .as_ref()
                .is_some_and(|all| all.get(&peer).is_some_and(|s| s.contains(subject)))
    }

    fn len(&self, peer: ClientId) -> usize {
        self.by_peer.lock().as_ref().and_then(|all| all.get(&peer)).map_or(0, HashSet::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_bounded_and_each_peers_own() {
        let (exceptions, one, two) = (Exceptions::default(), ClientId(1), ClientId(2));
        exceptions.add(one, b"a.b");
        exceptions.add(one, b"a.c");
        exceptions.add(two, b"a.b");
        exceptions.remove(one, b"a.b");
        assert!(!exceptions.has(one, b"a.b") && exceptions.has(one, b"a.c") && exceptions.has(two, b"a.b"));
        exceptions.remove(one, b"a.*");
        assert_eq!((exceptions.len(one), exceptions.len(two)), (0, 1));
        for n in 0..EXCEPTIONS_MAX {
            exceptions.add(one, n.to_string().as_bytes());
        }
        assert_eq!(exceptions.len(one), EXCEPTIONS_MAX);
        exceptions.add(one, b"one more");
        assert_eq!(exceptions.len(one), 1);
        exceptions.forget(one);
        exceptions.forget(two);
        assert!(exceptions.by_peer.lock().is_none() && !exceptions.has(two, b"a.b"));
    }
}
