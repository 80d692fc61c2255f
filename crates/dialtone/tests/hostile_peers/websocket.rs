//! The same by WebSocket: requests, frames and compressed messages.

use super::waiting::wait_until;
use super::{Peer, Server};

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// A peer that has come by WebSocket, with more headers, and is no user yet.
fn upgraded(server: &Server, headers: &str) -> Peer {
    let mut peer = server.connect_websocket();
    peer.send(format!("{UPGRADE}{headers}\r\n").as_bytes());
    assert_eq!(peer.line(), "HTTP/1.1 101 Switching Protocols");
    wait_until("the end of the answer", || peer.line().is_empty());
    peer
}

/// A masked frame with a key of zeros, which changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let head = [&[first, 0xFF][..], &(payload.len() as u64).to_be_bytes(), &[0; 4]].concat();
    [head, payload.to_vec()].concat()
}

/// DEFLATE of this many times 258 bytes, and one: a literal zero and matches with what is before it, in fixed codes.
fn zeros(matches: usize) -> Vec<u8> {
    // A block that is not the last, of fixed codes; the literal 0.
    let mut bits: Vec<u8> = vec![0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0];
    for _ in 0..matches {
        // Length 258 is code 285; distance 1 is code 0.
        bits.extend([1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
    }
    // The end of the block, and the beginning of the empty one that is not sent.
    bits.extend([0; 7 + 3]);
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |n, bit| n << 1 | bit)).collect()
}

/// CVE-2026-27571: what is inflated is bounded, before anybody is let in too.
#[test]
fn a_compression_bomb_is_stopped_before_it_is_there() {
    const MESSAGE_BYTES_MAX: usize = 1 << 20;
    let folder = tempfile::tempdir().expect("folder");
    let configuration = "authorization { token: t, timeout: 60 }, websocket { listen: '127.0.0.1:-1', no_tls: true, compression: true }";
    let server = Server::start(folder.path(), configuration, None);
    let mut client = server.client(r#"{"verbose":false,"auth_token":"t"}"#);
    let bomb = frame(0xC2, &zeros((64 << 20) / 258));
    assert!(bomb.len() < MESSAGE_BYTES_MAX / 2, "the bomb itself is small: {}", bomb.len());
    let before = server.resident();
    let mut peers: Vec<Peer> = (0..20).map(|_| upgraded(&server, DEFLATE)).collect();
    for peer in &mut peers {
        // It may be closed before all is sent.
        peer.try_send(&bomb);
    }
    for peer in &mut peers {
        let rest = peer.rest();
        assert!(rest.ends_with("Authentication Failure"), "{rest:?}");
    }
    let grown = server.resident().saturating_sub(before);
    assert!(grown < peers.len() * MESSAGE_BYTES_MAX, "20 bombs of 64 MiB took {grown} bytes");
    client.ping();
}

/// CVE-2026-33219, for connections by WebSocket.
#[test]
fn upgrades_that_are_not_finished_hold_little_and_not_for_long() {
    const PEER_BYTES_MAX: usize = 8 * 1024;
    let folder = tempfile::tempdir().expect("folder");
    let configuration = "websocket { listen: '127.0.0.1:-1', no_tls: true, handshake_timeout: 5 }";
    let server = Server::start(folder.path(), configuration, None);
    let mut client = server.client(r#"{"verbose":false}"#);
    let before = server.resident();
    let mut peers: Vec<Peer> = (0..500)
        .map(|number| {
            let mut peer = server.connect_websocket();
            match number % 3 {
                0 => {}
                1 => peer.send(b"GET / HT"),
                _ => peer.send(&[b"GET / HTTP/1.1\r\nX: ", [b'a'; 4000].as_slice()].concat()),
            }
            peer
        })
        .collect();
    client.ping();
    let grown = server.resident().saturating_sub(before);
    assert!(grown / peers.len() <= PEER_BYTES_MAX, "each holds {} bytes", grown / peers.len());
    for peer in &mut peers {
        assert_eq!(peer.rest(), "");
    }
    client.ping();
}

/// A request without an end is answered when it is too large, and nothing more of it is read.
#[test]
fn a_request_without_an_end_is_refused_when_it_is_too_large() {
    let folder = tempfile::tempdir().expect("folder");
    let configuration = "websocket { listen: '127.0.0.1:-1', no_tls: true }";
    let server = Server::start(folder.path(), configuration, None);
    let mut peer = server.connect_websocket();
    peer.send(b"GET / HTTP/1.1\r\n");
    for _ in 0..20 {
        peer.try_send(&[b"X: ", [b'a'; 1000].as_slice(), b"\r\n"].concat());
    }
    assert_eq!(peer.line(), "HTTP/1.1 431 Request Header Fields Too Large");
}

/// CVE-2026-27889: lengths that nobody has, from peers that are nobody.
#[test]
fn frames_that_promise_too_much_end_the_connection_and_nothing_else() {
    let folder = tempfile::tempdir().expect("folder");
    let configuration = "authorization { token: t, timeout: 60 }, websocket { listen: '127.0.0.1:-1', no_tls: true, compression: true }";
    let server = Server::start(folder.path(), configuration, None);
    let mut client = server.client(r#"{"verbose":false,"auth_token":"t"}"#);
    let before = server.resident();
    for head in [
        &[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0][..],
        &[0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0x89, 0xFF, 0, 0, 0, 0, 0, 0, 0, 126],
        &[0x88, 0xFE, 0, 126],
        &[0x80, 0x80],
        &[0x82, 0x00],
        &[0xF2, 0x80],
    ] {
        let mut peer = upgraded(&server, "");
        peer.send(&[head, &[0; 4]].concat());
        let rest = peer.rest();
        assert!(rest.contains("INFO "), "{head:?}: {rest:?}");
    }
    // A length that is only a promise costs nothing, and what comes is read as it comes.
    let mut peer = upgraded(&server, "");
    peer.send(&[0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
    peer.send(b"CONNECT {\"verbose\":false,\"auth_token\":\"t\"}\r\nPING\r\n");
    wait_until("PONG", || peer.line().ends_with("PONG"));
    assert!(server.resident().saturating_sub(before) < 4 << 20);
    client.ping();
}
