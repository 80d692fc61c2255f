//! JetStream: streams that keep messages, and what they may take of the machine.

use super::block;
use super::rule::Rule::Within;
use crate::Secret;
use crate::blocks::keys::Status::{Refused, Reloads, Restarts};
use crate::blocks::reader::{self, Block, Notes, noted};
use crate::error::{ConfigError, Position};
use crate::language::{Kind, Value};
use std::path::PathBuf;
use std::time::Duration;

/// How often the official server syncs by default.
const SYNC_INTERVAL: Duration = Duration::from_secs(120);
/// Consumers that a stream without a limit of its own may have. The official figure.
const CONSUMERS_DEFAULT_MAX: u64 = 1000;
/// Less than this cannot be held.
const MEMORY_LIMIT_MIN: u64 = 16 << 20;
const TPM: &str = "TPM functionality is not supported on this platform";

block! {
    /// JetStream.
    pub struct JetStream in "jetstream" {
        /// Where the block stands.
        at: Position = Position::default();
        enabled: bool = true,
            enabled | "enable": "Whether JetStream is on. Default true, where there is a block.",
            read (reader::boolean), Within(Restarts);
        /// `None`: the server's, or a temporary one.
        store_dir: Option<PathBuf> = None,
            store_dir | "store" | "storedir": "Folder whose `jetstream` has the streams. Default: that of the top level, or a temporary one.",
            read (reader::path), Within(Restarts);
        /// `None`: three quarters of what the machine or its control group has.
        memory_bytes_max: Option<u64> = None,
            max_memory_store | "max_mem_store" | "max_mem": "Bytes of streams in memory. Default, and -1: 75 % of what the machine, or its control group, has.",
            read (|v| size(v, "max_mem_store")), Within(Reloads);
        /// `None`: three quarters of what is free on the disk.
        file_bytes_max: Option<u64> = None,
            max_file_store | "max_file": "Bytes of streams in files. Default, and -1: 75 % of what is free on the disk.",
            read (|v| size(v, "max_file_store")), Within(Reloads);
        /// `None`: a quarter of what the machine or its control group has, at most 1 GiB.
        memory_limit: Option<u64> = None,
            memory_limit: "Bytes of memory that streams in files may take for what waits for the disk, the latest messages, and what is known of messages: at least 16M. Default, and -1: a quarter of what the machine, or its control group, has, at most 1G. See [jetstream.md](jetstream.md#memory).",
            read (memory_limit), Within(Reloads);
        domain: Option<String> = None,
            domain: "Name under which this JetStream is reached from leaf nodes: `$JS.NAME.API`.",
            read (reader::optional), Within(Restarts);
        strict: bool = true,
            strict: "Refuse requests of the API that have unknown fields. Default true.",
            read (reader::boolean), Within(Restarts);
        /// What is said of syncs; each acknowledgement follows its sync whatever it is.
        sync: Sync = Sync::default(),
            sync_interval | "sync": "A duration, or `always`: how often messages move out of the log where there is news, at most every 30 seconds (default). An acknowledgement follows its sync in any case.",
            read (sync), Within(Restarts);
        /// When publishers are answered.
        acks: Acks = Acks::default(),
            ack_when: "When publishers to streams in files are answered: `synced`, when the message is on disk, or `written`, ahead of the sync. Default `synced`.",
            read (acks), Within(Restarts);
        /// How streams in files are encrypted.
        encryption: Encryption = Encryption::default();
        /// Shown, and no more: there are no other servers.
        unique_tag: Option<String> = None,
            unique_tag: "Accepted; of replicated streams, which a server alone has not: beginning of the tag that the servers of a stream must not share.",
            read (reader::optional), Within(Restarts);
        /// What requests may ask for.
        limits: JetStreamLimits = JetStreamLimits::default(),
            limits: "What streams and consumers may ask for.", block (limits), Within(Reloads);
    }
    also {
        tpm: Refused(TPM), "Key in a TPM.";
        extension_hint: Restarts, "Accepted; of replicated streams, which a server alone has not: whether leaf nodes extend the cluster of their hubs.";
        max_outstanding_catchup: Restarts, "Accepted; of replicated streams, which a server alone has not: bytes on their way to servers that catch up.";
        meta_compact: Restarts, "Accepted; of replicated streams, which a server alone has not: when the log of all assets is compacted.";
        meta_compact_size: Restarts, "Accepted; of replicated streams, which a server alone has not: the same in bytes.";
        meta_compact_sync: Restarts, "Accepted; of replicated streams, which a server alone has not: whether that is waited for.";
        max_buffered_size: Restarts, "Accepted; what is published is stored in the turn in which it comes, and never waits: bytes that may wait for a stream.";
        max_buffered_msgs: Restarts, "Accepted; what is published is stored in the turn in which it comes, and never waits: messages that may wait for a stream.";
        request_queue_limit: Restarts, "Accepted; what waits for the API is bounded by bytes, and shared among accounts: requests that wait.";
        info_queue_limit: Restarts, "Accepted; what waits for the API is bounded by bytes, and shared among accounts: requests for information that wait.";
        max_concurrent_io: Restarts, "Accepted; what waits for the API is bounded by bytes, and shared among accounts: calls of the file system at a time.";
    }
}

block! {
    /// How streams in files are encrypted.
    pub struct Encryption in "jetstream" {
        /// `None`: streams in files are not encrypted.
        key: Option<Secret> = None,
            key | "ek" | "encryption_key": "Key by which streams in files are encrypted, long and random. Default: they are not. See [jetstream.md](jetstream.md).",
            read (secret), Within(Restarts);
        /// The key that the streams are still encrypted by.
        previous: Option<Secret> = None,
            prev_key | "prev_ek" | "prev_encryption_key": "Key that was there before `key`: needed for the one start that changes it.",
            read (secret), Within(Restarts);
        cipher: Cipher = Cipher::default(),
            cipher: "How they are encrypted: `chachapoly`, or `chacha`, ChaCha20-Poly1305, or `aes`, AES-256-GCM. Default `chachapoly`.",
            read (cipher), Within(Restarts);
    }
}

block! {
    /// What streams and consumers may ask for; 0: whatever they like.
    #[derive(Copy, Eq)]
    pub struct JetStreamLimits in "jetstream_limits" {
        ack_pending_max: u64 = 0,
            max_ack_pending: "Highest `max_ack_pending` of a consumer.", read (natural), Within(Reloads);
        request_batch_max: u64 = 0,
            max_request_batch: "Highest `max_batch` of a consumer.", read (natural), Within(Reloads);
        /// Zero: the official one.
        duplicate_window_max: Duration = Duration::ZERO,
            duplicate_window: "Longest `duplicate_window` of a stream.", read (reader::duration_text), Within(Reloads);
        consumers_default_max: u64 = CONSUMERS_DEFAULT_MAX,
            default_max_consumers: "Consumers of a stream where neither it nor its account says how many; 0 and -1: no limit. Default 1000.",
            read (natural), Within(Reloads);
        /// What batches may take.
        batch: BatchLimits = BatchLimits::default(),
            batch: "What batches of publishes may take.", block (batch), Within(Reloads);
    }
    also {
        max_ha_assets: Restarts, "Accepted; of replicated streams, which a server alone has not: replicated streams and consumers.";
    }
}

block! {
    /// What batches of publishes may take; 0: the official default.
    #[derive(Copy, Eq)]
    pub struct BatchLimits in "jetstream_batch" {
        per_stream_max: u64 = 0,
            max_inflight_per_stream: "Open batches of a stream. Default 50 atomic and 1,000 fast ones.", read (natural), Within(Reloads);
        open_max: u64 = 0,
            max_inflight_total: "Open batches of the server. Default 1,000 atomic and 50,000 fast ones.", read (natural), Within(Reloads);
        messages_max: u64 = 0,
            max_msgs: "Messages of an atomic batch. Default 1,000.", read (natural), Within(Reloads);
        /// Zero: ten seconds.
        timeout: Duration = Duration::ZERO,
            timeout: "How long a batch may wait for its next message. Default 10s.", read (reader::duration_text), Within(Reloads);
    }
}

/// When publishers are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// When the message is on disk.
    #[default]
    Synced,
    /// When it is written, which the end of the machine may take back.
    Written,
}

/// How streams in files are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cipher {
    /// `ChaCha20` with Poly1305.
    #[default]
    ChaCha20Poly1305,
    /// AES-256 in Galois/Counter mode.
    Aes256Gcm,
}

impl Cipher {
    /// As it stands in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChaCha20Poly1305 => "ChaCha20-Poly1305",
            Self::Aes256Gcm => "AES-GCM",
        }
    }
}

/// What is said of syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// `always`.
    Always,
    /// A time between syncs.
    Every(Duration),
}

impl Default for Sync {
    fn default() -> Self {
        Self::Every(SYNC_INTERVAL)
    }
}

/// `true`, `enabled` or a block. `None`: it is off.
pub(crate) fn jetstream(value: &Value, notes: &mut Notes) -> Option<JetStream> {
    let mut out = JetStream { at: value.at.clone().into(), ..JetStream::default() };
    match &value.kind {
        Kind::Map(map) => {
            let block = Block::new("jetstream", map, &mut notes.errors);
            out.read(&block, notes);
            out.encryption.read(&block, notes);
            without_effect(&block, notes);
        }
        _ => out.enabled = noted(switch(value), &mut notes.errors).unwrap_or_default(),
    }
    out.enabled.then_some(out)
}

/// Keys that are checked and mean nothing to a server alone.
fn without_effect(block: &Block<'_>, notes: &mut Notes) {
    let (mut text, mut is_set, mut bytes, mut number) = (None, false, None, 0);
    block.set("extension_hint", &mut text, &mut notes.errors, reader::optional);
    block.set("meta_compact_sync", &mut is_set, &mut notes.errors, reader::boolean);
    for key in ["max_outstanding_catchup", "meta_compact_size", "max_buffered_size"] {
        block.set(key, &mut bytes, &mut notes.errors, |value| size(value, key));
    }
    let numbers =
        ["meta_compact", "max_buffered_msgs", "request_queue_limit", "info_queue_limit", "max_concurrent_io"];
    for key in numbers {
        block.set(key, &mut number, &mut notes.errors, natural);
    }
}

/// What stands for on or off where a block could stand.
pub(super) fn switch(value: &Value) -> Result<bool, ConfigError> {
    match &value.kind {
        Kind::Bool(is_on) => Ok(*is_on),
        Kind::String(text) => match text.to_ascii_lowercase().as_str() {
            "enabled" | "enable" => Ok(true),
            "disabled" | "disable" => Ok(false),
            _ => Err(ConfigError::new(&value.at, "Expected 'enabled' or 'disabled' for string value")),
        },
        _ => Err(ConfigError::new(&value.at, "Expected map, bool or string to define JetStream")),
    }
}

/// Bytes: a number, or text such as `10G`. `None`: -1, which stands for what there is.
fn size(value: &Value, key: &str) -> Result<Option<u64>, ConfigError> {
    let wrong = |why: &str| ConfigError::new(&value.at, format!("{key} {why}"));
    let bytes = match &value.kind {
        Kind::Integer(n) | Kind::Millions(n) => *n,
        Kind::String(text) if text.is_empty() => 0,
        Kind::String(text) => {
            let suffixes = ["K", "M", "G", "T"];
            let split = suffixes.iter().zip(1..).find_map(|(s, n)| Some((text.strip_suffix(s)?, n * 10)));
            let (digits, bits) =
                split.ok_or_else(|| wrong("sizes defined as strings must end in K, M, G, T"))?;
            let number: i64 = digits.parse().map_err(|_| wrong("is no size, such as `10G`"))?;
            number.checked_mul(1_i64 << bits).ok_or_else(|| wrong("is too large"))?
        }
        _ => return Err(wrong("must be int64 or string")),
    };
    Ok(u64::try_from(bytes).ok())
}

/// Bytes of memory; with less than a little there is no work to be done.
fn memory_limit(value: &Value) -> Result<Option<u64>, ConfigError> {
    let bytes = size(value, "memory_limit")?;
    if bytes.is_some_and(|bytes| bytes < MEMORY_LIMIT_MIN) {
        return Err(ConfigError::new(&value.at, "memory_limit is at least 16M"));
    }
    Ok(bytes)
}

fn sync(value: &Value) -> Result<Sync, ConfigError> {
    match &value.kind {
        Kind::String(text) if text.eq_ignore_ascii_case("always") => Ok(Sync::Always),
        _ => reader::duration(value).map(Sync::Every),
    }
}

/// A key; an empty one is none.
fn secret(value: &Value) -> Result<Option<Secret>, ConfigError> {
    Ok(reader::optional(value)?.map(Secret::new))
}

fn cipher(value: &Value) -> Result<Cipher, ConfigError> {
    let text = reader::text(value)?;
    match text.to_ascii_lowercase().as_str() {
        "chacha" | "chachapoly" => Ok(Cipher::ChaCha20Poly1305),
        "aes" => Ok(Cipher::Aes256Gcm),
        _ => Err(ConfigError::new(&value.at, format!("Unknown cipher type: {text:?}"))),
    }
}

fn acks(value: &Value) -> Result<Acks, ConfigError> {
    match &value.kind {
        Kind::String(text) if text.eq_ignore_ascii_case("synced") => Ok(Acks::Synced),
        Kind::String(text) if text.eq_ignore_ascii_case("written") => Ok(Acks::Written),
        _ => Err(ConfigError::new(&value.at, "ack_when is `synced` or `written`")),
    }
}

fn limits(value: &Value, notes: &mut Notes) -> JetStreamLimits {
    let mut out = JetStreamLimits::default();
    if let Some(map) = noted(reader::map(value), &mut notes.errors) {
        let block = Block::new("jetstream_limits", map, &mut notes.errors);
        out.read(&block, notes);
        block.set("max_ha_assets", &mut 0, &mut notes.errors, natural);
    }
    out
}

fn batch(value: &Value, notes: &mut Notes) -> BatchLimits {
    let mut out = BatchLimits::default();
    if let Some(map) = noted(reader::map(value), &mut notes.errors) {
        out.read(&Block::new("jetstream_batch", map, &mut notes.errors), notes);
    }
    out
}

/// A count; below 0 is none.
fn natural(value: &Value) -> Result<u64, ConfigError> {
    reader::integer(value).map(|n| u64::try_from(n).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language;
    use std::path::Path;

    fn read(text: &str) -> (Option<JetStream>, Vec<String>) {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let text = format!("jetstream: {text}");
        let map = language::parse_text(&text, "t.conf", &mut files, &|_| None).expect("parsed");
        let mut notes = Notes::default();
        let value = &map.iter().next().expect("a key").value;
        let out = jetstream(value, &mut notes);
        (out, notes.errors.iter().map(|error| error.problem.clone()).collect())
    }

    #[test]
    fn on_and_off() {
        for on in ["true", "enabled", "Enable", "{}", "{ enabled: true }", "{ domain: d }"] {
            assert!(read(on).0.is_some(), "{on}");
        }
        for off in ["false", "disabled", "{ enabled: false }", "{ enable: false, domain: d }"] {
            assert_eq!(read(off), (None, Vec::new()), "{off}");
        }
    }

    #[test]
    fn a_block() {
        let (out, errors) = read(
            "{ store: '/x', max_mem: 1GB, max_file: '2G', domain: hub, sync: always, strict: false,
               limits { max_ack_pending: 5, duplicate_window: '2m', batch { max_msgs: 7, timeout: '1s' } } }",
        );
        let out = out.expect("on");
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(out.store_dir, Some("/x".into()));
        assert_eq!((out.memory_bytes_max, out.file_bytes_max), (Some(1 << 30), Some(2 << 30)));
        assert_eq!((out.domain.as_deref(), out.sync, out.strict), (Some("hub"), Sync::Always, false));
        assert_eq!((out.limits.ack_pending_max, out.limits.request_batch_max), (5, 0));
        assert_eq!(out.limits.duplicate_window_max, Duration::from_secs(120));
        let batch = out.limits.batch;
        assert_eq!((batch.messages_max, batch.open_max, batch.timeout), (7, 0, Duration::from_secs(1)));
        assert_eq!(out.acks, Acks::Synced);
        assert_eq!(read("{ ack_when: Written }").0.map(|out| out.acks), Some(Acks::Written));
        let sealed = read("{ ek: one, prev_encryption_key: two, cipher: AES }").0.expect("on");
        assert_eq!(sealed.encryption.key.as_ref().map(Secret::expose), Some("one"));
        assert_eq!(sealed.encryption.previous.as_ref().map(Secret::expose), Some("two"));
        assert_eq!(
            (sealed.encryption.cipher, out.encryption.cipher),
            (Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305)
        );
        assert_eq!(read("{ key: '' }").0.and_then(|out| out.encryption.key), None);
        let sizes = read("{ max_mem: -1, max_file: 0 }").0.expect("on");
        assert_eq!((sizes.memory_bytes_max, sizes.file_bytes_max), (None, Some(0)));
        let limit = |text: &str| read(&format!("{{ memory_limit: {text} }}")).0.map(|out| out.memory_limit);
        assert_eq!(
            (limit("128MB"), limit("'16M'"), limit("-1")),
            (Some(Some(128 << 20)), Some(Some(16 << 20)), Some(None))
        );
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (block, expected) in [
            ("5", "Expected map, bool or string to define JetStream"),
            ("on_", "Expected 'enabled' or 'disabled' for string value"),
            ("{ max_mem: '5X' }", "max_mem_store sizes defined as strings must end in K, M, G, T"),
            ("{ max_file: 'xG' }", "max_file_store is no size, such as `10G`"),
            ("{ max_file: '9999999999T' }", "max_file_store is too large"),
            ("{ max_file: 1.5 }", "max_file_store must be int64 or string"),
            ("{ domian: x }", "unknown field \"domian\""),
            ("{ key: x, cipher: foo }", "Unknown cipher type: \"foo\""),
            ("{ memory_limit: 15MB }", "memory_limit is at least 16M"),
            ("{ ack_when: soon }", "ack_when is `synced` or `written`"),
            ("{ limits { batch { max: 5 } } }", "unknown field \"max\""),
        ] {
            assert_eq!(read(block).1, [expected], "{block}");
        }
    }
}
