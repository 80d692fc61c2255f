//! What may be set of a store.

use std::time::Duration;

use crate::seal::Encryption;

/// What may be set of a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// A log file is followed by the next when it has so many bytes.
    pub log_file_bytes: u64,
    /// A log file grows by so many bytes at once, at most 256 MiB.
    pub log_ahead_bytes: u32,
    /// A checkpoint begins another segment when one has so many bytes of records.
    pub segment_bytes: u64,
    /// Bytes of a file that is given up when the disk is full, so that deletes have room. It is made by the first checkpoint.
    pub reserve_bytes: u64,
    /// No batch is begun while so many bytes wait for the disk; one that frees room, while twice as many do.
    pub pending_bytes_max: usize,
    /// How long what nobody waits for may wait for something to be written with.
    pub linger: Duration,
    /// How long after the last batch an empty one says that it is durable.
    pub mark_delay: Duration,
    /// How long a full disk is left alone before what was taken is written again.
    pub full_retry_interval: Duration,
    /// By what the store is encrypted. `None`: it is not, and one that is cannot be opened.
    pub encryption: Option<Encryption>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            log_file_bytes: 64 << 20,
            log_ahead_bytes: 1 << 20,
            segment_bytes: 64 << 20,
            reserve_bytes: 64 << 20,
            pending_bytes_max: 32 << 20,
            linger: Duration::from_millis(10),
            mark_delay: Duration::from_millis(10),
            full_retry_interval: Duration::from_millis(100),
            encryption: None,
        }
    }
}

impl Options {
    pub(crate) fn ahead_bytes(&self) -> u32 {
        self.log_ahead_bytes.clamp(512, 256 << 20)
    }
}
