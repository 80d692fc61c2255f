//! Answers that an account waits for and whose latency is told: when nobody listens for one any more, that is told too.

use super::exchange::Exchange;
use super::latency::{Outcome, Tracked};
use crate::account::Account;
use hashbrown::HashMap;
use std::sync::Arc;

/// Answers that one account waits for. Each is noted by the responses of its exporter too, which bound them.
const AWAITED_MAX: usize = 16 * 1024;

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub exchange: Arc<Exchange>,
    /// The subject that leads back, in the exporting account.
    pub subject: Box<[u8]>,
    pub tracked: Arc<Tracked>,
}

/// By the subject that the answer has here.
#[derive(Debug, Default)]
pub(crate) struct AwaitedAnswers(HashMap<Box<[u8]>, Vec<Awaited>, foldhash::fast::RandomState>);

impl AwaitedAnswers {
    pub fn insert(&mut self, reply: &[u8], awaited: Awaited) {
        if self.0.len() < AWAITED_MAX {
            self.0.entry(reply.into()).or_default().push(awaited);
        }
    }

    /// The answer came, or none will.
    pub fn remove(&mut self, reply: &[u8], subject: &[u8]) {
        if let Some(waiting) = self.0.get_mut(reply) {
            waiting.retain(|awaited| *awaited.subject != *subject);
            if waiting.is_empty() {
                self.0.remove(reply);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The subjects that are waited for.
    pub fn replies(&self) -> Vec<Box<[u8]>> {
        self.0.keys().cloned().collect()
    }

    pub fn take(&mut self, reply: &[u8]) -> Vec<Awaited> {
        self.0.remove(reply).unwrap_or_default()
    }
}

impl Awaited {
    /// Nobody listens for the answer: it is not owed any more.
    pub fn lose(&self) {
        let exporter: &Account = &self.tracked.exporter;
        let owed = exporter.responses(|responses| responses.close(&self.subject)).flatten();
        if owed.is_some() {
            // Without an answer nothing was measured: the time does not matter.
            self.exchange.tell(&self.tracked, Outcome::InterestLost, None, self.tracked.start);
        }
    }
}
