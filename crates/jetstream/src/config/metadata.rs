//! What the server writes into the metadata of streams and consumers: the level of the API that they need, which is stored, and its own version and
//! level, which responses alone have.

use super::{AckPolicy, ConsumerConfig, Metadata, PersistMode, PriorityPolicy, StreamConfig};

/// The level of the API that this server has.
pub const API_LEVEL: u32 = 5;
/// The header of a request by which a client asks for a level.
pub const REQUIRED_API_LEVEL_HEADER: &str = "Nats-Required-Api-Level";
/// The version of the official server whose API this is.
pub const API_VERSION: &str = "2.15.0";

const REQUIRED_LEVEL: &str = "_nats.req.level";
const SERVER_VERSION: &str = "_nats.ver";
const SERVER_LEVEL: &str = "_nats.level";

/// Whether a request that asks for this level cannot be answered here.
pub fn refuses_level(asked: &str) -> bool {
    !asked.is_empty() && asked.parse::<i64>().map_or(true, |level| level > i64::from(API_LEVEL))
}

/// What is stored of a stream's metadata.
pub fn static_stream_metadata(config: &mut StreamConfig) {
    let mut level = 0;
    if config.allow_msg_ttl || config.subject_delete_marker_ttl.0 > 0 {
        level = 1;
    }
    let is_2_12 = config.allow_msg_counter
        || config.allow_atomic
        || config.allow_msg_schedules
        || config.persist_mode == PersistMode::Async;
    if is_2_12 {
        level = 2;
    }
    if config.allow_batched {
        level = 4;
    }
    set_level(&mut config.metadata, level);
}

/// What is stored of a consumer's metadata.
pub fn static_consumer_metadata(config: &mut ConsumerConfig) {
    let is_paused = config.pause_until.is_some_and(|until| !until.is_zero());
    let has_priorities = config.priority_policy != PriorityPolicy::None
        || !config.priority_timeout.is_zero()
        || !config.priority_groups.is_empty();
    let level = match config.ack_policy {
        AckPolicy::FlowControl => 4,
        _ => u32::from(is_paused || has_priorities),
    };
    set_level(&mut config.metadata, level);
}

fn set_level(metadata: &mut Metadata, level: u32) {
    metadata.remove(SERVER_VERSION);
    metadata.remove(SERVER_LEVEL);
    metadata.insert(REQUIRED_LEVEL.to_owned(), level.to_string());
}

/// What responses have: what is stored, with the version and level of the server.
#[must_use]
pub fn shown_metadata(stored: &Metadata) -> Metadata {
    let mut shown = stored.clone();
    shown.insert(SERVER_VERSION.to_owned(), API_VERSION.to_owned());
    shown.insert(SERVER_LEVEL.to_owned(), API_LEVEL.to_string());
    shown
}

/// The metadata of a request, as it compares with what is stored: the level is the server's business.
#[must_use]
pub(super) fn comparable(requested: &Metadata, stored: &Metadata) -> Metadata {
    let mut metadata = requested.clone();
    for key in [SERVER_VERSION, SERVER_LEVEL, REQUIRED_LEVEL] {
        metadata.remove(key);
    }
    if let Some(level) = stored.get(REQUIRED_LEVEL) {
        metadata.insert(REQUIRED_LEVEL.to_owned(), level.clone());
    }
    metadata
}
