//! When a cached answer of the interest index stops being true.
//!
//! A change of interest touches few subjects: a literal filter one, a filter with a literal first token those that
//! begin with it. So changes are counted in buckets, and what was answered for other subjects stays true.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, OnceLock};

/// Buckets for literal filters, by the hash of the whole filter.
const LITERALS: usize = 512;
/// Buckets for wildcard filters, by the hash of the first token.
const FIRSTS: usize = 128;

/// One seed for the process, so that no peer can aim at a bucket.
static HASHER: LazyLock<foldhash::fast::RandomState> = LazyLock::new(Default::default);

/// The hashes of a subject: of the whole and of its first token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectHash {
    whole: u64,
    first: u64,
}

impl SubjectHash {
    /// Hashes a subject.
    #[inline]
    pub fn of(subject: &[u8]) -> Self {
        let hasher = &*HASHER;
        let first =
            subject.iter().position(|&b| b == b'.').and_then(|dot| subject.get(..dot)).unwrap_or(subject);
        Self { whole: hasher.hash_one(subject), first: hasher.hash_one(first) }
    }

    /// The hash of the whole subject.
    #[inline]
    pub fn value(&self) -> u64 {
        self.whole
    }
}

/// What the counts stood at when an answer was worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    literal: u32,
    first: u32,
    all: u32,
}

#[derive(Debug)]
struct Buckets {
    literals: [AtomicU32; LITERALS],
    firsts: [AtomicU32; FIRSTS],
}

/// Counts of changes. An account without subscriptions has none, and costs nothing.
#[derive(Debug, Default)]
pub struct Generations {
    all: AtomicU32,
    buckets: OnceLock<Box<Buckets>>,
}

impl Generations {
    /// Counts a change of interest in `filter`. Called after the index was changed.
    pub fn bump(&self, filter: &[u8]) {
        let hash = SubjectHash::of(filter);
        let buckets = self.buckets.get_or_init(|| {
            Box::new(Buckets {
                literals: std::array::from_fn(|_| AtomicU32::new(0)),
                firsts: std::array::from_fn(|_| AtomicU32::new(0)),
            })
        });
        let bucket = if crate::is_literal(filter) {
            buckets.literals.get(hash.whole as usize % LITERALS)
        } else if crate::tokens(filter).next().is_some_and(|first| first != b"*" && first != b">") {
            buckets.firsts.get(hash.first as usize % FIRSTS)
        } else {
            None
        };
        bucket.unwrap_or(&self.all).fetch_add(1, Ordering::Release);
    }

    /// Counts a change of everything.
    pub fn bump_all(&self) {
        self.all.fetch_add(1, Ordering::Release);
    }

    /// What the counts for a subject stand at. Taken before the index is asked: a change meanwhile makes the answer
    /// stale, never wrong.
    #[inline]
    pub fn stamp(&self, hash: &SubjectHash) -> Stamp {
        let all = self.all.load(Ordering::Acquire);
        match self.buckets.get() {
            None => Stamp { literal: 0, first: 0, all },
            Some(buckets) => {
                let count = |c: &AtomicU32| c.load(Ordering::Acquire);
                Stamp {
                    literal: buckets.literals.get(hash.whole as usize % LITERALS).map_or(0, count),
                    first: buckets.firsts.get(hash.first as usize % FIRSTS).map_or(0, count),
                    all,
                }
            }
        }
    }

    /// Whether what was answered at `stamp` is still true.
    #[inline]
    pub fn is_current(&self, hash: &SubjectHash, stamp: &Stamp) -> bool {
        self.stamp(hash) == *stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_change_that_matters_is_noticed(
            filter in "(a|b|\\*)(\\.(a|b|\\*)){0,2}(\\.>)?",
            subject in "(a|b)(\\.(a|b)){0,3}",
        ) {
            let generations = Generations::default();
            let hash = SubjectHash::of(subject.as_bytes());
            for _ in 0..2 {
                let stamp = generations.stamp(&hash);
                prop_assert!(generations.is_current(&hash, &stamp));
                generations.bump(filter.as_bytes());
                if crate::naive::matches(filter.as_bytes(), subject.as_bytes()) {
                    prop_assert!(!generations.is_current(&hash, &stamp));
                }
            }
        }
    }

    #[test]
    fn what_does_not_matter_changes_nothing() {
        let generations = Generations::default();
        generations.bump(b"x");
        let hash = SubjectHash::of(b"orders.eu.1");
        let stamp = generations.stamp(&hash);
        generations.bump(b"_INBOX.abc.*");
        // Two hashes may fall into one bucket; of a hundred subjects hardly all do.
        let untouched = (0..100)
            .map(|n| SubjectHash::of(format!("a{n}.b").as_bytes()))
            .filter(|hash| generations.is_current(hash, &Generations::default().stamp(hash)))
            .count();
        assert!(untouched > 50);
        generations.bump(b"*.x");
        assert!(!generations.is_current(&hash, &stamp));
    }
}
