//! How many batches of publishes all streams of a server have open.

use dialtone_jetstream::stream::BatchLimits;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Atomic batches.
pub(super) const ATOMIC: usize = 0;
/// Fast batches.
pub(super) const FAST: usize = 1;
/// Of either kind that a server has open at most, as officially.
const MAX: [usize; 2] = [1000, 50_000];

/// Open batches, of both kinds.
pub(crate) struct OpenBatches {
    open: [AtomicUsize; 2],
    max: [usize; 2],
    /// What those of one stream may take.
    pub(super) limits: BatchLimits,
}

impl OpenBatches {
    /// None yet; `max` are those of either kind that may be open, `None` the official default.
    pub(crate) fn new(limits: BatchLimits, max: Option<usize>) -> Self {
        Self { open: Default::default(), max: max.map_or(MAX, |max| [max; 2]), limits }
    }

    /// Whether one more may be open. Those that were opened in turns that are still under way are not counted.
    pub(super) fn has_room(&self, kind: usize) -> bool {
        self.open[kind].load(Ordering::Relaxed) < self.max[kind]
    }

    /// A stream has `open` batches, and not as many as were `counted`.
    pub(super) fn count(&self, counted: &mut [usize; 2], open: [usize; 2]) {
        if *counted == open {
            return;
        }
        for kind in [ATOMIC, FAST] {
            self.open[kind].fetch_add(open[kind], Ordering::Relaxed);
            self.open[kind].fetch_sub(counted[kind], Ordering::Relaxed);
        }
        *counted = open;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_counted_apart() {
        let open = OpenBatches::new(BatchLimits::default(), Some(2));
        let (mut one, mut other) = ([0, 0], [0, 0]);
        open.count(&mut one, [1, 2]);
        assert!(open.has_room(ATOMIC) && !open.has_room(FAST));
        open.count(&mut other, [1, 0]);
        open.count(&mut one, [1, 1]);
        assert!(!open.has_room(ATOMIC) && open.has_room(FAST));
        open.count(&mut one, [0, 0]);
        assert!(open.has_room(ATOMIC) && open.has_room(FAST));
    }
}
