//! What all turns of a server share about requests between accounts: the server's name, the accounts whose services owe answers, and who learns
//! how long they take.

use super::awaited::Awaited;
use super::latency::{Metric, Part, Report, RequestOutcome, Tracked};
use super::parts::{self, OtherPart, Waiting};
use super::requester::{ClientInfo, Disclosure};
use super::responses::Pending;
use crate::account::Account;
use crate::peer::Peer;
use crate::random::Secrets;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

type Collector = Box<dyn Fn(Report) + Send + Sync>;
type ClusterName = Box<dyn Fn() -> Option<String> + Send + Sync>;
type ClusterNames = Box<dyn Fn() -> Vec<String> + Send + Sync>;

/// One of the two parts of a latency, which waits for the other.
#[derive(Debug)]
enum Half {
    /// That of this server.
    Own(Box<Metric>),
    /// That of the responder's.
    Other(OtherPart),
}

/// One a server.
#[derive(Default)]
pub struct ServiceRequests {
    /// The server's name, for services that may know.
    pub server: Box<str>,
    owing: Mutex<Vec<Arc<Account>>>,
    /// Accounts that await answers.
    awaiting: Mutex<Vec<Arc<Account>>>,
    collector: OnceLock<Collector>,
    cluster: OnceLock<ClusterName>,
    other_clusters: OnceLock<ClusterNames>,
    /// What the subjects of answers end with that other servers measure too.
    suffix: Box<[u8]>,
    halves: Mutex<Waiting<Half>>,
    /// When requests of other servers went to those who answer them here.
    measured: Mutex<Waiting<Instant>>,
}

impl ServiceRequests {
    /// For the server with this name.
    pub fn new(server: &str) -> Arc<Self> {
        Arc::new(Self { server: server.into(), suffix: parts::suffix(server), ..Self::default() })
    }

    /// Sets who knows the cluster's name. Set once.
    pub fn set_cluster(&self, name: impl Fn() -> Option<String> + Send + Sync + 'static) {
        let _ = self.cluster.set(Box::new(name));
    }

    /// The cluster's name, for services that may know; empty without a cluster.
    pub(crate) fn cluster(&self) -> String {
        self.cluster.get().and_then(|name| name()).unwrap_or_default()
    }

    /// Sets who knows the names of other clusters, the nearest first. Set once.
    pub fn set_other_clusters(&self, names: impl Fn() -> Vec<String> + Send + Sync + 'static) {
        let _ = self.other_clusters.set(Box::new(names));
    }

    /// The other clusters, for services that may know: the nearest first.
    pub(crate) fn other_clusters(&self) -> Vec<String> {
        self.other_clusters.get().map(|names| names()).unwrap_or_default()
    }

    /// What a service is shown of a peer.
    pub fn client_info(&self, peer: &Peer, disclosure: Disclosure) -> ClientInfo {
        ClientInfo::of(peer, disclosure, self)
    }

    /// Sets who gets the latencies of services; it must not block. Set once.
    pub fn set_collector(&self, collector: impl Fn(Report) + Send + Sync + 'static) {
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
        if let Some(metric) = tracked.metric(outcome, responder, now) {
            self.report(Report::Metric(Box::new(metric)));
        }
    }

    fn report(&self, report: Report) {
        if let Some(collector) = self.collector.get() {
            collector(report);
        }
    }

    /// Reports that a request was answered, by whom a relay leads to. The server there measured a part, which comes or has come.
    pub(crate) fn report_own_part(&self, tracked: &Tracked, subject: &[u8], relay: &Peer, now: Instant) {
        let responder = self.client_info(relay, Disclosure::All);
        let Some(mut metric) = tracked.metric(RequestOutcome::Answered, Some(responder), now) else { return };
        let account = metric.account.id;
        let mut halves = self.halves.lock();
        let ready = match halves.remove(account, subject) {
            Some(Half::Other(part)) => {
                metric.other = Some(part);
                Some(metric)
            }
            // Twice: the second answer tells nothing new.
            Some(Half::Own(metric)) => Some(*metric),
            None => match halves.insert(account, subject, Half::Own(Box::new(metric)), now) {
                Some(Half::Own(oldest)) => Some(*oldest),
                Some(Half::Other(_)) | None => None,
            },
        };
        drop(halves);
        if let Some(metric) = ready {
            self.report(Report::Metric(Box::new(metric)));
        }
    }

    /// Takes the part that the server of a responder measured, of a request to a service of `account`.
    pub fn take_part(&self, account: &Arc<Account>, subject: &[u8], part: OtherPart, now: Instant) {
        let mut halves = self.halves.lock();
        let ready = match halves.remove(account.id, subject) {
            Some(Half::Own(mut metric)) => {
                metric.other = Some(part);
                Some(metric)
            }
            Some(Half::Other(_)) => None,
            None => {
                // The answer is still on its way; of what is not awaited nothing is kept.
                let owed = account.responses(|responses| responses.owed_to(subject, now)).flatten();
                if owed.is_some_and(|pending| pending.tracked.is_some()) {
                    halves.insert(account.id, subject, Half::Other(part), now);
                }
                None
            }
        };
        drop(halves);
        if let Some(metric) = ready {
            self.report(Report::Metric(metric));
        }
    }

    /// A request of another server, which wants to know how long the answer takes, went to somebody here.
    pub(crate) fn begin_part(&self, account: &Account, reply: &[u8], now: Instant) {
        self.measured.lock().insert(account.id, reply, now, now);
    }

    /// An answer goes to another server, which may want to know how long it took.
    pub(crate) fn end_part(&self, account: &Arc<Account>, subject: &[u8], responder: &Peer, now: Instant) {
        let Some(wanted_by) = parts::wanted_by(subject) else { return };
        let Some(went) = self.measured.lock().remove(account.id, subject) else { return };
        self.report(Report::Part(Box::new(Part {
            account: account.clone(),
            subject: subject.into(),
            wanted_by: wanted_by.into(),
            responder: self.client_info(responder, Disclosure::All),
            went,
            took: now.saturating_duration_since(went),
        })));
    }

    /// Notes an answer that a service of `account` owes. The subject that leads back to who asked.
    /// `watched`: it may come from another server, which then measures its part of the latency.
    pub(crate) fn open(
        &self,
        account: &Arc<Account>,
        pending: Pending,
        watched: bool,
        secrets: &mut Secrets,
    ) -> Box<[u8]> {
        let suffix = if watched && pending.tracked.is_some() { &*self.suffix } else { b"" };
        let (subject, first) = account.open_response(pending, suffix, secrets);
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
        self.expire_parts(now);
    }

    /// What is known of a request is reported where the other part does not come.
    fn expire_parts(&self, now: Instant) {
        self.measured.lock().expire(now);
        let late = self.halves.lock().expire(now);
        for half in late {
            if let Half::Own(metric) = half {
                self.report(Report::Metric(metric));
            }
        }
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
        service_requests.set_collector(move |report| match report {
            Report::Metric(metric) => told.lock().push(metric.outcome.status()),
            Report::Part(_) => panic!("nothing is measured for another server"),
        });
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
            let subject = service_requests.open(&answers, pending, false, &mut secrets);
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

    fn relay(now: Instant) -> Arc<Peer> {
        struct Deaf;
        impl crate::inlet::Inlet for Deaf {
            fn take(&self, _: &crate::inlet::Batch, _: &mut dyn crate::inlet::Publish) {}

            fn account(&self) -> Option<Arc<Account>> {
                None
            }
        }
        let kind = crate::kind::Kind::ALL[2];
        let basics = crate::peer::Basics {
            id: crate::peer::ClientId(9),
            kind,
            slot: 0,
            pending_bytes_max: 1,
            start: now,
        };
        Peer::inside(basics, Arc::default(), Arc::new(Deaf))
    }

    /// The answer and the part of the responder's server come by two connections, in either order; what never comes holds nothing up.
    #[test]
    fn both_parts_of_a_latency_are_reported_as_one() {
        let (mut secrets, now) = (Draws::new([1; 32]).secrets, Instant::now());
        let service_requests = ServiceRequests::new("A");
        let reports: Arc<Mutex<Vec<bool>>> = Arc::default();
        let seen = reports.clone();
        service_requests.set_collector(move |report| match report {
            Report::Metric(metric) => seen.lock().push(metric.other.is_some()),
            Report::Part(_) => panic!("nothing is measured for another server"),
        });
        let (asks, answers) = (Account::new(AccountId(1), "asks"), Account::new(AccountId(2), "answers"));
        let latency = dialtone_config::sharing::Latency {
            subject: Literal::parse("l").expect("valid"),
            sampling: dialtone_config::sharing::Sampling::Percent(100),
        };
        let filter = Filter::parse("q").expect("valid");
        let export = Arc::new(ServiceExport { latency: Some(latency), ..ServiceExport::new(filter) });
        let tracked = Arc::new(Tracked {
            export: export.clone(),
            exporter: answers.clone(),
            requestor: ClientInfo::default(),
            headers: Default::default(),
            start: now,
        });
        let mut open = || {
            let pending = responses::Pending {
                requester: asks.clone(),
                reply: b"r".as_slice().into(),
                origin: asks.id,
                response: export.response,
                export: Some(export.clone()),
                tracked: Some(tracked.clone()),
                until: now + Duration::from_secs(60),
            };
            service_requests.open(&answers, pending, true, &mut secrets)
        };
        let part = OtherPart {
            responder: serde_json::Value::Null,
            rtt: Duration::ZERO,
            service: Duration::from_millis(1),
        };
        let (relay, subjects) = (relay(now), [open(), open(), open()]);
        assert!(subjects.iter().all(|subject| parts::wanted_by(subject) == Some(b"NUmM6cRx")));
        let other = |subject: &[u8]| service_requests.take_part(&answers, subject, part.clone(), now);
        let own = |subject: &[u8]| service_requests.report_own_part(&tracked, subject, &relay, now);
        own(&subjects[0]);
        assert_eq!(reports.lock().len(), 0, "the other part is still to come");
        other(&subjects[0]);
        other(&subjects[1]);
        own(&subjects[1]);
        assert_eq!(*reports.lock(), [true, true]);
        // Of what nobody asked nothing is kept.
        other(b"_R_.other.NUmM6cRx.T");
        own(&subjects[2]);
        service_requests.expire(now + Duration::from_secs(59));
        assert_eq!(reports.lock().len(), 2);
        service_requests.expire(now + super::super::THRESHOLD_DEFAULT);
        // The last one timed out too, since its request was never taken out.
        assert_eq!(reports.lock().iter().filter(|both| !**both).count(), 1 + 3);
    }
}
