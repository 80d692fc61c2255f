//! A gateway of MQTT-SN 1.2: clients that speak in datagrams, each of which is an ordinary MQTT 5 client to the server. A state machine without
//! I/O, clock or source of randomness.
//!
//! Begin with [`Gateway`]: datagrams go in by [`Gateway::datagram`] and bytes of the server by [`Gateway::server`]; what is to be done comes out as
//! [`Action`]s. For each client that connects the gateway opens a connection to the server and speaks MQTT by it, so that sessions, rights and
//! streams are those of every client; all that MQTT does not know is kept here: numbers of topics, what waits for a client that sleeps,
//! what was sent and is not acknowledged, and wills, which a client may change.
//!
//! Invariants: nothing is acknowledged to a client before the server has acknowledged it; whatever a client can make grow is bounded by
//! [`Options`]; what is kept of an address that is not connected is bounded for all of them together, and is told at most as many bytes as
//! it sent.

mod action;
mod client;
mod gateway;
mod identities;
mod options;
mod publisher;
mod queue;
mod registry;
mod topics;
mod will;

#[cfg(test)]
mod tests;

pub use action::{Action, Link};
pub use gateway::Gateway;
pub use identities::{Identities, Identity};
pub use options::{InvalidPredefined, Options, Predefined};
