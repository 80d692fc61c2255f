//! The JWTs of accounts that are in force: the newest verified one of each, by public key.

use dialtone_identity::jwt::DecodedJwt;
use dialtone_identity::jwt::sharing::Claims;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::SystemTime;

/// Accounts that are kept at most; one more is rejected.
const ACCOUNTS_MAX: usize = 1 << 20;

/// The JWT of an account, verified.
#[derive(Debug)]
pub struct VerifiedAccount {
    /// As it was signed.
    pub jwt: Arc<str>,
    /// What it says.
    pub token: Arc<DecodedJwt>,
    /// What it allows itself and shares.
    pub claims: Claims,
    /// When it was verified.
    pub updated: SystemTime,
}

/// The newest token of each account.
#[derive(Debug, Default)]
pub struct AccountJwts {
    by_key: RwLock<BTreeMap<Box<str>, Arc<VerifiedAccount>>>,
    version: AtomicU64,
    /// The last second in which all imports hold, since 1970; 0: for ever.
    due: AtomicI64,
    /// Held while a token takes the place of another one, or what it shares is worked out; never while others are asked.
    pub(crate) changing: Mutex<()>,
}

impl AccountJwts {
    /// The token of the account with this key.
    pub fn find(&self, key: &str) -> Option<Arc<VerifiedAccount>> {
        self.by_key.read().get(key).cloned()
    }

    /// All of them, by key.
    pub fn all(&self) -> Vec<Arc<VerifiedAccount>> {
        self.by_key.read().values().cloned().collect()
    }

    /// Keeps a token. False if there are too many.
    pub(crate) fn put(&self, key: &str, verified: Arc<VerifiedAccount>) -> bool {
        let mut by_key = self.by_key.write();
        if by_key.len() >= ACCOUNTS_MAX && !by_key.contains_key(key) {
            return false;
        }
        if let Some(until) = verified.claims.until {
            self.due_at(until);
        }
        by_key.insert(key.into(), verified);
        self.version.fetch_add(1, Ordering::Release);
        true
    }

    /// Notes that an import ends after that second.
    pub(crate) fn due_at(&self, until: i64) {
        let _ = self.due.fetch_update(Ordering::AcqRel, Ordering::Acquire, |due| {
            (due == 0 || until < due).then_some(until)
        });
    }

    /// Whether an import has ended before `now`; then whoever asks looks at all of them.
    pub(crate) fn take_due(&self, now: i64) -> bool {
        let is_over = |due: i64| due != 0 && due < now;
        self.due.fetch_update(Ordering::AcqRel, Ordering::Acquire, |due| is_over(due).then_some(0)).is_ok()
    }

    /// Forgets an account. Whether it was known.
    pub(crate) fn forget(&self, key: &str) -> bool {
        let _changing = self.changing.lock();
        let mut by_key = self.by_key.write();
        self.version.fetch_add(1, Ordering::Release);
        by_key.remove(key).is_some()
    }

    /// Changes whenever a token does.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}
