//! What is kept for whoever watches the server.

use crate::process::Load;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::{Instant, SystemTime};

/// When the server started, how busy it is, and where and how often it was asked.
pub struct Monitoring {
    /// How busy the process is.
    pub(crate) load: Load,
    /// System events that this server has published.
    pub(crate) events: AtomicU64,
    /// When the server started.
    pub start: SystemTime,
    /// The same, to measure by.
    pub start_instant: Instant,
    requests: Mutex<BTreeMap<&'static str, u64>>,
    ports: Mutex<(u16, u16)>,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self {
            load: Load::default(),
            events: AtomicU64::new(0),
            start: SystemTime::now(),
            start_instant: Instant::now(),
            requests: Mutex::default(),
            ports: Mutex::default(),
        }
    }
}

impl Monitoring {
    /// Counts a request to the monitoring port.
    pub fn count_request(&self, path: &'static str) {
        *self.requests.lock().entry(path).or_default() += 1;
    }

    /// Requests to the monitoring port, by path.
    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.requests.lock().clone()
    }

    /// Notes where monitoring listens.
    pub fn listens_at(&self, port: u16, encrypted: bool) {
        let mut ports = self.ports.lock();
        *(if encrypted { &mut ports.1 } else { &mut ports.0 }) = port;
    }

    /// The ports of monitoring, plain and encrypted; 0: none.
    pub fn ports(&self) -> (u16, u16) {
        *self.ports.lock()
    }
}
