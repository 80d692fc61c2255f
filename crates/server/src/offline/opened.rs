//! A store that is opened without a server.

use super::OfflineError;
use crate::jetstream::encryption;
use crate::streams::{Index, Recovering, Recovery, wall};
use dialtone_config::options::JetStream;
use dialtone_store::{Damage, GroupId, Options, RealDisk, Recovered, Store, UntouchedDisk};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// What a folder holds.
pub(super) struct Opened {
    pub(super) store: Store,
    /// By account and name.
    pub(super) streams: Vec<Recovering>,
    /// What opening it found damaged.
    pub(super) damage: Vec<Damage>,
    /// What else is wrong, in words.
    pub(super) problems: Vec<String>,
    /// Restores and takeovers that did not come to their end.
    pub(super) unfinished: usize,
    pub(super) torn_bytes: u64,
    names: HashMap<GroupId, (String, String)>,
}

impl Opened {
    /// Opens the store in a folder; `own` has its key, if it is encrypted. Nothing of it changes.
    ///
    /// # Errors
    /// It is in use, or cannot be opened.
    pub(super) fn new(folder: &Path, own: Option<&JetStream>) -> Result<Self, OfflineError> {
        let mut recovery = Recovery::new(wall(), u32::MAX, Index::default());
        let (mut damage, mut names) = (Vec::new(), HashMap::new());
        let options = Options { encryption: own.and_then(encryption), ..Options::default() };
        let disk = Arc::new(UntouchedDisk(RealDisk));
        let store = Store::open(disk, folder, options, &mut |found| {
            match &found {
                Recovered::Damage(found) => damage.push(found.clone()),
                Recovered::Group { id, meta, .. } => {
                    names.extend(serde_json::from_slice(meta).ok().map(|name| (*id, name)));
                }
                _ => {}
            }
            recovery.take(found);
        })?;
        let said: Vec<String> = damage.iter().map(Damage::to_string).collect();
        let mut problems = std::mem::take(&mut recovery.problems);
        problems.retain(|problem| !said.contains(problem));
        let (unfinished, torn_bytes) = (recovery.unfinished().len(), recovery.torn_bytes);
        let mut streams: Vec<Recovering> = recovery.streams().collect();
        streams.sort_by(|one, other| (&one.account, &one.name).cmp(&(&other.account, &other.name)));
        Ok(Self { store, streams, damage, problems, unfinished, torn_bytes, names })
    }

    /// The account and name of the stream whose group this is.
    pub(super) fn name(&self, group: GroupId) -> Option<&(String, String)> {
        self.names.get(&group)
    }
}
