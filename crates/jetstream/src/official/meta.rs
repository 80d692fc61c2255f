//! What a stream or consumer is: JSON in a file of its own, its checksum in another.

use super::hash::HighwayHash;
use crate::config::{ConsumerConfig, StreamConfig};
use crate::json::document;
use crate::time::Time;
use sha2::{Digest, Sha256};

document! {
    /// What a stream is.
    pub struct StreamFile = "FileStreamInfo" {
        embed /// Its configuration.
        pub config: StreamConfig, "StreamConfig";
        /// When it was made.
        pub created: Time, "Created" always "time.Time";
    }
}

document! {
    /// What a consumer is.
    pub struct ConsumerFile = "FileConsumerInfo" {
        embed /// Its configuration.
        pub config: ConsumerConfig, "ConsumerConfig";
        /// When it was made.
        pub created: Time, "Created" always "time.Time";
    }
}

/// What stands in `meta.sum` beside a `meta.inf`: of a stream by its name, of a consumer by `STREAM/CONSUMER`.
pub fn meta_sum(name: &str, meta: &[u8]) -> String {
    let mut hash = HighwayHash::new(&Sha256::digest(name).into());
    hash.write(meta);
    hash.finish().to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
