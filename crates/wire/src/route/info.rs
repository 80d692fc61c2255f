//! INFO: what a server says of itself, or of another one, to the servers of its cluster.

use crate::interserver::SubjectRules;
use crate::interserver::json::{self, JsonError, is_default};
use serde::{Deserialize, Serialize};

/// The fields of INFO on a route, in the official server's order. Empty, false and zero ones are left out, as there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// The server's public NKey. All fields are those of a third server when its INFO is passed on.
    pub server_id: String,
    /// The server's name, which no two servers of a cluster may have.
    pub server_name: String,
    /// The version of the official server that it is, or is compatible with.
    pub version: String,
    /// Version of the protocol: 2 knows accounts, 3 also how messages are traced.
    pub proto: i64,
    /// The commit it was built from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit: String,
    /// Which toolchain built it.
    pub go: String,
    /// The host that it listens on for routes, or advertises.
    pub host: String,
    /// The port that it listens on for routes, or advertises.
    pub port: u16,
    /// Whether it understands headers.
    pub headers: bool,
    /// Whether a route needs a user and password.
    #[serde(skip_serializing_if = "is_default")]
    pub auth_required: bool,
    /// Whether a route needs TLS.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_required: bool,
    /// Whether a route needs a certificate of who dials.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_verify: bool,
    /// Whether TLS may be used.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_available: bool,
    /// Bytes of headers and payload that its clients may send.
    pub max_payload: i64,
    /// Whether JetStream is on.
    #[serde(skip_serializing_if = "is_default")]
    pub jetstream: bool,
    /// URL by which others may dial a route to this server, `nats-route://host:port/`. Set when it is passed on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// A client's number: the other end is a port of clients. Never sent on a route.
    #[serde(skip_serializing_if = "is_default")]
    pub client_id: u64,
    /// Sent, but not signed by anybody.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// The cluster's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Whether that name was made up, so that the other server's counts.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster_dynamic: bool,
    /// The JetStream domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Where clients may connect to this server: `host:port`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    /// The same by WebSocket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ws_connect_urls: Vec<String>,
    /// The same of clients of MQTT. Official servers do not say that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mqtt_connect_urls: Vec<String>,
    /// Whether the server is in lame duck mode.
    #[serde(skip_serializing_if = "is_default", rename = "ldm")]
    pub lame_duck: bool,
    /// Which compression it wants: `off`, `accept`, `s2_auto`, `s2_uncompressed`, `s2_fast`, `s2_better`, `s2_best`. Absent: it knows
    /// none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub compression: String,
    /// Whether this INFO answers CONNECT.
    #[serde(skip_serializing_if = "is_default")]
    pub connect_info: bool,
    /// The JetStream API level.
    #[serde(skip_serializing_if = "is_default")]
    pub api_lvl: u64,
    /// Subjects that it takes from the other server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<SubjectRules>,
    /// Subjects that it lets the other server have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<SubjectRules>,
    /// Whether LMSG and LS+ with an origin are understood.
    #[serde(skip_serializing_if = "is_default")]
    pub lnoc: bool,
    /// Whether LS- with an origin is understood.
    #[serde(skip_serializing_if = "is_default")]
    pub lnocu: bool,
    /// Whether interest of leaf nodes in no cluster is understood; implies the former two.
    #[serde(skip_serializing_if = "is_default")]
    pub ln: bool,
    /// Whether it answers CONNECT with INFO.
    #[serde(skip_serializing_if = "is_default")]
    pub info_on_connect: bool,
    /// Routes between each two servers that accounts are spread over. Absent: one.
    #[serde(skip_serializing_if = "is_default")]
    pub route_pool_size: u32,
    /// Which of these routes this is. Below 0 there is none.
    #[serde(skip_serializing_if = "is_default")]
    pub route_pool_idx: i64,
    /// The account that this route is dedicated to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub route_account: String,
    /// Set where a reload moves accounts to dedicated routes: to be repeated in the answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub route_acc_add_reqid: String,
    /// How the receiver should tell others of this server.
    #[serde(skip_serializing_if = "is_default")]
    pub gossip_mode: GossipMode,
    /// Name of the gateway that the sender tells of, with `gateway_cmd`: what the INFO says of a server means nothing then. Without it
    /// the other end is a port of gateways.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Where servers of that gateway listen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateway_urls: Vec<String>,
    /// Where gateways of other clusters may connect to this server.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway_url: String,
    /// 1 if the sender tells of a gateway.
    #[serde(skip_serializing_if = "is_default")]
    pub gateway_cmd: u8,
    /// Whether it uses the prefix `_GR_` for replies across gateways.
    #[serde(skip_serializing_if = "is_default")]
    pub gateway_nrp: bool,
    /// Whether its gateways are in interest-only mode from the beginning.
    #[serde(skip_serializing_if = "is_default")]
    pub gateway_iom: bool,
    /// Where leaf nodes may connect to this server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leafnode_urls: Vec<String>,
    /// The server's public curve key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
    /// The zone that the server is in, as its operator calls it. Official servers have none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub zone: String,
}

/// How the receiver of an INFO should tell the servers that it knows of its sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum GossipMode {
    /// As it would by itself.
    #[default]
    Default,
    /// Not at all.
    Disabled,
    /// To all, even those that it would leave out.
    Override,
}

impl From<u8> for GossipMode {
    /// What is not known counts as nothing said.
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Disabled,
            2 => Self::Override,
            _ => Self::Default,
        }
    }
}

impl From<GossipMode> for u8 {
    fn from(mode: GossipMode) -> Self {
        match mode {
            GossipMode::Default => 0,
            GossipMode::Disabled => 1,
            GossipMode::Override => 2,
        }
    }
}

impl Info {
    /// Reads the JSON behind INFO.
    ///
    /// # Errors
    /// [`JsonError`].
    pub fn parse(json: &[u8]) -> Result<Self, JsonError> {
        json::read(json)
    }

    /// Appends `INFO {…}` and CRLF, with the blank before it that the official server writes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        json::write(out, "INFO", self, " \r\n");
    }
}
