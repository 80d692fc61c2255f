//! What may be done: everything is decided here, nothing is changed.
//!
//! The order of the checks is the official server's: of several things that are wrong, the client is told the same one.

use super::marks::{self, TtlValue};
use super::{
    Batches, Discard, Marks, Proposal, Purge, Reason, Refusal, Remove, Retention, Rollup, Storage, Store,
    Stream, Ttl,
};
use crate::messages::Place;
use dialtone_subject::set;
use std::borrow::Cow;

/// A message that the file store of the official server refuses: 32 MiB.
pub(super) const FILE_MESSAGE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// A clock that goes back by less than this stands still for the stream instead.
const CLOCK_BACK_MAX: i64 = 10_000_000_000;

/// What a client publishes.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// As it was published.
    pub subject: &'a [u8],
    /// The header block, empty if there is none.
    pub headers: &'a [u8],
    /// What is behind the headers.
    pub payload: &'a [u8],
}

/// What deciding needs to know besides the stream.
pub trait Room {
    /// Whether a consumer wants this subject. Asked only of streams with interest retention.
    fn is_wanted(&self, subject: &[u8]) -> bool;

    /// Bytes that the server's limits of this storage leave.
    fn server_bytes(&self) -> u64 {
        u64::MAX
    }

    /// Bytes that the account's limits of this storage leave.
    fn account_bytes(&self) -> u64 {
        u64::MAX
    }

    /// A random number, for transforms that ask for one.
    fn random(&self) -> u32 {
        0
    }

    /// Appends the body of a message that is on disk alone, with its bytes: of the last message of a counter. `false`: it cannot be read.
    fn read(&self, _seq: u64, _place: (Place, u32), _out: &mut Vec<u8>) -> bool {
        false
    }

    /// Whether the server can have one more atomic batch open.
    fn may_open_batch(&self) -> bool {
        true
    }

    /// Whether the server can have one more fast batch open.
    fn may_open_fast_batch(&self) -> bool {
        true
    }
}

/// What becomes of a publish.
#[expect(clippy::large_enum_variant, reason = "it lives on the stack, for one message")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted<'a> {
    /// It is to be carried out and logged.
    Proposal(Proposal<'a>),
    /// Its message id came before, and got this sequence.
    Duplicate(u64),
}

impl Admitted<'_> {
    /// With bytes of its own.
    pub(super) fn into_owned(self) -> Admitted<'static> {
        match self {
            Self::Duplicate(seq) => Admitted::Duplicate(seq),
            Self::Proposal(proposal) => Admitted::Proposal(proposal.into_owned()),
        }
    }
}

impl Stream {
    /// Decides on a message, be it of an atomic batch or not: [`Self::admit_batch`] or [`Self::admit_publish`]. `None`: it waits for the rest
    /// of its batch, and an empty acknowledgement says so. A [`Proposal::Batch`] is acknowledged with its last sequence, the batch's id and
    /// how many messages it has.
    ///
    /// # Errors
    ///
    /// What the publisher is told.
    pub fn admit<'a>(
        &self,
        batches: &mut Batches,
        publish: &Publish<'a>,
        room: &impl Room,
        now: i64,
    ) -> Result<Option<Admitted<'a>>, Refusal> {
        let is_batch =
            !publish.headers.is_empty() && marks::given(Marks::of(publish.headers).batch_id).is_some();
        let admitted = if self.is_delayed(publish.headers) {
            self.admit_delayed(publish, room, now).map(Some)
        } else if is_batch {
            self.admit_batch(batches, publish, room, now).map(|admitted| admitted.map(Admitted::Proposal))
        } else {
            self.admit_publish(publish, room, now).map(Some)
        };
        // What was decided may be wrong then.
        if self.messages.is_unsure() {
            Err(Refusal::StoreFailed("subjects cannot be read"))
        } else {
            admitted
        }
    }

    /// Makes what is known of subjects anew, where it could not be read and may be wrong; `false`: it cannot be now.
    pub fn renew_subjects(&mut self) -> bool {
        self.messages.renew_subjects()
    }

    /// Decides on a message at the time `now` (nanoseconds since 1970).
    ///
    /// # Errors
    ///
    /// What the publisher is told.
    pub fn admit_publish<'a>(
        &self,
        publish: &Publish<'a>,
        room: &impl Room,
        now: i64,
    ) -> Result<Admitted<'a>, Refusal> {
        let settings = &self.settings;
        let subject = self.transformed(Cow::Borrowed(publish.subject), room);
        let size = self.size(&subject, publish);
        if settings.storage == Storage::File && size > FILE_MESSAGE_BYTES_MAX {
            return Err(Refusal::StoreFailed("message too large"));
        }
        if settings.features.sealed {
            return Err(Refusal::Sealed);
        }
        let time = self.time(now);
        let mut store = self.plain(subject, publish, time);
        let mut increment = None;
        if !publish.headers.is_empty() {
            let marks = Marks::of(publish.headers);
            increment = self.increment(&marks, publish.payload)?;
            if let Some(seq) = self.check_headers(&marks, &mut store, now)? {
                return Ok(Admitted::Duplicate(seq));
            }
        }
        if settings.features.counter {
            let increment = increment.ok_or(Refusal::CounterMissing)?;
            self.counter(&store.subject, room)?.add(&increment, &mut store);
            self.check_grown(&store)?;
            store = store.measured();
        }
        self.check_sizes(&store)?;
        if room.server_bytes() == 0 {
            return Err(Refusal::ServerFull);
        }
        self.admit_made(store, room)
    }

    /// Decides on a message that has its final form: whether it is wanted, and whether there is room for it.
    pub(super) fn admit_made<'a>(&self, store: Store<'a>, room: &impl Room) -> Result<Admitted<'a>, Refusal> {
        if self.settings.retention == Retention::Interest && !room.is_wanted(&store.subject) {
            return Ok(Admitted::Proposal(Proposal::Skip(store.bodiless())));
        }
        let size = self.messages.size(store.subject.len(), store.header_bytes, store.body_bytes);
        if size > room.account_bytes() {
            return Err(Refusal::AccountFull);
        }
        self.check_discard(&store)?;
        Ok(Admitted::Proposal(Proposal::Store(store)))
    }

    /// Decides on a purge.
    ///
    /// # Errors
    ///
    /// The stream is sealed or denies it.
    pub fn admit_purge(&self, purge: Purge) -> Result<Proposal<'static>, Refusal> {
        if self.settings.features.sealed {
            return Err(Refusal::Sealed);
        }
        if self.settings.features.deny_purge {
            return Err(Refusal::PurgeDenied);
        }
        Ok(Proposal::Purge(purge))
    }

    /// Decides on deleting one message; `erase` overwrites its bytes.
    ///
    /// # Errors
    ///
    /// The stream is sealed or denies it, or there is no such message.
    pub fn admit_delete(&self, seq: u64, erase: bool) -> Result<Proposal<'static>, Refusal> {
        if self.settings.features.sealed {
            return Err(Refusal::Sealed);
        }
        if self.settings.features.deny_delete {
            return Err(Refusal::DeleteDenied);
        }
        if self.messages.head(seq).is_none() {
            return Err(Refusal::NotFound);
        }
        Ok(Proposal::Remove(Remove { runs: vec![(seq, seq)], reason: Reason::Deleted, erase }))
    }

    /// The time that the next message gets: never before that of the last, unless the clock was set back by more than ten seconds.
    pub(super) fn time(&self, now: i64) -> i64 {
        let last = self.messages.totals().last_time;
        if now < last && last.saturating_sub(now) <= CLOCK_BACK_MAX { last } else { now }
    }

    pub(super) fn transformed<'a>(&self, subject: Cow<'a, [u8]>, room: &impl Room) -> Cow<'a, [u8]> {
        match &self.settings.transform {
            Some((source, transform)) if set::matches(source.as_bytes(), &subject) => {
                let mut out = Vec::new();
                transform.apply(&subject, &mut || room.random(), &mut out);
                Cow::Owned(out)
            }
            _ => subject,
        }
    }

    pub(super) fn size(&self, subject: &[u8], publish: &Publish<'_>) -> u64 {
        let body = publish.headers.len() + publish.payload.len();
        let headers = publish.headers.len().min(usize::from(u16::MAX)) as u16;
        self.messages.size(subject.len(), headers, u32::try_from(body).unwrap_or(u32::MAX))
    }

    /// The message as it came.
    pub(super) fn plain<'a>(&self, subject: Cow<'a, [u8]>, publish: &Publish<'a>, time: i64) -> Store<'a> {
        Store {
            seq: self.messages.totals().last + 1,
            time,
            subject,
            headers: without_status(publish.headers),
            payload: Cow::Borrowed(publish.payload),
            ..Store::default()
        }
        .measured()
    }

    /// Looks at all headers. The sequence of an earlier message with the same id, if there is one.
    fn check_headers<'a>(
        &self,
        marks: &Marks<'a>,
        store: &mut Store<'a>,
        now: i64,
    ) -> Result<Option<u64>, Refusal> {
        let settings = &self.settings;
        if marks::given(marks.expected_stream).is_some_and(|name| *name != *settings.name.as_bytes()) {
            return Err(Refusal::StreamNotMatch);
        }
        let ttl = marks::ttl(marks.ttl);
        if !settings.features.ttl && ttl.is_some_and(|ttl| ttl != TtlValue::None) {
            return Err(Refusal::TtlDisabled);
        }
        if settings.features.delay && marks::given(marks.delay).is_some() {
            return Err(Refusal::StoreFailed("Nats-Delay does not go with batches"));
        }
        self.check_expected(marks, &store.subject)?;
        let mut marks = *marks;
        self.check_schedule(&mut marks, store, now)?;
        if marks::given(marks.source).is_some() && !settings.features.mirror {
            return Err(Refusal::SourceHeaderNotAllowed);
        }
        if let Some(id) = marks::given(marks.msg_id) {
            let known = if settings.features.mirror {
                None
            } else {
                self.dedupe.find(id, now, settings.duplicate_window)
            };
            if known.is_some() {
                return Ok(known);
            }
            store.msg_id = Cow::Borrowed(id);
        }
        if marks::given(marks.expected_last_msg_id).is_some_and(|id| *id != *self.last_msg_id) {
            return Err(Refusal::WrongLastMsgId(String::from_utf8_lossy(&self.last_msg_id).into_owned()));
        }
        store.rollup = self.rollup(&marks)?;
        store.is_marker = marks.is_marker();
        if marks.request_info.is_some() {
            let headers = without(&store.headers, b"Nats-Request-Info");
            // The server added it to a message that had none.
            store.headers = if headers == b"NATS/1.0\r\n\r\n" { Cow::default() } else { Cow::Owned(headers) };
        }
        self.set_ttl(ttl, store)?;
        *store = std::mem::take(store).measured();
        Ok(None)
    }

    /// `Nats-Expected-Last-Subject-Sequence`, then `-Last-Sequence`.
    fn check_expected(&self, marks: &Marks<'_>, subject: &[u8]) -> Result<(), Refusal> {
        let other = marks::given(marks.expected_subject);
        match marks::sequence(marks.expected_subject_seq) {
            Some(expected) => {
                let selector = crate::messages::Selector::new([other.unwrap_or(subject)]);
                let last = self.messages.last_of(&selector).unwrap_or(0);
                if last != expected {
                    return Err(Refusal::WrongLastSequence(last));
                }
            }
            None if other.is_some() => return Err(Refusal::SubjectSequenceMissing),
            None => {}
        }
        let last = self.messages.totals().last;
        match marks::sequence(marks.expected_last_seq) {
            Some(expected) if expected != last => Err(Refusal::WrongLastSequence(last)),
            _ => Ok(()),
        }
    }

    pub(super) fn rollup(&self, marks: &Marks<'_>) -> Result<Option<Rollup>, Refusal> {
        let Some(value) = marks::given(marks.rollup) else { return Ok(None) };
        if !self.settings.allows_rollup() {
            return Err(Refusal::RollupFailed("rollup not permitted".into()));
        }
        match value.to_ascii_lowercase().as_slice() {
            b"sub" => Ok(Some(Rollup::Subject)),
            b"all" => Ok(Some(Rollup::All)),
            other => Err(Refusal::RollupFailed(format!(
                "rollup value invalid: {:?}",
                String::from_utf8_lossy(other)
            ))),
        }
    }

    /// Until when it lives: at least as long as a subject delete marker would, if the stream has these and more than one message a subject.
    pub(super) fn set_ttl(&self, ttl: Option<TtlValue>, store: &mut Store<'_>) -> Result<(), Refusal> {
        let settings = &self.settings;
        match ttl.ok_or(Refusal::TtlInvalid)? {
            TtlValue::None => {}
            TtlValue::Never => store.ttl = Ttl::Never,
            TtlValue::Seconds(seconds) => {
                let mut seconds = seconds;
                if seconds < settings.marker_ttl && settings.limits.per_subject != Some(1) {
                    seconds = settings.marker_ttl;
                    let mut headers = without(&store.headers, b"Nats-TTL");
                    append(&mut headers, "Nats-TTL", &seconds.to_string());
                    store.headers = Cow::Owned(headers);
                }
                store.ttl = Ttl::Until(store.time.saturating_add(seconds.saturating_mul(1_000_000_000)));
            }
        }
        Ok(())
    }

    pub(super) fn check_sizes(&self, store: &Store<'_>) -> Result<(), Refusal> {
        let bytes = store.headers.len() + store.payload.len();
        if self.settings.limits.message_bytes.is_some_and(|max| bytes > max as usize) {
            return Err(Refusal::MessageTooLarge);
        }
        if store.headers.len() > usize::from(u16::MAX) {
            return Err(Refusal::HeaderTooLarge);
        }
        u32::try_from(bytes).map(|_| ()).map_err(|_| Refusal::MessageTooLarge)
    }

    /// The limits of a stream that discards new messages.
    pub(super) fn check_discard(&self, store: &Store<'_>) -> Result<(), Refusal> {
        let Discard::New { per_subject } = self.settings.discard else { return Ok(()) };
        let (limits, totals) = (&self.settings.limits, self.messages.totals());
        let size = self.messages.size(store.subject.len(), store.header_bytes, store.body_bytes);
        let subject = limits.per_subject.and_then(|max| {
            let id = self.messages.subject_id(&store.subject)?;
            Some(self.messages.subject(id)).filter(|subject| subject.count >= max)
        });
        if subject.is_some() && per_subject && store.rollup.is_none() {
            return Err(Refusal::StoreFailed("maximum messages per subject exceeded"));
        }
        // A message that takes the place of its subject's first one fits.
        if limits.messages.is_some_and(|max| totals.count >= max) && subject.is_none() {
            return Err(Refusal::StoreFailed("maximum messages exceeded"));
        }
        if limits.bytes.is_some_and(|max| totals.bytes + size > max) {
            let freed = subject.and_then(|subject| self.messages.head(subject.first));
            let freed = freed
                .map_or(0, |head| self.messages.size(head.subject.len(), head.header_bytes, head.body_bytes));
            if subject.is_none() || freed < size {
                return Err(Refusal::StoreFailed("maximum bytes exceeded"));
            }
        }
        Ok(())
    }
}

impl Store<'_> {
    /// With the sizes of its parts. Headers of more than 65,535 bytes were refused, or are about to be.
    pub(super) fn measured(mut self) -> Self {
        self.header_bytes = u16::try_from(self.headers.len()).unwrap_or(u16::MAX);
        self.body_bytes = u32::try_from(self.headers.len() + self.payload.len()).unwrap_or(u32::MAX);
        self
    }
}

impl Store<'_> {
    /// Without headers and payload: what only gets a sequence.
    pub(super) fn bodiless(self) -> Self {
        Self { headers: Cow::default(), payload: Cow::default(), ..self }.measured()
    }
}

/// A header block without the lines that begin with one of these.
pub fn without_prefixes(headers: &[u8], prefixes: &[&[u8]]) -> Vec<u8> {
    let is_out = |line: &[u8]| prefixes.iter().any(|prefix| line.starts_with(prefix));
    headers.split_inclusive(|&byte| byte == b'\n').filter(|line| !is_out(line)).flatten().copied().collect()
}

/// A header block without the lines of one name.
pub(super) fn without(headers: &[u8], name: &[u8]) -> Vec<u8> {
    let named = |line: &[u8]| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(b":"));
    headers.split_inclusive(|&byte| byte == b'\n').filter(|line| !named(line)).flatten().copied().collect()
}

/// Adds a header at the end of a block.
pub fn append(headers: &mut Vec<u8>, name: &str, value: &str) {
    if headers.is_empty() {
        headers.extend_from_slice(b"NATS/1.0\r\n\r\n");
    }
    let end = if headers.ends_with(b"\r\n") { headers.len() - 2 } else { headers.len() };
    headers.truncate(end);
    for part in [name, ": ", value, "\r\n\r\n"] {
        headers.extend_from_slice(part.as_bytes());
    }
}

/// A header block without the status that its first line may have behind the version.
fn without_status(headers: &[u8]) -> Cow<'_, [u8]> {
    const VERSION: &[u8] = b"NATS/1.0";
    let Some(behind) = headers.strip_prefix(VERSION).filter(|behind| !behind.starts_with(b"\r\n")) else {
        return Cow::Borrowed(headers);
    };
    match behind.windows(2).position(|window| window == b"\r\n") {
        Some(end) => Cow::Owned([VERSION, &behind[end..]].concat()),
        None => Cow::Borrowed(headers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_not_stored() {
        let cut = |headers: &'static [u8]| without_status(headers).into_owned();
        assert_eq!(cut(b"NATS/1.0 503 Odd\r\nA:b\r\n\r\n"), b"NATS/1.0\r\nA:b\r\n\r\n");
        assert!(matches!(without_status(b"NATS/1.0\r\nA:b\r\n\r\n"), Cow::Borrowed(_)));
        assert_eq!(cut(b"NATS/1.0 503"), b"NATS/1.0 503");
        assert_eq!(cut(b""), b"");
    }
}
