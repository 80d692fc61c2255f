//! The protocol of gateways, from either end: a state machine without sockets. Which connections there should be is decided in
//! [`crate::supercluster`].

mod handshake;
mod operate;

use crate::conduct::{Conduct, Due, Handshake};
use crate::gateways::{Direction, Gateway};
use crate::lines::{self, Reading};
use crate::log::Event;
use crate::node::Node;
use crate::protocol::{Progress, Protocol, send_ping};
use crate::relayed::limits;
use crate::session::Session;
use crate::unclaimed::Unclaimed;
use crate::walk::Pings;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Peer;
use dialtone_net::{Broken, Secured};
use dialtone_wire::CloseReason;
use dialtone_wire::gateway::{Connect, Info};
use dialtone_wire::interserver::Dialect;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// A connection that speaks the protocol of gateways.
pub(crate) struct GatewayConnection {
    conduct: Conduct,
    direction: Direction,
    /// The other end dialled, and has yet to say CONNECT.
    is_stranger: bool,
    /// CONNECT, while its credentials are being checked.
    connecting: Option<Box<Connect>>,
    /// What the other end said of itself.
    remote: Option<Arc<Info>>,
    reading: Reading,
    /// What it wants in accounts that are not here.
    unclaimed: Unclaimed,
    /// What it was asked that it has not answered.
    pings: Pings,
    /// Once messages may go by it.
    gateway: Option<Arc<Gateway>>,
    /// The account of the last message.
    last_account: Option<Arc<Account>>,
}

impl GatewayConnection {
    /// One that has just been connected.
    pub(crate) fn new(node: Arc<Node>, session: Arc<Session>, direction: Direction, now: Instant) -> Self {
        let conduct = Conduct::new(node, session, now);
        conduct.peer().set_understands_headers(true);
        let dialect = Dialect::gateway(limits(&conduct.policy));
        Self {
            conduct,
            direction,
            is_stranger: direction == Direction::Inbound,
            connecting: None,
            remote: None,
            reading: Reading::new(dialect),
            unclaimed: Unclaimed::default(),
            pings: Pings::default(),
            gateway: None,
            last_account: None,
        }
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

impl Protocol for GatewayConnection {
    fn peer(&self) -> Option<&Arc<Peer>> {
        Some(self.conduct.peer())
    }

    fn expect_handshake(&mut self) {
        let by = match self.direction {
            Direction::Outbound => Handshake::Dialed,
            Direction::Inbound => Handshake::Accepted,
        };
        self.conduct.expect_handshake(by, None);
    }

    fn throttle(&mut self) {
        self.peer().close(CloseReason::MaxConnectionsExceeded);
    }

    fn greet(&mut self, turn: &mut Turn) {
        match self.direction {
            Direction::Outbound => {
                self.log(Event::GatewayOpened, format_args!("Creating outbound gateway connection"));
            }
            Direction::Inbound => {
                self.log(Event::GatewayOpened, format_args!("Processing inbound gateway connection"));
            }
        }
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
            Due::Ping => {
                self.pings.alive();
                send_ping(&self.conduct, turn);
            }
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
        self.take_orders(turn);
        was_checking && !self.conduct.is_checking()
    }

    fn broken(&mut self, how: &Broken) {
        self.conduct.broken(how);
    }

    fn leave(&mut self, turn: &mut Turn) {
        self.peer().shut();
        let mut remote = String::new();
        if let Some(gateway) = self.gateway.take() {
            let delivery = &self.conduct.node.delivery;
            delivery.gateways.remove(&gateway);
            delivery.past_links.add(&gateway.session, &gateway.name);
            if let Some(leads) = &delivery.leads {
                leads.remove(self.peer());
            }
            let gone = gateway.interest.lock().clear();
            delivery.gate.end_relay(gone, Some(turn));
            remote = format!(" - Remote: {}", gateway.remote.server_name);
        }
        self.conduct.node.supercluster.lost(self.peer().id);
        let reason = self.peer().closing().unwrap_or(CloseReason::ClientClosed);
        self.conduct.count_end(reason);
        let text = format_args!("Gateway connection closed: {}{remote}", reason.text());
        self.log(Event::GatewayClosed, text);
    }
}
