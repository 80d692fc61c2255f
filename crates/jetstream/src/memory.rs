//! What streams in files may take of memory: one bound, of which each part has a share, and what each has taken.
//!
//! Begin with [`Budget`]. What is taken is charged where it is allocated, in steps, so that nothing is counted per message; who finds a part over
//! its share lets go what is on disk as well. [`Charge`] is what one owner has taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What memory is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What is on its way to the disk.
    Log,
    /// Bodies of the latest messages.
    Bodies,
    /// What is known of messages, and has not been left to the disk.
    Index,
    /// The same, where it was read again.
    Pages,
    /// Names of subjects, and what is known of each.
    Subjects,
    /// What consumers have delivered and wait for, and what waits for the disk or a reader.
    Waiting,
    /// Streams and consumers themselves, whatever they hold. It has no share: the others share what it leaves them.
    Own,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Log, Self::Bodies, Self::Index, Self::Pages, Self::Subjects, Self::Waiting, Self::Own];

    /// As monitoring calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Bodies => "bodies",
            Self::Index => "index",
            Self::Pages => "pages",
            Self::Subjects => "subjects",
            Self::Waiting => "waiting",
            Self::Own => "own",
        }
    }

    /// Its share, in sixteenths of what [`Part::Own`] leaves.
    fn sixteenths(self) -> usize {
        match self {
            Self::Own => 0,
            Self::Pages => 1,
            Self::Log | Self::Waiting => 2,
            Self::Bodies => 3,
            Self::Index | Self::Subjects => 4,
        }
    }
}

/// The bound, and what is taken. All of it may be asked and told by any thread.
#[derive(Debug)]
pub struct Budget {
    bytes_max: AtomicUsize,
    used: [AtomicUsize; Part::ALL.len()],
}

impl Budget {
    /// So many bytes for all parts together.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max: AtomicUsize::new(bytes_max),
            used: [const { AtomicUsize::new(0) }; Part::ALL.len()],
        }
    }

    /// Another bound, from now on.
    pub fn set_bytes_max(&self, bytes_max: usize) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    /// Bytes for all parts together.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max.load(Ordering::Relaxed)
    }

    /// Bytes that a part may take. Streams and consumers themselves are counted up to half of all; the other half is left for what they hold,
    /// however many there are.
    pub fn share(&self, part: Part) -> usize {
        let own = self.used(Part::Own).min(self.bytes_max() / 2);
        if part == Part::Own { own } else { (self.bytes_max() - own) / 16 * part.sixteenths() }
    }

    /// Bytes that it has taken.
    pub fn used(&self, part: Part) -> usize {
        self.of(part).load(Ordering::Relaxed)
    }

    /// Whether that is more than it may.
    pub fn is_over(&self, part: Part) -> bool {
        self.used(part) > self.share(part)
    }

    /// So many bytes more are taken.
    pub fn charge(&self, part: Part, bytes: usize) {
        self.of(part).fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes that were charged are free again.
    pub fn release(&self, part: Part, bytes: usize) {
        self.of(part).fetch_sub(bytes, Ordering::Relaxed);
    }

    fn of(&self, part: Part) -> &AtomicUsize {
        &self.used[part as usize]
    }
}

impl Default for Budget {
    /// That of a server whose machine does not say what it has.
    fn default() -> Self {
        Self::new(256 << 20)
    }
}

/// What one owner has taken of a part; released with it.
#[derive(Debug)]
pub struct Charge {
    budget: Option<Arc<Budget>>,
    part: Part,
    bytes: usize,
}

impl Charge {
    /// Nothing yet. Without a budget it is counted here alone.
    pub fn new(budget: Option<Arc<Budget>>, part: Part) -> Self {
        Self { budget, part, bytes: 0 }
    }

    /// Counts in another budget from now on, with what is taken.
    pub fn count_in(&mut self, budget: Arc<Budget>) {
        budget.charge(self.part, self.bytes);
        if let Some(before) = self.budget.replace(budget) {
            before.release(self.part, self.bytes);
        }
    }

    /// What is taken.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// So much is taken now.
    #[inline]
    pub fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.change(bytes);
        }
    }

    #[cold]
    fn change(&mut self, bytes: usize) {
        if let Some(budget) = &self.budget {
            match bytes.checked_sub(self.bytes) {
                Some(more) => budget.charge(self.part, more),
                None => budget.release(self.part, self.bytes - bytes),
            }
        }
        self.bytes = bytes;
    }

    /// Whether all owners together have taken more than their share.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.budget.as_ref().is_some_and(|budget| budget.is_over(self.part))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_the_whole() {
        for bytes in [0, 16, 128 << 20, 1 << 40] {
            let budget = Budget::new(bytes);
            assert_eq!(Part::ALL.iter().map(|part| budget.share(*part)).sum::<usize>(), bytes, "{bytes}");
        }
        assert_eq!(Part::ALL.map(|part| part as usize), [0, 1, 2, 3, 4, 5, 6], "each has a slot of its own");
    }

    #[test]
    fn streams_and_consumers_themselves_are_taken_off_first_and_leave_half() {
        let budget = Budget::new(320);
        for (bytes, left) in [(0, 320), (32, 288), (160, 160), (1000, 160)] {
            budget.charge(Part::Own, bytes);
            assert_eq!(budget.share(Part::Bodies), left / 16 * 3, "{bytes}");
            assert_eq!(Part::ALL.iter().map(|part| budget.share(*part)).sum::<usize>(), 320, "{bytes}");
            budget.release(Part::Own, bytes);
        }
    }

    #[test]
    fn what_is_taken_is_released_with_its_owner() {
        let (budget, other) = (Arc::new(Budget::new(160)), Arc::new(Budget::new(160)));
        let mut charge = Charge::new(None, Part::Bodies);
        charge.set(20);
        assert!(!charge.is_over());
        charge.count_in(budget.clone());
        charge.set(31);
        assert_eq!((budget.used(Part::Bodies), budget.share(Part::Bodies), charge.is_over()), (31, 30, true));
        let mut second = Charge::new(Some(budget.clone()), Part::Bodies);
        second.set(7);
        charge.set(5);
        assert_eq!((budget.used(Part::Bodies), second.is_over()), (12, false));
        charge.count_in(other.clone());
        assert_eq!((budget.used(Part::Bodies), other.used(Part::Bodies)), (7, 5));
        drop((charge, second));
        assert_eq!((budget.used(Part::Bodies), other.used(Part::Bodies)), (0, 0));
    }
}
