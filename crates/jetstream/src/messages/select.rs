//! Reads by filter: the next message, counts, the last of each subject.

use super::behind::behind;
use super::{Messages, SubjectId};
use dialtone_subject::set;

/// Entries looked at in one step of a search, so that no caller is held up by a stream of millions.
const STEP: usize = 4096;

/// What a search within a bound found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This message.
    Found(u64),
    /// Nothing up to the last message.
    End,
    /// Nothing so far: go on from this sequence.
    Continue(u64),
}

/// More subjects than may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// Which subjects somebody wants: those that one of some filters matches. None at all: every subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    filters: Box<[Box<[u8]>]>,
}

impl Selector {
    /// Whatever one of these valid filters matches; with none of them, or `>` among them, everything.
    pub fn new<'a>(filters: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut filters: Vec<Box<[u8]>> = filters.into_iter().map(Box::from).collect();
        filters.sort_unstable();
        filters.dedup();
        let is_all = filters.iter().any(|filter| **filter == *b">");
        Self { filters: if is_all { Box::default() } else { filters.into() } }
    }

    /// The filters, sorted; none for every subject.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.filters.iter().map(|filter| &**filter)
    }

    /// Every subject.
    pub fn all() -> Self {
        Self::default()
    }

    /// Whether it is every subject.
    #[inline]
    pub fn is_all(&self) -> bool {
        self.filters.is_empty()
    }

    /// The only subject, if there is just one.
    #[inline]
    pub fn literal(&self) -> Option<&[u8]> {
        match &self.filters[..] {
            [filter] if set::is_literal(filter) => Some(filter),
            _ => None,
        }
    }

    /// The subjects, if they are few and all are named.
    pub(super) fn literals(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let is_named = !self.is_all() && self.filters.iter().all(|filter| set::is_literal(filter));
        is_named.then(|| self.iter())
    }

    /// Whether finding what it selects may take a look at everything.
    pub fn is_open(&self) -> bool {
        !self.is_all() && self.literals().is_none()
    }

    /// Puts into `least` what no selected subject behind `name` is less than; `false`: there is none. `name` is not selected itself.
    pub(super) fn behind(&self, name: &[u8], least: &mut Vec<u8>) -> bool {
        let [first, others @ ..] = &self.filters[..] else {
            least.clear();
            least.extend_from_slice(name);
            return true;
        };
        let (mut found, mut other) = (behind(first, name, least), Vec::new());
        for filter in others {
            if behind(filter, name, &mut other) && (!found || other < *least) {
                std::mem::swap(least, &mut other);
                found = true;
            }
        }
        found
    }

    /// Whether a subject is among them.
    #[inline]
    pub fn matches(&self, subject: &[u8]) -> bool {
        self.is_all() || self.filters.iter().any(|filter| set::matches(filter, subject))
    }
}

impl Messages {
    /// The first message at or behind `seq` that is selected.
    pub fn next(&self, selector: &Selector, seq: u64) -> Option<u64> {
        let mut from = seq;
        loop {
            match self.next_within(selector, from, STEP) {
                Next::Found(seq) => return Some(seq),
                Next::End => return None,
                Next::Continue(on) => from = on,
            }
        }
    }

    /// The same, looking at no more than about `entries_max` messages.
    pub fn next_within(&self, selector: &Selector, seq: u64, entries_max: usize) -> Next {
        let seq = seq.max(self.totals.first);
        if selector.is_all() {
            let mut at = seq;
            while let Some(found) = self.next_live(at) {
                if self.entry(found).is_some() {
                    return Next::Found(found);
                }
                // It cannot be read.
                at = found + 1;
            }
            return Next::End;
        }
        if let Some(subject) = selector.literal() {
            let Some(id) = self.subject_id(subject) else { return Next::End };
            return self.next_of(id, seq, entries_max);
        }
        let mut answers = Answers::default();
        for (looked_at, head) in self.iter_from(seq).enumerate() {
            if looked_at >= entries_max {
                return Next::Continue(head.seq);
            }
            if answers.of(head.subject_id, || selector.matches(head.subject)) {
                return Next::Found(head.seq);
            }
        }
        Next::End
    }

    /// The next message of one subject: the first, by the links, or by looking at what comes.
    fn next_of(&self, id: SubjectId, seq: u64, entries_max: usize) -> Next {
        let subject = self.subjects.at(id);
        if seq <= subject.first {
            return Next::Found(subject.first);
        }
        if seq > subject.last {
            return Next::End;
        }
        if seq == subject.last {
            return Next::Found(seq);
        }
        // From the message before, the link leads on: that is how consumers read.
        if let Some(entry) = self.entry(seq - 1)
            && entry.subject == id
        {
            return self.next_of_subject(seq - 1).map_or(Next::End, Next::Found);
        }
        if subject.count <= entries_max as u64 {
            let mut at = subject.first;
            while at < seq {
                let Some(next) = self.next_of_subject(at) else { return Next::End };
                at = next;
            }
            return Next::Found(at);
        }
        for (looked_at, head) in self.iter_from(seq).enumerate() {
            if head.subject_id == id {
                return Next::Found(head.seq);
            }
            if looked_at >= entries_max {
                return Next::Continue(head.seq);
            }
        }
        Next::End
    }

    /// All messages of the selected subjects, ascending.
    pub(crate) fn sequences(&self, selector: &Selector) -> Vec<u64> {
        let mut all = Vec::new();
        for subject in self.selected(selector) {
            let of_one = Selector::new([subject.name()]);
            let mut at = self.next(&of_one, 0);
            while let Some(seq) = at {
                all.push(seq);
                at = self.next(&of_one, seq + 1);
            }
        }
        all.sort_unstable();
        all
    }

    /// The last message of the selected subjects.
    pub fn last_of(&self, selector: &Selector) -> Option<u64> {
        if selector.is_all() {
            return self.previous_live(u64::MAX);
        }
        if let Some(subject) = selector.literal() {
            return self.subject_id(subject).map(|id| self.subjects.at(id).last);
        }
        self.selected(selector).map(|subject| subject.last).max()
    }

    /// How many selected messages there are at or behind `seq`.
    pub fn count_from(&self, selector: &Selector, seq: u64) -> u64 {
        let totals = self.totals;
        if seq > totals.last {
            return 0;
        }
        if seq <= totals.first {
            return match selector.is_all() {
                true => totals.count,
                false => self.selected(selector).map(|subject| subject.count).sum(),
            };
        }
        if selector.is_all() {
            return self.live_from(seq);
        }
        // The shorter side is counted.
        let mut answers = Answers::default();
        let mut counts =
            |head: &super::Head<'_>| answers.of(head.subject_id, || selector.matches(head.subject));
        if totals.last - seq <= seq - totals.first {
            return self.iter_from(seq).filter(|head| counts(head)).count() as u64;
        }
        let before =
            self.iter_from(0).take_while(|head| head.seq < seq).filter(|head| counts(head)).count() as u64;
        self.count_from(selector, 0) - before
    }

    /// The last message of each selected subject that has one up to `upto` (0: the last there is), ascending.
    ///
    /// # Errors
    ///
    /// There are more than `subjects_max`.
    pub fn last_of_each(
        &self,
        selector: &Selector,
        upto: u64,
        subjects_max: usize,
    ) -> Result<Vec<u64>, TooMany> {
        let mut found = Vec::new();
        for subject in self.selected(selector) {
            let last = if upto == 0 || subject.last <= upto {
                Some(subject.last)
            } else {
                self.last_upto(&subject, upto)
            };
            found.extend(last);
            if found.len() > subjects_max {
                return Err(TooMany);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn last_upto(&self, subject: &super::Subject, upto: u64) -> Option<u64> {
        if subject.first > upto {
            return None;
        }
        let mut at = Some(subject.last);
        while let Some(seq) = at.filter(|&seq| seq > upto) {
            at = self.previous_of_subject(seq);
        }
        at
    }
}

/// What a selector said of subjects that were seen, in one search.
#[derive(Default)]
struct Answers {
    recent: Option<(SubjectId, bool)>,
}

impl Answers {
    #[inline]
    fn of(&mut self, id: SubjectId, ask: impl FnOnce() -> bool) -> bool {
        if let Some((known, answer)) = self.recent
            && known == id
        {
            return answer;
        }
        let answer = ask();
        self.recent = Some((id, answer));
        answer
    }
}
