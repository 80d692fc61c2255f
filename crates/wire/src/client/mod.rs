//! The client protocol: <https://docs.nats.io/reference/reference-protocols/nats-protocol>.
//!
//! [`parse`] takes the operation at the front of a buffer, [`usual_publish`] is its short cut for messages, and [`Unfinished`] is what
//! is known of an operation between two reads; [`encode`] holds what goes the other way, and [`delivery`] reads that back.

#[cfg(test)]
mod bounds_tests;
pub mod encode;
mod parse;
#[cfg(test)]
mod tests;
mod unfinished;

pub use parse::{Limits, Op, ParseError, Parsed, parse, usual_publish};
pub use unfinished::Unfinished;
