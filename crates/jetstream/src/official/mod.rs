//! What an official server of 2.10 to 2.15 keeps of a stream in its folder: bytes in, messages and consumers out.
//!
//! [`Block`] reads a file of messages (`msgs/N.blk`), [`consumer_state`] how far a consumer is (`obs/NAME/o.dat`), [`StreamFile`] and [`ConsumerFile`]
//! what they are (`meta.inf`), whose [`meta_sum`] stands beside. Blocks hold deletes, too, as records of their own; what limits took away is in
//! [`Index`] alone (`msgs/index.db`). [`FileKey`] opens what was encrypted.
//! [`Snapshot`] and [`SnapshotWriter`] are archives as servers before 2.15 have them: these files in a tar.
//!
//! Invariants: no I/O, and nothing is changed; whatever the bytes are, the answer is an error or what they say, within a bounded memory.

mod block;
mod consumer;
mod hash;
mod index;
mod meta;
mod sealed;
mod snapshot;
mod tar;

#[cfg(test)]
mod tests;

pub use block::{BLOCK_BYTES_MAX, Block, BlockError, BlockWriter, Record};
pub use consumer::{MalformedState, consumer_state, write_consumer_state};
pub use index::{Index, MalformedIndex};
pub use meta::{ConsumerFile, StreamFile, meta_sum};
pub use sealed::{FileKey, Of};
pub use snapshot::{Snapshot, SnapshotWriter};
#[cfg(test)]
pub(crate) use tar::put_file as put_tar_file;
