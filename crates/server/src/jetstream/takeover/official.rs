//! One stream of an official server: its files are read, opened where they are encrypted, and made a stream of ours.

use super::{FILE_BYTES_MAX, TakeoverError, folders, open_key, read};
use crate::jetstream::streams::payload_max;
use crate::log::Event;
use crate::node::Node;
use crate::streams::{LoadError, Loading, Shared};
use dialtone_broker::account::Account;
use dialtone_config::Secret;
use dialtone_jetstream::config::{Compression, unsupported};
use dialtone_jetstream::json::{self, Strictness};
use dialtone_jetstream::official::{
    BLOCK_BYTES_MAX, Block, ConsumerFile, FileKey, Index, Of, Record, StreamFile, consumer_state,
};
use dialtone_jetstream::stream::Archived;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the log says how far it is.
const SAY_INTERVAL: Duration = Duration::from_secs(5);

/// A stream of an official server.
pub(super) struct Official {
    pub(super) account: String,
    pub(super) folder: PathBuf,
    pub(super) file: StreamFile,
    /// There is a key file beside what it is.
    pub(super) is_sealed: bool,
}

/// How far all is: `/healthz` says it, and the log now and then.
pub(super) struct Progress<'a> {
    node: &'a Node,
    streams: usize,
    bytes: u64,
    bytes_max: u64,
    stream: String,
    said: Instant,
}

impl<'a> Progress<'a> {
    /// So many streams, with so many bytes of messages.
    pub(super) fn new(node: &'a Node, (streams, bytes_max): (usize, u64)) -> Self {
        Self { node, streams, bytes: 0, bytes_max, stream: String::new(), said: Instant::now() }
    }

    /// The next stream, by its number and name.
    pub(super) fn begin(&mut self, number: usize, name: &str) {
        self.stream = format!("stream {number} of {}, {name:?}", self.streams);
        self.step(0);
    }

    /// So many bytes more are done.
    fn step(&mut self, bytes: u64) {
        self.bytes += bytes;
        let percent = self.bytes.min(self.bytes_max).saturating_mul(100) / self.bytes_max.max(1);
        let text = format!(
            "taking over streams of an official server: {}, {percent} % of {} bytes",
            self.stream, self.bytes_max
        );
        if self.said.elapsed() >= SAY_INTERVAL {
            self.said = Instant::now();
            self.node.log.emit(Event::Starting, "", format_args!("JetStream: {text}"));
        }
        self.node.streams.set_starting(Some(text));
    }
}

impl Official {
    /// Blocks by their numbers.
    fn blocks(&self) -> Vec<(u64, PathBuf)> {
        let entries = fs::read_dir(self.folder.join("msgs")).into_iter().flatten().flatten();
        let mut all: Vec<(u64, PathBuf)> =
            entries.filter_map(|entry| Some((number(&entry.path())?, entry.path()))).collect();
        all.sort();
        all
    }

    /// Bytes of its files of messages.
    pub(super) fn bytes_on_disk(&self) -> u64 {
        let sizes = self.blocks().into_iter().filter_map(|(_, path)| fs::metadata(path).ok());
        sizes.map(|block| block.len()).sum()
    }

    /// Bytes that it will take here, about.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.bytes_on_disk();
        let is_compressed = self.file.config.compression != Compression::None;
        if is_compressed { bytes.saturating_mul(4) } else { bytes + bytes / 4 }
    }

    fn load_error(&self) -> impl Fn(LoadError) -> TakeoverError {
        let name = format!("{} > {}", self.account, self.file.config.name);
        move |error| TakeoverError::Load(name.clone(), error.to_string())
    }

    /// Makes it. How many messages it has.
    pub(super) fn take(
        &self,
        (node, shared): (&Node, &Arc<Shared>),
        account: &Arc<Account>,
        (keys, progress): (&[Secret], &mut Progress<'_>),
        warn: &dyn Fn(&str),
    ) -> Result<u64, TakeoverError> {
        let (failed, name) = (self.load_error(), &self.file.config.name);
        let made = (self.file.config.clone(), Some(self.file.created.unix_nanos()));
        let parts = (shared, payload_max(node));
        let mut loading = Loading::begin(&node.streams.all, account, made, parts).map_err(&failed)?;
        let (mut deleted, mut last, mut last_block) = (Vec::new(), (0, 0), (0, None));
        self.each_block(keys, warn, &mut |block, path| {
            last_block = (number(path).unwrap_or_default(), block.last_checksum());
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
        let index = self.index(keys, last_block);
        self.each_block(keys, &|_| {}, &mut |block, path| {
            progress.step(fs::metadata(path).map_or(0, |found| found.len()));
            let mut done = Ok(());
            block.records(&mut |record| match record {
                Record::Message { seq, time, subject, headers, payload } => {
                    let is_live = deleted.binary_search(&seq).is_err()
                        && seq > loading.last()
                        && index.as_ref().is_none_or(|index| index.has(seq));
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
        self.take_consumers(&mut loading, keys, warn)?;
        let hosted = loading.finish(&node.streams.all).map_err(&failed)?;
        let messages = hosted.lock().state.machine.totals().count;
        Ok(messages)
    }

    /// What was left when the official server ended in order. It counts where it is as new as the last block, which has this number and checksum.
    fn index(&self, keys: &[Secret], last_block: (u64, Option<[u8; 8]>)) -> Option<Index> {
        let name = &self.file.config.name;
        let file = read(&self.folder.join("msgs").join("index.db"), BLOCK_BYTES_MAX as u64).ok()?;
        let key = self.key_of(&self.folder.join("meta.key"), &Of::Stream(name), keys).ok()?;
        let bytes = key.open(Index::checked(name, &file).ok()?.to_vec())?;
        let index = Index::read(&bytes).ok()?;
        ((index.last_file, Some(index.last_checksum)) == last_block).then_some(index)
    }

    /// Reads block after block. What cannot be read is named.
    fn each_block(
        &self,
        keys: &[Secret],
        warn: &dyn Fn(&str),
        each: &mut dyn FnMut(&Block, &Path) -> Result<(), TakeoverError>,
    ) -> Result<(), TakeoverError> {
        let name = &self.file.config.name;
        for (number, path) in self.blocks() {
            let mut bytes = read(&path, BLOCK_BYTES_MAX as u64)?;
            match self.key_of(&path.with_extension("key"), &Of::Block(name, number), keys)? {
                Key::Plain => {}
                Key::Opened(key) => key.open_block(&mut bytes),
                Key::Damaged => {
                    warn(&format!("stream {name:?}: the key of {path:?} is damaged"));
                    continue;
                }
            }
            match Block::new(name, number, bytes) {
                Ok(block) => each(&block, &path)?,
                Err(error) => warn(&format!("stream {name:?}: {path:?} is damaged: {error}")),
            }
        }
        Ok(())
    }

    /// The key of a file, if it has one.
    fn key_of(&self, path: &Path, of: &Of<'_>, keys: &[Secret]) -> Result<Key, TakeoverError> {
        if !path.exists() {
            return Ok(Key::Plain);
        }
        let key = open_key(keys, &read(path, FILE_BYTES_MAX)?, &self.account, of);
        Ok(key.map_or(Key::Damaged, Key::Opened))
    }

    fn take_consumers(
        &self,
        loading: &mut Loading,
        keys: &[Secret],
        warn: &dyn Fn(&str),
    ) -> Result<(), TakeoverError> {
        let stream = &self.file.config.name;
        for (name, folder) in folders(&self.folder.join("obs")) {
            let mut file = ConsumerFile::default();
            let key = self.key_of(&folder.join("meta.key"), &Of::Consumer(stream, &name), keys)?;
            let text = read(&folder.join("meta.inf"), FILE_BYTES_MAX).ok().and_then(|text| key.open(text));
            let is_read = text.is_some_and(|text| {
                json::from_slice(&text, ConsumerFile::GO, Strictness::Lax, &mut file).is_ok()
            });
            let path = folder.join("o.dat");
            let state = if path.exists() { key.open(read(&path, FILE_BYTES_MAX)?) } else { Some(Vec::new()) };
            let state = state.and_then(|state| consumer_state(&state).ok());
            let (Some(state), true) = (state, is_read) else {
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

/// The number of a block by its file's name.
fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".blk")?.parse().ok()
}

/// The key of a file.
enum Key {
    /// The file is not encrypted.
    Plain,
    Opened(FileKey),
    /// It cannot be opened.
    Damaged,
}

impl Key {
    /// Opens a file that is no block.
    fn open(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Key::Plain => Some(bytes),
            // No bytes are those of a consumer that delivered nothing.
            Key::Opened(_) if bytes.is_empty() => Some(bytes),
            Key::Opened(key) => key.open_file(&bytes),
            Key::Damaged => None,
        }
    }
}
