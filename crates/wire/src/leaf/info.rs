//! INFO: what who is dialled says of itself, and what it says of the connection once it is let in.

use crate::interserver::SubjectRules;
use crate::interserver::json::{self, JsonError, is_default};
use serde::{Deserialize, Serialize};

/// The fields of INFO on a leaf node connection, in the official server's order. Empty, false and zero ones are left out, as there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// The server's public NKey. Empty in the INFO of who dials.
    pub server_id: String,
    /// The server's name.
    pub server_name: String,
    /// The version of the official server that it is, or is compatible with.
    pub version: String,
    /// Version of the protocol: 3 knows how messages are traced.
    pub proto: i64,
    /// The commit it was built from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit: String,
    /// Which toolchain built it.
    pub go: String,
    /// The host that it listens on for leaf nodes, or advertises.
    pub host: String,
    /// The port that it listens on for leaf nodes, or advertises.
    pub port: u16,
    /// Whether it understands headers.
    pub headers: bool,
    /// Whether credentials are needed.
    #[serde(skip_serializing_if = "is_default")]
    pub auth_required: bool,
    /// Whether TLS is needed.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_required: bool,
    /// Whether a certificate of who dials is needed.
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
    /// The same as `host:port`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// This connection's number. 0: the other end is no port of leaf nodes.
    #[serde(skip_serializing_if = "is_default")]
    pub client_id: u64,
    /// What who dials must sign with an NKey or JWT.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// The cluster's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// The JetStream domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Where clients may connect: the other end is a port of clients or routes. Never sent to leaf nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    /// Where leaf nodes may connect by WebSocket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ws_connect_urls: Vec<String>,
    /// Which compression it wants: `off`, `accept`, `s2_auto`, `s2_uncompressed`, `s2_fast`, `s2_better`, `s2_best`. Absent: it knows
    /// none. Only the first INFO of each end, and the first compressed one, has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub compression: String,
    /// Whether this INFO answers CONNECT.
    #[serde(skip_serializing_if = "is_default")]
    pub connect_info: bool,
    /// The account that the connection is for at the end that was dialled.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote_account: String,
    /// Whether that is the system account.
    #[serde(skip_serializing_if = "is_default")]
    pub acc_is_sys: bool,
    /// The JetStream API level.
    #[serde(skip_serializing_if = "is_default")]
    pub api_lvl: u64,
    /// Subjects that who dials may have: the rights of its user to subscribe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<SubjectRules>,
    /// Subjects that who dials may send: the rights of its user to publish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<SubjectRules>,
    /// Whether CONNECT is answered with INFO.
    #[serde(skip_serializing_if = "is_default")]
    pub info_on_connect: bool,
    /// The cluster's name as a gateway: the other end is a port of gateways. Never sent to leaf nodes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Where else in this cluster leaf nodes may connect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leafnode_urls: Vec<String>,
    /// The server's public curve key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
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
