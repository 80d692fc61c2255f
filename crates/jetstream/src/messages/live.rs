//! Which of the sequences of a chunk have a message.

use super::chunk::CHUNK;

const WORDS: usize = (CHUNK as usize).div_ceil(64);

/// The offsets of live messages. Never written as bits where they are in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Live {
    None,
    /// All between two offsets, both included.
    Run(u16, u16),
    Bits(Box<[u64; WORDS]>),
}

impl Live {
    /// Of ascending offsets below [`CHUNK`].
    pub(super) fn new(offsets: impl Iterator<Item = u16>) -> Self {
        let (mut run, mut bits) = (None, None::<Box<[u64; WORDS]>>);
        for offset in offsets {
            match (&mut bits, run) {
                (Some(bits), _) => set(bits, offset),
                (None, None) => run = Some((offset, offset)),
                (None, Some((first, last))) if offset == last + 1 => run = Some((first, offset)),
                (None, Some((first, last))) => {
                    let mut made = Self::bits(first, last);
                    set(&mut made, offset);
                    bits = Some(made);
                }
            }
        }
        match (bits, run) {
            (Some(bits), _) => Self::Bits(bits),
            (None, Some((first, last))) => Self::Run(first, last),
            (None, None) => Self::None,
        }
    }

    fn bits(first: u16, last: u16) -> Box<[u64; WORDS]> {
        let mut bits = Box::new([0; WORDS]);
        (first..=last).for_each(|offset| set(&mut bits, offset));
        bits
    }

    pub(super) fn has(&self, offset: u16) -> bool {
        match self {
            Self::None => false,
            Self::Run(first, last) => (*first..=*last).contains(&offset),
            Self::Bits(bits) => {
                bits.get(usize::from(offset / 64)).is_some_and(|word| word >> (offset % 64) & 1 == 1)
            }
        }
    }

    pub(super) fn count(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::Run(first, last) => u32::from(last - first) + 1,
            Self::Bits(bits) => bits.iter().map(|word| word.count_ones()).sum(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::None
    }

    /// The first at or behind an offset.
    pub(super) fn next(&self, offset: u16) -> Option<u16> {
        match self {
            Self::None => None,
            Self::Run(first, last) => (offset <= *last).then_some(offset.max(*first)),
            Self::Bits(bits) => {
                let mut at = usize::from(offset / 64);
                let mut word = bits.get(at)? & (u64::MAX << (offset % 64));
                while word == 0 {
                    at += 1;
                    word = *bits.get(at)?;
                }
                Some((at * 64) as u16 + word.trailing_zeros() as u16)
            }
        }
    }

    /// The last at or before an offset.
    pub(super) fn previous(&self, offset: u16) -> Option<u16> {
        match self {
            Self::None => None,
            Self::Run(first, last) => (offset >= *first).then_some(offset.min(*last)),
            Self::Bits(bits) => {
                let (mut at, within) = match usize::from(offset / 64) {
                    at if at < WORDS => (at, offset % 64),
                    _ => (WORDS - 1, 63),
                };
                let mut word = bits.get(at)? & (u64::MAX >> (63 - within));
                while word == 0 {
                    at = at.checked_sub(1)?;
                    word = *bits.get(at)?;
                }
                Some((at * 64) as u16 + 63 - word.leading_zeros() as u16)
            }
        }
    }

    /// All of them, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        let mut from = Some(0);
        std::iter::from_fn(move || {
            let found = self.next(from?)?;
            from = found.checked_add(1);
            Some(found)
        })
    }

    /// One is gone.
    pub(super) fn remove(&mut self, offset: u16) {
        if !self.has(offset) {
            return;
        }
        match self {
            Self::None => {}
            Self::Run(first, last) if first == last => *self = Self::None,
            Self::Run(first, _) if *first == offset => *first += 1,
            Self::Run(_, last) if *last == offset => *last -= 1,
            Self::Run(first, last) => {
                let mut bits = Self::bits(*first, *last);
                unset(&mut bits, offset);
                *self = Self::Bits(bits);
            }
            Self::Bits(bits) => {
                unset(bits, offset);
                self.narrow();
            }
        }
    }

    /// Writes bits as a run, if they are one.
    fn narrow(&mut self) {
        let count = self.count();
        let (Some(first), Some(last)) = (self.next(0), self.previous((CHUNK - 1) as u16)) else {
            *self = Self::None;
            return;
        };
        if u32::from(last - first) + 1 == count {
            *self = Self::Run(first, last);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        if let Self::Bits(bits) = self { size_of_val(&**bits) } else { 0 }
    }
}

fn set(bits: &mut [u64; WORDS], offset: u16) {
    if let Some(word) = bits.get_mut(usize::from(offset / 64)) {
        *word |= 1 << (offset % 64);
    }
}

fn unset(bits: &mut [u64; WORDS], offset: u16) {
    if let Some(word) = bits.get_mut(usize::from(offset / 64)) {
        *word &= !(1 << (offset % 64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const MAX: u16 = (CHUNK - 1) as u16;

    proptest! {
        /// It is a set of offsets.
        #[test]
        fn it_is_a_set(
            begin in prop_oneof![
                proptest::collection::btree_set(0..=MAX, 0..40),
                (0..=MAX, 0..=MAX).prop_map(|(first, last)| (first..=last).collect()),
            ],
            removed in proptest::collection::vec(0..=MAX, 0..60),
        ) {
            let mut set: BTreeSet<u16> = begin;
            let mut live = Live::new(set.iter().copied());
            for offset in removed {
                live.remove(offset);
                set.remove(&offset);
                prop_assert_eq!(&live, &Live::new(set.iter().copied()), "one set is written in one way");
                prop_assert_eq!(live.count() as usize, set.len());
                prop_assert_eq!(live.is_empty(), set.is_empty());
                prop_assert_eq!(live.iter().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
                for at in [0, offset, offset.saturating_sub(1), (offset + 1).min(MAX), MAX] {
                    prop_assert_eq!(live.has(at), set.contains(&at));
                    prop_assert_eq!(live.next(at), set.range(at..).next().copied());
                    prop_assert_eq!(live.previous(at), set.range(..=at).next_back().copied());
                }
            }
        }
    }
}
