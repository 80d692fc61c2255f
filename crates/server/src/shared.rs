//! What all threads of a server share.

use crate::registry::Registry;
use crate::settings::Settings;
use dialtone_broker::account::Account;
use dialtone_broker::stats::Counters;
use dialtone_wire::Info;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One server's state. Each part guards itself; nothing here is held while another part is asked.
pub struct Shared {
    settings: RwLock<Arc<Settings>>,
    info: RwLock<Arc<Info>>,
    /// The account of those who are in no other.
    pub global: Arc<Account>,
    /// Who is connected.
    pub registry: Registry,
    /// What the server received and sent.
    pub counters: Counters,
    next_client: AtomicU64,
}

impl Shared {
    /// A server's state before it listens.
    pub fn new(settings: Settings, info: Info, global: Arc<Account>) -> Arc<Self> {
        Arc::new(Self {
            settings: RwLock::new(Arc::new(settings)),
            info: RwLock::new(Arc::new(info)),
            global,
            registry: Registry::default(),
            counters: Counters::default(),
            next_client: AtomicU64::new(1),
        })
    }

    /// The figures as they are now.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().clone()
    }

    /// INFO as it is now, without what differs by connection.
    pub fn info(&self) -> Arc<Info> {
        self.info.read().clone()
    }

    /// A number for a new connection.
    pub fn next_client(&self) -> u64 {
        self.next_client.fetch_add(1, Ordering::Relaxed)
    }
}
