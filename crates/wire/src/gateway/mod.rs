//! What servers of different clusters say to each other: [`Info`] and [`Connect`] with which a gateway connection begins, and replies that
//! find their way back ([`reply`]). The lines that follow are those of [`crate::interserver`], in the dialect
//! [`crate::interserver::Dialect::gateway`].
//!
//! Who is dialled sends INFO, and who dials answers CONNECT and INFO. Messages then go from who dials to who is dialled, and interest the
//! other way, framed by INFO with a [`Command`]; so between two servers there is a connection for each direction.

mod info;
pub mod reply;
#[cfg(test)]
mod tests;

pub use info::{Command, Info};

pub use crate::route::Connect;
