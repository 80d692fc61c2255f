//! What a loop keeps of each connection.

use super::dialing::Attempt;
use super::kept::Kept;
use crate::handler::{HandshakeFirst, Received, Transport};
use crate::link::Link;
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Instant;

/// A place in a loop's table.
pub(super) enum Slot<C> {
    Free,
    Open(Entry<C>),
    /// It is being connected.
    Dialing(Attempt),
    /// Its protocol has ended; what it still sends is thrown away for a moment.
    Lingering(Lingering),
}

/// A connection that has been told that nothing more comes.
pub(super) struct Lingering {
    pub(super) link: Arc<Link>,
    pub(super) until: Instant,
    pub(super) serial: u32,
}

/// What the next bytes of a connection are.
pub(super) enum Stage {
    /// The protocol's, or TLS records that hold them.
    Open,
    /// A TLS handshake's first. With `greet_at`, the greeting is still due then.
    Await {
        config: Arc<ServerConfig>,
        until: Instant,
        plain_allowed: bool,
        greet_at: Option<Instant>,
        greeted: bool,
    },
    /// More of a TLS handshake.
    Handshake { until: Instant, greeted: bool },
}

impl Stage {
    /// The stage that a transport begins with; whether the greeting is due at once.
    pub(super) fn of(transport: Transport, now: Instant) -> (Self, bool) {
        match transport {
            Transport::Plain => (Self::Open, true),
            Transport::Tls { config, first, timeout, plain_allowed } => {
                let greeted = first == HandshakeFirst::No;
                let greet_at = match first {
                    HandshakeFirst::Within(delay) => Some(now + delay),
                    HandshakeFirst::No | HandshakeFirst::Yes => None,
                };
                let plain_allowed = plain_allowed && first != HandshakeFirst::Yes;
                (Self::Await { config, until: now + timeout, plain_allowed, greet_at, greeted }, greeted)
            }
        }
    }

    /// Whether nothing goes on without a TLS handshake that is still to be made.
    pub(super) fn needs_tls(&self) -> bool {
        matches!(self, Self::Await { plain_allowed: false, .. } | Self::Handshake { .. })
    }

    /// When the stage has to be looked at.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Open => None,
            Self::Await { until, greet_at, .. } => Some(greet_at.map_or(*until, |at| at.min(*until))),
            Self::Handshake { until, .. } => Some(*until),
        }
    }
}

/// Where a connection is in its life.
pub(super) enum Life {
    Open,
    /// It is written to, not read, until then.
    Flushing(Instant),
}

/// How long a connection is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) until: Instant,
    /// Behind it, what is left is used before more is read. A wake-up ends it only if the handler says so.
    pub(super) resumes: bool,
}

impl Pause {
    /// What a handler asks for.
    pub(super) fn of(received: &Received) -> Option<Self> {
        Some(Self { until: received.pause?, resumes: received.resume_after_pause })
    }

    /// Two that came one after the other.
    pub(super) fn both(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
        Some(Self { until: a.until.max(b.until), resumes: a.resumes || b.resumes })
    }
}

/// A connection.
pub(super) struct Entry<C> {
    pub(super) link: Arc<Link>,
    pub(super) connection: C,
    /// A PROXY header may still come before anything else; something must, until then.
    pub(super) header_until: Option<Instant>,
    pub(super) stage: Stage,
    pub(super) life: Life,
    pub(super) kept: Kept,
    /// Bytes in frames that were read and wait to be decoded: it paused, or this turn had enough of it.
    pub(super) undecoded: Vec<u8>,
    /// Its protocol knows who it is: it is read from in large pieces.
    pub(super) known: bool,
    /// More may be there to read than was read.
    pub(super) readable: bool,
    /// It stands in the list of those that are read next turn.
    pub(super) listed: bool,
    pub(super) read_closed: bool,
    pub(super) pause: Option<Pause>,
    pub(super) timer: Option<Instant>,
    /// Tells this connection from an earlier one in the same place.
    pub(super) serial: u32,
}
