//! The kinds of listeners by which connections come in: one row each. A further one is a row, and the protocol that its connections begin
//! with.

use crate::admission::{Source, admit_link};
use crate::client::Client;
use crate::node::Node;
use crate::protocol::{Connection, Protocol};
use crate::transport::ClientTransport;
use crate::websocket::Upgrading;
use dialtone_broker::deliver::Turn;
use dialtone_config::Options;
use dialtone_net::address::{self, Endpoint, ListenError};
use dialtone_net::{Accepted, Listener, Origin, Transport, proxy};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// A connection, and what stands between it and its socket.
type Opened = (Connection, Transport);

/// A listener and where it listens, or why it does not.
type Listening = Result<(Listener, Endpoint), ListenError>;

/// One kind of listener.
pub(crate) struct ListenerKind {
    /// Who comes by it, as errors call them.
    pub(crate) part: &'static str,
    /// Listens, if the options ask for it. `None` takes no port.
    listen: fn(&Options, usize) -> Option<Listening>,
    /// What a connection begins as. `None`: there are too many.
    open: fn(&Arc<Node>, &mut Turn, Accepted) -> Option<Opened>,
}

/// The number of the listener for clients. Those of this machine have it too, on a Unix-domain socket.
pub(crate) const CLIENTS: usize = 0;
/// The number of connections inside the process, which come by no listener.
pub(crate) const IN_PROCESS: usize = 1;
/// The number of the listener for clients by WebSocket.
pub(crate) const WEBSOCKET: usize = 2;

/// All of them, by the number that their connections carry.
pub(crate) const LISTENERS: [ListenerKind; 3] = [
    ListenerKind { part: "clients", listen: listen_clients, open: open_client },
    ListenerKind { part: "clients inside the process", listen: |_, _| None, open: open_in_process },
    ListenerKind { part: "clients by WebSocket", listen: listen_websocket, open: open_websocket },
];

/// Listens by the listener with this number.
pub(crate) fn listen(number: usize, options: &Options) -> Option<Listening> {
    LISTENERS.get(number).and_then(|kind| (kind.listen)(options, number))
}

/// Takes a connection in that has just come.
pub(crate) fn open(node: &Arc<Node>, turn: &mut Turn, accepted: Accepted) -> Option<Opened> {
    match accepted.origin {
        Origin::Listener(number) => LISTENERS.get(number).and_then(|kind| (kind.open)(node, turn, accepted)),
        // Nobody is dialled yet.
        Origin::Dialed(_) => None,
    }
}

fn listen_clients(options: &Options, number: usize) -> Option<Listening> {
    let listening = address::listen(&options.host, options.port.unwrap_or(0));
    Some(listening.map(|(socket, endpoint)| {
        let listener = Listener::tcp(number, socket);
        let is_proxied = options.proxy_protocol;
        (if is_proxied { listener.proxy_header(proxy::HEADER_TIMEOUT) } else { listener }, endpoint)
    }))
}

fn listen_websocket(options: &Options, number: usize) -> Option<Listening> {
    let own = options.websocket.as_ref()?;
    let listening = address::listen(&own.host, own.port.unwrap_or(0));
    Some(listening.map(|(socket, endpoint)| (Listener::tcp(number, socket), endpoint)))
}

fn open_client(node: &Arc<Node>, turn: &mut Turn, accepted: Accepted) -> Option<Opened> {
    // A Unix-domain socket has no address, and does not leave the machine.
    let transport = accepted.remote.map_or(ClientTransport::Unix, |_| ClientTransport::Network);
    let source = Source { transport, remote: accepted.remote };
    let mut client = admit_link(node, turn, source, &accepted.link);
    let transport = prepare(node, &mut client, source, accepted.may_be_proxied, turn.now());
    Some((Connection::new(client), transport))
}

/// What comes before the protocol of a client: a PROXY header, TLS.
pub(crate) fn prepare(
    node: &Node,
    client: &mut Client,
    source: Source,
    may_be_proxied: bool,
    now: Instant,
) -> Transport {
    let policy = node.settings.policy();
    let transport = match &policy.tls {
        Some(tls) if source.transport.is_remote() => {
            if tls.admit(now) {
                tls.transport(policy.options.allow_non_tls)
            } else {
                client.throttle();
                Transport::Plain
            }
        }
        _ => Transport::Plain,
    };
    if may_be_proxied {
        client.expect_header();
    }
    if matches!(transport, Transport::Tls { plain_allowed: false, .. }) {
        client.expect_handshake();
    }
    transport
}

fn open_in_process(node: &Arc<Node>, turn: &mut Turn, accepted: Accepted) -> Option<Opened> {
    let source = Source { transport: ClientTransport::InProcess, remote: None };
    Some((Connection::new(admit_link(node, turn, source, &accepted.link)), Transport::Plain))
}

/// `None`: there are as many that are no clients yet as there may be clients.
fn open_websocket(node: &Arc<Node>, turn: &mut Turn, accepted: Accepted) -> Option<Opened> {
    let policy = node.settings.policy();
    let listener = policy.websocket.as_ref()?;
    let upgrading = node.connections.upgrading.fetch_add(1, Ordering::AcqRel);
    let transport = listener.transport();
    let until = turn.now() + listener.handshake_timeout;
    let max = policy.options.limits.connections_max;
    let admitted = listener.tls.as_ref().is_none_or(|tls| tls.admit(turn.now()));
    let link = accepted.link.clone();
    // From here on it is counted out when it is dropped.
    let protocol = Upgrading::new(node.clone(), policy.clone(), accepted.link, accepted.remote, until);
    if !admitted || (max > 0 && upgrading >= max) {
        return None;
    }
    Some((Connection { protocol: Box::new(protocol), framed: Some(link) }, transport))
}
