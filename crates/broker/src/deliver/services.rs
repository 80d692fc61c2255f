//! Requests that go to services of other accounts, and the answers that come back.

use super::{Origin, Turn};
use crate::account::Account;
use crate::kind::{Entry, Via};
use crate::route::{Route, ServiceHop};
use crate::sharing::awaited::Awaited;
use crate::sharing::latency::{RequestOutcome, Tracked};
use crate::sharing::parts;
use crate::sharing::requester::{ClientInfo, Disclosure, HEADER};
use crate::sharing::responses::{PREFIX, Pending};
use crate::sharing::{Mapped, ServiceExport, THRESHOLD_DEFAULT, sampling};
use crate::trace::DISABLED;
use dialtone_config::sharing::ResponseType;
use dialtone_wire::header;
use dialtone_wire::message::Message;
use std::borrow::Cow;
use std::sync::Arc;

/// Services that one message may ask, over all accounts: imports can fork at each account that a request passes.
pub(crate) const HOPS_MAX: u32 = 4096;
/// Accounts that one message may pass.
const ACCOUNTS_MAX: usize = 64;
/// Acknowledgements of JetStream go back by their own subject.
const ACK_PREFIX: &[u8] = b"$JS.ACK.";

/// Whether a request that passed these services may go on to this one: it never comes to one twice, nor too far.
pub(crate) fn may_ask<'a>(
    passed: impl Iterator<Item = &'a Arc<ServiceExport>> + Clone,
    export: &Arc<ServiceExport>,
) -> bool {
    passed.clone().all(|before| !Arc::ptr_eq(before, export)) && passed.count() < ACCOUNTS_MAX
}

/// The path of a message between accounts.
#[derive(Clone, Copy)]
struct RequestPath<'a> {
    /// Who published it.
    origin: &'a Origin<'a>,
    /// The last service that was asked.
    last: Option<&'a PassedService<'a>>,
}

/// A service that was asked on the path, or that answered.
struct PassedService<'a> {
    export: &'a Arc<ServiceExport>,
    before: Option<&'a PassedService<'a>>,
    /// What was disclosed to it of the requester.
    info: Option<ClientInfo>,
    /// Whether it may know who asks.
    share: bool,
}

impl<'a> RequestPath<'a> {
    fn passed(self) -> impl Iterator<Item = &'a PassedService<'a>> + Clone {
        std::iter::successors(self.last, |step| step.before)
    }

    /// Whether a request may go on to a service.
    fn may_go_to(self, export: &Arc<ServiceExport>) -> bool {
        may_ask(self.passed().map(|step| step.export), export)
    }
}

impl Turn {
    /// Asks the services of a route. How many got the message.
    #[cold]
    pub(super) fn ask_services(
        &mut self,
        route: &Route,
        origin: &Origin<'_>,
        message: &Message<'_>,
    ) -> usize {
        self.hops_left = HOPS_MAX;
        self.ask_all(route, origin.account, RequestPath { origin, last: None }, message)
    }

    /// Delivers a message whose subject may be that of an answer.
    #[cold]
    pub(super) fn publish_answer(&mut self, origin: &Origin<'_>, message: &Message<'_>) -> usize {
        self.hops_left = HOPS_MAX;
        let path = RequestPath { origin, last: None };
        if parts::is_measured(message.subject) && !origin.peer.kind().is_relay() {
            self.service_requests.end_part(origin.account, message.subject, origin.peer, self.now);
        }
        let delivered = self.pass(origin.account, Via::Publish, path, message);
        self.write_if_full();
        delivered
    }

    /// Delivers a message that came into `account`, to subscriptions and on to services.
    fn pass(
        &mut self,
        account: &Arc<Account>,
        via: Via,
        path: RequestPath<'_>,
        message: &Message<'_>,
    ) -> usize {
        let answered =
            if message.subject.starts_with(PREFIX) { self.answer(account, path, message) } else { 0 };
        let route = self.routes.route(account, message.subject, path.origin.entry(via));
        let passes_by = route.is_empty() && self.trace.is_none();
        let stored = self.inside.stored_parts(message);
        let delivered = match stored {
            _ if passes_by => 0,
            Some(parts) => self.deliver_stored(account, &route, path.origin, message, parts),
            None => self.deliver(account, &route, path.origin, message),
        };
        answered + delivered + self.ask_all(&route, account, path, message)
    }

    fn ask_all(
        &mut self,
        route: &Route,
        account: &Arc<Account>,
        path: RequestPath<'_>,
        message: &Message<'_>,
    ) -> usize {
        let mut delivered = 0;
        for hop in &route.services {
            if self.hops_left == 0 {
                break;
            }
            self.hops_left -= 1;
            if path.may_go_to(&hop.import.export) {
                delivered += self.ask(hop, account, path, message);
            }
        }
        delivered
    }

    /// Asks one service.
    fn ask(
        &mut self,
        hop: &ServiceHop,
        account: &Arc<Account>,
        path: RequestPath<'_>,
        message: &Message<'_>,
    ) -> usize {
        let import = &hop.import;
        let exporter = &import.exporter;
        let mut mapped = Vec::new();
        let subject = match self.map_in(exporter, &hop.subject, &mut mapped) {
            Mapped::Unchanged => &*hop.subject,
            Mapped::To => &mapped,
            Mapped::Lost => return 0,
        };
        let info = self.info(hop, account, path);
        let mut framed = Vec::with_capacity(message.framed.len() + 128);
        header::replace(&mut framed, message.headers(), HEADER, &info.json());
        let traces = import.export.allow_trace;
        if let Some(destination) = self.destination_in_service(hop, account, path, message) {
            framed = self.trace_service(exporter, message.subject, subject, &destination, framed);
        }
        let only = self.is_trace_alone();
        let header_bytes = framed.len();
        let body = message.framed_payload();
        framed.extend_from_slice(body);

        let tracked = if only { None } else { self.track(hop, path, message) };
        if message.reply.is_none()
            && let Some(tracked) = &tracked
        {
            self.service_requests.report_latency(tracked, RequestOutcome::BadRequest, None, self.now);
        }
        let opened = message.reply.filter(|reply| !reply.starts_with(ACK_PREFIX) && !only).map(|reply| {
            let pending = Pending {
                requester: account.clone(),
                reply: reply.into(),
                origin: path.origin.account.id,
                response: import.export.response,
                export: Some(import.export.clone()),
                tracked: tracked.clone(),
                until: self.now + import.export.threshold,
            };
            self.open_response(exporter, pending)
        });
        if let (Some(subject), Some(tracked), Some(reply)) = (&opened, &tracked, message.reply)
            && !reply.starts_with(PREFIX)
        {
            let service_requests = self.service_requests.clone();
            let awaited = Awaited { service_requests, subject: subject.clone(), tracked: tracked.clone() };
            self.service_requests.await_answer(account, reply, awaited);
        }
        let request =
            Message { subject, reply: opened.as_deref().or(message.reply), header_bytes, framed: &framed };
        let share = path.last.map_or(import.share, |step| step.share || import.share);
        let step = PassedService { export: &import.export, before: path.last, info: Some(info), share };
        let suspended = self.suspend_trace(traces);
        let delivered = match only && suspended.is_some() {
            // It is not delivered, and nothing more is reported of it.
            true => 1,
            false => self.pass(
                exporter,
                Via::Service,
                RequestPath { origin: path.origin, last: Some(&step) },
                &request,
            ),
        };
        self.resume_trace(suspended);
        if delivered == 0
            && let Some(subject) = opened
        {
            exporter.responses(|responses| responses.close(&subject));
            if let Some(tracked) = &tracked {
                account.forget_awaited(message.reply.unwrap_or_default(), &subject);
                self.service_requests.report_latency(tracked, RequestOutcome::Unavailable, None, self.now);
            }
        }
        delivered
    }

    /// Where the trace of a request, if there is one, goes in the account of the service that it asks.
    fn destination_in_service(
        &mut self,
        hop: &ServiceHop,
        account: &Arc<Account>,
        path: RequestPath<'_>,
        message: &Message<'_>,
    ) -> Option<Box<[u8]>> {
        let reply = self.trace_destination(message, path.last.is_some())?;
        let export = &hop.import.export;
        if !export.allow_trace {
            return Some(DISABLED.into());
        }
        let pending = Pending {
            requester: account.clone(),
            reply,
            origin: path.origin.account.id,
            // Each server that the request passes publishes one.
            response: ResponseType::Stream,
            export: Some(export.clone()),
            tracked: None,
            until: self.now + export.threshold,
        };
        Some(self.hidden_destination(&hop.import.exporter, pending))
    }

    /// Notes an answer that an account owes, and has other servers send such answers here.
    pub(super) fn open_response(&mut self, account: &Arc<Account>, pending: Pending) -> Box<[u8]> {
        let watched = self.neighbours.gate.is_watched();
        let subject = self.service_requests.open(account, pending, watched, &mut self.draws.secrets);
        if watched && let Some(filter) = account.answers_to_announce() {
            self.gate().announce(account, &filter, Some(self));
        }
        subject
    }

    /// What is noted of a request whose latency is reported.
    fn track(
        &mut self,
        hop: &ServiceHop,
        path: RequestPath<'_>,
        message: &Message<'_>,
    ) -> Option<Arc<Tracked>> {
        let import = &hop.import;
        let latency = import.export.latency.as_ref()?;
        let headers = sampling::sampled(latency.sampling, message.headers(), &mut self.draws.choices)?;
        let disclosure = if import.share { Disclosure::All } else { Disclosure::Minimal };
        let requestor = self.service_requests.client_info(path.origin.peer, disclosure);
        let (export, exporter) = (import.export.clone(), import.exporter.clone());
        Some(Arc::new(Tracked { export, exporter, requestor, headers, start: self.now }))
    }

    /// What a service is shown of the requester.
    fn info(&self, hop: &ServiceHop, account: &Account, path: RequestPath<'_>) -> ClientInfo {
        let import = &hop.import;
        let disclosure = if import.share { Disclosure::All } else { Disclosure::Minimal };
        let known = path.last.and_then(|step| Some((step.info.clone()?, step.share)));
        let (info, shared) = match known {
            Some((info, share)) => (info.through(&account.name), share),
            None => {
                let info = self.service_requests.client_info(path.origin.peer, disclosure);
                (info.within(&path.origin.account.name), import.share)
            }
        };
        if !shared && (import.share || import.includes_server) {
            info.with_server(&self.service_requests)
        } else {
            info
        }
    }

    /// An answer of a service goes back to who asked. How many got it.
    fn answer(&mut self, account: &Arc<Account>, path: RequestPath<'_>, message: &Message<'_>) -> usize {
        if self.hops_left == 0 {
            return 0;
        }
        self.hops_left -= 1;
        if self.is_trace_alone() {
            return self.trace_answer(account, message.subject);
        }
        let ends = message.body_bytes() == 0;
        let now = self.now;
        let found = account.responses(|responses| responses.answer(message.subject, ends, now)).flatten();
        let Some((pending, closed)) = found else { return 0 };
        let requester = &pending.requester;
        if let Some(tracked) = &pending.tracked {
            requester.forget_awaited(&pending.reply, message.subject);
            self.report_answer(tracked, path, message.subject);
        }
        let mut mapped = Vec::new();
        let subject = match self.map_in(requester, &pending.reply, &mut mapped) {
            Mapped::Unchanged => &*pending.reply,
            Mapped::To => &mapped,
            Mapped::Lost => return 0,
        };
        // An answer may itself ask for one.
        let opened = message.reply.filter(|reply| !reply.starts_with(ACK_PREFIX)).map(|reply| {
            let threshold = pending.export.as_ref().map_or(THRESHOLD_DEFAULT, |export| export.threshold);
            let owed = Pending {
                requester: account.clone(),
                reply: reply.into(),
                origin: account.id,
                until: now + threshold,
                ..pending.clone()
            };
            self.open_response(requester, owed)
        });
        let body = message.framed_payload();
        let traced = self.trace.is_some().then(|| {
            let mut framed =
                self.trace_service(requester, message.subject, subject, DISABLED, message.headers().to_vec());
            let header_bytes = framed.len();
            framed.extend_from_slice(body);
            (framed, header_bytes)
        });
        let back = Message { subject, reply: opened.as_deref().or(message.reply), ..*message };
        let back = match &traced {
            Some((framed, header_bytes)) => Message { header_bytes: *header_bytes, framed, ..back },
            None => back,
        };
        // An answer does not go to the service that it comes from.
        let step = pending.export.as_ref().map(|export| PassedService {
            export,
            before: path.last,
            info: None,
            share: false,
        });
        let path = RequestPath { last: step.as_ref().or(path.last), ..path };
        let suspended = self.suspend_trace(false);
        let delivered = self.pass(requester, Via::Service, path, &back);
        self.resume_trace(suspended);
        if delivered == 0 {
            if !closed {
                account.responses(|responses| responses.close(message.subject));
            }
            if let Some(subject) = opened {
                requester.responses(|responses| responses.close(&subject));
            }
        }
        delivered
    }

    fn report_answer(&self, tracked: &Tracked, path: RequestPath<'_>, subject: &[u8]) {
        let responder = path.origin.peer;
        // Only where it came in with this subject was it measured.
        if responder.kind().is_relay() && path.last.is_none() && parts::is_measured(subject) {
            return self.service_requests.report_own_part(tracked, subject, responder, self.now);
        }
        let responder = self.service_requests.client_info(responder, Disclosure::All);
        self.service_requests.report_latency(tracked, RequestOutcome::Answered, Some(responder), self.now);
    }

    /// Notes where an answer would go that is only traced: the one that is owed is still to come.
    fn trace_answer(&mut self, account: &Account, from: &[u8]) -> usize {
        let now = self.now;
        let found = account.responses(|responses| responses.owed_to(from, now)).flatten();
        let Some(pending) = found else { return 0 };
        let mut mapped = Vec::new();
        let to = match self.map_in(&pending.requester, &pending.reply, &mut mapped) {
            Mapped::Unchanged => &*pending.reply,
            Mapped::To => &mapped,
            Mapped::Lost => return 0,
        };
        self.trace_service(&pending.requester, from, to, DISABLED, Vec::new());
        1
    }

    /// Whether anybody would get an answer that the server publishes to `reply` in `account` now: a subscription there, or where
    /// the request came from.
    pub fn is_awaited(&mut self, account: &Arc<Account>, reply: &[u8]) -> bool {
        let now = self.now;
        let (mut account, mut reply) = (account.clone(), Cow::Borrowed(reply));
        // A request may have passed several accounts.
        for _ in 0..ACCOUNTS_MAX {
            if !reply.starts_with(PREFIX) {
                break;
            }
            let owed = account.responses(|responses| responses.owed_to(&reply, now)).flatten();
            let Some(pending) = owed else { break };
            account = pending.requester;
            let mut mapped = Vec::new();
            reply = match self.map_in(&account, &pending.reply, &mut mapped) {
                Mapped::Unchanged => Cow::Owned(pending.reply.into()),
                Mapped::To => Cow::Owned(mapped),
                Mapped::Lost => return false,
            };
        }
        !self.routes.route(&account, &reply, Entry::OF_SERVER).is_empty()
    }

    fn map_in(&mut self, account: &Account, subject: &[u8], out: &mut Vec<u8>) -> Mapped {
        if account.maps() { self.map(account, subject, out) } else { Mapped::Unchanged }
    }
}
