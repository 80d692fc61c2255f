//! A client inside the server: it subscribes, is delivered to and publishes like any other, on one control thread.
//!
//! [`Internal`] is what every thread holds: it registers handlers for subjects and hands work over. [`Desk`] is what
//! the control thread works at: handlers and tasks get it, and through it they publish, ask and set timers. The system
//! account's events and requests, and whatever else answers from inside, are built on these two.
//!
//! Invariants: event loops hand messages over and never wait for the control thread; what waits for it is bounded, and
//! what does not fit is dropped, counted and logged. What is published from inside passes the same gates and routes as
//! a client's messages.

mod desk;
mod mailbox;
mod message;
#[cfg(test)]
mod tests;

pub use desk::{Answer, Desk, Timer};
pub use message::{Message, Outgoing};

use crate::registry::Registry;
use crate::shared::Shared;
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::deliver::{Origin, Turn};
use dialtone_broker::peer::{Attention, ClientId, Peer, Place};
use dialtone_broker::permission;
use dialtone_broker::stats::Counters;
use dialtone_broker::subscription::Subscription;
use dialtone_net::threads::{Progress, Watch};
use dialtone_subject::is_valid_literal;
use dialtone_wire::CloseReason;
use mailbox::{Inlet, Mailbox, Work};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The number of the server's own client. It is in no list of connections.
pub(crate) const OWN_ID: ClientId = ClientId(1);
/// How long [`Internal::stop`] waits for what is still to be done.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one turn of the control thread may take, or work wait, before the thread is said to stand still.
const STALL: Duration = Duration::from_secs(10);

/// Whether this is the server's own end in some account.
pub(crate) fn is_own(peer: &Peer) -> bool {
    peer.id == OWN_ID
}

/// What answers messages to a subject. Runs on the control thread.
pub type Handler = Arc<dyn Fn(&mut Desk, &Message) + Send + Sync>;

/// A subscription from inside, to end it by.
#[derive(Clone, Debug)]
pub struct Served(Arc<Subscription>, Arc<Account>);

/// An account, and the end in it.
type Member = (Arc<Account>, Arc<Peer>);

/// The client inside the server, as all threads see it.
pub struct Internal {
    mailbox: Arc<Mailbox>,
    /// Until the control thread takes it.
    works: Mutex<Option<Receiver<Work>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// By the sid of their subscription.
    handlers: RwLock<HashMap<u64, Handler>>,
    /// One end in each account that is subscribed or published in.
    peers: Mutex<HashMap<AccountId, Member>>,
    next_sid: AtomicU64,
    /// What is delivered inside the server is no traffic of the server.
    totals: Arc<Counters>,
}

/// Nobody needs to be called: the sink takes everything at once.
struct Unheard;

impl Attention for Unheard {
    fn call(&self) {}
}

impl Default for Internal {
    fn default() -> Self {
        let (sender, works) = channel();
        Self {
            mailbox: Arc::new(Mailbox::new(sender)),
            works: Mutex::new(Some(works)),
            thread: Mutex::default(),
            handlers: RwLock::default(),
            peers: Mutex::default(),
            next_sid: AtomicU64::new(1),
            totals: Arc::default(),
        }
    }
}

impl Internal {
    /// Starts the control thread; what was handed over before is done first.
    ///
    /// Errors: the system refuses the thread.
    pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
        let Some(works) = shared.internal.works.lock().take() else { return Ok(()) };
        let desk = Desk::new(shared.clone());
        let mailbox = shared.internal.mailbox.clone();
        let watch = Watch::new(STALL).waiting(move || mailbox.waiting() > 0);
        let run = move |progress: &Progress| desk.work(&works, progress);
        let thread = shared.threads.spawn_watched("control", watch, run)?;
        *shared.internal.thread.lock() = Some(thread);
        Ok(())
    }

    /// Lets the control thread finish what waits for it, and ends it.
    pub(crate) fn stop(&self) {
        let (done, finished) = sync_channel(1);
        // Without the thread there is nobody to wait for.
        if self.thread.lock().take().is_some() && self.mailbox.post(Work::Stop(done)) {
            let _ = finished.recv_timeout(STOP_TIMEOUT);
        }
        for (_, (account, peer)) in self.peers.lock().drain() {
            let all = peer.subscriptions().take_all();
            account.remove_all(&all);
        }
        self.handlers.write().clear();
    }

    /// Subscribes in an account, at once; every message goes to `handler`. `queue` makes it a member of a queue group.
    /// `filter` is the server's own text, and valid.
    pub fn serve(
        &self,
        registry: &Registry,
        account: &Arc<Account>,
        filter: &str,
        queue: Option<&str>,
        handler: Handler,
    ) -> Served {
        let sid = self.next_sid.fetch_add(1, Ordering::Relaxed);
        self.handlers.write().insert(sid, handler);
        let peer = self.peer(registry, account);
        let text = sid.to_string();
        let queue = queue.map(str::as_bytes);
        let subscription = Subscription::new(peer.clone(), filter.as_bytes(), queue, text.as_bytes());
        peer.subscriptions().insert(subscription.clone());
        account.insert(&subscription);
        Served(subscription, account.clone())
    }

    /// Ends a subscription of [`Internal::serve`].
    pub fn withdraw(&self, served: &Served) {
        served.1.remove(&served.0);
        served.0.peer().subscriptions().remove(served.0.sid());
        if let Some(sid) = std::str::from_utf8(served.0.sid()).ok().and_then(|sid| sid.parse().ok()) {
            self.handlers.write().remove(&sid);
        }
    }

    /// Ends all that is served in an account, which is gone.
    pub(crate) fn forget(&self, registry: &Registry, account: &Arc<Account>) {
        let Some((_, peer)) = self.peers.lock().remove(&account.id) else { return };
        let all = peer.subscriptions().take_all();
        account.remove_all(&all);
        let mut handlers = self.handlers.write();
        for sid in all.iter().filter_map(|s| std::str::from_utf8(s.sid()).ok()?.parse().ok()) {
            handlers.remove::<u64>(&sid);
        }
        peer.close(CloseReason::ServerShutdown);
        registry.free_slot(peer.slot());
    }

    /// Publishes in an account as part of a turn, on whatever thread that is. How many got it.
    pub fn publish(
        &self,
        registry: &Registry,
        turn: &mut Turn,
        account: &Arc<Account>,
        message: &Outgoing,
    ) -> usize {
        let mut framed = Vec::new();
        let publish = message.publish(&mut framed);
        if !is_valid_literal(publish.subject) {
            return 0;
        }
        let peer = self.peer(registry, account);
        match permission::publish(&peer, None, publish, turn.now()) {
            Ok(authorized) => turn.publish(Origin { peer: &peer, account, echo: true }, &authorized),
            Err(permission::Refused::Subject | permission::Refused::Reply) => 0,
        }
    }

    /// Hands work to the control thread. False if too much waits there; it is not done then.
    pub fn run(&self, task: impl FnOnce(&mut Desk) + Send + 'static) -> bool {
        self.mailbox.post(Work::Task(Box::new(task)))
    }

    /// Works that wait for the control thread.
    pub(crate) fn waiting(&self) -> usize {
        self.mailbox.waiting()
    }

    /// The handler of a subscription.
    fn handler(&self, sid: u64) -> Option<Handler> {
        self.handlers.read().get(&sid).cloned()
    }

    /// Its end in an account.
    fn peer(&self, registry: &Registry, account: &Arc<Account>) -> Arc<Peer> {
        if let Some((_, peer)) = self.peers.lock().get(&account.id) {
            return peer.clone();
        }
        let inlet = Inlet::new(self.mailbox.clone(), account);
        let slot = registry.take_slot();
        // The inlet takes everything at once, so nothing is ever pending.
        let peer =
            Peer::new(OWN_ID, slot, self.totals.clone(), Arc::new(inlet), Box::new(Unheard), usize::MAX);
        peer.set_understands_headers(true);
        peer.set_server();
        // It is put into no account: what it gets is none of the account's traffic.
        peer.set_place(Place::default());
        // Of two threads that come first at once, one leaves a slot unused.
        self.peers.lock().entry(account.id).or_insert((account.clone(), peer)).1.clone()
    }

    /// Works that were dropped because too much waited, since the last call.
    fn take_lost(&self) -> u64 {
        self.mailbox.take_lost()
    }
}
