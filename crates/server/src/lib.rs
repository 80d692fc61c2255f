//! The server: it assembles accounts, connections, listeners and everything that watches them.
//!
//! Begin with [`Server::builder`]. A connection's life is in [`client`], what drives it in `driver`, what the
//! configuration means to it in [`policy`], of what parts it is made in [`node`].
#![forbid(unsafe_code)]
#![recursion_limit = "256"]

mod account_jwts;
mod accounts;
mod admission;
mod asked_here;
mod builder;
mod call;
mod callout;
pub mod client;
mod client_ids;
mod clock;
mod cluster;
mod compression;
mod conduct;
mod connection_failures;
mod connections;
mod delivery;
mod dialed;
mod dialer;
mod documents;
mod driver;
mod elsewhere;
pub mod explain;
mod explainer;
mod framing;
mod gateway;
pub mod gateways;
mod handover;
mod hub_link;
mod hubs;
pub mod internal;
mod jetstream;
mod leaf;
pub mod leafs;
mod lifecycle;
mod lines;
mod links;
mod listeners;
pub mod log;
mod machine;
mod monitor;
mod monitoring;
mod mqtt;
mod mqtt_sn;
pub mod node;
pub mod offline;
pub mod policy;
mod process;
mod profile;
mod protocol;
mod queues;
mod random;
mod rates;
pub mod rebalance;
mod refusal;
mod registry;
mod rejection;
mod relayed;
mod reload;
mod requests;
pub mod resolver;
mod review;
mod route;
pub mod routes;
mod session;
pub mod settings;
pub mod share;
mod sharing;
#[cfg(test)]
mod simulated;
#[cfg(any(test, fuzzing))]
pub mod stepped;
mod streams;
mod supercluster;
pub(crate) mod system;
mod times;
mod tls;
pub mod trust;
mod unclaimed;
mod usage;
mod verdict;
mod verifier;
#[cfg(test)]
#[path = "../tests/common/waiting.rs"]
mod waiting;
mod walk;
mod websocket;

pub use builder::{Builder, StartError};
pub use explainer::Explainer;
pub use lifecycle::Server;
pub use process::signal;
