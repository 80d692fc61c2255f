//! Monitoring: what the server is doing, by HTTP. The shapes are the official server's.
//!
//! [`ENDPOINTS`] is the table of paths; each handler reads the shared state and answers. `http` carries them.

mod accounts;
mod connections;
mod general;
mod health;
mod http;
mod metrics;
mod query;
mod sharing;
mod slow;
mod subscriptions;
pub(crate) mod times;

use crate::shared::Shared;
pub(crate) use http::start;
use query::Query;
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

/// A parameter that cannot be understood, in the official words.
pub(crate) struct BadQuery(String);

type Handler = fn(&Arc<Shared>, &Query) -> Result<Answer, BadQuery>;

/// A path of the monitoring port.
pub(crate) struct Endpoint {
    path: &'static str,
    /// Its name on the first page; empty: it is not there.
    title: &'static str,
    handler: Handler,
}

/// Every path.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint { path: "/varz", title: "General", handler: general::varz },
    Endpoint { path: "/jsz", title: "JetStream", handler: general::jsz },
    Endpoint { path: "/connz", title: "Connections", handler: connections::connz },
    Endpoint { path: "/slowz", title: "Slow Connections", handler: slow::slowz },
    Endpoint { path: "/accountz", title: "Accounts", handler: accounts::accountz },
    Endpoint { path: "/accstatz", title: "Account Stats", handler: accounts::accstatz },
    Endpoint { path: "/subsz", title: "Subscriptions", handler: subscriptions::subsz },
    Endpoint { path: "/subscriptionsz", title: "", handler: subscriptions::subsz },
    Endpoint { path: "/routez", title: "Routes", handler: general::routez },
    Endpoint { path: "/leafz", title: "LeafNodes", handler: general::leafz },
    Endpoint { path: "/gatewayz", title: "Gateways", handler: general::gatewayz },
    Endpoint { path: "/raftz", title: "Raft Groups", handler: general::raftz },
    Endpoint { path: "/ipqueuesz", title: "", handler: general::ipqueuesz },
    Endpoint { path: "/stacksz", title: "", handler: general::stacksz },
    Endpoint { path: "/healthz", title: "Health Probe", handler: health::healthz },
    Endpoint { path: "/metrics", title: "Prometheus Metrics", handler: metrics::metrics },
    Endpoint { path: "/debug/vars", title: "Expvar", handler: general::expvarz },
    Endpoint { path: "/expvarz", title: "", handler: general::expvarz },
];

/// Answers a request for `path`, the base path taken off.
pub(crate) fn answer(shared: &Arc<Shared>, path: &str, query: &Query) -> Answer {
    if path == "/" || path.is_empty() {
        return front_page();
    }
    match ENDPOINTS.iter().find(|e| e.path == path) {
        None => Answer::text(404, "404 page not found\n"),
        Some(endpoint) => {
            shared.count_request(endpoint.path);
            (endpoint.handler)(shared, query).unwrap_or_else(|BadQuery(why)| Answer::text(400, why))
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
