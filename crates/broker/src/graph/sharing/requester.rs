//! What a service is shown of the requester: the header `Nats-Request-Info`, and the same in latency metrics.

use super::service_requests::ServiceRequests;
use crate::peer::Peer;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// The header's name.
pub const HEADER: &[u8] = b"Nats-Request-Info";

/// Who asks, in the official fields and their order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClientInfo {
    #[serde(flatten)]
    origin: Origin,
    #[serde(skip_serializing_if = "String::is_empty")]
    acc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    svc: String,
    #[serde(flatten)]
    connect: FromConnect,
    #[serde(skip_serializing_if = "is_zero")]
    rtt: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    server: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cluster: String,
    /// Other clusters, the nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alts: Vec<String>,
    #[serde(flatten)]
    claimed: Claimed,
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    client_type: &'static str,
}

/// Where it is.
#[derive(Clone, Debug, Default, Serialize)]
struct Origin {
    #[serde(skip_serializing_if = "String::is_empty")]
    start: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    #[serde(skip_serializing_if = "is_zero")]
    id: u64,
}

/// What it sent about itself in CONNECT.
#[derive(Clone, Debug, Default, Serialize)]
struct FromConnect {
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    lang: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ver: String,
}

/// What its JWT has about it.
#[derive(Clone, Debug, Default, Serialize)]
struct Claimed {
    #[serde(skip_serializing_if = "String::is_empty")]
    jwt: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    issuer_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name_tag: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disclosure {
    /// Account and round-trip time.
    Minimal,
    /// Everything.
    All,
}

impl ClientInfo {
    /// What is shown of a peer.
    pub(crate) fn of(peer: &Peer, disclosure: Disclosure, here: &ServiceRequests) -> Self {
        let account = peer.place().account;
        let name_of = |account: &Arc<crate::account::Account>| account.name.to_string();
        let little = Self {
            acc: account.as_ref().map(name_of).unwrap_or_default(),
            rtt: peer.rtt().as_nanos() as u64,
            ..Self::default()
        };
        match (disclosure, peer.connection_info()) {
            (Disclosure::Minimal, _) | (_, None) => little,
            (Disclosure::All, Some(info)) => Self {
                origin: Origin { start: info.start, host: info.host, id: peer.id.0 },
                connect: FromConnect { user: info.user, name: info.name, lang: info.lang, ver: info.version },
                server: here.server.to_string(),
                cluster: here.cluster(),
                alts: here.other_clusters(),
                claimed: Claimed {
                    jwt: info.jwt,
                    issuer_key: info.issuer_key,
                    name_tag: info.name_tag,
                    tags: info.tags,
                },
                kind: info.kind,
                client_type: info.client_type,
                ..little
            },
        }
    }

    /// The last round-trip time.
    pub fn rtt(&self) -> Duration {
        Duration::from_nanos(self.rtt)
    }

    /// The account that it publishes in, if it is in none: the server is in all.
    pub fn within(mut self, account: &str) -> Self {
        if self.acc.is_empty() {
            account.clone_into(&mut self.acc);
        }
        self
    }

    /// The account that passed the request on.
    pub fn through(mut self, account: &str) -> Self {
        account.clone_into(&mut self.svc);
        self
    }

    /// The server too.
    pub(crate) fn with_server(mut self, here: &ServiceRequests) -> Self {
        self.server = here.server.to_string();
        self.cluster = here.cluster();
        self.alts = here.other_clusters();
        self
    }

    /// As JSON.
    pub fn json(&self) -> Vec<u8> {
        // Text and numbers can not fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
