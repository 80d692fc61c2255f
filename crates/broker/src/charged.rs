//! What is open, by whom it is charged to: who has most open, and the oldest of it, are found without a search.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Open things with names `K`, each charged to an owner.
#[derive(Debug)]
pub(crate) struct Charged<O, K> {
    /// In the order in which each owner's were opened.
    open: BTreeMap<(O, u64), K>,
    counts: BTreeMap<O, usize>,
    /// Owners by how many they have; of those who have as many, the first in order comes last.
    most: BTreeSet<(usize, Reverse<O>)>,
    next: u64,
}

/// Where something is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charge<O>(O, u64);

impl<O, K> Default for Charged<O, K> {
    fn default() -> Self {
        Self { open: BTreeMap::new(), counts: BTreeMap::new(), most: BTreeSet::new(), next: 0 }
    }
}

impl<O: Copy + Ord, K: Clone> Charged<O, K> {
    /// Charges something to `owner`.
    pub fn open(&mut self, owner: O, name: K) -> Charge<O> {
        let number = self.next;
        self.next += 1;
        self.open.insert((owner, number), name);
        self.count_as(owner, self.count(owner) + 1);
        Charge(owner, number)
    }

    /// It is not open any more.
    pub fn close(&mut self, charge: Charge<O>) {
        if self.open.remove(&(charge.0, charge.1)).is_some() {
            self.count_as(charge.0, self.count(charge.0) - 1);
        }
    }

    /// How many are open of an owner.
    pub fn count(&self, owner: O) -> usize {
        self.counts.get(&owner).copied().unwrap_or(0)
    }

    /// Who has most.
    pub fn with_most(&self) -> Option<O> {
        self.most.last().map(|(_, Reverse(owner))| *owner)
    }

    /// What an owner opened first of what is open.
    pub fn oldest(&self, owner: O) -> Option<K> {
        self.open.range((owner, 0)..=(owner, u64::MAX)).next().map(|(_, name)| name.clone())
    }

    fn count_as(&mut self, owner: O, count: usize) {
        let before = if count > 0 { self.counts.insert(owner, count) } else { self.counts.remove(&owner) };
        if let Some(before) = before {
            self.most.remove(&(before, Reverse(owner)));
        }
        if count > 0 {
            self.most.insert((count, Reverse(owner)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// As a list in which all is searched for.
        #[test]
        fn shares_are_those_of_a_plain_list(steps in prop::collection::vec((0u8..4, 0usize..6, any::<bool>()), 0..60)) {
            let mut charged: Charged<u8, u32> = Charged::default();
            let mut list: Vec<(u8, u32, Charge<u8>)> = Vec::new();
            for (name, (owner, at, opens)) in (0..).zip(steps) {
                if opens {
                    list.push((owner, name, charged.open(owner, name)));
                } else if at < list.len() {
                    let (.., charge) = list.remove(at);
                    charged.close(charge);
                    // Twice is once.
                    charged.close(charge);
                }
                let count = |owner: u8| list.iter().filter(|(of, ..)| *of == owner).count();
                let most = (0..4).rev().max_by_key(|owner| count(*owner)).filter(|owner| count(*owner) > 0);
                prop_assert_eq!(charged.with_most(), most);
                for owner in 0..4 {
                    let oldest = list.iter().find(|(of, ..)| *of == owner).map(|(_, name, _)| *name);
                    prop_assert_eq!(charged.oldest(owner), oldest);
                    prop_assert_eq!(charged.count(owner), count(owner));
                }
            }
        }
    }
}
