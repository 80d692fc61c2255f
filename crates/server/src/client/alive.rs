//! PING and PONG: whether the client is there, and how far away.

use super::{Client, Phase};
use crate::clock;
use crate::connection_failures::LoginFailure;
use crate::log::Event;
use dialtone_broker::deliver::Turn;
use dialtone_wire::client::encode;
use dialtone_wire::{CloseReason, ProtocolError};
use std::time::{Duration, Instant};

/// The first PING comes early after CONNECT, to measure the round trip. The official server's figure.
const FIRST_PING: Duration = Duration::from_secs(2);
/// After this time the round trip is measured again, though the client is active.
const RTT_INTERVAL: Duration = Duration::from_secs(3600);

/// When the client was heard and asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alive {
    heard: Instant,
    /// None while a TLS handshake is to come: nothing may be said in plain before it.
    next_ping: Option<Instant>,
    /// When the PING was sent that is not answered yet, or whose answer gave the round trip.
    asked: Option<Instant>,
    measured: bool,
    pings_out: u32,
}

impl Alive {
    pub(super) fn new(now: Instant, ping_interval: Duration) -> Self {
        let next_ping = Some(now + ping_interval);
        Self { heard: now, next_ping, asked: None, measured: false, pings_out: 0 }
    }

    /// CONNECT has come: the first PING is due soon. `number` spreads those of clients that came together over a fifth of the time.
    pub(super) fn connected(&mut self, now: Instant, ping_interval: Duration, number: u64) {
        let spread = FIRST_PING / 5 * (number % 16) as u32 / 16;
        self.next_ping = Some(now + (FIRST_PING + spread).min(ping_interval));
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

impl Client {
    /// How often it is pinged while it is silent.
    pub(super) fn ping_interval(&self) -> Duration {
        self.policy.ping_interval_of(self.session.transport)
    }

    /// When [`Client::expire`] is to be called.
    pub fn deadline(&self) -> Option<Instant> {
        if self.peer().closing().is_some() {
            return None;
        }
        let connect = match self.phase {
            Phase::AwaitingConnect { until } | Phase::Checking { until } => Some(until),
            Phase::Open => None,
        };
        let write = self.write_deadline();
        let end = self.expiry.map(|(at, _)| at);
        connect.into_iter().chain(write).chain(self.alive.next_ping).chain(end).min()
    }

    /// Works out when its token or its account's is over: the earlier of the two counts.
    pub(super) fn set_expiry(&mut self, now: Instant) {
        let Some(claimed) = self.session.claimed() else {
            self.expiry = None;
            return;
        };
        let user = claimed.until.map(|second| (second, ProtocolError::AuthenticationExpired));
        let account = claimed.account_until.map(|second| (second, ProtocolError::AccountExpired));
        let first = user.into_iter().chain(account).min_by_key(|(second, _)| *second);
        self.expiry = first.map(|(second, error)| (clock::instant(second, now), error));
    }

    /// Whether a reload has let in who says nothing.
    fn is_let_in_meanwhile(&mut self, turn: &mut Turn) -> bool {
        if self.generation != self.node.settings.generation() {
            self.renew(turn.now());
        }
        !self.policy.auth_required(self.session.transport) && self.connect_without_credentials(turn)
    }

    /// Whether its time to show who it is is over.
    ///
    /// A check that has begun is not broken off: it takes as long as bcrypt, the resolver or the service may take.
    fn is_too_late(&mut self, turn: &mut Turn) -> bool {
        let now = turn.now();
        match self.phase {
            Phase::AwaitingConnect { until } => until <= now && !self.is_let_in_meanwhile(turn),
            Phase::Checking { until } if until <= now => {
                self.phase =
                    Phase::Checking { until: now + self.policy.auth_timeout_of(self.session.transport) };
                self.session.waits_its_turn()
            }
            Phase::Checking { .. } | Phase::Open => false,
        }
    }

    /// When the client has taken nothing for too long.
    fn write_deadline(&self) -> Option<Instant> {
        let limits = &self.policy.options.limits;
        let since = self.peer().blocked_since().filter(|_| !limits.write_retry)?;
        Some(since + limits.write_deadline)
    }

    /// The deadline has passed.
    pub fn expire(&mut self, turn: &mut Turn) {
        let now = turn.now();
        if let Some((at, error)) = self.expiry
            && at <= now
        {
            return self.refuse(error, CloseReason::AuthenticationExpired, turn);
        }
        if self.is_too_late(turn) {
            self.log(Event::AuthenticationTimeout, format_args!("Authentication Timeout"));
            self.node.connections.failures.count_failed_login(LoginFailure::Timeout);
            return self.refuse(
                ProtocolError::AuthenticationTimeout,
                CloseReason::AuthenticationTimeout,
                turn,
            );
        }
        if self.write_deadline().is_some_and(|at| at <= now) {
            return self.peer().close(CloseReason::SlowConsumerWriteDeadline);
        }
        if self.alive.next_ping.is_some_and(|at| at <= now) {
            self.ask(turn);
        }
    }

    /// The ping timer has run out: asks, unless the client was heard lately and its distance is known.
    fn ask(&mut self, turn: &mut Turn) {
        let now = turn.now();
        self.log(Event::Ping, format_args!("Client Ping Timer"));
        let interval = self.ping_interval();
        self.alive.next_ping = Some(now + interval);
        let measure = !self.alive.measured || self.alive.asked.is_none_or(|asked| now - asked > RTT_INTERVAL);
        if now.saturating_duration_since(self.alive.heard) < interval && !measure {
            return;
        }
        self.alive.pings_out += 1;
        if self.is_delayed() || self.is_checking() {
            // Its answers are not read. It is asked all the same: a write shows whether it is still there.
            self.alive.pings_out = 0;
        }
        if self.alive.pings_out > self.policy.options.limits.pings_out_max {
            self.log(Event::StaleConnection, format_args!("Stale Client Connection - Closing"));
            return self.refuse(ProtocolError::StaleConnection, CloseReason::StaleConnection, turn);
        }
        self.alive.asked = Some(now);
        if self.traced {
            self.log(Event::TraceOut, format_args!("->> [PING]"));
        }
        turn.send(self.peer(), encode::PING);
    }

    pub(super) fn pong(&mut self, now: Instant) {
        self.alive.pings_out = 0;
        if let Some(asked) = self.alive.asked {
            self.alive.measured = true;
            self.session.set_rtt(now.saturating_duration_since(asked).max(Duration::from_nanos(1)));
        }
    }

    pub(super) fn ping(&mut self, turn: &mut Turn) {
        if self.traced {
            self.log(Event::TraceOut, format_args!("->> [PONG]"));
        }
        turn.send(self.peer(), encode::PONG);
        if self.options.sent_connect && !self.options.got_info {
            self.options.got_info = true;
            if self.options.asynchronous_info {
                self.send_info(turn, true);
            }
        }
    }
}
