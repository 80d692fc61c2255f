//! The interest index: which entries have a filter that matches a subject.
//!
//! Literal filters stand in one hash table whose nodes are the entries themselves; filters with wildcards in a tree by
//! token. The filters' text stays in the entries.

mod bag;
mod tree;
pub mod warm;

use bag::Bag;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use tree::Tree;

/// What the index holds: usually a shared subscription, which owns its filter and queue group.
pub trait Entry: Clone {
    /// The filter, a valid one.
    fn filter(&self) -> &[u8];
    /// The queue group.
    fn queue(&self) -> Option<&[u8]>;
    /// Whether both are the same entry, not only alike.
    fn same(&self, other: &Self) -> bool;
}

/// Who matched. Made once and used again and again.
#[derive(Debug)]
pub struct Matches<E> {
    /// Entries without queue group.
    pub plain: Vec<E>,
    queued: Vec<E>,
}

impl<E> Default for Matches<E> {
    fn default() -> Self {
        Self { plain: Vec::new(), queued: Vec::new() }
    }
}

impl<E: Entry> Matches<E> {
    /// Empties it; the room stays.
    pub fn clear(&mut self) {
        self.plain.clear();
        self.queued.clear();
    }

    /// Takes out those without a queue group.
    pub fn take_plain(&mut self) -> impl Iterator<Item = E> {
        self.plain.drain(..)
    }

    /// The queue groups that matched, each with its members.
    pub fn groups(&self) -> impl Iterator<Item = &[E]> {
        self.queued.chunk_by(|a, b| a.queue() == b.queue())
    }

    fn add(&mut self, entry: &E) {
        match entry.queue() {
            None => self.plain.push(entry.clone()),
            Some(_) => self.queued.push(entry.clone()),
        }
    }
}

/// The index.
#[derive(Debug)]
pub struct Interest<E> {
    literals: HashTable<Bag<E>>,
    hasher: foldhash::fast::RandomState,
    tree: Tree<E>,
    len: usize,
    inserts: u64,
    removes: u64,
}

impl<E> Default for Interest<E> {
    fn default() -> Self {
        Self {
            literals: HashTable::new(),
            hasher: Default::default(),
            tree: Tree::default(),
            len: 0,
            inserts: 0,
            removes: 0,
        }
    }
}

impl<E: Entry> Interest<E> {
    /// Entries in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an entry. The same one twice counts twice.
    pub fn insert(&mut self, entry: E) {
        self.len += 1;
        self.inserts += 1;
        if !crate::is_literal(entry.filter()) {
            return self.tree.insert(entry);
        }
        let hash = self.hasher.hash_one(entry.filter());
        match self.literals.find_mut(hash, |bag| bag.has_filter(entry.filter())) {
            Some(bag) => bag.push(entry),
            None => {
                let hasher = &self.hasher;
                let rehash = |bag: &Bag<E>| bag.first().map_or(0, |e| hasher.hash_one(e.filter()));
                self.literals.insert_unique(hash, Bag::One(entry), rehash);
            }
        }
    }

    /// Takes an entry out, and gives its memory back. False if it was not there.
    pub fn remove(&mut self, entry: &E) -> bool {
        let removed = if crate::is_literal(entry.filter()) {
            self.remove_literal(entry)
        } else {
            self.tree.remove(entry)
        };
        self.len -= usize::from(removed);
        self.removes += u64::from(removed);
        removed
    }

    fn remove_literal(&mut self, entry: &E) -> bool {
        let hash = self.hasher.hash_one(entry.filter());
        let Ok(mut found) = self.literals.find_entry(hash, |bag| bag.has_filter(entry.filter())) else {
            return false;
        };
        let removed = found.get_mut().remove(entry);
        if found.get().is_empty() {
            found.remove();
            let hasher = &self.hasher;
            if self.literals.len() * 4 < self.literals.capacity() && self.literals.capacity() > 64 {
                let room = self.literals.len() * 2;
                self.literals.shrink_to(room, |bag| bag.first().map_or(0, |e| hasher.hash_one(e.filter())));
            }
        }
        removed
    }

    /// Adds everyone whose filter matches `subject` to `out`, which should be clear.
    ///
    /// Costs one look-up and a walk over those tree nodes whose path matches the subject's beginning: at most as many
    /// as there are such nodes, however the filters are chosen.
    ///
    /// A subject with an empty token is nobody's: not even `>` matches it.
    pub fn matches(&self, subject: &[u8], out: &mut Matches<E>) {
        if crate::tokens(subject).any(<[u8]>::is_empty) {
            return;
        }
        let hash = self.hasher.hash_one(subject);
        if let Some(bag) = self.literals.find(hash, |bag| bag.has_filter(subject)) {
            bag.iter().for_each(|entry| out.add(entry));
        }
        self.tree.matches(subject, &mut |bag| bag.iter().for_each(|entry| out.add(entry)));
        // Members of one group come from several nodes; sorted, they stand together.
        out.queued.sort_by(|a, b| a.queue().cmp(&b.queue()));
    }

    /// Whether anyone's filter matches `subject`.
    pub fn has_interest(&self, subject: &[u8]) -> bool {
        if crate::tokens(subject).any(<[u8]>::is_empty) {
            return false;
        }
        let hash = self.hasher.hash_one(subject);
        let mut found = self.literals.find(hash, |bag| bag.has_filter(subject)).is_some();
        if !found {
            self.tree.matches(subject, &mut |bag| found |= !bag.is_empty());
        }
        found
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.literals.iter().flat_map(Bag::iter).chain(self.tree.iter())
    }

    /// How full it is.
    pub fn stats(&self) -> Stats {
        self.stats_of(Bag::len)
    }

    /// The same of some entries. Inserts and removes are those of all.
    pub fn stats_where(&self, is_counted: impl Fn(&E) -> bool) -> Stats {
        self.stats_of(|bag| bag.iter().filter(|entry| is_counted(entry)).count())
    }

    fn stats_of(&self, count: impl Fn(&Bag<E>) -> usize) -> Stats {
        let (inserts, removes) = (self.inserts, self.removes);
        let mut stats = Stats { inserts, removes, ..Stats::default() };
        for len in self.literals.iter().chain(self.tree.bags()).map(count).filter(|len| *len > 0) {
            stats.entries += len;
            stats.filters += 1;
            stats.fanout_max = stats.fanout_max.max(len);
        }
        stats
    }
}

/// Figures of an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries.
    pub entries: usize,
    /// Different filters.
    pub filters: usize,
    /// The most entries that one filter has.
    pub fanout_max: usize,
    /// Entries that were ever added.
    pub inserts: u64,
    /// Entries that were taken out.
    pub removes: u64,
}

impl Stats {
    /// Entries for each filter.
    pub fn fanout_average(&self) -> f64 {
        self.entries as f64 / self.filters.max(1) as f64
    }
}

impl std::ops::Add for Stats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            entries: self.entries + other.entries,
            filters: self.filters + other.filters,
            fanout_max: self.fanout_max.max(other.fanout_max),
            inserts: self.inserts + other.inserts,
            removes: self.removes + other.removes,
        }
    }
}

#[cfg(test)]
mod tests;
