//! The server under load: where it is and how to enter, read from a URL.

use crate::identity::client::roots;
use anyhow::{Context as _, Result, bail};
use data_encoding::BASE64URL_NOPAD;
use dialtone_identity::creds;
use dialtone_identity::nkey::Seed;
use rustls::ClientConfig;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The port of a NATS server when a URL names none.
const PORT_DEFAULT: u16 = 4222;

/// A server to connect to.
#[derive(Clone)]
pub struct Target {
    /// `host:port`.
    pub address: String,
    /// Use TLS even if the server does not demand it.
    pub tls: bool,
    /// What lies between the socket and the protocol.
    pub transport: Transport,
    /// How the server's certificate is verified; `None`: any is accepted.
    pub tls_config: Option<Arc<ClientConfig>>,
    /// What goes into CONNECT.
    pub entry: Entry,
    /// Where those enter who receive, subscribers and responders, and as whom; `None`: like the others.
    pub receivers: Option<Box<Target>>,
}

/// What lies between the socket and the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Nothing, or TLS.
    #[default]
    Stream,
    /// WebSocket, without TLS.
    WebSocket {
        /// Compressed.
        compression: bool,
    },
}

/// How a connection introduces itself.
#[derive(Clone)]
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
    /// With the public key of this NKey, and a signature.
    Nkey(Arc<Seed>),
    /// With a user's JWT, and a signature.
    Jwt {
        /// The JWT.
        jwt: String,
        /// The user's secret key.
        seed: Arc<Seed>,
    },
}

impl Target {
    /// Reads `[nats://|tls://|ws://][user:password@|token@]host[:port]`.
    pub fn parse(url: &str) -> Result<Target> {
        let web_socket = Transport::WebSocket { compression: false };
        let (tls, transport, rest) = match url.split_once("://") {
            None => (false, Transport::Stream, url),
            Some(("nats", rest)) => (false, Transport::Stream, rest),
            Some(("tls", rest)) => (true, Transport::Stream, rest),
            Some(("ws", rest)) => (false, web_socket, rest),
            Some((scheme, _)) => bail!("server URL: unknown scheme `{scheme}`; use nats://, tls:// or ws://"),
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
        Ok(Target { address: with_port(host)?, tls, transport, tls_config: None, entry, receivers: None })
    }

    /// Enters as the user of this creds file.
    ///
    /// Errors: it cannot be read, or holds no user.
    pub fn with_creds(self, file: &Path) -> Result<Target> {
        let user = creds::parse(&read_secret(file)?).with_context(|| file.display().to_string())?;
        Ok(Target { entry: Entry::Jwt { jwt: user.jwt, seed: Arc::new(user.seed) }, ..self })
    }

    /// Enters by the NKey whose seed this file holds.
    ///
    /// Errors: it cannot be read, or holds no seed.
    pub fn with_nkey(self, file: &Path) -> Result<Target> {
        let seed = Seed::parse(read_secret(file)?.trim()).with_context(|| file.display().to_string())?;
        Ok(Target { entry: Entry::Nkey(Arc::new(seed)), ..self })
    }

    /// Uses TLS, and verifies the server's certificate by those of this file.
    ///
    /// Errors: it cannot be read, or holds no certificate.
    pub fn with_authorities(self, file: &Path) -> Result<Target> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(Some(file))?)
            .with_no_client_auth();
        Ok(Target { tls: true, tls_config: Some(Arc::new(config)), ..self })
    }

    /// As those enter who receive.
    pub fn for_receivers(&self) -> &Target {
        self.receivers.as_deref().unwrap_or(self)
    }

    /// The fields of CONNECT, those that say who enters among them. `nonce` is what the server wants signed.
    pub fn connect_json(&self, nonce: &str) -> String {
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
            Entry::Nkey(seed) => {
                fields["nkey"] = seed.public().to_string().into();
                fields["sig"] = BASE64URL_NOPAD.encode(&seed.sign(nonce.as_bytes())).into();
            }
            Entry::Jwt { jwt, seed } => {
                fields["jwt"] = jwt.as_str().into();
                fields["sig"] = BASE64URL_NOPAD.encode(&seed.sign(nonce.as_bytes())).into();
            }
        }
        fields.to_string()
    }
}

fn read_secret(file: &Path) -> Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(Zeroizing::new(text))
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
    use dialtone_identity::jwt::Body;
    use dialtone_identity::jwt::encode::Draft;
    use dialtone_identity::nkey::Kind;

    /// `sent` is what CONNECT says of who enters.
    #[track_caller]
    fn check(url: &str, address: &str, tls: bool, sent: serde_json::Value) {
        let target = Target::parse(url).unwrap();
        assert_eq!((&*target.address, target.tls), (address, tls), "{url}");
        assert_eq!(credentials(&target), sent, "{url}");
    }

    fn credentials(target: &Target) -> serde_json::Value {
        let sent: serde_json::Value = serde_json::from_str(&target.connect_json("nonce")).unwrap();
        let of = ["user", "pass", "auth_token", "nkey", "jwt", "sig"];
        of.into_iter().filter_map(|key| Some((key.to_owned(), sent.get(key)?.clone()))).collect()
    }

    #[test]
    fn urls_name_host_port_and_entry() {
        let nothing = serde_json::json!({});
        check("localhost", "localhost:4222", false, nothing.clone());
        check("nats://10.0.0.1:4333/", "10.0.0.1:4333", false, nothing.clone());
        check("tls://[::1]", "[::1]:4222", true, nothing);
        check("nats://t0k@h:1", "h:1", false, serde_json::json!({ "auth_token": "t0k" }));
        check(
            "nats://u:p@:q@[::1]:77",
            "[::1]:77",
            false,
            serde_json::json!({ "user": "u", "pass": "p@:q" }),
        );
    }

    #[test]
    fn files_hold_who_enters() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seed");
        let seed = Seed::from_bytes(Kind::User, [7; 32]);
        std::fs::write(&file, format!("{}\n", &*seed.reveal())).unwrap();
        let target = Target::parse("h").unwrap().with_nkey(&file).unwrap();
        let signature = BASE64URL_NOPAD.encode(&seed.sign(b"nonce"));
        let expected = serde_json::json!({ "nkey": seed.public().to_string(), "sig": signature });
        assert_eq!(credentials(&target), expected);

        let body = Body::User(Box::default());
        let account = Seed::from_bytes(Kind::Account, [8; 32]);
        let jwt = Draft::new(seed.public(), "bob", body).sign(&account, 1).unwrap();
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            &*seed.reveal()
        );
        std::fs::write(&file, text).unwrap();
        let target = Target::parse("h").unwrap().with_creds(&file).unwrap();
        assert_eq!(credentials(&target), serde_json::json!({ "jwt": jwt, "sig": signature }));
        let wrong = Target::parse("h").unwrap().with_nkey(&file).err().unwrap();
        assert!(format!("{wrong:#}").starts_with(&file.display().to_string()), "{wrong:#}");
    }

    #[test]
    fn wrong_urls_are_refused() {
        for url in ["http://h", "nats://", "h:99999", "h:x"] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }
}
