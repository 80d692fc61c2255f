//! Connections from the program that the server is part of.

use crate::common::waiting::{Bounded, NextLine};
use dialtone_config::Options;
use dialtone_server::Server;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

fn start(config: &str) -> Server {
    let mut files = |_: &Path| Err(ErrorKind::NotFound.into());
    let options: Options = dialtone_config::load_text(config, "t.conf", &mut files, &|_| None).expect(config);
    Server::builder().options(options).in_process_only().quiet().start().expect("started")
}

/// Says CONNECT and PING, and reads up to the answer.
fn connect(server: &Server, fields: &str) -> (BufReader<UnixStream>, String) {
    let mut stream = BufReader::new(server.connect_in_process().expect("connected").bounded());
    let info = stream.next_line();
    assert!(info.starts_with("INFO {"), "{info}");
    let hello = format!("CONNECT {{\"verbose\":false,\"protocol\":0{fields}}}\r\nPING\r\n");
    stream.get_mut().write_all(hello.as_bytes()).expect("sent");
    let answer = stream.next_line();
    (stream, answer)
}

#[test]
fn they_are_of_their_own_type() {
    let user = |name, types| format!("{{ user: {name}, allowed_connection_types: [{types}] }}");
    let users = [user("here", "IN_PROCESS"), user("there", "STANDARD")].join(",");
    let server = start(&format!("authorization {{ users: [ {users} ] }}"));
    assert_eq!(connect(&server, ",\"user\":\"here\"").1, "PONG\r\n");
    assert_eq!(connect(&server, ",\"user\":\"there\"").1, "-ERR 'Authorization Violation'\r\n");
    assert_eq!(connect(&server, "").1, "-ERR 'Authorization Violation'\r\n");
}

#[test]
fn they_count_against_limits() {
    let server = start("max_connections: 1");
    let (first, answer) = connect(&server, "");
    assert_eq!(answer, "PONG\r\n");
    assert_eq!(connect(&server, "").1, "-ERR 'maximum connections exceeded'\r\n");
    drop(first);
}

#[test]
fn they_end_with_the_server() {
    let server = start("");
    let (mut stream, answer) = connect(&server, "");
    assert_eq!(answer, "PONG\r\n");
    assert_eq!(server.client_address(), None);
    server.stop();
    stream.read_to_end(&mut Vec::new()).expect("the end");
    assert_eq!(server.connect_in_process().map_err(|e| e.kind()).err(), Some(ErrorKind::NotConnected));
}

/// Much more than the kernel's buffer holds arrives whole, in order and unbroken.
#[test]
fn large_messages_pass() {
    let server = start("");
    let (mut subscriber, _) = connect(&server, "");
    let (mut publisher, _) = connect(&server, "");
    subscriber.get_mut().write_all(b"SUB a 1\r\nPING\r\n").expect("sent");
    assert_eq!(subscriber.next_line(), "PONG\r\n");
    let sent: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let writer = std::thread::spawn({
        let sent = sent.clone();
        move || {
            for _ in 0..4 {
                publisher.get_mut().write_all(b"PUB a 1000000\r\n").expect("sent");
                publisher.get_mut().write_all(&sent).expect("sent");
                publisher.get_mut().write_all(b"\r\n").expect("sent");
            }
            publisher
        }
    });
    for _ in 0..4 {
        assert_eq!(subscriber.next_line(), "MSG a 1 1000000\r\n");
        let mut got = vec![0; sent.len() + 2];
        subscriber.read_exact(&mut got).expect("payload");
        assert!(got.strip_suffix(b"\r\n") == Some(&sent), "the payload is another");
    }
    writer.join().expect("written");
}
