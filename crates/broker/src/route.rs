//! Where messages of one subject go, worked out once and kept while it is true.

use crate::account::{Account, AccountId};
use crate::subscription::{Subscriber, Subscription};
use dialtone_subject::{Matches, Stamp, SubjectHash};
use dialtone_wire::client::encode;
use hashbrown::HashTable;
use std::sync::Arc;

/// Routes that a cache keeps in its young half; the old half has as many at most.
const ROUTES_MAX: usize = 4096;
/// Targets that a cache keeps in its young half, so that huge fan-outs do not pile up.
const TARGETS_MAX: usize = 256 * 1024;

/// One subscription that gets the messages of a route.
#[derive(Debug)]
pub struct Target {
    /// The subscription.
    pub subscription: Arc<Subscription>,
    /// `HMSG subject sid `; without its first byte it is the prefix of MSG.
    prefix: Box<[u8]>,
}

impl Target {
    fn new(subject: &[u8], subscription: Arc<Subscription>) -> Self {
        let mut prefix = Vec::with_capacity(7 + subject.len() + subscription.sid().len());
        prefix.extend_from_slice(b"HMSG ");
        encode::delivery_target(&mut prefix, subject, subscription.sid());
        Self { subscription, prefix: prefix.into_boxed_slice() }
    }

    /// What a delivery to this target begins with.
    #[inline]
    pub fn prefix(&self, with_headers: bool) -> &[u8] {
        self.prefix.get(usize::from(!with_headers)..).unwrap_or_default()
    }
}

/// Who gets the messages of one subject in one account.
#[derive(Debug)]
pub struct Route {
    account: AccountId,
    subject: Box<[u8]>,
    hash: SubjectHash,
    stamp: Stamp,
    /// Everyone here gets each message.
    pub plain: Vec<Target>,
    /// One of each group gets a message.
    pub queues: Vec<Vec<Target>>,
}

impl Route {
    /// Works out a route from the account's interest as it is now.
    ///
    /// This is the gate of delivery: a subscription whose peer may not see this very subject gets no target, so no
    /// path of a message can go round its rights.
    fn build(
        account: &Account,
        subject: &[u8],
        hash: SubjectHash,
        matches: &mut Matches<Subscriber>,
    ) -> Self {
        // The stamp is taken first: a change while we match makes the route stale, never wrong.
        let stamp = account.generations().stamp(&hash);
        matches.clear();
        account.interest().matches(subject, matches);
        let may = |subscriber: &Subscriber| {
            let subscription = subscriber.0.clone();
            let permissions = subscription.peer().place().permissions;
            let allowed = permissions.is_none_or(|p| p.may_deliver(subject, subscription.queue()));
            allowed.then(|| Target::new(subject, subscription))
        };
        let plain = matches.plain.iter().filter_map(may).collect();
        let groups = matches.groups().map(|members| members.iter().filter_map(may).collect::<Vec<_>>());
        let queues = groups.filter(|members| !members.is_empty()).collect();
        // Entries hold their peers; the buffer must not keep those alive.
        matches.clear();
        Self { account: account.id, subject: subject.into(), hash, stamp, plain, queues }
    }

    /// Whether this is still who gets the messages of `subject` in `account`.
    #[inline]
    pub fn is_of(&self, account: &Account, subject: &[u8]) -> bool {
        self.account == account.id
            && *self.subject == *subject
            && account.generations().is_current(&self.hash, &self.stamp)
    }

    /// Whether nobody gets these messages.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.queues.is_empty()
    }

    fn targets(&self) -> usize {
        self.plain.len() + self.queues.iter().map(Vec::len).sum::<usize>() + 1
    }
}

/// The routes that one loop has worked out. Two halves: what was used since the last turn-over is in the young one, so
/// the old one can go at once.
#[derive(Default)]
pub struct RouteCache {
    young: HashTable<Arc<Route>>,
    old: HashTable<Arc<Route>>,
    targets: usize,
    matches: Matches<Subscriber>,
}

impl RouteCache {
    /// The route of a subject in an account: from the cache while it is true, else worked out.
    #[inline]
    pub fn route(&mut self, account: &Account, subject: &[u8]) -> Arc<Route> {
        let hash = SubjectHash::of(subject);
        let key = hash.value() ^ u64::from(account.id.0).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let same = |route: &Arc<Route>| route.account == account.id && *route.subject == *subject;
        if let Some(route) = self.young.find_mut(key, same) {
            if !account.generations().is_current(&route.hash, &route.stamp) {
                self.targets = self.targets.saturating_sub(route.targets());
                *route = Arc::new(Route::build(account, subject, hash, &mut self.matches));
                self.targets += route.targets();
            }
            return route.clone();
        }
        self.promote(account, subject, hash, key)
    }

    #[cold]
    fn promote(&mut self, account: &Account, subject: &[u8], hash: SubjectHash, key: u64) -> Arc<Route> {
        let same = |route: &Arc<Route>| route.account == account.id && *route.subject == *subject;
        let kept = self.old.find_entry(key, same).ok().map(|entry| entry.remove().0);
        let route = kept
            .filter(|route| account.generations().is_current(&route.hash, &route.stamp))
            .unwrap_or_else(|| Arc::new(Route::build(account, subject, hash, &mut self.matches)));
        if self.young.len() >= ROUTES_MAX || self.targets >= TARGETS_MAX {
            self.old = std::mem::take(&mut self.young);
            self.targets = 0;
        }
        self.targets += route.targets();
        let rehash =
            |r: &Arc<Route>| r.hash.value() ^ u64::from(r.account.0).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.young.insert_unique(key, route.clone(), rehash);
        route
    }

    /// Forgets everything, and with it the peers that closed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Routes that are kept.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
