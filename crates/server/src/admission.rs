//! How a connection becomes a client: it gets a number, a peer and a session.

use crate::client::Client;
use crate::node::Node;
use crate::policy::ListenerKind;
use crate::registry::Session;
use dialtone_broker::deliver::Turn;
use dialtone_broker::kind::Kind;
use dialtone_broker::outbox::Sink;
use dialtone_broker::peer::{Basics, ClientId, Peer, Wake};
use dialtone_net::Link;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// A link as the broker sees it.
struct LinkSink(Arc<Link>);

impl Sink for LinkSink {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write(slices)
    }
}

/// Does not hold the link: a connection is remembered after its end, and its socket must be closed then.
struct LinkWake(Weak<Link>);

impl Wake for LinkWake {
    fn wake(&self) {
        if let Some(link) = self.0.upgrade() {
            link.wake_owner();
        }
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) listener: ListenerKind,
    pub(crate) remote: Option<SocketAddr>,
}

/// A client that has just connected by a link.
pub(crate) fn admit_link(node: &Arc<Node>, turn: &mut Turn, source: Source, link: &Arc<Link>) -> Box<Client> {
    let wake = LinkWake(Arc::downgrade(link));
    admit(node, turn, source, Arc::new(LinkSink(link.clone())), Box::new(wake))
}

/// A client that has just connected. Its bytes go to `sink`; `wake` wakes its loop for it.
pub(crate) fn admit(
    node: &Arc<Node>,
    turn: &mut Turn,
    source: Source,
    sink: Arc<dyn Sink>,
    wake: Box<dyn Wake>,
) -> Box<Client> {
    let session = session(node, turn.now(), source, source.listener.row().peer, sink, wake);
    node.connections.registry.insert(session.clone());
    Box::new(Client::new(node.clone(), session, turn))
}

/// What the rest of the server sees of a connection that is no client.
pub(crate) fn session_of(node: &Node, now: Instant, source: Source, link: &Arc<Link>) -> Arc<Session> {
    let (kind, wake) = (source.listener.row().peer, LinkWake(Arc::downgrade(link)));
    session(node, now, source, kind, Arc::new(LinkSink(link.clone())), Box::new(wake))
}

/// The same of one that this server dialled.
pub(crate) fn session_of_dialed(node: &Node, now: Instant, source: Source, link: &Arc<Link>) -> Arc<Session> {
    let (kind, wake) = (source.listener.row().peer.opposite(), LinkWake(Arc::downgrade(link)));
    session(node, now, source, kind, Arc::new(LinkSink(link.clone())), Box::new(wake))
}

fn session(
    node: &Node,
    now: Instant,
    source: Source,
    kind: Kind,
    sink: Arc<dyn Sink>,
    wake: Box<dyn Wake>,
) -> Arc<Session> {
    let basics = Basics {
        id: ClientId(node.connections.next_number()),
        kind,
        slot: node.connections.registry.take_slot(),
        pending_bytes_max: node.settings.policy().options.limits.pending_bytes_max,
        start: now,
    };
    let peer = Peer::new(basics, node.delivery.totals.clone(), sink, wake);
    let session = Arc::new(Session::new(peer, source.listener, source.remote));
    let described: Weak<Session> = Arc::downgrade(&session);
    session.peer.set_info_source(described);
    session
}
