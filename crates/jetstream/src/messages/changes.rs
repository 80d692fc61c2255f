//! Which subjects changed since the last checkpoint, of a table that is on disk.

use super::runs::{Outgoing, Records, Runs};
use super::subjects::{LOADED, Subject, Subjects};
use super::{Messages, SubjectId};
use std::sync::Arc;

/// Subjects from which on the table is on disk in runs; with half as many it is written as a whole at each checkpoint again. In debug builds
/// few are many, so that all tests meet them.
const LISTED_MAX: usize = if cfg!(debug_assertions) { 4 } else { 65_536 };

/// Numbers of subjects, each once.
#[derive(Debug, Default)]
pub(super) struct Set {
    all: Vec<u32>,
    /// A bit for each number that is among them, and those of subjects that were looked up in runs.
    bits: [Vec<u64>; 2],
}

impl Set {
    fn place(id: SubjectId) -> (usize, usize, u64) {
        let (bits, at) = (id.0 / LOADED, (id.0 % LOADED) as usize);
        (bits as usize, at / 64, 1 << (at % 64))
    }

    pub(super) fn has(&self, id: SubjectId) -> bool {
        let (bits, word, bit) = Self::place(id);
        self.bits.get(bits).and_then(|bits| bits.get(word)).is_some_and(|word| word & bit != 0)
    }

    #[inline]
    pub(super) fn insert(&mut self, id: SubjectId) {
        let (bits, word, bit) = Self::place(id);
        let Some(all) = self.bits.get_mut(bits) else { return };
        match all.get_mut(word) {
            Some(bits) if *bits & bit != 0 => return,
            Some(bits) => *bits |= bit,
            None => {
                all.resize(word, 0);
                all.push(bit);
            }
        }
        self.all.push(id.0);
    }

    fn memory_bytes(&self) -> usize {
        let words: usize = self.bits.iter().map(Vec::capacity).sum();
        self.all.capacity() * size_of::<u32>() + words * size_of::<u64>()
    }

    /// Takes a number out, but for its place among all; whether it was there.
    #[inline]
    fn remove(&mut self, id: SubjectId) -> bool {
        let (bits, word, bit) = Self::place(id);
        let word = self.bits.get_mut(bits).and_then(|bits| bits.get_mut(word));
        let Some(bits) = word.filter(|bits| **bits & bit != 0) else { return false };
        *bits &= !bit;
        true
    }
}

/// What a checkpoint captures: the table as it was at one moment, taken out in pieces. What changes meanwhile is taken out before it does.
#[derive(Debug)]
struct Capture {
    rest: Set,
    records: Records,
}

impl Capture {
    #[inline]
    fn take(&mut self, id: SubjectId, subject: Option<&Subject>) {
        if self.rest.remove(id)
            && let Some(subject) = subject.filter(|subject| subject.is_known())
        {
            self.records.push(subject.name(), subject.numbers());
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Changes {
    changed: Set,
    /// What a checkpoint takes out at the moment.
    capture: Option<Capture>,
    /// What checkpoints took out that are not durable yet, the newest first.
    unsettled: Vec<Arc<Records>>,
    /// Bytes of these.
    unsettled_bytes: usize,
    runs: Runs,
    /// Bytes of what is known of these.
    runs_bytes: usize,
    /// All messages went while a checkpoint took the table out: nothing here is of what there is since.
    is_void: bool,
}

impl Changes {
    /// Notes that a subject is about to change.
    #[inline]
    pub(super) fn touch(&mut self, id: SubjectId, subject: Option<&Subject>) {
        if let Some(capture) = &mut self.capture {
            capture.take(id, subject);
        }
        self.changed.insert(id);
    }

    /// Bytes that all of it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let captured = |capture: &Capture| capture.rest.memory_bytes() + capture.records.memory_bytes();
        self.changed.memory_bytes()
            + self.capture.as_ref().map_or(0, captured)
            + self.unsettled_bytes
            + self.runs_bytes
    }

    /// The runs that count, where there are some.
    pub(super) fn runs(&self) -> Option<&Runs> {
        (!self.is_void).then_some(&self.runs)
    }

    /// Whether a subject may be another one than runs have.
    pub(super) fn has_changed(&self, id: SubjectId) -> bool {
        self.changed.has(id)
    }

    /// Whether all that is not in `changed` stands in runs.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_void && self.capture.is_none() && self.unsettled.is_empty()
    }
}

impl Subjects {
    /// The table is on disk, as these runs have it.
    pub(super) fn set_runs(&mut self, runs: Runs) {
        let runs_bytes = runs.memory_bytes();
        self.changes = Some(Box::new(Changes { runs, runs_bytes, ..Changes::default() }));
    }

    /// All messages went: what a checkpoint takes out is still there.
    pub(super) fn void(&mut self) -> Option<Box<Changes>> {
        let is_captured = self.changes.as_ref().is_some_and(|changes| changes.capture.is_some());
        self.end_capture();
        let mut changes = self.changes.take().filter(|_| is_captured)?;
        changes.is_void = true;
        Some(changes)
    }

    /// What changed up to this moment is to be taken out.
    fn begin_capture(&mut self) {
        if self.changes.as_ref().is_none_or(|changes| changes.is_void) {
            let mut changes = Changes::default();
            self.iter(0).for_each(|(id, _)| changes.changed.insert(id));
            self.changes = Some(Box::new(changes));
        }
        // One of a checkpoint that did not happen.
        self.end_capture();
        if let Some(changes) = &mut self.changes {
            let (rest, records) = (std::mem::take(&mut changes.changed), Records::default());
            changes.capture = Some(Capture { rest, records });
        }
    }

    /// Takes out so many at most; whether there are more.
    fn capture_some(&mut self, max: usize) -> bool {
        let Some(capture) = self.changes.as_mut().and_then(|changes| changes.capture.as_mut()) else {
            return false;
        };
        for _ in 0..max {
            let Some(id) = capture.rest.all.pop() else { break };
            let id = SubjectId(id);
            let subject = match &self.loaded {
                Some(loaded) if id.0 >= LOADED => loaded.get(id.0 - LOADED),
                _ => self.all.get(id.index()),
            };
            capture.take(id, subject);
        }
        !capture.rest.all.is_empty()
    }

    fn end_capture(&mut self) {
        while self.capture_some(usize::MAX) {}
        let Some(changes) = &mut self.changes else { return };
        if let Some(capture) = changes.capture.take().filter(|capture| !capture.records.is_empty()) {
            changes.unsettled_bytes += capture.records.memory_bytes_sorted();
            changes.unsettled.insert(0, Arc::new(capture.records));
        }
    }
}

impl Messages {
    /// Whether the table of subjects is on disk in runs.
    pub(crate) fn has_runs(&self) -> bool {
        self.subjects.changes.as_ref().is_some_and(|changes| !changes.is_void)
    }

    /// Begins to take out what a checkpoint is to write of the table of subjects, as it is now. `false`: so few are written as a whole.
    pub(crate) fn begin_capture(&mut self) -> bool {
        let few = if self.has_runs() { LISTED_MAX / 2 } else { LISTED_MAX };
        let is_here = self.subjects.loaded.is_none();
        if self.cache.is_none() || self.subjects.len() <= few && is_here {
            self.forget_runs();
            return false;
        }
        self.subjects.begin_capture();
        self.count_subjects();
        true
    }

    /// Takes out so many subjects at most; whether there are more.
    pub(crate) fn capture_some(&mut self, max: usize) -> bool {
        let has_more = self.subjects.capture_some(max);
        self.count_subjects();
        has_more
    }

    /// What was taken out, with what earlier checkpoints took out that did not happen. `None`: nothing was.
    pub(crate) fn outgoing(&mut self) -> Option<Outgoing> {
        self.subjects.end_capture();
        self.count_subjects();
        let changes = self.subjects.changes.as_ref()?;
        Some(Outgoing { records: changes.unsettled.clone(), runs: changes.runs.clone() })
    }

    /// A checkpoint with these runs is durable.
    pub(crate) fn set_runs(&mut self, runs: Runs) {
        // There are none where all messages went meanwhile.
        if let Some(changes) = self.subjects.changes.as_mut().filter(|changes| !changes.is_void) {
            changes.unsettled.clear();
            changes.unsettled_bytes = 0;
            changes.runs_bytes = runs.memory_bytes();
            changes.runs = runs;
        }
        if self.subjects.has_gone || self.has_too_many_subjects() {
            self.evict_subjects();
        }
        self.count_subjects();
    }

    /// What is on disk of the table cannot be read: the next checkpoint writes all of it.
    pub(crate) fn forget_runs(&mut self) {
        if self.subjects.loaded.is_some() {
            self.subjects.set_unsure();
            self.renew_subjects();
            return;
        }
        self.subjects.changes = None;
        self.count_subjects();
    }
}
