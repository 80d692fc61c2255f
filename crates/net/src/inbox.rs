//! How threads reach a loop: a short queue and a wake-up.

use crate::dial::{Dial, Origin};
use crate::listener::Listener;
use crate::pipe::Signal;
use crate::socket::Socket;
use crate::tls::Tls;
use parking_lot::Mutex;
use std::any::Any;
use std::cell::Cell;
use std::marker::PhantomData;
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
    /// Something has happened at the pipe of the connection there.
    Signal(Place, Signal),
    /// A new connection to take over.
    Take(Arrival),
    /// Connect.
    Dial(Dial),
    /// The connection with this number is not wanted any more.
    Cancel(u64),
    /// Something for the loop's handler.
    Post(Box<dyn Any + Send>),
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
    pub(crate) origin: Origin,
    /// How long a PROXY header may take, if one may come.
    pub(crate) proxy_header: Option<Duration>,
    /// TLS that this end begins, and how long the handshake may take.
    pub(crate) tls: Option<(Tls, Duration)>,
}

struct Inbox {
    queue: Mutex<Vec<Command>>,
    /// `None`: whoever turns the loop looks by itself.
    waker: Option<mio::Waker>,
    connections: AtomicU32,
}

/// The inboxes of all loops.
pub(crate) struct Inboxes(Vec<Inbox>);

impl Inboxes {
    pub(crate) fn new(wakers: Vec<mio::Waker>) -> Arc<Self> {
        Self::of(wakers.into_iter().map(Some))
    }

    /// The one inbox of a loop that nobody has to wake.
    pub(crate) fn unwatched() -> Arc<Self> {
        Self::of([None])
    }

    fn of(wakers: impl IntoIterator<Item = Option<mio::Waker>>) -> Arc<Self> {
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

    /// Tells the owner of a connection what has happened at its pipe.
    pub(crate) fn signal(&self, place: Place, signal: Signal) {
        self.put(place.owner, Command::Signal(place, signal), place.owner != CURRENT.get());
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
        if wake
            && first
            && let Some(waker) = &inbox.waker
        {
            // A failed wake-up delays the command until the loop's next turn.
            let _ = waker.wake();
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

/// Hands the handlers of loops what other threads have for them, `P`, in the order in which it comes.
///
/// Whoever posts bounds what it has under way: what waits here waits for the next turn only, and is as much as was posted.
pub struct Poster<P> {
    inboxes: Arc<Inboxes>,
    what: PhantomData<fn(P)>,
}

impl<P: Send + 'static> Poster<P> {
    pub(crate) fn new(inboxes: Arc<Inboxes>) -> Self {
        Self { inboxes, what: PhantomData }
    }

    /// How many loops there are.
    pub fn loops(&self) -> usize {
        self.inboxes.len()
    }

    /// Hands something to the handler of the loop with this number, and wakes it if it does not have more to do anyway.
    pub fn post(&self, to: usize, post: P) {
        self.inboxes.put(to, Command::Post(Box::new(post)), to != CURRENT.get());
    }
}

impl<P> Clone for Poster<P> {
    fn clone(&self) -> Self {
        Self { inboxes: self.inboxes.clone(), what: PhantomData }
    }
}
