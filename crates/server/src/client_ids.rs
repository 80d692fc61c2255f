//! Which connection has which client identifier of MQTT: one of each in an account; and wills of those that are gone, until they come back.

mod late_wills;

use crate::session::Session;
use dialtone_broker::account::AccountId;
use dialtone_mqtt::streams::Settings;
use dialtone_mqtt::sweep::{Next as NextSweep, Sweep};
pub(crate) use late_wills::{LateWill, LateWills, Waits};
use parking_lot::Mutex;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A connection that took over an identifier keeps it for so long at least: two clients that both believe to be it do not take it from each
/// other again and again. The official server's figure.
const TAKEN_MIN: Duration = Duration::from_secs(1);

/// The identifiers that are in use.
#[derive(Default)]
pub(crate) struct ClientIds {
    held: Mutex<HashMap<(AccountId, Arc<str>), Held>>,
    /// Accounts whose streams of MQTT are known to be there.
    prepared: Mutex<HashSet<AccountId>>,
    /// What streams were last asked for: all connections have it in common.
    settings: Mutex<Option<Arc<Settings>>>,
    /// When the records of an account are looked through for sessions that are over.
    sweeps: Mutex<HashMap<AccountId, Sweep>>,
    /// For `/metrics`.
    pub(crate) figures: MqttFigures,
    /// Wills that wait.
    pub(crate) late_wills: LateWills,
    /// Accounts in which somebody subscribes to what the server tells of itself, and whether that is published now and then.
    told: Mutex<Told>,
    /// Whether a client has asked for messages with the flag of retained ones as it was published.
    keep_flags: AtomicBool,
}

/// What clients of MQTT did, and how many there are at the gateway for MQTT-SN.
#[derive(Default)]
pub(crate) struct MqttFigures {
    /// Messages that they published, by quality of service.
    pub(crate) received: [AtomicU64; 3],
    /// CONNECTs that were answered by a refusal.
    pub(crate) refused: AtomicU64,
    /// Clients of MQTT-SN that are awake, and that sleep.
    pub(crate) gateway: [AtomicUsize; 2],
}

#[derive(Debug)]
struct Held {
    by: Weak<Session>,
    /// When it was taken from another connection.
    taken: Option<Instant>,
    /// What is kept of its session is being deleted: until that is done nobody follows.
    is_ending: bool,
    /// Who follows. Seldom there.
    next: Option<Box<Next>>,
}

#[derive(Debug)]
struct Next {
    session: Weak<Session>,
    /// When it came, if it takes the identifier from a connection that is not leaving.
    taken: Option<Instant>,
}

impl Held {
    fn new(by: Weak<Session>, taken: Option<Instant>) -> Self {
        Self { by, taken, is_ending: false, next: None }
    }

    fn is_by(&self, session: &Arc<Session>) -> bool {
        std::ptr::eq(self.by.as_ptr(), Arc::as_ptr(session))
    }

    /// Who follows, if it is still there.
    fn next(&self) -> Option<Arc<Session>> {
        self.next.as_ref()?.session.upgrade().filter(|next| !next.peer.is_closing())
    }
}

/// What became of a connection that wants an identifier.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// It has it.
    Free,
    /// It has it when the one that has it now has left, and is woken then. That one is told to leave, if it is not leaving already.
    Behind,
    /// It was taken from another one just now: this one is to be closed.
    Refused,
    /// Another user has it.
    OfAnother,
}

#[derive(Default)]
struct Told {
    accounts: HashSet<AccountId>,
    is_published: bool,
}

impl ClientIds {
    /// How many of an account are connected.
    pub(crate) fn count(&self, account: AccountId) -> usize {
        self.held.lock().keys().filter(|(of, _)| *of == account).count()
    }

    /// Somebody of an account subscribes to what the server tells of itself. True: somebody has to begin to publish that.
    pub(crate) fn tell_account(&self, account: AccountId) -> bool {
        let mut told = self.told.lock();
        told.accounts.insert(account);
        !std::mem::replace(&mut told.is_published, true)
    }

    /// Whether somebody of an account may subscribe to that.
    pub(crate) fn is_told(&self, account: AccountId) -> bool {
        self.told.lock().accounts.contains(&account)
    }

    /// Nobody of the account does.
    pub(crate) fn tell_no_more(&self, account: AccountId) {
        self.told.lock().accounts.remove(&account);
    }

    /// Whether somebody may; if nobody does, nothing needs to be published any more.
    pub(crate) fn are_told(&self) -> bool {
        let mut told = self.told.lock();
        told.is_published = !told.accounts.is_empty();
        told.is_published
    }

    /// The same settings, as other connections have them.
    pub(crate) fn share_settings(&self, settings: Settings) -> Arc<Settings> {
        let mut shared = self.settings.lock();
        match &*shared {
            Some(shared) if **shared == settings => shared.clone(),
            _ => shared.insert(Arc::new(settings)).clone(),
        }
    }

    /// Whether the streams of an account are known to be there.
    pub(crate) fn is_prepared(&self, account: AccountId) -> bool {
        self.prepared.lock().contains(&account)
    }

    /// They are.
    pub(crate) fn set_prepared(&self, account: AccountId) {
        self.prepared.lock().insert(account);
    }

    /// Whether a client has asked for messages with the flag of retained ones as it was published.
    pub(crate) fn keep_flags(&self) -> bool {
        self.keep_flags.load(Ordering::Relaxed)
    }

    /// One has.
    pub(crate) fn set_keep_flags(&self) {
        self.keep_flags.store(true, Ordering::Relaxed);
    }

    /// A session of an account may be over then, in seconds since 1970. True: somebody has to begin to ask what is next.
    pub(crate) fn expect_end(&self, account: AccountId, due: u64) -> bool {
        self.sweeps.lock().entry(account).or_default().expect(due)
    }

    /// What is to be done about the records of an account.
    pub(crate) fn next_sweep(&self, account: AccountId, now: u64) -> NextSweep {
        self.sweeps.lock().entry(account).or_default().next(now)
    }

    /// Whether a connection has an identifier.
    pub(crate) fn is_connected(&self, account: AccountId, id: &str) -> bool {
        self.held.lock().contains_key(&(account, id.into()))
    }

    /// Gives an identifier to a connection, or has it wait for that.
    pub(crate) fn claim(
        &self,
        account: AccountId,
        id: &Arc<str>,
        session: &Arc<Session>,
        now: Instant,
    ) -> Claimed {
        let mut table = self.held.lock();
        let new = Arc::downgrade(session);
        let held = match table.entry((account, id.clone())) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(Held::new(new, None));
                return Claimed::Free;
            }
        };
        let (before, next) = (held.by.upgrade(), held.next());
        if before.iter().chain(&next).any(|other| other.user() != session.user()) {
            return Claimed::OfAnother;
        }
        if next.is_some() {
            return Claimed::Refused;
        }
        // One that is leaving takes it from nobody, and nothing is taken from it.
        let taken_from = before.filter(|before| !before.peer.is_closing());
        let is_fresh = |taken: Instant| now.saturating_duration_since(taken) < TAKEN_MIN;
        if taken_from.is_some() && held.taken.is_some_and(is_fresh) {
            return Claimed::Refused;
        }
        if held.by.strong_count() == 0 && !held.is_ending {
            *held = Held::new(new, None);
            return Claimed::Free;
        }
        held.next = Some(Box::new(Next { session: new, taken: taken_from.is_some().then_some(now) }));
        drop(table);
        if let Some(before) = taken_from {
            before.displace();
        }
        Claimed::Behind
    }

    /// Whether a connection has an identifier still.
    pub(crate) fn is_held_by(&self, account: AccountId, id: &Arc<str>, session: &Arc<Session>) -> bool {
        self.held.lock().get(&(account, id.clone())).is_some_and(|held| held.is_by(session))
    }

    /// The connection has nothing more to do with the identifier: it has ended, or who follows goes on with what it had.
    pub(crate) fn release(&self, account: AccountId, id: &Arc<str>, session: &Arc<Session>) {
        self.pass_on((account, id.clone()), |held| {
            held.next.take_if(|next| std::ptr::eq(next.session.as_ptr(), Arc::as_ptr(session)));
            held.is_by(session) && !held.is_ending
        });
    }

    /// What is kept of the session of a connection is being deleted.
    pub(crate) fn begin_end(&self, account: AccountId, id: &Arc<str>, session: &Arc<Session>) {
        let mut table = self.held.lock();
        if let Some(held) = table.get_mut(&(account, id.clone())).filter(|held| held.is_by(session)) {
            held.is_ending = true;
        }
    }

    /// It is deleted.
    pub(crate) fn ended(&self, account: AccountId, id: &Arc<str>) {
        self.pass_on((account, id.clone()), |held| std::mem::take(&mut held.is_ending));
    }

    /// Gives an identifier to who follows, if who has it `lets_go`.
    fn pass_on(&self, key: (AccountId, Arc<str>), lets_go: impl FnOnce(&mut Held) -> bool) {
        let mut table = self.held.lock();
        let Entry::Occupied(mut entry) = table.entry(key) else { return };
        if !lets_go(entry.get_mut()) {
            return;
        }
        let Some(next) = entry.get().next() else {
            entry.remove();
            return;
        };
        let taken = entry.get().next.as_ref().and_then(|next| next.taken);
        entry.insert(Held::new(Arc::downgrade(&next), taken));
        drop(table);
        next.peer.wake_owner();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ListenerKind;
    use dialtone_broker::kind::Kind;
    use dialtone_broker::outbox::Sink;
    use dialtone_broker::peer::{Basics, ClientId, Peer, Wake};
    use dialtone_wire::CloseReason;
    use std::io::IoSlice;

    struct Nowhere;

    impl Sink for Nowhere {
        fn write(&self, slices: &[IoSlice<'_>]) -> std::io::Result<usize> {
            Ok(slices.iter().map(|slice| slice.len()).sum())
        }
    }

    impl Wake for Nowhere {
        fn wake(&self) {}
    }

    fn session(number: u64) -> Arc<Session> {
        let (id, kind, start) = (ClientId(number), Kind::default(), Instant::now());
        let basics = Basics { id, kind, slot: 0, pending_bytes_max: 0, start };
        let peer = Peer::new(basics, Arc::default(), Arc::new(Nowhere), Box::new(Nowhere));
        Arc::new(Session::new(peer, ListenerKind::Mqtt, None))
    }

    #[test]
    fn who_comes_later_follows_but_not_at_once_again() {
        let (ids, account, id, now) = (ClientIds::default(), AccountId(1), Arc::from("same"), Instant::now());
        let [a, b, c, other] = [1, 2, 3, 4].map(session);
        let claim = |of: &Arc<Session>, at| ids.claim(account, &id, of, at);
        let has = |of: &Arc<Session>| ids.is_held_by(account, &id, of);
        assert!(matches!(claim(&a, now), Claimed::Free));
        assert!(matches!(ids.claim(AccountId(2), &id, &other, now), Claimed::Free));
        // The one that has it is told to leave, and has it until it is done.
        assert!(matches!(claim(&b, now), Claimed::Behind));
        assert_eq!((a.is_displaced(), has(&a), has(&b)), (true, true, false));
        // One follows, no more.
        assert!(matches!(claim(&c, now), Claimed::Refused));
        ids.release(account, &id, &c);
        ids.release(account, &id, &a);
        assert_eq!((has(&a), has(&b)), (false, true));
        // The end of the one that lost it frees nothing.
        ids.release(account, &id, &a);
        assert!(matches!(claim(&c, now), Claimed::Refused));
        assert!(!b.is_displaced());
        let later = now + TAKEN_MIN;
        assert!(matches!(claim(&c, later), Claimed::Behind));
        // It is its user's, and so is the place behind it.
        other.set_user(&Arc::from("other"));
        assert!(matches!(claim(&other, later), Claimed::OfAnother));
        ids.release(account, &id, &b);
        assert!(has(&c));
        assert!(matches!(claim(&other, later), Claimed::OfAnother));
        // Who follows and goes is not waited for.
        let later = later + TAKEN_MIN;
        assert!(matches!(claim(&a, later), Claimed::Behind));
        ids.release(account, &id, &a);
        ids.release(account, &id, &c);
        assert!(matches!(claim(&other, later), Claimed::Free));
    }

    #[test]
    fn one_that_is_leaving_is_in_nobodys_way() {
        let (ids, account, id, now) = (ClientIds::default(), AccountId(1), Arc::from("same"), Instant::now());
        let [a, b, c] = [1, 2, 3].map(session);
        let claim = |of: &Arc<Session>| ids.claim(account, &id, of, now);
        assert!(matches!(claim(&a), Claimed::Free));
        a.peer.close(CloseReason::ClientClosed);
        // Who follows it has taken nothing.
        assert!(matches!(claim(&b), Claimed::Behind));
        ids.release(account, &id, &a);
        assert!(matches!(claim(&c), Claimed::Behind));
        assert_eq!((a.is_displaced(), b.is_displaced()), (false, true));
        // One that is gone without a word is in nobody's way.
        ids.release(account, &id, &c);
        drop(b);
        assert!(matches!(claim(&c), Claimed::Free));
    }

    #[test]
    fn who_follows_waits_until_what_was_kept_is_deleted() {
        let (ids, account, id, now) = (ClientIds::default(), AccountId(1), Arc::from("same"), Instant::now());
        let [a, b] = [1, 2].map(session);
        let has = |of: &Arc<Session>| ids.is_held_by(account, &id, of);
        assert!(matches!(ids.claim(account, &id, &a, now), Claimed::Free));
        a.peer.close(CloseReason::ClientClosed);
        ids.begin_end(account, &id, &a);
        ids.release(account, &id, &a);
        drop(a);
        assert!(matches!(ids.claim(account, &id, &b, now), Claimed::Behind));
        assert!(!has(&b));
        ids.ended(account, &id);
        assert!(has(&b));
        // Only once, and nobody's else.
        ids.ended(account, &id);
        assert!(has(&b));
        ids.begin_end(account, &id, &b);
        ids.ended(account, &id);
        assert!(!has(&b));
    }
}
