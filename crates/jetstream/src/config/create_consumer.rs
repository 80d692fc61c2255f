//! Requests to create or update a consumer: what the subject says of it, its checks, and its place beside the others of the stream.

use super::check_consumer::{Bounds, INACTIVE_THRESHOLD_DEFAULT, check_backoff};
use super::check_subjects::overlaps;
use super::limits::{Context, NAME_BYTES_MAX};
use super::{
    AckPolicy, ConsumerAction, ConsumerConfig, ConsumerRequest, DeliverPolicy, Retention, StreamConfig,
    beyond, metadata, unsupported,
};
use crate::error::{self, ApiError};
use crate::time::Time;

/// What the subject of a request says of the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming<'a> {
    /// `CONSUMER.CREATE.<stream>`: it gets a name.
    Unnamed,
    /// `CONSUMER.CREATE.<stream>.<consumer>[.<filter>]`
    Named {
        /// Its name.
        consumer: &'a str,
        /// Its only filter; empty is none.
        filter: &'a str,
    },
    /// `CONSUMER.DURABLE.CREATE.<stream>.<consumer>`
    Durable {
        /// Its name.
        consumer: &'a str,
    },
}

/// The consumers of a stream, as far as another one has to fit beside them.
pub trait Consumers {
    /// The one of a name.
    fn by_name(&self, name: &str) -> Option<ConsumerConfig>;
    /// Calls `each` for all, in no order.
    fn for_each(&self, each: &mut dyn FnMut(&str, &ConsumerConfig));
    /// How many count towards limits: all but those by which other streams take messages.
    fn countable(&self) -> i64;
    /// Whether anybody listens where the consumer of this name delivers.
    fn is_bound(&self, name: &str) -> bool;
}

/// What a request comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum ConsumerCreation {
    /// A consumer is to be made of this.
    New {
        /// Its name, which the configuration of one that came without a name does not have.
        name: String,
        /// What it shall be.
        config: Box<ConsumerConfig>,
    },
    /// A consumer is to become this; it may be what it is already.
    Update {
        /// Its name.
        name: String,
        /// What it shall be.
        config: Box<ConsumerConfig>,
    },
}

/// Checks a request to create or update a consumer of `stream`, which the request names, too. [`check_naming`] was asked before the stream was
/// looked up. `new_name` makes names for those that come without one.
///
/// # Errors
/// Those of the API, as official servers find them; last of all a field that is not carried out.
pub fn create_consumer(
    request: &ConsumerRequest,
    stream: &StreamConfig,
    consumers: &dyn Consumers,
    new_name: &mut dyn FnMut() -> String,
    context: Context<'_>,
) -> Result<ConsumerCreation, ApiError> {
    let creation = official_consumer(request, stream, consumers, new_name, context)?;
    let (ConsumerCreation::New { config, .. } | ConsumerCreation::Update { config, .. }) = &creation;
    let old = match &creation {
        ConsumerCreation::New { .. } => None,
        ConsumerCreation::Update { name, .. } => consumers.by_name(name),
    };
    beyond::check_consumer(config, old.as_ref(), stream)?;
    unsupported::check_consumer(config)?;
    Ok(creation)
}

/// Checks what the subject says against the request, and puts its name into the configuration.
///
/// # Errors
/// Those of the API.
pub fn check_naming(stream: &str, naming: Naming<'_>, request: &mut ConsumerRequest) -> Result<(), ApiError> {
    if stream != request.stream_name {
        return Err(error::STREAM_MISMATCH.error());
    }
    let config = &mut request.config;
    let consumer = match naming {
        Naming::Unnamed => config.name.as_str(),
        Naming::Named { consumer, .. } | Naming::Durable { consumer } => consumer,
    };
    if consumer.contains(['\\', '/']) {
        return Err(error::CONSUMER_NAME_CONTAINS_PATH_SEPARATORS.error());
    }
    let durable = config.durable_name.as_str();
    match naming {
        Naming::Durable { .. } if durable.is_empty() => {
            return Err(error::CONSUMER_DURABLE_NAME_NOT_SET.error());
        }
        Naming::Durable { consumer } | Naming::Named { consumer, .. } => {
            if !durable.is_empty() && durable != consumer {
                return Err(error::CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT.error());
            }
            config.name = consumer.to_owned();
        }
        Naming::Unnamed if !durable.is_empty() => {
            return Err(error::CONSUMER_EPHEMERAL_WITH_DURABLE_NAME.error());
        }
        Naming::Unnamed => {}
    }
    if let Naming::Named { filter, .. } = naming
        && !filter.is_empty()
    {
        if !config.filter_subjects.is_empty() {
            return Err(error::CONSUMER_MULTIPLE_FILTERS_NOT_ALLOWED.error());
        }
        if config.filter_subject != filter {
            return Err(error::CONSUMER_CREATE_FILTER_SUBJECT_MISMATCH.error());
        }
    }
    if config.num_replicas > 1 {
        return Err(error::STREAM_REPLICAS_NOT_SUPPORTED.error());
    }
    Ok(())
}

/// [`create_consumer`] as if everything were carried out.
pub(super) fn official_consumer(
    request: &ConsumerRequest,
    stream: &StreamConfig,
    consumers: &dyn Consumers,
    new_name: &mut dyn FnMut() -> String,
    context: Context<'_>,
) -> Result<ConsumerCreation, ApiError> {
    let mut config = request.config.clone();
    let known = |config: &ConsumerConfig| {
        let name = if config.durable_name.is_empty() { &config.name } else { &config.durable_name };
        consumers.by_name(name).filter(|_| !name.is_empty()).map(|existing| (name.clone(), existing))
    };
    // A pause changes by its own request alone.
    if let Some((_, existing)) = known(&config) {
        config.pause_until = existing.pause_until;
    }
    metadata::static_consumer_metadata(&mut config);
    let replicas = if config.num_replicas == 0 { stream.num_replicas } else { config.num_replicas };
    let tier = context.tier(replicas)?;
    let bounds = Bounds { stream, server: context.server, account: tier.limits, pedantic: request.pedantic };
    bounds.fill(&mut config)?;
    bounds.check(&config)?;
    if let Some((name, existing)) = known(&config) {
        return updated(config, &name, &existing, request.action, stream, consumers);
    }
    if request.action == ConsumerAction::Update {
        return Err(error::CONSUMER_DOES_NOT_EXIST.error());
    }
    check_count(stream, consumers, tier.limits.consumers_max, context.server.consumers_default_max)?;
    if stream.retention == Retention::WorkQueue && !config.direct && !config.sourcing {
        check_queue(&config, consumers)?;
    }
    // Official servers say of a long name without durability only that it cannot be stored.
    if config.durable_name.len().max(config.name.len()) > NAME_BYTES_MAX {
        return Err(error::CONSUMER_NAME_TOO_LONG.with(NAME_BYTES_MAX));
    }
    let mut name =
        if config.durable_name.is_empty() { config.name.clone() } else { config.durable_name.clone() };
    while name.is_empty() || consumers.by_name(&name).is_some() {
        name = new_name();
    }
    if config.durable_name.is_empty() && config.inactive_threshold.is_zero() {
        config.inactive_threshold = INACTIVE_THRESHOLD_DEFAULT;
    }
    Ok(ConsumerCreation::New { name, config: Box::new(config) })
}

/// What the streams begin with in which MQTT keeps what sessions are owed: each subscription there is a consumer, so that a limit meant for streams
/// that people make would be one of devices.
const OF_MQTT: &str = "$MQTT_";

/// How many consumers a stream may have; 0: no limit. What the server allows by default counts where neither stream nor account say anything.
fn count_max(stream: &StreamConfig, account_max: i64, default_max: i64) -> i64 {
    let mut max = stream.max_consumers;
    if max <= 0 || account_max > 0 && account_max < max {
        max = account_max;
    }
    if max <= 0 && !stream.name.starts_with(OF_MQTT) {
        max = default_max;
    }
    max.max(0)
}

/// Whether a stream may have one consumer more.
fn check_count(
    stream: &StreamConfig,
    consumers: &dyn Consumers,
    account_max: i64,
    default_max: i64,
) -> Result<(), ApiError> {
    let max = count_max(stream, account_max, default_max);
    if max > 0 && consumers.countable() >= max {
        return Err(error::MAXIMUM_CONSUMERS_LIMIT.error());
    }
    Ok(())
}

/// In a work queue each message is for one consumer, which acknowledges it.
fn check_queue(config: &ConsumerConfig, consumers: &dyn Consumers) -> Result<(), ApiError> {
    if !matches!(config.ack_policy, AckPolicy::Explicit | AckPolicy::FlowControl) {
        return Err(error::CONSUMER_WQ_REQUIRES_EXPLICIT_ACK.error());
    }
    if config.deliver_policy != DeliverPolicy::All {
        return Err(error::CONSUMER_WQ_CONSUMER_NOT_DELIVER_ALL.error());
    }
    if consumers.countable() == 0 {
        return Ok(());
    }
    if config.filters().next().is_none() {
        return Err(error::CONSUMER_WQ_MULTIPLE_UNFILTERED.error());
    }
    let name = if config.durable_name.is_empty() { &config.name } else { &config.durable_name };
    check_unique(name, config, consumers)
}

/// No other consumer of a work queue may want the same messages.
fn check_unique(name: &str, config: &ConsumerConfig, consumers: &dyn Consumers) -> Result<(), ApiError> {
    let mut is_unique = true;
    consumers.for_each(&mut |other, theirs| {
        if other == name || theirs.direct || theirs.sourcing {
            return;
        }
        let wants_all = theirs.filters().next().is_none();
        let wants = |filter: &str| wants_all || theirs.filters().any(|their| overlaps(filter, their));
        is_unique &= !config.filters().any(wants);
    });
    if is_unique { Ok(()) } else { Err(error::CONSUMER_WQ_CONSUMER_NOT_UNIQUE.error()) }
}

fn updated(
    mut config: ConsumerConfig,
    name: &str,
    existing: &ConsumerConfig,
    action: ConsumerAction,
    stream: &StreamConfig,
    consumers: &dyn Consumers,
) -> Result<ConsumerCreation, ApiError> {
    if action == ConsumerAction::Create {
        config.metadata = metadata::comparable(&config.metadata, &existing.metadata);
        if config != *existing {
            return Err(error::CONSUMER_ALREADY_EXISTS.error());
        }
    }
    if stream.retention == Retention::WorkQueue {
        check_unique(name, &config, consumers)?;
    }
    if config != *existing {
        check_changes(existing, &config, consumers.is_bound(name))?;
    }
    config.pause_until = config.pause_until.map(Time::utc);
    let loses_threshold = config.inactive_threshold.is_zero() && !existing.inactive_threshold.is_zero();
    if existing.durable_name.is_empty() && loses_threshold {
        config.inactive_threshold = INACTIVE_THRESHOLD_DEFAULT;
    }
    Ok(ConsumerCreation::Update { name: name.to_owned(), config: Box::new(config) })
}

/// What a consumer may not become.
fn check_changes(old: &ConsumerConfig, new: &ConsumerConfig, is_bound: bool) -> Result<(), ApiError> {
    let moment = |config: &ConsumerConfig| config.opt_start_time.map(Time::utc);
    let refusals = [
        (old.deliver_policy != new.deliver_policy, "deliver policy can not be updated"),
        (old.mem_storage != new.mem_storage, "storage type can not be updated"),
        (old.direct != new.direct, "direct can not be updated"),
        (old.sourcing != new.sourcing, "sourcing can not be updated"),
        (old.opt_start_seq != new.opt_start_seq, "start sequence can not be updated"),
        (moment(old) != moment(new), "start time can not be updated"),
        (old.ack_policy != new.ack_policy, "ack policy can not be updated"),
        (old.replay_policy != new.replay_policy, "replay policy can not be updated"),
        (old.idle_heartbeat != new.idle_heartbeat, "heart beats can not be updated"),
        (old.flow_control != new.flow_control, "flow control can not be updated"),
        (old.is_pull() && !new.is_pull(), "can not update pull consumer to push based"),
        (!old.is_pull() && new.is_pull(), "can not update push consumer to pull based"),
    ];
    if let Some((_, text)) = refusals.iter().find(|(is_there, _)| *is_there) {
        return Err(error::CONSUMER_CREATE.with(text));
    }
    if old.deliver_subject != new.deliver_subject && is_bound {
        return Err(error::CONSUMER_NAME_EXIST.error());
    }
    if old.max_waiting != new.max_waiting {
        return Err(error::CONSUMER_CREATE.with("max waiting can not be updated"));
    }
    check_backoff(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_limit_of_consumers_is_none_of_devices() {
        let of = |name: &str, max_consumers| StreamConfig {
            name: name.into(),
            max_consumers,
            ..StreamConfig::default()
        };
        for (stream, account_max, expected) in [
            (of("S", 0), 0, 1000),
            (of("S", 0), 5, 5),
            (of("S", 7), 5, 5),
            (of("S", 7), -1, 7),
            (of("$MQTT_msgs", 0), 0, 0),
            (of("$MQTT_msgs", -1), -1, 0),
            (of("$MQTT_msgs", 0), 5, 5),
            (of("$MQTT_msgs", 7), 0, 7),
        ] {
            assert_eq!(count_max(&stream, account_max, 1000), expected, "{} {account_max}", stream.name);
        }
    }
}
