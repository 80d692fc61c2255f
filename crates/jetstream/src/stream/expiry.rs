//! When messages with a TTL expire.

use super::{Proposal, REMOVED_MAX, Reason, Remove, Rollup, Store, Stream, Ttl};
use crate::time::Nanos;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// Deadlines of messages that have one of their own.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    by_time: BTreeSet<(i64, u64)>,
    by_seq: HashMap<u64, i64>,
}

impl Deadlines {
    pub(super) fn set(&mut self, seq: u64, deadline: i64) {
        self.by_time.insert((deadline, seq));
        self.by_seq.insert(seq, deadline);
    }

    #[inline]
    pub(super) fn remove(&mut self, seq: u64) {
        if self.by_seq.is_empty() {
            return;
        }
        if let Some(deadline) = self.by_seq.remove(&seq) {
            self.by_time.remove(&(deadline, seq));
        }
    }

    pub(super) fn clear(&mut self) {
        self.by_time.clear();
        self.by_seq.clear();
    }

    /// The first deadline.
    pub(super) fn first(&self) -> Option<i64> {
        self.by_time.first().map(|&(deadline, _)| deadline)
    }

    /// Messages whose deadline has come, in the order of their deadlines.
    pub(super) fn due(&self, now: i64) -> impl Iterator<Item = u64> + '_ {
        self.by_time.range(..=(now, u64::MAX)).map(|&(_, seq)| seq)
    }

    /// All of them by time.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (i64, u64)> + '_ {
        self.by_time.iter().copied()
    }
}

/// The header block of a subject delete marker.
fn marker_headers(ttl_seconds: i64) -> Vec<u8> {
    let ttl = Nanos::seconds(ttl_seconds);
    format!("NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: {ttl}\r\nNats-Rollup: sub\r\n\r\n")
        .into_bytes()
}

impl Stream {
    /// When [`Self::admit_expiry`] and [`Self::admit_schedule`] are to be asked next: nanoseconds since 1970.
    pub fn next_expiry(&self) -> Option<i64> {
        let age = self.settings.limits.age.and_then(|age| {
            let mut heads = self.messages.iter_from(0);
            heads.find(|head| !head.is_kept_forever).map(|head| head.time.saturating_add(age))
        });
        [age, self.deadlines.first(), self.schedules.first(), self.delays.first()].into_iter().flatten().min()
    }

    /// The next removal, or the next subject delete marker, that is due. To be asked again until there is none.
    pub fn admit_expiry(&self, now: i64) -> Option<Proposal<'static>> {
        let mut due = self.due(now);
        if self.settings.marker_ttl > 0 {
            let unmarked = self.without_marker(&due);
            if unmarked == 0 {
                return due.first().and_then(|&seq| self.marker(seq, now));
            }
            due.truncate(unmarked);
        }
        if due.is_empty() {
            return None;
        }
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for seq in due {
            match runs.last_mut() {
                Some(run) if run.1 + 1 == seq => run.1 = seq,
                _ => runs.push((seq, seq)),
            }
        }
        Some(Proposal::Remove(Remove { runs, reason: Reason::Expired, erase: false }))
    }

    /// Sequences that have expired, ascending, as many as one proposal may name.
    fn due(&self, now: i64) -> Vec<u64> {
        let mut due: Vec<u64> = self.deadlines.due(now).take(REMOVED_MAX).collect();
        if let Some(age) = self.settings.limits.age {
            let old = self.messages.iter_from(0).take_while(|head| head.time.saturating_add(age) <= now);
            due.extend(old.filter(|head| !head.is_kept_forever).map(|head| head.seq).take(REMOVED_MAX));
        }
        due.sort_unstable();
        due.dedup();
        due.truncate(REMOVED_MAX);
        due
    }

    /// How many of these can go before one is the last of its subject and has to be replaced by a marker.
    fn without_marker(&self, due: &[u64]) -> usize {
        let mut gone = HashMap::new();
        let needs_marker = |&seq: &u64| {
            let Some(head) = self.messages.head(seq) else { return false };
            let gone = gone.entry(head.subject_id).or_insert(0);
            *gone += 1;
            self.messages.subject(head.subject_id).count == *gone && !head.is_marker
        };
        due.iter().position(needs_marker).unwrap_or(due.len())
    }

    /// The marker that takes the place of the last message of a subject.
    fn marker(&self, seq: u64, now: i64) -> Option<Proposal<'static>> {
        let head = self.messages.head(seq)?;
        let ttl = self.settings.marker_ttl;
        let store = Store {
            seq: self.messages.totals().last + 1,
            time: now,
            subject: Cow::Owned(head.subject.to_vec()),
            headers: Cow::Owned(marker_headers(ttl)),
            ttl: Ttl::Until(now.saturating_add(ttl.saturating_mul(1_000_000_000))),
            rollup: Some(Rollup::Subject),
            is_marker: true,
            ..Store::default()
        };
        Some(Proposal::Store(store.measured()))
    }
}
