//! Who is connected, and who was.

use crate::policy::Policy;
use crate::rejection::Rejection;
use crate::tls::Judgement;
pub use crate::transport::ClientTransport;
use crate::usage::{Checkpoint, ConnectionState, CountFrom, Usage, User};
use crate::verdict::Verdict;
use dialtone_broker::account::AccountId;
use dialtone_broker::connection_info::{ConnectionInfo, ConnectionInfoSource};
use dialtone_broker::peer::{ClientId, Peer};
use dialtone_broker::subscription::Subscription;
use dialtone_identity::authenticator::{Kept, Shown};
use dialtone_identity::operator::Claimed;
use dialtone_net::Secured;
use dialtone_wire::{CloseReason, Info};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

/// Subscriptions of closed connections that are remembered. A connection that ends when there are so many is remembered
/// without its own.
const CLOSED_SUBSCRIPTIONS_MAX: usize = 64 * 1024;

/// What a client said of itself, and what the server made of it. No secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientDetails {
    /// The connection's name.
    pub name: Box<str>,
    /// The library's language.
    pub lang: Box<str>,
    /// The library's version.
    pub version: Box<str>,
    /// The user, as it may be shown.
    pub user: Arc<str>,
    /// The account.
    pub account: Box<str>,
    /// It showed that it has an NKey of the configuration.
    pub by_nkey: bool,
}

/// The kind of connection, as monitoring, events and services call it.
pub const CLIENT: &str = "Client";

/// A connection as it is watched from outside its loop.
#[derive(Debug)]
pub struct Session {
    /// Its end.
    pub peer: Arc<Peer>,
    /// By which way it came.
    pub transport: ClientTransport,
    remote: Mutex<Option<SocketAddr>>,
    /// Whom a proxy's header of the upgrade names as the other end. Anybody can send one.
    forwarded_for: OnceLock<IpAddr>,
    /// When it came. To measure by, its peer has the same.
    pub start: SystemTime,
    /// What CONNECT said.
    client_details: Mutex<Option<Arc<ClientDetails>>>,
    /// What the server made of it when it came in without a CONNECT.
    assumed: Mutex<Option<Arc<ClientDetails>>>,
    /// What the TLS handshake agreed on.
    pub secured: OnceLock<Secured>,
    /// The trusted proxy that signed for it, by its public NKey.
    pub proxy: OnceLock<Arc<str>>,
    /// How the log calls it.
    who: Mutex<Arc<str>>,
    verdicts: Mutex<Vec<Verdict>>,
    waits: AtomicBool,
    kept: Mutex<Remembered>,
    judgement: Mutex<Option<Box<Judgement>>>,
    claimed: Mutex<Option<Arc<Claimed>>>,
    ending: AtomicBool,
    /// Who it is: a name in the configuration, the NKey of a token, or the name that an authorization service gave it;
    /// empty for nobody.
    user: Mutex<Option<Arc<str>>>,
    used: Mutex<Option<Box<Checkpoint>>>,
    /// Why it was not let in.
    pub(crate) rejection: OnceLock<Box<Rejection>>,
    /// Messages that its rate limits refused.
    pub refused_msgs: AtomicU64,
    /// Messages that its rate limits let wait.
    pub delayed_msgs: AtomicU64,
}

/// What a session came in with.
#[derive(Debug, Default)]
struct Remembered {
    version: u32,
    shown: Option<Kept>,
}

impl Session {
    /// A connection that has just come.
    pub fn new(peer: Arc<Peer>, transport: ClientTransport, remote: Option<SocketAddr>) -> Self {
        let from = remote.map_or_else(|| "local".to_owned(), |r| r.to_string());
        let who = format!("{from} - {}:{}", transport.number_label(), peer.id.0);
        Self {
            peer,
            transport,
            remote: Mutex::new(remote),
            forwarded_for: OnceLock::new(),
            start: SystemTime::now(),
            client_details: Mutex::default(),
            assumed: Mutex::default(),
            secured: OnceLock::new(),
            proxy: OnceLock::new(),
            who: Mutex::new(who.into()),
            verdicts: Mutex::default(),
            waits: AtomicBool::new(false),
            kept: Mutex::default(),
            judgement: Mutex::default(),
            claimed: Mutex::new(None),
            ending: AtomicBool::new(false),
            user: Mutex::default(),
            used: Mutex::new(None),
            rejection: OnceLock::new(),
            refused_msgs: AtomicU64::new(0),
            delayed_msgs: AtomicU64::new(0),
        }
    }

    /// Who it is, as far as it is known: by its CONNECT, or without one.
    pub fn known(&self) -> Option<Arc<ClientDetails>> {
        self.client_details().or_else(|| self.assumed.lock().clone())
    }

    /// What CONNECT said.
    pub fn client_details(&self) -> Option<Arc<ClientDetails>> {
        self.client_details.lock().clone()
    }

    /// Keeps what its first CONNECT said.
    pub fn set_client_details(&self, client_details: ClientDetails) {
        self.client_details.lock().get_or_insert_with(|| client_details.into());
    }

    /// Keeps what the server made of it when it came in without a CONNECT.
    pub fn assume(&self, client_details: ClientDetails) {
        self.assumed.lock().get_or_insert_with(|| client_details.into());
    }

    /// Who it is, if it is in.
    pub(crate) fn user(&self) -> Option<Arc<str>> {
        self.user.lock().clone()
    }

    /// It is this user from now on, for its rates and in what is shown of it.
    pub(crate) fn set_user(&self, user: &Arc<str>) {
        *self.user.lock() = Some(user.clone());
        for known in [&self.client_details, &self.assumed] {
            if let Some(known) = known.lock().as_mut().filter(|known| *known.user != **user) {
                Arc::make_mut(known).user = user.clone();
            }
        }
    }

    /// What it came in with; `None`: it is not in.
    pub fn shown(&self) -> Option<Shown> {
        self.shown_and_version().0
    }

    /// The same, and a number that is another one as soon as it has shown something else.
    pub(crate) fn shown_and_version(&self) -> (Option<Shown>, u32) {
        let kept = self.kept.lock();
        (kept.shown.as_ref().map(Kept::shown), kept.version)
    }

    /// It is in with this. By [`Registry::let_in`] only, which keeps whose service let it in.
    fn set_shown(&self, shown: Shown) {
        let mut kept = self.kept.lock();
        *kept = Remembered { version: kept.version.wrapping_add(1), shown: Some(shown.into()) };
    }

    /// Keeps what was found out about what it came in with, unless it has shown something else than at `version`.
    pub(crate) fn remember(&self, version: u32, shown: Shown) {
        let mut kept = self.kept.lock();
        if kept.version == version {
            *kept = Remembered { version: version.wrapping_add(1), shown: Some(shown.into()) };
        }
    }

    /// The key that issued the token that it is in with. With an NKey of the configuration the official server tells the
    /// account.
    pub fn issuer_key(&self) -> Option<String> {
        self.user()?;
        match self.claimed() {
            Some(claimed) => Some(claimed.token.issuer.to_string()),
            None => self.known().filter(|known| known.by_nkey).map(|known| known.account.to_string()),
        }
    }

    /// The other end's address, as far as it is known. By this address rights and shares go.
    pub fn remote(&self) -> Option<SocketAddr> {
        *self.remote.lock()
    }

    /// The other end's address as it is shown: behind an HTTP proxy, the one that the proxy names.
    pub fn shown_remote(&self) -> Option<SocketAddr> {
        let remote = self.remote()?;
        Some(SocketAddr::new(self.forwarded_for.get().copied().unwrap_or(remote.ip()), remote.port()))
    }

    /// A proxy's header names the other end.
    pub fn set_forwarded_for(&self, address: IpAddr) {
        let from = self.remote().map(|remote| remote.to_string()).unwrap_or_default();
        // Set once, by the upgrade.
        let _ = self.forwarded_for.set(address);
        self.set_who(format!("{address}/{from} - {}:{}", self.transport.number_label(), self.peer.id.0));
    }

    /// A proxy has said who the other end is.
    pub fn set_remote(&self, remote: SocketAddr) {
        *self.remote.lock() = Some(remote);
        self.set_who(format!("{remote} - {}:{}", self.transport.number_label(), self.peer.id.0));
    }

    /// How the log calls it: address, number, and once it is known, library and user.
    pub fn who(&self) -> Arc<str> {
        self.who.lock().clone()
    }

    /// Says how the log calls it from now on.
    pub fn set_who(&self, who: String) {
        *self.who.lock() = who.into();
    }

    /// Leaves what OCSP says of its certificate.
    pub(crate) fn put_judgement(&self, judgement: Judgement) {
        *self.judgement.lock() = Some(Box::new(judgement));
    }

    /// Takes that, if it is there.
    pub(crate) fn take_judgement(&self) -> Option<Box<Judgement>> {
        self.judgement.lock().take()
    }

    /// Leaves the answer of a check that took long.
    pub fn put_verdict(&self, verdict: Verdict) {
        self.verdicts.lock().push(verdict);
    }

    /// Leaves such an answer and wakes the loop, if the connection still waits for it.
    pub(crate) fn decide(&self, verdict: Verdict) {
        if self.peer.closing().is_none() {
            self.put_verdict(verdict);
            self.peer.wake_owner();
        }
    }

    /// Takes such an answer, if one is there.
    pub fn take_verdict(&self) -> Option<Verdict> {
        let mut verdicts = self.verdicts.lock();
        (!verdicts.is_empty()).then(|| verdicts.remove(0))
    }

    /// Whether others have to be asked about it, and work for those who came before is done first.
    pub(crate) fn waits_its_turn(&self) -> bool {
        self.waits.load(Ordering::Acquire)
    }

    /// It waits for its turn, or that has come.
    pub(crate) fn set_waiting(&self, waits: bool) {
        self.waits.store(waits, Ordering::Release);
    }

    /// What its token gives it, if it came by one.
    pub fn claimed(&self) -> Option<Arc<Claimed>> {
        self.claimed.lock().clone()
    }

    /// Says what its token gives it from now on; `None`: it is a user of the configuration.
    pub fn set_claimed(&self, claimed: Option<Arc<Claimed>>) {
        *self.claimed.lock() = claimed;
    }

    /// Whether its token is of the account with this key.
    pub fn is_of(&self, account: &str) -> bool {
        self.claimed.lock().as_ref().is_some_and(|claimed| *claimed.account == *account)
    }

    /// Whether the caller is the first to end it from outside its loop.
    pub(crate) fn begins_to_end(&self) -> bool {
        !self.ending.swap(true, Ordering::AcqRel)
    }

    /// What it uses counts, if it is in an account and did not count before.
    pub(crate) fn begin_use(&self, now: Instant, since: CountFrom) {
        let Some(account) = self.peer.place().account else { return };
        let id = self.user().unwrap_or_else(|| "".into());
        let name = self.claimed().map(|claimed| claimed.name.clone()).filter(|name| **name != *id);
        let user = User { id, name: name.map(Into::into) };
        let refused_msgs = self.refused_msgs.load(Ordering::Relaxed);
        let mut checkpoint = Checkpoint::new(account, user, now);
        if since == CountFrom::Now {
            checkpoint.skip_earlier(self.peer.counters.read(), refused_msgs);
        }
        self.used.lock().get_or_insert_with(|| Box::new(checkpoint));
    }

    /// Adds to `usage` what it used since it was last settled.
    pub(crate) fn settle(&self, usage: &Usage, now: Instant, state: ConnectionState) {
        let refused_msgs = self.refused_msgs.load(Ordering::Relaxed);
        usage.settle(&self.used, now, self.peer.counters.read(), refused_msgs, state);
    }

    /// INFO for it.
    pub(crate) fn info(&self, policy: &Policy) -> Info {
        let mut info = policy.info_of(self.transport).clone();
        info.client_id = self.peer.id.0;
        info.client_ip = self.shown_remote().map(|r| r.ip().to_string()).unwrap_or_default();
        if !self.transport.is_remote() {
            // What does not leave the machine has no TLS.
            (info.tls_required, info.tls_available, info.tls_verify) = (false, false, false);
        }
        info
    }

    /// Asks the client to go to another server, if it understands that.
    pub(crate) fn send_away(&self, policy: &Policy) {
        if self.peer.takes_info() {
            let mut info = self.info(policy);
            info.lame_duck = true;
            let mut bytes = Vec::new();
            info.encode(&mut bytes);
            self.peer.send(&bytes, Instant::now());
        }
    }

    /// Sets the round-trip time.
    pub fn set_rtt(&self, rtt: Duration) {
        self.peer.set_rtt(rtt);
    }

    /// The last round-trip time; zero before the first.
    pub fn rtt(&self) -> Duration {
        self.peer.rtt()
    }
}

impl ConnectionInfoSource for Session {
    fn connection_info(&self) -> ConnectionInfo {
        let said = self.known().map(Arc::unwrap_or_clone).unwrap_or_default();
        let claimed = self.claimed();
        let claims = claimed.as_deref();
        ConnectionInfo {
            start: crate::times::stamp(self.start),
            host: self.shown_remote().map(|remote| remote.ip().to_string()).unwrap_or_default(),
            user: said.user.to_string(),
            name: said.name.into(),
            lang: said.lang.into(),
            version: said.version.into(),
            kind: CLIENT,
            client_type: self.transport.client_type(),
            // A bearer token is a secret.
            jwt: claims.filter(|c| !c.bearer).map(|c| c.jwt.to_string()).unwrap_or_default(),
            issuer_key: self.issuer_key().unwrap_or_default(),
            name_tag: claims.map(|c| c.name.clone()).unwrap_or_default(),
            tags: claims.map(|c| c.token.tags.clone()).unwrap_or_default(),
        }
    }
}

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
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.lock();
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

    /// Connections now.
    pub fn len(&self) -> usize {
        self.open.lock().all.len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Connections since the start.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// All connections, by number.
    pub fn open(&self) -> Vec<Arc<Session>> {
        self.open.lock().all.values().map(|(session, _)| session.clone()).collect()
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
