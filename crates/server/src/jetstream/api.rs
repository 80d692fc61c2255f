//! The API: requests to `$JS.API`, answered on a thread of their own, each account in its turn.

use super::documents::{Empty, failure};
use super::{consumers, messages, streams};
use crate::internal::{Domain, Message};
use crate::node::{Executor, Listener, Node};
use dialtone_broker::account::Account;
use dialtone_jetstream::error::{self, ApiError};
use dialtone_jetstream::json::Strictness;
use serde::Serialize;
use std::sync::Arc;

/// What is asked for: the part of the subject behind the prefix, what answers are called, and who answers.
struct Endpoint {
    filter: &'static str,
    kind: &'static str,
    answer: fn(&mut Request<'_>) -> Result<Vec<u8>, ApiError>,
}

/// All endpoints that are carried out.
const ENDPOINTS: &[Endpoint] = &[
    Endpoint { filter: "INFO", kind: "account_info_response", answer: streams::account_info },
    Endpoint { filter: "STREAM.CREATE.*", kind: "stream_create_response", answer: streams::create },
    Endpoint { filter: "STREAM.UPDATE.*", kind: "stream_update_response", answer: streams::update },
    Endpoint { filter: "STREAM.INFO.*", kind: "stream_info_response", answer: streams::info },
    Endpoint { filter: "STREAM.NAMES", kind: "stream_names_response", answer: streams::names },
    Endpoint { filter: "STREAM.LIST", kind: "stream_list_response", answer: streams::list },
    Endpoint { filter: "STREAM.DELETE.*", kind: "stream_delete_response", answer: streams::delete },
    Endpoint { filter: "STREAM.PURGE.*", kind: "stream_purge_response", answer: messages::purge },
    Endpoint { filter: "STREAM.MSG.GET.*", kind: "stream_msg_get_response", answer: messages::get },
    Endpoint { filter: "STREAM.MSG.DELETE.*", kind: "stream_msg_delete_response", answer: messages::delete },
    Endpoint { filter: "CONSUMER.CREATE.*", kind: "consumer_create_response", answer: consumers::create },
    Endpoint { filter: "CONSUMER.CREATE.*.>", kind: "consumer_create_response", answer: consumers::create },
    Endpoint {
        filter: "CONSUMER.DURABLE.CREATE.*.*",
        kind: "consumer_create_response",
        answer: consumers::create,
    },
    Endpoint { filter: "CONSUMER.INFO.*.*", kind: "consumer_info_response", answer: consumers::info },
    Endpoint { filter: "CONSUMER.NAMES.*", kind: "consumer_names_response", answer: consumers::names },
    Endpoint { filter: "CONSUMER.LIST.*", kind: "consumer_list_response", answer: consumers::list },
    Endpoint { filter: "CONSUMER.DELETE.*.*", kind: "consumer_delete_response", answer: consumers::delete },
    Endpoint { filter: "CONSUMER.PAUSE.*.*", kind: "consumer_pause_response", answer: consumers::pause },
    Endpoint { filter: "CONSUMER.UNPIN.*.*", kind: "consumer_unpin_response", answer: consumers::unpin },
    Endpoint { filter: "CONSUMER.RESET.*.*", kind: "consumer_reset_response", answer: consumers::reset },
];

/// A request that is being answered.
pub(super) struct Request<'r> {
    pub executor: &'r mut Executor,
    pub message: &'r Message,
    pub account: Arc<Account>,
    /// What answers are called.
    pub kind: &'static str,
    /// Tokens of the subject behind the prefix.
    pub tokens: Vec<&'r str>,
    /// The answer is an error.
    has_failed: bool,
}

impl Request<'_> {
    /// The server.
    pub fn node(&self) -> Arc<Node> {
        self.executor.node.clone()
    }

    /// An error as the answer, with what else such answers say.
    pub fn failure<T: Serialize>(&mut self, error: &ApiError, body: T) -> Vec<u8> {
        self.has_failed = true;
        failure(self.kind, error, body)
    }

    /// A token behind the prefix.
    pub fn token(&self, at: usize) -> &str {
        self.tokens.get(at).copied().unwrap_or_default()
    }

    /// Whether unknown fields are refused.
    pub fn strictness(&self) -> Strictness {
        let policy = self.executor.node.settings.policy();
        match policy.options.jetstream.as_ref().is_some_and(|own| own.strict) {
            true => Strictness::Strict,
            false => Strictness::Lax,
        }
    }
}

/// Answers the API in an account.
pub(super) fn serve(node: &Node, account: &Arc<Account>, domain: Option<&str>) {
    let prefixes =
        std::iter::once("$JS.API".to_owned()).chain(domain.map(|domain| format!("$JS.{domain}.API")));
    for prefix in prefixes {
        for endpoint in ENDPOINTS {
            let skip = prefix.len() + 1;
            let handler = Arc::new(move |executor: &mut Executor, message: &Message| {
                answer(executor, message, endpoint, skip);
            });
            let listener = Listener::In(Domain::JetStream, handler);
            let filter = format!("{prefix}.{}", endpoint.filter);
            node.internal.serve(&node.connections.registry, account, &filter, None, listener);
        }
    }
}

fn answer(executor: &mut Executor, message: &Message, endpoint: &Endpoint, skip: usize) {
    if message.reply.is_empty() {
        return;
    }
    let rest = message.subject.get(skip..).unwrap_or_default();
    let mut request = Request {
        account: message.account.clone(),
        message,
        kind: endpoint.kind,
        tokens: rest.split('.').collect(),
        has_failed: false,
        executor,
    };
    let payload = match check(&request) {
        Ok(()) => (endpoint.answer)(&mut request),
        Err(error) => Err(error),
    };
    let payload = payload.unwrap_or_else(|error| request.failure(&error, Empty {}));
    request.node().streams.asked(&request.account, request.has_failed);
    executor.reply(message, payload);
}

/// What holds for all requests.
fn check(request: &Request<'_>) -> Result<(), ApiError> {
    let node = &request.executor.node;
    if !super::has_jetstream(node, &request.account) {
        return Err(error::NOT_ENABLED_FOR_ACCOUNT.error());
    }
    if node.streams.shared().is_none_or(|shared| shared.failure().is_some()) {
        return Err(error::CLUSTER_NOT_AVAIL.error());
    }
    let asked = request.message.header(dialtone_jetstream::config::REQUIRED_API_LEVEL_HEADER);
    let asked = asked.map(|value| String::from_utf8_lossy(value).trim().to_owned()).unwrap_or_default();
    if dialtone_jetstream::config::refuses_level(&asked) {
        return Err(error::REQUIRED_API_LEVEL.error());
    }
    Ok(())
}
