//! Parts of a consumer that many never use.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Deref, DerefMut};

/// What there is of a part that was never written.
pub(super) trait Unused: Default + 'static {
    /// The same as the default.
    fn unused() -> &'static Self;
}

/// A part that takes one word until it is written for the first time. There may be very many consumers that only watch a key.
#[derive(Clone)]
pub struct Rare<T>(Option<Box<T>>);

impl<T> Rare<T> {
    /// One that is used.
    pub fn of(part: T) -> Self {
        Self(Some(Box::new(part)))
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl Unused for VecDeque<u64> {
    fn unused() -> &'static Self {
        static UNUSED: VecDeque<u64> = VecDeque::new();
        &UNUSED
    }
}

impl Unused for BTreeMap<u64, u32> {
    fn unused() -> &'static Self {
        static UNUSED: BTreeMap<u64, u32> = BTreeMap::new();
        &UNUSED
    }
}

impl<T: Unused> From<T> for Rare<T>
where
    for<'a> &'a T: IntoIterator,
{
    /// Takes nothing if there is nothing in it.
    fn from(part: T) -> Self {
        if (&part).into_iter().next().is_none() { Self(None) } else { Self::of(part) }
    }
}

impl<T: Unused> Deref for Rare<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(part) => part,
            None => T::unused(),
        }
    }
}

impl<T: Unused> DerefMut for Rare<T> {
    /// Makes it: look first whether there is something to write.
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Unused + PartialEq> PartialEq for Rare<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Unused + std::fmt::Debug> std::fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}
