//! What a protocol does to be spoken on a connection. An event loop makes one call for what it has read, not one for each message.

use crate::conduct::Conduct;
use crate::log::Event;
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Peer;
use dialtone_net::{Broken, Closing, Link, Secured};
use dialtone_wire::CloseReason;
use dialtone_wire::client::encode;
use std::fmt::Arguments;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// What came of a turn's bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Bytes used.
    pub used: usize,
    /// Bytes that the operation at the end will have, if known.
    pub want: usize,
    /// Nothing is to be read before then, unless the connection is woken.
    pub pause: Option<Instant>,
    /// What is left may be used behind the pause without more.
    pub resumes: bool,
    /// The protocol is over: its successor takes its place.
    pub is_over: bool,
    /// What follows what was used is in frames.
    pub begins_framing: bool,
}

/// One connection's side of a protocol.
pub(crate) trait Protocol: Send {
    /// The end of the connection, if it is anybody's yet.
    fn peer(&self) -> Option<&Arc<Peer>>;

    /// A TLS handshake is to come before anything may be said.
    fn expect_handshake(&mut self) {}

    /// A PROXY header may come and name another address than the socket's.
    fn expect_header(&mut self) {}

    /// There are enough TLS handshakes in this second: it gets an error and is closed.
    fn throttle(&mut self) {}

    /// What is to be said first.
    fn greet(&mut self, turn: &mut Turn);

    /// A proxy has said who the other end is.
    fn proxied(&mut self, source: Option<SocketAddr>);

    /// TLS is up.
    fn secured(&mut self, secured: Secured, turn: &mut Turn);

    /// Bytes came in. Uses all that is whole at their front.
    fn receive(&mut self, input: &[u8], turn: &mut Turn) -> Progress;

    /// What the connection is when the protocol is over.
    fn successor(&mut self, turn: &mut Turn) -> Option<Box<dyn Protocol>> {
        let _ = turn;
        None
    }

    /// Whether it was let in. Of a stranger little is read at a time.
    fn is_let_in(&self) -> bool;

    /// When [`Protocol::expire`] is to be called.
    fn deadline(&self) -> Option<Instant>;

    /// The deadline has passed.
    fn expire(&mut self, turn: &mut Turn);

    /// Another thread has something for it. True if it may go on after a pause.
    fn woken(&mut self, turn: &mut Turn) -> bool;

    /// Whether and how it is to end.
    fn closing(&self) -> Option<Closing> {
        let reason = self.peer()?.closing()?;
        Some(match reason {
            CloseReason::WriteError
            | CloseReason::SlowConsumerPendingBytes
            | CloseReason::SlowConsumerWriteDeadline => Closing::Now,
            _ => Closing::AfterFlush,
        })
    }

    /// The connection broke.
    fn broken(&mut self, how: &Broken);

    /// The connection is gone: nothing of it is left.
    fn leave(&mut self, turn: &mut Turn);
}

/// Logs what is sent, where that is asked for.
pub(crate) fn trace_out(conduct: &Conduct, what: Arguments<'_>) {
    if conduct.traced {
        conduct.log(Event::TraceOut, format_args!("->> [{what}]"));
    }
}

/// Sends -ERR, in which clients and servers say it alike.
pub(crate) fn send_error(conduct: &Conduct, text: &str, turn: &mut Turn) {
    let mut bytes = Vec::with_capacity(text.len() + 9);
    encode::error(&mut bytes, text);
    trace_out(conduct, format_args!("-ERR {text}"));
    turn.send(conduct.peer(), &bytes);
}

/// Sends PING.
pub(crate) fn send_ping(conduct: &Conduct, turn: &mut Turn) {
    trace_out(conduct, format_args!("PING"));
    turn.send(conduct.peer(), encode::PING);
}

/// Answers PING.
pub(crate) fn send_pong(conduct: &Conduct, turn: &mut Turn) {
    trace_out(conduct, format_args!("PONG"));
    turn.send(conduct.peer(), encode::PONG);
}

/// A connection: its protocol, and the link if frames stand between the two.
pub(crate) struct Connection {
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) framed: Option<Arc<Link>>,
}

impl Connection {
    /// One whose bytes are those of the protocol.
    pub(crate) fn new(protocol: Box<dyn Protocol>) -> Self {
        Self { protocol, framed: None }
    }
}
