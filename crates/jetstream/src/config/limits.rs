//! What accounts and the server allow, and what streams there are: what a check needs to know besides the request.

use super::{Storage, StreamConfig};
use crate::error::{self, ApiError};
use crate::time::Nanos;
use std::collections::BTreeMap;

/// Longest name of a stream or consumer, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 4 * 1024;
/// All keys and values of the metadata together, in bytes.
pub const METADATA_BYTES_MAX: usize = 128 * 1024;
/// How many servers may have a stream.
pub const REPLICAS_MAX: i64 = 5;

/// What an account may use; -1 is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountLimits {
    /// Bytes of streams in memory.
    pub memory_bytes_max: i64,
    /// Bytes of streams on disk.
    pub storage_bytes_max: i64,
    /// How many streams.
    pub streams_max: i64,
    /// How many consumers a stream may have.
    pub consumers_max: i64,
    /// Messages of a consumer that wait for their acknowledgement.
    pub ack_pending_max: i64,
    /// Bytes of one stream in memory; 0 and -1 are no limit.
    pub memory_stream_bytes_max: i64,
    /// Bytes of one stream on disk; 0 and -1 are no limit.
    pub storage_stream_bytes_max: i64,
    /// Whether every stream has to say `max_bytes`.
    pub max_bytes_required: bool,
}

impl AccountLimits {
    /// An account without limits.
    pub const NONE: Self = Self {
        memory_bytes_max: -1,
        storage_bytes_max: -1,
        streams_max: -1,
        consumers_max: -1,
        ack_pending_max: -1,
        memory_stream_bytes_max: -1,
        storage_stream_bytes_max: -1,
        max_bytes_required: false,
    };
}

/// What the server allows, and how much is reserved for streams that say `max_bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// Bytes of all streams in memory.
    pub memory_bytes_max: i64,
    /// Bytes of all streams on disk.
    pub storage_bytes_max: i64,
    /// Bytes in memory that streams of all accounts reserved.
    pub memory_bytes_reserved: i64,
    /// Bytes on disk that streams of all accounts reserved.
    pub storage_bytes_reserved: i64,
    /// Longest window of duplicates; 0 is no limit.
    pub duplicate_window_max: Nanos,
    /// Messages of a consumer that wait for their acknowledgement; 0 is no limit.
    pub ack_pending_max: i64,
    /// Messages that one pull request may ask for; 0 is no limit.
    pub request_batch_max: i64,
    /// Consumers of a stream where neither it nor its account says how many; 0 is no limit.
    pub consumers_default_max: i64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: i64::MAX,
            storage_bytes_max: i64::MAX,
            memory_bytes_reserved: 0,
            storage_bytes_reserved: 0,
            duplicate_window_max: Nanos::ZERO,
            ack_pending_max: 0,
            request_batch_max: 0,
            consumers_default_max: 0,
        }
    }
}

/// Everything a check needs to know besides the request.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The limits of the account, by tier (`R1`); one without tiers has them under the empty name.
    pub tiers: &'a BTreeMap<String, AccountLimits>,
    /// The limits of the server.
    pub server: &'a ServerLimits,
    /// The streams of the account.
    pub streams: &'a dyn Streams,
}

/// The streams of an account.
pub trait Streams {
    /// The one of a name.
    fn by_name(&self, name: &str) -> Option<&StreamConfig>;
    /// Calls `each` for all, in no order.
    fn for_each(&self, each: &mut dyn FnMut(&StreamConfig));
}

impl Streams for BTreeMap<String, StreamConfig> {
    fn by_name(&self, name: &str) -> Option<&StreamConfig> {
        self.get(name)
    }

    fn for_each(&self, each: &mut dyn FnMut(&StreamConfig)) {
        self.values().for_each(each);
    }
}

/// No streams.
#[derive(Debug, Clone, Copy)]
pub struct NoStreams;

impl Streams for NoStreams {
    fn by_name(&self, _: &str) -> Option<&StreamConfig> {
        None
    }

    fn for_each(&self, _: &mut dyn FnMut(&StreamConfig)) {}
}

/// The limits that hold for a stream of so many replicas.
pub(super) struct Tier<'a> {
    pub is_flat: bool,
    pub limits: &'a AccountLimits,
}

impl<'a> Context<'a> {
    /// The limits for a stream of so many replicas.
    ///
    /// # Errors
    /// The account has tiers, and none for these.
    pub(super) fn tier(&self, replicas: i64) -> Result<Tier<'a>, ApiError> {
        if let Some(limits) = self.tiers.get("") {
            return Ok(Tier { is_flat: true, limits });
        }
        let limits = self.tiers.get(&format!("R{}", replicas.max(1))).ok_or(error::NO_LIMITS)?;
        Ok(Tier { is_flat: false, limits })
    }

    /// The streams that share limits with a stream, itself left out.
    fn for_each_beside(&self, stream: &StreamConfig, tier: &Tier<'_>, each: &mut dyn FnMut(&StreamConfig)) {
        self.streams.for_each(&mut |other| {
            let is_same_tier = tier.is_flat || other.num_replicas.max(1) == stream.num_replicas.max(1);
            if is_same_tier && other.name != stream.name {
                each(other);
            }
        });
    }

    /// Whether there may be one stream more.
    pub(super) fn check_count(&self, stream: &StreamConfig, tier: &Tier<'_>) -> Result<(), ApiError> {
        let mut others = 0;
        self.for_each_beside(stream, tier, &mut |_| others += 1);
        if tier.limits.streams_max > 0 && others >= tier.limits.streams_max {
            return Err(error::MAXIMUM_STREAMS_LIMIT.error());
        }
        Ok(())
    }

    /// Whether the consumers of a stream, and `bytes` more that it wants, are within the limits. `kept` are bytes that it has already.
    pub(super) fn check_size(
        &self,
        stream: &StreamConfig,
        tier: &Tier<'_>,
        bytes: i64,
        kept: i64,
    ) -> Result<(), ApiError> {
        let limits = tier.limits;
        if stream.max_consumers > 0 && limits.consumers_max > 0 && stream.max_consumers > limits.consumers_max
        {
            return Err(error::MAXIMUM_CONSUMERS_LIMIT.error());
        }
        let reservation = |stream: &StreamConfig, bytes: i64| {
            let copies = if tier.is_flat { stream.num_replicas.max(1) } else { 1 };
            copies.saturating_mul(bytes.max(0))
        };
        let mut reserved = reservation(stream, kept);
        self.for_each_beside(stream, tier, &mut |other| {
            if other.storage == stream.storage {
                reserved = reserved.saturating_add(reservation(other, other.max_bytes));
            }
        });
        // A stream without a limit of its own needs room for something.
        let bytes = if bytes < 0 { 1 } else { bytes };
        let server = self.server;
        let (account_max, server_max, server_reserved, refusal) = match stream.storage {
            Storage::Memory => (
                limits.memory_bytes_max,
                server.memory_bytes_max,
                server.memory_bytes_reserved,
                error::MEMORY_RESOURCES_EXCEEDED,
            ),
            Storage::File => (
                limits.storage_bytes_max,
                server.storage_bytes_max,
                server.storage_bytes_reserved,
                error::STORAGE_RESOURCES_EXCEEDED,
            ),
        };
        let wanted = reservation(stream, bytes);
        let is_over_account = account_max >= 0 && reserved.saturating_add(wanted) > account_max;
        if is_over_account || server_reserved.saturating_add(bytes) > server_max {
            return Err(refusal.error());
        }
        Ok(())
    }

    /// Whether `max_bytes` is set where it has to be, and within the limit of one stream.
    pub(super) fn check_max_bytes(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        let Ok(tier) = self.tier(stream.num_replicas) else { return Ok(()) };
        let max = match stream.storage {
            Storage::Memory => tier.limits.memory_stream_bytes_max,
            Storage::File => tier.limits.storage_stream_bytes_max,
        };
        if tier.limits.max_bytes_required && stream.max_bytes <= 0 {
            return Err(error::STREAM_MAX_BYTES_REQUIRED.error());
        }
        if max > 0 && stream.max_bytes > max {
            return Err(error::STREAM_MAX_STREAM_BYTES_EXCEEDED.error());
        }
        Ok(())
    }
}
