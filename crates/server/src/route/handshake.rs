//! How two servers find out who they are to each other. Who dials sends CONNECT at once; who is dialled sends INFO at once; who dials answers
//! that with its own INFO, which says which place in the pool the connection has, or which account it is for.
//!
//! What is said, and what comes of it, the cluster decides ([`crate::cluster`]).

use super::{RouteConnection, Side};
use crate::cluster::Order;
use crate::compression::Followed;
use crate::conduct::Login;
use crate::lines;
use crate::log::Event;
use crate::relayed::limits;
use crate::routes::{Route, Share};
use dialtone_broker::deliver::Turn;
use dialtone_broker::kind::Zone;
use dialtone_broker::permission::{self, Subscribe};
use dialtone_mesh::gateways::Event as GatewayEvent;
use dialtone_mesh::{Event as MeshEvent, LinkId, Place};
use dialtone_wire::CloseReason;
use dialtone_wire::client::encode;
use dialtone_wire::interserver::{AccountNames, Dialect, Origin};
use dialtone_wire::route::{Connect, Info};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;

impl RouteConnection {
    /// Does what the cluster wants by now. Before TLS it can only end.
    pub(super) fn take_orders(&mut self, turn: &mut Turn) {
        if self.conduct.is_securing() {
            let ends = |order: &Order| match order {
                Order::Close(reason, _) => Some(*reason),
                Order::Connect(_) | Order::Info(_) | Order::Join { .. } => None,
            };
            if let Some(reason) = self.conduct.node.cluster.find_order(self.peer().id, ends) {
                self.peer().close(reason);
            }
            return;
        }
        let orders = self.conduct.node.cluster.orders(self.peer().id);
        self.carry_out(orders, turn);
    }

    /// Tells the cluster what happened on this connection, and does what it wants.
    pub(super) fn report<'e>(&mut self, event: impl FnOnce(LinkId) -> MeshEvent<'e>, turn: &mut Turn) {
        let id = self.peer().id;
        let orders = self.conduct.node.cluster.handle_of(id, event(LinkId(id.0)));
        self.carry_out(orders, turn);
    }

    fn carry_out(&mut self, orders: Vec<Order>, turn: &mut Turn) {
        for order in orders {
            if self.peer().is_closing() {
                return;
            }
            match order {
                Order::Connect(connect) => self.send_connect(*connect, turn),
                Order::Info(info) => self.send_info(*info, turn),
                Order::Join { place, is_configured } => self.join(&place, is_configured, turn),
                Order::Close(reason, None) => self.peer().close(reason),
                Order::Close(reason, Some(error)) => {
                    if reason == CloseReason::ProtocolViolation {
                        self.log(Event::ProtocolError, format_args!("{error}"));
                    }
                    self.refuse(&error, reason, turn);
                }
            }
        }
    }

    fn send_connect(&self, mut connect: Connect, turn: &mut Turn) {
        connect.tls_required = self.conduct.own_policy().dialing.usual().is_some();
        let mut out = Vec::new();
        connect.encode(&mut out);
        lines::send(&self.conduct, "CONNECT", &out, turn);
    }

    fn send_info(&self, mut info: Info, turn: &mut Turn) {
        if self.side == Side::Accepted {
            info.nonce = crate::random::nonce();
        } else if let Some(agreed) = self.compression.agreed() {
            info.compression = agreed.text().to_owned();
        }
        let mut out = Vec::new();
        info.encode(&mut out);
        lines::send(&self.conduct, "INFO", &out, turn);
    }

    /// The other end says who it is.
    pub(super) fn take_connect(&mut self, json: &[u8], turn: &mut Turn) {
        let Some(connect) = lines::readable(&self.conduct, Connect::parse(json)) else { return };
        if !connect.lang.is_empty() {
            return self.refuse("attempted to connect to route port", CloseReason::WrongPort, turn);
        }
        if !connect.gateway.is_empty() {
            let error = format!("Rejecting connection from gateway {:?} on the Route port", connect.gateway);
            return self.refuse(&error, CloseReason::WrongGateway, turn);
        }
        if self.side != Side::Accepted {
            return self.report(|link| MeshEvent::Connect { link, connect: &connect }, turn);
        }
        let login = self.conduct.admit_server(&connect.user, &connect.pass, turn);
        self.connecting = Some(Box::new(connect));
        self.go_on(login, turn);
    }

    /// Carries out what was found about a server that has said CONNECT.
    pub(super) fn go_on(&mut self, login: Login, turn: &mut Turn) {
        match login {
            Login::Nothing | Login::Waiting => {}
            Login::Refused(error, reason) => self.refuse(error.text(), reason, turn),
            Login::In => {
                let Some(connect) = self.connecting.take() else { return };
                self.side = Side::Connected;
                self.report(|link| MeshEvent::Connect { link, connect: &connect }, turn);
            }
        }
    }

    /// Goes by what is in force. Who is let in no longer does not stay.
    #[cold]
    pub(super) fn renew(&mut self, turn: &mut Turn) {
        self.conduct.renew();
        if !self.conduct.is_pinned(self.begun_by()) {
            return;
        }
        let login = self.conduct.review_server(turn);
        self.go_on(login, turn);
        if let Some(own) = &self.conduct.policy.options.cluster
            && self.compression.follow(&own.pool.compression, self.conduct.session.rtt()) == Followed::No
        {
            self.peer().close(CloseReason::ClientClosed);
        }
        self.find_zone();
        self.claim(turn);
    }

    /// Notes whether the other end is in this server's zone.
    fn find_zone(&self) {
        let Some(route) = &self.route else { return };
        let own = self.conduct.policy.options.zone();
        let is_elsewhere = own.is_some_and(|own| route.remote.read().zone != own);
        if self.peer().set_zone(if is_elsewhere { Zone::Other } else { Zone::Own }) {
            route.interest.lock().outdate();
        }
    }

    /// Takes over its rights: interest that they do not cover ends.
    #[inline]
    pub(super) fn take_rights(&mut self, turn: &mut Turn) {
        if self.conduct.take_place(turn.now())
            && let Some((route, permissions)) =
                self.route.as_ref().zip(self.conduct.place.permissions.as_deref())
        {
            let may = |filter: &[u8], queue: Option<&[u8]>| {
                permission::subscribe(Some(permissions), Subscribe { filter, queue, sid: b"" }).is_ok()
            };
            let gone = route.interest.lock().retain(may);
            self.conduct.node.delivery.gate.end_relay(gone, Some(turn));
        }
    }

    /// INFO: who the other end is, or something about it or a third server that has changed.
    pub(super) fn take_info(&mut self, json: &[u8], turn: &mut Turn) {
        let Some(info) = lines::readable(&self.conduct, Info::parse(json)) else { return };
        if info.gateway_cmd != 0 {
            return self.conduct.node.supercluster.handle(GatewayEvent::Told(&info));
        }
        if self.route.is_none() && self.side != Side::Dialed && !self.is_account_here(&info.route_account) {
            let error = format!("Unable to lookup account {:?}: account missing", info.route_account);
            self.log(Event::ProtocolError, format_args!("{error}"));
            return self.refuse(&error, CloseReason::ProtocolViolation, turn);
        }
        if self.agree_on_compression(&info, turn) {
            return;
        }
        let is_its_own = self.remote.as_ref().is_none_or(|known| known.server_id == info.server_id);
        let info = Arc::new(info);
        if is_its_own {
            self.tell_sibling(&info);
            self.remote = Some(info.clone());
            if let Some(route) = &self.route {
                let before = std::mem::replace(&mut *route.remote.write(), info.clone());
                // It ignored what it did not let out.
                if before.export != info.export {
                    route.outdate();
                }
            }
            self.find_zone();
        }
        self.announce(turn);
        self.report(|link| MeshEvent::Info { link, info: &info }, turn);
    }

    /// Where the other server listens for gateways, other clusters are told, too.
    fn tell_sibling(&self, info: &Info) {
        let known = self.remote.as_ref().is_some_and(|known| known.gateway_url == info.gateway_url);
        if !known && self.route.is_some() {
            self.report_sibling(info);
        }
    }

    fn report_sibling(&self, info: &Info) {
        let (server, url) = (info.server_id.as_str(), Some(info.gateway_url.as_str()));
        self.conduct.node.supercluster.handle(GatewayEvent::Sibling { server, url });
    }

    /// Whether there may be a route of this account alone; none is named: yes.
    fn is_account_here(&self, name: &str) -> bool {
        let has_resolver = self.conduct.policy.authenticator.operators().is_some();
        name.is_empty() || has_resolver || self.conduct.node.accounts.find(name).is_some()
    }

    /// The first INFO says what the other end wants. True: it is all that there is to it, since both ends go on in S2 and say INFO again.
    fn agree_on_compression(&mut self, info: &Info, turn: &mut Turn) -> bool {
        let policy = self.conduct.policy.clone();
        let Some(own) = policy.options.cluster.as_ref() else { return false };
        if self.compression.agreed().is_some() {
            return false;
        }
        match self.compression.agree(&own.pool.compression, &info.compression) {
            Ok(false) => return false,
            Ok(true) => {}
            Err(unknown) => {
                self.refuse(&unknown.to_string(), CloseReason::ProtocolViolation, turn);
                return true;
            }
        }
        let Some(first) = self.conduct.node.cluster.first_info(self.peer().id) else { return false };
        if self.side == Side::Dialed {
            self.send_info(first, turn);
            self.compression.begin(&self.link, self.conduct.peer());
        } else {
            self.compression.begin(&self.link, self.conduct.peer());
            self.send_info(first, turn);
        }
        true
    }

    /// It is a route from here on.
    fn join(&mut self, place: &Place, is_configured: bool, turn: &mut Turn) {
        let node = self.conduct.node.clone();
        let Some(remote) = self.remote.clone() else { return };
        self.conduct.session.set_server(&remote.server_name);
        self.peer().set_protocol(remote.proto);
        let is_solicited = self.side == Side::Dialed;
        if is_solicited {
            self.pings.alive();
            turn.enqueue(self.peer(), encode::PING);
        }
        let share = match place {
            Place::Single => Share::All,
            Place::Pool { index, .. } => Share::Pooled(*index),
            Place::Dedicated(name) => {
                Share::Dedicated(node.accounts.make(name, &self.conduct.policy, &node.connections))
            }
        };
        let accounts = match &share {
            Share::Dedicated(_) => AccountNames::Dedicated,
            Share::All | Share::Pooled(_) => AccountNames::InLines,
        };
        let route = Arc::new(Route {
            session: self.conduct.session.clone(),
            share,
            is_solicited,
            is_configured,
            remote: RwLock::new(remote),
            compression: self.compression.state().clone(),
            interest: Mutex::default(),
            walk: Mutex::default(),
            arrival: Mutex::default(),
        });
        let limits = limits(&self.conduct.policy);
        self.reading.dialect = Dialect::route(limits, accounts, route.origins());
        self.peer().set_knows_origins(route.origins().knows(Origin::Cluster(b"")));
        self.conduct.open(turn.now());
        let more = node.delivery.routes.begin(&node.delivery.gate, &route, turn);
        self.share_gateways(&route, turn);
        self.route = Some(route);
        self.find_zone();
        self.pings.ask_behind(more, self.conduct.peer(), turn);
        self.take_rights(turn);
    }

    /// The other server is told of the other clusters, and answers to their requests may be led to it from here on.
    fn share_gateways(&self, route: &Route, turn: &mut Turn) {
        let node = &self.conduct.node;
        let Some(leads) = &node.delivery.leads else { return };
        let info = route.remote.read().clone();
        // A route for one account cannot say whose a message is.
        if route.dedicated_to().is_none() {
            leads.add_server(&info.server_id, self.peer());
        }
        self.report_sibling(&info);
        let mut out = Vec::new();
        node.supercluster.tellings().iter().for_each(|info| info.encode(&mut out));
        turn.enqueue(self.peer(), &out);
    }
}
