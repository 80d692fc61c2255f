//! Reading from connections whose protocol comes in frames.
//!
//! Frames are decoded where they were read, and few of them at a time may hold very much: what a turn does not get to, or what a
//! connection that pauses must wait for, is kept as it came.

use super::entry::{Life, Pause, Slot};
use super::poller::Poller;
use super::reading::take_kept;
use super::{EventLoop, READ_BUFFER_BYTES};
use crate::framing::{Decoded, Ended};
use crate::handler::{Broken, Handler, Received};

/// Room for what comes out of frames that is kept for the next connection.
const EXTRA_ROOM_BYTES: usize = READ_BUFFER_BYTES;

impl<H: Handler, P: Poller> EventLoop<H, P> {
    /// Decodes `got` bytes in the read buffer, behind room for what was left of the last read.
    pub(super) fn take_framed(&mut self, token: usize, carried: usize, got: usize) {
        let end = carried + got;
        let mut buffer = std::mem::take(&mut self.buffers.read);
        let first = self.decode_once(token, buffer.get_mut(carried..end).unwrap_or_default());
        self.buffers.read = buffer;
        let Some(mut decoded) = first else { return };
        // Where all that came is bytes of the protocol, they stand behind what was left of the last.
        if decoded.plain > 0 {
            self.take_plain(token, carried, decoded.plain);
        }
        if self.finish_step(token, &mut decoded) {
            let mut buffer = std::mem::take(&mut self.buffers.read);
            self.decode(token, buffer.get_mut(carried + decoded.used..end).unwrap_or_default());
            self.buffers.read = buffer;
        }
    }

    /// Framing may have begun in the middle of what came: what the handler left is looked at again then, as frames.
    #[inline]
    pub(super) fn begin_frames(&mut self, token: usize, received: Received) {
        if !received.begins_framing {
            return;
        }
        let Some(entry) = self.entry(token) else { return };
        entry.undecoded = entry.kept.unused().to_vec();
        entry.kept.clear();
        self.list(token);
    }

    /// Goes on with what was kept as it came.
    pub(super) fn take_undecoded(&mut self, token: usize) {
        let Some(entry) = self.entry(token) else { return };
        let mut input = std::mem::take(&mut entry.undecoded);
        if matches!(entry.life, Life::Open) {
            self.decode(token, &mut input);
        }
    }

    /// Decodes `input`, which no handler has seen, and hands what comes out to the handler; or keeps it.
    pub(super) fn decode(&mut self, token: usize, mut input: &mut [u8]) {
        let Some(entry) = self.entry(token) else { return };
        if !entry.undecoded.is_empty() {
            return entry.undecoded.extend_from_slice(input);
        }
        let mut out_bytes = 0;
        while !input.is_empty() {
            let Some(Slot::Open(open)) = self.table.slots.get(token) else { return };
            if self.handler.closing(&open.connection).is_some() {
                // What follows is not looked at any more.
                return;
            }
            let Some(entry) = self.entry(token) else { return };
            if entry.pause.is_some() || out_bytes > READ_BUFFER_BYTES || !entry.undecoded.is_empty() {
                entry.undecoded.extend_from_slice(input);
                break;
            }
            let Some(mut decoded) = self.decode_once(token, input) else { return };
            out_bytes += decoded.plain + self.buffers.extra.len();
            if decoded.plain > 0 {
                let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return };
                entry.kept.append(input.get(..decoded.plain).unwrap_or_default());
                let received = take_kept(&mut self.handler, entry);
                self.pause(token, Pause::of(&received));
                self.begin_frames(token, received);
            }
            if !self.finish_step(token, &mut decoded) {
                break;
            }
            input = input.get_mut(decoded.used..).unwrap_or_default();
        }
        self.schedule(token);
    }

    /// Decodes from the front of `input`; what could not stand in place is in `extra`.
    fn decode_once(&mut self, token: usize, input: &mut [u8]) -> Option<Decoded> {
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return None };
        let mut layers = entry.link.layers()?;
        let decoded = layers.decode(input, &mut self.buffers.extra)?;
        // An answer to a frame goes at once; if the socket takes no more, it goes with what follows.
        let _ = layers.flush(&entry.link.socket);
        Some(decoded)
    }

    /// Hands what could not stand in place to the handler, and ends the connection if nothing comes any more. False then.
    fn finish_step(&mut self, token: usize, decoded: &mut Decoded) -> bool {
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return false };
        if !self.buffers.extra.is_empty() {
            let received = if entry.kept.is_empty() {
                let received = self.handler.receive(&mut entry.connection, &self.buffers.extra);
                let rest = self.buffers.extra.get(received.used..).unwrap_or_default();
                entry.kept.keep(rest, received.want);
                received
            } else {
                entry.kept.append(&self.buffers.extra);
                take_kept(&mut self.handler, entry)
            };
            self.buffers.extra.clear();
            self.buffers.extra.shrink_to(EXTRA_ROOM_BYTES);
            self.pause(token, Pause::of(&received));
            self.begin_frames(token, received);
        }
        let Some(ended) = decoded.ended.take() else { return true };
        let Some(Slot::Open(entry)) = self.table.slots.get_mut(token) else { return false };
        entry.kept.clear();
        if matches!(entry.life, Life::Open) {
            // It asks for the end itself; what waits for the peer goes before that.
            let how = match ended {
                Ended::Closed => Broken::Eof,
                Ended::Broken(problem) => Broken::Framing(problem),
            };
            self.handler.broken(&mut entry.connection, how);
        }
        false
    }
}
