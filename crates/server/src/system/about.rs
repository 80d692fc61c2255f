//! The server, as it stands at the head of its events and answers.

use crate::monitor::times::stamp;
use crate::policy::COMPATIBLE_VERSION;
use crate::shared::Shared;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// Random characters of an event's number.
const EVENT_ID_CHARS: usize = 22;
const EVENT_ID_ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Switches of the official server that may be set; clients look for them.
pub(crate) fn feature_flags() -> Value {
    json!({
        "js_ack_fc_v2": false, "js_api_reply_v2": false, "js_raft_delete_range": true, "js_snapshot_sources": false,
    })
}

/// The field `server` of the next message. Each has the next number.
pub(crate) fn server(shared: &Shared) -> Value {
    let policy = shared.policy();
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| {
        out.insert(key.into(), value);
    };
    set("name", shared.identity.name.as_str().into());
    set("host", policy.info.host.as_str().into());
    set("id", shared.identity.id.as_str().into());
    set("ver", COMPATIBLE_VERSION.into());
    if !policy.options.server_tags.is_empty() {
        set("tags", policy.options.server_tags.clone().into());
    }
    if !policy.options.server_metadata.is_empty() {
        set("metadata", json!(policy.options.server_metadata));
    }
    set("feature_flags", feature_flags());
    set("jetstream", false.into());
    set("flags", 0.into());
    set("seq", (shared.told.fetch_add(1, Ordering::Relaxed) + 1).into());
    set("time", stamp(SystemTime::now()).into());
    Value::Object(out)
}

/// The head of an event: type, number, time.
pub(super) fn event(kind: &str, at: SystemTime) -> Map<String, Value> {
    let id: String = (0..EVENT_ID_CHARS)
        .filter_map(|_| EVENT_ID_ALPHABET.get(rand::random_range(0..EVENT_ID_ALPHABET.len())))
        .map(|&byte| char::from(byte))
        .collect();
    let mut head = Map::new();
    head.insert("type".into(), format!("io.nats.server.advisory.v1.{kind}").into());
    head.insert("id".into(), id.into());
    head.insert("timestamp".into(), stamp(at).into());
    head
}
