//! `/healthz`: whether the server can do its work.

use super::options::HealthzOptions;
use crate::documents::json;
use crate::jetstream::has_jetstream;
use crate::log::Event;
use crate::node::Node;
use serde::Serialize;
use serde_json::Value;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// How the server is.
pub(crate) struct Health {
    /// The status of an HTTP answer.
    pub(super) code: u16,
    problem: Option<Problem>,
    /// What of the store of streams cannot be read. All else can, so the server is well.
    damages: Vec<Problem>,
    /// Problems are listed.
    has_details: bool,
}

/// What is wrong.
#[derive(Serialize)]
struct Problem {
    r#type: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    account: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    stream: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    consumer: String,
    error: String,
}

impl Problem {
    /// Of the server, or of a request.
    fn new(r#type: &'static str, error: impl Into<String>) -> Self {
        let (account, stream, consumer) = Default::default();
        Self { r#type, account, stream, consumer, error: error.into() }
    }
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
    errors: Vec<&'a Problem>,
}

const BAD_REQUEST: u16 = 400;
const NOT_FOUND: u16 = 404;

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
        let problem = self.problem.as_ref();
        let named = problem.into_iter().chain(&self.damages);
        let is_asked_wrongly = self.code == BAD_REQUEST || (self.code == NOT_FOUND && self.has_details);
        Document {
            status: match problem {
                None => "ok",
                Some(_) if is_asked_wrongly => "error",
                Some(_) => "unavailable",
            },
            status_code,
            error: named.clone().next().filter(|_| !self.has_details).map(|problem| &*problem.error),
            errors: named.filter(|_| self.has_details).collect(),
        }
    }
}

/// How the server is at this time.
pub(crate) fn healthz(node: &Node, options: &HealthzOptions, now: Instant) -> Health {
    if options.js_enabled {
        let text = format_args!("Healthcheck: js-enabled deprecated, use js-enabled-only instead");
        node.log.emit(Event::Warning, "", text);
    }
    let found = unavailable(node, now).map(|problem| (503, problem));
    let found = asked_wrongly(options)
        .map(|problem| (BAD_REQUEST, problem))
        .or(found)
        .or_else(|| missing(node, options).map(|problem| (NOT_FOUND, problem)));
    let (code, problem) = found.map_or((200, None), |(code, problem)| (code, Some(problem)));
    Health { code, problem, damages: damages(node), has_details: options.details }
}

/// What of the store cannot be read: the latest last.
fn damages(node: &Node) -> Vec<Problem> {
    let found = node.streams.shared().map(|shared| shared.damages.found().1);
    found.into_iter().flatten().map(|name| Problem::new("STORE", name)).collect()
}

fn asked_wrongly(options: &HealthzOptions) -> Option<Problem> {
    let HealthzOptions { account, stream, consumer, .. } = options;
    let error = if !stream.is_empty() && account.is_empty() {
        "\"account\" must not be empty when checking stream health"
    } else if !consumer.is_empty() && stream.is_empty() {
        "\"stream\" must not be empty when checking consumer health"
    } else {
        return None;
    };
    Some(Problem::new("BAD_REQUEST", error))
}

/// Why the server cannot do its work.
fn unavailable(node: &Node, now: Instant) -> Option<Problem> {
    let failure = || node.streams.shared().and_then(|shared| shared.failure());
    if let Some(fault) = node.threads.fault(now) {
        Some(Problem::new("CONNECTION", fault))
    } else if let Some(at) = node.streams.starting() {
        Some(Problem::new("JETSTREAM", at))
    } else if let Some(failure) = failure() {
        Some(Problem::new("JETSTREAM", format!("JetStream is off: {failure}")))
    } else if node.connections.lame_duck.load(Ordering::Relaxed) {
        Some(Problem::new("CONNECTION", "server is in lame duck mode"))
    } else {
        None
    }
}

/// What is asked for and not there. Where JetStream is off, nobody misses anything.
fn missing(node: &Node, options: &HealthzOptions) -> Option<Problem> {
    let HealthzOptions { account, stream, consumer, .. } = options;
    if account.is_empty() || options.is_of_server || node.streams.shared().is_none() {
        return None;
    }
    let problem = |r#type, (stream, consumer): (&str, &str), error: String| {
        let (account, stream, consumer) = (account.clone(), stream.to_owned(), consumer.to_owned());
        Some(Problem { r#type, account, stream, consumer, error })
    };
    let found = node.accounts.find(account).filter(|account| has_jetstream(node, account));
    let Some(found) = found else {
        return problem("ACCOUNT", ("", ""), format!("JetStream account {account:?} not found"));
    };
    if stream.is_empty() {
        return None;
    }
    let Some(hosted) = node.streams.all.find(&found, stream) else {
        let error = format!("JetStream stream {stream:?} not found on account {account:?}");
        return problem("STREAM", (stream, ""), error);
    };
    if consumer.is_empty() || hosted.lock().state.consumer(consumer).is_some() {
        return None;
    }
    let error =
        format!("JetStream consumer {consumer:?} not found for stream {stream:?} on account {account:?}");
    problem("CONSUMER", (stream, consumer), error)
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
