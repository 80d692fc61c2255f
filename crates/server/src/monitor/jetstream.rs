//! `/jsz`: JetStream as a whole, then account by account, with streams and consumers, in the official fields and their order.

use super::options::JszOptions;
use crate::documents::{Head, is_default, json};
use crate::jetstream::figures::{Config, Limits, Stats, Usage, enabled_accounts};
use crate::jetstream::has_jetstream;
use crate::node::Node;
use crate::streams::{Hosted, Shown, wall};
use dialtone_broker::account::Account;
use dialtone_jetstream::api::{ClusterInfo, ConsumerInfo, PriorityGroupState, SequenceInfo, StreamState};
use dialtone_jetstream::config::StreamConfig;
use dialtone_jetstream::consumer::Position;
use dialtone_jetstream::stream::Stream;
use dialtone_jetstream::time::{Nanos, Time};
use serde::Serialize;
use serde_json::Value;

/// The document.
#[derive(Serialize)]
struct Jsz {
    #[serde(flatten)]
    stats: Stats,
    #[serde(flatten)]
    head: Head,
    #[serde(skip_serializing_if = "is_default")]
    disabled: bool,
    config: Config,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    #[serde(flatten)]
    content: Content,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    account_details: Vec<AccountDetail>,
    total: usize,
}

/// How much there is of everything. Whoever asks for Raft groups is told what of it this server leads, which alone is all.
#[derive(Default, Serialize)]
struct Content {
    streams: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    streams_leader: Option<usize>,
    consumers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumers_leader: Option<usize>,
    messages: u64,
    bytes: u64,
}

/// An account.
#[derive(Serialize)]
struct AccountDetail {
    name: String,
    id: String,
    #[serde(flatten)]
    stats: Stats,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stream_detail: Vec<StreamDetail>,
}

/// A stream.
#[derive(Serialize)]
struct StreamDetail {
    name: String,
    created: Time,
    cluster: ClusterInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<StreamConfig>,
    state: StreamState,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consumer_detail: Vec<ConsumerInfo>,
}

/// JetStream, with as much detail as is asked for.
///
/// # Errors
/// Only a leader was asked, where JetStream is off.
pub(crate) fn jsz(node: &Node, options: &JszOptions) -> Result<Value, &'static str> {
    let head = Head::new(&node.settings);
    if node.streams.shared().is_none() {
        if options.leader_only {
            return Err("filtered response: not leader");
        }
        let (stats, config, content) = Default::default();
        let (disabled, limits, account_details) = (true, None, Vec::new());
        return Ok(json(&Jsz { stats, head, disabled, config, limits, content, account_details, total: 0 }));
    }
    // Who asks for something asks for all around it.
    let streams = options.streams || options.consumers;
    let options = &JszOptions { accounts: options.accounts || streams, streams, ..options.clone() };
    let streams = node.streams.all.all();
    let usage = Usage::of(&streams);
    let leads = |count: usize| Some(count).filter(|count| options.raft && *count > 0);
    let all = enabled_accounts(node);
    let details = match &*options.account {
        "" if options.accounts => {
            let wanted = options.window.of(&all);
            wanted.into_iter().map(|account| detail(node, account, options)).collect()
        }
        "" => Vec::new(),
        name => {
            let found = all.iter().filter(|account| *account.name == *name);
            found.map(|account| detail(node, account, options)).collect()
        }
    };
    Ok(json(&Jsz {
        stats: Stats::of(node),
        head,
        disabled: false,
        config: Config::of(node),
        limits: Some(Limits::of(node)),
        content: Content {
            streams: streams.len(),
            streams_leader: leads(streams.len()),
            consumers: usage.consumers,
            consumers_leader: leads(usage.consumers),
            messages: usage.messages,
            bytes: usage.bytes.iter().sum(),
        },
        account_details: details,
        total: all.len(),
    }))
}

/// JetStream of one account.
///
/// # Errors
/// It has none, in the official words.
pub(crate) fn account_jsz(node: &Node, name: &str, options: &JszOptions) -> Result<Value, String> {
    if node.streams.shared().is_none() {
        return Err("jetstream not enabled".into());
    }
    let account = node.accounts.find(name).ok_or_else(|| format!("account {name:?} not found"))?;
    if !has_jetstream(node, &account) {
        return Err(format!("account {name:?} not jetstream enabled"));
    }
    Ok(json(&detail(node, &account, options)))
}

fn detail(node: &Node, account: &Account, options: &JszOptions) -> AccountDetail {
    let streams = node.streams.all.of(account);
    let shown = if options.streams { &*streams } else { &[] };
    AccountDetail {
        name: node.accounts.name_of(&account.name),
        id: account.name.to_string(),
        stats: Stats::of_account(node, account, &Usage::of(&streams)),
        stream_detail: shown.iter().map(|hosted| stream_detail(node, hosted, options)).collect(),
    }
}

fn stream_detail(node: &Node, hosted: &Hosted, options: &JszOptions) -> StreamDetail {
    let consumers = if options.consumers { hosted.shown_consumers() } else { Vec::new() };
    let inner = hosted.lock();
    let meta = &inner.state.meta;
    StreamDetail {
        name: hosted.name.to_string(),
        created: Time::from_unix_nanos(meta.created),
        cluster: ClusterInfo { leader: node.settings.identity.name.clone(), ..ClusterInfo::default() },
        config: options.config.then(|| meta.config.clone()),
        state: state(&inner.state.machine, inner.state.shown_consumers()),
        consumer_detail: consumers
            .into_iter()
            .map(|shown| consumer_detail(&hosted.name, shown, options.config))
            .collect(),
    }
}

fn time(nanos: i64) -> Time {
    if nanos == 0 { Time::ZERO } else { Time::from_unix_nanos(nanos) }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What a stream holds.
fn state(stream: &Stream, consumers: usize) -> StreamState {
    let (totals, messages) = (stream.totals(), stream.messages());
    let missing = (totals.last + 1).saturating_sub(totals.first).saturating_sub(totals.count);
    StreamState {
        messages: totals.count,
        bytes: totals.bytes,
        first_seq: totals.first,
        first_ts: messages.head(totals.first).map_or(Time::ZERO, |head| time(head.time)),
        last_seq: totals.last,
        last_ts: time(totals.last_time),
        num_subjects: count(messages.subjects_count()),
        num_deleted: if totals.count > 0 { i64::try_from(missing).unwrap_or(i64::MAX) } else { 0 },
        consumer_count: count(consumers),
        ..StreamState::default()
    }
}

/// A consumer, as it is listed.
fn consumer_detail(stream: &str, shown: Shown, with_config: bool) -> ConsumerInfo {
    let Shown { meta, info } = shown;
    let sequence = |at: Position, active: Option<i64>| SequenceInfo {
        consumer_seq: at.consumer,
        stream_seq: at.stream,
        last_active: active.map(Time::from_unix_nanos),
    };
    let groups = info.priority_group.into_iter().map(|group| {
        let (pinned_client_id, since) =
            group.pinned.map_or_else(Default::default, |(id, since)| (id.into(), since));
        PriorityGroupState { group: group.group.into(), pinned_client_id, pinned_ts: time(since) }
    });
    ConsumerInfo {
        stream_name: stream.to_owned(),
        name: meta.name,
        created: Time::from_unix_nanos(meta.created),
        config: with_config.then_some(meta.config),
        delivered: sequence(info.delivered, info.delivered_at),
        ack_floor: sequence(info.ack_floor, info.acked_at),
        num_ack_pending: count(info.num_ack_pending),
        num_redelivered: count(info.num_redelivered),
        num_waiting: count(info.num_waiting),
        num_pending: info.num_pending,
        push_bound: info.push_bound,
        paused: info.pause_remaining.is_some(),
        pause_remaining: Nanos(info.pause_remaining.unwrap_or_default()),
        ts: Time::from_unix_nanos(wall()),
        priority_groups: groups.collect(),
        ..ConsumerInfo::default()
    }
}
