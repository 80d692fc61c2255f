//! A client inside the server: it subscribes, is delivered to and publishes like any other, on a thread for each [`Domain`].
//!
//! [`Internal`] is what every thread holds: it registers handlers for subjects and posts work. [`Executor`] is what
//! the thread of a domain works at: handlers and tasks get it, and through it they publish, ask and set timers. The system
//! account's events and requests, and whatever else answers from inside, are built on these two. Questions whose answers
//! are documents do not pass these threads: threads of their own answer them ([`questions`]) with a [`Publisher`].
//!
//! Invariants: event loops hand messages over and never wait for these threads; what waits is bounded by domain and lane, and
//! what is too much is dropped from the share that has most ([`crate::share`]), counted and logged. What is published from
//! inside passes the same gates and routes as a client's messages.

mod domain;
mod executor;
mod mailbox;
mod message;
mod publisher;
mod questions;
#[cfg(test)]
mod tests;

pub use domain::Domain;
pub use executor::{Executor, Reply, Timer};
pub use message::{Message, Outgoing};
pub use publisher::Publisher;

use crate::delivery::Delivery;
use crate::registry::{Registry, Session};
use crate::share::{Lane, LaneFigures, Share};
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::interest::Gate;
use dialtone_broker::kind::Entry;
use dialtone_broker::peer::{Basics, ClientId, Peer, Place};
use dialtone_broker::stats::Totals;
use dialtone_broker::subscription::Subscription;
use dialtone_net::Threads;
use dialtone_net::threads::Watch;
use dialtone_wire::CloseReason;
use mailbox::{Mailbox, Queues, Work};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use std::time::Instant;

/// The number of the server's own client. It is in no list of connections.
pub(crate) const OWN_ID: ClientId = ClientId::OF_SERVER;
/// How long [`Internal::stop`] waits for what is still to be done.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one turn of a domain's thread may take, or work wait, before the thread is reported to stand still.
const STALL: Duration = Duration::from_secs(10);

/// The server that a client is inside of, as far as the client asks for it.
pub trait Host: Send + Sync + Sized + 'static {
    /// What those remember who work on the thread of a domain.
    type State: Default + Send;

    /// The client inside of it.
    fn internal(&self) -> &Internal<Self>;
    /// Its connections.
    fn registry(&self) -> &Registry;
    /// What turns deliver by.
    fn delivery(&self) -> &Delivery;
    /// What it runs on.
    fn threads(&self) -> &Threads;
}

/// What answers messages to a subject. Runs on the thread of a domain.
pub type Handler<N> = Arc<dyn Fn(&mut Executor<N>, &Message) + Send + Sync>;
/// What answers questions to a subject. Runs on one of the threads for questions.
pub type QuestionHandler<N> = Arc<dyn Fn(&mut Publisher<N>, &Message) + Send + Sync>;

/// Who looks at the messages of a subscription from inside.
pub enum Listener<N: Host> {
    /// The control thread, as urgently as the lane says.
    Control(Lane, Handler<N>),
    /// The thread of a domain, for whoever asks: each account has its share.
    In(Domain, Handler<N>),
    /// The thread of a domain, which has asked: answers come before all else.
    Answers(Domain, Handler<N>),
    /// The threads for questions.
    Question(QuestionHandler<N>),
    /// Nobody: it is subscribed because its being there is counted.
    Nobody,
}

impl<N: Host> Listener<N> {
    fn place(&self) -> Option<(Domain, Lane)> {
        match self {
            Self::Control(lane, _) => Some((Domain::Control, *lane)),
            Self::In(domain, _) | Self::Answers(domain, _) => Some((*domain, Lane::Control)),
            Self::Question(_) => Some((Domain::Control, Lane::Question)),
            Self::Nobody => None,
        }
    }
}

/// The number of a subscription from inside. Its domain and lane are part of it, so that an event loop knows where a message goes
/// without a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Subscribed(u64);

impl Subscribed {
    /// The lanes of all domains, and one for messages that nobody looks at.
    const KINDS: u64 = (Domain::ALL.len() * Lane::ALL.len()) as u64 + 1;

    fn new(number: u64, place: Option<(Domain, Lane)>) -> Self {
        let kind = place
            .map_or(Self::KINDS - 1, |(domain, lane)| domain as u64 * Lane::ALL.len() as u64 + lane as u64);
        Self(number * Self::KINDS + kind)
    }

    fn read(sid: &[u8]) -> Option<Self> {
        std::str::from_utf8(sid).ok()?.parse().ok().map(Self)
    }

    fn place(self) -> Option<(Domain, Lane)> {
        let kind = (self.0 % Self::KINDS) as usize;
        let (domain, lane) = (kind / Lane::ALL.len(), kind % Lane::ALL.len());
        Domain::ALL.get(domain).copied().zip(Lane::ALL.get(lane).copied())
    }
}

/// A subscription from inside, to end it by.
#[derive(Clone, Debug)]
pub struct Served(Arc<Subscription>, Arc<Account>);

/// An account, and the end in it.
type Member = (Arc<Account>, Arc<Peer>);

/// The client inside the server, as all threads see it.
pub struct Internal<N: Host> {
    queues: Arc<Queues<N>>,
    /// Disconnected when the threads of all domains have ended; `None` if they were not started.
    ended: Mutex<Option<Receiver<()>>>,
    handlers: RwLock<HashMap<Subscribed, Listener<N>>>,
    /// One end in each account that is subscribed or published in.
    peers: Mutex<HashMap<AccountId, Member>>,
    next_sid: AtomicU64,
    totals: Arc<Totals>,
    gate: Arc<Gate>,
}

impl<N: Host> Internal<N> {
    /// Before it is started; what it sends and gets counts in `totals`, and not as traffic of the server.
    pub(crate) fn new(totals: Arc<Totals>, gate: Arc<Gate>) -> Self {
        Self {
            queues: Arc::new(Queues::new()),
            ended: Mutex::default(),
            handlers: RwLock::default(),
            peers: Mutex::default(),
            next_sid: AtomicU64::new(1),
            totals,
            gate,
        }
    }
}

impl<N: Host> Internal<N> {
    /// Starts the threads of the domains and those for questions; what was posted before is done first.
    ///
    /// # Errors
    ///
    /// The system refuses a thread.
    pub(crate) fn start(node: &Arc<N>) -> std::io::Result<()> {
        let mut ended = node.internal().ended.lock();
        if ended.is_some() {
            return Ok(());
        }
        let queues = &node.internal().queues;
        questions::start(node, &queues.questions)?;
        let (alive, receiver) = sync_channel::<()>(1);
        for domain in Domain::ALL {
            let (executor, works) = (Executor::new(node.clone(), domain), queues.of(domain).clone());
            let (waiting, alive) = (works.clone(), alive.clone());
            let watch = Watch::new(STALL).waiting(move || waiting.waiting() > 0);
            node.threads().spawn_watched(domain.name(), watch, move |progress| {
                executor.work(&works, progress);
                drop(alive);
            })?;
        }
        *ended = Some(receiver);
        Ok(())
    }

    /// Lets the threads of the domains finish what waits for them, and ends them; questions are not answered any more.
    pub(crate) fn finish(&self) {
        self.queues.questions.end();
        Domain::ALL.iter().for_each(|&domain| self.queues.of(domain).close());
        if let Some(ended) = self.ended.lock().take() {
            // They are not waited for longer, whatever they do.
            let _ = ended.recv_timeout(STOP_TIMEOUT);
        }
    }

    /// The same, and takes back what it subscribed to.
    pub(crate) fn stop(&self) {
        self.finish();
        for (_, (account, peer)) in self.peers.lock().drain() {
            self.gate.unsubscribe_all(&account, &peer, None);
        }
        self.handlers.write().clear();
    }

    /// Subscribes in an account, at once; every message goes to `listener`. `queue` makes it a member of a queue group.
    /// `filter` is the server's own text, and valid.
    pub fn serve(
        &self,
        registry: &Registry,
        account: &Arc<Account>,
        filter: &str,
        queue: Option<&str>,
        listener: Listener<N>,
    ) -> Served {
        let sid = Subscribed::new(self.next_sid.fetch_add(1, Ordering::Relaxed), listener.place());
        self.handlers.write().insert(sid, listener);
        let peer = self.peer(registry, account);
        let text = sid.0.to_string();
        let queue = queue.map(str::as_bytes);
        let subscription = Subscription::new(peer.clone(), filter.as_bytes(), queue, text.as_bytes());
        self.gate.subscribe(account, &subscription, None);
        Served(subscription, account.clone())
    }

    /// Ends a subscription of [`Internal::serve`].
    pub fn withdraw(&self, served: &Served) {
        self.gate.unsubscribe(&served.1, &served.0, None);
        if let Some(sid) = Subscribed::read(served.0.sid()) {
            self.handlers.write().remove(&sid);
        }
    }

    /// Ends all that is served in an account, which is gone.
    pub(crate) fn forget(&self, registry: &Registry, account: &Arc<Account>) {
        let Some((_, peer)) = self.peers.lock().remove(&account.id) else { return };
        let all = self.gate.unsubscribe_all(account, &peer, None);
        let mut handlers = self.handlers.write();
        for sid in all.iter().filter_map(|subscription| Subscribed::read(subscription.sid())) {
            handlers.remove(&sid);
        }
        peer.close(CloseReason::ServerShutdown);
        registry.free_slot(peer.slot());
    }

    /// Hands work of the server itself to the control thread.
    pub fn run(&self, task: impl FnOnce(&mut Executor<N>) + Send + 'static) {
        self.run_in(Domain::Control, task);
    }

    /// Hands work of the server itself to the thread of a domain.
    pub fn run_in(&self, domain: Domain, task: impl FnOnce(&mut Executor<N>) + Send + 'static) {
        self.queues.post((domain, Lane::Control), Share::Server, 0, Work::Task(Box::new(task)));
    }

    /// Hands a report to the control thread, which is about `account` and takes about `bytes` while it waits. Reports come
    /// last, and the newest of the account that has most of them is dropped where there are too many.
    pub fn report(
        &self,
        account: &Account,
        bytes: usize,
        task: impl FnOnce(&mut Executor<N>) + Send + 'static,
    ) {
        let place = (Domain::Control, Lane::Report);
        self.queues.post(place, Share::account(account), bytes, Work::Task(Box::new(task)));
    }

    /// Has somebody asked about a connection that waits to be let in. It has its turn among those of
    /// other addresses; if too many wait that is the connection's verdict.
    pub(crate) fn run_login(
        &self,
        session: &Arc<Session>,
        bytes: usize,
        task: impl FnOnce(&mut Executor<N>) + Send + 'static,
    ) {
        session.set_waiting(true);
        let work = Work::Login(session.clone(), Box::new(task));
        self.queues.post((Domain::Authorization, Lane::Login), Share::stranger(session), bytes, work);
    }

    /// Has somebody asked whether a connection that is in may stay. It comes before logins and has its turn
    /// among the work of other accounts; if too many wait that is the connection's verdict.
    pub(crate) fn run_review(
        &self,
        session: &Arc<Session>,
        bytes: usize,
        task: impl FnOnce(&mut Executor<N>) + Send + 'static,
    ) {
        let account = session.peer.place().account;
        let share = account.map_or_else(|| Share::stranger(session), |account| Share::account(&account));
        let work = Work::Login(session.clone(), Box::new(task));
        self.queues.post((Domain::Authorization, Lane::Control), share, bytes, work);
    }

    /// Items that wait for the thread of a domain, and questions.
    pub(crate) fn waiting(&self) -> usize {
        let works = Domain::ALL.iter().map(|&domain| self.queues.of(domain).waiting());
        works.sum::<usize>() + self.queues.questions.waiting()
    }

    /// What waits, by queue and lane, and what was dropped.
    pub fn figures(&self) -> impl Iterator<Item = (&'static str, Lane, LaneFigures)> {
        let works = Domain::ALL.map(|domain| (domain.name(), self.queues.of(domain).figures()));
        works
            .into_iter()
            .chain([("questions", self.queues.questions.figures())])
            .flat_map(|(name, lanes)| lanes.into_iter().map(move |(lane, figures)| (name, lane, figures)))
    }

    /// The handler of a subscription of a domain.
    fn handler(&self, sid: Subscribed) -> Option<Handler<N>> {
        match self.handlers.read().get(&sid) {
            Some(
                Listener::Control(_, handler) | Listener::In(_, handler) | Listener::Answers(_, handler),
            ) => Some(handler.clone()),
            _ => None,
        }
    }

    /// The handler of a subscription for questions.
    fn question_handler(&self, sid: Subscribed) -> Option<QuestionHandler<N>> {
        match self.handlers.read().get(&sid) {
            Some(Listener::Question(handler)) => Some(handler.clone()),
            _ => None,
        }
    }

    /// Its end in an account.
    fn peer(&self, registry: &Registry, account: &Arc<Account>) -> Arc<Peer> {
        if let Some((_, peer)) = self.peers.lock().get(&account.id) {
            return peer.clone();
        }
        let mailbox = Mailbox::new(self.queues.clone(), account);
        let slot = registry.take_slot();
        let basics = Basics {
            id: OWN_ID,
            kind: Entry::OF_SERVER.from,
            slot,
            pending_bytes_max: usize::MAX,
            start: Instant::now(),
        };
        let peer = Peer::inside(basics, self.totals.clone(), Arc::new(mailbox));
        peer.set_understands_headers(true);
        // It is put into no account: what it gets does not count as traffic of the account.
        peer.set_place(Place::default());
        // Of two threads that come first at once, one leaves a slot unused.
        self.peers.lock().entry(account.id).or_insert((account.clone(), peer)).1.clone()
    }
}
