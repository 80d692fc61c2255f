//! What the server is called and what it goes by: the policy in force, and how another one comes.

use crate::policy::{Identity, Policy};
use dialtone_config::{ConfigErrors, Options};
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// Reads the options again for a reload.
pub(crate) type Reader = Box<dyn Fn() -> Result<Options, ConfigErrors> + Send + Sync>;

/// The server's identity and its policy.
pub struct Settings {
    /// What the server is called.
    pub identity: Identity,
    policy: RwLock<Arc<Policy>>,
    generation: AtomicU32,
    loaded: Mutex<SystemTime>,
    /// Reads the options again, if there is a way.
    pub(crate) reader: OnceLock<Reader>,
    /// Held while a reload is carried out.
    pub(crate) reloading: Mutex<()>,
    /// Lets clients go and ends the server, on a thread of its own.
    pub(crate) end: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Called when the server has ended.
    pub(crate) at_end: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Settings {
    /// The settings of a server that starts.
    pub(crate) fn new(identity: Identity, policy: Policy) -> Self {
        Self {
            identity,
            policy: RwLock::new(Arc::new(policy)),
            generation: AtomicU32::new(0),
            loaded: Mutex::new(SystemTime::now()),
            reader: OnceLock::new(),
            reloading: Mutex::default(),
            end: OnceLock::new(),
            at_end: OnceLock::new(),
        }
    }

    /// What the configuration means now.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.read().clone()
    }

    /// Changes whenever another policy is in force, after all that follows from it has been done.
    #[inline]
    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Puts another policy in force, with what `follow` makes of it.
    pub(crate) fn replace(&self, policy: Policy, follow: impl FnOnce(&Policy)) {
        let policy = Arc::new(policy);
        *self.policy.write() = policy.clone();
        *self.loaded.lock() = SystemTime::now();
        follow(&policy);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// When the configuration was read.
    pub fn config_loaded(&self) -> SystemTime {
        *self.loaded.lock()
    }
}
