//! Reports how long services take: one metric a request, collected outside of loops.

use super::ServiceExport;
use super::parts::OtherPart;
use super::requester::ClientInfo;
use super::sampling::Headers;
use crate::account::Account;
use dialtone_subject::Literal;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a tracked request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// It was answered.
    Answered,
    /// It wanted no answer.
    BadRequest,
    /// Who asked is gone, or takes no answer any more.
    InterestLost,
    /// Nobody was there.
    Unavailable,
    /// Nobody answered in time.
    TimedOut,
}

impl RequestOutcome {
    /// The status, as in HTTP.
    pub fn status(self) -> u16 {
        match self {
            Self::Answered => 200,
            Self::BadRequest => 400,
            Self::InterestLost => 408,
            Self::Unavailable => 503,
            Self::TimedOut => 504,
        }
    }

    /// What went wrong; empty if nothing did.
    pub fn description(self) -> &'static str {
        match self {
            Self::Answered => "",
            Self::BadRequest => "Bad Request",
            Self::InterestLost => "Request Timeout",
            Self::Unavailable => "Service Unavailable",
            Self::TimedOut => "Service Timeout",
        }
    }
}

/// A request whose latency is reported.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub export: Arc<ServiceExport>,
    pub exporter: Arc<Account>,
    /// Who asked.
    pub requestor: ClientInfo,
    /// The headers that asked for it.
    pub headers: Headers,
    pub start: Instant,
}

/// What is reported of one request.
#[derive(Clone, Debug)]
pub struct Metric {
    /// The account of the service, in which it is published.
    pub account: Arc<Account>,
    /// The subject that it is published on.
    pub subject: Literal,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// Who asked.
    pub requestor: ClientInfo,
    /// Who answered, as far as this server knows: behind a route, the route.
    pub responder: Option<ClientInfo>,
    /// What the responder's server says, if that is another one.
    pub other: Option<OtherPart>,
    /// The headers that asked for it.
    pub headers: Headers,
    /// When the request came to the server.
    pub came: Instant,
    /// From then to the answer; zero without one.
    pub took: Duration,
}

/// The part of a latency that this server measured for another one.
#[derive(Clone, Debug)]
pub struct Part {
    /// The account of the service.
    pub account: Arc<Account>,
    /// The subject of the answer.
    pub subject: Box<[u8]>,
    /// The hash of the server that wants to know.
    pub wanted_by: Box<[u8]>,
    /// Who answered.
    pub responder: ClientInfo,
    /// When the request went to it.
    pub went: Instant,
    /// From then to the answer.
    pub took: Duration,
}

/// What is to be published.
#[derive(Clone, Debug)]
pub enum Report {
    /// How long a request took.
    Metric(Box<Metric>),
    /// How long one of another server took.
    Part(Box<Part>),
}

impl Tracked {
    /// What is reported when it ended. `None`: the latency is reported nowhere.
    pub fn metric(
        &self,
        outcome: RequestOutcome,
        responder: Option<ClientInfo>,
        now: Instant,
    ) -> Option<Metric> {
        let took =
            if responder.is_some() { now.saturating_duration_since(self.start) } else { Duration::ZERO };
        Some(Metric {
            account: self.exporter.clone(),
            subject: self.export.latency.as_ref()?.subject.clone(),
            outcome,
            requestor: self.requestor.clone(),
            responder,
            other: None,
            headers: self.headers.clone(),
            came: self.start,
            took,
        })
    }
}
