//! One end of a connection in memory, in the place of a socket. Clones are the same end.

use dialtone_net::Carrier;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Debug, Default)]
pub struct State {
    pub incoming: Vec<u8>,
    /// Nothing comes behind that.
    pub is_over: bool,
    pub outgoing: Vec<u8>,
    /// The server has closed it.
    pub is_closed: bool,
    /// Nothing is taken from the server.
    pub is_full: bool,
}

#[derive(Clone, Debug)]
pub struct Wire {
    number: RawFd,
    state: Arc<Mutex<State>>,
}

impl Wire {
    pub fn new(number: RawFd) -> Self {
        Self { number, state: Arc::default() }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panicked with it")
    }
}

impl Carrier for Wire {
    fn number(&self) -> RawFd {
        self.number
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        if state.incoming.is_empty() && state.is_over {
            return Ok(0);
        }
        if state.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = buffer.len().min(state.incoming.len());
        buffer[..taken].copy_from_slice(&state.incoming[..taken]);
        state.incoming.drain(..taken);
        Ok(taken)
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state();
        if state.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if state.is_full {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        slices.iter().for_each(|slice| state.outgoing.extend_from_slice(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn shutdown(&self, how: Shutdown) {
        if how != Shutdown::Read {
            self.state().is_closed = true;
        }
    }
}
