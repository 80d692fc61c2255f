//! How hash tables are seeded whose order somebody can see: differently each time, so that nobody can choose names that collide, but on a
//! thread that simulates by a seed, so that what is sent comes in the same order whenever that seed is played.

use foldhash::SharedSeed;
use foldhash::fast::{FoldHasher, SeedableRandomState};
use std::cell::Cell;
use std::hash::BuildHasher;

thread_local! {
    static SIMULATED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Has tables that are made on this thread hashed by a seed; `None`: by what nobody can guess. For simulations alone.
pub fn simulate(seed: Option<u64>) {
    SIMULATED.set(seed);
}

/// Hashes the keys of a table.
#[derive(Clone, Debug)]
pub struct Hashing(SeedableRandomState);

impl Default for Hashing {
    fn default() -> Self {
        Self(SIMULATED.get().map_or_else(SeedableRandomState::random, |seed| {
            SeedableRandomState::with_seed(seed, SharedSeed::global_fixed())
        }))
    }
}

impl BuildHasher for Hashing {
    type Hasher = FoldHasher<'static>;

    #[inline(always)]
    fn build_hasher(&self) -> FoldHasher<'static> {
        self.0.build_hasher()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise whoever knows one server's order knows which names collide in all.
    #[test]
    fn only_a_simulation_repeats_its_hashes() {
        let hash = || Hashing::default().hash_one(b"orders.new");
        assert_ne!(hash(), hash());
        simulate(Some(7));
        let seven = hash();
        assert_eq!(hash(), seven);
        simulate(Some(8));
        assert_ne!(hash(), seven);
        simulate(None);
        assert_ne!(hash(), hash());
    }
}
