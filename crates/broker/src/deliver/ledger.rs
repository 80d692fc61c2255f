//! The ledger of interest: how many subscriptions each account has for each filter and queue group, as other servers are told.
//!
//! What an account takes from another as a stream is interest in that one: whoever publishes there, on whatever server, has to know.
//! So each subscription is counted where it is and, for every stream import that it hears, in the account that exports it. It is counted
//! by its source, since not all are told of all.

use crate::account::{Account, AccountId};
use crate::kind::Kind;
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

/// Whose interest counts together: what others are told of it depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// Clients here, and the server itself.
    Here,
    /// The account: what it asks of others as a service, and what it maps. It is wanted of those alone who do not know that.
    Account,
    /// Those behind peers of a kind. Of leaf nodes, by their cluster; those in none by a name that begins with a blank, as no cluster's does.
    Behind(Kind, &'a [u8]),
}

impl<'a> Source<'a> {
    /// The cluster of leaf nodes that it is of.
    pub fn cluster(&self) -> Option<&'a [u8]> {
        match self {
            Self::Behind(_, name) if !name.is_empty() && !name.starts_with(b" ") => Some(name),
            Self::Behind(..) | Self::Here | Self::Account => None,
        }
    }

    /// Whether those are told of it that are of this kind.
    pub fn is_told_to(&self, kind: Kind) -> bool {
        match self {
            Self::Here => kind.is_told_of(Kind::default()),
            Self::Account => kind.is_relay() && !kind.is_in_all_accounts(),
            Self::Behind(behind, _) => kind.is_told_of(*behind),
        }
    }

    /// Whether what the account takes from others as a stream is its interest there. Otherwise that was looked after elsewhere.
    fn hears_streams(&self) -> bool {
        match self {
            Self::Here => true,
            Self::Account => false,
            Self::Behind(kind, _) => !kind.is_in_all_accounts(),
        }
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

/// The interest of one source.
#[derive(Debug)]
pub(super) struct Table {
    /// Its cluster stands in `cluster`.
    source: Source<'static>,
    cluster: Box<[u8]>,
    counts: HashMap<Key, Count, foldhash::fast::RandomState>,
}

impl Table {
    pub fn source(&self) -> Source<'_> {
        match self.source {
            Source::Behind(kind, _) => Source::Behind(kind, &self.cluster),
            other => other,
        }
    }

    pub fn count_of(&self, wanted: &Wanted<'_>) -> u32 {
        self.counts.get(wanted).map_or(0, |count| count.all)
    }
}

#[derive(Debug)]
struct InAccount {
    account: Arc<Account>,
    /// Most accounts have one.
    tables: Vec<Table>,
}

impl InAccount {
    /// The place of a source's table, which is made if it is not there.
    fn table(&mut self, source: &Source<'_>) -> usize {
        if let Some(at) = self.tables.iter().position(|table| table.source() == *source) {
            return at;
        }
        let (named, cluster) = match *source {
            Source::Here => (Source::Here, &[][..]),
            Source::Account => (Source::Account, &[][..]),
            Source::Behind(kind, cluster) => (Source::Behind(kind, &[]), cluster),
        };
        self.tables.push(Table { source: named, cluster: cluster.into(), counts: HashMap::default() });
        self.tables.len() - 1
    }
}

/// What is heard of another account.
struct Heard {
    at: usize,
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

/// A change of what an account counts for a filter and queue group of one source.
pub(super) struct Change<'a> {
    pub account: &'a Arc<Account>,
    pub wanted: Wanted<'a>,
    pub before: u32,
    pub now: u32,
    /// Those of all sources, and which one it is.
    pub tables: &'a [Table],
    pub at: usize,
}

/// Subscriptions that begin or end: so many of one source.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub source: Source<'a>,
    pub begins: bool,
    pub by: u32,
}

/// All counts.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: HashMap<AccountId, InAccount, foldhash::fast::RandomState>,
}

impl Ledger {
    /// Counts subscriptions of `account` that begin or end.
    pub fn count(
        &mut self,
        account: &Arc<Account>,
        wanted: Wanted<'_>,
        step: Step<'_>,
        report: &mut impl FnMut(Change<'_>),
    ) {
        self.add(account, wanted, step, true, report);
        if step.source.hears_streams() {
            for (exporter, filter) in imported(account, wanted.filter) {
                self.add(&exporter, Wanted { filter: &filter, ..wanted }, step, false, report);
            }
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
        let sources: Vec<(Source<'static>, Box<[u8]>)> =
            self.accounts.get(&account.id).map_or_else(Vec::new, |own| {
                own.tables.iter().map(|table| (table.source, table.cluster.clone())).collect()
            });
        let source_of = |heard: &Heard| match sources.get(heard.at) {
            Some((Source::Behind(kind, _), cluster)) => Source::Behind(*kind, cluster),
            Some((other, _)) => *other,
            None => Source::Here,
        };
        let all = || before.iter().chain(&now);
        let counts: Vec<u32> =
            all().map(|heard| self.count_of(&heard.account, &source_of(heard), &heard.wanted())).collect();
        let both = before.iter().map(|heard| (heard, false)).chain(now.iter().map(|heard| (heard, true)));
        for (heard, begins) in both {
            let step = Step { source: source_of(heard), begins, by: heard.count };
            self.add(&heard.account, heard.wanted(), step, false, &mut |_| {});
        }
        let mut seen = HashSet::new();
        for (heard, before) in all().zip(counts) {
            let source = source_of(heard);
            let now = self.count_of(&heard.account, &source, &heard.wanted());
            if now != before && seen.insert((heard.account.id, heard.at, &heard.filter, &heard.queue)) {
                let tables = self.accounts.get(&heard.account.id).map_or(&[][..], |own| &own.tables);
                let at = tables.iter().position(|table| table.source() == source).unwrap_or(tables.len());
                report(Change { account: &heard.account, wanted: heard.wanted(), before, now, tables, at });
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
        let tables = own.tables.iter().enumerate().filter(|(_, table)| table.source().hears_streams());
        let own =
            tables.flat_map(|(at, table)| table.counts.iter().map(move |(key, count)| (at, key, count)));
        own.filter(|(_, _, count)| count.own > 0)
            .flat_map(|(at, key, count)| {
                let Wanted { filter, queue } = key.wanted();
                imported(account, filter).into_iter().map(move |(account, filter)| Heard {
                    at,
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
        Step { source, begins, by }: Step<'_>,
        is_own: bool,
        report: &mut impl FnMut(Change<'_>),
    ) {
        let make = || InAccount { account: account.clone(), tables: Vec::new() };
        let entry = self.accounts.entry(account.id).or_insert_with(make);
        let at = entry.table(&source);
        let Some(table) = entry.tables.get_mut(at) else { return };
        let before = table.counts.get(&wanted).copied().unwrap_or_default();
        let change = |n: u32| if begins { n.saturating_add(by) } else { n.saturating_sub(by) };
        let now =
            Count { own: if is_own { change(before.own) } else { before.own }, all: change(before.all) };
        if now.all == 0 {
            table.counts.remove(&wanted);
        } else if let Some(count) = table.counts.get_mut(&wanted) {
            *count = now;
        } else {
            table.counts.insert(Key::new(&wanted), now);
        }
        let tables = &*entry.tables;
        report(Change { account, wanted, before: before.all, now: now.all, tables, at });
        entry.tables.retain(|table| !table.counts.is_empty());
        if entry.tables.is_empty() {
            self.accounts.remove(&account.id);
        }
    }

    /// All that is counted, in no order.
    pub fn all(&self) -> impl Iterator<Item = Change<'_>> {
        self.accounts.values().flat_map(Self::all_of)
    }

    /// All that is counted in one account, in no order.
    pub fn all_in(&self, account: &Account) -> impl Iterator<Item = Change<'_>> {
        self.accounts.get(&account.id).into_iter().flat_map(Self::all_of)
    }

    fn all_of(InAccount { account, tables }: &InAccount) -> impl Iterator<Item = Change<'_>> {
        tables.iter().enumerate().flat_map(move |(at, table)| {
            let counts = table.counts.iter();
            counts.map(move |(key, count)| Change {
                account,
                wanted: key.wanted(),
                before: 0,
                now: count.all,
                tables,
                at,
            })
        })
    }

    /// What a source is interested in itself, in one account.
    pub fn filters_of(&self, account: &Account, source: &Source<'_>) -> Vec<Box<[u8]>> {
        let own = self.accounts.get(&account.id);
        let table = own.and_then(|own| own.tables.iter().find(|table| table.source() == *source));
        let keys = table.into_iter().flat_map(|table| table.counts.keys());
        keys.map(|key| key.wanted().filter.into()).collect()
    }

    fn count_of(&self, account: &Account, source: &Source<'_>, wanted: &Wanted<'_>) -> u32 {
        let tables = self.accounts.get(&account.id).into_iter().flat_map(|own| &own.tables);
        tables.filter(|table| table.source() == *source).map(|table| table.count_of(wanted)).sum()
    }
}

/// The accounts that a subscription hears as streams, and its filters there.
fn imported(account: &Account, filter: &[u8]) -> Vec<(Arc<Account>, Box<[u8]>)> {
    let sharing = account.sharing();
    let streams = sharing.streams().iter().filter(|stream| set::overlap(stream.local.as_bytes(), filter));
    streams.map(|stream| (stream.exporter.clone(), stream.filter_in_exporter(filter))).collect()
}
