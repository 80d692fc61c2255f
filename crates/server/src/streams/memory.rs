//! What streams in files may take of memory, and what is let go where they take more: the oldest of whoever has most.

use super::checkpoints::Checkpoints;
use super::hosted::Hosted;
use super::shared::Shared;
use crate::process;
use dialtone_broker::account::AccountId;
use dialtone_jetstream::memory::{Budget, Part};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What streams in files take at most where nothing is said, on however large a machine.
const DEFAULT_BYTES_MAX: u64 = 1 << 30;
/// The same where the machine does not say what it has.
const UNKNOWN_BYTES: u64 = 256 << 20;
/// Bytes of the log behind the last checkpoint that make the next one due: an eighth of all.
const BEHIND_BYTES: RangeInclusive<usize> = 4 << 20..=64 << 20;
/// Bytes that wait for the disk above which the store refuses: half of the share, since as many may be written meanwhile.
const PENDING_BYTES: RangeInclusive<usize> = 2 << 20..=32 << 20;

/// What goes by checkpoints.
const LEFT: [Part; 2] = [Part::Index, Part::Subjects];

/// Bytes that may wait for the receiver of a consumer that pushes, where it does not read: a 64th of a share.
const UNREAD_BYTES: RangeInclusive<usize> = 128 << 10..=2 << 20;

/// Bytes for streams in files: what is configured, or a quarter of what the machine has, since streams in memory may take three.
pub(crate) fn limit(configured: Option<u64>) -> usize {
    let of_machine =
        || process::memory_bytes().map_or(UNKNOWN_BYTES, |bytes| bytes / 4).min(DEFAULT_BYTES_MAX);
    usize::try_from(configured.unwrap_or_else(of_machine)).unwrap_or(usize::MAX)
}

/// See [`BEHIND_BYTES`].
pub(super) fn behind_bytes(budget: &Budget) -> u64 {
    (budget.bytes_max() / 8).clamp(*BEHIND_BYTES.start(), *BEHIND_BYTES.end()) as u64
}

/// See [`PENDING_BYTES`].
fn pending_bytes_max(budget: &Budget) -> usize {
    (budget.share(Part::Log) / 2).clamp(*PENDING_BYTES.start(), *PENDING_BYTES.end())
}

impl Shared {
    /// What streams in files may take of memory.
    pub(crate) fn memory(&self) -> &Budget {
        &self.care.budget
    }

    /// Streams in files may take so much from now on. What is too much goes within a second or so.
    pub(crate) fn set_memory(&self, bytes_max: usize) {
        let budget = self.memory();
        budget.set_bytes_max(bytes_max);
        self.care.alarm.set_at(behind_bytes(budget));
        if let Some(store) = self.store() {
            store.set_pending_bytes_max(pending_bytes_max(budget));
        }
    }

    /// What a part takes now.
    pub(crate) fn memory_used(&self, part: Part) -> usize {
        match part {
            Part::Log => self.store().map_or(0, dialtone_store::Store::buffered_bytes),
            _ => self.memory().used(part),
        }
    }

    /// Bytes that may wait for the receiver of a consumer that pushes, where it does not read, before the consumer rests.
    pub(super) fn unread_bytes_max(&self) -> usize {
        (self.memory().share(Part::Waiting) / 64).clamp(*UNREAD_BYTES.start(), *UNREAD_BYTES.end())
    }

    /// Whether whoever publishes waits until what is known of messages and subjects was left to the disk. What cannot go by a checkpoint holds up
    /// nobody.
    pub(super) fn is_index_full(&self) -> bool {
        self.is_above(0, 8) || self.is_above(1, 2)
    }

    /// Whether a checkpoint is due since more than what is on disk has to go.
    pub(super) fn is_index_due(&self) -> bool {
        self.is_above(0, 16) || self.is_above(1, 4)
    }

    /// Whether one of these has more than it may, or than it could be brought to, by one of so many parts of its share.
    fn is_above(&self, which: usize, parts: usize) -> bool {
        let (part, left) = (LEFT.get(which).copied(), self.care.left.get(which));
        part.zip(left).is_some_and(|(part, left)| {
            let share = self.memory().share(part);
            self.memory().used(part) > share.max(left.load(Ordering::Relaxed)) + share / parts
        })
    }

    /// Bytes on their way to the disk above which whoever publishes waits for a commit. What each connection has in one read comes on top, and has
    /// room below the bound at which the store refuses.
    pub(super) fn held_bytes(&self) -> u64 {
        pending_bytes_max(self.memory()) as u64 / 2
    }
}

impl Checkpoints<'_> {
    /// Lets bodies go from memory where all have more than they may. To be called once a second.
    pub(super) fn cool(&self) {
        let budget = self.shared.memory();
        if budget.used(Part::Bodies) > budget.share(Part::Bodies) / 8 * 7 {
            let bytes = |hosted: &Hosted| hosted.lock().state.machine.messages().body_bytes();
            // Whoever stores has room then.
            self.take(budget.share(Part::Bodies) / 4 * 3, &bytes, &|hosted, most| {
                hosted.lock().state.machine.cool_to(most);
            });
        }
    }

    /// Lets what is known of old messages go from memory, where that is near to what it may be, so that there is room for what comes while a
    /// checkpoint goes on; and what was read of it. Whoever waits for that goes on.
    pub(super) fn page_out(&self) {
        let budget = self.shared.memory();
        if budget.used(Part::Index) > budget.share(Part::Index) / 8 * 7 {
            self.page_out_to(budget.share(Part::Index) / 4 * 3);
        }
        if budget.is_over(Part::Subjects) {
            let bytes_max = budget.share(Part::Index) / 16;
            self.streams().iter().for_each(|hosted| hosted.subjects_out(bytes_max));
        }
        if budget.is_over(Part::Pages) {
            // Each stream keeps what it read last; here nobody waits for it.
            self.streams().iter().for_each(|hosted| hosted.lock().state.machine.messages().forget_pages());
        }
        if !self.shared.is_index_full() {
            let waits = |hosted: &Arc<Hosted>| hosted.peer.get().is_some_and(|peer| peer.stalls());
            self.streams().into_iter().filter(waits).for_each(|hosted| hosted.wake());
        }
    }

    /// What a checkpoint, done or not, has left cannot go now.
    pub(super) fn note_index_left(&self) {
        for (part, left) in LEFT.into_iter().zip(&self.shared.care.left) {
            left.store(self.shared.memory().used(part), Ordering::Relaxed);
        }
    }

    fn page_out_to(&self, bytes_max: usize) {
        let budget = self.shared.memory();
        let bytes = |hosted: &Hosted| hosted.lock().state.machine.messages().chunk_bytes();
        // Of what is written on nothing goes.
        let all: usize = self.streams().iter().map(|hosted| bytes(hosted)).sum();
        let others = budget.used(Part::Index).saturating_sub(all);
        self.take(bytes_max.saturating_sub(others), &bytes, &|hosted, most| {
            hosted.page_out(most);
        });
    }

    fn streams(&self) -> Vec<Arc<Hosted>> {
        self.all.all().into_iter().filter(|hosted| hosted.group.is_some()).collect()
    }

    /// Has `shrink` take from the streams with most, of the accounts with most, until all together have no more than `bytes_max`.
    fn take(&self, bytes_max: usize, bytes: &dyn Fn(&Hosted) -> usize, shrink: &dyn Fn(&Hosted, usize)) {
        let mut accounts: HashMap<Option<AccountId>, Vec<(Arc<Hosted>, usize)>> = HashMap::new();
        for hosted in self.streams() {
            let (account, bytes) = (hosted.account().map(|account| account.id), bytes(&hosted));
            accounts.entry(account).or_default().push((hosted, bytes));
        }
        let sum = |streams: &[(Arc<Hosted>, usize)]| streams.iter().map(|(_, bytes)| bytes).sum::<usize>();
        let of_account = level(accounts.values().map(|streams| sum(streams)).collect(), bytes_max);
        for streams in accounts.into_values().filter(|streams| sum(streams) > of_account) {
            let of_stream = level(streams.iter().map(|(_, bytes)| *bytes).collect(), of_account);
            for (hosted, _) in streams.iter().filter(|(_, bytes)| *bytes > of_stream) {
                shrink(hosted, of_stream);
            }
        }
    }
}

/// How much each may have, so that all together have no more than `bytes_max`: those with less keep what they have.
fn level(mut having: Vec<usize>, bytes_max: usize) -> usize {
    having.sort_unstable();
    let (mut left, mut others) = (bytes_max, having.len());
    for bytes in having {
        if bytes > left / others {
            return left / others;
        }
        left -= bytes;
        others -= 1;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_most_gives() {
        assert_eq!(level(vec![], 10), usize::MAX);
        assert_eq!(level(vec![3, 4, 3], 10), usize::MAX, "all is well");
        assert_eq!(level(vec![3, 4, 4], 10), 3);
        assert_eq!(level(vec![100, 1, 100, 2], 23), 10, "1, 2, 10, 10");
        assert_eq!(level(vec![5, 5], 0), 0);
    }

    #[test]
    fn any_levels_keep_the_bound_and_waste_nothing() {
        for seed in 0..2000_u64 {
            let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let mut next = |below: u64| {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((random >> 33) % below) as usize
            };
            let having: Vec<usize> = (0..next(9)).map(|_| next(50)).collect();
            let bytes_max = next(200);
            let each = level(having.clone(), bytes_max);
            let left: usize = having.iter().map(|bytes| (*bytes).min(each)).sum();
            assert!(left <= bytes_max, "{having:?} {bytes_max}");
            let more: usize = having.iter().map(|bytes| (*bytes).min(each.saturating_add(1))).sum();
            assert!(more > bytes_max || each == usize::MAX, "{having:?} {bytes_max}");
        }
    }

    #[test]
    fn bounds_of_the_log_follow_the_whole() {
        let figures = |bytes| {
            let budget = Budget::new(bytes);
            (behind_bytes(&budget) >> 20, pending_bytes_max(&budget) >> 20)
        };
        assert_eq!((figures(1 << 20), figures(128 << 20), figures(8 << 30)), ((4, 2), (16, 8), (64, 32)));
        assert!((16 << 20..=1 << 30).contains(&limit(None)));
        assert_eq!(limit(Some(5)), 5);
    }
}
