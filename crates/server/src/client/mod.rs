//! One client: a state machine without sockets or clock. Bytes and time in; what it has to say goes into the [`Turn`].
//!
//! `connect` is how it gets in, `publish` and `subscribe` what it does there, `alive` how it is seen to be there.

mod alive;
mod connect;
mod publish;
mod subscribe;

use crate::registry::Session;
use crate::settings::Settings;
use crate::shared::Shared;
use dialtone_broker::deliver::{Origin, Turn};
use dialtone_broker::peer::{Peer, Place};
use dialtone_wire::client::{Limits, Op, ParseError, Parsed, encode, parse};
use dialtone_wire::{CloseReason, ProtocolError};
use std::sync::Arc;
use std::time::Instant;

/// Where a client is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has to say who it is, until then.
    AwaitingConnect { until: Instant },
    /// It may do what its rights allow.
    Open,
}

/// What a client asked for by CONNECT; without CONNECT the official defaults.
#[derive(Clone, Copy, Debug)]
struct Manner {
    verbose: bool,
    pedantic: bool,
    echo: bool,
    no_responders: bool,
    /// It takes INFO at any time.
    asynchronous_info: bool,
    /// It has said CONNECT.
    introduced: bool,
    /// It has got the INFO that answers CONNECT.
    informed: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            no_responders: false,
            asynchronous_info: false,
            introduced: false,
            informed: false,
        }
    }
}

/// A connection that speaks the client protocol.
pub struct Client {
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    session: Arc<Session>,
    place: Place,
    phase: Phase,
    manner: Manner,
    limits: Limits,
    alive: alive::Alive,
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
    pub fn new(shared: Arc<Shared>, session: Arc<Session>, now: Instant) -> Self {
        let settings = shared.settings();
        let phase = if settings.auth_required {
            Phase::AwaitingConnect { until: now + settings.auth_timeout }
        } else {
            Phase::Open
        };
        let limits = Limits {
            control_line_bytes_max: settings.control_line_bytes_max,
            payload_bytes_max: settings.payload_bytes_max,
            headers: false,
        };
        let alive = alive::Alive::new(now, &settings, session.peer.id.0);
        let place = Place::default();
        let mut client =
            Self { shared, settings, session, place, phase, manner: Manner::default(), limits, alive };
        if phase == Phase::Open {
            client.enter(Place { account: Some(client.shared.global.clone()), permissions: None });
        }
        client
    }

    /// The server speaks first: INFO.
    pub fn greet(&mut self, turn: &mut Turn) {
        self.send_info(turn, false);
    }

    /// The end of its connection.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.session.peer
    }

    /// Bytes came in. Uses all whole operations at their front.
    pub fn receive(&mut self, input: &[u8], turn: &mut Turn) -> Progress {
        self.alive.heard(turn.now());
        let mut batch = publish::Batch::default();
        let mut progress = Progress::default();
        while self.peer().closing().is_none() {
            let rest = input.get(progress.used..).unwrap_or_default();
            let Some(first) = rest.first() else { break };
            if matches!(self.phase, Phase::AwaitingConnect { .. }) && !first.eq_ignore_ascii_case(&b'C') {
                self.refuse(ProtocolError::Authorization, CloseReason::AuthenticationViolation, turn);
                break;
            }
            match parse(rest, &self.limits) {
                Ok(Parsed::Op(op, used)) => {
                    progress.used += used;
                    self.operate(op, &mut batch, turn);
                }
                Ok(Parsed::Partial { total }) => {
                    progress.want = total;
                    break;
                }
                Err(problem) => {
                    self.unreadable(&problem, turn);
                    break;
                }
            }
        }
        self.count(batch, turn.now());
        progress
    }

    fn operate(&mut self, op: Op<'_>, batch: &mut publish::Batch, turn: &mut Turn) {
        match op {
            Op::Publish(message) => self.publish(message, batch, turn),
            Op::Subscribe { filter, queue, sid } => self.subscribe(filter, queue, sid, turn),
            Op::Unsubscribe { sid, max } => self.unsubscribe(sid, max, turn),
            Op::Ping => self.ping(turn),
            Op::Pong => self.pong(turn.now()),
            Op::Connect(json) => self.connect(json, turn),
            Op::Info | Op::Ok => {}
            Op::Err(_) => self.peer().close(CloseReason::ParseError),
        }
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
        match problem.answer() {
            Some(error) => self.refuse(error, reason, turn),
            None => self.peer().close(reason),
        }
    }

    /// Tells an error and closes.
    fn refuse(&mut self, error: ProtocolError, reason: CloseReason, turn: &mut Turn) {
        self.say_error(error.text(), turn);
        self.peer().close(reason);
    }

    fn say_error(&self, text: &str, turn: &mut Turn) {
        let mut bytes = Vec::with_capacity(text.len() + 9);
        encode::error(&mut bytes, text);
        turn.send(self.peer(), &bytes);
    }

    fn say_ok(&self, turn: &mut Turn) {
        if self.manner.verbose {
            turn.send(self.peer(), encode::OK);
        }
    }

    /// Takes its place in an account.
    fn enter(&mut self, place: Place) {
        if let Some(account) = &place.account {
            account.join();
        }
        self.session.peer.set_place(place.clone());
        self.place = place;
    }

    /// It is gone: nothing of it is left in its account.
    pub fn leave(&mut self) {
        let peer = &self.session.peer;
        peer.shut();
        peer.unsubscribe_all();
        if let Some(account) = self.place.account.take() {
            account.leave();
        }
        let reason = peer.closing().unwrap_or(CloseReason::ClientClosed);
        self.shared.registry.remove(&self.session, reason, 10_000);
    }
}

fn origin<'a>(session: &'a Session, place: &'a Place, echo: bool) -> Option<Origin<'a>> {
    Some(Origin { peer: &session.peer, account: place.account.as_ref()?, echo })
}
