//! The checks of mirrors and sources.

use super::check_stream::{invalid, is_valid_name};
use super::check_subjects::{check_mapping, is_valid, overlaps};
use super::limits::Context;
use super::{StreamConfig, StreamSource};
use crate::error::{self, ApiError, Code};
use dialtone_subject::set::{contains, is_valid_literal};
use std::collections::{BTreeSet, VecDeque};

/// The prefix of the API of this account.
const API_PREFIX: &str = "$JS.API";

/// What is gathered on the way about the streams that are taken from.
#[derive(Default)]
struct Gathered<'a> {
    subjects: Vec<String>,
    deliver_prefixes: Vec<&'a str>,
    api_prefixes: Vec<&'a str>,
}

/// Checks mirror and sources. A mirror answers direct gets as its origin does.
pub(super) fn check(config: &mut StreamConfig, pedantic: bool, context: Context<'_>) -> Result<(), ApiError> {
    let mut gathered = Gathered::default();
    let mirror_direct = check_mirror(config, pedantic, context, &mut gathered)?;
    if !config.sources.is_empty() && config.allow_msg_schedules {
        return Err(error::SOURCE_WITH_MSG_SCHEDULES.error());
    }
    check_all_sources(config, context, &mut gathered)?;
    check_prefixes(&gathered)?;
    check_cycles(config, context)?;
    config.mirror_direct = mirror_direct;
    Ok(())
}

fn check_mirror<'a>(
    config: &'a StreamConfig,
    pedantic: bool,
    context: Context<'_>,
    gathered: &mut Gathered<'a>,
) -> Result<bool, ApiError> {
    let Some(mirror) = &config.mirror else { return Ok(config.mirror_direct) };
    let conflicts = [
        (config.first_seq > 0, error::MIRROR_WITH_FIRST_SEQ),
        (!config.subjects.is_empty(), error::MIRROR_WITH_SUBJECTS),
        (!config.sources.is_empty(), error::MIRROR_WITH_SOURCES),
        (config.allow_msg_counter, error::MIRROR_WITH_COUNTERS),
        (config.allow_atomic, error::MIRROR_WITH_ATOMIC_PUBLISH),
        (config.allow_batched, error::MIRROR_WITH_BATCH_PUBLISH),
        (config.allow_msg_schedules, error::MIRROR_WITH_MSG_SCHEDULES),
        (!has_valid_consumer(mirror), error::MIRROR_DURABLE_CONSUMER_CFG_INVALID),
        (has_two_filters(mirror), error::MIRROR_MULTIPLE_FILTERS_NOT_ALLOWED),
    ];
    if let Some((_, code)) = conflicts.iter().find(|(is_there, _)| *is_there) {
        return Err(code.error());
    }
    if config.subject_delete_marker_ttl.0 > 0 {
        return Err(invalid("subject delete markers forbidden on mirrors"));
    }
    check_mirror_transforms(mirror)?;
    if is_external(mirror, gathered) {
        return Ok(config.mirror_direct);
    }
    if !is_valid_name(&mirror.name) {
        return Err(error::MIRROR_INVALID_STREAM_NAME.error());
    }
    let Some(origin) = context.streams.by_name(&mirror.name) else { return Ok(config.mirror_direct) };
    check_origin(config, origin, error::MIRROR_MAX_MESSAGE_SIZE_TOO_BIG, gathered)?;
    if pedantic && config.mirror_direct != origin.allow_direct {
        return Err(error::PEDANTIC.with("origin stream has direct get set, mirror has it disabled"));
    }
    Ok(origin.allow_direct)
}

/// A durable consumer has its own start and filter.
fn has_valid_consumer(source: &StreamSource) -> bool {
    let Some(consumer) = &source.consumer else { return true };
    is_valid_name(&consumer.name)
        && is_valid_literal(consumer.deliver_subject.as_bytes())
        && source.opt_start_seq == 0
        && source.opt_start_time.is_none()
        && source.filter_subject.is_empty()
}

fn has_two_filters(source: &StreamSource) -> bool {
    !source.filter_subject.is_empty() && !source.subject_transforms.is_empty()
}

fn check_mirror_transforms(mirror: &StreamSource) -> Result<(), ApiError> {
    for (at, transform) in mirror.subject_transforms.iter().enumerate() {
        check_source_filter(&transform.src, error::MIRROR_INVALID_SUBJECT_FILTER)?;
        check_mapping(transform).map_err(|error| error::MIRROR_INVALID_TRANSFORM_DESTINATION.with(error))?;
        let mut others = mirror.subject_transforms.iter().enumerate().filter(|(other, _)| *other != at);
        if others.any(|(_, other)| overlaps(&transform.src, &other.src)) {
            return Err(error::MIRROR_OVERLAPPING_SUBJECT_FILTERS.error());
        }
    }
    Ok(())
}

fn check_source_filter(filter: &str, refusal: Code) -> Result<(), ApiError> {
    match filter.is_empty() || is_valid(filter) {
        true => Ok(()),
        false => Err(refusal.with(format_args!("invalid subject {filter}"))),
    }
}

/// Whether a stream is reached in another account or domain, of which nothing is known here.
fn is_external<'a>(source: &'a StreamSource, gathered: &mut Gathered<'a>) -> bool {
    let Some(external) = &source.external else { return false };
    if !external.deliver.is_empty() {
        gathered.deliver_prefixes.push(&external.deliver);
    }
    if !external.api.is_empty() {
        gathered.api_prefixes.push(&external.api);
    }
    true
}

fn check_origin(
    config: &StreamConfig,
    origin: &StreamConfig,
    refusal: Code,
    gathered: &mut Gathered<'_>,
) -> Result<(), ApiError> {
    gathered.subjects.extend(origin.subjects.iter().cloned());
    let (ours, theirs) = (config.max_msg_size, origin.max_msg_size);
    if ours > 0 && theirs > 0 && ours < theirs { Err(refusal.error()) } else { Ok(()) }
}

/// What tells two sources apart: name, where it is, filters and what becomes of subjects.
fn identity(source: &StreamSource) -> (String, String, Vec<(String, String)>) {
    let api = source.external.as_ref().map_or(String::new(), |external| external.api.clone());
    let transform = |transform: &super::SubjectTransform| {
        let all = |subject: &str| if subject.is_empty() { ">".to_owned() } else { subject.to_owned() };
        (all(&transform.src), all(&transform.dest))
    };
    let mut filters: Vec<_> = source.subject_transforms.iter().map(transform).collect();
    if filters.is_empty() {
        let filter = if source.filter_subject.is_empty() { ">" } else { &source.filter_subject };
        filters.push((filter.to_owned(), ">".to_owned()));
    }
    (source.name.clone(), api, filters)
}

fn check_all_sources<'a>(
    config: &'a StreamConfig,
    context: Context<'_>,
    gathered: &mut Gathered<'a>,
) -> Result<(), ApiError> {
    let (mut sources, mut consumers) = (BTreeSet::new(), BTreeSet::new());
    for source in &config.sources {
        if !is_valid_name(&source.name) {
            return Err(error::SOURCE_INVALID_STREAM_NAME.error());
        }
        if !sources.insert(identity(source)) {
            return Err(error::SOURCE_DUPLICATE_DETECTED.error());
        }
        check_source_transforms(source)?;
        if !has_valid_consumer(source) {
            return Err(error::SOURCE_DURABLE_CONSUMER_CFG_INVALID.error());
        }
        if let Some(consumer) = &source.consumer {
            let api = source.external.as_ref().map_or("", |external| &external.api);
            if !consumers.insert((&source.name, api, &consumer.name)) {
                return Err(error::SOURCE_DURABLE_CONSUMER_DUPLICATE_DETECTED.error());
            }
        }
        if is_external(source, gathered) {
            continue;
        }
        if let Some(origin) = context.streams.by_name(&source.name) {
            check_origin(config, origin, error::SOURCE_MAX_MESSAGE_SIZE_TOO_BIG, gathered)?;
        }
    }
    Ok(())
}

fn check_source_transforms(source: &StreamSource) -> Result<(), ApiError> {
    if has_two_filters(source) {
        return Err(error::SOURCE_MULTIPLE_FILTERS_NOT_ALLOWED.error());
    }
    let transforms = &source.subject_transforms;
    for transform in transforms {
        check_source_filter(&transform.src, error::SOURCE_INVALID_SUBJECT_FILTER)?;
        check_mapping(transform).map_err(|error| error::SOURCE_INVALID_TRANSFORM_DESTINATION.with(error))?;
    }
    for (at, transform) in transforms.iter().enumerate() {
        let mut others = transforms.iter().enumerate().filter(|(other, _)| *other != at);
        if others.any(|(_, other)| contains(other.src.as_bytes(), transform.src.as_bytes())) {
            return Err(error::SOURCE_OVERLAPPING_SUBJECT_FILTERS.error());
        }
    }
    Ok(())
}

fn check_prefixes(gathered: &Gathered<'_>) -> Result<(), ApiError> {
    for prefix in &gathered.deliver_prefixes {
        if !is_valid_literal(prefix.as_bytes()) {
            return Err(error::STREAM_INVALID_EXTERNAL_DELIVERY_SUBJ.with(prefix));
        }
        for subject in &gathered.subjects {
            if overlaps(subject, &format!("{prefix}.{subject}")) {
                return Err(error::STREAM_EXTERNAL_DEL_PREFIX_OVERLAPS.filled(&[prefix, subject]));
            }
        }
    }
    for prefix in &gathered.api_prefixes {
        if !is_valid_literal(prefix.as_bytes()) {
            let text = format_args!(
                "stream external api prefix {prefix:?} must be a valid subject without wildcards"
            );
            return Err(invalid(text));
        }
        if overlaps(prefix, API_PREFIX) {
            return Err(error::STREAM_EXTERNAL_API_OVERLAP.filled(&[prefix, &API_PREFIX]));
        }
    }
    Ok(())
}

/// Whether messages could come back to the stream, by sources whose filters meet the subjects, or by mirrors.
fn check_cycles(config: &StreamConfig, context: Context<'_>) -> Result<(), ApiError> {
    let mut visited = BTreeSet::new();
    let mut to_visit = VecDeque::from([config]);
    while let Some(stream) = to_visit.pop_front() {
        if !visited.insert(stream.name.as_str()) {
            continue;
        }
        for source in stream.sources.iter().filter(|source| source.external.is_none()) {
            if visited.contains(source.name.as_str()) {
                let filter = &source.filter_subject;
                if filter.is_empty() || stream.subjects.iter().any(|subject| overlaps(subject, filter)) {
                    return Err(invalid("detected cycle"));
                }
            } else {
                to_visit.extend(context.streams.by_name(&source.name));
            }
        }
        if let Some(mirror) = stream.mirror.as_ref().filter(|mirror| mirror.external.is_none()) {
            if visited.contains(mirror.name.as_str()) {
                return Err(invalid("detected cycle"));
            }
            to_visit.extend(context.streams.by_name(&mirror.name));
        }
    }
    Ok(())
}

/// The filters that official servers look at only when all else is right.
pub(super) fn check_filters(config: &StreamConfig) -> Result<(), ApiError> {
    if let Some(mirror) = &config.mirror {
        let filter = &mirror.filter_subject;
        if mirror.subject_transforms.is_empty() && !filter.is_empty() && !is_valid(filter) {
            let text = format_args!("subject filter '{filter}' for the mirror invalid subject");
            return Err(error::STREAM_CREATE.with(text));
        }
    }
    for source in &config.sources {
        let filter = &source.filter_subject;
        if source.subject_transforms.is_empty() && !filter.is_empty() && !is_valid(filter) {
            let text = format_args!("subject filter '{filter}' for the source: invalid subject");
            return Err(error::STREAM_CREATE.with(text));
        }
    }
    Ok(())
}
