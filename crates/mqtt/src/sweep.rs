//! Sessions whose clients do not come back: which records are to go, and when an account's are looked through for them.
//!
//! A session that is over is over for its client whether its record is still there or not, and its consumers go by themselves; so records may
//! be looked for at leisure. Times are in seconds since 1970.

use crate::record::Record;
use crate::session::Expiry;
use crate::streams::Hash;
use std::time::Duration;

/// It is looked at least so often whether an earlier time was said.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Pause between two walks through the records of an account, at least, and for each record that was looked at: a walk takes less than a
/// hundredth of that.
const REST_MIN: Duration = Duration::from_secs(1);
const REST_PER_RECORD: Duration = Duration::from_millis(10);

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Stays,
    /// It is over then.
    Until(u64),
    /// It goes.
    Over,
    /// Nobody has said when its connection ended, since its server was killed: it has ended now, and is over then.
    Left(u64),
}

impl Verdict {
    /// About a record; `server` is the server that asks, and `is_connected` whether the client is connected to it.
    pub fn of(record: &Record, server: Hash, is_connected: bool, now: u64) -> Self {
        let is_left = record.ended == 0 && record.origin == server.as_str();
        match record.expiry {
            _ if is_connected => Self::Stays,
            _ if record.is_over(now) => Self::Over,
            Expiry::AtEnd if is_left => Self::Over,
            Expiry::After(seconds) if is_left => Self::Left(now.saturating_add(u64::from(seconds))),
            Expiry::After(seconds) if record.ended > 0 => {
                Self::Until(record.ended.saturating_add(u64::from(seconds)))
            }
            Expiry::After(_) | Expiry::AtEnd | Expiry::Never => Self::Stays,
        }
    }
}

/// When the records of an account are looked through.
#[derive(Debug, Default)]
pub struct Sweep {
    due: Option<u64>,
    is_begun: bool,
    has_walked: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until a time is said again.
    Nothing,
    /// To ask again when so much has passed.
    Wait(Duration),
    /// To look through all records, rest, and ask again.
    Walk {
        /// For the first time since the server began.
        is_first: bool,
    },
}

impl Sweep {
    /// A session may be over then. True: somebody has to begin to ask for what is next.
    pub fn expect(&mut self, due: u64) -> bool {
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
        !std::mem::replace(&mut self.is_begun, true)
    }

    /// What is next.
    pub fn next(&mut self, now: u64) -> Next {
        let Some(due) = self.due else {
            self.is_begun = false;
            return Next::Nothing;
        };
        match due.checked_sub(now).filter(|left| *left > 0) {
            Some(left) => Next::Wait(WAIT_MAX.min(Duration::from_secs(left))),
            None => {
                self.due = None;
                Next::Walk { is_first: !std::mem::replace(&mut self.has_walked, true) }
            }
        }
    }
}

/// How long a walk is followed by none, if it has looked at so many records.
pub fn rest(records: u64) -> Duration {
    REST_MIN.max(REST_PER_RECORD.saturating_mul(u32::try_from(records).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(expiry: Expiry, ended: u64, origin: &str) -> Record {
        Record { expiry, ended, clean: expiry == Expiry::AtEnd, origin: origin.into(), ..Record::default() }
    }

    #[test]
    fn records_go_when_their_sessions_are_over() {
        let own = Hash::of("a");
        let (here, there) = (own.as_str(), Hash::of("b").as_str().to_owned());
        let after = Expiry::After(60);
        for (record, expected) in [
            (record(after, 1000, here), Verdict::Until(1060)),
            (record(after, 1000, &there), Verdict::Until(1060)),
            (record(after, 940, &there), Verdict::Over),
            (record(Expiry::Never, 10, here), Verdict::Stays),
            (record(Expiry::Never, 0, here), Verdict::Stays),
            // This server was killed; of another one it is not known.
            (record(after, 0, here), Verdict::Left(1060)),
            (record(after, 0, &there), Verdict::Stays),
            (record(Expiry::AtEnd, 0, here), Verdict::Over),
            (record(Expiry::AtEnd, 0, &there), Verdict::Stays),
        ] {
            assert_eq!(Verdict::of(&record, own, false, 1000), expected, "{record:?}");
            assert_eq!(Verdict::of(&record, own, true, 1000), Verdict::Stays, "{record:?}");
        }
    }

    #[test]
    fn records_are_looked_through_when_one_may_be_over() {
        let mut sweep = Sweep::default();
        assert_eq!(sweep.next(1000), Next::Nothing);
        assert!(sweep.expect(1100));
        assert!(!sweep.expect(1200), "somebody asks already");
        assert_eq!(sweep.next(1000), Next::Wait(WAIT_MAX));
        assert!(!sweep.expect(1010));
        assert_eq!(sweep.next(1000), Next::Wait(Duration::from_secs(10)));
        assert_eq!(sweep.next(1010), Next::Walk { is_first: true });
        // The walk says what it has found.
        assert!(!sweep.expect(1030));
        assert_eq!(sweep.next(1011), Next::Wait(Duration::from_secs(19)));
        assert_eq!(sweep.next(2000), Next::Walk { is_first: false });
        assert_eq!(sweep.next(2000), Next::Nothing);
        assert!(sweep.expect(0));
        assert_eq!(sweep.next(2000), Next::Walk { is_first: false });
    }

    #[test]
    fn walks_take_a_bounded_share_of_the_time() {
        assert_eq!([0, 100, 1_000_000].map(|records| rest(records).as_secs()), [1, 1, 10_000]);
        assert!(rest(u64::MAX) >= rest(1_000_000));
    }
}
