//! What a server knows of itself, and what its operator wants.

use crate::id::Account;
use crate::url::{Credentials, RouteUrl};
use dialtone_wire::route::Info;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

/// What stays as it is while a server runs.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its public NKey, `server_id` of INFO.
    pub id: String,
    /// Its name, `server_name` of INFO.
    pub name: String,
    /// The name that its cluster has as long as nobody gave it one. Random.
    pub made_up_cluster: String,
    /// What random delays are drawn from.
    pub seed: u64,
}

/// What a reload may change.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the cluster, if its operator gave it one.
    pub cluster: Option<String>,
    /// What of INFO is the same on all routes: version, host and port (those that are advertised), `ip` (only if there is something to
    /// advertise), `auth_required`, TLS, `max_payload`, `compression`, what may pass, gateway and leaf URLs. All else is filled in here.
    pub info: Info,
    /// `routes`.
    pub routes: Vec<RouteUrl>,
    /// `connect_retries`: how often at least a server that was learned is dialled again.
    pub connect_retries: u32,
    /// `connect_backoff`: whether delays between dials that fail double.
    pub connect_backoff: bool,
    /// `no_advertise`: clients are told of no other server, and other servers of no address for clients.
    pub no_advertise: bool,
    /// `pool_size`. `None` (-1 there): one connection, and none that is dedicated.
    pub pool_size: Option<NonZeroU32>,
    /// `accounts`, and the system account: each has connections of its own.
    pub dedicated: BTreeSet<Account>,
    /// User and password of the cluster, with which learned servers that want some are dialled.
    pub credentials: Option<Credentials>,
    /// How long a connection may take from its beginning until it joins.
    pub handshake_timeout: Duration,
    /// Where clients reach this server.
    pub client_urls: ClientUrls,
}

/// Addresses for clients, `host:port` each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientUrls {
    /// `connect_urls`.
    pub plain: Vec<String>,
    /// `ws_connect_urls`.
    pub websocket: Vec<String>,
    /// `mqtt_connect_urls`.
    pub mqtt: Vec<String>,
}

impl Settings {
    /// Connections of a pool as INFO has it: 0 without pools.
    pub(crate) fn pool_size(&self) -> u32 {
        self.pool_size.map_or(0, NonZeroU32::get)
    }

    /// The first host name among the routes: what the certificate of a server is checked against that is known by its IP address only.
    pub(crate) fn tls_name(&self) -> Option<&str> {
        self.routes.iter().find_map(RouteUrl::host_name)
    }
}
