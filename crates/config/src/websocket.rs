//! Reading the `websocket` block: a listener for clients by WebSocket.

use crate::Secret;
use crate::error::ConfigError;
use crate::language::{Kind, Value};
use crate::options::Options;
use crate::options::websocket::WebSocket;
use crate::reader::{self, Block, Errors, noted};
use crate::tls;

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

/// Reads the block. `None`: it names no port, so nothing is to be listened on.
pub(crate) fn websocket(value: &Value, out: &mut Options, errors: &mut Errors) -> Option<WebSocket> {
    let map = noted(reader::map(value), errors)?;
    let block = Block::new("websocket", map, errors);
    let mut own = WebSocket { at: value.at.clone().into(), ..WebSocket::default() };
    let mut port = Some(0);
    block.set("host", &mut own.host, errors, reader::text);
    block.set("port", &mut port, errors, reader::port);
    if let Some(value) = block.get("listen") {
        match reader::address(value) {
            Ok((host, listened)) => {
                own.host = host.unwrap_or(own.host);
                port = listened;
            }
            Err(error) => errors.push(error),
        }
    }
    own.port = port;
    block.set("advertise", &mut own.advertise, errors, reader::optional);
    block.set("no_tls", &mut own.no_tls, errors, reader::boolean);
    if let Some(value) = block.get("tls") {
        own.tls = tls::tls(value, &mut out.ignored, errors);
    }
    block.set("same_origin", &mut own.same_origin, errors, reader::boolean);
    block.set("allowed_origins", &mut own.allowed_origins, errors, |v| {
        let origins = reader::texts(v)?;
        match origins.iter().find(|origin| !is_origin(origin)) {
            None => Ok(origins),
            Some(bad) => Err(ConfigError::new(&v.at, format!("unable to parse allowed origin {bad:?}"))
                .help("such as `https://example.com` or `http://localhost:8080`")),
        }
    });
    block.set("compression", &mut own.compression, errors, reader::boolean);
    block.set("handshake_timeout", &mut own.handshake_timeout, errors, |v| {
        reader::duration(v).map(|timeout| Some(timeout).filter(|timeout| !timeout.is_zero()))
    });
    let cookies = &mut own.cookies;
    for (key, name) in [
        ("jwt_cookie", &mut cookies.jwt),
        ("user_cookie", &mut cookies.user),
        ("pass_cookie", &mut cookies.password),
        ("token_cookie", &mut cookies.token),
    ] {
        block.set(key, name, errors, reader::text);
    }
    block.set("no_auth_user", &mut own.no_auth_user, errors, reader::optional);
    if let Some(value) = block.get("authorization") {
        authorization(value, &mut own, errors);
    }
    if let Some(value) = block.get("headers") {
        own.headers = headers(value, errors);
    }
    let doubts = &mut out.doubts;
    block.set("ping_interval", &mut own.ping_interval, errors, |v| {
        let interval = reader::duration_doubted(v, "ping_interval", doubts)?;
        Ok(Some(interval).filter(|interval| !interval.is_zero()))
    });
    (port != Some(0)).then_some(own)
}

fn authorization(value: &Value, own: &mut WebSocket, errors: &mut Errors) {
    let Some(map) = noted(reader::map(value), errors) else { return };
    let block = Block::new("websocket_authorization", map, errors);
    block.set("user", &mut own.user, errors, |v| crate::accounts::credential(v, "user").map(Some));
    block.set("pass", &mut own.password, errors, |v| reader::text(v).map(|p| Some(Secret::new(p))));
    block.set("token", &mut own.token, errors, |v| {
        crate::accounts::credential(v, "token").map(|token| Some(Secret::new(token)))
    });
    block.set("timeout", &mut own.auth_timeout, errors, |v| {
        reader::duration(v).map(|timeout| Some(timeout).filter(|timeout| !timeout.is_zero()))
    });
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
        assert_eq!((&*listening.host, listening.port), ("h", Some(5)));
        assert_eq!(listening.headers, [("A".to_owned(), "b".to_owned())]);
        assert_eq!(read("port: -1, no_tls: true", "").expect("read").websocket.expect("on").port, None);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let at = "t.conf:1:11: ";
        let users = "authorization { users: [ { user: y } ] }";
        refuse("port: 1", "", &format!("{at}websocket requires TLS configuration"));
        let on = |more: &str| format!("port: 1, no_tls: true, {more}");
        for (block, more, why) in [
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
}
