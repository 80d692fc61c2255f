//! Connections: who is connected, how many failed, what they used.

use crate::client_ids::ClientIds;
use crate::connection_failures::ConnectionFailures;
use crate::elsewhere::Elsewhere;
use crate::rates::Rates;
use crate::registry::Registry;
use crate::tls::PeerCache;
use crate::usage::Usage;
use dialtone_mesh::ClientUrls;
use dialtone_net::DatagramThread;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// All connections of a server.
pub struct Connections {
    /// Who is connected.
    pub registry: Registry,
    /// Who has which client identifier of MQTT.
    pub(crate) client_ids: ClientIds,
    /// What went wrong.
    pub failures: ConnectionFailures,
    /// Rate limits, and how much of each is used.
    pub(crate) rates: Rates,
    /// What accounts and users used since it was last reported.
    pub(crate) usage: Usage,
    /// What responders said of clients' certificates.
    pub(crate) peer_cache: PeerCache,
    /// What other servers have.
    pub(crate) elsewhere: Elsewhere,
    /// The gateway for MQTT-SN, while it runs.
    pub(crate) mqtt_sn: Mutex<Option<DatagramThread>>,
    /// Connections by WebSocket that are no clients yet.
    pub(crate) upgrading: AtomicUsize,
    /// The server lets its clients go.
    pub lame_duck: AtomicBool,
    /// Where clients may go that are closed in lame duck mode.
    pub(crate) go_to: OnceLock<Arc<ClientUrls>>,
    /// The server was asked to leave its cluster, and tells the others not to wait for it when it ends.
    pub(crate) leaves_for_good: AtomicBool,
    next_number: AtomicU64,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            registry: Registry::default(),
            client_ids: ClientIds::default(),
            failures: ConnectionFailures::default(),
            rates: Rates::default(),
            usage: Usage::default(),
            peer_cache: PeerCache::default(),
            elsewhere: Elsewhere::default(),
            mqtt_sn: Mutex::new(None),
            upgrading: AtomicUsize::new(0),
            lame_duck: AtomicBool::new(false),
            go_to: OnceLock::new(),
            leaves_for_good: AtomicBool::new(false),
            // The first four numbers are those of the official server's own connections.
            next_number: AtomicU64::new(5),
        }
    }
}

impl Connections {
    /// A number for a new connection.
    pub fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }
}
