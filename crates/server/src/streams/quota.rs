//! How much streams may take, of an account or of the server, and how much they take.

use std::sync::atomic::{AtomicI64, Ordering};

/// Bytes in memory and in files. The state of streams counts, as the official server counts it.
#[derive(Debug)]
pub(crate) struct Quota {
    used: [AtomicI64; 2],
    max: [AtomicI64; 2],
}

impl Default for Quota {
    fn default() -> Self {
        Self { used: [const { AtomicI64::new(0) }; 2], max: [const { AtomicI64::new(-1) }; 2] }
    }
}

/// Which of the two a stream counts in.
pub(super) fn place(is_file: bool) -> usize {
    usize::from(is_file)
}

impl Quota {
    /// Sets the limits, in memory and in files; below 0 is none.
    pub(crate) fn set_max(&self, max: [i64; 2]) {
        for (slot, max) in self.max.iter().zip(max) {
            slot.store(max, Ordering::Relaxed);
        }
    }

    /// What is used, in memory and in files.
    #[cfg(test)]
    fn used(&self) -> [i64; 2] {
        [self.used[0].load(Ordering::Relaxed), self.used[1].load(Ordering::Relaxed)]
    }

    /// More is used, or less.
    pub(super) fn add(&self, place: usize, bytes: i64) {
        if let Some(used) = self.used.get(place) {
            used.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes that are left, where `more` are used that were not added yet.
    pub(super) fn left(&self, place: usize, more: i64) -> u64 {
        let (Some(used), Some(max)) = (self.used.get(place), self.max.get(place)) else { return 0 };
        let max = max.load(Ordering::Relaxed);
        if max < 0 {
            return u64::MAX;
        }
        let used = used.load(Ordering::Relaxed).saturating_add(more);
        u64::try_from(max.saturating_sub(used)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_not_left() {
        let quota = Quota::default();
        assert_eq!(quota.left(place(true), 0), u64::MAX, "there is no limit");
        quota.set_max([5, 100]);
        quota.add(place(true), 60);
        assert_eq!(
            (quota.left(1, 0), quota.left(1, 30), quota.left(1, 50), quota.left(0, 0)),
            (40, 10, 0, 5)
        );
        quota.add(1, -60);
        assert_eq!((quota.left(1, 0), quota.used()), (100, [0, 0]));
    }
}
