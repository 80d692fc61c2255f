//! How a stream takes messages from another one: a mirror from one origin, a stream with sources from several.
//!
//! Begin with [`Origin`]: it asks the origin's API for a push consumer that begins where this stream is, takes what that delivers in its order,
//! sees what is missing by the numbers of deliveries and by heartbeats, and asks again. What is stored, and with it how far the stream is, is
//! decided by [`Stream::admit_mirrored`](crate::stream::Stream::admit_mirrored) and
//! [`admit_sourced`](crate::stream::Stream::admit_sourced), so a restart goes on behind the last message that is on disk.
//!
//! Invariants: no clock, no randomness, no I/O: time and random numbers come with the calls, what is to be done goes out as [`Command`]s.

mod inbound;
mod origin;
mod request;
#[cfg(test)]
mod tests;

pub use inbound::{Control, control, headers_to_store, sourced_headers};
pub use origin::{Command, Held, Origin, Taken};
