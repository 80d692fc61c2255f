//! Taking over what an official server left in the folder: its streams are read, made here, and its files moved aside, untouched.
//!
//! It is all or nothing: a mark in the folder says how far it is. Where it was interrupted, a start begins it anew, or goes on moving.

use crate::log::Event;
use crate::node::Node;
use crate::process;
use crate::streams::{LoadError, Loading, Shared};
use dialtone_broker::account::Account;
use dialtone_jetstream::config::{Compression, unsupported};
use dialtone_jetstream::json::{self, Strictness};
use dialtone_jetstream::official::{
    BLOCK_BYTES_MAX, Block, ConsumerFile, Record, StreamFile, consumer_state, meta_sum,
};
use dialtone_jetstream::stream::Archived;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Says how far it is.
const MARK: &str = "dialtone-takeover";
/// Where the files of official servers are then.
const ASIDE: &str = "taken-over";
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
    /// They are encrypted.
    #[error(
        "stream {0:?} is encrypted, which cannot be taken over in this version; back it up and restore it here"
    )]
    Encrypted(String),
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

/// A stream of an official server.
struct Official {
    account: String,
    folder: PathBuf,
    file: StreamFile,
}

/// What is to be taken over.
pub(super) struct Takeover {
    folder: PathBuf,
    streams: Vec<Official>,
    /// What is left, and why.
    left: Vec<String>,
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
    pub(super) fn plan(folder: &Path, store: &str) -> Result<Option<Self>, TakeoverError> {
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
        let mut takeover = Self { folder: folder.to_owned(), streams: Vec::new(), left: Vec::new() };
        for (account, path) in accounts {
            for (_, stream) in folders(&path.join("streams")) {
                takeover.add(&account, stream)?;
            }
        }
        takeover.check_room()?;
        Ok(Some(takeover))
    }

    /// Takes a look at a stream.
    fn add(&mut self, account: &str, folder: PathBuf) -> Result<(), TakeoverError> {
        let name = format!("{account} > {}", folder.file_name().unwrap_or_default().to_string_lossy());
        if folder.join("meta.key").exists() {
            return Err(TakeoverError::Encrypted(name));
        }
        let mut file = StreamFile::default();
        let text = read(&folder.join("meta.inf"), FILE_BYTES_MAX);
        let is_read = text.as_ref().is_ok_and(|text| {
            json::from_slice(text, StreamFile::GO, Strictness::Lax, &mut file).is_ok()
                && !file.config.name.is_empty()
        });
        let sum = read(&folder.join("meta.sum"), FILE_BYTES_MAX).unwrap_or_default();
        let is_whole = text.is_ok_and(|text| meta_sum(&file.config.name, &text).as_bytes() == sum);
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
        self.streams.push(Official { account: account.to_owned(), folder, file });
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
        for (done, official) in self.streams.iter().enumerate() {
            let account = node.accounts.make(&official.account, &policy, &node.connections);
            let messages = official.take(node, &account, shared, &warn)?;
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

impl Official {
    /// Blocks by their numbers.
    fn blocks(&self) -> Vec<(u64, PathBuf)> {
        let entries = fs::read_dir(self.folder.join("msgs")).into_iter().flatten().flatten();
        let number = |path: &Path| path.file_name()?.to_str()?.strip_suffix(".blk")?.parse().ok();
        let mut all: Vec<(u64, PathBuf)> =
            entries.filter_map(|entry| Some((number(&entry.path())?, entry.path()))).collect();
        all.sort();
        all
    }

    /// Bytes that it will take here, about.
    fn bytes(&self) -> u64 {
        let sizes = self.blocks().into_iter().filter_map(|(_, path)| fs::metadata(path).ok());
        let bytes: u64 = sizes.map(|block| block.len()).sum();
        let is_compressed = self.file.config.compression != Compression::None;
        if is_compressed { bytes.saturating_mul(4) } else { bytes + bytes / 4 }
    }

    fn load_error(&self) -> impl Fn(LoadError) -> TakeoverError {
        let name = format!("{} > {}", self.account, self.file.config.name);
        move |error| TakeoverError::Load(name.clone(), error.to_string())
    }

    /// Makes it. How many messages it has.
    fn take(
        &self,
        node: &Node,
        account: &Arc<Account>,
        shared: &Arc<Shared>,
        warn: &dyn Fn(&str),
    ) -> Result<u64, TakeoverError> {
        let (failed, name) = (self.load_error(), &self.file.config.name);
        let made = (self.file.config.clone(), Some(self.file.created.unix_nanos()));
        let parts = (shared, super::streams::payload_max(node));
        let mut loading = Loading::begin(&node.streams.all, account, made, parts).map_err(&failed)?;
        let (mut deleted, mut last) = (Vec::new(), (0, 0));
        self.each_block(warn, &mut |block, _| {
            block.records(&mut |record| match record {
                Record::Deleted { seq, time } => {
                    deleted.push(seq);
                    last = last.max((seq, time));
                }
                Record::Message { seq, time, .. } => last = last.max((seq, time)),
                Record::Damaged { .. } => {}
            });
            Ok(())
        })?;
        deleted.sort_unstable();
        deleted.dedup();
        self.each_block(&|_| {}, &mut |block, path| {
            let mut done = Ok(());
            block.records(&mut |record| match record {
                Record::Message { seq, time, subject, headers, payload } => {
                    let is_live = deleted.binary_search(&seq).is_err() && seq > loading.last();
                    if done.is_ok() && is_live {
                        done = loading.message(&Archived { seq, time, subject, headers, payload });
                        if let Err(LoadError::Message(seq)) = done {
                            warn(&format!("stream {name:?}: message {seq} is none that a stream can have"));
                            done = Ok(());
                        }
                    }
                }
                Record::Damaged { at, bytes } => {
                    warn(&format!(
                        "stream {name:?}: {bytes} bytes of {path:?} are damaged, from byte {at} on"
                    ));
                }
                Record::Deleted { .. } => {}
            });
            done.map_err(&failed)
        })?;
        loading.skip_to(last.0, last.1).map_err(&failed)?;
        self.take_consumers(&mut loading, warn)?;
        let hosted = loading.finish(&node.streams.all).map_err(&failed)?;
        let messages = hosted.lock().state.machine.totals().count;
        Ok(messages)
    }

    /// Reads block after block. What cannot be read is named.
    fn each_block(
        &self,
        warn: &dyn Fn(&str),
        each: &mut dyn FnMut(&Block, &Path) -> Result<(), TakeoverError>,
    ) -> Result<(), TakeoverError> {
        let name = &self.file.config.name;
        for (number, path) in self.blocks() {
            let bytes = read(&path, BLOCK_BYTES_MAX as u64)?;
            match Block::new(name, number, bytes) {
                Ok(block) => each(&block, &path)?,
                Err(error) => warn(&format!("stream {name:?}: {path:?} is damaged: {error}")),
            }
        }
        Ok(())
    }

    fn take_consumers(&self, loading: &mut Loading, warn: &dyn Fn(&str)) -> Result<(), TakeoverError> {
        let stream = &self.file.config.name;
        for (name, folder) in folders(&self.folder.join("obs")) {
            let mut file = ConsumerFile::default();
            let text = read(&folder.join("meta.inf"), FILE_BYTES_MAX);
            let is_read = text.is_ok_and(|text| {
                json::from_slice(&text, ConsumerFile::GO, Strictness::Lax, &mut file).is_ok()
            });
            let path = folder.join("o.dat");
            let state = if path.exists() { read(&path, FILE_BYTES_MAX)? } else { Vec::new() };
            let (Ok(state), true) = (consumer_state(&state), is_read) else {
                warn(&format!(
                    "consumer {name:?} of stream {stream:?} is damaged; its files are left as they are"
                ));
                continue;
            };
            if let Err(error) = unsupported::check_consumer(&file.config) {
                warn(&format!("consumer {name:?} of stream {stream:?} is left: {error}"));
                continue;
            }
            let created = Some(file.created.unix_nanos());
            loading.consumer((&name, created), file.config, &state).map_err(self.load_error())?;
        }
        Ok(())
    }
}
