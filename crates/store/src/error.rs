//! What can go wrong, by who has to know it.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::id::GroupId;

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open, or another store of this one.
    #[error("store {dir}: it is in use by another process")]
    InUse {
        /// The store's folder.
        dir: String,
    },
    /// It was written by a newer version.
    #[error(
        "store {dir}: file {file} has format version {version}, and this program knows versions up to {known}"
    )]
    Version {
        /// The store's folder.
        dir: String,
        /// The file that says so.
        file: String,
        /// Its version.
        version: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// Neither copy of the manifest can be read, so nobody can say which of the files count. Nothing was changed.
    #[error(
        "store {dir}: neither copy of its manifest can be read ({why}); restore one of them, or move the folder away to begin anew"
    )]
    NoManifest {
        /// The store's folder.
        dir: String,
        /// What is wrong with them.
        why: String,
    },
    /// It is encrypted, and there is no key. Nothing was changed.
    #[error("store {dir}: it is encrypted, and no encryption key is configured")]
    NoKey {
        /// The store's folder.
        dir: String,
    },
    /// It is encrypted, and not by this key, nor by the previous one if one was given. Nothing was changed.
    #[error(
        "store {dir}: it is encrypted by another key than the one that is configured; \
         where the key was changed, the one before is to be configured, too"
    )]
    OtherKey {
        /// The store's folder.
        dir: String,
    },
    /// Its key was changed more often than there is room for.
    #[error("store {dir}: its key cannot be changed once more")]
    TooManyKeys {
        /// The store's folder.
        dir: String,
    },
    /// The disk reported an error.
    #[error("store {dir}: cannot {doing}")]
    Disk {
        /// The store's folder.
        dir: String,
        /// What was being done.
        doing: String,
        /// What the disk reported.
        #[source]
        cause: io::Error,
    },
}

/// Why nothing was appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// So much waits for the disk already that no more is taken; there is room after the next commit.
    #[error("too much waits for the disk")]
    Busy,
    /// The disk is full. Batches that free room are still taken, on the reserve.
    #[error("the disk is full")]
    Full,
    /// The store has failed for good.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// The store has failed for good: a write or a sync did not do what it says, and what it left behind is not known. Only opening the store
/// anew finds out.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the store has failed: cannot {doing}: {cause}")]
pub struct Failure {
    /// What was being done.
    pub doing: String,
    /// What the disk reported.
    pub cause: Arc<io::Error>,
}

/// Something that was written and cannot be read. What can be is not touched by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, bytes {} to {}: {what}", range.start, range.end)]
pub struct Damage {
    /// The file, within the store's folder.
    pub file: String,
    /// The bytes of the file.
    pub range: Range<u64>,
    /// What is lost.
    pub what: Lost,
}

/// What damage takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// One message of a group.
    #[error("message {seq} of group {} is damaged", group.0)]
    Message {
        /// Whose it is.
        group: GroupId,
        /// Its sequence.
        seq: u64,
    },
    /// One record of a group: a change that the group made.
    #[error("a record of group {} is damaged", group.0)]
    Record {
        /// Whose it is.
        group: GroupId,
    },
    /// The state of a group at the last checkpoint. Its messages are there.
    #[error("the state of group {} is damaged", group.0)]
    State {
        /// Whose it is.
        group: GroupId,
    },
    /// A block of a group, which the group makes anew from its messages.
    #[error("a block of group {} is damaged", group.0)]
    Block {
        /// Whose it is.
        group: GroupId,
    },
    /// Nobody can say what it was. Each group may have had up to so many messages there, so its sequences go on that much higher.
    #[error("up to {sequences_max} messages cannot be read")]
    Unknown {
        /// How many messages could have been there at most.
        sequences_max: u64,
    },
    /// Nothing: what was damaged is known from elsewhere.
    #[error("a header or a copy is damaged, nothing is lost")]
    Nothing,
}

/// Why a message was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The disk reported an error. It may be read another time.
    #[error("{file}: cannot read")]
    Disk {
        /// The file, within the store's folder.
        file: String,
        /// What the disk reported.
        #[source]
        cause: io::Error,
    },
    /// The message was moved by a checkpoint that is finished, or erased with its group: ask for its new place.
    #[error("the message is no longer at this place")]
    Moved,
}
