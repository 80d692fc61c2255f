//! Clients on event loops: the glue between a loop, a turn and the connections' state machines.

use crate::client::{self, Client};
use crate::log::{Event, Level};
use crate::node::Node;
use crate::registry::{ClientTransport, Session};
use crate::websocket::{Answer, Upgrading, WebSocketFraming};
use dialtone_broker::deliver::{Tracer, Turn};
use dialtone_broker::kind::Kind;
use dialtone_broker::outbox::Sink;
use dialtone_broker::peer::{Basics, ClientId, Peer, Wake};
use dialtone_broker::random::Seed;
use dialtone_net::{Accepted, Broken, Closing, Handler, Link, Received, Secured, Transport};
use dialtone_wire::CloseReason;
use dialtone_wire::websocket::{Stream, Upgrade, close};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The number of the listener for clients.
pub(crate) const CLIENTS: usize = 0;
/// The number that stands for connections inside the process, which come by no listener.
pub(crate) const IN_PROCESS: usize = 1;
/// The number of the listener for clients by WebSocket.
pub(crate) const WEBSOCKET: usize = 2;

/// How long a producer that outruns a reader is held back at most. The official server's figure.
const STALL_MAX: Duration = Duration::from_millis(5);
/// How long a client is not read while it is being checked; its answer wakes it before.
const CHECK_MAX: Duration = Duration::from_secs(60);

/// One loop's clients.
pub(crate) struct Driver {
    node: Arc<Node>,
    turn: Turn,
    stalls: bool,
}

impl Driver {
    /// For one loop; what it draws at random comes from `seed`.
    pub fn new(node: Arc<Node>, seed: Seed) -> Self {
        let stalls = node.settings.policy().options.stall_fast_producers;
        let turn = Turn::new(seed, Instant::now())
            .with_service_requests(&node.delivery.service_requests)
            .with_gate(&node.delivery.gate);
        Self { node, turn, stalls }
    }

    /// A client that has just connected. Its bytes go to `sink`; `wake` wakes this loop for it.
    pub(crate) fn admit(
        &mut self,
        transport: ClientTransport,
        remote: Option<SocketAddr>,
        sink: Arc<dyn Sink>,
        wake: Box<dyn Wake>,
    ) -> Box<Client> {
        let registry = &self.node.connections.registry;
        let basics = Basics {
            id: ClientId(self.node.connections.next_number()),
            kind: Kind::default(),
            slot: registry.take_slot(),
            pending_bytes_max: self.node.settings.policy().options.limits.pending_bytes_max,
            start: self.turn.now(),
        };
        let peer = Peer::new(basics, self.node.delivery.totals.clone(), sink, wake);
        let session = Arc::new(Session::new(peer, transport, remote));
        let described: Weak<Session> = Arc::downgrade(&session);
        session.peer.set_info_source(described);
        registry.insert(session.clone());
        Box::new(Client::new(self.node.clone(), session, &mut self.turn))
    }

    #[cold]
    fn switch_tracing(&mut self) {
        let node = self.node.clone();
        let tracer: Tracer = Box::new(move |peer, line, body| {
            // What the server says to itself is of interest to few, and much.
            let session = node.connections.registry.find(peer.id);
            if session.is_none() && !node.settings.policy().options.log.trace_verbose {
                return;
            }
            let who = session.map_or_else(|| "".into(), |session| session.who());
            let text = String::from_utf8_lossy(line);
            node.log.emit(Event::TraceOut, &who, format_args!("->> [{text}]"));
            let body = client::traced_body(&node.settings.policy().options.log, body);
            node.log.emit(Event::TraceOut, &who, format_args!("->> MSG_PAYLOAD: [{body}]"));
        });
        let on = self.node.log.is_on(Level::Trace);
        self.turn.trace(on.then_some(tracer));
    }
}

/// What a connection is.
pub(crate) enum Connection {
    /// A client, whose bytes are those of the protocol.
    Client(Box<Client>),
    /// A client whose protocol comes in frames on this link.
    Framed(Box<Client>, Arc<Link>),
    /// It is to become one.
    Upgrading(Box<Upgrading>),
}

impl Connection {
    fn client(&mut self) -> Option<&mut Client> {
        match self {
            Self::Client(client) | Self::Framed(client, _) => Some(client),
            Self::Upgrading(_) => None,
        }
    }
}

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

impl Driver {
    /// Bytes of a client's protocol.
    #[inline]
    fn receive_from(&mut self, client: &mut Client, input: &[u8]) -> Received {
        let progress = client.receive(input, &mut self.turn);
        let mut pause = None;
        if let Some(slow) = self.turn.take_stalled()
            && self.stalls
            && !Arc::ptr_eq(&slow, client.peer())
            && slow.wait_for(client.peer())
        {
            self.node.connections.failures.stalled.fetch_add(1, Ordering::Relaxed);
            pause = Some(self.turn.now() + STALL_MAX);
        }
        if client.is_checking() {
            pause = Some(self.turn.now() + CHECK_MAX);
        }
        let delayed = client.delayed_until();
        Received {
            used: progress.used,
            want: progress.want,
            pause: pause.max(delayed),
            resume_after_pause: delayed.is_some(),
        }
    }

    /// A connection by WebSocket has come. `None`: there are as many that are no clients yet as there may be clients.
    fn open_websocket(&mut self, accepted: Accepted) -> Option<(Connection, Transport)> {
        let policy = self.node.settings.policy();
        let listener = policy.websocket.as_ref()?;
        let upgrading = self.node.connections.upgrading.fetch_add(1, Ordering::AcqRel);
        let transport = listener.transport();
        let until = self.turn.now() + listener.handshake_timeout;
        let max = policy.options.limits.connections_max;
        let admitted = listener.tls.as_ref().is_none_or(|tls| tls.admit(self.turn.now()));
        // From here on it is counted out when it is dropped.
        let connection = Upgrading::new(self.node.clone(), policy, accepted.link, accepted.remote, until);
        if !admitted || (max > 0 && upgrading >= max) {
            return None;
        }
        Some((Connection::Upgrading(Box::new(connection)), transport))
    }

    /// A request for an upgrade is granted: from here on it is a client.
    fn upgrade(&mut self, from: &mut Upgrading, upgrade: Upgrade) -> Connection {
        let link = from.link.clone();
        let bytes_max = from.policy.websocket.as_ref().map_or(0, |listener| listener.message_bytes_max);
        let framing = WebSocketFraming(Stream::new(upgrade.agreed, bytes_max));
        link.begin_framing(Box::new(framing), upgrade.response);
        let wake = LinkWake(Arc::downgrade(&link));
        let sink = LinkSink(link.clone());
        let mut client = self.admit(ClientTransport::WebSocket, from.remote, Arc::new(sink), Box::new(wake));
        client.upgraded(upgrade.cookies, upgrade.forwarded_for);
        if let Some(secured) = from.secured.take() {
            client.secured(secured, &mut self.turn);
        }
        if !client.peer().is_closing() {
            client.greet(&mut self.turn);
        }
        Connection::Framed(client, link)
    }

    fn receive_request(&mut self, connection: &mut Connection, input: &[u8]) -> Received {
        let Connection::Upgrading(upgrading) = connection else { return Received::default() };
        let used = match upgrading.receive(input) {
            Answer::Wait => 0,
            Answer::Over => input.len(),
            Answer::Granted(upgrade) => {
                *connection = self.upgrade(upgrading, *upgrade);
                input.len()
            }
        };
        Received { used, ..Received::default() }
    }
}

impl Handler for Driver {
    type Connection = Connection;

    fn begin(&mut self, now: Instant) {
        self.turn.begin(now);
        if self.turn.is_traced() != self.node.log.is_on(Level::Trace) {
            self.switch_tracing();
        }
    }

    fn open(&mut self, accepted: Accepted) -> Option<(Self::Connection, Transport)> {
        if accepted.listener == WEBSOCKET {
            return self.open_websocket(accepted);
        }
        let policy = self.node.settings.policy();
        let transport = match accepted.remote {
            Some(_) => ClientTransport::Network,
            None if accepted.listener == IN_PROCESS => ClientTransport::InProcess,
            None => ClientTransport::Unix,
        };
        let wake = LinkWake(Arc::downgrade(&accepted.link));
        let sink = LinkSink(accepted.link.clone());
        let mut client = self.admit(transport, accepted.remote, Arc::new(sink), Box::new(wake));
        let transport = match &policy.tls {
            // The others do not leave the machine.
            Some(tls) if transport == ClientTransport::Network => {
                if tls.admit(self.turn.now()) {
                    tls.transport(policy.options.allow_non_tls)
                } else {
                    client.throttle();
                    Transport::Plain
                }
            }
            _ => Transport::Plain,
        };
        if accepted.may_be_proxied {
            client.expect_header();
        }
        if matches!(transport, Transport::Tls { plain_allowed: false, .. }) {
            client.expect_handshake();
        }
        Some((Connection::Client(client), transport))
    }

    fn greet(&mut self, connection: &mut Self::Connection) {
        if let Some(client) = connection.client() {
            client.greet(&mut self.turn);
        }
    }

    fn proxied(&mut self, connection: &mut Self::Connection, source: Option<SocketAddr>) {
        if let Some(client) = connection.client() {
            client.proxied(source);
        }
    }

    fn secured(&mut self, connection: &mut Self::Connection, secured: Secured) {
        match connection {
            Connection::Client(client) | Connection::Framed(client, _) => {
                client.secured(secured, &mut self.turn);
            }
            Connection::Upgrading(upgrading) => upgrading.secured = Some(secured),
        }
    }

    #[inline]
    fn receive(&mut self, connection: &mut Self::Connection, input: &[u8]) -> Received {
        match connection {
            Connection::Client(client) | Connection::Framed(client, _) => self.receive_from(client, input),
            Connection::Upgrading(_) => self.receive_request(connection, input),
        }
    }

    fn is_authenticated(&self, connection: &Self::Connection) -> bool {
        match connection {
            Connection::Client(client) | Connection::Framed(client, _) => client.is_let_in(),
            Connection::Upgrading(_) => false,
        }
    }

    fn deadline(&self, connection: &Self::Connection) -> Option<Instant> {
        match connection {
            Connection::Client(client) | Connection::Framed(client, _) => client.deadline(),
            Connection::Upgrading(upgrading) => upgrading.deadline(),
        }
    }

    fn expire(&mut self, connection: &mut Self::Connection) {
        match connection {
            Connection::Client(client) | Connection::Framed(client, _) => client.expire(&mut self.turn),
            Connection::Upgrading(upgrading) => upgrading.expire(),
        }
    }

    fn flush(&mut self, connection: &mut Self::Connection) -> bool {
        let Some(client) = connection.client() else { return false };
        self.turn.flush(client.peer());
        client.peer().pending_bytes() > 0
    }

    fn woken(&mut self, connection: &mut Self::Connection) -> bool {
        connection.client().is_some_and(|client| client.woken(&mut self.turn))
    }

    fn closing(&self, connection: &Self::Connection) -> Option<Closing> {
        let (client, link) = match connection {
            Connection::Client(client) => (client, None),
            Connection::Framed(client, link) => (client, Some(link)),
            Connection::Upgrading(upgrading) => return upgrading.closing(),
        };
        let reason = client.peer().closing()?;
        if let Some(link) = link {
            link.set_farewell(close::frame(reason));
        }
        Some(match reason {
            CloseReason::WriteError
            | CloseReason::SlowConsumerPendingBytes
            | CloseReason::SlowConsumerWriteDeadline => Closing::Now,
            _ => Closing::AfterFlush,
        })
    }

    fn broken(&mut self, connection: &mut Self::Connection, how: Broken) {
        match connection {
            Connection::Client(client) | Connection::Framed(client, _) => client.broken(&how),
            Connection::Upgrading(upgrading) => upgrading.broken(&how),
        }
    }

    fn closed(&mut self, mut connection: Self::Connection) {
        if let Some(client) = connection.client() {
            client.leave(&mut self.turn);
            self.node.connections.registry.free_slot(client.peer().slot());
        }
    }

    fn finish(&mut self) -> bool {
        self.turn.finish()
    }

    fn idle(&mut self) {
        self.turn.idle();
    }
}
