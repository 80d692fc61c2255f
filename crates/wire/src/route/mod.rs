//! What servers of one cluster say to each other: [`Info`] and [`Connect`] with which a route begins. The lines that follow are those of
//! [`crate::interserver`], in the dialect [`crate::interserver::Dialect::route`].
//!
//! Who dials sends INFO and CONNECT, who is dialled sends INFO; with a pool of routes it waits for that of the other end first. INFO comes
//! again whenever something in it changes, or to tell of a third server.

mod connect;
mod info;
#[cfg(test)]
mod tests;

pub use connect::Connect;
pub use info::{GossipMode, Info};

pub use crate::interserver::SubjectRules;
