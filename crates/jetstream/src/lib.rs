//! JetStream without I/O: the documents of its API, and streams and consumers as state machines.
//!
//! A stream and its consumers are one deterministic state machine over one ordered log of proposals. Time, randomness and ids come with
//! proposals; nothing here has a clock, a thread or a file.
#![forbid(unsafe_code)]

pub mod api;
pub mod archive;
pub mod backup;
mod bytes;
pub mod config;
pub mod consumer;
pub mod consumers;
pub mod error;
pub mod json;
pub mod memory;
pub mod messages;
pub mod official;
pub mod sourcing;
pub mod stream;
pub mod time;
