//! Connections on event loops: the glue between a loop, a turn and the connections' protocols.

use crate::client;
use crate::clock;
use crate::listeners;
use crate::log::{Event as Logged, Level};
use crate::node::Node;
use crate::protocol::Connection;
use dialtone_broker::deliver::{Tracer, Turn};
use dialtone_broker::random::Seed;
use dialtone_net::{Accepted, Broken, Closing, DialError, Handler, Received, Secured, Transport};
use dialtone_wire::websocket::close;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a producer that outruns a reader is held back at most. The official server's figure.
const STALL_MAX: Duration = Duration::from_millis(5);
/// How long a producer that outruns the disk is held back at most, where no commit comes before.
const DISK_STALL_MAX: Duration = Duration::from_secs(1);

/// One loop's connections.
pub(crate) struct Driver {
    node: Arc<Node>,
    turn: Turn,
    stalls: bool,
}

impl Driver {
    /// For one loop; what it draws at random comes from `seed`.
    pub fn new(node: Arc<Node>, seed: Seed) -> Self {
        let stalls = node.settings.policy().options.clients.stall_producers;
        let turn = node.delivery.turn(seed, clock::moment());
        Self { node, turn, stalls }
    }

    /// A client that has just connected, by whatever is no socket, and what comes before its protocol.
    #[cfg(test)]
    pub(crate) fn admit(
        &mut self,
        source: crate::admission::Source,
        may_be_proxied: bool,
        sink: Arc<dyn dialtone_broker::outbox::Sink>,
        wake: Box<dyn dialtone_broker::peer::Wake>,
    ) -> (Connection, Transport) {
        let mut client = crate::admission::admit(&self.node, &mut self.turn, source, sink, wake);
        let now = self.turn.now();
        let transport = listeners::prepare(&self.node, &mut *client, source.listener, may_be_proxied, now);
        (Connection::new(client), transport)
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
            let who = session.map_or_else(|| "".into(), |session| session.label());
            let text = String::from_utf8_lossy(line);
            node.log.emit(Logged::TraceOut, &who, format_args!("->> [{text}]"));
            let body = client::traced_body(&node.settings.policy().options.log, body);
            node.log.emit(Logged::TraceOut, &who, format_args!("->> MSG_PAYLOAD: [{body}]"));
        });
        let on = self.node.log.is_on(Level::Trace);
        self.turn.trace(on.then_some(tracer));
    }
}

impl Driver {
    /// When a producer goes on that outran a reader, or the disk: that one waits whatever the configuration says, since its messages would
    /// be refused.
    fn stall(&mut self, connection: &Connection) -> Option<Instant> {
        let slow = self.turn.take_stalled().filter(|slow| self.stalls || slow.is_inside())?;
        let peer = connection.protocol.peer()?;
        if Arc::ptr_eq(&slow, peer) || !slow.wait_for(peer) {
            return None;
        }
        self.node.connections.failures.stalled.fetch_add(1, Ordering::Relaxed);
        Some(self.turn.now() + if slow.is_inside() { DISK_STALL_MAX } else { STALL_MAX })
    }
}

impl Handler for Driver {
    type Connection = Connection;
    /// No thread has anything for a loop yet that is not about one connection.
    type Post = Infallible;

    fn begin(&mut self, now: Instant) {
        self.turn.begin(now);
        if self.turn.is_traced() != self.node.log.is_on(Level::Trace) {
            self.switch_tracing();
        }
    }

    fn open(&mut self, accepted: Accepted) -> Option<(Self::Connection, Transport)> {
        listeners::open(&self.node, &mut self.turn, accepted)
    }

    fn undialed(&mut self, number: u64, why: DialError) {
        listeners::undialed(&self.node, number, &why);
    }

    fn posted(&mut self, post: Infallible) {
        match post {}
    }

    fn greet(&mut self, connection: &mut Self::Connection) {
        connection.protocol.greet(&mut self.turn);
    }

    fn proxied(&mut self, connection: &mut Self::Connection, source: Option<SocketAddr>) {
        connection.protocol.proxied(source);
    }

    fn secured(&mut self, connection: &mut Self::Connection, secured: Secured) {
        connection.protocol.secured(secured, &mut self.turn);
    }

    #[inline]
    fn receive(&mut self, connection: &mut Self::Connection, input: &[u8]) -> Received {
        let progress = connection.protocol.receive(input, &mut self.turn);
        if progress.is_over
            && let Some(next) = connection.protocol.successor(&mut self.turn)
        {
            connection.protocol = next;
        }
        let stall = self.stall(connection);
        Received {
            used: progress.used,
            want: progress.want,
            pause: stall.max(progress.pause),
            resume_after_pause: progress.resumes,
            begins_framing: progress.begins_framing,
        }
    }

    fn is_authenticated(&self, connection: &Self::Connection) -> bool {
        connection.protocol.is_let_in()
    }

    fn deadline(&self, connection: &Self::Connection) -> Option<Instant> {
        connection.protocol.deadline()
    }

    fn expire(&mut self, connection: &mut Self::Connection) {
        connection.protocol.expire(&mut self.turn);
    }

    fn flush(&mut self, connection: &mut Self::Connection) -> bool {
        let Some(peer) = connection.protocol.peer() else { return false };
        self.turn.flush(peer);
        peer.pending_bytes() > 0
    }

    fn woken(&mut self, connection: &mut Self::Connection) -> bool {
        connection.protocol.woken(&mut self.turn)
    }

    fn closing(&self, connection: &Self::Connection) -> Option<Closing> {
        let reason = connection.protocol.peer().and_then(|peer| peer.closing());
        if let Some((link, reason)) = connection.framed.as_ref().zip(reason) {
            link.set_farewell(close::payload(reason));
        }
        connection.protocol.closing()
    }

    fn broken(&mut self, connection: &mut Self::Connection, how: Broken) {
        connection.protocol.broken(&how);
    }

    fn closed(&mut self, mut connection: Self::Connection) {
        connection.protocol.leave(&mut self.turn);
        if let Some(peer) = connection.protocol.peer() {
            self.node.connections.registry.free_slot(peer.slot());
        }
    }

    fn finish(&mut self) -> bool {
        self.turn.finish()
    }

    fn idle(&mut self) {
        self.turn.idle();
    }
}
