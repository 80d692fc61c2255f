//! What all turns of a server share about requests between accounts: the server's name, the accounts whose services owe answers, and who learns
//! how long they take.

use super::awaited::Awaited;
use super::latency::{Metric, RequestOutcome, Tracked};
use super::requester::ClientInfo;
use super::responses::Pending;
use crate::account::Account;
use crate::random::Secrets;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

type Collector = Box<dyn Fn(Metric) + Send + Sync>;

/// One a server.
#[derive(Default)]
pub struct ServiceRequests {
    /// The server's name, for services that may know.
    pub server: Box<str>,
    owing: Mutex<Vec<Arc<Account>>>,
    /// Accounts that await answers.
    awaiting: Mutex<Vec<Arc<Account>>>,
    collector: OnceLock<Collector>,
}

impl ServiceRequests {
    /// For the server with this name.
    pub fn new(server: &str) -> Arc<Self> {
        Arc::new(Self { server: server.into(), ..Self::default() })
    }

    /// Sets who gets the latencies of services; it must not block. Set once.
    pub fn set_collector(&self, collector: impl Fn(Metric) + Send + Sync + 'static) {
        let _ = self.collector.set(Box::new(collector));
    }

    /// Reports how a request ended.
    pub(crate) fn report_latency(
        &self,
        tracked: &Tracked,
        outcome: RequestOutcome,
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
    pub(crate) fn open(&self, account: &Arc<Account>, pending: Pending, secrets: &mut Secrets) -> Box<[u8]> {
        let (subject, first) = account.open_response(pending, secrets);
        if first {
            self.owing.lock().push(account.clone());
        }
        subject
    }

    /// Notes an answer that `account` waits for.
    pub(crate) fn await_answer(&self, account: &Arc<Account>, reply: &[u8], awaited: Awaited) {
        if account.await_answer(reply, awaited) {
            self.awaiting.lock().push(account.clone());
        }
    }

    /// Forgets the answers that did not come in time, and those that nobody listens for. To be called several
    /// times a second, and by one thread.
    pub fn expire(&self, now: Instant) {
        let still = |accounts: &Mutex<Vec<Arc<Account>>>, is_concerned: &dyn Fn(&Arc<Account>) -> bool| {
            let mut concerned = std::mem::take(&mut *accounts.lock());
            concerned.retain(is_concerned);
            accounts.lock().extend(concerned);
        };
        still(&self.owing, &|account| self.expire_of(account, now));
        still(&self.awaiting, &|account| account.look_after_awaited());
    }

    /// Forgets an account's answers that did not come in time. Whether it owes others.
    fn expire_of(&self, account: &Account, now: Instant) -> bool {
        loop {
            let (late, owes) = account.expire_responses(now);
            for (pending, subject) in &late {
                if let Some(tracked) = &pending.tracked {
                    pending.requester.forget_awaited(&pending.reply, subject);
                    self.report_latency(tracked, RequestOutcome::TimedOut, None, now);
                }
            }
            if late.is_empty() || !owes {
                return owes;
            }
        }
    }
}

impl std::fmt::Debug for ServiceRequests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceRequests").field("server", &self.server).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::awaited::LOOK_MAX;
    use super::super::{ServiceExport, responses};
    use super::*;
    use crate::account::AccountId;
    use crate::random::Draws;
    use dialtone_subject::{Filter, Literal};
    use std::time::Duration;

    /// Who takes a subscription out looks at none of the answers that others wait for; they are looked after some at a time,
    /// and each that nobody listens for is reported once.
    #[test]
    fn answers_that_are_waited_for_are_looked_after_in_parts() {
        let mut secrets = Draws::new([1; 32]).secrets;
        let now = Instant::now();
        let service_requests = ServiceRequests::new("s");
        let outcomes: Arc<Mutex<Vec<u16>>> = Arc::default();
        let told = outcomes.clone();
        service_requests.set_collector(move |metric| told.lock().push(metric.outcome.status()));
        let (asks, answers) = (Account::new(AccountId(1), "asks"), Account::new(AccountId(2), "answers"));
        let latency = dialtone_config::sharing::Latency {
            subject: Literal::parse("l").expect("valid"),
            sampling: dialtone_config::sharing::Sampling::Percent(100),
        };
        let export = Arc::new(ServiceExport {
            latency: Some(latency),
            ..ServiceExport::new(Filter::parse("q").expect("valid"))
        });
        let all = 2 * LOOK_MAX + 1;
        for _ in 0..all {
            let tracked = Arc::new(Tracked {
                export: export.clone(),
                exporter: answers.clone(),
                requestor: ClientInfo::default(),
                headers: Default::default(),
                start: now,
            });
            let pending = responses::Pending {
                requester: asks.clone(),
                reply: b"same".as_slice().into(),
                origin: asks.id,
                response: export.response,
                export: Some(export.clone()),
                tracked: Some(tracked.clone()),
                until: now + Duration::from_secs(60),
            };
            let subject = service_requests.open(&answers, pending, &mut secrets);
            service_requests.await_answer(
                &asks,
                b"same",
                Awaited { service_requests: service_requests.clone(), subject, tracked },
            );
        }
        service_requests.expire(now);
        assert_eq!(outcomes.lock().len(), 0, "no subscription has ended");
        asks.remove_all(&[]);
        assert_eq!(outcomes.lock().len(), 0, "not by whoever ends one");
        for expected in [LOOK_MAX, 2 * LOOK_MAX, all, all] {
            service_requests.expire(now);
            assert_eq!(outcomes.lock().len(), expected);
        }
        assert!(outcomes.lock().iter().all(|status| *status == RequestOutcome::InterestLost.status()));
        assert!(answers.owed().is_empty() && service_requests.awaiting.lock().is_empty());
    }
}
