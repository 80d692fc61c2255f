//! A loop whose events and time are a script: sockets are real, and what happens when is the test's.

use super::poller::{Event, Poller};
use super::{EventLoop, FLUSH_BEFORE_CLOSE, IDLE_AFTER, LINGER, READ_BUFFER_BYTES, UNKNOWN_READ_BYTES};
use crate::dial::{DialError, Origin};
use crate::handler::{Accepted, Broken, Closing, Handler, HandshakeFirst, Received, Transport};
use crate::inbox::{self, Arrival, Command, Inboxes};
use crate::link::Link;
use crate::socket::Socket;
use crate::tls::{ClientTls, Secured, Tls};
use mio::{Interest, Poll, Token, Waker};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const READABLE: Event = Event { token: 0, is_readable: true, is_writable: false, is_over: false };
const WRITABLE: Event = Event { token: 0, is_readable: false, is_writable: true, is_over: false };

/// What the poller does, and what it was asked.
struct Script {
    now: Cell<Instant>,
    events: RefCell<Vec<Event>>,
    registered: RefCell<Vec<usize>>,
    deregistered: Cell<usize>,
    /// How long the loop would have waited.
    timeout: Cell<Option<Duration>>,
}

#[derive(Clone)]
struct Scripted(Rc<Script>);

impl Poller for Scripted {
    fn now(&self) -> Instant {
        self.0.now.get()
    }

    fn wait(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        self.0.timeout.set(timeout);
        events.append(&mut self.0.events.borrow_mut());
        Ok(())
    }

    fn register(&self, _: RawFd, token: usize, _: Interest) -> io::Result<()> {
        self.0.registered.borrow_mut().push(token);
        Ok(())
    }

    fn deregister(&self, _: RawFd) {
        self.0.deregistered.set(self.0.deregistered.get() + 1);
    }
}

/// How connections are treated, and what happened to them.
#[derive(Default)]
struct Plan {
    transport: Transport,
    deadline: Option<Instant>,
    pause: Option<Instant>,
    resume_after_pause: bool,
    closing: Option<Closing>,
    is_known: bool,
    /// Something waits to be written.
    holds: bool,
    seen: Vec<String>,
}

#[derive(Clone, Default)]
struct Noting(Rc<RefCell<Plan>>);

struct Connection {
    link: Arc<Link>,
    number: usize,
}

impl Noting {
    fn note(&self, what: String) {
        self.0.borrow_mut().seen.push(what);
    }
}

impl Handler for Noting {
    type Connection = Connection;
    type Post = u32;

    fn begin(&mut self, _: Instant) {}

    fn open(&mut self, accepted: Accepted) -> Option<(Connection, Transport)> {
        let number = match accepted.origin {
            Origin::Listener(number) => number,
            Origin::Dialed(number) => number as usize,
        };
        Some((Connection { link: accepted.link, number }, self.0.borrow().transport.clone()))
    }

    fn undialed(&mut self, _: u64, _: DialError) {}

    fn posted(&mut self, post: u32) {
        self.note(format!("posted {post}"));
    }

    fn greet(&mut self, connection: &mut Connection) {
        self.note(format!("greet {}", connection.number));
    }

    fn proxied(&mut self, _: &mut Connection, _: Option<SocketAddr>) {}

    fn secured(&mut self, _: &mut Connection, _: Secured) {}

    fn receive(&mut self, connection: &mut Connection, input: &[u8]) -> Received {
        self.note(format!("{} got {}", connection.number, input.len()));
        let plan = self.0.borrow();
        let used = if plan.resume_after_pause { 0 } else { input.len() };
        Received {
            used,
            want: 0,
            pause: plan.pause,
            resume_after_pause: plan.resume_after_pause,
            begins_framing: false,
        }
    }

    fn is_authenticated(&self, _: &Connection) -> bool {
        self.0.borrow().is_known
    }

    fn deadline(&self, _: &Connection) -> Option<Instant> {
        self.0.borrow().deadline
    }

    fn expire(&mut self, connection: &mut Connection) {
        self.note(format!("expire {}", connection.number));
        self.0.borrow_mut().deadline = None;
    }

    fn flush(&mut self, _: &mut Connection) -> bool {
        self.0.borrow().holds
    }

    fn woken(&mut self, connection: &mut Connection) -> bool {
        self.note(format!("woken {}", connection.number));
        false
    }

    fn closing(&self, _: &Connection) -> Option<Closing> {
        self.0.borrow().closing
    }

    fn broken(&mut self, connection: &mut Connection, how: Broken) {
        self.note(format!("{} broken: {how:?}", connection.number));
    }

    fn closed(&mut self, connection: Connection) {
        self.note(format!("closed {}", connection.number));
    }

    fn finish(&mut self) -> bool {
        false
    }

    fn idle(&mut self) {
        self.note("idle".into());
    }
}

struct World {
    event_loop: EventLoop<Noting, Scripted>,
    script: Rc<Script>,
    plan: Noting,
    inboxes: Arc<Inboxes>,
    /// Holds what the waker wakes.
    _poll: Poll,
}

impl World {
    fn new() -> Self {
        let poll = Poll::new().expect("a poll");
        let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
        let inboxes = Inboxes::new(vec![waker]);
        inbox::this_thread_runs(0);
        let script = Rc::new(Script {
            now: Cell::new(Instant::now()),
            events: RefCell::default(),
            registered: RefCell::default(),
            deregistered: Cell::default(),
            timeout: Cell::default(),
        });
        let plan = Noting::default();
        let event_loop = EventLoop::new(0, Scripted(script.clone()), inboxes.clone(), plan.clone());
        Self { event_loop, script, plan, inboxes, _poll: poll }
    }

    /// The other end of a new connection, and its token.
    fn connect(&mut self, number: usize) -> (UnixStream, usize) {
        self.arrive(Origin::Listener(number), None)
    }

    fn arrive(&mut self, origin: Origin, tls: Option<(Tls, Duration)>) -> (UnixStream, usize) {
        let (socket, other) = Socket::pair().expect("a pair");
        other.set_nonblocking(true).expect("set");
        self.inboxes
            .send(0, Command::Take(Arrival { socket, remote: None, origin, proxy_header: None, tls }));
        self.turn(&[]);
        let token = self.script.registered.borrow().last().copied().expect("registered");
        (other, token)
    }

    /// One turn with these events.
    fn turn(&mut self, events: &[Event]) {
        self.script.events.borrow_mut().extend_from_slice(events);
        let mut came = Vec::new();
        self.event_loop.wait(&mut came);
        self.event_loop.turn(&came);
    }

    fn pass(&self, time: Duration) {
        self.script.now.set(self.script.now.get() + time);
    }

    fn after(&self, time: Duration) -> Option<Instant> {
        Some(self.script.now.get() + time)
    }

    fn set(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan.0.borrow_mut());
    }

    /// What happened since the last look.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.plan.0.borrow_mut().seen)
    }

    /// How long the loop would wait now, if nothing came.
    fn would_wait(&self) -> Option<Duration> {
        self.event_loop.timeout()
    }

    fn link_of(&self, token: usize) -> Arc<Link> {
        match self.event_loop.table.slots.get(token) {
            Some(super::Slot::Open(entry)) => entry.connection.link.clone(),
            _ => panic!("no connection at {token}"),
        }
    }
}

fn at(token: usize, event: Event) -> Event {
    Event { token, ..event }
}

#[test]
fn each_ready_connection_is_read_once_a_turn() {
    let mut world = World::new();
    world.set(|plan| plan.is_known = true);
    let ((mut one, first), (mut two, second)) = (world.connect(1), world.connect(2));
    assert_eq!(world.seen(), ["greet 1", "greet 2"]);
    // Not told by an event, nobody looks.
    two.write_all(b"ping").expect("sent");
    world.turn(&[]);
    assert_eq!(world.seen(), [""; 0]);
    // Who sent more than a read takes comes again in the next turn, without an event, and behind the other.
    let sent = one.write(&vec![b'x'; READ_BUFFER_BYTES]).expect("sent");
    world.turn(&[at(first, READABLE), at(second, READABLE)]);
    assert_eq!(world.seen(), [format!("1 got {sent}"), "2 got 4".into()]);
    assert_ne!(world.would_wait(), Some(Duration::ZERO), "short reads emptied the sockets");
}

#[test]
fn of_a_stranger_little_is_read_at_a_time() {
    let mut world = World::new();
    let (mut other, token) = world.connect(1);
    other.write_all(&[b'x'; UNKNOWN_READ_BYTES + 5]).expect("sent");
    world.seen();
    world.turn(&[at(token, READABLE)]);
    assert_eq!(world.seen(), [format!("1 got {UNKNOWN_READ_BYTES}")]);
    assert_eq!(world.would_wait(), Some(Duration::ZERO), "more may be there");
    world.turn(&[]);
    assert_eq!(world.seen(), ["1 got 5"]);
    world.turn(&[]);
    assert_eq!(world.seen(), [""; 0]);
}

#[test]
fn a_deadline_is_waited_for_and_comes_once() {
    let mut world = World::new();
    let deadline = world.after(3 * SECOND);
    world.set(|plan| plan.deadline = deadline);
    world.connect(1);
    world.seen();
    assert_eq!(world.would_wait(), Some(3 * SECOND + Duration::from_millis(1)));
    world.pass(3 * SECOND - Duration::from_millis(1));
    world.turn(&[]);
    assert_eq!(world.seen(), [""; 0]);
    world.pass(Duration::from_millis(1));
    world.turn(&[]);
    world.pass(SECOND);
    world.turn(&[]);
    assert_eq!(world.seen(), ["expire 1"]);
}

#[test]
fn who_pauses_is_not_read_before_its_time() {
    let mut world = World::new();
    let (mut other, token) = world.connect(1);
    let pause = world.after(2 * SECOND);
    world.set(|plan| (plan.pause, plan.resume_after_pause) = (pause, true));
    world.seen();
    other.write_all(b"12345").expect("sent");
    world.turn(&[at(token, READABLE)]);
    other.write_all(b"678").expect("sent");
    world.turn(&[at(token, READABLE)]);
    assert_eq!(world.seen(), ["1 got 5"], "what came behind it waits in the socket");
    // What was left comes again first, then what is in the socket.
    world.set(|plan| (plan.pause, plan.resume_after_pause) = (None, false));
    world.pass(2 * SECOND);
    world.turn(&[]);
    world.turn(&[]);
    assert_eq!(world.seen(), ["1 got 5", "1 got 3"]);
}

/// A wake-up may come when its connection is gone and another one has its place.
#[test]
fn a_wake_up_reaches_no_later_connection_in_the_same_place() {
    let mut world = World::new();
    let (other, token) = world.connect(1);
    let gone = world.link_of(token);
    drop(other);
    world.turn(&[at(token, Event { is_over: true, ..READABLE })]);
    assert_eq!(world.seen(), ["greet 1", "1 broken: Eof", "closed 1"]);
    let (_other, same) = world.connect(2);
    assert_eq!(same, token);
    gone.wake_owner();
    world.turn(&[]);
    assert_eq!(world.seen(), ["greet 2"]);
    world.link_of(token).wake_owner();
    world.turn(&[]);
    assert_eq!(world.seen(), ["woken 2"]);
}

#[test]
fn who_is_closed_is_flushed_then_listened_to_then_forgotten() {
    let mut world = World::new();
    let (mut other, token) = world.connect(1);
    let link = world.link_of(token);
    link.write(&[IoSlice::new(b"bye")]).expect("written");
    world.set(|plan| (plan.closing, plan.holds) = (Some(Closing::AfterFlush), true));
    world.seen();
    link.wake_owner();
    world.turn(&[]);
    // Something waits to be written: it is neither read nor gone.
    other.write_all(b"more").expect("sent");
    world.turn(&[at(token, READABLE)]);
    assert_eq!(world.seen(), ["woken 1"]);
    // It takes too long: the rest is given up. The other end sees the end behind what it was sent.
    world.pass(FLUSH_BEFORE_CLOSE);
    world.turn(&[]);
    assert_eq!(world.seen(), ["closed 1"]);
    let mut got = Vec::new();
    other.read_to_end(&mut got).expect("the end");
    assert_eq!(got, b"bye");
    assert_eq!(world.script.deregistered.get(), 0, "it is still listened to");
    world.pass(LINGER);
    world.turn(&[]);
    assert_eq!(world.script.deregistered.get(), 1);
    assert_eq!(world.connect(2).1, token, "its place is free");
}

#[test]
fn when_all_is_written_a_closing_connection_ends_without_delay() {
    let mut world = World::new();
    let (_other, token) = world.connect(1);
    world.set(|plan| (plan.closing, plan.holds) = (Some(Closing::AfterFlush), true));
    world.link_of(token).wake_owner();
    world.turn(&[]);
    world.seen();
    world.set(|plan| plan.holds = false);
    world.turn(&[at(token, WRITABLE)]);
    assert_eq!(world.seen(), ["closed 1"]);
}

#[test]
fn a_handshake_that_takes_too_long_ends_the_connection() {
    let mut world = World::new();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let resolver = Arc::new(rustls::server::ResolvesServerCertUsingSni::new());
    let config = Arc::new(builder.expect("versions").with_no_client_auth().with_cert_resolver(resolver));
    let (first, timeout) = (HandshakeFirst::Within(SECOND), 5 * SECOND);
    world.set(|plan| plan.transport = Transport::Tls { config, first, timeout, plain_allowed: false });
    let (_other, _) = world.connect(1);
    assert_eq!(world.seen(), [""; 0]);
    world.pass(SECOND);
    world.turn(&[]);
    assert_eq!(world.seen(), ["greet 1"], "who does not begin is greeted");
    world.pass(4 * SECOND);
    world.turn(&[]);
    assert_eq!(world.seen(), [r#"1 broken: Tls("the handshake took too long")"#, "closed 1"]);
}

/// Whoever is dialled and answers with less than a handshake, or nothing, is waited for no longer than that.
#[test]
fn a_handshake_that_this_end_began_ends_in_time() {
    for answer in [&b""[..], b"\x16\x03\x03\x00\x40\x02"] {
        let mut world = World::new();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_root_certificates(rustls::RootCertStore::empty());
        let config = Arc::new(builder.with_no_client_auth());
        let tls = ClientTls { config, name: "a.example".try_into().expect("a name"), timeout: 5 * SECOND };
        let begun = (Tls::client(&tls).expect("a configuration"), tls.timeout);
        let (mut other, token) = world.arrive(Origin::Dialed(1), Some(begun));
        let mut hello = [0; 1];
        other.read_exact(&mut hello).expect("TLS begins at once");
        assert_eq!(hello, [0x16]);
        other.write_all(answer).expect("sent");
        world.turn(&[at(token, READABLE)]);
        world.pass(5 * SECOND - Duration::from_millis(1));
        world.turn(&[]);
        assert_eq!(world.seen(), [""; 0], "nobody is greeted without TLS");
        world.pass(Duration::from_millis(2));
        world.turn(&[]);
        assert_eq!(world.seen()[..2], [r#"1 broken: Tls("the handshake took too long")"#, "closed 1"]);
    }
}

#[test]
fn nothing_to_do_for_a_while_is_noted_once() {
    let mut world = World::new();
    let (mut other, token) = world.connect(1);
    world.seen();
    for expected in [vec![], vec!["idle"], vec![]] {
        world.turn(&[]);
        assert_eq!(world.seen(), expected);
        world.pass(IDLE_AFTER + SECOND);
    }
    assert_eq!(world.would_wait(), None, "nothing is waited for");
    other.write_all(b"x").expect("sent");
    world.turn(&[at(token, READABLE)]);
    assert_eq!(world.seen(), ["1 got 1"]);
    world.pass(IDLE_AFTER + SECOND);
    world.turn(&[]);
    assert_eq!(world.seen(), ["idle"]);
}
