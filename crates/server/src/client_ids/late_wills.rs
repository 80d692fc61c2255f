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
    /// Has a will wait; one of the same client that waits already is replaced. True: somebody has to begin to look for what is due.
    ///
    /// # Errors
    /// The account has no room for it.
    pub(crate) fn insert(&self, late: LateWill, due: Instant) -> Result<bool, Box<LateWill>> {
        let waiting = &mut *self.0.lock();
        let key = (late.account.id, late.client_id.clone());
        if let Some(before) = waiting.of.get(&key).copied() {
            waiting.remove(before);
        }
        let used = waiting.bytes.get(&key.0).copied().unwrap_or(0) + late.bytes();
        if used > LATE_BYTES_MAX {
            return Err(Box::new(late));
        }
        waiting.bytes.insert(key.0, used);
        waiting.next_number += 1;
        let at = (due, waiting.next_number);
        waiting.of.insert(key, at);
        waiting.wills.insert(at, late);
        Ok(!std::mem::replace(&mut waiting.is_watched, true))
    }

    /// The client has come back: its will is taken back. [MQTT-3.1.3-9]
    pub(crate) fn cancel(&self, account: AccountId, client_id: &Arc<str>) {
        let waiting = &mut *self.0.lock();
        if let Some(at) = waiting.of.get(&(account, client_id.clone())).copied() {
            waiting.remove(at);
        }
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
        assert!(matches!(wills.insert(late(&account, "a", b"1"), after(5)), Ok(true)));
        assert!(matches!(wills.insert(late(&account, "b", b"1"), after(3)), Ok(false)));
        assert!(matches!(wills.insert(late(&account, "c", b"1"), after(4)), Ok(false)));
        assert_eq!(due(after(2)), (vec![], true));
        // The newest will of a client counts; who comes back has none.
        assert!(matches!(wills.insert(late(&account, "b", b"2"), after(4)), Ok(false)));
        wills.cancel(AccountId(1), &"c".into());
        wills.cancel(AccountId(2), &"b".into());
        assert_eq!(due(after(3)), (vec![], true));
        assert_eq!(due(after(5)), (vec!["b".into(), "a".into()], false));
        assert!(matches!(wills.insert(late(&account, "a", b"1"), after(9)), Ok(true)));
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
