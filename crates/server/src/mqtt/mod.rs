//! Clients of MQTT: packets in, and what they ask for done with the loop's turn.
//!
//! `MqttConnection` reads packets. Until a client is let in, `connect` decides on its CONNECT, and `challenge` on what it signs. From then on a session engine without I/O (crate
//! `mqtt`) says what each packet means, and [`Effects`] does it: `publish`, `subscribe`. What it delivers with quality of service 0 are
//! subscriptions of the broker like any other. Sessions, and all of a higher quality of service, are in streams of the account, with which each
//! connection has a `conversation`: `session` begins and ends one, `ending` deletes what nothing is kept of, `mail` is what comes of it, `stored`
//! are messages that come so. `sweeping` removes sessions that
//! are over whose clients do not come.
//!
//! Invariants: of a stranger no more than one CONNECT is kept, and that is bounded; a topic is published or subscribed to only as a subject
//! that passed its gate; subjects that streams of MQTT use for themselves are nobody's; a session is read when the connection that had it
//! before has written or deleted it.

mod broker_topics;
mod challenge;
mod connect;
mod conversation;
mod driven;
mod effects;
mod ending;
mod farewell;
mod mail;
mod publish;
mod rates;
mod session;
mod stored;
mod subscribe;
mod sweeping;
mod traced;
mod will;

use crate::conduct::Conduct;
use crate::log::Event;
use crate::node::Node;
use crate::protocol::Progress;
use crate::registry::Session;
use connect::Asked;
use dialtone_broker::deliver::Turn;
use dialtone_broker::format::Format;
use dialtone_broker::peer::Peer;
use dialtone_mqtt::challenge::Challenges;
use dialtone_mqtt::{Connection as Engine, Ended};
use dialtone_wire::CloseReason;
use dialtone_wire::mqtt::{DecodeError, Limits, Packet, Parsed, Reason, Sender, Version, parse};
use effects::Effects;
use std::sync::Arc;
use std::time::Instant;
pub(crate) use sweeping::start;

/// Bytes of a CONNECT. It is kept while it is not whole, and while it is being checked.
const CONNECT_BYTES_MAX: usize = 96 * 1024;
/// Bytes of a topic and all else that a PUBLISH has beside its payload.
pub(crate) const PUBLISH_HEAD_BYTES_MAX: usize = 128 * 1024;
/// Filters in a packet.
const FILTERS_MAX: usize = 10_000;
/// User properties in a packet.
const USER_PROPERTIES_MAX: usize = 128;

/// A connection that speaks MQTT.
pub(crate) struct MqttConnection {
    effects: Effects,
    limits: Limits,
    state: State,
    challenges: Challenges,
}

/// How far it has come.
enum State {
    /// CONNECT has to come.
    Stranger,
    /// It has to sign what it was sent.
    Challenged(Box<Asked>),
    /// Its CONNECT is being checked, and nothing more is read meanwhile.
    Asking(Box<Asked>),
    /// It is let in, and has its client identifier when the connection ahead of it has left.
    Behind(Box<Asked>),
    /// Its session is being read.
    Opening(Box<Asked>),
    /// Its session goes on.
    In(Box<Engine>),
    /// It is over.
    Over,
}

impl MqttConnection {
    /// A client that has just connected.
    pub(crate) fn new(node: Arc<Node>, session: Arc<Session>, now: Instant) -> Self {
        session.peer.set_format(Format::Mqtt(Version::V311));
        session.peer.set_understands_headers(true);
        let mut conduct = Conduct::new(node, session, now);
        conduct.hold_pings();
        let limits = Limits {
            sender: Sender::Client,
            version: None,
            packet_bytes_max: CONNECT_BYTES_MAX,
            filters_max: FILTERS_MAX,
            user_properties_max: USER_PROPERTIES_MAX,
        };
        Self {
            effects: Effects::new(conduct),
            limits,
            state: State::Stranger,
            challenges: Challenges::default(),
        }
    }

    /// Whether it is not read until an answer has come: one to its CONNECT, SUBSCRIBE or UNSUBSCRIBE is sent before that to anything behind.
    fn is_waiting(&self) -> bool {
        match self.state {
            State::Asking(_) | State::Behind(_) | State::Opening(_) => true,
            State::In(_) => self.effects.is_waiting(),
            State::Stranger | State::Challenged(_) | State::Over => false,
        }
    }

    fn conduct(&self) -> &Conduct {
        &self.effects.conduct
    }

    fn peer(&self) -> &Arc<Peer> {
        self.effects.conduct.peer()
    }

    /// Takes all whole packets at the front of what came in.
    fn take(&mut self, input: &[u8], turn: &mut Turn) -> Progress {
        let conduct = &mut self.effects.conduct;
        conduct.heard(turn.now());
        if conduct.is_outdated() {
            conduct.renew();
            self.effects.take_limits(turn.now());
        }
        self.take_place(turn.now());
        let mut progress = Progress::default();
        if !self.conduct().is_certificate_checked() {
            return progress;
        }
        while !self.peer().is_closing() {
            let rest = input.get(progress.used..).unwrap_or_default();
            let is_held = self.is_waiting() || self.effects.delayed_until(turn.now()).is_some();
            if rest.is_empty() || is_held || matches!(self.state, State::Over) {
                break;
            }
            match parse(rest, &self.limits) {
                Ok(Parsed::Packet(packet, used)) => {
                    progress.used += used;
                    self.operate(&packet, rest.get(..used).unwrap_or_default(), turn);
                }
                Ok(Parsed::Partial { total }) => {
                    // Who is not in gets no room for more than what has come.
                    progress.want = if self.conduct().is_let_in() { total } else { 0 };
                    break;
                }
                Err(problem) => {
                    self.unreadable(problem, turn);
                    break;
                }
            }
        }
        self.effects.count(turn.now());
        progress
    }

    #[inline]
    fn operate(&mut self, packet: &Packet<'_>, bytes: &[u8], turn: &mut Turn) {
        if self.effects.conduct.traced {
            self.effects.trace_in(packet);
        }
        match (&self.state, packet) {
            (State::In(_), Packet::Auth(auth)) => return self.authenticate_again(auth, turn),
            (State::In(_), _) => {}
            (State::Challenged(_), _) => return self.answer_challenge(packet, turn),
            _ => return self.connect(packet, bytes, turn),
        }
        let now = turn.now();
        self.with_engine(turn, |engine, effects, turn| {
            let mut out = std::mem::take(&mut effects.out);
            let done = engine.receive(now, packet, &mut out, &mut |command| effects.carry_out(command, turn));
            effects.out = out;
            done
        });
    }

    /// Calls the session engine, then does what is left to be done, and sends what it said.
    fn with_engine(
        &mut self,
        turn: &mut Turn,
        call: impl FnOnce(&mut Engine, &mut Effects, &mut Turn) -> Result<(), Ended>,
    ) {
        let Self { effects, state, .. } = self;
        let State::In(engine) = state else { return };
        let mut done = call(engine, effects, turn);
        if done.is_ok() {
            effects.answer(engine, turn);
            effects.save_session(engine, turn);
            done = effects.take_refusal().map_or(Ok(()), |reason| Err(Ended::Refused(reason)));
        }
        effects.send_out(turn);
        if let Err(ended) = done {
            self.end(ended, turn);
        }
    }

    /// The connection ends, by what the client said or did.
    #[cold]
    fn end(&mut self, ended: Ended, turn: &mut Turn) {
        let State::In(engine) = std::mem::replace(&mut self.state, State::Over) else { return };
        let reason = match ended {
            Ended::Orderly | Ended::WithWill => CloseReason::ClientClosed,
            Ended::Refused(reason) => {
                self.effects.farewell(&engine, reason, turn);
                match reason {
                    Reason::KeepAliveTimeout => CloseReason::StaleConnection,
                    Reason::PacketTooLarge => CloseReason::MaxPayloadExceeded,
                    Reason::NotAuthorized => CloseReason::AuthenticationViolation,
                    Reason::SessionTakenOver => CloseReason::DuplicateClientId,
                    _ => CloseReason::ProtocolViolation,
                }
            }
        };
        self.peer().close(reason);
        self.effects.end_session(*engine, ended, turn);
    }

    /// The bytes are no packet.
    #[cold]
    fn unreadable(&mut self, problem: DecodeError, turn: &mut Turn) {
        self.conduct().log(Event::ProtocolError, format_args!("{problem}"));
        self.effects.why = Some(problem.to_string().into());
        match self.state {
            State::In(_) => self.end(Ended::Refused(problem.reason()), turn),
            _ => self.refuse_connect(problem, turn),
        }
    }

    /// Takes over its rights and limits, if they are others than before.
    fn take_place(&mut self, now: Instant) {
        if self.effects.conduct.take_place(now) {
            self.effects.take_limits(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MqttConnection;
    use super::conversation::Conversation;
    use dialtone_mqtt::Connection;

    /// Most connections are silent: what each of them has, whatever it does.
    #[test]
    fn a_connection_is_small() {
        let sizes = [size_of::<MqttConnection>(), size_of::<Conversation>(), size_of::<Connection>()];
        let most = [560, 936, 384];
        assert!(sizes.iter().zip(most).all(|(size, most)| *size <= most), "{sizes:?}");
    }
}
