//! The table of subjects that have messages: all of them, or those that changed or were asked for, where the others are in runs alone.

use super::Selector;
use super::changes::Changes;
use super::loaded::Loaded;
use super::order::{ORDERED_MIN, Order};
use super::paged::Heads;
use super::runs::{Numbers, Run, find};
use dialtone_subject::Hashing;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Numbers from here on are of subjects that were looked up in runs.
pub(super) const LOADED: u32 = 1 << 31;

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

/// `first` of a subject whose name only the order keeps.
const FORGOTTEN: u64 = u64::MAX;

/// Subjects of which it is looked how many are selected.
const SAMPLE: usize = 64;

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
    pub(super) fn new(name: impl Into<Box<[u8]>>, Numbers { first, last, count }: Numbers) -> Self {
        Self { name: name.into(), first, last, count }
    }

    pub(super) fn numbers(&self) -> Numbers {
        Numbers { first: self.first, last: self.last, count: self.count }
    }

    /// Whether it is one: a number that is free is of none.
    pub(super) fn is_known(&self) -> bool {
        !self.name.is_empty() && self.first != FORGOTTEN
    }

    /// The subject itself.
    #[inline]
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}

/// What the allocator takes for so many bytes, about: words of 16, with its own 8, at least 32.
pub(super) fn allocated(bytes: usize) -> usize {
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
    /// How many have messages, here or in runs.
    live: usize,
    /// Subjects of runs that were looked up. `None`: all that have messages are here.
    pub(super) loaded: Option<Box<Loaded>>,
    /// Some without messages stay here, since runs say otherwise.
    pub(super) has_gone: bool,
    /// A lookup in runs failed: what is said here may be wrong.
    is_unsure: AtomicBool,
    /// Those that are here, by name, since somebody asked with a filter.
    order: OnceLock<Box<Mutex<Order>>>,
}

impl Subjects {
    /// A table without subjects instead of this one.
    pub(super) fn emptied(&mut self) -> Self {
        Self { changes: self.void(), ..Self::default() }
    }

    /// How many have messages.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    #[inline]
    pub(super) fn get(&self, id: SubjectId) -> Option<&Subject> {
        match (id.0 < LOADED, &self.loaded) {
            (true, _) => self.all.get(id.index()),
            (false, Some(loaded)) => loaded.get(id.0 - LOADED),
            (false, None) => None,
        }
    }

    #[inline]
    pub(super) fn at(&self, id: SubjectId) -> &Subject {
        self.get(id).expect("numbers come from this table")
    }

    #[inline]
    pub(super) fn at_mut(&mut self, id: SubjectId) -> &mut Subject {
        if let Some(mut changes) = self.changes.take() {
            changes.touch(id, self.get(id));
            self.changes = Some(changes);
        }
        let found = match (id.0 < LOADED, &mut self.loaded) {
            (true, _) => self.all.get_mut(id.index()),
            (false, Some(loaded)) => loaded.get_mut(id.0 - LOADED),
            (false, None) => None,
        };
        found.expect("numbers come from this table")
    }

    /// All with messages that are here, in no order; `stamp` is that of [`Self::stamp`].
    pub(super) fn iter(&self, stamp: u64) -> impl Iterator<Item = (SubjectId, &Subject)> {
        let all = self.all.iter().enumerate().map(|(at, subject)| (SubjectId(at as u32), subject));
        let loaded = self.loaded.iter().flat_map(move |loaded| loaded.iter(stamp));
        let loaded = loaded.map(|(at, subject)| (SubjectId(LOADED + at), subject));
        all.chain(loaded).filter(|(_, subject)| subject.count > 0)
    }

    /// Those that are selected and here, with messages or not, if it can be said without a look at most of them; `stamp` as in [`Self::iter`].
    pub(super) fn narrow(&self, selector: &Selector, stamp: u64) -> Option<Vec<SubjectId>> {
        let known = self.table.len() + self.loaded.as_ref().map_or(0, |loaded| loaded.len());
        if self.order.get().is_none() && (known < ORDERED_MIN || self.is_wide(selector)) {
            return None;
        }
        let name = |id: u32| self.get(SubjectId(id)).map_or(&[][..], Subject::name);
        let order = self.order.get_or_init(|| {
            let loaded = self.loaded.as_deref();
            let loaded = loaded.iter().flat_map(|loaded| loaded.iter(u64::MAX)).map(|(at, _)| LOADED + at);
            let known = (0..self.all.len() as u32).filter(|id| !name(*id).is_empty());
            Box::new(Mutex::new(Order::new(known.chain(loaded).collect(), &name)))
        });
        let found = locked(order).select(selector, &name)?;
        let was_here = |id: &u32| {
            let loaded = id.checked_sub(LOADED).zip(self.loaded.as_deref());
            loaded.is_none_or(|(at, loaded)| loaded.was_here(at, stamp))
        };
        Some(found.into_iter().filter(was_here).map(SubjectId).collect())
    }

    /// Whether many of all subjects are selected, as some of them show.
    fn is_wide(&self, selector: &Selector) -> bool {
        let step = self.all.len().div_ceil(SAMPLE).max(1);
        let sample = self.all.iter().step_by(step).filter(|subject| subject.is_known());
        let (all, selected) = sample.fold((0, 0), |(all, selected), subject| {
            (all + 1, selected + usize::from(selector.matches(&subject.name)))
        });
        selected * 4 > all
    }

    /// Adds to the order.
    fn put_in_order(&self, id: SubjectId) {
        if let Some(order) = self.order.get() {
            locked(order).add(id.0);
        }
    }

    /// Lets go of the order, and forgets what only it knew.
    fn drop_order(&mut self) {
        let Some(order) = self.order.take() else { return };
        for at in order.into_inner().unwrap_or_else(PoisonError::into_inner).into_dead() {
            self.forget(at);
        }
    }

    /// Tells what is here now from what will be looked up.
    pub(super) fn stamp(&self) -> u64 {
        self.loaded.as_ref().map_or(0, |loaded| loaded.stamp())
    }

    /// Whether a subject was here, with messages or not, at that moment.
    pub(super) fn was_here(&self, name: &[u8], stamp: u64) -> bool {
        let loaded = self.loaded.as_ref();
        self.find_here(name)
            .is_some_and(|id| id.0 < LOADED || loaded.is_some_and(|all| all.was_here(id.0 - LOADED, stamp)))
    }

    /// The number of a subject that is here, with messages or not.
    #[inline]
    pub(super) fn find_here(&self, name: &[u8]) -> Option<SubjectId> {
        if self.get(SubjectId(self.recent)).is_some_and(|recent| recent.count > 0 && *recent.name == *name) {
            return Some(SubjectId(self.recent));
        }
        let hash = self.hashing.hash_one(name);
        let found =
            self.table.find(hash, |&at| self.all.get(at as usize).is_some_and(|known| *known.name == *name));
        match (found, &self.loaded) {
            (Some(&at), _) => Some(SubjectId(at)),
            (None, Some(loaded)) => loaded.find(name, hash).map(|at| SubjectId(LOADED + at)),
            (None, None) => None,
        }
    }

    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<SubjectId> {
        match self.find_here(name) {
            Some(id) => self.get(id).is_some_and(|subject| subject.count > 0).then_some(id),
            None => self.look_up(name),
        }
    }

    /// The runs that have what is not here, the newest first. `None`: all is here.
    pub(super) fn runs_in_force(&self) -> Option<&[Arc<Run>]> {
        self.loaded.as_ref().and(self.changes.as_deref())?.runs().map(|runs| &*runs.all)
    }

    /// Looks for a subject in runs.
    fn look_up(&self, name: &[u8]) -> Option<SubjectId> {
        let heads = &*self.loaded.as_deref()?.heads;
        match find(self.runs_in_force()?, name, heads) {
            Ok(Some(numbers)) if numbers.count > 0 => self.put_found(Subject::new(name, numbers)),
            Ok(_) => None,
            Err(_) => {
                self.set_unsure();
                None
            }
        }
    }

    /// Adds what runs say of a subject that is not here.
    pub(super) fn put_found(&self, subject: Subject) -> Option<SubjectId> {
        let loaded = self.loaded.as_deref()?;
        let hash = self.hashing.hash_one(&*subject.name);
        let at = loaded.insert(subject, hash, |name| self.hashing.hash_one(name));
        let id = at.map(|at| SubjectId(LOADED + at));
        match id {
            Some(id) => self.put_in_order(id),
            None => self.set_unsure(),
        }
        id
    }

    /// What is said here may be wrong.
    pub(super) fn set_unsure(&self) {
        self.is_unsure.store(true, Ordering::Relaxed);
    }

    /// Whether what is said here may be wrong, since runs could not be read.
    #[inline]
    pub(super) fn is_unsure(&self) -> bool {
        self.is_unsure.load(Ordering::Relaxed)
    }

    /// The number of a subject, which gets one if it has none.
    #[inline]
    pub(super) fn intern(&mut self, name: &[u8]) -> SubjectId {
        let known = self.find_here(name).or_else(|| self.look_up(name));
        let id = known.unwrap_or_else(|| self.add(name));
        self.recent = id.0;
        id
    }

    /// A message behind all others of its subject: the one before, if it has one.
    #[inline]
    pub(super) fn push(&mut self, id: SubjectId, seq: u64) -> Option<u64> {
        let subject = self.at_mut(id);
        let previous = (subject.count > 0).then_some(subject.last);
        if previous.is_none() {
            subject.first = seq;
        }
        subject.last = seq;
        subject.count += 1;
        self.live += usize::from(previous.is_none());
        previous
    }

    #[cold]
    fn add(&mut self, name: &[u8]) -> SubjectId {
        self.settle_order();
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
        self.put_in_order(SubjectId(at));
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
        self.live += 1;
    }

    /// Counts a message behind all others of its subject.
    pub(super) fn count(&mut self, name: &[u8], seq: u64) -> SubjectId {
        let id = self.intern(name);
        self.push(id, seq);
        id
    }

    /// Only runs have them, so many.
    pub(super) fn set_live(&mut self, live: usize) {
        self.live = live;
    }

    /// The last message of a subject is gone.
    pub(super) fn release(&mut self, id: SubjectId) {
        let subject = self.at_mut(id);
        (subject.first, subject.last, subject.count) = (0, 0, 0);
        self.live = self.live.saturating_sub(1);
        if self.changes.as_ref().is_some_and(|changes| changes.runs().is_some()) {
            // Runs say that it has messages, until the next ones do not.
            self.has_gone = true;
            return;
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
        if !self.released.is_empty() {
            self.forget_released();
        }
    }

    #[cold]
    fn forget_released(&mut self) {
        while let Some(at) = self.released.pop() {
            match self.order.get_mut().map(|order| order.get_mut().unwrap_or_else(PoisonError::into_inner)) {
                Some(order) => {
                    order.bury(at);
                    if let Some(subject) = self.all.get_mut(at as usize) {
                        subject.first = FORGOTTEN;
                    }
                }
                None => self.forget(at),
            }
        }
        self.settle_order();
    }

    /// A number is free.
    fn forget(&mut self, at: u32) {
        if let Some(subject) = self.all.get_mut(at as usize) {
            self.name_bytes -= allocated(subject.name.len());
            *subject = Subject::default();
        }
        self.free.push(at);
    }

    /// Lets go of the order where more changed than is worth keeping.
    fn settle_order(&mut self) {
        let order = self.order.get_mut().map(|order| order.get_mut().unwrap_or_else(PoisonError::into_inner));
        if order.is_some_and(|order| order.is_stale()) {
            self.drop_order();
        }
    }

    /// Lets go of subjects that did not change since runs have them: of those without messages, or of all. Nothing else knows their numbers
    /// but for what `is_named` says. To be called where nothing is captured.
    pub(super) fn evict(&mut self, heads: &Arc<dyn Heads>, all: bool, is_named: impl Fn(SubjectId) -> bool) {
        self.recycle();
        self.drop_order();
        let Some(changes) = self.changes.as_deref() else { return };
        let goes = |id: SubjectId, subject: &Subject| {
            (all || subject.count == 0) && !changes.has_changed(id) && !is_named(id)
        };
        let hashing = &self.hashing;
        for at in 0..self.all.len() {
            let id = SubjectId(at as u32);
            let Some(subject) = self.all.get_mut(at).filter(|one| !one.name.is_empty() && goes(id, one))
            else {
                continue;
            };
            let gone = std::mem::take(subject);
            if let Ok(entry) = self.table.find_entry(hashing.hash_one(&*gone.name), |&known| known == id.0) {
                entry.remove();
            }
            self.name_bytes -= allocated(gone.name.len());
            self.free.push(id.0);
        }
        if all && self.loaded.is_none() {
            self.loaded = Some(Box::new(Loaded::new(heads.clone())));
        }
        if let Some(loaded) = &mut self.loaded {
            loaded
                .retain(|at, subject| !goes(SubjectId(LOADED + at), subject), |name| hashing.hash_one(name));
        }
        self.has_gone = false;
        self.shrink();
    }

    /// Gives back room that is not needed any more.
    fn shrink(&mut self) {
        if self.table.len() * 4 < self.table.capacity() {
            let (all, hashing) = (&self.all, &self.hashing);
            self.table.shrink_to(self.table.len() * 2, |&at| {
                hashing.hash_one(all.get(at as usize).map_or(&[][..], |known| &*known.name))
            });
        }
        let used = self.all.iter().rposition(|subject| !subject.name.is_empty()).map_or(0, |at| at + 1);
        if used * 4 < self.all.capacity() {
            self.all.truncate(used);
            self.all.shrink_to(used * 2);
            self.free.retain(|at| (*at as usize) < used);
            self.free.shrink_to_fit();
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
            + self.loaded.as_ref().map_or(0, |loaded| loaded.memory_bytes())
            + self.order.get().map_or(0, |order| locked(order).memory_bytes())
    }
}

fn locked(order: &Mutex<Order>) -> MutexGuard<'_, Order> {
    order.lock().unwrap_or_else(PoisonError::into_inner)
}
