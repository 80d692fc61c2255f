//! A connection as any thread may use it: to write to it, and to wake the loop that owns it.

use crate::inbox::{Inboxes, Place};
use crate::socket::Socket;
use crate::tls::Tls;
use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A connection, shared by its owner loop and all who write to it.
pub struct Link {
    pub(crate) socket: Socket,
    inboxes: Arc<Inboxes>,
    /// Where its owner finds it.
    place: Place,
    /// The owner was woken and has not looked yet; there is never more than one wake-up under way.
    wake_pending: AtomicBool,
    tls: OnceLock<Mutex<Tls>>,
}

impl Link {
    pub(crate) fn new(socket: Socket, inboxes: Arc<Inboxes>, place: Place) -> Arc<Self> {
        Arc::new(Self { socket, inboxes, place, wake_pending: AtomicBool::new(false), tls: OnceLock::new() })
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

    /// Wakes the owner, from any thread: it will ask the handler what is to be done.
    pub fn wake_owner(&self) {
        if !self.wake_pending.swap(true, Ordering::AcqRel) {
            self.inboxes.wake(self.place);
        }
    }

    /// This end's address, for TCP.
    pub fn local(&self) -> Option<SocketAddr> {
        self.socket.local()
    }

    /// The owner looks: a later wake-up is another one.
    pub(crate) fn acknowledge_wake(&self) {
        self.wake_pending.store(false, Ordering::Release);
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
