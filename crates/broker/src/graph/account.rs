//! An account: a space of subjects of its own, and who is interested in what there.

use crate::assumed::Exceptions;
pub use crate::id::AccountId;
use crate::kind::Kind;
use crate::lookout::Lookouts;
use crate::random::Secrets;
use crate::reserved::Bound;
use crate::returns::{NewInterest, WayBack, Ways};
use crate::sampling_rule::SamplingRule;
use crate::sharing::Sharing;
use crate::sharing::awaited::{Awaited, AwaitedAnswers};
use crate::sharing::responses::{self, Late, Owed, Pending, Responses};
use crate::stats::{Counters, Totals};
use crate::subscription::{Subscriber, Subscription};
use dialtone_subject::{Generations, Interest, Stats};
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// The name of the account that everyone is in who is put into no other.
pub const GLOBAL: &str = "$G";
/// The default name of the system account.
pub const SYSTEM: &str = "$SYS";
/// What subjects begin with that the system account answers, asked in any account.
const GRANTED_PREFIXES: [&[u8]; 2] = [b"$SYS.", b"$JS.API."];

/// A space of subjects. The same subject in two accounts never meets.
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its name: from the configuration, or a public NKey.
    pub name: Box<str>,
    /// What its connections sent and got.
    pub counters: Counters,
    /// What of that routes and gateways carried, by their kind.
    pub relayed: Totals,
    /// Connections of it that were closed because they read too slowly.
    pub slow_consumers: AtomicU64,
    /// Messages of its connections that were refused because they came too fast.
    pub refused_msgs: AtomicU64,
    /// Messages of its connections that had to wait because they came too fast.
    pub delayed_msgs: AtomicU64,
    connections: AtomicU32,
    /// Leaf nodes that are connected for it.
    pub leaf_nodes: LeafNodes,
    wanted: Subscribed,
    generations: Generations,
    is_system: AtomicBool,
    border: Border,
    answers: Answers,
}

/// Who is interested in what.
#[derive(Default)]
struct Subscribed {
    interest: RwLock<Interest<Subscriber>>,
    /// Subscriptions of the server that are shown nowhere: those for what the official server does not have.
    unlisted: AtomicU32,
    /// Subscriptions of other clusters that came and went. They count where they are.
    of_clusters_inserts: AtomicU64,
    of_clusters_removes: AtomicU64,
    /// What clusters do not want of which nothing else is known.
    exceptions: Exceptions,
    /// Who inside watches for it.
    lookouts: Lookouts,
}

impl Subscribed {
    /// How many subscriptions are in no figure.
    fn unlisted(&self) -> usize {
        let removes = self.of_clusters_removes.load(Ordering::Relaxed);
        let of_clusters = self.of_clusters_inserts.load(Ordering::Relaxed).saturating_sub(removes);
        self.unlisted.load(Ordering::Relaxed) as usize + of_clusters as usize
    }
}

/// Replies across clusters.
#[derive(Default)]
struct Returns {
    /// There are, or were, some that others expect from here.
    has_ways: AtomicBool,
    ways: Mutex<Ways>,
    new_interest: Mutex<NewInterest>,
}

/// An account's connections of leaf nodes, which count apart from others.
#[derive(Default)]
pub struct LeafNodes {
    /// What they sent and got; in what the account counts, too.
    pub counters: Counters,
    connections: AtomicU32,
}

impl LeafNodes {
    /// How many there are.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// What becomes of an account's messages, other than that they are delivered in it.
#[derive(Default)]
struct Border {
    sharing: RwLock<Sharing>,
    shares: AtomicBool,
    maps: AtomicBool,
    traces: AtomicBool,
    trace_rule: RwLock<Option<Arc<SamplingRule>>>,
}

/// Answers of services, in the account that sends them and in the one that waits for them.
#[derive(Default)]
struct Answers {
    /// What the subjects begin with that answers are sent to, since the first request.
    prefix: OnceLock<Box<[u8]>>,
    /// Other servers were told of the prefix.
    is_announced: AtomicBool,
    responses: Mutex<Option<Box<Responses>>>,
    /// Answers are awaited, so removing a subscription sets `lost_interest`.
    awaits: AtomicBool,
    lost_interest: AtomicBool,
    awaited: Mutex<Option<Box<AwaitedAnswers>>>,
    returns: Returns,
}

impl Account {
    /// An account without subscriptions.
    pub fn new(id: AccountId, name: &str) -> Arc<Self> {
        Arc::new(Self {
            id,
            name: name.into(),
            counters: Counters::default(),
            relayed: Totals::default(),
            slow_consumers: AtomicU64::new(0),
            refused_msgs: AtomicU64::new(0),
            delayed_msgs: AtomicU64::new(0),
            connections: AtomicU32::new(0),
            leaf_nodes: LeafNodes::default(),
            wanted: Subscribed::default(),
            generations: Generations::default(),
            is_system: AtomicBool::new(false),
            border: Border::default(),
            answers: Answers::default(),
        })
    }

    /// When what was matched in this account stops being true.
    pub(crate) fn generations(&self) -> &Generations {
        &self.generations
    }

    /// Reads the interest. Nothing else may be locked while the guard lives.
    pub fn interest(&self) -> parking_lot::RwLockReadGuard<'_, Interest<Subscriber>> {
        self.wanted.interest.read()
    }

    /// What other clusters do not want of which nothing else is known.
    pub(crate) fn exceptions(&self) -> &Exceptions {
        &self.wanted.exceptions
    }

    /// Reads what it shares. Nothing else may be locked while the guard lives.
    pub fn sharing(&self) -> parking_lot::RwLockReadGuard<'_, Sharing> {
        self.border.sharing.read()
    }

    /// Changes what it shares; `change` must not lock anything. Cached routes notice at once.
    pub(crate) fn share<T>(&self, change: impl FnOnce(&mut Sharing) -> T) -> T {
        let mut sharing = self.border.sharing.write();
        let result = change(&mut sharing);
        self.border.shares.store(!sharing.is_empty(), Ordering::Release);
        self.border.maps.store(sharing.has_mappings(), Ordering::Release);
        drop(sharing);
        self.generations.bump_all();
        self.wanted.lookouts.all_changed();
        result
    }

    /// Whether a message to `subject` here may concern another account.
    #[inline]
    pub(crate) fn shares(&self, subject: &[u8]) -> bool {
        self.border.shares.load(Ordering::Acquire)
            || GRANTED_PREFIXES.iter().any(|prefix| subject.starts_with(prefix))
    }

    /// Its subscriptions, as they are shown: a service that it imports counts as one, what other clusters want does not.
    pub fn subscriptions(&self) -> usize {
        self.interest().len().saturating_sub(self.wanted.unlisted()) + self.sharing().services_len()
    }

    /// Figures of the same subscriptions.
    pub fn stats(&self) -> Stats {
        let services = self.sharing().services_len();
        let stats = self.interest().stats_where(|s| !s.0.peer().kind().is_of_other_cluster());
        let unlisted = self.wanted.unlisted.load(Ordering::Relaxed) as usize;
        let of_clusters = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let inserts = stats.inserts.saturating_sub(of_clusters(&self.wanted.of_clusters_inserts));
        Stats {
            entries: (stats.entries + services).saturating_sub(unlisted),
            filters: (stats.filters + services).saturating_sub(unlisted),
            fanout_max: stats.fanout_max.max(services.min(1)),
            inserts: (inserts + services as u64).saturating_sub(unlisted as u64),
            removes: stats.removes.saturating_sub(of_clusters(&self.wanted.of_clusters_removes)),
        }
    }

    /// Leaves so many more out of all figures: those of the server, for what the official server does not have.
    pub fn unlist(&self, count: u32) {
        self.wanted.unlisted.fetch_add(count, Ordering::Relaxed);
    }

    /// Whether it is the account for system events.
    pub fn is_system(&self) -> bool {
        self.is_system.load(Ordering::Relaxed)
    }

    /// Makes it the account for system events, before anybody is in it.
    pub fn set_system(&self) {
        self.is_system.store(true, Ordering::Relaxed);
    }

    /// What its clients are.
    pub(crate) fn clients_bound(&self) -> Bound {
        if self.is_system() { Bound::SystemClient } else { Bound::Client }
    }

    /// Whether some subject here is mapped.
    #[inline]
    pub fn maps(&self) -> bool {
        self.border.maps.load(Ordering::Acquire)
    }

    /// Counts what came in by a connection that is in all accounts.
    pub fn count_relayed_in(&self, kind: Kind, msgs: u64, bytes: u64) {
        self.counters.add_in(msgs, bytes);
        self.relayed.of(kind).add_in(msgs, bytes);
    }

    /// Counts what goes out by such a connection.
    pub(crate) fn count_relayed_out(&self, kind: Kind, msgs: u64, bytes: u64) {
        self.counters.add_out(msgs, bytes);
        self.relayed.of(kind).add_out(msgs, bytes);
    }

    /// What is traced of messages whose trace context is sampled, if anything is.
    pub fn trace_rule(&self) -> Option<Arc<SamplingRule>> {
        if self.border.traces.load(Ordering::Acquire) { self.border.trace_rule.read().clone() } else { None }
    }

    /// Sets what is traced.
    pub fn set_trace_rule(&self, rule: Option<SamplingRule>) {
        self.border.traces.store(rule.is_some(), Ordering::Release);
        *self.border.trace_rule.write() = rule.map(Arc::new);
    }

    /// Notes an answer that is owed. The subject that leads back to who asked, and whether it is the only one.
    pub(crate) fn open_response(
        &self,
        pending: Pending,
        suffix: &[u8],
        secrets: &mut Secrets,
    ) -> (Box<[u8]>, bool) {
        let prefix = self.answers.prefix.get_or_init(|| responses::prefix(secrets));
        let mut responses = self.answers.responses.lock();
        let responses = responses.get_or_insert_with(|| Box::new(Responses::new(prefix)));
        let subject = responses.open(pending, suffix, secrets);
        (subject, responses.watch())
    }

    /// What the subjects of its services' answers match, the first time that it is asked for behind a request.
    pub(crate) fn answers_to_announce(&self) -> Option<Box<[u8]>> {
        let prefix = self.answers.prefix.get()?;
        let is_first = !self.answers.is_announced.swap(true, Ordering::AcqRel);
        is_first.then(|| [prefix, &b">"[..]].concat().into())
    }

    /// Forgets some of the answers that did not come in time. They, and whether others are still owed.
    pub(crate) fn expire_responses(&self, now: Instant) -> (Vec<Late>, bool) {
        let mut guard = self.answers.responses.lock();
        let Some(responses) = guard.as_deref_mut() else { return (Vec::new(), false) };
        let late = responses.expire(now);
        let owes = responses.len() > 0;
        if !owes {
            *guard = None;
        }
        (late, owes)
    }

    /// The answers that its services owe, for monitoring. Requests go on meanwhile.
    pub fn owed(&self) -> Vec<Owed> {
        let (mut all, mut behind) = (Vec::new(), None);
        while let Some((some, last)) = self.responses(|responses| responses.owed(behind)) {
            if last.is_none() {
                break;
            }
            all.extend(some);
            behind = last;
        }
        all
    }

    /// The answers that are owed, if any ever were. A leaf lock.
    pub(crate) fn responses<T>(&self, of: impl FnOnce(&mut Responses) -> T) -> Option<T> {
        self.answers.responses.lock().as_deref_mut().map(of)
    }

    /// Adds a subscription; messages published from now on reach it.
    pub(crate) fn insert(&self, subscription: &Arc<Subscription>) {
        if subscription.peer().kind().is_of_other_cluster() {
            self.wanted.of_clusters_inserts.fetch_add(1, Ordering::Relaxed);
        }
        self.wanted.interest.write().insert(Subscriber(subscription.clone()));
        self.bump(subscription.filter());
    }

    /// Takes a subscription out; messages published from now on pass it by.
    pub(crate) fn remove(&self, subscription: &Arc<Subscription>) {
        let is_removed = self.wanted.interest.write().remove(&Subscriber(subscription.clone()));
        self.note_removed(subscription, is_removed);
        self.bump(subscription.filter());
        self.note_lost_interest();
    }

    /// Takes many out under one lock.
    pub(crate) fn remove_all(&self, subscriptions: &[Arc<Subscription>]) {
        let mut interest = self.wanted.interest.write();
        for subscription in subscriptions {
            let is_removed = interest.remove(&Subscriber(subscription.clone()));
            self.note_removed(subscription, is_removed);
        }
        drop(interest);
        for subscription in subscriptions {
            self.bump(subscription.filter());
        }
        self.note_lost_interest();
    }

    /// Interest in a filter has changed.
    fn bump(&self, filter: &[u8]) {
        self.generations.bump(filter);
        self.wanted.lookouts.changed(filter);
    }

    /// Who watches subjects of it.
    pub(crate) fn lookouts(&self) -> &Lookouts {
        &self.wanted.lookouts
    }

    fn note_removed(&self, subscription: &Subscription, is_removed: bool) {
        if is_removed && subscription.peer().kind().is_of_other_cluster() {
            self.wanted.of_clusters_removes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes an answer that is waited for here and whose latency is reported. Whether it is the first.
    pub(crate) fn await_answer(&self, reply: &[u8], awaited: Awaited) -> bool {
        let first = self.answers.awaited.lock().get_or_insert_default().insert(reply, awaited);
        self.answers.awaits.store(true, Ordering::Release);
        first
    }

    /// The answer came, or none will.
    pub(crate) fn forget_awaited(&self, reply: &[u8], subject: &[u8]) {
        if let Some(answers) = self.answers.awaited.lock().as_deref_mut() {
            answers.remove(reply, subject);
        }
    }

    /// A subscription has ended: maybe nobody listens any more for answers that are awaited.
    fn note_lost_interest(&self) {
        if self.answers.awaits.load(Ordering::Acquire) {
            self.answers.lost_interest.store(true, Ordering::Release);
        }
    }

    /// Looks after some of the awaited answers: those that nobody listens for any more are reported as lost.
    /// False: no answer is awaited, and it need not be called until the next first one.
    pub(crate) fn look_after_awaited(&self) -> bool {
        let keys = {
            let mut guard = self.answers.awaited.lock();
            let Some(answers) = guard.as_deref_mut() else { return false };
            if answers.is_empty() {
                *guard = None;
                self.answers.awaits.store(false, Ordering::Release);
                return false;
            }
            answers.next(self.answers.lost_interest.swap(false, Ordering::AcqRel))
        };
        let mut asked: Option<(&[u8], bool)> = None;
        for (reply, subject) in &keys {
            // Many requests may want their answers at one subject.
            let heard = match asked {
                Some((of, heard)) if *of == **reply => heard,
                _ => self.interest().has_interest(reply),
            };
            asked = Some((reply, heard));
            if !heard {
                let lost = self
                    .answers
                    .awaited
                    .lock()
                    .as_deref_mut()
                    .and_then(|answers| answers.remove(reply, subject));
                lost.into_iter().for_each(|awaited| awaited.lose());
            }
        }
        true
    }

    /// A request of another cluster came, whose answers to `reply` are led back by `subject`.
    pub fn note_way_back(&self, reply: &[u8], subject: &[u8], now: Instant) {
        self.answers.returns.ways.lock().note(reply, subject, now);
        self.answers.returns.has_ways.store(true, Ordering::Release);
        self.generations.bump(reply);
    }

    /// What leads answers to `reply` back to another cluster.
    pub(crate) fn way_back(&self, reply: &[u8]) -> Option<Arc<WayBack>> {
        if !self.answers.returns.has_ways.load(Ordering::Acquire) {
            return None;
        }
        self.answers.returns.ways.lock().find(reply).cloned()
    }

    /// Interest begins that other clusters do not know of yet.
    pub fn note_new_interest(&self, filter: &[u8], now: Instant) {
        self.answers.returns.new_interest.lock().note(filter, now);
    }

    /// Whether other clusters may not know yet of interest in a subject.
    pub(crate) fn is_interest_new(&self, subject: &[u8], now: Instant) -> bool {
        self.answers.returns.new_interest.lock().covers(subject, now)
    }

    /// Makes every cached match of this account stale: rights have changed.
    pub fn forget_matches(&self) {
        self.generations.bump_all();
        self.wanted.lookouts.all_changed();
    }

    /// Makes cached matches stale that subscriptions to `filter` are in.
    pub fn forget_matches_of(&self, filter: &[u8]) {
        self.generations.bump(filter);
    }

    /// Connections that are in this account, without those of leaf nodes.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts a connection of a kind in. The account's number of connections with it, leaf nodes' apart.
    pub fn join(&self, kind: Kind) -> u32 {
        self.counted(kind).fetch_add(1, Ordering::Relaxed);
        self.connections()
    }

    /// Counts a connection of a kind out. The number that is left, leaf nodes' apart.
    pub fn leave(&self, kind: Kind) -> u32 {
        self.counted(kind).fetch_sub(1, Ordering::Relaxed);
        self.connections()
    }

    fn counted(&self, kind: Kind) -> &AtomicU32 {
        if kind.is_leaf_connection() { &self.leaf_nodes.connections } else { &self.connections }
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}
