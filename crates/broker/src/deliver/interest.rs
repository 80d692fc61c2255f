//! The one gate of changes of interest: every subscription begins and ends here, whoever causes it, and a watcher is notified of how
//! many subscriptions an account has for each filter and queue group.
//!
//! Invariants: each change is reported once, in the order in which the counts changed, and in the turn in which it took effect. The
//! watcher must not change interest itself. Without a watcher nothing is counted; with the first, what there is then is counted at once.

use super::Turn;
use super::counts::Wanted;
use super::ledger::{Change, Ledger, Step, Table};
pub use super::ledger::{Mark, Source};
use crate::account::Account;
use crate::peer::Peer;
use crate::relay::{Ended, RelayInterest};
use crate::subscription::{Subscriber, Subscription};
use parking_lot::{Mutex, RwLock};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A change of how many subscriptions of an account have the same filter and queue group, of one source. From or to 0: the interest of
/// that source begins or ends.
#[derive(Clone, Copy, Debug)]
pub struct Delta<'a> {
    /// The filter.
    pub filter: &'a [u8],
    /// The queue group.
    pub queue: Option<&'a [u8]>,
    /// Whose interest it is.
    pub source: Source<'a>,
    /// How many there were.
    pub before: u32,
    /// How many there are.
    pub now: u32,
    tables: &'a [Table],
    at: usize,
    place: u64,
}

/// How many subscriptions there were and are, of all sources that count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// How many there were.
    pub before: u32,
    /// How many there are.
    pub now: u32,
}

impl Sum {
    /// Whether others need to know: interest begins or ends, or a queue group has another number of members.
    pub fn is_news(&self, queue: Option<&[u8]>) -> bool {
        (queue.is_some() || self.before == 0 || self.now == 0) && self.before != self.now
    }
}

impl<'a> From<&Change<'a>> for Delta<'a> {
    fn from(change: &Change<'a>) -> Self {
        let Change { wanted: Wanted { filter, queue }, before, now, tables, at, place, .. } = *change;
        let source = tables.get(at).map_or(Source::Here, Table::source);
        Self { filter, queue, source, before, now, tables, at, place }
    }
}

impl<'a> Delta<'a> {
    /// The change for somebody who is told of sources as `group` says, and counts those of one group as one. `None`: not of this source.
    pub fn sum<G: PartialEq>(&self, group: impl Fn(&Source<'a>) -> Option<G>) -> Option<(G, Sum)> {
        let own = group(&self.source)?;
        let others: u32 = self
            .others()
            .filter(|(_, table)| group(&table.source()).as_ref() == Some(&own))
            .map(|(_, table)| self.count_in(table))
            .sum();
        Some((own, Sum { before: self.before + others, now: self.now + others }))
    }

    /// The same where all is read: each filter and queue group once, with the sum of its group.
    pub fn first_sum<G: PartialEq>(&self, group: impl Fn(&Source<'a>) -> Option<G>) -> Option<(G, Sum)> {
        let own = group(&self.source)?;
        let is_known = |(at, table): (usize, &'a Table)| {
            at < self.at && self.count_in(table) > 0 && group(&table.source()).as_ref() == Some(&own)
        };
        if self.others().any(is_known) {
            return None;
        }
        self.sum(group)
    }

    /// Whether who has read so far has read this.
    pub fn is_before(&self, mark: &Mark, account: &Account) -> bool {
        mark.has_passed(account.id, self.place)
    }

    fn others(&self) -> impl Iterator<Item = (usize, &'a Table)> {
        self.tables.iter().enumerate().filter(|(at, _)| *at != self.at)
    }

    fn count_in(&self, table: &Table) -> u32 {
        table.count_of(self.place, &Wanted { filter: self.filter, queue: self.queue })
    }
}

/// Is notified of changes of interest.
pub trait Watch: Send + Sync {
    /// Interest changed. What is sent to others because of it must be enqueued at once ([`Turn::enqueue`], [`Peer::send`]): several loops
    /// report changes, and only the calls are in order. `turn` is `None` where no loop did it: for the server's own subscriptions, and
    /// when rights are taken away.
    fn changed(&self, account: &Arc<Account>, delta: Delta<'_>, turn: Option<&mut Turn>);
}

struct Watched {
    watches: Vec<Box<dyn Watch>>,
    /// Interest of those behind other servers of the network is counted too: some are told of it.
    counts_relays: bool,
    /// Held while the watchers are notified, which keeps the order.
    ledger: Mutex<Ledger>,
}

impl Watched {
    fn new(watches: Vec<Box<dyn Watch>>, counts_relays: bool) -> Self {
        Self { watches, counts_relays, ledger: Mutex::default() }
    }

    fn count<'a>(
        &self,
        account: &Arc<Account>,
        all: impl Iterator<Item = Wanted<'a>>,
        step: Step<'_>,
        mut turn: Option<&mut Turn>,
    ) {
        let mut ledger = self.ledger.lock();
        let mut report = |change: Change<'_>| self.notify(&change, turn.as_deref_mut());
        for wanted in all {
            ledger.count(account, wanted, step, &mut report);
        }
    }

    fn count_relayed(&self, relayed: &Relayed<'_>, step: Step<'_>, turn: Option<&mut Turn>) {
        if self.counts_relays && step.by > 0 {
            let wanted = Wanted { filter: relayed.filter, queue: relayed.queue };
            self.count(relayed.account, std::iter::once(wanted), step, turn);
        }
    }

    fn report(
        &self,
        account: &Arc<Account>,
        subscriptions: &[Arc<Subscription>],
        begins: bool,
        turn: Option<&mut Turn>,
    ) {
        let wanted = subscriptions.iter().map(|s| Wanted { filter: s.filter(), queue: s.queue() });
        self.count(account, wanted, Step { begins, ..HERE }, turn);
    }

    /// Counts what there is here already.
    fn count_all_here(&self, accounts: &[Arc<Account>]) {
        let mut ledger = self.ledger.lock();
        for account in accounts {
            let interest = account.interest();
            for Subscriber(subscription) in interest.iter().filter(|s| !s.0.peer().kind().is_relay()) {
                let wanted = Wanted { filter: subscription.filter(), queue: subscription.queue() };
                ledger.count(account, wanted, HERE, &mut |_| {});
            }
        }
    }

    /// Counts what there is behind relays already.
    fn count_all_relayed(&mut self, relays: &[impl Deref<Target = RelayInterest>]) {
        self.counts_relays = true;
        let mut ledger = self.ledger.lock();
        for (account, cluster, subscription) in relays.iter().flat_map(|interest| interest.by_cluster()) {
            let source = Source::Behind(subscription.peer().kind(), cluster);
            let wanted = Wanted { filter: subscription.filter(), queue: subscription.queue() };
            ledger.count(
                account,
                wanted,
                Step { source, begins: true, by: subscription.weight() },
                &mut |_| {},
            );
        }
    }

    fn notify(&self, change: &Change<'_>, mut turn: Option<&mut Turn>) {
        for watch in &self.watches {
            watch.changed(change.account, Delta::from(change), turn.as_deref_mut());
        }
    }
}

/// Interest of those behind a relay, in one account.
pub struct Relayed<'a> {
    /// The relay.
    pub peer: &'a Arc<Peer>,
    /// The account.
    pub account: &'a Arc<Account>,
    /// The leaf node's cluster that it is of, where the relay says so.
    pub cluster: &'a [u8],
    /// The filter.
    pub filter: &'a [u8],
    /// The queue group.
    pub queue: Option<&'a [u8]>,
}

impl<'a> Relayed<'a> {
    fn source(&self) -> Source<'a> {
        Source::Behind(self.peer.kind(), self.cluster)
    }
}

/// All that is counted, while no change is reported.
pub struct Held<'a>(&'a Ledger);

impl Held<'_> {
    /// Reads on from a mark, in the accounts that are wanted, a piece at a time until `take` wants no more; all of the piece is read then.
    /// Whether that was all. Of a change that is reported later [`Delta::is_before`] says whether it concerns what was read: what is
    /// reported behind the mark and is not, is read when the mark comes there.
    pub fn read_on(
        &self,
        mark: &mut Mark,
        wants: impl Fn(&Account) -> bool,
        mut take: impl FnMut(&Arc<Account>, Delta<'_>) -> bool,
    ) -> bool {
        self.0.read_on(mark, wants, |change| take(change.account, Delta::from(&change)))
    }
}

/// The gate. One a server.
///
/// A change takes place and is counted while the lock is read: whoever begins to watch writes it, and counts each once.
#[derive(Default)]
pub struct Gate {
    watched: RwLock<Option<Watched>>,
    is_watched: AtomicBool,
}

impl Gate {
    /// A gate that reports changes to a watcher.
    pub fn watched(watch: impl Watch + 'static) -> Arc<Self> {
        Self::of(vec![Box::new(watch)], false)
    }

    /// A gate that reports changes to watchers, if there are any; those behind relays too.
    pub fn of(watches: Vec<Box<dyn Watch>>, counts_relays: bool) -> Arc<Self> {
        let is_watched = !watches.is_empty();
        let watched = is_watched.then(|| Watched::new(watches, counts_relays));
        Arc::new(Self { watched: RwLock::new(watched), is_watched: AtomicBool::new(is_watched) })
    }

    /// One more watches, from here on, and is told of those behind relays too. What there is already is counted if it was not: in these
    /// accounts, and behind these relays, which must be all. What is between the two happens behind whatever is under way, and before
    /// anything else: `None` gives it up.
    pub fn watch(
        &self,
        watch: Box<dyn Watch>,
        accounts: impl FnOnce() -> Option<Vec<Arc<Account>>>,
        relays: &[impl Deref<Target = RelayInterest>],
    ) -> Result<(), Box<dyn Watch>> {
        let mut guard = self.watched.write();
        let Some(accounts) = accounts() else { return Err(watch) };
        let watched = guard.get_or_insert_with(|| {
            let watched = Watched::new(Vec::new(), false);
            watched.count_all_here(&accounts);
            watched
        });
        if !watched.counts_relays {
            watched.count_all_relayed(relays);
        }
        watched.watches.push(watch);
        self.is_watched.store(true, Ordering::Release);
        Ok(())
    }

    /// A relay has interest, of a queue group with so many members, or has so many now.
    pub fn subscribe_relay(
        &self,
        interest: &mut RelayInterest,
        relayed: &Relayed<'_>,
        weight: u32,
        turn: Option<&mut Turn>,
    ) {
        let Relayed { peer, account, cluster, filter, queue } = *relayed;
        let watched = self.watched.read();
        let before = interest.subscribe(peer, (account, cluster), filter, queue, weight);
        let step = Step { source: relayed.source(), begins: weight > before, by: weight.abs_diff(before) };
        if let Some(watched) = &*watched {
            watched.count_relayed(relayed, step, turn);
        }
    }

    /// A relay has no such interest any more. False if it had none.
    pub fn unsubscribe_relay(
        &self,
        interest: &mut RelayInterest,
        relayed: &Relayed<'_>,
        turn: Option<&mut Turn>,
    ) -> bool {
        let Relayed { account, cluster, filter, queue, .. } = *relayed;
        let watched = self.watched.read();
        let Some(weight) = interest.unsubscribe(account.name.as_bytes(), cluster, filter, queue) else {
            return false;
        };
        if let Some(watched) = &*watched {
            let step = Step { source: relayed.source(), begins: false, by: weight };
            watched.count_relayed(relayed, step, turn);
        }
        true
    }

    /// All interest of a relay ends, or that in one account.
    pub fn end_relay(&self, gone: Vec<Ended>, mut turn: Option<&mut Turn>) {
        let watched = self.watched.read();
        let Some(watched) = &*watched else { return };
        for Ended { account, cluster, subscriptions } in &gone {
            for subscription in subscriptions {
                let relayed = Relayed {
                    peer: subscription.peer(),
                    account,
                    cluster,
                    filter: subscription.filter(),
                    queue: subscription.queue(),
                };
                let step = Step { source: relayed.source(), begins: false, by: subscription.weight() };
                watched.count_relayed(&relayed, step, turn.as_deref_mut());
            }
        }
    }

    /// Sets what an account asks of others as services, and what it maps.
    pub fn set_account_filters(&self, account: &Arc<Account>, filters: &[Box<[u8]>]) {
        let watched = self.watched.read();
        let Some(watched) = watched.as_ref().filter(|watched| watched.counts_relays) else { return };
        let mut ledger = watched.ledger.lock();
        let before = ledger.filters_of(account, &Source::Account);
        let gone = before.iter().filter(|filter| !filters.contains(filter)).map(|filter| (filter, false));
        let come = filters.iter().filter(|filter| !before.contains(filter)).map(|filter| (filter, true));
        for (filter, begins) in gone.chain(come) {
            let step = Step { source: Source::Account, begins, by: 1 };
            let mut report = |change: Change<'_>| watched.notify(&change, None);
            ledger.count(account, Wanted { filter, queue: None }, step, &mut report);
        }
    }

    /// Adds a subscription to its peer and to `account`. False, and nothing changes, if its sid is taken: only one thread at a time
    /// adds subscriptions of one sid.
    pub fn subscribe(
        &self,
        account: &Arc<Account>,
        subscription: &Arc<Subscription>,
        turn: Option<&mut Turn>,
    ) -> bool {
        let peer = subscription.peer();
        if peer.subscriptions().find(subscription.sid()).is_some() {
            return false;
        }
        let watched = self.watched.read();
        account.insert(subscription);
        if let Some(watched) = &*watched {
            watched.report(account, std::slice::from_ref(subscription), true, turn);
        }
        // It comes into its peer's table last: the begin of what other threads take out there is reported before its end.
        peer.subscriptions().insert(subscription.clone())
    }

    /// Takes a subscription out of its peer and of `account`. False if somebody else has.
    pub fn unsubscribe(
        &self,
        account: &Arc<Account>,
        subscription: &Arc<Subscription>,
        turn: Option<&mut Turn>,
    ) -> bool {
        if !subscription.peer().subscriptions().remove(subscription) {
            return false;
        }
        let watched = self.watched.read();
        account.remove(subscription);
        if let Some(watched) = &*watched {
            watched.report(account, std::slice::from_ref(subscription), false, turn);
        }
        true
    }

    /// Takes all subscriptions of a peer out of `account`.
    pub fn unsubscribe_all(
        &self,
        account: &Arc<Account>,
        peer: &Peer,
        turn: Option<&mut Turn>,
    ) -> Vec<Arc<Subscription>> {
        let all = peer.subscriptions().take_all();
        let watched = self.watched.read();
        account.remove_all(&all);
        if let Some(watched) = &*watched {
            watched.report(account, &all, false, turn);
        }
        all
    }

    /// Counts interest without a subscription: the answers of services that an account waits for.
    pub(crate) fn announce(&self, account: &Arc<Account>, filter: &[u8], turn: Option<&mut Turn>) {
        if let Some(watched) = &*self.watched.read() {
            watched.count(account, std::iter::once(Wanted { filter, queue: None }), HERE, turn);
        }
    }

    /// Changes what an account takes from others as streams: `change` must change nothing else that concerns interest.
    pub fn change_imports<T>(&self, account: &Arc<Account>, change: impl FnOnce() -> T) -> T {
        let watched = self.watched.read();
        let Some(watched) = &*watched else { return change() };
        let mut ledger = watched.ledger.lock();
        ledger.change_imports(account, change, &mut |change: Change<'_>| watched.notify(&change, None))
    }

    /// Whether somebody watches who is told of what is behind relays, too.
    pub fn counts_relays(&self) -> bool {
        self.watched.read().as_ref().is_some_and(|watched| watched.counts_relays)
    }

    /// Whether somebody watches.
    pub fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Acquire)
    }

    /// Does something while no change is reported: who begins to listen to changes in `act` misses none.
    pub fn hold<T>(&self, act: impl FnOnce(&Held<'_>) -> T) -> Option<T> {
        let watched = self.watched.read();
        let ledger = watched.as_ref()?.ledger.lock();
        Some(act(&Held(&ledger)))
    }
}

/// A subscription here that begins.
const HERE: Step<'static> = Step { source: Source::Here, begins: true, by: 1 };

impl Turn {
    /// Sends bytes to a peer, behind what is in its outbox already and before what this turn has staged for it.
    pub fn enqueue(&mut self, peer: &Arc<Peer>, bytes: &[u8]) {
        self.staging.enqueue_bytes(peer, bytes);
    }

    /// Adds a subscription of a peer that is in `account`. False, and nothing changes, if its sid is taken.
    pub fn subscribe(&mut self, account: &Arc<Account>, subscription: &Arc<Subscription>) -> bool {
        self.gate().subscribe(account, subscription, Some(self))
    }

    /// Takes a subscription out, wherever it still is. False if somebody else has.
    pub fn unsubscribe(&mut self, subscription: &Arc<Subscription>) -> bool {
        let Some(account) = subscription.peer().subscribed_in() else { return false };
        self.gate().unsubscribe(&account, subscription, Some(self))
    }

    /// Takes all subscriptions of a peer out of its account.
    pub fn unsubscribe_all(&mut self, peer: &Peer) -> Vec<Arc<Subscription>> {
        let Some(account) = peer.subscribed_in() else { return Vec::new() };
        self.gate().unsubscribe_all(&account, peer, Some(self))
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("is_watched", &self.is_watched()).finish()
    }
}
