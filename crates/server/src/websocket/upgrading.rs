//! A connection by WebSocket before its upgrade: it is nobody's yet, and counts as no client.

use super::WebSocketFraming;
use crate::admission::{Source, admit_link};
use crate::conduct::NOT_TLS;
use crate::log::Event;
use crate::node::Node;
use crate::policy::{Policy, UpgradePolicy};
use crate::protocol::{Progress, Protocol};
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Peer;
use dialtone_net::{Broken, Closing, Link, Secured};
use dialtone_wire::websocket::upgrade::{self, Path, REQUEST_BYTES_MAX, Refusal};
use dialtone_wire::websocket::{Stream, Terms, Upgrade};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// A connection that has to send its request.
pub(crate) struct Upgrading {
    node: Arc<Node>,
    link: Arc<Link>,
    source: Source,
    /// What the TLS handshake agreed on.
    secured: Option<Secured>,
    /// What its listener asks for.
    policy: Arc<Policy>,
    until: Instant,
    /// Bytes of the request that were looked at.
    seen: usize,
    closing: Option<Closing>,
    granted: Option<Box<Upgrade>>,
}

impl Upgrading {
    pub(crate) fn new(
        node: Arc<Node>,
        policy: Arc<Policy>,
        link: Arc<Link>,
        source: Source,
        until: Instant,
    ) -> Self {
        Self { node, link, source, secured: None, policy, until, seen: 0, closing: None, granted: None }
    }

    /// Takes the bytes of its request so far. How many are used.
    fn take(&mut self, input: &[u8]) -> usize {
        if self.closing.is_some() {
            return input.len();
        }
        let Some(end) = upgrade::head_end(input, self.seen) else {
            self.seen = input.len();
            if input.len() < REQUEST_BYTES_MAX {
                return 0;
            }
            self.refuse(&upgrade::too_large());
            return input.len();
        };
        match self.terms().map(|terms| upgrade::decide(input.get(..end).unwrap_or_default(), &terms)) {
            None => self.end(&[]),
            Some(Err(refusal)) => self.refuse(&refusal),
            Some(Ok(_)) if input.len() > end => {
                // What was sent ahead was meant for somebody else. The official server ends it without an answer, too.
                self.log_refusal("client sent data before handshake is complete");
                self.end(&[]);
            }
            Some(Ok(upgrade)) if upgrade.path == Path::LeafNode => {
                let text = format_args!("Not configured to accept leaf node connections");
                self.node.log.emit(Event::UpgradeRefused, "", text);
                self.end(&upgrade.response);
            }
            Some(Ok(_)) if self.node.connections.lame_duck.load(Ordering::Acquire) => self.end(&[]),
            Some(Ok(upgrade)) => self.granted = Some(Box::new(upgrade)),
        }
        input.len()
    }

    fn own(&self) -> Option<&UpgradePolicy> {
        self.policy.of(self.source.listener).upgrade.as_ref()
    }

    fn terms(&self) -> Option<Terms> {
        self.own().map(|own| own.terms.clone())
    }

    fn refuse(&mut self, refusal: &Refusal) {
        if !refusal.why.is_empty() {
            self.log_refusal(&refusal.why);
        }
        self.end(&refusal.response);
    }

    fn log_refusal(&self, why: &str) {
        let from = self.source.remote.map(|remote| remote.to_string()).unwrap_or_default();
        let text = format_args!("{from} - websocket handshake error: {why}");
        self.node.log.emit(Event::UpgradeRefused, "", text);
    }

    /// Ends it behind this answer, which a socket that nothing was written to takes whole.
    fn end(&mut self, answer: &[u8]) {
        if !answer.is_empty() {
            let _ = self.link.write(&[IoSlice::new(answer)]);
        }
        self.close(Closing::AfterFlush);
    }

    fn close(&mut self, how: Closing) {
        self.closing.get_or_insert(how);
        self.link.wake_owner();
    }
}

impl Protocol for Upgrading {
    fn peer(&self) -> Option<&Arc<Peer>> {
        None
    }

    /// The other end speaks first.
    fn greet(&mut self, _: &mut Turn) {}

    /// No proxy stands in front of this listener.
    fn proxied(&mut self, _: Option<SocketAddr>) {}

    fn secured(&mut self, secured: Secured, _: &mut Turn) {
        self.secured = Some(secured);
    }

    fn receive(&mut self, input: &[u8], _: &mut Turn) -> Progress {
        let used = self.take(input);
        Progress { used, is_over: self.granted.is_some(), ..Progress::default() }
    }

    /// From here on it is a client, whose bytes are in frames.
    fn successor(&mut self, turn: &mut Turn) -> Option<Box<dyn Protocol>> {
        let upgrade = self.granted.take()?;
        let bytes_max = self.own().map_or(0, |own| own.message_bytes_max);
        let framing = WebSocketFraming(Stream::new(upgrade.agreed, bytes_max));
        self.link.begin_framing(Box::new(framing), upgrade.response);
        let mut client = admit_link(&self.node, turn, self.source, &self.link);
        client.upgraded(upgrade.cookies, upgrade.forwarded_for);
        if let Some(secured) = self.secured.take() {
            client.secured(secured, turn);
        }
        if !client.peer().is_closing() {
            client.greet(turn);
        }
        Some(client)
    }

    fn is_let_in(&self) -> bool {
        false
    }

    fn deadline(&self) -> Option<Instant> {
        self.closing.is_none().then_some(self.until)
    }

    /// It took too long.
    fn expire(&mut self, _: &mut Turn) {
        self.close(Closing::Now);
    }

    fn woken(&mut self, _: &mut Turn) -> bool {
        false
    }

    fn closing(&self) -> Option<Closing> {
        self.closing
    }

    fn broken(&mut self, how: &Broken) {
        let why = match how {
            Broken::Tls(why) => Some(why.as_str()),
            Broken::Plain(first) => upgrade::plain_to_tls(first)
                .map(|answer| {
                    // A socket that nothing was written to takes it whole.
                    let _ = self.link.write(&[IoSlice::new(answer)]);
                    "client sent an HTTP request to an HTTPS server"
                })
                .or(Some(NOT_TLS)),
            _ => None,
        };
        if let Some(why) = why {
            let from = self.source.remote.map(|remote| remote.to_string()).unwrap_or_default();
            let text = format_args!("websocket: http: TLS handshake error from {from}: {why}");
            self.node.log.emit(Event::TlsFailed, "", text);
        }
    }

    fn leave(&mut self, _: &mut Turn) {}
}

impl Drop for Upgrading {
    fn drop(&mut self) {
        self.node.connections.upgrading.fetch_sub(1, Ordering::AcqRel);
    }
}
