//! The checks of what a stream stores, and of what becomes of its subjects.

use super::check_stream::invalid;
use super::limits::Streams;
use super::{StreamConfig, SubjectTransform};
use crate::error::{self, ApiError};
use dialtone_subject::set::{contains, is_valid_filter, overlap};
use dialtone_subject::transform::{Transform, TransformError};

/// What the API and the lines between servers use. A stream takes it in only when its publishers get no answer.
const RESERVED: &[(&str, &str, &str)] = &[
    ("$JS.>", "$JS.EVENT.>", "subjects that overlap with jetstream api require no-ack to be true"),
    ("$JSC.>", "$JS.EVENT.>", "subjects that overlap with jetstream api require no-ack to be true"),
    ("$NRG.>", "$JS.EVENT.>", "subjects that overlap with jetstream api require no-ack to be true"),
    ("$SYS.>", "$SYS.ACCOUNT.>", "subjects that overlap with system api require no-ack to be true"),
];

pub(super) fn overlaps(a: &str, b: &str) -> bool {
    overlap(a.as_bytes(), b.as_bytes())
}

pub(super) fn is_valid(subject: &str) -> bool {
    is_valid_filter(subject.as_bytes())
}

/// A stream that says no subjects has its name as one, unless it is fed by others.
pub(super) fn check(config: &mut StreamConfig) -> Result<(), ApiError> {
    if config.subjects.is_empty() {
        if config.mirror.is_none() && config.sources.is_empty() {
            config.subjects.push(config.name.clone());
        }
        return Ok(());
    }
    for (at, subject) in config.subjects.iter().enumerate() {
        if !is_valid(subject) {
            return Err(invalid("invalid subject"));
        }
        if config.subjects[..at].contains(subject) {
            return Err(invalid("duplicate subjects detected"));
        }
        check_reserved(config, subject)?;
        // A message that two of them match would be stored twice.
        for other in &config.subjects[at + 1..] {
            if overlaps(other, subject) {
                return Err(invalid(format_args!("subject {subject:?} overlaps with {other:?}")));
            }
        }
    }
    Ok(())
}

fn check_reserved(config: &StreamConfig, subject: &str) -> Result<(), ApiError> {
    if subject == ">" {
        if !config.no_ack {
            return Err(invalid("capturing all subjects requires no-ack to be true"));
        }
        if config.num_replicas != 1 {
            return Err(invalid("capturing all subjects requires replicas of 1"));
        }
    }
    if config.no_ack {
        return Ok(());
    }
    for (space, except, text) in RESERVED {
        if overlaps(subject, space) && !contains(except.as_bytes(), subject.as_bytes()) {
            return Err(invalid(text));
        }
    }
    Ok(())
}

/// No two streams of an account store one subject.
pub(super) fn check_beside_others(config: &StreamConfig, streams: &dyn Streams) -> Result<(), ApiError> {
    let mut is_taken = false;
    streams.for_each(&mut |other| {
        let overlaps = |ours: &String| other.subjects.iter().any(|theirs| overlaps(ours, theirs));
        is_taken |= other.name != config.name && config.subjects.iter().any(overlaps);
    });
    if is_taken { Err(error::STREAM_SUBJECT_OVERLAP.error()) } else { Ok(()) }
}

/// Whether a transform can be made. An empty destination leaves subjects as they are, an empty source is all.
pub(super) fn check_mapping(transform: &SubjectTransform) -> Result<(), TransformError> {
    if transform.dest.is_empty() {
        return Ok(());
    }
    let source = if transform.src.is_empty() { ">" } else { &transform.src };
    Transform::new(source, &transform.dest).map(|_| ())
}

pub(super) fn check_transform(config: &StreamConfig) -> Result<(), ApiError> {
    let Some(transform) = &config.subject_transform else { return Ok(()) };
    if !transform.src.is_empty() && !is_valid(&transform.src) {
        let text = format_args!("invalid subject {}", transform.src);
        return Err(error::STREAM_TRANSFORM_INVALID_SOURCE.with(text));
    }
    check_mapping(transform).map_err(|error| error::STREAM_TRANSFORM_INVALID_DESTINATION.with(error))
}

/// What is published again must not come back into the stream. An empty destination publishes nothing again.
pub(super) fn check_republish(config: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    let Some(republish) = &mut config.republish else { return Ok(()) };
    if republish.src.is_empty() {
        if pedantic {
            return Err(error::PEDANTIC.with("republish source can not be empty"));
        }
        republish.src = ">".to_owned();
    }
    let transform = config.subject_transform.as_ref();
    if republish.src == ">"
        && republish.dest == ">"
        && let Some(transform) = transform
        && config.subjects == [transform.src.as_str()]
    {
        if pedantic {
            return Err(error::PEDANTIC.with("implicit republish based on subject transform"));
        }
        republish.src.clone_from(&transform.dest);
        republish.dest.clone_from(&transform.dest);
    }
    if config.subjects.iter().any(|subject| overlaps(&republish.dest, subject)) {
        return Err(invalid("stream configuration for republish destination forms a cycle"));
    }
    let (source, destination) = (&republish.src, &republish.dest);
    if !destination.is_empty() && Transform::new(source, destination).is_err() {
        let text = format_args!(
            "stream configuration for republish with transform from '{source}' to '{destination}' not valid"
        );
        return Err(invalid(text));
    }
    Ok(())
}
