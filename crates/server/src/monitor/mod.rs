//! Monitoring: what the server is doing, by HTTP. The shapes are the official server's.
//!
//! [`ENDPOINTS`] is the table of paths. Each part is a function from typed [`options`] to a value; options are read
//! from a query here, and from the body of a system request in `requests`: both get the same answers.

pub(crate) mod accounts;
#[cfg(test)]
mod checklist;
mod cluster;
mod connected;
mod connection;
pub(crate) mod connections;
pub(crate) mod gateways;
pub(crate) mod general;
pub(crate) mod health;
mod http;
pub(crate) mod jetstream;
mod json_syntax;
pub(crate) mod leafs;
mod lenient;
mod metrics;
mod mqtt;
pub(crate) mod options;
mod query;
pub(crate) mod routes;
mod secured;
mod sharing;
mod slow;
pub(crate) mod source;
pub(crate) mod subscriptions;
pub(crate) mod varz;
mod websocket;

use crate::node::Node;
pub(crate) use http::start;
use options::{
    AccountStatzOptions, AccountzOptions, ConnzOptions, GatewayzOptions, HealthzOptions, IpqueueszOptions,
    JszOptions, LeafzOptions, RoutezOptions, SubszOptions,
};
use query::Query;
use serde_json::Value;
use source::{Bad, Source as _};
use std::sync::Arc;
use std::time::Instant;

/// An answer.
pub(crate) struct Answer {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

impl Answer {
    fn json(value: &impl serde::Serialize) -> Self {
        // Maps with text keys and plain values have no way to fail.
        let body = serde_json::to_vec_pretty(value).unwrap_or_default();
        Self { status: 200, content_type: JSON, body }
    }

    fn text(status: u16, text: impl Into<String>) -> Self {
        Self { status, content_type: TEXT, body: text.into().into_bytes() }
    }

    fn nothing_there() -> Self {
        Self::text(404, "404 page not found\n")
    }
}

type Handler = fn(&Arc<Node>, &Query) -> Result<Answer, Bad>;

/// A path of the monitoring port.
pub(crate) struct Endpoint {
    path: &'static str,
    /// Its name on the first page; empty: it is not there.
    title: &'static str,
    counted: Counted,
    handler: Handler,
}

/// When a request counts in `http_req_stats`, as with the official server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    Always,
    /// Only if its options can be understood: the handler counts it.
    Understood,
    Never,
}

use Counted::{Always, Never, Understood};

const fn at(path: &'static str, title: &'static str, counted: Counted, handler: Handler) -> Endpoint {
    Endpoint { path, title, counted, handler }
}

/// Every path.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    at("/", "", Always, |_, _| Ok(front_page())),
    at("/varz", "General", Always, |s, _| found(varz::varz(s))),
    at("/jsz", "JetStream", Always, |s, q| {
        found(jetstream::jsz(s, &JszOptions::read(q)?).map_err(|why| Bad(why.into()))?)
    }),
    at("/connz", "Connections", Understood, connz),
    at("/slowz", "Slow Connections", Never, |s, q| found(slow::slowz(s, q.window(slow::LIMIT_DEFAULT)?))),
    at("/accountz", "Accounts", Always, accountz),
    at("/accstatz", "Account Stats", Always, |s, q| {
        found(accounts::accstatz(s, &AccountStatzOptions::read(q)?).0)
    }),
    at("/subsz", "Subscriptions", Always, subsz),
    at("/subscriptionsz", "", Always, subsz),
    at("/routez", "Routes", Understood, routez),
    at("/leafz", "LeafNodes", Always, |s, q| found(LeafzOptions::read(q).map(|o| leafs::leafz(s, &o))?)),
    at("/gatewayz", "Gateways", Always, |s, q| {
        found(GatewayzOptions::read(q).map(|options| gateways::gatewayz(s, &options))?)
    }),
    at("/raftz", "Raft Groups", Never, |_, _| Ok(Answer::text(404, "No Raft nodes registered"))),
    at("/ipqueuesz", "", Never, |s, q| found(general::ipqueuesz(s, &IpqueueszOptions::read(q)?, 0))),
    at("/stacksz", "", Never, |_, _| Ok(Answer::text(200, general::STACKS))),
    at("/healthz", "Health Probe", Always, healthz),
    at("/metrics", "Prometheus Metrics", Never, metrics),
    at("/debug/vars", "Expvar", Never, |s, _| found(general::expvarz(s))),
    at("/expvarz", "", Never, |s, _| found(general::expvarz(s))),
];

/// Whether the answer for a path is made at once: it is small, and asked for by what watches the server.
fn is_quick(path: &str) -> bool {
    matches!(path, "" | "/" | "/healthz") || ENDPOINTS.iter().all(|endpoint| endpoint.path != path)
}

/// A path that is counted as another.
const COUNTED_AS: (&str, &str) = ("/subscriptionsz", "/subsz");

fn found(value: Value) -> Result<Answer, Bad> {
    Ok(Answer::json(&value))
}

fn connz(node: &Arc<Node>, query: &Query) -> Result<Answer, Bad> {
    let options = ConnzOptions::read(query)?;
    node.monitoring.count_request("/connz");
    found(connections::connz(node, &options).map_err(Bad)?)
}

fn routez(node: &Arc<Node>, query: &Query) -> Result<Answer, Bad> {
    let options = RoutezOptions::read(query)?;
    node.monitoring.count_request("/routez");
    found(routes::routez(node, &options))
}

fn subsz(node: &Arc<Node>, query: &Query) -> Result<Answer, Bad> {
    found(subscriptions::subsz(node, &SubszOptions::read(query)?).map_err(Bad)?)
}

fn accountz(node: &Arc<Node>, query: &Query) -> Result<Answer, Bad> {
    found(accounts::accountz(node, &AccountzOptions::read(query)?.account).map_err(Bad)?)
}

fn healthz(node: &Arc<Node>, query: &Query) -> Result<Answer, Bad> {
    let health = health::healthz(node, &HealthzOptions::read(query)?, Instant::now());
    Ok(Answer { status: health.code, content_type: JSON, body: health.value().to_string().into_bytes() })
}

fn metrics(node: &Arc<Node>, _: &Query) -> Result<Answer, Bad> {
    let body = metrics::metrics(node).into_bytes();
    Ok(Answer { status: 200, content_type: "text/plain; version=0.0.4; charset=utf-8", body })
}

/// Answers a request for `path`, the base path taken off.
pub(crate) fn answer(node: &Arc<Node>, path: &str, query: &Query) -> Answer {
    let path = if path.is_empty() { "/" } else { path };
    let Some(endpoint) = ENDPOINTS.iter().find(|e| e.path == path) else { return Answer::nothing_there() };
    if endpoint.counted == Always {
        let (path, as_path) = COUNTED_AS;
        node.monitoring.count_request(if endpoint.path == path { as_path } else { endpoint.path });
    }
    (endpoint.handler)(node, query).unwrap_or_else(|Bad(why)| Answer::text(400, why))
}

fn front_page() -> Answer {
    let links: String = ENDPOINTS
        .iter()
        .filter(|e| !e.title.is_empty())
        .map(|e| format!("\t\t<a href=.{}>{}</a>\n", e.path, e.title))
        .collect();
    let body = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n\t<head><title>dialtone</title>\n\t<style>body {{ font-family: sans-serif; \
         margin: 32px }} a {{ display: block; padding-bottom: 6px }}</style></head>\n\t<body>\n\t\t<h1>dialtone</h1>\n\
         {links}\t</body>\n</html>\n"
    );
    Answer { status: 200, content_type: HTML, body: body.into_bytes() }
}
