//! The loops. One turn: wait, read each ready connection once, look at the clock, let the handler write.

mod dialing;
mod ending;
mod entry;
mod framed;
mod kept;
mod opening;
mod parts;
mod poller;
mod reading;
mod stepped;
#[cfg(test)]
mod tests;

use crate::dial::{Dial, Origin};
use crate::handler::{Broken, Handler};
use crate::inbox::{self, Arrival, Command, Inboxes, Place, Poster};
use crate::listener::Listener;
use crate::pipe::Signal;
use crate::socket::Socket;
use crate::threads::{Progress, Threads, Watch};
use entry::{Entry, Life, Slot, Stage};
use parts::{Accepting, Buffers, Idleness, Mail, Table};
use poller::{Event, Poller, SystemPoller};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub use stepped::{Readiness, SteppedLoop};

/// Bytes that one read takes at most.
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Of a connection of which nobody knows yet who it is: what it sends ahead of the answer is kept.
const UNKNOWN_READ_BYTES: usize = 16 * 1024;
/// Events that one poll returns at most.
const EVENTS_MAX: usize = 1024;
/// Connections that one turn accepts at most, so that those who are there are served too.
const ACCEPTS_PER_TURN_MAX: usize = 64;
/// How long accepting rests when there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection that is to be closed may take to be written to.
const FLUSH_BEFORE_CLOSE: Duration = Duration::from_secs(1);
/// How long it is then listened to, so that what the peer still sends does not destroy what it was told.
const LINGER: Duration = Duration::from_millis(100);
/// How long one turn may take, or a command wait, before the loop is said to stand still.
const STALL: Duration = Duration::from_secs(10);
/// How long a loop must have nothing to do to be called idle.
const IDLE_AFTER: Duration = Duration::from_secs(5);

/// The shortest time for which a timer is set.
const TIMER_MIN: Duration = Duration::from_millis(1);
const WAKE: usize = usize::MAX;
const LISTENERS: usize = usize::MAX / 2;

/// How loops are set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many loops.
    pub loops: usize,
}

/// A running set of loops.
pub struct Loops {
    inboxes: Arc<Inboxes>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Loops {
    /// Starts the loops on threads of a server; `handler` makes each loop's own.
    ///
    /// Errors: the system refuses a poll, a wake-up or a thread.
    pub fn start<H: Handler>(
        on: &Threads,
        settings: Settings,
        handler: impl Fn(usize) -> H + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let polls: Vec<SystemPoller> =
            (0..settings.loops.max(1)).map(|_| SystemPoller::new()).collect::<io::Result<_>>()?;
        let wakers = polls.iter().map(|poll| poll.waker(WAKE)).collect::<io::Result<_>>()?;
        let inboxes = Inboxes::new(wakers);
        let handler = Arc::new(handler);
        let mut threads = Vec::new();
        for (index, poll) in polls.into_iter().enumerate() {
            let (inboxes, handler) = (inboxes.clone(), handler.clone());
            let its_inboxes = inboxes.clone();
            let watch = Watch::new(STALL).waiting(move || !its_inboxes.is_empty(index));
            let run = move |progress: &Progress| {
                inbox::this_thread_runs(index);
                let handler = handler(index);
                EventLoop::new(index, poll, inboxes, handler).run(progress);
            };
            threads.push(on.spawn_watched(format!("loop-{index}"), watch, run)?);
        }
        Ok(Self { inboxes, threads })
    }

    /// Accepts connections by `listener` from now on.
    pub fn listen(&self, listener: Listener) {
        self.inboxes.send(0, Command::Listen(listener));
    }

    /// Stops accepting by the listener with this number, and closes it.
    pub fn unlisten(&self, number: usize) {
        self.inboxes.send(0, Command::Unlisten(number));
    }

    /// Whether they have not been stopped.
    pub fn are_running(&self) -> bool {
        !self.threads.is_empty()
    }

    /// Hands a connected socket to the loops, as if it came by the listener with this number.
    pub fn take(&self, socket: Socket, remote: Option<SocketAddr>, listener: usize) {
        self.taker().take(socket, remote, listener);
    }

    /// What hands connected sockets to the loops, from any thread. Loops that have ended close them.
    pub fn taker(&self) -> Taker {
        Taker(self.inboxes.clone())
    }

    /// Connects. [`Handler::open`] or [`Handler::undialed`] says what came of it, on one of the loops.
    pub fn dial(&self, dial: Dial) {
        self.inboxes.send(self.inboxes.with_fewest(), Command::Dial(dial));
    }

    /// The connection with this number is not wanted any more. If it is there already its own handler ends it; else nothing more is
    /// heard of it.
    pub fn cancel(&self, number: u64) {
        (0..self.inboxes.len()).for_each(|index| self.inboxes.send(index, Command::Cancel(number)));
    }

    /// Hands things to the handlers of the loops, which must be of the kind `H` that they were started with.
    pub fn poster<H: Handler>(&self) -> Poster<H::Post> {
        Poster::new(self.inboxes.clone())
    }

    /// Ends all loops and waits for them. Connections are closed; what handlers enqueued before is written if it can.
    pub fn stop(&mut self) {
        for index in 0..self.inboxes.len() {
            self.inboxes.send(index, Command::Stop);
        }
        for thread in self.threads.drain(..) {
            // A panic was reported where it happened.
            let _ = thread.join();
        }
    }
}

/// Hands connected sockets to loops.
#[derive(Clone)]
pub struct Taker(Arc<Inboxes>);

impl Taker {
    /// As [`Loops::take`].
    pub fn take(&self, socket: Socket, remote: Option<SocketAddr>, listener: usize) {
        let origin = Origin::Listener(listener);
        let arrival = Arrival { socket, remote, origin, proxy_header: None, tls: None };
        self.0.send(self.0.with_fewest(), Command::Take(arrival));
    }
}

/// One loop: what it keeps, in parts.
struct EventLoop<H: Handler, P> {
    poll: P,
    handler: H,
    /// When the turn began.
    now: Instant,
    table: Table<H::Connection>,
    buffers: Buffers,
    /// Connections that are read next turn.
    ready: Vec<usize>,
    /// Moments at which a connection has to be looked at: when, where it is, and its serial number.
    timers: BinaryHeap<Reverse<(Instant, usize, u32)>>,
    accepting: Accepting,
    mail: Mail,
    idleness: Idleness,
    /// The handler has more to do.
    again: bool,
    stop: bool,
}

impl<H: Handler, P: Poller> EventLoop<H, P> {
    fn new(index: usize, poll: P, inboxes: Arc<Inboxes>, handler: H) -> Self {
        let now = poll.now();
        Self {
            poll,
            handler,
            now,
            table: Table::default(),
            buffers: Buffers::new(),
            ready: Vec::new(),
            timers: BinaryHeap::new(),
            accepting: Accepting::default(),
            mail: Mail { index, inboxes, commands: Vec::new() },
            idleness: Idleness { since: now, is_noted: false },
            again: false,
            stop: false,
        }
    }

    fn run(&mut self, progress: &Progress) {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        while !self.stop {
            self.wait(&mut events);
            progress.begin();
            self.turn(&events);
            progress.end();
        }
        self.close_all();
    }

    /// Waits until there is something to do.
    fn wait(&mut self, events: &mut Vec<Event>) {
        let timeout = self.timeout();
        events.clear();
        if let Err(e) = self.poll.wait(timeout, events)
            && e.kind() != io::ErrorKind::Interrupted
        {
            panic!("the event loop cannot wait for events: {e}");
        }
    }

    fn turn(&mut self, events: &[Event]) {
        self.now = self.poll.now();
        self.handler.begin(self.now);
        for event in events {
            match event.token {
                WAKE => {}
                listener if listener >= LISTENERS => self.note_accepting(listener - LISTENERS),
                token => self.note(token, *event),
            }
        }
        self.accept();
        self.read_ready();
        self.expire();
        self.finish();
        // Calls made by this turn's own work are answered after its bytes are written.
        self.run_commands();
        self.note_work(!events.is_empty());
    }

    /// Has everything written that was produced so far.
    fn finish(&mut self) {
        self.again = self.handler.finish();
    }

    /// How long to wait for events.
    fn timeout(&self) -> Option<Duration> {
        if self.again
            || !self.ready.is_empty()
            || (!self.accepting.waiting.is_empty() && self.accepting.again_at.is_none())
        {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.peek().map(|Reverse((at, ..))| *at);
        let idle = (!self.idleness.is_noted).then(|| self.idleness.since + IDLE_AFTER);
        let next = timer.into_iter().chain(self.accepting.again_at).chain(idle).min()?;
        // Rounded up, or a deadline a fraction of a millisecond ahead would spin.
        Some(next.saturating_duration_since(self.poll.now()) + Duration::from_millis(1))
    }

    /// Calls the handler once when nothing has happened for a while.
    fn note_work(&mut self, worked: bool) {
        if worked {
            self.idleness.since = self.now;
            self.idleness.is_noted = false;
        } else if !self.idleness.is_noted && self.now > self.idleness.since + IDLE_AFTER {
            self.idleness.is_noted = true;
            self.handler.idle();
        }
    }

    fn entry(&mut self, token: usize) -> Option<&mut Entry<H::Connection>> {
        match self.table.slots.get_mut(token) {
            Some(Slot::Open(entry)) => Some(entry),
            _ => None,
        }
    }

    /// An event for a connection.
    fn note(&mut self, token: usize, event: Event) {
        match self.table.slots.get_mut(token) {
            None | Some(Slot::Free) => {}
            Some(Slot::Dialing(_)) => self.dialed(token),
            Some(Slot::Lingering(_)) => self.ready.push(token),
            Some(Slot::Open(entry)) => {
                entry.read_closed |= event.is_over;
                entry.readable |= event.is_readable || event.is_over;
                if event.is_writable {
                    // What TLS and framing still hold goes first; a failure shows when the rest is written.
                    let _ = entry.link.flush();
                    let left = self.handler.flush(&mut entry.connection);
                    let held = entry.link.flush().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock);
                    if !left && !held && matches!(entry.life, Life::Flushing(_)) {
                        self.linger(token);
                    }
                }
                self.list(token);
            }
        }
    }

    /// Something has happened at a connection's pipe.
    fn signal(&mut self, place: Place, signal: Signal) {
        let is_it = match self.table.slots.get(place.token) {
            Some(Slot::Open(entry)) => entry.serial == place.serial,
            Some(Slot::Lingering(lingering)) => lingering.serial == place.serial,
            _ => false,
        };
        if is_it {
            let Signal { is_readable, is_writable, is_over } = signal;
            self.note(place.token, Event { token: place.token, is_readable, is_writable, is_over });
        }
    }

    /// Sets the timer of a connection's next deadline, if it is earlier than the one that is set.
    fn schedule(&mut self, token: usize) {
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
        let deadline = match entry.life {
            Life::Open => {
                let connection = self.handler.deadline(&entry.connection);
                connection.into_iter().chain(entry.stage.deadline()).chain(entry.header_until).min()
            }
            Life::Flushing(until) => Some(until),
        };
        // Never in this very turn: a deadline that stays in the past must not hold the loop.
        let soonest = self.now + TIMER_MIN;
        if let Some(at) = deadline.map(|at| at.max(soonest))
            && entry.timer.is_none_or(|set| at < set)
        {
            entry.timer = Some(at);
            self.timers.push(Reverse((at, token, entry.serial)));
        }
    }

    fn expire(&mut self) {
        while let Some(&Reverse((at, token, serial))) = self.timers.peek() {
            if at > self.now {
                break;
            }
            self.timers.pop();
            match self.table.slots.get_mut(token) {
                Some(Slot::Lingering(lingering))
                    if lingering.serial == serial && lingering.until <= self.now =>
                {
                    self.remove(token);
                }
                Some(Slot::Open(entry)) if entry.serial == serial => self.expire_one(token, at),
                Some(Slot::Dialing(attempt)) if attempt.serial == serial && attempt.until <= self.now => {
                    self.dial_failed(token, io::ErrorKind::TimedOut.into());
                }
                _ => {}
            }
        }
    }

    /// A timer of a connection has run out: its pause is over, or its deadline has come.
    fn expire_one(&mut self, token: usize, at: Instant) {
        let now = self.now;
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
        if let Some(pause) = entry.pause.take_if(|pause| pause.until <= now) {
            if pause.resumes && matches!(entry.life, Life::Open) {
                self.retry_rest(token);
                self.schedule(token);
            }
            self.list(token);
        }
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
        if entry.timer.is_none_or(|set| set > at) {
            return;
        }
        entry.timer = None;
        match entry.life {
            Life::Flushing(_) => return self.linger(token),
            Life::Open => {}
        }
        if entry.header_until.is_some_and(|until| until <= now) {
            return self.broken(token, Broken::Proxy("no whole header came in time".into()));
        }
        match &mut entry.stage {
            Stage::Await { greet_at, greeted, .. } if greet_at.is_some_and(|at| at <= now) => {
                *greet_at = None;
                *greeted = true;
                self.handler.greet(&mut entry.connection);
            }
            Stage::Await { until, .. } | Stage::Handshake { until, .. } if *until <= now => {
                return self.broken(token, Broken::Tls("the handshake took too long".into()));
            }
            _ => {}
        }
        if self.handler.deadline(&entry.connection).is_some_and(|due| due <= now) {
            self.handler.expire(&mut entry.connection);
        }
        self.schedule(token);
    }

    fn run_commands(&mut self) {
        let mut commands = std::mem::take(&mut self.mail.commands);
        self.mail.inboxes.drain(self.mail.index, &mut commands);
        let ran_any = !commands.is_empty();
        for command in commands.drain(..) {
            match command {
                Command::Wake(place) => self.handle_wake(place),
                Command::Signal(place, signal) => self.signal(place, signal),
                Command::Take(arrival) => self.open(arrival),
                Command::Dial(dial) => self.dial(dial),
                Command::Cancel(number) => self.cancel(number),
                Command::Post(post) => {
                    // Nothing else is posted: `Loops::poster` gives what it takes its type.
                    if let Ok(post) = post.downcast() {
                        self.handler.posted(*post);
                    }
                }
                Command::Listen(listener) => self.listen(listener),
                Command::Unlisten(number) => self.unlisten(number),
                Command::Stop => self.stop = true,
            }
        }
        self.mail.commands = commands;
        if ran_any {
            // Opening and closing may have produced bytes, and calls, of their own.
            self.finish();
            if self.has_commands() {
                self.run_commands();
            }
        }
    }

    fn has_commands(&mut self) -> bool {
        !self.mail.inboxes.is_empty(self.mail.index)
    }
}
