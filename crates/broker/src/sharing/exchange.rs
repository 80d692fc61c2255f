//! What all turns of a server share about sharing: its name, and the accounts whose services owe answers.

use super::responses::Pending;
use crate::account::Account;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Instant;

/// One a server.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The server's name, for services that may know.
    pub server: Box<str>,
    owing: Mutex<Vec<Arc<Account>>>,
}

impl Exchange {
    /// For the server with this name.
    pub fn new(server: &str) -> Arc<Self> {
        Arc::new(Self { server: server.into(), owing: Mutex::default() })
    }

    /// Notes an answer that a service of `account` owes. The subject that leads back to who asked.
    pub(crate) fn open(&self, account: &Arc<Account>, pending: Pending) -> Box<[u8]> {
        let (subject, first) = account.open_response(pending);
        if first {
            self.owing.lock().push(account.clone());
        }
        subject
    }

    /// Forgets the answers that did not come in time. To be called several times a second.
    pub fn expire(&self, now: Instant) {
        let accounts = std::mem::take(&mut *self.owing.lock());
        let owe = |account: &Arc<Account>| account.expire_responses(now);
        let still: Vec<_> = accounts.into_iter().filter(owe).collect();
        self.owing.lock().extend(still);
    }
}
