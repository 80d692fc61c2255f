//! What all turns of a server share about sharing: its name, the accounts whose services owe answers, and who is told
//! how long they take.

use super::latency::{Metric, Outcome, Tracked};
use super::requester::ClientInfo;
use super::responses::Pending;
use crate::account::Account;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

type Collector = Box<dyn Fn(Metric) + Send + Sync>;

/// One a server.
#[derive(Default)]
pub struct Exchange {
    /// The server's name, for services that may know.
    pub server: Box<str>,
    owing: Mutex<Vec<Arc<Account>>>,
    collector: OnceLock<Collector>,
}

impl Exchange {
    /// For the server with this name.
    pub fn new(server: &str) -> Arc<Self> {
        Arc::new(Self { server: server.into(), ..Self::default() })
    }

    /// Says who is told how long services take; it must not block. Said once.
    pub fn collect(&self, collector: impl Fn(Metric) + Send + Sync + 'static) {
        let _ = self.collector.set(Box::new(collector));
    }

    /// Tells how a request ended.
    pub(crate) fn tell(
        &self,
        tracked: &Tracked,
        outcome: Outcome,
        responder: Option<ClientInfo>,
        now: Instant,
    ) {
        if let Some(collector) = self.collector.get()
            && let Some(metric) = tracked.metric(outcome, responder, now)
        {
            collector(metric);
        }
    }

    /// Notes an answer that a service of `account` owes. The subject that leads back to who asked.
    pub(crate) fn open(&self, account: &Arc<Account>, pending: Pending) -> Box<[u8]> {
        let (subject, first) = account.open_response(pending);
        if first {
            self.owing.lock().push(account.clone());
        }
        subject
    }

    /// Forgets the answers that did not come in time. To be called several times a second.
    pub fn expire(&self, now: Instant) {
        let accounts = std::mem::take(&mut *self.owing.lock());
        let owe = |account: &Arc<Account>| {
            let (late, owes) = account.expire_responses(now);
            for (subject, pending) in &late {
                if let Some(tracked) = &pending.tracked {
                    pending.requester.forget_awaited(&pending.reply, subject);
                    self.tell(tracked, Outcome::TimedOut, None, now);
                }
            }
            owes
        };
        let still: Vec<_> = accounts.into_iter().filter(owe).collect();
        self.owing.lock().extend(still);
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("server", &self.server).finish_non_exhaustive()
    }
}
