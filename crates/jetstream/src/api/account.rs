//! What an account has and may have.

use crate::config::{API_LEVEL, AccountLimits};
use crate::json::document;
use std::collections::BTreeMap;

document! {
    /// The limits of an account as responses show them; -1 is no limit.
    pub struct LimitsShown = "JetStreamAccountLimits" {
        /// Bytes of streams in memory.
        pub max_memory: i64, "max_memory" always "int64";
        /// Bytes of streams on disk.
        pub max_storage: i64, "max_storage" always "int64";
        /// How many streams.
        pub max_streams: i64, "max_streams" always "int";
        /// How many consumers a stream may have.
        pub max_consumers: i64, "max_consumers" always "int";
        /// Messages of a consumer that wait for their acknowledgement.
        pub max_ack_pending: i64, "max_ack_pending" always "int";
        /// Bytes of one stream in memory.
        pub memory_max_stream_bytes: i64, "memory_max_stream_bytes" always "int64";
        /// Bytes of one stream on disk.
        pub storage_max_stream_bytes: i64, "storage_max_stream_bytes" always "int64";
        /// Whether every stream has to say `max_bytes`.
        pub max_bytes_required: bool, "max_bytes_required" always "bool";
    }
}

impl From<&AccountLimits> for LimitsShown {
    fn from(limits: &AccountLimits) -> Self {
        Self {
            max_memory: limits.memory_bytes_max,
            max_storage: limits.storage_bytes_max,
            max_streams: limits.streams_max,
            max_consumers: limits.consumers_max,
            max_ack_pending: limits.ack_pending_max,
            memory_max_stream_bytes: limits.memory_stream_bytes_max,
            storage_max_stream_bytes: limits.storage_stream_bytes_max,
            max_bytes_required: limits.max_bytes_required,
        }
    }
}

document! {
    /// What an account uses, of one tier or of all.
    pub struct Tier = "JetStreamTier" {
        /// Bytes in memory.
        pub memory: u64, "memory" always "uint64";
        /// Bytes on disk.
        pub storage: u64, "storage" always "uint64";
        /// Bytes in memory that streams reserved.
        pub reserved_memory: u64, "reserved_memory" always "uint64";
        /// Bytes on disk that streams reserved.
        pub reserved_storage: u64, "reserved_storage" always "uint64";
        /// How many streams.
        pub streams: i64, "streams" always "int";
        /// How many consumers.
        pub consumers: i64, "consumers" always "int";
        /// What it may use; zeros where tiers have the limits.
        pub limits: LimitsShown, "limits" always "server.JetStreamAccountLimits";
    }
}

document! {
    /// How often the API was asked.
    pub struct ApiStats = "JetStreamAPIStats" {
        /// The level of the API.
        pub level: i64, "level" always "int";
        /// Requests.
        pub total: u64, "total" always "uint64";
        /// Requests whose answer was an error.
        pub errors: u64, "errors" always "uint64";
        /// Requests that are not answered yet.
        pub inflight: u64, "inflight" omitempty "uint64";
    }
}

impl ApiStats {
    /// Counters of this server's level.
    pub fn new(total: u64, errors: u64, inflight: u64) -> Self {
        Self { level: i64::from(API_LEVEL), total, errors, inflight }
    }
}

document! {
    /// What an account has and may have.
    pub struct AccountInfo = "JetStreamAccountStats" {
        embed /// All of it.
        pub all: Tier, "JetStreamTier";
        /// The domain of the server.
        pub domain: String, "domain" omitempty "string";
        /// How often the API was asked.
        pub api: ApiStats, "api" always "server.JetStreamAPIStats";
        /// By tier, where there are some.
        pub tiers: BTreeMap<String, Tier>, "tiers" omitempty "map[string]server.JetStreamTier";
    }
}
