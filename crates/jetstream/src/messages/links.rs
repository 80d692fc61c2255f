//! From message to message of one subject.

use super::entry::{Entry, Link};
use super::{Messages, SubjectId};

/// A subject with as many messages at most is gone through from its last message back to find the one that follows another.
const BACK_MAX: u64 = 32;

impl Messages {
    /// The next message of the same subject.
    pub fn next_of_subject(&self, seq: u64) -> Option<u64> {
        let entry = self.entry(seq)?;
        if self.subjects.at(entry.subject).last == seq { None } else { self.find_next(seq, &entry) }
    }

    /// The previous message of the same subject.
    pub fn previous_of_subject(&self, seq: u64) -> Option<u64> {
        let entry = self.entry(seq)?;
        if self.subjects.at(entry.subject).first == seq { None } else { self.find_previous(seq, &entry) }
    }

    /// Takes a removed message out of its subject's list.
    pub(super) fn unlink(&mut self, seq: u64, entry: &Entry) {
        let id = entry.subject;
        let (first, last, count) = {
            let subject = self.subjects.at(id);
            (subject.first, subject.last, subject.count)
        };
        if count <= 1 {
            self.subjects.release(id);
            return;
        }
        let (previous, next) = match (seq == first, seq == last) {
            (true, _) if count == 2 => (None, Some(last)),
            (_, true) if count == 2 => (Some(first), None),
            (is_first, is_last) => (
                if is_first { None } else { self.find_previous(seq, entry) },
                if is_last { None } else { self.find_next(seq, entry) },
            ),
        };
        if let Some((seq, entry)) = previous.and_then(|seq| self.entry_mut(seq)) {
            entry.set_next(seq, next);
        }
        if let Some((seq, entry)) = next.and_then(|seq| self.entry_mut(seq)) {
            entry.set_previous(seq, previous);
        }
        if previous.or(next).is_none() {
            // What else it had cannot be read.
            self.subjects.release(id);
            return;
        }
        let subject = self.subjects.at_mut(id);
        subject.count -= 1;
        subject.first = if seq == first { next.unwrap_or(subject.last) } else { first };
        subject.last = if seq == last { previous.unwrap_or(subject.first) } else { last };
    }

    /// The message of the subject behind one that is not its last, or was there.
    fn find_next(&self, seq: u64, entry: &Entry) -> Option<u64> {
        let behind = match entry.next(seq) {
            Link::To(next) if self.is_live(next) => return Some(next),
            // None between: of what came later, none has a lower sequence.
            Link::To(next) => next,
            Link::None | Link::Far => seq,
        };
        let subject = self.subjects.at(entry.subject);
        if subject.count <= BACK_MAX
            && let Some(found) = self.back_to(seq, subject.last)
        {
            return Some(found);
        }
        self.walk(behind + 1).find(|(_, other)| other.subject == entry.subject).map(|(seq, _)| seq)
    }

    /// Goes back by links from a message to the one of its subject that follows `seq`. `None`: they do not say.
    fn back_to(&self, seq: u64, last: u64) -> Option<u64> {
        let mut at = last;
        for _ in 0..=BACK_MAX {
            match self.entry(at)?.previous(at) {
                Link::To(before) if before > seq => at = before,
                Link::To(_) | Link::None => return (at > seq).then_some(at),
                Link::Far => return None,
            }
        }
        None
    }

    /// The message of the subject before one that is not its first, or was there.
    fn find_previous(&self, seq: u64, entry: &Entry) -> Option<u64> {
        let before = match entry.previous(seq) {
            Link::To(previous) if self.is_live(previous) => return Some(previous),
            Link::To(previous) => previous,
            Link::None | Link::Far => seq,
        };
        self.search_back(before, entry.subject)
    }

    fn search_back(&self, seq: u64, subject: SubjectId) -> Option<u64> {
        let mut before = self.previous_live(seq.checked_sub(1)?);
        while let Some(seq) = before {
            if self.entry(seq).is_some_and(|entry| entry.subject == subject) {
                return Some(seq);
            }
            before = self.previous_live(seq.checked_sub(1)?);
        }
        None
    }
}
