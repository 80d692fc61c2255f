//! Clients of the same library, honest and not, in virtual time.

use super::*;
use dimpl::Output;
use std::collections::{BTreeMap, VecDeque};

/// By identity and key: the library tries its cryptography each time that it makes one.
static CONFIGS: Mutex<BTreeMap<String, Arc<Config>>> = Mutex::new(BTreeMap::new());

struct Known(Vec<u8>);

impl PskResolver for Known {
    fn resolve(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.clone())
    }
}

/// A client, and what it has heard.
struct Client {
    dtls: dimpl::Dtls,
    at: SocketAddr,
    is_open: bool,
    heard: Vec<String>,
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

impl Client {
    fn new(mut dtls: dimpl::Dtls, port: u16) -> Self {
        dtls.set_active(true);
        Self { dtls, at: address(port), is_open: false, heard: Vec::new() }
    }

    fn by_key(now: Instant, port: u16, identity: &str, key: &[u8]) -> Self {
        let mut configs = CONFIGS.lock();
        let config = configs.entry(format!("{identity} {}", key.escape_ascii())).or_insert_with(|| {
            let suites = [Dtls12CipherSuite::PSK_AES128_CCM_8];
            let known = Arc::new(Known(key.into()));
            let config = Config::builder().with_psk_client(identity.into(), known);
            Arc::new(config.dtls12_cipher_suites(&suites).build().unwrap())
        });
        Self::new(dimpl::Dtls::new_12_psk(config.clone(), now), port)
    }

    fn by_certificate(now: Instant, port: u16, name: &str) -> Self {
        let Certificate { certificate, key, .. } = certificate(name);
        let shown = DtlsCertificate { certificate, private_key: key };
        let mut configs = CONFIGS.lock();
        let config =
            configs.entry(String::new()).or_insert_with(|| Arc::new(Config::builder().build().unwrap()));
        Self::new(dimpl::Dtls::new_12(config.clone(), shown, now), port)
    }

    /// What it sends now.
    fn sent(&mut self) -> Vec<Vec<u8>> {
        let (mut sent, mut buffer) = (Vec::new(), vec![0; BUFFER_BYTES]);
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(bytes) => sent.push(bytes.to_vec()),
                Output::Connected => self.is_open = true,
                Output::ApplicationData(bytes) => self.heard.push(bytes.escape_ascii().to_string()),
                Output::CloseNotify => self.heard.push("close".into()),
                Output::Timeout(_) => return sent,
                _ => {}
            }
        }
    }
}

/// ECDSA with P-256; the name stands in the certificate as it is.
fn certificate(name: &str) -> Certificate {
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    Certificate { certificate: own.der().to_vec(), key: key.serialize_der(), judge: None }
}

fn options(certificate: Option<Certificate>) -> DtlsOptions {
    let key = |key: &str, user: &str| SharedKey { key: key.into(), user: user.into() };
    let keys = [(b"m1".to_vec(), key("first key", "meters")), (b"m2".to_vec(), key("second key", "pumps"))];
    DtlsOptions { keys: keys.into(), certificate, peers_max: 10_000 }
}

struct World {
    now: Instant,
    dtls: Dtls,
}

impl World {
    fn new(options: DtlsOptions) -> Self {
        let now = Instant::now();
        Self { now, dtls: Dtls::new(now, options, &[7; 32]).unwrap() }
    }

    /// A datagram; what is answered to the same address.
    fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        self.dtls.datagram(self.now, from, bytes, &mut |to, bytes: &[u8]| {
            assert_eq!(to, from);
            answers.push(bytes.to_vec());
        });
        answers
    }

    /// Carries datagrams both ways until there are none.
    fn play(&mut self, client: &mut Client) {
        let mut todo: VecDeque<Vec<u8>> = client.sent().into();
        while let Some(bytes) = todo.pop_front() {
            for answer in self.datagram(client.at, &bytes) {
                // Whoever is refused closes.
                let _ = client.dtls.handle_packet(&answer);
                todo.extend(client.sent());
            }
        }
    }

    fn connect(&mut self, client: &mut Client) {
        client.dtls.handle_timeout(self.now).unwrap();
        self.play(client);
    }

    fn say(&mut self, client: &mut Client, text: &str) -> Vec<String> {
        client.dtls.send_application_data(text.as_bytes()).unwrap();
        self.play(client);
        let messages = self.dtls.messages().into_iter();
        let told =
            messages.map(|m| format!("{}:{}", m.user.as_deref().unwrap_or("-"), m.bytes.escape_ascii()));
        told.collect()
    }

    fn answer(&mut self, client: &mut Client, text: &str) {
        let mut sent = Vec::new();
        self.dtls
            .send(self.now, client.at, text.as_bytes(), &mut |_, bytes: &[u8]| sent.push(bytes.to_vec()));
        for bytes in sent {
            client.dtls.handle_packet(&bytes).unwrap();
        }
        client.sent();
    }

    /// Time passes, deadline by deadline; whoever is at one of these ports is known.
    fn wait(&mut self, seconds: u64, known: &[u16]) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.dtls.deadline().filter(|at| *at <= until) {
            assert!(at >= self.now, "a deadline that has passed");
            self.now = at;
            self.dtls.expire(at, &mut |at| known.contains(&at.port()), &mut |_, _: &[u8]| {});
        }
        self.now = until;
    }
}

#[test]
fn messages_go_both_ways_with_the_user_whose_key_it_is() {
    let mut world = World::new(options(None));
    for (port, identity, key, user) in [(1, "m1", "first key", "meters"), (2, "m2", "second key", "pumps")] {
        let mut client = Client::by_key(world.now, port, identity, key.as_bytes());
        world.connect(&mut client);
        assert!(client.is_open);
        assert_eq!(world.say(&mut client, "hello"), [format!("{user}:hello")]);
        world.answer(&mut client, "you");
        assert_eq!(client.heard, ["you"]);
    }
    assert_eq!(world.dtls.peers(), (0, 2));
}

#[test]
fn who_has_not_the_key_or_no_certificate_that_is_good_is_not_heard() {
    let judge: Judge = Box::new(|der| {
        let is = |name: &[u8]| der.windows(name.len()).any(|part| part == name);
        is(b"good").then(|| is(b"user").then(|| "named".into()))
    });
    let own = Certificate { judge: Some(judge), ..certificate("here") };
    let mut world = World::new(options(Some(own)));
    let now = world.now;
    for (mut client, user) in [
        (Client::by_key(now, 1, "m1", b"second key"), None),
        (Client::by_key(now, 2, "m3", b"first key"), None),
        (Client::by_certificate(now, 3, "bad"), None),
        (Client::by_certificate(now, 4, "good"), Some("-")),
        (Client::by_certificate(now, 5, "good-user"), Some("named")),
        (Client::by_key(now, 6, "m1", b"first key"), Some("meters")),
    ] {
        world.connect(&mut client);
        let heard = match client.is_open {
            true => {
                let _ = client.dtls.send_application_data(b"x");
                world.play(&mut client);
                world.dtls.messages()
            }
            false => Vec::new(),
        };
        let users = heard.iter().map(|message| message.user.as_deref().unwrap_or("-"));
        assert_eq!(users.collect::<Vec<_>>(), Vec::from_iter(user), "{}", client.at);
    }
    // Whose key is wrong does not know it; it is forgotten in time.
    assert_eq!(world.dtls.peers().1, 3);
    world.wait(30, &[4, 5, 6]);
    assert_eq!(world.dtls.peers(), (0, 3));
}

#[test]
fn a_certificate_alone_is_enough_where_nobody_judges() {
    let mut world = World::new(DtlsOptions { keys: HashMap::new(), ..options(Some(certificate("here"))) });
    let mut client = Client::by_certificate(world.now, 1, "any");
    world.connect(&mut client);
    assert_eq!(world.say(&mut client, "x"), ["-:x"]);
    let mut by_key = Client::by_key(world.now, 2, "m1", b"first key");
    world.connect(&mut by_key);
    assert!(!by_key.is_open, "there are no keys");
}

/// What is sent in another's name leads to one answer that is shorter, and nothing is kept.
#[test]
fn nothing_is_kept_of_who_has_not_repeated_a_cookie() {
    let mut world = World::new(options(None));
    for port in 1..=500 {
        let mut client = Client::by_key(world.now, port, "m1", b"first key");
        client.dtls.handle_timeout(world.now).unwrap();
        let sent = client.sent();
        let [hello] = sent.as_slice() else { panic!("one hello") };
        let answers = world.datagram(client.at, hello);
        assert_eq!(answers.len(), 1);
        assert!(answers[0].len() <= hello.len());
        // A cookie is good for its address alone.
        client.dtls.handle_packet(&answers[0]).unwrap();
        let again = client.sent().concat();
        assert_eq!(world.datagram(address(port + 10_000), &again).len(), 1);
        assert_eq!(world.dtls.peers(), (0, 0));
    }
}

#[test]
fn handshakes_are_bounded_and_the_oldest_is_forgotten() {
    let mut world = World::new(options(None));
    let begin = |world: &mut World, port| {
        let mut client = Client::by_key(world.now, port, "m1", b"first key");
        client.dtls.handle_timeout(world.now).unwrap();
        let request = world.datagram(client.at, &client.sent().concat()).concat();
        client.dtls.handle_packet(&request).unwrap();
        let hello = client.sent().concat();
        assert!(!world.datagram(client.at, &hello).is_empty());
        (client, hello)
    };
    let (_, old) = begin(&mut world, 60_000);
    world.now += Duration::from_millis(1);
    for port in 1..=HANDSHAKES_MAX as u16 {
        begin(&mut world, port);
    }
    assert_eq!(world.dtls.peers(), (HANDSHAKES_MAX, 0));
    // Its cookie is good for a while.
    assert!(!world.datagram(address(60_000), &old).is_empty());
    assert_eq!(world.dtls.peers(), (HANDSHAKES_MAX, 0));
    world.wait(25, &[]);
    assert_eq!(world.dtls.peers(), (0, 0));
    world.wait(60, &[]);
    assert_eq!(world.datagram(address(60_000), &old).concat().len(), hello::REQUEST_BYTES, "it is too old");
    assert_eq!((world.dtls.peers(), world.dtls.deadline()), ((0, 0), None));
}

#[test]
fn a_peer_that_begins_anew_is_another_one_and_nobody_else_ends_it() {
    let mut world = World::new(options(None));
    let mut client = Client::by_key(world.now, 1, "m1", b"first key");
    world.connect(&mut client);
    let mut again = Client::by_key(world.now, 1, "m2", b"second key");
    again.dtls.handle_timeout(world.now).unwrap();
    let hello = again.sent().concat();
    let request = world.datagram(again.at, &hello).concat();
    assert_eq!(world.say(&mut client, "still here"), ["meters:still here"]);
    again.dtls.handle_packet(&request).unwrap();
    world.play(&mut again);
    assert_eq!(world.say(&mut again, "me now"), ["pumps:me now"]);
    assert!(world.say(&mut client, "lost").is_empty());
    assert_eq!(world.dtls.peers(), (0, 1));
}

#[test]
fn the_silent_are_forgotten_unless_they_are_known() {
    let mut world = World::new(options(None));
    let mut clients: Vec<Client> =
        [1, 2].map(|port| Client::by_key(world.now, port, "m1", b"first key")).into();
    clients.iter_mut().for_each(|client| world.connect(client));
    world.wait(59, &[]);
    assert_eq!(world.dtls.peers(), (0, 2));
    world.wait(2 * 3600, &[2]);
    assert_eq!(world.dtls.peers(), (0, 1));
    assert_eq!(world.say(&mut clients[1], "awake"), ["meters:awake"]);
    clients[1].dtls.close().unwrap();
    world.play(&mut clients[1]);
    assert_eq!((world.dtls.peers(), world.dtls.deadline()), ((0, 0), None));
}

/// Whatever comes, in whatever step, nobody is heard whose message it is not, and it goes on.
#[test]
fn garbage_is_dropped() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    let mut world = World::new(options(Some(certificate("here"))));
    for round in 0..100 {
        let (now, port) = (world.now, 1 + round % 50);
        let mut client = match random(2) {
            0 => Client::by_key(now, port, "m1", b"first key"),
            _ => Client::by_certificate(now, port, "any"),
        };
        client.dtls.handle_timeout(now).unwrap();
        let mut todo: VecDeque<Vec<u8>> = client.sent().into();
        let mut steps = 0;
        while let Some(mut bytes) = todo.pop_front() {
            steps += 1;
            if random(3) == 0 && !bytes.is_empty() {
                for _ in 0..1 + random(4) {
                    let at = random(bytes.len());
                    bytes[at] = random(256) as u8;
                }
                bytes.truncate(1 + random(2 * bytes.len()));
            }
            for answer in world.datagram(client.at, &bytes) {
                let _ = client.dtls.handle_packet(&answer);
                todo.extend(client.sent());
            }
            if random(2) == 0 {
                todo.push_back((0..random(100)).map(|_| random(256) as u8).collect());
            }
            if steps > 60 {
                break;
            }
        }
        if client.is_open && client.dtls.send_application_data(b"x").is_ok() {
            for mut bytes in client.sent() {
                let at = random(bytes.len());
                bytes[at] ^= 1 + random(255) as u8;
                world.datagram(client.at, &bytes);
                assert!(world.dtls.messages().is_empty());
            }
        }
        world.now += Duration::from_millis(500);
        world.dtls.expire(world.now, &mut |_| false, &mut |_, _: &[u8]| {});
    }
    let mut client = Client::by_key(world.now, 60, "m2", b"second key");
    world.connect(&mut client);
    assert_eq!(world.say(&mut client, "hello"), ["pumps:hello"]);
}

/// While a cookie is taken to be good, nothing but the hello is: what else comes with it would be reckoned with the cookie as well.
#[test]
fn a_hello_is_taken_alone() {
    let world = World::new(options(None));
    let mut client = Client::by_key(world.now, 1, "m1", b"first key");
    client.dtls.handle_timeout(world.now).unwrap();
    let sent = client.sent().concat();
    let alone = Hello::parse(&sent).unwrap();
    let more = [&sent[..], b"more"].concat();
    assert_eq!(Hello::parse(&more).unwrap().record, sent);
    assert!(alone.offers_psk && alone.cookie.is_empty());
    let mut joined = more;
    let bytes = (joined.len() - 13) as u16;
    joined[11..13].copy_from_slice(&bytes.to_be_bytes());
    assert_eq!(Hello::parse(&joined), None, "a record with another message");
    for end in 0..sent.len() {
        assert_eq!(Hello::parse(&sent[..end]), None, "{end}");
    }
    let hmac = provider().hmac_provider;
    let (first, second) = with_good_cookie([7; 32], || {
        let hmac = || hmac.hmac_sha256(b"key", b"data").unwrap();
        (hmac(), hmac())
    });
    assert!(first == [7; 32] && second != first);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// Whatever somebody sends before, in and behind a handshake is over with him alone.
    #[test]
    fn any_datagrams_are_taken(
        begins in 0_u8..8,
        chunks in proptest::collection::vec((proptest::prelude::any::<bool>(), proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)), 0..6),
    ) {
        let mut input = vec![begins];
        for (changes, chunk) in chunks {
            input.push(u8::try_from(chunk.len()).unwrap() | if changes { 0x80 } else { 0 });
            // Most bytes stay as they are, so that more than the first check is reached.
            input.extend(chunk.iter().enumerate().map(|(at, byte)| if changes && at % 16 != 15 { 0 } else { *byte }));
        }
        fuzzed::datagrams_hold(&input);
    }
}
