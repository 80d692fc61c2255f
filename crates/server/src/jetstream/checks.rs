//! Checking what a consumer shall be, beside the others of its stream.

use super::api::Request;
use super::streams;
use crate::node::Node;
use crate::streams::{Hosted, Loading};
use dialtone_broker::account::Account;
use dialtone_jetstream::api::Endpoint;
use dialtone_jetstream::config::{
    AckPolicy, ConsumerConfig, ConsumerCreation, ConsumerRequest, Context, Naming, NoStreams, Retention,
    StreamConfig, check_naming, create_consumer, short_name,
};
use dialtone_jetstream::error::{self, ApiError};
use dialtone_jetstream::time::{Nanos, Time};

/// Which stream it is, where another one takes messages from it.
pub(super) const IDENTITY_HEADER: &str = "Nats-Stream-Identity";
/// How long a name is that the server makes. The official figure.
const NAME_BYTES: usize = 8;

/// What a consumer shall be; `naming` is what the subject says.
///
/// # Errors
/// Those of the API.
pub(super) fn consumer(
    request: &Request<'_>,
    hosted: &Hosted,
    asked: &ConsumerRequest,
) -> Result<(String, ConsumerConfig), ApiError> {
    let (tiers, server) = (streams::tiers(request), super::limits(&request.executor.node));
    // What other streams there are, and what they reserved, is nothing to a consumer.
    let context = Context { tiers: &tiers, server: &server, streams: &NoStreams };
    let state = &hosted.lock().state;
    let mut new_name = || crate::random::name(NAME_BYTES);
    Ok(match create_consumer(asked, &state.meta.config, state, &mut new_name, context)? {
        ConsumerCreation::New { name, config } | ConsumerCreation::Update { name, config } => (name, *config),
    })
}

/// What holds for a consumer by which another stream takes messages: it gets a name that no other has, since those that ask again come with
/// the same one, and the answer says which stream this is, so that one that was made anew is told from the one before.
///
/// # Errors
/// It is another stream than the request is for.
pub(super) fn of_stream(
    request: &mut Request<'_>,
    hosted: &Hosted,
    asked: &mut ConsumerRequest,
) -> Result<(), ApiError> {
    let config = &mut asked.config;
    if !config.direct && !config.sourcing {
        return Ok(());
    }
    let stream = hosted.lock().state.meta.clone();
    if config.direct && config.sourcing && !config.name.is_empty() {
        if stream.config.retention == Retention::Limits {
            config.name = format!("{}-{}", config.name, crate::random::name(NAME_BYTES));
        } else {
            make_durable(config);
        }
    }
    let identity = identify(request, hosted);
    let expected = request.message.header(IDENTITY_HEADER).unwrap_or_default();
    if !expected.is_empty() && expected != identity.as_bytes() {
        return Err(error::CONSUMER_STREAM_IDENTITY_MISMATCH.with(identity));
    }
    if let Some(known) = hosted.consumer_config(&config.durable_name).filter(|_| config.sourcing) {
        // It goes on where it is.
        config.deliver_policy = known.deliver_policy;
        config.opt_start_seq = known.opt_start_seq;
        config.opt_start_time = known.opt_start_time;
    }
    Ok(())
}

/// Has the answer say which stream this is: a hash of when it was made, as officially.
pub(super) fn identify(request: &mut Request<'_>, hosted: &Hosted) -> String {
    let created = Time::from_unix_nanos(hosted.lock().state.meta.created);
    let identity = short_name(&created.to_string());
    request.headers = format!("NATS/1.0\r\n{IDENTITY_HEADER}: {identity}\r\n\r\n").into_bytes();
    identity
}

/// Where messages go once they are acknowledged, the other stream says by flow control what it has, and the consumer stays while it is away.
fn make_durable(config: &mut ConsumerConfig) {
    config.direct = false;
    config.durable_name.clone_from(&config.name);
    config.ack_policy = AckPolicy::FlowControl;
    config.ack_wait = Nanos::ZERO;
    config.max_deliver = 0;
    config.inactive_threshold = Nanos::ZERO;
}

/// Takes what the subject of a request says: the stream, the consumer and its filter.
///
/// # Errors
/// It does not fit what the request says.
pub(super) fn naming(request: &Request<'_>, asked: &mut ConsumerRequest) -> Result<(), ApiError> {
    let consumer = request.asked.consumer;
    let naming = match request.asked.endpoint {
        Endpoint::DurableCreate => Naming::Durable { consumer },
        Endpoint::ConsumerCreateNamed => Naming::Named { consumer, filter: request.asked.rest },
        _ => Naming::Unnamed,
    };
    check_naming(request.asked.stream, naming, asked)
}

/// What a consumer of an archive shall be, in a stream that is being made.
///
/// # Errors
/// Those of the API.
pub(super) fn restored(
    (node, account): (&Node, &Account),
    stream: &StreamConfig,
    loading: &Loading,
    (name, mut config): (&str, ConsumerConfig),
) -> Result<ConsumerConfig, ApiError> {
    name.clone_into(&mut config.name);
    let state = loading.state().ok_or(error::STREAM_NOT_FOUND)?;
    let mut asked =
        ConsumerRequest { stream_name: stream.name.clone(), config, ..ConsumerRequest::default() };
    let naming = Naming::Named { consumer: name, filter: "" };
    check_naming(&stream.name, naming, &mut asked)?;
    let (tiers, server) = (super::tiers(node, account).unwrap_or_default(), super::limits(node));
    let context = Context { tiers: &tiers, server: &server, streams: &NoStreams };
    Ok(match create_consumer(&asked, stream, state, &mut || crate::random::name(NAME_BYTES), context)? {
        ConsumerCreation::New { config, .. } | ConsumerCreation::Update { config, .. } => *config,
    })
}
