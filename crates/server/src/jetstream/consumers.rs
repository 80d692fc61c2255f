//! Requests about consumers.

use super::api::Request;
use super::documents::{self, Page, Paged, Success, response};
use super::streams::{
    LIST_MAX, NAMES_MAX, durable, invalid_json, must_be_empty, named, of_list, optional, refused,
};
use crate::streams::Hosted;
use dialtone_jetstream::api::{ConsumersRequest, PauseRequest, ResetRequest, UnpinRequest};
use dialtone_jetstream::config::{self, ConsumerConfig, ConsumerRequest};
use dialtone_jetstream::error::{self, ApiError};
use dialtone_jetstream::json;
use dialtone_jetstream::time::{Nanos, Time};
use serde::Serialize;

pub(super) fn create(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let mut asked = ConsumerRequest::default();
    json::from_slice(&request.message.payload, ConsumerRequest::GO, request.strictness(), &mut asked)
        .map_err(invalid_json)?;
    let at = super::checks::naming(request, &mut asked)?;
    let hosted = named(request, at)?;
    let (name, config) = super::checks::consumer(request, &hosted, &asked)?;
    let (_, turn) = request.executor.parts();
    let put = turn.within(|turn| hosted.put_consumer(&name, config, turn));
    let upto = put.transpose().map_err(|why| refused(&why))?.flatten();
    durable(request, upto)?;
    show(request, &hosted, &name)
}

fn show(request: &mut Request<'_>, hosted: &Hosted, name: &str) -> Result<Vec<u8>, ApiError> {
    let (_, turn) = request.executor.parts();
    let shown = turn.within(|turn| hosted.show_consumer(name, turn));
    let shown = shown.ok_or_else(|| error::CONSUMER_NOT_FOUND.error())?;
    Ok(response(request.kind, documents::consumer(&hosted.name, shown)))
}

pub(super) fn info(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    must_be_empty(request)?;
    let hosted = named(request, 2)?;
    let name = request.token(3).to_owned();
    show(request, &hosted, &name)
}

#[derive(Serialize)]
struct Names {
    consumers: Vec<String>,
}

pub(super) fn names(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let asked: ConsumersRequest = of_list(request, ConsumersRequest::GO)?;
    let hosted = match named(request, 2) {
        Ok(hosted) => hosted,
        Err(error) => {
            let body = Paged { page: Page::default(), body: Names { consumers: Vec::new() } };
            return Ok(request.failure(&error, body));
        }
    };
    let (page, consumers) = Page::of(hosted.consumer_names(), asked.page.offset, NAMES_MAX);
    Ok(response(request.kind, Paged { page, body: Names { consumers } }))
}

#[derive(Serialize)]
struct Consumers {
    consumers: Vec<documents::ConsumerDoc>,
}

pub(super) fn list(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let asked: ConsumersRequest = of_list(request, ConsumersRequest::GO)?;
    let hosted = match named(request, 2) {
        Ok(hosted) => hosted,
        Err(error) => {
            let body = Paged { page: Page::default(), body: Consumers { consumers: Vec::new() } };
            return Ok(request.failure(&error, body));
        }
    };
    let (page, names) = Page::of(hosted.consumer_names(), asked.page.offset, LIST_MAX);
    let (_, turn) = request.executor.parts();
    let shown: Vec<_> =
        turn.within(|turn| names.iter().filter_map(|name| hosted.show_consumer(name, turn)).collect());
    let consumers = shown.into_iter().map(|one| documents::consumer(&hosted.name, one)).collect();
    Ok(response(request.kind, Paged { page, body: Consumers { consumers } }))
}

pub(super) fn delete(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    must_be_empty(request)?;
    let hosted = named(request, 2)?;
    let name = request.token(3).to_owned();
    let (_, turn) = request.executor.parts();
    let upto = turn.within(|turn| hosted.delete_consumer(&name, turn));
    let upto = upto.ok_or_else(|| error::CONSUMER_NOT_FOUND.error())?;
    durable(request, upto)?;
    Ok(response(request.kind, Success { success: true }))
}

#[derive(Serialize)]
struct Paused {
    paused: bool,
    pause_until: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_remaining: Option<Nanos>,
}

pub(super) fn pause(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let asked: PauseRequest = optional(request, PauseRequest::GO)?;
    let until = Some(asked.pause_until).filter(|until| !until.is_zero());
    let hosted = named(request, 2)?;
    let name = request.token(3).to_owned();
    let mut config: ConsumerConfig =
        hosted.consumer_config(&name).ok_or_else(|| error::CONSUMER_NOT_FOUND.error())?;
    config.pause_until = until;
    config::static_consumer_metadata(&mut config);
    let (_, turn) = request.executor.parts();
    let put = turn.within(|turn| hosted.put_consumer(&name, config, turn));
    let upto = put.transpose().map_err(|why| refused(&why))?.flatten();
    durable(request, upto)?;
    let left =
        until.map(|until| until.unix_nanos().saturating_sub(crate::streams::wall())).filter(|left| *left > 0);
    let body = Paused {
        paused: left.is_some(),
        pause_until: until.unwrap_or(Time::ZERO),
        pause_remaining: left.map(Nanos),
    };
    Ok(response(request.kind, body))
}

pub(super) fn unpin(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let asked: UnpinRequest = optional(request, UnpinRequest::GO)?;
    let hosted = named(request, 2)?;
    let name = request.token(3).to_owned();
    let config = hosted.consumer_config(&name).ok_or_else(|| error::CONSUMER_NOT_FOUND.error())?;
    if asked.group.is_empty() || !config.priority_groups.contains(&asked.group) {
        return Err(error::CONSUMER_INVALID_PRIORITY_GROUP.error());
    }
    let (_, turn) = request.executor.parts();
    turn.within(|turn| hosted.unpin(&name, turn));
    Ok(response(request.kind, documents::Empty {}))
}

pub(super) fn reset(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let asked: ResetRequest = optional(request, ResetRequest::GO)?;
    let hosted = named(request, 2)?;
    let name = request.token(3).to_owned();
    let (_, turn) = request.executor.parts();
    let done = turn.within(|turn| hosted.reset_consumer(&name, Some(asked.seq).filter(|&seq| seq > 0), turn));
    let done = done.ok_or_else(|| error::CONSUMER_NOT_FOUND.error())?;
    let seq = done.map_err(|why| error::CONSUMER_INVALID_RESET.with(why))?;
    let (_, turn) = request.executor.parts();
    let shown = turn.within(|turn| hosted.show_consumer(&name, turn));
    let shown = shown.ok_or_else(|| error::CONSUMER_NOT_FOUND.error())?;
    #[derive(Serialize)]
    struct Reset {
        #[serde(flatten)]
        consumer: documents::ConsumerDoc,
        reset_seq: u64,
    }
    let consumer = documents::consumer(&hosted.name, shown);
    Ok(response(request.kind, Reset { consumer, reset_seq: seq }))
}
