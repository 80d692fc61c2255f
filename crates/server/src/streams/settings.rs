//! What configurations mean for the machines of streams and consumers.

use dialtone_jetstream::config::{self, ConsumerConfig, StreamConfig};
use dialtone_jetstream::consumer::{self, Surroundings};
use dialtone_jetstream::stream;

/// Bytes of the latest messages of a file stream that stay in memory.
const HOT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a stream's configuration means; `payload_max` are the bytes that a message may have.
pub(super) fn stream(config: &StreamConfig, payload_max: u32) -> stream::Settings {
    stream::Settings::of(config, payload_max, HOT_BYTES_MAX)
}

/// What a consumer's configuration means, in a stream.
pub(super) fn consumer(
    config: &ConsumerConfig,
    stream: &StreamConfig,
    payload_max: u32,
) -> consumer::Settings {
    let settles = stream.retention != config::Retention::Limits;
    let message_bytes_max =
        u64::try_from(stream.max_msg_size).ok().filter(|&bytes| bytes > 0).unwrap_or(u64::from(payload_max));
    consumer::Settings::of(config, Surroundings { settles, message_bytes_max })
}
