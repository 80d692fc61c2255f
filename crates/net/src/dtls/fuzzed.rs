//! What must hold for any datagrams of DTLS, before, in and behind a handshake: for fuzzing, and for a property test.

use super::{Config, Dtls, Dtls12CipherSuite, DtlsOptions, HANDSHAKE_TIMEOUT, PskResolver, SharedKey};
use dimpl::Output;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Datagrams of its own that who sends any others may send first, at most.
const HONEST_MAX: u8 = 8;
/// The bit of a length by which the bytes change what would be sent, rather than stand for themselves.
const CHANGES: u8 = 0x80;
const BUFFER_BYTES: usize = 64 * 1024;
const KEY: &[u8] = b"a key of both";

struct Known;

impl PskResolver for Known {
    fn resolve(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(KEY.into())
    }
}

/// A client, and what it has still to send.
struct Client {
    dtls: dimpl::Dtls,
    at: SocketAddr,
    todo: VecDeque<Vec<u8>>,
}

impl Client {
    fn new(config: &Arc<Config>, at: SocketAddr, now: Instant) -> Self {
        let mut dtls = dimpl::Dtls::new_12_psk(config.clone(), now);
        dtls.set_active(true);
        // A client that has just been made has no deadline that it could miss.
        let _ = dtls.handle_timeout(now);
        let mut client = Self { dtls, at, todo: VecDeque::new() };
        client.poll();
        client
    }

    fn poll(&mut self) {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(bytes) => self.todo.push_back(bytes.to_vec()),
                Output::Timeout(_) => return,
                _ => {}
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        if self.dtls.handle_packet(bytes).is_ok() {
            self.poll();
        }
    }
}

/// A server for all inputs, since it tries its cryptography when it is made, and somebody who has connected with it.
struct World {
    now: Instant,
    dtls: Dtls,
    config: Arc<Config>,
    honest: Client,
}

static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| Mutex::new(World::new()));

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let key = SharedKey { key: KEY.into(), user: "meters".into() };
        let options = DtlsOptions { keys: [(b"m".to_vec(), key)].into(), certificate: None, peers_max: 16 };
        let dtls = Dtls::new(now, options, &[7; 32]).expect("keys need nothing that could be missing");
        let suites = [Dtls12CipherSuite::PSK_AES128_CCM_8];
        let config = Config::builder().with_psk_client(b"m".to_vec(), Arc::new(Known));
        let config = Arc::new(config.dtls12_cipher_suites(&suites).build().expect("as of the server"));
        let honest = Client::new(&config, SocketAddr::from(([10, 0, 0, 1], 1)), now);
        let mut world = Self { now, dtls, config, honest };
        world.play();
        world
    }

    /// A datagram; what is answered, all of it to who sent it.
    fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        self.dtls.datagram(self.now, from, bytes, &mut |to, bytes: &[u8]| {
            assert_eq!(to, from);
            answers.push(bytes.to_vec());
        });
        answers
    }

    /// The honest one sends what it has to.
    fn play(&mut self) {
        while let Some(bytes) = self.honest.todo.pop_front() {
            for answer in self.datagram(self.honest.at, &bytes) {
                self.honest.hear(&answer);
            }
        }
    }

    /// Who is connected is heard, and by its user.
    fn is_heard(&mut self) {
        self.dtls.messages();
        self.honest.dtls.send_application_data(b"still here").expect("it is connected");
        self.honest.poll();
        self.play();
        let heard = self.dtls.messages();
        let heard: Vec<_> = heard.iter().map(|message| (message.user.as_deref(), &*message.bytes)).collect();
        assert_eq!(heard, [(Some("meters"), &b"still here"[..])]);
    }

    /// Time passes until only who is known is left.
    fn wait(&mut self) {
        let until = self.now + 4 * HANDSHAKE_TIMEOUT;
        while let Some(at) = self.dtls.deadline().filter(|at| *at <= until) {
            assert!(at + Duration::from_secs(1) > self.now, "a deadline that has passed");
            self.now = self.now.max(at);
            let honest = self.honest.at;
            self.dtls.expire(at, &mut |at| at == honest, &mut |_, _: &[u8]| {});
        }
        self.now = until;
        assert_eq!(self.dtls.peers(), (0, 1));
    }
}

/// Takes any datagrams from an address that behind `input[0]` datagrams of a handshake sends what comes next: a length, and so many bytes. Who
/// has connected is heard all the same, no answer to a stranger is longer than what came, and in the end nothing is left.
pub fn datagrams_hold(input: &[u8]) {
    let Some((first, mut rest)) = input.split_first() else { return };
    let world = &mut *WORLD.lock();
    let at = SocketAddr::from(([10, 0, 0, 2], 2));
    let mut client = Client::new(&world.config, at, world.now);
    for _ in 0..first % HONEST_MAX {
        let Some(bytes) = client.todo.pop_front() else { break };
        for answer in world.datagram(at, &bytes) {
            client.hear(&answer);
        }
    }
    while let Some((length, behind)) = rest.split_first() {
        let (chunk, behind) = behind.split_at(behind.len().min(usize::from(length & !CHANGES)));
        rest = behind;
        let changes = length & CHANGES != 0;
        let mut bytes = if changes { client.todo.pop_front().unwrap_or_default() } else { chunk.to_vec() };
        if changes {
            bytes.iter_mut().zip(chunk).for_each(|(byte, change)| *byte ^= change);
        }
        let is_stranger = world.dtls.peers() == (0, 1);
        let answers = world.datagram(at, &bytes);
        let answered: usize = answers.iter().map(Vec::len).sum();
        assert!(!is_stranger || changes || answered <= bytes.len(), "{answered} for {}", bytes.len());
        answers.iter().for_each(|answer| client.hear(answer));
        let (handshakes, open) = world.dtls.peers();
        assert!(handshakes + open <= 2 && open >= 1);
    }
    world.is_heard();
    world.wait();
}
