//! The checks of a consumer's configuration, in the order in which official servers find errors.

use super::check_stream::{invalid, is_valid_name};
use super::check_subjects::is_valid;
use super::limits::{AccountLimits, DESCRIPTION_BYTES_MAX, METADATA_BYTES_MAX, ServerLimits};
use super::{AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy, Retention, StreamConfig};
use crate::error::{self, ApiError};
use crate::time::Nanos;
use dialtone_subject::set::{contains, is_literal};

/// How many pull requests of a consumer wait where nothing is said.
pub const MAX_WAITING_DEFAULT: i64 = 512;
/// How long an acknowledgement is waited for where nothing is said.
pub const ACK_WAIT_DEFAULT: Nanos = Nanos::seconds(30);
/// How many messages wait for their acknowledgement where nothing is said.
pub const MAX_ACK_PENDING_DEFAULT: i64 = 1000;
/// After how long without interest a consumer without durable name goes, where nothing is said.
pub const INACTIVE_THRESHOLD_DEFAULT: Nanos = Nanos::seconds(5);
/// How long a pinned client may be silent where nothing is said.
pub const PRIORITY_TIMEOUT_DEFAULT: Nanos = Nanos::seconds(120);
/// The heartbeat of consumers that other streams read by.
const SOURCE_HEARTBEAT: Nanos = Nanos::seconds(1);
/// The shortest heartbeat.
const HEARTBEAT_MIN: Nanos = Nanos::millis(100);
/// Bytes of the name of a priority group.
const GROUP_BYTES_MAX: usize = 16;

/// What a check of a consumer needs to know besides its configuration.
pub(super) struct Bounds<'a> {
    pub stream: &'a StreamConfig,
    pub server: &'a ServerLimits,
    pub account: &'a AccountLimits,
    pub pedantic: bool,
}

impl Bounds<'_> {
    /// # Errors
    /// In pedantic mode, if `is_changed`.
    fn changes(&self, is_changed: bool, text: &str) -> Result<(), ApiError> {
        if self.pedantic && is_changed { Err(error::PEDANTIC.with(text)) } else { Ok(()) }
    }

    /// Puts the defaults where nothing is said, and takes numbers away that mean nothing.
    pub fn fill(&self, config: &mut ConsumerConfig) -> Result<(), ApiError> {
        self.fill_numbers(config)?;
        if config.is_pull() && config.max_waiting == 0 {
            config.max_waiting = MAX_WAITING_DEFAULT;
        }
        if config.ack_wait.is_zero() && matches!(config.ack_policy, AckPolicy::Explicit | AckPolicy::All) {
            config.ack_wait = ACK_WAIT_DEFAULT;
        }
        if let Some(first) = config.backoff.first() {
            let text = "first backoff value has to equal batch AckWait";
            self.changes(config.ack_wait != *first, text)?;
            config.ack_wait = *first;
        }
        self.fill_limits(config)?;
        if config.priority_policy == PriorityPolicy::PinnedClient && config.priority_timeout.is_zero() {
            config.priority_timeout = PRIORITY_TIMEOUT_DEFAULT;
        }
        if config.ack_policy == AckPolicy::FlowControl && !self.pedantic {
            config.flow_control = true;
            config.idle_heartbeat = SOURCE_HEARTBEAT;
        }
        Ok(())
    }

    fn fill_numbers(&self, config: &mut ConsumerConfig) -> Result<(), ApiError> {
        self.changes(config.max_deliver < -1, "max_deliver must be set to -1")?;
        if config.max_deliver < 1 {
            config.max_deliver = -1;
        }
        let negative = |name: &str| format!("{name} must not be negative");
        self.changes(config.max_waiting < 0, &negative("max_waiting"))?;
        config.max_waiting = config.max_waiting.max(0);
        self.changes(config.max_ack_pending < -1, "max_ack_pending must be set to -1")?;
        config.max_ack_pending = config.max_ack_pending.max(-1);
        self.changes(config.max_batch < 0, &negative("max_batch"))?;
        config.max_batch = config.max_batch.max(0);
        self.changes(config.max_expires < Nanos::ZERO, &negative("max_expires"))?;
        config.max_expires = config.max_expires.max(Nanos::ZERO);
        self.changes(config.max_bytes < 0, &negative("max_bytes"))?;
        config.max_bytes = config.max_bytes.max(0);
        for (value, name) in [
            (&mut config.idle_heartbeat, "idle_heartbeat"),
            (&mut config.inactive_threshold, "inactive_threshold"),
            (&mut config.priority_timeout, "priority_timeout"),
        ] {
            self.changes(*value < Nanos::ZERO, &negative(name))?;
            *value = (*value).max(Nanos::ZERO);
        }
        Ok(())
    }

    /// The limits of stream, account and server are what a consumer has that says none.
    fn fill_limits(&self, config: &mut ConsumerConfig) -> Result<(), ApiError> {
        let of_stream = &self.stream.consumer_limits;
        let text = |name: &str| format!("{name} must be set if it's configured in stream limits");
        if config.max_ack_pending == 0 {
            self.changes(of_stream.max_ack_pending > 0, &text("max_ack_pending"))?;
            config.max_ack_pending = of_stream.max_ack_pending;
        }
        if config.inactive_threshold.is_zero() {
            let is_set = of_stream.inactive_threshold > Nanos::ZERO;
            self.changes(is_set, &text("inactive_threshold"))?;
            config.inactive_threshold = of_stream.inactive_threshold;
        }
        if config.max_ack_pending == 0 && config.ack_policy != AckPolicy::None {
            let limits = [MAX_ACK_PENDING_DEFAULT, self.server.ack_pending_max, self.account.ack_pending_max];
            config.max_ack_pending =
                limits.into_iter().filter(|limit| *limit > 0).min().unwrap_or(MAX_ACK_PENDING_DEFAULT);
        }
        let batch = self.server.request_batch_max;
        if config.is_pull() && config.max_batch == 0 && batch > 0 {
            self.changes(true, "max_request_batch must be set if it's JetStream limits are set")?;
            config.max_batch = batch;
        }
        Ok(())
    }

    /// Checks a configuration that has its defaults.
    pub fn check(&self, config: &ConsumerConfig) -> Result<(), ApiError> {
        self.check_names_and_replicas(config)?;
        check_times(config)?;
        check_flow_control_acks(config)?;
        check_backoff(config)?;
        if config.description.len() > DESCRIPTION_BYTES_MAX {
            return Err(error::CONSUMER_DESCRIPTION_TOO_LONG.with(DESCRIPTION_BYTES_MAX));
        }
        match config.is_pull() {
            true => self.check_pull(config)?,
            false => self.check_push(config)?,
        }
        self.check_limits(config)?;
        if config.direct && config.is_pull() {
            return Err(error::CONSUMER_DIRECT_REQUIRES_PUSH.error());
        }
        if config.direct && !config.durable_name.is_empty() {
            return Err(error::CONSUMER_DIRECT_REQUIRES_EPHEMERAL.error());
        }
        check_filters(config)?;
        check_start(config)?;
        check_sampling(config)?;
        if config.flow_control && config.idle_heartbeat.is_zero() {
            return Err(error::CONSUMER_WITH_FLOW_CONTROL_NEEDS_HEARTBEATS.error());
        }
        let has_two_names = !config.durable_name.is_empty() && !config.name.is_empty();
        if has_two_names && config.durable_name != config.name {
            return Err(error::CONSUMER_CREATE_DURABLE_AND_NAME_MISMATCH.error());
        }
        let metadata_bytes: usize = config.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
        if metadata_bytes > METADATA_BYTES_MAX {
            return Err(error::CONSUMER_METADATA_LENGTH.with(format_args!("{}KB", METADATA_BYTES_MAX / 1024)));
        }
        check_priorities(config)
    }

    fn check_names_and_replicas(&self, config: &ConsumerConfig) -> Result<(), ApiError> {
        for (name, what) in [(&config.name, "consumer name"), (&config.durable_name, "consumer durable name")]
        {
            if !name.is_empty() && !is_valid_name(name) {
                return Err(invalid(format_args!(r"{what} can not contain '.', '*', '>', '\', '/'")));
            }
        }
        let (ours, of_stream) = (config.num_replicas, self.stream.num_replicas);
        if ours > 0 && ours > of_stream {
            return Err(error::CONSUMER_REPLICAS_EXCEEDS_STREAM.error());
        }
        if ours < 0 {
            return Err(error::REPLICAS_COUNT_CANNOT_BE_NEGATIVE.error());
        }
        if self.stream.retention != Retention::Limits && ours != 0 && ours != of_stream {
            return Err(error::CONSUMER_REPLICAS_SHOULD_MATCH_STREAM.error());
        }
        Ok(())
    }

    fn check_push(&self, config: &ConsumerConfig) -> Result<(), ApiError> {
        let subject = config.deliver_subject.as_bytes();
        if !is_literal(subject) {
            return Err(error::CONSUMER_DELIVER_TO_WILDCARDS.error());
        }
        if !is_valid(&config.deliver_subject) {
            return Err(error::CONSUMER_INVALID_DELIVER_SUBJECT.error());
        }
        if self.stream.subjects.iter().any(|stored| contains(stored.as_bytes(), subject)) {
            return Err(error::CONSUMER_DELIVER_CYCLE.error());
        }
        if config.max_waiting != 0 {
            return Err(error::CONSUMER_PUSH_MAX_WAITING.error());
        }
        if config.max_ack_pending > 0 && config.ack_policy == AckPolicy::None {
            return Err(error::CONSUMER_MAX_PENDING_ACK_POLICY_REQUIRED.error());
        }
        if config.idle_heartbeat > Nanos::ZERO && config.idle_heartbeat < HEARTBEAT_MIN {
            return Err(error::CONSUMER_SMALL_HEARTBEAT.error());
        }
        Ok(())
    }

    fn check_pull(&self, config: &ConsumerConfig) -> Result<(), ApiError> {
        let is_queue = self.stream.retention == Retention::WorkQueue;
        let batch_max = self.server.request_batch_max;
        let conflicts = [
            (config.ack_policy == AckPolicy::None && is_queue, error::CONSUMER_PULL_REQUIRES_ACK),
            (config.rate_limit_bps > 0, error::CONSUMER_PULL_WITH_RATE_LIMIT),
            (config.idle_heartbeat > Nanos::ZERO, error::CONSUMER_HB_REQUIRES_PUSH),
            (config.flow_control, error::CONSUMER_FC_REQUIRES_PUSH),
            (
                !config.max_expires.is_zero() && config.max_expires < Nanos::millis(1),
                error::CONSUMER_MAX_REQUEST_EXPIRES_TOO_SMALL,
            ),
        ];
        if let Some((_, code)) = conflicts.iter().find(|(is_there, _)| *is_there) {
            return Err(code.error());
        }
        if batch_max > 0 && config.max_batch > batch_max {
            return Err(error::CONSUMER_MAX_REQUEST_BATCH_EXCEEDED.with(batch_max));
        }
        Ok(())
    }

    fn check_limits(&self, config: &ConsumerConfig) -> Result<(), ApiError> {
        let of_stream = &self.stream.consumer_limits;
        let limits = [self.server.ack_pending_max, self.account.ack_pending_max, of_stream.max_ack_pending];
        for limit in limits {
            if limit > 0 && config.max_ack_pending > limit {
                return Err(error::CONSUMER_MAX_PENDING_ACK_EXCESS.with(limit));
            }
        }
        let threshold = of_stream.inactive_threshold;
        if threshold > Nanos::ZERO && config.inactive_threshold > threshold {
            return Err(error::CONSUMER_INACTIVE_THRESHOLD_EXCESS.with(threshold));
        }
        Ok(())
    }
}

fn check_times(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.backoff.iter().any(|wait| *wait < Nanos::ZERO) {
        return Err(error::CONSUMER_BACK_OFF_NEGATIVE.error());
    }
    if config.ack_wait < Nanos::ZERO {
        return Err(error::CONSUMER_ACK_WAIT_NEGATIVE.error());
    }
    Ok(())
}

fn check_flow_control_acks(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.ack_policy != AckPolicy::FlowControl {
        return Ok(());
    }
    if config.is_pull() {
        return Err(error::CONSUMER_ACK_FC_REQUIRES_PUSH.error());
    }
    if !config.flow_control {
        return Err(error::CONSUMER_ACK_FC_REQUIRES_FC.error());
    }
    if config.idle_heartbeat != SOURCE_HEARTBEAT {
        return Err(invalid("flow control ack policy heartbeat needs to be 1s"));
    }
    let conflicts = [
        (config.max_ack_pending <= 0, error::CONSUMER_ACK_FC_REQUIRES_MAX_ACK_PENDING),
        (
            !config.ack_wait.is_zero() || !config.backoff.is_empty(),
            error::CONSUMER_ACK_FC_REQUIRES_NO_ACK_WAIT,
        ),
        (config.max_deliver > 0, error::CONSUMER_ACK_FC_REQUIRES_NO_MAX_DELIVER),
    ];
    match conflicts.iter().find(|(is_there, _)| *is_there) {
        Some((_, code)) => Err(code.error()),
        None => Ok(()),
    }
}

/// Each delivery has its wait.
pub(super) fn check_backoff(config: &ConsumerConfig) -> Result<(), ApiError> {
    let waits = i64::try_from(config.backoff.len()).unwrap_or(i64::MAX);
    if waits > 0 && config.max_deliver != -1 && waits > config.max_deliver {
        return Err(error::CONSUMER_MAX_DELIVER_BACKOFF.error());
    }
    Ok(())
}

fn check_filters(config: &ConsumerConfig) -> Result<(), ApiError> {
    if !config.filter_subject.is_empty() && !config.filter_subjects.is_empty() {
        return Err(error::CONSUMER_DUPLICATE_FILTER_SUBJECTS.error());
    }
    if config.filter_subjects.iter().any(String::is_empty) {
        return Err(error::CONSUMER_EMPTY_FILTER.error());
    }
    let filters: Vec<&str> = config.filters().collect();
    for (at, filter) in filters.iter().enumerate() {
        if !is_valid(filter) {
            return Err(invalid("invalid subject"));
        }
        let mut others = filters.iter().enumerate().filter(|(other, _)| *other != at);
        if others.any(|(_, other)| contains(other.as_bytes(), filter.as_bytes())) {
            return Err(error::CONSUMER_OVERLAPPING_SUBJECT_FILTERS.error());
        }
    }
    Ok(())
}

/// Where it begins has to fit its policy.
fn check_start(config: &ConsumerConfig) -> Result<(), ApiError> {
    let policy = match config.deliver_policy {
        DeliverPolicy::All => "all",
        DeliverPolicy::Last => "last",
        DeliverPolicy::New => "new",
        DeliverPolicy::ByStartSequence => "by start sequence",
        DeliverPolicy::ByStartTime => "by start time",
        DeliverPolicy::LastPerSubject => "last per subject",
    };
    let error = |rest: &str| {
        let text = format_args!("consumer delivery policy is deliver {policy}, but optional {rest}");
        Err(error::CONSUMER_INVALID_POLICY.with(text))
    };
    let (has_sequence, has_time) = (config.opt_start_seq > 0, config.opt_start_time.is_some());
    match config.deliver_policy {
        DeliverPolicy::ByStartSequence => {
            if !has_sequence {
                return error("start sequence is not set");
            }
            if has_time {
                return error("start time is also set");
            }
        }
        DeliverPolicy::ByStartTime => {
            if !has_time {
                return error("start time is not set");
            }
            if has_sequence {
                return error("start start sequence is also set");
            }
        }
        other => {
            if has_sequence {
                return error("start sequence is also set");
            }
            if has_time {
                return error("start time is also set");
            }
            if other == DeliverPolicy::LastPerSubject && config.filters().next().is_none() {
                return error("filter subject is not set");
            }
        }
    }
    Ok(())
}

/// The part of acknowledgements that is reported, in percent: `30`, `30%`.
///
/// # Errors
/// As official servers find them.
pub fn sampling_percent(frequency: &str) -> Result<u32, ApiError> {
    if frequency.is_empty() {
        return Ok(0);
    }
    let digits = frequency.strip_suffix('%').unwrap_or(frequency);
    let refuse = |why: &str| Err(error::CONSUMER_INVALID_SAMPLING.with(why));
    let number = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse(&format!("strconv.Atoi: parsing {digits:?}: invalid syntax"));
    }
    match digits.parse::<i64>() {
        Err(_) => refuse(&format!("strconv.Atoi: parsing {digits:?}: value out of range")),
        // What Go prints of an error that is not there.
        Ok(percent) if percent < 0 => refuse("<nil>"),
        Ok(percent) => Ok(u32::try_from(percent).unwrap_or(u32::MAX)),
    }
}

fn check_sampling(config: &ConsumerConfig) -> Result<(), ApiError> {
    sampling_percent(&config.sample_freq).map(|_| ())
}

fn is_group_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'=' | b'-');
    name.len() <= GROUP_BYTES_MAX && name.bytes().all(is_letter)
}

fn check_priorities(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.priority_policy == PriorityPolicy::None {
        if !config.priority_groups.is_empty() {
            return Err(error::CONSUMER_PRIORITY_GROUP_WITH_POLICY_NONE.error());
        }
        if config.priority_timeout > Nanos::ZERO {
            return Err(error::CONSUMER_PINNED_TTL_WITHOUT_PRIORITY_POLICY_NONE.error());
        }
        return Ok(());
    }
    if !config.is_pull() {
        return Err(error::CONSUMER_PUSH_WITH_PRIORITY_GROUP.error());
    }
    if config.priority_groups.is_empty() {
        return Err(error::CONSUMER_PRIORITY_POLICY_WITHOUT_GROUP.error());
    }
    for group in &config.priority_groups {
        if group.is_empty() {
            return Err(error::CONSUMER_EMPTY_GROUP_NAME.error());
        }
        if !is_group_name(group) {
            return Err(error::CONSUMER_INVALID_GROUP_NAME.error());
        }
    }
    Ok(())
}
