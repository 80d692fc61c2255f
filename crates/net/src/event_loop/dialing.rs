//! Connecting to others: an address after the other, each for a bounded time.

use super::EventLoop;
use super::entry::Slot;
use super::poller::Poller;
use crate::dial::{Dial, DialError, Origin};
use crate::handler::Handler;
use crate::inbox::Arrival;
use crate::socket::Socket;
use crate::tls::{ClientTls, Tls};
use mio::Interest;
use mio::net::TcpStream;
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// A connection that is wanted, and how far it is.
struct Dialing {
    number: u64,
    left: VecDeque<SocketAddr>,
    timeout: Duration,
    tls: Option<ClientTls>,
    error: DialError,
}

/// An attempt that is under way.
pub(super) struct Attempt {
    dialing: Dialing,
    socket: TcpStream,
    address: SocketAddr,
    pub(super) until: Instant,
    pub(super) serial: u32,
}

impl<H: Handler, P: Poller> EventLoop<H, P> {
    pub(super) fn dial(&mut self, dial: Dial) {
        let Dial { number, addresses, timeout, tls } = dial;
        self.dial_next(Dialing { number, left: addresses.into(), timeout, tls, error: DialError::default() });
    }

    /// Tries the next address. Behind the last the handler hears why there is no connection.
    fn dial_next(&mut self, mut dialing: Dialing) {
        while let Some(address) = dialing.left.pop_front() {
            match self.begin(address) {
                Ok((socket, token)) => {
                    self.table.serial = self.table.serial.wrapping_add(1);
                    let (until, serial) = (self.now + dialing.timeout, self.table.serial);
                    self.timers.push(Reverse((until, token, serial)));
                    if let Some(slot) = self.table.slots.get_mut(token) {
                        *slot = Slot::Dialing(Attempt { dialing, socket, address, until, serial });
                    }
                    return;
                }
                Err(why) => dialing.error.tried.push((address, why)),
            }
        }
        self.handler.undialed(dialing.number, dialing.error);
    }

    /// Begins to connect. An event shows that it has come to something.
    fn begin(&mut self, address: SocketAddr) -> io::Result<(TcpStream, usize)> {
        let socket = TcpStream::connect(address)?;
        let token = self.free_token();
        let fd = socket.as_raw_fd();
        if let Err(why) = self.poll.register(fd, token, Interest::WRITABLE) {
            self.table.free.push(token);
            return Err(why);
        }
        Ok((socket, token))
    }

    /// A place in the table.
    pub(super) fn free_token(&mut self) -> usize {
        self.table.free.pop().unwrap_or_else(|| {
            self.table.slots.push(Slot::Free);
            self.table.slots.len() - 1
        })
    }

    /// Something has come of an attempt, or nothing yet.
    pub(super) fn dialed(&mut self, token: usize) {
        let Some(Slot::Dialing(attempt)) = self.table.slots.get_mut(token) else { return };
        let socket = &attempt.socket;
        let connected = match socket.take_error() {
            Ok(Some(why)) | Err(why) => Err(why),
            Ok(None) if socket.peer_addr().is_err() => return,
            // Without it small messages would wait for the peer's next acknowledgement.
            Ok(None) => socket.set_nodelay(true),
        };
        if let Err(why) = connected {
            return self.dial_failed(token, why);
        }
        let begun = attempt.dialing.tls.as_ref().map(|tls| Ok((Tls::client(tls)?, tls.timeout))).transpose();
        let tls = match begun {
            Ok(tls) => tls,
            Err(why) => return self.dial_failed(token, io::Error::other::<rustls::Error>(why)),
        };
        let Some(Attempt { dialing, socket, address, .. }) = self.take_attempt(token) else { return };
        let (socket, origin) = (Socket::Tcp(socket), Origin::Dialed(dialing.number));
        self.open(Arrival { socket, remote: Some(address), origin, proxy_header: None, tls });
    }

    /// An attempt has failed, or took too long.
    pub(super) fn dial_failed(&mut self, token: usize, why: io::Error) {
        let Some(Attempt { mut dialing, address, .. }) = self.take_attempt(token) else { return };
        dialing.error.tried.push((address, why));
        self.dial_next(dialing);
    }

    /// Nobody wants the connection any more. One that is there already is ended by its own handler.
    pub(super) fn cancel(&mut self, number: u64) {
        let is_its =
            |slot: &Slot<_>| matches!(slot, Slot::Dialing(attempt) if attempt.dialing.number == number);
        if let Some(token) = self.table.slots.iter().position(is_its) {
            // Its socket closes here.
            drop(self.take_attempt(token));
        }
    }

    fn take_attempt(&mut self, token: usize) -> Option<Attempt> {
        let slot = self.table.slots.get_mut(token)?;
        match std::mem::replace(slot, Slot::Free) {
            Slot::Dialing(attempt) => {
                self.poll.deregister(attempt.socket.as_raw_fd());
                self.table.free.push(token);
                Some(attempt)
            }
            other => {
                *slot = other;
                None
            }
        }
    }
}
