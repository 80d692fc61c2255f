//! The server, as it stands at the head of its events and answers.

use crate::documents;
use crate::node::Node;
use crate::policy::COMPATIBLE_VERSION;
use crate::times::stamp;
use dialtone_config::Options;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// Switches of the official server that may be set; clients look for them.
pub(crate) fn feature_flags(options: &Options) -> Value {
    json!(options.server.features.all())
}

/// What a server with JetStream says that it can do, in bits. The official figure: it has JetStream, writes states of streams in binary, and
/// may have what servers say to each other of an account go by that account.
const JETSTREAM_FLAGS: u64 = 7;

/// The field `server` of a message, in the official fields and their order.
#[derive(Serialize)]
struct Server<'a> {
    name: &'a str,
    host: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    ver: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
    feature_flags: Value,
    jetstream: bool,
    flags: u64,
    seq: u64,
    time: String,
}

/// Takes the number of the next message.
pub(super) fn next_number(node: &Node) -> u64 {
    node.monitoring.events.fetch_add(1, Ordering::Relaxed) + 1
}

/// The field `server` of the next message. Each has the next number.
pub(crate) fn server(node: &Node) -> Value {
    let settings = &node.settings;
    let policy = settings.policy();
    let metadata = &policy.options.server.metadata;
    let shared = node.streams.shared();
    let has_jetstream = shared.is_some();
    let server = Server {
        name: &settings.identity.name,
        host: &policy.clients().info.host,
        id: &settings.identity.id,
        cluster: node.cluster_name(),
        domain: shared.and_then(|shared| shared.domain.as_deref()),
        ver: COMPATIBLE_VERSION,
        tags: &policy.options.server.tags,
        metadata: (!metadata.is_empty()).then(|| json!(metadata)),
        feature_flags: feature_flags(&policy.options),
        jetstream: has_jetstream,
        flags: if has_jetstream { JETSTREAM_FLAGS } else { 0 },
        seq: next_number(node),
        time: stamp(SystemTime::now()),
    };
    documents::json(&server)
}
