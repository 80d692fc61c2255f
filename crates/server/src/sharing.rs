//! What sharing between accounts needs of the control thread: answers that do not come in time are forgotten, and the
//! latency of services is published.

use crate::documents::{EventHead, nanos};
use crate::internal::Outgoing;
use crate::node::Node;
use crate::times::stamp;
use dialtone_broker::sharing::latency::{Metric, Part, Report, RequestOutcome};
use dialtone_broker::sharing::requester::ClientInfo;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How often it is looked for answers that are late.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(100);
/// What a metric takes while it waits, about.
const METRIC_BYTES: usize = 2048;
/// The type of a latency metric.
const LATENCY_TYPE: &str = "io.nats.server.metric.v1.service_latency";

/// Begins to look after answers that services owe, and to tell their latency.
pub(crate) fn start(node: &Arc<Node>) {
    node.internal.run(|executor| {
        executor.repeat(EXPIRY_INTERVAL, |executor| {
            executor.node.delivery.service_requests.expire(executor.now());
            Some(EXPIRY_INTERVAL)
        });
    });
    // Weak: the server's state holds the requests.
    let weak = Arc::downgrade(node);
    node.delivery.service_requests.set_cluster(move || weak.upgrade()?.cluster_name());
    let gateways = node.delivery.gateways.clone();
    node.delivery.service_requests.set_other_clusters(move || gateways.by_distance());
    let weak = Arc::downgrade(node);
    node.delivery.service_requests.set_collector(move |report| {
        let Some(node) = weak.upgrade() else { return };
        let now = SystemTime::now();
        match report {
            Report::Metric(metric) => {
                let account = metric.account.clone();
                node.internal.report(&account, METRIC_BYTES, move |executor| {
                    let message = Outgoing::new(&*metric.subject, latency(&metric, now));
                    executor.publish(&metric.account, &message);
                });
            }
            Report::Part(part) => {
                let Some(system) = node.accounts.system() else { return };
                let account = part.account.clone();
                node.internal.report(&account, METRIC_BYTES, move |executor| {
                    let hash = String::from_utf8_lossy(&part.wanted_by);
                    let message = Outgoing::new(format!("$SYS.LATENCY.M2.{hash}"), for_other(&part, now));
                    executor.publish(&system, &message);
                });
            }
        }
    });
}

/// A latency metric, in the official fields and their order. Times are in nanoseconds.
#[derive(Serialize)]
struct Latency<'a> {
    #[serde(flatten)]
    head: EventHead,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    requestor: &'a ClientInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    responder: Option<Responder<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    header: BTreeMap<&'a str, &'a [String]>,
    start: String,
    service: u64,
    system: u64,
    total: u64,
}

/// Who answered.
#[derive(Serialize)]
#[serde(untagged)]
enum Responder<'a> {
    Here(&'a ClientInfo),
    /// As its own server has it.
    Elsewhere(&'a Value),
}

fn latency(metric: &Metric, now: SystemTime) -> Vec<u8> {
    let answering = metric.responder.as_ref().map(ClientInfo::rtt).unwrap_or_default();
    let asking = metric.requestor.rtt();
    let until_answered = metric.took.saturating_sub(answering);
    // What another server measured is part of what this one did; the rest is the network's.
    let (service, system) = match &metric.other {
        Some(other) => (other.service, until_answered.saturating_sub(other.service + other.rtt)),
        None => (until_answered, Duration::ZERO),
    };
    let here = metric.responder.as_ref().map(Responder::Here);
    let responder = metric.other.as_ref().map(|other| Responder::Elsewhere(&other.responder)).or(here);
    let answered = responder.is_some();
    let came = at(metric.came, now);
    let message = Latency {
        head: EventHead::new(LATENCY_TYPE, now),
        status: metric.outcome.status(),
        description: metric.outcome.description(),
        requestor: &metric.requestor,
        responder,
        header: metric.headers.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect(),
        start: stamp(came.checked_sub(asking).unwrap_or(came)),
        service: nanos(service),
        system: nanos(system),
        total: if answered { nanos(asking + metric.took) } else { 0 },
    };
    serde_json::to_vec(&message).unwrap_or_default()
}

/// When an instant was, by the wall clock.
fn at(instant: Instant, now: SystemTime) -> SystemTime {
    now.checked_sub(Instant::now().saturating_duration_since(instant)).unwrap_or(now)
}

/// What the requester's server is sent of a request that was answered here.
#[derive(Serialize)]
struct ForOther<'a> {
    account: &'a str,
    req_id: String,
    m2: Measured<'a>,
}

#[derive(Serialize)]
struct Measured<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'static str,
    timestamp: &'static str,
    status: u16,
    responder: &'a ClientInfo,
    start: String,
    service: u64,
    system: u64,
    total: u64,
}

fn for_other(part: &Part, now: SystemTime) -> Vec<u8> {
    let message = ForOther {
        account: &part.account.name,
        req_id: String::from_utf8_lossy(&part.subject).into_owned(),
        m2: Measured {
            kind: "",
            id: "",
            timestamp: "0001-01-01T00:00:00Z",
            status: RequestOutcome::Answered.status(),
            responder: &part.responder,
            start: stamp(at(part.went, now)),
            service: nanos(part.took.saturating_sub(part.responder.rtt())),
            system: 0,
            total: nanos(part.took),
        },
    };
    serde_json::to_vec(&message).unwrap_or_default()
}
