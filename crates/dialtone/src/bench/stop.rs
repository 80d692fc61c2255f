//! When a run has sent enough.

use std::time::{Duration, Instant};

/// When a run has sent enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// After so many published messages (or requests, or cycles).
    Messages(u64),
    /// After so long.
    After(Duration),
}

impl Stop {
    /// How many more may be sent of those sent `since`, at the time `now`.
    pub fn left(self, sent: u64, since: Instant, now: Instant) -> u64 {
        match self {
            Stop::Messages(total) => total.saturating_sub(sent),
            Stop::After(duration) if now.duration_since(since) < duration => u64::MAX,
            Stop::After(_) => 0,
        }
    }

    /// The share of the run that is over, 0.0 to 1.0.
    pub fn share(self, sent: u64, elapsed: Duration) -> f64 {
        match self {
            Stop::Messages(total) => sent as f64 / total.max(1) as f64,
            Stop::After(duration) => elapsed.as_secs_f64() / duration.as_secs_f64().max(1e-9),
        }
        .min(1.0)
    }
}
