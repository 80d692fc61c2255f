//! A thread with a socket of UDP, and with connections inside the process that go to the loops: what speaks by datagrams to the one side, and
//! by streams to the other.
//!
//! [`Datagrams`] is what such a protocol shows to its thread, and [`Outlet`] all that it may do. All it sends to one side while the other does
//! not take it is bounded: datagrams are dropped then, as the network does it, and streams are closed.

use crate::pipe::{PipeEnd, pipe};
use crate::socket::Socket;
use crate::threads::{Progress, Threads, Watch};
use mio::{Events, Interest, Poll, Token, Waker};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Datagrams that one turn takes.
const DATAGRAMS_PER_TURN_MAX: usize = 256;
/// Datagrams that wait for the socket; further ones are dropped.
const DATAGRAMS_WAITING_MAX: usize = 1024;
/// Bytes of the largest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Bytes that one read of a stream takes.
const READ_BYTES: usize = 64 * 1024;
/// Bytes that wait for a stream; with more it is closed.
const STREAM_WAITING_BYTES_MAX: usize = 1024 * 1024;
/// How long one turn may take before the thread is said to stand still.
const STALL: Duration = Duration::from_secs(10);
const EVENTS_MAX: usize = 1024;
const WAKE: Token = Token(usize::MAX);
const SOCKET: Token = Token(usize::MAX - 1);

/// A protocol of datagrams. Every call is made by its own thread.
pub trait Datagrams: Send + 'static {
    /// A datagram has come.
    fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], out: &mut Outlet);

    /// Bytes have come by a stream.
    fn received(&mut self, now: Instant, stream: usize, bytes: &[u8], out: &mut Outlet);

    /// The other end has closed a stream, or it was closed because too much waited. One that was closed by [`Outlet::close`] is not heard of.
    fn closed(&mut self, now: Instant, stream: usize, out: &mut Outlet);

    /// When [`Datagrams::expire`] is due. Asked after each call.
    fn deadline(&self) -> Option<Instant>;

    /// The deadline has come.
    fn expire(&mut self, now: Instant, out: &mut Outlet);

    /// The thread ends: the last that is said.
    fn stop(&mut self, now: Instant, out: &mut Outlet);
}

/// What a protocol of datagrams may do.
pub struct Outlet {
    poll: Poll,
    socket: mio::net::UdpSocket,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    streams: HashMap<usize, Stream>,
    signals: Arc<Signals>,
    /// Streams that were closed here, of which the protocol is to be told.
    broken: Vec<usize>,
}

/// This end of a connection inside the process.
struct Stream {
    pipe: PipeEnd,
    waiting: Vec<u8>,
    /// What was said has to go, then it is closed.
    closes: bool,
}

/// Streams at which something has happened, for the thread to look.
struct Signals {
    streams: Mutex<Vec<usize>>,
    waker: Waker,
}

impl Signals {
    fn push(&self, stream: usize) {
        let is_first = {
            let mut streams = self.streams.lock();
            streams.push(stream);
            streams.len() == 1
        };
        if is_first {
            // A failed wake-up delays it until the thread's next turn.
            let _ = self.waker.wake();
        }
    }
}

impl Outlet {
    /// Sends a datagram. What the network does not take is lost, as what it loses.
    pub fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        if self.waiting.is_empty() {
            match self.socket.send_to(bytes, to) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
        if self.waiting.len() < DATAGRAMS_WAITING_MAX {
            self.waiting.push_back((to, bytes.to_vec()));
        }
    }

    /// Makes a connection inside the process, which is known by this number, and has not been before. The other end is for the loops.
    pub fn open(&mut self, stream: usize) -> Socket {
        let (theirs, pipe) = pipe();
        let signals = self.signals.clone();
        pipe.watch(move |_| signals.push(stream));
        self.streams.insert(stream, Stream { pipe, waiting: Vec::new(), closes: false });
        Socket::Pipe(theirs)
    }

    /// Sends bytes by a stream.
    pub fn write(&mut self, stream: usize, bytes: &[u8]) {
        let Some(own) = self.streams.get_mut(&stream) else { return };
        let written = if own.waiting.is_empty() { own.write(bytes) } else { Ok(0) };
        match written {
            Ok(written) if own.waiting.len() + bytes.len() - written <= STREAM_WAITING_BYTES_MAX => {
                own.waiting.extend_from_slice(bytes.get(written..).unwrap_or_default());
            }
            _ => {
                self.streams.remove(&stream);
                self.broken.push(stream);
            }
        }
    }

    /// Closes a stream when all that was sent by it has gone.
    pub fn close(&mut self, stream: usize) {
        match self.streams.get_mut(&stream) {
            Some(own) if !own.waiting.is_empty() => own.closes = true,
            _ => drop(self.streams.remove(&stream)),
        }
    }

    /// The socket takes datagrams again.
    fn flush_datagrams(&mut self) {
        while let Some((to, bytes)) = self.waiting.front() {
            match self.socket.send_to(bytes, *to) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                _ => drop(self.waiting.pop_front()),
            }
        }
    }

    /// A stream takes bytes again.
    fn flush(&mut self, stream: usize) {
        let Some(own) = self.streams.get_mut(&stream).filter(|own| !own.waiting.is_empty()) else { return };
        let waiting = std::mem::take(&mut own.waiting);
        match own.write(&waiting) {
            Ok(written) => own.waiting = waiting.get(written..).unwrap_or_default().to_vec(),
            Err(_) => {
                self.streams.remove(&stream);
                self.broken.push(stream);
                return;
            }
        }
        if own.closes && own.waiting.is_empty() {
            self.streams.remove(&stream);
        }
    }
}

impl Stream {
    /// Writes what goes at once.
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.pipe.write(&[IoSlice::new(rest)]) {
                Ok(bytes) => written += bytes,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(written)
    }
}

/// A thread that serves datagrams. It ends by [`DatagramThread::stop`], or when this is dropped.
pub struct DatagramThread {
    signals: Arc<Signals>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DatagramThread {
    /// Starts it, with a socket of [`crate::address::listen_udp`].
    ///
    /// # Errors
    /// The system refuses a poll, a wake-up or a thread.
    pub fn start(on: &Threads, name: &str, socket: UdpSocket, handler: impl Datagrams) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let signals = Arc::new(Signals { streams: Mutex::default(), waker });
        let mut socket = mio::net::UdpSocket::from_std(socket);
        poll.registry().register(&mut socket, SOCKET, Interest::READABLE | Interest::WRITABLE)?;
        let (waiting, streams, broken) = (VecDeque::new(), HashMap::new(), Vec::new());
        let out = Outlet { poll, socket, waiting, streams, signals: signals.clone(), broken };
        let stop = Arc::new(AtomicBool::new(false));
        let turns = Turns {
            handler,
            out,
            stop: stop.clone(),
            buffer: vec![0; DATAGRAM_BYTES_MAX.max(READ_BYTES)],
            has_datagrams: true,
            readable: Vec::new(),
        };
        let thread = on.spawn_watched(name, Watch::new(STALL), move |progress| turns.run(progress))?;
        Ok(Self { signals, stop, thread: Some(thread) })
    }

    /// Ends it and waits for it. Streams are closed.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // If that fails, its next deadline ends it.
        let _ = self.signals.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic was reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for DatagramThread {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the thread keeps.
struct Turns<D> {
    handler: D,
    out: Outlet,
    stop: Arc<AtomicBool>,
    buffer: Vec<u8>,
    /// The socket may have more datagrams.
    has_datagrams: bool,
    /// Streams that may have more bytes.
    readable: Vec<usize>,
}

impl<D: Datagrams> Turns<D> {
    fn run(mut self, progress: &Progress) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.stop.load(Ordering::Acquire) {
            if let Err(e) = self.out.poll.poll(&mut events, self.timeout())
                && e.kind() != io::ErrorKind::Interrupted
            {
                panic!("the thread of datagrams cannot wait for events: {e}");
            }
            progress.begin();
            self.turn(&events, Instant::now());
            progress.end();
        }
        self.handler.stop(Instant::now(), &mut self.out);
    }

    fn timeout(&self) -> Option<Duration> {
        if self.has_datagrams || !self.readable.is_empty() || !self.out.broken.is_empty() {
            return Some(Duration::ZERO);
        }
        let left = self.handler.deadline()?.saturating_duration_since(Instant::now());
        // Rounded up, or a deadline a fraction of a millisecond ahead would spin.
        Some(left + Duration::from_millis(1))
    }

    fn turn(&mut self, events: &Events, now: Instant) {
        for event in events {
            match event.token() {
                WAKE => {}
                SOCKET => {
                    self.has_datagrams |= event.is_readable();
                    if event.is_writable() {
                        self.out.flush_datagrams();
                    }
                }
                _ => {}
            }
        }
        let signalled = std::mem::take(&mut *self.out.signals.streams.lock());
        for stream in signalled {
            self.out.flush(stream);
            self.readable.push(stream);
        }
        // Answers of the server first: they make room.
        for stream in std::mem::take(&mut self.readable) {
            self.read(now, stream);
        }
        self.receive(now);
        if self.handler.deadline().is_some_and(|at| at <= now) {
            self.handler.expire(now, &mut self.out);
        }
        for stream in std::mem::take(&mut self.out.broken) {
            self.handler.closed(now, stream, &mut self.out);
        }
    }

    /// Takes datagrams, a bounded number a turn.
    fn receive(&mut self, now: Instant) {
        for _ in 0..DATAGRAMS_PER_TURN_MAX {
            if !self.has_datagrams {
                return;
            }
            match self.out.socket.recv_from(&mut self.buffer) {
                Ok((bytes, from)) => {
                    let bytes = self.buffer.get(..bytes).unwrap_or_default();
                    self.handler.datagram(now, from, bytes, &mut self.out);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.has_datagrams = false,
                // What an earlier datagram met on its way; the next may be there.
                Err(_) => {}
            }
        }
    }

    /// Reads a stream once.
    fn read(&mut self, now: Instant, stream: usize) {
        let Some(own) = self.out.streams.get_mut(&stream) else { return };
        match own.pipe.read(&mut self.buffer) {
            Ok(0) => self.close(now, stream),
            Ok(bytes) => {
                // What comes when it was closed here is of no use.
                if !own.closes {
                    let bytes = self.buffer.get(..bytes).unwrap_or_default();
                    self.handler.received(now, stream, bytes, &mut self.out);
                }
                self.readable.push(stream);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.close(now, stream),
        }
    }

    /// The other end has closed a stream.
    fn close(&mut self, now: Instant, stream: usize) {
        if let Some(own) = self.out.streams.remove(&stream)
            && !own.closes
        {
            self.handler.closed(now, stream, &mut self.out);
        }
    }
}
