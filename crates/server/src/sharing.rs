//! What sharing between accounts needs of the control thread: answers that do not come in time are forgotten, and the
//! latency of services is published.

use crate::documents::{EventHead, nanos};
use crate::internal::Outgoing;
use crate::node::Node;
use crate::times::stamp;
use dialtone_broker::sharing::latency::Metric;
use dialtone_broker::sharing::requester::ClientInfo;
use serde::Serialize;
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
    node.delivery.service_requests.set_collector(move |metric| {
        let Some(node) = weak.upgrade() else { return };
        let now = SystemTime::now();
        let (account, bytes) = (metric.account.clone(), METRIC_BYTES);
        node.internal.report(&account, bytes, move |executor| {
            let message = Outgoing::new(&*metric.subject, latency(&metric, now));
            executor.publish(&metric.account, &message);
        });
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
    responder: Option<&'a ClientInfo>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    header: BTreeMap<&'a str, &'a [String]>,
    start: String,
    service: u64,
    system: u64,
    total: u64,
}

fn latency(metric: &Metric, now: SystemTime) -> Vec<u8> {
    let answering = metric.responder.as_ref().map(ClientInfo::rtt).unwrap_or_default();
    let asking = metric.requestor.rtt();
    let came = now.checked_sub(Instant::now().saturating_duration_since(metric.came)).unwrap_or(now);
    let answered = metric.responder.is_some();
    let message = Latency {
        head: EventHead::new(LATENCY_TYPE, now),
        status: metric.outcome.status(),
        description: metric.outcome.description(),
        requestor: &metric.requestor,
        responder: metric.responder.as_ref(),
        header: metric.headers.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect(),
        start: stamp(came.checked_sub(asking).unwrap_or(came)),
        service: nanos(metric.took.saturating_sub(answering)),
        system: 0,
        total: if answered { nanos(asking + metric.took) } else { 0 },
    };
    serde_json::to_vec(&message).unwrap_or_default()
}
