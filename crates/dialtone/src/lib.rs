//! A messaging server that speaks the NATS protocols.
#![forbid(unsafe_code)]

pub mod bench;
