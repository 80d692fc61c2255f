//! The streams of each account.

use super::hosted::{Hosted, Tap};
use super::meta::StreamMeta;
use super::quota::Quota;
use super::record::Record;
use super::settings;
use super::shared::{Shared, wall};
use super::state::State;
use crate::clock;
use crate::registry::Registry;
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::inlet::{Batch, Inlet, Publish};
use dialtone_broker::kind::Entry;
use dialtone_broker::peer::{Basics, ClientId, Peer, Place};
use dialtone_broker::subscription::Subscription;
use dialtone_jetstream::config::{Storage, StreamConfig};
use dialtone_store::{Lsn, Refused, Urgency};
use dialtone_wire::CloseReason;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// The queue group of those who answer direct gets. The official name.
const DIRECT_GROUP: &[u8] = b"_sys_";

/// Streams by name.
pub(crate) type ByName = BTreeMap<Box<str>, Arc<Hosted>>;

/// The streams of all accounts.
#[derive(Default)]
pub(crate) struct All {
    by_account: RwLock<HashMap<AccountId, ByName>>,
    quotas: Mutex<HashMap<AccountId, Arc<Quota>>>,
    next_number: AtomicU64,
}

/// The inlet of a stream: the stream itself is not held by what it subscribes to.
struct Door(Weak<Hosted>);

impl Inlet for Door {
    fn take(&self, batch: &Batch, turn: &mut dyn Publish) {
        if let Some(hosted) = self.0.upgrade() {
            hosted.take(batch, turn);
        }
    }

    fn account(&self) -> Option<Arc<Account>> {
        self.0.upgrade()?.account()
    }

    fn takes(&self, sid: &[u8], subject: &[u8]) -> bool {
        match Tap::of(sid) {
            Some(tap @ (Tap::Pull(_) | Tap::Ack(_) | Tap::FlowControl(_))) => {
                self.0.upgrade().is_some_and(|hosted| hosted.names.find(tap, subject).is_some())
            }
            _ => true,
        }
    }

    fn stream(&self, sid: &[u8]) -> Option<Box<str>> {
        let hosted = self.0.upgrade()?;
        (Tap::of(sid) == Some(Tap::Store)).then(|| hosted.name.clone())
    }
}

impl All {
    /// What the streams of an account may take.
    pub(crate) fn quota(&self, account: AccountId) -> Arc<Quota> {
        self.quotas.lock().entry(account).or_default().clone()
    }

    /// A stream of an account.
    pub(crate) fn find(&self, account: &Account, name: &str) -> Option<Arc<Hosted>> {
        self.by_account.read().get(&account.id)?.get(name).cloned()
    }

    /// The streams of an account, by name.
    pub(crate) fn of(&self, account: &Account) -> Vec<Arc<Hosted>> {
        self.by_account
            .read()
            .get(&account.id)
            .into_iter()
            .flat_map(|streams| streams.values().cloned())
            .collect()
    }

    /// All streams.
    pub(crate) fn all(&self) -> Vec<Arc<Hosted>> {
        self.by_account.read().values().flat_map(|streams| streams.values().cloned()).collect()
    }

    /// Makes a stream. Where the log ends that says so; `None` in memory. It is still to be opened.
    ///
    /// # Errors
    /// The store takes nothing.
    pub(crate) fn create(
        &self,
        account: &Arc<Account>,
        config: StreamConfig,
        (shared, payload_max): (&Arc<Shared>, u32),
    ) -> Result<(Arc<Hosted>, Option<Lsn>), Refused> {
        let meta = StreamMeta { created: wall(), config: Arc::new(config) };
        let mut logged = None;
        if meta.config.storage == Storage::File
            && let Some(store) = shared.store()
        {
            let mut record = Vec::new();
            Record::Stream(&meta.encode()).encode(&mut record);
            let mut batch = store.batch(Urgency::Ordinary)?;
            let group = batch.new_group(&group_meta(account, &meta));
            batch.record(group, &record);
            logged = Some((group, batch.submit()));
        }
        let mut state = State::new(meta.clone(), settings::stream(&meta.config, payload_max));
        if logged.is_some() {
            state.committed = state.machine.totals().last;
        }
        let group = logged.map(|(group, _)| group);
        let hosted = self.put(account, shared, group, state);
        Ok((hosted, logged.map(|(_, upto)| upto)))
    }

    /// Puts a stream that has its state into the table.
    pub(crate) fn put(
        &self,
        account: &Arc<Account>,
        shared: &Arc<Shared>,
        group: Option<dialtone_store::GroupId>,
        mut state: State,
    ) -> Arc<Hosted> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        if let (Some(group), Some(store), None) = (group, shared.store(), state.machine.messages().heads()) {
            let index = shared.index();
            state.machine.set_heads(index.of(&state.meta.config.name, store.heads(group)), index.budget);
        }
        // A start finds again what was to be erased, and may not have been.
        let to_erase = std::mem::take(&mut state.to_erase).into_iter();
        group.into_iter().for_each(|group| shared.care.erase(group, to_erase.clone()));
        let hosted = Hosted::new(number, (account, self.quota(account.id)), group, shared, state);
        let mut all = self.by_account.write();
        all.entry(account.id).or_default().insert(hosted.name.clone(), hosted.clone());
        hosted
    }

    /// Takes a stream out: it stores nothing more, and its consumers are gone. Where the log ends that says so.
    pub(crate) fn delete(
        &self,
        account: &Arc<Account>,
        name: &str,
        (registry, turn): (&Registry, &mut dyn Publish),
    ) -> Option<Option<Lsn>> {
        let hosted = self.by_account.write().get_mut(&account.id)?.remove(name)?;
        hosted.end(turn);
        if let Some(peer) = hosted.peer.get() {
            hosted.shared.gate.unsubscribe_all(account, peer, None);
            peer.close(CloseReason::ServerShutdown);
            registry.free_slot(peer.slot());
        }
        let upto = hosted.group.zip(hosted.shared.store()).and_then(|(group, store)| {
            let mut batch = store.batch(Urgency::FreesRoom).ok()?;
            batch.delete_group(group);
            Some(batch.submit())
        });
        Some(upto)
    }
}

#[cfg(test)]
impl All {
    /// Takes a stream out, and does nothing else.
    pub(super) fn forget(&self, account: &Account, name: &str) {
        if let Some(streams) = self.by_account.write().get_mut(&account.id) {
            streams.remove(name);
        }
    }
}

/// By what a stream is known in the store: the account and the name.
pub(super) fn group_meta(account: &Account, meta: &StreamMeta) -> Vec<u8> {
    serde_json::to_vec(&(&*account.name, &meta.config.name)).unwrap_or_default()
}

impl Hosted {
    /// Begins to take messages and requests.
    pub(crate) fn open(self: &Arc<Self>, registry: &Registry) {
        let Some(account) = self.account() else { return };
        let basics = Basics {
            id: ClientId::OF_SERVER,
            kind: Entry::OF_SERVER.from,
            slot: registry.take_slot(),
            pending_bytes_max: usize::MAX,
            start: clock::moment(),
        };
        let peer = Peer::inside(basics, self.shared.totals.clone(), Arc::new(Door(Arc::downgrade(self))));
        peer.set_understands_headers(true);
        peer.set_place(Place::default());
        if self.peer.set(peer).is_err() {
            return;
        }
        let _ = account;
        self.renew_taps();
        self.open_consumers();
        self.open_origins();
        // What expired, or came due, while the server was not there.
        self.wake();
    }

    /// Subscribes to what the configuration says, and to nothing else.
    pub(crate) fn renew_taps(&self) {
        let filters = {
            let inner = self.lock();
            let config = &inner.state.meta.config;
            let mut filters: Vec<(Tap, String)> =
                config.subjects.iter().map(|subject| (Tap::Store, subject.clone())).collect();
            if config.allow_direct {
                filters.extend(self.direct_filters(&config.name));
            }
            filters
        };
        let mut taps = self.taps.lock();
        let (stay, go): (Vec<_>, Vec<_>) = std::mem::take(&mut *taps)
            .into_iter()
            .partition(|tap| filters.iter().any(|(_, filter)| filter.as_bytes() == tap.filter()));
        self.unsubscribe(&go);
        let new: Vec<_> = filters
            .into_iter()
            .filter(|(_, filter)| stay.iter().all(|tap| tap.filter() != filter.as_bytes()))
            .collect();
        *taps = stay;
        taps.extend(self.subscribe(&new));
    }

    /// Where direct gets of a stream are asked.
    pub(super) fn direct_filters(&self, name: &str) -> Vec<(Tap, String)> {
        let domains = self.shared.domain.iter().map(|domain| format!("$JS.{domain}.API"));
        let prefixes = std::iter::once("$JS.API".to_owned()).chain(domains);
        prefixes
            .flat_map(|prefix| {
                let all = format!("{prefix}.DIRECT.GET.{name}");
                [(Tap::Direct, format!("{all}.>")), (Tap::Direct, all)]
            })
            .collect()
    }

    /// Subscribes, each for what its tap says. Of a stream and its mirrors, one answers a direct get.
    pub(super) fn subscribe(&self, filters: &[(Tap, String)]) -> Vec<Arc<Subscription>> {
        let (Some(account), Some(peer)) = (self.account(), self.peer.get()) else { return Vec::new() };
        let subscribe = |(tap, filter): &(Tap, String)| {
            let sid = tap.sid(self.shared.next_sid());
            let group = (*tap == Tap::Direct).then_some(DIRECT_GROUP);
            let subscription = Subscription::new(peer.clone(), filter.as_bytes(), group, sid.as_bytes());
            self.shared.gate.subscribe(&account, &subscription, None);
            subscription
        };
        filters.iter().map(subscribe).collect()
    }

    /// Ends subscriptions.
    pub(super) fn unsubscribe(&self, taps: &[Arc<Subscription>]) {
        let Some(account) = self.account() else { return };
        for tap in taps {
            self.shared.gate.unsubscribe(&account, tap, None);
        }
    }
}
