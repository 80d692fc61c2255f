//! The server: it assembles accounts, connections, listeners and everything that watches them.
//!
//! Begin with [`Server::builder`]. A connection's life is in [`client`], what drives it in `driver`, what all threads
//! share in `shared`.
#![forbid(unsafe_code)]

mod builder;
pub mod client;
mod driver;
pub mod log;
pub mod registry;
mod settings;
pub mod shared;

pub use builder::{Builder, Server, StartError};
