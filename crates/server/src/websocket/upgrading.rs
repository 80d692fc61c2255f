//! A connection by WebSocket before its upgrade: it is nobody's yet, and counts as no client.

use crate::log::Event;
use crate::node::Node;
use crate::policy::Policy;
use dialtone_net::{Broken, Closing, Link, Secured};
use dialtone_wire::websocket::upgrade::{self, Path, REQUEST_BYTES_MAX, Refusal};
use dialtone_wire::websocket::{Terms, Upgrade};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// A connection that has to send its request.
pub(crate) struct Upgrading {
    node: Arc<Node>,
    pub(crate) link: Arc<Link>,
    pub(crate) remote: Option<SocketAddr>,
    /// What the TLS handshake agreed on.
    pub(crate) secured: Option<Secured>,
    /// What its listener asks for.
    pub(crate) policy: Arc<Policy>,
    until: Instant,
    /// Bytes of the request that were looked at.
    seen: usize,
    closing: Option<Closing>,
}

/// What came of bytes of a request.
pub(crate) enum Answer {
    /// More is needed.
    Wait,
    /// It was refused, and ends.
    Over,
    /// It becomes a client.
    Granted(Box<Upgrade>),
}

impl Upgrading {
    pub(crate) fn new(
        node: Arc<Node>,
        policy: Arc<Policy>,
        link: Arc<Link>,
        remote: Option<SocketAddr>,
        until: Instant,
    ) -> Self {
        Self { node, link, remote, secured: None, policy, until, seen: 0, closing: None }
    }

    /// Takes the bytes of its request so far.
    pub(crate) fn receive(&mut self, input: &[u8]) -> Answer {
        if self.closing.is_some() {
            return Answer::Over;
        }
        let Some(end) = upgrade::head_end(input, self.seen) else {
            self.seen = input.len();
            if input.len() < REQUEST_BYTES_MAX {
                return Answer::Wait;
            }
            return self.refuse(&upgrade::too_large());
        };
        let Some(terms) = self.terms() else { return self.end(&[]) };
        let decided = upgrade::decide(input.get(..end).unwrap_or_default(), &terms);
        match decided {
            Err(refusal) => self.refuse(&refusal),
            Ok(_) if input.len() > end => {
                // What was sent ahead was meant for somebody else. The official server ends it without an answer, too.
                self.log_refusal("client sent data before handshake is complete");
                self.end(&[])
            }
            Ok(upgrade) if upgrade.path == Path::LeafNode => {
                let text = format_args!("Not configured to accept leaf node connections");
                self.node.log.emit(Event::UpgradeRefused, "", text);
                self.end(&upgrade.response)
            }
            Ok(_) if self.node.connections.lame_duck.load(std::sync::atomic::Ordering::Acquire) => {
                self.end(&[])
            }
            Ok(upgrade) => Answer::Granted(Box::new(upgrade)),
        }
    }

    fn terms(&self) -> Option<Terms> {
        self.policy.websocket.as_ref().map(|listener| listener.terms.clone())
    }

    fn refuse(&mut self, refusal: &Refusal) -> Answer {
        if !refusal.why.is_empty() {
            self.log_refusal(&refusal.why);
        }
        self.end(&refusal.response)
    }

    fn log_refusal(&self, why: &str) {
        let from = self.remote.map(|remote| remote.to_string()).unwrap_or_default();
        let text = format_args!("{from} - websocket handshake error: {why}");
        self.node.log.emit(Event::UpgradeRefused, "", text);
    }

    /// Ends it behind this answer, which a socket that nothing was written to takes whole.
    fn end(&mut self, answer: &[u8]) -> Answer {
        if !answer.is_empty() {
            let _ = self.link.write(&[IoSlice::new(answer)]);
        }
        self.close(Closing::AfterFlush);
        Answer::Over
    }

    fn close(&mut self, how: Closing) {
        self.closing.get_or_insert(how);
        self.link.wake_owner();
    }

    pub(crate) fn closing(&self) -> Option<Closing> {
        self.closing
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.closing.is_none().then_some(self.until)
    }

    /// It took too long.
    pub(crate) fn expire(&mut self) {
        self.close(Closing::Now);
    }

    pub(crate) fn broken(&mut self, how: &Broken) {
        if let Broken::Tls(why) = how {
            let from = self.remote.map(|remote| remote.to_string()).unwrap_or_default();
            let text = format_args!("websocket: http: TLS handshake error from {from}: {why}");
            self.node.log.emit(Event::TlsFailed, "", text);
        }
    }
}

impl Drop for Upgrading {
    fn drop(&mut self) {
        self.node.connections.upgrading.fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
    }
}
