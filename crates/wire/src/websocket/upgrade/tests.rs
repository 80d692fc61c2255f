use super::*;
use crate::websocket::origin::Origin;
use proptest::prelude::*;

const GOOD: &[&str] = &[
    "GET / HTTP/1.1",
    "Host: h:80",
    "Upgrade: websocket",
    "Connection: keep-alive, upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

/// A good request, with lines changed: `Name: value` takes the place of another of this name, `Name:` drops it.
fn request(changes: &[&str]) -> Vec<u8> {
    let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let mut lines: Vec<String> = GOOD.iter().map(|line| (*line).to_owned()).collect();
    for change in changes {
        match (change.contains(':'), change.ends_with(':')) {
            (false, _) => lines[0] = (*change).to_owned(),
            (true, drops) => {
                lines.retain(|line| name(line) != name(change));
                lines.extend((!drops).then(|| (*change).to_owned()));
            }
        }
    }
    (lines.join("\r\n") + "\r\n\r\n").into()
}

#[track_caller]
fn refused(changes: &[&str], status: &str, why: &str) {
    let terms = Terms { origins: Origins { same_only: true, allowed: vec![] }, ..Terms::default() };
    let refusal = decide(&request(changes), &terms).expect_err("it is refused");
    let answer = String::from_utf8(refusal.response).expect("text");
    assert_eq!((answer.lines().next(), &*refusal.why), (Some(&*format!("HTTP/1.1 {status}")), why));
}

#[test]
fn refusals_are_the_official_ones() {
    refused(&["POST / HTTP/1.1"], "405 Method Not Allowed", "request method must be GET");
    refused(&["POST /mqtt HTTP/1.1"], "404 Not Found", "mqtt websocket endpoint not enabled");
    refused(&["GET /x/mqtt HTTP/1.1"], "404 Not Found", "mqtt websocket endpoint not enabled");
    refused(&["Upgrade: h2c"], "400 Bad Request", "invalid value for header 'Upgrade'");
    refused(&["Connection: close"], "400 Bad Request", "invalid value for header 'Connection'");
    refused(&["Sec-WebSocket-Key:"], "400 Bad Request", "key missing");
    refused(&["Sec-WebSocket-Version: 8"], "400 Bad Request", "invalid version");
    refused(&["Origin: http://x"], "403 Forbidden", "origin not allowed: not same origin");
    refused(&["Sec-WebSocket-Origin: http://x"], "403 Forbidden", "origin not allowed: not same origin");
    refused(&["GET / HTTP/1.0", "Host:"], "400 Bad Request", "'Host' missing in request");
    refused(&["Host:"], "400 Bad Request: missing required Host header", "");
    refused(&["Host: a b"], "400 Bad Request: malformed Host header", "");
    refused(&["GET / HTTP/2.0"], "505 HTTP Version Not Supported: unsupported protocol version", "");
    refused(&["CONNECT {}"], "400 Bad Request", "");
    let many: Vec<String> = (0..70).map(|i| format!("X-{i}: a")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    refused(&many, "431 Request Header Fields Too Large", "");
}

fn granted(changes: &[&str], terms: &Terms) -> Upgrade {
    decide(&request(changes), terms).unwrap_or_else(|refusal| panic!("{}", refusal.why))
}

#[test]
fn the_answer_says_what_was_agreed() {
    let headers = vec![("X-One".into(), "a b".into())];
    let terms = Terms { compression: true, headers, ..Terms::default() };
    let offer = "Sec-WebSocket-Extensions: x, permessage-deflate; client_max_window_bits";
    let upgrade = granted(&[offer, "Nats-No-Masking: true"], &terms);
    assert_eq!((upgrade.agreed.masked, upgrade.agreed.deflate), (false, true));
    expect_test::expect![[r#"
        HTTP/1.1 101 Switching Protocols
        Upgrade: websocket
        Connection: Upgrade
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
        Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover
        Nats-No-Masking: true
        X-One: a b

    "#]]
    .assert_eq(&String::from_utf8(upgrade.response).expect("text").replace('\r', ""));
    let plain = granted(&[offer], &Terms::default()).agreed;
    assert_eq!((plain.masked, plain.deflate), (true, false));
    assert!(!granted(&["Sec-WebSocket-Extensions: x-permessage-deflate"], &terms).agreed.deflate);
}

#[test]
fn paths_addresses_and_cookies() {
    let names = Cookies { jwt: "j".into(), user: "u".into(), password: "p".into(), token: String::new() };
    let terms = Terms { cookie_names: names, ..Terms::default() };
    for (line, path) in [
        ("GET /leafnode?a=b HTTP/1.1", Path::LeafNode),
        ("GET /behind/a/proxy/leafnode HTTP/1.1", Path::LeafNode),
        ("GET /xleafnode HTTP/1.1", Path::Client),
        ("GET /leafnode/ HTTP/1.1", Path::Client),
        ("GET /LEAFNODE HTTP/1.1", Path::Client),
        ("GET /leafnodes HTTP/1.1", Path::Client),
        ("GET /any?/mqtt HTTP/1.1", Path::Client),
    ] {
        assert_eq!(granted(&[line], &terms).path, path, "{line}");
    }
    let found = granted(&["Cookie: a=b; j=\"x.y\"; u=me=too; =; p", "X-Forwarded-For: ::1"], &terms);
    assert_eq!((&*found.cookies.jwt, &*found.cookies.user, &*found.cookies.password), ("x.y", "me=too", ""));
    assert_eq!(found.forwarded_for, Some("::1".parse().expect("an address")));
    for none in ["X-Forwarded-For: 1.2.3.4, 5.6.7.8", "X-Forwarded-For: unknown"] {
        assert_eq!(granted(&[none], &terms).forwarded_for, None, "{none}");
    }
}

#[test]
fn clients_of_mqtt_come_where_there_is_mqtt() {
    let terms = Terms { takes_mqtt: true, ..Terms::default() };
    for (lines, subprotocol) in [
        (&["GET /mqtt HTTP/1.1"][..], "mqtt"),
        (&["GET /x/mqtt HTTP/1.1", "Sec-WebSocket-Protocol: mqttv3.1, mqtt"], "mqtt"),
        (&["GET /mqtt HTTP/1.1", "Sec-WebSocket-Protocol: mqttv3.1"], "mqttv3.1"),
    ] {
        let found = granted(lines, &terms);
        assert_eq!(found.path, Path::Mqtt);
        let answer = String::from_utf8(found.response).expect("text");
        assert!(answer.contains(&format!("\r\nSec-WebSocket-Protocol: {subprotocol}\r\n")), "{answer}");
    }
    let plain = granted(&["Sec-WebSocket-Protocol: mqtt"], &terms);
    assert_eq!(plain.path, Path::Client);
    assert!(!String::from_utf8(plain.response).expect("text").contains("Protocol:"));
}

#[test]
fn an_origin_that_is_allowed_passes() {
    let allowed = vec![Origin::parse("https://a.com").expect("an origin")];
    let terms = Terms { origins: Origins { same_only: false, allowed }, ..Terms::default() };
    granted(&["Origin: https://a.com:443"], &terms);
    granted(&[], &terms);
}

#[test]
fn a_plain_request_where_tls_is_spoken_is_answered_and_nothing_else_is() {
    for request in ["GET / HTTP/1.1\r\n", "POST /x HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n"] {
        let answer = plain_to_tls(request.as_bytes()).expect(request);
        assert!(answer.starts_with(b"HTTP/1.0 400 Bad Request\r\n\r\n"), "{request}");
    }
    for other in [&b""[..], b"GET", b"GETS ", b"CONNECT {}", b"\x16\x03\x01", b"get / "] {
        assert_eq!(plain_to_tls(other), None, "{other:?}");
    }
}

/// A client that begins with TLS would wait for an answer as long as it is waited for.
#[test]
fn what_is_no_request_by_its_first_byte_is_refused_at_once() {
    let refused = no_request(b"\x16\x03\x01").expect("refused");
    assert!(refused.response.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
    for begin in [&b""[..], b"G", b"\r\nGET", b"CONNECT {}"] {
        assert_eq!(no_request(begin), None, "{begin:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(head in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..200, junk: [u8; 3]) {
        let _ = decide(&head, &Terms::default());
        let mut near = request(&[]);
        for (offset, byte) in junk.into_iter().enumerate() {
            let place = (at + offset) % near.len();
            near[place] = byte;
        }
        if let Err(refusal) = decide(&near, &Terms::default()) {
            prop_assert!(refusal.response.starts_with(b"HTTP/1.1 "));
        }
    }
}
