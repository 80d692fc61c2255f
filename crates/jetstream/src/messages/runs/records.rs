//! Subjects that changed, as a checkpoint captured them.

use super::Numbers;
use std::sync::OnceLock;

#[derive(Debug)]
struct Record {
    /// Where its name ends, in `names`; it begins where the one before ends.
    end: usize,
    numbers: Numbers,
}

/// Captured in any order, under the lock of the stream, and sorted when they are read.
#[derive(Debug, Default)]
pub(crate) struct Records {
    names: Vec<u8>,
    all: Vec<Record>,
    /// The order by name, each of them once.
    order: OnceLock<Vec<u32>>,
}

impl Records {
    /// Adds one. What comes later counts.
    pub(in super::super) fn push(&mut self, name: &[u8], numbers: Numbers) {
        self.names.extend_from_slice(name);
        self.all.push(Record { end: self.names.len(), numbers });
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Bytes that it takes, but for the order.
    pub(in super::super) fn memory_bytes(&self) -> usize {
        self.names.capacity() + self.all.capacity() * size_of::<Record>()
    }

    /// The same with the order.
    pub(in super::super) fn memory_bytes_sorted(&self) -> usize {
        self.memory_bytes() + self.all.len() * size_of::<u32>()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// About what they take on disk.
    pub(super) fn bytes(&self) -> u64 {
        (self.names.len() + self.all.len() * 8) as u64
    }

    fn name_at(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let begin = index.checked_sub(1).and_then(|before| self.all.get(before)).map_or(0, |one| one.end);
        let end = self.all.get(index).map_or(begin, |one| one.end);
        self.names.get(begin..end).unwrap_or_default()
    }

    /// The one at a place in the order of names.
    pub(super) fn get(&self, at: usize) -> Option<(&[u8], Numbers)> {
        let &index = self.order.get_or_init(|| self.sorted()).get(at)?;
        Some((self.name_at(index), self.all.get(index as usize)?.numbers))
    }

    /// The place of the first one at or behind `from` whose name is not less.
    pub(super) fn seek(&self, from: usize, least: &[u8]) -> usize {
        let order = self.order.get_or_init(|| self.sorted()).get(from..).unwrap_or_default();
        from + order.partition_point(|index| self.name_at(*index) < least)
    }

    fn sorted(&self) -> Vec<u32> {
        let mut order: Vec<(u64, u32)> = Vec::with_capacity(self.all.len());
        let shared = self.shared();
        for index in 0..self.all.len() as u32 {
            // What most names differ by is compared as a number.
            let mut key = [0; 8];
            let rest = self.name_at(index).get(shared..).unwrap_or_default();
            key.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            order.push((u64::from_be_bytes(key), index));
        }
        order.sort_unstable_by(|(one_key, one), (other_key, other)| {
            let by_name = || self.name_at(*one).cmp(self.name_at(*other));
            // Of one name, the latest comes first, and counts.
            one_key.cmp(other_key).then_with(by_name).then(other.cmp(one))
        });
        let mut order: Vec<u32> = order.into_iter().map(|(_, index)| index).collect();
        order.dedup_by(|one, other| self.name_at(*one) == self.name_at(*other));
        order
    }

    /// How many bytes all names begin with in common.
    fn shared(&self) -> usize {
        let first = self.name_at(0);
        (1..self.all.len() as u32).fold(first.len(), |shared, index| {
            let name = self.name_at(index);
            first.iter().zip(name).take(shared).take_while(|(one, other)| one == other).count()
        })
    }
}
