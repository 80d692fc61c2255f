//! The client protocol: <https://docs.nats.io/reference/reference-protocols/nats-protocol>.
//!
//! [`parse`] takes the operation at the front of a buffer; [`encode`] holds what goes the other way.

pub mod encode;
mod parse;
#[cfg(test)]
mod tests;

pub use parse::{Limits, Op, ParseError, Parsed, Publish, parse};
