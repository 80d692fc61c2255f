//! CONNECT: what who dials says of itself.

use crate::interserver::json::{self, JsonError, is_default};
use serde::{Deserialize, Serialize};

/// The fields of CONNECT on a leaf node connection, in the official server's order. Empty, false and zero ones are left out, as there.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connect {
    /// The version of the official server that it is, or is compatible with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// A public NKey.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nkey: String,
    /// A user JWT.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt: String,
    /// The signature of the nonce, base64 for URLs without padding.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sig: String,
    /// A user name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// A password.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pass: String,
    /// A token. Official servers repeat the user name here if there is no password.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth_token: String,
    /// The server's public NKey.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_id: String,
    /// The JetStream domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// The server's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whether who dials is the hub, and who is dialled its spoke.
    #[serde(skip_serializing_if = "is_default")]
    pub is_hub: bool,
    /// The cluster's name. May be neither the other end's nor `_`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Whether it understands headers.
    #[serde(skip_serializing_if = "is_default")]
    pub headers: bool,
    /// Whether JetStream is on in the account.
    #[serde(skip_serializing_if = "is_default")]
    pub jetstream: bool,
    /// Subjects that who is dialled is not to send: `deny_imports` of who dials.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny_pub: Vec<String>,
    /// Whether interest of other leaf nodes is not to be sent here (`request_isolation`).
    #[serde(skip_serializing_if = "is_default")]
    pub isolate: bool,
    /// The compression that was agreed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub compress_mode: String,
    /// Name of a gateway: the sender took this port for one of gateways. Never sent to leaf nodes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// The account that the connection is for at the end that dials.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote_account: String,
    /// Version of the protocol, as `proto` of INFO, which who dials need not send.
    #[serde(skip_serializing_if = "is_default")]
    pub protocol: i64,
    /// Signature of a trusted proxy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub proxy_sig: String,
    /// Language of a client library: the sender took this port for one of clients. Never sent to leaf nodes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
}

impl std::fmt::Debug for Connect {
    /// Leaves out everything that could be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("server_id", &self.server_id)
            .field("name", &self.name)
            .field("cluster", &self.cluster)
            .field("domain", &self.domain)
            .field("is_hub", &self.is_hub)
            .field("remote_account", &self.remote_account)
            .finish_non_exhaustive()
    }
}

impl Connect {
    /// Reads the JSON behind CONNECT.
    ///
    /// # Errors
    /// [`JsonError`].
    pub fn parse(json: &[u8]) -> Result<Self, JsonError> {
        json::read(json)
    }

    /// Appends `CONNECT {…}` and CRLF.
    pub fn encode(&self, out: &mut Vec<u8>) {
        json::write(out, "CONNECT", self, "\r\n");
    }
}
