//! Leaf nodes by WebSocket: two servers by each kind of frames, hubs and spokes that are scripts and hostile, and proxies on the way.

use crate::common::waiting::{Bounded, accept, wait_until};
use crate::common::{Client, options, start};
use dialtone_server::Server;
use dialtone_wire::http::{ANSWER_BYTES_MAX, head_end};
use dialtone_wire::websocket::deflate::deflate;
use dialtone_wire::websocket::frame::{self, Agreed, Opcode};
use dialtone_wire::websocket::upgrade::{self, Terms};
use dialtone_wire::websocket::{Ended, Masking, Request, Stream};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

const INFO: &str = "INFO {\"server_id\":\"H\",\"server_name\":\"H\",\"version\":\"2.15.0\",\"proto\":3,\"headers\":true,\
    \"max_payload\":1048576,\"client_id\":5,\"nonce\":\"x\",\"info_on_connect\":true}\r\n";

/// A hub, and where it takes WebSocket.
fn hub(websocket: &str, leafnodes: &str) -> (Server, SocketAddr) {
    let hub = start(options(&format!(
        "server_name: hub, websocket {{ listen: 'localhost:-1', no_tls: true, {websocket} }}
         leafnodes {{ listen: 'localhost:-1', {leafnodes} }}"
    )));
    let address = hub.websocket_address().expect("it listens");
    (hub, address)
}

fn spoke_config(to: SocketAddr, remote: &str) -> String {
    // Patient: the machine may be busy. Where a time matters the remote says so itself.
    let patient = if remote.contains("first_info_timeout") { "" } else { "first_info_timeout: '60s'," };
    format!(
        "server_name: spoke, leafnodes {{ reconnect: '10ms', remotes: [ {{ url: 'ws://{to}', {patient} {remote} }} ] }}"
    )
}

fn spoke(to: SocketAddr, remote: &str) -> Server {
    start(options(&spoke_config(to, remote)))
}

fn wait_for(server: &Server, connections: usize) {
    wait_until("connections", || server.node().delivery.leafs.len() == connections);
}

/// Waits until the other end of the only connection has asked for this.
fn wait_for_interest(server: &Server, filter: &[u8]) {
    wait_until("interest", || {
        let open = server.node().delivery.leafs.open();
        open.first().is_some_and(|leaf| leaf.interest.lock().has_filter(filter))
    });
}

/// A listener that is a script, and where it is.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("localhost:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// The head of an HTTP message.
fn read_head(socket: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while head_end(&head, 0).is_none() {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    head
}

/// All that comes until the other end closes. A reset is an end, too.
fn rest(mut socket: TcpStream) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = socket.read_to_end(&mut out);
    out
}

/// Messages pass whole and in order, both ways and at once, by all that two servers can agree on.
#[test]
fn servers_speak_by_each_kind_of_frames() {
    const SIZES: [usize; 9] = [0, 1, 60, 125, 126, 5000, 65_535, 65_536, 400_000];
    for (at_hub, at_leaf, remote) in [
        ("", "compression: off", ""),
        ("", "compression: off", "ws_no_masking: true"),
        ("", "compression: s2_fast", "compression: s2_best"),
        ("", "compression: s2_fast", "compression: s2_fast, ws_no_masking: true"),
        ("compression: true", "compression: s2_fast", "ws_compression: true"),
        ("compression: true", "", "ws_compression: true, ws_no_masking: true"),
        ("", "", "ws_compression: true"),
    ] {
        let (hub, address) = hub(at_hub, at_leaf);
        let spoke = spoke(address, remote);
        wait_for(&hub, 1);
        wait_for(&spoke, 1);
        let (mut here, mut there) = (Client::connect(&hub, ""), Client::connect(&spoke, ""));
        here.send("SUB up 1\r\n");
        there.send("SUB down 1\r\n");
        here.sync();
        there.sync();
        wait_for_interest(&spoke, b"up");
        wait_for_interest(&hub, b"down");
        let payload =
            |size: usize| -> String { (0..size).map(|i| char::from(b'a' + (i % 23) as u8)).collect() };
        for size in SIZES {
            there.send(&format!("PUB up {size}\r\n{}\r\n", payload(size)));
            here.send(&format!("PUB down {size}\r\n{}\r\n", payload(size)));
        }
        for size in SIZES {
            assert_eq!((here.line(), here.line()), (format!("MSG up 1 {size}"), payload(size)), "{remote}");
            assert_eq!(
                (there.line(), there.line()),
                (format!("MSG down 1 {size}"), payload(size)),
                "{remote}"
            );
        }
        spoke.stop();
        wait_for(&hub, 0);
        hub.stop();
    }
}

/// What a hub answers to the head of a request.
type Answer = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// What is no upgrade: the hub is left, without a word more, and dialled again.
#[test]
fn a_hub_that_does_not_upgrade_is_left_and_dialled_again() {
    let granted = |head: &[u8]| upgrade::decide(head, &Terms::default()).expect("a request").response;
    let changed = |from: &'static str, to: &'static str| {
        move |head: &[u8]| String::from_utf8(granted(head)).expect("text").replace(from, to).into_bytes()
    };
    let fixed = |answer: &'static str| move |_: &[u8]| answer.as_bytes().to_vec();
    let answers: Vec<Answer> = vec![
        Box::new(fixed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")),
        Box::new(fixed("HTTP/1.1 302 Found\r\nLocation: ws://localhost:1/\r\n\r\n")),
        Box::new(fixed("HTTP/1.1 404 Not Found\r\n\r\n")),
        Box::new(fixed(INFO)),
        Box::new(fixed("\x16\x03\x01")),
        Box::new(fixed("")),
        Box::new(changed("Accept: ", "Accept: A")),
        Box::new(changed("Upgrade: websocket", "Upgrade: h2c")),
        Box::new(changed("HTTP/1.1", "HTTP/1.0")),
        Box::new(changed("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")),
    ];
    let (listener, address) = listener();
    let spoke = spoke(address, "");
    for (number, answer) in answers.iter().enumerate() {
        let mut socket = accept(&listener);
        let head = read_head(&mut socket);
        assert!(head.starts_with(b"GET /leafnode HTTP/1.1\r\n"), "{number}");
        socket.write_all(&answer(&head)).expect("sent");
        if answer(&head).is_empty() {
            drop(socket);
        } else {
            assert_eq!(rest(socket), b"", "{number}");
        }
    }
    assert_eq!(spoke.node().delivery.leafs.len(), 0);
    spoke.stop();
}

/// An answer without an end is not kept, and one that does not come is not waited for. CVE-2026-33219 at the end that dials.
#[test]
fn an_answer_without_an_end_is_refused_when_it_is_too_large() {
    let (listener, address) = listener();
    let spoke = spoke(address, "");
    let mut socket = accept(&listener);
    read_head(&mut socket);
    socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\nA: ").expect("sent");
    // No more than was asked for need be sent: the end comes by itself.
    socket.write_all(&vec![b'a'; ANSWER_BYTES_MAX]).expect("sent");
    assert_eq!(rest(socket), b"");
    spoke.stop();
    // Silent before the upgrade, and behind it.
    let (listener, address) = self::listener();
    let spoke = self::spoke(address, "first_info_timeout: '50ms'");
    for grants in [false, true, false, true] {
        let mut socket = accept(&listener);
        let head = read_head(&mut socket);
        if grants {
            let answer = upgrade::decide(&head, &Terms::default()).expect("a request").response;
            // It may have gone already.
            let _ = socket.write_all(&answer);
        }
        rest(socket);
    }
    spoke.stop();
}

/// Frames that no hub may send end the connection with the reason in a masked frame. CVE-2026-27889 and CVE-2026-27571 at the end that dials.
#[test]
fn frames_of_a_hostile_hub_end_the_connection_and_nothing_else() {
    let mut bomb = Vec::new();
    let zeros = vec![0; 1 << 20];
    assert!(deflate(std::iter::repeat_n(&zeros[..], 64), &mut bomb));
    let mut bomb_frame = Vec::new();
    frame::head(&mut bomb_frame, Opcode::Binary, true, bomb.len(), None);
    bomb_frame.extend(bomb);
    let mut masked = Vec::new();
    frame::head(&mut masked, Opcode::Binary, false, INFO.len(), Some([0; 4]));
    masked.extend(INFO.as_bytes());
    let cases: [(&[u8], &str, u16); 7] = [
        (&masked, "unexpected mask bit", 1002),
        (b"\x83\x01x", "unknown opcode 3", 1002),
        (b"\x80\x01x", "invalid continuation frame", 1002),
        (b"\x92\x01x", "reserved bits set", 1002),
        (b"\x89\x7E\xFF\xFF", "control frame length bigger than maximum allowed of 125 bytes", 1002),
        (b"\x82\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFxx", "invalid frame length", 1002),
        (&bomb_frame, "", 1002),
    ];
    let (listener, address) = listener();
    let spoke = spoke(address, "ws_compression: true");
    for (frames, why, status) in cases {
        let mut socket = accept(&listener);
        let head = read_head(&mut socket);
        let terms = Terms { compression: true, ..Terms::default() };
        socket.write_all(&upgrade::decide(&head, &terms).expect("a request").response).expect("sent");
        // The end may come before all of it is sent.
        let _ = socket.write_all(frames);
        let mut sent = rest(socket);
        let mut stream = Stream::new(Agreed { masked: true, deflate: true }, Masking::Off, 1 << 20);
        let mut inflated = Vec::new();
        let decoded = stream.decode(&mut sent, &mut inflated);
        if why.is_empty() {
            // Of zeros the first kilobytes are no INFO already.
            continue;
        }
        assert_eq!(decoded.ended, Some(Ended::Closed), "{why}");
        let mut said = Vec::new();
        frame::control(&mut said, Opcode::Close, &[&status.to_be_bytes()[..], why.as_bytes()].concat(), None);
        assert_eq!(stream.take_farewell(None), Some(said), "{why}");
    }
    assert_eq!(spoke.node().delivery.leafs.len(), 0);
    // It is still there, and would take a good one.
    let mut socket = accept(&listener);
    let head = read_head(&mut socket);
    let mut answer = upgrade::decide(&head, &Terms::default()).expect("a request").response;
    frame::head(&mut answer, Opcode::Binary, false, INFO.len(), None);
    answer.extend(INFO.as_bytes());
    socket.write_all(&answer).expect("sent");
    let mut first = [0; 2];
    socket.read_exact(&mut first).expect("CONNECT");
    assert_eq!(first, [0x82, 0xFE], "a masked frame");
    spoke.stop();
}

/// A spoke that is a script, by WebSocket.
struct Script {
    socket: TcpStream,
    stream: Stream,
}

impl Script {
    /// Its INFO is read.
    fn connect(to: SocketAddr, deflate: bool) -> Self {
        let mut socket = TcpStream::connect(to).expect("connected").bounded();
        let request = Request::leaf_node(&to.to_string(), "", [7; 16]).offer_deflate(deflate);
        socket.write_all(&request.encode()).expect("sent");
        let head = read_head(&mut socket);
        let answer = request.answered(&head).expect("an upgrade");
        let stream = Stream::new(answer.agreed, Masking::Keys(|| [1, 2, 3, 4]), usize::MAX - 1);
        let mut script = Self { socket, stream };
        assert!(script.read_until("\r\n").starts_with("INFO {"));
        script
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut out = Vec::new();
        self.stream.frame(std::iter::once(bytes), &mut out);
        // It may be closed before all is sent.
        let _ = self.socket.write_all(&out);
    }

    fn read(&mut self) -> Option<String> {
        let mut buffer = [0; 4096];
        let got = self.socket.read(&mut buffer).unwrap_or_default();
        let (mut out, mut rest) = (Vec::new(), &mut buffer[..got]);
        while !rest.is_empty() {
            let mut inflated = Vec::new();
            let decoded = self.stream.decode(rest, &mut inflated);
            out.extend_from_slice(&rest[..decoded.plain]);
            out.append(&mut inflated);
            rest = &mut rest[decoded.used..];
        }
        (got > 0).then(|| String::from_utf8_lossy(&out).into_owned())
    }

    fn read_until(&mut self, end: &str) -> String {
        let mut all = String::new();
        while !all.ends_with(end) {
            all += &self.read().expect("more");
        }
        all
    }

    /// All that comes before the connection ends.
    fn rest(mut self) -> String {
        std::iter::from_fn(|| self.read()).collect()
    }
}

/// Before CONNECT nothing else counts, whatever carries it: in any order, twice, and with what would crash a parser that is in a hurry.
/// CVE-2026-29785, -33218 and GHSA-3g5q-cfh2-cq67 by WebSocket.
#[test]
fn strangers_by_websocket_may_say_nothing_but_connect() {
    let (hub, address) = hub("compression: true", "authorization { user: u, password: p }");
    let operations = [
        "LS+ foo\r\n",
        "LMSG foo 2\r\nhi\r\n",
        "PING\r\n",
        "-ERR 'x'\r\n",
        "SUB foo 1\r\n",
        "INFO {}\r\nLS+ foo\r\n",
        "INFO {}\r\nCONNECT {\"user\":\"u\",\"pass\":\"p\"}\r\n",
    ];
    for (first, second) in operations.iter().flat_map(|first| operations.map(|second| (*first, second))) {
        let mut script = Script::connect(address, second.len() % 2 == 0);
        script.send(format!("{first}{second}").as_bytes());
        assert_eq!(script.rest(), "-ERR 'Authorization Violation'\r\n", "{first:?} {second:?}");
    }
    // Behind an agreement on compression only S2 counts: a word in plain, in the frame of INFO or the next, is no word.
    for second in operations {
        let info = "INFO {\"compression\":\"s2_fast\"}\r\n";
        let mut script = Script::connect(address, false);
        script.send(format!("{info}{second}").as_bytes());
        let answer = script.rest();
        assert!(!answer.contains("connect_info") && !answer.contains("PONG"), "{second:?}: {answer}");
        let mut script = Script::connect(address, false);
        script.send(info.as_bytes());
        script.send(second.as_bytes());
        let answer = script.rest();
        assert!(!answer.contains("connect_info") && !answer.contains("PONG"), "{second:?}: {answer}");
    }
    let mut known = Script::connect(address, true);
    known.send(b"CONNECT {\"user\":\"u\",\"pass\":\"p\",\"name\":\"N\"}\r\n");
    known.send(b"PING\r\n");
    assert!(known.read_until("PONG\r\n").contains("\"connect_info\":true"));
    wait_for(&hub, 1);
    hub.stop();
}

/// Official servers put all that waits for a spoke or a hub into one message, as large as that is when it is inflated: it is taken a piece at
/// a time. (Of two official servers the one that receives ends the connection.)
#[test]
fn one_message_may_hold_all_that_has_waited() {
    const COUNT: usize = 6;
    let (hub, address) = hub("compression: true", "");
    let mut client = Client::connect(&hub, "");
    client.send("SUB up 1\r\n");
    client.sync();
    let mut script = Script::connect(address, true);
    script.send(b"CONNECT {\"name\":\"N\",\"headers\":true}\r\n");
    let payload = "x".repeat(900_000);
    let message = format!("LMSG up {}\r\n{payload}\r\n", payload.len());
    let mut compressed = Vec::new();
    assert!(deflate(std::iter::repeat_n(message.as_bytes(), COUNT), &mut compressed));
    frame::mask_payload(&mut compressed, Some([9, 8, 7, 6]));
    let mut sent = Vec::new();
    frame::head(&mut sent, Opcode::Binary, true, compressed.len(), Some([9, 8, 7, 6]));
    sent.extend(compressed);
    script.socket.write_all(&sent).expect("sent");
    for _ in 0..COUNT {
        assert_eq!((client.line(), client.line() == payload), (format!("MSG up 1 {}", payload.len()), true));
    }
    hub.stop();
}

/// TLS before the upgrade, and in the tunnel of a proxy, by the authority of the remote's block; where that is another, nothing is said.
#[test]
fn by_tls_it_is_the_same_and_in_a_tunnel_too() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().display();
    for name in ["own", "other"] {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
        std::fs::write(folder.path().join(format!("{name}.pem")), made.cert.pem()).expect("written");
        std::fs::write(folder.path().join(format!("{name}.key")), made.signing_key.serialize_pem())
            .expect("written");
    }
    for (is_tunnelled, compression) in
        [(false, ""), (true, ""), (true, "ws_compression: true, compression: off,")]
    {
        let hub = start(options(&format!(
            "websocket {{ listen: 'localhost:-1', compression: true, tls {{ cert_file: '{path}/own.pem', key_file: '{path}/own.key' }} }}
             leafnodes {{ listen: 'localhost:-1' }}"
        )));
        let port = hub.websocket_address().expect("it listens").port();
        let (proxy, asked) = if is_tunnelled { proxy(1) } else { proxy(0) };
        let through = if is_tunnelled {
            format!("proxy {{ url: 'http://{proxy}', timeout: '60s' }},")
        } else {
            String::new()
        };
        let remote = |ca: &str, through: &str| {
            options(&format!(
                "leafnodes {{ reconnect: '10ms', remotes: [ {{ url: 'wss://localhost:{port}', first_info_timeout: '60s',
                 {compression} {through} tls {{ ca_file: '{path}/{ca}.pem', timeout: 60 }} }} ] }}"
            ))
        };
        let spoke = start(remote("own", &through));
        wait_for(&spoke, 1);
        let secured = spoke
            .node()
            .delivery
            .leafs
            .open()
            .first()
            .is_some_and(|leaf| leaf.session.profile().secured.is_some());
        assert!(secured);
        let (mut here, mut there) = (Client::connect(&hub, ""), Client::connect(&spoke, ""));
        here.send("SUB up 1\r\n");
        here.sync();
        wait_for_interest(&spoke, b"up");
        let payload = "y".repeat(200_000);
        there.send(&format!("PUB up {}\r\n{payload}\r\n", payload.len()));
        assert_eq!((here.line(), here.line()), (format!("MSG up 1 {}", payload.len()), payload));
        spoke.stop();
        wait_for(&hub, 0);
        let asked = asked.join().expect("it ended");
        assert!(asked.iter().all(|head| head.starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n"))));
        // Who is signed by another authority is left before anything is said to it, and tried again.
        let (listener, address) = listener();
        let stranger = start(options(&format!(
            "leafnodes {{ reconnect: '10ms', remotes: [ {{ url: 'wss://localhost:{}', {compression}
             tls {{ ca_file: '{path}/other.pem', timeout: 60 }} }} ] }}",
            address.port()
        )));
        for _ in 0..2 {
            relay(accept(&listener), TcpStream::connect(("localhost", port)).expect("connected").bounded());
        }
        assert_eq!(hub.node().delivery.leafs.len(), 0);
        stranger.stop();
        hub.stop();
    }
}

/// What the listener for WebSocket asks of certificates holds for leaf nodes that come by it, too.
#[test]
fn certificates_of_leaf_nodes_are_asked_for_by_the_listener_that_they_come_by() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().display();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().expect("key");
    let authority = params.self_signed(&authority_key).expect("certificate");
    let issuer = rcgen::Issuer::from_params(&params, &authority_key);
    let key = rcgen::KeyPair::generate().expect("key");
    let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
    let own = own.signed_by(&key, &issuer).expect("signed");
    for (name, text) in
        [("ca.pem", authority.pem()), ("own.pem", own.pem()), ("own.key", key.serialize_pem())]
    {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let shown = format!("cert_file: '{path}/own.pem', key_file: '{path}/own.key',");
    let none_is_pinned = format!("pinned_certs: ['{}'],", "0".repeat(64));
    for (pins, shows, is_let_in) in [("", &*shown, true), ("", "", false), (&*none_is_pinned, &*shown, false)]
    {
        let hub = start(options(&format!(
            "websocket {{ listen: 'localhost:-1', tls {{ {shown} ca_file: '{path}/ca.pem', verify: true, {pins} }} }}
             leafnodes {{ listen: 'localhost:-1' }}"
        )));
        let port = hub.websocket_address().expect("it listens").port();
        let (listener, between) = listener();
        let spoke = start(options(&format!(
            "leafnodes {{ reconnect: '10ms', remotes: [ {{ url: 'wss://localhost:{}', first_info_timeout: '60s',
             tls {{ {shows} ca_file: '{path}/ca.pem', timeout: 60 }} }} ] }}",
            between.port()
        )));
        let far = || TcpStream::connect(("localhost", port)).expect("connected").bounded();
        if is_let_in {
            let near = accept(&listener);
            near.set_read_timeout(None).expect("set");
            let far = far();
            let carrier = thread::spawn(move || relay(near, far));
            wait_for(&hub, 1);
            spoke.stop();
            carrier.join().expect("carried");
        } else {
            for _ in 0..2 {
                relay(accept(&listener), far());
            }
            assert_eq!(hub.node().delivery.leafs.len(), 0);
            spoke.stop();
        }
        hub.stop();
    }
}

/// Carries bytes both ways until both ends are closed.
fn relay(near: TcpStream, far: TcpStream) {
    let pump = |mut from: TcpStream, mut to: TcpStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    };
    let (near_too, far_too) = (near.try_clone().expect("cloned"), far.try_clone().expect("cloned"));
    let back = thread::spawn(move || pump(far_too, near_too));
    pump(near, far);
    back.join().expect("pumped");
}

/// A proxy that opens so many tunnels, and how each was asked for.
fn proxy(tunnels: usize) -> (SocketAddr, thread::JoinHandle<Vec<String>>) {
    let (listener, address) = listener();
    let run = move || {
        let mut asked = Vec::new();
        for _ in 0..tunnels {
            let mut near = accept(&listener);
            let head = String::from_utf8(read_head(&mut near)).expect("text");
            let target = head.split(' ').nth(1).expect("a target").to_owned();
            asked.push(head);
            let far = TcpStream::connect(target).expect("the hub").bounded();
            near.set_read_timeout(None).expect("set");
            near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").expect("sent");
            relay(near, far);
        }
        asked
    };
    (address, thread::spawn(run))
}

#[test]
fn a_tunnel_through_a_proxy_leads_to_the_hub() {
    for (user, header) in [
        ("", None),
        ("username: bob, password: sesame", Some("Proxy-Authorization: Basic Ym9iOnNlc2FtZQ==\r\n")),
    ] {
        let (hub, address) = hub("", "");
        let (proxy, asked) = proxy(1);
        let spoke = spoke(address, &format!("proxy {{ url: 'http://{proxy}', timeout: '60s', {user} }}"));
        wait_for(&hub, 1);
        wait_for(&spoke, 1);
        let (mut here, mut there) = (Client::connect(&hub, ""), Client::connect(&spoke, ""));
        here.send("SUB up 1\r\n");
        here.sync();
        wait_for_interest(&spoke, b"up");
        there.send("PUB up 2\r\nhi\r\n");
        assert_eq!((here.line(), here.line()), ("MSG up 1 2".to_owned(), "hi".to_owned()));
        let seen = spoke.node().delivery.leafs.open().first().and_then(|leaf| leaf.session.remote());
        assert_eq!(seen, Some(proxy), "the other end of the socket is the proxy");
        spoke.stop();
        hub.stop();
        let asked = asked.join().expect("it ended");
        let expected =
            format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n{}\r\n", header.unwrap_or_default());
        assert_eq!(asked, [expected]);
    }
}

/// A proxy that opens no tunnel: nothing is said to it but the request, it is asked again, and the log has the reason and no password.
#[test]
fn a_proxy_that_opens_no_tunnel_is_asked_again() {
    let folder = tempfile::tempdir().expect("folder");
    let log = folder.path().join("log");
    let (listener, proxy) = listener();
    let config = spoke_config(
        "127.0.0.1:1".parse().expect("an address"),
        &format!("proxy {{ url: 'http://{proxy}', timeout: '60s', username: bob, password: sesame }}"),
    );
    let spoke = options(&format!("{config}\nlog_file: {log:?}, debug: true, trace: true"));
    let spoke = Server::builder().options(spoke).in_process_only().start().expect("started");
    let endless = [b"HTTP/1.1 200 OK\r\nA: ".as_slice(), &vec![b'a'; ANSWER_BYTES_MAX]].concat();
    let answers: [(&[u8], &str); 7] = [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "proxy CONNECT failed: 407 Proxy Authentication Required",
        ),
        (b"HTTP/1.1 201 Created\r\n\r\n", "proxy CONNECT failed: 201 Created"),
        (b"FROB\r\n\r\n", "failed to read proxy response: malformed HTTP response"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 ", "the proxy sends data before the tunnel is used"),
        (&endless, "failed to read proxy response: the answer has more than 16384 bytes"),
        (b"", "failed to read proxy response: unexpected EOF"),
        (b"HTTP/1.1 502 Bad\x07Gateway\r\n\r\n", "failed to read proxy response: malformed HTTP response"),
    ];
    for (answer, _) in answers {
        let mut socket = accept(&listener);
        assert!(read_head(&mut socket).starts_with(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n"));
        socket.write_all(answer).expect("sent");
        if answer.is_empty() {
            socket.shutdown(std::net::Shutdown::Write).expect("shut");
        }
        assert_eq!(rest(socket), b"");
    }
    let _again = accept(&listener);
    spoke.stop();
    let log = std::fs::read_to_string(&log).expect("log");
    for (_, why) in answers {
        assert!(log.contains(why), "{why}: {log}");
    }
    for secret in ["sesame", "Ym9iOnNlc2FtZQ"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_proxy_that_is_silent_has_its_time() {
    let (listener, proxy) = listener();
    let hub = "127.0.0.1:1".parse().expect("an address");
    let spoke = spoke(hub, &format!("proxy {{ url: 'http://{proxy}', timeout: '50ms' }}"));
    for _ in 0..2 {
        let mut socket = accept(&listener);
        read_head(&mut socket);
        assert_eq!(rest(socket), b"");
    }
    spoke.stop();
}
