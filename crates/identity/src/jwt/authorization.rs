//! What a server asks an authorization service, and what that answers.
//!
//! Source: <https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_callout>.

use super::claims::is_default;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The subject and the audience of every question.
pub const REQUEST_AUDIENCE: &str = "nats-authorization-request";

/// A question to an authorization service: may this client come in, and as whom?
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorizationRequest {
    /// The server that asks.
    #[serde(rename = "server_id")]
    pub server: ServerId,
    /// The key that the answer must be for.
    pub user_nkey: String,
    /// The client, as the server knows it.
    #[serde(rename = "client_info")]
    pub client: ClientInformation,
    /// What the client said of itself.
    #[serde(rename = "connect_opts")]
    pub connect: ConnectOptions,
    /// Its TLS connection.
    #[serde(rename = "client_tls", skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// A value that the answer may be bound to.
    #[serde(skip_serializing_if = "is_default")]
    pub request_nonce: String,
}

/// The server that asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerId {
    /// Its name.
    pub name: String,
    /// The host that it listens on.
    pub host: String,
    /// Its key.
    pub id: String,
    /// The version it is compatible with.
    #[serde(skip_serializing_if = "is_default")]
    pub version: String,
    /// Its cluster.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster: String,
    /// Its tags.
    #[serde(skip_serializing_if = "is_default")]
    pub tags: Vec<String>,
    /// The curve key to seal answers for.
    #[serde(skip_serializing_if = "is_default")]
    pub xkey: String,
}

/// The client, as the server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientInformation {
    /// Where it comes from.
    #[serde(skip_serializing_if = "is_default")]
    pub host: String,
    /// Its number.
    #[serde(skip_serializing_if = "is_default")]
    pub id: u64,
    /// Who it says it is.
    #[serde(skip_serializing_if = "is_default")]
    pub user: String,
    /// What it calls itself.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Its tags.
    #[serde(skip_serializing_if = "is_default")]
    pub tags: Vec<String>,
    /// The name in its token.
    #[serde(skip_serializing_if = "is_default")]
    pub name_tag: String,
    /// `Client` or `Leafnode`.
    #[serde(skip_serializing_if = "is_default")]
    pub kind: String,
    /// `nats`, `mqtt` or `websocket`.
    #[serde(rename = "type", skip_serializing_if = "is_default")]
    pub transport: String,
    /// Its MQTT client identifier.
    #[serde(skip_serializing_if = "is_default")]
    pub mqtt_id: String,
    /// The nonce it was given.
    #[serde(skip_serializing_if = "is_default")]
    pub nonce: String,
}

/// What a client said of itself in CONNECT. Printing it shows no secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectOptions {
    /// Its token.
    #[serde(skip_serializing_if = "is_default")]
    pub jwt: String,
    /// Its key.
    #[serde(skip_serializing_if = "is_default")]
    pub nkey: String,
    /// Its signature of the nonce.
    #[serde(rename = "sig", skip_serializing_if = "is_default")]
    pub signed_nonce: String,
    /// Its authentication token.
    #[serde(rename = "auth_token", skip_serializing_if = "is_default")]
    pub token: String,
    /// Its user name.
    #[serde(skip_serializing_if = "is_default")]
    pub user: String,
    /// Its password.
    #[serde(rename = "pass", skip_serializing_if = "is_default")]
    pub password: String,
    /// What it calls itself.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// The language of its library.
    #[serde(skip_serializing_if = "is_default")]
    pub lang: String,
    /// The version of its library.
    #[serde(skip_serializing_if = "is_default")]
    pub version: String,
    /// The version of the protocol it speaks.
    pub protocol: i64,
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("name", &self.name)
            .field("lang", &self.lang)
            .field("version", &self.version)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

/// A client's TLS connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientTls {
    /// `1.2` or `1.3`.
    #[serde(skip_serializing_if = "is_default")]
    pub version: String,
    /// The name of the cipher suite.
    #[serde(skip_serializing_if = "is_default")]
    pub cipher: String,
    /// The certificates it presented, in PEM, if they were not verified.
    #[serde(skip_serializing_if = "is_default")]
    pub certs: Vec<String>,
    /// The chains that were verified, each from the client's certificate on, in PEM.
    #[serde(skip_serializing_if = "is_default")]
    pub verified_chains: Vec<Vec<String>>,
}

/// The answer of an authorization service: a user's token or an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorizationResponse {
    /// The user's token.
    #[serde(skip_serializing_if = "is_default")]
    pub jwt: String,
    /// Why there is none.
    #[serde(skip_serializing_if = "is_default")]
    pub error: String,
    /// The account, if a signing key of that issued it.
    #[serde(skip_serializing_if = "is_default")]
    pub issuer_account: String,
}
