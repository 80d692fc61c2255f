//! A thread of datagrams: an echo that answers by its own socket what comes by it, and by streams what comes by them.

use dialtone_net::{DatagramThread, Datagrams, Outlet, Socket, Threads, address};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

const LISTENS: &str = "the test listens";
const WAIT: Duration = Duration::from_secs(10);

/// Opens a stream for each datagram `open`, writes `write N bytes` to the last one, and says what comes.
struct Echo {
    opened: Sender<Socket>,
    said: Sender<String>,
    last: usize,
    due: Option<Instant>,
}

impl Datagrams for Echo {
    fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], out: &mut Outlet) {
        match bytes {
            b"open" => {
                self.last += 1;
                self.opened.send(out.open(self.last)).expect(LISTENS);
            }
            b"write" => out.write(self.last, b"to the loops"),
            b"flood" => (0..40).for_each(|_| out.write(self.last, &[0; 64 * 1024])),
            b"close" => {
                out.write(self.last, b"the last");
                out.close(self.last);
            }
            b"due" => self.due = Some(now + Duration::from_millis(1)),
            other => out.send(from, other),
        }
    }

    fn received(&mut self, _: Instant, stream: usize, bytes: &[u8], _: &mut Outlet) {
        self.said.send(format!("{stream} {}", bytes.escape_ascii())).expect(LISTENS);
    }

    fn closed(&mut self, _: Instant, stream: usize, _: &mut Outlet) {
        self.said.send(format!("{stream} closed")).expect(LISTENS);
    }

    fn deadline(&self) -> Option<Instant> {
        self.due
    }

    fn expire(&mut self, _: Instant, _: &mut Outlet) {
        self.due = None;
        self.said.send("expired".into()).expect(LISTENS);
    }

    fn stop(&mut self, _: Instant, _: &mut Outlet) {
        self.said.send("stopped".into()).expect(LISTENS);
    }
}

struct World {
    thread: DatagramThread,
    client: UdpSocket,
    opened: Receiver<Socket>,
    said: Receiver<String>,
}

impl World {
    fn new() -> Self {
        let (socket, endpoint) = address::listen_udp("127.0.0.1", 0).expect("works");
        let client = UdpSocket::bind("127.0.0.1:0").expect("works");
        client.connect(endpoint.address()).expect("works");
        client.set_read_timeout(Some(WAIT)).expect("works");
        let ((to_opened, opened), (to_said, said)) = (channel(), channel());
        let echo = Echo { opened: to_opened, said: to_said, last: 0, due: None };
        let thread = DatagramThread::start(&Threads::default(), "echo", socket, echo).expect("works");
        Self { thread, client, opened, said }
    }

    fn send(&self, bytes: &[u8]) {
        self.client.send(bytes).expect("works");
    }

    #[track_caller]
    fn heard(&self) -> String {
        self.said.recv_timeout(WAIT).expect("nothing is said")
    }

    fn open(&self) -> Socket {
        self.send(b"open");
        self.opened.recv_timeout(WAIT).expect("no stream")
    }
}

/// Reads until so many bytes are there, or the end comes.
fn read(socket: &Socket, bytes: usize) -> Vec<u8> {
    let (mut out, mut buffer, until) = (Vec::new(), vec![0; 64 * 1024], Instant::now() + WAIT);
    while out.len() < bytes {
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => out.extend_from_slice(&buffer[..read]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            Err(e) => panic!("{e}"),
        }
    }
    out
}

#[test]
fn datagrams_are_answered_and_the_thread_ends() {
    let mut world = World::new();
    let mut buffer = [0; 100];
    for text in [&b"one"[..], b"", b"three"] {
        world.send(text);
        let bytes = world.client.recv(&mut buffer).expect("works");
        assert_eq!(&buffer[..bytes], text);
    }
    world.send(b"due");
    assert_eq!(world.heard(), "expired");
    world.thread.stop();
    assert_eq!(world.heard(), "stopped");
}

#[test]
fn streams_go_both_ways_and_end_from_both_ends() {
    let world = World::new();
    let first = world.open();
    world.send(b"write");
    assert_eq!(read(&first, 12), b"to the loops");
    drop(first);
    assert_eq!(world.heard(), "1 closed");
    let second = world.open();
    world.send(b"close");
    assert_eq!(read(&second, 100), b"the last");
    // What is closed here is not heard of.
    drop(second);
    let third = world.open();
    drop(third);
    assert_eq!(world.heard(), "3 closed");
}

#[test]
fn a_stream_that_does_not_take_what_is_sent_is_closed() {
    let world = World::new();
    let stream = world.open();
    world.send(b"flood");
    assert_eq!(world.heard(), "1 closed");
    let read = read(&stream, usize::MAX);
    assert!(!read.is_empty() && read.len() < 40 * 64 * 1024, "{} bytes", read.len());
}
