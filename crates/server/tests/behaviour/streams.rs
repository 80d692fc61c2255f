//! Streams that never come to an end of what they began.

use crate::common::waiting::Bounded;
use crate::common::{Client, options};
use std::io::{BufReader, Write};

const PIECE: [u8; 8192] = [b'x'; 8192];
/// 8 MiB in all: with a look at everything for each piece it would be four thousand million bytes.
const PIECES: usize = 1024;

fn endless(client: &mut Client, verb: &str) {
    client.send(verb);
    for _ in 0..PIECES {
        client.0.get_mut().write_all(&PIECE).expect("sent");
    }
}

#[test]
fn a_ping_may_be_as_long_as_it_likes() {
    let server = crate::common::start(options(""));
    let mut client = Client::connect(&server, "");
    endless(&mut client, "PING");
    client.send("\r\nSUB a 1\r\nPUB a 1\r\nx\r\n");
    let lines: Vec<String> = (0..3).map(|_| client.line()).collect();
    assert_eq!(lines, ["PONG", "MSG a 1 1", "x"]);
    endless(&mut client, "PONG");
    client.send("\r\n");
    assert_eq!(client.sync(), [""; 0]);
}

#[test]
fn one_from_a_user_without_a_name_too() {
    let config = "accounts { A { users: [ { user: nobody } ] } }, no_auth_user: nobody";
    let server = crate::common::start(options(config));
    let stream = server.connect_in_process().expect("connected").bounded();
    let mut client = Client(BufReader::new(stream));
    assert!(client.line().starts_with("INFO {"));
    endless(&mut client, "PING");
    client.send("\n");
    assert_eq!(client.line(), "PONG");
}

/// More than the buffers of a system hold.
const TOO_MUCH: usize = 64 * 1024 * 1024 / PIECE.len();

#[test]
fn headers_without_an_end_are_not_kept_by_monitoring() {
    let server = crate::common::start(options("http: \"127.0.0.1:-1\""));
    let port = server.node().monitoring.ports().http;
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connected").bounded();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nX: ").expect("sent");
    let refused = (0..TOO_MUCH).any(|_| stream.write_all(&PIECE).is_err());
    assert!(refused, "it took {} bytes of one header", TOO_MUCH * PIECE.len());
}
