//! Clients on event loops: the glue between a loop, a turn and the connections' state machines.

use crate::client::{self, Client};
use crate::log::{Event, Level};
use crate::registry::{ClientTransport, Session};
use crate::shared::Shared;
use dialtone_broker::deliver::{Tracer, Turn};
use dialtone_broker::kind::Kind;
use dialtone_broker::outbox::Sink;
use dialtone_broker::peer::{Basics, ClientId, Peer, Wake};
use dialtone_broker::random::Seed;
use dialtone_net::{Accepted, Broken, Closing, Handler, Link, Received, Secured, Transport};
use dialtone_wire::CloseReason;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The number of the listener for clients.
pub(crate) const CLIENTS: usize = 0;
/// The number that stands for connections inside the process, which come by no listener.
pub(crate) const IN_PROCESS: usize = 1;

/// How long a producer that outruns a reader is held back at most. The official server's figure.
const STALL_MAX: Duration = Duration::from_millis(5);
/// How long a client is not read while it is being checked; its answer wakes it before.
const CHECK_MAX: Duration = Duration::from_secs(60);

/// One loop's clients.
pub struct Driver {
    shared: Arc<Shared>,
    turn: Turn,
    stalls: bool,
}

impl Driver {
    /// For one loop; what it draws at random comes from `seed`.
    pub fn new(shared: Arc<Shared>, seed: Seed) -> Self {
        let stalls = shared.policy().options.stall_fast_producers;
        let turn = Turn::new(seed, Instant::now()).with_service_requests(&shared.service_requests);
        Self { shared, turn, stalls }
    }

    /// A client that has just connected. Its bytes go to `sink`; `wake` wakes this loop for it.
    pub(crate) fn admit(
        &mut self,
        transport: ClientTransport,
        remote: Option<SocketAddr>,
        sink: Arc<dyn Sink>,
        wake: Box<dyn Wake>,
    ) -> Box<Client> {
        let registry = &self.shared.registry;
        let basics = Basics {
            id: ClientId(self.shared.next_client()),
            kind: Kind::default(),
            slot: registry.take_slot(),
            pending_bytes_max: self.shared.policy().options.limits.pending_bytes_max,
            start: self.turn.now(),
        };
        let peer = Peer::new(basics, self.shared.totals.clone(), sink, wake);
        let session = Arc::new(Session::new(peer, transport, remote));
        let described: Weak<Session> = Arc::downgrade(&session);
        session.peer.set_info_source(described);
        registry.insert(session.clone());
        Box::new(Client::new(self.shared.clone(), session, &mut self.turn))
    }

    #[cold]
    fn switch_tracing(&mut self) {
        let shared = self.shared.clone();
        let tracer: Tracer = Box::new(move |peer, line, body| {
            // What the server says to itself is of interest to few, and much.
            let session = shared.registry.find(peer.id);
            if session.is_none() && !shared.policy().options.log.trace_verbose {
                return;
            }
            let who = session.map_or_else(|| "".into(), |session| session.who());
            let text = String::from_utf8_lossy(line);
            shared.log.emit(Event::TraceOut, &who, format_args!("->> [{text}]"));
            let body = client::traced_body(&shared.policy().options.log, body);
            shared.log.emit(Event::TraceOut, &who, format_args!("->> MSG_PAYLOAD: [{body}]"));
        });
        let on = self.shared.log.is_on(Level::Trace);
        self.turn.trace(on.then_some(tracer));
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

impl Handler for Driver {
    type Connection = Box<Client>;

    fn begin(&mut self, now: Instant) {
        self.turn.begin(now);
        if self.turn.is_traced() != self.shared.log.is_on(Level::Trace) {
            self.switch_tracing();
        }
    }

    fn open(&mut self, accepted: Accepted) -> Option<(Self::Connection, Transport)> {
        let policy = self.shared.policy();
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
        Some((client, transport))
    }

    fn greet(&mut self, client: &mut Self::Connection) {
        client.greet(&mut self.turn);
    }

    fn proxied(&mut self, client: &mut Self::Connection, source: Option<SocketAddr>) {
        client.proxied(source);
    }

    fn secured(&mut self, client: &mut Self::Connection, secured: Secured) {
        client.secured(secured, &mut self.turn);
    }

    #[inline]
    fn receive(&mut self, client: &mut Self::Connection, input: &[u8]) -> Received {
        let progress = client.receive(input, &mut self.turn);
        let mut pause = None;
        if let Some(slow) = self.turn.take_stalled()
            && self.stalls
            && !Arc::ptr_eq(&slow, client.peer())
            && slow.wait_for(client.peer())
        {
            self.shared.failures.stalled.fetch_add(1, Ordering::Relaxed);
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

    fn is_authenticated(&self, client: &Self::Connection) -> bool {
        client.is_let_in()
    }

    fn deadline(&self, client: &Self::Connection) -> Option<Instant> {
        client.deadline()
    }

    fn expire(&mut self, client: &mut Self::Connection) {
        client.expire(&mut self.turn);
    }

    fn flush(&mut self, client: &mut Self::Connection) -> bool {
        self.turn.flush(client.peer());
        client.peer().pending_bytes() > 0
    }

    fn woken(&mut self, client: &mut Self::Connection) -> bool {
        client.woken(&mut self.turn)
    }

    fn closing(&self, client: &Self::Connection) -> Option<Closing> {
        Some(match client.peer().closing()? {
            CloseReason::WriteError
            | CloseReason::SlowConsumerPendingBytes
            | CloseReason::SlowConsumerWriteDeadline => Closing::Now,
            _ => Closing::AfterFlush,
        })
    }

    fn broken(&mut self, client: &mut Self::Connection, how: Broken) {
        client.broken(how);
    }

    fn closed(&mut self, mut client: Self::Connection) {
        client.leave(&mut self.turn);
        self.shared.registry.free_slot(client.peer().slot());
    }

    fn finish(&mut self) {
        self.turn.finish();
    }

    fn idle(&mut self) {
        self.turn.idle();
    }
}
