//! CONNECT: what who dials a route, or a gateway, says of itself.

use crate::interserver::json::{self, JsonError, is_default};
use serde::{Deserialize, Serialize};

/// The fields of CONNECT on a route or gateway connection, in the official server's order.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connect {
    /// Of no meaning to servers; official ones send `true` on routes.
    pub echo: bool,
    /// Whether each operation is answered by +OK. Servers send `false`.
    pub verbose: bool,
    /// Of no meaning to servers.
    pub pedantic: bool,
    /// User of the route's URL.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Password of the route's URL.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pass: String,
    /// Whether the route is by TLS.
    pub tls_required: bool,
    /// Whether the server understands headers.
    pub headers: bool,
    /// The server's id, as `server_id` of its INFO.
    pub name: String,
    /// The cluster's name.
    pub cluster: String,
    /// Whether that name was made up, so that the other server's counts.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster_dynamic: bool,
    /// Whether LMSG and LS+ with an origin are understood.
    #[serde(skip_serializing_if = "is_default")]
    pub lnoc: bool,
    /// Whether LS- with an origin is understood.
    #[serde(skip_serializing_if = "is_default")]
    pub lnocu: bool,
    /// Whether interest of leaf nodes in no cluster is understood; implies the former two.
    #[serde(skip_serializing_if = "is_default")]
    pub ln: bool,
    /// Name of the sender's cluster as a gateway. On a route: the sender took this port for one of gateways.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Language of a client library: the sender took this port for one of clients. Never sent on a route.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
}

impl std::fmt::Debug for Connect {
    /// Leaves out the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("name", &self.name)
            .field("cluster", &self.cluster)
            .field("cluster_dynamic", &self.cluster_dynamic)
            .field("user", &self.user)
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
