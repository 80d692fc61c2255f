//! What all connections have in common, whatever protocol they speak: how one gets in, how long it may stay, TLS and the proxy in front
//! of it, whether it is still there, what the log calls it, how it leaves.
//!
//! It says nothing to the other end. What is to be said comes back as an answer ([`Login`], [`Due`], [`Judged`]), and the protocol says it in its
//! own words. What limits allow a client is worked out here; rights and bytes of a protocol are not.

mod alive;
mod allowance;
mod certificate;
mod login;
mod message_trace;
mod servers;
mod slow;

pub(crate) use alive::Due;
pub(crate) use allowance::Allowance;
pub(crate) use certificate::Judged;
pub(crate) use login::{Claim, Login};
pub(crate) use message_trace::Tracing;

use crate::log::{Event, Level};
use crate::node::Node;
use crate::policy::{ListenerPolicy, Policy};
use crate::registry::Session;
use crate::system;
use crate::tls;
use crate::usage::{ConnectionState, CountFrom};
use alive::Alive;
use certificate::CertificateCheck;
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::{Peer, Place};
use dialtone_config::options::Tls;
use dialtone_identity::authenticator::Shown;
use dialtone_net::{Broken, FramingError, Secured};
use dialtone_wire::{CloseReason, ProtocolError};
use std::fmt::Arguments;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Why bytes that came instead of a TLS handshake are refused.
pub(crate) const NOT_TLS: &str = "first record does not look like a TLS handshake";

/// How long a connection is not read while it is being checked, unless an answer comes.
const CHECK_MAX: Duration = Duration::from_secs(60);

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has to say who it is, until then.
    AwaitingLogin { until: Instant },
    /// What it said is being checked; nothing more is read meanwhile. If that has not begun until then, it goes.
    Checking { until: Instant },
    /// It may do what its rights allow.
    Open,
}

/// TLS comes first: nothing is said or read before, and time for anything else begins behind it.
#[derive(Clone, Copy, Debug)]
struct Securing {
    /// Which end begins it.
    by: Handshake,
    /// It goes then. `None`: the event loop sees to that.
    until: Option<Instant>,
}

/// Which end begins TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// The other end.
    Accepted,
    /// This one: whose certificate is good was decided in the handshake.
    Dialed,
}

impl Phase {
    #[inline(always)]
    pub(crate) fn is_checking(self) -> bool {
        matches!(self, Self::Checking { .. })
    }
}

/// What a connection shows while it is being let in.
#[derive(Default)]
struct Proof {
    /// What it has shown that is being checked.
    presented: Option<Box<Shown>>,
    /// The account whose JWT was looked for last, by public key.
    looked_up: Option<Box<str>>,
    /// What another server has shown that was let in.
    let_in: Option<Box<Shown>>,
    /// It has been let in and is what it came for: what is checked now is whether it may stay.
    was_open: bool,
}

/// The conduct of one connection.
pub(crate) struct Conduct {
    pub(crate) node: Arc<Node>,
    pub(crate) policy: Arc<Policy>,
    generation: u32,
    pub(crate) session: Arc<Session>,
    pub(crate) place: Place,
    place_version: u32,
    /// The user as its rights call it; empty without users.
    pub(crate) user: Arc<str>,
    pub(crate) phase: Phase,
    securing: Option<Securing>,
    proof: Proof,
    /// When its JWT or its account's expires, and the error that it gets then.
    expiry: Option<(Instant, ProtocolError)>,
    alive: Alive,
    certificate_check: CertificateCheck,
    /// What it sends and gets is logged.
    pub(crate) traced: bool,
}

impl Conduct {
    /// Of a connection that has just come.
    pub(crate) fn new(node: Arc<Node>, session: Arc<Session>, now: Instant) -> Self {
        let generation = node.settings.generation();
        let policy = node.settings.policy();
        let listener = policy.of(session.listener());
        let phase = if policy.auth_required(session.listener()) {
            Phase::AwaitingLogin { until: now + listener.auth_timeout }
        } else {
            Phase::Open
        };
        let alive = Alive::new(now, listener.patience.ping_interval);
        let traced = node.log.is_on(Level::Trace);
        let conduct = Self {
            node,
            policy,
            generation,
            session,
            place: Place::default(),
            place_version: 0,
            user: "".into(),
            phase,
            securing: None,
            proof: Proof::default(),
            expiry: None,
            alive,
            certificate_check: CertificateCheck::default(),
            traced,
        };
        conduct.log(Event::ClientCreated, format_args!("Client connection created"));
        conduct
    }

    /// It is in, by what its protocol found out.
    pub(crate) fn open(&mut self, now: Instant) {
        self.phase = Phase::Open;
        self.proof.was_open = true;
        self.ping_soon(now);
    }

    /// Lets a connection in that need not say who it is.
    pub(crate) fn begin(&mut self, turn: &mut Turn) {
        if self.phase == Phase::Open {
            let version = (self.generation, self.node.version().1);
            self.enter(Place { account: Some(self.node.accounts.global.clone()), permissions: None }, turn);
            self.review(version, turn);
        }
    }

    /// Logs an event of this connection.
    pub(crate) fn log(&self, event: Event, text: Arguments<'_>) {
        if self.node.log.is_on(event.level()) {
            self.node.log.emit(event, &self.session.label(), text);
        }
    }

    /// The end of the connection.
    #[inline(always)]
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.session.peer
    }

    /// A proxy has said who the other end is.
    pub(crate) fn proxied(&self, source: Option<SocketAddr>) {
        if let Some(source) = source {
            self.session.set_remote(source);
        }
    }

    /// TLS is up.
    pub(crate) fn secured(&mut self, secured: Secured, turn: &mut Turn) {
        self.log(
            Event::TlsDone,
            format_args!(
                "TLS handshake complete, version {}, cipher suite {}",
                secured.version, secured.cipher_suite
            ),
        );
        self.alive = Alive::new(turn.now(), self.patience().ping_interval);
        self.session.set_secured(secured);
        let begun = self.securing.take();
        if matches!(self.phase, Phase::AwaitingLogin { .. }) {
            self.phase = Phase::AwaitingLogin { until: turn.now() + self.own_policy().auth_timeout };
        }
        if begun.is_some_and(|begun| begun.by == Handshake::Dialed) {
            return;
        }
        if self.is_pinned(Handshake::Accepted) {
            self.check_certificate(turn);
        }
    }

    /// Whether the certificate of the other end is one of those that are pinned, if any are and TLS is up. It is closed otherwise.
    pub(crate) fn is_pinned(&self, by: Handshake) -> bool {
        let profile = self.session.profile();
        let certificate = profile.certificate();
        let tls = self.policy.tls_of(self.session.listener());
        let is_pinned = profile.secured.is_none()
            || match by {
                Handshake::Accepted => tls.is_none_or(|tls| tls.is_pinned(certificate)),
                Handshake::Dialed => {
                    self.own_policy().dialing.usual().is_none_or(|tls| tls.is_pinned(certificate))
                }
            };
        self.stays_if(is_pinned)
    }

    /// The same of a connection that this end made, to a remote with a block of its own.
    pub(crate) fn is_pinned_by(&self, block: Option<&Tls>) -> bool {
        let profile = self.session.profile();
        let pins = block.map_or(&[][..], |tls| &tls.pinned_certs);
        self.stays_if(profile.secured.is_none() || tls::is_pinned(pins, profile.certificate()))
    }

    fn stays_if(&self, is_pinned: bool) -> bool {
        if !is_pinned {
            self.log(Event::TlsFailed, format_args!("certificate not pinned"));
            self.peer().close(CloseReason::TlsHandshake);
        }
        is_pinned
    }

    /// The connection broke.
    pub(crate) fn broken(&self, how: &Broken) {
        let reason = match how {
            Broken::Eof if self.is_securing() => self.no_tls("EOF"),
            Broken::Eof => CloseReason::ClientClosed,
            Broken::Read(_) => CloseReason::ReadError,
            Broken::Tls(why) => self.no_tls(why),
            Broken::Plain(_) => self.no_tls(NOT_TLS),
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

    /// Logs why TLS does not come about.
    pub(crate) fn no_tls(&self, why: &str) -> CloseReason {
        self.log(Event::TlsFailed, format_args!("TLS handshake error: {why}"));
        CloseReason::TlsHandshake
    }

    /// What the policy says of connections of its kind.
    pub(crate) fn own_policy(&self) -> &ListenerPolicy {
        self.policy.of(self.session.listener())
    }

    /// Whether another policy is in force than the one that it goes by.
    #[inline(always)]
    pub(crate) fn is_outdated(&self) -> bool {
        self.generation != self.node.settings.generation()
    }

    /// Goes by the policy that is in force.
    #[cold]
    pub(crate) fn renew(&mut self) {
        self.generation = self.node.settings.generation();
        self.policy = self.node.settings.policy();
        self.traced = self.node.log.is_on(Level::Trace);
    }

    /// Takes over its rights, if they are others than before. True if they are.
    #[inline]
    pub(crate) fn take_place(&mut self, now: Instant) -> bool {
        let is_other = self.place_version != self.peer().place_version();
        if is_other {
            self.place_version = self.peer().place_version();
            self.place = self.peer().place();
            if let Some(user) = self.session.user() {
                self.user = user;
            }
            self.set_expiry(now);
        }
        is_other
    }

    /// Whether it must not be read for now: what it said is being checked.
    pub(crate) fn is_checking(&self) -> bool {
        (self.phase.is_checking() || !self.is_certificate_checked()) && self.peer().closing().is_none()
    }

    /// Until when it is not read, if what it said is being checked. The answer wakes it before.
    pub(crate) fn checking_until(&self, now: Instant) -> Option<Instant> {
        self.is_checking().then(|| now + CHECK_MAX)
    }

    /// Whether it was let in. Of a stranger little is read at a time.
    pub(crate) fn is_let_in(&self) -> bool {
        self.phase == Phase::Open && !self.is_securing()
    }

    /// Takes its place in an account.
    pub(crate) fn enter(&mut self, place: Place, turn: &mut Turn) {
        if let Some(account) = &place.account {
            self.node.connections.registry.enter(self.session.peer.id, account.id);
            system::joined(&self.node, turn, account, account.join(self.peer().kind()));
        }
        self.session.set_user(&self.user);
        self.session.peer.set_place(place.clone());
        // Behind that: whoever switches usage on either is seen here, or finds the place.
        if self.node.connections.usage.is_on() {
            self.session.begin_use(turn.now(), CountFrom::Connect);
        }
        self.place_version = self.session.peer.place_version();
        self.place = place;
    }

    /// It is gone: nothing of it is left in its account.
    pub(crate) fn leave(&mut self, turn: &mut Turn) {
        let peer = &self.session.peer;
        let subscribed = turn.unsubscribe_all(peer);
        let reason = peer.closing().unwrap_or(CloseReason::ClientClosed);
        if self.node.connections.usage.is_on() {
            self.session.settle(&self.node.connections.usage, turn.now(), ConnectionState::Ended);
        }
        let account = self.place.account.take();
        let left = account.as_ref().map(|account| (account, account.leave(peer.kind())));
        if let Some((account, _)) = left.filter(|_| reason.is_slow_consumer()) {
            account.slow_consumers.fetch_add(1, Ordering::Relaxed);
        }
        system::left(&self.node, turn, &self.session, left, reason);
        self.count_end(reason);
        self.log(Event::ClientClosed, format_args!("Client connection closed: {}", reason.text()));
        let closed_max = self.policy.options.limits.closed_clients_max;
        self.node.connections.registry.remove(&self.session, reason, subscribed, closed_max);
    }
}
