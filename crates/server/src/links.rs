//! Connections to other servers, of whatever kind: what monitoring shows of each, and what went by those that are over.

use crate::compression::State;
use crate::gateways::Gateways;
use crate::leafs::Leafs;
use crate::routes::Routes;
use crate::session::Session;
use dialtone_broker::kind::Kind;
use dialtone_broker::stats::Traffic;
use parking_lot::Mutex;
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
    /// How much interest the other end has told.
    pub(crate) subscriptions: usize,
    /// How what is sent by it is compressed; `None`: it never is.
    pub(crate) compression: Option<Arc<State>>,
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
    let link = |session: &Arc<Session>, remote: &str, subscriptions, compression| Link {
        kind: session.peer.kind,
        remote: remote.to_owned(),
        session: session.clone(),
        subscriptions,
        compression,
    };
    let routes = routes.open();
    let routes = routes.iter().map(|route| {
        let (known, compression) = (route.interest.lock().len(), Some(route.compression.clone()));
        link(&route.session, &route.remote.read().server_name, known, compression)
    });
    let gateways = gateways.open();
    let gateways = gateways
        .iter()
        .map(|gateway| link(&gateway.session, &gateway.name, gateway.interest.lock().len(), None));
    let leafs = leafs.open();
    let leafs = leafs.iter().map(|leaf| {
        let (known, compression) = (leaf.interest.lock().len(), Some(leaf.compression.clone()));
        link(&leaf.session, &leaf.remote.server_name, known, compression)
    });
    routes.chain(gateways).chain(leafs).collect()
}

/// What went by links that are over, by the name of the other end.
#[derive(Debug, Default)]
pub struct Past(Mutex<BTreeMap<(Kind, String), Carried>>);

impl Past {
    /// A link to this server, or cluster, is over.
    pub(crate) fn add(&self, session: &Session, remote: &str) {
        let mut past = self.0.lock();
        let key = (session.peer.kind, remote.to_owned());
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
