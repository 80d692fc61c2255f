//! Connections by WebSocket that others make: the upgrade that they begin with.
//!
//! It is a transport: behind the upgrade a client or a leaf node is like any other, and its bytes come out of frames.

mod upgrading;

pub(crate) use upgrading::Upgrading;

#[cfg(test)]
mod tests {
    use crate::policy::ListenerKind;
    use crate::registry::Session;
    use crate::share::Share;
    use dialtone_broker::kind::Kind;
    use dialtone_broker::outbox::Sink;
    use dialtone_broker::peer::{Basics, ClientId, Peer, Wake};
    use std::io::IoSlice;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Instant;

    struct Nowhere;

    impl Sink for Nowhere {
        fn write(&self, _: &[IoSlice<'_>]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::WouldBlock.into())
        }
    }

    impl Wake for Nowhere {
        fn wake(&self) {}
    }

    /// Anybody can send `X-Forwarded-For`: it must not give a share, or a place that a JWT asks for.
    #[test]
    fn a_forwarded_address_is_only_shown() {
        let (sink, wake) = (Arc::new(Nowhere), Box::new(Nowhere));
        let (id, kind, start) = (ClientId(7), Kind::default(), Instant::now());
        let peer =
            Peer::new(Basics { id, kind, slot: 0, pending_bytes_max: 0, start }, Arc::default(), sink, wake);
        let remote: SocketAddr = "192.0.2.1:99".parse().expect("an address");
        let session = Session::new(peer, ListenerKind::WebSocket, Some(remote));
        session.set_forwarded_for("198.51.100.5".parse().expect("an address"));
        assert_eq!(session.remote(), Some(remote));
        assert_eq!(Share::stranger(&session), Share::address(remote.ip()));
        assert_eq!(session.profile().shown_remote(), Some("198.51.100.5:99".parse().expect("an address")));
        assert_eq!(&*session.label(), "198.51.100.5/192.0.2.1:99 - wid:7");
    }
}
