//! Checking what a consumer shall be, beside the others of its stream.

use super::api::Request;
use super::streams;
use crate::streams::Hosted;
use dialtone_jetstream::config::{
    ConsumerConfig, ConsumerCreation, ConsumerRequest, Consumers, Context, Naming, check_naming,
    create_consumer,
};
use dialtone_jetstream::error::ApiError;
use std::collections::BTreeMap;

/// Letters of a name that the server makes.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How long such a name is. The official figure.
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

fn new_name() -> String {
    let letter = || LETTERS.get(rand::random::<u8>() as usize % LETTERS.len()).copied().unwrap_or(b'0');
    (0..NAME_BYTES).map(|_| char::from(letter())).collect()
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
        (streams::configs(request), streams::tiers(request), super::server_limits(request));
    let context = Context { tiers: &tiers, server: &server, streams: &configs };
    let stream = hosted.lock().state.meta.config.clone();
    let known =
        Known { all: hosted.consumer_configs().into_iter().collect(), bound: hosted.bound_consumers() };
    Ok(match create_consumer(asked, &stream, &known, &mut new_name, context)? {
        ConsumerCreation::New { name, config } | ConsumerCreation::Update { name, config } => (name, *config),
    })
}

/// What the subject of a request says: the stream, and the consumer.
///
/// # Errors
/// It does not fit what the request says.
pub(super) fn naming(request: &Request<'_>, asked: &mut ConsumerRequest) -> Result<usize, ApiError> {
    let is_durable = request.token(1) == "DURABLE";
    let at = if is_durable { 3 } else { 2 };
    let filter = request.tokens.get(at + 2..).unwrap_or_default().join(".");
    let naming = match request.tokens.get(at + 1) {
        Some(consumer) if is_durable => Naming::Durable { consumer },
        Some(consumer) => Naming::Named { consumer, filter: &filter },
        None => Naming::Unnamed,
    };
    check_naming(request.token(at), naming, asked)?;
    Ok(at)
}
