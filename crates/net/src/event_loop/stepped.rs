//! A loop that is turned by hand: what is ready and what time it is comes with each turn, and its connections are [`Carrier`]s. By it whole
//! servers live in a simulation.

use super::EventLoop;
use super::poller::{Event, Poller};
use crate::dial::{DialError, Origin};
use crate::handler::Handler;
use crate::inbox::{Arrival, Command, Inboxes};
use crate::socket::{Carrier, Socket};
use mio::Interest;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What has happened at a carrier.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    /// Bytes came, or the end.
    pub is_readable: bool,
    /// It takes bytes again.
    pub is_writable: bool,
    /// Nothing comes behind what can be read now.
    pub is_over: bool,
}

struct Moment {
    now: Cell<Instant>,
    /// Tokens of carriers, by their numbers.
    tokens: RefCell<BTreeMap<RawFd, usize>>,
}

struct ByHand(Rc<Moment>);

impl Poller for ByHand {
    fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// Nobody waits: each turn is made by hand.
    fn wait(&mut self, _: Option<Duration>, _: &mut Vec<Event>) -> io::Result<()> {
        Ok(())
    }

    fn register(&self, socket: RawFd, token: usize, _: Interest) -> io::Result<()> {
        self.0.tokens.borrow_mut().insert(socket, token);
        Ok(())
    }

    fn deregister(&self, socket: RawFd) {
        self.0.tokens.borrow_mut().remove(&socket);
    }
}

/// An event loop without a thread.
pub struct SteppedLoop<H: Handler> {
    event_loop: EventLoop<H, ByHand>,
    moment: Rc<Moment>,
    inboxes: Arc<Inboxes>,
}

impl<H: Handler> SteppedLoop<H> {
    /// A loop without connections.
    pub fn new(handler: H, now: Instant) -> Self {
        let moment = Rc::new(Moment { now: Cell::new(now), tokens: RefCell::default() });
        let inboxes = Inboxes::unwatched();
        let event_loop = EventLoop::new(0, ByHand(moment.clone()), inboxes.clone(), handler);
        Self { event_loop, moment, inboxes }
    }

    /// Takes a connection over, in its next turn.
    pub fn take(&self, carrier: Box<dyn Carrier>, remote: Option<SocketAddr>, origin: Origin) {
        let socket = Socket::Carried(carrier);
        let arrival = Arrival { socket, remote, origin, proxy_header: None, tls: None };
        self.inboxes.send(0, Command::Take(arrival));
    }

    /// There is no connection for the dial with this number.
    pub fn undialed(&mut self, now: Instant, number: u64, why: DialError) {
        self.event_loop.handler.begin(now);
        self.event_loop.handler.undialed(number, why);
        self.event_loop.finish();
    }

    /// One turn, in which this has happened at the carrier of a number; what that leaves to be done at once is done, too.
    pub fn turn(&mut self, now: Instant, happened: Option<(RawFd, Readiness)>) {
        self.moment.now.set(now);
        let event = happened.and_then(|(number, readiness)| {
            let token = *self.moment.tokens.borrow().get(&number)?;
            let Readiness { is_readable, is_writable, is_over } = readiness;
            Some(Event { token, is_readable, is_writable, is_over })
        });
        let mut events = event.as_slice();
        loop {
            self.event_loop.turn(events);
            events = &[];
            if self.event_loop.timeout() != Some(Duration::ZERO) {
                return;
            }
        }
    }

    /// When a turn is due, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let now = self.moment.now.get();
        if !self.inboxes.is_empty(0) {
            return Some(now);
        }
        self.event_loop.timeout().map(|timeout| now + timeout)
    }

    /// Whether there is something for it that did not come by a carrier.
    pub fn has_commands(&self) -> bool {
        !self.inboxes.is_empty(0)
    }
}
