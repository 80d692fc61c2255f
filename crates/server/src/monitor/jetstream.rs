//! `/jsz`: JetStream as a whole, then account by account, with streams and consumers, in the official fields and their order.

use super::options::JszOptions;
use crate::documents::{Head, is_default, json};
use crate::jetstream::documents::{self, Details};
use crate::jetstream::figures::{Config, Limits, Stats, Usage, enabled_accounts};
use crate::jetstream::has_jetstream;
use crate::node::Node;
use crate::streams::Hosted;
use dialtone_broker::account::Account;
use dialtone_jetstream::api::{ClusterInfo, ConsumerInfo, StreamSourceInfo, StreamState};
use dialtone_jetstream::config::StreamConfig;
use dialtone_jetstream::time::Time;
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
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<StreamConfig>,
    state: StreamState,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consumer_detail: Vec<ConsumerInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    direct_consumer_detail: Vec<ConsumerInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<StreamSourceInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<StreamSourceInfo>,
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
            consumers: usage.shown_consumers,
            consumers_leader: leads(usage.shown_consumers),
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
    let details = Details { leader: Some(node), is_listed: true, ..Details::default() };
    let (shown, _) = documents::stream(hosted, &details);
    let is_asked_for = options.consumers || options.direct_consumers;
    let consumers = if is_asked_for { hosted.shown_consumers() } else { Vec::new() };
    let (direct, own): (Vec<_>, Vec<_>) = consumers.into_iter().partition(|shown| shown.meta.common().direct);
    let consumer = |shown| {
        let consumer = documents::consumer(&hosted.name, shown, true);
        ConsumerInfo { config: consumer.config.filter(|_| options.config), ..consumer }
    };
    StreamDetail {
        name: hosted.name.to_string(),
        created: shown.created,
        cluster: shown.cluster,
        config: options.config.then_some(shown.config),
        state: shown.state,
        consumer_detail: own.into_iter().filter(|_| options.consumers).map(consumer).collect(),
        direct_consumer_detail: direct
            .into_iter()
            .filter(|_| options.direct_consumers)
            .map(consumer)
            .collect(),
        mirror: shown.mirror,
        sources: shown.sources,
    }
}
