//! What the rest of the server tells of a connection.

/// Knows what services may be told of a connection.
pub trait ConnectionInfoSource: Send + Sync {
    /// What that is, by now.
    fn connection_info(&self) -> ConnectionInfo;
}

/// What a connection is, as far as services may be told. No secrets.
#[derive(Clone, Debug, Default)]
pub struct ConnectionInfo {
    /// When it came, RFC 3339.
    pub start: String,
    /// Its address.
    pub host: String,
    /// Its user.
    pub user: String,
    /// What it calls itself.
    pub name: String,
    /// The language of its library.
    pub lang: String,
    /// The version of its library.
    pub version: String,
    /// The kind of connection, such as `Client`.
    pub kind: &'static str,
    /// The kind of client, such as `nats`.
    pub client_type: &'static str,
    /// Its user JWT.
    pub jwt: String,
    /// The key that issued it.
    pub issuer_key: String,
    /// Its name in its JWT.
    pub name_tag: String,
    /// Its tags.
    pub tags: Vec<String>,
}
