//! Connections of leaf nodes, to spokes and to hubs, as the rest of the server sees them, and what each is told of interest here.

mod announcer;

pub(crate) use announcer::Announcer;

use crate::compression::State;
use crate::random::random;
use crate::session::Session;
use crate::walk::Walk;
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::interest::Source;
use dialtone_broker::kind::Kind;
use dialtone_broker::peer::Peer;
use dialtone_broker::permission;
use dialtone_broker::relay::RelayInterest;
use dialtone_broker::reserved::stays_from_leafs;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What interest in a server's own name, for the detection of loops, begins with.
pub(crate) const LOOP_PREFIX: &[u8] = b"$LDS.";
/// Letters and digits of such a name behind the prefix. The official figure.
const LOOP_NAME_CHARS: usize = 22;

/// Who is at the other end.
#[derive(Clone, Debug, Default)]
pub struct Remote {
    /// Its public NKey; empty if it did not say it.
    pub server_id: String,
    /// Its name.
    pub server_name: String,
    /// Its account.
    pub account: String,
}

/// A connection of leaf nodes over which interest is exchanged.
#[derive(Debug)]
pub struct Leaf {
    /// The connection.
    pub session: Arc<Session>,
    /// The account here that it is for.
    pub account: Arc<Account>,
    /// Who is at the other end.
    pub remote: Remote,
    /// What its interest is told apart by: its cluster, or something that is no cluster's name.
    pub(crate) origin: Box<[u8]>,
    /// This server dialled.
    pub is_solicited: bool,
    /// It is not told of the interest of other leaf nodes.
    pub is_isolated: bool,
    /// How what is sent by it is compressed.
    pub(crate) compression: Arc<State>,
    /// What the other end is interested in.
    pub interest: Mutex<RelayInterest>,
    /// How far it has been told what interest there is here.
    pub(crate) walk: Mutex<Walk>,
}

impl Leaf {
    /// What the interest of such a connection is told apart by.
    pub(crate) fn origin_of(peer: &Peer) -> Box<[u8]> {
        match peer.leaf_cluster() {
            b"" => format!(" {}", peer.id.0).into_bytes().into(),
            cluster => cluster.into(),
        }
    }

    /// What this server is to the other end.
    pub fn is_spoke(&self) -> bool {
        self.kind() == Kind::Hub
    }

    fn kind(&self) -> Kind {
        self.session.peer.kind()
    }

    /// Whether it is told of interest in a filter that is of such a source.
    fn hears(&self, source: &Source<'_>, filter: &[u8]) -> bool {
        if let Source::Behind(kind, origin) = *source {
            if *origin == *self.origin {
                return false;
            }
            // A loop shows where a server's own name comes back to it, so names go everywhere.
            if filter.starts_with(LOOP_PREFIX) {
                return true;
            }
            if self.is_isolated && (kind.is_leaf_connection() || source.cluster().is_some()) {
                return false;
            }
        }
        source.is_told_to(self.kind())
    }

    /// Whether its rights let it be told of interest in a filter. Of services and of names it is told in any case: the official server asks
    /// where they are published to.
    fn may_hear(&self, source: &Source<'_>, filter: &[u8]) -> bool {
        let is_free = filter.starts_with(LOOP_PREFIX)
            || (matches!(source, Source::Account) && self.kind() == Kind::Spoke);
        let permissions = || self.session.peer.place().permissions;
        let passes = || !stays_from_leafs(self.account.is_system(), filter);
        is_free || (passes() && permission::announce_to_leaf(permissions().as_deref(), filter).is_ok())
    }
}

/// All connections of leaf nodes of a server.
#[derive(Debug, Default)]
pub struct Leafs {
    /// This server is in a supercluster: answers to other clusters go by it.
    has_gateways: bool,
    open: RwLock<HashMap<AccountId, Arc<Vec<Arc<Leaf>>>>>,
    /// Whether they are told of interest.
    pub(crate) is_told: AtomicBool,
    /// By account: what a loop is found by.
    loop_subjects: Mutex<HashMap<AccountId, Arc<[u8]>>>,
}

impl Leafs {
    /// Of a server with or without gateways.
    pub(crate) fn new(has_gateways: bool) -> Self {
        Self { has_gateways, ..Self::default() }
    }

    /// Those of all accounts, by their numbers.
    pub fn open(&self) -> Vec<Arc<Leaf>> {
        let mut all: Vec<_> = self.open.read().values().flat_map(|of_one| of_one.iter().cloned()).collect();
        all.sort_by_key(|leaf| leaf.session.peer.id);
        all
    }

    /// Has each look at what has changed.
    pub(crate) fn wake(&self) {
        self.open().iter().for_each(|leaf| leaf.session.peer.wake_owner());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.read().values().map(|of_one| of_one.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.read().is_empty()
    }

    /// Those of one account.
    pub(crate) fn of(&self, account: AccountId) -> Option<Arc<Vec<Arc<Leaf>>>> {
        self.open.read().get(&account).cloned()
    }

    /// The other one that a server dialled here for the same two accounts: it is stale.
    pub(crate) fn twin(&self, leaf: &Leaf) -> Option<Arc<Leaf>> {
        let of_account = self.of(leaf.account.id)?;
        let is_twin = |other: &&Arc<Leaf>| {
            let (own, its) = (&leaf.remote, &other.remote);
            let is_named = !own.server_name.is_empty() && !own.account.is_empty();
            is_named
                && !other.is_solicited
                && (&own.server_name, &own.account) == (&its.server_name, &its.account)
                && leaf.session.peer.leaf_cluster() == other.session.peer.leaf_cluster()
        };
        of_account.iter().find(is_twin).cloned()
    }

    /// The subject by which a loop through an account is found: whoever is told of interest in it by somebody else is part of one.
    pub(crate) fn loop_subject(&self, account: &Account) -> Arc<[u8]> {
        let make = || {
            let letters = (0..LOOP_NAME_CHARS).map(|_| random::<u32>() % 36);
            let name = letters.filter_map(|n| char::from_digit(n, 36)).collect::<String>();
            [LOOP_PREFIX, name.as_bytes()].concat().into()
        };
        self.loop_subjects.lock().entry(account.id).or_insert_with(make).clone()
    }

    /// Whether another connection for the account has brought interest in this name of a server: then there are two ways to that. All
    /// servers of one cluster bring the names that are behind any of them, and pass on no messages of each other's.
    pub(crate) fn is_known_elsewhere(&self, leaf: &Arc<Leaf>, name: &[u8]) -> bool {
        let brings = |other: &Arc<Leaf>| {
            let is_other = !Arc::ptr_eq(other, leaf) && !other.session.peer.is_closing();
            let is_same_server = other.remote.server_id == leaf.remote.server_id;
            let is_other_way = other.origin != leaf.origin || is_same_server;
            is_other && is_other_way && other.interest.lock().has_filter(name)
        };
        self.of(leaf.account.id).is_some_and(|leafs| leafs.iter().any(brings))
    }

    /// It takes part from now on. Called while no change of interest is reported.
    fn add(&self, leaf: Arc<Leaf>) {
        let mut open = self.open.write();
        Arc::make_mut(open.entry(leaf.account.id).or_default()).push(leaf);
    }

    /// It does not take part any more.
    pub(crate) fn remove(&self, leaf: &Arc<Leaf>) {
        let mut open = self.open.write();
        let Some(of_account) = open.get_mut(&leaf.account.id) else { return };
        Arc::make_mut(of_account).retain(|known| !Arc::ptr_eq(known, leaf));
        if of_account.is_empty() {
            open.remove(&leaf.account.id);
        }
    }
}
