//! What the server writes into the metadata of streams and consumers: the level of the API that they need, which is stored, and its own version and
//! level, which responses alone have.

use super::{AckPolicy, ConsumerConfig, PersistMode, PriorityPolicy, StreamConfig};
use crate::json::{Abort, Empty, Field, Node, Reader};
use serde::ser::{Serialize, Serializer};
use std::collections::BTreeMap;

/// The level of the API that this server has.
pub const API_LEVEL: u32 = 5;
/// The header of a request by which a client asks for a level.
pub const REQUIRED_API_LEVEL_HEADER: &str = "Nats-Required-Api-Level";
/// The version of the official server whose API this is.
pub const API_VERSION: &str = "2.15.0";

const REQUIRED_LEVEL: &str = "_nats.req.level";
const SERVER_VERSION: &str = "_nats.ver";
const SERVER_LEVEL: &str = "_nats.level";

/// What a stream or consumer is told by a client, and what clients may keep beside it: names and values in the order of the names. There may be
/// very many consumers with few names each, so it is no tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Box<[(Box<str>, Box<str>)]>);

impl Metadata {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(self.find(name).ok()?).map(|(_, value)| &**value)
    }

    /// Gives a name a value, instead of any other.
    pub fn insert(&mut self, name: &str, value: &str) {
        match self.find(name) {
            Ok(at) => self.0[at].1 = value.into(),
            Err(at) => self.change(|all| all.insert(at, (name.into(), value.into()))),
        }
    }

    /// Takes a name out.
    pub fn remove(&mut self, name: &str) {
        if let Ok(at) = self.find(name) {
            self.change(|all| drop(all.remove(at)));
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<(Box<str>, Box<str>)>)) {
        let mut all = std::mem::take(&mut self.0).into_vec();
        change(&mut all);
        self.0 = all.into();
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl FromIterator<(String, String)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(all: I) -> Self {
        let all: BTreeMap<String, String> = all.into_iter().collect();
        Self(all.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Field for Metadata {
    fn read(&mut self, node: &Node<'_>, go: &str, reader: &mut Reader) -> Result<(), Abort> {
        let known = self.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut all: BTreeMap<String, String> = known.collect();
        let read = all.read(node, go, reader);
        *self = all.into_iter().collect();
        read
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl Empty for Metadata {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

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
    metadata.insert(REQUIRED_LEVEL, &level.to_string());
}

/// What responses have: what is stored, with the version and level of the server.
#[must_use]
pub fn shown_metadata(stored: &Metadata) -> Metadata {
    let mut shown = stored.clone();
    shown.insert(SERVER_VERSION, API_VERSION);
    shown.insert(SERVER_LEVEL, &API_LEVEL.to_string());
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
        metadata.insert(REQUIRED_LEVEL, level);
    }
    metadata
}
