//! What services may know of a connection, from the rest of the server.

/// Has what services may know of a connection.
pub trait ConnectionInfoSource: Send + Sync {
    /// What that is, by now.
    fn connection_info(&self) -> ConnectionInfo;
}

/// What services may know of a connection. No secrets.
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
