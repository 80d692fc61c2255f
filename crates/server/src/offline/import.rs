//! Taking over by hand what an official server left in a folder, into another one, so that the official server's folder is only read.
//!
//! The new folder gets links to the accounts of the other, the same takeover as at a start makes streams of them, and then the links go.

use super::OfflineError;
use crate::builder::{StartError, identity};
use crate::jetstream::{self, FOLDER, STORE};
use crate::log::Logger;
use crate::node::Node;
use crate::policy::Policy;
use crate::resolver::Resolver;
use dialtone_config::Options;
use dialtone_config::options::JetStream;
use dialtone_net::Threads;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A stream that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Its account.
    pub account: String,
    /// Its name.
    pub name: String,
    /// Its messages.
    pub messages: u64,
}

/// Makes streams in `to`, which becomes a `store_dir`, of those that an official server has in `from`; `options` may have the key of either. What
/// is not taken over is logged. Of `from` nothing changes.
///
/// # Errors
/// There is nothing to be taken over, `to` has streams already, or a stream cannot be taken over; then `to` is as it was.
pub fn import(from: &Path, to: &Path, options: Options) -> Result<Vec<Imported>, OfflineError> {
    let accounts = accounts(from)?;
    let folder = to.join(FOLDER);
    if folder.exists() {
        return Err(OfflineError::Taken(folder));
    }
    let made = linked(&accounts, &folder).and_then(|()| take_over(to, options));
    let made = made.and_then(|made| {
        unlink(&folder)?;
        Ok(made)
    });
    if made.is_err() {
        // Links are removed, and not what they lead to.
        let _ = fs::remove_dir_all(&folder);
    }
    made
}

/// The folders of accounts that an official server has there, by name.
fn accounts(from: &Path) -> Result<BTreeMap<String, PathBuf>, OfflineError> {
    let mut found = BTreeMap::new();
    for folder in [from.to_owned(), from.join(FOLDER)] {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, Ok(name)) = (entry.path(), entry.file_name().into_string()) else { continue };
            if path.join("streams").is_dir() && name != STORE {
                let path = fs::canonicalize(&path).map_err(|error| OfflineError::Disk(path, error))?;
                found.insert(name, path);
            }
        }
    }
    if found.is_empty() {
        return Err(OfflineError::NothingOfficial(from.to_owned()));
    }
    Ok(found)
}

fn linked(accounts: &BTreeMap<String, PathBuf>, folder: &Path) -> Result<(), OfflineError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| OfflineError::Disk(path, error)
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    for (name, path) in accounts {
        let link = folder.join(name);
        symlink(path, &link).map_err(failed(&link))?;
    }
    Ok(())
}

/// Removes the links, which are aside now.
fn unlink(folder: &Path) -> Result<(), OfflineError> {
    let aside = folder.join(jetstream::ASIDE);
    let remove = || -> std::io::Result<()> {
        for entry in fs::read_dir(&aside)? {
            fs::remove_file(entry?.path())?;
        }
        fs::remove_dir(&aside)?;
        fs::File::open(folder)?.sync_all()
    };
    remove().map_err(|error| OfflineError::Disk(aside.clone(), error))
}

/// Starts JetStream, which takes over what is there, and nothing else of a server.
fn take_over(to: &Path, options: Options) -> Result<Vec<Imported>, OfflineError> {
    let own = options.jetstream.clone().unwrap_or_default();
    let own = JetStream {
        store_dir: Some(to.to_owned()),
        enabled: true,
        file_bytes_max: Some(u64::MAX / 4),
        ..own
    };
    // Nobody connects, and the log goes where the tool is.
    let options = Options {
        jetstream: Some(own),
        access: options.access,
        limits: options.limits,
        ..Options::default()
    };
    let failed = |error: StartError| OfflineError::Start(Box::new(error));
    let threads = Threads::default();
    let log = Logger::new(&options.log, &threads).map_err(|error| failed(StartError::Log(error)))?;
    let identity = identity(&options, BTreeMap::new());
    let policy = Policy::new(options, &identity).map_err(|error| failed(error.into()))?;
    let resolver = Resolver::new(&policy.options, policy.authenticator.operators(), &log);
    let node = Node::new(identity, policy, log, threads, resolver.map_err(|error| failed(error.into()))?);
    let started = jetstream::start(&node, &node.settings.policy());
    let made = streams(&node);
    jetstream::stop(&node);
    started.map_err(|error| failed(error.into()))?;
    Ok(made)
}

fn streams(node: &Arc<Node>) -> Vec<Imported> {
    let all = node.streams.all.all();
    let mut made: Vec<Imported> = all
        .iter()
        .map(|hosted| Imported {
            account: hosted.account().map(|account| account.name.to_string()).unwrap_or_default(),
            name: hosted.name.to_string(),
            messages: hosted.lock().state.machine.totals().count,
        })
        .collect();
    made.sort_by(|one, other| (&one.account, &one.name).cmp(&(&other.account, &other.name)));
    made
}
