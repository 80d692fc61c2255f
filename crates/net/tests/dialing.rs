//! Connecting to others, TLS as the end that connects, and what other threads hand to loops. The loops are real, so are the sockets; nothing
//! waits for a time but for what a test makes time out.

#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use dialtone_net::{
    Accepted, Broken, ClientTls, Closing, Dial, DialError, Handler, HandshakeFirst, Link, Listener, Loops,
    Origin, Received, Secured, Settings, Threads, Transport, address,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use std::io::{IoSlice, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use waiting::{Bounded, accept};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens to a connection, or to a dial.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Opened(Origin),
    Secured(Origin, usize),
    Received(Origin, String),
    Broken(Origin, String),
    Undialed(u64, Vec<SocketAddr>),
    Posted(usize, u32),
}

/// A connection, and how it came to be.
struct Connection {
    link: Arc<Link>,
    origin: Origin,
    begins_tls: bool,
}

/// Greets with its origin's name, and reports all that happens.
struct Talker {
    number: usize,
    seen: Sender<Seen>,
    server: Option<Arc<ServerConfig>>,
    client: Option<ClientTls>,
}

/// When the end that dials begins TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    /// The loop does, with the connection.
    Dialed,
    /// The handler does, when it sees the connection.
    Opened,
}

impl Talker {
    fn note(&self, seen: Seen) {
        // Once a test is over nobody listens.
        let _ = self.seen.send(seen);
    }
}

impl Handler for Talker {
    type Connection = Connection;
    type Post = u32;

    fn begin(&mut self, _: Instant) {}

    fn open(&mut self, accepted: Accepted) -> Option<(Connection, Transport)> {
        let Accepted { link, origin, begins_tls, .. } = accepted;
        self.note(Seen::Opened(origin));
        let transport = match (&self.server, &self.client, origin) {
            (Some(config), _, Origin::Listener(_)) => Transport::Tls {
                config: config.clone(),
                first: HandshakeFirst::Yes,
                timeout: PATIENCE,
                plain_allowed: false,
            },
            (_, Some(client), Origin::Dialed(_)) if !begins_tls => {
                link.begin_client_tls(client).expect("a configuration");
                Transport::Plain
            }
            _ => Transport::Plain,
        };
        Some((Connection { link, origin, begins_tls }, transport))
    }

    fn undialed(&mut self, number: u64, why: DialError) {
        self.note(Seen::Undialed(number, why.tried.into_iter().map(|(address, _)| address).collect()));
    }

    fn posted(&mut self, post: u32) {
        self.note(Seen::Posted(self.number, post));
    }

    fn greet(&mut self, connection: &mut Connection) {
        let text = match connection.origin {
            Origin::Listener(_) => "from the listener",
            // What TLS takes before it is up would be lost.
            Origin::Dialed(_) if self.client.is_some() && !connection.begins_tls => return,
            Origin::Dialed(_) => "from the dialer",
        };
        connection.link.write(&[IoSlice::new(text.as_bytes())]).expect("written");
    }

    fn proxied(&mut self, _: &mut Connection, _: Option<SocketAddr>) {}

    fn secured(&mut self, connection: &mut Connection, secured: Secured) {
        self.note(Seen::Secured(connection.origin, secured.certificates.len()));
        if matches!(connection.origin, Origin::Dialed(_)) && !connection.begins_tls {
            connection.link.write(&[IoSlice::new(b"from the dialer")]).expect("written");
        }
    }

    fn receive(&mut self, connection: &mut Connection, input: &[u8]) -> Received {
        self.note(Seen::Received(connection.origin, String::from_utf8_lossy(input).into_owned()));
        Received { used: input.len(), ..Received::default() }
    }

    fn is_authenticated(&self, _: &Connection) -> bool {
        true
    }

    fn deadline(&self, _: &Connection) -> Option<Instant> {
        None
    }

    fn expire(&mut self, _: &mut Connection) {}

    fn flush(&mut self, _: &mut Connection) -> bool {
        false
    }

    fn woken(&mut self, _: &mut Connection) -> bool {
        false
    }

    fn closing(&self, _: &Connection) -> Option<Closing> {
        None
    }

    fn broken(&mut self, connection: &mut Connection, how: Broken) {
        let how = match how {
            Broken::Tls(why) => format!("TLS: {why}"),
            Broken::Eof => "the end".to_owned(),
            other => format!("{other:?}"),
        };
        self.note(Seen::Broken(connection.origin, how));
    }

    fn closed(&mut self, _: Connection) {}

    fn finish(&mut self) -> bool {
        false
    }

    fn idle(&mut self) {}
}

struct World {
    loops: Loops,
    seen: Receiver<Seen>,
    /// TLS of dials.
    tls: Option<ClientTls>,
}

impl World {
    fn new(server: Option<Arc<ServerConfig>>, client: Option<ClientTls>) -> Self {
        let (sender, seen) = channel();
        let handler = move |number| Talker {
            number,
            seen: sender.clone(),
            server: server.clone(),
            client: client.clone(),
        };
        let loops = Loops::start(&Threads::default(), Settings { loops: 2 }, handler).expect("loops");
        Self { loops, seen, tls: None }
    }

    /// One whose dials have TLS.
    fn dialing(server: Option<Arc<ServerConfig>>, client: ClientTls, begins: Begins) -> Self {
        let tls = (begins == Begins::Dialed).then(|| client.clone());
        Self { tls, ..Self::new(server, Some(client)) }
    }

    fn listen(&self) -> SocketAddr {
        let (socket, endpoint) = address::listen("127.0.0.1", 0).expect("a free port");
        self.loops.listen(Listener::tcp(3, socket));
        endpoint.address()
    }

    fn dial(&self, number: u64, addresses: &[SocketAddr]) {
        let tls = self.tls.clone();
        self.loops.dial(Dial { number, addresses: addresses.into(), timeout: PATIENCE, tls });
    }

    fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("something happens")
    }

    /// So many events, in an order that does not depend on which loop was faster.
    fn some(&self, number: usize) -> Vec<String> {
        let mut all: Vec<String> = (0..number).map(|_| format!("{:?}", self.next())).collect();
        all.sort();
        all
    }
}

/// An address where nobody listens.
fn deserted() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port")
}

/// An address that takes nobody in and says nothing: its queue is full, and stays so as long as this is held.
struct Silent {
    address: SocketAddr,
    _listener: std::net::TcpListener,
    _waiting: Vec<mio::net::TcpStream>,
}

fn silent() -> Silent {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    rustix::net::listen(listener.as_fd(), 0).expect("a short queue");
    let address = listener.local_addr().expect("bound");
    // More than any system queues beyond what it was asked for.
    let waiting = (0..8).map(|_| mio::net::TcpStream::connect(address).expect("begun")).collect();
    Silent { address, _listener: listener, _waiting: waiting }
}

struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("key");
        let certificate = params.self_signed(&key).expect("certificate").der().clone();
        Self { params, key, certificate }
    }

    fn server(&self) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("key");
        let issuer = Issuer::from_params(&self.params, &self.key);
        let params = CertificateParams::new(vec!["other.example".to_owned()]).expect("names");
        let certificate = params.signed_by(&key, &issuer).expect("signed").der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_no_client_auth();
        Arc::new(builder.with_single_cert(vec![certificate], key).expect("a key for it"))
    }

    fn client(&self, name: &str) -> ClientTls {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        ClientTls { config: Arc::new(config), name, timeout: PATIENCE }
    }
}

#[test]
fn the_first_address_that_answers_is_connected_to() {
    let world = World::new(None, None);
    let address = world.listen();
    world.dial(7, &[deserted(), address, deserted()]);
    let expected = [
        "Opened(Dialed(7))",
        "Opened(Listener(3))",
        "Received(Dialed(7), \"from the listener\")",
        "Received(Listener(3), \"from the dialer\")",
    ];
    assert_eq!(world.some(4), expected);
}

#[test]
fn what_came_of_each_address_is_reported() {
    let world = World::new(None, None);
    let addresses = [deserted(), deserted()];
    world.dial(8, &addresses);
    assert_eq!(world.next(), Seen::Undialed(8, addresses.into()));
    world.dial(9, &[]);
    assert_eq!(world.next(), Seen::Undialed(9, Vec::new()));
    assert_eq!(DialError::default().to_string(), "there is no address to connect to");
    let refused = || std::io::Error::from(std::io::ErrorKind::TimedOut);
    let [a, b] = addresses;
    let error = DialError { tried: vec![(a, refused()), (b, refused())] };
    assert_eq!(error.to_string(), format!("{a}: timed out; {b}: timed out"));
}

#[test]
fn who_says_nothing_has_its_time() {
    let world = World::new(None, None);
    let silent = silent();
    let address = world.listen();
    let timeout = Duration::from_millis(50);
    world.loops.dial(Dial { number: 5, addresses: vec![silent.address], timeout, tls: None });
    assert_eq!(world.next(), Seen::Undialed(5, vec![silent.address]));
    world.loops.dial(Dial {
        number: 6,
        addresses: vec![silent.address, address],
        timeout: PATIENCE.min(timeout * 10),
        tls: None,
    });
    assert!(world.some(4).contains(&"Opened(Dialed(6))".to_owned()));
}

/// Nothing more is heard of a dial that was cancelled while it was under way.
#[test]
fn a_dial_is_cancelled() {
    let world = World::new(None, None);
    let silent = silent();
    world.dial(1, &[silent.address]);
    world.loops.cancel(1);
    // On both loops, behind that.
    let deserted = deserted();
    (2..6).for_each(|number| world.dial(number, &[deserted]));
    let mut numbers: Vec<_> = (2..6)
        .map(|_| match world.next() {
            Seen::Undialed(number, _) => number,
            other => panic!("{other:?}"),
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3, 4, 5]);
    drop(world.loops);
    assert!(world.seen.try_iter().next().is_none(), "a cancelled dial is silent");
}

#[test]
fn both_ends_speak_tls() {
    let authority = Authority::new();
    for begins in [Begins::Dialed, Begins::Opened] {
        let client = authority.client("other.example");
        let world = World::dialing(Some(authority.server()), client, begins);
        let address = world.listen();
        world.dial(7, &[address]);
        let expected = [
            "Opened(Dialed(7))",
            "Opened(Listener(3))",
            "Received(Dialed(7), \"from the listener\")",
            "Received(Listener(3), \"from the dialer\")",
            "Secured(Dialed(7), 1)",
            "Secured(Listener(3), 0)",
        ];
        assert_eq!(world.some(6), expected, "{begins:?}");
    }
}

/// A certificate by somebody else, or for another name, ends the connection on the end that does not take it.
#[test]
fn a_wrong_certificate_is_refused() {
    let authority = Authority::new();
    for client in [Authority::new().client("other.example"), authority.client("another.example")] {
        for begins in [Begins::Dialed, Begins::Opened] {
            let world = World::dialing(Some(authority.server()), client.clone(), begins);
            let address = world.listen();
            world.dial(7, &[address]);
            let refused = |seen: &str| seen.starts_with("Broken(Dialed(7), \"TLS: invalid peer certificate");
            let seen = world.some(4);
            assert!(seen.iter().any(|seen| refused(seen)), "{seen:?}");
            assert!(!seen.iter().any(|seen| seen.contains("Received")), "{seen:?}");
        }
    }
}

#[test]
fn who_leaves_in_the_handshake_is_noticed() {
    let authority = Authority::new();
    for begins in [Begins::Dialed, Begins::Opened] {
        let world = World::dialing(None, authority.client("other.example"), begins);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        world.dial(7, &[listener.local_addr().expect("bound")]);
        drop(accept(&listener));
        assert_eq!(world.next(), Seen::Opened(Origin::Dialed(7)));
        match (world.next(), begins) {
            // The loop knows that the connection needs TLS, and that this is no usual end.
            (Seen::Broken(Origin::Dialed(7), how), Begins::Dialed) => {
                assert!(how.starts_with("TLS: "), "{how}")
            }
            (Seen::Broken(Origin::Dialed(7), _), Begins::Opened) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// What comes instead of TLS is not taken for anything else.
#[test]
fn who_is_dialled_with_tls_and_speaks_in_plain_is_refused() {
    let world = World::dialing(None, Authority::new().client("other.example"), Begins::Dialed);
    let address = world.listen();
    world.dial(7, &[address]);
    // Its handler sends a greeting in plain, and sees the beginning of a handshake, in as many reads as it takes.
    loop {
        match world.next() {
            Seen::Broken(Origin::Dialed(7), how) => {
                assert!(how.starts_with("TLS: received corrupt message"), "{how}");
                break;
            }
            Seen::Received(Origin::Dialed(_), text) => panic!("{text:?} was taken for the protocol"),
            _ => {}
        }
    }
}

/// Who leaves before its handshake is done, and who speaks in plain, has failed at TLS, and has not just gone.
#[test]
fn without_a_handshake_nothing_else_ends_a_connection() {
    let world = World::new(Some(Authority::new().server()), None);
    let address = world.listen();
    let ended = |sent: &[u8]| {
        let mut socket = std::net::TcpStream::connect(address).expect("connected").bounded();
        socket.write_all(sent).expect("sent");
        drop(socket);
        assert_eq!(world.next(), Seen::Opened(Origin::Listener(3)));
        match world.next() {
            Seen::Broken(Origin::Listener(3), how) => how,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ended(b""), "TLS: EOF");
    assert_eq!(ended(b"\x16\x03\x01\x00\x05"), "TLS: EOF");
    assert_eq!(ended(b"GET /"), format!("{:?}", Broken::Plain(b"GET /".to_vec())));
}

#[test]
fn what_is_posted_comes_in_order() {
    let world = World::new(None, None);
    let poster = world.loops.poster::<Talker>();
    assert_eq!(poster.loops(), 2);
    for number in 0..100 {
        poster.clone().post(number % 2, number as u32);
    }
    let mut seen: [Vec<u32>; 2] = Default::default();
    for _ in 0..100 {
        match world.next() {
            Seen::Posted(to, number) => seen[to].push(number),
            other => panic!("{other:?}"),
        }
    }
    let every_other = |from: u32| (from..100).step_by(2).collect::<Vec<_>>();
    assert_eq!(seen, [every_other(0), every_other(1)]);
}
