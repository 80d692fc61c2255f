//! Opening the store and taking up the streams that it has; and ending.

use super::takeover::{Takeover, TakeoverError};
use super::{api, renew_quota};
use crate::log::{Event, Logger};
use crate::node::Node;
use crate::policy::Policy;
use crate::process;
use crate::streams::{
    Capacity, Checkpoints, Damaged, INTERVAL, OpenBatches, Recovery, Shared, SubjectForms, Watchdog,
    event_of_now, memory_limit, publish_event, wall,
};
use dialtone_broker::deliver::Turn;
use dialtone_config::Secret;
use dialtone_config::options::jetstream::{self, Acks, Sync};
use dialtone_config::options::{BatchLimits, JetStream};
use dialtone_jetstream::api::advisories::StreamDamaged;
use dialtone_jetstream::api::domain_mappings;
use dialtone_jetstream::consumer::Info;
use dialtone_jetstream::stream;
use dialtone_net::threads::Watch;
use dialtone_store::{
    CheckpointError, Cipher, Encryption, Key, Keys, OpenError, Options, RealDisk, Store, Urgency,
};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The official name of the folder in `store_dir`.
pub(crate) const FOLDER: &str = "jetstream";
/// Ours in it: those beside it are accounts of official servers.
pub(crate) const STORE: &str = "dialtone";
/// How long one turn of the thread of streams may take before it is reported to stand still.
const STALL: Duration = Duration::from_secs(30);

/// Checkpoints are no more often than that, whatever the configuration says.
const CHECKPOINT_INTERVAL_MIN: Duration = Duration::from_millis(20);

/// Why JetStream does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// What an official server left there cannot be taken over.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
    /// An account is promised more than the server has.
    #[error("account {account:?} may have {asked} bytes of streams in {place}, and the server {max}")]
    AccountBeyond {
        /// The account.
        account: String,
        /// Memory, or files.
        place: &'static str,
        /// What it may have.
        asked: u64,
        /// What the server may have.
        max: u64,
    },
    /// The system refuses a thread.
    #[error("cannot start the thread of streams: {0}")]
    Thread(std::io::Error),
}

/// Where streams are kept.
fn folder(own: &JetStream, server: Option<&Path>) -> (PathBuf, bool) {
    match own.store_dir.as_deref().or(server) {
        Some(dir) => (dir.join(FOLDER), false),
        None => (std::env::temp_dir().join("nats").join(FOLDER), true),
    }
}

fn capacity(own: &JetStream, folder: &Path) -> Capacity {
    let three_quarters = |bytes: u64| bytes / 4 * 3;
    let free = || process::disk_bytes_free(folder).map_or(u64::MAX / 2, three_quarters);
    let memory = || process::memory_bytes().map_or(256 * 1024 * 1024, three_quarters);
    Capacity {
        folder: folder.to_owned(),
        memory_bytes_max: own.memory_bytes_max.unwrap_or_else(memory),
        file_bytes_max: own.file_bytes_max.unwrap_or_else(free),
    }
}

/// How many batches of publishes there may be.
fn batches(asked: &BatchLimits) -> (stream::BatchLimits, Option<usize>) {
    let given = |value: u64| usize::try_from(value).ok().filter(|&value| value > 0);
    let timeout = i64::try_from(asked.timeout.as_nanos()).ok().filter(|&nanos| nanos > 0);
    let limits = stream::BatchLimits {
        per_stream: given(asked.per_stream_max),
        messages: Some(asked.messages_max).filter(|&messages| messages > 0),
        timeout,
    };
    (limits, given(asked.open_max))
}

/// Starts JetStream, if the options ask for it.
///
/// # Errors
/// The store cannot be opened.
pub(crate) fn start(node: &Arc<Node>, policy: &Policy) -> Result<(), StartError> {
    let Some(own) = &policy.options.jetstream else { return Ok(()) };
    let say = |text: std::fmt::Arguments<'_>| node.log.emit(Event::Starting, "", text);
    let (folder, is_temporary) = folder(own, policy.options.operation.staples.store_dir.as_deref());
    if is_temporary {
        let text = "Temporary storage directory used, data could be lost on system reboot";
        node.log.emit(Event::Warning, "", format_args!("{text}"));
    }
    let takeover = Takeover::plan(&folder, STORE, own)?;
    let capacity = capacity(own, &folder);
    promised(policy, &capacity)?;
    say(format_args!("---------------- JETSTREAM ----------------"));
    say(format_args!("  Max Memory:      {} bytes", capacity.memory_bytes_max));
    say(format_args!("  Max Storage:     {} bytes", capacity.file_bytes_max));
    let memory = memory_limit(own.memory_limit);
    say(format_args!("  Store Directory: {:?}", folder.display().to_string()));
    if own.memory_limit.is_some() {
        say(format_args!("  Memory Limit:    {memory} bytes for streams in files"));
    }
    if let Some(domain) = &own.domain {
        say(format_args!("  Domain:          {domain}"));
    }
    if own.encryption.key.is_some() {
        say(format_args!("  Encryption:      {}", own.encryption.cipher.name()));
    }
    let acks_when_written = own.acks == Acks::Written;
    if acks_when_written {
        say(format_args!("  Acknowledged:    when written, before the sync (ack_when)"));
    }
    say(format_args!("-------------------------------------------"));
    let (limits, open_max) = batches(&own.limits.batch);
    let acks = (OpenBatches::new(limits, open_max), acks_when_written);
    let features = &policy.options.server.features;
    let forms = SubjectForms { acks_v2: features.ack_subjects_v2(), replies_v2: features.api_replies_v2() };
    let (gate, totals) = (node.delivery.gate.clone(), node.delivery.totals.clone());
    let shared = Shared::new((own.domain.as_deref(), forms), acks, gate, totals);
    shared.quota.set_max(capacity.limits());
    shared.set_memory(memory);
    if let Some(takeover) = &takeover {
        takeover.begin()?;
    }
    recover(node, policy, &shared, &folder.join(STORE))?;
    if let Some(takeover) = takeover {
        takeover.run(node, &shared, STORE)?;
    }
    node.streams.begin(shared, capacity);
    for hosted in node.streams.all.all() {
        hosted.open(&node.connections.registry);
    }
    work(node).map_err(StartError::Thread)?;
    keep_checkpoints(node).map_err(StartError::Thread)?;
    follow(node);
    node.streams.set_starting(None);
    Ok(())
}

/// Whether the server has what is promised to each account of the configuration.
fn promised(policy: &Policy, capacity: &Capacity) -> Result<(), StartError> {
    for account in &policy.options.access.accounts {
        let Some(own) = &account.jetstream else { continue };
        for (place, asked, max) in [
            ("memory", own.memory_bytes_max, capacity.memory_bytes_max),
            ("files", own.file_bytes_max, capacity.file_bytes_max),
        ] {
            if let Some(asked) = asked.filter(|&asked| asked > max) {
                return Err(StartError::AccountBeyond { account: account.name.clone(), place, asked, max });
            }
        }
    }
    Ok(())
}

/// Opens the store, and makes the streams that it has.
fn recover(node: &Arc<Node>, policy: &Policy, shared: &Arc<Shared>, folder: &Path) -> Result<(), StartError> {
    let begin = Instant::now();
    let payload_max = u32::try_from(policy.options.limits.payload_bytes_max).unwrap_or(u32::MAX);
    let mut recovery = Recovery::new(wall(), payload_max, shared.index());
    let disk = Arc::new(RealDisk);
    let options =
        Options { encryption: policy.options.jetstream.as_ref().and_then(encryption), ..Options::default() };
    let store = Store::open(disk, folder, options, &mut |found| recovery.take(found))?;
    say_keys(&node.log, &store);
    std::mem::take(&mut recovery.problems).into_iter().for_each(|problem| shared.damages.note(problem));
    say_damages(node, shared);
    if recovery.torn_bytes > 0 {
        let text = format_args!(
            "JetStream: {} bytes at the end of the log had not been acknowledged and were left out",
            recovery.torn_bytes
        );
        node.log.emit(Event::Starting, "", text);
    }
    let writer = store.writer();
    shared.opened(store);
    shared.set_memory(shared.memory().bytes_max());
    if let Some(writer) = writer {
        node.threads.spawn("store", move || writer.run()).map_err(StartError::Thread)?;
    }
    for group in recovery.unfinished() {
        if let Some(Ok(mut batch)) = shared.store().map(|store| store.batch(Urgency::FreesRoom)) {
            batch.delete_group(group);
            batch.submit();
        }
    }
    let mut count = 0;
    for found in recovery.streams() {
        if let Some(store) = shared.store() {
            found.unused.drop_all(store, found.group);
        }
        // It is named above, and stays on disk as it is.
        let Some(state) = found.state else { continue };
        let account = node.accounts.make(&found.account, policy, &node.connections);
        node.streams.all.put(&account, shared, Some(found.group), state);
        count += 1;
    }
    if count > 0 {
        let text = format_args!("JetStream: {count} streams recovered in {:?}", begin.elapsed());
        node.log.emit(Event::Starting, "", text);
    }
    Ok(())
}

/// By what the store is encrypted.
pub(crate) fn encryption(own: &JetStream) -> Option<Encryption> {
    let key = |secret: &Secret| Key::new(secret.expose().as_bytes());
    Some(Encryption {
        cipher: match own.encryption.cipher {
            jetstream::Cipher::Aes256Gcm => Cipher::Aes256Gcm,
            jetstream::Cipher::ChaCha20Poly1305 => Cipher::ChaCha20Poly1305,
        },
        key: own.encryption.key.as_ref().map(key)?,
        previous: own.encryption.previous.as_ref().map(key),
    })
}

/// Says what is new of the keys.
fn say_keys(log: &Logger, store: &Store) {
    let text = match store.keys() {
        Keys::Plain | Keys::Same => return,
        Keys::Encrypted => "JetStream: streams in files are encrypted from now on",
        Keys::Changed => "JetStream: the encryption key is changed; the previous one is not needed any more",
        Keys::OtherCipher => "JetStream: streams in files are encrypted by another cipher from now on",
    };
    log.emit(Event::Starting, "", format_args!("{text}"));
    let bytes = store.to_seal_bytes();
    if bytes > 0 {
        let text = format_args!(
            "JetStream: {bytes} bytes of files are from before that, and are written anew in the background"
        );
        log.emit(Event::Starting, "", text);
    }
}

/// Starts the thread that works for streams behind commits and when time has come.
fn work(node: &Arc<Node>) -> std::io::Result<()> {
    let Some(shared) = node.streams.shared().cloned() else { return Ok(()) };
    let mut turn = node.delivery.turn(rand::random(), Instant::now());
    let log = node.log.clone();
    let run = move |progress: &dialtone_net::threads::Progress| {
        let (mut has_more, mut has_failed) = (false, false);
        while let Some(ready) = shared.next(has_more) {
            progress.begin();
            turn.begin(Instant::now());
            for hosted in ready {
                progress.next();
                turn.within(|turn| hosted.work(turn));
            }
            has_more = turn.finish();
            if let Some(failure) = shared.failure().filter(|_| !has_failed) {
                log.emit(Event::StoreFailed, "", format_args!("JetStream is off: {failure}"));
                has_failed = true;
            }
            progress.end();
        }
    };
    node.threads.spawn_watched("streams", Watch::new(STALL), run)?;
    read(node)
}

/// Starts the thread that reads the disk for streams.
fn read(node: &Arc<Node>) -> std::io::Result<()> {
    let Some(shared) = node.streams.shared().cloned() else { return Ok(()) };
    let mut turn = node.delivery.turn(rand::random(), Instant::now());
    let run = move || {
        let mut has_more = false;
        while let Some(next) = shared.next_read(has_more) {
            turn.begin(Instant::now());
            if let Some(hosted) = next {
                turn.within(|turn| hosted.read_later(turn));
            }
            has_more = turn.finish();
        }
    };
    node.threads.spawn("reader", run)?;
    Ok(())
}

/// Says what cannot be read.
fn say_damages(node: &Node, shared: &Shared) {
    let unsaid = shared.damages.take_unsaid();
    unsaid.iter().for_each(|one| node.log.emit(Event::Warning, "", format_args!("JetStream: {}", one.name)));
    if unsaid.iter().all(|one| one.of.is_none()) {
        return;
    }
    let mut turn = node.delivery.turn(rand::random(), Instant::now());
    turn.within(|turn| {
        for Damaged { name, of } in unsaid {
            let Some((hosted, stream_seq)) = of else { continue };
            let Some(account) = hosted.account() else { continue };
            let subject = format!("$JS.EVENT.ADVISORY.STREAM.DAMAGED.{}", hosted.name);
            let (stream, domain) = (hosted.name.to_string(), super::domain(node));
            let event = event_of_now("advisory.v1.stream_damaged");
            publish_event(
                turn,
                &account,
                &subject,
                &StreamDamaged { event, stream, stream_seq, error: name, domain },
            );
        }
    });
    while turn.finish() {
        turn.begin(Instant::now());
    }
}

/// Names consumers that deliver nothing though they could.
fn say_standing(node: &Node, (watchdog, turn): &mut (Watchdog, Turn)) {
    let now = Instant::now();
    for standing in watchdog.look(&node.streams.all, now) {
        let account = standing.hosted.account().map(|account| account.name.to_string()).unwrap_or_default();
        let (stream, seconds) = (&standing.hosted.name, standing.span.as_secs());
        let Info { num_pending, num_waiting, .. } = standing.info;
        let text = format_args!(
            "JetStream: consumer {:?} of stream {stream:?} in account {account:?} has delivered nothing for {seconds} s, \
             with {num_pending} messages and {num_waiting} requests: nothing is known that holds it up",
            standing.consumer
        );
        node.log.emit(Event::ConsumerStanding, "", text);
        node.streams.standing.fetch_add(1, Ordering::Relaxed);
        turn.begin(now);
        turn.within(|turn| standing.publish(turn));
        while turn.finish() {
            turn.begin(Instant::now());
        }
    }
}

/// Starts the thread that has checkpoints.
fn keep_checkpoints(node: &Arc<Node>) -> std::io::Result<()> {
    let Some(shared) = node.streams.shared().cloned() else { return Ok(()) };
    let has_news = node.streams.all.all().iter().any(|hosted| hosted.group.is_some());
    let interval = match node.settings.policy().options.jetstream.as_ref().map(|own| own.sync) {
        Some(Sync::Every(interval)) => interval.clamp(CHECKPOINT_INTERVAL_MIN, INTERVAL),
        _ => INTERVAL,
    };
    let here = node.clone();
    let run = move || {
        let watchdog =
            RefCell::new((Watchdog::new(Instant::now()), here.delivery.turn(rand::random(), Instant::now())));
        let say = |failed: Option<CheckpointError>| {
            if let Some(failed) = failed {
                here.log.emit(Event::Warning, "", format_args!("JetStream: {failed}"));
            }
            say_damages(&here, &shared);
            say_standing(&here, &mut watchdog.borrow_mut());
        };
        Checkpoints::new(&shared, &here.streams.all).run(interval, has_news, &say);
    };
    node.threads.spawn("checkpoints", run)?;
    Ok(())
}

/// Does what can fail of a reload to other options, before they are in force: JetStream that was never on is started.
///
/// # Errors
/// Why the reload is refused.
pub(crate) fn prepare(node: &Arc<Node>, policy: &Policy) -> Result<(), String> {
    let Some(own) = &policy.options.jetstream else { return Ok(()) };
    let Some(shared) = node.streams.shared_once_begun() else {
        return start(node, policy).map_err(|error| {
            node.streams.set_starting(None);
            format!("JetStream cannot be switched on: {error}")
        });
    };
    let (folder, _) = folder(own, policy.options.operation.staples.store_dir.as_deref());
    if folder != node.streams.capacity().folder || own.domain.as_deref() != shared.domain.as_deref() {
        return Err(
            "JetStream cannot be switched on again with another store_dir or domain: restart the server"
                .into(),
        );
    }
    Ok(())
}

/// Goes by what the policy says since a reload: JetStream is on or off, and what it may take.
pub(crate) fn renew(node: &Arc<Node>) {
    let policy = node.settings.policy();
    let Some(own) = &policy.options.jetstream else {
        node.streams.set_off(true);
        node.streams.all.all().iter().for_each(|hosted| hosted.set_served(false));
        return;
    };
    node.streams.set_off(false);
    let capacity = node.streams.capacity();
    let of = |given: Option<u64>, now: u64| given.unwrap_or(now);
    node.streams.resize(
        of(own.memory_bytes_max, capacity.memory_bytes_max),
        of(own.file_bytes_max, capacity.file_bytes_max),
    );
    if let Some(shared) = node.streams.shared() {
        shared.set_memory(memory_limit(own.memory_limit));
        let (limits, open_max) = batches(&own.limits.batch);
        shared.batches.set_limits(limits, open_max);
        node.streams.all.all().iter().for_each(|hosted| hosted.set_batch_limits(limits));
    }
    follow(node);
}

/// Answers the API in all accounts that there are and have not been answered yet, and has streams go by whether their account has JetStream.
pub(crate) fn follow(node: &Node) {
    let Some(shared) = node.streams.shared() else { return };
    let system = node.settings.policy().system_account().map(str::to_owned);
    let mappings = shared.domain.as_deref().map(domain_mappings).unwrap_or_default();
    for account in node.accounts.all() {
        if super::is_elsewhere(node, &account) {
            continue;
        }
        account.set_granted_mappings(&mappings);
        if node.streams.is_new(&account) {
            api::serve(node, &account, shared.domain.as_deref());
        }
        if system.as_deref() == Some(&*account.name) {
            continue;
        }
        renew_quota(node, &account);
        let is_served = super::has_jetstream(node, &account);
        node.streams.all.of(&account).iter().for_each(|hosted| hosted.set_served(is_served));
    }
}

/// The server is about to stop: whoever waits for messages is told.
pub(crate) fn say_stop(node: &Node) {
    if node.streams.shared().is_none() {
        return;
    }
    let mut turn = node.delivery.turn(rand::random(), Instant::now());
    turn.within(|turn| node.streams.all.all().iter().for_each(|hosted| hosted.say_stop(turn)));
    while turn.finish() {
        turn.begin(Instant::now());
    }
}

/// Ends JetStream: what was submitted is written.
pub(crate) fn stop(node: &Node) {
    if let Some(shared) = node.streams.shared_once_begun() {
        shared.close();
    }
}
