//! The server under load: where it is and how to enter, read from a URL.

use anyhow::{Context as _, Result, bail};
use data_encoding::BASE64URL_NOPAD;
use dialtone_identity::nkey::Seed;

/// The port of a NATS server when a URL names none.
const PORT_DEFAULT: u16 = 4222;

/// A server to connect to.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`.
    pub address: String,
    /// Use TLS even if the server does not demand it. Any certificate is accepted.
    pub tls: bool,
    /// What goes into CONNECT.
    pub entry: Entry,
    /// The same for those who receive: subscribers and responders; `None`: like the others.
    pub receivers: Option<Entry>,
}

/// How a connection introduces itself.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    /// With nothing.
    Anonymous,
    /// With a user and a password.
    User {
        /// Name of the user.
        user: String,
        /// The password, as it is sent.
        password: String,
    },
    /// With a token.
    Token(String),
    /// With a user's JWT, and a signature.
    Jwt {
        /// The JWT.
        jwt: String,
        /// The user's secret key.
        seed: String,
    },
}

impl Target {
    /// Reads `[nats://|tls://][user:password@|token@]host[:port]`.
    pub fn parse(url: &str) -> Result<Target> {
        let (tls, rest) = match url.split_once("://") {
            None | Some(("nats", _)) => (false, url.split_once("://").map_or(url, |(_, rest)| rest)),
            Some(("tls", rest)) => (true, rest),
            Some((scheme, _)) => bail!("server URL: unknown scheme `{scheme}`; use nats:// or tls://"),
        };
        let rest = rest.trim_end_matches('/');
        let (entry, host) = match rest.rsplit_once('@') {
            None => (Entry::Anonymous, rest),
            Some((who, host)) => match who.split_once(':') {
                Some((user, password)) => {
                    (Entry::User { user: user.to_owned(), password: password.to_owned() }, host)
                }
                None => (Entry::Token(who.to_owned()), host),
            },
        };
        if host.is_empty() {
            bail!("server URL: no host; write nats://host:port");
        }
        Ok(Target { address: with_port(host)?, tls, entry, receivers: None })
    }

    /// As those enter who receive.
    pub fn for_receivers(&self) -> Target {
        let entry = self.receivers.clone().unwrap_or_else(|| self.entry.clone());
        Target { entry, ..self.clone() }
    }

    /// The fields of CONNECT, those that say who enters among them. `nonce` is what the server wants signed.
    ///
    /// Errors: a key that is none.
    pub fn connect_json(&self, nonce: &str) -> Result<String> {
        let mut fields = serde_json::json!({
            "verbose": false, "pedantic": false, "lang": "dialtone-bench", "version": env!("CARGO_PKG_VERSION"),
            "protocol": 1, "echo": true, "headers": true, "no_responders": true,
        });
        match &self.entry {
            Entry::Anonymous => {}
            Entry::User { user, password } => {
                fields["user"] = user.as_str().into();
                fields["pass"] = password.as_str().into();
            }
            Entry::Token(token) => fields["auth_token"] = token.as_str().into(),
            Entry::Jwt { jwt, seed } => {
                let signature = Seed::parse(seed)?.sign(nonce.as_bytes());
                fields["jwt"] = jwt.as_str().into();
                fields["sig"] = BASE64URL_NOPAD.encode(&signature).into();
            }
        }
        Ok(fields.to_string())
    }
}

fn with_port(host: &str) -> Result<String> {
    let after_brackets = host.rsplit_once(']').map_or(host, |(_, after)| after);
    match after_brackets.rsplit_once(':') {
        None => Ok(format!("{host}:{PORT_DEFAULT}")),
        Some((_, port)) => {
            port.parse::<u16>().with_context(|| format!("server URL: `{port}` is not a port"))?;
            Ok(host.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, address: &str, tls: bool, entry: Entry) {
        let target = Target::parse(url).unwrap();
        assert!(
            target == Target { address: address.to_owned(), tls, entry, receivers: None },
            "{url} became {}",
            target.address
        );
    }

    #[test]
    fn urls_name_host_port_and_entry() {
        check("localhost", "localhost:4222", false, Entry::Anonymous);
        check("nats://10.0.0.1:4333/", "10.0.0.1:4333", false, Entry::Anonymous);
        check("tls://[::1]", "[::1]:4222", true, Entry::Anonymous);
        check("nats://t0k@h:1", "h:1", false, Entry::Token("t0k".into()));
        let entry = Entry::User { user: "u".into(), password: "p@:q".into() };
        check("nats://u:p@:q@[::1]:77", "[::1]:77", false, entry);
    }

    #[test]
    fn wrong_urls_are_refused() {
        for url in ["http://h", "nats://", "h:99999", "h:x"] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }
}
