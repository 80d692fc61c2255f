//! Monitoring: what the server is doing, by HTTP. The shapes are the official server's.
//!
//! [`ENDPOINTS`] is the table of paths. Each part is a function from typed [`options`] to a value; options are read
//! from a query here, and from the body of a system request in `system::requests`: both get the same answers.

pub(crate) mod accounts;
pub(crate) mod connections;
pub(crate) mod general;
pub(crate) mod health;
mod http;
mod json_syntax;
mod metrics;
pub(crate) mod options;
mod query;
mod sharing;
mod slow;
pub(crate) mod source;
pub(crate) mod subscriptions;
pub(crate) mod times;

use crate::shared::Shared;
pub(crate) use http::start;
use options::{
    AccountStatzOptions, AccountzOptions, ConnzOptions, GatewayzOptions, HealthzOptions, IpqueueszOptions,
    JszOptions, LeafzOptions, RoutezOptions, SubszOptions,
};
use query::Query;
use serde_json::{Value, json};
use source::{Bad, Source as _};
use std::sync::Arc;
pub(crate) use times::stamp;

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
}

type Handler = fn(&Arc<Shared>, &Query) -> Result<Answer, Bad>;

/// A path of the monitoring port.
pub(crate) struct Endpoint {
    path: &'static str,
    /// Its name on the first page; empty: it is not there.
    title: &'static str,
    handler: Handler,
}

/// Every path.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint { path: "/varz", title: "General", handler: |s, _| found(general::varz(s)) },
    Endpoint {
        path: "/jsz",
        title: "JetStream",
        handler: |s, q| found(JszOptions::read(q).map(|_| general::jsz(s))?),
    },
    Endpoint { path: "/connz", title: "Connections", handler: connz },
    Endpoint {
        path: "/slowz",
        title: "Slow Connections",
        handler: |s, q| found(slow::slowz(s, q.window(slow::LIMIT_DEFAULT)?)),
    },
    Endpoint { path: "/accountz", title: "Accounts", handler: accountz },
    Endpoint {
        path: "/accstatz",
        title: "Account Stats",
        handler: |s, q| found(accounts::accstatz(s, &AccountStatzOptions::read(q)?).0),
    },
    Endpoint { path: "/subsz", title: "Subscriptions", handler: subsz },
    Endpoint { path: "/subscriptionsz", title: "", handler: subsz },
    Endpoint {
        path: "/routez",
        title: "Routes",
        handler: |s, q| found(RoutezOptions::read(q).map(|_| general::routez(s))?),
    },
    Endpoint {
        path: "/leafz",
        title: "LeafNodes",
        handler: |s, q| found(LeafzOptions::read(q).map(|_| general::leafz(s))?),
    },
    Endpoint {
        path: "/gatewayz",
        title: "Gateways",
        handler: |s, q| found(GatewayzOptions::read(q).map(|_| general::gatewayz(s))?),
    },
    Endpoint {
        path: "/raftz",
        title: "Raft Groups",
        handler: |_, _| Ok(Answer::text(404, "No Raft nodes registered")),
    },
    Endpoint {
        path: "/ipqueuesz",
        title: "",
        handler: |_, q| found(IpqueueszOptions::read(q).map(|_| json!({}))?),
    },
    Endpoint { path: "/stacksz", title: "", handler: |_, _| Ok(Answer::text(200, general::STACKS)) },
    Endpoint { path: "/healthz", title: "Health Probe", handler: healthz },
    Endpoint { path: "/metrics", title: "Prometheus Metrics", handler: metrics },
    Endpoint { path: "/debug/vars", title: "Expvar", handler: |s, _| found(general::expvarz(s)) },
    Endpoint { path: "/expvarz", title: "", handler: |s, _| found(general::expvarz(s)) },
];

fn found(value: Value) -> Result<Answer, Bad> {
    Ok(Answer::json(&value))
}

fn connz(shared: &Arc<Shared>, query: &Query) -> Result<Answer, Bad> {
    found(connections::connz(shared, &ConnzOptions::read(query)?).map_err(Bad)?)
}

fn subsz(shared: &Arc<Shared>, query: &Query) -> Result<Answer, Bad> {
    found(subscriptions::subsz(shared, &SubszOptions::read(query)?).map_err(Bad)?)
}

fn accountz(shared: &Arc<Shared>, query: &Query) -> Result<Answer, Bad> {
    found(accounts::accountz(shared, &AccountzOptions::read(query)?.account).map_err(Bad)?)
}

fn healthz(shared: &Arc<Shared>, query: &Query) -> Result<Answer, Bad> {
    let health = health::healthz(shared, &HealthzOptions::read(query)?);
    Ok(Answer { status: health.code, content_type: JSON, body: health.value().to_string().into_bytes() })
}

fn metrics(shared: &Arc<Shared>, _: &Query) -> Result<Answer, Bad> {
    let body = metrics::metrics(shared).into_bytes();
    Ok(Answer { status: 200, content_type: "text/plain; version=0.0.4; charset=utf-8", body })
}

/// Answers a request for `path`, the base path taken off.
pub(crate) fn answer(shared: &Arc<Shared>, path: &str, query: &Query) -> Answer {
    if path == "/" || path.is_empty() {
        return front_page();
    }
    match ENDPOINTS.iter().find(|e| e.path == path) {
        None => Answer::text(404, "404 page not found\n"),
        Some(endpoint) => {
            shared.count_request(endpoint.path);
            (endpoint.handler)(shared, query).unwrap_or_else(|Bad(why)| Answer::text(400, why))
        }
    }
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
