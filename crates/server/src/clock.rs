//! The time: the wall clock, as JWTs and certificates count it, in seconds since 1970; and the clock that deadlines go by, which a
//! simulation turns itself.

use jiff::Timestamp;
use std::time::{Duration, Instant, SystemTime};

/// Now, in seconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

/// When a second since 1970 begins, seen from `now`. A second that is past is now.
pub fn instant(second: i64, now: Instant) -> Instant {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(second).unwrap_or(0)));
    let left = at.and_then(|at| at.duration_since(SystemTime::now()).ok()).unwrap_or_default();
    // What is centuries away never comes.
    now.checked_add(left).unwrap_or(now + Duration::from_secs(u64::from(u32::MAX)))
}

/// Nanoseconds since 1970, where no turn knows them; on a thread that simulates, those that it simulates.
pub(crate) fn wall() -> i64 {
    #[cfg(any(test, fuzzing))]
    if let Some(nanos) = simulated_wall() {
        return nanos;
    }
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The moment, where no turn knows it.
#[cfg(not(any(test, fuzzing)))]
#[inline]
pub(crate) fn moment() -> Instant {
    Instant::now()
}

/// The moment, where no turn knows it; on a thread that simulates, the one that it simulates.
#[cfg(any(test, fuzzing))]
pub(crate) fn moment() -> Instant {
    SIMULATED.get().unwrap_or_else(Instant::now)
}

#[cfg(any(test, fuzzing))]
thread_local! {
    static SIMULATED: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
}

/// When simulated threads begin: nanoseconds since 1970, some time in 2023.
#[cfg(any(test, fuzzing))]
const BEGINNING: i64 = 1_700_000_000_000_000_000;

#[cfg(any(test, fuzzing))]
thread_local! {
    /// The first moment that was simulated.
    static FIRST: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
}

#[cfg(any(test, fuzzing))]
fn simulated_wall() -> Option<i64> {
    let passed = SIMULATED.get()?.saturating_duration_since(FIRST.get()?);
    Some(BEGINNING.saturating_add(i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX)))
}

/// Sets the moment of this thread.
#[cfg(any(test, fuzzing))]
pub(crate) fn simulate(moment: Option<Instant>) {
    FIRST.set(moment.map(|moment| FIRST.get().unwrap_or(moment)));
    SIMULATED.set(moment);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_time_passes_as_it_is_told() {
        let begin = Instant::now();
        simulate(Some(begin));
        assert_eq!(wall(), BEGINNING);
        simulate(Some(begin + Duration::from_secs(3)));
        assert_eq!((wall() - BEGINNING, moment()), (3_000_000_000, begin + Duration::from_secs(3)));
        simulate(None);
        assert!(wall() > BEGINNING + 1_000_000_000);
    }
}
