//! What is kept for whoever watches the server.

use crate::process::Load;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::{Instant, SystemTime};

/// What a monitoring port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// As in a URL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The ports of monitoring; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonitorPorts {
    /// Plain.
    pub http: u16,
    /// By TLS.
    pub https: u16,
}

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
    ports: Mutex<MonitorPorts>,
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
    pub(crate) fn listens_at(&self, scheme: Scheme, port: u16) {
        let mut ports = self.ports.lock();
        match scheme {
            Scheme::Http => ports.http = port,
            Scheme::Https => ports.https = port,
        }
    }

    /// Where monitoring listens.
    pub fn ports(&self) -> MonitorPorts {
        *self.ports.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_has_its_port() {
        let monitoring = Monitoring::default();
        assert_eq!(monitoring.ports(), MonitorPorts { http: 0, https: 0 });
        monitoring.listens_at(Scheme::Https, 2);
        assert_eq!(monitoring.ports(), MonitorPorts { http: 0, https: 2 });
        monitoring.listens_at(Scheme::Http, 1);
        assert_eq!(monitoring.ports(), MonitorPorts { http: 1, https: 2 });
    }
}
