//! The API: requests to `$JS.API`, answered on a thread of their own in the order in which they come, each account in its turn.

use super::{audit, beyond, consumers, messages, restore, snapshot, streams};
use crate::internal::{Domain, Message};
use crate::node::{Executor, Listener, Node};
use crate::streams::Hosted;
use dialtone_broker::account::Account;
use dialtone_jetstream::api::{self, Audience, Endpoint, error_answer, system_error_answer};
use dialtone_jetstream::config::{REQUIRED_API_LEVEL_HEADER, refuses_level};
use dialtone_jetstream::error::{self, ApiError};
use dialtone_jetstream::json::{Field, Strictness};
use dialtone_store::Lsn;
use std::sync::Arc;

/// What is subscribed to behind the prefix: all of it, but where consumers and streams are asked themselves
/// (`CONSUMER.MSG.NEXT`, `DIRECT.GET`). What is no endpoint is not answered.
const FILTERS: &[&str] = &[
    "*",
    "STREAM.>",
    "META.>",
    "SERVER.>",
    "ACCOUNT.>",
    "CONSUMER.*",
    "CONSUMER.CREATE.>",
    "CONSUMER.DURABLE.>",
    "CONSUMER.NAMES.>",
    "CONSUMER.LIST.>",
    "CONSUMER.INFO.>",
    "CONSUMER.DELETE.>",
    "CONSUMER.PAUSE.>",
    "CONSUMER.UNPIN.>",
    "CONSUMER.LEADER.>",
    "CONSUMER.RESET.>",
];

/// What an endpoint answers.
pub(super) type Answered = Result<Vec<u8>, ApiError>;

/// Who answers an endpoint; `None`: nobody does here.
fn answerer(endpoint: Endpoint) -> Option<fn(&mut Request<'_>) -> Answered> {
    Some(match endpoint {
        Endpoint::Info => streams::account_info,
        Endpoint::StreamCreate => streams::create,
        Endpoint::StreamUpdate => streams::update,
        Endpoint::StreamNames => streams::names,
        Endpoint::StreamList => streams::list,
        Endpoint::StreamInfo => streams::info,
        Endpoint::StreamDelete => streams::delete,
        Endpoint::StreamPurge => messages::purge,
        Endpoint::MessageGet => messages::get,
        Endpoint::MessageDelete => messages::delete,
        Endpoint::ConsumerCreate | Endpoint::ConsumerCreateNamed | Endpoint::DurableCreate => {
            consumers::create
        }
        Endpoint::ConsumerNames => consumers::names,
        Endpoint::ConsumerList => consumers::list,
        Endpoint::ConsumerInfo => consumers::info,
        Endpoint::ConsumerDelete => consumers::delete,
        Endpoint::ConsumerPause => consumers::pause,
        Endpoint::ConsumerUnpin => consumers::unpin,
        Endpoint::ConsumerReset => consumers::reset,
        Endpoint::StreamSnapshot => snapshot::snapshot,
        Endpoint::StreamRestore => restore::restore,
        Endpoint::StreamPeerRemove
        | Endpoint::StreamPeerEvacuate
        | Endpoint::StreamCancelMove
        | Endpoint::StreamStepdown
        | Endpoint::ConsumerStepdown => |_| Err(error::CLUSTER_REQUIRED.error()),
        _ => return None,
    })
}

/// A request that is being answered.
pub(super) struct Request<'r> {
    pub executor: &'r mut Executor,
    pub message: &'r Message,
    pub account: Arc<Account>,
    /// What is asked, with the names that stand in the subject.
    pub asked: api::Request<'r>,
    /// Where the log ends with what the request did: it is answered when that is on disk.
    pub upto: Option<Lsn>,
    /// A consumer that begins to send when the answer is out.
    pub begins: Option<(Arc<Hosted>, String)>,
    /// A header block of the answer; mostly empty.
    pub headers: Vec<u8>,
}

impl Request<'_> {
    /// The server.
    pub fn node(&self) -> Arc<Node> {
        self.executor.node.clone()
    }

    /// It did something: it is answered when the log has that on disk.
    pub fn wait_for(&mut self, upto: Option<Lsn>) {
        self.upto = self.upto.max(upto);
    }

    /// Whether unknown fields are refused.
    pub fn strictness(&self) -> Strictness {
        let policy = self.executor.node.settings.policy();
        match policy.options.jetstream.as_ref().is_some_and(|own| own.strict) {
            true => Strictness::Strict,
            false => Strictness::Lax,
        }
    }

    /// The body says nothing.
    ///
    /// # Errors
    /// It does.
    pub fn nothing(&self) -> Result<(), ApiError> {
        match api::is_empty(&self.message.payload) {
            true => Ok(()),
            false => Err(error::NOT_EMPTY_REQUEST.error()),
        }
    }

    /// The body, as its endpoint has it read.
    ///
    /// # Errors
    /// As official servers word them.
    pub fn body<T: Field + Default>(&self, go: &str) -> Result<T, ApiError> {
        let payload = &self.message.payload;
        match self.asked.endpoint.row().body {
            api::Body::Ignored => Ok(T::default()),
            api::Body::Empty => self.nothing().map(|()| T::default()),
            api::Body::Optional => api::read_list(payload, go, self.strictness()),
            api::Body::Required if api::is_empty(payload) => Err(error::BAD_REQUEST.error()),
            api::Body::Required | api::Body::Strict => api::read_request(payload, go, self.strictness()),
            api::Body::Plain => api::read_plain(payload, go).map_err(|why| error::INVALID_JSON.with(why)),
        }
    }
}

/// Answers the API in an account.
pub(super) fn serve(node: &Node, account: &Arc<Account>, domain: Option<&str>) {
    let prefixes =
        std::iter::once("$JS.API".to_owned()).chain(domain.map(|domain| format!("$JS.{domain}.API")));
    for prefix in prefixes {
        for filter in FILTERS {
            let listener = Listener::In(Domain::JetStream, Arc::new(answer));
            let filter = format!("{prefix}.{filter}");
            node.internal.serve(&node.connections.registry, account, &filter, None, listener);
        }
        let listener = Listener::In(Domain::JetStream, Arc::new(beyond::answer));
        let filter = format!("{prefix}.{}", beyond::FILTER);
        node.internal.serve(&node.connections.registry, account, &filter, None, listener);
    }
}

fn answer(executor: &mut Executor, message: &Message) {
    let node = executor.node.clone();
    // Where a reload switched JetStream off, nobody answers: as official servers do it.
    let Some(shared) = node.streams.shared() else { return };
    let domain = shared.domain.as_deref().unwrap_or_default();
    let Some(asked) = api::parse(&message.subject, domain) else { return };
    // It may have begun to import the API since it is answered here.
    if super::is_elsewhere(&node, &message.account) {
        return;
    }
    let is_system = node.settings.policy().system_account() == Some(&*message.account.name);
    let audience = asked.endpoint.row().audience;
    let endpoint = asked.endpoint;
    let answer = match endpoint {
        Endpoint::AccountPurge if is_system => streams::purge_account,
        _ if audience == Audience::System => return,
        endpoint => match answerer(endpoint) {
            Some(answer) => answer,
            None => return,
        },
    };
    let account = message.account.clone();
    let mut request =
        Request { account, message, asked, executor, upto: None, begins: None, headers: Vec::new() };
    if audience == Audience::Consumer && consumers::named(&request).is_err() {
        return;
    }
    let done = match check(&request, is_system) {
        Ok(()) => answer(&mut request),
        Err(error) => Err(error),
    };
    if done.is_err() {
        request.headers.clear();
    }
    // A message that is got is no answer that counts or is audited; a refusal is.
    let counts = done.is_err() || asked.endpoint != Endpoint::MessageGet;
    if counts {
        node.streams.asked(&request.account, done.is_err());
    }
    let refused = move |error| match endpoint {
        Endpoint::Info | Endpoint::AccountPurge => error_answer(endpoint, error),
        _ if is_system => system_error_answer(error),
        _ => error_answer(endpoint, error),
    };
    let payload = done.unwrap_or_else(refused);
    let audited = counts.then(|| audit::of(&mut request)).flatten();
    let Request { upto, begins, headers, .. } = request;
    let (account, reply) = (message.account.clone(), message.reply.clone());
    // All answers of a turn wait for one sync, and keep their order.
    executor.at_last(move |executor| {
        let payload = on_disk(&node, upto).map_or_else(refused, |()| payload);
        executor.answer(&account, &reply, &headers, &*payload);
        let (_, turn) = executor.parts();
        turn.within(|turn| {
            if let Some(audit) = audited {
                audit::publish(turn, &account, audit, &payload);
            }
            if let Some((hosted, consumer)) = begins {
                hosted.look_at_interest(&consumer, turn);
            }
        });
    });
}

/// Waits until the log has on disk what a request did.
///
/// # Errors
/// The disk failed.
pub(super) fn on_disk(node: &Node, upto: Option<Lsn>) -> Result<(), ApiError> {
    let store = node.streams.shared_once_begun().and_then(|shared| shared.store());
    let failed = upto.zip(store).and_then(|(upto, store)| store.wait(upto).err());
    failed.map_or(Ok(()), |failure| Err(error::STREAM_STORE_FAILED.with(failure)))
}

/// What holds for all requests.
fn check(request: &Request<'_>, is_system: bool) -> Result<(), ApiError> {
    let node = &request.executor.node;
    let audience = request.asked.endpoint.row().audience;
    if audience == Audience::System || audience == Audience::Cluster && !is_system {
        return Ok(());
    }
    super::check_available(node, &request.account)?;
    let asked = request.message.header(REQUIRED_API_LEVEL_HEADER);
    let asked = asked.map(|value| String::from_utf8_lossy(value).trim().to_owned()).unwrap_or_default();
    match refuses_level(&asked) {
        true => Err(error::REQUIRED_API_LEVEL.error()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialtone_jetstream::api::ENDPOINTS;
    use dialtone_subject::set;

    /// Every endpoint is answered here, but those that streams and consumers answer, and those of a cluster.
    #[test]
    fn every_endpoint_is_answered() {
        for row in ENDPOINTS {
            let is_elsewhere = row.audience == Audience::Stream || row.endpoint == Endpoint::ConsumerNext;
            let is_answered = answerer(row.endpoint).is_some();
            assert_eq!(is_answered, !is_elsewhere && row.audience != Audience::System, "{}", row.pattern);
            let subject = row.pattern.replace('*', "N").replace('>', "r.s");
            let times = FILTERS.iter().filter(|filter| set::matches(filter.as_bytes(), subject.as_bytes()));
            assert_eq!(times.count(), usize::from(!is_elsewhere), "{subject} is heard once");
        }
    }
}
