//! What an event loop has a client do.

use super::Client;
use crate::conduct::{Due, Handshake, Judged};
use crate::protocol::{Progress, Protocol, send_ping};
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Peer;
use dialtone_net::{Broken, Secured};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

impl Protocol for Client {
    fn peer(&self) -> Option<&Arc<Peer>> {
        Some(self.conduct.peer())
    }

    fn expect_handshake(&mut self) {
        self.conduct.expect_handshake(Handshake::Accepted, None);
    }

    fn expect_header(&mut self) {
        self.arrival.may_be_proxied = true;
    }

    fn throttle(&mut self) {
        self.arrival.throttled = true;
    }

    fn greet(&mut self, turn: &mut Turn) {
        self.send_greeting(turn);
    }

    fn proxied(&mut self, source: Option<SocketAddr>) {
        self.conduct.proxied(source);
    }

    fn secured(&mut self, secured: Secured, turn: &mut Turn) {
        self.conduct.secured(secured, turn);
    }

    fn receive(&mut self, input: &[u8], turn: &mut Turn) -> Progress {
        let mut progress = self.take(input, turn);
        progress.pause = self.conduct.checking_until(turn.now()).or(progress.pause);
        if let Some(until) = self.delayed_until() {
            progress.pause = progress.pause.max(Some(until));
            progress.resumes = true;
        }
        progress
    }

    fn is_let_in(&self) -> bool {
        self.conduct.is_let_in()
    }

    fn deadline(&self) -> Option<Instant> {
        self.conduct.deadline()
    }

    fn expire(&mut self, turn: &mut Turn) {
        match self.conduct.expire(self.is_delayed(), turn) {
            Due::Nothing => {}
            Due::LetIn => self.take_limits(turn.now()),
            Due::Ping => send_ping(&self.conduct, turn),
            Due::Refused(error, reason) => self.refuse(error, reason, turn),
        }
    }

    fn woken(&mut self, turn: &mut Turn) -> bool {
        let was_delayed = self.is_delayed();
        if was_delayed && self.conduct.is_outdated() {
            self.renew(turn.now());
        }
        self.take_place(turn.now());
        let judged = self.conduct.take_judgement(turn);
        if judged == (Judged::Good { greet: true }) {
            self.send_greeting(turn);
        }
        let is_good = matches!(judged, Judged::Good { .. });
        self.take_verdicts(turn) || is_good || (was_delayed && !self.is_delayed())
    }

    fn broken(&mut self, how: &Broken) {
        self.conduct.broken(how);
    }

    fn leave(&mut self, turn: &mut Turn) {
        let peer = self.conduct.peer();
        peer.shut();
        if self.conduct.traced {
            peer.subscriptions().iter().for_each(|subscription| self.trace_gone(subscription.sid()));
        }
        self.conduct.leave(turn);
    }
}
