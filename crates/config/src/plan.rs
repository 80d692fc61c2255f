//! What a reload changes: everything that can be changed, or every reason why not.
//!
//! What a reload does with a key stands with its declaration ([`crate::blocks`]). Here are the blocks that are compared as a whole,
//! and the one key whose rule depends on others.

use crate::blocks::keys::{self, Status};
use crate::blocks::log::ConnectErrors;
use crate::blocks::reader::go_duration;
pub use crate::blocks::rule::Change;
use crate::blocks::rule::{self, Difference, Rule, Show, hidden};
use crate::operator::OperatorMode;
use crate::options::cluster::RouteUrl;
use crate::options::gateway::{Gateway, GatewayListener};
use crate::options::websocket::WebSocket;
use crate::options::{
    self, Access, Authorization, Clients, Cluster, Http, LameDuck, LeafNodes, Limits, Log, Options, Server,
    Staples, Usage,
};
use crate::options::{Address, Mqtt, MqttStreams, Operation};

mod jetstream;

/// Why a reload is refused: nothing of it is applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Refusal(pub Vec<String>);

/// A part of the options that is compared as a whole, by several keys or a part of them.
struct Field {
    /// The key that sets it, in the block.
    key: (&'static str, &'static str),
    /// What the official server calls it when it refuses to change it.
    name: &'static str,
    /// What it belongs to.
    change: Change,
    /// How a change of it is logged.
    said: LogForm,
    same: fn(&Options, &Options) -> bool,
    /// Its value in the notation of Go.
    show: fn(&Options) -> String,
}

/// How a change is told in the log.
enum LogForm {
    /// `key = value`
    Value,
    /// These words, whatever the value.
    Words(&'static str),
}

use Change::{Presentation, Tls};
use LogForm::{Value, Words};

/// What stands in the `tls` block of each listener, which reloads else.
const TLS_RATES: [Field; 3] = [
    Field {
        key: ("tls", "connection_rate_limit"),
        name: "TLSRateLimit",
        change: Tls,
        said: Value,
        same: |old, new| tls_rate(old.clients.tls.as_ref()) == tls_rate(new.clients.tls.as_ref()),
        show: |o| tls_rate(o.clients.tls.as_ref()).show(),
    },
    Field {
        key: ("tls", "connection_rate_limit"),
        name: "Websocket TLSRateLimit",
        change: Tls,
        said: Value,
        same: |old, new| tls_rate(websocket_tls(old)) == tls_rate(websocket_tls(new)),
        show: |o| tls_rate(websocket_tls(o)).show(),
    },
    Field {
        key: ("tls", "connection_rate_limit"),
        name: "MQTT TLSRateLimit",
        change: Tls,
        said: Value,
        same: |old, new| tls_rate(mqtt_tls(old)) == tls_rate(mqtt_tls(new)),
        show: |o| tls_rate(mqtt_tls(o)).show(),
    },
];

/// The listener for WebSocket, of which only TLS may change.
const WEBSOCKET: Field = Field {
    key: ("websocket", "listen"),
    name: "Websocket",
    change: Presentation,
    said: Value,
    same: |old, new| websocket(old) == websocket(new),
    show: hidden,
};

const WEBSOCKET_TLS: Field = Field {
    key: ("websocket", "tls"),
    name: "Websocket",
    change: Tls,
    said: Value,
    same: |old, new| websocket_tls(old) == websocket_tls(new),
    show: hidden,
};

/// The listener for MQTT, of which TLS and what is asked of streams may change.
const MQTT: [Field; 3] = [
    Field {
        key: ("mqtt", "listen"),
        name: "MQTT",
        change: Presentation,
        said: Value,
        same: |old, new| fixed_mqtt(old) == fixed_mqtt(new),
        show: hidden,
    },
    Field {
        key: ("mqtt", "tls"),
        name: "MQTT",
        change: Tls,
        said: Value,
        same: |old, new| mqtt_tls(old) == mqtt_tls(new),
        show: hidden,
    },
    Field {
        key: ("mqtt", "ack_wait"),
        name: "MQTT",
        change: Presentation,
        said: Value,
        same: |old, new| mqtt_streams(old) == mqtt_streams(new),
        show: hidden,
    },
];

/// The gateway for MQTT-SN, of which only a restart changes anything.
const MQTT_SN: Field = Field {
    key: ("mqtt_sn", "listen"),
    name: "MQTT-SN",
    change: Presentation,
    said: Value,
    same: |old, new| old.mqtt_sn == new.mqtt_sn,
    show: hidden,
};

/// What only a restart changes of MQTT.
fn fixed_mqtt(options: &Options) -> Option<Mqtt> {
    let own = options.mqtt.clone()?;
    let MqttStreams { api_timeout, domain, .. } = own.streams;
    Some(Mqtt { tls: None, streams: MqttStreams { api_timeout, domain, ..MqttStreams::default() }, ..own })
}

fn mqtt_tls(options: &Options) -> Option<&options::Tls> {
    options.mqtt.as_ref()?.tls.as_ref()
}

fn mqtt_streams(options: &Options) -> Option<&MqttStreams> {
    Some(&options.mqtt.as_ref()?.streams)
}

/// What the log says of it: all of it at once, as officially.
fn mqtt_lines(old: &Options, new: &Options) -> Vec<String> {
    let Some(own) = mqtt_streams(new).filter(|_| old.mqtt != new.mqtt) else { return Vec::new() };
    vec![
        format!("MQTT ack_wait = {}", go_duration(own.ack_wait)),
        format!("MQTT max_ack_pending = {}", own.ack_pending_max),
        format!("MQTT stream_replicas = {}", own.replicas),
        format!("MQTT consumer_memory_storage = {}", own.consumer_memory_storage),
        format!("MQTT consumer_inactive_threshold = {}", go_duration(own.consumer_inactive_threshold)),
    ]
}

/// The cluster: all may change but where it listens.
const CLUSTER: [Field; 4] = [
    Field {
        key: ("cluster", "host"),
        name: "cluster host",
        change: Change::Cluster,
        said: Value,
        same: |old, new| cluster_host(old) == cluster_host(new),
        show: |o| cluster_host(o).to_owned(),
    },
    Field {
        key: ("cluster", "port"),
        name: "cluster port",
        change: Change::Cluster,
        said: Value,
        same: |old, new| cluster_port(old) == cluster_port(new),
        show: |o| cluster_port(o).map_or(-1, i32::from).to_string(),
    },
    Field {
        key: ("", "cluster"),
        name: "cluster",
        change: Change::Cluster,
        said: Words("cluster"),
        same: |old, new| cluster(old) == cluster(new),
        show: hidden,
    },
    Field {
        key: ("cluster", "routes"),
        name: "cluster routes",
        change: Change::Routes,
        said: Words("cluster routes"),
        same: |old, new| routes(old) == routes(new),
        show: hidden,
    },
];

/// The gateway: all may change but its name and where it listens, and there is one or none.
const GATEWAY: [Field; 2] = [
    Field {
        key: ("gateway", "listen"),
        name: "Gateway",
        change: Change::Gateways,
        said: Value,
        same: |old, new| fixed_gateway(old) == fixed_gateway(new),
        show: hidden,
    },
    Field {
        key: ("gateway", "gateways"),
        name: "Gateway",
        change: Change::Gateways,
        said: Words("gateway"),
        same: |old, new| old.gateway == new.gateway,
        show: hidden,
    },
];

/// What only a restart changes of the gateway.
fn fixed_gateway(options: &Options) -> Option<Gateway> {
    let Gateway { at, name, listener, .. } = options.gateway.clone()?;
    Some(Gateway { at, name, listener: GatewayListener { tls: None, ..listener }, ..Gateway::default() })
}

/// Leaf nodes, of which TLS, compression and the remotes may change.
const LEAF_NODES: [Field; 2] = [
    Field {
        key: ("leafnodes", "listen"),
        name: "LeafNode",
        change: Change::LeafNodes,
        said: Value,
        same: |old, new| fixed_leaf_nodes(old) == fixed_leaf_nodes(new),
        show: hidden,
    },
    Field {
        key: ("", "leafnodes"),
        name: "LeafNode",
        change: Change::LeafNodes,
        said: Words("leaf nodes"),
        same: |old, new| old.leafnodes == new.leafnodes,
        show: hidden,
    },
];

/// What only a restart changes of leaf nodes.
fn fixed_leaf_nodes(options: &Options) -> LeafNodes {
    let mut own = options.leafnodes.clone().unwrap_or_default();
    own.remotes.clear();
    own.listener.tls = None;
    own.listener.compression = LeafNodes::default().listener.compression;
    own
}

/// Fields that are parts of what stands elsewhere as a whole.
fn beside() -> impl Iterator<Item = &'static Field> {
    [&WEBSOCKET, &WEBSOCKET_TLS]
        .into_iter()
        .chain(&TLS_RATES)
        .chain(&MQTT)
        .chain([&MQTT_SN])
        .chain(&CLUSTER)
        .chain(&GATEWAY)
        .chain(&LEAF_NODES)
}

fn cluster_host(options: &Options) -> &str {
    options.cluster.as_ref().filter(|own| own.is_on()).map_or("", |own| &own.listener.address.host)
}

fn cluster_port(options: &Options) -> Option<u16> {
    options.cluster.as_ref().map_or(Some(0), |own| own.listener.address.port)
}

/// All but the routes and where it listens.
fn cluster(options: &Options) -> Cluster {
    let mut own = options.cluster.clone().unwrap_or_default();
    own.routes.clear();
    own.listener.address = Address::default();
    own
}

fn routes(options: &Options) -> &[RouteUrl] {
    options.cluster.as_ref().map_or(&[], |own| &own.routes)
}

fn websocket(options: &Options) -> Option<WebSocket> {
    let own = options.websocket.as_ref()?;
    Some(WebSocket { tls: None, ..own.clone() })
}

fn websocket_tls(options: &Options) -> Option<&options::Tls> {
    options.websocket.as_ref()?.tls.as_ref()
}

fn tls_rate(tls: Option<&options::Tls>) -> u32 {
    tls.map_or(0, |tls| tls.rate_max)
}

/// What changes from `old` to `new`.
///
/// # Errors
///
/// All options that only a restart can change.
pub fn plan(old: &Options, new: &Options) -> Result<Vec<Change>, Refusal> {
    let parts = of_blocks(old, new);
    let different = beside().filter(|field| !(field.same)(old, new));
    let (reloads, fixed): (Vec<_>, Vec<_>) = different.partition(|field| field.reloads());
    let of_fields = fixed.iter().map(|field| field.refusal(old, new));
    let refusals: Vec<String> =
        of_fields.chain(parts.iter().filter_map(|part| part.refusal.clone())).collect();
    if !refusals.is_empty() {
        return Err(Refusal(refusals));
    }
    let mut changes: Vec<Change> = reloads.iter().map(|field| field.change).collect();
    changes.extend(parts.iter().filter_map(|part| part.change));
    changes.sort_unstable();
    changes.dedup();
    Ok(changes)
}

/// What differs in the blocks that declare their own rules. A part of the options that is left out does not compile.
fn of_blocks(old: &Options, new: &Options) -> Vec<Difference> {
    let Options { clients, server, limits, log, operation, access, .. } = new;
    let Operation { http, lame_duck, staples, usage } = operation;
    // Where they were read is no part of them; the others are `Option`s, which are compared as a whole.
    let Options {
        source: _,
        websocket: _,
        mqtt: _,
        mqtt_sn: _,
        cluster: _,
        gateway: _,
        leafnodes: _,
        jetstream: own,
        ..
    } = new;
    let mut out = Vec::new();
    jetstream::compare(old.jetstream.as_ref(), own.as_ref(), &mut out);
    Access::compare(&old.access, access, &mut out);
    compare_no_auth_user(&old.access, access, &mut out);
    Authorization::compare(&old.access.authorization, &access.authorization, &mut out);
    OperatorMode::compare(&old.access.operator_mode, &access.operator_mode, &mut out);
    Clients::compare(&old.clients, clients, &mut out);
    Server::compare(&old.server, server, &mut out);
    Staples::compare(&old.operation.staples, staples, &mut out);
    Usage::compare(&old.operation.usage, usage, &mut out);
    Http::compare(&old.operation.http, http, &mut out);
    Limits::compare(&old.limits, limits, &mut out);
    compare_cluster_name(old, new, &mut out);
    LameDuck::compare(&old.operation.lame_duck, lame_duck, &mut out);
    Log::compare(&old.log, log, &mut out);
    ConnectErrors::compare(&old.log.connect_errors, &log.connect_errors, &mut out);
    out
}

/// `no_auth_user`, which only a restart changes; but it may go together with the user that it names.
fn compare_no_auth_user(old: &Access, new: &Access, out: &mut Vec<Difference>) {
    const GOES: Rule<Option<String>> = Rule::Reloads(Change::Users, rule::LogForm::Value(Show::show));
    const STAYS: Rule<Option<String>> = Rule::Restarts("NoAuthUser", Show::show);
    let in_accounts = new.accounts.iter().flat_map(|account| &account.users);
    let mut users = new.authorization.users.iter().chain(in_accounts);
    let goes = match (&old.no_auth_user, &new.no_auth_user) {
        (Some(name), None) => !users.any(|user| user.name == *name),
        _ => false,
    };
    let rule = if goes { GOES } else { STAYS };
    rule.compare("no_auth_user", &old.no_auth_user, &new.no_auth_user, out);
}

/// The name of a cluster that has one: the servers that know it by that name would have to change at the same moment.
fn compare_cluster_name(old: &Options, new: &Options, out: &mut Vec<Difference>) {
    let name = |options: &Options| options.cluster.as_ref().filter(|own| own.is_on())?.name.clone();
    if let (Some(old), Some(own), Some(name)) = (name(old), &new.cluster, name(new))
        && old != name
    {
        let refusal =
            format!("{}: config reload not supported for cluster name: old={old}, new={name}", *own.at);
        out.push(Difference { change: None, lines: Vec::new(), refusal: Some(refusal) });
    }
}

/// What a reload from `old` to `new` says in the log, a line each, in the words of the official server and without
/// its `Reloaded: `.
pub fn lines(old: &Options, new: &Options) -> Vec<String> {
    let different = CLUSTER.iter().chain(&GATEWAY).chain(&LEAF_NODES).filter(|field| !(field.same)(old, new));
    let mut lines: Vec<String> = different.map(|field| field.line(new)).collect();
    lines.extend(mqtt_lines(old, new));
    lines.extend(of_blocks(old, new).into_iter().flat_map(|part| part.lines));
    lines.dedup();
    lines
}

impl Field {
    fn reloads(&self) -> bool {
        let (block, key) = self.key;
        // What is refused at start has its default, before as after.
        keys::find(block, key).is_none_or(|key| key.status != Status::Restarts)
    }

    /// Why a change of it is refused.
    fn refusal(&self, old: &Options, new: &Options) -> String {
        let at = match (self.change, &new.cluster) {
            (Change::Cluster, Some(own)) if self.key.0 == "cluster" => format!("{}: ", *own.at),
            _ => String::new(),
        };
        let (old, new) = ((self.show)(old), (self.show)(new));
        format!("{at}config reload not supported for {}: old={old}, new={new}", self.name)
    }

    fn line(&self, new: &Options) -> String {
        match self.said {
            Value => format!("{} = {}", self.key.1, (self.show)(new)),
            Words(words) => words.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
