//! How many messages and bytes a second an account or a user may publish.
//!
//! [`RateLimits`] are shared by all connections of an account, or of a user; each connection has a [`Limiter`] that asks
//! those which concern it. No lock, no allocation for a message.

pub mod bucket;

use bucket::{Bucket, Pace};
use dialtone_config::options::{Rate, RateAction, RateLimit};
use dialtone_subject::set;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is kept of one rule.
#[derive(Debug)]
struct Rule {
    /// Subjects that it is for; empty: all.
    filters: Box<[Box<[u8]>]>,
    action: RateAction,
    msgs: Option<Bucket>,
    bytes: Option<Bucket>,
}

/// The rules of an account or of a user, and how much of each is used.
#[derive(Debug)]
pub struct RateLimits {
    made_from: Vec<RateLimit>,
    rules: Box<[Rule]>,
}

impl RateLimits {
    /// With full buckets.
    pub fn new(limits: &[RateLimit], now: Instant) -> Arc<Self> {
        let bucket = |rate: Option<Rate>| {
            rate.map(|rate| Bucket::new(Pace { per_second: rate.per_second, burst: rate.burst }, now))
        };
        let rule = |limit: &RateLimit| Rule {
            action: limit.action,
            filters: limit.subjects.iter().map(|s| s.as_bytes().into()).collect(),
            msgs: bucket(limit.msgs),
            bytes: bucket(limit.bytes),
        };
        Arc::new(Self { made_from: limits.to_vec(), rules: limits.iter().map(rule).collect() })
    }

    /// What they were made from.
    pub fn made_from(&self) -> &[RateLimit] {
        &self.made_from
    }

    /// Whether nothing is used: they are then as good as new ones.
    pub fn are_full(&self, now: Instant) -> bool {
        self.rules.iter().flat_map(|rule| rule.msgs.iter().chain(&rule.bytes)).all(|b| b.is_full(now))
    }
}

impl Rule {
    fn is_for(&self, subject: &[u8]) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| set::matches(filter, subject))
    }

    fn take(&self, bytes: u64, now: Instant) -> bool {
        if !self.msgs.as_ref().is_none_or(|bucket| bucket.take(1, now)) {
            return false;
        }
        let taken = self.bytes.as_ref().is_none_or(|bucket| bucket.take(bytes, now));
        if !taken && let Some(msgs) = &self.msgs {
            msgs.give_back(1);
        }
        taken
    }

    fn reserve(&self, bytes: u64, now: Instant) -> Duration {
        let wait = |bucket: &Option<Bucket>, units| bucket.as_ref().map(|b| b.reserve(units, now));
        wait(&self.msgs, 1).max(wait(&self.bytes, bytes)).unwrap_or_default()
    }

    fn give_back(&self, bytes: u64) {
        if let Some(bucket) = &self.msgs {
            bucket.give_back(1);
        }
        if let Some(bucket) = &self.bytes {
            bucket.give_back(bytes);
        }
    }
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It goes on.
    Pass,
    /// It is more than is allowed.
    Refuse,
    /// It is to be asked for again after this time, and goes on then.
    Wait(Duration),
}

/// The limits that a connection's messages are held against.
#[derive(Debug)]
pub struct Limiter {
    limits: Vec<Arc<RateLimits>>,
    /// The last subject, and which rules are for it, a bit each: publishers often go on with the subject they had.
    subject: Vec<u8>,
    concerned: u64,
    /// The next message has its share already: it is one that had to wait.
    reserved: bool,
}

impl Limiter {
    /// For a connection; `None` if there are no rules.
    pub fn new(limits: impl IntoIterator<Item = Arc<RateLimits>>) -> Option<Box<Self>> {
        let limits: Vec<_> = limits.into_iter().filter(|limits| !limits.rules.is_empty()).collect();
        if limits.is_empty() {
            return None;
        }
        let mut limiter = Box::new(Self { limits, subject: Vec::new(), concerned: 0, reserved: false });
        limiter.look_at(b"");
        Some(limiter)
    }

    /// Whether it has the same rules, with the same use of them.
    pub fn is_of(&self, limits: &[Arc<RateLimits>]) -> bool {
        self.limits.len() == limits.len() && self.limits.iter().zip(limits).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// Counts a message with so many bytes of headers and payload. One that is refused counts for no rule. One that has to
    /// wait has its share from now on: the next message asked for must be the same, after that time.
    pub fn admit(&mut self, subject: &[u8], bytes: u64, now: Instant) -> Admission {
        if std::mem::take(&mut self.reserved) {
            return Admission::Pass;
        }
        if *self.subject != *subject {
            self.look_at(subject);
        }
        let (limits, concerned) = (&self.limits, self.concerned);
        let concerned = |action| concerned_of(limits, concerned).filter(move |rule| rule.action == action);
        if let Some(full) = concerned(RateAction::Refuse).position(|rule| !rule.take(bytes, now)) {
            concerned(RateAction::Refuse).take(full).for_each(|rule| rule.give_back(bytes));
            return Admission::Refuse;
        }
        match concerned(RateAction::Delay).map(|rule| rule.reserve(bytes, now)).max() {
            None | Some(Duration::ZERO) => Admission::Pass,
            Some(wait) => {
                self.reserved = true;
                Admission::Wait(wait)
            }
        }
    }

    fn look_at(&mut self, subject: &[u8]) {
        self.subject.clear();
        self.subject.extend_from_slice(subject);
        let rules = self.limits.iter().flat_map(|limits| &limits.rules).take(u64::BITS as usize);
        let bits = rules.enumerate().map(|(at, rule)| u64::from(rule.is_for(subject)) << at);
        self.concerned = bits.sum();
    }
}

/// The rules whose bits are set.
fn concerned_of(limits: &[Arc<RateLimits>], bits: u64) -> impl Iterator<Item = &Rule> {
    let rules = limits.iter().flat_map(|limits| &limits.rules).take(u64::BITS as usize);
    rules.enumerate().filter(move |(at, _)| bits >> at & 1 == 1).map(|(_, rule)| rule)
}

#[cfg(test)]
mod tests;
