//! Counts of connections that failed or were not admitted.

use dialtone_broker::kind::{KINDS, Kind};
use dialtone_identity::authenticator::Refusal;
use dialtone_wire::CloseReason;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of what went wrong with connections.
#[derive(Debug, Default)]
pub struct ConnectionFailures {
    /// Connections that read too slowly.
    pub slow: CountByKind,
    /// Those of them that were kept.
    pub slow_kept: AtomicU64,
    /// Stale connections that were closed.
    pub stale: CountByKind,
    /// Producers that were held back.
    pub stalled: AtomicU64,
    /// Connections that were not let in, in the order of [`LoginFailure::ALL`].
    failed_logins: [AtomicU64; LoginFailure::ALL.len()],
}

/// A count of connections of each kind.
#[derive(Debug, Default)]
pub struct CountByKind([AtomicU64; KINDS]);

impl CountByKind {
    fn add(&self, kind: Kind) {
        if let Some(count) = self.0.get(kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those of one kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0.get(kind as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// Why a connection was not let in, as far as it is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginFailure {
    /// What it presented is not enough.
    Credentials,
    /// Its token is not valid.
    Token,
    /// The authorization service refuses, or does not answer as it must.
    Callout,
    /// It came by no trusted proxy.
    Proxy,
    /// It did not say in time who it is.
    Timeout,
    /// Too many waited to be let in, most of them of the same address.
    Overloaded,
}

impl LoginFailure {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Credentials, Self::Token, Self::Callout, Self::Proxy, Self::Timeout, Self::Overloaded];

    /// As metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Token => "token",
            Self::Callout => "callout",
            Self::Proxy => "proxy",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
        }
    }
}

impl From<&Refusal> for LoginFailure {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Credentials(_) => Self::Credentials,
            Refusal::Token(_) => Self::Token,
            Refusal::Callout(_) => Self::Callout,
            Refusal::ProxyNotTrusted | Refusal::ProxyRequired => Self::Proxy,
        }
    }
}

impl ConnectionFailures {
    /// Counts a connection that was not let in.
    pub fn count_failed_login(&self, failure: LoginFailure) {
        if let Some(count) = self.failed_logins.get(failure as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many connections were not let in for this reason.
    pub fn failed_logins(&self, failure: LoginFailure) -> u64 {
        self.failed_logins.get(failure as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Counts a connection that ended for this reason.
    pub fn count(&self, kind: Kind, reason: CloseReason) {
        match reason {
            reason if reason.is_slow_consumer() => self.slow.add(kind),
            CloseReason::StaleConnection => self.stale.add(kind),
            _ => {}
        }
    }

    /// Counts a connection that reads too slowly, and is kept.
    pub fn count_kept(&self, kind: Kind) {
        self.slow.add(kind);
        self.slow_kept.fetch_add(1, Ordering::Relaxed);
    }
}
