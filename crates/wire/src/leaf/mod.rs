//! What servers say to each other by a leaf node connection: [`Info`] and [`Connect`] with which it begins. The lines that follow are
//! those of [`crate::interserver`], in the dialect [`crate::interserver::Dialect::leaf`].
//!
//! Who is dialled sends INFO; who dials answers CONNECT, or, to have it compressed, first an INFO of which only `compression` means
//! something: both go on in S2 then, and who is dialled sends its INFO again. CONNECT is answered by an INFO with `connect_info`, which has the
//! rights of who dials, and after that each end sends its interest, one line of which is its own name for loop detection (`$LDS.…`).
//! INFO comes again when the addresses of the cluster change.

mod connect;
mod info;
#[cfg(test)]
mod tests;

pub use connect::Connect;
pub use info::Info;

pub use crate::interserver::SubjectRules;
