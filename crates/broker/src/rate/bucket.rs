//! A token bucket that many threads share: one atomic number, integers only.
//!
//! What was taken is kept as the sum of all units since the start, and compared with what time has earned since then.
//! A sum loses nothing to rounding, however small the parts; only the clock is rounded, and that error does not add up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Units a second, and units that may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Units a second, from 1 to [`UNITS_MAX`].
    pub per_second: u64,
    /// Units that a full bucket holds, from 1 to [`UNITS_MAX`].
    pub burst: u64,
}

/// The highest rate and the largest burst.
pub const UNITS_MAX: u64 = u32::MAX as u64;
/// Who reserves more than this ahead gets it earlier than the rate says: a wait is never longer.
pub const WAIT_MAX: Duration = Duration::from_secs(3600);
/// Units are counted in fractions, as many as leave an earned second below this.
const SECOND_BITS: u32 = 32;
const NANOS: u64 = 1_000_000_000;
/// Fractions of units that a message costs at most, and that a bucket holds at most. With what is earned in the life of a
/// process, two of these are less than a u64.
const FRACTIONS_MAX: u64 = 1 << 62;

/// A bucket that fills with time.
#[derive(Debug)]
pub struct Bucket {
    /// Fractions earned a second.
    earned_a_second: u64,
    burst: u64,
    /// Bits of a unit's fractions.
    shift: u32,
    start: Instant,
    /// Fractions taken so far; never less than the earned ones were when it was last taken from.
    taken: AtomicU64,
}

impl Bucket {
    /// A full bucket.
    pub fn new(pace: Pace, start: Instant) -> Self {
        let per_second = pace.per_second.clamp(1, UNITS_MAX);
        let shift = SECOND_BITS.saturating_sub(u64::BITS - per_second.leading_zeros());
        let burst = (pace.burst.clamp(1, UNITS_MAX) << shift).min(FRACTIONS_MAX);
        Self { earned_a_second: per_second << shift, burst, shift, start, taken: AtomicU64::new(0) }
    }

    /// Takes `units` if they are there. More than a full bucket holds are there when it is full; what is missing is then
    /// owed, and earned before anything else.
    pub fn take(&self, units: u64, now: Instant) -> bool {
        let (earned, cost) = (self.earned(now), self.cost(units));
        let take = |taken: u64| {
            let taken = taken.max(earned);
            (taken - earned + cost.min(self.burst) <= self.burst).then(|| taken + cost)
        };
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Takes `units` in any case. How long to wait until they are there: those who wait get theirs one after the other.
    pub fn reserve(&self, units: u64, now: Instant) -> Duration {
        let (earned, cost) = (self.earned(now), self.cost(units));
        let ahead_max = self.burst + self.earned_a_second * WAIT_MAX.as_secs();
        let reserve = |taken: u64| Some((taken.max(earned) + cost).min(earned + ahead_max));
        let before = match self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve) {
            Ok(before) | Err(before) => before.max(earned),
        };
        let missing = (before - earned + cost.min(self.burst)).saturating_sub(self.burst);
        if missing == 0 {
            // A long division for each message would be most of what it costs.
            return Duration::ZERO;
        }
        let nanos = (u128::from(missing) * u128::from(NANOS)).div_ceil(u128::from(self.earned_a_second));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(WAIT_MAX)
    }

    /// Puts back what was taken and is not used.
    pub fn give_back(&self, units: u64) {
        let cost = self.cost(units);
        // A failure is impossible: the closure always has a value.
        let _ = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| Some(taken.saturating_sub(cost)));
    }

    /// Whether nothing is missing: it is then as good as a new one.
    pub fn is_full(&self, now: Instant) -> bool {
        self.taken.load(Ordering::Relaxed) <= self.earned(now)
    }

    fn cost(&self, units: u64) -> u64 {
        units.min(FRACTIONS_MAX >> self.shift) << self.shift
    }

    /// What time has earned since the start.
    fn earned(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.start);
        let part = u64::from(since.subsec_nanos()) * self.earned_a_second / NANOS;
        since.as_secs().saturating_mul(self.earned_a_second).saturating_add(part).min(FRACTIONS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bucket as a school book has it: a level that rises with time, in exact fractions of a nanosecond's worth.
    struct Naive {
        per_second: i128,
        burst: i128,
        level: i128,
        at: u64,
    }

    impl Naive {
        fn new(pace: Pace) -> Self {
            let burst = i128::from(pace.burst) * i128::from(NANOS);
            Self { per_second: i128::from(pace.per_second), burst, level: burst, at: 0 }
        }

        fn pass(&mut self, at: u64) {
            self.level = (self.level + self.per_second * i128::from(at - self.at)).min(self.burst);
            self.at = at;
        }

        /// What is missing to take units; negative: what is left after that.
        fn missing(&self, units: u64) -> i128 {
            (i128::from(units) * i128::from(NANOS)).min(self.burst) - self.level
        }

        fn take(&mut self, units: u64) {
            self.level -= i128::from(units) * i128::from(NANOS);
        }
    }

    fn pace() -> impl Strategy<Value = Pace> {
        let units = || prop_oneof![1..10u64, 1..100_000u64, 1..=UNITS_MAX];
        (units(), units()).prop_map(|(per_second, burst)| Pace { per_second, burst })
    }

    /// Steps of the clock, and units.
    fn steps() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let nanos = prop_oneof![Just(0), 0..1000u64, 0..NANOS, 0..1000 * NANOS];
        let units = prop_oneof![Just(1), 1..1000u64, 1..1_000_000u64];
        proptest::collection::vec((nanos, units), 1..60)
    }

    /// As much as the clock's rounding is worth: one fraction of a unit, which is at most a nanosecond's worth of one
    /// or, at low rates, a millionth of a unit.
    fn tolerance(pace: Pace) -> i128 {
        2 * i128::from(pace.per_second) + i128::from(NANOS) / 1_000_000
    }

    proptest! {
        #[test]
        fn what_is_there_can_be_taken(pace in pace(), steps in steps()) {
            let start = Instant::now();
            let (bucket, mut naive) = (Bucket::new(pace, start), Naive::new(pace));
            let mut at = 0;
            for (nanos, units) in steps {
                at += nanos;
                naive.pass(at);
                let missing = naive.missing(units);
                let taken = bucket.take(units, start + Duration::from_nanos(at));
                // Where the clock's rounding decides, either is right.
                if missing.abs() > tolerance(pace) {
                    prop_assert_eq!(taken, missing <= 0, "missing {}", missing);
                }
                if taken {
                    naive.take(units);
                }
            }
        }

        #[test]
        fn who_reserves_waits_as_long_as_it_takes(pace in pace(), steps in steps()) {
            let start = Instant::now();
            let (bucket, mut naive) = (Bucket::new(pace, start), Naive::new(pace));
            let mut at = 0;
            for (nanos, units) in steps {
                at += nanos;
                naive.pass(at);
                let wait = bucket.reserve(units, start + Duration::from_nanos(at));
                let expected = naive.missing(units).max(0);
                naive.take(units);
                if expected / naive.per_second >= i128::from(WAIT_MAX.as_secs() * NANOS) {
                    prop_assert_eq!(wait, WAIT_MAX);
                    break;
                }
                let got = wait.as_nanos() as i128 * naive.per_second;
                prop_assert!((got - expected).abs() <= tolerance(pace) + naive.per_second, "{} {}", got, expected);
                if -naive.level > naive.per_second * i128::from(WAIT_MAX.as_secs() * NANOS) {
                    break;
                }
            }
        }

        #[test]
        fn what_is_given_back_was_never_taken(pace in pace(), units in 1..1000u64) {
            let now = Instant::now();
            let bucket = Bucket::new(pace, now);
            prop_assert!(bucket.is_full(now));
            prop_assert!(bucket.take(units, now));
            prop_assert!(!bucket.is_full(now));
            bucket.give_back(units);
            prop_assert!(bucket.is_full(now));
        }
    }

    #[test]
    fn threads_together_take_no_more_than_there_is() {
        let now = Instant::now();
        let bucket = Bucket::new(Pace { per_second: 7, burst: 10_000 }, now);
        let take = || (0..10_000).filter(|_| bucket.take(1, now)).count();
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().expect("counted")).sum()
        });
        assert_eq!(taken, 10_000);
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        let now = Instant::now();
        for (per_second, burst) in [(1, UNITS_MAX), (UNITS_MAX, UNITS_MAX), (UNITS_MAX, 1), (1, 1)] {
            let bucket = Bucket::new(Pace { per_second, burst }, now);
            for at in [now, now + Duration::from_secs(1 << 30), now + Duration::from_secs(1 << 40)] {
                for _ in 0..4 {
                    assert!(bucket.reserve(u64::MAX, at) <= WAIT_MAX);
                    bucket.take(u64::MAX, at);
                }
            }
        }
    }
}
