//! What configurations mean for the machines of streams and consumers.

use dialtone_jetstream::config::{self, ConsumerConfig, DiscardPolicy, StreamConfig};
use dialtone_jetstream::consumer::{self, Surroundings};
use dialtone_jetstream::stream::{self, Discard, Features, Limits, Retention, Storage};
use dialtone_subject::Transform;

/// Bytes of the latest messages of a file stream that stay in memory.
const HOT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A limit of -1, or 0, is none.
fn limit(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|&value| value > 0)
}

/// What a stream's configuration means; `payload_max` are the bytes that a message may have.
pub(super) fn stream(config: &StreamConfig, payload_max: u32) -> stream::Settings {
    stream::Settings {
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
        limits: Limits {
            messages: limit(config.max_msgs),
            bytes: limit(config.max_bytes),
            age: Some(config.max_age.0).filter(|&age| age > 0),
            message_bytes: u32::try_from(config.max_msg_size).ok().filter(|&bytes| bytes > 0),
            per_subject: limit(config.max_msgs_per_subject),
        },
        features: Features {
            rollup: config.allow_rollup_hdrs,
            ttl: config.allow_msg_ttl,
            counter: config.allow_msg_counter,
            atomic: config.allow_atomic,
            schedules: config.allow_msg_schedules,
            deny_delete: config.deny_delete,
            deny_purge: config.deny_purge,
            sealed: config.sealed,
            mirror: config.mirror.is_some(),
        },
        duplicate_window: config.duplicate_window.0,
        marker_ttl: config.subject_delete_marker_ttl.0 / 1_000_000_000,
        first_seq: config.first_seq,
        transform: config.subject_transform.as_ref().and_then(|transform| {
            let source = if transform.src.is_empty() { ">" } else { &transform.src };
            Some((source.into(), Transform::new(source, &transform.dest).ok()?))
        }),
        payload_max,
        hot_bytes_max: HOT_BYTES_MAX,
    }
}

/// What a consumer's configuration means, in a stream.
pub(super) fn consumer(
    config: &ConsumerConfig,
    stream: &StreamConfig,
    payload_max: u32,
) -> consumer::Settings {
    let settles = stream.retention != config::Retention::Limits;
    consumer::Settings::of(config, Surroundings { settles, message_bytes_max: u64::from(payload_max) })
}
