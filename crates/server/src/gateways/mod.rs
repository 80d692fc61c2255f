//! Connections to other clusters, as the rest of the server sees them, and what those are told of interest in this one.

mod announcer;
mod assumed;

pub(crate) use announcer::Announcer;
pub use assumed::Optimism;

use crate::session::Session;
use crate::walk::Walk;
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::relay::RelayInterest;
use dialtone_wire::gateway::Info;
use parking_lot::{Mutex, RwLock};
use std::collections::HashSet;
use std::sync::Arc;

/// Who dialled, and with that which way messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// This server did: messages go out by it, and interest comes in.
    Outbound,
    /// The other end did: messages come in by it, and interest goes out.
    Inbound,
}

/// A connection to a server of another cluster.
#[derive(Debug)]
pub struct Gateway {
    /// The connection.
    pub session: Arc<Session>,
    /// The other cluster.
    pub name: String,
    /// Which way messages go.
    pub direction: Direction,
    /// What the other server said of itself.
    pub remote: Arc<Info>,
    /// The accounts that the other cluster knows to be here, of one that is inbound: it takes interest in no other.
    pub(crate) named: Mutex<HashSet<AccountId>>,
    /// Those of which it has not been told all.
    pub(crate) unfinished: Mutex<Vec<Arc<Account>>>,
    /// What is assumed of one that is outbound, and does not send all its interest from the beginning.
    pub optimism: Option<Optimism>,
    /// What the other cluster is interested in, of one that is outbound.
    pub interest: Mutex<RelayInterest>,
    /// How far the other cluster has been told what interest there is here, by one that is inbound.
    pub(crate) walk: Mutex<Walk>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Gateways {
    /// The own cluster's name.
    own_name: String,
    open: RwLock<Arc<Vec<Arc<Gateway>>>>,
}

impl Gateways {
    /// Of a server in a cluster of this name; it stays empty where that is none.
    pub(crate) fn new(own_name: Option<&str>) -> Self {
        Self { own_name: own_name.unwrap_or_default().to_owned(), open: RwLock::default() }
    }

    /// Lets all go by what is in force.
    pub(crate) fn wake(&self) {
        self.open().iter().for_each(|gateway| gateway.session.peer.wake_owner());
    }

    /// An account has come: who sends no interest from the beginning may want what is published there.
    pub(crate) fn meet(&self, account: &Arc<Account>) {
        self.open().iter().filter_map(|gateway| gateway.optimism.as_ref()).for_each(|o| o.meet(account));
    }

    /// The connections that there are, in the order in which they came.
    pub fn open(&self) -> Arc<Vec<Arc<Gateway>>> {
        self.open.read().clone()
    }

    /// Those of one direction.
    pub(crate) fn towards(&self, direction: Direction) -> Vec<Arc<Gateway>> {
        self.open().iter().filter(|gateway| gateway.direction == direction).cloned().collect()
    }

    /// The names of the other clusters that messages go to, the nearest first.
    pub(crate) fn by_distance(&self) -> Vec<String> {
        let mut outbound = self.towards(Direction::Outbound);
        outbound.sort_by_cached_key(|gateway| {
            let rtt = gateway.session.rtt();
            // Of one that has not answered yet nothing is known.
            (rtt.is_zero(), rtt)
        });
        outbound.iter().map(|gateway| gateway.name.clone()).collect()
    }

    /// One takes part from now on. Called while no change of interest is reported.
    fn add(&self, gateway: Arc<Gateway>) {
        let mut open = self.open.write();
        Arc::make_mut(&mut open).push(gateway);
    }

    /// One that is outbound, and is told of no interest.
    pub(crate) fn add_outbound(&self, gateway: Arc<Gateway>) {
        self.add(gateway);
    }

    /// It does not take part any more.
    pub(crate) fn remove(&self, gateway: &Arc<Gateway>) {
        let mut open = self.open.write();
        Arc::make_mut(&mut open).retain(|known| !Arc::ptr_eq(known, gateway));
    }
}
