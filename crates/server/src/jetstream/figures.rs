//! What there is to say of JetStream to whoever watches the server: what it may take and what it has taken, as a whole and by account.
//! `/varz`, `/jsz` and STATSZ show it, in the official fields and their order.

use super::tiers;
use crate::documents::{is_default, nanos};
use crate::node::Node;
use crate::streams::Hosted;
use dialtone_broker::account::Account;
use dialtone_config::options::JetStream;
use dialtone_config::options::jetstream::{Acks, Sync};
use dialtone_jetstream::api::ApiStats;
use dialtone_jetstream::config::{AccountLimits, Storage};
use dialtone_jetstream::memory::Part;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often what is written is synced in the background, where each acknowledgement follows its sync. The official figure.
const SYNC_INTERVAL: Duration = Duration::from_secs(120);

/// JetStream as a whole; without anything where it is off.
#[derive(Default, Serialize)]
pub(crate) struct Whole {
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Config>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Stats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
}

impl Whole {
    /// All that there is to say.
    pub(crate) fn of(node: &Node) -> Self {
        match node.streams.shared() {
            Some(_) => Self {
                config: Some(Config::of(node)),
                stats: Some(Stats::of(node)),
                limits: Some(Limits::of(node)),
            },
            None => Self::default(),
        }
    }

    /// The same for other servers, which need not know where this one keeps its files. `None`: it is off.
    pub(crate) fn for_others(node: &Node) -> Option<Self> {
        let mut whole = Self::of(node);
        whole.config.as_mut()?.store_dir = String::new();
        Some(whole)
    }
}

/// What it may take.
#[derive(Default, Serialize)]
pub(crate) struct Config {
    max_memory: u64,
    max_storage: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    store_dir: String,
    #[serde(skip_serializing_if = "is_default")]
    sync_interval: u64,
    #[serde(skip_serializing_if = "is_default")]
    sync_always: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    compress_ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_tag: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    strict: bool,
    /// Ours: when publishers are answered, if that is before the sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    ack_when: Option<&'static str>,
    /// Ours: bytes of memory that streams in files may take, if that is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_limit: Option<u64>,
}

impl Config {
    /// As it is in force.
    pub(crate) fn of(node: &Node) -> Self {
        let policy = node.settings.policy();
        let own = policy.options.jetstream.clone().unwrap_or_default();
        let capacity = node.streams.capacity();
        let sync_interval = match own.sync {
            Sync::Every(interval) => interval,
            Sync::Always => SYNC_INTERVAL,
        };
        Self {
            max_memory: capacity.memory_bytes_max,
            max_storage: capacity.file_bytes_max,
            store_dir: capacity.folder.display().to_string(),
            sync_interval: nanos(sync_interval),
            sync_always: own.sync == Sync::Always,
            domain: node.streams.shared().and_then(|shared| shared.domain.as_deref().map(str::to_owned)),
            compress_ok: is_sized(&own),
            unique_tag: own.unique_tag,
            strict: own.strict,
            ack_when: (own.acks == Acks::Written).then_some("written"),
            memory_limit: own.memory_limit,
        }
    }
}

/// Whether both sizes are given; official servers say of nothing else that they compress.
fn is_sized(own: &JetStream) -> bool {
    [own.memory_bytes_max, own.file_bytes_max].iter().all(|bytes| bytes.is_some_and(|bytes| bytes > 0))
}

/// What it has taken, of the whole server or of an account.
#[derive(Default, Serialize)]
pub(crate) struct Stats {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    accounts: usize,
    ha_assets: u64,
    api: ApiStats,
    /// Ours: what streams in files take of `memory_limit`, by part, if that is configured; of the server.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    memory_used: BTreeMap<&'static str, u64>,
}

impl Stats {
    /// Of the server.
    pub(crate) fn of(node: &Node) -> Self {
        let usage = Usage::of(&node.streams.all.all());
        let asked = node.streams.asked_by_all();
        let is_limited =
            node.settings.policy().options.jetstream.as_ref().is_some_and(|own| own.memory_limit.is_some());
        Self {
            memory: usage.bytes[0],
            storage: usage.bytes[1],
            reserved_memory: usage.reserved[0],
            reserved_storage: usage.reserved[1],
            accounts: enabled_accounts(node).len(),
            ha_assets: 0,
            api: ApiStats::new(asked.total, asked.errors, 0),
            memory_used: match is_limited {
                true => memory_used(node).into_iter().map(|(part, bytes, _)| (part, bytes)).collect(),
                false => BTreeMap::new(),
            },
        }
    }

    /// Of an account, whose limits are reserved; no limit is the largest number.
    pub(crate) fn of_account(node: &Node, account: &Account, usage: &Usage) -> Self {
        let tiers = tiers(node, account).unwrap_or_default();
        let limits = tiers.get("").cloned().unwrap_or(AccountLimits::NONE);
        let asked = node.streams.asked_so_far(account);
        Self {
            memory: usage.bytes[0],
            storage: usage.bytes[1],
            reserved_memory: limits.memory_bytes_max.cast_unsigned(),
            reserved_storage: limits.storage_bytes_max.cast_unsigned(),
            accounts: 0,
            ha_assets: 0,
            api: ApiStats { level: 0, ..ApiStats::new(asked.total, asked.errors, 0) },
            memory_used: BTreeMap::new(),
        }
    }
}

/// Bytes of memory that streams in files take, by part, and how many each may; nothing where JetStream is off.
pub(crate) fn memory_used(node: &Node) -> Vec<(&'static str, u64, u64)> {
    let Some(shared) = node.streams.shared() else { return Vec::new() };
    let figures =
        |part: Part| (part.name(), shared.memory_used(part) as u64, shared.memory().share(part) as u64);
    Part::ALL.map(figures).to_vec()
}

/// What requests may ask for.
#[derive(Serialize)]
pub(crate) struct Limits {
    #[serde(skip_serializing_if = "is_default")]
    max_request_batch: u64,
    #[serde(skip_serializing_if = "is_default")]
    max_ack_pending: u64,
    #[serde(skip_serializing_if = "is_default")]
    max_duplicate_window: u64,
    #[serde(skip_serializing_if = "is_default")]
    max_batch_inflight_per_stream: u64,
    #[serde(skip_serializing_if = "is_default")]
    max_batch_inflight_total: u64,
    #[serde(skip_serializing_if = "is_default")]
    max_batch_size: u64,
    #[serde(skip_serializing_if = "is_default")]
    max_batch_timeout: u64,
    default_max_consumers: u64,
}

impl Limits {
    /// As they are in force.
    pub(crate) fn of(node: &Node) -> Self {
        let policy = node.settings.policy();
        let limits = policy.options.jetstream.as_ref().map(|own| own.limits).unwrap_or_default();
        Self {
            max_request_batch: limits.request_batch_max,
            max_ack_pending: limits.ack_pending_max,
            max_duplicate_window: nanos(limits.duplicate_window_max),
            max_batch_inflight_per_stream: limits.batch.per_stream_max,
            max_batch_inflight_total: limits.batch.open_max,
            max_batch_size: limits.batch.messages_max,
            max_batch_timeout: nanos(limits.batch.timeout),
            default_max_consumers: limits.consumers_default_max,
        }
    }
}

/// What streams take, in memory and in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Bytes of messages: in memory, in files.
    pub(crate) bytes: [u64; 2],
    /// Bytes that streams reserved by their `max_bytes`.
    pub(crate) reserved: [u64; 2],
    /// How many messages.
    pub(crate) messages: u64,
    /// How many consumers, with those by which mirrors and sources follow.
    pub(crate) consumers: usize,
    /// How many without them.
    pub(crate) shown_consumers: usize,
}

impl Usage {
    /// Of some streams.
    pub(crate) fn of(streams: &[Arc<Hosted>]) -> Self {
        let mut usage = Self::default();
        for hosted in streams {
            let inner = hosted.lock();
            let (config, totals) = (&inner.state.meta.config, inner.state.machine.totals());
            let at = usize::from(config.storage == Storage::File);
            usage.bytes[at] += totals.bytes;
            usage.reserved[at] += u64::try_from(config.max_bytes).unwrap_or(0);
            usage.messages += totals.count;
            usage.consumers += inner.state.consumers.len();
            usage.shown_consumers += inner.state.shown_consumers();
        }
        usage
    }
}

/// Accounts that have JetStream, by name.
pub(crate) fn enabled_accounts(node: &Node) -> Vec<Arc<Account>> {
    let mut all = node.accounts.all();
    all.retain(|account| super::has_jetstream(node, account));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}
