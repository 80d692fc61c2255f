//! Which subjects changed since the last checkpoint, of a table that is on disk.

use super::runs::{Numbers, Outgoing, Records, Runs};
use super::subjects::{Subject, Subjects};
use super::{Messages, SubjectId};
use std::sync::Arc;

/// Subjects from which on the table is on disk in runs; with half as many it is written as a whole at each checkpoint again. In debug builds
/// few are many, so that all tests meet them.
const LISTED_MAX: usize = if cfg!(debug_assertions) { 4 } else { 65_536 };

/// Numbers of subjects, each once.
#[derive(Debug, Default)]
struct Set {
    all: Vec<u32>,
    /// A bit for each number that is among them.
    bits: Vec<u64>,
}

impl Set {
    fn place(id: SubjectId) -> (usize, u64) {
        (id.index() / 64, 1 << (id.index() % 64))
    }

    #[inline]
    fn insert(&mut self, id: SubjectId) {
        let (word, bit) = Self::place(id);
        match self.bits.get_mut(word) {
            Some(bits) if *bits & bit != 0 => return,
            Some(bits) => *bits |= bit,
            None => {
                self.bits.resize(word, 0);
                self.bits.push(bit);
            }
        }
        self.all.push(id.0);
    }

    fn memory_bytes(&self) -> usize {
        self.all.capacity() * size_of::<u32>() + self.bits.capacity() * size_of::<u64>()
    }

    /// Takes a number out, but for its place among all; whether it was there.
    #[inline]
    fn remove(&mut self, id: SubjectId) -> bool {
        let (word, bit) = Self::place(id);
        let Some(bits) = self.bits.get_mut(word).filter(|bits| **bits & bit != 0) else { return false };
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
            && let Some(subject) = subject.filter(|subject| subject.count > 0)
        {
            self.records.push(subject.name(), subject.numbers());
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Changes {
    changed: Set,
    /// Subjects that lost their last message.
    gone: Records,
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
            + self.gone.memory_bytes()
            + self.capture.as_ref().map_or(0, captured)
            + self.unsettled_bytes
            + self.runs_bytes
    }

    /// Notes that a subject lost its last message.
    pub(super) fn gone(&mut self, name: &[u8]) {
        self.gone.push(name, Numbers::default());
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
            self.iter().for_each(|(id, _)| changes.changed.insert(id));
            self.changes = Some(Box::new(changes));
        }
        // One of a checkpoint that did not happen.
        self.end_capture();
        if let Some(changes) = &mut self.changes {
            let (rest, records) = (std::mem::take(&mut changes.changed), std::mem::take(&mut changes.gone));
            changes.capture = Some(Capture { rest, records });
        }
    }

    /// Takes out so many at most; whether there are more.
    fn capture_some(&mut self, max: usize) -> bool {
        let Some(capture) = self.changes.as_mut().and_then(|changes| changes.capture.as_mut()) else {
            return false;
        };
        for _ in 0..max {
            let Some(id) = capture.rest.all.pop() else { return false };
            capture.take(SubjectId(id), self.all.get(id as usize));
        }
        true
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
        if self.cache.is_none() || self.subjects.len() <= few {
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
        self.count_subjects();
    }

    /// What is on disk of the table cannot be read: the next checkpoint writes all of it.
    pub(crate) fn forget_runs(&mut self) {
        self.subjects.changes = None;
        self.count_subjects();
    }
}
