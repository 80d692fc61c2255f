//! Wills that wait until their clients come back, or for so long as they said.

use dialtone_broker::account::{Account, AccountId};
use dialtone_mqtt::OwnWill;
use dialtone_mqtt::streams::Settings;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// Bytes of wills of an account that wait at most. What is more is published at once.
const LATE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes that a will takes beside its own.
const LATE_OVERHEAD: usize = 512;

/// A will that waits: MQTT 5 may have one published only when its client does not come back in time.
pub(crate) struct LateWill {
    pub(crate) account: Arc<Account>,
    pub(crate) client_id: Arc<str>,
    /// The user that it is from.
    pub(crate) user: Arc<str>,
    /// How streams are asked.
    pub(crate) settings: Arc<Settings>,
    pub(crate) will: OwnWill,
    /// Its sequence in the stream of what is held; 0: it is not known to be there.
    pub(crate) sequence: u64,
}

/// A will waits.
pub(crate) struct Waits {
    /// The number that it has here.
    pub(crate) number: u64,
    /// Somebody has to begin to look for what is due.
    pub(crate) is_first: bool,
    /// One of the same client that waited until now.
    pub(crate) replaced: Option<Box<LateWill>>,
}

impl LateWill {
    fn bytes(&self) -> usize {
        LATE_OVERHEAD + self.client_id.len() + self.will.bytes()
    }
}

/// Wills that wait, in memory. Each account has a share of its own.
#[derive(Default)]
pub(crate) struct LateWills(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// By when they are due.
    wills: BTreeMap<(Instant, u64), LateWill>,
    of: HashMap<(AccountId, Arc<str>), (Instant, u64)>,
    bytes: HashMap<AccountId, usize>,
    next_number: u64,
    /// Somebody looks for those that are due.
    is_watched: bool,
}

impl Waiting {
    fn remove(&mut self, at: (Instant, u64)) -> Option<LateWill> {
        let late = self.wills.remove(&at)?;
        self.of.remove(&(late.account.id, late.client_id.clone()));
        if let Some(bytes) = self.bytes.get_mut(&late.account.id) {
            *bytes -= late.bytes();
            if *bytes == 0 {
                self.bytes.remove(&late.account.id);
            }
        }
        Some(late)
    }
}

impl LateWills {
    /// Has a will wait; one of the same client that waits already is replaced.
    ///
    /// # Errors
    /// The account has no room for it.
    pub(crate) fn insert(&self, late: LateWill, due: Instant) -> Result<Waits, Box<LateWill>> {
        let waiting = &mut *self.0.lock();
        let key = (late.account.id, late.client_id.clone());
        let replaced = waiting.of.get(&key).copied().and_then(|before| waiting.remove(before)).map(Box::new);
        let used = waiting.bytes.get(&key.0).copied().unwrap_or(0) + late.bytes();
        if used > LATE_BYTES_MAX {
            return Err(Box::new(late));
        }
        waiting.bytes.insert(key.0, used);
        waiting.next_number += 1;
        let at = (due, waiting.next_number);
        waiting.of.insert(key, at);
        waiting.wills.insert(at, late);
        let is_first = !std::mem::replace(&mut waiting.is_watched, true);
        Ok(Waits { number: at.1, is_first, replaced })
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().wills.len()
    }

    /// Whether a will of the client waits.
    pub(crate) fn has(&self, account: AccountId, client_id: &Arc<str>) -> bool {
        self.0.lock().of.contains_key(&(account, client_id.clone()))
    }

    /// The will of this number is kept. Whether it still waits.
    pub(crate) fn set_kept(
        &self,
        account: AccountId,
        client_id: &Arc<str>,
        number: u64,
        sequence: u64,
    ) -> bool {
        let waiting = &mut *self.0.lock();
        let at = waiting.of.get(&(account, client_id.clone())).filter(|at| at.1 == number);
        let late = at.and_then(|at| waiting.wills.get_mut(at));
        let is_waiting = late.is_some();
        if let Some(late) = late {
            late.sequence = sequence;
        }
        is_waiting
    }

    /// The client has come back: its will is taken back. [MQTT-3.1.3-9]
    pub(crate) fn cancel(&self, account: AccountId, client_id: &Arc<str>) -> Option<LateWill> {
        let waiting = &mut *self.0.lock();
        let at = waiting.of.get(&(account, client_id.clone())).copied()?;
        waiting.remove(at)
    }

    /// Takes what is due, and says whether others wait; if none do, nobody needs to look any more.
    pub(crate) fn due(&self, now: Instant) -> (Vec<LateWill>, bool) {
        let waiting = &mut *self.0.lock();
        let mut due = Vec::new();
        while let Some(at) = waiting.wills.keys().next().copied().filter(|at| at.0 <= now) {
            due.extend(waiting.remove(at));
        }
        waiting.is_watched = !waiting.wills.is_empty();
        (due, waiting.is_watched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn late(account: &Arc<Account>, client_id: &str, payload: &[u8]) -> LateWill {
        let streams = dialtone_mqtt::streams::StreamOptions {
            ack_wait: Duration::ZERO,
            ack_pending_max: std::num::NonZeroU16::MAX,
            api_timeout: Duration::ZERO,
            replicas: 0,
            consumer_memory_storage: false,
            consumer_inactive_threshold: Duration::ZERO,
        };
        let settings = Settings { server: dialtone_mqtt::streams::Hash::of("a"), domain: None, streams };
        let (qos, properties) = (dialtone_wire::mqtt::Qos::AtMostOnce, dialtone_wire::mqtt::Properties::NONE);
        let will = dialtone_wire::mqtt::Will { topic: "t", payload, qos, retain: false, properties };
        LateWill {
            account: account.clone(),
            client_id: client_id.into(),
            user: "".into(),
            settings: Arc::new(settings),
            will: OwnWill::of(&will),
            sequence: 0,
        }
    }

    #[test]
    fn a_will_waits_until_it_is_due_or_its_client_comes_back() {
        let (wills, account, now) = (LateWills::default(), Account::new(AccountId(1), "A"), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let due = |at| {
            let (due, has_more) = wills.due(at);
            (due.iter().map(|late| late.client_id.to_string()).collect::<Vec<_>>(), has_more)
        };
        let insert = |client_id, payload: &[u8], at| {
            let waits = wills.insert(late(&account, client_id, payload), at).ok().expect("there is room");
            (waits.number, waits.is_first, waits.replaced.map(|late| late.sequence))
        };
        assert_eq!(insert("a", b"1", after(5)), (1, true, None));
        assert_eq!(insert("b", b"1", after(3)), (2, false, None));
        assert_eq!(insert("c", b"1", after(4)), (3, false, None));
        // Where it is kept is known later, as long as it waits.
        assert!(wills.set_kept(AccountId(1), &"b".into(), 2, 70));
        assert!(!wills.set_kept(AccountId(1), &"b".into(), 1, 71));
        assert_eq!(due(after(2)), (vec![], true));
        // The newest will of a client counts; who comes back has none.
        assert_eq!(insert("b", b"2", after(4)), (4, false, Some(70)));
        assert!(wills.cancel(AccountId(1), &"c".into()).is_some());
        assert!(wills.cancel(AccountId(2), &"b".into()).is_none());
        assert!(wills.has(AccountId(1), &"b".into()) && !wills.has(AccountId(1), &"c".into()));
        assert_eq!(due(after(3)), (vec![], true));
        assert_eq!(due(after(5)), (vec!["b".into(), "a".into()], false));
        assert_eq!(insert("a", b"1", after(9)), (5, true, None));
        wills.cancel(AccountId(1), &"a".into());
        assert_eq!(due(after(5)), (vec![], false));
    }

    #[test]
    fn wills_of_an_account_that_wait_are_bounded() {
        let (wills, now) = (LateWills::default(), Instant::now());
        let [one, other] = [1, 2].map(|id| Account::new(AccountId(id), "A"));
        let half = vec![0; LATE_BYTES_MAX / 2 - 1000];
        assert!(wills.insert(late(&one, "a", &half), now).is_ok());
        assert!(wills.insert(late(&one, "b", &half), now).is_ok());
        assert!(wills.insert(late(&one, "c", &half), now).is_err());
        assert!(wills.insert(late(&other, "c", &half), now).is_ok());
        wills.cancel(AccountId(1), &"a".into());
        assert!(wills.insert(late(&one, "c", &half), now).is_ok());
        assert_eq!(wills.due(now).0.len(), 3);
        assert!(wills.0.lock().bytes.is_empty());
    }
}
