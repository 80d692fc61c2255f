//! What was decided: all that [`Stream::apply`](super::Stream::apply) has to know.

use super::delayed::Delayed;
use super::marks::Rollup;
use std::borrow::Cow;

/// A change of a stream. What it holds was decided when it was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal<'a> {
    /// A message is stored.
    Store(Store<'a>),
    /// Several messages are stored at once, an atomic batch.
    Batch(Vec<Store<'a>>),
    /// A message gets a sequence and is not stored, since no consumer is interested.
    Skip(Store<'a>),
    /// Messages are removed one by one.
    Remove(Remove),
    /// Messages are removed by a rule.
    Purge(Purge),
    /// Sequences up to this one have no message, in a mirror.
    SkipTo(u64),
    /// A message is stored later.
    Delay(Delayed<'a>),
    /// A message that was to be stored later is not.
    Undelay(u64),
    /// A message that was to be stored is tried again.
    Postpone {
        /// Its number.
        id: u64,
        /// Nanoseconds since 1970.
        at: i64,
    },
    /// A schedule, by its sequence, fires at another time, or (`None`) not any more.
    Reschedule {
        /// The message that is the schedule.
        seq: u64,
        /// Nanoseconds since 1970.
        at: Option<i64>,
    },
}

impl Proposal<'_> {
    /// With bytes of its own.
    pub fn into_owned(self) -> Proposal<'static> {
        match self {
            Self::Store(store) => Proposal::Store(store.into_owned()),
            Self::Batch(stores) => Proposal::Batch(stores.into_iter().map(Store::into_owned).collect()),
            Self::Skip(store) => Proposal::Skip(store.into_owned()),
            Self::Remove(remove) => Proposal::Remove(remove),
            Self::Purge(purge) => Proposal::Purge(purge),
            Self::SkipTo(upto) => Proposal::SkipTo(upto),
            Self::Delay(delayed) => Proposal::Delay(delayed.into_owned()),
            Self::Undelay(id) => Proposal::Undelay(id),
            Self::Postpone { id, at } => Proposal::Postpone { id, at },
            Self::Reschedule { seq, at } => Proposal::Reschedule { seq, at },
        }
    }
}

/// Until when a message lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// As long as the stream's limits let it.
    #[default]
    None,
    /// Until this time: nanoseconds since 1970.
    Until(i64),
    /// Beyond the stream's `max_age`, too.
    Never,
}

/// A message to be stored, with what its headers say, so that nothing of its body need be read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store<'a> {
    /// Its sequence: one behind the stream's last.
    pub seq: u64,
    /// When: nanoseconds since 1970.
    pub time: i64,
    /// Its subject, transformed.
    pub subject: Cow<'a, [u8]>,
    /// The header block.
    pub headers: Cow<'a, [u8]>,
    /// The payload.
    pub payload: Cow<'a, [u8]>,
    /// Bytes of the headers; those of `headers`, which a decoded head lacks.
    pub header_bytes: u16,
    /// Bytes of headers and payload.
    pub body_bytes: u32,
    /// `Nats-Msg-Id`; empty: none.
    pub msg_id: Cow<'a, [u8]>,
    /// How long it lives.
    pub ttl: Ttl,
    /// What it rolls up.
    pub rollup: Option<Rollup>,
    /// Whether it is a subject delete marker.
    pub is_marker: bool,
    /// A schedule: when it fires first, nanoseconds since 1970.
    pub schedule: Option<i64>,
    /// The schedule that made it.
    pub made_by: Option<MadeBy<'a>>,
    /// The number that it had while it was delayed.
    pub delayed: Option<u64>,
    /// The source that it is from.
    pub sourced: Option<Sourced<'a>>,
    /// Whether its payload is a counter's value. Not kept.
    pub is_counter: bool,
    /// Whether it only gets a sequence, since no consumer is interested: in a batch.
    pub is_skipped: bool,
}

impl Store<'_> {
    /// With bytes of its own.
    pub fn into_owned(self) -> Store<'static> {
        let own = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
        Store {
            seq: self.seq,
            time: self.time,
            subject: own(self.subject),
            headers: own(self.headers),
            payload: own(self.payload),
            header_bytes: self.header_bytes,
            body_bytes: self.body_bytes,
            msg_id: own(self.msg_id),
            ttl: self.ttl,
            rollup: self.rollup,
            is_marker: self.is_marker,
            schedule: self.schedule,
            made_by: self.made_by.map(|made_by| MadeBy { subject: own(made_by.subject), next: made_by.next }),
            delayed: self.delayed,
            sourced: self.sourced.map(|from| Sourced {
                index: own(from.index),
                seq: from.seq,
                identity: own(from.identity),
            }),
            is_counter: self.is_counter,
            is_skipped: self.is_skipped,
        }
    }

    /// What a counter stands at with this message: the `val` of its acknowledgement.
    pub fn counter_value(&self) -> Option<&str> {
        if !self.is_counter {
            return None;
        }
        let value = self.payload.strip_prefix(b"{\"val\":\"")?.strip_suffix(b"\"}")?;
        std::str::from_utf8(value).ok()
    }
}

/// The schedule that made a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeBy<'a> {
    /// Its subject.
    pub subject: Cow<'a, [u8]>,
    /// When it fires again: nanoseconds since 1970. `None`: it ends with this message, and is purged.
    pub next: Option<i64>,
}

/// Where a message is from that another stream had first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<'a> {
    /// The source, by its [`index_name`](crate::config::StreamSource::index_name).
    pub index: Cow<'a, [u8]>,
    /// Its sequence there.
    pub seq: u64,
    /// The identity of that stream; empty: it is not known.
    pub identity: Cow<'a, [u8]>,
}

/// Messages to be removed one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remove {
    /// Their sequences: runs from `.0` to `.1`, ascending. What is gone already is passed over.
    pub runs: Vec<(u64, u64)>,
    /// Why.
    pub reason: super::Reason,
    /// Whether their bytes are to be overwritten on disk.
    pub erase: bool,
}

/// Messages to be removed by a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// Those that this filter matches; `None`: all.
    pub filter: Option<Box<[u8]>>,
    /// Those before this sequence; 0: all.
    pub before: u64,
    /// But this many of the last; 0: none.
    pub keep: u64,
}
