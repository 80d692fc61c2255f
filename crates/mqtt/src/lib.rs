//! Sessions of MQTT 3.1, 3.1.1 and 5.0: a state machine without I/O, threads, clock or source of randomness.
//!
//! Begin with [`Connection`]: packets of a client go in by [`Connection::receive`], messages for it by [`Connection::deliver`], and what
//! was asked of the server comes back by [`Connection::stored`], [`Connection::granted`] and [`Connection::fetched`]. Out come bytes for the
//! client and [`Command`]s for the server. [`Session`] is what outlives a connection: subscriptions, and the messages in flight both ways.
//! [`agree`] decides on a CONNECT, and [`challenge`] on how a client shows by AUTH who it is. [`sn`] is a gateway of MQTT-SN, whose clients are such clients, too.
//!
//! A message in flight to a client is known by its place in the stream that holds it, and only there are its bytes. So a session is small,
//! and nothing of it has to be written for each message.
//!
//! [`talk`] is how a connection asks the streams of its account, [`record`] what they keep of a session, and [`sweep`] says which records are to go.
//!
//! Invariants: nothing is acknowledged to a client before the server has said that it is stored; whatever a client can make grow is bounded
//! by [`Options`]; an identifier is in use until the exchange that it names is over.
#![forbid(unsafe_code)]

mod agree;
mod alias;
pub mod challenge;
mod command;
mod connection;
pub mod headers;
mod incoming;
mod options;
mod outgoing;
pub mod record;
mod session;
pub mod sn;
pub mod streams;
mod subscriptions;
pub mod sweep;
pub mod talk;
mod will;

#[cfg(test)]
mod tests;

pub use agree::{Agreed, Keep, agree};
pub use command::{Command, Ended, Published, Ticket};
pub use connection::{Connection, Delivered, Message, Rest};
pub use options::Options;
pub use outgoing::Place;
pub use session::{Expiry, Session};
pub use subscriptions::{Subscribed, Wanted};
pub use will::OwnWill;
