//! An event loop without sockets: calls a [`Driver`] as the loops of `net` do.

use crate::admission::Source;
use crate::driver::Driver;
use crate::policy::ListenerKind;
use crate::protocol::Connection;
use dialtone_broker::outbox::Sink;
use dialtone_broker::peer::Wake;
use dialtone_net::{Broken, Closing, Handler, HandshakeFirst, Transport};
use dialtone_sim::link::End;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An end as the broker sees it.
struct EndSink(End);

impl Sink for EndSink {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write(slices)
    }
}

/// The ends whose loop is to look at them.
type Calls = Arc<Mutex<BTreeSet<usize>>>;

struct EndWake {
    end: usize,
    calls: Calls,
}

impl Wake for EndWake {
    fn wake(&self) {
        self.calls.lock().insert(self.end);
    }
}

struct Open {
    client: Connection,
    end: End,
    /// Bytes that came and are not used.
    rest: Vec<u8>,
    pause: Option<Instant>,
    /// What is left may be used when the pause is over.
    resume_after_pause: bool,
    /// It is closed when all is written.
    flushing: bool,
}

/// What connections begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// With what their listener asks for.
    AtOnce,
    /// With a PROXY header.
    Proxied,
}

pub(super) struct EventLoop {
    driver: Driver,
    began: Instant,
    open: BTreeMap<usize, Open>,
    calls: Calls,
    /// What the connections begin with that come from now on.
    pub begins: Begins,
}

impl EventLoop {
    pub fn new(driver: Driver, began: Instant) -> Self {
        Self { driver, began, open: BTreeMap::new(), calls: Calls::default(), begins: Begins::AtOnce }
    }

    /// Does something with the connection that came last, as `net` does when what comes before the protocol is there.
    pub fn with_newest(&mut self, now: Duration, act: impl FnOnce(&mut Driver, &mut Connection)) {
        let Some((&end, _)) = self.open.last_key_value() else { return };
        self.turn(now, end, |driver, open, _| act(driver, &mut open.client));
    }

    /// Does something with one connection, as a turn of its own.
    fn turn(&mut self, now: Duration, end: usize, act: impl FnOnce(&mut Driver, &mut Open, Instant)) {
        let now = self.began + now;
        self.driver.begin(now);
        if let Some(open) = self.open.get_mut(&end) {
            act(&mut self.driver, open, now);
        }
        self.driver.finish();
    }

    fn remove(&mut self, now: Duration, end: usize) {
        self.driver.begin(self.began + now);
        if let Some(open) = self.open.remove(&end) {
            open.end.close();
            self.driver.closed(open.client);
        }
        self.driver.finish();
    }

    fn end_if_closing(&mut self, now: Duration, end: usize) {
        let Some(open) = self.open.get_mut(&end) else { return };
        match self.driver.closing(&open.client) {
            None => {}
            Some(Closing::Now) => self.remove(now, end),
            Some(Closing::AfterFlush) => {
                open.flushing = true;
                if !self.driver.flush(&mut open.client) {
                    self.remove(now, end);
                }
            }
        }
    }

    pub fn opened(&mut self, now: Duration, end: End) {
        self.driver.begin(self.began + now);
        let number = end.number();
        let wake = EndWake { end: number, calls: self.calls.clone() };
        let remote = SocketAddr::from(([127, 0, 0, 1], 10_000 + number as u16));
        let sink = Arc::new(EndSink(end.clone()));
        let source = Source { listener: ListenerKind::Clients, remote: Some(remote) };
        let is_proxied = self.begins == Begins::Proxied;
        let (mut client, transport) = self.driver.admit(source, is_proxied, sink, Box::new(wake));
        if !is_proxied && !matches!(transport, Transport::Tls { first: HandshakeFirst::Yes, .. }) {
            self.driver.greet(&mut client);
        }
        let open =
            Open { client, end, rest: Vec::new(), pause: None, resume_after_pause: false, flushing: false };
        self.open.insert(number, open);
        self.driver.finish();
    }

    pub fn received(&mut self, now: Duration, end: usize, bytes: &[u8]) {
        self.turn(now, end, |driver, open, _| {
            open.rest.extend_from_slice(bytes);
            if open.pause.is_none() && !open.flushing {
                receive(driver, open);
            }
        });
    }

    pub fn writable(&mut self, now: Duration, end: usize) {
        self.driver.begin(self.began + now);
        let Some(open) = self.open.get_mut(&end) else { return };
        let more = self.driver.flush(&mut open.client);
        if open.flushing && !more {
            self.remove(now, end);
        }
    }

    pub fn closed(&mut self, now: Duration, end: usize) {
        self.turn(now, end, |driver, open, _| driver.broken(&mut open.client, Broken::Eof));
        self.remove(now, end);
    }

    pub fn deadline(&self) -> Option<Duration> {
        let all = self.open.values().filter(|open| !open.flushing);
        let all = all.flat_map(|open| self.driver.deadline(&open.client).into_iter().chain(open.pause));
        all.min().map(|at| at.saturating_duration_since(self.began))
    }

    pub fn expire(&mut self, now: Duration) {
        let ends: Vec<usize> = self.open.keys().copied().collect();
        for end in ends {
            self.turn(now, end, |driver, open, now| {
                if open.pause.is_some_and(|until| until <= now) {
                    open.pause = None;
                    receive(driver, open);
                }
                if driver.deadline(&open.client).is_some_and(|at| at <= now) {
                    driver.expire(&mut open.client);
                }
            });
        }
    }

    pub fn is_called(&self) -> bool {
        !self.calls.lock().is_empty()
    }

    pub fn called(&mut self, now: Duration) {
        let calls = std::mem::take(&mut *self.calls.lock());
        for end in calls {
            self.turn(now, end, |driver, open, _| {
                let goes_on = driver.woken(&mut open.client);
                if goes_on || !open.resume_after_pause {
                    open.pause = None;
                }
                if open.pause.is_none() {
                    receive(driver, open);
                }
            });
            self.end_if_closing(now, end);
        }
    }
}

fn receive(driver: &mut Driver, open: &mut Open) {
    if open.rest.is_empty() {
        return;
    }
    let received = driver.receive(&mut open.client, &open.rest);
    open.rest.drain(..received.used);
    open.pause = received.pause;
    open.resume_after_pause = received.resume_after_pause;
}
