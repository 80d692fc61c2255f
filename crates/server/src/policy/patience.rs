//! How long a connection is kept that is silent or slow.

use dialtone_config::options::Limits;
use std::time::Duration;

/// Of the connections of one kind. Each has its own, or that of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// How often it is pinged while it is silent.
    pub(crate) ping_interval: Duration,
    /// PINGs that may stay unanswered.
    pub(crate) pings_out_max: u32,
    /// How long what waits for it may wait.
    pub(crate) write_deadline: Duration,
    /// Whether it is kept then, if it has taken something. One that has taken nothing is closed.
    pub(crate) keeps_slow: bool,
}

impl Patience {
    /// With clients.
    pub(super) fn with_clients(limits: &Limits) -> Self {
        Self {
            ping_interval: limits.ping_interval,
            pings_out_max: limits.pings_out_max,
            write_deadline: limits.write_deadline,
            keeps_slow: limits.write_retry,
        }
    }
}
