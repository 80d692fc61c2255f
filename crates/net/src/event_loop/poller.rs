//! What tells a loop which of its sockets are ready, and the time: the system, or the script of a test.

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// Something has happened at a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// What it was registered with.
    pub(super) token: usize,
    pub(super) is_readable: bool,
    pub(super) is_writable: bool,
    /// Nothing comes behind what can be read now.
    pub(super) is_over: bool,
}

/// Watches sockets: an event comes when one becomes ready, and not again before it was used up.
pub(super) trait Poller {
    /// The time.
    fn now(&self) -> Instant;

    /// Waits for events at most so long, and appends them to `events`. `None`: for ever.
    fn wait(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()>;

    /// Watches a socket.
    fn register(&self, socket: RawFd, token: usize, interest: Interest) -> io::Result<()>;

    /// Watches it no more. A socket that is not watched is as good as one taken out.
    fn deregister(&self, socket: RawFd);
}

/// The system's.
pub(super) struct SystemPoller {
    poll: Poll,
    events: Events,
}

impl SystemPoller {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { poll: Poll::new()?, events: Events::with_capacity(super::EVENTS_MAX) })
    }

    /// What other threads wake it by: there is an event with this token then.
    pub(super) fn waker(&self, token: usize) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), Token(token))
    }
}

impl Poller for SystemPoller {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wait(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        let waited = self.poll.poll(&mut self.events, timeout);
        events.extend(self.events.iter().map(|event| Event {
            token: event.token().0,
            is_readable: event.is_readable(),
            is_writable: event.is_writable(),
            is_over: event.is_read_closed() || event.is_error(),
        }));
        waited
    }

    fn register(&self, socket: RawFd, token: usize, interest: Interest) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&socket), Token(token), interest)
    }

    fn deregister(&self, socket: RawFd) {
        let _ = self.poll.registry().deregister(&mut SourceFd(&socket));
    }
}
