//! The protocol of leaf nodes, from either end: a state machine without sockets, like that of clients.
//!
//! `accepted` is how a spoke comes in, and `dialed` how this server comes in at a hub, behind an `upgrade` where that is by WebSocket;
//! `operate` is what is said then. Which hubs are dialled is decided in [`crate::hubs`].
//!
//! Who dials is the spoke, unless its remote says `hub: true`: then CONNECT says so, and all that hubs and spokes differ in goes by the
//! peer's kind. How they come in stays as it is.

mod accepted;
mod dialed;
mod operate;
mod upgrade;

use crate::compression::{Compression, Followed};
use crate::conduct::{Conduct, Due, Handshake, Judged, Login};
use crate::hubs::{Hub, Order};
use crate::leafs::{Leaf, Remote};
use crate::lines::{self, Reading};
use crate::log::Event;
use crate::node::Node;
use crate::protocol::{Progress, Protocol, send_ping};
use crate::session::Session;
use crate::walk::Pings;
use accepted::Granted;
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Peer;
use dialtone_mesh::{HubEvent, LinkId, RouteUrl};
use dialtone_net::{Broken, Link, Secured};
use dialtone_wire::CloseReason;
use dialtone_wire::client::encode;
use dialtone_wire::interserver::Dialect;
use dialtone_wire::leaf::{Connect, Info};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use upgrade::Upgrade;

/// How far a connection is that this server dialled.
struct Dialed {
    hub: Arc<Hub>,
    url: RouteUrl,
    /// Until when the hub has to say what is waited for.
    until: Option<Instant>,
    before_tls: Option<BeforeTls>,
    upgrade: Option<Box<Upgrade>>,
    sent_connect: bool,
}

/// TLS comes behind INFO, and before all else.
struct BeforeTls {
    /// What the hub said of itself.
    info: Box<Info>,
    is_begun: bool,
}

/// How the connection came to be.
enum Side {
    /// The other end dialled. It signs this nonce; what it said in CONNECT is kept while it is being checked. INFO before that is for
    /// those alone who agree on compression. Where else it may connect it was told last: `urls`.
    Accepted {
        nonce: Box<str>,
        said_info: bool,
        pending: Option<Box<Connect>>,
        urls: Vec<String>,
        granted: Option<Box<Granted>>,
    },
    /// This end did.
    Dialed(Dialed),
}

/// A connection that speaks the protocol of leaf nodes.
pub(crate) struct LeafConnection {
    conduct: Conduct,
    side: Side,
    link: Arc<Link>,
    compression: Compression,
    /// WebSocket compresses each message already: there is no S2 beside.
    is_deflated: bool,
    reading: Reading,
    /// What it was asked that it has not answered.
    pings: Pings,
    /// The connection, once interest is exchanged.
    leaf: Option<Arc<Leaf>>,
}

impl LeafConnection {
    /// One that another server has dialled.
    pub(crate) fn accepted(node: Arc<Node>, session: Arc<Session>, link: &Arc<Link>, now: Instant) -> Self {
        let side = Side::Accepted {
            nonce: crate::random::nonce().into(),
            said_info: false,
            pending: None,
            urls: Vec::new(),
            granted: None,
        };
        Self::new(Conduct::new(node, session, now), side, link)
    }

    /// One that this server has dialled.
    pub(crate) fn dialed(
        node: Arc<Node>,
        session: Arc<Session>,
        (hub, url): (Arc<Hub>, RouteUrl),
        link: &Arc<Link>,
        now: Instant,
    ) -> Self {
        let until = Some(now + hub.own.link.first_info_timeout);
        let mut conduct = Conduct::new(node, session, now);
        // Who is dialled need not show who it is.
        conduct.open(now);
        conduct.hold_pings();
        let upgrade = Upgrade::of(&hub, &url).map(Box::new);
        let dialed = Dialed { hub, url, until, before_tls: None, upgrade, sent_connect: false };
        Self::new(conduct, Side::Dialed(dialed), link)
    }

    fn new(conduct: Conduct, side: Side, link: &Arc<Link>) -> Self {
        conduct.peer().set_understands_headers(conduct.policy.options.clients.headers);
        let payload_bytes_max = conduct.policy.options.limits.payload_bytes_max;
        let reading = Reading::new(Dialect::leaf(lines::limits(&conduct.policy, payload_bytes_max)));
        let (link, compression) = (link.clone(), Compression::default());
        Self {
            conduct,
            side,
            link,
            compression,
            is_deflated: false,
            reading,
            pings: Pings::default(),
            leaf: None,
        }
    }

    /// It has come by WebSocket, which compresses each message or does not.
    pub(crate) fn set_deflated(&mut self, is_deflated: bool) {
        self.is_deflated = is_deflated;
    }

    fn log(&self, event: Event, text: std::fmt::Arguments<'_>) {
        self.conduct.log(event, text);
    }

    fn peer(&self) -> &Arc<Peer> {
        self.conduct.peer()
    }

    /// Sends an error and closes.
    fn refuse(&self, error: &str, reason: CloseReason, turn: &mut Turn) {
        self.log(Event::LeafFailed, format_args!("{error}"));
        self.close_with(error, reason, turn);
    }

    /// The same of an error that the log has already.
    fn close_with(&self, error: &str, reason: CloseReason, turn: &mut Turn) {
        lines::refuse(&self.conduct, error, reason, turn);
    }

    /// Where the ends had to agree on compression, that says about how far away the other one is, as officially; PING says it better later.
    fn measure(&self, turn: &Turn) {
        if self.compression.is_on() {
            self.conduct.session.set_rtt(turn.now().saturating_duration_since(self.peer().start));
        }
    }

    /// Interest may be exchanged: the connection is in its account.
    fn join(&mut self, remote: Remote, is_isolated: bool, turn: &mut Turn) {
        let Some(account) = self.conduct.place.account.clone() else { return };
        let node = self.conduct.node.clone();
        self.conduct.session.set_server(&remote.server_name);
        let leaf = Arc::new(Leaf {
            session: self.conduct.session.clone(),
            account,
            remote,
            origin: Leaf::origin_of(self.peer()),
            is_solicited: matches!(self.side, Side::Dialed(_)),
            is_isolated,
            interest: Mutex::default(),
            walk: Mutex::default(),
            compression: self.compression.state().clone(),
        });
        if !leaf.is_solicited
            && let Some(stale) = node.delivery.leafs.twin(&leaf)
        {
            self.log(Event::Warning, format_args!("Replacing connection from same server"));
            let reason = CloseReason::DuplicateRemoteLeafnodeConnection;
            let mut bytes = Vec::new();
            encode::error(&mut bytes, reason.text());
            stale.session.peer.send(&bytes, turn.now());
            stale.session.peer.close(reason);
        }
        self.conduct.ping_soon(turn.now());
        // Those that every account has came behind the others.
        node.announce_shared(&leaf.account);
        let more = node.delivery.leafs.begin(&node.delivery.gate, &leaf, turn);
        self.pings.ask_behind(more, self.conduct.peer(), turn);
        self.leaf = Some(leaf);
        // Who came or went while it was not in yet.
        self.tell_urls(turn);
    }

    /// The next attempt waits so long behind the end of this connection, if this end dialled.
    fn delay_next(&self, delay: Duration) {
        if matches!(self.side, Side::Dialed(_)) {
            let link = LinkId(self.peer().id.0);
            self.conduct.node.hubs.handle(HubEvent::Delay { link, delay });
        }
    }

    fn take_orders(&mut self) {
        if matches!(self.side, Side::Dialed(_)) {
            for Order::Close(reason) in self.conduct.node.hubs.orders(self.peer().id) {
                self.peer().close(reason);
            }
        }
    }

    /// What its cluster is called at other ends.
    fn own_cluster(&self) -> String {
        self.conduct.node.cluster_name().unwrap_or_default()
    }

    /// Goes by what is in force.
    #[cold]
    fn renew(&mut self) {
        self.conduct.renew();
        if matches!(self.side, Side::Accepted { .. }) && !self.conduct.is_pinned(Handshake::Accepted) {
            return;
        }
        let policy = self.conduct.policy.clone();
        let Some(own) = policy.options.leafnodes.as_ref() else { return };
        // What is said of a hub is followed by another connection to it.
        if matches!(self.side, Side::Accepted { .. })
            && !self.is_deflated
            && self.compression.follow(&own.listener.compression, self.conduct.session.rtt()) == Followed::No
        {
            self.peer().close(CloseReason::ClientClosed);
        }
    }

    fn until(&self) -> Option<Instant> {
        match &self.side {
            // TLS has a time of its own.
            Side::Dialed(_) if self.conduct.is_securing() => None,
            Side::Dialed(dialed) => dialed.until,
            Side::Accepted { .. } => None,
        }
    }
}

impl Protocol for LeafConnection {
    fn peer(&self) -> Option<&Arc<Peer>> {
        Some(self.conduct.peer())
    }

    fn expect_handshake(&mut self) {
        let by = if matches!(self.side, Side::Dialed(_)) { Handshake::Dialed } else { Handshake::Accepted };
        self.conduct.expect_handshake(by, None);
    }

    fn throttle(&mut self) {
        self.peer().close(CloseReason::MaxConnectionsExceeded);
    }

    fn greet(&mut self, turn: &mut Turn) {
        match &self.side {
            Side::Accepted { .. } => {
                self.log(Event::LeafOpened, format_args!("Leafnode connection created"));
                self.send_greeting(turn);
            }
            Side::Dialed(Dialed { hub, .. }) => {
                let account = hub.own.account.as_deref().unwrap_or(dialtone_broker::account::GLOBAL);
                let text = format_args!("Leafnode connection created for account: {account}");
                self.log(Event::LeafOpened, text);
                self.take_orders();
                self.ask_upgrade();
            }
        }
    }

    /// No proxy stands in front of this listener.
    fn proxied(&mut self, _: Option<SocketAddr>) {}

    fn secured(&mut self, secured: Secured, turn: &mut Turn) {
        self.conduct.secured(secured, turn);
        self.go_on_secured(turn);
    }

    fn receive(&mut self, input: &[u8], turn: &mut Turn) -> Progress {
        let progress = self.take(input, turn);
        Progress { pause: self.conduct.checking_until(turn.now()), ..progress }
    }

    fn is_let_in(&self) -> bool {
        self.conduct.is_let_in()
    }

    fn deadline(&self) -> Option<Instant> {
        [self.conduct.deadline(), self.until()].into_iter().flatten().min()
    }

    fn expire(&mut self, turn: &mut Turn) {
        if self.until().is_some_and(|until| until <= turn.now()) {
            if self.is_upgrading() {
                return self.not_upgraded(&"i/o timeout");
            }
            self.log(Event::LeafFailed, format_args!("the hub does not say in time who it is"));
            return self.peer().close(CloseReason::AuthenticationTimeout);
        }
        match self.conduct.expire(false, turn) {
            Due::Nothing | Due::LetIn => {}
            Due::Ping => {
                self.pings.alive();
                send_ping(&self.conduct, turn);
            }
            Due::Refused(error, reason) => self.close_with(error.text(), reason, turn),
        }
    }

    fn woken(&mut self, turn: &mut Turn) -> bool {
        if self.conduct.is_outdated() {
            self.renew();
        }
        self.take_rights(turn);
        self.take_orders();
        self.tell_urls(turn);
        let judged = self.conduct.take_judgement(turn);
        if judged == (Judged::Good { greet: true }) {
            self.send_greeting(turn);
        }
        self.take_verdicts(turn) || matches!(judged, Judged::Good { .. })
    }

    fn broken(&mut self, how: &Broken) {
        if self.is_upgrading() && matches!(how, Broken::Eof) && !self.conduct.is_securing() {
            return self.not_upgraded(&"unexpected EOF");
        }
        self.conduct.broken(how);
    }

    fn leave(&mut self, turn: &mut Turn) {
        self.peer().shut();
        let mut remote = String::new();
        if let Some(leaf) = self.leaf.take() {
            let delivery = &self.conduct.node.delivery;
            delivery.leafs.remove(&leaf);
            delivery.past_links.add(&leaf.session, &leaf.remote.server_name);
            let gone = leaf.interest.lock().clear();
            delivery.gate.end_relay(gone, Some(turn));
            remote = format!(" - Remote: {}", leaf.remote.server_name);
        }
        if matches!(self.side, Side::Dialed(_)) {
            self.conduct.node.hubs.lost(self.peer().id);
        }
        let reason = self.peer().closing().unwrap_or(CloseReason::ClientClosed);
        let text = format_args!("Leafnode connection closed: {}{remote}", reason.text());
        self.log(Event::LeafClosed, text);
        self.conduct.leave(turn);
    }
}

impl LeafConnection {
    /// Takes note of how far a login is. True: the connection is in.
    fn carry_out(&mut self, login: Login, turn: &mut Turn) -> bool {
        match login {
            Login::Nothing | Login::Waiting => false,
            Login::In => true,
            Login::Refused(error, reason) => {
                self.close_with(error.text(), reason, turn);
                false
            }
        }
    }
}
