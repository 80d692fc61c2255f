//! `/gatewayz`, and the block `gateway` of `/varz`: connections to other clusters, in the official fields and their order.

use super::options::GatewayzOptions;
use super::secured::TlsSession;
use super::source::Subs;
use super::subscriptions::Detail;
use crate::cluster::gateway_address;
use crate::documents::{Head, is_default, json, nanos, seconds};
use crate::gateways::{Direction, Gateway};
use crate::node::Node;
use crate::policy::{ListenerKind, Policy};
use crate::times::{duration, stamp, uptime};
use dialtone_broker::account::Account;
use dialtone_broker::assumed::Assumed;
use dialtone_config::options::{ServerUrl, Tls};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// How an account is with another cluster: only what that has interest in is sent.
const INTEREST_MODE: &str = "Interest-Only";
/// The same where a server of before 2.9 has not said what it is interested in.
const OPTIMISTIC: &str = "Optimistic";
/// After how many subjects without interest an official server would change to that mode.
const INTEREST_ONLY_THRESHOLD: u32 = 1000;

#[derive(Serialize)]
struct Gatewayz {
    #[serde(flatten)]
    head: Head,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    #[serde(skip_serializing_if = "is_default")]
    port: u16,
    /// `null` where one is asked for that there is not, as officially.
    outbound_gateways: Option<BTreeMap<String, Remote>>,
    inbound_gateways: BTreeMap<String, Vec<Remote>>,
}

/// One connection.
#[derive(Serialize)]
struct Remote {
    configured: bool,
    connection: Connection,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<InAccount>,
}

#[derive(Serialize)]
struct Connection {
    cid: u64,
    kind: &'static str,
    ip: String,
    port: u16,
    #[serde(flatten)]
    times: Times,
    #[serde(flatten)]
    load: Load,
    #[serde(flatten)]
    tls: TlsSession,
    name: String,
}

#[derive(Serialize)]
struct Times {
    start: String,
    last_activity: String,
    rtt: String,
    uptime: String,
    idle: String,
}

#[derive(Serialize)]
struct Load {
    pending_bytes: usize,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    subscriptions: usize,
}

/// What the other cluster is interested in, in an account.
#[derive(Serialize)]
struct InAccount {
    name: String,
    interest_mode: &'static str,
    #[serde(skip_serializing_if = "is_default")]
    no_interest_count: usize,
    interest_only_threshold: u32,
    #[serde(skip_serializing_if = "is_default")]
    num_subs: usize,
    #[serde(skip_serializing_if = "is_default")]
    num_queue_subs: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list_detail: Vec<Detail>,
}

/// The document.
pub(crate) fn gatewayz(node: &Node, options: &GatewayzOptions) -> Value {
    let now = SystemTime::now();
    let policy = node.settings.policy();
    let (host, port) = gateway_address(&policy.options, &node.settings.identity).unwrap_or_default();
    let own = policy.options.gateway.as_ref().and_then(|own| own.name.clone());
    let open = node.delivery.gateways.open();
    let wanted = open.iter().filter(|gateway| options.name.is_empty() || gateway.name == options.name);
    // A server without gateways has none of any name.
    let has_any = options.name.is_empty() || own.is_none();
    let mut document = Gatewayz {
        head: Head::new(&node.settings),
        name: own.unwrap_or_default(),
        host,
        port,
        outbound_gateways: has_any.then(BTreeMap::new),
        inbound_gateways: BTreeMap::new(),
    };
    for gateway in wanted {
        let (name, remote) = (gateway.name.clone(), remote(node, gateway, options, now));
        match gateway.direction {
            Direction::Outbound => {
                drop(document.outbound_gateways.get_or_insert_default().insert(name, remote))
            }
            Direction::Inbound => document.inbound_gateways.entry(name).or_default().push(remote),
        }
    }
    json(&document)
}

fn remote(node: &Node, gateway: &Gateway, options: &GatewayzOptions, now: SystemTime) -> Remote {
    let accounts = node.accounts.all();
    let is_wanted = |account: &&Arc<Account>| options.accounts || *account.name == *options.account;
    let accounts = accounts.iter().filter(is_wanted);
    Remote {
        // Official servers look at those that they dialled only.
        configured: gateway.direction == Direction::Outbound && is_named(node, &gateway.name),
        connection: connection(gateway, now),
        accounts: accounts.map(|account| in_account(gateway, account, options.subs)).collect(),
    }
}

/// Whether the configuration that is in force names a cluster.
fn is_named(node: &Node, name: &str) -> bool {
    let policy = node.settings.policy();
    policy.options.gateway.as_ref().is_some_and(|own| own.remote(name).is_some())
}

fn connection(gateway: &Gateway, now: SystemTime) -> Connection {
    let (session, profile) = (&gateway.session, gateway.session.profile());
    let (activity, traffic) = (profile.start + session.peer.activity(), session.peer.counters.read());
    Connection {
        cid: profile.id.0,
        kind: profile.kind.label(),
        ip: profile.remote.map_or_else(String::new, |remote| remote.ip().to_string()),
        port: profile.remote.map_or(0, |remote| remote.port()),
        times: Times {
            start: stamp(profile.start),
            last_activity: stamp(activity),
            rtt: duration(session.rtt()),
            uptime: uptime(now.duration_since(profile.start).unwrap_or_default()),
            idle: uptime(now.duration_since(activity).unwrap_or_default()),
        },
        load: Load {
            pending_bytes: session.peer.pending_bytes(),
            in_msgs: traffic.in_msgs,
            out_msgs: traffic.out_msgs,
            in_bytes: traffic.in_bytes,
            out_bytes: traffic.out_bytes,
            subscriptions: gateway.interest.lock().len(),
        },
        tls: TlsSession::of(&profile),
        name: gateway.remote.server_id.clone(),
    }
}

fn in_account(gateway: &Gateway, account: &Arc<Account>, subs: Subs) -> InAccount {
    let interest = gateway.interest.lock();
    let own =
        || interest.iter().filter(|(of, _)| Arc::ptr_eq(of, account)).map(|(_, subscription)| subscription);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (list, detail): (Vec<String>, Vec<Detail>) = match subs {
        Subs::No => Default::default(),
        Subs::Subjects => (own().map(|subscription| text(subscription.filter())).collect(), Vec::new()),
        Subs::Details => (
            Vec::new(),
            own().map(|subscription| Detail::of_route(subscription, Some(&account.name))).collect(),
        ),
    };
    let optimism = gateway.optimism.as_ref();
    let exceptions = optimism.and_then(|o| o.in_account(account.name.as_bytes(), Assumed::exceptions));
    InAccount {
        name: account.name.to_string(),
        interest_mode: if exceptions.is_some() { OPTIMISTIC } else { INTEREST_MODE },
        no_interest_count: exceptions.unwrap_or_default(),
        interest_only_threshold: INTEREST_ONLY_THRESHOLD,
        num_subs: own().count(),
        num_queue_subs: own().filter(|subscription| subscription.queue().is_some()).count(),
        subscriptions_list: list,
        subscriptions_list_detail: detail,
    }
}

/// What `/varz` has of it. Without a gateway it is empty.
#[derive(Default, Serialize)]
pub(super) struct Block {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    #[serde(skip_serializing_if = "is_default")]
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_timeout: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_timeout: Option<Value>,
    #[serde(skip_serializing_if = "is_default")]
    tls_required: bool,
    #[serde(skip_serializing_if = "is_default")]
    tls_verify: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    advertise: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    connect_retries: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<Known>,
    #[serde(skip_serializing_if = "is_default")]
    reject_unknown: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_deadline: Option<u64>,
}

/// Another cluster.
#[derive(Serialize)]
struct Known {
    name: String,
    urls: Vec<String>,
}

impl Block {
    pub(super) fn of(node: &Node, policy: &Policy) -> Self {
        let Some(own) = policy.options.gateway.as_ref() else { return Self::default() };
        let listener = policy.of(ListenerKind::Gateway);
        let tls = own.listener.tls.as_ref();
        let url = |url: &ServerUrl| format!("{}:{}", url.host, url.port.unwrap_or_default());
        let known = own
            .remotes
            .iter()
            .map(|remote| Known { name: remote.name.clone(), urls: remote.urls.iter().map(url).collect() });
        Self {
            name: own.name.clone().unwrap_or_default(),
            host: own.listener.address.host.clone(),
            port: node.settings.identity.port(ListenerKind::Gateway),
            auth_timeout: Some(seconds(listener.auth_timeout)),
            tls_timeout: Some(seconds(tls.map_or(Tls::TIMEOUT, |tls| tls.timeout))),
            tls_required: tls.is_some(),
            tls_verify: tls.is_some(),
            advertise: own.listener.advertise.clone(),
            connect_retries: own.dialing.retries,
            gateways: known.collect(),
            reject_unknown: own.reject_unknown,
            write_deadline: own.writing.deadline.map(nanos),
        }
    }
}
