//! Checking what a consumer shall be, beside the others of its stream.

use super::api::Request;
use super::streams;
use crate::node::Node;
use crate::streams::{Hosted, Loading};
use dialtone_broker::account::Account;
use dialtone_jetstream::api::Endpoint;
use dialtone_jetstream::config::{
    ConsumerConfig, ConsumerCreation, ConsumerRequest, Consumers, Context, Naming, StreamConfig,
    check_naming, create_consumer,
};
use dialtone_jetstream::error::ApiError;
use std::collections::BTreeMap;

/// How long a name is that the server makes. The official figure.
const NAME_BYTES: usize = 8;

/// The consumers of a stream, and which of those that send somebody listens to.
struct Known {
    all: BTreeMap<String, ConsumerConfig>,
    bound: Vec<String>,
}

impl Consumers for Known {
    fn by_name(&self, name: &str) -> Option<&ConsumerConfig> {
        self.all.get(name)
    }

    fn for_each(&self, each: &mut dyn FnMut(&str, &ConsumerConfig)) {
        self.all.iter().for_each(|(name, config)| each(name, config));
    }

    fn is_bound(&self, name: &str) -> bool {
        self.bound.iter().any(|bound| bound == name)
    }
}

/// What a consumer shall be; `naming` is what the subject says.
///
/// # Errors
/// Those of the API.
pub(super) fn consumer(
    request: &Request<'_>,
    hosted: &Hosted,
    asked: &ConsumerRequest,
) -> Result<(String, ConsumerConfig), ApiError> {
    let (configs, tiers, server) =
        (streams::configs(request), streams::tiers(request), super::server_limits(&request.executor.node));
    let context = Context { tiers: &tiers, server: &server, streams: &configs };
    let stream = hosted.lock().state.meta.config.clone();
    let known =
        Known { all: hosted.consumer_configs().into_iter().collect(), bound: hosted.bound_consumers() };
    Ok(match create_consumer(asked, &stream, &known, &mut || crate::random::name(NAME_BYTES), context)? {
        ConsumerCreation::New { name, config } | ConsumerCreation::Update { name, config } => (name, *config),
    })
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
    let all = loading.consumers().map(|(name, config)| (name.to_owned(), config.clone())).collect();
    let known = Known { all, bound: Vec::new() };
    let mut asked =
        ConsumerRequest { stream_name: stream.name.clone(), config, ..ConsumerRequest::default() };
    let naming = Naming::Named { consumer: name, filter: "" };
    check_naming(&stream.name, naming, &mut asked)?;
    streams::with_context((node, account), |context| {
        Ok(match create_consumer(&asked, stream, &known, &mut || crate::random::name(NAME_BYTES), context)? {
            ConsumerCreation::New { config, .. } | ConsumerCreation::Update { config, .. } => *config,
        })
    })
}
