//! A stream as an archive: what a snapshot sends and a restore takes, in the format of 2.15.
//!
//! A stream of S2 in which entry follows entry: the state, the consumers, the messages, and an end. [`Writer`] makes it and [`Reader`] reads it, both
//! a piece at a time; neither keeps more than one entry. The archives of before 2.15 are another format, a tar of an official server's files.

mod consumer;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use consumer::{BySequence, ConsumerEntry, ConsumerState, Delivered, PendingAck};
pub use reader::{ArchiveError, Entry, Reader};
pub use writer::{Compressor, Writer};

/// What the entries begin with.
pub(crate) const MAGIC: &[u8] = b"NATSARC1";
/// The name of the first entry.
const STATE: &str = "state.json";
/// What the names of consumers' entries begin with.
const CONSUMERS: &str = "consumers/";
