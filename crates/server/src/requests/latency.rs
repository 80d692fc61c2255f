//! The parts of latencies that other servers measure, where a request from here was answered there.

use crate::internal::Message;
use crate::node::Executor;
use dialtone_broker::sharing::parts::OtherPart;
use dialtone_wire::gateway::reply;
use serde::Deserialize;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Bytes of what another server may send about a latency: a JWT is the largest part of it.
const PART_BYTES_MAX: usize = 64 * 1024;

/// What is read of what the responder's server sends.
#[derive(Deserialize)]
struct FromOther {
    account: String,
    req_id: String,
    m2: MeasuredElsewhere,
}

#[derive(Deserialize)]
struct MeasuredElsewhere {
    responder: Value,
    service: u64,
}

/// `$SYS.LATENCY.M2.<hash>`: another server says how long a service there took to answer a request from here.
pub(super) fn take_part(executor: &mut Executor, message: &Message) {
    if message.payload.len() > PART_BYTES_MAX {
        return;
    }
    let Ok(FromOther { account, req_id, m2 }) = serde_json::from_slice(&message.payload) else { return };
    let node = &executor.node;
    let Some(account) = node.accounts.find(&account) else { return };
    let rtt = m2.responder.get("rtt").and_then(Value::as_u64).unwrap_or_default();
    let part = OtherPart {
        responder: m2.responder,
        rtt: Duration::from_nanos(rtt),
        service: Duration::from_nanos(m2.service),
    };
    // An official server names the answer as it was asked for it: across gateways with what leads back here.
    let subject = reply::unwrap(req_id.as_bytes()).map_or(req_id.as_bytes(), |answer| answer.subject);
    node.delivery.service_requests.take_part(&account, subject, part, Instant::now());
}
