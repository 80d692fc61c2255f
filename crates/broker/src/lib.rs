//! Who gets a message: accounts, interest, permissions, queue choice and delivery into outboxes.
//!
//! Begin with [`deliver::Turn`]: one turn of a loop stages messages per peer and writes them at its end. A
//! [`peer::Peer`] is the end of one connection, an [`account::Account`] a space of subjects, a [`route::Route`] what
//! the two make of one subject.
//!
//! Invariants: no sockets (bytes go to a [`outbox::Sink`]), no clock and no random source (times and a seed come in), no codec but in [`format`]. Locks
//! are leaves: an account's interest, a peer's outbox and a peer's subscriptions are never held together.
#![forbid(unsafe_code)]

mod charged;
pub mod connection_info;
pub mod deliver;
pub mod explain;
pub mod format;
mod graph;
mod id;
mod intake;
pub mod kind;
pub mod outbox;
pub mod permission;
pub mod random;
pub mod rate;
mod replies;
pub mod reserved;
pub mod route;
mod sampling_rule;
pub mod stats;
pub mod trace;

pub use graph::{account, assumed, gateways, inlet, lookout, peer, relay, returns, sharing, subscription};
