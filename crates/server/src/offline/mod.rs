//! What is done with a folder of streams while no server runs with it: checking it, and moving streams by hand.
//!
//! Begin with [`check`]; [`export`] writes archives, [`import`] takes over. All of it takes the lock of the store, so that it is refused while a server has the folder.

mod check;
mod export;
mod folder;
mod import;
mod opened;

pub use check::{Checked, ConsumerFound, DamageFound, StreamFound, check};
pub use export::{Exported, Format, export};
pub use import::{Imported, import};

use crate::builder::StartError;
use dialtone_store::OpenError;
use std::path::PathBuf;

/// Why it is not done.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// There are no streams of this server.
    #[error("{0:?} holds no streams of Dialtone{1}")]
    NoStore(PathBuf, &'static str),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There are no streams of an official server.
    #[error("{0:?} holds no streams of an official server")]
    NothingOfficial(PathBuf),
    /// There is something already.
    #[error("{0:?} is there already; choose a folder in which no server has streams")]
    Taken(PathBuf),
    /// What is there cannot be taken over.
    #[error(transparent)]
    Start(Box<StartError>),
    /// The disk.
    #[error("{0:?}: {1}")]
    Disk(PathBuf, std::io::Error),
}
