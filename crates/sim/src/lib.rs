//! A deterministic simulation of processes that are connected by byte streams: virtual time, links that are slow, narrow, cut or broken,
//! and one seed that decides everything, so that a run that fails can be run again.
//!
//! Begin with [`network::Network`] and [`process::Process`]. It knows nothing of messaging.
//!
//! Invariants: no clock and no source of randomness but its own; events of one moment happen in the order in which they were planned; a
//! link delivers bytes in order and never twice.

pub mod link;
pub mod network;
pub mod process;
pub mod random;
