//! Clients by WebSocket on sockets of the system: by TLS and without, compressed and not, and however slowly they read.

use crate::common::waiting::{Bounded, wait_until};
use data_encoding::BASE64URL_NOPAD;
use dialtone_server::Server;
use dialtone_wire::websocket::frame::Agreed;
use dialtone_wire::websocket::stream::Framed;
use dialtone_wire::websocket::{Ended, Masking, Stream};
use rustls::pki_types::ServerName;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nNats-No-Masking: true\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

fn start(config: &str) -> Server {
    crate::common::start(crate::common::options(config))
}

trait Socket: Read + Write {}
impl<T: Read + Write> Socket for T {}

/// The client's end: the frames of a server are those of a client that does not mask.
struct Client {
    socket: Box<dyn Socket>,
    stream: Stream,
    /// Bytes of the protocol that came and were not taken.
    got: Vec<u8>,
    ended: Option<Ended>,
    /// Most bytes that one read takes.
    step: usize,
}

impl Client {
    fn new(mut socket: Box<dyn Socket>, step: usize) -> Self {
        socket.write_all(UPGRADE).expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("an answer");
            head.extend(byte);
        }
        let head = String::from_utf8(head).expect("text");
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Nats-No-Masking: true"), "{head}");
        let deflate = head.contains("permessage-deflate");
        let stream = Stream::new(Agreed { masked: false, deflate }, Masking::Off, usize::MAX - 1);
        let mut client = Self { socket, stream, got: Vec::new(), ended: None, step };
        assert!(client.line().starts_with(b"INFO {"));
        client.send(b"CONNECT {\"verbose\":false,\"protocol\":0}\r\n");
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut out = Vec::new();
            let taken = match self.stream.frame(std::iter::once(rest), &mut out) {
                Framed::Whole(taken) => taken,
                Framed::Head(taken) => {
                    out.extend_from_slice(&rest[..taken]);
                    taken
                }
            };
            self.socket.write_all(&out).expect("sent");
            rest = &rest[taken..];
        }
    }

    /// Reads once. False: nothing comes any more.
    fn read(&mut self) -> bool {
        let mut buffer = vec![0; self.step];
        let read = self.socket.read(&mut buffer).unwrap_or_default();
        let mut input = &mut buffer[..read];
        while !input.is_empty() && self.ended.is_none() {
            let mut inflated = Vec::new();
            let decoded = self.stream.decode(input, &mut inflated);
            self.got.extend_from_slice(&input[..decoded.plain]);
            self.got.extend_from_slice(&inflated);
            self.ended = decoded.ended;
            input = &mut input[decoded.used..];
        }
        read > 0 && self.ended.is_none()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.got.len() < count {
            assert!(self.read(), "it ended: {:?}", self.ended);
        }
        let rest = self.got.split_off(count);
        std::mem::replace(&mut self.got, rest)
    }

    fn line(&mut self) -> Vec<u8> {
        loop {
            if let Some(end) = self.got.iter().position(|byte| *byte == b'\n') {
                let line = self.bytes(end + 1);
                if line != b"PING\r\n" {
                    return line;
                }
                continue;
            }
            assert!(self.read(), "it ended: {:?}", self.ended);
        }
    }
}

fn plain(server: &Server, step: usize) -> Client {
    let address = server.websocket_address().expect("it listens");
    let socket = TcpStream::connect(address).expect("connected").bounded();
    Client::new(Box::new(socket), step)
}

/// What is easy and what is hard to compress.
fn payload(size: usize) -> Vec<u8> {
    let mut state = 7u32;
    let mut byte = |i: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if i % 5000 < 2500 { b'a' } else { (state >> 24) as u8 }
    };
    (0..size).map(&mut byte).collect()
}

/// Publishes messages to itself, all before it reads any.
#[track_caller]
fn echo(client: &mut Client, sizes: &[usize]) {
    client.send(b"SUB a 1\r\nPING\r\n");
    assert_eq!(client.line(), b"PONG\r\n");
    for size in sizes {
        let head = format!("PUB a {size}\r\n").into_bytes();
        client.send(&[head, payload(*size), b"\r\n".to_vec()].concat());
    }
    for size in sizes {
        assert_eq!(client.line(), format!("MSG a 1 {size}\r\n").as_bytes());
        assert_eq!(client.bytes(size + 2), [payload(*size), b"\r\n".to_vec()].concat());
    }
}

const SIZES: &[usize] = &[0, 1, 63, 64, 65, 125, 126, 4096, 65_535, 65_536, 300_000, 1_000_000];

#[test]
fn messages_of_all_sizes_come_back_compressed_and_not() {
    for block in ["", "compression: true, "] {
        let server = start(&format!("websocket {{ {block}listen: '127.0.0.1:-1', no_tls: true }}"));
        for step in [1 << 18, 1000] {
            echo(&mut plain(&server, step), SIZES);
        }
    }
}

/// A peer that does not read for long leaves frames half written; what comes is whole and in order all the same, and a question in a
/// frame of its own is answered between frames.
#[test]
fn frames_are_whole_for_who_reads_late() {
    for block in ["", "compression: true, "] {
        let server = start(&format!("websocket {{ {block}listen: '127.0.0.1:-1', no_tls: true }}"));
        let mut late = plain(&server, 1 << 16);
        late.send(b"SUB a 1\r\nPING\r\n");
        assert_eq!(late.line(), b"PONG\r\n");
        let mut other = plain(&server, 1 << 16);
        let size = 500_000;
        for _ in 0..40 {
            let head = format!("PUB a {size}\r\n").into_bytes();
            other.send(&[head, payload(size), b"\r\n".to_vec()].concat());
        }
        other.send(b"PING\r\n");
        assert_eq!(other.line(), b"PONG\r\n");
        late.socket.write_all(&[0x89, 0]).expect("sent");
        for _ in 0..40 {
            assert_eq!(late.line(), format!("MSG a 1 {size}\r\n").as_bytes());
            assert_eq!(late.bytes(size + 2), [payload(size), b"\r\n".to_vec()].concat());
        }
    }
}

#[test]
fn a_server_that_stops_says_so_in_its_last_frame() {
    let server = start("websocket { listen: '127.0.0.1:-1', no_tls: true }");
    let mut client = plain(&server, 1000);
    client.send(b"PING\r\n");
    assert_eq!(client.line(), b"PONG\r\n");
    server.stop();
    wait_until("the end", || !client.read());
    assert_eq!(client.ended, Some(Ended::Closed));
    assert_eq!(client.stream.take_farewell(None).as_deref(), Some(&b"\x88\x11\x03\xE9Server Shutdown"[..]));
}

#[test]
fn by_tls_it_is_the_same() {
    let folder = tempfile::tempdir().expect("folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).expect("written");
    std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).expect("written");
    let path = folder.path().display();
    for block in ["", "compression: true, "] {
        let tls = format!("tls {{ cert_file: '{path}/cert.pem', key_file: '{path}/key.pem' }}");
        let server = start(&format!("websocket {{ {block}listen: '127.0.0.1:-1', {tls} }}"));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("name");
        let tls = rustls::ClientConnection::new(Arc::new(config), name).expect("client");
        let address = server.websocket_address().expect("it listens");
        let socket = TcpStream::connect(address).expect("connected").bounded();
        let mut client = Client::new(Box::new(rustls::StreamOwned::new(tls, socket)), 1 << 16);
        // What comes back waits in the socket: by TLS a client that only writes reads nothing, and the server must not wait for it.
        echo(&mut client, &[0, 65, 126, 65_536, 100_000]);
        server.stop();
        wait_until("the end", || !client.read());
        assert_eq!(client.ended, Some(Ended::Closed));
    }
}

/// Who asks in plain where TLS is spoken is told so, by the listener for WebSocket and by monitoring; what is no request is not.
#[test]
fn a_plain_request_where_tls_is_spoken_is_answered() {
    let folder = tempfile::tempdir().expect("folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).expect("written");
    std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).expect("written");
    let path = folder.path().display();
    let tls = format!("tls {{ cert_file: '{path}/cert.pem', key_file: '{path}/key.pem' }}");
    let server =
        start(&format!("{tls}, https: '127.0.0.1:-1', websocket {{ listen: '127.0.0.1:-1', {tls} }}"));
    let websocket = server.websocket_address().expect("it listens");
    let monitoring = SocketAddr::new(websocket.ip(), server.node().monitoring.ports().https);
    for address in [websocket, monitoring] {
        for (sent, is_answered) in [(UPGRADE, true), (b"CONNECT {}\r\nPING\r\n", false)] {
            let mut socket = TcpStream::connect(address).expect("connected").bounded();
            socket.write_all(sent).expect("sent");
            let mut got = Vec::new();
            // A reset behind the answer is an end as good as any.
            let _ = socket.read_to_end(&mut got);
            let got = String::from_utf8_lossy(&got);
            assert_eq!(
                got.starts_with("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request"),
                is_answered,
                "{got:?}"
            );
        }
    }
}

/// A login has the time of the listener that it comes by, with an authorization service too: so long is its question good.
#[test]
fn a_service_has_the_time_of_the_listener() {
    let server = start(
        "authorization { timeout: 600, auth_callout {
            issuer: ACDNFOPD6THAVP42HXTSBH3O3T2O6NGCCFUZEU74KXIGOVI5BN5XJUYZ, account: AUTH, auth_users: [ auth ]
        } }
        accounts { AUTH { users: [ { user: auth } ] } }
        websocket { listen: '127.0.0.1:-1', no_tls: true, authorization { timeout: 300 } }",
    );
    let mut service = crate::common::Client::connect(&server, "auth");
    service.send("SUB $SYS.REQ.USER.AUTH 1\r\n");
    service.sync();
    let mut asked = || loop {
        let line = service.line();
        if line.starts_with("MSG $SYS.REQ.USER.AUTH ") {
            let token = service.line();
            let claims = token.split('.').nth(1).expect("claims");
            let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).expect("base64");
            let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
            return claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(until, from)| until - from);
        }
    };
    let _by_websocket = plain(&server, 1000);
    assert_eq!(asked(), Some(300));
    let mut other = server.connect_in_process().expect("connected").bounded();
    other.write_all(b"CONNECT {\"user\":\"u\",\"verbose\":false}\r\n").expect("sent");
    assert_eq!(asked(), Some(600));
}
