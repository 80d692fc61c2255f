//! The checks of an update: what a stream may become.

use super::check_stream::{check_discard_per_subject, checked, invalid};
use super::limits::Context;
use super::{
    ConsumerConfig, DiscardPolicy, Retention, StreamConfig, StreamRequest, beyond, check_subjects, metadata,
    unsupported,
};
use crate::error::{self, ApiError};
use crate::time::Nanos;

/// Checks a request to update the stream `name`, which is what the subject says. `consumers` are those of the stream.
///
/// # Errors
/// Those of the API, as official servers find them; last of all a field that is not carried out.
pub fn update_stream<'c>(
    name: &str,
    request: &StreamRequest,
    consumers: &mut dyn Iterator<Item = (&'c str, &'c ConsumerConfig)>,
    context: Context<'_>,
) -> Result<StreamConfig, ApiError> {
    let config = official_update(name, request, consumers, context)?;
    beyond::check_stream(&config)?;
    unsupported::check_stream(&config)?;
    Ok(config)
}

/// [`update_stream`] as if everything were carried out.
pub(super) fn official_update<'c>(
    name: &str,
    request: &StreamRequest,
    consumers: &mut dyn Iterator<Item = (&'c str, &'c ConsumerConfig)>,
    context: Context<'_>,
) -> Result<StreamConfig, ApiError> {
    let mut config = checked(&request.config, request.pedantic, context)?;
    if config.name != name {
        return Err(error::STREAM_MISMATCH.error());
    }
    let old = context.streams.by_name(name).ok_or(error::STREAM_NOT_FOUND)?;
    metadata::static_stream_metadata(&mut config);
    let mut config = checked(&config, request.pedantic, context)?;
    check_changes(old, &config)?;
    if config.sealed {
        config.max_age = Nanos::ZERO;
        config.discard = DiscardPolicy::New;
        config.deny_delete = true;
        config.deny_purge = true;
        config.allow_rollup_hdrs = false;
    }
    let more = config.max_bytes.max(0).saturating_sub(old.max_bytes.max(0)).max(0);
    let tier = context.tier(config.num_replicas)?;
    context.check_size(&config, &tier, more, config.max_bytes.saturating_sub(more))?;
    check_consumers(old, &config, consumers)?;
    check_subjects::check_beside_others(&config, context.streams)?;
    Ok(config)
}

fn check_changes(old: &StreamConfig, new: &StreamConfig) -> Result<(), ApiError> {
    if new.num_replicas > 1 {
        return Err(error::STREAM_REPLICAS_NOT_SUPPORTED.error());
    }
    let is_queue = |config: &StreamConfig| config.retention == Retention::WorkQueue;
    let refusals = [
        (new.storage != old.storage, "stream configuration update can not change storage type"),
        (
            is_queue(new) != is_queue(old),
            "stream configuration update can not change retention policy to/from workqueue",
        ),
        (old.sealed && !new.sealed, "stream configuration update can not unseal a sealed stream"),
        (
            old.deny_delete && !new.deny_delete,
            "stream configuration update can not cancel deny message deletes",
        ),
        (old.deny_purge && !new.deny_purge, "stream configuration update can not cancel deny purge"),
    ];
    if let Some((_, text)) = refusals.iter().find(|(is_there, _)| *is_there) {
        return Err(invalid(text));
    }
    // A mirror may become a stream of its own, by leaving its origin out.
    if new.mirror.is_some() && new.mirror != old.mirror {
        return Err(error::STREAM_MIRROR_NOT_UPDATABLE.error());
    }
    check_discard_per_subject(new)?;
    let refusals = [
        (old.allow_msg_ttl && !new.allow_msg_ttl, "message TTL status can not be disabled"),
        (
            old.allow_msg_counter != new.allow_msg_counter,
            "stream configuration update can not change message counter setting",
        ),
        (old.allow_msg_schedules && !new.allow_msg_schedules, "message schedules can not be disabled"),
        (old.persist_mode != new.persist_mode, "stream configuration update can not change persist mode"),
    ];
    match refusals.iter().find(|(is_there, _)| *is_there) {
        Some((_, text)) => Err(invalid(text)),
        None => Ok(()),
    }
}

/// A new limit of consumers has to hold for those that are there.
fn check_consumers<'c>(
    old: &StreamConfig,
    new: &StreamConfig,
    consumers: &mut dyn Iterator<Item = (&'c str, &'c ConsumerConfig)>,
) -> Result<(), ApiError> {
    let (before, after) = (&old.consumer_limits, &new.consumer_limits);
    if before == after {
        return Ok(());
    }
    let exceeds = |config: &ConsumerConfig| {
        let (threshold, pending) = (after.inactive_threshold, after.max_ack_pending);
        threshold > Nanos::ZERO && config.inactive_threshold > threshold
            || pending > 0 && config.max_ack_pending > pending
    };
    let names: Vec<&str> = consumers.filter(|(_, config)| exceeds(config)).map(|(name, _)| name).collect();
    match names.is_empty() {
        true => Ok(()),
        false => {
            let text = format_args!("change to limits violates consumers: {}", names.join(", "));
            Err(error::STREAM_UPDATE.with(text))
        }
    }
}
