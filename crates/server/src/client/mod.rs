//! One client: a state machine without sockets. Bytes and time come in, what it sends goes into the [`Turn`]. Only the times of a message trace
//! and the bytes of a nonce come from the system.
//!
//! `connect` is how it gets in, `publish` and `subscribe` what it does there, `alive` how it is seen to be there.

mod alive;
mod certificate;
mod connect;
mod publish;
mod rates;
mod subscribe;
mod trace;
mod traced;

pub(crate) use trace::traced_body;

use crate::log::{Event, Level};
use crate::node::Node;
use crate::policy::Policy;
use crate::registry::Session;
use crate::system;
use crate::usage::{ConnectionState, CountFrom};
use dialtone_broker::deliver::{Origin, Turn};
use dialtone_broker::peer::{Peer, Place};
use dialtone_config::options::TlsFirst;
use dialtone_identity::authenticator::Shown;
use dialtone_identity::operator::Claimed;
use dialtone_net::{Broken, FramingError, Secured};
use dialtone_wire::client::{Limits, Op, ParseError, Parsed, Unfinished, encode, parse, usual_publish};
use dialtone_wire::websocket::upgrade::Cookies;
use dialtone_wire::{CloseReason, Connect, ProtocolError};
use std::fmt::Arguments;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Where a client is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has to say who it is, until then.
    AwaitingConnect { until: Instant },
    /// What it said is being checked; nothing more is read meanwhile. If that has not begun until then, it goes.
    Checking { until: Instant },
    /// It may do what its rights allow.
    Open,
}

impl Phase {
    fn is_checking(self) -> bool {
        matches!(self, Self::Checking { .. })
    }
}

/// What a client asked for by CONNECT; without CONNECT the official defaults.
#[derive(Clone, Copy, Debug)]
struct ClientOptions {
    verbose: bool,
    pedantic: bool,
    echo: bool,
    no_responders: bool,
    /// It takes INFO at any time.
    asynchronous_info: bool,
    /// It has said CONNECT.
    sent_connect: bool,
    /// It has got the INFO that answers CONNECT.
    got_info: bool,
}

impl ClientOptions {
    /// What the client has said of its manner so far, as a CONNECT.
    fn as_connect(&self, headers: bool) -> Connect {
        if !self.sent_connect {
            return Connect::NOTHING;
        }
        Connect {
            verbose: self.verbose,
            pedantic: self.pedantic,
            echo: self.echo,
            no_responders: self.no_responders,
            headers,
            protocol: self.asynchronous_info.into(),
            ..Connect::NOTHING
        }
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            no_responders: false,
            asynchronous_info: false,
            sent_connect: false,
            got_info: false,
        }
    }
}

/// A connection that speaks the client protocol.
pub struct Client {
    node: Arc<Node>,
    policy: Arc<Policy>,
    generation: u32,
    session: Arc<Session>,
    place: Place,
    place_version: u32,
    /// The user as its rights call it; empty without users.
    user: Arc<str>,
    nonce: Box<str>,
    /// CONNECT, while it is being checked; its credentials are in `presented`.
    pending: Option<Box<Connect>>,
    /// What it has shown that is being checked.
    presented: Option<Box<Shown>>,
    /// It came when there were enough TLS handshakes in this second.
    throttled: bool,
    /// A PROXY header may come and name another address than the socket's.
    may_be_proxied: bool,
    /// Credentials in cookies of its upgrade, if there are any.
    cookies: Option<Box<Cookies>>,
    /// The account whose token was looked for last, by public key.
    looked_up: Option<Box<str>>,
    /// When its JWT or its account's expires, and the error that it gets then.
    expiry: Option<(Instant, ProtocolError)>,
    traced: bool,
    phase: Phase,
    options: ClientOptions,
    limits: Limits,
    /// What is known of the operation at the front of its bytes.
    unfinished: Unfinished,
    /// Subscriptions that it may have: the server's limit or its account's, whichever is less.
    subscriptions_max: usize,
    /// Requests of it that are denied are answered.
    answers_denied: bool,
    /// Its rate limits, if there are any.
    rated: Option<Box<rates::Rated>>,
    alive: alive::Alive,
    /// How far the check of its certificate is.
    certificate_check: certificate::CertificateCheck,
}

/// What came of a turn's bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Bytes used.
    pub used: usize,
    /// Bytes that the operation at the end will have, if known.
    pub want: usize,
}

impl Client {
    /// A client that has just connected.
    pub fn new(node: Arc<Node>, session: Arc<Session>, turn: &mut Turn) -> Self {
        let now = turn.now();
        let generation = node.settings.generation();
        let policy = node.settings.policy();
        let transport = session.transport;
        let phase = if policy.auth_required(transport) {
            Phase::AwaitingConnect { until: now + policy.auth_timeout_of(transport) }
        } else {
            Phase::Open
        };
        let limits = Limits {
            control_line_bytes_max: policy.options.limits.control_line_bytes_max,
            payload_bytes_max: policy.options.limits.payload_bytes_max,
            headers: false,
        };
        let alive = alive::Alive::new(now, policy.ping_interval_of(transport));
        let nonce = Self::make_nonce(policy.authenticator_of(transport).nonce_required());
        let traced = node.log.is_on(Level::Trace);
        let mut client = Self {
            node,
            policy,
            generation,
            session,
            place: Place::default(),
            place_version: 0,
            user: "".into(),
            nonce,
            pending: None,
            throttled: false,
            may_be_proxied: false,
            cookies: None,
            looked_up: None,
            presented: None,
            expiry: None,
            traced,
            phase,
            options: ClientOptions::default(),
            limits,
            unfinished: Unfinished::Unknown,
            subscriptions_max: usize::MAX,
            answers_denied: false,
            rated: None,
            alive,
            certificate_check: certificate::CertificateCheck::default(),
        };
        client.log(Event::ClientCreated, format_args!("Client connection created"));
        if phase == Phase::Open {
            let version = (generation, client.node.version().1);
            client
                .enter(Place { account: Some(client.node.accounts.global.clone()), permissions: None }, turn);
            client.review(version, turn);
        }
        client
    }

    /// Logs an event of this client.
    fn log(&self, event: Event, text: Arguments<'_>) {
        if self.node.log.is_on(event.level()) {
            self.node.log.emit(event, &self.session.who(), text);
        }
    }

    /// The server speaks first: INFO.
    pub fn greet(&mut self, turn: &mut Turn) {
        if self.greets_later() {
            return;
        }
        if self.throttled {
            if self.policy.options.tls.as_ref().is_some_and(|tls| tls.first == TlsFirst::No) {
                self.send_info(turn, false);
            }
            let (error, reason) = (ProtocolError::ConnectionThrottled, CloseReason::MaxConnectionsExceeded);
            return self.refuse(error, reason, turn);
        }
        self.send_info(turn, false);
        let max = self.policy.options.limits.connections_max;
        if max > 0 && self.node.connections.registry.len() > max {
            self.log(Event::LimitReached, format_args!("maximum connections exceeded"));
            self.refuse(ProtocolError::ServerConnectionsExceeded, CloseReason::MaxConnectionsExceeded, turn);
        }
    }

    /// There are enough TLS handshakes in this second: it gets an error and is closed.
    pub fn throttle(&mut self) {
        self.throttled = true;
    }

    /// A TLS handshake is to come: no PING before it.
    pub fn expect_handshake(&mut self) {
        self.alive.hold();
    }

    /// Who is behind the other end may yet be told: no address before that.
    pub fn expect_header(&mut self) {
        self.may_be_proxied = true;
    }

    /// It came by an upgrade, with these cookies; a proxy may have named the other end.
    pub(crate) fn upgraded(&mut self, cookies: Cookies, forwarded_for: Option<IpAddr>) {
        if let Some(address) = forwarded_for {
            self.session.set_forwarded_for(address);
        }
        self.cookies = (cookies != Cookies::default()).then(|| Box::new(cookies));
    }

    /// A proxy has said who the other end is.
    pub fn proxied(&mut self, source: Option<SocketAddr>) {
        if let Some(source) = source {
            self.session.set_remote(source);
        }
    }

    /// TLS is up.
    pub fn secured(&mut self, secured: Secured, turn: &mut Turn) {
        let certificate = secured.certificates.first().cloned();
        self.log(
            Event::TlsDone,
            format_args!(
                "TLS handshake complete, version {}, cipher suite {}",
                secured.version, secured.cipher_suite
            ),
        );
        self.alive = alive::Alive::new(turn.now(), self.ping_interval());
        // Set once: a connection has one handshake.
        let _ = self.session.secured.set(secured);
        let pinned = self
            .policy
            .tls_of(self.session.transport)
            .is_none_or(|tls| tls.is_pinned(certificate.as_deref()));
        if !pinned {
            self.log(Event::TlsFailed, format_args!("certificate not pinned"));
            return self.peer().close(CloseReason::TlsHandshake);
        }
        self.check_certificate(turn);
    }

    /// The connection broke.
    pub fn broken(&mut self, how: Broken) {
        let reason = match how {
            Broken::Eof => CloseReason::ClientClosed,
            Broken::Read(_) => CloseReason::ReadError,
            Broken::Tls(why) => {
                self.log(Event::TlsFailed, format_args!("TLS handshake error: {why}"));
                CloseReason::TlsHandshake
            }
            Broken::Proxy(why) => {
                let from = self.session.remote().map(|remote| remote.to_string()).unwrap_or_default();
                let text = format_args!("Error reading PROXY protocol header from {from}: {why}");
                self.node.log.emit(Event::ProxyHeaderBad, "", text);
                CloseReason::ProtocolViolation
            }
            Broken::Framing(FramingError::Invalid(why)) => {
                self.log(Event::FrameInvalid, format_args!("read error: {why}"));
                CloseReason::ReadError
            }
            Broken::Framing(FramingError::TooLarge) => {
                self.log(Event::FrameInvalid, format_args!("read error: message is too large"));
                CloseReason::MaxPayloadExceeded
            }
        };
        self.peer().close(reason);
    }

    /// Takes over what a reload changed.
    #[cold]
    fn renew(&mut self, now: Instant) {
        self.generation = self.node.settings.generation();
        self.policy = self.node.settings.policy();
        self.take_limits(now);
        self.traced = self.node.log.is_on(Level::Trace);
    }

    /// Takes over the limits of the server and of its account, of which the lesser counts, and its rate limits.
    fn take_limits(&mut self, now: Instant) {
        let server = &self.policy.options.limits;
        let account = self
            .place
            .account
            .as_ref()
            .map(|a| self.node.accounts.limits(&a.name, &self.policy))
            .unwrap_or_default();
        let name = self.place.account.as_ref().map_or("", |account| &account.name);
        self.answers_denied = self.policy.answers_denied(name);
        let claimed = self.session.claimed();
        let of_user = |limit: fn(&Claimed) -> Option<u64>| claimed.as_deref().and_then(limit);
        let least = |max: usize, of_account: Option<u64>| {
            of_account.map_or(max, |own| (max as u64).min(own) as usize)
        };
        let subscriptions_max =
            if server.subscriptions_max > 0 { server.subscriptions_max } else { usize::MAX };
        self.limits.control_line_bytes_max = server.control_line_bytes_max;
        self.limits.payload_bytes_max = least(
            least(server.payload_bytes_max, account.payload_bytes_max),
            of_user(|claimed| claimed.payload_bytes_max),
        );
        self.subscriptions_max = least(
            least(subscriptions_max, account.subscriptions_max),
            of_user(|claimed| claimed.subscriptions_max),
        );
        self.take_rates(now);
    }

    /// Takes over its rights and limits, if they are others than before.
    #[inline]
    pub(super) fn take_place(&mut self, now: Instant) {
        if self.place_version != self.peer().place_version() {
            self.place_version = self.peer().place_version();
            self.place = self.peer().place();
            if let Some(user) = self.session.user() {
                self.user = user;
            }
            self.take_limits(now);
            self.set_expiry(now);
        }
    }

    /// Another thread has something for it. True if it may go on after a check.
    pub fn woken(&mut self, turn: &mut Turn) -> bool {
        let was_delayed = self.is_delayed();
        if was_delayed && self.generation != self.node.settings.generation() {
            self.renew(turn.now());
        }
        self.take_place(turn.now());
        let judged = self.take_judgement(turn);
        self.take_verdicts(turn) || judged || (was_delayed && !self.is_delayed())
    }

    /// Whether it must not be read for now: what it said is being checked.
    pub fn is_checking(&self) -> bool {
        (self.phase.is_checking() || !self.is_certificate_checked()) && self.peer().closing().is_none()
    }

    /// The end of its connection.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.session.peer
    }

    /// Bytes came in. Uses all whole operations at their front.
    pub fn receive(&mut self, input: &[u8], turn: &mut Turn) -> Progress {
        self.alive.heard(turn.now());
        if self.generation != self.node.settings.generation() {
            self.renew(turn.now());
        }
        self.take_place(turn.now());
        let mut progress = Progress::default();
        if !self.is_certificate_checked() {
            return progress;
        }
        if self.rated.is_some() && !self.end_delay(turn.now()) {
            return progress;
        }
        let mut batch = publish::Batch::default();
        let mut warm_until = 0;
        if self.unfinished != Unfinished::Unknown && !self.resume(input, &mut progress, turn) {
            return progress;
        }
        while !self.peer().is_closing() && !self.phase.is_checking() {
            let rest = input.get(progress.used..).unwrap_or_default();
            let Some(first) = rest.first() else { break };
            if matches!(self.phase, Phase::AwaitingConnect { .. })
                && !first.eq_ignore_ascii_case(&b'C')
                && !self.connect_without_credentials(turn)
            {
                break;
            }
            if turn.looks_ahead() && progress.used >= warm_until {
                warm_until = progress.used + self.look_ahead(rest, turn);
            }
            if let Some((message, used)) = usual_publish(rest, &self.limits) {
                if !self.take_message(&message, &mut batch, turn) {
                    break;
                }
                progress.used += used;
                continue;
            }
            match parse(rest, &self.limits) {
                Ok(Parsed::Op(op, used)) => {
                    if !self.operate(op, &mut batch, turn) {
                        break;
                    }
                    progress.used += used;
                }
                Ok(Parsed::Partial { total }) => {
                    progress.want = total;
                    progress.used += self.unfinished.note(rest, total);
                    break;
                }
                Err(problem) => {
                    if matches!(problem, ParseError::Payload { .. }) {
                        self.trace_oversized(rest);
                    }
                    self.unreadable(&problem, turn);
                    break;
                }
            }
        }
        self.count(batch, turn.now());
        progress
    }

    /// Goes on with the operation that was not whole. False: it is not whole yet.
    #[cold]
    fn resume(&mut self, input: &[u8], progress: &mut Progress, turn: &mut Turn) -> bool {
        if self.peer().is_closing() || self.phase.is_checking() {
            return false;
        }
        if self.unfinished.awaits(input, &self.limits) {
            if let Unfinished::Message { bytes } = self.unfinished {
                progress.want = bytes;
            }
            return false;
        }
        let (skipped, op) = self.unfinished.skip(input);
        progress.used = skipped;
        if skipped > 0 && op.is_none() {
            return false;
        }
        self.unfinished = Unfinished::Unknown;
        if let Some(op) = op {
            // PING and PONG are no messages: they are not counted.
            self.operate(op, &mut publish::Batch::default(), turn);
        }
        true
    }

    /// Whether it was let in. Of a stranger little is read at a time.
    pub fn is_let_in(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Does what an operation asks for. False: it is a message that waits, and all behind it.
    #[inline(never)]
    fn operate(&mut self, op: Op<'_>, batch: &mut publish::Batch, turn: &mut Turn) -> bool {
        if let Op::Publish(message) = op {
            return self.take_message(&message, batch, turn);
        }
        if self.traced {
            self.trace(&op);
        }
        match op {
            Op::Publish(_) => {}
            Op::Subscribe { filter, queue, sid } => self.subscribe(filter, queue, sid, turn),
            Op::Unsubscribe { sid, max } => self.unsubscribe(sid, max, turn),
            Op::Ping => self.ping(turn),
            Op::Pong => self.pong(turn.now()),
            Op::Connect(json) => self.connect(json, turn),
            Op::Info | Op::Ok => {}
            Op::Err(text) => {
                self.log(Event::ClientError, format_args!("Client Error {}", String::from_utf8_lossy(text)));
                self.peer().close(CloseReason::ParseError);
            }
        }
        true
    }

    /// The bytes are no protocol.
    fn unreadable(&mut self, problem: &ParseError, turn: &mut Turn) {
        let reason = match problem {
            ParseError::ControlLine => CloseReason::MaxControlLineExceeded,
            ParseError::Payload { .. } => CloseReason::MaxPayloadExceeded,
            ParseError::UnknownOperation(_)
            | ParseError::Arguments { .. }
            | ParseError::HeadersNotSupported => CloseReason::ProtocolViolation,
        };
        self.log(Event::ProtocolError, format_args!("{problem}"));
        match problem.answer() {
            Some(error) => self.refuse(error, reason, turn),
            None => self.peer().close(reason),
        }
    }

    /// Sends an error and closes.
    fn refuse(&mut self, error: ProtocolError, reason: CloseReason, turn: &mut Turn) {
        self.send_error(error.text(), turn);
        self.peer().close(reason);
    }

    fn send_error(&self, text: &str, turn: &mut Turn) {
        let mut bytes = Vec::with_capacity(text.len() + 9);
        encode::error(&mut bytes, text);
        if self.traced {
            self.log(Event::TraceOut, format_args!("->> [-ERR {text}]"));
        }
        turn.send(self.peer(), &bytes);
    }

    fn send_ok(&self, turn: &mut Turn) {
        if self.options.verbose {
            if self.traced {
                self.log(Event::TraceOut, format_args!("->> [OK]"));
            }
            turn.send(self.peer(), encode::OK);
        }
    }

    /// Takes its place in an account.
    fn enter(&mut self, place: Place, turn: &mut Turn) {
        if let Some(account) = &place.account {
            self.node.connections.registry.enter(self.session.peer.id, account.id);
            system::joined(&self.node, turn, account, account.join());
        }
        self.session.set_user(&self.user);
        self.session.peer.set_place(place.clone());
        // Behind that: whoever switches usage on either is seen here, or finds the place.
        if self.node.connections.usage.is_on() {
            self.session.begin_use(turn.now(), CountFrom::Connect);
        }
        self.place_version = self.session.peer.place_version();
        self.place = place;
        self.take_limits(turn.now());
    }

    /// It is gone: nothing of it is left in its account.
    pub fn leave(&mut self, turn: &mut Turn) {
        let peer = &self.session.peer;
        peer.shut();
        if self.traced {
            peer.subscriptions().iter().for_each(|subscription| self.trace_gone(subscription.sid()));
        }
        let subscribed = turn.unsubscribe_all(peer);
        let reason = peer.closing().unwrap_or(CloseReason::ClientClosed);
        if self.node.connections.usage.is_on() {
            self.session.settle(&self.node.connections.usage, turn.now(), ConnectionState::Ended);
        }
        let account = self.place.account.take();
        let left = account.as_ref().map(|account| (account, account.leave()));
        if let Some((account, _)) = left.filter(|_| reason.is_slow_consumer()) {
            account.slow_consumers.fetch_add(1, Ordering::Relaxed);
        }
        system::left(&self.node, turn, &self.session, left, reason);
        match reason {
            CloseReason::SlowConsumerPendingBytes => {
                let max = self.policy.options.limits.pending_bytes_max;
                self.log(
                    Event::SlowConsumer,
                    format_args!("Slow Consumer Detected: MaxPending of {max} Exceeded"),
                );
            }
            CloseReason::SlowConsumerWriteDeadline => {
                let limit = self.policy.options.limits.write_deadline;
                self.log(
                    Event::SlowConsumer,
                    format_args!("Slow Consumer Detected: WriteDeadline of {limit:?} exceeded"),
                );
            }
            _ => {}
        }
        self.node.connections.failures.count(reason);
        self.log(Event::ClientClosed, format_args!("Client connection closed: {}", reason.text()));
        let closed_max = self.policy.options.limits.closed_clients_max;
        self.node.connections.registry.remove(&self.session, reason, subscribed, closed_max);
    }
}

fn origin<'a>(session: &'a Session, place: &'a Place, echo: bool) -> Option<Origin<'a>> {
    Some(Origin { peer: &session.peer, account: place.account.as_ref()?, echo })
}
