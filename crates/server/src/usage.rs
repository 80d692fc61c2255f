//! What accounts and their users used since the last record: messages, bytes, connections and how long they lasted.
//!
//! Each session remembers up to where it is settled; [`Usage::settle`] moves that mark and adds what lies between to a
//! ledger, at the end of an interval and at the end of a connection. So nothing is counted twice and nothing is missed,
//! whichever comes first.

use dialtone_broker::account::Account;
use dialtone_broker::stats::Traffic;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Users of an account that are reported one by one; what the others used is summed up.
pub(crate) const USERS_MAX: usize = 1000;
/// Users of all accounts together that a ledger remembers one by one.
const USERS_TOTAL_MAX: usize = 100_000;

/// Who used something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct User {
    /// Its name in the configuration, the NKey of its token, or the name that an authorization service gave it.
    pub(crate) id: Arc<str>,
    /// The name in its token, if it is another.
    pub(crate) name: Option<Box<str>>,
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Connections at the end.
    pub(crate) connections: u64,
    /// Connections that began.
    pub(crate) connects: u64,
    /// Connections that ended.
    pub(crate) disconnects: u64,
    /// How long connections lasted, all added up.
    pub(crate) connected: Duration,
    /// Messages and bytes.
    pub(crate) traffic: Traffic,
    /// Messages that rate limits refused; they are among those that came in.
    pub(crate) refused_msgs: u64,
}

impl Used {
    fn add(&mut self, more: &Self) {
        self.connections += more.connections;
        self.connects += more.connects;
        self.disconnects += more.disconnects;
        self.connected += more.connected;
        self.traffic.in_msgs += more.traffic.in_msgs;
        self.traffic.in_bytes += more.traffic.in_bytes;
        self.traffic.out_msgs += more.traffic.out_msgs;
        self.traffic.out_bytes += more.traffic.out_bytes;
        self.refused_msgs += more.refused_msgs;
    }
}

/// Up to where a connection's use is settled.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    account: Arc<Account>,
    user: User,
    since: Instant,
    traffic: Traffic,
    refused_msgs: u64,
    is_new: bool,
    ended: bool,
}

impl Checkpoint {
    /// A connection took its place in an account.
    pub(crate) fn new(account: Arc<Account>, user: User, now: Instant) -> Self {
        let traffic = Traffic::default();
        Self { account, user, since: now, traffic, refused_msgs: 0, is_new: true, ended: false }
    }

    /// What was used before does not count.
    pub(crate) fn skip_earlier(&mut self, traffic: Traffic, refused_msgs: u64) {
        (self.traffic, self.refused_msgs, self.is_new) = (traffic, refused_msgs, false);
    }

    /// Moves the mark to `now`. What lies between.
    fn advance(&mut self, now: Instant, traffic: Traffic, refused_msgs: u64, state: ConnectionState) -> Used {
        let ends = state == ConnectionState::Ended && !self.ended;
        let before = self.traffic;
        // Each figure only grows, but they are read one by one.
        let since = |now: u64, before: u64| now.saturating_sub(before);
        let used = Used {
            connections: u64::from(!self.ended && state == ConnectionState::Connected),
            connects: u64::from(self.is_new),
            disconnects: u64::from(ends),
            connected: if self.ended { Duration::ZERO } else { now.saturating_duration_since(self.since) },
            traffic: Traffic {
                in_msgs: since(traffic.in_msgs, before.in_msgs),
                in_bytes: since(traffic.in_bytes, before.in_bytes),
                out_msgs: since(traffic.out_msgs, before.out_msgs),
                out_bytes: since(traffic.out_bytes, before.out_bytes),
            },
            refused_msgs: since(refused_msgs, self.refused_msgs),
        };
        self.since = self.since.max(now);
        (self.traffic, self.refused_msgs, self.is_new) = (traffic, refused_msgs, false);
        self.ended |= ends;
        used
    }
}

/// From when on a connection's use counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountFrom {
    /// From its beginning.
    Connect,
    /// From now on.
    Now,
}

/// Whether a connection goes on after it was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionState {
    /// It does.
    Connected,
    /// It is over.
    Ended,
}

/// What the users of an account used.
#[derive(Debug, Default)]
pub(crate) struct AccountUsage {
    /// By user.
    pub(crate) users: BTreeMap<User, Used>,
    /// Of users beyond those that are reported one by one.
    pub(crate) others: Option<Used>,
}

impl AccountUsage {
    /// What all used.
    pub(crate) fn total(&self) -> Used {
        let mut total = Used::default();
        self.users.values().chain(&self.others).for_each(|used| total.add(used));
        total
    }
}

#[derive(Debug, Default)]
struct Ledger {
    accounts: BTreeMap<Box<str>, AccountUsage>,
    users: usize,
}

/// The ledger of the interval that is under way.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    on: AtomicBool,
    ledger: Mutex<Ledger>,
}

impl Usage {
    /// Whether use is added up at all.
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// Adds use up from now on, or no longer.
    pub(crate) fn switch(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }

    /// Adds what a connection used since it was last settled.
    pub(crate) fn settle(
        &self,
        checkpoint: &Mutex<Option<Box<Checkpoint>>>,
        now: Instant,
        traffic: Traffic,
        refused_msgs: u64,
        state: ConnectionState,
    ) {
        let settled = {
            let mut checkpoint = checkpoint.lock();
            checkpoint.as_mut().map(|checkpoint| {
                let used = checkpoint.advance(now, traffic, refused_msgs, state);
                (checkpoint.account.clone(), checkpoint.user.clone(), used)
            })
        };
        if let Some((account, user, used)) = settled.filter(|(.., used)| *used != Used::default()) {
            self.ledger.lock().add(&account.name, user, &used);
        }
    }

    /// Ends the interval: what was used, by account.
    pub(crate) fn take(&self) -> BTreeMap<Box<str>, AccountUsage> {
        std::mem::take(&mut *self.ledger.lock()).accounts
    }
}

impl Ledger {
    fn add(&mut self, account: &str, user: User, used: &Used) {
        if !self.accounts.contains_key(account) {
            self.accounts.insert(account.into(), AccountUsage::default());
        }
        let Some(of_account) = self.accounts.get_mut(account) else { return };
        if let Some(known) = of_account.users.get_mut(&user) {
            known.add(used);
        } else if of_account.users.len() < USERS_MAX && self.users < USERS_TOTAL_MAX {
            of_account.users.insert(user, *used);
            self.users += 1;
        } else {
            of_account.others.get_or_insert_default().add(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialtone_broker::account::AccountId;
    use proptest::prelude::*;

    fn user(id: &str) -> User {
        User { id: id.into(), name: None }
    }

    fn checkpoint(account: &Arc<Account>, id: &str, now: Instant) -> Mutex<Option<Box<Checkpoint>>> {
        Mutex::new(Some(Box::new(Checkpoint::new(account.clone(), user(id), now))))
    }

    fn traffic(n: u64) -> Traffic {
        Traffic { in_msgs: n, in_bytes: 2 * n, out_msgs: 3 * n, out_bytes: 4 * n }
    }

    #[test]
    fn a_connection_over_three_intervals_is_told_in_parts() {
        let (usage, start) = (Usage::default(), Instant::now());
        let account = Account::new(AccountId(1), "A");
        let checkpoint = checkpoint(&account, "u", start);
        let second = Duration::from_secs(1);
        let settle = |at: u32, n, state| {
            usage.settle(&checkpoint, start + second * at, traffic(n), n, state);
            usage.take().remove("A").map(|of_account| of_account.total())
        };
        let expected = |connections, connects, disconnects, seconds, n| {
            let connected = second * seconds;
            Some(Used { connections, connects, disconnects, connected, traffic: traffic(n), refused_msgs: n })
        };
        assert_eq!(settle(2, 5, ConnectionState::Connected), expected(1, 1, 0, 2, 5));
        assert_eq!(settle(3, 5, ConnectionState::Connected), expected(1, 0, 0, 1, 0));
        assert_eq!(settle(7, 9, ConnectionState::Ended), expected(0, 0, 1, 4, 4));
        // The end of an interval finds it once more.
        assert_eq!(settle(8, 9, ConnectionState::Connected), None);
    }

    #[test]
    fn users_beyond_the_bound_are_summed_up() {
        let (usage, now) = (Usage::default(), Instant::now());
        let account = Account::new(AccountId(1), "A");
        for number in 0..USERS_MAX + 7 {
            let checkpoint = checkpoint(&account, &number.to_string(), now);
            usage.settle(&checkpoint, now, traffic(1), 0, ConnectionState::Connected);
        }
        let of_account = usage.take().remove("A").expect("used");
        assert_eq!(of_account.users.len(), USERS_MAX);
        assert_eq!(of_account.others.map(|used| used.connections), Some(7));
        assert_eq!(of_account.total().traffic, traffic(USERS_MAX as u64 + 7));
        assert!(usage.take().is_empty());
    }

    proptest! {
        /// Connections of two users, settled and ended at random, in intervals that end at random: the intervals together
        /// have each message and each moment once.
        #[test]
        fn intervals_add_up(steps in proptest::collection::vec((0..4usize, 0..5u64, 0..4u8), 1..80)) {
            let (usage, start) = (Usage::default(), Instant::now());
            let account = Account::new(AccountId(1), "A");
            let checkpoints: Vec<_> = (0..4).map(|n| checkpoint(&account, ["a", "b"][n % 2], start)).collect();
            let (mut counts, mut ended) = ([0u64; 4], [None; 4]);
            let (mut now, mut total) = (start, Used::default());
            let mut add = |usage: &Usage| {
                usage.take().values().for_each(|of_account| total.add(&of_account.total()));
            };
            for (which, more, what) in steps {
                now += Duration::from_millis(7);
                if ended[which].is_none() {
                    counts[which] += more;
                }
                let state = if what == 0 { ConnectionState::Ended } else { ConnectionState::Connected };
                if what == 0 && ended[which].is_none() {
                    ended[which] = Some(now);
                }
                usage.settle(&checkpoints[which], now, traffic(counts[which]), 0, state);
                if what == 1 {
                    add(&usage);
                }
            }
            for (checkpoint, count) in checkpoints.iter().zip(counts) {
                usage.settle(checkpoint, now, traffic(count), 0, ConnectionState::Connected);
            }
            add(&usage);
            let lasted = ended.iter().map(|end| end.unwrap_or(now) - start);
            prop_assert_eq!(total.traffic, traffic(counts.iter().sum()));
            prop_assert_eq!(total.connected, lasted.sum::<Duration>());
            prop_assert_eq!(total.connects, 4);
            prop_assert_eq!(total.disconnects, ended.iter().flatten().count() as u64);
        }
    }
}
