//! How two servers of different clusters find out who they are to each other. Who is dialled sends INFO at once; who dials answers with
//! CONNECT and its own INFO.

use super::GatewayConnection;
use crate::conduct::Login;
use crate::gateways::{Direction, Gateway, Optimism};
use crate::lines;
use crate::log::Event;
use crate::supercluster::Order;
use dialtone_broker::deliver::Turn;
use dialtone_mesh::LinkId;
use dialtone_mesh::gateways::Event as MeshEvent;
use dialtone_wire::CloseReason;
use dialtone_wire::client::encode;
use dialtone_wire::gateway::{Command, Connect, Info};
use parking_lot::Mutex;
use std::sync::Arc;

/// What clients, routes and leaf nodes are told.
const WRONG_PORT: &str = "attempted to connect to gateway port";

impl GatewayConnection {
    /// Does what the supercluster wants by now. Before TLS it can only end.
    pub(super) fn take_orders(&mut self, turn: &mut Turn) {
        if self.conduct.is_securing() {
            let ends = |order: &Order| match order {
                Order::Close(reason, _) => Some(*reason),
                Order::Connect(_) | Order::Info(_) | Order::Join { .. } => None,
            };
            if let Some(reason) = self.conduct.node.supercluster.find_order(self.peer().id, ends) {
                self.peer().close(reason);
            }
            return;
        }
        let orders = self.conduct.node.supercluster.orders(self.peer().id);
        self.carry_out(orders, turn);
    }

    /// Reports what happened on this connection, and does what is wanted of it.
    pub(super) fn report<'e>(&mut self, event: impl FnOnce(LinkId) -> MeshEvent<'e>, turn: &mut Turn) {
        let id = self.peer().id;
        let orders = self.conduct.node.supercluster.handle_of(id, event(LinkId(id.0)));
        self.carry_out(orders, turn);
    }

    fn carry_out(&mut self, orders: Vec<Order>, turn: &mut Turn) {
        for order in orders {
            if self.peer().is_closing() {
                return;
            }
            match order {
                Order::Connect(connect) => self.send_connect(*connect, turn),
                Order::Info(info) => self.send_info(&info, turn),
                Order::Join { gateway } => self.join(gateway, turn),
                Order::Close(reason, None) => self.peer().close(reason),
                Order::Close(reason, Some(error)) => self.refuse(&error, reason, turn),
            }
        }
    }

    fn send_connect(&self, mut connect: Connect, turn: &mut Turn) {
        connect.tls_required = self.conduct.session.profile().secured.is_some();
        let mut out = Vec::new();
        connect.encode(&mut out);
        lines::send(&self.conduct, "CONNECT", &out, turn);
    }

    fn send_info(&self, info: &Info, turn: &mut Turn) {
        let mut out = Vec::new();
        info.encode(&mut out);
        lines::send(&self.conduct, "INFO", &out, turn);
    }

    /// The other end says who it is.
    pub(super) fn take_connect(&mut self, json: &[u8], turn: &mut Turn) {
        let Some(connect) = lines::readable(&self.conduct, Connect::parse(json)) else { return };
        if !self.is_stranger {
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
                if !connect.lang.is_empty() || connect.gateway.is_empty() {
                    self.log(Event::ProtocolError, format_args!("{WRONG_PORT}"));
                    return self.refuse(WRONG_PORT, CloseReason::WrongPort, turn);
                }
                self.is_stranger = false;
                self.report(|link| MeshEvent::Connect { link, connect: &connect }, turn);
            }
        }
    }

    /// INFO: who the other end is, something that has changed, another cluster, or how its interest comes.
    pub(super) fn take_info(&mut self, json: &[u8], turn: &mut Turn) {
        let said = Info::parse(json).and_then(|info| Ok((info.command()?, info)));
        let Some((command, info)) = lines::readable(&self.conduct, said) else { return };
        match command {
            // What comes counts from the first line on.
            Some(Command::AllInterestBegins(_) | Command::Unknown(_)) => return,
            Some(Command::AllInterestEnds(account)) => return self.has_all_interest(&account),
            Some(Command::Gossip) => {}
            None if self.remote.is_none() => self.remote = Some(Arc::new(info.clone())),
            None => {}
        }
        self.report(|link| MeshEvent::Info { link, info: &info }, turn);
    }

    /// Messages may go by it from here on.
    fn join(&mut self, name: String, turn: &mut Turn) {
        let node = self.conduct.node.clone();
        let Some(remote) = self.remote.clone() else { return };
        let (way, link) = match self.direction {
            Direction::Outbound => ("Outbound", "to"),
            Direction::Inbound => ("Inbound", "from"),
        };
        let text = format_args!("{way} gateway connection {link} {name:?} ({}) registered", remote.server_id);
        self.log(Event::GatewayOpened, text);
        let is_told_later = self.direction == Direction::Outbound && !remote.gateway_iom;
        let gateway = Arc::new(Gateway {
            session: self.conduct.session.clone(),
            name,
            direction: self.direction,
            optimism: is_told_later.then(|| Optimism::new(self.peer())),
            remote,
            named: Mutex::default(),
            unfinished: Mutex::default(),
            interest: Mutex::default(),
            walk: Mutex::default(),
        });
        self.conduct.session.set_server(&gateway.remote.server_name);
        self.peer().set_protocol(gateway.remote.proto);
        self.conduct.open(turn.now());
        let delivery = &node.delivery;
        match self.direction {
            Direction::Outbound => {
                self.pings.alive();
                turn.enqueue(self.peer(), encode::PING);
                self.conduct.pinged(turn.now());
                if let Some(leads) = &delivery.leads {
                    leads.add_cluster(&gateway.name, self.peer());
                }
                delivery.gateways.add_outbound(gateway.clone());
                if let Some(optimism) = &gateway.optimism {
                    optimism.follow(&node.accounts.all());
                }
            }
            Direction::Inbound => {
                let more = delivery.gateways.begin(&delivery.gate, &gateway, node.accounts.all(), turn);
                self.pings.ask_behind(more, self.conduct.peer(), turn);
            }
        }
        self.gateway = Some(gateway);
    }
}
