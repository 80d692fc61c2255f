//! What is known of one message, in 32 bytes.

use super::{New, SubjectId};

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

/// Where a link leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    None,
    To(u64),
    /// Further than an entry can say: it has to be searched.
    Far,
}

impl Link {
    /// The sequence; `far` searches it.
    #[inline]
    pub(super) fn resolve(self, far: impl FnOnce() -> Option<u64>) -> Option<u64> {
        match self {
            Self::None => None,
            Self::To(seq) => Some(seq),
            Self::Far => far(),
        }
    }
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
