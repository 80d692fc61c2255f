//! The checks of a stream's configuration on create, in the order in which official servers find errors.

use super::limits::{Context, DESCRIPTION_BYTES_MAX, METADATA_BYTES_MAX, NAME_BYTES_MAX, REPLICAS_MAX};
use super::{
    DiscardPolicy, PersistMode, Placement, Retention, Storage, StreamConfig, StreamRequest, beyond,
    check_sources, check_subjects, metadata, unsupported,
};
use crate::error::{self, ApiError};
use crate::time::Nanos;
use std::fmt::Display;

/// The window of duplicates where none is asked for.
pub const DUPLICATE_WINDOW_DEFAULT: Nanos = Nanos::seconds(120);
/// The shortest age and window of duplicates.
const SHORTEST: Nanos = Nanos::millis(100);

/// What a request to create a stream comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Creation {
    /// A stream is to be made of this.
    New(Box<StreamConfig>),
    /// There is a stream of this name and configuration already.
    Existing,
}

/// Checks a request to create the stream `name`, which is what the subject says.
///
/// # Errors
/// Those of the API, as official servers find them; last of all a field that is not carried out.
pub fn create_stream(
    name: &str,
    request: &StreamRequest,
    context: Context<'_>,
) -> Result<Creation, ApiError> {
    let creation = official_creation(name, request, context)?;
    if let Creation::New(config) = &creation {
        beyond::check_stream(config)?;
        unsupported::check_stream(config)?;
    }
    Ok(creation)
}

/// Checks the configuration of a stream that is to be made of an archive, as far as that is done before the archive comes.
///
/// # Errors
/// Those of the API; last of all a field that is not carried out.
pub fn restored_stream(asked: &StreamConfig, context: Context<'_>) -> Result<StreamConfig, ApiError> {
    if asked.name.contains(['\\', '/']) {
        return Err(error::STREAM_NAME_CONTAINS_PATH_SEPARATORS.error());
    }
    let mut asked = asked.clone();
    metadata::static_stream_metadata(&mut asked);
    let config = checked(&asked, false, context)?;
    beyond::check_stream(&config)?;
    unsupported::check_stream(&config)?;
    if context.streams.by_name(&config.name).is_some() {
        return Err(error::STREAM_NAME_EXIST_RESTORE_FAILED.error());
    }
    Ok(config)
}

/// The same once the archive is there: its place beside the other streams, too. A sealed stream stays sealed.
///
/// # Errors
/// Those of the API.
pub fn restore_stream(asked: &StreamConfig, context: Context<'_>) -> Result<StreamConfig, ApiError> {
    let config = StreamConfig { sealed: false, ..asked.clone() };
    match create_stream(&asked.name, &StreamRequest { config, pedantic: false }, context)? {
        Creation::New(config) => Ok(StreamConfig { sealed: asked.sealed, ..*config }),
        Creation::Existing => Err(error::STREAM_NAME_EXIST_RESTORE_FAILED.error()),
    }
}

/// [`create_stream`] as if everything were carried out.
pub(super) fn official_creation(
    name: &str,
    request: &StreamRequest,
    context: Context<'_>,
) -> Result<Creation, ApiError> {
    let mut asked = request.config.clone();
    metadata::static_stream_metadata(&mut asked);
    if asked.name != name {
        return Err(error::STREAM_MISMATCH.error());
    }
    if name.contains(['\\', '/']) {
        return Err(error::STREAM_NAME_CONTAINS_PATH_SEPARATORS.error());
    }
    if asked.sealed {
        return Err(invalid("stream configuration for create can not be sealed"));
    }
    if asked.mirror_direct && asked.mirror.is_none() {
        return Err(invalid("stream has no mirror but does have mirror direct"));
    }
    let tier = context.tier(asked.num_replicas)?;
    context.check_count(&asked, &tier)?;
    context.check_size(&asked, &tier, asked.max_bytes, 0)?;

    let config = checked(&asked, request.pedantic, context)?;
    if config.num_replicas > 1 {
        return Err(error::STREAM_REPLICAS_NOT_SUPPORTED.error());
    }
    if let Some(existing) = context.streams.by_name(name) {
        let mut same = config.clone();
        same.metadata = metadata::comparable(&config.metadata, &existing.metadata);
        return match same == *existing {
            true => Ok(Creation::Existing),
            false => Err(error::STREAM_NAME_EXIST.error()),
        };
    }
    let tier = context.tier(config.num_replicas)?;
    context.check_size(&config, &tier, config.max_bytes, 0)?;
    check_sources::check_filters(&config)?;
    check_subjects::check_beside_others(&config, context.streams)?;
    Ok(Creation::New(Box::new(config)))
}

pub(super) fn invalid(text: impl Display) -> ApiError {
    error::STREAM_INVALID_CONFIG.with(text)
}

fn pedantic_error(text: &str) -> ApiError {
    error::PEDANTIC.with(text)
}

/// A configuration with its defaults, checked by itself and against the streams that it takes from. In pedantic mode what would be changed
/// is refused.
pub(super) fn checked(
    asked: &StreamConfig,
    pedantic: bool,
    context: Context<'_>,
) -> Result<StreamConfig, ApiError> {
    check_texts(asked)?;
    let mut config = asked.clone();
    fill_limits(&mut config, pedantic)?;
    check_age(&config)?;
    fill_duplicate_window(&mut config, pedantic, context.server.duplicate_window_max)?;
    if config.deny_purge && config.allow_rollup_hdrs {
        return Err(invalid("roll-ups require the purge permission"));
    }
    check_counter(&config)?;
    check_discard_per_subject(&config)?;
    fill_marker(&mut config, pedantic)?;
    fill_schedules(&mut config, pedantic)?;
    check_persist_mode(&config)?;
    check_sources::check(&mut config, pedantic, context)?;
    check_subjects::check(&mut config)?;
    context.check_max_bytes(&config)?;
    check_subjects::check_transform(&config)?;
    check_subjects::check_republish(&mut config, pedantic)?;
    if config.placement == Some(Placement::default()) {
        config.placement = None;
    }
    if config.placement.as_ref().is_some_and(|placement| !placement.preferred.is_empty()) {
        return Err(invalid("preferred server not permitted in placement"));
    }
    Ok(config)
}

/// Whether this can be the name of a stream or consumer.
pub fn is_valid_name(name: &str) -> bool {
    !name.is_empty() && !name.contains([' ', '\t', '\r', '\n', '\u{c}', '.', '*', '>', '\\', '/'])
}

fn check_texts(config: &StreamConfig) -> Result<(), ApiError> {
    if !is_valid_name(&config.name) {
        return Err(invalid(r"stream name is required and can not contain '.', '*', '>', '\', '/'"));
    }
    if config.name.len() > NAME_BYTES_MAX {
        return Err(invalid(format_args!("stream name is too long, maximum allowed is {NAME_BYTES_MAX}")));
    }
    if config.description.len() > DESCRIPTION_BYTES_MAX {
        let text = format_args!("stream description is too long, maximum allowed is {DESCRIPTION_BYTES_MAX}");
        return Err(invalid(text));
    }
    let metadata_bytes: usize = config.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if metadata_bytes > METADATA_BYTES_MAX {
        let text = format_args!("stream metadata exceeds maximum size of {METADATA_BYTES_MAX} bytes");
        return Err(invalid(text));
    }
    Ok(())
}

/// A limit of 0, or less than -1, is none.
fn fill_limits(config: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    if config.num_replicas == 0 {
        config.num_replicas = 1;
    }
    if config.num_replicas > REPLICAS_MAX {
        return Err(invalid(format_args!("maximum replicas is {REPLICAS_MAX}")));
    }
    if config.num_replicas < 0 {
        return Err(error::REPLICAS_COUNT_CANNOT_BE_NEGATIVE.error());
    }
    let mut message_size = i64::from(config.max_msg_size);
    let limits = [
        (&mut config.max_msgs, "max_msgs"),
        (&mut config.max_msgs_per_subject, "max_msgs_per_subject"),
        (&mut config.max_bytes, "max_bytes"),
        (&mut message_size, "max_msg_size"),
        (&mut config.max_consumers, "max_consumers"),
    ];
    for (limit, name) in limits {
        if pedantic && *limit < -1 {
            return Err(pedantic_error(&format!("{name} must be set to -1")));
        }
        if *limit < 1 {
            *limit = -1;
        }
    }
    config.max_msg_size = i32::try_from(message_size).unwrap_or(-1);
    Ok(())
}

fn check_age(config: &StreamConfig) -> Result<(), ApiError> {
    if config.max_age < Nanos::ZERO {
        return Err(invalid("max age can not be negative"));
    }
    if !config.max_age.is_zero() && config.max_age < SHORTEST {
        return Err(invalid("max age needs to be >= 100ms"));
    }
    Ok(())
}

fn fill_duplicate_window(
    config: &mut StreamConfig,
    pedantic: bool,
    server_max: Nanos,
) -> Result<(), ApiError> {
    let is_fed_by_others = config.mirror.is_some() || !config.sources.is_empty();
    if config.duplicate_window.is_zero() && !is_fed_by_others {
        let mut window = DUPLICATE_WINDOW_DEFAULT;
        if server_max > Nanos::ZERO && window > server_max {
            if pedantic {
                return Err(pedantic_error("duplicate window limits are higher than current limits"));
            }
            window = server_max;
        }
        if !config.max_age.is_zero() && config.max_age < window {
            if pedantic {
                return Err(pedantic_error("duplicate window cannot be bigger than max age"));
            }
            window = config.max_age;
        }
        config.duplicate_window = window;
    }
    let window = config.duplicate_window;
    if window < Nanos::ZERO {
        return Err(invalid("duplicates window can not be negative"));
    }
    if !config.max_age.is_zero() && window > config.max_age {
        return Err(invalid("duplicates window can not be larger then max age"));
    }
    if server_max > Nanos::ZERO && window > server_max {
        let text = format_args!("duplicates window can not be larger then server limit of {server_max}");
        return Err(invalid(text));
    }
    if window > Nanos::ZERO && window < SHORTEST {
        return Err(invalid("duplicates window needs to be >= 100ms"));
    }
    Ok(())
}

fn check_counter(config: &StreamConfig) -> Result<(), ApiError> {
    if !config.allow_msg_counter {
        return Ok(());
    }
    let conflicts = [
        (config.discard == DiscardPolicy::New, "counter stream cannot use discard new"),
        (config.allow_msg_ttl, "counter stream cannot use message TTLs"),
        (config.allow_msg_schedules, "counter stream cannot use message schedules"),
        (config.retention != Retention::Limits, "counter stream can only use limits retention"),
    ];
    first(&conflicts)
}

/// The first conflict that is there.
fn first(conflicts: &[(bool, &'static str)]) -> Result<(), ApiError> {
    match conflicts.iter().find(|(is_there, _)| *is_there) {
        Some((_, text)) => Err(invalid(text)),
        None => Ok(()),
    }
}

pub(super) fn check_discard_per_subject(config: &StreamConfig) -> Result<(), ApiError> {
    if !config.discard_new_per_subject {
        return Ok(());
    }
    first(&[
        (
            config.discard != DiscardPolicy::New,
            "discard new per subject requires discard new policy to be set",
        ),
        (config.max_msgs_per_subject <= 0, "discard new per subject requires max msgs per subject > 0"),
    ])
}

/// A stream with delete markers needs TTLs and rollups.
fn fill_marker(config: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    let ttl = config.subject_delete_marker_ttl;
    if ttl.is_zero() {
        return Ok(());
    }
    first(&[
        (ttl < Nanos::ZERO, "subject delete marker TTL must not be negative"),
        (ttl < Nanos::seconds(1), "subject delete marker TTL must be at least 1 second"),
        (
            pedantic && !config.allow_msg_ttl,
            "subject delete marker cannot be set if message TTLs are disabled",
        ),
        (
            pedantic && !config.allow_rollup_hdrs,
            "subject delete marker cannot be set if roll-ups are disabled",
        ),
    ])?;
    config.allow_msg_ttl = true;
    allow_rollup(config);
    Ok(())
}

fn allow_rollup(config: &mut StreamConfig) {
    if !config.allow_rollup_hdrs {
        config.allow_rollup_hdrs = true;
        config.deny_purge = false;
    }
}

fn fill_schedules(config: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    if !config.allow_msg_schedules {
        return Ok(());
    }
    first(&[
        (config.discard == DiscardPolicy::New, "message scheduling cannot use discard new"),
        (pedantic && !config.allow_rollup_hdrs, "message scheduling cannot be set if roll-ups are disabled"),
    ])?;
    allow_rollup(config);
    Ok(())
}

fn check_persist_mode(config: &StreamConfig) -> Result<(), ApiError> {
    if config.persist_mode != PersistMode::Async {
        return Ok(());
    }
    first(&[
        (config.storage != Storage::File, "async persist mode is only supported on file storage"),
        (config.num_replicas > 1, "async persist mode is not supported on replicated streams"),
        (config.allow_atomic, "async persist mode is not supported with atomic batch publish"),
    ])
}
