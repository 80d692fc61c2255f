//! What a turn draws at random, all of it from one seed: with the same seed and the same calls a turn delivers the same bytes.

use dialtone_subject::transform::Random;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// The seed of a turn. Whoever knows it can guess the subjects that answers come back by.
pub type Seed = [u8; 32];

/// The two generators of a turn.
pub(crate) struct Draws {
    /// For choices that anybody may see, several a message.
    pub choices: FastRandom,
    /// For what nobody may guess.
    pub secrets: Secrets,
}

impl Draws {
    pub fn new(seed: Seed) -> Self {
        let mut secrets = StdRng::from_seed(seed);
        // What choices reveal does not reveal the secrets.
        Self { choices: FastRandom(secrets.next_u64() | 1), secrets: Secrets(secrets) }
    }
}

/// xorshift64*: good enough to spread work, and it costs nothing.
#[derive(Clone, Copy)]
pub(crate) struct FastRandom(u64);

impl FastRandom {
    /// One of so many, which are not none.
    #[inline]
    pub fn below(&mut self, count: usize) -> usize {
        if count > 1 { self.next() as usize % count } else { 0 }
    }
}

impl Random for FastRandom {
    #[inline]
    fn next(&mut self) -> u32 {
        let mut x = self.0;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0 = x;
        (x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as u32
    }
}

/// A generator whose numbers cannot be predicted from those before.
pub(crate) struct Secrets(StdRng);

impl Secrets {
    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }
}
