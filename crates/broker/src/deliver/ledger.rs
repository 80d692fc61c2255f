//! The ledger of interest: how many subscriptions each account has for each filter and queue group, as other servers are told.
//!
//! What an account takes from another as a stream is interest in that one: whoever publishes there, on whatever server, has to know.
//! So each subscription is counted where it is and, for every stream import that it hears, in the account that exports it. It is counted
//! by its source, since not all are told of all.

use super::counts::{Count, Counts, Order, Wanted};
use crate::account::{Account, AccountId};
use crate::kind::Kind;
use dialtone_subject::set;
use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

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

/// The interest of one source.
#[derive(Debug)]
pub(super) struct Table {
    /// Its cluster stands in `cluster`.
    source: Source<'static>,
    cluster: Box<[u8]>,
    counts: Counts,
}

impl Table {
    pub fn source(&self) -> Source<'_> {
        match self.source {
            Source::Behind(kind, _) => Source::Behind(kind, &self.cluster),
            other => other,
        }
    }

    pub fn count_of(&self, place: u64, wanted: &Wanted<'_>) -> u32 {
        self.counts.get(place, wanted).map_or(0, |count| count.all)
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
        self.tables.push(Table { source: named, cluster: cluster.into(), counts: Counts::default() });
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
    /// Its place in the order in which all is read.
    pub place: u64,
}

/// How far somebody is who reads all that is counted a piece at a time: all before it was read.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    account: AccountId,
    place: u64,
}

impl Default for Mark {
    fn default() -> Self {
        Self { account: AccountId(0), place: 0 }
    }
}

impl Mark {
    /// Whether this place of an account was read.
    pub(super) fn has_passed(&self, account: AccountId, place: u64) -> bool {
        (account, place) < (self.account, self.place)
    }
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
    accounts: BTreeMap<AccountId, InAccount>,
    order: Order,
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
                let place = self.order.place(&heard.wanted());
                let (account, wanted) = (&heard.account, heard.wanted());
                report(Change { account, wanted, before, now, tables, at, place });
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
        let own = tables
            .flat_map(|(at, table)| table.counts.iter().map(move |(wanted, count)| (at, wanted, count)));
        own.filter(|(_, _, count)| count.own > 0)
            .flat_map(|(at, Wanted { filter, queue }, count)| {
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
        let place = self.order.place(&wanted);
        let before = table.counts.get(place, &wanted).unwrap_or_default();
        let change = |n: u32| if begins { n.saturating_add(by) } else { n.saturating_sub(by) };
        let now =
            Count { own: if is_own { change(before.own) } else { before.own }, all: change(before.all) };
        table.counts.set(&self.order, place, &wanted, now);
        let tables = &*entry.tables;
        report(Change { account, wanted, before: before.all, now: now.all, tables, at, place });
        entry.tables.retain(|table| !table.counts.is_empty());
        if entry.tables.is_empty() {
            self.accounts.remove(&account.id);
        }
    }

    /// Reads on from a mark, in the accounts that are wanted, a piece at a time until `take` wants no more. Whether that was all.
    pub fn read_on(
        &self,
        mark: &mut Mark,
        wants: impl Fn(&Account) -> bool,
        mut take: impl FnMut(Change<'_>) -> bool,
    ) -> bool {
        for (id, own) in self.accounts.range(mark.account..) {
            if *id != mark.account {
                *mark = Mark { account: *id, place: 0 };
            }
            let mut wants_more = true;
            while wants_more && *id == mark.account && wants(&own.account) {
                let last = own.tables.iter().map(|table| table.counts.last_of_piece(mark.place)).min();
                let last = last.unwrap_or(u64::MAX);
                for change in self.range_of(own, mark.place..=last) {
                    wants_more = take(change);
                }
                *mark = match last.checked_add(1) {
                    Some(place) => Mark { place, ..*mark },
                    None => Mark { account: AccountId(id.0.saturating_add(1)), place: 0 },
                };
            }
            if !wants_more {
                return false;
            }
        }
        true
    }

    fn range_of<'a>(
        &'a self,
        InAccount { account, tables }: &'a InAccount,
        range: RangeInclusive<u64>,
    ) -> impl Iterator<Item = Change<'a>> {
        tables.iter().enumerate().flat_map(move |(at, table)| {
            let changes = table.counts.range(&self.order, range.clone());
            changes.map(move |(wanted, count)| {
                let place = self.order.place(&wanted);
                Change { account, wanted, before: 0, now: count.all, tables, at, place }
            })
        })
    }

    /// What a source is interested in itself, in one account.
    pub fn filters_of(&self, account: &Account, source: &Source<'_>) -> Vec<Box<[u8]>> {
        let own = self.accounts.get(&account.id);
        let table = own.and_then(|own| own.tables.iter().find(|table| table.source() == *source));
        let counts = table.into_iter().flat_map(|table| table.counts.iter());
        counts.map(|(wanted, _)| wanted.filter.into()).collect()
    }

    fn count_of(&self, account: &Account, source: &Source<'_>, wanted: &Wanted<'_>) -> u32 {
        let place = self.order.place(wanted);
        let tables = self.accounts.get(&account.id).into_iter().flat_map(|own| &own.tables);
        tables.filter(|table| table.source() == *source).map(|table| table.count_of(place, wanted)).sum()
    }
}

/// The accounts that a subscription hears as streams, and its filters there.
fn imported(account: &Account, filter: &[u8]) -> Vec<(Arc<Account>, Box<[u8]>)> {
    let sharing = account.sharing();
    let streams = sharing.streams().iter().filter(|stream| set::overlap(stream.local.as_bytes(), filter));
    streams.map(|stream| (stream.exporter.clone(), stream.filter_in_exporter(filter))).collect()
}
