//! How a connection to a hub begins that this server has dialled: with a tunnel, where the hub is reached through a proxy. Until that is up
//! there is no connection to the hub, and one that does not come about is a dial that failed.

mod tunnel;

use crate::admission::{self, Source};
use crate::leaf::LeafConnection;
use crate::node::Node;
use crate::policy::ListenerKind;
use crate::protocol::{Connection, Protocol};
use dialtone_broker::deliver::Turn;
use dialtone_mesh::{DialId, HubEvent, LinkId};
use dialtone_net::{Accepted, Link};
use std::net::SocketAddr;
use std::sync::Arc;
use tunnel::Tunnel;

/// A socket that this server has connected for a hub.
struct Socket {
    dial: DialId,
    link: Arc<Link>,
    remote: Option<SocketAddr>,
}

/// A connection that this server has dialled. `None`: the hub is not wanted any more.
pub(crate) fn open(
    node: &Arc<Node>,
    turn: &mut Turn,
    dial: DialId,
    accepted: &Accepted,
) -> Option<Connection> {
    let socket = Socket { dial, link: accepted.link.clone(), remote: accepted.remote };
    let framed = Some(accepted.link.clone());
    let (hub, url) = node.hubs.dialing(dial)?;
    if hub.own.proxy().is_some() {
        let tunnel = Tunnel::new(node.clone(), socket, hub, url, turn.now());
        return Some(Connection { protocol: Box::new(tunnel), framed });
    }
    let mut leaf = begin(node, turn, &socket)?;
    if accepted.begins_tls {
        leaf.expect_handshake();
    }
    Some(Connection { protocol: leaf, framed })
}

/// The way to the hub is there: who speaks on it. `None`: the hub is not wanted any more.
fn begin(node: &Arc<Node>, turn: &mut Turn, socket: &Socket) -> Option<Box<LeafConnection>> {
    let is_websocket = node.hubs.dialing(socket.dial).is_some_and(|(_, url)| url.websocket.is_some());
    let listener = if is_websocket { ListenerKind::LeafWebSocket } else { ListenerKind::LeafNodes };
    let source = Source { listener, remote: socket.remote };
    let session = admission::session_of_dialed(node, turn.now(), source, &socket.link);
    session.set_solicited();
    let link = LinkId(session.peer.id.0);
    node.hubs.open(&session.peer, HubEvent::Dialed { dial: socket.dial, link });
    let Some(dialed) = node.hubs.dialed(link) else {
        node.hubs.lost(session.peer.id);
        return None;
    };
    session.peer.set_hub(!dialed.0.own.hub);
    node.connections.registry.insert(session.clone());
    Some(Box::new(LeafConnection::dialed(node.clone(), session, dialed, &socket.link, turn.now())))
}
