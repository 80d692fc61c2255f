//! A server of tokens that answers well, badly, and not at all.

use super::*;
use crate::waiting::NextLine as _;
use dialtone_identity::nkey::{Kind, Seed};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

fn key() -> String {
    Seed::from_bytes(Kind::Account, [1; 32]).public().to_string()
}

/// An address where every request gets `answer`, made from its path. Of `None` the connection is left open.
fn serve(answer: impl Fn(&str) -> Option<String> + Send + 'static) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let base = format!("http://{}/jwt/v1/accounts", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            let line = BufReader::new(&stream).next_line();
            let path = line.split(' ').nth(1).unwrap_or_default();
            match answer(path) {
                // Whoever asked may have seen enough.
                Some(answer) => drop(stream.write_all(answer.as_bytes())),
                None => open.push(stream),
            }
        }
    });
    Address::new(&base, &ResolverTls::default()).expect("address")
}

fn ok(body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

#[test]
fn a_token_stands_behind_its_key() {
    let expected = format!("/jwt/v1/accounts/{}", key());
    let address = serve(move |path| if path == expected { ok("token\n") } else { ok("start") });
    assert_eq!(address.fetch(&key()).as_deref(), Some("token"));
    assert!(address.check().is_ok());
    // Nothing but a key becomes part of the address.
    for key in ["", "x", "../x", "A?x", &format!("{}/../x", key())] {
        assert_eq!(address.fetch(key), None, "{key}");
    }
}

#[test]
fn bad_answers_are_none() {
    let elsewhere = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    for answer in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx".to_owned(),
        elsewhere.to_owned(),
        "nonsense\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_owned(),
        format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(JWT_BYTES_MAX + 1)),
    ] {
        let address = serve(move |_| Some(answer.clone()));
        assert_eq!(address.fetch(&key()), None);
        assert!(address.check().is_err());
    }
}

#[test]
fn https_is_verified() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).expect("certificate");
    let folder = tempfile::tempdir().expect("folder");
    let (ca, other) = (folder.path().join("ca.pem"), folder.path().join("other.pem"));
    std::fs::write(&ca, made.cert.pem()).expect("written");
    let unknown = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).expect("certificate");
    std::fs::write(&other, unknown.cert.pem()).expect("written");
    let private = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], private);
    let config = Arc::new(config.expect("config"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let base = format!("https://{}/", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let connection = rustls::ServerConnection::new(config.clone()).expect("connection");
            let mut stream = rustls::StreamOwned::new(connection, stream);
            // Who does not trust the certificate goes in the handshake.
            if BufReader::new(&mut stream).read_line(&mut String::new()).is_ok() {
                let _ = stream.write_all(ok("token").unwrap_or_default().as_bytes());
                let _ = stream.flush();
            }
        }
    });
    let fetch = |ca_file| {
        let tls = ResolverTls { ca_file, ..ResolverTls::default() };
        Address::new(&base, &tls).ok().and_then(|address| address.fetch(&key()))
    };
    assert_eq!(fetch(Some(ca)).as_deref(), Some("token"));
    assert_eq!(fetch(Some(other)), None);
    // The system knows no such certificate either.
    assert_eq!(fetch(None), None);
}

#[test]
fn silence_ends_in_time() {
    let begun = std::time::Instant::now();
    assert_eq!(serve(|_| None).fetch(&key()), None);
    assert!(begun.elapsed() >= TIMEOUT);
}

#[test]
fn addresses_that_are_none() {
    let files = ResolverTls { ca_file: Some("/nowhere".into()), ..ResolverTls::default() };
    for (base, tls) in [
        ("x", ResolverTls::default()),
        ("", ResolverTls::default()),
        ("ftp://a/b", ResolverTls::default()),
        ("https://a/b", files),
    ] {
        assert!(Address::new(base, &tls).is_err(), "{base}");
    }
}
