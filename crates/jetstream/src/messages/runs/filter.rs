//! Which subjects a run cannot have: a Bloom filter, so that most lookups of what is not there read nothing.

use dialtone_subject::Hashing;
use std::hash::BuildHasher;

/// Bits for each subject, and how many of them it sets: one lookup of a hundred reads for nothing.
const BITS: usize = 10;
const PROBES: u64 = 6;

/// A set that has what was added, and takes little of all else to be in it.
#[derive(Debug, Default)]
pub(super) struct Filter {
    hashing: Hashing,
    words: Vec<u64>,
}

impl Filter {
    /// For so many subjects; with more it takes more to be in it.
    pub(super) fn new(subjects: u64) -> Self {
        let bits = usize::try_from(subjects).unwrap_or(0).saturating_mul(BITS);
        Self { hashing: Hashing::default(), words: vec![0; bits / 64 + 1] }
    }

    /// The words and bits of a name.
    fn places(&self, name: &[u8]) -> impl Iterator<Item = (usize, u64)> + use<> {
        let hash = self.hashing.hash_one(name);
        let (step, words) = ((hash >> 32) | 1, self.words.len() as u64);
        (0..PROBES).map(move |probe| {
            let at = hash.wrapping_add(probe.wrapping_mul(step.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
            // The upper half says which word, the lower bits which of its bits.
            let word = (u128::from(at) * u128::from(words)) >> 64;
            (word as usize, 1 << (at % 64))
        })
    }

    pub(super) fn add(&mut self, name: &[u8]) {
        for (word, bit) in self.places(name) {
            if let Some(word) = self.words.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// Whether a name may have been added.
    pub(super) fn may_have(&self, name: &[u8]) -> bool {
        self.places(name).all(|(word, bit)| self.words.get(word).is_some_and(|word| word & bit != 0))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_what_was_added_and_little_else() {
        for count in [0, 1, 7, 5000_u64] {
            let mut filter = Filter::new(count);
            (0..count).for_each(|number| filter.add(format!("orders.{number}.new").as_bytes()));
            assert!((0..count).all(|number| filter.may_have(format!("orders.{number}.new").as_bytes())));
            let wrong = (0..5000).filter(|number| filter.may_have(format!("other.{number}").as_bytes()));
            assert!(wrong.count() < 250, "{count}");
        }
    }
}
