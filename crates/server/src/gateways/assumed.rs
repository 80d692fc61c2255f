//! Accounts of which another cluster's server does not send its interest from the beginning: those before 2.9. Messages are sent there
//! all the same, until it says that nobody wants them, or changes to sending its interest (INFO with commands 2 and 3).

use dialtone_broker::account::Account;
use dialtone_broker::assumed::Assumed;
use dialtone_broker::peer::Peer;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Accounts of which something is kept. What is said of more is passed over: messages are sent there. One connection's own.
const ACCOUNTS_MAX: usize = 64 * 1024;

/// What is assumed of one connection.
#[derive(Debug)]
pub struct Optimism {
    peer: Arc<Peer>,
    accounts: Mutex<Accounts>,
}

#[derive(Debug, Default)]
struct Accounts {
    assumed: BTreeMap<Box<str>, Assumed>,
    /// Those that it sends its interest of, or has none in.
    told: BTreeSet<Box<[u8]>>,
}

impl Optimism {
    /// Of a server that sends no interest from the beginning.
    pub(crate) fn new(peer: &Arc<Peer>) -> Self {
        Self { peer: peer.clone(), accounts: Mutex::default() }
    }

    /// These accounts are here: of those that are new all is assumed to be wanted.
    pub(crate) fn follow(&self, here: &[Arc<Account>]) {
        let mut accounts = self.accounts.lock();
        let Accounts { assumed, told } = &mut *accounts;
        assumed.retain(|name, known| {
            here.iter().any(|account| *account.name == **name && Arc::ptr_eq(account, known.account()))
        });
        for account in here.iter().filter(|account| !told.contains(account.name.as_bytes())) {
            assumed.entry(account.name.clone()).or_insert_with(|| Assumed::begin(&self.peer, account));
        }
    }

    /// An account has come.
    pub(crate) fn meet(&self, account: &Arc<Account>) {
        let mut accounts = self.accounts.lock();
        if !accounts.told.contains(account.name.as_bytes()) {
            let begin = || Assumed::begin(&self.peer, account);
            accounts.assumed.entry(account.name.clone()).or_insert_with(begin);
        }
    }

    /// It has sent all its interest in an account, or has none there: nothing is assumed any more.
    pub(crate) fn end(&self, account: &[u8]) {
        let mut accounts = self.accounts.lock();
        if accounts.told.len() < ACCOUNTS_MAX {
            accounts.told.insert(account.into());
            if let Ok(name) = std::str::from_utf8(account) {
                accounts.assumed.remove(name);
            }
        }
    }

    /// It has interest in an account in which it had none.
    pub(crate) fn begin_again(&self, account: &[u8]) {
        self.accounts.lock().told.remove(account);
    }

    /// Does something with what is assumed in an account. `None`: nothing is.
    pub(crate) fn in_account<T>(&self, account: &[u8], act: impl FnOnce(&Assumed) -> T) -> Option<T> {
        let name = std::str::from_utf8(account).ok()?;
        self.accounts.lock().assumed.get(name).map(act)
    }
}
