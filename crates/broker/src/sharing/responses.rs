//! The answers that an account's services owe: which subject leads back to whom.

use super::ServiceExport;
use super::latency::Tracked;
use crate::account::{Account, AccountId};
use dialtone_config::sharing::{Latency, ResponseType};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

/// Open requests that one account may have with the services of another. Beyond it the oldest is forgotten, so that a
/// tenant's flood costs that tenant its own answers and nobody else anything.
const OPEN_PER_ORIGIN_MAX: usize = 16 * 1024;
/// What the subjects of answers begin with, as in the official server.
pub const PREFIX: &[u8] = b"_R_.";

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
    /// The request, if its latency is told.
    pub tracked: Option<Arc<Tracked>>,
    pub until: Instant,
}

/// A request whose answer did not come in time, with the subject that led back to it.
pub(crate) type Late = (Box<[u8]>, Pending);

/// An answer that is owed, as monitoring shows it.
#[derive(Clone, Debug)]
pub struct Owed {
    /// Where it is to be published.
    pub subject: String,
    /// The account that asked.
    pub requester: String,
    /// The subject that it has there.
    pub reply: String,
    /// Where its latency is told, if it is.
    pub latency: Option<Latency>,
}

/// All requests that wait for an answer of one account.
#[derive(Debug)]
pub(crate) struct Responses {
    open: HashMap<Box<[u8]>, Pending, foldhash::fast::RandomState>,
    /// By whose they are, the oldest first; some are answered already.
    origins: HashMap<AccountId, VecDeque<Box<[u8]>>, foldhash::fast::RandomState>,
    /// How many of an origin are open.
    counts: HashMap<AccountId, usize, foldhash::fast::RandomState>,
    /// Keyed by secrets of this process: who sees some subjects can not tell others.
    tokens: RandomState,
    next: u64,
    watched: bool,
}

impl Default for Responses {
    fn default() -> Self {
        Self {
            open: HashMap::default(),
            origins: HashMap::default(),
            counts: HashMap::default(),
            tokens: RandomState::new(),
            next: 0,
            watched: false,
        }
    }
}

impl Responses {
    /// Notes a request. The subject that leads back to it.
    pub fn open(&mut self, pending: Pending) -> Box<[u8]> {
        let subject = self.subject();
        let origin = pending.origin;
        let count = self.counts.get(&origin).copied().unwrap_or(0);
        if count >= OPEN_PER_ORIGIN_MAX {
            self.forget_oldest(origin);
        }
        *self.counts.entry(origin).or_default() += 1;
        self.open.insert(subject.clone(), pending);
        let queue = self.origins.entry(origin).or_default();
        queue.push_back(subject.clone());
        // Those that were answered leave in bulk, so that each costs little.
        if queue.len() > 64 + 2 * count {
            queue.retain(|subject| self.open.contains_key(subject));
        }
        subject
    }

    fn forget_oldest(&mut self, origin: AccountId) {
        while let Some(oldest) = self.origins.get_mut(&origin).and_then(VecDeque::pop_front) {
            if self.close(&oldest).is_some() {
                return;
            }
        }
    }

    /// The request that an answer to `subject` would be for.
    pub fn owed_to(&self, subject: &[u8], now: Instant) -> Option<Pending> {
        self.open.get(subject).filter(|pending| pending.until > now).cloned()
    }

    /// The request that an answer to `subject` is for. `ends`: the answer is empty, which ends an answer in parts.
    /// The second value tells whether it was the last.
    pub fn answer(&mut self, subject: &[u8], ends: bool, now: Instant) -> Option<(Pending, bool)> {
        let pending = self.open.get_mut(subject)?;
        if pending.until <= now {
            return None;
        }
        if pending.response == ResponseType::Single || ends {
            return self.close(subject).map(|pending| (pending, true));
        }
        let threshold = pending.export.as_ref().map_or(super::THRESHOLD_DEFAULT, |export| export.threshold);
        pending.until = now + threshold;
        Some((pending.clone(), false))
    }

    /// Forgets a request.
    pub fn close(&mut self, subject: &[u8]) -> Option<Pending> {
        let pending = self.open.remove(subject)?;
        if let Some(count) = self.counts.get_mut(&pending.origin) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&pending.origin);
                self.origins.remove(&pending.origin);
            }
        }
        Some(pending)
    }

    /// Takes out what has waited too long.
    pub fn expire(&mut self, now: Instant) -> Vec<Late> {
        let late = self.open.iter().filter(|(_, pending)| pending.until <= now);
        let late: Vec<Box<[u8]>> = late.map(|(subject, _)| subject.clone()).collect();
        late.into_iter().filter_map(|subject| Some((subject.clone(), self.close(&subject)?))).collect()
    }

    /// All of them, for monitoring.
    pub fn owed(&self) -> impl Iterator<Item = Owed> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.open.iter().map(move |(subject, pending)| Owed {
            subject: text(subject),
            requester: pending.requester.name.to_string(),
            reply: text(&pending.reply),
            latency: pending.tracked.as_ref().and_then(|tracked| tracked.export.latency.clone()),
        })
    }

    /// Whether somebody must begin to look after what comes late.
    pub fn watch(&mut self) -> bool {
        !std::mem::replace(&mut self.watched, true)
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// A subject that was not given before and that nobody can guess: `_R_.`, six characters, a dot, twenty.
    fn subject(&mut self) -> Box<[u8]> {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut out = Vec::with_capacity(PREFIX.len() + 27);
        out.extend_from_slice(PREFIX);
        let mut write = |mut number: u64, digits: usize| {
            for _ in 0..digits {
                out.extend(DIGITS.get((number % 62) as usize));
                number /= 62;
            }
        };
        write(self.tokens.hash_one("account"), 6);
        self.next += 1;
        let (first, second) =
            (self.tokens.hash_one((0u8, self.next)), self.tokens.hash_one((1u8, self.next)));
        write(first, 10);
        write(second, 10);
        out.insert(PREFIX.len() + 6, b'.');
        out.into()
    }
}
