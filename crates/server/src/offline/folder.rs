//! Which folder is meant: `store_dir` as the configuration has it, what is in it, or the store itself.

use super::OfflineError;
use crate::jetstream::{FOLDER, STORE};
use std::path::{Path, PathBuf};

/// The store in a folder.
///
/// # Errors
/// There is none.
pub(super) fn store(dir: &Path) -> Result<PathBuf, OfflineError> {
    let inner = dir.join(FOLDER);
    let places = [dir.to_owned(), dir.join(STORE), inner.join(STORE)];
    if let Some(found) = places.into_iter().find(|place| is_store(place)) {
        return Ok(found);
    }
    let is_official = [dir, &inner].into_iter().any(has_official);
    let hint = if is_official { ", but those of an official server" } else { "" };
    Err(OfflineError::NoStore(dir.to_owned(), hint))
}

fn is_store(dir: &Path) -> bool {
    ["log", "segments"].iter().all(|part| dir.join(part).is_dir())
}

/// Whether an official server kept streams there: accounts with streams.
fn has_official(dir: &Path) -> bool {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join("streams")).any(|streams| streams.is_dir())
}
