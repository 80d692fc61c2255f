//! One origin: asking for its consumer, following what that delivers, asking again.

use super::inbound::Control;
use super::request::{Level, SILENCE};
use crate::api::{ConsumerInfo, ConsumerResetResponse, ConsumerResponse, StreamSourceInfo};
use crate::config::{AckPolicy, Metadata, StreamSource, short_name};
use crate::consumer::{AckSubject, SEQ_MAX};
use crate::error::{self, ApiError};
use crate::json::{self, Strictness};
use crate::time::Nanos;
use dialtone_subject::{Transform, set};

/// How long an answer of the API is waited for, nanoseconds.
const ANSWER_WAIT: i64 = 5_000_000_000;
/// How long after a failure it is asked again, nanoseconds; twice as long after each one more.
const BACKOFF: i64 = 250_000_000;
/// How long at most.
const BACKOFF_MAX: i64 = 10_000_000_000;
/// Bytes of an answer that are read at most.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What an origin wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Listen to messages, at this subject.
    Follow(String),
    /// Listen to the answer, at this subject.
    Await(String),
    /// Listen to nothing of this origin any more.
    Leave,
    /// Publish a request.
    Request {
        /// The subject.
        subject: String,
        /// Where the answer goes to; nobody need listen there.
        reply: String,
        /// The header block, which may be empty.
        headers: Vec<u8>,
        /// The payload.
        payload: Vec<u8>,
    },
    /// Publish a header block without a payload, once all that was taken is on disk.
    Confirm {
        /// The subject.
        to: Vec<u8>,
        /// The header block.
        headers: Vec<u8>,
    },
    /// The origin has no message up to this sequence: a mirror has none either.
    SkipTo(u64),
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is the next: it is to be stored. If that does not go, [`Origin::refused`] says so.
    Next,
    /// It was there before, or is of a consumer that is no longer followed.
    Passed,
    /// Something before it is missing: the origin is asked again.
    Missing,
}

/// Who takes from an origin.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The name of the stream.
    pub stream: &'a str,
    /// Its account.
    pub account: &'a str,
    /// The domain of the server.
    pub domain: Option<&'a str>,
    /// Whether the subjects at which it is answered name account, stream and consumer.
    pub replies_v2: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// It asks then.
    Waiting { until: i64 },
    /// It has asked, and waits for the answer until then.
    Asking { until: i64 },
    /// It follows a consumer.
    Following,
}

/// One origin of a stream.
#[derive(Clone, Debug)]
pub struct Origin {
    pub(super) source: StreamSource,
    /// By what its position is kept; see [`StreamSource::index_name`].
    index: String,
    pub(super) is_mirror: bool,
    pub(super) consumer_name: String,
    pub(super) metadata: Metadata,
    /// What the subjects begin with at which it is answered.
    reply_prefix: String,
    transforms: Vec<(String, Option<Transform>)>,
    pub(super) level: Level,
    /// Nothing was ever taken: where to begin is what the configuration says.
    pub(super) is_new: bool,
    /// The sequence, in the origin, of the last message that was taken.
    pub(super) position: u64,
    pub(super) identity: String,
    link: Link,
}

/// What is known of the consumer that is followed, or asked for.
#[derive(Clone, Debug)]
struct Link {
    phase: Phase,
    consumer: Box<[u8]>,
    /// The number of the last delivery.
    delivered: u64,
    /// Both as they were before the message that was taken last.
    before: (u64, u64),
    lag: Option<u64>,
    heard_at: Option<i64>,
    error: Option<ApiError>,
    failures: u32,
    asked_at: i64,
    /// Something was taken, so the sequence can be shown.
    has_taken: bool,
}

impl Origin {
    /// An origin that is to be followed from `now` on; `source` was checked. `place` is up to where its messages were taken, and the identity
    /// it had then; `None`: nothing was ever taken. `twice` says that the stream takes from the same stream by another source, too.
    pub fn new(
        source: &StreamSource,
        (is_mirror, is_twice): (bool, bool),
        held: Held<'_>,
        place: Option<(u64, &str)>,
        now: i64,
    ) -> Self {
        let index = source.index_name();
        let transform = |one: &crate::config::SubjectTransform| {
            let src = if one.src.is_empty() { ">" } else { &one.src };
            let transform = (!one.dest.is_empty()).then(|| Transform::new(src, &one.dest).ok()).flatten();
            (src.to_owned(), transform)
        };
        let kind = if is_mirror { "mirror" } else { "src" };
        let mut metadata = Metadata::new();
        metadata.insert(&format!("_nats.{kind}.stream"), held.stream);
        metadata.insert(&format!("_nats.{kind}.acc"), held.account);
        if let Some(domain) = held.domain {
            metadata.insert(&format!("_nats.{kind}.domain"), domain);
        }
        let consumer_name = consumer_name(&index, (is_mirror, is_twice), held);
        let reply_prefix = match held.replies_v2 {
            true => format!("$JSC.R._.{}.{}.{consumer_name}.", short_name(held.account), source.name),
            false => "$JSC.R.".to_owned(),
        };
        Self {
            consumer_name,
            reply_prefix,
            transforms: source.subject_transforms.iter().map(transform).collect(),
            source: source.clone(),
            index,
            is_mirror,
            metadata,
            level: if is_mirror { Level::Sourcing } else { Level::Identity },
            is_new: place.is_none(),
            position: place.map_or(0, |(position, _)| position),
            identity: place.map(|(_, identity)| identity.to_owned()).unwrap_or_default(),
            link: Link {
                phase: Phase::Waiting { until: now },
                consumer: Box::default(),
                delivered: 0,
                before: (0, 0),
                lag: None,
                heard_at: None,
                error: None,
                failures: 0,
                asked_at: i64::MIN,
                has_taken: false,
            },
        }
    }

    /// By what its position is kept.
    pub fn index(&self) -> &str {
        &self.index
    }

    /// What the configuration says of it.
    pub fn source(&self) -> &StreamSource {
        &self.source
    }

    /// The identity of the origin, by which one that was made anew is told; empty if it is not known.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether few messages are missing, if it is known how many.
    pub fn is_close(&self) -> bool {
        self.link.lag.is_some_and(|lag| lag < 10)
    }

    /// Where a mirror is: its own last sequence. `is_new`: it never had anything.
    pub fn place(&mut self, last: u64, is_new: bool) {
        (self.position, self.is_new) = (last, is_new);
    }

    /// When [`Self::expire`] is to be called, if nothing happens before.
    pub fn deadline(&self) -> i64 {
        match self.link.phase {
            Phase::Waiting { until } | Phase::Asking { until } => until,
            Phase::Following => self.link.heard_at.unwrap_or(0).saturating_add(SILENCE),
        }
    }

    /// Does what time brings; `random` makes subjects that nobody knows.
    pub fn expire(&mut self, now: i64, random: u64, out: &mut Vec<Command>) {
        if self.deadline() > now {
            return;
        }
        match self.link.phase {
            Phase::Waiting { .. } => self.ask(now, random, out),
            Phase::Asking { .. } => self.fail(now, None, out),
            Phase::Following => self.again(now, out),
        }
    }

    fn ask(&mut self, now: i64, random: u64, out: &mut Vec<Command>) {
        let random = letters(random);
        let prefix = if self.is_mirror { "$JS.M" } else { "$JS.S" };
        let external = self.source.external.as_ref().filter(|external| !external.deliver.is_empty());
        let deliver_subject = match (&self.source.consumer, external) {
            (Some(consumer), _) => consumer.deliver_subject.clone(),
            (None, Some(external)) => {
                let letter = if self.is_mirror { "M" } else { "S" };
                format!("{}.{letter}.{random}", external.deliver).replace("..", ".")
            }
            (None, None) => format!("{prefix}.{random}"),
        };
        let request = self.request(&deliver_subject, &random);
        let reply = format!("{}{random}", self.reply_prefix);
        out.push(Command::Leave);
        out.push(Command::Await(reply.clone()));
        out.push(Command::Request {
            subject: request.subject,
            reply,
            headers: request.headers,
            payload: request.payload,
        });
        (self.link.delivered, self.link.asked_at) = (0, now);
        self.link.phase = Phase::Asking { until: now.saturating_add(ANSWER_WAIT) };
    }

    /// The request reached nobody.
    pub fn unheard(&mut self, now: i64, out: &mut Vec<Command>) {
        if matches!(self.link.phase, Phase::Asking { .. }) {
            self.fail(now, None, out);
        }
    }

    /// Asks again, soon.
    fn again(&mut self, now: i64, out: &mut Vec<Command>) {
        let until = now.saturating_add(self.backoff()).max(self.link.asked_at.saturating_add(BACKOFF));
        self.link.phase = Phase::Waiting { until };
        self.link.failures = self.link.failures.saturating_add(1);
        out.push(Command::Leave);
    }

    fn backoff(&self) -> i64 {
        match self.link.failures {
            0 => 0,
            failures => (BACKOFF << (failures - 1).min(10)).min(BACKOFF_MAX),
        }
    }

    fn fail(&mut self, now: i64, error: Option<ApiError>, out: &mut Vec<Command>) {
        self.link.failures = self.link.failures.max(1);
        if error.is_some() {
            self.link.error = error;
        }
        self.again(now, out);
    }

    /// The answer to the request came; `identity` is the origin's.
    pub fn answered(&mut self, payload: &[u8], identity: Option<&str>, now: i64, out: &mut Vec<Command>) {
        if !matches!(self.link.phase, Phase::Asking { .. }) {
            return;
        }
        let info = match self.read(payload) {
            Ok(info) => info,
            Err(error) => return self.turned_down(error, now, out),
        };
        let config = info.config.unwrap_or_default();
        if self.source.consumer.is_some() && config.ack_policy != AckPolicy::FlowControl {
            let code = match self.is_mirror {
                true => error::MIRROR_CONSUMER_REQUIRES_ACK_FC,
                false => error::SOURCE_CONSUMER_REQUIRES_ACK_FC,
            };
            return self.fail(now, Some(code.error()), out);
        }
        self.identify(identity);
        self.link.error = None;
        (self.link.phase, self.link.heard_at) = (Phase::Following, Some(now));
        self.link.lag.get_or_insert(info.num_pending);
        self.link.consumer = info.name.into_bytes().into();
        self.link.delivered = info.delivered.consumer_seq;
        let passed = info.delivered.stream_seq;
        if self.is_mirror && passed > self.position && passed < SEQ_MAX {
            self.position = passed;
            out.push(Command::SkipTo(passed));
        }
        // Not before: who sends waits for somebody who listens, so the first message comes behind the answer.
        out.push(Command::Follow(match &self.source.consumer {
            Some(own) => own.deliver_subject.clone(),
            None => config.deliver_subject,
        }));
    }

    fn read(&self, payload: &[u8]) -> Result<ConsumerInfo, ApiError> {
        let code = match self.is_mirror {
            true => error::MIRROR_CONSUMER_SETUP_FAILED,
            false => error::SOURCE_CONSUMER_SETUP_FAILED,
        };
        let invalid = || code.with("invalid consumer create response");
        if payload.len() > ANSWER_BYTES_MAX {
            return Err(invalid());
        }
        let (refusal, info) = if self.source.consumer.is_some() {
            let mut answer = ConsumerResetResponse::default();
            let read = json::from_slice(payload, ConsumerResetResponse::GO, Strictness::Lax, &mut answer);
            (read.map(|()| answer.response.error), answer.info)
        } else {
            let mut answer = ConsumerResponse::default();
            let read = json::from_slice(payload, ConsumerResponse::GO, Strictness::Lax, &mut answer);
            (read.map(|()| answer.response.error), answer.info)
        };
        match refusal {
            Err(_) => Err(invalid()),
            Ok(Some(error)) => Err(error),
            Ok(None) => info.filter(|info| info.config.is_some()).ok_or_else(invalid),
        }
    }

    /// The API refused.
    fn turned_down(&mut self, refusal: ApiError, now: i64, out: &mut Vec<Command>) {
        if refusal == error::CONSUMER_STREAM_IDENTITY_MISMATCH {
            self.forget();
            return self.again(now, out);
        }
        if (refusal == error::REQUIRED_API_LEVEL || refusal == error::INVALID_JSON)
            && let Some(lower) = self.level.lower()
        {
            self.level = lower;
            return self.again(now, out);
        }
        self.fail(now, Some(refusal), out);
    }

    /// The origin is another stream than before.
    fn forget(&mut self) {
        (self.position, self.is_new) = (0, true);
        self.identity.clear();
        self.link.lag = None;
    }

    fn identify(&mut self, identity: Option<&str>) {
        let Some(identity) = identity.filter(|_| !self.is_mirror) else { return };
        if !self.identity.is_empty() && self.identity != identity {
            self.position = 0;
        }
        identity.clone_into(&mut self.identity);
    }

    /// A message came at the subject that is followed.
    pub fn message(&mut self, ack: &AckSubject<'_>, now: i64, out: &mut Vec<Command>) -> Taken {
        // Sequences from the maximum on are no stream's: whoever names one is not believed.
        let is_followed = self.link.phase == Phase::Following && *self.link.consumer == *ack.consumer;
        if !is_followed || ack.seq >= SEQ_MAX || ack.consumer_seq >= SEQ_MAX {
            return Taken::Passed;
        }
        self.link.heard_at = Some(now);
        if ack.consumer_seq <= self.link.delivered || ack.deliveries > 1 {
            return Taken::Passed;
        }
        if ack.consumer_seq != self.link.delivered + 1 {
            return self.missing(now, out);
        }
        self.link.before = (self.link.delivered, self.position);
        self.link.delivered = ack.consumer_seq;
        self.link.lag = Some(ack.pending);
        if ack.seq <= self.position {
            return Taken::Passed;
        }
        self.position = ack.seq;
        (self.link.has_taken, self.link.failures, self.is_new) = (true, 0, false);
        Taken::Next
    }

    fn missing(&mut self, now: i64, out: &mut Vec<Command>) -> Taken {
        self.again(now, out);
        Taken::Missing
    }

    /// The message that was the next cannot be stored at present: it is asked for again.
    pub fn refused(&mut self, error: ApiError, now: i64, out: &mut Vec<Command>) {
        (self.link.delivered, self.position) = self.link.before;
        self.fail(now, Some(error), out);
    }

    /// The message that was the next is not stored, and never will be: it is passed over, and shown as the error until the next.
    pub fn passed_over(&mut self, error: ApiError) {
        self.link.error = Some(error);
    }

    /// The consumer says something besides messages.
    pub fn control(&mut self, control: Control<'_>, now: i64, out: &mut Vec<Command>) {
        if self.link.phase != Phase::Following {
            return;
        }
        self.link.heard_at = Some(now);
        match control {
            Control::FlowControl { reply } => out.push(self.confirm(reply)),
            Control::Heartbeat { last_delivery, stalled } => {
                let is_behind = last_delivery.is_some_and(|last| last > 0 && last != self.link.delivered);
                if is_behind {
                    return self.again(now, out);
                }
                self.link.failures = 0;
                out.extend(stalled.map(|to| self.confirm(to)));
            }
        }
    }

    /// Says how far it is here.
    fn confirm(&self, to: &[u8]) -> Command {
        let (delivered, position) = (self.link.delivered, self.position);
        let headers =
            format!("NATS/1.0\r\nNats-Last-Consumer: {delivered}\r\nNats-Last-Stream: {position}\r\n\r\n");
        Command::Confirm { to: to.to_vec(), headers: headers.into_bytes() }
    }

    /// It is not followed any more. A consumer whose name stays the same is ended, whatever becomes of that.
    pub fn end(&mut self, random: u64, out: &mut Vec<Command>) {
        out.push(Command::Leave);
        let is_ours = self.source.consumer.is_none() && self.level < Level::Plain;
        if is_ours && *self.link.consumer == *self.consumer_name.as_bytes() {
            out.push(Command::Request {
                subject: self.deletion(),
                reply: format!("{}{}", self.reply_prefix, letters(random)),
                headers: Vec::new(),
                payload: Vec::new(),
            });
        }
    }

    /// What becomes of a subject.
    pub fn transformed(&self, subject: &[u8], random: u32) -> Option<Vec<u8>> {
        let matching = self.transforms.iter().filter_map(|(src, transform)| {
            transform.as_ref().filter(|_| set::matches(src.as_bytes(), subject))
        });
        let transform = matching.into_iter().next()?;
        let mut out = Vec::new();
        transform.apply(subject, &mut || random, &mut out);
        Some(out)
    }

    /// What `Nats-Stream-Source` says of a message.
    pub fn source_header(&self, ack: &AckSubject<'_>, subject: &[u8]) -> String {
        let mut parts = self.index.split(' ');
        let mut part = || parts.next().unwrap_or_default();
        let (name, filter, destination) = (part(), part(), part());
        let subject = String::from_utf8_lossy(subject);
        let identity = if self.identity.is_empty() { "" } else { " " };
        format!("{name} {} {filter} {destination} {subject}{identity}{}", ack.seq, self.identity)
    }

    /// What the API shows of it: a mirror's filter only once it was answered, as officially.
    pub fn info(&self, now: i64) -> StreamSourceInfo {
        let link = &self.link;
        let shows_filter = !self.is_mirror || link.heard_at.is_some();
        StreamSourceInfo {
            name: self.source.name.clone(),
            external: self.source.external.clone(),
            lag: link.lag.unwrap_or(0),
            seq: if link.has_taken && !self.is_mirror { self.position } else { 0 },
            active: link.heard_at.map_or(Nanos(-1), |at| Nanos(now.saturating_sub(at).max(0))),
            error: link.error.clone(),
            filter_subject: if shows_filter { self.source.filter_subject.clone() } else { String::new() },
            subject_transforms: self.source.subject_transforms.clone(),
        }
    }
}

/// The name of the consumer at the origin: the same after a restart, so that the one before it ends with it.
fn consumer_name(index: &str, (is_mirror, is_twice): (bool, bool), held: Held<'_>) -> String {
    let mut id = format!("{} {}", held.stream, held.account);
    if let Some(domain) = held.domain {
        id = format!("{id} {domain}");
    }
    id = short_name(&id);
    if is_mirror {
        return format!("JS_MIRROR_{id}");
    }
    if is_twice {
        id = short_name(&format!("{id} {index}"));
    } else {
        id = short_name(&id);
    }
    format!("JS_SRC_{id}")
}

/// Eight letters and digits.
fn letters(mut random: u64) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut letter = || {
        let at = (random % 62) as usize;
        random /= 62;
        char::from(LETTERS.get(at).copied().unwrap_or(b'0'))
    };
    (0..8).map(|_| letter()).collect()
}
