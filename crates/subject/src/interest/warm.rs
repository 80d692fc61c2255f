//! Reads ahead what answering several subjects will need, side by side: the processor then waits for memory once, not
//! once for each step of each subject. With a million filters that wait is most of what a message costs.
//!
//! It answers nothing and changes nothing, so it may miss what it likes.

use super::{Entry, Interest};
use std::hash::BuildHasher;
use std::hint::black_box;

/// Subjects that one call takes.
pub const SUBJECTS_MAX: usize = 32;
/// Entries from which on an index is not in the processor's caches anyway.
const ENTRIES_MIN: usize = 32 * 1024;

impl<E: Entry> Interest<E> {
    /// Whether it is so large that [`Interest::warm`] pays.
    pub fn is_worth_warming(&self) -> bool {
        self.len >= ENTRIES_MIN
    }

    /// Makes ready to be asked for these subjects soon; of more than [`SUBJECTS_MAX`] for the first ones.
    pub fn warm(&self, subjects: &[&[u8]]) {
        let mut hashes = [0; SUBJECTS_MAX];
        let hashes = hashes.get_mut(..subjects.len().min(SUBJECTS_MAX)).unwrap_or_default();
        for (hash, subject) in hashes.iter_mut().zip(subjects) {
            *hash = self.hasher.hash_one(subject);
        }
        // No bag in the table is empty and none has no first entry, so nothing is ever found. A bag first, then what its entry points to: each loop's steps do not wait for each other.
        for hash in &*hashes {
            black_box(self.literals.find(*hash, |bag| black_box(bag.is_empty())).is_some());
        }
        for hash in &*hashes {
            black_box(self.literals.find(*hash, |bag| black_box(bag.first().map(touch)).is_none()).is_some());
        }
        self.tree.warm(subjects);
    }
}

/// Reads an entry's two ends.
pub(super) fn touch<E: Entry>(entry: &E) -> bool {
    entry.filter().last().is_some() && entry.queue().is_some()
}

#[cfg(test)]
mod tests {
    use super::super::tests::TestEntry;
    use super::*;

    /// Whatever is asked, however much of it: reading ahead ends, and the index answers as before.
    #[test]
    fn any_subjects_can_be_read_ahead() {
        let mut interest = Interest::default();
        for filter in ["a.b", "a.*", "a.*.c", "a.>", ">", "*", "a.b.c.d.e.f.g.h.i.j.*"] {
            interest.insert(TestEntry::plain(filter));
        }
        let odd: Vec<&[u8]> =
            vec![b"a.b", b"", b".", b"a..b", b"a.b.", b"x", b"a.b.c.d.e.f.g.h.i.j.k", b"a.x.c"];
        let many: Vec<&[u8]> = odd.iter().copied().cycle().take(SUBJECTS_MAX * 2 + 1).collect();
        let answer = |subject: &[u8]| {
            let mut matches = super::super::Matches::default();
            interest.matches(subject, &mut matches);
            matches.plain.len()
        };
        let before: Vec<usize> = odd.iter().map(|subject| answer(subject)).collect();
        for subjects in [&[][..], &odd, &many] {
            interest.warm(subjects);
        }
        assert_eq!(odd.iter().map(|subject| answer(subject)).collect::<Vec<_>>(), before);
        assert_eq!(before, [4, 0, 0, 0, 0, 2, 3, 3]);
    }
}
