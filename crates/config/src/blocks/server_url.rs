//! The URL of another server, as routes, gateways and leaf nodes name it.

use super::reader::{self, Notes, noted};
use crate::Secret;
use crate::error::{ConfigError, Position};
use crate::language::{Kind, Value};
use std::fmt;

/// The URL of another server. Printing it shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// In lower case; empty if the URL has none.
    pub scheme: String,
    /// Who this server is there.
    pub user: Option<String>,
    /// The password; without one, the user is a token.
    pub password: Option<Secret>,
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    /// `None`: the URL has none.
    pub port: Option<u16>,
    /// With its slash, and empty without one.
    pub path: String,
}

/// The parts of a URL, before they are understood.
pub(crate) struct Parts<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) host: &'a str,
    pub(crate) port: Option<&'a str>,
    pub(crate) path: &'a str,
}

impl<'a> Parts<'a> {
    /// Splits a URL. An error never holds what stands before `@`.
    pub(crate) fn split(text: &'a str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("it has no scheme such as `nats://`")?;
        let is_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        if !scheme.bytes().all(is_scheme) || !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err("it has no scheme such as `nats://`".into());
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if path.contains('@') {
            let problem =
                "its user or password has a `/`, `?` or `#`, which is written `%2F`, `%3F` or `%23`";
            return Err(problem.into());
        }
        let (user_info, address) = match authority.rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info), address),
            None => (None, authority),
        };
        let (user, password) = match user_info.map(|text| text.split_once(':').ok_or(text)) {
            None => (None, None),
            Some(Err(user)) => (Some(decoded(user)?), None),
            Some(Ok((user, password))) => (Some(decoded(user)?), Some(Secret::new(decoded(password)?))),
        };
        let (host, port) = match address.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(None) => return Err(format!("{address:?} has a bracket that does not end")),
            Some(Some((host, ""))) => (host, None),
            Some(Some((host, rest))) => {
                (host, Some(rest.strip_prefix(':').ok_or_else(|| format!("{rest:?} is no port"))?))
            }
            None => match address.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => {
                    return Err(format!("an IPv6 address stands in brackets, such as `[{address}]`"));
                }
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        Ok(Self { scheme, user, password, host, port, path })
    }
}

impl ServerUrl {
    /// Reads a URL. The error says what is wrong with it and never shows its user or password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts = Parts::split(text.trim())?;
        if parts.host.is_empty() {
            return Err("it has no host".into());
        }
        let port = match parts.port {
            None => None,
            Some(text) => match text.parse() {
                Ok(port) if port > 0 => Some(port),
                _ => return Err(format!("{text:?} is no port")),
            },
        };
        Ok(Self {
            scheme: parts.scheme.to_ascii_lowercase(),
            user: parts.user,
            password: parts.password,
            host: parts.host.to_owned(),
            port,
            path: parts.path.to_owned(),
        })
    }
}

/// Reads the URL of a server that is to be connected to; `kind` is what it is for. What the official server then fails
/// to dial for ever is refused.
pub(crate) fn one(value: &Value, kind: &str) -> Result<ServerUrl, ConfigError> {
    dialled(&reader::text(value)?, kind)
        .map_err(|problem| ConfigError::new(&value.at, problem).help("such as `nats://host:6222`"))
}

/// The same of a text. Leaf nodes alone have a port that stands for none.
pub(crate) fn dialled(text: &str, kind: &str) -> Result<ServerUrl, String> {
    let url = ServerUrl::parse(text).map_err(|why| format!("error parsing {kind} url: {why}"))?;
    match url.port {
        None if kind != "leafnode" => Err(format!("{kind} url {url} has no port")),
        _ => Ok(url),
    }
}

/// Reads a list of URLs. One that stands there twice is doubted and left out.
pub(crate) fn list(value: &Value, kind: &str, notes: &mut Notes) -> Vec<ServerUrl> {
    placed(value, kind, notes).into_iter().map(|(_, url)| url).collect()
}

/// The same, with the place of each.
pub(crate) fn placed(value: &Value, kind: &str, notes: &mut Notes) -> Vec<(Position, ServerUrl)> {
    let mut out: Vec<(Position, ServerUrl)> = Vec::new();
    for value in noted(reader::array(value), &mut notes.errors).unwrap_or_default() {
        let Some(url) = noted(one(value, kind), &mut notes.errors) else { continue };
        if out.iter().any(|(_, known)| *known == url) {
            let problem = format!("Duplicate {kind} entry detected: {url}");
            notes.doubts.push(ConfigError::new(&value.at, problem));
            continue;
        }
        out.push((value.at.clone().into(), url));
    }
    out
}

/// The same, where one URL may stand for a list.
pub(crate) fn list_or_one(value: &Value, kind: &str, notes: &mut Notes) -> Vec<ServerUrl> {
    match &value.kind {
        Kind::Array(_) => list(value, kind, notes),
        _ => noted(one(value, kind), &mut notes.errors).into_iter().collect(),
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        match (&self.user, &self.password) {
            (Some(user), Some(_)) => write!(f, "{user}:xxxxx@")?,
            (Some(_), None) => f.write_str("xxxxx@")?,
            (None, _) => {}
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}{}", self.path),
            None => f.write_str(&self.path),
        }
    }
}

/// Text in which `%41` stands for `A`.
fn decoded(text: &str) -> Result<String, String> {
    let wrong = || "its user or password has a `%` that begins no escape such as `%41`".to_owned();
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, more)) = rest.split_first() {
        rest = more;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (digits, more) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digit = |b: u8| char::from(b).to_digit(16);
        let [high, low] = digits else { return Err(wrong()) };
        let (high, low) = digit(*high).zip(digit(*low)).ok_or_else(wrong)?;
        out.push((high * 16 + low) as u8);
        rest = more;
    }
    String::from_utf8(out).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = match ServerUrl::parse(text) {
            Ok(url) => format!(
                "{url} {:?} {:?} {} {:?}",
                url.user,
                url.password.as_ref().map(Secret::expose),
                url.host,
                url.port
            ),
            Err(problem) => problem,
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn urls_are_understood_and_printed_without_secrets() {
        check("nats://a", "nats://a None None a None");
        check(
            " NATS-route://u:p%40w@h:5/x",
            "nats-route://u:xxxxx@h:5/x Some(\"u\") Some(\"p@w\") h Some(5)",
        );
        check("tls://t0ken@[::1]:5", "tls://xxxxx@[::1]:5 Some(\"t0ken\") None ::1 Some(5)");
        check("nats://u:a@b@h:5", "nats://u:xxxxx@h:5 Some(\"u\") Some(\"a@b\") h Some(5)");
        for (text, why) in [
            ("a:5", "it has no scheme such as `nats://`"),
            ("://a", "it has no scheme such as `nats://`"),
            ("nats://", "it has no host"),
            ("nats://u:secret@:5", "it has no host"),
            ("nats://u:secret@h:x", "\"x\" is no port"),
            ("nats://h:70000", "\"70000\" is no port"),
            ("nats://h:0", "\"0\" is no port"),
            ("nats://::1:5", "an IPv6 address stands in brackets, such as `[::1:5]`"),
            ("nats://[::1", "\"[::1\" has a bracket that does not end"),
            ("nats://u:secret%4@h", "its user or password has a `%` that begins no escape such as `%41`"),
        ] {
            check(text, why);
        }
    }

    proptest! {
        /// Whatever stands around a password, neither an error nor the URL shows it.
        #[test]
        fn no_url_and_no_error_shows_a_password(
            before in "[a-z:/?#%@]{0,3}",
            after in "[a-z:/?#%@]{0,3}",
            rest in "[a-z0-9:/?#%\\[\\]]{0,8}",
        ) {
            let text = format!("nats://u:{before}SECRET{after}@{rest}");
            let shown = match ServerUrl::parse(&text) {
                Ok(url) => format!("{url} {url:?}"),
                Err(problem) => problem,
            };
            prop_assert!(!shown.contains("SECRET"), "{}: {}", text, shown);
        }
    }

    #[test]
    fn no_way_to_print_it_shows_the_password() {
        let url = ServerUrl::parse("nats://u:hunter2@h:5").expect("a URL");
        assert!(!format!("{url} {url:?}").contains("hunter2"));
    }
}
