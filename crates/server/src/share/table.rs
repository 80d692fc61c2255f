//! What is open at the same time, found by number: a bounded table with a share for everybody who has something in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Items by number, the newest with the highest.
#[derive(Debug)]
pub(crate) struct FairTable<K, T> {
    items: HashMap<u64, (K, T)>,
    by_share: BTreeMap<K, BTreeSet<u64>>,
    /// How many items each share has; the last one has most.
    counts: BTreeSet<(usize, K)>,
    next: u64,
    max: usize,
}

impl<K: Ord + Clone, T> FairTable<K, T> {
    /// A table for so many items.
    pub fn new(max: usize) -> Self {
        Self { items: HashMap::new(), by_share: BTreeMap::new(), counts: BTreeSet::new(), next: 0, max }
    }

    /// The number that the next item will have.
    pub fn next_number(&self) -> u64 {
        self.next + 1
    }

    /// Puts an item in. What had to make room for it, which may be the item itself: the newest of the share that has most,
    /// and where several have most, of the one that brought the item.
    pub fn insert(&mut self, share: K, item: T) -> Option<T> {
        self.next += 1;
        self.items.insert(self.next, (share.clone(), item));
        self.change(&share, |numbers, next| numbers.insert(next), self.next);
        if self.items.len() <= self.max {
            return None;
        }
        let (most, key) = self.counts.last()?;
        let own = self.by_share.get(&share).map_or(0, BTreeSet::len);
        let key = if own >= *most { &share } else { key };
        let newest = *self.by_share.get(key)?.last()?;
        self.remove(newest)
    }

    /// An item.
    pub fn get(&self, number: u64) -> Option<&T> {
        self.items.get(&number).map(|(_, item)| item)
    }

    /// Takes an item out.
    pub fn remove(&mut self, number: u64) -> Option<T> {
        let (share, item) = self.items.remove(&number)?;
        self.change(&share, |numbers, number| numbers.remove(&number), number);
        Some(item)
    }

    fn change(&mut self, share: &K, change: impl FnOnce(&mut BTreeSet<u64>, u64) -> bool, number: u64) {
        let numbers = self.by_share.entry(share.clone()).or_default();
        self.counts.remove(&(numbers.len(), share.clone()));
        change(numbers, number);
        if numbers.is_empty() {
            self.by_share.remove(share);
        } else {
            self.counts.insert((numbers.len(), share.clone()));
        }
    }
}
