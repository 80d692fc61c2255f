//! JetStream: how it starts, and its API. The streams themselves are in [`crate::streams`].
//!
//! Begin with [`start`], which opens the store, makes the streams again that it has, and answers requests in each account (`api`).

mod api;
mod audit;
mod beyond;
mod checks;
mod consumers;
pub(crate) mod documents;
pub(crate) mod figures;
mod messages;
mod restore;
mod snapshot;
mod start;
mod streams;
mod takeover;

pub use start::StartError;
pub(crate) use start::{FOLDER, STORE, encryption};
pub(crate) use start::{follow, prepare, renew, say_stop, start, stop};
pub(crate) use takeover::ASIDE;

use crate::node::Node;
use dialtone_broker::account::{Account, GLOBAL};
use dialtone_config::options::AccountJetStream;
use dialtone_identity::jwt::Body;
use dialtone_identity::jwt::account::JetStreamLimits;
use dialtone_identity::jwt::claims::Limit;
use dialtone_jetstream::config::{AccountLimits, ServerLimits, Storage};
use dialtone_jetstream::error::{self, ApiError};
use std::collections::BTreeMap;

/// Whether an account has JetStream of its own here.
pub(crate) fn has_jetstream(node: &Node, account: &Account) -> bool {
    tiers(node, account).is_some()
}

/// Whether an account has none, and imports the API of another one: it is not answered in its own name then.
fn is_elsewhere(node: &Node, account: &Account) -> bool {
    !has_jetstream(node, account) && account.sharing().imports_service("$JS.API.INFO")
}

/// Whether an account may work with its streams at present.
///
/// # Errors
/// It has no JetStream, or the store takes nothing any more.
fn check_available(node: &Node, account: &Account) -> Result<(), ApiError> {
    if !has_jetstream(node, account) {
        return Err(error::NOT_ENABLED_FOR_ACCOUNT.error());
    }
    match node.streams.shared().is_none_or(|shared| shared.failure().is_some()) {
        true => Err(error::CLUSTER_NOT_AVAIL.error()),
        false => Ok(()),
    }
}

/// How much of it an account may have, by tier; without tiers under no name. `None`: it has none.
fn tiers(node: &Node, account: &Account) -> Option<BTreeMap<String, AccountLimits>> {
    let policy = node.settings.policy();
    if policy.system_account() == Some(&account.name) {
        return None;
    }
    if let Some(verified) = node.accounts.jwts.find(&account.name) {
        let Body::Account(body) = &verified.token.body else { return None };
        let limits = &body.limits;
        let tiered = limits.tiered_limits.iter().map(|(tier, limits)| (tier.clone(), of_jwt(limits)));
        let flat = limits.tiered_limits.is_empty().then(|| (String::new(), of_jwt(&limits.jetstream)));
        return limits.allows_streams().then(|| tiered.chain(flat).collect());
    }
    let flat = |own: &AccountJetStream| Some(BTreeMap::from([(String::new(), of_options(own))]));
    let configured = &policy.options.access.accounts;
    let tenants = configured.iter().any(|one| policy.system_account() != Some(one.name.as_str()));
    if *account.name == *GLOBAL {
        let is_open = !tenants && policy.authenticator.operators().is_none();
        return is_open.then(AccountJetStream::default).as_ref().and_then(flat);
    }
    configured.iter().find(|one| *one.name == *account.name)?.jetstream.as_ref().and_then(flat)
}

fn of_options(own: &AccountJetStream) -> AccountLimits {
    let limit = |value: Option<u64>| value.map_or(-1, |value| i64::try_from(value).unwrap_or(i64::MAX));
    AccountLimits {
        memory_bytes_max: limit(own.memory_bytes_max),
        storage_bytes_max: limit(own.file_bytes_max),
        streams_max: limit(own.streams_max),
        consumers_max: limit(own.consumers_max),
        ack_pending_max: limit(own.ack_pending_max),
        memory_stream_bytes_max: limit(own.memory_stream_bytes_max),
        storage_stream_bytes_max: limit(own.file_stream_bytes_max),
        max_bytes_required: own.needs_bytes_max,
    }
}

fn of_jwt(own: &JetStreamLimits) -> AccountLimits {
    let limit = |limit: Limit| match limit {
        Limit::Unlimited => -1,
        Limit::AtMost(value) => i64::try_from(value).unwrap_or(i64::MAX),
    };
    AccountLimits {
        memory_bytes_max: limit(own.mem_storage),
        storage_bytes_max: limit(own.disk_storage),
        streams_max: limit(own.streams),
        consumers_max: limit(own.consumer),
        ack_pending_max: limit(own.max_ack_pending),
        memory_stream_bytes_max: limit(own.mem_max_stream_bytes),
        storage_stream_bytes_max: limit(own.disk_max_stream_bytes),
        max_bytes_required: own.max_bytes_required,
    }
}

/// Has publishes go by the limits of an account.
fn renew_quota(node: &Node, account: &Account) {
    let Some(tiers) = tiers(node, account) else { return };
    // Here streams have one replica.
    if let Some(limits) = tiers.get("").or_else(|| tiers.get("R1")) {
        node.streams.all.quota(account.id).set_max([limits.memory_bytes_max, limits.storage_bytes_max]);
    }
}

/// What the server allows, and what its streams have reserved of it.
fn server_limits(node: &Node) -> ServerLimits {
    let mut limits = limits(node);
    for hosted in node.streams.all.all() {
        let inner = hosted.lock();
        let config = &inner.state.meta.config;
        let reserved = match config.storage {
            Storage::Memory => &mut limits.memory_bytes_reserved,
            Storage::File => &mut limits.storage_bytes_reserved,
        };
        *reserved = reserved.saturating_add(config.max_bytes.max(0));
    }
    limits
}

/// What the server allows.
fn limits(node: &Node) -> ServerLimits {
    let policy = node.settings.policy();
    let asked = policy.options.jetstream.as_ref().map(|own| own.limits).unwrap_or_default();
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let capacity = node.streams.capacity();
    ServerLimits {
        memory_bytes_max: count(capacity.memory_bytes_max),
        storage_bytes_max: count(capacity.file_bytes_max),
        memory_bytes_reserved: 0,
        storage_bytes_reserved: 0,
        duplicate_window_max: asked.duplicate_window_max.into(),
        ack_pending_max: count(asked.ack_pending_max),
        request_batch_max: count(asked.request_batch_max),
        consumers_default_max: count(asked.consumers_default_max),
    }
}

/// The domain, empty without one.
fn domain(node: &Node) -> String {
    node.streams.shared().and_then(|shared| shared.domain.as_deref()).unwrap_or_default().to_owned()
}
