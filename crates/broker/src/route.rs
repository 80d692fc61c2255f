//! Where messages of one subject go, worked out once and kept while it is true.

use crate::account::{Account, AccountId};
use crate::format::Head;
use crate::kind::{Entry, Via};
use crate::reserved::{self, stays_from_leafs};
use crate::sharing::{ServiceImport, StreamImport};
use crate::subscription::{Subscriber, Subscription};
use dialtone_subject::{Generations, Matches, ShortBytes, Stamp, SubjectHash};
use hashbrown::HashTable;
pub use relays::{RelayGroup, RelayTarget, Relays};
use std::sync::Arc;

mod relays;

/// Routes that a cache keeps in its young half; the old half has as many at most.
const ROUTES_MAX: usize = 4096;
/// Targets that a cache keeps in its young half, so that huge fan-outs do not pile up.
const TARGETS_MAX: usize = 256 * 1024;
/// Unknown subjects in a row after which it pays to look ahead.
const MISSES_MIN: u32 = 64;
/// Subjects that a cache remembers to have seen once.
const SEEN_ONCE_MAX: usize = 8192;

/// One subscription that gets the messages of a route.
#[derive(Debug)]
pub struct Target {
    /// The subscription.
    pub subscription: Arc<Subscription>,
    /// What deliveries to it begin with.
    pub head: Head,
}

impl Target {
    /// A subscription to which messages are delivered under a subject. `None`: by its protocol they cannot be, or it does not ask for them.
    pub(crate) fn new(subject: &[u8], subscription: Arc<Subscription>) -> Option<Self> {
        let format = subscription.peer().format();
        if !format.asks_for(subscription.filter(), subject) {
            return None;
        }
        let head = format.head(subject, subscription.sid())?;
        Some(Self { subscription, head })
    }
}

/// What a route is found by.
#[derive(Clone, Copy)]
struct Key<'a> {
    account: &'a Account,
    subject: &'a [u8],
    hash: SubjectHash,
    entry: Entry,
}

impl<'a> Key<'a> {
    #[inline]
    fn new(account: &'a Account, subject: &'a [u8], entry: Entry) -> Self {
        Self { account, subject, hash: SubjectHash::of(subject), entry }
    }

    #[inline]
    fn mixed(&self) -> u64 {
        mix(self.account.id, &self.hash, self.entry)
    }
}

#[inline]
fn mix(account: AccountId, hash: &SubjectHash, entry: Entry) -> u64 {
    let number = u64::from(account.0) << 8 | u64::from(entry.number());
    hash.value() ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Another account that a route was worked out from.
#[derive(Debug)]
struct Watched {
    account: Arc<Account>,
    hash: SubjectHash,
    stamp: Stamp,
}

/// A service of another account that gets the messages of a route.
#[derive(Debug)]
pub struct ServiceHop {
    /// The import.
    pub import: Arc<ServiceImport>,
    /// The subject in the account that exports it.
    pub subject: Box<[u8]>,
}

/// What is beyond the borders of an account for one subject.
#[derive(Debug)]
pub(crate) struct MatchedImports {
    /// Who takes it as a stream, and its subject there.
    pub streams: Vec<(Arc<StreamImport>, Box<[u8]>)>,
    /// Which services it asks.
    pub services: Vec<ServiceHop>,
}

impl MatchedImports {
    /// What a message to `subject` meets at the borders of `account`.
    pub fn of(account: &Account, subject: &[u8], entry: Entry) -> Self {
        let (streams, services) = {
            let sharing = account.sharing();
            let streams = if entry.by == Via::Publish { sharing.taken_of(subject) } else { Vec::new() };
            let mut services = if entry.asks_services() { sharing.services_for(subject) } else { Vec::new() };
            // Officially so, too: the system account only answers questions about streams and consumers.
            if subject.starts_with(reserved::NEXT_MESSAGE_PREFIX) {
                services.retain(|import| !import.exporter.is_system());
            }
            (streams, services)
        };
        let here = |stream: Arc<StreamImport>| (stream.clone(), stream.subject_in_importer(subject));
        let hop =
            |import: Arc<ServiceImport>| ServiceHop { subject: import.subject_in_exporter(subject), import };
        Self {
            streams: streams.into_iter().map(here).collect(),
            services: services.into_iter().map(hop).collect(),
        }
    }
}

/// Whether two short texts are the same: compared by words in place, which is less than a call of `memcmp`.
#[inline(always)]
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    // The last words overlap those before.
    match (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(last_a), Some(last_b)) => last_a == last_b && a.as_chunks::<8>().0 == b.as_chunks::<8>().0,
        _ => match (a.first_chunk::<4>(), b.first_chunk::<4>()) {
            (Some(first_a), Some(first_b)) => {
                first_a == first_b && a.last_chunk::<4>() == b.last_chunk::<4>()
            }
            _ => a.iter().eq(b),
        },
    }
}

/// Who gets the messages of one subject in one account.
#[derive(Debug)]
pub struct Route {
    account: AccountId,
    entry: Entry,
    subject: ShortBytes<38>,
    hash: SubjectHash,
    stamp: Stamp,
    others: Vec<Watched>,
    /// Everyone here gets each message.
    pub plain: Vec<Target>,
    /// One of each group gets a message; its members may be in several accounts.
    pub queues: Vec<Vec<Target>>,
    /// Each of these services is asked.
    pub services: Vec<ServiceHop>,
    /// Others that have it for those behind them.
    pub relays: Relays,
}

/// Whether a message to `subject` goes on by a relay that has this subscription in `account`. `is_own`: that is where it was published.
pub(crate) fn goes_on_by(
    subscription: &Subscription,
    account: &Account,
    subject: &[u8],
    entry: Entry,
    is_own: bool,
) -> bool {
    let (peer, kind) = (subscription.peer(), subscription.peer().kind());
    // A server that is in all accounts gets it in the one where it was published, and looks itself who takes it there.
    let is_for_it = is_own || !kind.is_in_all_accounts();
    is_for_it
        && entry.passes_to(kind, subject)
        && peer.may_have(subject, subscription.queue())
        && !(kind.is_leaf_connection() && stays_from_leafs(account.is_system(), subject))
        && !subscription.is_needless(account, subject)
}

/// Whether a subscription leads anywhere with this subject: one inside the server may stand for much, of which this is nothing. To what comes by
/// a relay it answers itself, since it is the other server that has told of interest.
pub(crate) fn leads_on(subscription: &Subscription, subject: &[u8], entry: Entry) -> bool {
    let inlet = subscription.peer().inlet().filter(|_| !entry.from.is_relay());
    inlet.is_none_or(|inlet| inlet.takes(subscription.sid(), subject))
}

impl Route {
    /// Works out a route from the account's interest as it is now, and from that of accounts that take it as a stream.
    ///
    /// This is the gate of delivery: a subscription whose peer may not see this very subject, or is of a kind that messages of
    /// this entry do not go on to, gets no target, so no path of a message can go round.
    fn build(&mut self, key: &Key<'_>, matches: &mut Matches<Subscriber>) {
        self.account = key.account.id;
        self.entry = key.entry;
        self.subject = ShortBytes::concat(&[key.subject]);
        self.hash = key.hash;
        // The stamp is taken first: a change while we match makes the route stale, never wrong.
        self.stamp = key.account.generations().stamp(&key.hash);
        self.others.clear();
        self.plain.clear();
        self.queues.clear();
        self.services.clear();
        self.relays.clear();
        self.add(key.account, key.subject, key.entry, matches);
        if key.account.shares(key.subject) {
            self.cross(key, matches);
        }
        if !key.entry.from.is_in_all_accounts() || key.entry.by == Via::Service {
            self.relays.way_back = key.account.way_back(key.subject);
        }
        // Last: members here may be in accounts that take it as a stream.
        self.relays.find_members_here(&self.queues);
    }

    /// Adds who is interested in `subject` in `account`, and may have it.
    fn add(&mut self, account: &Account, subject: &[u8], entry: Entry, matches: &mut Matches<Subscriber>) {
        matches.clear();
        account.interest().matches(subject, matches);
        let is_own = account.id == self.account;
        let relays = &mut self.relays;
        let mut may = |Subscriber(subscription): Subscriber| {
            let peer = subscription.peer();
            if peer.kind().is_relay() {
                if goes_on_by(&subscription, account, subject, entry, is_own) {
                    relays.add(&subscription, account, subject);
                }
                return None;
            }
            let goes = entry.passes_to(peer.kind(), subject)
                && peer.may_have(subject, subscription.queue())
                && leads_on(&subscription, subject, entry);
            goes.then(|| Target::new(subject, subscription)).flatten()
        };
        self.plain.extend(matches.take_plain().filter_map(&mut may));
        // Within one account the groups differ; only with those of accounts before can they be the same.
        let before = self.queues.len();
        for members in matches.groups() {
            let members: Vec<Target> = members.iter().cloned().filter_map(&mut may).collect();
            let Some(queue) = members.first().map(|target| target.subscription.queue()) else { continue };
            let same = |group: &&mut Vec<Target>| group.iter().any(|t| t.subscription.queue() == queue);
            match self.queues.iter_mut().take(before).find(same) {
                Some(group) => group.extend(members),
                None => self.queues.push(members),
            }
        }
        // Entries hold their peers; the buffer must not keep those alive.
        matches.clear();
    }

    /// Adds what is beyond the borders of the account: who takes the message as a stream, and which services it asks.
    #[cold]
    fn cross(&mut self, key: &Key<'_>, matches: &mut Matches<Subscriber>) {
        let MatchedImports { streams, services } = MatchedImports::of(key.account, key.subject, key.entry);
        for (stream, here) in &streams {
            let StreamImport { importer, .. } = &**stream;
            let hash = SubjectHash::of(here);
            let stamp = importer.generations().stamp(&hash);
            self.others.push(Watched { account: importer.clone(), hash, stamp });
            self.add(importer, here, key.entry, matches);
        }
        self.services = services;
    }

    /// The route of no subject.
    fn empty() -> Self {
        let hash = SubjectHash::of(b"");
        Self {
            account: AccountId(u32::MAX),
            entry: Entry::OF_SERVER,
            subject: ShortBytes::concat(&[]),
            hash,
            stamp: Generations::default().stamp(&hash),
            others: Vec::new(),
            plain: Vec::new(),
            queues: Vec::new(),
            services: Vec::new(),
            relays: Relays::default(),
        }
    }

    /// Whether this is still who gets messages to `subject` in `account` that come in so.
    #[inline(always)]
    pub fn is_of(&self, account: &Account, subject: &[u8], entry: Entry) -> bool {
        self.account == account.id
            && self.entry == entry
            && same_bytes(self.subject.as_slice(), subject)
            && self.is_current(account)
    }

    #[inline(always)]
    fn is_current(&self, account: &Account) -> bool {
        account.generations().is_current(&self.hash, &self.stamp)
            && (self.others.is_empty() || self.are_others_current())
    }

    /// Apart, so that a route within one account costs no call.
    #[inline(never)]
    fn are_others_current(&self) -> bool {
        self.others.iter().all(|o| o.account.generations().is_current(&o.hash, &o.stamp))
    }

    #[inline]
    fn has(&self, key: &Key<'_>) -> bool {
        self.account == key.account.id && self.entry == key.entry && self.subject.as_slice() == key.subject
    }

    /// How its messages come into the account.
    pub(crate) fn entry(&self) -> Entry {
        self.entry
    }

    /// Whether nobody gets these messages.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.queues.is_empty() && self.services.is_empty() && self.relays.is_empty()
    }

    /// Whether it takes more than handing messages to targets here: relays have a part in it.
    #[inline(always)]
    pub(crate) fn has_relays(&self) -> bool {
        !self.relays.is_empty() || self.entry.from.is_relay()
    }

    /// How many get a message at most.
    #[inline(always)]
    pub(crate) fn receivers_max(&self) -> usize {
        self.plain.len() + self.queues.len() + self.relays.targets.len()
    }

    fn targets(&self) -> usize {
        self.plain.len() + self.queues.iter().map(Vec::len).sum::<usize>() + self.relays.len() + 1
    }
}

/// The routes that one loop has worked out. Two halves: what was used since the last turn-over is in the young one, so
/// the old one can go at once.
///
/// A route is kept from the second time on that it is worked out within a while: of subjects that come once, such as
/// replies, and of more subjects than fit, nothing is kept, and the one spare route serves them all in turn.
#[derive(Default)]
pub struct RouteCache {
    young: HashTable<Arc<Route>>,
    old: HashTable<Arc<Route>>,
    targets: usize,
    matches: Matches<Subscriber>,
    spare: Option<Arc<Route>>,
    /// Subjects one after the other that were in neither half.
    misses_in_a_row: u32,
    /// Of subjects that came once: by the low bits of their keys, the high ones.
    seen_once: Vec<u32>,
}

impl RouteCache {
    /// The route of a subject in an account: from the cache while it is true, else worked out.
    #[inline]
    pub fn route(&mut self, account: &Account, subject: &[u8], entry: Entry) -> Arc<Route> {
        let key = Key::new(account, subject, entry);
        let mixed = key.mixed();
        if let Some(route) = self.young.find(mixed, |route| route.has(&key))
            && route.is_current(account)
        {
            self.misses_in_a_row = 0;
            return route.clone();
        }
        self.work_out(&key, mixed)
    }

    #[cold]
    fn work_out(&mut self, key: &Key<'_>, mixed: u64) -> Arc<Route> {
        let same = |route: &Arc<Route>| route.has(key);
        let young = self.young.find_entry(mixed, same).ok().map(|entry| entry.remove().0);
        let stale = match young {
            Some(route) => {
                self.targets = self.targets.saturating_sub(route.targets());
                Some(route)
            }
            None => self.old.find_entry(mixed, same).ok().map(|entry| entry.remove().0),
        };
        let route = match stale {
            Some(route) if route.is_current(key.account) => route,
            Some(route) => self.build(route, key),
            None if self.was_seen(mixed) => self.build(Arc::new(Route::empty()), key),
            None => {
                self.misses_in_a_row = self.misses_in_a_row.saturating_add(1);
                let spare = self.spare.take().unwrap_or_else(|| Arc::new(Route::empty()));
                let route = self.build(spare, key);
                self.spare = Some(route.clone());
                return route;
            }
        };
        if self.young.len() >= ROUTES_MAX || self.targets >= TARGETS_MAX {
            self.old = std::mem::take(&mut self.young);
            self.targets = 0;
        }
        self.targets += route.targets();
        self.young.insert_unique(mixed, route.clone(), |r| mix(r.account, &r.hash, r.entry));
        route
    }

    /// Whether nothing that comes is known: then it pays to look ahead.
    #[inline]
    pub fn misses_often(&self) -> bool {
        self.misses_in_a_row >= MISSES_MIN
    }

    /// Works a route out, in the place of another one if nobody else holds that.
    fn build(&mut self, mut place: Arc<Route>, key: &Key<'_>) -> Arc<Route> {
        if let Some(route) = Arc::get_mut(&mut place) {
            route.build(key, &mut self.matches);
            return place;
        }
        let mut route = Route::empty();
        route.build(key, &mut self.matches);
        Arc::new(route)
    }

    /// Whether a subject with this key came a while ago. Notes that it came.
    fn was_seen(&mut self, key: u64) -> bool {
        self.seen_once.resize(SEEN_ONCE_MAX, 0);
        let high = (key >> 32) as u32;
        let slot = self.seen_once.get_mut(key as usize % SEEN_ONCE_MAX);
        slot.is_some_and(|slot| std::mem::replace(slot, high) == high)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::outbox::Sink;
    use crate::peer::{Basics, ClientId, Peer, Wake};
    use std::io::{self, IoSlice};
    use std::time::Instant;

    struct Nowhere;

    impl Sink for Nowhere {
        fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            Ok(slices.iter().map(|s| s.len()).sum())
        }
    }

    impl Wake for Nowhere {
        fn wake(&self) {}
    }

    fn peer() -> Arc<Peer> {
        peer_of(Kind::default())
    }

    fn peer_of(kind: Kind) -> Arc<Peer> {
        let basics =
            Basics { id: ClientId(1), kind, slot: 0, pending_bytes_max: 1 << 20, start: Instant::now() };
        Peer::new(basics, Arc::default(), Arc::new(Nowhere), Box::new(Nowhere))
    }

    fn sids(route: &Route) -> Vec<&[u8]> {
        route.plain.iter().map(|target| target.subscription.sid()).collect()
    }

    proptest::proptest! {
        #[test]
        fn short_texts_are_compared_whole(a in proptest::collection::vec(0u8..2, 0..20), at in 0usize..20) {
            let mut b = a.clone();
            proptest::prop_assert!(same_bytes(&a, &b));
            if let Some(byte) = b.get_mut(at) {
                *byte ^= 1;
                proptest::prop_assert!(!same_bytes(&a, &b));
            }
            b.push(0);
            proptest::prop_assert!(!same_bytes(&a, &b));
        }
    }

    /// What came from one kind of peer is not delivered by the route that was worked out for another.
    #[test]
    fn a_route_is_that_of_one_kind_of_peer() {
        let (account, mut cache) = (Account::new(AccountId(1), "A"), RouteCache::default());
        for kind in Kind::ALL {
            let peer = peer_of(kind);
            for queue in [None, Some(&b"q"[..])] {
                account.insert(&match kind.is_relay() {
                    true => Subscription::of_relay(peer.clone(), b"a.*", queue, 1),
                    false => Subscription::new(peer.clone(), b"a.*", queue, b"1"),
                });
            }
        }
        for (from, by) in
            [Via::Publish, Via::Service, Via::Publish].iter().flat_map(|by| Kind::ALL.map(|from| (from, *by)))
        {
            let route = cache.route(&account, b"a.b", Entry { from, by });
            let entry = Entry { from, by };
            let (relays, here): (Vec<Kind>, Vec<Kind>) =
                Kind::ALL.into_iter().filter(|to| entry.passes_to(*to, b"a.b")).partition(|to| to.is_relay());
            let kinds =
                |targets: &[Target]| targets.iter().map(|t| t.subscription.peer().kind()).collect::<Vec<_>>();
            assert_eq!(kinds(&route.plain), here, "{from:?}");
            let members = route.queues.first().expect("one group");
            assert_eq!(kinds(members), here, "{from:?}");
            let targets = &route.relays.targets;
            assert_eq!(targets.iter().map(|t| t.peer.kind()).collect::<Vec<_>>(), relays, "{from:?}");
            assert_eq!(route.relays.groups.iter().map(RelayGroup::weight).sum::<usize>(), relays.len());
            assert!(route.relays.groups.iter().all(|group| group.here == Some(0)));
        }
    }

    #[test]
    fn a_route_is_kept_from_the_second_time_on() {
        let (account, mut cache, peer) = (Account::new(AccountId(1), "A"), RouteCache::default(), peer());
        account.insert(&Subscription::new(peer.clone(), b"a.*", None, b"1"));
        for kept in [0, 1, 1] {
            let route = cache.route(&account, b"a.b", Entry::OF_SERVER);
            assert_eq!((sids(&route), cache.len()), (vec![&b"1"[..]], kept));
        }
        // What is held elsewhere stays what it was while the cache goes on.
        let first = cache.route(&account, b"a.c", Entry::OF_SERVER);
        let second = cache.route(&account, b"x.y", Entry::OF_SERVER);
        assert_eq!((sids(&first).len(), sids(&second).len()), (1, 0));
    }

    #[test]
    fn a_change_of_interest_is_noticed_at_once() {
        let (account, mut cache, peer) = (Account::new(AccountId(1), "A"), RouteCache::default(), peer());
        let subscriptions: Vec<_> = [(&b"a.b"[..], &b"1"[..]), (b"a.>", b"2"), (b"*.b", b"3")]
            .map(|(filter, sid)| Subscription::new(peer.clone(), filter, None, sid))
            .into();
        for subscribed in 1..=3 {
            account.insert(&subscriptions[subscribed - 1]);
            for _ in 0..3 {
                assert_eq!(cache.route(&account, b"a.b", Entry::OF_SERVER).plain.len(), subscribed);
            }
        }
        for subscribed in (0..3).rev() {
            account.remove(&subscriptions[subscribed]);
            for _ in 0..3 {
                assert_eq!(cache.route(&account, b"a.b", Entry::OF_SERVER).plain.len(), subscribed);
            }
        }
    }
}
