//! A messaging server that speaks the NATS protocols.
#![forbid(unsafe_code)]

pub mod bench;
pub mod serve;

pub use dialtone_server::{Builder, Server, StartError};
