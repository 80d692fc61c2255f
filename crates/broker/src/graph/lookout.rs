//! Subjects whose subscribers somebody inside the server watches: a consumer of a stream that sends, for one.
//!
//! Only subscriptions to just that subject count, in just that queue group, in the account and in those that take it from there as a
//! stream: so it is with official servers. Whoever does not watch costs a change of interest one load.

use crate::account::Account;
use crate::subscription::Subscriber;
use dialtone_subject::{Hashing, Matches, is_literal};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Is told that subscriptions to a subject may have begun or ended.
pub trait Observer: Send + Sync {
    /// To be looked at again: the lookout of this number. Runs on whatever thread changed something, and must neither wait nor change interest.
    fn changed(&self, number: u64);
}

/// The lookouts of an account.
#[derive(Default)]
pub(crate) struct Lookouts {
    is_used: AtomicBool,
    by_subject: Mutex<HashMap<Arc<[u8]>, Entries, Hashing>>,
}

/// Who watches a subject: nearly always one.
#[derive(Clone)]
enum Entries {
    One(Entry),
    Many(Vec<Entry>),
}

impl Entries {
    fn all(&self) -> &[Entry] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    fn push(&mut self, entry: Entry) {
        match self {
            Self::One(first) => *self = Self::Many(vec![first.clone(), entry]),
            Self::Many(entries) => entries.push(entry),
        }
    }

    /// Takes one out. Whether none is left.
    fn remove(&mut self, number: u64, observer: &Arc<dyn Observer>) -> bool {
        match self {
            Self::One(entry) => entry.is(number, observer),
            Self::Many(entries) => {
                entries.retain(|entry| !entry.is(number, observer));
                entries.is_empty()
            }
        }
    }
}

#[derive(Clone)]
struct Entry {
    number: u64,
    observer: Arc<dyn Observer>,
}

impl Entry {
    fn is(&self, number: u64, observer: &Arc<dyn Observer>) -> bool {
        self.number == number && Arc::ptr_eq(&self.observer, observer)
    }
}

impl Lookouts {
    /// A subscription to `filter` has begun or ended.
    #[inline]
    pub fn changed(&self, filter: &[u8]) {
        if self.is_used.load(Ordering::Acquire) {
            self.tell(filter);
        }
    }

    #[cold]
    fn tell(&self, filter: &[u8]) {
        let entries = self.by_subject.lock().get(filter).cloned();
        let entries = entries.iter().flat_map(Entries::all);
        entries.for_each(|entry| entry.observer.changed(entry.number));
    }

    /// Something else has changed.
    pub fn all_changed(&self) {
        if self.is_used.load(Ordering::Acquire) {
            let all: Vec<Entry> = self.by_subject.lock().values().flat_map(Entries::all).cloned().collect();
            all.into_iter().for_each(|entry| entry.observer.changed(entry.number));
        }
    }

    fn add(&self, subject: &Arc<[u8]>, entry: Entry) {
        let mut all = self.by_subject.lock();
        match all.get_mut(subject) {
            Some(entries) => entries.push(entry),
            None => drop(all.insert(subject.clone(), Entries::One(entry))),
        }
        self.is_used.store(true, Ordering::Release);
    }

    fn remove(&self, subject: &[u8], number: u64, observer: &Arc<dyn Observer>) {
        let mut all = self.by_subject.lock();
        let Some(entries) = all.get_mut(subject) else { return };
        if entries.remove(number, observer) {
            all.remove(subject);
        }
        self.is_used.store(!all.is_empty(), Ordering::Release);
    }
}

/// An account and a subject in it.
type Place = (Arc<Account>, Arc<[u8]>);

/// Watches a subject as long as it lives.
pub struct Lookout {
    number: u64,
    observer: Arc<dyn Observer>,
    account: Arc<Account>,
    subject: Arc<[u8]>,
    queue: Option<Box<[u8]>>,
    /// Where it is taken as a stream, under which subject.
    elsewhere: Box<[Place]>,
}

impl Lookout {
    /// Begins to watch a subject of an account: subscriptions of a queue group, or those of none. Look at it then, and at each change.
    pub fn new(
        account: &Arc<Account>,
        subject: &[u8],
        queue: Option<&[u8]>,
        number: u64,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let subject = Arc::from(subject);
        account.lookouts().add(&subject, Entry { number, observer: observer.clone() });
        let (account, queue) = (account.clone(), queue.map(Into::into));
        Self { number, observer, account, subject, queue, elsewhere: Box::default() }
    }

    /// Whether there is a subscription now.
    pub fn is_met(&mut self) -> bool {
        self.look_elsewhere();
        let mut places = std::iter::once((&self.account, &self.subject))
            .chain(self.elsewhere.iter().map(|(account, subject)| (account, subject)));
        places.any(|(account, subject)| is_subscribed(account, subject, self.queue.as_deref()))
    }

    /// Watches where the subject is taken as a stream, too.
    fn look_elsewhere(&mut self) {
        let taken: Vec<Place> = if self.account.shares(&self.subject) {
            let taken = self.account.sharing().taken_of(&self.subject);
            taken
                .iter()
                .map(|stream| (stream.importer.clone(), stream.subject_in_importer(&self.subject).into()))
                .collect()
        } else {
            Vec::new()
        };
        let has = |all: &[Place], (account, subject): &Place| {
            all.iter().any(|(other, here)| Arc::ptr_eq(other, account) && here == subject)
        };
        for (account, subject) in taken.iter().filter(|place| !has(&self.elsewhere, place)) {
            let entry = Entry { number: self.number, observer: self.observer.clone() };
            account.lookouts().add(subject, entry);
        }
        for (account, subject) in self.elsewhere.iter().filter(|place| !has(&taken, place)) {
            account.lookouts().remove(subject, self.number, &self.observer);
        }
        self.elsewhere = taken.into();
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        let own = std::iter::once((&self.account, &self.subject));
        let elsewhere = self.elsewhere.iter().map(|(account, subject)| (account, subject));
        for (account, subject) in own.chain(elsewhere) {
            account.lookouts().remove(subject, self.number, &self.observer);
        }
    }
}

impl std::fmt::Debug for Lookout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookout").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Whether somebody subscribed to just this subject, in just this queue group.
fn is_subscribed(account: &Account, subject: &[u8], queue: Option<&[u8]>) -> bool {
    if !is_literal(subject) {
        return false;
    }
    let mut matches = Matches::<Subscriber>::default();
    account.interest().matches(subject, &mut matches);
    let is_it = |Subscriber(subscription): &Subscriber| {
        subscription.filter() == subject && subscription.queue() == queue
    };
    match queue {
        None => matches.take_plain().any(|subscriber| is_it(&subscriber)),
        Some(_) => matches.groups().flatten().any(is_it),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::AccountId;
    use crate::kind::Kind;
    use crate::outbox::Sink;
    use crate::peer::{Basics, ClientId, Peer, Wake};
    use crate::subscription::Subscription;
    use std::io::{self, IoSlice};
    use std::time::Instant;

    struct Nowhere;

    impl Sink for Nowhere {
        fn write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    impl Wake for Nowhere {
        fn wake(&self) {}
    }

    #[derive(Default)]
    struct Seen(Mutex<Vec<u64>>);

    impl Observer for Seen {
        fn changed(&self, number: u64) {
            self.0.lock().push(number);
        }
    }

    #[test]
    fn only_just_this_subject_in_just_this_group_counts() {
        let account = Account::new(AccountId(1), "A");
        let id = ClientId(1);
        let basics =
            Basics { id, kind: Kind::default(), slot: 0, pending_bytes_max: 9, start: Instant::now() };
        let peer = Peer::new(basics, Arc::default(), Arc::new(Nowhere), Box::new(Nowhere));
        let seen = Arc::new(Seen::default());
        let groups = [None, Some(&b"g"[..]), Some(b"h")];
        let filters = [&b"d.1"[..], b"d.*", b">", b"d", b"d.1.2"];
        let mut lookouts: Vec<Lookout> = groups
            .iter()
            .zip(0..)
            .map(|(group, number)| Lookout::new(&account, b"d.1", *group, number, seen.clone()))
            .collect();
        for (group, at) in groups.iter().zip(0..) {
            for filter in filters {
                let subscription = Subscription::new(peer.clone(), filter, *group, b"1");
                account.insert(&subscription);
                let met: Vec<bool> = lookouts.iter_mut().map(Lookout::is_met).collect();
                let expected = |one: usize| filter == b"d.1" && one == at;
                assert_eq!(met, [0, 1, 2].map(expected), "{group:?} {filter:?}");
                account.remove(&subscription);
                assert!(lookouts.iter_mut().all(|lookout| !lookout.is_met()));
                let told: &[u64] = if filter == b"d.1" { &[0, 1, 2, 0, 1, 2] } else { &[] };
                assert_eq!(std::mem::take(&mut *seen.0.lock()), told);
            }
        }
        lookouts.truncate(1);
        let subscription = Subscription::new(peer, b"d.1", None, b"1");
        account.insert(&subscription);
        account.forget_matches();
        assert_eq!(std::mem::take(&mut *seen.0.lock()), [0, 0]);
        lookouts.clear();
        account.remove(&subscription);
        assert!(seen.0.lock().is_empty() && !account.lookouts().is_used.load(Ordering::Acquire));
    }
}
