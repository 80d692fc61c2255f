//! Requests about consumers.

use super::api::{Answered, Request};
use super::documents;
use super::streams::{named as stream_named, refused};
use crate::streams::{Hosted, Shown, wall};
use dialtone_jetstream::api::{
    self, ConsumerListResponse, ConsumerNamesResponse, ConsumerPauseResponse, ConsumerResetResponse,
    ConsumerResponse, ConsumersRequest, LIST_MAX, NAMES_MAX, PauseRequest, ResetRequest, Response,
    SuccessResponse, UnpinRequest,
};
use dialtone_jetstream::config::{self, ConsumerConfig, ConsumerRequest};
use dialtone_jetstream::error::{self, ApiError};
use dialtone_jetstream::json;
use dialtone_jetstream::time::{Nanos, Time};
use std::sync::Arc;

fn not_found() -> ApiError {
    error::CONSUMER_NOT_FOUND.error()
}

/// The stream and consumer that a request names.
pub(super) fn named(request: &Request<'_>) -> Result<(Arc<Hosted>, ConsumerConfig), ApiError> {
    let hosted = stream_named(request)?;
    let config = hosted.consumer_config(request.asked.consumer).ok_or_else(not_found)?;
    Ok((hosted, config))
}

pub(super) fn create(request: &mut Request<'_>) -> Answered {
    let mut asked: ConsumerRequest = request.body(ConsumerRequest::GO)?;
    super::checks::naming(request, &mut asked)?;
    let hosted = stream_named(request)?;
    super::checks::of_stream(request, &hosted, &mut asked)?;
    let checked = super::checks::consumer(request, &hosted, &asked);
    if checked.is_err() {
        // A refusal does not say which stream this is.
        request.headers.clear();
    }
    let (name, config) = checked?;
    let is_push = !config.deliver_subject.is_empty();
    let (_, turn) = request.executor.parts();
    let put = turn.within(|turn| hosted.put_consumer(&name, config, turn));
    let (shown, upto) = put.transpose().map_err(|why| refused(&why))?.ok_or_else(not_found)?;
    request.wait_for(upto);
    let answer = shown_as(request, &hosted, shown);
    if is_push {
        request.begins = Some((hosted, name));
    }
    Ok(answer)
}

fn shown_as(request: &Request<'_>, hosted: &Hosted, shown: Shown) -> Vec<u8> {
    let info = Some(documents::consumer(&hosted.name, shown, false));
    json::to_vec(&ConsumerResponse { response: Response::ok(request.asked.endpoint), info })
}

/// A consumer with its figures.
fn shown(request: &mut Request<'_>, hosted: &Hosted) -> Result<Shown, ApiError> {
    let name = request.asked.consumer;
    let (_, turn) = request.executor.parts();
    turn.within(|turn| hosted.show_consumer(name, turn)).ok_or_else(not_found)
}

pub(super) fn info(request: &mut Request<'_>) -> Answered {
    request.nothing()?;
    let hosted = stream_named(request)?;
    let shown = shown(request, &hosted)?;
    Ok(shown_as(request, &hosted, shown))
}

pub(super) fn names(request: &mut Request<'_>) -> Answered {
    let asked: ConsumersRequest = request.body(ConsumersRequest::GO)?;
    let all = stream_named(request)?.consumer_names();
    let (part, paged) = api::page(&all, asked.page.offset, NAMES_MAX);
    let response = Response::ok(request.asked.endpoint);
    Ok(json::to_vec(&ConsumerNamesResponse { response, paged, consumers: part.to_vec() }))
}

pub(super) fn list(request: &mut Request<'_>) -> Answered {
    let asked: ConsumersRequest = request.body(ConsumersRequest::GO)?;
    let hosted = stream_named(request)?;
    let all = hosted.consumer_names();
    let (part, paged) = api::page(&all, asked.page.offset, LIST_MAX);
    let (_, turn) = request.executor.parts();
    let shown: Vec<Shown> =
        turn.within(|turn| part.iter().filter_map(|name| hosted.show_consumer(name, turn)).collect());
    let consumers = shown.into_iter().map(|one| documents::consumer(&hosted.name, one, true)).collect();
    let response = Response::ok(request.asked.endpoint);
    Ok(json::to_vec(&ConsumerListResponse { response, paged, consumers, ..ConsumerListResponse::default() }))
}

pub(super) fn delete(request: &mut Request<'_>) -> Answered {
    request.nothing()?;
    let hosted = stream_named(request)?;
    let name = request.asked.consumer;
    let (_, turn) = request.executor.parts();
    let upto = turn.within(|turn| hosted.delete_consumer(name, turn)).ok_or_else(not_found)?;
    request.wait_for(upto);
    Ok(json::to_vec(&SuccessResponse::ok(request.asked.endpoint)))
}

pub(super) fn pause(request: &mut Request<'_>) -> Answered {
    let asked: PauseRequest = request.body(PauseRequest::GO)?;
    let until = Some(asked.pause_until).filter(|until| !until.is_zero());
    let (hosted, mut config) = named(request)?;
    config.pause_until = until;
    config::static_consumer_metadata(&mut config);
    let name = request.asked.consumer;
    let (_, turn) = request.executor.parts();
    let put = turn.within(|turn| hosted.put_consumer(name, config, turn));
    let put = put.transpose().map_err(|why| refused(&why))?;
    request.wait_for(put.and_then(|(_, upto)| upto));
    let left = until.map_or(0, |until| until.unix_nanos().saturating_sub(wall()).max(0));
    Ok(json::to_vec(&ConsumerPauseResponse {
        response: Response::ok(request.asked.endpoint),
        paused: left > 0,
        pause_until: until.unwrap_or(Time::ZERO),
        pause_remaining: Nanos(left),
    }))
}

pub(super) fn unpin(request: &mut Request<'_>) -> Answered {
    let asked: UnpinRequest = request.body(UnpinRequest::GO)?;
    if asked.group.is_empty() {
        return Err(error::INVALID_JSON.with("consumer group not specified"));
    }
    let (hosted, config) = named(request)?;
    if !config.priority_groups.contains(&asked.group) {
        return Err(error::CONSUMER_INVALID_PRIORITY_GROUP.error());
    }
    let name = request.asked.consumer;
    let (_, turn) = request.executor.parts();
    turn.within(|turn| hosted.unpin(name, turn));
    Ok(json::to_vec(&Response::ok(request.asked.endpoint)))
}

pub(super) fn reset(request: &mut Request<'_>) -> Answered {
    let asked: ResetRequest = match &*request.message.payload {
        [] => ResetRequest::default(),
        _ => request.body(ResetRequest::GO)?,
    };
    let hosted = stream_named(request)?;
    if request.message.header(super::checks::IDENTITY_HEADER).is_some() {
        super::checks::identify(request, &hosted);
    }
    let name = request.asked.consumer;
    let (_, turn) = request.executor.parts();
    let seq = Some(asked.seq).filter(|&seq| seq > 0);
    let done = turn.within(|turn| hosted.reset_consumer(name, seq, turn)).ok_or_else(not_found)?;
    let reset_seq = done.map_err(|why| error::CONSUMER_INVALID_RESET.with(why))?;
    let info = Some(documents::consumer(&hosted.name, shown(request, &hosted)?, false));
    let response = Response::ok(request.asked.endpoint);
    Ok(json::to_vec(&ConsumerResetResponse { response, info, reset_seq }))
}
