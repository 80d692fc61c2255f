//! The cluster that this server is in: [`dialtone_mesh`] decides, and here is who is asked and who is told.
//!
//! Routes and the dialer hand events in, and do what comes out ([`crate::machine`]).

mod settings;

pub(crate) use settings::{
    exchanged, gateway_address, joined, leaf_address, leaf_urls, permissions, settings,
};

use crate::machine::{Driven, Machine, Outcome};
use crate::policy::Identity;
use dialtone_broker::peer::ClientId;
use dialtone_mesh::{
    Account, Action, ClientUrls, Cluster as Mesh, DialId, Event, LinkId, Note, Place, RouteUrl, ServerId,
    Settings,
};
use dialtone_wire::CloseReason;
use dialtone_wire::route::{Connect, Info};
use std::sync::Arc;
use std::time::Instant;

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
    Dial {
        /// Its number.
        dial: DialId,
        /// Where to.
        url: RouteUrl,
        /// A name that the other server's certificate may have, where the URL has only an address.
        tls_name: Option<String>,
        /// How often it is tried, this time included.
        attempt: u32,
    },
    /// Tell clients where they may go.
    ClientUrls,
    /// Tell leaf nodes the same.
    LeafUrls,
    /// An account has routes of its own from here on, or no longer.
    Dedicate(Account, bool),
    /// The cluster is called so from here on.
    Named(String),
    /// Log something.
    Note(Note),
}

/// One server's part in its cluster.
pub type Cluster = Driven<Member>;

/// The cluster as this server sees it, and what clients are told of it.
pub struct Member {
    mesh: Mesh,
    client_urls: Arc<ClientUrls>,
    leaf_urls: Arc<Vec<String>>,
}

impl Machine for Member {
    type Event<'e> = Event<'e>;
    type Order = Order;
    type Task = Task;

    fn lost(link: LinkId) -> Event<'static> {
        Event::Lost { link }
    }

    fn timeout() -> Event<'static> {
        Event::Timeout
    }

    fn handle(&mut self, event: Event<'_>, now: Instant, out: &mut Vec<Outcome<Order, Task>>) {
        let mut actions = Vec::new();
        self.mesh.handle(event, now, &mut actions);
        out.extend(actions.into_iter().filter_map(|action| self.outcome(action)));
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.mesh.next_timeout()
    }
}

impl Member {
    /// Whose an action is.
    fn outcome(&mut self, action: Action) -> Option<Outcome<Order, Task>> {
        Some(match action {
            Action::SendConnect { link, connect } => Outcome::Order(link, Order::Connect(connect)),
            Action::SendInfo { link, info } => Outcome::Order(link, Order::Info(info)),
            Action::Join { link, place, configured, .. } => {
                Outcome::Order(link, Order::Join { place, is_configured: configured })
            }
            Action::Close { link, reason, error } => Outcome::Order(link, Order::Close(reason, error)),
            Action::Dial { dial, url, tls_name, attempt, .. } => {
                Outcome::Task(Task::Dial { dial, url, tls_name, attempt })
            }
            Action::ClientUrls(urls) => {
                self.client_urls = Arc::new(urls);
                Outcome::Task(Task::ClientUrls)
            }
            Action::LeafUrls(urls) => {
                self.leaf_urls = Arc::new(urls);
                Outcome::Task(Task::LeafUrls)
            }
            Action::AccountMoves { account } => Outcome::Task(Task::Dedicate(account, true)),
            Action::AccountReturns { account } => Outcome::Task(Task::Dedicate(account, false)),
            Action::Note(note) => Outcome::Task(Task::Note(note)),
            Action::ClusterNamed(name) => Outcome::Task(Task::Named(name)),
            Action::PeerJoined { .. } | Action::PeerLeft { .. } => return None,
        })
    }
}

impl Cluster {
    /// Begins to be in a cluster.
    pub(crate) fn begin(&self, identity: &Identity, settings: Settings) {
        let me = dialtone_mesh::Identity {
            id: identity.id.clone(),
            name: identity.name.clone(),
            made_up_cluster: identity.id.clone(),
            seed: crate::random::random(),
        };
        let leaf_urls = Arc::new(settings.info.leafnode_urls.clone());
        let member = Member { mesh: Mesh::new(me, settings), client_urls: Arc::default(), leaf_urls };
        self.start(member, Event::Started);
    }

    /// Its name; `None`: this server is in no cluster.
    pub(crate) fn name(&self) -> Option<String> {
        self.read(|member| member.mesh.name().0.to_owned())
    }

    /// What it says first on a connection; `None`: this server is in no cluster.
    pub(crate) fn first_info(&self, id: ClientId) -> Option<Info> {
        self.read(|member| member.mesh.first_info(LinkId(id.0)))
    }

    /// Where clients may go; empty without a cluster, and as long as there was nobody else in it.
    pub(crate) fn client_urls(&self) -> Arc<ClientUrls> {
        self.read(|member| member.client_urls.clone()).unwrap_or_default()
    }

    /// Where clients reach these servers.
    pub(crate) fn client_urls_of(&self, servers: &[ServerId]) -> ClientUrls {
        self.read(|member| member.mesh.client_urls_of(servers)).unwrap_or_default()
    }

    /// Whether another server is sending its clients away.
    pub(crate) fn has_lame_duck(&self) -> bool {
        self.read(|member| member.mesh.has_lame_duck()).unwrap_or_default()
    }

    /// Where leaf nodes may go; `None`: this server is in no cluster, or ends.
    pub(crate) fn leaf_urls(&self) -> Option<Arc<Vec<String>>> {
        self.read(|member| member.leaf_urls.clone())
    }
}
