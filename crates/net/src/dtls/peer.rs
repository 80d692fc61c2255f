//! One peer, and what the library makes for it. Should it panic at what the peer sent, it is over with this peer alone.

use crate::threads::contained;
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

/// The same with lengths of what stands in the buffer.
enum Said {
    Datagram(usize),
    Message(usize),
    Certificate(Vec<u8>),
    Open,
    Wait(Instant),
    Else,
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
        contained(|| self.dtls.handle_timeout(now).is_ok() && self.dtls.handle_packet(bytes).is_ok())
            .unwrap_or(false)
    }

    /// Sends a message.
    pub(super) fn say(&mut self, now: Instant, bytes: &[u8]) -> bool {
        contained(|| self.dtls.handle_timeout(now).is_ok() && self.dtls.send_application_data(bytes).is_ok())
            .unwrap_or(false)
    }

    /// A deadline has come.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        contained(|| self.dtls.handle_timeout(now).is_ok()).unwrap_or(false)
    }

    /// Leaves.
    pub(super) fn close(&mut self) -> bool {
        contained(|| self.dtls.close().is_ok()).unwrap_or(false)
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
        loop {
            let said = contained(|| match self.dtls.poll_output(buffer) {
                Output::Packet(bytes) => Some(Said::Datagram(bytes.len())),
                Output::ApplicationData(bytes) => Some(Said::Message(bytes.len())),
                Output::PeerCert(certificate) => Some(Said::Certificate(certificate.to_vec())),
                Output::Connected => Some(Said::Open),
                // All that may come fits.
                Output::CloseNotify | Output::BufferTooSmall { .. } => None,
                Output::Timeout(at) => Some(Said::Wait(at)),
                _ => Some(Said::Else),
            });
            match said.flatten() {
                Some(Said::Datagram(length)) => {
                    return Made::Datagram(buffer.get(..length).unwrap_or_default());
                }
                Some(Said::Message(length)) => {
                    return Made::Message(buffer.get(..length).unwrap_or_default());
                }
                Some(Said::Certificate(certificate)) => self.certificate = Some(certificate),
                Some(Said::Open) => {
                    self.is_open = true;
                    return Made::Open(self.certificate.take());
                }
                Some(Said::Wait(at)) => return Made::Wait(at),
                Some(Said::Else) => {}
                None => return Made::Closed,
            }
        }
    }
}
