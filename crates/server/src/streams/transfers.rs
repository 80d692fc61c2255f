//! Streams that are sent or taken as archives: how many at once.

use dialtone_broker::account::AccountId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// At once, of all accounts.
const ALL_MAX: usize = 64;
/// At once, of one account.
const ACCOUNT_MAX: usize = 16;

type Counts = Arc<Mutex<HashMap<AccountId, usize>>>;

/// Those that are under way, by account.
#[derive(Default)]
pub(crate) struct Transfers(Counts);

/// One that is under way, until it is dropped.
pub(crate) struct Transfer {
    account: AccountId,
    counts: Counts,
}

impl Transfers {
    /// Begins one. `None`: there are too many.
    pub(crate) fn begin(&self, account: AccountId) -> Option<Transfer> {
        let mut counts = self.0.lock();
        if counts.values().sum::<usize>() >= ALL_MAX {
            return None;
        }
        let count = counts.entry(account).or_default();
        if *count >= ACCOUNT_MAX {
            return None;
        }
        *count += 1;
        Some(Transfer { account, counts: self.0.clone() })
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_and_all_have_a_bound_and_what_ends_makes_room() {
        let transfers = Transfers::default();
        let mut mine: Vec<_> = (0..ACCOUNT_MAX).map_while(|_| transfers.begin(AccountId(1))).collect();
        assert_eq!((mine.len(), transfers.begin(AccountId(1)).is_none()), (ACCOUNT_MAX, true));
        let others: Vec<_> =
            (0..ALL_MAX as u32).filter_map(|other| transfers.begin(AccountId(2 + other))).collect();
        assert_eq!(others.len(), ALL_MAX - ACCOUNT_MAX);
        mine.pop();
        assert!(transfers.begin(AccountId(1)).is_some());
    }
}
