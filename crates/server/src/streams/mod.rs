//! Streams at work: what is published to them comes by inlets, what consumers get goes out by the turn that is at hand.
//!
//! Begin with [`Hosted`], one stream. [`All`] has those of all accounts, [`Shared`] what they have in common: the store, and the agenda of the
//! thread that works for them behind a commit or when time has come. Rooms inside: `state` is what the
//! log makes, `emitter` what consumers send, `backlog` what of that waits for the disk, which `reading` reads on a thread of its own, `checkpoints` moves what is there out of the log, `recover` reads the store.
//!
//! Invariants: one lock a stream, taken once a turn; no loop waits for the disk, and nobody who has the lock reads a body; what is not on disk is neither acknowledged nor delivered.

mod advisories;
mod answers;
mod archived;
mod backlog;
mod batches;
mod capture;
mod care;
mod checkpoints;
mod consumers;
mod damages;
mod direct;
mod due;
mod emitter;
mod explained;
mod fast;
mod hosted;
mod index;
mod interest;
mod kept;
mod letters;
mod loading;
mod memory;
mod meta;
mod names;
mod quota;
mod reading;
mod record;
mod recover;
mod registry;
mod republish;
mod requests;
#[cfg(test)]
#[path = "tests/restarts.rs"]
mod restarts;
mod series;
mod session;
mod settings;
mod shared;
#[cfg(test)]
#[path = "tests/slow_disk.rs"]
mod slow_disk;
mod sourcing;
mod state;
mod table;
#[cfg(test)]
#[path = "tests/timers.rs"]
mod timers;
mod traced;
mod watchdog;

pub(crate) use batches::OpenBatches;
mod transfers;

pub(crate) use advisories::{event_of_now, publish_event, stream_acted};
pub(crate) use archived::{ArchiveBegin, Taken};
pub(crate) use checkpoints::{Checkpoints, INTERVAL};
pub(crate) use consumers::Shown;
pub(crate) use damages::Damaged;
pub(crate) use explained::Consuming;
pub(crate) use hosted::Hosted;
pub(crate) use index::Index;
pub(crate) use loading::{LoadError, Loading};
pub(crate) use memory::limit as memory_limit;
pub(crate) use meta::ConsumerMeta;
pub(crate) use recover::{Recovering, Recovery};
pub(crate) use registry::All;
pub(crate) use shared::{Shared, SubjectForms, wall};
pub(crate) use state::State;
pub(crate) use transfers::Transfer;
pub(crate) use watchdog::Watchdog;

use dialtone_broker::account::{Account, AccountId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// How much JetStream may take of the machine, and where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capacity {
    /// Where streams are kept.
    pub(crate) folder: PathBuf,
    /// Bytes of streams in memory.
    pub(crate) memory_bytes_max: u64,
    /// Bytes of streams in files.
    pub(crate) file_bytes_max: u64,
}

impl Capacity {
    /// As quotas have it.
    pub(crate) fn limits(&self) -> [i64; 2] {
        [self.memory_bytes_max, self.file_bytes_max].map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
    }
}

/// Requests to the API that an account made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// All.
    pub(crate) total: u64,
    /// Those that were answered with an error.
    pub(crate) errors: u64,
}

/// The streams of a server.
#[derive(Default)]
pub(crate) struct Streams {
    /// All there are.
    pub(crate) all: All,
    /// Once JetStream was on.
    begun: OnceLock<Arc<Shared>>,
    capacity: Mutex<Capacity>,
    /// What a start that goes on is at.
    starting: Mutex<Option<String>>,
    /// A reload switched it off: streams are where they were, and nothing comes to them.
    is_off: AtomicBool,
    /// Accounts in which the API is answered, and what was asked there.
    served: Mutex<HashMap<AccountId, Asked>>,
    /// How often a consumer was found to stand.
    pub(crate) standing: AtomicU64,
    /// Archives that are under way.
    pub(crate) transfers: transfers::Transfers,
}

impl Streams {
    /// JetStream is on.
    pub(crate) fn begin(&self, shared: Arc<Shared>, capacity: Capacity) {
        *self.capacity.lock() = capacity;
        let _ = self.begun.set(shared);
    }

    /// Notes what a start that goes on is at; `None`: it has ended.
    pub(crate) fn set_starting(&self, at: Option<String>) {
        *self.starting.lock() = at;
    }

    /// What a start that goes on is at.
    pub(crate) fn starting(&self) -> Option<String> {
        self.starting.lock().clone()
    }

    /// It may take another share of the machine.
    pub(crate) fn resize(&self, memory_bytes_max: u64, file_bytes_max: u64) {
        let mut capacity = self.capacity.lock();
        (capacity.memory_bytes_max, capacity.file_bytes_max) = (memory_bytes_max, file_bytes_max);
        let most = capacity.limits();
        if let Some(shared) = self.begun.get() {
            shared.quota.set_max(most);
        }
    }

    /// Switches it off, or on again.
    pub(crate) fn set_off(&self, is_off: bool) {
        self.is_off.store(is_off, Ordering::Release);
    }

    /// The same as [`Self::shared`], though it may be switched off.
    pub(crate) fn shared_once_begun(&self) -> Option<&Arc<Shared>> {
        self.begun.get()
    }

    /// What all streams have in common; `None`: JetStream is off.
    pub(crate) fn shared(&self) -> Option<&Arc<Shared>> {
        self.begun.get().filter(|_| !self.is_off.load(Ordering::Acquire))
    }

    /// How much it may take.
    pub(crate) fn capacity(&self) -> Capacity {
        self.capacity.lock().clone()
    }

    /// Notes that the API is answered in an account. Whether it was not before.
    pub(crate) fn is_new(&self, account: &Account) -> bool {
        let mut served = self.served.lock();
        let is_new = !served.contains_key(&account.id);
        served.entry(account.id).or_default();
        is_new
    }

    /// A request of an account was answered.
    pub(crate) fn asked(&self, account: &Account, has_failed: bool) {
        let mut served = self.served.lock();
        let asked = served.entry(account.id).or_default();
        asked.total += 1;
        asked.errors += u64::from(has_failed);
    }

    /// What all accounts asked so far.
    pub(crate) fn asked_by_all(&self) -> Asked {
        let add =
            |sum: Asked, one: &Asked| Asked { total: sum.total + one.total, errors: sum.errors + one.errors };
        self.served.lock().values().fold(Asked::default(), add)
    }

    /// What an account asked so far.
    pub(crate) fn asked_so_far(&self, account: &Account) -> Asked {
        self.served.lock().get(&account.id).copied().unwrap_or_default()
    }
}
