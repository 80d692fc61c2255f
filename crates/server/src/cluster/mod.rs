//! The cluster that this server is in: [`dialtone_mesh`] decides, and here is who is asked and who is told.
//!
//! Routes and the dialer hand events in; what comes out goes, in order, to the inboxes of the routes concerned and to the dialer's tasks.

mod settings;

pub(crate) use settings::{exchanged, permissions, settings};

use crate::policy::Identity;
use dialtone_broker::peer::{ClientId, Peer};
use dialtone_mesh::{
    Account, Action, ClientUrls, Cluster as Mesh, DialId, Event, LinkId, Note, Place, RouteUrl, Settings,
};
use dialtone_wire::CloseReason;
use dialtone_wire::route::{Connect, Info};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// How long the dialer sleeps when nothing is due.
const IDLE: std::time::Duration = std::time::Duration::from_secs(3600);

/// What a route is to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// It says CONNECT.
    Connect(Box<Connect>),
    /// It says INFO.
    Info(Box<Info>),
    /// Interest may be exchanged.
    Join {
        /// For what it is.
        place: Place,
        /// Whether the configuration names the other server.
        is_configured: bool,
    },
    /// It ends, behind this error if there is one.
    Close(CloseReason, Option<String>),
}

/// What the dialer is to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Connect.
    Dial(DialId, RouteUrl, u32),
    /// Tell clients where they may go.
    ClientUrls,
    /// An account has routes of its own from here on, or no longer.
    Dedicate(Account, bool),
    /// Log something.
    Note(Note),
}

#[derive(Default)]
struct State {
    mesh: Option<Mesh>,
    links: BTreeMap<LinkId, Inbox>,
    tasks: VecDeque<Task>,
    client_urls: Arc<ClientUrls>,
    stops: bool,
}

/// What waits for a route.
struct Inbox {
    peer: Arc<Peer>,
    orders: Vec<Order>,
}

/// One server's part in its cluster.
#[derive(Default)]
pub struct Cluster {
    state: Mutex<State>,
    changed: Condvar,
}

impl State {
    fn handle(&mut self, event: Event<'_>, by: Option<LinkId>) {
        let Some(mesh) = &mut self.mesh else { return };
        let mut actions = Vec::new();
        mesh.handle(event, Instant::now(), &mut actions);
        for action in actions {
            self.act(action, by);
        }
    }

    fn act(&mut self, action: Action, by: Option<LinkId>) {
        let (link, order) = match action {
            Action::SendConnect { link, connect } => (link, Order::Connect(connect)),
            Action::SendInfo { link, info } => (link, Order::Info(info)),
            Action::Join { link, place, configured, .. } => {
                (link, Order::Join { place, is_configured: configured })
            }
            Action::Close { link, reason, error } => (link, Order::Close(reason, error)),
            Action::Dial { dial, url, attempt, .. } => {
                return self.tasks.push_back(Task::Dial(dial, url, attempt));
            }
            Action::ClientUrls(urls) => {
                self.client_urls = Arc::new(urls);
                return self.tasks.push_back(Task::ClientUrls);
            }
            Action::AccountMoves { account } => return self.tasks.push_back(Task::Dedicate(account, true)),
            Action::AccountReturns { account } => {
                return self.tasks.push_back(Task::Dedicate(account, false));
            }
            Action::Note(note) => return self.tasks.push_back(Task::Note(note)),
            Action::PeerJoined { .. } | Action::PeerLeft { .. } | Action::ClusterNamed(_) => return,
        };
        if let Some(inbox) = self.links.get_mut(&link) {
            inbox.orders.push(order);
            // Whoever causes it looks by itself.
            if by != Some(link) {
                inbox.peer.wake_owner();
            }
        }
    }
}

impl Cluster {
    /// Begins to be in a cluster.
    pub(crate) fn begin(&self, identity: &Identity, settings: Settings) {
        let me = dialtone_mesh::Identity {
            id: identity.id.clone(),
            name: identity.name.clone(),
            made_up_cluster: identity.id.clone(),
            seed: rand::random(),
        };
        let mut state = self.state.lock();
        state.mesh = Some(Mesh::new(me, settings));
        state.handle(Event::Started, None);
    }

    /// Something happened.
    pub(crate) fn handle(&self, event: Event<'_>) {
        self.state.lock().handle(event, None);
        self.changed.notify_one();
    }

    /// Something happened on a connection. What it is to do.
    pub(crate) fn handle_of(&self, id: ClientId, event: Event<'_>) -> Vec<Order> {
        let link = LinkId(id.0);
        let mut state = self.state.lock();
        state.handle(event, Some(link));
        let orders = state.links.get_mut(&link).map(|inbox| std::mem::take(&mut inbox.orders));
        drop(state);
        self.changed.notify_one();
        orders.unwrap_or_default()
    }

    /// A connection is there. What is to be done is in its inbox.
    pub(crate) fn open(&self, peer: &Arc<Peer>, event: Event<'_>) {
        let link = LinkId(peer.id.0);
        let mut state = self.state.lock();
        state.links.insert(link, Inbox { peer: peer.clone(), orders: Vec::new() });
        state.handle(event, Some(link));
        drop(state);
        self.changed.notify_one();
    }

    /// What a connection is to do.
    pub(crate) fn orders(&self, id: ClientId) -> Vec<Order> {
        let mut state = self.state.lock();
        let inbox = state.links.get_mut(&LinkId(id.0));
        inbox.map(|inbox| std::mem::take(&mut inbox.orders)).unwrap_or_default()
    }

    /// A connection is over.
    pub(crate) fn lost(&self, id: ClientId) {
        let link = LinkId(id.0);
        let mut state = self.state.lock();
        state.links.remove(&link);
        state.handle(Event::Lost { link }, None);
        drop(state);
        self.changed.notify_one();
    }

    /// Its name; `None`: this server is in no cluster.
    pub(crate) fn name(&self) -> Option<String> {
        let state = self.state.lock();
        state.mesh.as_ref().map(|mesh| mesh.name().0.to_owned())
    }

    /// Where clients may go; empty without a cluster, and as long as there was nobody else in it.
    pub(crate) fn client_urls(&self) -> Arc<ClientUrls> {
        self.state.lock().client_urls.clone()
    }

    /// Stops dialling.
    pub(crate) fn stop(&self) {
        self.state.lock().stops = true;
        self.changed.notify_one();
    }

    /// What is to be done next; waits until there is something. `None`: nothing any more.
    pub(crate) fn next_task(&self) -> Option<Task> {
        let mut state = self.state.lock();
        loop {
            if state.stops {
                return None;
            }
            if let Some(task) = state.tasks.pop_front() {
                return Some(task);
            }
            let now = Instant::now();
            let due = state.mesh.as_ref().and_then(Mesh::next_timeout);
            if due.is_some_and(|at| at <= now) {
                state.handle(Event::Timeout, None);
                continue;
            }
            self.changed.wait_until(&mut state, due.unwrap_or(now + IDLE));
        }
    }
}
