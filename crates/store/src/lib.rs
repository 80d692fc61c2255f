//! Bytes on disk: groups of messages and records in one log with group commit, checksums, recovery.
//!
//! What lives here: files and their formats, what is durable and what is damaged. The store does not know what a stream is; it knows *groups*
//! (`GroupId`), *messages* of a group (sequence, head, body) and opaque *records*, and returns them in order when it is opened. It must never
//! know subjects, consumers, or the network.
//!
//! Begin with `Store`: `open`, `batch`, `read`. Invariants:
//!
//! - What `Committed::committed` has named is there after any crash, and nothing that was not submitted ever is.
//! - A batch is there as a whole or not at all.
//! - No checksum passes for bytes of another place, file, time or store.
//! - A sync or a write that failed is never tried again as if it had not: the store has failed. A full disk is no failure.
//! - Nothing that cannot be read is deleted.
#![forbid(unsafe_code)]

mod checkpoint;
mod commit;
mod disk;
mod erase;
mod error;
#[doc(hidden)]
pub mod fuzzed;
mod heads;
mod id;
mod index;
mod log;
mod manifest;
mod opening;
mod options;
mod read;
mod reader;
mod real;
mod record;
mod recover;
mod reserve;
mod seal;
mod segment;
mod segments;
mod simulated;
mod store;
mod untouched;

mod writer;

pub use checkpoint::{BlockError, Blocks, Captured, Checkpoint, CheckpointError, Checkpointed, Moved, Plan};
pub use commit::{Batch, Committed, META_BYTES_MAX, Urgency};
pub use disk::{Access, Disk, File, Lock};
pub use erase::{EraseError, Scrubbed};
pub use error::{Damage, Failure, Lost, OpenError, ReadError, Refused};
pub use heads::{Head, Heads};
pub use id::{GroupId, Lsn, Place};
pub use index::{NOTE_BYTES, Note, PIECE_SEQUENCES};
pub use opening::{Keys, Recovered};
pub use options::Options;
pub use reader::Reader;
pub use real::RealDisk;
pub use record::{BODY_BYTES_MAX, HEAD_BYTES_MAX};
pub use seal::{Cipher, Encryption, Key};
pub use simulated::{After, Fault, SimulatedDisk};
pub use store::Store;
pub use untouched::UntouchedDisk;
pub use writer::Writer;
