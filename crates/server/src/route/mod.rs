//! The protocol of routes, from either end: a state machine without sockets, like that of clients.
//!
//! `handshake` is how two servers find out who they are to each other, `operate` what they say then. Which routes there should be is
//! decided in [`crate::cluster`].

mod handshake;
mod operate;

use crate::compression::Compression;
use crate::conduct::{Conduct, Due, Handshake};
use crate::handover;
use crate::lines::{self, Reading};
use crate::log::Event;
use crate::node::Node;
use crate::protocol::{Progress, Protocol};
use crate::relayed::limits;
use crate::routes::{Route, Waiting};
use crate::session::Session;
use crate::unclaimed::Unclaimed;
use crate::walk::Pings;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Peer;
use dialtone_mesh::gateways::Event as GatewayEvent;
use dialtone_net::{Broken, Link, Secured};
use dialtone_wire::interserver::{AccountNames, Dialect, LeafOrigins};
use dialtone_wire::route::{Connect, Info};
use dialtone_wire::{CloseReason, ProtocolError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Who dialled, and whether the other end has said who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// This end did.
    Dialed,
    /// The other end did, and has to say CONNECT.
    Accepted,
    /// The other end did, and has said CONNECT.
    Connected,
}

/// A connection that speaks the protocol of routes.
pub(crate) struct RouteConnection {
    conduct: Conduct,
    side: Side,
    /// CONNECT, while its credentials are being checked.
    connecting: Option<Box<Connect>>,
    /// What the other end said of itself last.
    remote: Option<Arc<Info>>,
    link: Arc<Link>,
    compression: Compression,
    reading: Reading,
    /// What it was asked that it has not answered.
    pings: Pings,
    /// Who waits for the answer to [`crate::walk::Ping::Arrived`].
    arriving: Vec<Arc<Waiting>>,
    /// What it wants in accounts that are not here.
    unclaimed: Unclaimed,
    /// The route, once interest is exchanged.
    route: Option<Arc<Route>>,
    /// The account of the last message.
    last_account: Option<Arc<Account>>,
}

impl RouteConnection {
    /// One that has just been connected.
    pub(crate) fn new(
        node: Arc<Node>,
        session: Arc<Session>,
        side: Side,
        link: &Arc<Link>,
        now: Instant,
    ) -> Self {
        let conduct = Conduct::new(node, session, now);
        conduct.peer().set_understands_headers(true);
        let limits = limits(&conduct.policy);
        Self {
            conduct,
            side,
            connecting: None,
            remote: None,
            link: link.clone(),
            compression: Compression::default(),
            reading: Reading::new(Dialect::route(limits, AccountNames::InLines, LeafOrigins::Unknown)),
            pings: Pings::default(),
            arriving: Vec::new(),
            unclaimed: Unclaimed::default(),
            route: None,
            last_account: None,
        }
    }

    /// Which end begins TLS, where there is some.
    fn begun_by(&self) -> Handshake {
        if self.side == Side::Dialed { Handshake::Dialed } else { Handshake::Accepted }
    }

    fn log(&self, event: Event, text: std::fmt::Arguments<'_>) {
        self.conduct.log(event, text);
    }

    fn peer(&self) -> &Arc<Peer> {
        self.conduct.peer()
    }

    /// Sends an error and closes.
    fn refuse(&self, error: &str, reason: CloseReason, turn: &mut Turn) {
        lines::refuse(&self.conduct, error, reason, turn);
    }
}

impl Protocol for RouteConnection {
    fn peer(&self) -> Option<&Arc<Peer>> {
        Some(self.conduct.peer())
    }

    fn expect_handshake(&mut self) {
        self.conduct.expect_handshake(self.begun_by(), None);
    }

    fn throttle(&mut self) {
        self.peer().close(CloseReason::MaxConnectionsExceeded);
    }

    fn greet(&mut self, turn: &mut Turn) {
        self.log(Event::RouteOpened, format_args!("Route connection created"));
        self.take_orders(turn);
    }

    /// No proxy stands in front of this listener.
    fn proxied(&mut self, _: Option<SocketAddr>) {}

    fn secured(&mut self, secured: Secured, turn: &mut Turn) {
        self.conduct.secured(secured, turn);
    }

    fn receive(&mut self, input: &[u8], turn: &mut Turn) -> Progress {
        let progress = self.take(input, turn);
        Progress { pause: self.conduct.checking_until(turn.now()), ..progress }
    }

    fn is_let_in(&self) -> bool {
        self.conduct.is_let_in()
    }

    fn deadline(&self) -> Option<Instant> {
        self.conduct.deadline()
    }

    fn expire(&mut self, turn: &mut Turn) {
        match self.conduct.expire(false, turn) {
            Due::Nothing | Due::LetIn => {}
            Due::Ping => self.send_ping(turn),
            Due::Refused(error, reason) => self.refuse(error.text(), reason, turn),
        }
    }

    fn woken(&mut self, turn: &mut Turn) -> bool {
        let was_checking = self.conduct.is_checking();
        let login = self.conduct.take_server_verdicts(turn);
        self.go_on(login, turn);
        if self.conduct.is_outdated() {
            self.renew(turn);
        }
        self.take_rights(turn);
        self.take_orders(turn);
        self.announce(turn);
        self.ask_arrival(turn);
        was_checking && !self.conduct.is_checking()
    }

    fn broken(&mut self, how: &Broken) {
        self.conduct.broken(how);
    }

    fn leave(&mut self, turn: &mut Turn) {
        self.peer().shut();
        let mut remote = String::new();
        if let Some(route) = self.route.take() {
            let routes = &self.conduct.node.delivery.routes;
            routes.remove(&route);
            let gone = route.interest.lock().clear();
            self.conduct.node.delivery.gate.end_relay(gone, Some(turn));
            // A server that is gone is not waited for.
            let waiting = route.arrival.lock().end();
            self.arriving.drain(..).chain(waiting).for_each(|waiting| waiting.heard(turn));
            let info = route.remote.read().clone();
            self.conduct.node.delivery.past_links.add(&route.session, &info.server_name);
            if !routes.leads_to(&info.server_id) {
                self.conduct.node.connections.elsewhere.forget(&info.server_id);
                handover::lost(&self.conduct.node, &info.server_id);
                let gone = GatewayEvent::Sibling { server: &info.server_id, url: None };
                self.conduct.node.supercluster.handle(gone);
            }
            if let Some(leads) = &self.conduct.node.delivery.leads {
                leads.remove(self.peer());
            }
            remote = format!(" - Remote: {}", info.server_name);
        }
        self.conduct.node.cluster.lost(self.peer().id);
        let reason = self.peer().closing().unwrap_or(CloseReason::ClientClosed);
        self.conduct.count_end(reason);
        self.log(Event::RouteClosed, format_args!("Router connection closed: {}{remote}", reason.text()));
    }
}

/// What a stranger hears who does not begin with CONNECT.
const NO_CONNECT: ProtocolError = ProtocolError::Authorization;
