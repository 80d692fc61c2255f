//! How threads reach a loop: a short queue and a wake-up.

use crate::listener::Listener;
use crate::socket::Socket;
use parking_lot::Mutex;
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

thread_local! {
    /// The loop that this thread runs.
    static CURRENT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Notes that this thread runs a loop, which needs no wake-up to find what it puts into its own inbox.
pub(crate) fn this_thread_runs(index: usize) {
    CURRENT.set(index);
}

/// Where a connection is: its loop, its place in that loop's table, and what tells it from an earlier one there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) owner: usize,
    pub(crate) token: usize,
    pub(crate) serial: u32,
}

/// What a loop can be asked from outside.
pub(crate) enum Command {
    /// The connection there wants its owner to look at it.
    Wake(Place),
    /// A new connection to take over.
    Take(Arrival),
    /// Listen.
    Listen(Listener),
    /// Stop accepting by the listener with this number.
    Unlisten(usize),
    /// Close everything and end.
    Stop,
}

/// A connection that was accepted, or handed over.
pub(crate) struct Arrival {
    pub(crate) socket: Socket,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) listener: usize,
    /// How long a PROXY header may take, if one may come.
    pub(crate) proxy_header: Option<Duration>,
}

struct Inbox {
    queue: Mutex<Vec<Command>>,
    waker: mio::Waker,
    connections: AtomicU32,
}

/// The inboxes of all loops.
pub(crate) struct Inboxes(Vec<Inbox>);

impl Inboxes {
    pub(crate) fn new(wakers: Vec<mio::Waker>) -> Arc<Self> {
        let inbox = |waker| Inbox { queue: Mutex::default(), waker, connections: AtomicU32::new(0) };
        Arc::new(Self(wakers.into_iter().map(inbox).collect()))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Wakes the owner of a connection.
    pub(crate) fn wake(&self, place: Place) {
        self.put(place.owner, Command::Wake(place), place.owner != CURRENT.get());
    }

    pub(crate) fn send(&self, index: usize, command: Command) {
        self.put(index, command, true);
    }

    fn put(&self, index: usize, command: Command, wake: bool) {
        let Some(inbox) = self.0.get(index) else { return };
        let first = {
            let mut queue = inbox.queue.lock();
            queue.push(command);
            queue.len() == 1
        };
        if wake && first {
            // A failed wake-up delays the command until the loop's next turn.
            let _ = inbox.waker.wake();
        }
    }

    /// Moves what waits for a loop into `into`.
    pub(crate) fn drain(&self, index: usize, into: &mut Vec<Command>) {
        if let Some(inbox) = self.0.get(index) {
            std::mem::swap(&mut *inbox.queue.lock(), into);
        }
    }

    pub(crate) fn is_empty(&self, index: usize) -> bool {
        self.0.get(index).is_none_or(|inbox| inbox.queue.lock().is_empty())
    }

    pub(crate) fn connections_changed(&self, index: usize, connections: usize) {
        if let Some(inbox) = self.0.get(index) {
            inbox.connections.store(connections as u32, Ordering::Relaxed);
        }
    }

    /// The loop for a new connection: the one with the fewest.
    pub(crate) fn with_fewest(&self) -> usize {
        let load = |inbox: &Inbox| inbox.connections.load(Ordering::Relaxed);
        (0..self.0.len()).min_by_key(|&i| self.0.get(i).map_or(u32::MAX, load)).unwrap_or(0)
    }
}
