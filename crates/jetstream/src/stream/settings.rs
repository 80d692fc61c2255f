//! What a stream's configuration means for its messages.

use crate::config::{self, DiscardPolicy, StreamConfig};
use dialtone_subject::Transform;

/// Where messages are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In memory alone.
    Memory,
}

/// How long messages are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// Until a limit is reached.
    #[default]
    Limits,
    /// Until all consumers that are interested have acknowledged it.
    Interest,
    /// Until the one consumer that gets it has acknowledged it.
    WorkQueue,
}

/// Who gives way at a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discard {
    /// The oldest messages.
    #[default]
    Old,
    /// The message that comes.
    New {
        /// Also at the limit of messages per subject.
        per_subject: bool,
    },
}

/// Limits; `None`: there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Messages.
    pub messages: Option<u64>,
    /// Bytes, as the stream's state counts them.
    pub bytes: Option<u64>,
    /// Nanoseconds that a message lives.
    pub age: Option<i64>,
    /// Bytes of headers and payload of a message.
    pub message_bytes: Option<u32>,
    /// Messages of one subject.
    pub per_subject: Option<u64>,
}

impl Limits {
    fn of(config: &StreamConfig) -> Self {
        let limit = |limit: i64| u64::try_from(limit).ok().filter(|&limit| limit > 0);
        Self {
            messages: limit(config.max_msgs),
            bytes: limit(config.max_bytes),
            age: Some(config.max_age.0).filter(|&age| age > 0),
            message_bytes: u32::try_from(config.max_msg_size).ok().filter(|&bytes| bytes > 0),
            per_subject: limit(config.max_msgs_per_subject),
        }
    }
}

/// What a stream allows, or denies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `allow_rollup_hdrs`.
    pub rollup: bool,
    /// `allow_msg_ttl`.
    pub ttl: bool,
    /// `allow_msg_counter`.
    pub counter: bool,
    /// `allow_atomic`.
    pub atomic: bool,
    /// `allow_batched`.
    pub fast: bool,
    /// `allow_msg_schedules`.
    pub schedules: bool,
    /// Messages may be stored later: our own setting.
    pub delay: bool,
    /// `deny_delete`.
    pub deny_delete: bool,
    /// `deny_purge`.
    pub deny_purge: bool,
    /// `sealed`.
    pub sealed: bool,
    /// A mirror stores what its origin has, as it is there: nothing is deduplicated.
    pub mirror: bool,
}

impl Features {
    fn of(config: &StreamConfig) -> Self {
        Self {
            rollup: config.allow_rollup_hdrs,
            ttl: config.allow_msg_ttl,
            counter: config.allow_msg_counter,
            atomic: config.allow_atomic,
            fast: config.allow_batched,
            schedules: config.allow_msg_schedules,
            delay: config::beyond::allows_delay(config),
            deny_delete: config.deny_delete,
            deny_purge: config.deny_purge,
            sealed: config.sealed,
            mirror: config.mirror.is_some(),
        }
    }
}

/// All that a stream needs of its configuration.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The stream's name.
    pub name: Box<str>,
    /// Filters of what it stores.
    pub subjects: Vec<Box<str>>,
    /// Cannot be changed.
    pub storage: Storage,
    /// How long messages are kept.
    pub retention: Retention,
    /// Who gives way at a limit.
    pub discard: Discard,
    /// Limits.
    pub limits: Limits,
    /// What is allowed.
    pub features: Features,
    /// Nanoseconds in which a message id is not taken twice; 0: ids are not kept.
    pub duplicate_window: i64,
    /// Seconds that a subject delete marker lives; 0: there are none.
    pub marker_ttl: i64,
    /// The first sequence; 0 and 1 are the same.
    pub first_seq: u64,
    /// From which subjects (a filter), and how, a subject is transformed before it is stored.
    pub transform: Option<(Box<str>, Transform)>,
    /// Its sources, by their [`index_name`](crate::config::StreamSource::index_name).
    pub sources: Vec<Box<str>>,
    /// Bytes of headers and payload that any message may have (`max_payload`): what a counter's message may grow to.
    pub payload_max: u32,
    /// Bytes of bodies of a file stream that are kept in memory.
    pub hot_bytes_max: usize,
}

impl Settings {
    /// What a checked configuration asks for. `payload_max` is the server's `max_payload`, `hot_bytes_max` its share of memory for bodies.
    pub fn of(config: &StreamConfig, payload_max: u32, hot_bytes_max: usize) -> Self {
        let transform = config.subject_transform.as_ref().and_then(|transform| {
            let source = if transform.src.is_empty() { ">" } else { &transform.src };
            Some((source.into(), Transform::new(source, &transform.dest).ok()?))
        });
        Self {
            name: config.name.as_str().into(),
            subjects: config.subjects.iter().map(|subject| subject.as_str().into()).collect(),
            storage: match config.storage {
                config::Storage::File => Storage::File,
                config::Storage::Memory => Storage::Memory,
            },
            retention: match config.retention {
                config::Retention::Limits => Retention::Limits,
                config::Retention::Interest => Retention::Interest,
                config::Retention::WorkQueue => Retention::WorkQueue,
            },
            discard: match config.discard {
                DiscardPolicy::Old => Discard::Old,
                DiscardPolicy::New => Discard::New { per_subject: config.discard_new_per_subject },
            },
            limits: Limits::of(config),
            features: Features::of(config),
            duplicate_window: config.duplicate_window.0.max(0),
            marker_ttl: config.subject_delete_marker_ttl.0.max(0) / 1_000_000_000,
            first_seq: config.first_seq,
            transform,
            sources: config.sources.iter().map(|source| source.index_name().into()).collect(),
            payload_max,
            hot_bytes_max,
        }
    }

    /// Whether `Nats-Rollup` may purge.
    pub fn allows_rollup(&self) -> bool {
        self.features.rollup && !self.features.deny_purge
    }
}
