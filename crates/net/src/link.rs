//! A connection as any thread may use it: to write to it, and to wake the loop that owns it.

use crate::framing::{Framer, Framing};
use crate::inbox::{Inboxes, Place};
use crate::socket::Socket;
use crate::tls::{ClientTls, Tls};
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
    layers: OnceLock<Mutex<Layers>>,
}

/// What stands between the socket and the protocol: TLS, and framing above it. One lock for both, so that whoever writes frames and
/// encrypts.
#[derive(Default)]
pub(crate) struct Layers {
    pub(crate) tls: Option<Tls>,
    pub(crate) framer: Option<Framer>,
}

impl Layers {
    fn write(&mut self, slices: &[IoSlice<'_>], socket: &Socket) -> io::Result<usize> {
        let Self { tls, framer } = self;
        let mut below = |slices: &[IoSlice<'_>]| match tls {
            Some(tls) => tls.write(slices, socket),
            None => socket.write(slices),
        };
        match framer {
            Some(framer) => framer.write(slices, &mut below),
            None => below(slices),
        }
    }

    /// Writes what waits here. `WouldBlock` if something still does.
    pub(crate) fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        let Self { tls, framer } = self;
        if let Some(framer) = framer {
            framer.flush(&mut |slices| match tls {
                Some(tls) => tls.write(slices, socket),
                None => socket.write(slices),
            })?;
        }
        tls.as_mut().map_or(Ok(()), |tls| tls.flush(socket))
    }

    /// Tells the peer that nothing more comes.
    fn goodbye(&mut self, socket: &Socket) {
        let Self { tls, framer } = self;
        if let Some(framer) = framer {
            framer.goodbye(&mut |slices| match tls {
                Some(tls) => tls.write(slices, socket),
                None => socket.write(slices),
            });
        }
        if let Some(tls) = tls {
            tls.goodbye(socket);
        }
    }
}

impl Link {
    pub(crate) fn new(socket: Socket, inboxes: Arc<Inboxes>, place: Place) -> Arc<Self> {
        Arc::new(Self {
            socket,
            inboxes,
            place,
            wake_pending: AtomicBool::new(false),
            layers: OnceLock::new(),
        })
    }

    /// Writes as many bytes as go at once. Callers take turns by a lock of their own.
    pub fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.layers.get() {
            None => self.socket.write(slices),
            Some(layers) => layers.lock().write(slices, &self.socket),
        }
    }

    /// Writes what TLS and framing still hold. `WouldBlock` if they hold more.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.layers.get().map_or(Ok(()), |layers| layers.lock().flush(&self.socket))
    }

    /// Whether anything stands between the socket and the protocol.
    pub(crate) fn has_layers(&self) -> bool {
        self.layers.get().is_some()
    }

    /// What stands between, if anything does.
    pub(crate) fn layers(&self) -> Option<parking_lot::MutexGuard<'_, Layers>> {
        self.layers.get().map(Mutex::lock)
    }

    /// Whether TLS has begun.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.layers().is_some_and(|layers| layers.tls.is_some())
    }

    /// From here on bytes are encrypted. Called once, before anything else stands between.
    pub(crate) fn begin_tls(&self, tls: Tls) {
        self.layers.get_or_init(Mutex::default).lock().tls = Some(tls);
    }

    /// From here on bytes are encrypted, with this as the end that connected: the handshake begins at once. Called by the handler, when
    /// nothing waits to be written and all that came in is used. [`crate::Handler::secured`] says when TLS is up; until then
    /// nothing that is written leaves.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn begin_client_tls(&self, tls: &ClientTls) -> Result<(), rustls::Error> {
        self.begin_tls(Tls::client(tls)?);
        // If the socket takes no more, it goes when it does.
        let _ = self.flush();
        Ok(())
    }

    /// From here on bytes are framed, behind `first`, which goes before them as it is. Called by the handler in
    /// [`crate::Handler::receive`], when nothing waits to be written and all that came in is used.
    pub fn begin_framing(&self, framing: Box<dyn Framing>, first: Vec<u8>) {
        let mut layers = self.layers.get_or_init(Mutex::default).lock();
        layers.framer = Some(Framer::new(framing, first));
        // If the socket takes no more, it goes with what follows.
        let _ = layers.flush(&self.socket);
    }

    /// Bytes are framed behind those that the handler uses of what came in, and behind `unwritten_bytes` that wait for [`Link::write`].
    /// Called by the handler in [`crate::Handler::receive`], which answers with [`crate::Received::begins_framing`].
    pub fn begin_framing_behind(&self, framing: Box<dyn Framing>, unwritten_bytes: usize) {
        let mut layers = self.layers.get_or_init(Mutex::default).lock();
        layers.framer = Some(Framer::behind(framing, unwritten_bytes));
    }

    /// What the last frame is to be, where there is framing and it has not said its own.
    pub fn set_farewell(&self, frame: Vec<u8>) {
        if let Some(framer) = self.layers().as_mut().and_then(|layers| layers.framer.as_mut()) {
            framer.set_farewell(frame);
        }
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn goodbye(&self) {
        if let Some(mut layers) = self.layers() {
            layers.goodbye(&self.socket);
        }
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
