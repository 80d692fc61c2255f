//! Peers that mean no good: what they can hold is bounded in memory and time, and nobody else is kept waiting.

#[path = "hostile_peers/mqtt.rs"]
mod mqtt;
#[path = "hostile_peers/websocket.rs"]
mod websocket;

#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use waiting::{Bounded, NextLine, PATIENCE, tries, wait_until};

/// A server in a process of its own.
struct Server {
    process: Child,
    address: SocketAddr,
    /// Where it listens besides, by schemes.
    others: HashMap<&'static str, SocketAddr>,
}

impl Server {
    /// Starts it with this configuration, and at most so many file descriptors.
    fn start(folder: &Path, configuration: &str, files_max: Option<u32>) -> Self {
        let file = folder.join("server.conf");
        fs::write(&file, format!("listen: '127.0.0.1:-1'\n{configuration}")).expect("written");
        let mut command = Command::new("sh");
        let limit = files_max.map(|max| format!("ulimit -n {max}; ")).unwrap_or_default();
        command.arg("-c").arg(format!("{limit}exec \"$0\" -c \"$1\""));
        command.arg(env!("CARGO_BIN_EXE_dialtone")).arg(file);
        let mut process = command.stderr(Stdio::piped()).spawn().expect("the server starts");
        let mut lines = BufReader::new(process.stderr.take().expect("stderr")).lines();
        let mut others = HashMap::new();
        let address = lines.find_map(|line| {
            let line = line.ok()?;
            let behind = |said: &str| line.split_once(said).map(|(_, address)| address.to_owned());
            for scheme in ["ws", "mqtt", "udp"] {
                let at = behind(&format!("clients on {scheme}://"));
                others.extend(at.map(|address| (scheme, address.parse().expect("an address"))));
            }
            behind("Listening for client connections on ")
        });
        // Whatever else it says is of no interest, but must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address: address.expect("it listens").parse().expect("an address"), others }
    }

    fn connect_websocket(&self) -> Peer {
        Self::connect_to(self.others["ws"])
    }

    fn connect(&self) -> Peer {
        Self::connect_to(self.address)
    }

    fn connect_to(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect(address).expect("connected").bounded();
        stream.set_nodelay(true).expect("no delay");
        Peer(BufReader::with_capacity(1024, stream))
    }

    /// A client that has been let in.
    fn client(&self, connect: &str) -> Peer {
        let mut peer = self.connect();
        assert!(peer.line().starts_with("INFO "));
        peer.send(format!("CONNECT {connect}\r\n").as_bytes());
        peer.ping();
        peer
    }

    /// Bytes of memory that it has.
    fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
    }

    /// Processor time that it has used, in the kernel's ticks.
    fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        fields[11].parse::<u64>().expect("user") + fields[12].parse::<u64>().expect("system")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which the test has noticed then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How many connections a test may hold that wants as many as there may be; as long as it has the guard, no other does.
/// The tests of this file share their process's descriptors: half are left for those that hold few.
fn many() -> (MutexGuard<'static, ()>, usize) {
    static ALONE: Mutex<()> = Mutex::new(());
    // One that failed has dropped its connections.
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1024);
    (alone, (files as usize / 2).min(10_000))
}

struct Peer(BufReader<TcpStream>);

impl Peer {
    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("sent");
    }

    /// Sends what may not be taken any more.
    fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.0.get_mut().write_all(bytes);
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        assert!(self.0.read_until(b'\n', &mut line).expect("a line") > 0, "the connection was closed");
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// PING and its PONG; what else comes is passed over.
    fn ping(&mut self) {
        self.send(b"PING\r\n");
        wait_until("PONG", || self.line() == "PONG");
    }

    /// All that comes until the server closes.
    fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
            Err(e) => panic!("not closed: {e}"),
        }
        String::from_utf8_lossy(&rest).into_owned()
    }
}

#[test]
fn without_file_descriptors_accepting_rests_and_goes_on_later() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), "", Some(64));
    let mut first = server.client(r#"{"verbose":false}"#);
    first.send(b"SUB x 1\r\n");
    first.ping();
    // The kernel takes all of these; the server has no descriptors for some.
    let mut served: Vec<Peer> = (0..100).map(|_| server.connect()).collect();
    let mut waiting = served.split_off(30);
    for peer in &mut served {
        assert!(peer.line().starts_with("INFO "));
    }
    let last = waiting.last_mut().expect("some are left");
    last.0.get_ref().set_read_timeout(Some(Duration::from_millis(300))).expect("timeout");
    let before = server.ticks();
    let waits = last.0.fill_buf().map(<[u8]>::len);
    assert!(waits.is_err(), "there were descriptors for all: {waits:?}");
    let used = server.ticks() - before;
    assert!(used < 15, "it does not rest: {used} ticks in 300 ms");
    last.0.get_ref().set_read_timeout(Some(PATIENCE)).expect("timeout");
    // Who is there is served as ever.
    for _ in 0..100 {
        first.send(b"PUB x 2\r\nok\r\n");
        assert_eq!((first.line(), first.line()), ("MSG x 1 2".to_owned(), "ok".to_owned()));
    }
    // Descriptors become free, and those who waited get them.
    drop(served);
    let mut waiting_longer = waiting.split_off(45);
    for peer in &mut waiting {
        assert!(peer.line().starts_with("INFO "));
    }
    drop(waiting);
    for peer in &mut waiting_longer {
        assert!(peer.line().starts_with("INFO "));
        peer.send(b"CONNECT {\"verbose\":false}\r\n");
        peer.ping();
    }
    first.ping();
}

#[test]
fn connections_that_have_ended_hold_no_file_descriptors() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), "", Some(64));
    for _ in 0..300 {
        assert!(server.connect().line().starts_with("INFO "));
    }
}

/// CVE-2026-33219, for plain connections.
#[test]
fn peers_that_do_not_say_who_they_are_hold_little_and_not_for_long() {
    /// Bytes of memory that one of them may cost: what it sent, and as much again for the connection.
    const PEER_BYTES_MAX: usize = 8 * 1024;
    const SENT_BYTES: usize = 4000;
    let folder = tempfile::tempdir().expect("folder");
    let configuration = "authorization { token: t, timeout: 5 }, ping_interval: '1h'";
    let server = Server::start(folder.path(), configuration, None);
    let mut client = server.client(r#"{"verbose":false,"auth_token":"t"}"#);
    let (_alone, count) = many();
    let before = server.resident();
    let begun = Instant::now();
    let mut peers: Vec<Peer> = (0..count)
        .map(|number| {
            let mut peer = server.connect();
            if number % 2 == 0 {
                peer.send(&[b"CONNECT {\"user\":\"", [b'a'; SENT_BYTES].as_slice()].concat());
            }
            peer
        })
        .collect();
    for peer in &mut peers {
        assert!(peer.line().starts_with("INFO "));
    }
    client.ping();
    let grown = server.resident().saturating_sub(before);
    assert!(grown / count <= PEER_BYTES_MAX, "{count} peers hold {} bytes each", grown / count);
    for peer in &mut peers {
        assert!(peer.rest().ends_with("-ERR 'Authentication Timeout'\r\n"));
    }
    assert!(begun.elapsed() >= Duration::from_secs(5), "nobody is closed before the time");
    client.ping();
}

#[test]
fn tls_handshakes_that_stall_are_closed_and_hinder_nobody() {
    let folder = tempfile::tempdir().expect("folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).expect("written");
    fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).expect("written");
    let path = folder.path().display();
    let configuration =
        format!("tls {{ cert_file: '{path}/cert.pem', key_file: '{path}/key.pem', timeout: 1.5 }}");
    let server = Server::start(folder.path(), &configuration, None);
    let begun = Instant::now();
    let mut stalled: Vec<Peer> = (0..200)
        .map(|number| {
            let mut peer = server.connect();
            assert!(peer.line().starts_with("INFO "));
            match number % 4 {
                0 => {}
                // The head of a record, and no record.
                1 => peer.send(&[0x16, 3, 1, 2, 0]),
                // Half a record.
                2 => peer.send(&[[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3].as_slice(), &[7; 200]].concat()),
                _ => peer.send(&[0x16]),
            }
            peer
        })
        .collect();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("root");
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
    let config = Arc::new(config);
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut peer = server.connect();
        assert!(peer.line().starts_with("INFO "));
        let name = ServerName::try_from("localhost").expect("name");
        let tls = rustls::ClientConnection::new(config.clone(), name).expect("client");
        let mut client = BufReader::new(rustls::StreamOwned::new(tls, peer.0.into_inner()));
        client.get_mut().write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("sent");
        clients.push(client);
    }
    for client in &mut clients {
        tries("PONG").find(|()| client.next_line() == "PONG\r\n");
    }
    for peer in &mut stalled {
        assert_eq!(peer.rest(), "");
    }
    assert!(begun.elapsed() >= Duration::from_millis(1500), "nobody is closed before the time");
    for client in &mut clients {
        client.get_mut().write_all(b"PING\r\n").expect("sent");
        assert_eq!(client.next_line(), "PONG\r\n");
    }
}
