//! The wall clock, as JWTs and certificates count time: in seconds since 1970.

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
