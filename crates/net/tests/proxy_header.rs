//! A PROXY header must come whole within its time.

#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use dialtone_net::address;
use dialtone_net::{
    Accepted, Broken, Closing, DialError, Handler, Link, Listener, Loops, Received, Secured, Settings,
    Threads, Transport,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};
use waiting::Bounded;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq)]
enum Seen {
    Source(Option<SocketAddr>),
    Bytes(Vec<u8>),
    BadHeader,
    Gone,
}

struct Watcher(Sender<Seen>);

impl Watcher {
    fn tell(&self, seen: Seen) {
        self.0.send(seen).expect("the test listens");
    }
}

impl Handler for Watcher {
    type Connection = Arc<Link>;
    type Post = ();

    fn begin(&mut self, _: Instant) {}

    fn open(&mut self, accepted: Accepted) -> Option<(Arc<Link>, Transport)> {
        assert!(accepted.may_be_proxied);
        Some((accepted.link, Transport::Plain))
    }

    fn undialed(&mut self, _: u64, _: DialError) {}

    fn posted(&mut self, (): ()) {}

    fn greet(&mut self, _: &mut Arc<Link>) {}

    fn proxied(&mut self, _: &mut Arc<Link>, source: Option<SocketAddr>) {
        self.tell(Seen::Source(source));
    }

    fn secured(&mut self, _: &mut Arc<Link>, _: Secured) {}

    fn receive(&mut self, _: &mut Arc<Link>, input: &[u8]) -> Received {
        self.tell(Seen::Bytes(input.to_vec()));
        Received { used: input.len(), ..Received::default() }
    }

    fn is_authenticated(&self, _: &Arc<Link>) -> bool {
        true
    }

    fn deadline(&self, _: &Arc<Link>) -> Option<Instant> {
        None
    }

    fn expire(&mut self, _: &mut Arc<Link>) {}

    fn flush(&mut self, _: &mut Arc<Link>) -> bool {
        false
    }

    fn woken(&mut self, _: &mut Arc<Link>) -> bool {
        false
    }

    fn closing(&self, _: &Arc<Link>) -> Option<Closing> {
        None
    }

    fn broken(&mut self, _: &mut Arc<Link>, how: Broken) {
        if matches!(how, Broken::Proxy(_)) {
            self.tell(Seen::BadHeader);
        }
    }

    fn closed(&mut self, _: Arc<Link>) {
        self.tell(Seen::Gone);
    }

    fn finish(&mut self) -> bool {
        false
    }

    fn idle(&mut self) {}
}

/// Loops that give a header this time, and a connection to them.
fn connect(timeout: Duration) -> (Loops, TcpStream, Receiver<Seen>) {
    let (sender, seen) = mpsc::channel();
    let loops = Loops::start(&Threads::default(), Settings { loops: 1 }, move |_| Watcher(sender.clone()));
    let loops = loops.expect("loops");
    let (socket, endpoint) = address::listen("127.0.0.1", 0).expect("listen");
    loops.listen(Listener::tcp(0, socket).proxy_header(timeout));
    (loops, TcpStream::connect(endpoint.address()).expect("connect").bounded(), seen)
}

#[track_caller]
fn check_stalls(sent: &[u8]) {
    let (mut loops, mut peer, seen) = connect(Duration::from_millis(20));
    peer.write_all(sent).expect("write");
    assert_eq!(seen.recv_timeout(PATIENCE), Ok(Seen::BadHeader));
    assert_eq!(seen.recv_timeout(PATIENCE), Ok(Seen::Gone));
    assert_eq!(peer.read(&mut [0]).unwrap_or(0), 0, "the connection is closed");
    loops.stop();
}

#[test]
fn a_header_that_does_not_come_closes_the_connection() {
    check_stalls(b"");
}

#[test]
fn a_header_that_stays_partial_closes_the_connection() {
    check_stalls(b"PROXY TCP4 1.2.3.4");
    check_stalls(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01");
}

#[test]
fn a_whole_header_ends_its_time() {
    let (mut loops, mut peer, seen) = connect(PATIENCE);
    peer.write_all(b"PROXY TCP4 1.2.3.4 5.6.7.8 10 20\r\nhello").expect("write");
    assert_eq!(seen.recv_timeout(PATIENCE), Ok(Seen::Source(Some(([1, 2, 3, 4], 10).into()))));
    assert_eq!(seen.recv_timeout(PATIENCE), Ok(Seen::Bytes(b"hello".into())));
    loops.stop();
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_one_of_ipv4() {
    let (mut loops, mut peer, seen) = connect(PATIENCE);
    peer.write_all(b"PROXY TCP6 ::ffff:1.2.3.4 ::1 10 20\r\nhello").expect("write");
    assert_eq!(seen.recv_timeout(PATIENCE), Ok(Seen::Source(Some(([1, 2, 3, 4], 10).into()))));
    loops.stop();
}

#[test]
fn what_is_no_header_ends_its_time_too() {
    let timeout = Duration::from_millis(20);
    let (mut loops, mut peer, seen) = connect(timeout);
    peer.write_all(b"h").expect("write");
    assert_eq!(seen.recv_timeout(PATIENCE), Ok(Seen::Bytes(b"h".into())));
    // Nothing happens when the time is over.
    assert_eq!(seen.recv_timeout(timeout * 5), Err(mpsc::RecvTimeoutError::Timeout));
    loops.stop();
}
