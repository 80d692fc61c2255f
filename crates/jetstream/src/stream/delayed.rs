//! Messages that are stored later: `Nats-Delay`, of streams that allow it.
//!
//! Until then they are no messages of the stream: no sequence, no consumer and no figure knows them. They are kept with the state, so there is a bound.

use super::admit::without;
use super::codec::{Malformed, Reader, put, put_bytes};
use super::marks::{duration, given};
use super::{Admitted, Marks, Proposal, Publish, Refusal, Room, Stream};
use crate::time::Time;
use dialtone_subject::set;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Messages of one stream that may be delayed at a time.
pub const DELAYED_MAX: usize = 100_000;
/// Bytes of their subjects, headers and payloads.
pub const DELAYED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Nanoseconds until a message is tried again that the stream did not take.
const RETRY: i64 = 1_000_000_000;

/// A message that is stored later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delayed<'a> {
    /// Its number, never used twice in a stream.
    pub id: u64,
    /// When it is stored, nanoseconds since 1970.
    pub at: i64,
    /// Its subject, as it was published.
    pub subject: Cow<'a, [u8]>,
    /// The header block, without `Nats-Delay`.
    pub headers: Cow<'a, [u8]>,
    /// The payload.
    pub payload: Cow<'a, [u8]>,
}

impl Delayed<'_> {
    /// With bytes of its own.
    pub fn into_owned(self) -> Delayed<'static> {
        let own = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
        let (subject, headers, payload) = (own(self.subject), own(self.headers), own(self.payload));
        Delayed { id: self.id, at: self.at, subject, headers, payload }
    }

    fn bytes(&self) -> u64 {
        (self.subject.len() + self.headers.len() + self.payload.len()) as u64
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.id);
        out.extend_from_slice(&self.at.to_le_bytes());
        for bytes in [&self.subject, &self.headers, &self.payload] {
            put_bytes(out, bytes);
        }
    }
}

impl<'a> Delayed<'a> {
    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (id, at) = (reader.number()?, reader.time()?);
        let mut bytes = || reader.bytes().map(Cow::Borrowed);
        Ok(Self { id, at, subject: bytes()?, headers: bytes()?, payload: bytes()? })
    }
}

/// All of a stream.
#[derive(Debug, Default)]
pub(super) struct Delays {
    by_id: BTreeMap<u64, Delayed<'static>>,
    by_time: BTreeSet<(i64, u64)>,
    bytes: u64,
    next: u64,
}

impl Delays {
    pub fn set(&mut self, delayed: Delayed<'static>) {
        self.remove(delayed.id);
        self.next = self.next.max(delayed.id.saturating_add(1));
        self.bytes += delayed.bytes();
        self.by_time.insert((delayed.at, delayed.id));
        self.by_id.insert(delayed.id, delayed);
    }

    pub fn remove(&mut self, id: u64) {
        if let Some(delayed) = self.by_id.remove(&id) {
            self.by_time.remove(&(delayed.at, id));
            self.bytes -= delayed.bytes();
        }
    }

    /// Gives up those that a filter matches, or all.
    pub fn purge(&mut self, filter: Option<&[u8]>) {
        let is_gone =
            |delayed: &Delayed<'_>| filter.is_none_or(|filter| set::matches(filter, &delayed.subject));
        let gone: Vec<u64> =
            self.by_id.values().filter(|delayed| is_gone(delayed)).map(|delayed| delayed.id).collect();
        gone.into_iter().for_each(|id| self.remove(id));
    }

    /// One of them is tried again later.
    pub fn postpone(&mut self, id: u64, at: i64) {
        if let Some(delayed) = self.by_id.get_mut(&id) {
            self.by_time.remove(&(delayed.at, id));
            delayed.at = at;
            self.by_time.insert((at, id));
        }
    }

    pub fn first(&self) -> Option<i64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Appends all of them, or nothing where there never was one.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        if self.next == 0 {
            return;
        }
        put(out, self.next);
        put(out, self.by_id.len() as u64);
        self.by_id.values().for_each(|delayed| delayed.encode(out));
    }

    pub fn restore(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut delays = Self::default();
        if reader.0.is_empty() {
            return Ok(delays);
        }
        let next = reader.number()?;
        for _ in 0..reader.number()? {
            delays.set(Delayed::decode(reader)?.into_owned());
        }
        delays.next = delays.next.max(next);
        Ok(delays)
    }
}

/// When `Nats-Delay` says that a message is stored: so long from now, or at a time.
fn due(value: &[u8], now: i64) -> Result<i64, Refusal> {
    let text = std::str::from_utf8(value).map(str::trim).unwrap_or_default();
    let at = match duration(text) {
        Some(delay) => Some(now.saturating_add(delay)),
        None => Time::parse(text).map(Time::unix_nanos),
    };
    at.ok_or(Refusal::StoreFailed("Nats-Delay has to be a duration such as 250ms, or a time of RFC 3339"))
}

impl Stream {
    /// Whether a publish asks to be stored later, and the stream allows it.
    pub(super) fn is_delayed(&self, headers: &[u8]) -> bool {
        self.settings.features.delay && !headers.is_empty() && given(Marks::of(headers).delay).is_some()
    }

    /// Decides on a message that is to be stored later. What would be refused now is refused.
    pub(super) fn admit_delayed<'a>(
        &self,
        publish: &Publish<'a>,
        room: &impl Room,
        now: i64,
    ) -> Result<Admitted<'a>, Refusal> {
        let marks = Marks::of(publish.headers);
        let at = due(given(marks.delay).unwrap_or_default(), now)?;
        let others = [
            marks.expected_last_seq,
            marks.expected_last_msg_id,
            marks.expected_subject_seq,
            marks.expected_subject,
            marks.batch_id,
            marks.increment,
            marks.schedule,
            marks.schedule_next,
        ];
        if others.into_iter().any(|other| given(other).is_some()) {
            return Err(Refusal::StoreFailed(
                "Nats-Delay does not go with what is expected, batches, counters and schedules",
            ));
        }
        let headers = without(publish.headers, b"Nats-Delay");
        let headers = if headers == b"NATS/1.0\r\n\r\n" { Vec::new() } else { headers };
        let plain = Publish { headers: &headers, ..*publish };
        let admitted = self.admit_publish(&plain, room, now)?;
        if at <= now || matches!(admitted, Admitted::Duplicate(_)) {
            return Ok(admitted.into_owned());
        }
        let delayed = Delayed {
            id: self.delays.next.max(1),
            at,
            subject: Cow::Borrowed(publish.subject),
            headers: Cow::Owned(headers),
            payload: Cow::Borrowed(publish.payload),
        };
        if self.delays.by_id.len() >= DELAYED_MAX || self.delays.bytes + delayed.bytes() > DELAYED_BYTES_MAX {
            return Err(Refusal::StoreFailed("too many messages are delayed"));
        }
        Ok(Admitted::Proposal(Proposal::Delay(delayed)))
    }

    /// What becomes of the next delayed message that is due. To be asked again until there is none.
    pub fn admit_due(&self, room: &impl Room, now: i64) -> Option<Proposal<'static>> {
        let &(_, id) = self.delays.by_time.first().filter(|(at, _)| *at <= now)?;
        let delayed = self.delays.by_id.get(&id)?;
        let publish =
            Publish { subject: &delayed.subject, headers: &delayed.headers, payload: &delayed.payload };
        Some(match self.admit_publish(&publish, room, now).map(Admitted::into_owned) {
            Ok(Admitted::Proposal(Proposal::Store(mut store))) => {
                store.delayed = Some(id);
                Proposal::Store(store)
            }
            // It was stored before, or nobody is interested.
            Ok(_) => Proposal::Undelay(id),
            Err(_) => Proposal::Postpone { id, at: now.saturating_add(RETRY) },
        })
    }

    /// Decides on giving up a delayed message. `None`: there is none of this number.
    pub fn admit_undelay(&self, id: u64) -> Option<Proposal<'static>> {
        self.delays.by_id.contains_key(&id).then_some(Proposal::Undelay(id))
    }

    /// The messages that are delayed, by number, behind one; those that a filter matches, if there is one.
    pub fn delayed<'s>(&'s self, behind: u64, filter: &'s str) -> impl Iterator<Item = &'s Delayed<'static>> {
        let all = self.delays.by_id.range(behind.saturating_add(1)..).map(|(_, delayed)| delayed);
        all.filter(move |delayed| filter.is_empty() || set::matches(filter.as_bytes(), &delayed.subject))
    }

    /// How many messages are delayed, and their bytes.
    pub fn delayed_totals(&self) -> (usize, u64) {
        (self.delays.by_id.len(), self.delays.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    struct Open;

    impl Room for Open {
        fn is_wanted(&self, _: &[u8]) -> bool {
            true
        }
    }

    fn stream() -> Stream {
        let features = Features { delay: true, ttl: true, ..Features::default() };
        let settings = Settings {
            storage: Storage::Memory,
            features,
            payload_max: 1 << 20,
            duplicate_window: 1_000,
            ..Settings::default()
        };
        Stream::new(settings)
    }

    fn admitted(stream: &Stream, headers: &str, now: i64) -> Result<Proposal<'static>, Refusal> {
        let headers = format!("NATS/1.0\r\n{headers}\r\n\r\n");
        let publish = Publish { subject: b"s.1", headers: headers.as_bytes(), payload: b"body" };
        let admitted = stream.admit(&mut Batches::default(), &publish, &Open, now)?;
        match admitted.map(Admitted::into_owned) {
            Some(Admitted::Proposal(proposal)) => Ok(proposal),
            other => panic!("{other:?}"),
        }
    }

    /// Carries a proposal out as the log has it.
    fn apply(stream: &mut Stream, proposal: &Proposal<'_>) {
        let mut bytes = Vec::new();
        proposal.encode(&mut bytes);
        let decoded = Proposal::decode(&bytes).expect("what was encoded is read");
        assert_eq!(&decoded, proposal);
        stream.apply(&decoded, &mut Effects::default());
    }

    fn again(stream: &Stream) -> Stream {
        let mut bytes = Vec::new();
        stream.snapshot(Whole::Bodies, &mut bytes);
        let again = Stream::restore(stream.settings().clone(), &bytes).expect("a snapshot is read");
        assert_eq!(again.delayed(0, "").collect::<Vec<_>>(), stream.delayed(0, "").collect::<Vec<_>>());
        again
    }

    #[test]
    fn a_message_is_stored_when_it_is_due() {
        let mut stream = stream();
        let proposal = admitted(&stream, "A: b\r\nNats-Delay: 250ms", 5).expect("it is taken");
        apply(&mut stream, &proposal);
        assert_eq!((stream.totals().last, stream.next_expiry()), (0, Some(250_000_005)));
        let later = admitted(&stream, "Nats-Delay: 1970-01-01T00:00:01Z", 5).expect("it is taken");
        apply(&mut stream, &later);
        let mut stream = again(&stream);
        assert_eq!(stream.delayed_totals().0, 2);
        assert!(stream.admit_due(&Open, 250_000_004).is_none());
        let due = stream.admit_due(&Open, 250_000_005).expect("it is due");
        apply(&mut stream, &due);
        let (head, body) = stream.get(1).expect("it is stored");
        assert_eq!((head.subject, head.time), (&b"s.1"[..], 250_000_005));
        assert!(matches!(body, crate::messages::Body::Hot(b"NATS/1.0\r\nA: b\r\n\r\nbody")), "{body:?}");
        assert_eq!(stream.delayed(0, "").map(|delayed| delayed.at).collect::<Vec<_>>(), [1_000_000_000]);
        let undelay = stream.admit_undelay(2).expect("it is there");
        apply(&mut stream, &undelay);
        assert_eq!((stream.delayed_totals(), stream.next_expiry()), ((0, 0), None));
        // Numbers are never used twice.
        let mut stream = again(&stream);
        let proposal = admitted(&stream, "Nats-Delay: 1s", 5).expect("it is taken");
        assert!(matches!(&proposal, Proposal::Delay(Delayed { id: 3, headers, .. }) if headers.is_empty()));
        apply(&mut stream, &proposal);
        assert_eq!(stream.delayed(0, "t.*").count() + stream.delayed(3, "").count(), 0);
        assert_eq!(stream.delayed(0, "s.*").count(), 1);
    }

    #[test]
    fn a_purge_of_all_or_of_a_filter_takes_what_is_delayed() {
        let mut stream = stream();
        for _ in 0..2 {
            let proposal = admitted(&stream, "Nats-Delay: 1s", 0).expect("it is taken");
            apply(&mut stream, &proposal);
        }
        let filter = |filter: &str| Some(filter.as_bytes().into());
        for (purge, left) in [
            (Purge { filter: filter("t.>"), before: 0, keep: 0 }, 2),
            (Purge { filter: None, before: 5, keep: 0 }, 2),
            (Purge { filter: filter("s.*"), before: 0, keep: 1 }, 2),
            (Purge { filter: filter("s.*"), before: 0, keep: 0 }, 0),
        ] {
            let purge = stream.admit_purge(purge).expect("it is allowed");
            apply(&mut stream, &purge);
            assert_eq!(stream.delayed_totals().0, left, "{purge:?}");
        }
        assert_eq!(stream.next_expiry(), None);
        let proposal = admitted(&stream, "Nats-Delay: 1s", 0).expect("it is taken");
        apply(&mut stream, &proposal);
        apply(&mut stream, &Proposal::Purge(Purge::default()));
        assert_eq!(again(&stream).delayed_totals(), (0, 0));
    }

    #[test]
    fn what_is_past_is_stored_at_once() {
        let stream = stream();
        for value in ["0", "-5s", "1970-01-01T00:00:00Z"] {
            let proposal = admitted(&stream, &format!("Nats-Delay: {value}"), 5).expect("it is taken");
            assert!(
                matches!(&proposal, Proposal::Store(store) if store.headers.is_empty()),
                "{value}: {proposal:?}"
            );
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let stream = stream();
        for headers in [
            "Nats-Delay: soon",
            "Nats-Delay: 5",
            "Nats-Delay: 1s\r\nNats-Expected-Last-Sequence: 0",
            "Nats-Delay: 1s\r\nNats-TTL: soon",
            "Nats-Delay: 1s\r\nNats-Expected-Stream: OTHER",
        ] {
            assert!(admitted(&stream, headers, 5).is_err(), "{headers}");
        }
        // Where it is not allowed, it is a header like any other.
        let stream = Stream::new(Settings { payload_max: 1 << 20, ..Settings::default() });
        let proposal = admitted(&stream, "Nats-Delay: soon", 5).expect("it is taken");
        assert!(matches!(&proposal, Proposal::Store(store) if !store.headers.is_empty()));
    }

    #[test]
    fn what_the_stream_does_not_take_is_tried_again() {
        let mut stream = stream();
        let proposal = admitted(&stream, "Nats-Msg-Id: x\r\nNats-Delay: 1s", 0).expect("it is taken");
        apply(&mut stream, &proposal);
        let sealed = Settings {
            features: Features { sealed: true, ..Features::default() },
            ..stream.settings().clone()
        };
        let open = stream.settings().clone();
        stream.reconfigure(sealed, &mut Effects::default());
        let postponed = stream.admit_due(&Open, 2_000_000_000).expect("it is due");
        assert_eq!(postponed, Proposal::Postpone { id: 1, at: 3_000_000_000 });
        apply(&mut stream, &postponed);
        stream.reconfigure(open, &mut Effects::default());
        assert!(stream.admit_due(&Open, 2_999_999_999).is_none());
        let due = stream.admit_due(&Open, 3_000_000_000).expect("it is due");
        apply(&mut stream, &due);
        assert_eq!((stream.totals().last, stream.delayed_totals()), (1, (0, 0)));
    }
}
