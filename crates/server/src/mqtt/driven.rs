//! What an event loop has a client of MQTT do.

use super::farewell::broken;
use super::{MqttConnection, State};
use crate::conduct::{Due, Handshake, Judged};
use crate::protocol::{Progress, Protocol};
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Peer;
use dialtone_mqtt::Ended;
use dialtone_net::{Broken, Secured};
use dialtone_wire::mqtt::{Reason, Version};
use dialtone_wire::{CloseReason, ProtocolError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a connection is not read while streams are asked, unless an answer comes. Requests have less time.
const WAITING_MAX: Duration = Duration::from_secs(3600);

impl Protocol for MqttConnection {
    fn peer(&self) -> Option<&Arc<Peer>> {
        Some(self.effects.conduct.peer())
    }

    fn expect_handshake(&mut self) {
        self.effects.conduct.expect_handshake(Handshake::Accepted, None);
    }

    /// There are enough TLS handshakes in this second. A client that has said nothing cannot be answered.
    fn throttle(&mut self) {
        self.effects.conduct.peer().close(CloseReason::MaxConnectionsExceeded);
    }

    /// The client speaks first.
    fn greet(&mut self, turn: &mut Turn) {
        let conduct = &self.effects.conduct;
        let max = conduct.policy.options.limits.connections_max;
        if max > 0 && conduct.node.connections.registry.len() > max {
            self.refuse_login(
                ProtocolError::ServerConnectionsExceeded,
                CloseReason::MaxConnectionsExceeded,
                turn,
            );
        }
    }

    fn proxied(&mut self, source: Option<SocketAddr>) {
        self.effects.conduct.proxied(source);
    }

    fn secured(&mut self, secured: Secured, turn: &mut Turn) {
        self.effects.conduct.secured(secured, turn);
        self.effects.conduct.hold_pings();
    }

    fn receive(&mut self, input: &[u8], turn: &mut Turn) -> Progress {
        let mut progress = self.take(input, turn);
        let waiting = self.is_waiting().then(|| turn.now() + WAITING_MAX);
        progress.pause = self.effects.conduct.checking_until(turn.now()).or(waiting);
        if let Some(until) = self.effects.delayed_until(turn.now()) {
            progress.pause = progress.pause.max(Some(until));
            progress.resumes = waiting.is_none();
            // What it says meanwhile is not heard.
            if let State::In(engine) = &mut self.state {
                engine.hear(until);
            }
        }
        progress
    }

    fn is_let_in(&self) -> bool {
        self.effects.conduct.is_let_in()
    }

    fn deadline(&self) -> Option<Instant> {
        let silence = match &self.state {
            State::In(engine) if self.peer().closing().is_none() => engine.deadline(),
            _ => None,
        };
        let streams = self.effects.conversation.as_ref().and_then(|of| of.deadline());
        // Its loop reads what has come ahead of that, which may be DISCONNECT, before it looks at the clock.
        let displaced = self.conduct().session.is_displaced().then_some(self.peer().start);
        self.effects.conduct.deadline().into_iter().chain(silence).chain(streams).chain(displaced).min()
    }

    fn expire(&mut self, turn: &mut Turn) {
        if let State::In(engine) = &self.state
            && let Err(ended) = engine.expire(turn.now())
        {
            return self.end(ended, turn);
        }
        if self.conduct().session.is_displaced() {
            return self.peer().close(CloseReason::DuplicateClientId);
        }
        self.expire_requests(turn);
        match self.effects.conduct.expire(false, turn) {
            Due::Nothing | Due::LetIn | Due::Ping => {}
            Due::Refused(_, reason) => self.peer().close(reason),
        }
    }

    fn woken(&mut self, turn: &mut Turn) -> bool {
        if self.peer().is_closing() {
            self.end_closed(turn);
            return false;
        }
        self.take_place(turn.now());
        let judged = self.effects.conduct.take_judgement(turn);
        let was_waiting = self.is_waiting();
        let is_good = self.take_verdicts(turn) || matches!(judged, Judged::Good { .. });
        self.look_ahead(turn);
        self.take_mail(turn);
        is_good || was_waiting && !self.is_waiting()
    }

    fn broken(&mut self, how: &Broken) {
        self.effects.conduct.broken(how);
    }

    fn leave(&mut self, turn: &mut Turn) {
        let peer = self.effects.conduct.peer().clone();
        self.end_closed(turn);
        self.effects.end_conversation(turn);
        peer.shut();
        self.effects.release();
        self.effects.conduct.leave(turn);
    }
}

impl MqttConnection {
    /// The connection ends, by what others did or by itself: an MQTT 5 client is told why, if there is somebody to be told.
    fn end_closed(&mut self, turn: &mut Turn) {
        let State::In(engine) = std::mem::replace(&mut self.state, State::Over) else { return };
        let reason = self.peer().closing().unwrap_or(CloseReason::ClientClosed);
        let ended = broken(reason);
        if let Ended::Refused(why) = ended
            && why != Reason::UnspecifiedError
        {
            self.effects.farewell(&engine, why, turn);
        }
        // Who takes over a client identifier goes on with its session. Before MQTT 5 no will is published then, as officially.
        let is_silent = reason == CloseReason::DuplicateClientId && self.effects.version != Version::V5;
        let ended = if is_silent { Ended::Orderly } else { ended };
        self.effects.end_session(*engine, ended, turn);
    }
}
