//! Event loops, one a core, and the transports they drive: TCP and Unix-domain sockets, TLS, the PROXY protocol; a thread for datagrams;
//! and the threads that they and the rest of a server run on.
//!
//! Begin with [`handler::Handler`], the face that a protocol shows to a loop, then [`event_loop`]: one turn reads every
//! ready connection once, lets the handler work and ends with the handler writing what the turn produced. A
//! [`link::Link`] is a connection as other threads may use it: to write, and to wake its owner.
//!
//! Invariants: a loop never blocks but in its poll; one read buffer a loop, none a connection; nothing here knows what
//! the bytes mean.
#![forbid(unsafe_code)]

pub mod address;
pub mod datagrams;
mod dial;
pub mod dtls;
pub mod event_loop;
pub mod framing;
pub mod handler;
mod inbox;
pub mod link;
pub mod listener;
mod pipe;
pub mod proxy;
mod socket;
pub mod threads;
mod tls;

pub use address::{Endpoint, ListenError};
pub use datagrams::{DatagramThread, Datagrams, Outlet};
pub use dial::{Dial, DialError, Origin};
pub use event_loop::{Loops, Readiness, Settings, SteppedLoop, Taker};
pub use framing::{Framed, Framing, FramingError};
pub use handler::{Accepted, Broken, Closing, Handler, HandshakeFirst, Received, Transport};
pub use inbox::Poster;
pub use link::Link;
pub use listener::Listener;
pub use pipe::PipeEnd;
pub use socket::{Carrier, Socket};
pub use threads::Threads;
pub use tls::{ClientTls, Secured};
