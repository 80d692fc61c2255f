//! The client protocol: <https://docs.nats.io/reference/reference-protocols/nats-protocol>.
//!
//! [`parse`] takes the operation at the front of a buffer, [`usual_publish`] is its short cut for messages; [`encode`] holds what goes the other way, and [`delivery`]
//! reads that back.

pub mod delivery;
pub mod encode;
mod parse;
#[cfg(test)]
mod tests;

pub use parse::{Limits, Op, ParseError, Parsed, Publish, parse, usual_publish};
