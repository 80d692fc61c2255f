//! Snapshots: a stream goes to whoever asked, as an archive in chunks. As much is on its way as the window lets; who acknowledges a chunk makes room for another.
//!
//! It is done piece by piece on the thread of the API, which answers others in between.

use super::api::{Answered, Request};
use super::audit;
use super::streams::named;
use crate::internal::{Domain, Message, Outgoing, Served, Timer};
use crate::node::{Executor, Listener};
use crate::streams::{ArchiveBegin, Hosted, Taken, Transfer, event_of_now, publish_event, wall};
use dialtone_broker::account::Account;
use dialtone_jetstream::api::advisories::{ClientShown, SnapshotBegun, SnapshotEnded};
use dialtone_jetstream::api::names::SNAPSHOT_ACK_PREFIX;
use dialtone_jetstream::api::{self, Endpoint, Response, SnapshotRequest, SnapshotResponse, StreamState};
use dialtone_jetstream::archive::Writer;
use dialtone_jetstream::error;
use dialtone_jetstream::json;
use dialtone_jetstream::time::Time;
use dialtone_subject::interest::{Entry as _, Matches};
use dialtone_subject::set;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a chunk that are not asked otherwise, and what they may be. The official figures.
const CHUNK_BYTES: (i64, i64, i64) = (1024, 128 * 1024, 1024 * 1024);
/// The same for what may be on its way.
const WINDOW_BYTES: (i64, i64, i64) = (1024, 8 * 1024 * 1024, 32 * 1024 * 1024);
/// How long nobody may listen at the beginning, and how often it is looked. The official span.
const INTEREST_LOOKS: (u32, Duration) = (20, Duration::from_millis(100));
/// How long no acknowledgement may come while the window is full.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// Chunks that are made before others have their turn.
const CHUNKS_PER_TURN: usize = 2;

/// An archive that is on its way.
struct Sending {
    hosted: Arc<Hosted>,
    account: Arc<Account>,
    /// Who asked.
    client: ClientShown,
    to: String,
    /// What acknowledgements' subjects begin with.
    acks: String,
    served: Option<Served>,
    timer: Option<Timer>,
    /// `None` once the end is written.
    writer: Option<Writer>,
    /// What is written and not sent.
    out: Vec<u8>,
    /// The next sequence to look at, and the last one.
    next: u64,
    last: u64,
    flow: Flow,
    start: Time,
    taken: Vec<Taken>,
}

/// How many chunks are on their way.
struct Flow {
    chunk_bytes: usize,
    chunks_max: usize,
    in_flight: usize,
    /// Chunks with an acknowledgement that were sent.
    sent: u64,
    had_interest: bool,
    is_done: bool,
    is_scheduled: bool,
    _transfer: Transfer,
}

type Shared = Arc<Mutex<Sending>>;

fn clamped(asked: i64, (least, default, most): (i64, i64, i64)) -> usize {
    let asked = if asked == 0 { default } else { asked };
    usize::try_from(asked.clamp(least, most)).unwrap_or(1024)
}

/// Answers what the archive is of, and begins to send it.
pub(super) fn snapshot(request: &mut Request<'_>) -> Answered {
    if api::is_empty(&request.message.payload) {
        return Err(error::BAD_REQUEST.error());
    }
    let hosted = named(request)?;
    let asked: SnapshotRequest = request.body(SnapshotRequest::GO)?;
    if !set::is_valid_literal(asked.deliver_subject.as_bytes()) {
        return Err(error::SNAPSHOT_DELIVER_SUBJECT_INVALID.error());
    }
    let transfer = request.executor.node.streams.transfers.begin(request.account.id);
    let transfer = transfer.ok_or_else(|| error::STREAM_SNAPSHOT.with("too many snapshots at once"))?;
    let (_, turn) = request.executor.parts();
    let captured = turn.within(|turn| hosted.begin_archive(!asked.no_consumers, turn));
    let captured = captured.ok_or_else(|| error::STREAM_NOT_FOUND.error())?;
    let client = audit::client(request);
    let (config, state) = (captured.config.clone(), captured.state.clone());
    let shared = begin(request.executor, hosted, &request.account, &asked, (captured, transfer, client));
    let response = Response::ok(Endpoint::StreamSnapshot);
    let response = SnapshotResponse { response, config: Some(config), state: Some(state.clone()) };
    // The advisory comes behind the answer, and the archive behind both.
    request.executor.node.internal.run_in(Domain::JetStream, move |executor| {
        say_begun(executor, &shared, state);
        await_interest(executor, &shared, INTEREST_LOOKS.0);
    });
    Ok(json::to_vec(&response))
}

fn begin(
    executor: &mut Executor,
    hosted: Arc<Hosted>,
    account: &Arc<Account>,
    asked: &SnapshotRequest,
    (captured, transfer, client): (ArchiveBegin, Transfer, ClientShown),
) -> Shared {
    let chunk_bytes = clamped(asked.chunk_size, CHUNK_BYTES);
    let window = clamped(asked.window_size, WINDOW_BYTES).max(chunk_bytes);
    let (mut writer, mut out, now) = (Writer::new(), Vec::new(), wall());
    let mut state = captured.state.clone();
    state.consumer_count = i64::try_from(captured.consumers.len()).unwrap_or(i64::MAX);
    writer.state(&state, now, &mut out);
    for (name, consumer) in &captured.consumers {
        writer.consumer(name, consumer, now, &mut out);
    }
    let acks = format!("{SNAPSHOT_ACK_PREFIX}{}.{}", hosted.name, crate::random::name(22));
    let shared = Arc::new(Mutex::new(Sending {
        hosted,
        account: account.clone(),
        client,
        to: asked.deliver_subject.clone(),
        acks: acks.clone(),
        served: None,
        timer: None,
        writer: Some(writer),
        out,
        next: state.first_seq,
        last: state.last_seq,
        flow: Flow {
            chunk_bytes,
            chunks_max: window / chunk_bytes,
            in_flight: 0,
            sent: 0,
            had_interest: false,
            is_done: false,
            is_scheduled: false,
            _transfer: transfer,
        },
        start: Time::from_unix_nanos(now),
        taken: Vec::new(),
    }));
    let acknowledged = shared.clone();
    let handler = Arc::new(move |executor: &mut Executor, _: &Message| {
        {
            let mut sending = acknowledged.lock();
            sending.flow.in_flight = sending.flow.in_flight.saturating_sub(1);
        }
        pump(executor, &acknowledged);
    });
    let node = executor.node.clone();
    let listener = Listener::In(Domain::JetStream, handler);
    let served =
        node.internal.serve(&node.connections.registry, account, &format!("{acks}.>"), None, listener);
    shared.lock().served = Some(served);
    shared
}

fn say_begun(executor: &mut Executor, shared: &Shared, state: StreamState) {
    let sending = shared.lock();
    let (account, stream) = (&sending.account, sending.hosted.name.to_string());
    let domain = super::domain(&executor.node);
    let (_, turn) = executor.parts();
    let (subject, client) =
        (format!("$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_CREATE.{stream}"), Some(sending.client.clone()));
    let event = event_of_now("advisory.v1.snapshot_create");
    let body = SnapshotBegun { event, stream, state, client, domain };
    turn.within(|turn| publish_event(turn, account, &subject, &body));
}

/// Begins when somebody listens, or has not for a while.
fn await_interest(executor: &mut Executor, shared: &Shared, looks: u32) {
    let is_awaited = {
        let mut sending = shared.lock();
        sending.flow.had_interest |= sending.is_listened_to();
        sending.flow.had_interest
    };
    if is_awaited || looks == 0 {
        return pump(executor, shared);
    }
    let shared = shared.clone();
    executor.after(INTEREST_LOOKS.1, move |executor| await_interest(executor, &shared, looks - 1));
}

/// Sends what the window lets, some of it.
fn pump(executor: &mut Executor, shared: &Shared) {
    let mut sending = shared.lock();
    if let Some(timer) = sending.timer.take() {
        executor.cancel(timer);
    }
    for _ in 0..CHUNKS_PER_TURN {
        if sending.flow.is_done {
            return;
        }
        if sending.flow.in_flight >= sending.flow.chunks_max {
            let waiting = Arc::downgrade(shared);
            sending.timer = Some(executor.after(ACK_TIMEOUT, move |executor| {
                if let Some(shared) = waiting.upgrade() {
                    shared.lock().end(executor, b"NATS/1.0 408 No Flow Response\r\n\r\n", "no flow response");
                }
            }));
            return;
        }
        if sending.flow.had_interest && !sending.is_listened_to() {
            return sending.end(executor, b"NATS/1.0 408 No Interest\r\n\r\n", "no interest");
        }
        if let Err(problem) = sending.fill() {
            let head = format!("NATS/1.0 500 {problem}\r\n\r\n");
            return sending.end(executor, head.as_bytes(), &problem);
        }
        sending.send(executor);
    }
    if !sending.flow.is_done && !std::mem::replace(&mut sending.flow.is_scheduled, true) {
        let shared = shared.clone();
        executor.node.internal.run_in(Domain::JetStream, move |executor| {
            shared.lock().flow.is_scheduled = false;
            pump(executor, &shared);
        });
    }
}

impl Sending {
    /// Whether somebody subscribed to this very subject: clients have wildcards for all their answers, which they pass over.
    fn is_listened_to(&self) -> bool {
        let (to, mut matches) = (self.to.as_bytes(), Matches::default());
        self.account.interest().matches(to, &mut matches);
        let in_groups = matches.groups().flatten().any(|one| one.filter() == to);
        in_groups || matches.take_plain().any(|one| one.filter() == to)
    }

    /// Writes until there is a chunk, or the end.
    fn fill(&mut self) -> Result<(), String> {
        while self.out.len() < self.flow.chunk_bytes {
            let Some(writer) = &mut self.writer else { return Ok(()) };
            let next = match self.next <= self.last && self.next > 0 {
                true => self.hosted.take_messages(self.next, self.last, &mut self.taken),
                false => {
                    self.taken.clear();
                    Ok(None)
                }
            };
            let next = next.map_err(|seq| format!("message {seq} cannot be read"))?;
            for taken in &self.taken {
                let (headers, payload) =
                    taken.body.split_at_checked(taken.header_bytes).unwrap_or((&[], &taken.body));
                let subject = String::from_utf8_lossy(&taken.subject);
                writer.message(&subject, (taken.seq, taken.time), headers, payload, &mut self.out);
            }
            match next {
                Some(next) => self.next = next,
                None => {
                    if let Some(writer) = self.writer.take() {
                        writer.end(&mut self.out);
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends a chunk; the last one, which is not full, wants no acknowledgement, and the end comes behind it.
    fn send(&mut self, executor: &mut Executor) {
        let is_full = self.out.len() >= self.flow.chunk_bytes;
        let bytes = self.out.len().min(self.flow.chunk_bytes);
        let mut chunk = Outgoing::new(self.to.as_str(), self.out.drain(..bytes).collect::<Vec<u8>>());
        if is_full {
            self.flow.sent += 1;
            self.flow.in_flight += 1;
            chunk.reply = format!("{}.{bytes}.{}", self.acks, self.flow.sent);
        }
        if bytes > 0 {
            executor.publish(&self.account, &chunk);
        }
        if !is_full {
            // Where there was but one chunk, official servers say nothing in the end.
            let head: &[u8] = if self.flow.sent > 0 { b"NATS/1.0 204\r\n\r\n" } else { b"" };
            self.end(executor, head, "");
        }
    }

    fn end(&mut self, executor: &mut Executor, head: &[u8], problem: &str) {
        if std::mem::replace(&mut self.flow.is_done, true) {
            return;
        }
        let end = Outgoing { subject: self.to.clone(), headers: head.to_vec(), ..Outgoing::default() };
        executor.publish(&self.account, &end);
        if let Some(served) = self.served.take() {
            executor.node.internal.withdraw(&served);
        }
        (self.writer, self.out) = (None, Vec::new());
        let domain = super::domain(&executor.node);
        let (_, turn) = executor.parts();
        let (stream, start, error) = (self.hosted.name.to_string(), self.start, problem.to_owned());
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_COMPLETE.{stream}");
        let event = event_of_now("advisory.v1.snapshot_complete");
        let (end, client) = (event.timestamp, Some(self.client.clone()));
        let body = SnapshotEnded { event, stream, start, end, client, domain, error };
        turn.within(|turn| publish_event(turn, &self.account, &subject, &body));
    }
}
