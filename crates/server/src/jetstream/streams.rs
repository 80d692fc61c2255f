//! Requests about streams and the account.

use super::api::{Answered, Request};
use super::documents::{self, Details};
use super::figures::Usage;
use crate::node::Node;
use crate::streams::{Hosted, stream_acted};
use dialtone_broker::account::Account;
use dialtone_jetstream::api::advisories::Action;
use dialtone_jetstream::api::{
    self, AccountInfo, AccountInfoResponse, ApiStats, LIST_MAX, LimitsShown, NAMES_MAX, Response,
    StreamCreateResponse, StreamInfoRequest, StreamInfoResponse, StreamListResponse, StreamNamesResponse,
    StreamResponse, StreamsRequest, SuccessResponse, Tier,
};
use dialtone_jetstream::config::{
    self, ConsumerConfig, Context, Creation, StreamConfig, StreamRequest, Streams,
};
use dialtone_jetstream::error::{self, ApiError};
use dialtone_jetstream::json;
use dialtone_store::{Lsn, Refused};
use dialtone_subject::set;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A stream that a request names.
pub(super) fn named(request: &Request<'_>) -> Result<Arc<Hosted>, ApiError> {
    let found = request.executor.node.streams.all.find(&request.account, request.asked.stream);
    found.ok_or_else(|| error::STREAM_NOT_FOUND.error())
}

/// The store takes nothing.
pub(super) fn refused(why: &Refused) -> ApiError {
    error::STREAM_STORE_FAILED.with(why)
}

/// The limits of who asks, by tier.
pub(super) fn tiers(request: &Request<'_>) -> BTreeMap<String, config::AccountLimits> {
    super::tiers(&request.executor.node, &request.account).unwrap_or_default()
}

/// Calls `check` with what a configuration is checked against.
pub(super) fn with_context<T>((node, account): (&Node, &Account), check: impl FnOnce(Context<'_>) -> T) -> T {
    let tiers = super::tiers(node, account).unwrap_or_default();
    let (configs, server) = (configs_of(node, account), super::server_limits(node));
    check(Context { tiers: &tiers, server: &server, streams: &configs })
}

/// Bytes that a message may have.
pub(super) fn payload_max(node: &Node) -> u32 {
    u32::try_from(node.settings.policy().options.limits.payload_bytes_max).unwrap_or(u32::MAX)
}

/// The streams of an account, by name.
struct Known(Vec<Arc<StreamConfig>>);

impl Streams for Known {
    fn by_name(&self, name: &str) -> Option<&StreamConfig> {
        let at = self.0.binary_search_by(|config| config.name.as_str().cmp(name)).ok()?;
        self.0.get(at).map(|config| &**config)
    }

    fn for_each(&self, each: &mut dyn FnMut(&StreamConfig)) {
        self.0.iter().for_each(|config| each(config));
    }
}

fn configs(request: &Request<'_>) -> Known {
    configs_of(&request.executor.node, &request.account)
}

fn configs_of(node: &Node, account: &Account) -> Known {
    let all = node.streams.all.of(account);
    Known(all.iter().map(|hosted| hosted.lock().state.meta.config.clone()).collect())
}

pub(super) fn create(request: &mut Request<'_>) -> Answered {
    let asked: StreamRequest = request.body(StreamRequest::GO)?;
    let (configs, tiers, server) =
        (configs(request), tiers(request), super::server_limits(&request.executor.node));
    let context = Context { tiers: &tiers, server: &server, streams: &configs };
    let config = match config::create_stream(request.asked.stream, &asked, context)? {
        Creation::New(config) => *config,
        Creation::Existing => return created(request),
    };
    let node = request.node();
    let Some(shared) = node.streams.shared() else { return Err(error::NOT_ENABLED.error()) };
    let payload_max = payload_max(&node);
    let (hosted, upto) = node
        .streams
        .all
        .create(&request.account, config, (shared, payload_max))
        .map_err(|why| refused(&why))?;
    request.wait_for(upto);
    hosted.open(&node.connections.registry);
    tell(request, &request.account.clone(), (request.asked.stream, Action::Create));
    created(request)
}

/// Tells whoever wants to know what was done with a stream.
fn tell(request: &mut Request<'_>, account: &Arc<Account>, (name, action): (&str, Action)) {
    let node = request.node();
    let domain = node.streams.shared().and_then(|shared| shared.domain.as_deref());
    let (_, turn) = request.executor.parts();
    turn.within(|turn| stream_acted(turn, account, (name, action), domain));
}

fn created(request: &Request<'_>) -> Answered {
    let (mut info, _) = documents::stream(&*named(request)?, &Details::default());
    // Only this answer does not say it.
    info.domain.clear();
    let response = Response::ok(request.asked.endpoint);
    Ok(json::to_vec(&StreamCreateResponse { response, info: Some(info), did_create: true }))
}

pub(super) fn update(request: &mut Request<'_>) -> Answered {
    let asked: StreamRequest = request.body(StreamRequest::GO)?;
    let (configs, tiers, server) =
        (configs(request), tiers(request), super::server_limits(&request.executor.node));
    let context = Context { tiers: &tiers, server: &server, streams: &configs };
    let hosted = request.executor.node.streams.all.find(&request.account, request.asked.stream);
    let consumers: Vec<(String, ConsumerConfig)> =
        hosted.iter().flat_map(|hosted| hosted.consumer_configs()).collect();
    let mut each = consumers.iter().map(|(name, config)| (name.as_str(), config));
    let config = config::update_stream(request.asked.stream, &asked, &mut each, context)?;
    let hosted = named(request)?;
    let (_, turn) = request.executor.parts();
    let upto = turn.within(|turn| hosted.reconfigure(config, turn));
    let upto = upto.transpose().map_err(|why| refused(&why))?.flatten();
    hosted.renew_taps();
    request.wait_for(upto);
    tell(request, &request.account.clone(), (request.asked.stream, Action::Modify));
    let (info, _) = documents::stream(&hosted, &Details::default());
    Ok(json::to_vec(&StreamResponse { response: Response::ok(request.asked.endpoint), info: Some(info) }))
}

pub(super) fn info(request: &mut Request<'_>) -> Answered {
    let asked: StreamInfoRequest = request.body(StreamInfoRequest::GO)?;
    let hosted = named(request)?;
    let filter = Some(&*asked.subjects_filter).filter(|filter| !filter.is_empty());
    let node = request.node();
    let details = Details {
        deleted: asked.deleted_details,
        subjects: filter.map(|filter| (filter, asked.page.offset)),
        leader: Some(&node),
        is_listed: false,
    };
    let (info, paged) = documents::stream(&hosted, &details);
    let response = Response::ok(request.asked.endpoint);
    Ok(json::to_vec(&StreamInfoResponse { response, paged, info: Some(info) }))
}

/// The streams that a request asks for, by name.
fn selected(request: &Request<'_>) -> Result<(Vec<Arc<Hosted>>, i64), ApiError> {
    let asked: StreamsRequest = request.body(StreamsRequest::GO)?;
    let mut all = request.executor.node.streams.all.of(&request.account);
    if !asked.subject.is_empty() {
        all.retain(|hosted| {
            let inner = hosted.lock();
            let mut subjects = inner.state.meta.config.subjects.iter();
            subjects.any(|filter| set::overlap(filter.as_bytes(), asked.subject.as_bytes()))
        });
    }
    Ok((all, asked.page.offset))
}

pub(super) fn names(request: &mut Request<'_>) -> Answered {
    let (all, offset) = selected(request)?;
    let (part, paged) = api::page(&all, offset, NAMES_MAX);
    let names = part.iter().map(|hosted| hosted.name.to_string()).collect();
    let streams = Some(names).filter(|names: &Vec<String>| !names.is_empty());
    let response = Response::ok(request.asked.endpoint);
    Ok(json::to_vec(&StreamNamesResponse { response, paged, streams }))
}

pub(super) fn list(request: &mut Request<'_>) -> Answered {
    let (all, offset) = selected(request)?;
    let (part, paged) = api::page(&all, offset, LIST_MAX);
    let details = Details { is_listed: true, ..Details::default() };
    let streams = part.iter().map(|hosted| documents::stream(hosted, &details).0).collect();
    let response = Response::ok(request.asked.endpoint);
    Ok(json::to_vec(&StreamListResponse { response, paged, streams, ..StreamListResponse::default() }))
}

pub(super) fn delete(request: &mut Request<'_>) -> Answered {
    request.nothing()?;
    named(request)?;
    let (account, name) = (request.account.clone(), request.asked.stream);
    let upto = remove(request, &account, name);
    request.wait_for(upto);
    Ok(json::to_vec(&SuccessResponse::ok(request.asked.endpoint)))
}

/// Deletes a stream and tells of it. Where the log ends that says so.
fn remove(request: &mut Request<'_>, account: &Arc<Account>, name: &str) -> Option<Lsn> {
    let node = request.node();
    let (_, turn) = request.executor.parts();
    let upto = turn.within(|turn| node.streams.all.delete(account, name, (&node.connections.registry, turn)));
    tell(request, account, (name, Action::Delete));
    upto.flatten()
}

/// Deletes all streams of an account, which the system account asks for.
pub(super) fn purge_account(request: &mut Request<'_>) -> Answered {
    let node = request.node();
    let account = node.accounts.all().into_iter().find(|account| *account.name == *request.asked.stream);
    let streams = account.iter().flat_map(|account| node.streams.all.of(account));
    let mut upto = None;
    for hosted in streams.collect::<Vec<_>>() {
        let Some(account) = hosted.account() else { continue };
        upto = upto.max(remove(request, &account, &hosted.name));
    }
    request.wait_for(upto);
    let response = Response::ok(request.asked.endpoint);
    Ok(json::to_vec(&api::AccountPurgeResponse { response, initiated: true }))
}

fn tier(limits: LimitsShown, usage: &Usage, streams: usize) -> Tier {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    Tier {
        memory: usage.bytes[0],
        storage: usage.bytes[1],
        reserved_memory: usage.reserved[0],
        reserved_storage: usage.reserved[1],
        streams: count(streams),
        consumers: count(usage.consumers),
        limits,
    }
}

/// The limits of an account; no limit where none is set.
fn limits_shown(limits: &config::AccountLimits) -> LimitsShown {
    let or_none = |limit: i64| if limit == 0 { -1 } else { limit };
    LimitsShown {
        max_ack_pending: or_none(limits.ack_pending_max),
        memory_max_stream_bytes: or_none(limits.memory_stream_bytes_max),
        storage_max_stream_bytes: or_none(limits.storage_stream_bytes_max),
        ..LimitsShown::from(limits)
    }
}

pub(super) fn account_info(request: &mut Request<'_>) -> Answered {
    let node = request.node();
    let limits = tiers(request);
    let all = node.streams.all.of(&request.account);
    let usage = Usage::of(&all);
    let asked = node.streams.asked_so_far(&request.account);
    // Streams have one replica here.
    let by_tier = limits.iter().filter(|(name, _)| !name.is_empty()).map(|(name, limits)| {
        let (usage, streams) = if name == "R1" { (usage, all.len()) } else { (Usage::default(), 0) };
        (name.clone(), tier(limits_shown(limits), &usage, streams))
    });
    let flat = limits.get("").map(limits_shown).unwrap_or_default();
    let info = AccountInfo {
        all: tier(flat, &usage, all.len()),
        domain: node
            .streams
            .shared()
            .and_then(|shared| shared.domain.as_deref())
            .unwrap_or_default()
            .to_owned(),
        api: ApiStats::new(asked.total, asked.errors, 0),
        tiers: by_tier.collect(),
    };
    let response = Response::ok(request.asked.endpoint);
    Ok(json::to_vec(&AccountInfoResponse { response, info: Some(info) }))
}
