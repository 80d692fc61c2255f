//! How connections end: what they were told is written, then nothing of them is left.

use super::entry::{Life, Lingering, Slot};
use super::poller::Poller;
use super::{EventLoop, FLUSH_BEFORE_CLOSE, LINGER};
use crate::handler::{Broken, Closing, Handler};
use crate::inbox::Place;
use crate::link::Link;
use std::cmp::Reverse;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;

impl<H: Handler, P: Poller> EventLoop<H, P> {
    /// A connection woke its owner: it wants to be closed, or to read on.
    pub(super) fn handle_wake(&mut self, place: Place) {
        let (now, token) = (self.now, place.token);
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
        if entry.serial != place.serial {
            return;
        }
        entry.link.acknowledge_wake();
        if !matches!(entry.life, Life::Open) {
            return;
        }
        let goes_on = self.handler.woken(&mut entry.connection);
        if goes_on || entry.pause.is_some_and(|pause| !pause.resumes) {
            entry.pause = None;
        }
        if goes_on && !entry.kept.is_empty() {
            self.retry_rest(token);
        }
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
        match self.handler.closing(&entry.connection) {
            None => {
                self.list(token);
                self.schedule(token);
            }
            Some(Closing::Now) => self.remove(token),
            Some(Closing::AfterFlush) => {
                // What the wake-up itself produced is still staged.
                self.finish();
                let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
                let held = entry.link.flush().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock);
                if self.handler.flush(&mut entry.connection) || held {
                    entry.life = Life::Flushing(now + FLUSH_BEFORE_CLOSE);
                    entry.timer = None;
                    self.schedule(token);
                } else {
                    self.linger(token);
                }
            }
        }
    }

    /// The protocol has ended: says that nothing more comes, and throws away what the peer still sends.
    pub(super) fn linger(&mut self, token: usize) {
        let until = self.now + LINGER;
        let Some(slot) = self.table.slots.get_mut(token) else { return };
        let Slot::Open(entry) = std::mem::replace(slot, Slot::Free) else { return };
        *slot = Slot::Lingering(Lingering { link: entry.link.clone(), until, serial: entry.serial });
        self.timers.push(Reverse((until, token, entry.serial)));
        self.ready.push(token);
        // It is counted out before its peer can notice the end.
        self.count_out(entry.connection);
        entry.link.goodbye();
        entry.link.shutdown(Shutdown::Write);
    }

    /// Reads what a lingering connection sends, and forgets it.
    pub(super) fn drain(&mut self, token: usize) {
        let Some(Slot::Lingering(lingering)) = self.table.slots.get_mut(token) else { return };
        match lingering.link.socket.read(&mut self.buffers.read) {
            Ok(got) if got > 0 => self.ready.push(token),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => self.remove(token),
        }
    }

    /// The other end is gone, or cannot be understood.
    pub(super) fn broken(&mut self, token: usize, how: Broken) {
        if let Some(Slot::Open(entry)) = self.table.slots.get_mut(token)
            && matches!(entry.life, Life::Open)
        {
            self.handler.broken(&mut entry.connection, how);
        }
        self.remove(token);
    }

    pub(super) fn remove(&mut self, token: usize) {
        let Some(slot) = self.table.slots.get_mut(token) else { return };
        match std::mem::replace(slot, Slot::Free) {
            Slot::Free => {}
            // Its socket closes with it.
            Slot::Dialing(_) => self.table.free.push(token),
            Slot::Lingering(lingering) => self.let_go(token, &lingering.link),
            Slot::Open(entry) => {
                self.let_go(token, &entry.link);
                self.count_out(entry.connection);
            }
        }
    }

    fn count_out(&mut self, connection: H::Connection) {
        self.table.open -= 1;
        self.mail.inboxes.connections_changed(self.mail.index, self.table.open);
        self.handler.closed(connection);
    }

    /// The socket closes when the last link goes, which another thread may hold a moment longer.
    fn let_go(&mut self, token: usize, link: &Link) {
        self.poll.deregister(link.socket.as_raw_fd());
        link.shutdown(Shutdown::Both);
        self.table.free.push(token);
    }

    pub(super) fn close_all(&mut self) {
        self.finish();
        for token in 0..self.table.slots.len() {
            self.remove(token);
        }
    }
}
