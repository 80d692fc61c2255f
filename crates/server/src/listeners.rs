//! What connections begin as, by the listener that they come by. All else in which listeners differ stands in [`LISTENERS`].
//!
//! [`LISTENERS`]: crate::policy::LISTENERS

use crate::admission::{self, Source, admit_link};
use crate::dialed::Dialed;
use crate::gateway::GatewayConnection;
use crate::gateways::Direction;
use crate::hub_link;
use crate::leaf::LeafConnection;
use crate::log::Event as Logged;
use crate::mqtt::MqttConnection;
use crate::node::Node;
use crate::policy::{ListenerKind, Starts};
use crate::protocol::{Connection, Protocol};
use crate::route::{RouteConnection, Side};
use crate::websocket::Upgrading;
use dialtone_broker::deliver::Turn;
use dialtone_mesh::gateways::Event as GatewayEvent;
use dialtone_mesh::{DialFailure, DialId, Event, HubEvent, LinkId};
use dialtone_net::{Accepted, DialError, Origin, Transport};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// A connection, and what stands between it and its socket.
type Opened = (Connection, Transport);

/// Takes a connection in that has just come. `None`: there are too many.
pub(crate) fn open(node: &Arc<Node>, turn: &mut Turn, accepted: Accepted) -> Option<Opened> {
    let number = match accepted.origin {
        Origin::Listener(number) => number,
        Origin::Dialed(number) => return open_dialed(node, turn, number, &accepted),
    };
    let listener = ListenerKind::numbered(number)?;
    match listener.row().starts {
        Starts::Client => Some(open_client(node, turn, listener, &accepted)),
        Starts::Upgrade => open_upgrading(node, turn, listener, accepted),
        Starts::Route => Some(open_route(node, turn, listener, &accepted)),
        Starts::Leaf => Some(open_leaf(node, turn, listener, &accepted)),
        Starts::Gateway => Some(open_gateway(node, turn, listener, &accepted)),
        Starts::Mqtt => Some(open_mqtt(node, turn, listener, &accepted)),
    }
}

/// A client of MQTT.
fn open_mqtt(node: &Arc<Node>, turn: &mut Turn, listener: ListenerKind, accepted: &Accepted) -> Opened {
    let source = Source { listener, remote: accepted.remote };
    let session = admission::session_of(node, turn.now(), source, &accepted.link);
    node.connections.registry.insert(session.clone());
    let mut client = MqttConnection::new(node.clone(), session, turn.now());
    let transport = prepare(node, &mut client, listener, accepted.may_be_proxied, turn.now());
    (Connection::new(Box::new(client)), transport)
}

/// A route that another server has dialled.
fn open_route(node: &Arc<Node>, turn: &mut Turn, listener: ListenerKind, accepted: &Accepted) -> Opened {
    let source = Source { listener, remote: accepted.remote };
    let session = admission::session_of(node, turn.now(), source, &accepted.link);
    let transport = node.settings.policy().of(listener).transport();
    let address = address_of(accepted);
    let event = Event::Accepted { link: LinkId(session.peer.id.0), address };
    node.cluster.open(&session.peer, event);
    let mut route = RouteConnection::new(node.clone(), session, Side::Accepted, &accepted.link, turn.now());
    if matches!(transport, Transport::Tls { .. }) {
        route.expect_handshake();
    }
    (Connection::new(Box::new(route)), transport)
}

/// A connection that this server has made.
fn open_dialed(node: &Arc<Node>, turn: &mut Turn, number: u64, accepted: &Accepted) -> Option<Opened> {
    let Dialed { kind, number } = Dialed::unpacked(number)?;
    match kind.row().starts {
        Starts::Route => Some(open_dialed_route(node, turn, number, accepted)),
        Starts::Leaf => {
            let hub = hub_link::open(node, turn, DialId(number), accepted)?;
            Some((hub, Transport::Plain))
        }
        Starts::Gateway => Some(open_dialed_gateway(node, turn, number, accepted)),
        Starts::Client | Starts::Upgrade | Starts::Mqtt => None,
    }
}

/// A connection that this server wanted could not be made.
pub(crate) fn undialed(node: &Node, number: u64, why: &DialError) {
    let Some(Dialed { kind, number }) = Dialed::unpacked(number) else { return };
    match kind.row().starts {
        Starts::Route => {
            let text = format_args!("Error trying to connect to route: {why}");
            node.log.emit(Logged::RouteFailed, "", text);
            let (dial, failure) = (DialId(number), DialFailure::Unreachable);
            node.cluster.handle(Event::DialFailed { dial, failure });
        }
        Starts::Leaf => {
            let text = format_args!("Error trying to connect as leafnode to remote server: {why}");
            node.log.emit(Logged::LeafFailed, "", text);
            node.hubs.handle(HubEvent::DialFailed(DialId(number)));
        }
        Starts::Gateway => {
            let text = format_args!("Error trying to connect to gateway: {why}");
            node.log.emit(Logged::GatewayFailed, "", text);
            node.supercluster.handle(GatewayEvent::DialFailed { dial: DialId(number) });
        }
        Starts::Client | Starts::Upgrade | Starts::Mqtt => {}
    }
}

fn open_dialed_route(node: &Arc<Node>, turn: &mut Turn, number: u64, accepted: &Accepted) -> Opened {
    let source = Source { listener: ListenerKind::Cluster, remote: accepted.remote };
    let session = admission::session_of(node, turn.now(), source, &accepted.link);
    let (link, address) = (LinkId(session.peer.id.0), address_of(accepted));
    node.cluster.open(&session.peer, Event::Dialled { dial: DialId(number), link, address });
    let mut route = RouteConnection::new(node.clone(), session, Side::Dialed, &accepted.link, turn.now());
    if accepted.begins_tls {
        route.expect_handshake();
    }
    (Connection::new(Box::new(route)), Transport::Plain)
}

/// A connection that a spoke has dialled.
fn open_leaf(node: &Arc<Node>, turn: &mut Turn, listener: ListenerKind, accepted: &Accepted) -> Opened {
    let source = Source { listener, remote: accepted.remote };
    let session = admission::session_of(node, turn.now(), source, &accepted.link);
    node.connections.registry.insert(session.clone());
    let transport = node.settings.policy().of(listener).transport();
    let mut leaf = LeafConnection::accepted(node.clone(), session, &accepted.link, turn.now());
    if matches!(transport, Transport::Tls { plain_allowed: false, .. }) {
        leaf.expect_handshake();
    }
    (Connection::new(Box::new(leaf)), transport)
}

/// A server of another cluster has dialled.
fn open_gateway(node: &Arc<Node>, turn: &mut Turn, listener: ListenerKind, accepted: &Accepted) -> Opened {
    let source = Source { listener, remote: accepted.remote };
    let session = admission::session_of(node, turn.now(), source, &accepted.link);
    let transport = node.settings.policy().of(listener).transport();
    let (link, address) = (LinkId(session.peer.id.0), address_of(accepted));
    node.supercluster.open(&session.peer, GatewayEvent::Accepted { link, address });
    let mut gateway = GatewayConnection::new(node.clone(), session, Direction::Inbound, turn.now());
    if matches!(transport, Transport::Tls { .. }) {
        gateway.expect_handshake();
    }
    (Connection::new(Box::new(gateway)), transport)
}

/// This server has dialled another cluster.
fn open_dialed_gateway(node: &Arc<Node>, turn: &mut Turn, number: u64, accepted: &Accepted) -> Opened {
    let source = Source { listener: ListenerKind::Gateway, remote: accepted.remote };
    let session = admission::session_of(node, turn.now(), source, &accepted.link);
    let event = GatewayEvent::Dialled { dial: DialId(number), link: LinkId(session.peer.id.0) };
    node.supercluster.open(&session.peer, event);
    let mut gateway = GatewayConnection::new(node.clone(), session, Direction::Outbound, turn.now());
    if accepted.begins_tls {
        gateway.expect_handshake();
    }
    (Connection::new(Box::new(gateway)), Transport::Plain)
}

fn address_of(accepted: &Accepted) -> IpAddr {
    accepted.remote.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |remote| remote.ip())
}

fn open_client(node: &Arc<Node>, turn: &mut Turn, listener: ListenerKind, accepted: &Accepted) -> Opened {
    let source = Source { listener, remote: accepted.remote };
    let mut client = admit_link(node, turn, source, &accepted.link);
    let transport = prepare(node, &mut *client, listener, accepted.may_be_proxied, turn.now());
    (Connection::new(client), transport)
}

/// What comes before the protocol of a client: a PROXY header, TLS.
pub(crate) fn prepare(
    node: &Node,
    client: &mut dyn Protocol,
    listener: ListenerKind,
    may_be_proxied: bool,
    now: Instant,
) -> Transport {
    let policy = node.settings.policy();
    let own = policy.of(listener);
    let mut transport = own.transport();
    if own.tls.as_ref().is_some_and(|tls| !tls.admit(now)) {
        client.throttle();
        transport = Transport::Plain;
    }
    if may_be_proxied {
        client.expect_header();
    }
    if matches!(transport, Transport::Tls { plain_allowed: false, .. }) {
        client.expect_handshake();
    }
    transport
}

/// `None`: there are as many that are no clients yet as there may be clients.
fn open_upgrading(
    node: &Arc<Node>,
    turn: &mut Turn,
    listener: ListenerKind,
    accepted: Accepted,
) -> Option<Opened> {
    let policy = node.settings.policy();
    let own = policy.of(listener);
    let until = turn.now() + own.upgrade.as_ref()?.timeout;
    let upgrading = node.connections.upgrading.fetch_add(1, Ordering::AcqRel);
    let max = policy.options.limits.connections_max;
    let admitted = own.tls.as_ref().is_none_or(|tls| tls.admit(turn.now()));
    let transport = own.transport();
    let link = accepted.link.clone();
    let source = Source { listener, remote: accepted.remote };
    // From here on it is counted out when it is dropped.
    let protocol = Upgrading::new(node.clone(), policy.clone(), accepted.link, source, until);
    if !admitted || (max > 0 && upgrading >= max) {
        return None;
    }
    Some((Connection { protocol: Box::new(protocol), framed: Some(link) }, transport))
}
