//! The ledger of interest: how many subscriptions each account has for each filter and queue group, as other servers are told.
//!
//! What an account takes from another as a stream is interest in that one: whoever publishes there, on whatever server, has to know.
//! So each subscription is counted where it is and, for every stream import that it hears, in the account that exports it.

use crate::account::{Account, AccountId};
use dialtone_subject::set;
use hashbrown::{Equivalent, HashMap};
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A filter and a queue group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub filter: &'a [u8],
    pub queue: Option<&'a [u8]>,
}

/// The same, kept: one text behind the other.
#[derive(Debug)]
struct Key {
    text: Box<[u8]>,
    filter_bytes: u32,
}

impl Key {
    fn new(wanted: &Wanted<'_>) -> Self {
        let text = [wanted.filter, wanted.queue.unwrap_or_default()].concat().into();
        Self { text, filter_bytes: wanted.filter.len() as u32 }
    }

    fn wanted(&self) -> Wanted<'_> {
        let (filter, queue) = self.text.split_at_checked(self.filter_bytes as usize).unwrap_or_default();
        Wanted { filter, queue: Some(queue).filter(|queue| !queue.is_empty()) }
    }
}

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.filter);
        state.write(self.queue.unwrap_or_default());
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.wanted().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.filter_bytes == other.filter_bytes && self.text == other.text
    }
}

impl Eq for Key {}

impl Equivalent<Key> for Wanted<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        key.wanted() == *self
    }
}

/// How many subscriptions of its own an account has, and how many count in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    /// Of the account itself.
    own: u32,
    /// With those of accounts that take it as a stream.
    all: u32,
}

#[derive(Debug)]
struct InAccount {
    account: Arc<Account>,
    counts: HashMap<Key, Count, foldhash::fast::RandomState>,
}

/// What is heard of another account.
struct Heard {
    account: Arc<Account>,
    filter: Box<[u8]>,
    queue: Option<Box<[u8]>>,
    count: u32,
}

impl Heard {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { filter: &self.filter, queue: self.queue.as_deref() }
    }
}

/// A change of what an account counts for a filter and queue group.
pub(super) struct Change<'a> {
    pub account: &'a Arc<Account>,
    pub wanted: Wanted<'a>,
    pub before: u32,
    pub now: u32,
}

/// All counts.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: HashMap<AccountId, InAccount, foldhash::fast::RandomState>,
}

impl Ledger {
    /// Counts a subscription of `account` that begins or ends.
    pub fn count(
        &mut self,
        account: &Arc<Account>,
        wanted: Wanted<'_>,
        begins: bool,
        report: &mut impl FnMut(Change<'_>),
    ) {
        self.add(account, wanted, begins, 1, true, report);
        for (exporter, filter) in imported(account, wanted.filter) {
            self.add(&exporter, Wanted { filter: &filter, ..wanted }, begins, 1, false, report);
        }
    }

    /// The stream imports of an account change: what it hears of others is counted anew. What stays the same is not reported.
    pub fn change_imports<T>(
        &mut self,
        account: &Arc<Account>,
        change: impl FnOnce() -> T,
        report: &mut impl FnMut(Change<'_>),
    ) -> T {
        let before = self.imported_all(account);
        let result = change();
        let now = self.imported_all(account);
        let all = || before.iter().chain(&now);
        let counts: Vec<u32> = all().map(|heard| self.count_of(&heard.account, &heard.wanted())).collect();
        let both = before.iter().map(|heard| (heard, false)).chain(now.iter().map(|heard| (heard, true)));
        for (heard, begins) in both {
            self.add(&heard.account, heard.wanted(), begins, heard.count, false, &mut |_| {});
        }
        let mut seen = HashSet::new();
        for (heard, before) in all().zip(counts) {
            let now = self.count_of(&heard.account, &heard.wanted());
            if now != before && seen.insert((heard.account.id, &heard.filter, &heard.queue)) {
                report(Change { account: &heard.account, wanted: heard.wanted(), before, now });
            }
        }
        result
    }

    /// All that an account hears of others.
    fn imported_all(&self, account: &Account) -> Vec<Heard> {
        let Some(own) = self.accounts.get(&account.id) else { return Vec::new() };
        if account.sharing().streams().is_empty() {
            return Vec::new();
        }
        let own = own.counts.iter().filter(|(_, count)| count.own > 0);
        own.flat_map(|(key, count)| {
            let Wanted { filter, queue } = key.wanted();
            imported(account, filter).into_iter().map(move |(account, filter)| Heard {
                account,
                filter,
                queue: queue.map(Into::into),
                count: count.own,
            })
        })
        .collect()
    }

    fn add(
        &mut self,
        account: &Arc<Account>,
        wanted: Wanted<'_>,
        begins: bool,
        by: u32,
        is_own: bool,
        report: &mut impl FnMut(Change<'_>),
    ) {
        let make = || InAccount { account: account.clone(), counts: HashMap::default() };
        let entry = self.accounts.entry(account.id).or_insert_with(make);
        let before = entry.counts.get(&wanted).copied().unwrap_or_default();
        let change = |n: u32| if begins { n.saturating_add(by) } else { n.saturating_sub(by) };
        let now =
            Count { own: if is_own { change(before.own) } else { before.own }, all: change(before.all) };
        if now.all == 0 {
            entry.counts.remove(&wanted);
        } else if let Some(count) = entry.counts.get_mut(&wanted) {
            *count = now;
        } else {
            entry.counts.insert(Key::new(&wanted), now);
        }
        if entry.counts.is_empty() {
            self.accounts.remove(&account.id);
        }
        report(Change { account, wanted, before: before.all, now: now.all });
    }

    /// All that is counted, in no order.
    pub fn all(&self) -> impl Iterator<Item = Change<'_>> {
        self.accounts.values().flat_map(|InAccount { account, counts }| {
            counts.iter().map(move |(key, count)| Change {
                account,
                wanted: key.wanted(),
                before: 0,
                now: count.all,
            })
        })
    }

    fn count_of(&self, account: &Account, wanted: &Wanted<'_>) -> u32 {
        let entry = self.accounts.get(&account.id);
        entry.and_then(|entry| entry.counts.get(wanted)).map_or(0, |count| count.all)
    }
}

/// The accounts that a subscription hears as streams, and its filters there.
fn imported(account: &Account, filter: &[u8]) -> Vec<(Arc<Account>, Box<[u8]>)> {
    let sharing = account.sharing();
    let streams = sharing.streams().iter().filter(|stream| set::overlap(stream.local.as_bytes(), filter));
    streams.map(|stream| (stream.exporter.clone(), stream.filter_in_exporter(filter))).collect()
}
