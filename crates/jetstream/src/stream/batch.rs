//! Atomic batches: messages are kept apart until the last one is there, then all are stored at once or none (ADR-50).
//!
//! What waits is no part of the stream's state: it is lost with the server, and its publishers begin again.

use super::counter::Counter;
use super::marks::{self, TtlValue, given};
use super::{
    Discard, Limits, Marks, Proposal, Publish, Refusal, Retention, Rollup, Room, Store, Stream,
    admit::append, admit::without,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Batches that a stream has open at most.
const OPEN_MAX: usize = 50;
/// Messages of a batch.
const MESSAGES_MAX: u64 = 1000;
/// Bytes of a batch's id.
const ID_BYTES_MAX: usize = 64;
/// Nanoseconds after its last message at which a batch is given up.
const TIMEOUT: i64 = 10_000_000_000;
/// Bytes that all batches of a stream may hold. A batch that goes over it is refused.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a batch came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// Nothing came for ten seconds.
    Timeout,
    /// It has too many messages.
    Large,
    /// A message is missing.
    Incomplete,
    /// It asks for an API level that is above this server's.
    Unsupported,
}

impl Abandoned {
    /// As the advisory says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Large => "large",
            Self::Incomplete => "incomplete",
            Self::Unsupported => "unsupported",
        }
    }
}

/// What batches, atomic and fast ones, may take; `None`: the official default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchLimits {
    /// Batches of each kind that a stream has open at most.
    pub per_stream: Option<usize>,
    /// Messages of an atomic batch.
    pub messages: Option<u64>,
    /// Nanoseconds after its last message at which a batch is given up.
    pub timeout: Option<i64>,
}

impl BatchLimits {
    /// Nanoseconds after its last message at which a batch is given up.
    pub(super) fn timeout(&self) -> i64 {
        self.timeout.unwrap_or(TIMEOUT)
    }
}

#[derive(Debug, Default)]
struct Open {
    messages: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    bytes: usize,
    deadline: i64,
}

/// The batches of a stream that wait for more.
#[derive(Debug, Default)]
pub struct Batches {
    open: BTreeMap<Vec<u8>, Open>,
    bytes: usize,
    abandoned: Vec<(Vec<u8>, Abandoned)>,
    limits: BatchLimits,
}

impl Batches {
    /// None yet.
    pub fn new(limits: BatchLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Goes by other limits from here on. Batches that are open stay.
    pub fn set_limits(&mut self, limits: BatchLimits) {
        self.limits = limits;
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When [`Self::expire`] is to be called: nanoseconds since 1970.
    pub fn deadline(&self) -> Option<i64> {
        self.open.values().map(|open| open.deadline).min()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::new(self.limits);
    }

    /// Gives up what waited too long.
    pub fn expire(&mut self, now: i64) {
        let late = |(id, open): (&Vec<u8>, &Open)| (open.deadline <= now).then(|| id.clone());
        for id in self.open.iter().filter_map(late).collect::<Vec<_>>() {
            self.abandon(&id, Abandoned::Timeout);
        }
    }

    /// Batches that were given up, and why, each once: for advisories.
    pub fn take_abandoned(&mut self) -> Vec<(Vec<u8>, Abandoned)> {
        std::mem::take(&mut self.abandoned)
    }

    fn close(&mut self, id: &[u8]) -> Option<Open> {
        let open = self.open.remove(id)?;
        self.bytes -= open.bytes;
        Some(open)
    }

    fn abandon(&mut self, id: &[u8], why: Abandoned) {
        self.close(id);
        self.abandoned.push((id.to_vec(), why));
    }
}

/// What the messages before in the same batch have changed already.
#[derive(Default)]
struct Staged<'a> {
    msg_ids: HashSet<Vec<u8>>,
    /// Messages and bytes by subject, and how many bytes in all.
    subjects: HashMap<Cow<'a, [u8]>, u64>,
    messages: u64,
    bytes: u64,
    counters: HashMap<Vec<u8>, Counter>,
    /// Subjects whose last sequence was asked for, with what it was.
    expected: HashMap<Vec<u8>, u64>,
}

impl Stream {
    /// Decides on a message with `Nats-Batch-Id`. `None`: it waits for the rest of its batch, which becomes a [`Proposal::Batch`].
    ///
    /// # Errors
    ///
    /// What the publisher is told. The batch may be given up by it.
    pub fn admit_batch(
        &self,
        batches: &mut Batches,
        publish: &Publish<'_>,
        room: &impl Room,
        now: i64,
    ) -> Result<Option<Proposal<'static>>, Refusal> {
        let marks = Marks::of(publish.headers);
        let id = marks.batch_id.unwrap_or_default();
        self.check_batch_message(publish, id, room)?;
        let seq = given(marks.batch_seq).and_then(marks::number).ok_or(Refusal::AtomicSequenceMissing)?;
        let is_end = marks.batch_commit == Some(b"eob");
        let messages = if is_end { seq.saturating_sub(1) } else { seq };
        let most = batches.limits.messages.unwrap_or(MESSAGES_MAX);
        if !batches.open.contains_key(id) {
            if seq != 1 {
                return Err(if messages > most {
                    Refusal::AtomicTooLarge(most)
                } else {
                    Refusal::AtomicIncomplete
                });
            }
            if batches.open.len() >= batches.limits.per_stream.unwrap_or(OPEN_MAX) || !room.may_open_batch() {
                return Err(Refusal::AtomicTooManyInFlight);
            }
            batches.open.insert(id.to_vec(), Open::default());
        }
        if marks.batch_commit.is_some_and(|commit| commit != b"1" && !is_end) {
            batches.close(id);
            return Err(Refusal::AtomicCommitInvalid);
        }
        if given(marks.api_level)
            .is_some_and(|level| marks::number(level).is_none_or(|level| level > super::API_LEVEL))
        {
            batches.abandon(id, Abandoned::Unsupported);
            return Err(Refusal::ApiLevel);
        }
        let held = batches.open.get(id).map_or(0, |open| open.messages.len() as u64);
        if held + 1 != seq || seq == 1 && is_end {
            batches.abandon(id, Abandoned::Incomplete);
            return Err(Refusal::AtomicIncomplete);
        }
        if messages > most {
            batches.abandon(id, Abandoned::Large);
            return Err(Refusal::AtomicTooLarge(most));
        }
        self.stage(batches, id, publish, is_end, now)?;
        if marks.batch_commit.is_none() {
            return Ok(None);
        }
        let open = batches.close(id).ok_or(Refusal::AtomicIncomplete)?;
        self.whole_batch(open, is_end, room, now).map(Some)
    }

    /// What is refused of each message when it comes.
    fn check_batch_message(&self, publish: &Publish<'_>, id: &[u8], room: &impl Room) -> Result<(), Refusal> {
        self.check_any_batch(publish, room)?;
        if !self.settings.features.atomic {
            return Err(Refusal::AtomicDisabled);
        }
        if id.len() > ID_BYTES_MAX { Err(Refusal::AtomicIdInvalid) } else { Ok(()) }
    }

    /// The same, of either kind of batch.
    pub(super) fn check_any_batch(&self, publish: &Publish<'_>, room: &impl Room) -> Result<(), Refusal> {
        if self.settings.features.sealed {
            return Err(Refusal::Sealed);
        }
        if room.server_bytes() == 0 {
            return Err(Refusal::ServerFull);
        }
        if self.size(publish.subject, publish) > room.account_bytes() {
            return Err(Refusal::AccountFull);
        }
        let bytes = publish.headers.len() + publish.payload.len();
        if self.settings.limits.message_bytes.is_some_and(|max| bytes > max as usize) {
            return Err(Refusal::MessageTooLarge);
        }
        Ok(())
    }

    fn stage(
        &self,
        batches: &mut Batches,
        id: &[u8],
        publish: &Publish<'_>,
        is_end: bool,
        now: i64,
    ) -> Result<(), Refusal> {
        let bytes = publish.subject.len() + publish.headers.len() + publish.payload.len();
        if batches.bytes + bytes > BYTES_MAX {
            batches.abandon(id, Abandoned::Large);
            return Err(Refusal::AtomicTooManyInFlight);
        }
        let Some(open) = batches.open.get_mut(id) else { return Err(Refusal::AtomicIncomplete) };
        open.deadline = now.saturating_add(batches.limits.timeout());
        if !is_end {
            let mut headers = without(publish.headers, b"Nats-Required-Api-Level");
            headers = without(&headers, b"Nats-Request-Info");
            open.messages.push((publish.subject.to_vec(), headers, publish.payload.to_vec()));
            open.bytes += bytes;
            batches.bytes += bytes;
        }
        Ok(())
    }

    /// The proposal of a batch that is whole.
    fn whole_batch(
        &self,
        open: Open,
        is_end: bool,
        room: &impl Room,
        now: i64,
    ) -> Result<Proposal<'static>, Refusal> {
        let (first, count) = (self.messages.totals().last + 1, open.messages.len() as u64);
        let (mut staged, mut stores) = (Staged::default(), Vec::with_capacity(open.messages.len()));
        for (at, (subject, headers, payload)) in open.messages.into_iter().enumerate() {
            let subject = self.transformed(Cow::Owned(subject), room);
            let mut store = Store {
                seq: first + at as u64,
                time: self.time(now),
                subject,
                headers: Cow::Owned(headers),
                payload: Cow::Owned(payload),
                ..Store::default()
            };
            self.check_in_batch(&mut staged, &mut store, room, now)?;
            if is_end && at as u64 + 1 == count {
                append(store.headers.to_mut(), "Nats-Batch-Commit", "1");
            }
            store.is_skipped =
                self.settings.retention == Retention::Interest && !room.is_wanted(&store.subject);
            let store = if store.is_skipped { store.bodiless() } else { store.measured() };
            stores.push(store);
        }
        Ok(Proposal::Batch(stores))
    }

    /// All that a message can be refused for, with regard to those before it in the batch.
    fn check_in_batch(
        &self,
        staged: &mut Staged<'static>,
        store: &mut Store<'static>,
        room: &impl Room,
        now: i64,
    ) -> Result<(), Refusal> {
        let headers = store.headers.clone().into_owned();
        let marks = Marks::of(&headers);
        if given(marks.expected_last_msg_id).is_some() {
            return Err(Refusal::AtomicUnsupportedHeader("Nats-Expected-Last-Msg-Id"));
        }
        if headers.len() > usize::from(u16::MAX) {
            return Err(Refusal::HeaderTooLarge);
        }
        let increment = self.increment(&marks, &store.payload)?;
        if given(marks.expected_stream).is_some_and(|name| *name != *self.settings.name.as_bytes()) {
            return Err(Refusal::StreamNotMatch);
        }
        let ttl = marks::ttl(marks.ttl);
        if ttl != Some(TtlValue::None) && !self.settings.features.ttl {
            return Err(Refusal::TtlDisabled);
        }
        self.set_ttl(ttl, store)?;
        if let Some(id) = given(marks.msg_id) {
            if self.dedupe.find(id, now, self.settings.duplicate_window).is_some()
                || !staged.msg_ids.insert(id.to_vec())
            {
                return Err(Refusal::AtomicDuplicate);
            }
            store.msg_id = Cow::Owned(id.to_vec());
        }
        if given(marks.source).is_some() {
            return Err(Refusal::SourceHeaderNotAllowed);
        }
        if self.settings.features.counter {
            let increment = increment.ok_or(Refusal::CounterMissing)?;
            let mut counter = match staged.counters.remove(&*store.subject) {
                Some(counter) => counter,
                None => self.counter(&store.subject, room)?,
            };
            counter.add(&increment, store);
            self.check_grown(store)?;
            staged.counters.insert(store.subject.to_vec(), counter);
        }
        self.check_expected_in_batch(staged, &marks, store)?;
        let mut marks = marks;
        let mut shell =
            Store { subject: store.subject.clone(), headers: store.headers.clone(), ..Store::default() };
        self.check_schedule(&mut marks, &mut shell, now)?;
        if shell.schedule.is_some() || shell.made_by.is_some() {
            let shell = shell.into_owned();
            (store.headers, store.schedule, store.made_by) = (shell.headers, shell.schedule, shell.made_by);
        }
        self.check_rollup_in_batch(staged, &marks, store)?;
        store.is_marker = marks.is_marker();
        self.count_in_batch(staged, store)
    }

    fn check_expected_in_batch(
        &self,
        staged: &mut Staged<'static>,
        marks: &Marks<'_>,
        store: &Store<'_>,
    ) -> Result<(), Refusal> {
        if let Some(expected) = marks::sequence(marks.expected_last_seq) {
            let last = store.seq - 1;
            if expected != last {
                return Err(Refusal::WrongLastSequence(last));
            }
            if staged.messages > 0 {
                return Err(Refusal::WrongLastSequenceInBatch);
            }
        }
        let other = given(marks.expected_subject);
        let Some(expected) = marks::sequence(marks.expected_subject_seq) else {
            return if other.is_some() { Err(Refusal::SubjectSequenceMissing) } else { Ok(()) };
        };
        let subject = other.unwrap_or(&store.subject);
        if staged.subjects.contains_key(subject) {
            return Err(Refusal::WrongLastSequenceInBatch);
        }
        let last = match staged.expected.get(subject) {
            Some(&last) => last,
            None => self.messages.last_of(&crate::messages::Selector::new([subject])).unwrap_or(0),
        };
        if last != expected {
            return Err(Refusal::WrongLastSequence(last));
        }
        staged.expected.insert(subject.to_vec(), last);
        Ok(())
    }

    fn check_rollup_in_batch(
        &self,
        staged: &Staged<'_>,
        marks: &Marks<'_>,
        store: &mut Store<'_>,
    ) -> Result<(), Refusal> {
        store.rollup = self.rollup(marks)?;
        let refused = |why: &str| Err(Refusal::RollupFailed(why.into()));
        match store.rollup {
            Some(Rollup::Subject) if staged.subjects.contains_key(&*store.subject) => {
                refused("batch rollup sub invalid")
            }
            Some(Rollup::All) if staged.messages > 0 => refused("batch rollup all invalid"),
            _ => Ok(()),
        }
    }

    /// Counts the message, and looks at the limits of a stream that discards new messages.
    fn count_in_batch(&self, staged: &mut Staged<'static>, store: &Store<'static>) -> Result<(), Refusal> {
        let body = store.headers.len() + store.payload.len();
        let of_subject = staged.subjects.entry(store.subject.clone()).or_insert(0);
        *of_subject += 1;
        staged.messages += 1;
        let header_bytes = store.headers.len().min(usize::from(u16::MAX)) as u16;
        staged.bytes +=
            self.messages.size(store.subject.len(), header_bytes, u32::try_from(body).unwrap_or(u32::MAX));
        let Discard::New { per_subject } = self.settings.discard else { return Ok(()) };
        let (Limits { messages, bytes, per_subject: max, .. }, totals) =
            (&self.settings.limits, self.messages.totals());
        if messages.is_some_and(|max| totals.count + staged.messages > max) {
            return Err(Refusal::StoreFailed("maximum messages exceeded"));
        }
        if bytes.is_some_and(|max| totals.bytes + staged.bytes > max) {
            return Err(Refusal::StoreFailed("maximum bytes exceeded"));
        }
        let known = self.messages.subject_id(&store.subject).map_or(0, |id| self.messages.subject(id).count);
        if per_subject && store.rollup.is_none() && max.is_some_and(|max| known + *of_subject > max) {
            return Err(Refusal::StoreFailed("maximum messages per subject exceeded"));
        }
        Ok(())
    }
}
