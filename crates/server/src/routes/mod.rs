//! Routes: connections to other servers of the cluster, as the rest of the server sees them, and what they are told of interest here.

mod announcer;
mod arrival;

pub(crate) use announcer::Announcer;
pub(crate) use arrival::{Answer, Arrival, Full, Waiting};

use crate::clock;
use crate::compression::State;
use crate::session::Session;
use crate::walk::Walk;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::interest::Gate;
use dialtone_broker::peer::Place;
use dialtone_broker::relay::RelayInterest;
use dialtone_identity::permission::Permissions;
use dialtone_mesh::{Account as AccountName, pool};
use dialtone_wire::interserver::LeafOrigins;
use dialtone_wire::route::Info;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

/// Which accounts a route is for.
#[derive(Clone, Debug)]
pub enum Share {
    /// All: the other server knows no pools.
    All,
    /// Those that hash to this place in the pool, but for accounts that have routes of their own.
    Pooled(u32),
    /// This one.
    Dedicated(Arc<Account>),
}

/// A route over which interest is exchanged.
#[derive(Debug)]
pub struct Route {
    /// The connection.
    pub session: Arc<Session>,
    /// Which accounts it is for.
    pub share: Share,
    /// This server dialled.
    pub is_solicited: bool,
    /// It was dialled because the configuration names it.
    pub is_configured: bool,
    /// What the other server is, by its last INFO.
    pub remote: RwLock<Arc<Info>>,
    /// What it is interested in.
    pub interest: Mutex<RelayInterest>,
    /// How far it has been told what interest there is here.
    pub(crate) walk: Mutex<Walk>,
    /// Who waits until the other server has heard of what there is.
    pub(crate) arrival: Mutex<Arrival>,
    /// How what is sent by it is compressed.
    pub(crate) compression: Arc<State>,
}

impl Route {
    /// The account that it is for alone.
    pub(crate) fn dedicated_to(&self) -> Option<&str> {
        match &self.share {
            Share::Dedicated(account) => Some(&account.name),
            Share::All | Share::Pooled(_) => None,
        }
    }

    /// It is told again what interest there is here, from when it is woken: what it may know has changed.
    pub(crate) fn outdate(&self) {
        self.walk.lock().repeat();
    }

    /// What the other server knows of interest that leaf nodes have.
    pub(crate) fn origins(&self) -> LeafOrigins {
        let remote = self.remote.read();
        LeafOrigins::from_fields(remote.lnoc, remote.lnocu, remote.ln)
    }
}

/// All routes of a server.
#[derive(Debug, Default)]
pub struct Routes {
    open: RwLock<Arc<Vec<Arc<Route>>>>,
    pools: RwLock<Pools>,
    /// What other servers may publish here, and what they may subscribe to.
    permissions: RwLock<Option<Arc<Permissions>>>,
}

/// How accounts are spread over routes.
#[derive(Debug, Default)]
struct Pools {
    size: u32,
    /// Accounts with routes of their own.
    dedicated: BTreeSet<AccountName>,
}

impl Routes {
    /// The routes that there are.
    pub fn open(&self) -> Arc<Vec<Arc<Route>>> {
        self.open.read().clone()
    }

    /// The same in the official order: server by server, as they came; the pool by its places, then accounts with routes of their own.
    pub(crate) fn listed(&self) -> Vec<Arc<Route>> {
        let mut routes = self.open().to_vec();
        let mut servers: HashMap<String, usize> = HashMap::new();
        routes.sort_by_cached_key(|route| {
            let next = servers.len();
            let server = *servers.entry(route.remote.read().server_id.clone()).or_insert(next);
            let (kind, place) = match &route.share {
                Share::All => (0, 0),
                Share::Pooled(place) => (1, *place),
                Share::Dedicated(_) => (2, 0),
            };
            (server, kind, place, route.dedicated_to().map(str::to_owned))
        });
        routes
    }

    /// Tells every server of the cluster something that is no description of this one.
    pub(crate) fn broadcast(&self, info: &Info) {
        let mut line = Vec::new();
        info.encode(&mut line);
        let mut told = BTreeSet::new();
        for route in self.open().iter() {
            if told.insert(route.remote.read().server_id.clone()) {
                route.session.peer.send(&line, clock::moment());
            }
        }
    }

    /// Whether there is a route to a server.
    pub(crate) fn leads_to(&self, server: &str) -> bool {
        self.open.read().iter().any(|route| route.remote.read().server_id == server)
    }

    /// How many servers there are routes to.
    pub(crate) fn remotes(&self) -> usize {
        let open = self.open();
        open.iter().map(|route| route.remote.read().server_id.clone()).collect::<BTreeSet<_>>().len()
    }

    /// Sets how accounts are spread: over a pool of so many, but for those with routes of their own.
    pub(crate) fn set_pools(&self, size: Option<NonZeroU32>, dedicated: &BTreeSet<AccountName>) {
        let (size, dedicated) = (size.map_or(0, NonZeroU32::get), dedicated.clone());
        *self.pools.write() = Pools { size, dedicated };
    }

    /// Sets over how many routes accounts are spread. Which have routes of their own, the cluster says one by one.
    pub(crate) fn set_pool_size(&self, size: Option<NonZeroU32>) {
        self.pools.write().size = size.map_or(0, NonZeroU32::get);
    }

    /// Sets what other servers may publish here, and what they may subscribe to. Whether that is something else: then routes are to be
    /// woken.
    pub(crate) fn set_permissions(&self, permissions: Option<Arc<Permissions>>, gate: &Gate) -> bool {
        let source = |permissions: Option<&Arc<Permissions>>| permissions.map(|p| p.source().clone());
        if source(self.permissions().as_ref()) == source(permissions.as_ref()) {
            return false;
        }
        // While no change of interest is reported: each is judged by the old rights or by the new ones.
        gate.hold(|_| {
            self.permissions.write().clone_from(&permissions);
            for route in self.open().iter() {
                let peer = &route.session.peer;
                peer.set_place(Place { permissions: permissions.clone(), ..peer.place() });
                route.outdate();
            }
        });
        true
    }

    /// Has each route look at what has changed.
    pub(crate) fn wake(&self) {
        self.open().iter().for_each(|route| route.session.peer.wake_owner());
    }

    /// What other servers may publish here, and what they may subscribe to.
    fn permissions(&self) -> Option<Arc<Permissions>> {
        self.permissions.read().clone()
    }

    /// An account has routes of its own from here on, or no longer. Interest in it that came by other routes is void.
    pub(crate) fn dedicate(&self, account: &AccountName, yes: bool, gate: &Gate) {
        let mut pools = self.pools.write();
        if !yes {
            pools.dedicated.remove(account);
            drop(pools);
            // Interest in it goes by others again.
            self.open().iter().for_each(|route| route.outdate());
            return self.wake();
        }
        pools.dedicated.insert(account.clone());
        drop(pools);
        let open = self.open();
        for route in open.iter().filter(|route| !matches!(route.share, Share::Dedicated(_))) {
            let gone = route.interest.lock().forget(account.as_bytes());
            gate.end_relay(gone, None);
        }
    }

    /// A route takes part from now on. Called while no change of interest is reported.
    fn add(&self, route: Arc<Route>) {
        let mut open = self.open.write();
        Arc::make_mut(&mut open).push(route);
    }

    /// It does not take part any more.
    pub(crate) fn remove(&self, route: &Arc<Route>) {
        let mut open = self.open.write();
        Arc::make_mut(&mut open).retain(|known| !Arc::ptr_eq(known, route));
    }

    /// Whether interest in an account, and its messages, go by this route.
    fn carries(&self, route: &Route, account: &Account) -> bool {
        match &route.share {
            Share::All => true,
            Share::Dedicated(only) => only.id == account.id,
            Share::Pooled(place) => {
                let pools = self.pools.read();
                !pools.dedicated.contains(&*account.name)
                    && pool::index_of(account.name.as_bytes(), pools.size) == *place
            }
        }
    }
}
