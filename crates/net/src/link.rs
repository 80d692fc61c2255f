//! A connection as any thread may use it: to write to it, and to wake the loop that owns it.

use crate::framing::{Below, Decoded, Framer, Framing};
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

/// What stands between the socket and the protocol: TLS, and framing above it. One lock for all, so that whoever writes frames and
/// encrypts.
#[derive(Default)]
pub(crate) struct Layers {
    pub(crate) tls: Option<Tls>,
    /// Framing of frames: it carries what `framer` writes. Only where there is a framer.
    lower: Option<Framer>,
    pub(crate) framer: Option<Framer>,
}

/// What carries the bytes that a framer writes.
struct Ground<'a> {
    tls: &'a mut Option<Tls>,
    lower: &'a mut Option<Framer>,
    socket: &'a Socket,
}

impl Ground<'_> {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self { tls, lower, socket } = self;
        match lower {
            Some(lower) => lower.write(slices, &mut |slices| write_below(tls, socket, slices)),
            None => write_below(tls, socket, slices),
        }
    }

    /// Hands what waits in the lower framing to `take`, with what is below that.
    fn with_lower(&mut self, take: impl FnOnce(&mut Framer, Below<'_>) -> io::Result<()>) -> io::Result<()> {
        let Self { tls, lower, socket } = self;
        lower.as_mut().map_or(Ok(()), |lower| take(lower, &mut |slices| write_below(tls, socket, slices)))
    }
}

/// Writes to TLS, or to the socket.
fn write_below(tls: &mut Option<Tls>, socket: &Socket, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match tls {
        Some(tls) => tls.write(slices, socket),
        None => socket.write(slices),
    }
}

impl Layers {
    fn parts<'a>(&'a mut self, socket: &'a Socket) -> (Option<&'a mut Framer>, Ground<'a>) {
        let Self { tls, lower, framer } = self;
        (framer.as_mut(), Ground { tls, lower, socket })
    }

    fn write(&mut self, slices: &[IoSlice<'_>], socket: &Socket) -> io::Result<usize> {
        match self.parts(socket) {
            (Some(framer), mut ground) => framer.write(slices, &mut |slices| ground.write(slices)),
            (None, mut ground) => ground.write(slices),
        }
    }

    /// Writes what waits here. `WouldBlock` if something still does.
    pub(crate) fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        let (framer, mut ground) = self.parts(socket);
        if let Some(framer) = framer {
            framer.flush(&mut |slices| ground.write(slices))?;
        }
        ground.with_lower(Framer::flush)?;
        self.tls.as_mut().map_or(Ok(()), |tls| tls.flush(socket))
    }

    /// Tells the peer that nothing more comes.
    fn goodbye(&mut self, socket: &Socket) {
        let (framer, mut ground) = self.parts(socket);
        if let Some(framer) = framer {
            framer.goodbye(&mut |slices| ground.write(slices));
        }
        // The peer may be gone; then it does not miss a goodbye.
        let _ = ground.with_lower(|lower, below| {
            lower.goodbye(below);
            Ok(())
        });
        if let Some(tls) = &mut self.tls {
            tls.goodbye(socket);
        }
    }

    /// Decodes from the front of `input`, in place, as [`Framing::decode`] does. `None`: there is no framing.
    pub(crate) fn decode(&mut self, input: &mut [u8], extra: &mut Vec<u8>) -> Option<Decoded> {
        let Self { lower, framer, .. } = self;
        let upper = &mut framer.as_mut()?.framing;
        let Some(lower) = lower else { return Some(upper.decode(input, extra)) };
        let mut frames = Vec::new();
        let decoded = lower.framing.decode(input, &mut frames);
        frames.splice(..0, input.get(..decoded.plain).unwrap_or_default().iter().copied());
        let (mut rest, mut part, mut ended) = (frames.as_mut_slice(), Vec::new(), decoded.ended);
        while !rest.is_empty() {
            let above = upper.decode(rest, &mut part);
            extra.extend_from_slice(rest.get(..above.plain).unwrap_or_default());
            extra.append(&mut part);
            if above.ended.is_some() {
                ended = above.ended;
                break;
            }
            rest = rest.get_mut(above.used..).unwrap_or_default();
        }
        Some(Decoded { used: decoded.used, plain: 0, ended })
    }

    fn begin_framing_behind(&mut self, framing: Box<dyn Framing>, unwritten_bytes: usize) -> bool {
        match &self.framer {
            None => self.framer = Some(Framer::behind(framing, unwritten_bytes)),
            Some(upper) if unwritten_bytes == 0 && self.lower.is_none() => {
                self.lower = Some(Framer::behind(framing, upper.unwritten()));
            }
            Some(_) => return false,
        }
        true
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

    /// Writes the first bytes of a connection, which a socket that nothing was written to takes whole. False: it did not.
    pub fn write_first(&self, bytes: &[u8]) -> bool {
        self.write(&[IoSlice::new(bytes)]).is_ok_and(|written| written == bytes.len())
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
    ///
    /// Where bytes are framed already this framing carries those frames, and nothing may wait: how many frames it would be is not known.
    /// False, and nothing has begun, if something does, or if frames are carried so already.
    #[must_use]
    pub fn begin_framing_behind(&self, framing: Box<dyn Framing>, unwritten_bytes: usize) -> bool {
        self.layers.get_or_init(Mutex::default).lock().begin_framing_behind(framing, unwritten_bytes)
    }

    /// What the last frame is to hold, where there is framing and it has not said its own.
    pub fn set_farewell(&self, payload: Vec<u8>) {
        if let Some(framer) = self.layers().as_mut().and_then(|layers| layers.framer.as_mut()) {
            framer.set_farewell(payload);
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
