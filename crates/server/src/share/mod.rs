//! Bounded queues that strangers share: what is too much is taken from who has most.
//!
//! [`queue`] is the rule, without threads: lanes by urgency, in each lane a share for everybody who has something waiting,
//! turns among the shares, a bound for each lane. [`line`] lets threads wait for it. [`Share`] says whose something is.
//!
//! Invariants: a lane never holds more than its bound; what is dropped is the newest of the share that has most, and is
//! handed back, so that whoever waits for it can be answered; a share waits for one item of each other share at most.

pub(crate) mod line;
pub(crate) mod queue;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use crate::registry::Session;
use dialtone_broker::account::Account;
use std::net::IpAddr;
use std::sync::Arc;

/// How urgent something is. What is more urgent comes first; what is less urgent still comes now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Claims, revocations, commands, and answers to what the server itself asked.
    Control,
    /// Connections that wait to be let in.
    Login,
    /// Questions about the server: monitoring by message and by HTTP.
    Question,
    /// Reports that nobody waits for: traces, latencies, counts of connections.
    Report,
}

impl Lane {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Control, Self::Login, Self::Question, Self::Report];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Login => "login",
            Self::Question => "question",
            Self::Report => "report",
        }
    }
}

/// Whose something is that waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Share {
    /// The server's own.
    Server,
    /// Of an account, by name.
    Account(Arc<str>),
    /// Of a network address: IPv4 whole, IPv6 by its first 64 bits, which one customer of a provider has.
    Address(IpAddr),
    /// Of whoever came by the Unix-domain socket or from this process.
    Local,
}

impl Share {
    /// That of an account.
    pub fn account(account: &Account) -> Self {
        Self::Account((*account.name).into())
    }

    /// That of a network address.
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::Address(address.into()),
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Self::Address(IpAddr::V6(network.into()))
            }
        }
    }

    /// That of a connection of which nobody knows yet who it is.
    pub(crate) fn stranger(session: &Session) -> Self {
        match (session.listener(), session.remote()) {
            (listener, Some(remote)) if listener.is_remote() => Self::address(remote.ip()),
            _ => Self::Local,
        }
    }
}

/// What waits in one lane, and what was dropped from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneFigures {
    /// Items that wait.
    pub waiting: usize,
    /// Their cost: bytes, or items where each costs the same.
    pub cost: usize,
    /// Shares that have something waiting or at work.
    pub shares: usize,
    /// The cost of what the share waits with that has most.
    pub largest_share: usize,
    /// Items that were dropped since the start.
    pub dropped: u64,
}
