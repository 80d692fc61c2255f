//! The entries of one filter: nearly always one.

use super::Entry;

/// Entries. One is held inline; several are behind a pointer.
#[derive(Debug, Default)]
pub(super) enum Bag<E> {
    #[default]
    Empty,
    One(E),
    // A Vec by itself would make every bag half as large again.
    #[allow(clippy::box_collection)]
    Many(Box<Vec<E>>),
}

impl<E> Bag<E> {
    fn as_slice(&self) -> &[E] {
        match self {
            Self::Empty => &[],
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    pub(super) fn first(&self) -> Option<&E> {
        self.as_slice().first()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, E> {
        self.as_slice().iter()
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    pub(super) fn push(&mut self, entry: E) {
        *self = match std::mem::take(self) {
            Self::Empty => Self::One(entry),
            Self::One(first) => Self::Many(Box::new(vec![first, entry])),
            Self::Many(mut entries) => {
                entries.push(entry);
                Self::Many(entries)
            }
        };
    }
}

impl<E: Entry> Bag<E> {
    pub(super) fn has_filter(&self, filter: &[u8]) -> bool {
        self.first().is_some_and(|entry| entry.filter() == filter)
    }

    /// Takes an entry out. The order of the others may change.
    pub(super) fn remove(&mut self, entry: &E) -> bool {
        let Some(at) = self.as_slice().iter().position(|e| e.same(entry)) else { return false };
        *self = match std::mem::take(self) {
            Self::Many(mut entries) => {
                entries.swap_remove(at);
                if entries.len() * 4 < entries.capacity() {
                    entries.shrink_to_fit();
                }
                match (entries.len(), entries.pop()) {
                    (1, Some(last)) => Self::One(last),
                    (_, Some(last)) => {
                        entries.push(last);
                        Self::Many(entries)
                    }
                    (_, None) => Self::Empty,
                }
            }
            Self::One(_) | Self::Empty => Self::Empty,
        };
        true
    }
}
