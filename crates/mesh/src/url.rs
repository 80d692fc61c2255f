//! Where a route is dialled.

use std::fmt;
use std::net::IpAddr;

/// User and password of a route. Not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password; may be empty.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// How a server is reached by WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketUrl {
    /// It begins with TLS: `wss`.
    pub is_secure: bool,
    /// Below what path, as the URL says it.
    pub path: String,
}

/// A URL of a route: `nats-route://user:password@host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteUrl {
    /// A host name or an IP address, the latter without brackets. In lower case.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What the URL says of user and password.
    pub credentials: Option<Credentials>,
    /// `None`: it is reached without WebSocket. Only a leaf node reaches its hub so.
    pub websocket: Option<WebSocketUrl>,
}

/// What a URL of a route lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// There is no host in it, or none that could be one.
    #[error("no valid host")]
    Host,
    /// There is no port in it, or none that could be one.
    #[error("no valid port")]
    Port,
}

/// Bytes of a host name that DNS can carry.
const HOST_BYTES_MAX: usize = 253;

impl RouteUrl {
    /// Reads a URL. The scheme may be missing, and a path is ignored: other servers write one.
    ///
    /// # Errors
    /// [`UrlError`]. User and password are taken as they stand, without percent-decoding: URLs that people write are read by the
    /// configuration, and servers tell each other none.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        let (credentials, address) = match authority.rsplit_once('@') {
            Some((who, address)) => {
                let (user, password) = who.split_once(':').unwrap_or((who, ""));
                (Some(Credentials { user: user.to_owned(), password: password.to_owned() }), address)
            }
            None => (None, authority),
        };
        let (host, port) = address.rsplit_once(':').ok_or(UrlError::Port)?;
        let port: u16 = port.parse().map_err(|_| UrlError::Port)?;
        if port == 0 {
            return Err(UrlError::Port);
        }
        Self::of(host, port, credentials).ok_or(UrlError::Host)
    }

    /// A URL of its parts, if the host could be one.
    pub fn of(host: &str, port: u16, credentials: Option<Credentials>) -> Option<Self> {
        let host = match host.strip_prefix('[') {
            Some(v6) => v6.strip_suffix(']').filter(|v6| matches!(v6.parse(), Ok(IpAddr::V6(_))))?,
            None => host,
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        let fits = !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.chars().all(is_host);
        fits.then(|| Self { host: host.to_ascii_lowercase(), port, credentials, websocket: None })
    }

    /// `host:port`, with brackets round IPv6: what tells one URL from another.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The host, if it is a name: a certificate can be checked against it.
    pub fn host_name(&self) -> Option<&str> {
        self.host.parse::<IpAddr>().is_err().then_some(self.host.as_str())
    }
}

impl fmt::Display for RouteUrl {
    /// As INFO has it, without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nats-route://{}/", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Result<&str, UrlError>) {
        let found = RouteUrl::parse(url);
        assert_eq!(
            found.as_ref().map(RouteUrl::to_string).map_err(|e| *e),
            expected.map(str::to_owned),
            "{url}"
        );
        if let Ok(url) = found {
            assert_eq!(RouteUrl::parse(&url.to_string()).map(|url| url.address()), Ok(url.address()));
        }
    }

    #[test]
    fn a_url_is_read_as_servers_write_it() {
        check("nats-route://127.0.0.1:6222/", Ok("nats-route://127.0.0.1:6222/"));
        check("nats://Seed.Example:6222", Ok("nats-route://seed.example:6222/"));
        check("seed:6222", Ok("nats-route://seed:6222/"));
        check("tls://u:p@ss@[::1]:6222", Ok("nats-route://[::1]:6222/"));
        check("nats-route://[::1]/", Err(UrlError::Port));
        check("nats-route://host/", Err(UrlError::Port));
        check("nats-route://host:0/", Err(UrlError::Port));
        check("nats-route://host:99999/", Err(UrlError::Port));
        check("nats-route://:6222/", Err(UrlError::Host));
        check("nats-route://a b:6222/", Err(UrlError::Host));
        check("nats-route://[host]:6222/", Err(UrlError::Host));
    }

    #[test]
    fn a_password_is_not_printed() {
        let url = RouteUrl::parse("nats://route:secret@host:1").unwrap();
        assert_eq!(url.credentials.as_ref().map(|c| c.password.as_str()), Some("secret"));
        assert!(!format!("{url:?} {url}").contains("secret"));
    }
}
