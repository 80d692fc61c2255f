//! The client protocol: a state machine without sockets. Bytes and time come in, what it sends goes into the [`Turn`]. Only the times of a
//! message trace and the bytes of a nonce come from the system.
//!
//! What it has in common with other connections is its [`Conduct`]. `connect` is how it says who it is, `publish` and `subscribe` what it
//! does then.

mod connect;
mod driven;
mod info;
mod publish;
mod rates;
mod subscribe;
mod trace;
mod traced;

pub(crate) use info::{send_away, send_away_to, send_urls};
pub(crate) use trace::traced_body;

use crate::conduct::{Allowance, Conduct, Phase};
use crate::log::Event;
use crate::node::Node;
use crate::protocol::{self, Progress};
use crate::registry::Session;
use dialtone_broker::deliver::{Origin, Turn};
use dialtone_broker::peer::{Peer, Place};
use dialtone_config::options::TlsFirst;
use dialtone_wire::client::{Limits, Op, ParseError, Parsed, Unfinished, encode, parse, usual_publish};
use dialtone_wire::websocket::upgrade::Cookies;
use dialtone_wire::{CloseReason, Connect, ProtocolError};
use std::fmt::Arguments;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

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
    /// The options so far, as a CONNECT.
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
    conduct: Conduct,
    nonce: Box<str>,
    /// CONNECT, while it is being checked, without its credentials.
    pending: Option<Box<Connect>>,
    arrival: Arrival,
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
}

/// How a client came.
#[derive(Default)]
struct Arrival {
    /// There were enough TLS handshakes in this second.
    throttled: bool,
    /// A PROXY header may come and name another address than the socket's.
    may_be_proxied: bool,
    /// Credentials in cookies of its upgrade, if there are any.
    cookies: Option<Box<Cookies>>,
}

impl Client {
    /// A client that has just connected.
    pub fn new(node: Arc<Node>, session: Arc<Session>, turn: &mut Turn) -> Self {
        let mut conduct = Conduct::new(node, session, turn.now());
        conduct.begin(turn);
        let policy = &conduct.policy;
        let limits = Limits {
            control_line_bytes_max: policy.options.limits.control_line_bytes_max,
            payload_bytes_max: policy.options.limits.payload_bytes_max,
            headers: false,
        };
        let nonce = Self::make_nonce(policy.authenticator_of(conduct.session.listener()).nonce_required());
        let mut client = Self {
            conduct,
            nonce,
            pending: None,
            arrival: Arrival::default(),
            options: ClientOptions::default(),
            limits,
            unfinished: Unfinished::Unknown,
            subscriptions_max: usize::MAX,
            answers_denied: false,
            rated: None,
        };
        if client.conduct.is_let_in() {
            client.take_limits(turn.now());
        }
        client
    }

    /// Logs an event of this client.
    fn log(&self, event: Event, text: Arguments<'_>) {
        self.conduct.log(event, text);
    }

    /// The server speaks first: INFO.
    fn send_greeting(&mut self, turn: &mut Turn) {
        if self.conduct.greets_later() {
            return;
        }
        if self.arrival.throttled {
            if self.conduct.policy.options.clients.tls.as_ref().is_some_and(|tls| tls.first == TlsFirst::No) {
                self.send_info(turn, false);
            }
            let (error, reason) = (ProtocolError::ConnectionThrottled, CloseReason::MaxConnectionsExceeded);
            return self.refuse(error, reason, turn);
        }
        self.send_info(turn, false);
        let max = self.conduct.policy.options.limits.connections_max;
        if max > 0 && self.conduct.node.connections.registry.len() > max {
            self.log(Event::LimitReached, format_args!("maximum connections exceeded"));
            self.refuse(ProtocolError::ServerConnectionsExceeded, CloseReason::MaxConnectionsExceeded, turn);
        }
    }

    /// It came by an upgrade, with these cookies; a proxy may have named the other end.
    pub(crate) fn upgraded(&mut self, cookies: Cookies, forwarded_for: Option<IpAddr>) {
        if let Some(address) = forwarded_for {
            self.conduct.session.set_forwarded_for(address);
        }
        self.arrival.cookies = (cookies != Cookies::default()).then(|| Box::new(cookies));
    }

    /// Takes over what a reload changed.
    #[cold]
    fn renew(&mut self, now: Instant) {
        self.conduct.renew();
        self.take_limits(now);
    }

    /// Takes over the limits of the server and of its account, of which the lesser counts, and its rate limits.
    fn take_limits(&mut self, now: Instant) {
        let name = self.conduct.place.account.as_ref().map_or("", |account| &account.name);
        self.answers_denied = self.conduct.policy.answers_denied(name);
        self.limits.control_line_bytes_max = self.conduct.policy.options.limits.control_line_bytes_max;
        let Allowance { payload_bytes_max, subscriptions_max } = self.conduct.allowance();
        self.limits.payload_bytes_max = payload_bytes_max;
        self.subscriptions_max = subscriptions_max;
        self.take_rates(now);
    }

    /// Takes over its rights and limits, if they are others than before.
    #[inline]
    fn take_place(&mut self, now: Instant) {
        if self.conduct.take_place(now) {
            self.take_limits(now);
        }
    }

    /// The end of its connection.
    #[inline(always)]
    pub fn peer(&self) -> &Arc<Peer> {
        self.conduct.peer()
    }

    fn ping(&mut self, turn: &mut Turn) {
        protocol::send_pong(&self.conduct, turn);
        if self.options.sent_connect && !self.options.got_info {
            self.options.got_info = true;
            if self.options.asynchronous_info {
                // A client that reads the PONG of its first PING would fail by an INFO ahead of it, which other threads may send as soon as it
                // takes them. What changed meanwhile is in this one.
                turn.enqueue_staged();
                self.peer().set_takes_info(true);
                self.send_info(turn, true);
            }
        }
    }

    /// Takes all whole operations at the front of what came in.
    fn take(&mut self, input: &[u8], turn: &mut Turn) -> Progress {
        self.conduct.heard(turn.now());
        if self.conduct.is_outdated() {
            self.renew(turn.now());
        }
        self.take_place(turn.now());
        let mut progress = Progress::default();
        if !self.conduct.is_certificate_checked() {
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
        while !self.peer().is_closing() {
            let rest = input.get(progress.used..).unwrap_or_default();
            let Some(first) = rest.first() else { break };
            if !matches!(self.conduct.phase, Phase::Open) && !self.goes_on(*first, turn) {
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

    /// Whether who is not in yet may go on, with an operation that begins with this byte.
    #[cold]
    fn goes_on(&mut self, first: u8, turn: &mut Turn) -> bool {
        match self.conduct.phase {
            Phase::Open => true,
            Phase::Checking { .. } => false,
            Phase::AwaitingLogin { .. } => {
                first.eq_ignore_ascii_case(&b'C') || self.connect_without_credentials(turn)
            }
        }
    }

    /// Goes on with the operation that was not whole. False: it is not whole yet.
    #[cold]
    fn resume(&mut self, input: &[u8], progress: &mut Progress, turn: &mut Turn) -> bool {
        if self.peer().is_closing() || self.conduct.phase.is_checking() {
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

    /// Does what an operation asks for. False: it is a message that waits, and all behind it.
    #[inline(never)]
    fn operate(&mut self, op: Op<'_>, batch: &mut publish::Batch, turn: &mut Turn) -> bool {
        if let Op::Publish(message) = op {
            return self.take_message(&message, batch, turn);
        }
        if self.conduct.traced {
            self.trace(&op);
        }
        match op {
            Op::Publish(_) => {}
            Op::Subscribe { filter, queue, sid } => self.subscribe(filter, queue, sid, turn),
            Op::Unsubscribe { sid, max } => self.unsubscribe(sid, max, turn),
            Op::Ping => self.ping(turn),
            Op::Pong => self.conduct.pong(turn.now()),
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
        protocol::send_error(&self.conduct, text, turn);
    }

    fn send_ok(&self, turn: &mut Turn) {
        if self.options.verbose {
            protocol::trace_out(&self.conduct, format_args!("OK"));
            turn.send(self.peer(), encode::OK);
        }
    }
}

fn origin<'a>(session: &'a Session, place: &'a Place, echo: bool) -> Option<Origin<'a>> {
    Some(Origin { peer: &session.peer, account: place.account.as_ref()?, echo })
}
