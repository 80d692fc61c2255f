//! One peer, and what the library makes for it.

use dimpl::{Dtls, Output};
use std::sync::Arc;
use std::time::Instant;

/// A peer.
pub(super) struct Peer {
    dtls: Box<Dtls>,
    /// The number that its hello has.
    pub(super) random: [u8; 32],
    pub(super) begun: Instant,
    /// When something came from it.
    pub(super) heard: Instant,
    pub(super) timer: Option<Instant>,
    /// The handshake is over.
    pub(super) is_open: bool,
    /// Which user it has shown to be; before that, whose key it has named.
    pub(super) user: Option<Arc<str>>,
    certificate: Option<Vec<u8>>,
}

/// What the library made.
pub(super) enum Made<'a> {
    /// Something to send.
    Datagram(&'a [u8]),
    /// Something that came.
    Message(&'a [u8]),
    /// The handshake is over; the peer's certificate.
    Open(Option<Vec<u8>>),
    /// The peer leaves.
    Closed,
    /// Nothing more until then.
    Wait(Instant),
}

impl Peer {
    pub(super) fn new(dtls: Dtls, random: [u8; 32], now: Instant) -> Self {
        let (user, certificate) = (None, None);
        let dtls = Box::new(dtls);
        Self { dtls, random, begun: now, heard: now, timer: None, is_open: false, user, certificate }
    }

    /// Hands a datagram over. False: it is over with this peer.
    pub(super) fn take(&mut self, now: Instant, bytes: &[u8]) -> bool {
        self.heard = if self.is_open { now } else { self.heard };
        self.dtls.handle_timeout(now).is_ok() && self.dtls.handle_packet(bytes).is_ok()
    }

    /// Sends a message.
    pub(super) fn say(&mut self, now: Instant, bytes: &[u8]) -> bool {
        self.dtls.handle_timeout(now).is_ok() && self.dtls.send_application_data(bytes).is_ok()
    }

    /// A deadline has come.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        self.dtls.handle_timeout(now).is_ok()
    }

    /// Leaves.
    pub(super) fn close(&mut self) -> bool {
        self.dtls.close().is_ok()
    }

    /// Drops what it would send. False: it made something else.
    pub(super) fn is_silenced(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            match self.next(buffer) {
                Made::Datagram(_) => {}
                Made::Wait(_) => return true,
                _ => return false,
            }
        }
    }

    /// What the library made next.
    pub(super) fn next<'a>(&mut self, buffer: &'a mut [u8]) -> Made<'a> {
        let (is_message, length) = loop {
            match self.dtls.poll_output(buffer) {
                Output::Packet(bytes) => break (false, bytes.len()),
                Output::ApplicationData(bytes) => break (true, bytes.len()),
                Output::PeerCert(certificate) => self.certificate = Some(certificate.to_vec()),
                Output::Connected => {
                    self.is_open = true;
                    return Made::Open(self.certificate.take());
                }
                // All that may come fits.
                Output::CloseNotify | Output::BufferTooSmall { .. } => return Made::Closed,
                Output::Timeout(at) => return Made::Wait(at),
                _ => {}
            }
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        if is_message { Made::Message(bytes) } else { Made::Datagram(bytes) }
    }
}
