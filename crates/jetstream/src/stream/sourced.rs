//! Messages that another stream had first: a mirror stores them as they are there, a stream with sources as its own.

use super::admit::{FILE_MESSAGE_BYTES_MAX, append, without};
use super::marks::{self, TtlValue, given};
use super::{Admitted, Marks, Publish, Refusal, Rollup, Room, Sourced, Storage, Store, Stream};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How far a source is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The sequence there of the last message that was stored here.
    pub seq: u64,
    /// The identity of that stream; empty: it is not known.
    pub identity: Box<[u8]>,
}

/// How far all sources are, by their index names.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(BTreeMap<Box<[u8]>, Place>);

impl Places {
    /// A message of a source was stored.
    pub(super) fn note(&mut self, sourced: &Sourced<'_>) {
        match self.0.get_mut(&*sourced.index) {
            Some(place) => {
                place.seq = sourced.seq;
                if *place.identity != *sourced.identity {
                    place.identity = (*sourced.identity).into();
                }
            }
            None => {
                let place = Place { seq: sourced.seq, identity: (*sourced.identity).into() };
                self.0.insert((*sourced.index).into(), place);
            }
        }
    }

    /// Only these sources are left.
    pub(super) fn retain(&mut self, sources: &[Box<str>]) {
        self.0.retain(|index, _| sources.iter().any(|source| source.as_bytes() == &**index));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Place)> {
        self.0.iter().map(|(index, place)| (&**index, place))
    }
}

/// A message of an origin; its subject is as the source's transforms made it, its headers as they are to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// Subject, headers and payload.
    pub message: Publish<'a>,
    /// Its sequence in the origin.
    pub seq: u64,
    /// When it was stored there: nanoseconds since 1970.
    pub time: i64,
}

impl Stream {
    /// How far a source is, by its index name. `None`: nothing was ever stored.
    pub fn place_of(&self, index: &str) -> Option<&Place> {
        self.places.0.get(index.as_bytes())
    }

    /// What `Nats-Stream-Source` of a stored message says, if it is of one of the sources that the stream has.
    pub(super) fn sourced(&self, value: &[u8]) -> Option<Sourced<'static>> {
        let mut fields = value.split(|&byte| byte == b' ');
        let (name, seq) = (fields.next()?, fields.next()?);
        let (filter, destination) = (fields.next()?, fields.next()?);
        let index = [name, filter, destination].join(&b' ');
        let is_known = self.settings.sources.iter().any(|source| source.as_bytes() == index);
        let seq = marks::number(seq).filter(|_| is_known)?;
        // Behind the subject in the origin.
        let identity = fields.nth(1).unwrap_or_default().to_vec();
        Some(Sourced { index: Cow::Owned(index), seq, identity: Cow::Owned(identity) })
    }

    /// Decides on a message of a mirror's origin: it is stored with its sequence and time there.
    ///
    /// # Errors
    ///
    /// Why it cannot be stored.
    pub fn admit_mirrored<'a>(
        &self,
        inbound: &Inbound<'a>,
        room: &impl Room,
    ) -> Result<Admitted<'a>, Refusal> {
        if inbound.seq <= self.totals().last {
            return Ok(Admitted::Duplicate(inbound.seq));
        }
        self.check_room(&inbound.message, room)?;
        let mut store = self.taken(inbound, inbound.time, room)?;
        store.seq = inbound.seq;
        self.admit_taken(store, room)
    }

    /// Decides on a message of a source at the time `now`: it is stored behind what there is, and `sourced` with it.
    ///
    /// # Errors
    ///
    /// Why it cannot be stored.
    pub fn admit_sourced<'a>(
        &self,
        inbound: &Inbound<'a>,
        sourced: Sourced<'a>,
        room: &impl Room,
        now: i64,
    ) -> Result<Admitted<'a>, Refusal> {
        self.check_room(&inbound.message, room)?;
        let mut store = self.taken(inbound, self.time(now), room)?;
        let window = self.settings.duplicate_window;
        if let Some(known) = self.dedupe.find(&store.msg_id, now, window).filter(|_| !store.msg_id.is_empty())
        {
            return Ok(Admitted::Duplicate(known));
        }
        store.sourced = Some(sourced);
        if self.settings.features.counter {
            let marks = Marks::of(inbound.message.headers);
            self.add_sourced(&marks, &mut store, room)?;
        }
        self.admit_taken(store, room)
    }

    fn check_room(&self, message: &Publish<'_>, room: &impl Room) -> Result<(), Refusal> {
        let size = self.size(message.subject, message);
        if self.settings.storage == Storage::File && size > FILE_MESSAGE_BYTES_MAX {
            return Err(Refusal::StoreFailed("message too large"));
        }
        if self.settings.features.sealed {
            return Err(Refusal::Sealed);
        }
        if room.server_bytes() == 0 { Err(Refusal::ServerFull) } else { Ok(()) }
    }

    /// The message, with what its headers say here: what this stream does not allow is stored, and means nothing.
    fn taken<'a>(&self, inbound: &Inbound<'a>, time: i64, room: &impl Room) -> Result<Store<'a>, Refusal> {
        let message = &inbound.message;
        let subject = self.transformed(Cow::Borrowed(message.subject), room);
        let mut store = self.plain(subject, message, time);
        if message.headers.is_empty() {
            return Ok(store);
        }
        let marks = Marks::of(message.headers);
        if let Some(id) = given(marks.msg_id) {
            store.msg_id = Cow::Borrowed(id);
        }
        if self.settings.allows_rollup() {
            store.rollup = match given(marks.rollup).map(<[u8]>::to_ascii_lowercase).as_deref() {
                Some(b"sub") => Some(Rollup::Subject),
                Some(b"all") => Some(Rollup::All),
                _ => None,
            };
        }
        store.is_marker = marks.is_marker();
        if marks.request_info.is_some() {
            store.headers = Cow::Owned(without(&store.headers, b"Nats-Request-Info"));
        }
        if self.settings.features.ttl {
            let ttl = marks::ttl(marks.ttl).unwrap_or(TtlValue::None);
            self.set_ttl(Some(ttl), &mut store)?;
        }
        Ok(store.measured())
    }

    fn admit_taken<'a>(&self, store: Store<'a>, room: &impl Room) -> Result<Admitted<'a>, Refusal> {
        self.check_sizes(&store)?;
        self.admit_made(store, room)
    }
}

/// A header block with `Nats-Stream-Source` behind all else.
pub(crate) fn with_source(mut headers: Vec<u8>, value: &str) -> Vec<u8> {
    append(&mut headers, "Nats-Stream-Source", value);
    headers
}
