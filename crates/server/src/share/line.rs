//! A fair queue that threads wait for.

use super::queue::{FairQueue, Taken};
use super::{Lane, LaneFigures, Share};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::time::Instant;

/// What a thread that waits is to do.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// Something of a share; [`Line::done`] is to be called with it.
    Item(Job, T),
    /// These flags were set since they were last taken.
    Flags(u32),
    /// Its time is over.
    TimedOut,
    /// Nothing more will come.
    Closed,
}

/// Whose an item is that is being worked at.
#[derive(Debug)]
pub(crate) struct Job(Lane, Share);

/// A queue between threads. Whoever puts something in never waits.
#[derive(Debug)]
pub(crate) struct Line<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

#[derive(Debug)]
struct State<T> {
    queue: FairQueue<Share, T>,
    /// What is to be done once, however often it is asked for: no queue can be too full for it.
    flags: u32,
    is_closed: bool,
}

impl<T> Line<T> {
    /// Items may cost that much in each lane.
    pub fn new(cost_max: usize) -> Arc<Self> {
        let state = State { queue: FairQueue::new(cost_max), flags: 0, is_closed: false };
        Arc::new(Self { state: Mutex::new(state), ready: Condvar::new() })
    }

    /// Puts an item in. What was dropped for it, which may be the item itself.
    pub fn push(&self, lane: Lane, share: Share, cost: usize, item: T) -> Vec<T> {
        let mut state = self.state.lock();
        if state.is_closed {
            return vec![item];
        }
        let dropped = state.queue.push(lane, share, cost, item);
        drop(state);
        self.ready.notify_one();
        dropped
    }

    /// Sets flags; one thread gets them, before all items.
    pub fn raise(&self, flags: u32) {
        self.state.lock().flags |= flags;
        self.ready.notify_one();
    }

    /// Waits for something to do, until `deadline` if there is one.
    pub fn next(&self, deadline: Option<Instant>) -> Next<T> {
        let mut state = self.state.lock();
        loop {
            if let Some(next) = Self::ready_now(&mut state) {
                return next;
            }
            match deadline {
                None => self.ready.wait(&mut state),
                Some(at) => {
                    if self.ready.wait_until(&mut state, at).timed_out() {
                        return Self::ready_now(&mut state).unwrap_or(Next::TimedOut);
                    }
                }
            }
        }
    }

    /// What there is to do now, without waiting.
    pub fn try_next(&self) -> Next<T> {
        Self::ready_now(&mut self.state.lock()).unwrap_or(Next::TimedOut)
    }

    fn ready_now(state: &mut MutexGuard<'_, State<T>>) -> Option<Next<T>> {
        if state.flags != 0 {
            return Some(Next::Flags(std::mem::take(&mut state.flags)));
        }
        if let Some(Taken { lane, share, item }) = state.queue.take() {
            return Some(Next::Item(Job(lane, share), item));
        }
        (state.is_closed && state.queue.is_empty()).then_some(Next::Closed)
    }

    /// An item is done: its share may have its next turn.
    pub fn done(&self, Job(lane, share): Job) {
        let is_closed = {
            let mut state = self.state.lock();
            state.queue.release(lane, &share);
            state.is_closed
        };
        if is_closed {
            // Each of the threads is to see the end.
            self.ready.notify_all();
        } else {
            self.ready.notify_one();
        }
    }

    /// Takes nothing more; what waits is still done.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.ready.notify_all();
    }

    /// Takes nothing more, and forgets what waits.
    pub fn end(&self) {
        let rest = {
            let mut state = self.state.lock();
            state.is_closed = true;
            state.queue.drain()
        };
        self.ready.notify_all();
        drop(rest);
    }

    /// Items that wait.
    pub fn waiting(&self) -> usize {
        self.figures().iter().map(|(_, figures)| figures.waiting).sum()
    }

    /// What waits in each lane, and what was dropped.
    pub fn figures(&self) -> [(Lane, LaneFigures); Lane::ALL.len()] {
        let state = self.state.lock();
        Lane::ALL.map(|lane| (lane, state.queue.figures(lane)))
    }
}
