//! Listening, accepting, and a connection's first moments.

use super::entry::{Entry, Life, Slot, Stage};
use super::kept::Kept;
use super::poller::Poller;
use super::{ACCEPT_PAUSE, ACCEPTS_PER_TURN_MAX, EventLoop, LISTENERS};
use crate::dial::Origin;
use crate::handler::{Accepted, Handler};
use crate::inbox::{Arrival, Command, Place};
use crate::link::Link;
use crate::listener::Listener;
use crate::socket::Socket;
use mio::Interest;
use std::io;
use std::os::fd::AsRawFd;

impl<H: Handler, P: Poller> EventLoop<H, P> {
    pub(super) fn listen(&mut self, listener: Listener) {
        let place = self
            .accepting
            .listeners
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.accepting.listeners.len());
        let fd = listener.as_raw_fd();
        let token = LISTENERS + place;
        if self.poll.register(fd, token, Interest::READABLE).is_err() {
            return;
        }
        match self.accepting.listeners.get_mut(place) {
            Some(slot) => *slot = Some(listener),
            None => self.accepting.listeners.push(Some(listener)),
        }
        self.note_accepting(place);
    }

    pub(super) fn unlisten(&mut self, number: usize) {
        for slot in &mut self.accepting.listeners {
            if slot.as_ref().is_some_and(|l| l.number == number)
                && let Some(listener) = slot.take()
            {
                // The socket closes with the listener, whatever the poll says.
                self.poll.deregister(listener.as_raw_fd());
            }
        }
    }

    pub(super) fn note_accepting(&mut self, place: usize) {
        if !self.accepting.waiting.contains(&place) {
            self.accepting.waiting.push(place);
        }
    }

    /// Accepts what waits, a bounded number a turn. Without file descriptors it rests a moment and tries again.
    pub(super) fn accept(&mut self) {
        if self.accepting.waiting.is_empty() || self.accepting.again_at.is_some_and(|at| at > self.now) {
            return;
        }
        self.accepting.again_at = None;
        for place in std::mem::take(&mut self.accepting.waiting) {
            if self.accept_some(place) {
                self.accepting.waiting.push(place);
            }
        }
    }

    /// Accepts by one listener. True if more may wait.
    fn accept_some(&mut self, place: usize) -> bool {
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let Some(listener) = self.accepting.listeners.get(place).and_then(Option::as_ref) else {
                return false;
            };
            match listener.accept() {
                Ok((socket, remote)) => {
                    let (number, proxy_header) = (listener.number, listener.proxy_header);
                    let origin = Origin::Listener(number);
                    let arrival = Arrival { socket, remote, origin, proxy_header, tls: None };
                    let owner = self.mail.inboxes.with_fewest();
                    if owner == self.mail.index {
                        self.open(arrival);
                    } else {
                        self.mail.inboxes.send(owner, Command::Take(arrival));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                // The peer left before it was accepted; the next may still be there.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => {
                    self.accepting.again_at = Some(self.now + ACCEPT_PAUSE);
                    return true;
                }
            }
        }
        true
    }

    /// Watches a socket. False: the system refuses it.
    fn watch(&self, socket: &Socket, place: Place) -> bool {
        if let Socket::Pipe(pipe) = socket {
            let inboxes = self.mail.inboxes.clone();
            pipe.watch(move |signal| inboxes.signal(place, signal));
            return true;
        }
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.register(socket.as_raw_fd(), place.token, interest).is_ok()
    }

    /// Takes a connection over.
    pub(super) fn open(&mut self, arrival: Arrival) {
        let token = self.free_token();
        self.table.serial = self.table.serial.wrapping_add(1);
        let place = Place { owner: self.mail.index, token, serial: self.table.serial };
        let link = Link::new(arrival.socket, self.mail.inboxes.clone(), place);
        if !self.watch(&link.socket, place) {
            self.table.free.push(token);
            return;
        }
        let handshake_until = arrival.tls.map(|(tls, timeout)| {
            link.begin_tls(tls);
            // If the socket takes no more, it goes when it does.
            let _ = link.flush();
            self.now + timeout
        });
        let accepted = Accepted {
            link: link.clone(),
            remote: arrival.remote,
            origin: arrival.origin,
            may_be_proxied: arrival.proxy_header.is_some(),
            begins_tls: handshake_until.is_some(),
        };
        let Some((connection, transport)) = self.handler.open(accepted) else {
            self.table.free.push(token);
            return;
        };
        let (stage, greet) = match handshake_until {
            Some(until) => (Stage::Handshake { until, greeted: false }, false),
            None => Stage::of(transport, self.now),
        };
        let mut entry = Entry {
            link,
            connection,
            header_until: arrival.proxy_header.map(|timeout| self.now + timeout),
            stage,
            life: Life::Open,
            kept: Kept::default(),
            undecoded: Vec::new(),
            known: false,
            readable: false,
            listed: false,
            read_closed: false,
            pause: None,
            timer: None,
            serial: place.serial,
        };
        if greet {
            self.handler.greet(&mut entry.connection);
        }
        if let Some(slot) = self.table.slots.get_mut(token) {
            *slot = Slot::Open(entry);
        }
        self.table.open += 1;
        self.mail.inboxes.connections_changed(self.mail.index, self.table.open);
        self.schedule(token);
    }
}
