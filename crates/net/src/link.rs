//! A connection as any thread may use it: to write to it, and to call the loop that owns it.

use crate::inbox::Inboxes;
use crate::tls::Tls;
use parking_lot::Mutex;
use std::cell::Cell;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

thread_local! {
    /// The loop that this thread runs.
    static CURRENT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Says that this thread runs a loop.
pub(crate) fn this_thread_runs(index: usize) {
    CURRENT.set(index);
}

/// A stream socket, non-blocking.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(mio::net::TcpStream),
    /// A Unix-domain socket.
    Unix(mio::net::UnixStream),
}

impl Socket {
    /// Two ends of one connection inside this process: one for the loops, and one that blocks.
    ///
    /// Errors: there are no more file descriptors.
    pub fn pair() -> io::Result<(Self, std::os::unix::net::UnixStream)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((Self::Unix(mio::net::UnixStream::from_std(ours)), theirs))
    }

    /// Reads what is there.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => (&mut &*socket).read(buffer),
            Self::Unix(socket) => (&mut &*socket).read(buffer),
        }
    }

    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            (Self::Tcp(socket), [one]) => (&mut &*socket).write(one),
            (Self::Tcp(socket), _) => (&mut &*socket).write_vectored(slices),
            (Self::Unix(socket), [one]) => (&mut &*socket).write(one),
            (Self::Unix(socket), _) => (&mut &*socket).write_vectored(slices),
        }
    }

    fn shutdown(&self, how: Shutdown) {
        // The peer may be gone already, which is what was wanted.
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown(how),
            Self::Unix(socket) => socket.shutdown(how),
        };
    }

    /// This end's address, for TCP.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(socket) => socket.as_raw_fd(),
            Self::Unix(socket) => socket.as_raw_fd(),
        }
    }
}

/// A connection, shared by its owner loop and all who write to it.
pub struct Link {
    pub(crate) socket: Socket,
    inboxes: Arc<Inboxes>,
    /// The loop that owns it, and its place there. Written by the owner only.
    owner: AtomicUsize,
    token: AtomicUsize,
    /// A call that the owner has not answered yet; there is never more than one.
    wake_pending: AtomicBool,
    tls: OnceLock<Mutex<Tls>>,
}

impl Link {
    pub(crate) fn new(socket: Socket, inboxes: Arc<Inboxes>, owner: usize, token: usize) -> Arc<Self> {
        Arc::new(Self {
            socket,
            inboxes,
            owner: AtomicUsize::new(owner),
            token: AtomicUsize::new(token),
            wake_pending: AtomicBool::new(false),
            tls: OnceLock::new(),
        })
    }

    /// Writes as many bytes as go at once. Callers take turns by a lock of their own.
    pub fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.tls.get() {
            None => self.socket.write(slices),
            Some(tls) => tls.lock().write(slices, &self.socket),
        }
    }

    /// Writes what TLS still holds. `WouldBlock` if it holds more.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.tls.get().map_or(Ok(()), |tls| tls.lock().flush(&self.socket))
    }

    /// Whether TLS has begun.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.get().is_some()
    }

    /// TLS, once it has begun.
    pub(crate) fn tls(&self) -> Option<parking_lot::MutexGuard<'_, Tls>> {
        self.tls.get().map(Mutex::lock)
    }

    /// From here on bytes are encrypted. Called once.
    pub(crate) fn begin_tls(&self, tls: Tls) {
        let _ = self.tls.set(Mutex::new(tls));
    }

    /// Calls the owner, from any thread: it will ask the handler what is to be done.
    pub fn wake_owner(self: &Arc<Self>) {
        if !self.wake_pending.swap(true, Ordering::AcqRel) {
            let owner = self.owner.load(Ordering::Acquire);
            self.inboxes.wake(owner, self.clone(), owner != CURRENT.get());
        }
    }

    /// This end's address, for TCP.
    pub fn local(&self) -> Option<SocketAddr> {
        self.socket.local()
    }

    /// The place in the owner's table. The call is answered: a later one is a new one.
    pub(crate) fn acknowledge_wake(&self) -> (usize, usize) {
        self.wake_pending.store(false, Ordering::Release);
        (self.owner.load(Ordering::Acquire), self.token.load(Ordering::Acquire))
    }

    pub(crate) fn shutdown(&self, how: Shutdown) {
        self.socket.shutdown(how);
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("socket", &self.socket).finish_non_exhaustive()
    }
}
