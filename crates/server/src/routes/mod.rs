//! Routes: connections to other servers of the cluster, as the rest of the server sees them, and what they are told of interest here.

mod announcer;

pub(crate) use announcer::Announcer;

use crate::session::Session;
use dialtone_broker::account::Account;
use dialtone_broker::relay::RelayInterest;
use dialtone_wire::interserver::LeafOrigins;
use dialtone_wire::route::Info;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Which accounts a route is for.
#[derive(Clone, Debug)]
pub enum Share {
    /// All: the other server knows no pools.
    All,
    /// Those that hash to this place in the pool, but for accounts that have routes of their own.
    Pooled(usize),
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
}

impl Route {
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
}

/// How accounts are spread over routes.
#[derive(Debug, Default)]
struct Pools {
    size: usize,
    /// Accounts with routes of their own.
    dedicated: BTreeSet<Box<str>>,
}

impl Routes {
    /// The routes that there are.
    pub fn open(&self) -> Arc<Vec<Arc<Route>>> {
        self.open.read().clone()
    }

    /// Sets how accounts are spread: over a pool of so many, but for those with routes of their own.
    pub(crate) fn set_pools(&self, size: usize, dedicated: impl Iterator<Item = Box<str>>) {
        *self.pools.write() = Pools { size, dedicated: dedicated.collect() };
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
                !pools.dedicated.contains(&account.name) && place_in_pool(&account.name, pools.size) == *place
            }
        }
    }
}

/// The place of an account in a pool of routes: both ends work it out by themselves, as the official server does (FNV-1a).
fn place_in_pool(account: &str, size: usize) -> usize {
    let hash = account
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize % size.max(1)
}

#[cfg(test)]
mod tests {
    use super::place_in_pool;

    /// As the official server was seen to spread them.
    #[test]
    fn accounts_have_the_official_places() {
        assert_eq!(["$G", "EXP", "IMP"].map(|name| place_in_pool(name, 3)), [2, 1, 2]);
        assert_eq!(place_in_pool("$G", 1), 0);
    }
}
