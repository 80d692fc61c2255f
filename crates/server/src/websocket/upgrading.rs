//! A connection by WebSocket before its upgrade: it is nobody's yet, and counts neither as a client nor as a leaf node.

use crate::admission::{self, Source, admit_link};
use crate::conduct::NOT_TLS;
use crate::framing::WebSocketFraming;
use crate::leaf::LeafConnection;
use crate::log::Event;
use crate::mqtt::{MqttConnection, PUBLISH_HEAD_BYTES_MAX};
use crate::node::Node;
use crate::policy::{ListenerKind, Policy, UpgradePolicy};
use crate::protocol::{Progress, Protocol};
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Peer;
use dialtone_config::options::LeafNodes;
use dialtone_net::{Broken, Closing, Link, Secured};
use dialtone_wire::http::head_end;
use dialtone_wire::websocket::upgrade::{self, Path, REQUEST_BYTES_MAX, Refusal};
use dialtone_wire::websocket::{Masking, Stream, Terms, Upgrade};
use std::net::{IpAddr, SocketAddr};
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
        if let Some(refusal) = upgrade::no_request(input) {
            self.refuse(&refusal);
            return input.len();
        }
        let Some(end) = head_end(input, self.seen) else {
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
            Some(Ok(upgrade)) if upgrade.path == Path::LeafNode && !self.takes_leaf_nodes() => {
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

    /// Whether leaf nodes may come: where they may come by a listener of their own.
    fn takes_leaf_nodes(&self) -> bool {
        self.policy.options.leafnodes.as_ref().is_some_and(LeafNodes::listens)
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

    /// Ends it behind this answer.
    fn end(&mut self, answer: &[u8]) {
        if !answer.is_empty() {
            let _ = self.link.write_first(answer);
        }
        self.close(Closing::AfterFlush);
    }

    fn close(&mut self, how: Closing) {
        self.closing.get_or_insert(how);
        self.link.wake_owner();
    }

    /// A client of MQTT, which comes in as those do that connect to where those are listened for.
    fn mqtt_client(&self, forwarded_for: Option<IpAddr>, turn: &Turn) -> Box<MqttConnection> {
        let source = Source { listener: ListenerKind::MqttWebSocket, ..self.source };
        let session = admission::session_of(&self.node, turn.now(), source, &self.link);
        if let Some(address) = forwarded_for {
            session.set_forwarded_for(address);
        }
        self.node.connections.registry.insert(session.clone());
        Box::new(MqttConnection::new(self.node.clone(), session, turn.now()))
    }

    /// A leaf node, which comes in as those do that connect to where leaf nodes are listened for.
    fn leaf_node(
        &self,
        is_deflated: bool,
        forwarded_for: Option<IpAddr>,
        turn: &mut Turn,
    ) -> Box<LeafConnection> {
        let source = Source { listener: ListenerKind::LeafWebSocket, ..self.source };
        let session = admission::session_of(&self.node, turn.now(), source, &self.link);
        if let Some(address) = forwarded_for {
            session.set_forwarded_for(address);
        }
        self.node.connections.registry.insert(session.clone());
        let mut leaf = LeafConnection::accepted(self.node.clone(), session, &self.link, turn.now());
        leaf.set_deflated(is_deflated);
        Box::new(leaf)
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

    /// From here on it is a client, of NATS or MQTT, or a leaf node, whose bytes are in frames.
    fn successor(&mut self, turn: &mut Turn) -> Option<Box<dyn Protocol>> {
        let upgrade = *self.granted.take()?;
        let message_bytes_max = self.own().map_or(0, |own| own.message_bytes_max);
        let bytes_max = match upgrade.path {
            Path::Client => message_bytes_max,
            Path::Mqtt => message_bytes_max.saturating_add(PUBLISH_HEAD_BYTES_MAX),
            // What is inflated is taken a piece at a time, and a server that has much to send may put all of that in one message.
            Path::LeafNode => self.policy.options.limits.pending_bytes_max,
        };
        let framing = WebSocketFraming(Stream::new(upgrade.agreed, Masking::Off, bytes_max));
        self.link.begin_framing(Box::new(framing), upgrade.response);
        let mut protocol: Box<dyn Protocol> = match upgrade.path {
            Path::Client => {
                let mut client = admit_link(&self.node, turn, self.source, &self.link);
                client.upgraded(upgrade.cookies, upgrade.forwarded_for);
                client
            }
            Path::Mqtt => self.mqtt_client(upgrade.forwarded_for, turn),
            Path::LeafNode => self.leaf_node(upgrade.agreed.deflate, upgrade.forwarded_for, turn),
        };
        if let Some(secured) = self.secured.take() {
            protocol.secured(secured, turn);
        }
        if !protocol.peer().is_some_and(|peer| peer.is_closing()) {
            protocol.greet(turn);
        }
        Some(protocol)
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
                    let _ = self.link.write_first(answer);
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
