//! Proposals out of what a store's log holds: messages one by one, of which those of an atomic batch belong together.

use super::codec::Malformed;
use super::{MadeBy, Proposal, Store};
use crate::messages::Place;
use std::borrow::Cow;

/// Messages of a batch whose last one was not read yet.
#[derive(Debug, Default)]
pub struct Recovery {
    batch: Vec<Store<'static>>,
    places: Vec<(u64, Place)>,
}

impl Recovery {
    /// A message of the log. If it is one of its own, or the last of its batch, the proposal to be carried out comes back; then the places of
    /// its messages are to be set ([`Self::places`]).
    ///
    /// # Errors
    ///
    /// The head is none of a known version.
    pub fn message<'a>(
        &mut self,
        seq: u64,
        head: &'a [u8],
        body_bytes: u32,
        place: Place,
    ) -> Result<Option<Proposal<'a>>, Malformed> {
        if self.batch.is_empty() {
            self.places.clear();
        }
        let store = Store::decode_head(seq, head, body_bytes)?;
        let continues = self
            .batch
            .last()
            .is_none_or(|before| before.seq + 1 == seq && before.following == store.following + 1);
        if !continues {
            return Err(Malformed);
        }
        self.places.push((seq, place));
        if store.following > 0 {
            self.batch.push(store.into_owned());
            return Ok(None);
        }
        if self.batch.is_empty() {
            return Ok(Some(Proposal::Store(store)));
        }
        self.batch.push(store.into_owned());
        Ok(Some(Proposal::Batch(std::mem::take(&mut self.batch))))
    }

    /// Where the bodies of the proposal are that came last.
    pub fn places(&self) -> &[(u64, Place)] {
        &self.places
    }

    /// The log ends, or goes on with something else. A batch whose end is missing was never acknowledged: its sequences are given to nobody.
    pub fn cut(&mut self) -> Option<Proposal<'static>> {
        self.places.clear();
        let batch = std::mem::take(&mut self.batch);
        batch.last().map(|last| Proposal::SkipTo(last.seq))
    }
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
            following: self.following,
            is_skipped: self.is_skipped,
        }
    }

    /// What a counter stands at with this message: the `val` of its acknowledgement.
    pub fn counter_value(&self) -> Option<&str> {
        let value = self.payload.strip_prefix(b"{\"val\":\"")?.strip_suffix(b"\"}")?;
        std::str::from_utf8(value).ok()
    }
}
