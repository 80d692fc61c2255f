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

/// The last subject, and which rules are for it, a bit each: publishers often go on with the subject they had.
#[derive(Debug)]
struct Concerned {
    subject: Vec<u8>,
    rules: u64,
}

impl Concerned {
    fn look_at(&mut self, subject: &[u8], limits: &[Arc<RateLimits>]) -> u64 {
        if *self.subject != *subject {
            self.subject.clear();
            self.subject.extend_from_slice(subject);
            let rules = limits.iter().flat_map(|limits| &limits.rules).take(u64::BITS as usize);
            self.rules = rules.enumerate().map(|(at, rule)| u64::from(rule.is_for(subject)) << at).sum();
        }
        self.rules
    }
}

/// The limits that a connection's messages are held against.
#[derive(Debug)]
pub struct Limiter {
    limits: Vec<Arc<RateLimits>>,
    written: Concerned,
    mapped: Concerned,
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
        // A subject that nobody writes, so that the first one is looked at.
        let none = || Concerned { subject: b" ".to_vec(), rules: 0 };
        let (written, mapped) = (none(), none());
        Some(Box::new(Self { limits, written, mapped, reserved: false }))
    }

    /// Whether it has the same rules, with the same use of them.
    pub fn is_of(&self, limits: &[Arc<RateLimits>]) -> bool {
        self.limits.len() == limits.len() && self.limits.iter().zip(limits).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// Whether the next message is one that had to wait, and has its share.
    pub fn has_reserved(&self) -> bool {
        self.reserved
    }

    /// Counts a message with so many bytes of headers and payload, once for each rule that is for the subject that was
    /// written or for the one that it is mapped to. One that is refused counts for no rule. One that has to
    /// wait has its share from now on: the next message asked for must be the same, after that time.
    pub fn admit(&mut self, subject: &[u8], mapped: Option<&[u8]>, bytes: u64, now: Instant) -> Admission {
        if std::mem::take(&mut self.reserved) {
            return Admission::Pass;
        }
        let limits = &self.limits;
        let mut concerned = self.written.look_at(subject, limits);
        if let Some(mapped) = mapped {
            concerned |= self.mapped.look_at(mapped, limits);
        }
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
}

/// The rules whose bits are set.
fn concerned_of(limits: &[Arc<RateLimits>], bits: u64) -> impl Iterator<Item = &Rule> {
    let rules = limits.iter().flat_map(|limits| &limits.rules).take(u64::BITS as usize);
    rules.enumerate().filter(move |(at, _)| bits >> at & 1 == 1).map(|(_, rule)| rule)
}

#[cfg(test)]
mod tests;
