//! Connections that this server makes, to whatever other servers: each has a number of its own among those of its kind, and both
//! together are the number of its [`Dial`].

use crate::policy::ListenerKind;
use dialtone_net::{ClientTls, Dial, Loops};
use parking_lot::Mutex;
use std::io;
use std::net::ToSocketAddrs;
use std::time::Duration;

/// Bits of the number; the kind stands above them.
const NUMBER_BITS: u32 = 56;

/// What makes connections.
pub(crate) trait Dials {
    /// Connects. What comes of it is reported to a loop's handler.
    fn dial(&self, dial: Dial);
}

impl Dials for Mutex<Loops> {
    fn dial(&self, dial: Dial) {
        self.lock().dial(dial);
    }
}

/// A connection that is made, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialed {
    /// What it is called, as those that others make.
    pub(crate) kind: ListenerKind,
    /// Which one. Whoever wants it counts.
    pub(crate) number: u64,
}

impl Dialed {
    fn packed(self) -> u64 {
        (self.kind.number() as u64) << NUMBER_BITS | self.number
    }

    /// By the number of its [`Dial`].
    pub(crate) fn unpacked(packed: u64) -> Option<Self> {
        let kind = ListenerKind::numbered((packed >> NUMBER_BITS) as usize)?;
        Some(Self { kind, number: packed & ((1 << NUMBER_BITS) - 1) })
    }

    /// Looks the host up, which may take long, and has the event loops connect, with TLS at once if there is some. What comes of it is reported to them.
    ///
    /// # Errors
    /// The host is not known.
    pub(crate) fn begin(
        self,
        dialer: &dyn Dials,
        (host, port): (&str, u16),
        tls: Option<ClientTls>,
        timeout: Duration,
    ) -> io::Result<()> {
        let addresses = (host, port).to_socket_addrs()?.collect();
        dialer.dial(Dial { number: self.packed(), addresses, timeout, tls });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::LISTENERS;

    #[test]
    fn numbers_of_different_kinds_differ_and_lead_back() {
        for kind in LISTENERS.iter().map(|row| row.kind) {
            for number in [0, 1, 1 << 40] {
                let dialed = Dialed { kind, number };
                assert_eq!(Dialed::unpacked(dialed.packed()), Some(dialed));
            }
        }
        assert_eq!(Dialed::unpacked(u64::MAX), None);
    }
}
