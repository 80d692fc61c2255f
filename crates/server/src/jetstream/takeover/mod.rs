//! Taking over what an official server left in the folder: its streams are read, made here, and its files moved aside, untouched.
//!
//! It is all or nothing: a mark in the folder says how far it is. Where it was interrupted, a start begins it anew, or goes on moving.

mod official;

use crate::log::Event;
use crate::node::Node;
use crate::process;
use crate::streams::Shared;
use dialtone_config::Secret;
use dialtone_config::options::JetStream;
use dialtone_jetstream::config::{Compression, unsupported};
use dialtone_jetstream::json::{self, Strictness};
use dialtone_jetstream::official::{FileKey, Of, StreamFile, meta_sum};
use official::{Official, Progress};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Says how far it is.
const MARK: &str = "dialtone-takeover";
/// Where the files of official servers are then.
pub(crate) const ASIDE: &str = "taken-over";
/// Bytes that must be free besides.
const SPARE_BYTES: u64 = 128 * 1024 * 1024;
/// Largest file that is no block.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why it cannot be done. Nothing of the official server's files has changed.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// Both servers have streams there.
    #[error(
        "{0:?} has streams of Dialtone and streams of an official server that came later; move one of the two elsewhere: \
         {1:?} is Dialtone's, the other folders are the official server's"
    )]
    TwoGenerations(PathBuf, PathBuf),
    /// They are encrypted, and there is no key.
    #[error("stream {0:?} of an official server is encrypted, and no encryption key is configured")]
    NoKey(String),
    /// They are encrypted by another key.
    #[error(
        "stream {0:?} of an official server is encrypted by another key than the one that is configured, nor by the previous one"
    )]
    OtherKey(String),
    /// A stream does what is not carried out here.
    #[error("stream {0:?} cannot be taken over: {1}")]
    Unsupported(String, String),
    /// The disk is too small.
    #[error("taking over the streams of {0:?} needs about {1} bytes on the disk, and {2} are free")]
    NoRoom(PathBuf, u64, u64),
    /// A stream cannot be made.
    #[error("stream {0:?} cannot be taken over: {1}")]
    Load(String, String),
    /// The disk.
    #[error("{0:?}: {1}")]
    Disk(PathBuf, std::io::Error),
}

fn on_disk(path: &Path) -> impl FnOnce(std::io::Error) -> TakeoverError {
    let path = path.to_owned();
    move |error| TakeoverError::Disk(path, error)
}

/// What is to be taken over.
pub(super) struct Takeover {
    folder: PathBuf,
    streams: Vec<Official>,
    /// What is left, and why.
    left: Vec<String>,
    /// The server's keys, by which streams may be encrypted.
    keys: Vec<Secret>,
    /// Streams whose key file none of them opens.
    locked: Vec<String>,
}

/// The folders in a folder, by name.
fn folders(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut all: Vec<(String, PathBuf)> =
        folders.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect();
    all.sort();
    all
}

/// The accounts for which an official server kept streams there.
fn accounts(folder: &Path, store: &str) -> Vec<(String, PathBuf)> {
    let mut all = folders(folder);
    all.retain(|(name, path)| name != store && name != ASIDE && !folders(&path.join("streams")).is_empty());
    all
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, TakeoverError> {
    let bytes = fs::metadata(path).map_err(on_disk(path))?.len();
    if bytes > bytes_max {
        return Err(TakeoverError::Disk(path.to_owned(), std::io::ErrorKind::FileTooLarge.into()));
    }
    fs::read(path).map_err(on_disk(path))
}

/// Says how far it is, on disk.
fn mark(folder: &Path, text: &str) -> Result<(), TakeoverError> {
    let path = folder.join(MARK);
    let write = || {
        let mut file = fs::File::create(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(on_disk(&path))
}

impl Takeover {
    /// Looks what there is to be done in `folder`, in which `store` is ours. Where it was interrupted, what was made is taken back, or it ends.
    ///
    /// # Errors
    /// It cannot be done.
    pub(super) fn plan(folder: &Path, store: &str, own: &JetStream) -> Result<Option<Self>, TakeoverError> {
        let configured = own;
        let own = folder.join(store);
        match fs::read_to_string(folder.join(MARK)).as_deref() {
            Ok("moving") => move_aside(folder, store)?,
            Ok(_) if own.exists() => fs::remove_dir_all(&own).map_err(on_disk(&own))?,
            _ => {}
        }
        let accounts = accounts(folder, store);
        if accounts.is_empty() {
            return Ok(None);
        }
        if own.exists() {
            return Err(TakeoverError::TwoGenerations(folder.to_owned(), own));
        }
        let keys = configured.encryption.key.iter().chain(&configured.encryption.previous).cloned().collect();
        let (streams, left, locked) = <_>::default();
        let mut takeover = Self { folder: folder.to_owned(), streams, left, keys, locked };
        for (account, path) in accounts {
            for (_, stream) in folders(&path.join("streams")) {
                takeover.add(&account, stream)?;
            }
        }
        takeover.check_keys()?;
        takeover.check_room()?;
        Ok(Some(takeover))
    }

    /// Takes a look at a stream.
    fn add(&mut self, account: &str, folder: PathBuf) -> Result<(), TakeoverError> {
        let own_name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = format!("{account} > {own_name}");
        let mut file = StreamFile::default();
        let on_disk = read(&folder.join("meta.inf"), FILE_BYTES_MAX);
        let mut text = on_disk.as_ref().ok().cloned();
        let is_sealed = folder.join("meta.key").exists();
        if is_sealed {
            let key = read(&folder.join("meta.key"), FILE_BYTES_MAX)?;
            let Some(key) = open_key(&self.keys, &key, account, &Of::Stream(&own_name)) else {
                self.locked.push(name);
                return Ok(());
            };
            text = text.and_then(|text| key.open_file(&text));
        }
        let is_read = text.is_some_and(|text| {
            json::from_slice(&text, StreamFile::GO, Strictness::Lax, &mut file).is_ok()
                && !file.config.name.is_empty()
        });
        let sum = read(&folder.join("meta.sum"), FILE_BYTES_MAX).unwrap_or_default();
        let is_whole = on_disk.is_ok_and(|text| meta_sum(&file.config.name, &text).as_bytes() == sum);
        if !is_read || !is_whole {
            self.left.push(format!("stream {name:?}: what it is cannot be read, it is damaged"));
            return Ok(());
        }
        if file.config.num_replicas > 1 {
            self.left.push(format!(
                "stream {name:?}: it belongs to a cluster, with {} replicas",
                file.config.num_replicas
            ));
            return Ok(());
        }
        if file.config.compression != Compression::None && unsupported::check_stream(&file.config).is_err() {
            self.left.push(format!("stream {name:?}: its compression, which is not carried out yet; messages are kept as they are"));
            file.config.compression = Compression::None;
        }
        if let Err(error) = unsupported::check_stream(&file.config) {
            return Err(TakeoverError::Unsupported(name, error.to_string()));
        }
        self.streams.push(Official { account: account.to_owned(), folder, file, is_sealed });
        Ok(())
    }

    /// A wrong key is no damage; a key file that is damaged is, where others are not.
    fn check_keys(&mut self) -> Result<(), TakeoverError> {
        let Some(first) = self.locked.first().cloned() else { return Ok(()) };
        if self.keys.is_empty() {
            return Err(TakeoverError::NoKey(first));
        }
        if !self.streams.iter().any(|official| official.is_sealed) {
            return Err(TakeoverError::OtherKey(first));
        }
        let locked = std::mem::take(&mut self.locked);
        self.left
            .extend(locked.iter().map(|name| format!("stream {name:?}: its key is damaged, or another one")));
        Ok(())
    }

    fn check_room(&self) -> Result<(), TakeoverError> {
        let needed: u64 = self.streams.iter().map(Official::bytes).sum::<u64>() + SPARE_BYTES;
        let free = process::disk_bytes_free(&self.folder).unwrap_or(u64::MAX);
        match needed > free {
            true => Err(TakeoverError::NoRoom(self.folder.clone(), needed, free)),
            false => Ok(()),
        }
    }

    /// Begins: from here on what is made counts only when all is.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn begin(&self) -> Result<(), TakeoverError> {
        mark(&self.folder, "reading")
    }

    /// Makes the streams, and moves the official files aside.
    ///
    /// # Errors
    /// It cannot be done.
    pub(super) fn run(self, node: &Node, shared: &Arc<Shared>, store: &str) -> Result<(), TakeoverError> {
        let say = |text: std::fmt::Arguments<'_>| node.log.emit(Event::Starting, "", text);
        let warn = |text: &str| node.log.emit(Event::Warning, "", format_args!("JetStream: {text}"));
        let count = self.streams.len();
        say(format_args!("JetStream: taking over {count} streams of an official server"));
        let policy = node.settings.policy();
        let bytes_max = self.streams.iter().map(Official::bytes_on_disk).sum();
        let mut progress = Progress::new(node, (count, bytes_max));
        for (done, official) in self.streams.iter().enumerate() {
            let account = node.accounts.make(&official.account, &policy, &node.connections);
            progress.begin(done + 1, &official.file.config.name);
            let messages = official.take((node, shared), &account, (&self.keys, &mut progress), &warn)?;
            let (name, done) = (&official.file.config.name, done + 1);
            say(format_args!(
                "JetStream: {done} of {count}: stream {name:?} of account {:?}, {messages} messages",
                official.account
            ));
        }
        self.left.iter().for_each(|left| warn(&format!("not taken over: {left}")));
        mark(&self.folder, "moving")?;
        move_aside(&self.folder, store)?;
        let aside = self.folder.join(ASIDE);
        say(format_args!(
            "JetStream: the official server's files are in {:?}, unchanged",
            aside.display().to_string()
        ));
        Ok(())
    }
}

/// The key of a file, by one of the server's.
fn open_key(keys: &[Secret], file: &[u8], account: &str, of: &Of<'_>) -> Option<FileKey> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.expose().as_bytes()).collect();
    FileKey::open(file, account, of, &keys)
}

/// Moves what official servers have there into a folder of its own.
fn move_aside(folder: &Path, store: &str) -> Result<(), TakeoverError> {
    let aside = folder.join(ASIDE);
    fs::create_dir_all(&aside).map_err(on_disk(&aside))?;
    for (name, path) in accounts(folder, store) {
        let free = (0..)
            .map(|number| aside.join(if number == 0 { name.clone() } else { format!("{name}.{number}") }));
        if let Some(to) = free.into_iter().find(|to| !to.exists()) {
            fs::rename(&path, &to).map_err(on_disk(&path))?;
        }
    }
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(on_disk(folder))?;
    let mark = folder.join(MARK);
    fs::remove_file(&mark).map_err(on_disk(&mark))
}
