//! Connections to other servers, of whatever kind: what monitoring shows of each, and what went by those that are over.

use crate::compression::State;
use crate::gateways::{Direction, Gateway, Gateways};
use crate::leafs::{Leaf, Leafs};
use crate::routes::{Route, Routes};
use crate::session::Session;
use dialtone_broker::kind::Kind;
use dialtone_broker::relay::RelayInterest;
use dialtone_broker::stats::Traffic;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Servers and clusters of a kind of which it is remembered what went by links that are over. The bound is one of the whole server.
const PAST_MAX: usize = 1000;

/// A connection to another server.
pub(crate) struct Link {
    /// What the other end is.
    pub(crate) kind: Kind,
    /// The name of the other server; of a gateway, that of the other cluster.
    pub(crate) remote: String,
    pub(crate) session: Arc<Session>,
    pub(crate) server: OtherServer,
    pub(crate) end: End,
    /// How much interest the other end has told.
    pub(crate) subscriptions: usize,
    /// How what is sent by it is compressed; `None`: it never is.
    pub(crate) compression: Option<Arc<State>>,
}

/// The end of a link here.
pub(crate) enum End {
    Route(Arc<Route>),
    Gateway(Arc<Gateway>),
    Leaf(Arc<Leaf>),
}

impl End {
    /// What the other end is interested in.
    pub(crate) fn interest(&self) -> MutexGuard<'_, RelayInterest> {
        match self {
            Self::Route(route) => route.interest.lock(),
            Self::Gateway(gateway) => gateway.interest.lock(),
            Self::Leaf(leaf) => leaf.interest.lock(),
        }
    }

    /// Whether messages come by it from the other end.
    pub(crate) fn brings(&self) -> bool {
        match self {
            Self::Gateway(gateway) => gateway.direction == Direction::Inbound,
            Self::Route(_) | Self::Leaf(_) => true,
        }
    }
}

/// Who is at the other end of a link.
pub(crate) struct OtherServer {
    /// Its name.
    pub(crate) name: String,
    /// Its public NKey; empty if it did not say it.
    pub(crate) id: String,
    /// The account there, if the link is for one.
    pub(crate) account: Option<String>,
}

/// What went by links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Messages.
    pub(crate) traffic: Traffic,
    /// Begins and ends of interest that the other end was told.
    pub(crate) interest_told: u64,
}

impl Carried {
    /// What went by a connection so far.
    pub(crate) fn by(session: &Session) -> Self {
        Self { traffic: session.peer.counters.read(), interest_told: session.interest_told() }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.traffic = self.traffic + other.traffic;
        self.interest_told = self.interest_told.saturating_add(other.interest_told);
    }
}

/// All links that there are: routes, gateways, leaf nodes.
pub(crate) fn open(routes: &Routes, gateways: &Gateways, leafs: &Leafs) -> Vec<Link> {
    let routes = routes.open();
    let routes = routes.iter().map(|route| {
        let remote = route.remote.read().clone();
        Link {
            kind: route.session.peer.kind(),
            remote: remote.server_name.clone(),
            session: route.session.clone(),
            server: OtherServer::new(&remote.server_name, &remote.server_id, None),
            end: End::Route(route.clone()),
            subscriptions: route.interest.lock().len(),
            compression: Some(route.compression.clone()),
        }
    });
    let gateways = gateways.open();
    let gateways = gateways.iter().map(|gateway| Link {
        kind: gateway.session.peer.kind(),
        remote: gateway.name.clone(),
        session: gateway.session.clone(),
        server: OtherServer::new(&gateway.remote.server_name, &gateway.remote.server_id, None),
        end: End::Gateway(gateway.clone()),
        subscriptions: gateway.interest.lock().len(),
        compression: None,
    });
    let leafs = leafs.open();
    let leafs = leafs.iter().map(|leaf| Link {
        kind: leaf.session.peer.kind(),
        remote: leaf.remote.server_name.clone(),
        session: leaf.session.clone(),
        server: OtherServer::new(
            &leaf.remote.server_name,
            &leaf.remote.server_id,
            Some(&leaf.remote.account),
        ),
        end: End::Leaf(leaf.clone()),
        subscriptions: leaf.interest.lock().len(),
        compression: Some(leaf.compression.clone()),
    });
    routes.chain(gateways).chain(leafs).collect()
}

impl OtherServer {
    fn new(name: &str, id: &str, account: Option<&str>) -> Self {
        let account = account.filter(|account| !account.is_empty()).map(str::to_owned);
        Self { name: name.to_owned(), id: id.to_owned(), account }
    }
}

/// What went by links that are over, by the name of the other end.
#[derive(Debug, Default)]
pub struct Past(Mutex<BTreeMap<(Kind, String), Carried>>);

impl Past {
    /// A link to this server, or cluster, is over.
    pub(crate) fn add(&self, session: &Session, remote: &str) {
        let mut past = self.0.lock();
        let key = (session.peer.kind(), remote.to_owned());
        let is_full = || past.keys().filter(|(kind, _)| *kind == key.0).count() >= PAST_MAX;
        if past.contains_key(&key) || !is_full() {
            past.entry(key).or_default().add(&Carried::by(session));
        }
    }

    /// All of it.
    pub(crate) fn read(&self) -> BTreeMap<(Kind, String), Carried> {
        self.0.lock().clone()
    }
}
