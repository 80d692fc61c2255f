//! The server: it assembles accounts, connections, listeners and everything that watches them.
//!
//! Begin with [`Server::builder`]. A connection's life is in [`client`], what drives it in `driver`, what the
//! configuration means to it in [`policy`], what all threads share in [`shared`].
#![forbid(unsafe_code)]
#![recursion_limit = "256"]

mod builder;
mod call;
mod callout;
pub mod client;
mod clock;
mod connection_failures;
mod driver;
pub mod explain;
mod explainer;
pub mod internal;
mod lifecycle;
pub mod log;
mod monitor;
pub mod policy;
mod process;
mod queues;
mod rates;
mod refusal;
pub mod registry;
mod rejection;
mod reload;
mod review;
pub mod share;
pub mod shared;
mod sharing;
#[cfg(test)]
mod simulated;
pub(crate) mod system;
mod times;
mod tls;
mod transport;
pub mod trust;
mod usage;
mod verdict;
mod verifier;
mod websocket;

pub use builder::{Builder, StartError};
pub use explainer::Explainer;
pub use lifecycle::Server;
pub use process::signal;
