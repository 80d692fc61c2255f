//! Latency of requests that another server answers. The server of the responder measures its part and sends it to that of the requester,
//! which knows the rest and reports both as one.
//!
//! The subject of the answer says who wants the part: it ends with the hash of the requester's server and `T`.

use super::THRESHOLD_DEFAULT;
use crate::account::AccountId;
use crate::charged::{Charge, Charged};
use crate::reserved::ANSWER_PREFIX;
use dialtone_wire::interserver::short_hash;
use hashbrown::HashMap;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Requests that wait for something in each account. Beyond it the oldest of the account is let go.
const WAITING_PER_ACCOUNT_MAX: usize = 16 * 1024;
/// What waited too long and is let go at a time.
const BATCH: usize = 512;
/// The end of an answer's subject whose latency is measured by two servers.
const MEASURED: &[u8] = b".T";

/// What the subject of an answer to this server ends with, if its latency is measured.
pub(crate) fn suffix(server_name: &str) -> Box<[u8]> {
    [b".", &short_hash::<8>(server_name.as_bytes())[..], MEASURED].concat().into()
}

/// Whether some server wants to know how long an answer to this subject takes.
#[inline]
pub(crate) fn is_measured(subject: &[u8]) -> bool {
    subject.starts_with(ANSWER_PREFIX) && subject.ends_with(MEASURED)
}

/// The hash of the server that wants to know it.
pub(crate) fn wanted_by(subject: &[u8]) -> Option<&[u8]> {
    subject.rsplit(|&byte| byte == b'.').nth(1).filter(|_| is_measured(subject))
}

/// What the server of a responder measured.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherPart {
    /// Who answered, as that server says it.
    pub responder: Value,
    /// The responder's round-trip time.
    pub rtt: Duration,
    /// How long it took, without that.
    pub service: Duration,
}

/// Things that wait by the subjects of answers, each charged to an account.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    by_subject: HashMap<Arc<[u8]>, Entry<T>, foldhash::fast::RandomState>,
    by_account: Charged<AccountId, Arc<[u8]>>,
    by_time: BTreeMap<(Instant, u64), Arc<[u8]>>,
    next: u64,
}

#[derive(Debug)]
struct Entry<T> {
    what: T,
    account: AccountId,
    charge: Charge<AccountId>,
    until: (Instant, u64),
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            by_subject: HashMap::default(),
            by_account: Charged::default(),
            by_time: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<T> Waiting<T> {
    /// Adds something. What has to go for it.
    pub fn insert(&mut self, account: AccountId, subject: &[u8], what: T, now: Instant) -> Option<T> {
        let replaced = self.remove(account, subject);
        let oldest = if self.by_account.count(account) >= WAITING_PER_ACCOUNT_MAX {
            self.by_account.oldest(account).and_then(|oldest| self.remove(account, &oldest))
        } else {
            None
        };
        let name: Arc<[u8]> = subject.into();
        self.next += 1;
        let until = (now + THRESHOLD_DEFAULT, self.next);
        let charge = self.by_account.open(account, name.clone());
        self.by_time.insert(until, name.clone());
        self.by_subject.insert(name, Entry { what, account, charge, until });
        replaced.or(oldest)
    }

    /// Takes out what waits in an account.
    pub fn remove(&mut self, account: AccountId, subject: &[u8]) -> Option<T> {
        self.by_subject.get(subject).filter(|entry| entry.account == account)?;
        let entry = self.by_subject.remove(subject)?;
        self.by_account.close(entry.charge);
        self.by_time.remove(&entry.until);
        Some(entry.what)
    }

    /// Takes out some of what has waited too long.
    pub fn expire(&mut self, now: Instant) -> Vec<T> {
        let late = self.by_time.range(..=(now, u64::MAX)).take(BATCH);
        let late: Vec<Arc<[u8]>> = late.map(|(_, subject)| subject.clone()).collect();
        let late = late.iter().filter_map(|subject| {
            let account = self.by_subject.get(subject)?.account;
            self.remove(account, subject)
        });
        late.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_says_which_server_measures() {
        let suffix = suffix("A");
        assert_eq!(&*suffix, b".NUmM6cRx.T");
        let subject = [b"_R_.abcdef.x", &*suffix].concat();
        assert_eq!((is_measured(&subject), wanted_by(&subject)), (true, Some(&b"NUmM6cRx"[..])));
        for other in [&b"_R_.abcdef.x"[..], b"a.b.T", b"_R_.a.b.t"] {
            assert_eq!((is_measured(other), wanted_by(other)), (false, None));
        }
    }

    /// An account's flood costs that account its own figures, and what nobody asks for any more goes in time.
    #[test]
    fn what_waits_is_bounded_by_account_and_time() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let (quiet, loud) = (AccountId(1), AccountId(2));
        assert_eq!(waiting.insert(quiet, b"q", 0, now), None);
        for n in 0..WAITING_PER_ACCOUNT_MAX {
            assert_eq!(waiting.insert(loud, n.to_string().as_bytes(), n, now), None);
        }
        assert_eq!(waiting.insert(loud, b"more", 7, now + Duration::from_secs(1)), Some(0));
        assert_eq!((waiting.remove(loud, b"q"), waiting.remove(quiet, b"q")), (None, Some(0)));
        assert_eq!((waiting.remove(quiet, b"q"), waiting.expire(now)), (None, Vec::new()));
        let mut late = 0;
        loop {
            match waiting.expire(now + THRESHOLD_DEFAULT).len() {
                0 => break,
                some => late += some,
            }
        }
        assert_eq!((late, waiting.by_subject.len()), (WAITING_PER_ACCOUNT_MAX - 1, 1));
        assert_eq!((waiting.by_time.len(), waiting.by_account.count(loud)), (1, 1));
    }
}
