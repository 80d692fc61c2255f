//! One end of a simulated link, in the place of a socket.

use dialtone_net::Carrier;
use dialtone_sim::link::End;
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::sync::Arc;

#[derive(Debug, Default)]
struct Incoming {
    bytes: Vec<u8>,
    is_over: bool,
}

/// Clones are the same end.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    end: End,
    incoming: Arc<Mutex<Incoming>>,
}

impl Wire {
    pub fn new(end: End) -> Self {
        Self { end, incoming: Arc::default() }
    }

    /// Bytes came.
    pub fn arrive(&self, bytes: &[u8]) {
        self.incoming.lock().bytes.extend_from_slice(bytes);
    }

    /// Nothing comes behind what is there.
    pub fn end(&self) {
        self.incoming.lock().is_over = true;
    }
}

impl Carrier for Wire {
    fn number(&self) -> RawFd {
        self.end.number() as RawFd
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut incoming = self.incoming.lock();
        if incoming.bytes.is_empty() {
            return if incoming.is_over { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let taken = buffer.len().min(incoming.bytes.len());
        buffer[..taken].copy_from_slice(&incoming.bytes[..taken]);
        incoming.bytes.drain(..taken);
        Ok(taken)
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.end.write(slices)
    }

    fn shutdown(&self, how: Shutdown) {
        if how != Shutdown::Read {
            self.end.close();
        }
    }
}
