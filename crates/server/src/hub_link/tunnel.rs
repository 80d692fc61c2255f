//! A connection to a hub before there is one: this end asks a proxy for a tunnel, and what is behind it begins when the proxy grants that.

use super::{Socket, begin};
use crate::hubs::Hub;
use crate::log::Event;
use crate::node::Node;
use crate::policy::ListenerKind;
use crate::protocol::{Progress, Protocol};
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Peer;
use dialtone_config::Secret;
use dialtone_mesh::{HubEvent, RouteUrl};
use dialtone_net::{Broken, Closing, Secured};
use dialtone_wire::http::AnswerReader;
use dialtone_wire::tunnel::{self, TunnelError};
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// A proxy that has to answer.
pub(super) struct Tunnel {
    node: Arc<Node>,
    socket: Socket,
    hub: Arc<Hub>,
    url: RouteUrl,
    until: Instant,
    answer: AnswerReader,
    is_granted: bool,
    closing: Option<Closing>,
}

impl Tunnel {
    pub(super) fn new(node: Arc<Node>, socket: Socket, hub: Arc<Hub>, url: RouteUrl, now: Instant) -> Self {
        let until = now + hub.dial_timeout(&node.settings.policy().options);
        Self {
            node,
            socket,
            hub,
            url,
            until,
            answer: AnswerReader::default(),
            is_granted: false,
            closing: None,
        }
    }

    /// Takes the bytes of the answer so far. How many are used.
    fn take(&mut self, input: &[u8]) -> usize {
        if self.closing.is_some() {
            return input.len();
        }
        let head = match self.answer.head(input) {
            Ok(Some(head)) => head,
            Ok(None) => return 0,
            Err(why) => {
                self.fail(&TunnelError::from(why));
                return input.len();
            }
        };
        match tunnel::answered(head) {
            // A hub says nothing before it is asked.
            Ok(()) if input.len() > head.len() => {
                self.fail(&"the proxy sends data before the tunnel is used")
            }
            Ok(()) => self.is_granted = true,
            Err(why) => self.fail(&why),
        }
        input.len()
    }

    /// There is no tunnel.
    fn fail(&mut self, why: &dyn Display) {
        if self.closing.is_none() {
            self.closing = Some(Closing::Now);
            let address = self.url.address();
            let text =
                format_args!("Error trying to connect as leafnode to remote server {address:?}: {why}");
            self.node.log.emit(Event::LeafFailed, "", text);
            self.node.hubs.handle(HubEvent::DialFailed(self.socket.dial));
            self.socket.link.wake_owner();
        }
    }
}

impl Protocol for Tunnel {
    fn peer(&self) -> Option<&Arc<Peer>> {
        None
    }

    fn greet(&mut self, _: &mut Turn) {
        let Some(proxy) = self.hub.own.proxy() else { return };
        let password = proxy.password.as_ref().map_or("", Secret::expose);
        let request =
            tunnel::request(&self.url.address(), proxy.user.as_deref().map(|user| (user, password)));
        if !self.socket.link.write_first(&request) {
            self.fail(&"the proxy takes no request");
        }
    }

    /// This end has connected.
    fn proxied(&mut self, _: Option<SocketAddr>) {}

    /// A proxy is reached in plain.
    fn secured(&mut self, _: Secured, _: &mut Turn) {}

    fn receive(&mut self, input: &[u8], _: &mut Turn) -> Progress {
        let used = self.take(input);
        Progress { used, is_over: self.is_granted, ..Progress::default() }
    }

    /// From here on it is a connection to the hub.
    fn successor(&mut self, turn: &mut Turn) -> Option<Box<dyn Protocol>> {
        if !std::mem::take(&mut self.is_granted) {
            return None;
        }
        let policy = self.node.settings.policy();
        let tls = self.hub.begins_with_tls(&self.url).then(|| {
            let leafs = policy.of(ListenerKind::LeafNodes);
            leafs.hub_tls(&self.hub.own, &self.url.host)
        });
        let tls = match tls.transpose() {
            Ok(tls) => tls,
            Err(why) => {
                self.fail(&why);
                return None;
            }
        };
        let Some(mut leaf) = begin(&self.node, turn, &self.socket) else {
            self.closing = Some(Closing::Now);
            self.socket.link.wake_owner();
            return None;
        };
        if let Some(tls) = tls {
            leaf.begin_tls_in_tunnel(&tls, turn);
        }
        leaf.greet(turn);
        Some(leaf)
    }

    fn is_let_in(&self) -> bool {
        false
    }

    fn deadline(&self) -> Option<Instant> {
        self.closing.is_none().then_some(self.until)
    }

    fn expire(&mut self, _: &mut Turn) {
        self.fail(&"failed to read proxy response: i/o timeout");
    }

    /// The hub may not be wanted any more.
    fn woken(&mut self, _: &mut Turn) -> bool {
        false
    }

    fn closing(&self) -> Option<Closing> {
        self.closing
    }

    fn broken(&mut self, how: &Broken) {
        match how {
            Broken::Read(why) => self.fail(&format_args!("failed to read proxy response: {why}")),
            _ => self.fail(&"failed to read proxy response: unexpected EOF"),
        }
    }

    fn leave(&mut self, _: &mut Turn) {}
}
