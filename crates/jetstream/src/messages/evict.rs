//! Subjects that are in runs alone: when they leave memory, how all of them are gone through, and what becomes of it where runs cannot be read.

use super::changes::Set;
use super::paged::Cache;
use super::runs::Merge;
use super::{Messages, Selector, Subject};

/// Subjects that were looked up, from which on it is looked whether there are too many.
const LOOKED_UP: usize = if cfg!(debug_assertions) { 6 } else { 16_384 };

impl Messages {
    /// Whether subjects have to leave memory. In debug builds they always have to, so that all tests meet it.
    pub(super) fn has_too_many_subjects(&self) -> bool {
        cfg!(debug_assertions) || self.index.subjects.is_over()
    }

    /// Lets go of those that were looked up, once they are many.
    #[inline]
    pub(super) fn settle_subjects(&mut self) {
        if let Some(loaded) = &self.subjects.loaded {
            // It takes a look at all that is known of messages.
            let least = LOOKED_UP.max(self.index.chunk_bytes / 4096);
            let is_many = loaded.len() >= least.max(self.subjects_kept * 2);
            if self.subjects.is_unsure() || is_many {
                self.settle_many();
            }
        }
    }

    #[cold]
    fn settle_many(&mut self) {
        self.renew_subjects();
        self.count_subjects();
        if self.has_too_many_subjects() {
            self.evict_subjects();
        }
    }

    /// Lets go of subjects that runs have as they are, and that no message in memory names. Those without messages go in any case.
    pub(super) fn evict_subjects(&mut self) {
        let Some(heads) = self.cache.as_ref().map(Cache::heads_for_long) else { return };
        if !self.subjects.changes.as_ref().is_some_and(|changes| changes.is_settled()) {
            return;
        }
        let all = self.has_too_many_subjects();
        let mut named = Set::default();
        for chunk in self.chunks.values().chain(std::iter::once(&self.tail)) {
            chunk.iter().for_each(|(_, entry)| named.insert(entry.subject));
        }
        // What was read of messages names them by their numbers.
        self.forget_pages();
        self.subjects.evict(&heads, all, |id| named.has(id));
        self.subjects_kept = self.subjects.loaded.as_ref().map_or(0, |loaded| loaded.len());
        self.count_subjects();
    }

    /// Leaves subjects to the disk of a stream that has them there, where all streams have more than they may; and what is known of its messages
    /// but for so many bytes, since each of these names one.
    pub fn subjects_out(&mut self, bytes_max: usize, is_settled: impl Fn(super::Place) -> bool) {
        if self.has_runs() && self.has_too_many_subjects() {
            self.page_out(bytes_max, is_settled);
            self.evict_subjects();
        }
    }

    /// Whether what is known of subjects may be wrong, since runs could not be read.
    pub fn is_unsure(&self) -> bool {
        self.subjects.is_unsure()
    }

    /// Makes the table of subjects anew from the messages, if it may be wrong; `false`: these cannot be read now.
    pub fn renew_subjects(&mut self) -> bool {
        if !self.subjects.is_unsure() {
            return true;
        }
        let Some(counted) = self.counted_on_disk() else { return false };
        let before = std::mem::replace(&mut self.subjects, counted);
        for chunk in self.chunks.values_mut().chain(std::iter::once(&mut self.tail)) {
            for (seq, entry) in chunk.iter_mut() {
                entry.subject = self.subjects.count(before.at(entry.subject).name(), seq);
            }
        }
        self.forget_pages();
        self.subjects_kept = 0;
        self.count_subjects();
        true
    }

    /// Subjects that are selected and have messages, in no order: those that are here, then those that are in runs alone.
    pub fn selected<'a>(&'a self, selector: &'a Selector) -> impl Iterator<Item = Subject> {
        let literals = selector.literals();
        let is_named = literals.is_some();
        let few = literals.into_iter().flatten().filter_map(|subject| self.subject_id(subject));
        let few = few.map(|id| self.subjects.at(id).clone());
        let stamp = self.subjects.stamp();
        let narrow = selector.is_open().then(|| self.subjects.narrow(selector, stamp)).flatten();
        let has_to_look = !is_named && narrow.is_none();
        let narrow = narrow.into_iter().flatten().map(|id| self.subjects.at(id));
        let here = has_to_look.then(|| self.subjects.iter(stamp).map(|(_, subject)| subject));
        let here = here.into_iter().flatten().filter(|subject| selector.matches(subject.name()));
        let here = narrow.filter(|subject| subject.count > 0).chain(here).cloned();
        let elsewhere = (!is_named).then(|| self.elsewhere(selector, stamp));
        few.chain(here).chain(elsewhere.into_iter().flatten())
    }

    /// Those that were not here at that moment.
    fn elsewhere<'a>(&'a self, selector: &'a Selector, stamp: u64) -> impl Iterator<Item = Subject> {
        let subjects = &self.subjects;
        let loaded = subjects.loaded.as_deref();
        let runs = subjects.changes.as_deref().and_then(|changes| changes.runs());
        let unread = |_| subjects.set_unsure();
        let mut merge = loaded.zip(runs).and_then(|(loaded, runs)| {
            let mut merge = Merge::new(&*loaded.heads, std::iter::empty(), &runs.all).map_err(unread).ok()?;
            let mut least = Vec::new();
            selector.behind(b"", &mut least).then_some(())?;
            merge.seek(&least).map_err(unread).ok()?;
            Some((merge, least))
        });
        std::iter::from_fn(move || {
            let (merge, least) = merge.as_mut()?;
            loop {
                let (name, numbers) = merge.next().map_err(unread).ok()??;
                if selector.matches(name) {
                    if numbers.count > 0 && !subjects.was_here(name, stamp) {
                        return Some(Subject::new(name, numbers));
                    }
                } else if selector.behind(name, least) {
                    merge.seek(least).map_err(unread).ok()?;
                } else {
                    return None;
                }
            }
        })
    }

    /// All subjects that have messages.
    pub(crate) fn all_subjects(&self) -> impl Iterator<Item = Subject> {
        static ALL: std::sync::LazyLock<Selector> = std::sync::LazyLock::new(Selector::all);
        self.selected(&ALL)
    }
}
