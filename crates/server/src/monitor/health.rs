//! `/healthz`: whether the server can do its work.

use super::options::HealthzOptions;
use crate::documents::json;
use crate::log::Event;
use crate::node::Node;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// How the server is.
pub(crate) struct Health {
    /// The status of an HTTP answer.
    pub(super) code: u16,
    status: &'static str,
    error: Option<Cow<'static, str>>,
    /// The kind of the error, where problems are listed.
    kind: Option<&'static str>,
}

/// The document.
#[derive(Serialize)]
struct Document<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Problem<'a>>,
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    error: &'a str,
}

impl Health {
    /// The document of an HTTP answer, whose status is the code.
    pub(super) fn value(&self) -> Value {
        json(&self.document(None))
    }

    /// The document of a message.
    pub(crate) fn with_code(&self) -> Value {
        json(&self.document(Some(self.code)))
    }

    fn document(&self, status_code: Option<u16>) -> Document<'_> {
        let error = self.error.as_deref();
        let problem = self.kind.zip(error).map(|(r#type, error)| Problem { r#type, error });
        Document {
            status: self.status,
            status_code,
            error: error.filter(|_| problem.is_none()),
            errors: problem.into_iter().collect(),
        }
    }
}

/// How the server is at this time.
pub(crate) fn healthz(node: &Node, options: &HealthzOptions, now: Instant) -> Health {
    let HealthzOptions { js_enabled, details, account, stream, consumer } = options;
    if *js_enabled {
        let text = format_args!("Healthcheck: js-enabled deprecated, use js-enabled-only instead");
        node.log.emit(Event::Warning, "", text);
    }
    let (code, status, error) = if !stream.is_empty() && account.is_empty() {
        (400, "error", Some("\"account\" must not be empty when checking stream health".into()))
    } else if !consumer.is_empty() && stream.is_empty() {
        (400, "error", Some("\"stream\" must not be empty when checking consumer health".into()))
    } else if let Some(fault) = node.threads.fault(now) {
        (503, "unavailable", Some(fault.into()))
    } else if let Some(failure) = node.streams.shared().and_then(|shared| shared.failure()) {
        (503, "unavailable", Some(format!("JetStream is off: {failure}").into()))
    } else if node.connections.lame_duck.load(Ordering::Relaxed) {
        (503, "unavailable", Some("server is in lame duck mode".into()))
    } else {
        (200, "ok", None)
    };
    let kind = details.then_some(if code == 400 { "BAD_REQUEST" } else { "CONNECTION" });
    Health { code, status, error, kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Server;
    use crate::monitor::query::Query;
    use crate::waiting::receive;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn a_thread_that_stands_still_is_named() {
        let server = Server::builder().in_process_only().quiet().start().expect("started");
        let node = server.node();
        let start = Instant::now();
        let Ok(asked) = HealthzOptions::read(&Query::parse("")) else { panic!("nothing is asked for") };
        let health = |seconds| {
            let health = healthz(node, &asked, start + Duration::from_secs(seconds));
            (health.code, health.value().to_string())
        };
        let (begun, begins) = channel();
        let (release, held) = channel::<()>();
        node.internal.run(move |_| {
            begun.send(()).expect("the test waits");
            let _ = held.recv();
        });
        receive(&begins, "it does not begin");
        // Other threads are starved on a busy machine, and their time is not real either: only this one is looked at.
        let is_named = |seconds| health(seconds).1.contains("thread control stands still for ");
        assert!(!is_named(0) && !is_named(9));
        assert!(is_named(600));
        assert_eq!(health(600).0, 503);
        release.send(()).expect("it waits");
        let (done, is_done) = channel();
        node.internal.run(move |_| done.send(()).expect("the test waits"));
        receive(&is_done, "it does not go on");
        assert!(!is_named(601));
        server.stop();
    }
}
