//! Restores: a stream is made of an archive that a client sends in chunks. Each chunk is answered when what it holds is handed to the store.
//!
//! It is done piece by piece on the thread of the API, which answers others in between. A stream that is not whole is seen by nobody.

use super::api::{Answered, Request};
use super::documents::{self, Details};
use super::{audit, checks, streams};
use crate::internal::{Domain, Message, Outgoing, Served, Timer};
use crate::log::Event;
use crate::node::{Executor, Listener};
use crate::streams::{LoadError, Loading, Transfer, event_of_now, publish_event, wall};
use dialtone_broker::account::Account;
use dialtone_jetstream::api::advisories::{ClientShown, RestoreBegun, RestoreEnded};
use dialtone_jetstream::api::names::RESTORE_PREFIX;
use dialtone_jetstream::api::{
    Endpoint, Response, RestoreRequest, RestoreResponse, StreamCreateResponse, StreamState,
};
use dialtone_jetstream::archive::{ArchiveError, ConsumerEntry, Entry};
use dialtone_jetstream::backup::BackupReader;
use dialtone_jetstream::config::{self, StreamConfig};
use dialtone_jetstream::error::{self, ApiError};
use dialtone_jetstream::json;
use dialtone_jetstream::stream::Archived;
use dialtone_jetstream::time::Time;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long no chunk may come. The official span.
const IDLE: Duration = Duration::from_secs(5);
/// Bytes of an archive that are expanded at once: few, since they may become very many.
const PIECE_BYTES: usize = 256;
/// How long one restore works before others have their turn.
const TURN: Duration = Duration::from_millis(10);
/// Bytes of chunks that may wait: a client that sends without waiting for answers.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Messages that consumers of an archive may have waiting, all together.
const PENDING_MAX: usize = 4 << 20;
/// Consumers that an archive may have.
const CONSUMERS_MAX: usize = 100_000;

/// Why a restore does not succeed.
#[derive(Debug, thiserror::Error)]
enum Problem {
    /// It is not an error of the archive.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The stream cannot be made.
    #[error("error adding stream: {0}")]
    Stream(ApiError),
    /// A consumer cannot be made.
    #[error("failed to add consumer {0:?}: {1}")]
    Consumer(String, ApiError),
    /// Where it is kept.
    #[error(transparent)]
    Load(LoadError),
    /// Too much.
    #[error("the archive has too many consumers, or too much waits for them")]
    TooMany,
    /// The client sends too fast.
    #[error("too much waits to be restored")]
    Flood,
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::StorageFull => Self::Api(error::STORAGE_RESOURCES_EXCEEDED.error()),
            LoadError::MemoryFull => Self::Api(error::MEMORY_RESOURCES_EXCEEDED.error()),
            LoadError::Exists => Self::Api(error::STREAM_NAME_EXIST_RESTORE_FAILED.error()),
            other => Self::Load(other),
        }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Api(error) => error,
            other => error::STREAM_RESTORE.with(other),
        }
    }
}

/// A piece of an archive that came, and how much of it was taken in.
struct Chunk {
    reply: Box<str>,
    bytes: Box<[u8]>,
    used: usize,
}

/// A restore that is under way.
struct Receiving {
    account: Arc<Account>,
    /// Who asked.
    client: ClientShown,
    config: StreamConfig,
    served: Option<Served>,
    timer: Option<Timer>,
    start: Time,
    bytes: u64,
    waiting: VecDeque<Chunk>,
    is_scheduled: bool,
    reader: Option<BackupReader>,
    made: Made,
    _transfer: Transfer,
}

/// What was made of an archive so far.
#[derive(Default)]
struct Made {
    state: Option<StreamState>,
    loading: Option<Loading>,
    consumers: Vec<(String, ConsumerEntry)>,
    pending: usize,
    /// It is of a server before 2.15, whose files may have a message more than once.
    is_of_folder: bool,
}

type Shared = Arc<Mutex<Receiving>>;

/// Answers where the chunks of the archive go.
pub(super) fn restore(request: &mut Request<'_>) -> Answered {
    let deliver_subject = begin(request)?;
    let response = Response::ok(request.asked.endpoint);
    Ok(json::to_vec(&RestoreResponse { response, deliver_subject }))
}

fn begin(request: &mut Request<'_>) -> Result<String, ApiError> {
    let asked: RestoreRequest = request.body(RestoreRequest::GO)?;
    if asked.config.name != request.asked.stream {
        return Err(error::STREAM_MISMATCH.error());
    }
    let config = streams::with_context((&request.executor.node, &request.account), |context| {
        config::restored_stream(&asked.config, context)
    })?;
    let config = StreamConfig { sealed: asked.config.sealed, ..config };
    let transfer = request.executor.node.streams.transfers.begin(request.account.id);
    let transfer = transfer.ok_or_else(|| error::STREAM_RESTORE.with("too many restores at once"))?;
    let (node, account) = (request.node(), request.account.clone());
    let payload_max = streams::payload_max(&node);
    let subject = format!("{RESTORE_PREFIX}{}.{}", config.name, crate::random::name(22));
    let shared = Arc::new(Mutex::new(Receiving {
        account: account.clone(),
        client: audit::client(request),
        reader: Some(BackupReader::new(&config.name, payload_max)),
        config,
        served: None,
        timer: None,
        start: Time::from_unix_nanos(wall()),
        bytes: 0,
        waiting: VecDeque::new(),
        is_scheduled: false,
        made: Made::default(),
        _transfer: transfer,
    }));
    let receiving = shared.clone();
    let handler = Arc::new(move |executor: &mut Executor, message: &Message| {
        took(executor, &receiving, message);
    });
    let listener = Listener::In(Domain::JetStream, handler);
    let served = node.internal.serve(&node.connections.registry, &account, &subject, None, listener);
    {
        let mut receiving = shared.lock();
        receiving.served = Some(served);
        let (stream, domain) = (receiving.config.name.clone(), super::domain(&node));
        let (_, turn) = request.executor.parts();
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.RESTORE_CREATE.{stream}");
        let event = event_of_now("advisory.v1.restore_create");
        let body = RestoreBegun { event, stream, client: Some(receiving.client.clone()), domain };
        turn.within(|turn| publish_event(turn, &account, &subject, &body));
    }
    await_chunk(request.executor, &shared);
    Ok(subject)
}

/// Gives up when nothing comes.
fn await_chunk(executor: &mut Executor, shared: &Shared) {
    let waiting = Arc::downgrade(shared);
    let timer = executor.after(IDLE, move |executor| {
        let Some(shared) = waiting.upgrade() else { return };
        let mut receiving = shared.lock();
        let (account, stream) = (&receiving.account.name, &receiving.config.name);
        let text =
            format_args!("JetStream: the restore of stream {stream:?} of account {account:?} is stalled");
        executor.node.log.emit(Event::Warning, "", text);
        receiving.close(executor);
    });
    if let Some(before) = shared.lock().timer.replace(timer) {
        executor.cancel(before);
    }
}

/// A chunk came.
fn took(executor: &mut Executor, shared: &Shared, message: &Message) {
    {
        let mut receiving = shared.lock();
        if receiving.reader.is_none() {
            return;
        }
        if let Some(timer) = receiving.timer.take() {
            executor.cancel(timer);
        }
        if message.reply.is_empty() {
            return receiving.close(executor);
        }
        let waiting: usize = receiving.waiting.iter().map(|chunk| chunk.bytes.len()).sum();
        if waiting + message.payload.len() > WAITING_BYTES_MAX {
            return receiving.fail(executor, &message.reply, Problem::Flood);
        }
        let (reply, bytes) = (message.reply.clone(), message.payload.clone());
        receiving.waiting.push_back(Chunk { reply, bytes, used: 0 });
    }
    work(executor, shared);
}

/// Takes in what came, some of it.
fn work(executor: &mut Executor, shared: &Shared) {
    let until = Instant::now() + TURN;
    let mut receiving = shared.lock();
    while let Some(mut chunk) = receiving.waiting.pop_front() {
        if chunk.bytes.is_empty() {
            return receiving.finish(executor, &chunk.reply);
        }
        while chunk.used < chunk.bytes.len() {
            if Instant::now() >= until {
                receiving.waiting.push_front(chunk);
                return receiving.go_on_later(executor, shared);
            }
            let end = chunk.bytes.len().min(chunk.used + PIECE_BYTES);
            let piece = chunk.bytes.get(chunk.used..end).unwrap_or_default();
            if let Err(problem) = receiving.take(executor, piece) {
                return receiving.fail(executor, &chunk.reply, problem);
            }
            chunk.used = end;
        }
        receiving.bytes += chunk.bytes.len() as u64;
        executor.publish(&receiving.account, &Outgoing::new(&*chunk.reply, Vec::new()));
    }
    drop(receiving);
    await_chunk(executor, shared);
}

impl Receiving {
    fn go_on_later(&mut self, executor: &mut Executor, shared: &Shared) {
        if !std::mem::replace(&mut self.is_scheduled, true) {
            let shared = shared.clone();
            executor.node.internal.run_in(Domain::JetStream, move |executor| {
                shared.lock().is_scheduled = false;
                work(executor, &shared);
            });
        }
    }

    /// Takes in a piece of the archive.
    fn take(&mut self, executor: &Executor, piece: &[u8]) -> Result<(), Problem> {
        let Some(mut reader) = self.reader.take() else { return Ok(()) };
        let mut done = Ok(());
        let read = reader.read(piece, &mut |entry| {
            if done.is_ok() {
                done = self.entry(executor, entry);
            }
        });
        self.reader = Some(reader);
        done?;
        Ok(read?)
    }

    fn entry(&mut self, executor: &Executor, entry: Entry) -> Result<(), Problem> {
        match entry {
            Entry::State(state) => {
                let loading = self.begin_stream(executor, &state)?;
                self.made.is_of_folder = *state == StreamState::default();
                self.made.state = Some(*state);
                self.made.loading = Some(loading);
            }
            Entry::Consumer(name, entry) => {
                let state = entry.state.as_ref();
                self.made.pending +=
                    state.map_or(0, |state| state.pending.0.len() + state.redelivered.0.len());
                if self.made.consumers.len() >= CONSUMERS_MAX || self.made.pending > PENDING_MAX {
                    return Err(Problem::TooMany);
                }
                self.made.consumers.push((name, *entry));
            }
            Entry::Message { subject, seq, time, headers, payload } => {
                let Some(loading) = &mut self.made.loading else {
                    return Err(ArchiveError::StateFirst.into());
                };
                let subject = subject.as_bytes();
                if seq <= loading.last() && self.made.is_of_folder {
                    return Ok(());
                }
                loading.message(&Archived { seq, time, subject, headers: &headers, payload: &payload })?;
            }
            Entry::Deleted { seq, time } => {
                if let Some(loading) = &mut self.made.loading {
                    loading.delete(seq, time)?;
                }
            }
            Entry::Damaged { bytes } => {
                let (account, stream) = (&self.account.name, &self.config.name);
                let text = format_args!(
                    "JetStream: {bytes} bytes of messages in the archive of stream {stream:?} of account {account:?} are damaged and left out"
                );
                executor.node.log.emit(Event::Warning, "", text);
            }
            Entry::End => {
                if let Made { loading: Some(loading), state: Some(state), .. } = &mut self.made {
                    let time = if state.last_ts.is_zero() { 0 } else { state.last_ts.unix_nanos() };
                    loading.skip_to(state.last_seq, time)?;
                }
            }
        }
        Ok(())
    }

    fn begin_stream(&mut self, executor: &Executor, state: &StreamState) -> Result<Loading, Problem> {
        let node = &executor.node;
        let restored = streams::with_context((node, &self.account), |context| {
            config::restore_stream(&self.config, context)
        });
        self.config = restored.map_err(|error| match error == error::STREAM_NAME_EXIST_RESTORE_FAILED {
            true => Problem::Api(error),
            false => Problem::Stream(error),
        })?;
        let Some(shared) = node.streams.shared() else { return Err(error::NOT_ENABLED.error().into()) };
        let parts = (shared, streams::payload_max(node));
        let mut loading =
            Loading::begin(&node.streams.all, &self.account, (self.config.clone(), None), parts)?;
        loading.skip_to(state.first_seq.saturating_sub(1), 0)?;
        Ok(loading)
    }

    /// All came: the stream is made.
    fn finish(&mut self, executor: &mut Executor, reply: &str) {
        let finished = match self.reader.take() {
            Some(reader) => reader.finish().map_err(Problem::from),
            None => return,
        };
        let hosted = finished.and_then(|()| {
            let Made { loading, consumers, .. } = std::mem::take(&mut self.made);
            let mut loading = loading.ok_or(ArchiveError::Truncated)?;
            for (name, ConsumerEntry { config, state }) in consumers {
                let (config, state) = (config.unwrap_or_default(), state.unwrap_or_default());
                let checked = checks::restored(
                    (&executor.node, &self.account),
                    &self.config,
                    &loading,
                    (&name, config),
                );
                let config = checked.map_err(|error| Problem::Consumer(name.clone(), error))?;
                loading.consumer((&name, None), config, &state)?;
            }
            Ok(loading.finish(&executor.node.streams.all)?)
        });
        let hosted = match hosted {
            Ok(hosted) => hosted,
            Err(problem) => return self.fail(executor, reply, problem),
        };
        hosted.open(&executor.node.connections.registry);
        let (info, _) = documents::stream(&hosted, &Details::default());
        let response = Response::ok(Endpoint::StreamCreate);
        let created = json::to_vec(&StreamCreateResponse { response, info: Some(info), did_create: false });
        self.say_ended(executor);
        executor.publish(&self.account, &Outgoing::new(reply, created));
        self.close(executor);
    }

    fn fail(&mut self, executor: &mut Executor, reply: &str, problem: Problem) {
        let (account, stream) = (&self.account.name, &self.config.name);
        let text =
            format_args!("JetStream: the restore of stream {stream:?} of account {account:?}: {problem}");
        executor.node.log.emit(Event::Warning, "", text);
        self.say_ended(executor);
        let error = ApiError::from(problem);
        let answer = json::to_vec(&Response::error(Endpoint::StreamCreate, error));
        executor.publish(&self.account, &Outgoing::new(reply, answer));
        self.close(executor);
    }

    fn say_ended(&self, executor: &mut Executor) {
        let domain = super::domain(&executor.node);
        let (stream, start) = (self.config.name.clone(), self.start);
        let bytes = i64::try_from(self.bytes).unwrap_or(i64::MAX);
        let (_, turn) = executor.parts();
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.RESTORE_COMPLETE.{stream}");
        let event = event_of_now("advisory.v1.restore_complete");
        let (end, client) = (event.timestamp, Some(self.client.clone()));
        let body = RestoreEnded { event, stream, start, end, bytes, client, domain };
        turn.within(|turn| publish_event(turn, &self.account, &subject, &body));
    }

    /// Takes nothing any more; what is not whole is gone.
    fn close(&mut self, executor: &mut Executor) {
        (self.reader, self.made) = (None, Made::default());
        self.waiting.clear();
        if let Some(timer) = self.timer.take() {
            executor.cancel(timer);
        }
        if let Some(served) = self.served.take() {
            executor.node.internal.withdraw(&served);
        }
    }
}
