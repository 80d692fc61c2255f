//! A state machine of the network, shared by all who have to do with it: connections and dialers hand events in; what comes out goes, in
//! order, to the inboxes of the connections concerned and to the tasks of a thread that dials.

use crate::clock;
use dialtone_broker::peer::{ClientId, Peer};
use dialtone_mesh::LinkId;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the thread sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// A state machine without I/O.
pub(crate) trait Machine {
    /// What happens to it.
    type Event<'e>;
    /// What a connection is to do.
    type Order;
    /// What the thread is to do.
    type Task;

    /// A connection is over.
    fn lost(link: LinkId) -> Self::Event<'static>;

    /// It is time.
    fn timeout() -> Self::Event<'static>;

    /// Takes in what happened, and appends what is to be done.
    fn handle(
        &mut self,
        event: Self::Event<'_>,
        now: Instant,
        out: &mut Vec<Outcome<Self::Order, Self::Task>>,
    );

    /// When it is time, if nothing happens before.
    fn next_timeout(&self) -> Option<Instant>;
}

/// What is to be done.
pub(crate) enum Outcome<O, T> {
    /// By a connection.
    Order(LinkId, O),
    /// By the thread.
    Task(T),
}

/// A state machine, and what came out of it and is not done yet.
pub struct Driven<M: Machine> {
    state: Mutex<State<M>>,
    changed: Condvar,
}

struct State<M: Machine> {
    /// Not before it begins.
    machine: Option<M>,
    links: BTreeMap<LinkId, Inbox<M::Order>>,
    tasks: VecDeque<M::Task>,
    stops: bool,
}

/// What waits for a connection.
struct Inbox<O> {
    peer: Arc<Peer>,
    orders: Vec<O>,
}

impl<M: Machine> Default for Driven<M> {
    fn default() -> Self {
        let state = State { machine: None, links: BTreeMap::new(), tasks: VecDeque::new(), stops: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<M: Machine> State<M> {
    fn handle(&mut self, event: M::Event<'_>, by: Option<LinkId>) {
        let Some(machine) = &mut self.machine else { return };
        let mut outcomes = Vec::new();
        machine.handle(event, clock::moment(), &mut outcomes);
        for outcome in outcomes {
            match outcome {
                Outcome::Task(task) => self.tasks.push_back(task),
                Outcome::Order(link, order) => self.order(link, order, by),
            }
        }
    }

    fn order(&mut self, link: LinkId, order: M::Order, by: Option<LinkId>) {
        let Some(inbox) = self.links.get_mut(&link) else { return };
        inbox.orders.push(order);
        // Whoever causes it looks by itself.
        if by != Some(link) {
            inbox.peer.wake_owner();
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.machine.as_ref().and_then(M::next_timeout)
    }

    /// What is to be done at this moment, if anything is.
    fn task_due(&mut self, now: Instant) -> Option<M::Task> {
        while self.tasks.is_empty() && self.next_timeout().is_some_and(|at| at <= now) {
            self.handle(M::timeout(), None);
        }
        self.tasks.pop_front()
    }
}

impl<M: Machine> Driven<M> {
    /// The machine begins with this event.
    pub(crate) fn start(&self, machine: M, event: M::Event<'_>) {
        let mut state = self.state.lock();
        state.machine = Some(machine);
        state.handle(event, None);
        drop(state);
        self.changed.notify_one();
    }

    /// Something happened.
    pub(crate) fn handle(&self, event: M::Event<'_>) {
        self.state.lock().handle(event, None);
        self.changed.notify_one();
    }

    /// Something happened on a connection. What it is to do.
    pub(crate) fn handle_of(&self, id: ClientId, event: M::Event<'_>) -> Vec<M::Order> {
        let link = LinkId(id.0);
        let mut state = self.state.lock();
        state.handle(event, Some(link));
        let orders = state.links.get_mut(&link).map(|inbox| std::mem::take(&mut inbox.orders));
        drop(state);
        self.changed.notify_one();
        orders.unwrap_or_default()
    }

    /// A connection is there. What is to be done is in its inbox.
    pub(crate) fn open(&self, peer: &Arc<Peer>, event: M::Event<'_>) {
        let link = LinkId(peer.id.0);
        let mut state = self.state.lock();
        state.links.insert(link, Inbox { peer: peer.clone(), orders: Vec::new() });
        state.handle(event, Some(link));
        drop(state);
        self.changed.notify_one();
    }

    /// What a connection is to do.
    pub(crate) fn orders(&self, id: ClientId) -> Vec<M::Order> {
        let mut state = self.state.lock();
        let inbox = state.links.get_mut(&LinkId(id.0));
        inbox.map(|inbox| std::mem::take(&mut inbox.orders)).unwrap_or_default()
    }

    /// Looks for something among what a connection is to do, and leaves all where it is.
    pub(crate) fn find_order<T>(&self, id: ClientId, find: impl FnMut(&M::Order) -> Option<T>) -> Option<T> {
        self.state.lock().links.get(&LinkId(id.0))?.orders.iter().find_map(find)
    }

    /// A connection is over.
    pub(crate) fn lost(&self, id: ClientId) {
        let link = LinkId(id.0);
        let mut state = self.state.lock();
        state.links.remove(&link);
        state.handle(M::lost(link), None);
        drop(state);
        self.changed.notify_one();
    }

    /// Reads the machine, if it has begun and has not been stopped: what it loses then is no news for anybody.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&M) -> T) -> Option<T> {
        let state = self.state.lock();
        state.machine.as_ref().filter(|_| !state.stops).map(read)
    }

    /// Changes the machine, if it has begun. What is to be done because of it comes with the next event.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut M) -> T) -> Option<T> {
        self.state.lock().machine.as_mut().map(change)
    }

    /// Stops dialling.
    pub(crate) fn stop(&self) {
        self.state.lock().stops = true;
        self.changed.notify_one();
    }

    /// What the thread is to do next; waits until there is something. `None`: nothing any more.
    pub(crate) fn next_task(&self) -> Option<M::Task> {
        let mut state = self.state.lock();
        loop {
            if state.stops {
                return None;
            }
            let now = clock::moment();
            if let Some(task) = state.task_due(now) {
                return Some(task);
            }
            let due = state.next_timeout();
            self.changed.wait_until(&mut state, due.unwrap_or(now + IDLE));
        }
    }

    /// The same without waiting: `None` if there is nothing to do now.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn task_due(&self) -> Option<M::Task> {
        self.state.lock().task_due(clock::moment())
    }

    /// When there may be something to do, if nothing happens before.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let state = self.state.lock();
        if state.tasks.is_empty() { state.next_timeout() } else { Some(clock::moment()) }
    }
}
