//! The answers that an account's services owe: which subject leads back to whom.

use super::ServiceExport;
use super::latency::Tracked;
use crate::account::{Account, AccountId};
use crate::charged::{Charge, Charged};
use crate::random::Secrets;
use crate::reserved;
use dialtone_config::sharing::{Latency, ResponseType};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

/// Open requests that one account may have with the services of another. Beyond it the oldest is forgotten, so that a
/// tenant's flood costs that tenant its own answers and nobody else anything.
const OPEN_PER_ORIGIN_MAX: usize = 16 * 1024;
/// Late requests that are taken out under one lock, and owed ones that are read under one.
const BATCH: usize = 512;
/// What the subjects of answers begin with, as in the official server.
pub const PREFIX: &[u8] = reserved::ANSWER_PREFIX;

/// A request that waits for its answer.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// Where the answer goes.
    pub requester: Arc<Account>,
    /// Its subject there.
    pub reply: Box<[u8]>,
    /// Whose tenant asked first; it answers for how many are open.
    pub origin: AccountId,
    pub response: ResponseType,
    /// What was asked; `None` for an answer that itself asks for one.
    pub export: Option<Arc<ServiceExport>>,
    /// The request, if its latency is reported.
    pub tracked: Option<Arc<Tracked>>,
    pub until: Instant,
}

/// A request whose answer did not come in time, with the subject that led back to it.
pub(crate) type Late = (Pending, Arc<[u8]>);

/// How far monitoring has read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwedAt(Instant, u64);

/// An answer that is owed, as monitoring shows it.
#[derive(Clone, Debug)]
pub struct Owed {
    /// Where it is to be published.
    pub subject: String,
    /// The account that asked.
    pub requester: String,
    /// The subject that it has there.
    pub reply: String,
    /// Where its latency is published, if it is.
    pub latency: Option<Latency>,
}

/// A request, and its keys in the other tables.
#[derive(Debug)]
struct Open {
    pending: Pending,
    charge: Charge<AccountId>,
    number: u64,
}

/// All requests that wait for an answer of one account. Nothing here takes longer the more are open, but for a logarithm.
#[derive(Debug, Default)]
pub(crate) struct Responses {
    /// What their subjects begin with.
    prefix: Box<[u8]>,
    open: HashMap<Arc<[u8]>, Open, foldhash::fast::RandomState>,
    by_origin: Charged<AccountId, Arc<[u8]>>,
    /// By when their time is over.
    by_time: BTreeMap<(Instant, u64), Arc<[u8]>>,
    next: u64,
    watched: bool,
}

impl Responses {
    /// None so far; their subjects begin with this.
    pub fn new(prefix: &[u8]) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }

    /// Notes a request. The subject that leads back to it, which ends with `suffix`.
    pub fn open(&mut self, pending: Pending, suffix: &[u8], secrets: &mut Secrets) -> Box<[u8]> {
        let subject = self.subject(suffix, secrets);
        self.next += 1;
        let origin = pending.origin;
        if self.by_origin.count(origin) >= OPEN_PER_ORIGIN_MAX
            && let Some(oldest) = self.by_origin.oldest(origin)
        {
            self.close(&oldest);
        }
        let name: Arc<[u8]> = subject.clone().into();
        let charge = self.by_origin.open(origin, name.clone());
        self.by_time.insert((pending.until, self.next), name.clone());
        self.open.insert(name, Open { pending, charge, number: self.next });
        subject
    }

    /// A subject that nobody can guess: the prefix and twenty characters.
    fn subject(&self, suffix: &[u8], secrets: &mut Secrets) -> Box<[u8]> {
        let mut out = Vec::with_capacity(self.prefix.len() + 20 + suffix.len());
        out.extend_from_slice(&self.prefix);
        append_random(&mut out, 10, secrets);
        append_random(&mut out, 10, secrets);
        out.extend_from_slice(suffix);
        out.into()
    }

    /// The request that an answer to `subject` would be for.
    pub fn owed_to(&self, subject: &[u8], now: Instant) -> Option<Pending> {
        self.open.get(subject).map(|open| &open.pending).filter(|pending| pending.until > now).cloned()
    }

    /// The request that an answer to `subject` is for. `ends`: the answer is empty, which ends an answer in parts.
    /// The second value is whether it was the last.
    pub fn answer(&mut self, subject: &[u8], ends: bool, now: Instant) -> Option<(Pending, bool)> {
        let (name, open) = self.open.get_key_value_mut(subject)?;
        let pending = &mut open.pending;
        if pending.until <= now {
            return None;
        }
        if pending.response == ResponseType::Single || ends {
            return self.close(subject).map(|pending| (pending, true));
        }
        let threshold = pending.export.as_ref().map_or(super::THRESHOLD_DEFAULT, |export| export.threshold);
        self.by_time.remove(&(pending.until, open.number));
        pending.until = now + threshold;
        self.by_time.insert((pending.until, open.number), name.clone());
        Some((pending.clone(), false))
    }

    /// Forgets a request.
    pub fn close(&mut self, subject: &[u8]) -> Option<Pending> {
        let open = self.open.remove(subject)?;
        self.by_origin.close(open.charge);
        self.by_time.remove(&(open.pending.until, open.number));
        Some(open.pending)
    }

    /// Takes out some of what has waited too long. Nothing: there is no more.
    pub fn expire(&mut self, now: Instant) -> Vec<Late> {
        let late = self.by_time.range(..=(now, u64::MAX)).take(BATCH);
        let late: Vec<Arc<[u8]>> = late.map(|(_, subject)| subject.clone()).collect();
        late.into_iter().filter_map(|subject| Some((self.close(&subject)?, subject))).collect()
    }

    /// Some of them for monitoring, in the order of their times, behind this one.
    pub fn owed(&self, behind: Option<OwedAt>) -> (Vec<Owed>, Option<OwedAt>) {
        let from = behind.map_or(Bound::Unbounded, |at| Bound::Excluded((at.0, at.1)));
        let some = self.by_time.range((from, Bound::Unbounded)).take(BATCH);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut last = None;
        let owed = some.filter_map(|(at, subject)| {
            last = Some(OwedAt(at.0, at.1));
            let pending = &self.open.get(subject)?.pending;
            Some(Owed {
                subject: text(subject),
                requester: pending.requester.name.to_string(),
                reply: text(&pending.reply),
                latency: pending.tracked.as_ref().and_then(|tracked| tracked.export.latency.clone()),
            })
        });
        (owed.collect(), last)
    }

    /// Whether somebody must begin to look after what comes late.
    pub fn watch(&mut self) -> bool {
        !std::mem::replace(&mut self.watched, true)
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }
}

/// Appends so many random characters.
fn append_random(out: &mut Vec<u8>, characters: usize, secrets: &mut Secrets) {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = secrets.next();
    for _ in 0..characters {
        out.extend(DIGITS.get((number % 62) as usize));
        number /= 62;
    }
}

/// What all subjects of one account's answers begin with, so that other servers can be told of them: `_R_.`, six characters, a dot.
pub(crate) fn prefix(secrets: &mut Secrets) -> Box<[u8]> {
    let mut out = PREFIX.to_vec();
    append_random(&mut out, 6, secrets);
    out.push(b'.');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Draws;
    use std::time::Duration;

    fn pending(origin: u32, until: Instant, response: ResponseType) -> Pending {
        Pending {
            requester: Account::new(AccountId(origin), "a"),
            reply: b"r".as_slice().into(),
            origin: AccountId(origin),
            response,
            export: None,
            tracked: None,
            until,
        }
    }

    #[test]
    fn a_flood_of_requests_takes_from_its_own_account() {
        let now = Instant::now();
        let until = now + Duration::from_secs(1);
        let (mut responses, mut secrets) = (Responses::default(), Draws::new([1; 32]).secrets);
        let other = responses.open(pending(1, until, ResponseType::Single), b"", &mut secrets);
        let first = responses.open(pending(2, until, ResponseType::Single), b"", &mut secrets);
        for _ in 0..OPEN_PER_ORIGIN_MAX {
            responses.open(pending(2, until, ResponseType::Single), b"", &mut secrets);
        }
        assert_eq!(responses.len(), OPEN_PER_ORIGIN_MAX + 1);
        assert!(responses.close(&other).is_some() && responses.close(&first).is_none());
        assert_eq!(
            (responses.open.len(), responses.by_time.len()),
            (OPEN_PER_ORIGIN_MAX, OPEN_PER_ORIGIN_MAX)
        );
    }

    /// What is late is taken out in the order of time, so many at once, and nothing else is looked at.
    #[test]
    fn what_is_late_is_taken_out_in_parts() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let (mut responses, mut secrets) = (Responses::default(), Draws::new([1; 32]).secrets);
        let streamed = responses.open(pending(1, at(1), ResponseType::Stream), b"", &mut secrets);
        for n in 0..3 * BATCH as u64 {
            responses.open(pending(1, at(1 + n % 3), ResponseType::Single), b"", &mut secrets);
        }
        assert!(responses.answer(&streamed, false, now).is_some(), "its time begins again");
        assert!(responses.expire(now).is_empty());
        assert_eq!(responses.expire(at(2)).len(), BATCH);
        assert_eq!(responses.expire(at(2)).len(), BATCH);
        assert!(responses.expire(at(2)).is_empty());
        let (mut behind, mut read) = (None, 0);
        loop {
            let (some, last) = responses.owed(behind);
            read += some.len();
            behind = last;
            if some.is_empty() {
                break;
            }
        }
        assert_eq!((read, responses.len()), (BATCH + 1, BATCH + 1));
    }
}
