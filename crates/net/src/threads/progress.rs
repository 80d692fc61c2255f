//! How far one thread has come, as others see it.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How a thread is watched.
pub struct Watch {
    patience: Duration,
    waiting: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Watch {
    /// One piece of work may take `patience`, and so may what waits before it is begun.
    pub fn new(patience: Duration) -> Self {
        Self { patience, waiting: Box::new(|| false) }
    }

    /// Whether work waits that the thread has not begun.
    pub fn waiting(mut self, waiting: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.waiting = Box::new(waiting);
        self
    }
}

/// How far a thread has come. Written by that thread alone.
pub struct Progress {
    name: Box<str>,
    watch: Watch,
    /// Goes up when work begins and when it ends: odd while the thread is at work.
    steps: AtomicU64,
    /// Steps at the last look that saw the thread move, or with nothing to do; and when that was.
    seen: Mutex<Option<(u64, Instant)>>,
}

impl Progress {
    pub(super) fn new(name: &str, watch: Watch) -> Self {
        Self { name: name.into(), watch, steps: AtomicU64::new(0), seen: Mutex::new(None) }
    }

    /// Work begins.
    #[inline]
    pub fn begin(&self) {
        self.step();
    }

    /// A piece of work is done, and the next one begins.
    #[inline]
    pub fn next(&self) {
        self.end();
        self.begin();
    }

    /// The work is done; the thread waits for more.
    #[inline]
    pub fn end(&self) {
        self.step();
    }

    /// No other thread writes, so that a plain addition is enough.
    #[inline]
    fn step(&self) {
        self.steps.store(self.steps.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// How the thread stands still, if it does.
    pub(super) fn stall(&self, now: Instant) -> Option<String> {
        let steps = self.steps.load(Ordering::Acquire);
        let has_work = steps % 2 == 1 || (self.watch.waiting)();
        let mut seen = self.seen.lock();
        let since = match *seen {
            Some((before, since)) if has_work && before == steps => since,
            _ => {
                *seen = has_work.then_some((steps, now));
                return None;
            }
        };
        let still = now.saturating_duration_since(since);
        (still >= self.watch.patience).then(|| {
            let doing = if steps % 2 == 1 { "at the same work" } else { "with work waiting" };
            format!("thread {} stands still for {} s {doing}", self.name, still.as_secs())
        })
    }
}
