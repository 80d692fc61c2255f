//! What a protocol must do to be driven by a loop.

use crate::dial::{DialError, Origin};

use crate::framing::FramingError;
use crate::link::Link;
use crate::tls::Secured;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection that has just come in.
pub struct Accepted {
    /// The connection itself.
    pub link: Arc<Link>,
    /// The other end; `None` for Unix-domain sockets and connections inside the process.
    pub remote: Option<SocketAddr>,
    /// How it came to be.
    pub origin: Origin,
    /// Whether a PROXY header may come and name another end.
    pub may_be_proxied: bool,
    /// This end has begun TLS, as its [`crate::Dial`] wants it: [`Handler::greet`] comes when TLS is up, and nothing may be written before.
    pub begins_tls: bool,
}

/// What stands between the socket and the protocol.
#[derive(Clone, Default)]
pub enum Transport {
    /// Nothing.
    #[default]
    Plain,
    /// TLS.
    Tls {
        /// Certificates and what is asked of the peer.
        config: Arc<rustls::ServerConfig>,
        /// Whether the greeting comes before or after the handshake.
        first: HandshakeFirst,
        /// How long the peer may take.
        timeout: Duration,
        /// Whether a peer that does not begin a handshake may go on in plain.
        plain_allowed: bool,
    },
}

/// Whether TLS begins before the protocol's greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFirst {
    /// The greeting comes first, in plain.
    No,
    /// The handshake comes first.
    Yes,
    /// The handshake comes first if the peer begins it within this time; else the greeting does.
    Within(Duration),
}

/// What came of bytes that were handed to a handler.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    /// Bytes that were used; the rest comes again, with more behind it.
    pub used: usize,
    /// Bytes that the rest will have when it is whole, if that is known.
    pub want: usize,
    /// Do not read before this time, unless the connection's owner is woken.
    pub pause: Option<Instant>,
    /// What was left may be used when the pause is over, without more behind it. A wake-up ends such a pause only if the
    /// handler says so.
    pub resume_after_pause: bool,
    /// Framing begins behind what was used ([`crate::Link::begin_framing_behind`]): the rest is frames.
    pub begins_framing: bool,
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// What waits is written first, for a moment at most.
    AfterFlush,
    /// At once.
    Now,
}

/// One loop's side of a protocol. Every call is made by the loop's own thread.
pub trait Handler: 'static {
    /// A connection's state. It stays with the loop that took the connection.
    type Connection: Send + 'static;
    /// What other threads hand it.
    type Post: Send + 'static;

    /// A turn begins.
    fn begin(&mut self, now: Instant);

    /// A connection has come in. `None` refuses it. Nothing may be written yet.
    fn open(&mut self, accepted: Accepted) -> Option<(Self::Connection, Transport)>;

    /// There is no connection: none of the addresses of the dial with this number answered.
    fn undialed(&mut self, number: u64, why: DialError);

    /// Another thread hands something over ([`crate::Poster`]).
    fn posted(&mut self, post: Self::Post);

    /// The connection can be written to: the protocol's own first bytes are due.
    fn greet(&mut self, connection: &mut Self::Connection);

    /// A PROXY header has come; `None`: the proxy speaks for itself.
    fn proxied(&mut self, connection: &mut Self::Connection, source: Option<SocketAddr>);

    /// TLS is up: the bytes from here on are encrypted.
    fn secured(&mut self, connection: &mut Self::Connection, secured: Secured);

    /// Bytes came in.
    fn receive(&mut self, connection: &mut Self::Connection, input: &[u8]) -> Received;

    /// Whether the other end has shown who it is. Until then it is read from in small pieces, and little of it is kept.
    fn is_authenticated(&self, connection: &Self::Connection) -> bool;

    /// When [`Handler::expire`] is to be called. Asked after each call that names the connection.
    fn deadline(&self, connection: &Self::Connection) -> Option<Instant>;

    /// The deadline has passed.
    fn expire(&mut self, connection: &mut Self::Connection);

    /// The connection takes more bytes. False if nothing is left to write.
    fn flush(&mut self, connection: &mut Self::Connection) -> bool;

    /// The connection woke its owner. True if bytes that were left unused may be used now.
    fn woken(&mut self, connection: &mut Self::Connection) -> bool;

    /// Whether and how the connection is to end. Asked when its owner is woken.
    fn closing(&self, connection: &Self::Connection) -> Option<Closing>;

    /// The other end closed the connection or broke it, or a handshake failed.
    fn broken(&mut self, connection: &mut Self::Connection, how: Broken);

    /// The connection is gone.
    fn closed(&mut self, connection: Self::Connection);

    /// The turn ends: everything it produced is to be written. Whether there is more to do: then the next turn begins at once.
    fn finish(&mut self) -> bool;

    /// Nothing has happened for a while.
    fn idle(&mut self);
}

/// How a connection broke.
#[derive(Debug)]
pub enum Broken {
    /// The other end closed it.
    Eof,
    /// Reading failed.
    Read(std::io::Error),
    /// The TLS handshake failed or took too long, or a record could not be read.
    Tls(String),
    /// Where TLS has to begin came something else, which begins with this.
    Plain(Vec<u8>),
    /// The PROXY header was not one.
    Proxy(String),
    /// What came was no frames, or one that is too large.
    Framing(FramingError),
}
