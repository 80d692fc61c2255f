//! One connection, from when it is there until it is gone.

use crate::id::ServerId;
use crate::limits::{INFO_BURST, INFO_PER_SECOND};
use crate::pool::{Lane, Place};
use crate::target::TargetKey;
use std::net::IpAddr;
use std::time::Instant;

#[derive(Clone, Debug)]
pub struct Link {
    pub origin: Origin,
    pub address: IpAddr,
    pub phase: Phase,
    /// Closed if it has not joined until then.
    pub deadline: Instant,
    pub allowance: Allowance,
    /// Which of this server's INFOs was sent last by it, of those that change something ([`crate::Cluster`] counts them).
    pub own_info: u64,
}

/// Who dialled.
#[derive(Clone, Debug)]
pub enum Origin {
    Accepted,
    Dialled { target: TargetKey, lane: Lane },
}

#[derive(Clone, Debug)]
pub enum Phase {
    /// Of one that was accepted.
    AwaitConnect,
    /// Whoever is at the other end, if it said so in CONNECT.
    AwaitInfo(Option<ServerId>),
    Joined {
        server: ServerId,
        place: Place,
    },
}

impl Link {
    pub fn joined(&self) -> Option<(&ServerId, &Place)> {
        match &self.phase {
            Phase::Joined { server, place } => Some((server, place)),
            _ => None,
        }
    }

    pub fn is_dialled(&self) -> bool {
        matches!(self.origin, Origin::Dialled { .. })
    }
}

/// How many INFO lines may still come.
#[derive(Clone, Debug)]
pub struct Allowance {
    left: u32,
    since: Instant,
    /// Whether the last one was too many.
    pub spent: bool,
}

impl Allowance {
    pub fn new(now: Instant) -> Self {
        Self { left: INFO_BURST, since: now, spent: false }
    }

    /// Whether one more may come.
    pub fn take(&mut self, now: Instant) -> bool {
        let seconds = u32::try_from(now.saturating_duration_since(self.since).as_secs()).unwrap_or(u32::MAX);
        if seconds > 0 {
            self.left = self.left.saturating_add(seconds.saturating_mul(INFO_PER_SECOND)).min(INFO_BURST);
            self.since = now;
        }
        self.spent = self.left == 0;
        self.left = self.left.saturating_sub(1);
        !self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_allowance_ends_and_comes_back_slowly() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        assert!((0..INFO_BURST).all(|_| allowance.take(start)));
        assert!(!allowance.take(start));
        let later = start + Duration::from_secs(2);
        let granted = (0..INFO_BURST).filter(|_| allowance.take(later)).count();
        assert_eq!(granted, 2 * INFO_PER_SECOND as usize);
    }
}
