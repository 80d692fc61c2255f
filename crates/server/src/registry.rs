//! Who is connected, and who was.

pub use crate::session::Session;
use dialtone_broker::account::AccountId;
use dialtone_broker::peer::ClientId;
use dialtone_broker::subscription::Subscription;
use dialtone_identity::authenticator::Shown;
use dialtone_wire::CloseReason;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Subscriptions of closed connections that are remembered. A connection that ends when there are so many is remembered
/// without its own.
const CLOSED_SUBSCRIPTIONS_MAX: usize = 64 * 1024;

/// A connection that ended.
#[derive(Clone, Debug)]
pub struct Closed {
    /// What it was.
    pub session: Arc<Session>,
    /// How many subscriptions it had.
    pub subscriptions: usize,
    /// Those of them that are remembered: all, unless all connections together had too many.
    pub subscribed: Arc<[Arc<Subscription>]>,
    /// When it ended.
    pub stop: SystemTime,
    /// Why.
    pub reason: CloseReason,
}

/// All connections, and the last that ended.
#[derive(Debug, Default)]
pub struct Registry {
    open: Mutex<Open>,
    closed: Mutex<Ended>,
    slots: Mutex<Slots>,
    total: AtomicU64,
}

/// The connections that are open.
#[derive(Debug, Default)]
struct Open {
    /// With the account that each is in.
    all: BTreeMap<ClientId, (Arc<Session>, Option<AccountId>)>,
    /// How many of them are of leaf nodes.
    leaf_nodes: usize,
    /// Those in each account; `None`: in no account yet.
    by_account: HashMap<Option<AccountId>, BTreeSet<ClientId>>,
    /// The account whose authorization service let a connection in, where one did.
    services: HashMap<ClientId, Arc<str>>,
    /// The same by account. They may be in any account.
    by_service: HashMap<Arc<str>, BTreeSet<ClientId>>,
}

impl Open {
    fn move_to(&mut self, id: ClientId, from: Option<Option<AccountId>>, to: Option<Option<AccountId>>) {
        if let Some(from) = from
            && let Some(members) = self.by_account.get_mut(&from)
        {
            members.remove(&id);
            if members.is_empty() {
                self.by_account.remove(&from);
            }
        }
        if let Some(to) = to {
            self.by_account.entry(to).or_default().insert(id);
        }
    }

    fn set_service(&mut self, id: ClientId, service: Option<Arc<str>>) {
        if let Some(before) = self.services.remove(&id)
            && let Some(members) = self.by_service.get_mut(&before)
        {
            members.remove(&id);
            if members.is_empty() {
                self.by_service.remove(&before);
            }
        }
        if let Some(service) = service {
            self.services.insert(id, service.clone());
            self.by_service.entry(service).or_default().insert(id);
        }
    }
}

/// The connections that ended, the oldest first.
#[derive(Debug, Default)]
struct Ended {
    connections: VecDeque<Closed>,
    /// How many subscriptions they are remembered with.
    subscribed: usize,
}

/// Small numbers for peers, given again after use.
#[derive(Debug, Default)]
struct Slots {
    free: Vec<u32>,
    next: u32,
}

impl Registry {
    /// A slot for a new peer.
    pub fn take_slot(&self) -> u32 {
        let mut slots = self.slots.lock();
        slots.free.pop().unwrap_or_else(|| {
            slots.next += 1;
            slots.next - 1
        })
    }

    /// Gives a slot back.
    pub fn free_slot(&self, slot: u32) {
        self.slots.lock().free.push(slot);
    }

    /// Adds a connection. How many there are with it.
    pub fn insert(&self, session: Arc<Session>) -> usize {
        let is_leaf_node = session.peer.kind().is_leaf_connection();
        self.total.fetch_add(u64::from(!is_leaf_node), Ordering::Relaxed);
        let mut open = self.open.lock();
        open.leaf_nodes += usize::from(is_leaf_node);
        open.move_to(session.peer.id, None, Some(None));
        open.all.insert(session.peer.id, (session, None));
        open.all.len()
    }

    /// Notes that a connection is in an account from now on.
    pub fn enter(&self, id: ClientId, account: AccountId) {
        let mut open = self.open.lock();
        let Some((_, place)) = open.all.get_mut(&id) else { return };
        let before = place.replace(account);
        open.move_to(id, Some(before), Some(Some(account)));
    }

    /// Notes what a connection is in with.
    pub(crate) fn let_in(&self, session: &Session, shown: Shown) {
        let service = shown.service().map(Arc::from);
        session.set_shown(shown);
        let mut open = self.open.lock();
        if open.all.contains_key(&session.peer.id) {
            open.set_service(session.peer.id, service);
        }
    }

    /// Takes a connection out and remembers it, and what it had subscribed to, among the last `closed_max`.
    pub fn remove(
        &self,
        session: &Arc<Session>,
        reason: CloseReason,
        subscribed: Vec<Arc<Subscription>>,
        closed_max: usize,
    ) {
        {
            let mut open = self.open.lock();
            if let Some((_, account)) = open.all.remove(&session.peer.id) {
                open.leaf_nodes -= usize::from(session.peer.kind().is_leaf_connection());
                open.move_to(session.peer.id, Some(account), None);
                open.set_service(session.peer.id, None);
            }
        }
        if closed_max == 0 {
            return;
        }
        let subscriptions = subscribed.len();
        let mut closed = self.closed.lock();
        while closed.connections.len() >= closed_max
            && let Some(oldest) = closed.connections.pop_front()
        {
            closed.subscribed -= oldest.subscribed.len();
        }
        let fits = closed.subscribed + subscriptions <= CLOSED_SUBSCRIPTIONS_MAX;
        let subscribed: Arc<[_]> = if fits { subscribed.into() } else { Arc::default() };
        closed.subscribed += subscribed.len();
        let stop = SystemTime::now();
        let session = session.clone();
        closed.connections.push_back(Closed { session, subscriptions, subscribed, stop, reason });
    }

    /// Connections of clients now.
    pub fn len(&self) -> usize {
        let open = self.open.lock();
        open.all.len() - open.leaf_nodes
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Clients since the start.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// All connections, by number.
    pub fn open(&self) -> Vec<Arc<Session>> {
        self.open.lock().all.values().map(|(session, _)| session.clone()).collect()
    }

    /// The first so many connections behind this number, by number. It locks the registry for no longer than that.
    pub(crate) fn open_after(&self, id: ClientId, most: usize) -> Vec<Arc<Session>> {
        let open = self.open.lock();
        let behind = open.all.range((Bound::Excluded(id), Bound::Unbounded));
        behind.take(most).map(|(_, (session, _))| session.clone()).collect()
    }

    /// The connections in an account, by number; `None`: those that are in no account yet. Others are not walked.
    pub fn open_in(&self, account: Option<AccountId>) -> Vec<Arc<Session>> {
        let open = self.open.lock();
        let members = open.by_account.get(&account).into_iter().flatten();
        members.filter_map(|id| open.all.get(id)).map(|(session, _)| session.clone()).collect()
    }

    /// The connections that the authorization service of the account with this key let in, by number. Others are not
    /// walked.
    pub fn let_in_by(&self, account: &str) -> Vec<Arc<Session>> {
        let open = self.open.lock();
        let members = open.by_service.get(account).into_iter().flatten();
        members.filter_map(|id| open.all.get(id)).map(|(session, _)| session.clone()).collect()
    }

    /// One connection.
    pub fn find(&self, id: ClientId) -> Option<Arc<Session>> {
        self.open.lock().all.get(&id).map(|(session, _)| session.clone())
    }

    /// The connections that ended and that are wanted, the oldest first.
    pub fn closed(&self, is_wanted: impl Fn(&Closed) -> bool) -> Vec<Closed> {
        self.closed.lock().connections.iter().filter(|closed| is_wanted(closed)).cloned().collect()
    }
}
