//! How many batches of publishes all streams of a server have open.

use dialtone_jetstream::stream::{BatchLimits, Batches, FastBatches};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Atomic batches.
pub(super) const ATOMIC: usize = 0;
/// Fast batches.
pub(super) const FAST: usize = 1;
/// Of either kind that a server has open at most, as officially.
const MAX: [usize; 2] = [1000, 50_000];

/// The batches of one stream that are open.
#[derive(Default)]
pub(super) struct Open {
    /// Those whose last message is not there yet.
    pub(super) atomic: Batches,
    pub(super) fast: FastBatches,
    /// How many count in the server's.
    counted: [usize; 2],
}

impl Open {
    /// None yet.
    pub(super) fn new(limits: BatchLimits) -> Self {
        Self { atomic: Batches::new(limits), fast: FastBatches::new(limits), counted: [0; 2] }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.atomic.clear();
        self.fast.clear();
    }

    /// Goes by other limits from here on.
    pub(super) fn set_limits(&mut self, limits: BatchLimits) {
        self.atomic.set_limits(limits);
        self.fast.set_limits(limits);
    }

    /// Gives up what waited too long.
    pub(super) fn expire(&mut self, now: i64) {
        self.atomic.expire(now);
        self.fast.expire(now);
    }

    /// When that is to be looked at again: nanoseconds since 1970.
    pub(super) fn deadline(&self) -> Option<i64> {
        self.atomic.deadline().into_iter().chain(self.fast.deadline()).min()
    }
}

/// Open batches, of both kinds.
pub(crate) struct OpenBatches {
    open: [AtomicUsize; 2],
    max: [AtomicUsize; 2],
    /// What those of one stream may take.
    limits: Mutex<BatchLimits>,
}

impl OpenBatches {
    /// None yet; `max` are those of either kind that may be open, `None` the official default.
    pub(crate) fn new(limits: BatchLimits, max: Option<usize>) -> Self {
        let out = Self { open: <_>::default(), max: <_>::default(), limits: Mutex::default() };
        out.set_limits(limits, max);
        out
    }

    /// Other limits are in force; streams that there are have to be told theirs.
    pub(crate) fn set_limits(&self, limits: BatchLimits, max: Option<usize>) {
        let all = max.map_or(MAX, |max| [max; 2]);
        self.max.iter().zip(all).for_each(|(max, now)| max.store(now, Ordering::Relaxed));
        *self.limits.lock() = limits;
    }

    /// What those of one stream may take.
    pub(super) fn limits(&self) -> BatchLimits {
        *self.limits.lock()
    }

    /// Whether one more may be open. Those that were opened in turns that are still under way are not counted.
    pub(super) fn has_room(&self, kind: usize) -> bool {
        self.open[kind].load(Ordering::Relaxed) < self.max[kind].load(Ordering::Relaxed)
    }

    /// Counts those of a stream.
    pub(super) fn count(&self, of: &mut Open) {
        self.recount(&mut of.counted, [of.atomic.len(), of.fast.len()]);
    }

    /// A stream has `open` batches, and not as many as were `counted`.
    fn recount(&self, counted: &mut [usize; 2], open: [usize; 2]) {
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
        open.recount(&mut one, [1, 2]);
        assert!(open.has_room(ATOMIC) && !open.has_room(FAST));
        open.recount(&mut other, [1, 0]);
        open.recount(&mut one, [1, 1]);
        assert!(!open.has_room(ATOMIC) && open.has_room(FAST));
        open.recount(&mut one, [0, 0]);
        assert!(open.has_room(ATOMIC) && open.has_room(FAST));
        open.set_limits(BatchLimits::default(), Some(1));
        assert!(!open.has_room(ATOMIC) && open.has_room(FAST));
    }
}
