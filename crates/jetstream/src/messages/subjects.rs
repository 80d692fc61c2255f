//! The table of subjects that have messages.

use super::changes::Changes;
use super::runs::Numbers;
use dialtone_subject::Hashing;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// The number of a subject in its stream. Used again for another one once it has no messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectId(pub(super) u32);

impl SubjectId {
    /// No subject.
    pub(super) const NONE: Self = Self(u32::MAX);

    /// The number as an index: small, and dense.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A subject with messages.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    name: Box<[u8]>,
    /// The sequence of its first message.
    pub first: u64,
    /// The sequence of its last message.
    pub last: u64,
    /// How many messages it has.
    pub count: u64,
}

impl Subject {
    pub(super) fn numbers(&self) -> Numbers {
        Numbers { first: self.first, last: self.last, count: self.count }
    }

    /// The subject itself.
    #[inline]
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}

/// What the allocator takes for so many bytes, about: words of 16, with its own 8, at least 32.
fn allocated(bytes: usize) -> usize {
    ((bytes + 8).next_multiple_of(16)).max(32)
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    table: HashTable<u32>,
    pub(super) all: Vec<Subject>,
    /// Numbers to be used again.
    free: Vec<u32>,
    /// Numbers without messages since the change that is under way: their names can still be asked for.
    released: Vec<u32>,
    /// The subject found last: publishers mostly go on with it.
    recent: u32,
    hashing: Hashing,
    /// Memory that the names have.
    name_bytes: usize,
    /// What changed since the last checkpoint, where the table is on disk.
    pub(super) changes: Option<Box<Changes>>,
}

impl Subjects {
    /// A table without subjects instead of this one.
    pub(super) fn emptied(&mut self) -> Self {
        Self { changes: self.void(), ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    #[inline]
    pub(super) fn at(&self, id: SubjectId) -> &Subject {
        self.all.get(id.index()).expect("numbers come from this table")
    }

    #[inline]
    pub(super) fn at_mut(&mut self, id: SubjectId) -> &mut Subject {
        if let Some(changes) = &mut self.changes {
            changes.touch(id, self.all.get(id.index()));
        }
        self.all.get_mut(id.index()).expect("numbers come from this table")
    }

    /// All with messages, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SubjectId, &Subject)> {
        let all = self.all.iter().enumerate().filter(|(_, subject)| subject.count > 0);
        all.map(|(at, subject)| (SubjectId(at as u32), subject))
    }

    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<SubjectId> {
        if self.all.get(self.recent as usize).is_some_and(|recent| recent.count > 0 && *recent.name == *name)
        {
            return Some(SubjectId(self.recent));
        }
        let hash = self.hashing.hash_one(name);
        self.table
            .find(hash, |&at| self.all.get(at as usize).is_some_and(|known| *known.name == *name))
            .map(|&at| SubjectId(at))
    }

    /// The number of a subject, which gets one if it has none.
    #[inline]
    pub(super) fn intern(&mut self, name: &[u8]) -> SubjectId {
        let id = self.find(name).unwrap_or_else(|| self.add(name));
        self.recent = id.0;
        id
    }

    #[cold]
    fn add(&mut self, name: &[u8]) -> SubjectId {
        let subject = Subject { name: name.into(), ..Subject::default() };
        self.name_bytes += allocated(name.len());
        let at = match self.free.pop() {
            Some(at) => {
                *self.at_mut(SubjectId(at)) = subject;
                at
            }
            None => {
                self.all.push(subject);
                (self.all.len() - 1) as u32
            }
        };
        let hash = self.hashing.hash_one(name);
        let (all, hashing) = (&self.all, &self.hashing);
        self.table.insert_unique(hash, at, |&at| {
            hashing.hash_one(all.get(at as usize).map_or(&[][..], |known| &*known.name))
        });
        SubjectId(at)
    }

    /// Adds a subject as it was; `false`: there is one of this name.
    pub(super) fn put(&mut self, name: Box<[u8]>, first: u64, last: u64, count: u64) -> bool {
        if self.find(&name).is_some() {
            return false;
        }
        self.put_new(&name, Numbers { first, last, count });
        true
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, more: usize) {
        self.all.reserve_exact(more);
        let (all, hashing) = (&self.all, &self.hashing);
        self.table.reserve(more, |&at| {
            hashing.hash_one(all.get(at as usize).map_or(&[][..], |known| &*known.name))
        });
    }

    /// Adds a subject as it was, of which there is none.
    pub(super) fn put_new(&mut self, name: &[u8], numbers: Numbers) {
        let id = self.add(name);
        let subject = self.at_mut(id);
        (subject.first, subject.last, subject.count) = (numbers.first, numbers.last, numbers.count);
    }

    /// Counts a message behind all others of its subject.
    pub(super) fn count(&mut self, name: &[u8], seq: u64) {
        let id = self.intern(name);
        let subject = self.at_mut(id);
        if subject.count == 0 {
            subject.first = seq;
        }
        (subject.last, subject.count) = (seq, subject.count + 1);
    }

    /// The last message of a subject is gone.
    pub(super) fn release(&mut self, id: SubjectId) {
        let subject = self.at_mut(id);
        (subject.first, subject.last, subject.count) = (0, 0, 0);
        if let (Some(changes), Some(subject)) = (&mut self.changes, self.all.get(id.index())) {
            changes.gone(subject.name());
        }
        let hash = self.hashing.hash_one(&*self.at(id).name);
        if let Ok(entry) = self.table.find_entry(hash, |&at| at == id.0) {
            entry.remove();
        }
        self.released.push(id.0);
    }

    /// Forgets the names of what was released.
    #[inline]
    pub(super) fn recycle(&mut self) {
        while let Some(at) = self.released.pop() {
            if let Some(subject) = self.all.get_mut(at as usize) {
                self.name_bytes -= allocated(subject.name.len());
                subject.name = Box::default();
            }
            self.free.push(at);
        }
    }

    /// What is counted is what there is.
    #[cfg(test)]
    pub(super) fn check_figures(&self) {
        let names = self.all.iter().filter(|subject| !subject.name.is_empty());
        assert_eq!(self.name_bytes, names.map(|subject| allocated(subject.name.len())).sum::<usize>());
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.table.capacity() * 5
            + self.all.capacity() * size_of::<Subject>()
            + self.name_bytes
            + self.free.capacity() * 4
            + self.changes.as_ref().map_or(0, |changes| changes.memory_bytes())
    }
}
