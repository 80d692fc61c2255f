//! Which connection has which client identifier of MQTT: one of each in an account.

use crate::session::Session;
use dialtone_broker::account::AccountId;
use parking_lot::Mutex;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A connection that took over an identifier keeps it for so long at least: two clients that both believe to be it do not take it from each
/// other again and again. The official server's figure.
const TAKEN_MIN: Duration = Duration::from_secs(1);

/// The identifiers that are in use.
#[derive(Debug, Default)]
pub(crate) struct ClientIds {
    held: Mutex<HashMap<(AccountId, Arc<str>), Held>>,
    /// Accounts whose streams of MQTT are known to be there.
    prepared: Mutex<HashSet<AccountId>>,
}

#[derive(Debug)]
struct Held {
    by: Weak<Session>,
    /// When it was taken from another connection.
    taken: Option<Instant>,
}

/// What became of a connection that wants an identifier.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// It has it.
    Free,
    /// It has it, and the connection that had it is to be closed.
    From(Arc<Session>),
    /// It was taken from another one just now: this one is to be closed.
    Refused,
    /// Another user has it.
    OfAnother,
}

impl ClientIds {
    /// Whether the streams of an account are known to be there.
    pub(crate) fn is_prepared(&self, account: AccountId) -> bool {
        self.prepared.lock().contains(&account)
    }

    /// They are.
    pub(crate) fn set_prepared(&self, account: AccountId) {
        self.prepared.lock().insert(account);
    }

    /// Gives an identifier to a connection.
    pub(crate) fn claim(
        &self,
        account: AccountId,
        id: &Arc<str>,
        session: &Arc<Session>,
        now: Instant,
    ) -> Claimed {
        let mut held = self.held.lock();
        let entry = held.entry((account, id.clone()));
        let mut new = Held { by: Arc::downgrade(session), taken: None };
        let before = match &entry {
            Entry::Occupied(before) => before.get().by.upgrade(),
            Entry::Vacant(_) => None,
        };
        let Some(before) = before else {
            entry.insert_entry(new);
            return Claimed::Free;
        };
        let Entry::Occupied(mut entry) = entry else { return Claimed::Free };
        if before.user() != session.user() {
            return Claimed::OfAnother;
        }
        let is_fresh = |taken: Instant| now.saturating_duration_since(taken) < TAKEN_MIN;
        if entry.get().taken.is_some_and(is_fresh) {
            return Claimed::Refused;
        }
        new.taken = Some(now);
        entry.insert(new);
        Claimed::From(before)
    }

    /// The connection has ended, or has lost the identifier before.
    pub(crate) fn release(&self, account: AccountId, id: &Arc<str>, session: &Arc<Session>) {
        let mut held = self.held.lock();
        let key = (account, id.clone());
        if held.get(&key).is_some_and(|held| std::ptr::eq(held.by.as_ptr(), Arc::as_ptr(session))) {
            held.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ListenerKind;
    use dialtone_broker::kind::Kind;
    use dialtone_broker::outbox::Sink;
    use dialtone_broker::peer::{Basics, ClientId, Peer, Wake};
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
    fn who_comes_later_takes_over_but_not_at_once_again() {
        let (ids, account, id, now) = (ClientIds::default(), AccountId(1), Arc::from("same"), Instant::now());
        let [a, b, c, other] = [1, 2, 3, 4].map(session);
        assert!(matches!(ids.claim(account, &id, &a, now), Claimed::Free));
        assert!(matches!(ids.claim(AccountId(2), &id, &other, now), Claimed::Free));
        assert!(matches!(ids.claim(account, &id, &b, now), Claimed::From(from) if Arc::ptr_eq(&from, &a)));
        // The end of the one that lost it frees nothing.
        ids.release(account, &id, &a);
        assert!(matches!(ids.claim(account, &id, &c, now), Claimed::Refused));
        let later = now + TAKEN_MIN;
        assert!(matches!(ids.claim(account, &id, &c, later), Claimed::From(from) if Arc::ptr_eq(&from, &b)));
        ids.release(account, &id, &c);
        assert!(matches!(ids.claim(account, &id, &a, later), Claimed::Free));
        // It is its user's.
        b.set_user(&Arc::from("other"));
        assert!(matches!(ids.claim(account, &id, &b, later), Claimed::OfAnother));
        b.set_user(&Arc::from(""));
        a.set_user(&Arc::from(""));
        // One that is gone without a word is in nobody's way.
        drop(a);
        assert!(matches!(ids.claim(account, &id, &b, later), Claimed::Free));
    }
}
