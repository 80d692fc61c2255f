//! What an operator wants of a supercluster.

use crate::url::{Credentials, RouteUrl};
use dialtone_wire::gateway::Info;
use std::time::Duration;

/// What a reload may change.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the own cluster.
    pub name: String,
    /// What of INFO does not change: version, host and port, `auth_required`, TLS, `max_payload`. All else is filled in here.
    pub info: Info,
    /// Where other clusters reach this server: `host:port`.
    pub url: String,
    /// The clusters that the configuration names.
    pub remotes: Vec<RemoteSettings>,
    /// `connect_retries`: how often at least a cluster that was learned is dialled again.
    pub connect_retries: u32,
    /// `connect_backoff`: whether delays between dials that fail double.
    pub connect_backoff: bool,
    /// Only clusters that are configured may connect.
    pub reject_unknown: bool,
    /// User and password of the own port, with which learned servers that want some are dialled.
    pub credentials: Option<Credentials>,
    /// How long a connection may take from its beginning until it joins.
    pub handshake_timeout: Duration,
}

/// Another cluster.
#[derive(Clone, Debug)]
pub struct RemoteSettings {
    /// Its name.
    pub name: String,
    /// Servers there.
    pub urls: Vec<RouteUrl>,
}
