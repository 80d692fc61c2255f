//! From the socket to the handler: one read a turn, through TLS where there is TLS.

use super::entry::{Entry, Life, Pause, Slot, Stage};
use super::poller::Poller;
use super::{EventLoop, UNKNOWN_READ_BYTES};
use crate::address::canonical;
use crate::handler::{Broken, Handler, Received};
use crate::proxy;
use crate::tls::{Decrypted, Tls};
use std::cmp::Reverse;
use std::io;

/// The first byte of a TLS handshake record.
const HANDSHAKE_RECORD: u8 = 0x16;
/// Bytes that are looked at where something else came than TLS.
const FIRST_BYTES_MAX: usize = 16;
/// Bytes that one decryption hands out at most.
const PLAIN_BUFFER_BYTES: usize = 64 * 1024;

impl<H: Handler, P: Poller> EventLoop<H, P> {
    /// Reads each ready connection once.
    pub(super) fn read_ready(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        for &token in &ready {
            self.read(token);
        }
        // Those with more to read were listed again meanwhile; the buffer of the old list is kept.
        ready.clear();
        ready.append(&mut self.ready);
        self.ready = ready;
    }

    /// Puts a connection into the list of the next turn if it may have more to read.
    pub(super) fn list(&mut self, token: usize) {
        if let Some(entry) = self.entry(token)
            && (entry.readable || !entry.undecoded.is_empty())
            && !entry.listed
            && entry.pause.is_none()
        {
            entry.listed = true;
            self.ready.push(token);
        }
    }

    fn read(&mut self, token: usize) {
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return self.drain(token) };
        entry.listed = false;
        if entry.pause.is_some() && matches!(entry.life, Life::Open) {
            return;
        }
        if !entry.undecoded.is_empty() {
            self.take_undecoded(token);
            return self.list(token);
        }
        if !entry.readable {
            return;
        }
        let encrypted =
            !matches!(entry.stage, Stage::Open) || (entry.link.has_layers() && entry.link.is_encrypted());
        let carries = entry.header_until.is_some() || !encrypted;
        let carried = if carries { entry.kept.carried() } else { 0 };
        if !entry.known {
            entry.known = self.handler.is_authenticated(&entry.connection);
        }
        let end = if entry.known { self.buffers.read.len() } else { carried + UNKNOWN_READ_BYTES };
        let Some(room) = self.buffers.read.get_mut(carried..end) else { return };
        let got = match entry.link.socket.read(room) {
            Ok(0) if entry.header_until.is_some() => {
                return self.broken(token, Broken::Proxy("the connection ended before it".into()));
            }
            Ok(0) => {
                let how = if entry.stage.needs_tls() { Broken::Tls("EOF".into()) } else { Broken::Eof };
                return self.broken(token, how);
            }
            Ok(got) => got,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                entry.readable = false;
                return;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return self.list(token),
            Err(e) if entry.stage.needs_tls() => return self.broken(token, Broken::Tls(e.to_string())),
            Err(e) => return self.broken(token, Broken::Read(e)),
        };
        // A short read emptied the socket, unless its end is behind it.
        entry.readable = got == room.len() || entry.read_closed;
        if matches!(entry.life, Life::Open) {
            if entry.header_until.is_some() {
                self.take_header(token, carried, got);
            } else {
                self.take(token, carried, got);
            }
        }
        self.list(token);
    }

    /// Bytes in the read buffer, behind what was carried over.
    fn take(&mut self, token: usize, carried: usize, got: usize) {
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
        if matches!(entry.stage, Stage::Open) && !entry.link.has_layers() {
            self.take_plain(token, carried, got);
        } else if matches!(entry.stage, Stage::Open) && !entry.link.is_encrypted() {
            self.take_framed(token, carried, got);
        } else {
            self.take_encrypted(token, got);
        }
    }

    /// Hands `got` plain bytes in the read buffer to the handler, behind what was left of the last read.
    pub(super) fn take_plain(&mut self, token: usize, carried: usize, got: usize) {
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
        let received = if entry.kept.join(&mut self.buffers.read, carried, got) {
            let input = self.buffers.read.get(..carried + got).unwrap_or_default();
            let received = self.handler.receive(&mut entry.connection, input);
            entry.kept.keep(input.get(received.used..).unwrap_or_default(), received.want);
            received
        } else {
            take_kept(&mut self.handler, entry)
        };
        self.pause(token, Pause::of(&received));
        self.begin_frames(token, received);
        self.schedule(token);
    }

    /// Hands what was left unused to the handler again.
    pub(super) fn retry_rest(&mut self, token: usize) {
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
        let received = take_kept(&mut self.handler, entry);
        self.pause(token, Pause::of(&received));
        self.begin_frames(token, received);
    }

    pub(super) fn pause(&mut self, token: usize, pause: Option<Pause>) {
        let Some(entry) = self.entry(token) else { return };
        entry.pause = pause;
        let serial = entry.serial;
        if let Some(Pause { until, .. }) = pause {
            self.timers.push(Reverse((until, token, serial)));
        }
    }

    /// Bytes of a connection that has TLS or waits for it.
    fn take_encrypted(&mut self, token: usize, got: usize) {
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
        if let Stage::Await { config, until, plain_allowed, greeted, .. } = &entry.stage {
            let begins = self.buffers.read.first() == Some(&HANDSHAKE_RECORD);
            let (until, greeted) = (*until, *greeted);
            if begins {
                match Tls::server(config.clone()) {
                    Ok(tls) => entry.link.begin_tls(tls),
                    Err(e) => return self.broken(token, Broken::Tls(e.to_string())),
                }
                entry.stage = Stage::Handshake { until, greeted };
            } else if *plain_allowed {
                entry.stage = Stage::Open;
                if !greeted {
                    self.handler.greet(&mut entry.connection);
                }
                return self.take_plain(token, 0, got);
            } else {
                let first = self.buffers.read.get(..got.min(FIRST_BYTES_MAX)).unwrap_or_default().to_vec();
                return self.broken(token, Broken::Plain(first));
            }
        }
        self.decrypt(token, got);
    }

    /// Decrypts `got` bytes in the read buffer and hands what they hold to the handler.
    fn decrypt(&mut self, token: usize, got: usize) {
        if self.buffers.plain.is_empty() {
            self.buffers.plain = vec![0; PLAIN_BUFFER_BYTES];
        }
        let mut start = 0;
        let mut pause = None;
        loop {
            let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
            let Some(mut layers) = entry.link.layers() else { return };
            let Some(tls) = layers.tls.as_mut() else { return };
            let mut input = self.buffers.read.get(start..got).unwrap_or_default();
            let was_handshaking = tls.is_handshaking();
            let decrypted = tls.read(&mut input, &mut self.buffers.plain);
            start = got - input.len();
            let handshake_over = was_handshaking && !tls.is_handshaking();
            let secured = handshake_over.then(|| tls.secured());
            // Handshake messages, tickets and alerts go out at once.
            let flushed = tls.flush(&entry.link.socket);
            let framed = layers.framer.is_some();
            drop(layers);
            if let Some(secured) = secured {
                // Who begins TLS itself has said what comes before.
                let greeted = !matches!(entry.stage, Stage::Handshake { greeted: false, .. });
                entry.stage = Stage::Open;
                self.handler.secured(&mut entry.connection, secured);
                if !greeted {
                    self.handler.greet(&mut entry.connection);
                }
            }
            match decrypted {
                Ok(Decrypted::Bytes(bytes)) if framed => {
                    let mut plain = std::mem::take(&mut self.buffers.plain);
                    self.decode(token, plain.get_mut(..bytes).unwrap_or_default());
                    self.buffers.plain = plain;
                    let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
                    pause = Pause::both(pause, entry.pause);
                }
                Ok(Decrypted::Bytes(bytes)) => {
                    let plain = self.buffers.plain.get(..bytes).unwrap_or_default();
                    entry.kept.append(plain);
                    let received = take_kept(&mut self.handler, entry);
                    self.begin_frames(token, received);
                    pause = Pause::both(pause, Pause::of(&received));
                }
                Ok(Decrypted::NeedsMore) => {
                    let failed = flushed.is_err_and(|e| e.kind() != io::ErrorKind::WouldBlock);
                    if failed {
                        return self.broken(token, Broken::Eof);
                    }
                    break;
                }
                Ok(Decrypted::Eof) => return self.broken(token, Broken::Eof),
                Err(e) => return self.broken(token, Broken::Tls(e.to_string())),
            }
        }
        self.pause(token, pause);
        self.schedule(token);
    }

    /// The first bytes of a connection that may come through a proxy: its header, or the protocol's own.
    fn take_header(&mut self, token: usize, carried: usize, got: usize) {
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
        let in_buffer = entry.kept.join(&mut self.buffers.read, carried, got);
        let joined = self.buffers.read.get(..carried + got).unwrap_or_default();
        let input = if in_buffer { joined } else { entry.kept.unused() };
        let bytes = input.len();
        let parsed = proxy::parse(input);
        let used = match parsed {
            Ok(None) => {
                if in_buffer {
                    entry.kept.keep(joined, 0);
                }
                return;
            }
            Ok(Some(header)) => {
                self.handler.proxied(&mut entry.connection, header.source.map(canonical));
                header.used
            }
            Err(proxy::NoHeader::Absent) => 0,
            Err(proxy::NoHeader::Bad(why)) => return self.broken(token, Broken::Proxy(why.into())),
        };
        entry.header_until = None;
        if in_buffer {
            self.buffers.read.copy_within(used..bytes, 0);
        } else if let Some(front) = self.buffers.read.get_mut(..bytes - used) {
            front.copy_from_slice(entry.kept.unused().get(used..).unwrap_or_default());
        }
        entry.kept.clear();
        if bytes > used {
            self.take(token, 0, bytes - used);
        }
    }
}

/// Hands a partial message that has grown, or messages that had to wait, to the handler.
pub(super) fn take_kept<H: Handler>(handler: &mut H, entry: &mut Entry<H::Connection>) -> Received {
    let received = handler.receive(&mut entry.connection, entry.kept.unused());
    entry.kept.note(&received);
    received
}
