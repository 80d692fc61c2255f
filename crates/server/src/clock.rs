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

/// Sets the moment of this thread.
#[cfg(any(test, fuzzing))]
pub(crate) fn simulate(moment: Option<Instant>) {
    SIMULATED.set(moment);
}
