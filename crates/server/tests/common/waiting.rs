//! Waiting for what must come: for so long at most, and who waits in vain reports what for.
#![allow(dead_code, reason = "no test needs all of it")]

use std::fmt::Display;
use std::io::{BufRead, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// How long anything may take: long enough for any machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Tries without end, until patience has one: then it panics.
#[track_caller]
pub fn tries(what: impl Display) -> impl Iterator<Item = ()> {
    let (deadline, place) = (Instant::now() + PATIENCE, std::panic::Location::caller());
    let mut is_first = true;
    std::iter::repeat_with(move || {
        if !std::mem::take(&mut is_first) {
            assert!(Instant::now() < deadline, "waited in vain at {place}: {what}");
            std::thread::yield_now();
        }
    })
}

/// Waits until it is so.
#[track_caller]
pub fn wait_until(what: impl Display, mut is_so: impl FnMut() -> bool) {
    tries(what).find(|()| is_so());
}

/// What comes from another thread.
#[track_caller]
pub fn receive<T>(from: &Receiver<T>, what: &str) -> T {
    from.recv_timeout(PATIENCE).unwrap_or_else(|why| panic!("{what}: {why}"))
}

/// A stream that neither reads nor writes for ever.
pub trait Bounded {
    fn bounded(self) -> Self;
}

impl Bounded for TcpStream {
    fn bounded(self) -> Self {
        self.set_read_timeout(Some(PATIENCE)).expect("set");
        self.set_write_timeout(Some(PATIENCE)).expect("set");
        self
    }
}

impl Bounded for UnixStream {
    fn bounded(self) -> Self {
        self.set_read_timeout(Some(PATIENCE)).expect("set");
        self.set_write_timeout(Some(PATIENCE)).expect("set");
        self
    }
}

/// Whoever connects next.
#[track_caller]
pub fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("set");
    let accepted = tries("nobody connects").find_map(|()| match listener.accept() {
        Ok((stream, _)) => Some(stream),
        Err(why) if why.kind() == ErrorKind::WouldBlock => None,
        Err(why) => panic!("{why}"),
    });
    listener.set_nonblocking(false).expect("set");
    let stream = accepted.expect("tries have no end");
    stream.set_nonblocking(false).expect("set");
    stream.bounded()
}

pub trait NextLine {
    /// The next line, with its end. That there is none is an error.
    fn next_line(&mut self) -> String;

    /// The same, and `None` when the connection has ended.
    fn line_or_end(&mut self) -> Option<String>;
}

impl<R: BufRead> NextLine for R {
    #[track_caller]
    fn next_line(&mut self) -> String {
        self.line_or_end().expect("the connection ended")
    }

    #[track_caller]
    fn line_or_end(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line),
            Err(why) if why.kind() == ErrorKind::ConnectionReset => None,
            Err(why) => panic!("no line: {why}"),
        }
    }
}
