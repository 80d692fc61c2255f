//! `/leafz`, and the block `leaf` of `/varz`: connections of leaf nodes, in the official fields and their order.

use super::options::LeafzOptions;
use crate::documents::{Head, is_default, json, seconds};
use crate::leafs::Leaf;
use crate::node::Node;
use crate::policy::{ListenerKind, Policy};
use crate::times::duration;
use dialtone_broker::account::GLOBAL;
use dialtone_config::options::{LeafNodes, LeafRemote, Tls};
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
struct Leafz {
    #[serde(flatten)]
    head: Head,
    leafnodes: usize,
    leafs: Vec<Row>,
}

/// One connection.
#[derive(Serialize)]
struct Row {
    id: u64,
    name: String,
    is_spoke: bool,
    #[serde(skip_serializing_if = "is_default")]
    is_isolated: bool,
    account: String,
    ip: String,
    port: u16,
    #[serde(skip_serializing_if = "String::is_empty")]
    rtt: String,
    #[serde(flatten)]
    load: Load,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<String>,
    compression: &'static str,
}

#[derive(Serialize)]
struct Load {
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    subscriptions: usize,
}

/// The document.
pub(crate) fn leafz(node: &Node, options: &LeafzOptions) -> Value {
    let is_wanted = |leaf: &Leaf| options.account.as_ref().is_none_or(|name| **name == *leaf.account.name);
    let open = node.delivery.leafs.open();
    let leafs: Vec<Row> =
        open.iter().filter(|leaf| is_wanted(leaf)).map(|leaf| row(leaf, options.subs)).collect();
    json(&Leafz { head: Head::new(&node.settings), leafnodes: leafs.len(), leafs })
}

fn row(leaf: &Leaf, lists: bool) -> Row {
    let profile = leaf.session.profile();
    let traffic = leaf.session.peer.counters.read();
    let rtt = leaf.session.rtt();
    let interest = leaf.interest.lock();
    let text = |filter: &[u8]| String::from_utf8_lossy(filter).into_owned();
    let list = interest.iter().filter(|_| lists).map(|(_, subscription)| text(subscription.filter()));
    Row {
        id: profile.id.0,
        name: leaf.remote.server_name.clone(),
        is_spoke: leaf.is_spoke(),
        is_isolated: leaf.is_isolated,
        account: leaf.account.name.to_string(),
        ip: profile.host().unwrap_or_default(),
        port: profile.shown_remote().map_or(0, |remote| remote.port()),
        rtt: if rtt.is_zero() { String::new() } else { duration(rtt) },
        load: Load {
            in_msgs: traffic.in_msgs,
            out_msgs: traffic.out_msgs,
            in_bytes: traffic.in_bytes,
            out_bytes: traffic.out_bytes,
            subscriptions: interest.len(),
        },
        subscriptions_list: list.collect(),
        compression: leaf.compression.text(),
    }
}

/// The block of `/varz`.
#[derive(Default, Serialize)]
pub(super) struct Block {
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remotes: Vec<Remote>,
}

/// A hub.
#[derive(Serialize)]
struct Remote {
    local_account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_timeout: Option<Value>,
    urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deny: Option<Denied>,
}

/// What does not pass.
#[derive(Serialize)]
struct Denied {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    imports: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exports: Vec<String>,
}

impl Block {
    pub(super) fn of(node: &Node, policy: &Policy) -> Self {
        let Some(own) = &policy.options.leafnodes else { return Self::default() };
        let listening = if own.listens() { Self::listening(node, policy, own) } else { Self::default() };
        let remotes = own.remotes.iter().map(remote).collect();
        Self { remotes, ..listening }
    }

    fn listening(node: &Node, policy: &Policy, own: &LeafNodes) -> Self {
        let tls = own.listener.tls.as_ref();
        Self {
            host: own.listener.address.host.clone(),
            port: node.settings.identity.port(ListenerKind::LeafNodes),
            auth_timeout: Some(seconds(policy.of(ListenerKind::LeafNodes).auth_timeout)),
            tls_timeout: Some(seconds(tls.map_or(Tls::TIMEOUT, |tls| tls.timeout))),
            tls_required: tls.is_some(),
            tls_verify: tls.is_some_and(|tls| tls.verify),
            remotes: Vec::new(),
        }
    }
}

fn remote(remote: &LeafRemote) -> Remote {
    let url = |host: &str, port: Option<u16>| port.map_or(host.to_owned(), |port| format!("{host}:{port}"));
    let denies = !remote.deny_imports.is_empty() || !remote.deny_exports.is_empty();
    Remote {
        local_account: remote.account.clone().unwrap_or_else(|| GLOBAL.into()),
        tls_timeout: remote.tls.as_ref().map(|tls| seconds(tls.timeout)),
        urls: remote.urls.iter().map(|own| url(&own.host, own.port)).collect(),
        deny: denies
            .then(|| Denied { imports: remote.deny_imports.clone(), exports: remote.deny_exports.clone() }),
    }
}
