//! The ways by which connections come, and all in which they differ: one table, [`LISTENERS`]. Everybody else asks it.

use super::{Identity, ListenerPolicy, Policy, PolicyError, cluster, gateway, leaf, mqtt, websocket};
use crate::log::{Event, Logger};
use crate::tls::TlsSetup;
use dialtone_broker::kind::Kind;
use dialtone_config::Options;
use dialtone_config::options::{Clients, Tls};
use dialtone_net::Endpoint;
use std::path::Path;

/// A way by which connections come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenerKind {
    /// Clients over the network.
    Clients,
    /// Clients by the Unix-domain socket.
    Unix,
    /// The program that the server is part of. Nothing is listened on for it.
    InProcess,
    /// Clients over the network, by WebSocket.
    WebSocket,
    /// Other servers of the cluster. Connections to them that this server dials are called so too.
    Cluster,
    /// Leaf nodes. Connections to hubs that this server dials are called so too.
    LeafNodes,
    /// Servers of other clusters, and connections to them that this server dials.
    Gateway,
    /// Leaf nodes by WebSocket, which come by the listener for that. Nothing else is listened on for them. Connections to hubs that this
    /// server dials by WebSocket are called so too.
    LeafWebSocket,
    /// Clients of MQTT over the network.
    Mqtt,
    /// Clients of MQTT by WebSocket, which come by the listener for that. Nothing else is listened on for them.
    MqttWebSocket,
    /// Clients of MQTT-SN, which come by the gateway for them as clients of MQTT. No stream socket is listened on for them.
    MqttSn,
}

/// How many there are.
pub(crate) const LISTENER_KINDS: usize = 11;

/// What connections begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Starts {
    /// The client protocol.
    Client,
    /// A request for an upgrade to WebSocket; the client protocol comes in frames behind it.
    Upgrade,
    /// The protocol of routes.
    Route,
    /// The protocol of leaf nodes.
    Leaf,
    /// The protocol of gateways.
    Gateway,
    /// MQTT.
    Mqtt,
}

impl Starts {
    /// Whether who comes by it always says who it is before anything else: other servers, and clients of MQTT.
    pub(crate) fn begins_with_login(self) -> bool {
        matches!(self, Self::Route | Self::Leaf | Self::Gateway | Self::Mqtt)
    }
}

/// What is listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address<'a> {
    /// A port.
    Tcp {
        /// Empty: all addresses of the machine.
        host: &'a str,
        /// `None`: a free one.
        port: Option<u16>,
        /// Connections may begin with a PROXY header.
        is_proxied: bool,
    },
    /// A socket in the file system.
    Unix(&'a Path),
}

type AddressOf = for<'a> fn(&'a Options) -> Option<Address<'a>>;
type PolicyOf = fn(&Options, &Identity, &ListenerPolicy) -> Result<Option<ListenerPolicy>, PolicyError>;

/// One way, and how it differs from the others.
pub(crate) struct Row {
    pub(crate) kind: ListenerKind,
    /// What those are who come by it.
    pub(crate) peer: Kind,
    /// What they begin with.
    pub(crate) starts: Starts,
    /// As in `allowed_connection_types`.
    connection_type: &'static str,
    /// As monitoring, events and services call the kind of client.
    client_type: &'static str,
    /// As the log calls the number of a connection.
    number_label: &'static str,
    /// Who comes by it may be on another machine.
    is_remote: bool,
    /// Who cannot come when it cannot be listened on.
    pub(crate) part: &'static str,
    /// Its field in the ports file, and the schemes of its URLs there: without and with TLS.
    pub(crate) in_ports_file: Option<(&'static str, [&'static str; 2])>,
    /// What is listened on; `None`: nothing.
    pub(crate) address: AddressOf,
    /// Its TLS block.
    pub(crate) tls: fn(&Options) -> Option<&Tls>,
    /// What differs from the policy for clients over the network; `None`: nothing.
    pub(super) policy: PolicyOf,
    /// Logs that it is listened on, with TLS or without.
    pub(crate) announce: fn(&Logger, &Endpoint, bool),
}

/// By their numbers.
pub(crate) const LISTENERS: [Row; LISTENER_KINDS] = [
    Row {
        kind: ListenerKind::Clients,
        peer: Kind::Client,
        starts: Starts::Client,
        connection_type: "STANDARD",
        client_type: "nats",
        number_label: "cid",
        is_remote: true,
        part: "clients",
        in_ports_file: Some(("nats", ["nats", "nats"])),
        address: |options| {
            let Clients { host, port, proxy_protocol, .. } = &options.clients;
            Some(Address::Tcp { host, port: *port, is_proxied: *proxy_protocol })
        },
        tls: |options| options.clients.tls.as_ref(),
        policy: |_, _, _| Ok(None),
        announce: announce_clients,
    },
    Row {
        kind: ListenerKind::Unix,
        peer: Kind::Client,
        starts: Starts::Client,
        connection_type: "STANDARD",
        client_type: "nats",
        number_label: "cid",
        is_remote: false,
        part: "clients by a Unix-domain socket",
        in_ports_file: None,
        address: |options| options.clients.unix_socket.as_deref().map(Address::Unix),
        tls: |_| None,
        policy: |_, _, clients| Ok(Some(clients.without_tls())),
        announce: |_, _, _| {},
    },
    Row {
        kind: ListenerKind::InProcess,
        peer: Kind::Client,
        starts: Starts::Client,
        connection_type: "IN_PROCESS",
        client_type: "nats",
        number_label: "cid",
        is_remote: false,
        part: "clients in the process",
        in_ports_file: None,
        address: |_| None,
        tls: |_| None,
        policy: |_, _, clients| Ok(Some(clients.without_tls())),
        announce: |_, _, _| {},
    },
    Row {
        kind: ListenerKind::WebSocket,
        peer: Kind::Client,
        starts: Starts::Upgrade,
        connection_type: "WEBSOCKET",
        client_type: "websocket",
        number_label: "wid",
        is_remote: true,
        part: "clients by WebSocket",
        in_ports_file: Some(("websocket", ["ws", "wss"])),
        address: |options| {
            let own = &options.websocket.as_ref()?.address;
            Some(Address::Tcp { host: &own.host, port: own.port, is_proxied: false })
        },
        tls: |options| options.websocket.as_ref()?.tls.as_ref(),
        policy: websocket::policy,
        announce: announce_websocket,
    },
    Row {
        kind: ListenerKind::Cluster,
        peer: Kind::Route,
        starts: Starts::Route,
        connection_type: "ROUTER",
        client_type: "",
        number_label: "rid",
        is_remote: true,
        part: "routes",
        in_ports_file: Some(("cluster", ["nats", "nats"])),
        address: |options| {
            let own = &options.cluster.as_ref().filter(|own| own.is_on())?.listener.address;
            Some(Address::Tcp { host: &own.host, port: own.port, is_proxied: false })
        },
        tls: |options| options.cluster.as_ref()?.listener.tls.as_ref(),
        policy: cluster::policy,
        announce: announce_routes,
    },
    Row {
        kind: ListenerKind::LeafNodes,
        peer: Kind::Spoke,
        starts: Starts::Leaf,
        connection_type: "LEAFNODE",
        client_type: "",
        number_label: "lid",
        is_remote: true,
        part: "leaf nodes",
        in_ports_file: Some(("leafnodes", ["nats", "nats"])),
        address: |options| {
            let own = &options.leafnodes.as_ref().filter(|own| own.listens())?.listener.address;
            Some(Address::Tcp { host: &own.host, port: own.port, is_proxied: false })
        },
        tls: |options| options.leafnodes.as_ref()?.listener.tls.as_ref(),
        policy: leaf::policy,
        announce: announce_leaf_nodes,
    },
    Row {
        kind: ListenerKind::Gateway,
        peer: Kind::Gateway,
        starts: Starts::Gateway,
        connection_type: "GATEWAY",
        client_type: "",
        number_label: "gid",
        is_remote: true,
        part: "gateways",
        in_ports_file: None,
        address: |options| {
            let own = &options.gateway.as_ref()?.listener.address;
            Some(Address::Tcp { host: &own.host, port: own.port, is_proxied: false })
        },
        tls: |options| options.gateway.as_ref()?.listener.tls.as_ref(),
        policy: gateway::policy,
        announce: announce_gateways,
    },
    Row {
        kind: ListenerKind::LeafWebSocket,
        peer: Kind::Spoke,
        starts: Starts::Leaf,
        connection_type: "LEAFNODE_WS",
        client_type: "",
        number_label: "lid_ws",
        is_remote: true,
        part: "leaf nodes by WebSocket",
        in_ports_file: None,
        address: |_| None,
        tls: |_| None,
        policy: leaf::websocket_policy,
        announce: |_, _, _| {},
    },
    Row {
        kind: ListenerKind::Mqtt,
        peer: Kind::Client,
        starts: Starts::Mqtt,
        connection_type: "MQTT",
        client_type: "mqtt",
        number_label: "mid",
        is_remote: true,
        part: "clients of MQTT",
        in_ports_file: None,
        address: |options| {
            let own = &options.mqtt.as_ref()?.address;
            Some(Address::Tcp { host: &own.host, port: own.port, is_proxied: false })
        },
        tls: |options| options.mqtt.as_ref()?.tls.as_ref(),
        policy: mqtt::policy,
        announce: announce_mqtt,
    },
    Row {
        kind: ListenerKind::MqttWebSocket,
        peer: Kind::Client,
        starts: Starts::Mqtt,
        connection_type: "MQTT_WS",
        client_type: "mqtt",
        number_label: "mid_ws",
        is_remote: true,
        part: "clients of MQTT by WebSocket",
        in_ports_file: None,
        address: |_| None,
        tls: |_| None,
        policy: mqtt::websocket_policy,
        announce: |_, _, _| {},
    },
    Row {
        kind: ListenerKind::MqttSn,
        peer: Kind::Client,
        starts: Starts::Mqtt,
        connection_type: "MQTT",
        client_type: "mqtt",
        number_label: "mid_sn",
        is_remote: true,
        part: "clients of MQTT-SN",
        in_ports_file: None,
        address: |_| None,
        tls: |_| None,
        policy: mqtt::sn_policy,
        announce: |_, _, _| {},
    },
];

fn announce_clients(log: &Logger, endpoint: &Endpoint, is_tls: bool) {
    log.emit(Event::Listening, "", format_args!("Listening for client connections on {endpoint}"));
    if is_tls {
        log.emit(Event::Listening, "", format_args!("TLS required for client connections"));
    }
}

fn announce_routes(log: &Logger, endpoint: &Endpoint, _: bool) {
    log.emit(Event::Listening, "", format_args!("Listening for route connections on {endpoint}"));
}

fn announce_leaf_nodes(log: &Logger, endpoint: &Endpoint, _: bool) {
    log.emit(Event::Listening, "", format_args!("Listening for leafnode connections on {endpoint}"));
}

fn announce_gateways(log: &Logger, endpoint: &Endpoint, _: bool) {
    log.emit(Event::Listening, "", format_args!("Listening for gateways connections on {endpoint}"));
}

fn announce_mqtt(log: &Logger, endpoint: &Endpoint, is_tls: bool) {
    let scheme = if is_tls { "tls" } else { "mqtt" };
    log.emit(Event::Listening, "", format_args!("Listening for MQTT clients on {scheme}://{endpoint}"));
}

fn announce_websocket(log: &Logger, endpoint: &Endpoint, is_tls: bool) {
    let scheme = if is_tls { "wss" } else { "ws" };
    let text = format_args!("Listening for websocket clients on {scheme}://{endpoint}");
    log.emit(Event::Listening, "", text);
    if !is_tls {
        let text = format_args!("Websocket not configured with TLS. DO NOT USE IN PRODUCTION!");
        log.emit(Event::Warning, "", text);
    }
}

impl ListenerKind {
    /// The number that its connections carry through `net`.
    pub(crate) fn number(self) -> usize {
        self as usize
    }

    /// The one with this number.
    pub(crate) fn numbered(number: usize) -> Option<Self> {
        LISTENERS.get(number).map(|row| row.kind)
    }

    /// All in which it differs from others.
    pub(crate) fn row(self) -> &'static Row {
        // Each stands at its number, which a test holds.
        const { &LISTENERS }.get(self.number()).unwrap_or(&LISTENERS[0])
    }

    /// The kind of connection, as in `allowed_connection_types`.
    pub fn connection_type(self) -> &'static str {
        self.row().connection_type
    }

    /// The kind of client, as monitoring, events and services call it.
    pub fn client_type(self) -> &'static str {
        self.row().client_type
    }

    /// Whether who comes by it may be on another machine.
    pub fn is_remote(self) -> bool {
        self.row().is_remote
    }

    /// How the log calls the number of a connection.
    pub(crate) fn number_label(self) -> &'static str {
        self.row().number_label
    }
}

impl Policy {
    /// The TLS that connections come in with.
    pub(crate) fn tls_of(&self, kind: ListenerKind) -> Option<&TlsSetup> {
        let by = match kind {
            ListenerKind::LeafWebSocket | ListenerKind::MqttWebSocket => ListenerKind::WebSocket,
            kind => kind,
        };
        self.of(by).tls.as_ref()
    }

    /// Whether connections begin with TLS.
    pub(crate) fn has_tls(&self, kind: ListenerKind) -> bool {
        self.of(kind).tls.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_row_stands_at_its_number() {
        for (number, row) in LISTENERS.iter().enumerate() {
            assert_eq!(row.kind.number(), number);
            assert_eq!(row.kind.row().kind, row.kind);
            assert_eq!(ListenerKind::numbered(number), Some(row.kind));
        }
        assert_eq!(ListenerKind::numbered(LISTENER_KINDS), None);
    }

    #[test]
    fn what_is_listened_on_is_told_apart() {
        let parts: HashSet<_> = LISTENERS.iter().map(|row| row.part).collect();
        assert_eq!(parts.len(), LISTENER_KINDS);
        let fields = LISTENERS.iter().filter_map(|row| row.in_ports_file).map(|(field, _)| field);
        assert_eq!(fields.collect::<Vec<_>>(), ["nats", "websocket", "cluster", "leafnodes"]);
    }

    /// By default only clients over the network can come, and the program itself.
    #[test]
    fn only_what_is_configured_is_listened_on() {
        let options = Options::default();
        let listened: Vec<_> = LISTENERS.iter().filter(|row| (row.address)(&options).is_some()).collect();
        assert_eq!(listened.iter().map(|row| row.kind).collect::<Vec<_>>(), [ListenerKind::Clients]);
        assert!(LISTENERS.iter().all(|row| (row.tls)(&options).is_none()));
    }
}
