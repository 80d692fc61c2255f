//! Answers that an account waits for and whose latency is reported: when nobody listens for one any more, that is reported too.
//!
//! A loop that takes a subscription out only notes it. [`super::service_requests::ServiceRequests`] looks after the answers, some at a
//! time, so that however many are open, no loop waits for that.

use super::latency::{RequestOutcome, Tracked};
use super::service_requests::ServiceRequests;
use crate::account::Account;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Answers that one account waits for. Each is noted by the responses of its exporter too, which bound them.
const AWAITED_MAX: usize = 16 * 1024;
/// Answers of one account that are looked after at a time.
pub(crate) const LOOK_MAX: usize = 1024;

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub service_requests: Arc<ServiceRequests>,
    /// The subject that leads back, in the exporting account.
    pub subject: Box<[u8]>,
    pub tracked: Arc<Tracked>,
}

/// The subject that an answer has here, and the one that leads back to it.
pub(crate) type Key = (Box<[u8]>, Box<[u8]>);

/// By the subject that the answer has here.
#[derive(Debug, Default)]
pub(crate) struct AwaitedAnswers {
    waiting: BTreeMap<Key, Awaited>,
    /// All must be looked at once more, after the look that is under way.
    again: bool,
    /// How far that one is.
    looked: Option<Key>,
    watched: bool,
}

impl AwaitedAnswers {
    /// Notes an answer. Whether somebody must begin to look after them.
    pub fn insert(&mut self, reply: &[u8], awaited: Awaited) -> bool {
        if self.waiting.len() < AWAITED_MAX {
            self.waiting.insert((reply.into(), awaited.subject.clone()), awaited);
        }
        !std::mem::replace(&mut self.watched, true)
    }

    /// The answer came, or none will.
    pub fn remove(&mut self, reply: &[u8], subject: &[u8]) -> Option<Awaited> {
        self.waiting.remove(&(reply.into(), subject.into()))
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Those to look at next. `again`: a subscription has ended, so all must be looked at once more.
    pub fn next(&mut self, again: bool) -> Vec<Key> {
        self.again |= again;
        if self.looked.is_none() && !std::mem::take(&mut self.again) {
            return Vec::new();
        }
        let from = self.looked.take().map_or(Bound::Unbounded, Bound::Excluded);
        let keys: Vec<Key> =
            self.waiting.range((from, Bound::Unbounded)).take(LOOK_MAX).map(|(k, _)| k.clone()).collect();
        self.looked = keys.last().filter(|_| keys.len() == LOOK_MAX).cloned();
        keys
    }
}

impl Awaited {
    /// Nobody listens for the answer: it is not owed any more.
    pub fn lose(&self) {
        let exporter: &Account = &self.tracked.exporter;
        let owed = exporter.responses(|responses| responses.close(&self.subject)).flatten();
        if owed.is_some() {
            // Without an answer nothing was measured: the time does not matter.
            self.service_requests.report_latency(
                &self.tracked,
                RequestOutcome::InterestLost,
                None,
                self.tracked.start,
            );
        }
    }
}
