//! A listener for clients by WebSocket.

use super::block;
use super::rule::Rule::Within;
use super::tls::{self, Context, Tls};
use crate::Secret;
use crate::blocks::keys::Status::{Reloads, Restarts};
use crate::blocks::reader::{self, Block, Errors, Notes, noted};
use crate::blocks::repeated::Address;
use crate::error::{ConfigError, Position};
use crate::language::{Kind, Value};
use std::time::Duration;

/// How long an upgrade may take by default. The official server waits for ever.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers that the answer to an upgrade has anyway.
const OWN_HEADERS: [&str; 7] = [
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Protocol",
    "Content-Length",
    "Transfer-Encoding",
];

block! {
    /// A listener for clients by WebSocket.
    pub struct WebSocket in "websocket" {
        /// Where the block stands.
        at: Position = Position::default();
        /// Where it listens; an empty host: all addresses.
        address: Address = Address { host: String::new(), ..Address::default() };
        advertise: Option<String> = None,
            advertise: "`host:port` that clients of other servers are told instead of the real one.",
            read (reader::optional), Within(Restarts);
        tls: Option<Tls> = None,
            tls: "TLS, with the keys of `tls`. The handshake comes first.",
            block (|v, notes| tls::tls(v, Context::WebSocket, notes)), Within(Reloads);
        no_tls: bool = false,
            no_tls: "Listen without TLS. Default false: there must be TLS.", read (reader::boolean), Within(Restarts);
        same_origin: bool = false,
            same_origin: "Only pages of the host and port that are connected to may connect.",
            read (reader::boolean), Within(Restarts);
        /// Empty: all.
        allowed_origins: Vec<String> = Vec::new(),
            allowed_origins | "allowed_origin" | "allow_origins" | "allow_origin" | "origins" | "origin":
            "Only pages of these origins may connect. Default: all.", read (origins), Within(Restarts);
        /// `None`: what is usual.
        handshake_timeout: Option<Duration> = None,
            handshake_timeout: "How long TLS and the upgrade may take. Default 10s.",
            read (nonzero), Within(Restarts);
        compression: bool = false,
            compression | "compress": "Compress messages (permessage-deflate) of clients that ask for it.",
            read (reader::boolean), Within(Restarts);
        /// The only user or token.
        users: OwnUsers = OwnUsers::default(),
            authorization | "authentication": "The only user or token of this listener, instead of the others'.",
            block (own_users), Within(Restarts);
        /// Names of cookies that hold credentials.
        cookies: CookieNames = CookieNames::default();
        no_auth_user: Option<String> = None,
            no_auth_user: "The user that a connection without credentials is.", read (reader::optional), Within(Restarts);
        headers: Vec<(String, String)> = Vec::new(),
            headers: "More headers of the answer to an upgrade, such as `{ X-Frame-Options: DENY }`.",
            block (|v, notes| headers(v, &mut notes.errors)), Within(Restarts);
        /// `None`: as others are.
        ping_interval: Option<Duration> = None,
            ping_interval: "How often a silent connection is pinged. Default: as others are.",
            noting (ping_interval), Within(Restarts);
    }
}

block! {
    /// The only user or token of a listener: this one, or that of MQTT.
    pub struct OwnUsers in "websocket_authorization" {
        user: Option<String> = None,
            user | "username": "The only user.", read (|v| reader::credential(v, "user").map(Some)), Within(Restarts);
        password: Option<Secret> = None,
            pass | "password": "Its password, plain or bcrypt.",
            read (|v| reader::text(v).map(|p| Some(Secret::new(p)))), Within(Restarts);
        token: Option<Secret> = None,
            token: "A token instead of a user.",
            read (|v| reader::credential(v, "token").map(|token| Some(Secret::new(token)))), Within(Restarts);
        timeout: Option<Duration> = None,
            timeout: "How long a client may take to say who it is. Default: as others may.",
            read (nonzero), Within(Restarts);
    }
}

block! {
    /// Names of cookies; empty: no cookie.
    pub struct CookieNames in "websocket" {
        jwt: String = String::new(),
            jwt_cookie: "Cookie with the JWT of a user that CONNECT does not name.", read (reader::text), Within(Restarts);
        user: String = String::new(),
            user_cookie: "Cookie with the name of a user that CONNECT does not name.", read (reader::text), Within(Restarts);
        password: String = String::new(),
            pass_cookie: "Cookie with a password, likewise.", read (reader::text), Within(Restarts);
        token: String = String::new(),
            token_cookie: "Cookie with a token, likewise.", read (reader::text), Within(Restarts);
    }
}

/// Reads the block. `None`: it names no port, so nothing is to be listened on.
pub(crate) fn websocket(value: &Value, notes: &mut Notes) -> Option<WebSocket> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    let block = Block::new("websocket", map, &mut notes.errors);
    let mut own = WebSocket { at: value.at.clone().into(), ..WebSocket::default() };
    own.read(&block, notes);
    own.cookies.read(&block, notes);
    own.address.read_all(&block, notes);
    own.address.is_on().then_some(own)
}

pub(crate) fn own_users(value: &Value, notes: &mut Notes) -> OwnUsers {
    let mut out = OwnUsers::default();
    if let Some(map) = noted(reader::map(value), &mut notes.errors) {
        out.read(&Block::new("websocket_authorization", map, &mut notes.errors), notes);
    }
    out
}

fn origins(value: &Value) -> Result<Vec<String>, ConfigError> {
    let origins = reader::texts(value)?;
    match origins.iter().find(|origin| !is_origin(origin)) {
        None => Ok(origins),
        Some(bad) => Err(ConfigError::new(&value.at, format!("unable to parse allowed origin {bad:?}"))
            .help("such as `https://example.com` or `http://localhost:8080`")),
    }
}

/// A duration; zero means the default.
fn nonzero(value: &Value) -> Result<Option<Duration>, ConfigError> {
    reader::duration(value).map(|duration| Some(duration).filter(|duration| !duration.is_zero()))
}

fn ping_interval(value: &Value, notes: &mut Notes) -> Result<Option<Duration>, ConfigError> {
    let interval = reader::duration_doubted(value, "ping_interval", &mut notes.doubts)?;
    Ok(Some(interval).filter(|interval| !interval.is_zero()))
}

impl WebSocket {
    /// Whether it has users of its own, beside which those of the other listener do not count.
    pub fn has_own_users(&self) -> bool {
        self.users.are_some(self.no_auth_user.as_ref())
    }
}

impl OwnUsers {
    /// Whether there is anyone, `no_auth_user` of the listener included.
    pub(crate) fn are_some(&self, no_auth_user: Option<&String>) -> bool {
        self.user.is_some() || self.token.is_some() || no_auth_user.is_some()
    }
}

/// `{ Name: value, … }`: what cannot be a header is refused, for it would end it, or the answer.
fn headers(value: &Value, errors: &mut Errors) -> Vec<(String, String)> {
    let Some(map) = noted(reader::map(value), errors) else { return Vec::new() };
    let mut out = Vec::new();
    for entry in map.iter() {
        let name = &entry.key;
        let text = match &entry.value.kind {
            Kind::String(text) => text.clone(),
            other => {
                let problem = format!("error parsing header key {name}: unsupported type {}", other.name());
                errors.push(ConfigError::new(&entry.value.at, problem));
                continue;
            }
        };
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let problem = if name.is_empty() || !name.bytes().all(is_token) {
            "is no name of a header"
        } else if text.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
            "has control characters in its value"
        } else if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            "is the server's own"
        } else {
            out.push((name.clone(), text));
            continue;
        };
        errors.push(ConfigError::new(&entry.at, format!("header {name:?} {problem}")));
    }
    out
}

fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        scheme.bytes().all(|b| b.is_ascii_alphanumeric()) && !scheme.is_empty() && !host.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use crate::options::Options;
    use std::path::Path;

    fn read(block: &str, more: &str) -> Result<Options, String> {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let text = format!("websocket {{ {block} }}\n{more}");
        crate::load_text(&text, "t.conf", &mut files, &|_| None).map_err(|errors| errors.to_string())
    }

    #[track_caller]
    fn refuse(block: &str, more: &str, expected: &str) {
        let found = read(block, more).expect_err(block);
        assert_eq!(found, expected, "{block} {more}");
    }

    #[test]
    fn without_a_port_there_is_no_listener() {
        for block in ["", "port: 0", "no_tls: true", "tls { cert_file: a, key_file: b }"] {
            assert_eq!(read(block, "").expect(block).websocket, None, "{block}");
        }
        let listening = read("listen: 'h:5', no_tls: true, headers { A: b }", "").expect("read").websocket;
        let listening = listening.expect("a listener");
        assert_eq!((&*listening.address.host, listening.address.port), ("h", Some(5)));
        assert_eq!(listening.headers, [("A".to_owned(), "b".to_owned())]);
        assert_eq!(
            read("port: -1, no_tls: true", "").expect("read").websocket.expect("on").address.port,
            None
        );
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let at = "t.conf:1:11: ";
        let users = "authorization { users: [ { user: y } ] }";
        refuse("port: 1", "", &format!("{at}websocket requires TLS configuration"));
        let on = |more: &str| format!("port: 1, no_tls: true, {more}");
        for good in ["x", "x:5", ":5", "x:0", "[::1]:5"] {
            read(&on(&format!("advertise: '{good}'")), "").expect(good);
        }
        for (block, more, why) in [
            ("advertise: 'x:y'", "", "advertise is \"x:y\", which is no `host:port`: \"y\" is no port"),
            (
                "advertise: '::1'",
                "",
                "advertise is \"::1\", which is no `host:port`: an IPv6 address stands in brackets",
            ),
            ("no_auth_user: x", "", "no_auth_user: \"x\" present, but users/nkeys are not defined"),
            (
                "no_auth_user: x",
                users,
                "no_auth_user: \"x\" not present as user or nkey in authorization block or account configuration",
            ),
            (
                "authorization { user: a }",
                users,
                "websocket authentication username not compatible with presence of users/nkeys",
            ),
            (
                "authorization { token: a }",
                users,
                "websocket authentication token not compatible with presence of users/nkeys",
            ),
            ("authorization { user: a, token: b }", "", "Cannot have a user/pass and token"),
            ("authorization { pass: a }", "", "a password needs a user"),
            (
                "jwt_cookie: x",
                "",
                "trusted operators or trusted keys configuration is required for JWT authentication via cookie \"x\"",
            ),
        ] {
            refuse(&on(block), more, &format!("{at}{why}"));
        }
    }

    #[test]
    fn headers_and_origins_are_what_they_may_be() {
        let on = |more: &str| format!("port: 1, no_tls: true, {more}");
        for (block, why) in [
            ("headers { 'a b': x }", "header \"a b\" is no name of a header"),
            ("headers { a: \"x\\r\\ny\" }", "header \"a\" has control characters in its value"),
            ("headers { upgrade: x }", "header \"upgrade\" is the server's own"),
            ("headers { a: 5 }", "error parsing header key a: unsupported type an integer"),
            ("allowed_origins: ['http://a', x]", "unable to parse allowed origin \"x\""),
        ] {
            let found = read(&on(block), "").expect_err(block);
            assert!(found.contains(why), "{block}: {found}");
        }
    }

    /// A key that says nothing in this context is accepted, and named at start; in the other it counts.
    #[test]
    fn what_a_key_of_tls_means_depends_on_where_it_stands() {
        let tls = |more: &str| format!("tls {{ cert_file: a, key_file: b, {more} }}");
        for (key, in_client, in_websocket) in [
            ("insecure: true", 1, 1),
            ("insecure: false", 0, 0),
            ("allow_insecure_cipher_suites: true", 1, 1),
            ("handshake_first: auto", 0, 1),
            ("handshake_first: false", 0, 0),
            ("timeout: 1", 0, 1),
            ("verify_and_map: true", 0, 0),
            ("pinned_certs: []", 0, 0),
        ] {
            let in_block = read(&format!("port: 1, {}", tls(key)), "").expect(key);
            assert_eq!(in_block.source.ignored.len(), in_websocket, "{key}");
            assert_eq!(read("", &tls(key)).expect(key).source.ignored.len(), in_client, "{key}");
        }
        // The official server refuses it for clients of either kind, too, and takes it for routes and gateways.
        for text in [
            tls("verify_cert_and_check_known_urls: true"),
            format!("websocket {{ port: 1, {} }}", tls("verify_cert_and_check_known_urls: true")),
        ] {
            let found = read("", &text).expect_err("refused");
            assert!(found.contains("it is for routes and gateways only"), "{found}");
        }
    }
}
