//! What is known of one message, in 32 bytes.

use super::{Found, New, SubjectId};

/// Marks of an entry.
const KEPT_FOREVER: u8 = 1;
const MARKER: u8 = 2;

/// The distance to another message of the subject, in 40 bits. 0: there is none; all ones: it is further than that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Distance([u8; 5]);

const FAR: u64 = (1 << 40) - 1;

impl Distance {
    #[inline]
    fn new(distance: u64) -> Self {
        let [a, b, c, d, e, ..] = distance.min(FAR).to_le_bytes();
        Self([a, b, c, d, e])
    }

    #[inline]
    fn get(self) -> u64 {
        let [a, b, c, d, e] = self.0;
        u64::from_le_bytes([a, b, c, d, e, 0, 0, 0])
    }
}

/// Which messages of its subject stand beside a message, as ten bytes for the store; all zeros: that is not known. They are hints: what they
/// name may be gone, and there may be one behind it that did not exist when they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links(pub [u8; 10]);

/// Where a link leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    None,
    To(u64),
    /// Further than an entry can say: it has to be searched.
    Far,
}

/// One message. Sequences are where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) time: i64,
    pub(super) subject: SubjectId,
    pub(super) body_bytes: u32,
    pub(super) header_bytes: u16,
    marks: u8,
    previous: Distance,
    next: Distance,
}

const _: () = assert!(size_of::<Entry>() == 32);

impl Entry {
    /// A slot without a message.
    pub(super) const GONE: Self = Self {
        time: 0,
        subject: SubjectId::NONE,
        body_bytes: 0,
        header_bytes: 0,
        marks: 0,
        previous: Distance([0; 5]),
        next: Distance([0; 5]),
    };

    #[inline]
    pub(super) fn new(new: &New<'_>, subject: SubjectId) -> Self {
        let marks = u8::from(new.is_kept_forever) * KEPT_FOREVER + u8::from(new.is_marker) * MARKER;
        let (time, body_bytes, header_bytes) = (new.time, new.body_bytes, new.header_bytes);
        Self { time, subject, body_bytes, header_bytes, marks, ..Self::GONE }
    }

    /// One that the store has.
    pub(super) fn of(found: &Found<'_>, subject: SubjectId) -> Self {
        let marks = u8::from(found.is_kept_forever) * KEPT_FOREVER + u8::from(found.is_marker) * MARKER;
        // Without a note, nobody knows whether there is one before it.
        let links = if found.links == Links::default() { [0xFF; 10] } else { found.links.0 };
        let [a, b, c, d, e, f, g, h, i, j] = links;
        Self {
            time: found.time,
            subject,
            body_bytes: found.body_bytes,
            header_bytes: found.header_bytes,
            marks,
            previous: Distance([a, b, c, d, e]),
            next: Distance([f, g, h, i, j]),
        }
    }

    pub(super) fn links(&self) -> Links {
        let ([a, b, c, d, e], [f, g, h, i, j]) = (self.previous.0, self.next.0);
        Links([a, b, c, d, e, f, g, h, i, j])
    }

    #[inline]
    pub(super) fn is_gone(&self) -> bool {
        self.subject == SubjectId::NONE
    }

    pub(super) fn is_kept_forever(&self) -> bool {
        self.marks & KEPT_FOREVER != 0
    }

    pub(super) fn is_marker(&self) -> bool {
        self.marks & MARKER != 0
    }

    #[inline]
    pub(super) fn previous(&self, seq: u64) -> Link {
        match self.previous.get() {
            0 => Link::None,
            FAR => Link::Far,
            distance => Link::To(seq.saturating_sub(distance)),
        }
    }

    #[inline]
    pub(super) fn next(&self, seq: u64) -> Link {
        match self.next.get() {
            0 => Link::None,
            FAR => Link::Far,
            distance => Link::To(seq.saturating_add(distance)),
        }
    }

    #[inline]
    pub(super) fn link_back(&mut self, seq: u64, previous: u64) {
        self.previous = Distance::new(seq - previous);
    }

    #[inline]
    pub(super) fn link_on(&mut self, seq: u64, next: u64) {
        self.next = Distance::new(next - seq);
    }

    pub(super) fn set_next(&mut self, seq: u64, next: Option<u64>) {
        self.next = Distance::new(next.map_or(0, |next| next - seq));
    }

    pub(super) fn set_previous(&mut self, seq: u64, previous: Option<u64>) {
        self.previous = Distance::new(previous.map_or(0, |previous| seq - previous));
    }
}
