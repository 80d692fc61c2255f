//! When something that failed is tried again.

use crate::limits::{BACKOFF_MAX, JITTER, REDIAL_AFTER, REFUSED_MAX};
use crate::random::Random;
use std::time::Duration;

/// What came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// So many dials in a row failed; with what `connect_backoff` says.
    Failed { times: u32, backoff: bool },
    /// So many connections in a row ended before the other server let this one in.
    Refused { times: u32 },
    /// A route of a configured server broke.
    ConfiguredBroke,
    /// A route of a learned server broke.
    LearnedBroke,
}

/// How long to wait.
pub fn delay(after: After, random: &mut Random) -> Duration {
    let doubled = |times: u32, most: Duration| {
        REDIAL_AFTER.saturating_mul(1 << times.saturating_sub(1).min(16)).min(most)
    };
    let least = match after {
        After::Failed { backoff: false, .. } | After::ConfiguredBroke => REDIAL_AFTER,
        After::Failed { times, backoff: true } => doubled(times, BACKOFF_MAX),
        After::Refused { times } => doubled(times, REFUSED_MAX),
        After::LearnedBroke => Duration::ZERO,
    };
    least + random.up_to(JITTER.max(least / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(after: After, least: u64, below: u64) {
        for seed in 0..50 {
            let found = delay(after, &mut Random::new(seed)).as_millis();
            assert!(found >= u128::from(least) && found < u128::from(below), "{after:?}: {found} ms");
        }
    }

    #[test]
    fn delays_are_the_official_ones() {
        check(After::ConfiguredBroke, 1000, 1100);
        check(After::LearnedBroke, 0, 100);
        check(After::Failed { times: 7, backoff: false }, 1000, 1100);
        check(After::Failed { times: 1, backoff: true }, 1000, 1100);
        check(After::Failed { times: 3, backoff: true }, 4000, 4400);
        check(After::Failed { times: 99, backoff: true }, 30_000, 33_000);
        check(After::Refused { times: 99 }, 8000, 8800);
    }
}
