//! Requests about streams and the account.

use super::api::Request;
use super::documents::{self, Created, Details, Page, Paged, Success, response};
use crate::streams::{Hosted, stream_acted};
use dialtone_jetstream::api::advisories::Action;
use dialtone_jetstream::api::{self, StreamInfoRequest, StreamsRequest};
use dialtone_jetstream::config::{
    self, ConsumerConfig, Context, Creation, Storage, StreamConfig, StreamRequest,
};
use dialtone_jetstream::error::{self, ApiError};
use dialtone_jetstream::json::{self, Field};
use dialtone_store::{Lsn, Refused};
use dialtone_subject::set;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names that a page has. The official figure.
pub(super) const NAMES_MAX: usize = 1024;
/// Streams or consumers that a page has. The official figure.
pub(super) const LIST_MAX: usize = 256;

/// A stream that a request names.
pub(super) fn named(request: &Request<'_>, at: usize) -> Result<Arc<Hosted>, ApiError> {
    let found = request.executor.node.streams.all.find(&request.account, request.token(at));
    found.ok_or_else(|| error::STREAM_NOT_FOUND.error())
}

/// Waits until the log has something on disk.
pub(super) fn durable(request: &Request<'_>, upto: Option<Lsn>) -> Result<(), ApiError> {
    let node = &request.executor.node;
    let Some((upto, shared)) = upto.zip(node.streams.shared()) else { return Ok(()) };
    match shared.store().map(|store| store.wait(upto)) {
        None | Some(Ok(())) => Ok(()),
        Some(Err(failure)) => Err(error::STREAM_STORE_FAILED.with(failure)),
    }
}

/// The store takes nothing.
pub(super) fn refused(why: &Refused) -> ApiError {
    error::STREAM_STORE_FAILED.with(why)
}

/// What is behind `invalid JSON: `, as an error.
pub(super) fn invalid_json(why: impl std::fmt::Display) -> ApiError {
    error::INVALID_JSON.with(why)
}

/// The limits of who asks, by tier.
pub(super) fn tiers(request: &Request<'_>) -> BTreeMap<String, config::AccountLimits> {
    super::tiers(&request.executor.node, &request.account).unwrap_or_default()
}

pub(super) fn configs(request: &Request<'_>) -> BTreeMap<String, StreamConfig> {
    let all = request.executor.node.streams.all.of(&request.account);
    all.iter().map(|hosted| (hosted.name.to_string(), hosted.lock().state.meta.config.clone())).collect()
}

fn read(request: &Request<'_>) -> Result<StreamRequest, ApiError> {
    let mut out = StreamRequest::default();
    json::from_slice(&request.message.payload, StreamRequest::GO, request.strictness(), &mut out)
        .map_err(invalid_json)?;
    Ok(out)
}

pub(super) fn create(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let asked = read(request)?;
    let (configs, tiers, server) = (configs(request), tiers(request), super::server_limits(request));
    let context = Context { tiers: &tiers, server: &server, streams: &configs };
    let config = match config::create_stream(request.token(2), &asked, context)? {
        Creation::New(config) => *config,
        Creation::Existing => return created(request, true),
    };
    let node = request.node();
    let Some(shared) = node.streams.shared() else { return Err(error::NOT_ENABLED.error()) };
    let payload_max =
        u32::try_from(node.settings.policy().options.limits.payload_bytes_max).unwrap_or(u32::MAX);
    let (hosted, upto) = node
        .streams
        .all
        .create(&request.account, config, (shared, payload_max))
        .map_err(|why| refused(&why))?;
    durable(request, upto)?;
    hosted.open(&node.connections.registry);
    tell(request, Action::Create);
    created(request, true)
}

/// Tells whoever wants to know what was done with the stream.
fn tell(request: &mut Request<'_>, action: Action) {
    let (node, account, name) = (request.node(), request.account.clone(), request.token(2).to_owned());
    let domain = node.streams.shared().and_then(|shared| shared.domain.as_deref());
    let (_, turn) = request.executor.parts();
    turn.within(|turn| stream_acted(turn, &account, (&name, action), domain));
}

fn created(request: &Request<'_>, did_create: bool) -> Result<Vec<u8>, ApiError> {
    let hosted = named(request, 2)?;
    let (stream, _) = documents::stream(&hosted, &Details::default());
    Ok(response(request.kind, Created { stream, did_create }))
}

pub(super) fn update(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let asked = read(request)?;
    let (configs, tiers, server) = (configs(request), tiers(request), super::server_limits(request));
    let context = Context { tiers: &tiers, server: &server, streams: &configs };
    let hosted = request.executor.node.streams.all.find(&request.account, request.token(2));
    let consumers: Vec<(String, ConsumerConfig)> =
        hosted.iter().flat_map(|hosted| hosted.consumer_configs()).collect();
    let mut each = consumers.iter().map(|(name, config)| (name.as_str(), config));
    let config = config::update_stream(request.token(2), &asked, &mut each, context)?;
    let hosted = named(request, 2)?;
    let (_, turn) = request.executor.parts();
    let upto = turn.within(|turn| hosted.reconfigure(config, turn));
    let upto = upto.transpose().map_err(|why| refused(&why))?.flatten();
    hosted.renew_taps();
    durable(request, upto)?;
    tell(request, Action::Modify);
    created(request, false)
}

pub(super) fn info(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let asked: StreamInfoRequest = optional(request, StreamInfoRequest::GO)?;
    let hosted = named(request, 2);
    let hosted = match hosted {
        Ok(hosted) => hosted,
        Err(error) => return Ok(request.failure(&error, Page::default())),
    };
    let filter = Some(&*asked.subjects_filter).filter(|filter| !filter.is_empty());
    let node = request.node();
    let details = Details {
        deleted: asked.deleted_details,
        subjects: filter,
        offset: asked.page.offset,
        leader: Some(&node),
        is_listed: false,
    };
    let (body, page) = documents::stream(&hosted, &details);
    Ok(response(request.kind, Paged { page, body }))
}

/// The payload of a request that may say nothing.
pub(super) fn optional<T: Field + Default>(request: &Request<'_>, go: &str) -> Result<T, ApiError> {
    let payload = &request.message.payload;
    if api::is_empty(payload) {
        return Ok(T::default());
    }
    api::read_request(payload, go, request.strictness())
}

/// The payload of a request for a list: what is no object counts as nothing.
pub(super) fn of_list<T: Field + Default>(request: &Request<'_>, go: &str) -> Result<T, ApiError> {
    api::read_list(&request.message.payload, go, request.strictness())
}

/// A request that says nothing.
pub(super) fn must_be_empty(request: &Request<'_>) -> Result<(), ApiError> {
    match api::is_empty(&request.message.payload) {
        true => Ok(()),
        false => Err(error::NOT_EMPTY_REQUEST.error()),
    }
}

fn selected(request: &Request<'_>, asked: &StreamsRequest) -> Vec<Arc<Hosted>> {
    let mut all = request.executor.node.streams.all.of(&request.account);
    if !asked.subject.is_empty() {
        all.retain(|hosted| {
            let inner = hosted.lock();
            let mut subjects = inner.state.meta.config.subjects.iter();
            subjects.any(|filter| set::overlap(filter.as_bytes(), asked.subject.as_bytes()))
        });
    }
    all
}

#[derive(Serialize)]
struct Names {
    streams: Option<Vec<String>>,
}

pub(super) fn names(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let asked: StreamsRequest = of_list(request, StreamsRequest::GO)?;
    let all: Vec<String> = selected(request, &asked).iter().map(|hosted| hosted.name.to_string()).collect();
    let (page, names) = Page::of(all, asked.page.offset, NAMES_MAX);
    let streams = Some(names).filter(|names| !names.is_empty());
    Ok(response(request.kind, Paged { page, body: Names { streams } }))
}

#[derive(Serialize)]
struct Streams {
    streams: Vec<documents::StreamDoc>,
}

pub(super) fn list(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let asked: StreamsRequest = of_list(request, StreamsRequest::GO)?;
    let (page, part) = Page::of(selected(request, &asked), asked.page.offset, LIST_MAX);
    let details = Details { is_listed: true, ..Details::default() };
    let streams = part.iter().map(|hosted| documents::stream(hosted, &details).0).collect();
    Ok(response(request.kind, Paged { page, body: Streams { streams } }))
}

pub(super) fn delete(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    must_be_empty(request)?;
    named(request, 2)?;
    let (node, account) = (request.node(), request.account.clone());
    let name = request.token(2).to_owned();
    let (_, turn) = request.executor.parts();
    let upto =
        turn.within(|turn| node.streams.all.delete(&account, &name, (&node.connections.registry, turn)));
    durable(request, upto.flatten())?;
    tell(request, Action::Delete);
    Ok(response(request.kind, Success { success: true }))
}

#[derive(Serialize)]
struct AccountInfo {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    streams: usize,
    consumers: usize,
    limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    api: Api,
}

#[derive(Serialize)]
struct Limits {
    max_memory: i64,
    max_storage: i64,
    max_streams: i64,
    max_consumers: i64,
    max_ack_pending: i64,
    memory_max_stream_bytes: i64,
    storage_max_stream_bytes: i64,
    max_bytes_required: bool,
}

#[derive(Serialize)]
struct Api {
    level: u32,
    total: u64,
    errors: u64,
}

pub(super) fn account_info(request: &mut Request<'_>) -> Result<Vec<u8>, ApiError> {
    let node = request.node();
    let tiers = tiers(request);
    let limits = tiers.get("").cloned().unwrap_or(config::AccountLimits::NONE);
    let asked = node.streams.asked_so_far(&request.account);
    let or_none = |limit: i64| if limit == 0 { -1 } else { limit };
    let all = node.streams.all.of(&request.account);
    let (mut used, mut reserved, mut consumers) = ([0; 2], [0; 2], 0);
    for hosted in &all {
        let inner = hosted.lock();
        let at = usize::from(inner.state.meta.config.storage == Storage::File);
        used[at] += inner.state.machine.totals().bytes;
        reserved[at] += u64::try_from(inner.state.meta.config.max_bytes).unwrap_or(0);
        consumers += inner.state.consumers.len();
    }
    let body = AccountInfo {
        memory: used[0],
        storage: used[1],
        reserved_memory: reserved[0],
        reserved_storage: reserved[1],
        streams: all.len(),
        consumers,
        limits: Limits {
            max_memory: limits.memory_bytes_max,
            max_storage: limits.storage_bytes_max,
            max_streams: limits.streams_max,
            max_consumers: limits.consumers_max,
            max_ack_pending: or_none(limits.ack_pending_max),
            memory_max_stream_bytes: or_none(limits.memory_stream_bytes_max),
            storage_max_stream_bytes: or_none(limits.storage_stream_bytes_max),
            max_bytes_required: limits.max_bytes_required,
        },
        domain: node.streams.shared().and_then(|shared| shared.domain.as_deref().map(str::to_owned)),
        api: Api { level: config::API_LEVEL, total: asked.total, errors: asked.errors },
    };
    Ok(response(request.kind, body))
}
