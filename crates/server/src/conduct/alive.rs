//! Whether a connection is there, and how far away; and when its time is over.

use super::{Claim, Conduct, Handshake, Login, Phase, Securing};
use crate::clock;
use crate::connection_failures::LoginFailure;
use crate::log::Event;
use crate::policy::Patience;
use dialtone_broker::deliver::Turn;
use dialtone_wire::{CloseReason, ProtocolError};
use std::time::{Duration, Instant};

/// The first PING comes early after CONNECT, to measure the round trip. The official server's figure.
const FIRST_PING: Duration = Duration::from_secs(2);
/// The same of other servers. The official server's figure.
const FIRST_PING_OF_SERVERS: Duration = Duration::from_secs(1);
/// After this time the round trip is measured again, though the client is active.
const RTT_INTERVAL: Duration = Duration::from_secs(3600);

/// What is to be said to a connection whose deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing.
    Nothing,
    /// It is let in, as a reload wants it.
    LetIn,
    /// It is asked whether it is there.
    Ping,
    /// This error, and then it is closed.
    Refused(ProtocolError, CloseReason),
}

/// When the connection was heard and asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alive {
    heard: Instant,
    /// None while something else has to be said before, or a TLS handshake made.
    next_ping: Option<Instant>,
    /// When the PING was sent that is not answered yet, or whose answer gave the round trip.
    asked: Option<Instant>,
    measured: bool,
    pings_out: u32,
    /// Since when it was slow when that was last reported, of one that is kept.
    pub(super) slow_reported: Option<Instant>,
}

impl Alive {
    pub(super) fn new(now: Instant, ping_interval: Duration) -> Self {
        let next_ping = Some(now + ping_interval);
        Self { heard: now, next_ping, asked: None, measured: false, pings_out: 0, slow_reported: None }
    }

    /// CONNECT has come: the first PING is due soon. `number` spreads those of who came together over a fifth of the time.
    pub(super) fn connected(&mut self, now: Instant, first: Duration, ping_interval: Duration, number: u64) {
        let spread = first / 5 * (number % 16) as u32 / 16;
        self.next_ping = Some(now + (first + spread).min(ping_interval));
    }

    /// A TLS handshake comes first.
    pub(super) fn hold(&mut self) {
        self.next_ping = None;
    }

    #[inline]
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }
}

impl Conduct {
    /// How long it is kept while it is silent or slow.
    pub(super) fn patience(&self) -> &Patience {
        &self.own_policy().patience
    }

    /// It was heard.
    #[inline]
    pub(crate) fn heard(&mut self, now: Instant) {
        self.alive.heard(now);
    }

    /// A TLS handshake is to come: no PING before it, and who has to say who it is has its time behind it. `until`: when it goes, where the
    /// event loop does not see to that.
    pub(crate) fn expect_handshake(&mut self, by: Handshake, until: Option<Instant>) {
        self.alive.hold();
        self.securing = Some(Securing { by, until });
    }

    /// It is not asked whether it is there before it has said who it is.
    pub(crate) fn hold_pings(&mut self) {
        self.alive.hold();
    }

    /// Whether it waits for TLS.
    pub(crate) fn is_securing(&self) -> bool {
        self.securing.is_some()
    }

    /// It has said who it is: the first PING is due soon.
    pub(crate) fn ping_soon(&mut self, now: Instant) {
        let first = if self.peer().kind().is_relay() { FIRST_PING_OF_SERVERS } else { FIRST_PING };
        self.alive.connected(now, first, self.patience().ping_interval, self.session.peer.id.0);
    }

    /// It was sent PING apart from those that are due.
    pub(crate) fn pinged(&mut self, now: Instant) {
        self.alive.asked = Some(now);
    }

    /// It has answered a PING.
    pub(crate) fn pong(&mut self, now: Instant) {
        self.alive.pings_out = 0;
        if let Some(asked) = self.alive.asked {
            self.alive.measured = true;
            self.session.set_rtt(now.saturating_duration_since(asked).max(Duration::from_nanos(1)));
        }
    }

    /// When [`Conduct::expire`] is to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.peer().closing().is_some() {
            return None;
        }
        let login = match self.phase {
            _ if self.is_securing() => self.securing.and_then(|securing| securing.until),
            Phase::AwaitingLogin { until } | Phase::Checking { until } => Some(until),
            Phase::Open => None,
        };
        let write = self.write_deadline();
        let end = self.expiry.map(|(at, _)| at);
        login.into_iter().chain(write).chain(self.alive.next_ping).chain(end).min()
    }

    /// Works out when its JWT or its account's is over: the earlier of the two counts.
    pub(crate) fn set_expiry(&mut self, now: Instant) {
        let Some(claimed) = self.session.claimed() else {
            self.expiry = None;
            return;
        };
        let user = claimed.until.map(|second| (second, ProtocolError::AuthenticationExpired));
        let account = claimed.account_until.map(|second| (second, ProtocolError::AccountExpired));
        let first = user.into_iter().chain(account).min_by_key(|(second, _)| *second);
        self.expiry = first.map(|(second, error)| (clock::instant(second, now), error));
    }

    /// The deadline has passed. `is_unread`: what it says is not read for now, so it cannot answer.
    pub(crate) fn expire(&mut self, is_unread: bool, turn: &mut Turn) -> Due {
        let now = turn.now();
        if let Some((at, error)) = self.expiry
            && at <= now
        {
            return Due::Refused(error, CloseReason::AuthenticationExpired);
        }
        if self.securing.and_then(|securing| securing.until).is_some_and(|until| until <= now) {
            let reason = self.no_tls("the handshake took too long");
            self.peer().close(reason);
            return Due::Nothing;
        }
        match self.phase {
            _ if self.is_securing() => {}
            Phase::AwaitingLogin { until } if until <= now => return self.end_wait(turn),
            // A check that has begun is not broken off: it takes as long as bcrypt, the resolver or the service may take.
            Phase::Checking { until } if until <= now => {
                let until = now + self.own_policy().auth_timeout;
                self.phase = Phase::Checking { until };
                if self.session.waits_its_turn() {
                    return self.time_out();
                }
            }
            Phase::AwaitingLogin { .. } | Phase::Checking { .. } | Phase::Open => {}
        }
        if self.find_slow(turn) {
            return Due::Nothing;
        }
        if self.alive.next_ping.is_some_and(|at| at <= now) {
            return self.ask(is_unread, now);
        }
        Due::Nothing
    }

    /// Its time to say who it is is over, unless a reload has let in who says nothing.
    fn end_wait(&mut self, turn: &mut Turn) -> Due {
        if self.is_outdated() {
            self.renew();
        }
        if self.policy.auth_required(self.session.listener()) {
            return self.time_out();
        }
        self.present_nothing();
        match self.authenticate(&Claim::default(), turn) {
            Login::In => Due::LetIn,
            Login::Refused(error, reason) => Due::Refused(error, reason),
            Login::Nothing | Login::Waiting => self.time_out(),
        }
    }

    fn time_out(&self) -> Due {
        self.log(Event::AuthenticationTimeout, format_args!("Authentication Timeout"));
        self.node.connections.failures.count_failed_login(LoginFailure::Timeout);
        Due::Refused(ProtocolError::AuthenticationTimeout, CloseReason::AuthenticationTimeout)
    }

    /// The ping timer has run out: asks, unless it was heard lately and its distance is known.
    fn ask(&mut self, is_unread: bool, now: Instant) -> Due {
        self.log(Event::Ping, format_args!("Client Ping Timer"));
        let interval = self.patience().ping_interval;
        self.alive.next_ping = Some(now + interval);
        let measure = !self.alive.measured || self.alive.asked.is_none_or(|asked| now - asked > RTT_INTERVAL);
        if now.saturating_duration_since(self.alive.heard) < interval && !measure {
            return Due::Nothing;
        }
        self.alive.pings_out += 1;
        if is_unread || self.is_checking() {
            // Its answers are not read. It is asked all the same: a write shows whether it is still there.
            self.alive.pings_out = 0;
        }
        if self.alive.pings_out > self.patience().pings_out_max {
            self.log(Event::StaleConnection, format_args!("Stale Client Connection - Closing"));
            return Due::Refused(ProtocolError::StaleConnection, CloseReason::StaleConnection);
        }
        self.alive.asked = Some(now);
        Due::Ping
    }
}
