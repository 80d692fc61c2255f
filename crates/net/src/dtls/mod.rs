//! DTLS 1.2, the end that is connected to: by keys that both ends know, or by ECDSA certificates. A state machine without I/O or clock.
//!
//! [`Dtls`] stands between a socket of datagrams and what speaks by it. Nothing is kept of an address before it has repeated a cookie that
//! only it was sent, and the request for that is shorter than what it answers; then there are bounds for those whose
//! handshake goes on, and for all.

#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod hello;
mod peer;
mod provider;
#[cfg(test)]
mod tests;

use dimpl::crypto::Dtls12CipherSuite;
use dimpl::{Config, DtlsCertificate, PskResolver};
use hello::{COOKIE_BYTES, Hello, as_first};
use parking_lot::Mutex;
use peer::{Made, Peer};
use provider::{provider, with_good_cookie};
use ring::hmac;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long a cookie is good, at least.
const COOKIE_AGE: Duration = Duration::from_secs(30);
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// Peers whose handshake goes on; the oldest is forgotten for another.
const HANDSHAKES_MAX: usize = 1024;
/// After how long a silent peer is forgotten whom nobody knows.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a datagram in a handshake that is sent, and of one that comes.
const HANDSHAKE_DATAGRAM_BYTES: usize = 1200;
const HANDSHAKE_DATAGRAM_BYTES_MAX: usize = 2000;
/// Datagrams of a handshake that wait for others.
const HANDSHAKE_DATAGRAMS_MAX: usize = 30;
/// Bytes of the largest that the library hands out: a record, or a certificate. It panics if one does not fit.
const BUFFER_BYTES: usize = 64 * 1024;
const _: () = assert!(BUFFER_BYTES > HANDSHAKE_DATAGRAMS_MAX * HANDSHAKE_DATAGRAM_BYTES_MAX);
/// Bytes of the largest message that a record takes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Where datagrams go.
pub type Send<'a> = dyn FnMut(SocketAddr, &[u8]) + 'a;

/// Judges a client's certificate, whose key the client has shown to have: `None` refuses it, otherwise it says which user the client is, if any
/// in particular.
pub type Judge = Box<dyn Fn(&[u8]) -> Option<Option<Arc<str>>> + std::marker::Send + Sync>;

/// A key that both ends know, and the user whose it is.
pub struct SharedKey {
    /// The key.
    pub key: Vec<u8>,
    /// The user.
    pub user: Arc<str>,
}

/// A certificate, and its key, DER.
pub struct Certificate {
    /// The certificate itself, without those of authorities.
    pub certificate: Vec<u8>,
    /// ECDSA with P-256 or P-384.
    pub key: Vec<u8>,
    /// Judges those of clients, if they need one.
    pub judge: Option<Judge>,
}

/// How who connects is known.
#[derive(Default)]
pub struct DtlsOptions {
    /// By their identities.
    pub keys: HashMap<Vec<u8>, SharedKey>,
    /// What this end shows to who has no shared key.
    pub certificate: Option<Certificate>,
    /// Peers at a time.
    pub peers_max: usize,
}

/// Why there is no DTLS.
#[derive(Debug, thiserror::Error)]
#[error("DTLS cannot be set up: {0}")]
pub struct DtlsError(String);

/// A message that came from a peer.
#[derive(Debug)]
pub struct Message {
    /// From where.
    pub from: SocketAddr,
    /// The user that the peer has shown to be.
    pub user: Option<Arc<str>>,
    /// What it is.
    pub bytes: Vec<u8>,
}

/// Finds keys, and takes note of whose was asked for last.
struct Keys {
    keys: AssertUnwindSafe<HashMap<Vec<u8>, SharedKey>>,
    found: AssertUnwindSafe<Mutex<Option<Arc<str>>>>,
}

impl PskResolver for Keys {
    fn resolve(&self, identity: &[u8]) -> Option<Vec<u8>> {
        let SharedKey { key, user } = self.keys.get(identity)?;
        *self.found.lock() = Some(user.clone());
        Some(key.clone())
    }
}

/// All peers.
pub struct Dtls {
    begun: Instant,
    cookies: hmac::Key,
    keys: Arc<Keys>,
    by_key: Option<Arc<Config>>,
    by_certificate: Option<(Arc<Config>, DtlsCertificate)>,
    judge: Option<Judge>,
    peers_max: usize,
    peers: HashMap<SocketAddr, Peer>,
    /// Those whose handshake goes on, by when it began.
    handshakes: BTreeSet<(Instant, SocketAddr)>,
    timers: BTreeSet<(Instant, SocketAddr)>,
    messages: Vec<Message>,
    /// For what the library says.
    buffer: Vec<u8>,
}

fn config(keys: Option<Arc<Keys>>, asks_for_certificates: bool) -> Result<Arc<Config>, DtlsError> {
    let mut config = Config::builder()
        .mtu(HANDSHAKE_DATAGRAM_BYTES)
        .max_queue_rx(HANDSHAKE_DATAGRAMS_MAX)
        .handshake_timeout(HANDSHAKE_TIMEOUT)
        .require_client_certificate(asks_for_certificates)
        .with_crypto_provider(provider());
    if let Some(keys) = keys {
        let suites = [Dtls12CipherSuite::PSK_AES128_CCM_8];
        config = config.with_psk_server(None, keys).dtls12_cipher_suites(&suites);
    }
    config.build().map(Arc::new).map_err(|problem| DtlsError(problem.to_string()))
}

impl Dtls {
    /// Without peers. `secret` is random, and nobody else's.
    ///
    /// # Errors
    /// The key of the certificate is none that can be used.
    pub fn new(now: Instant, options: DtlsOptions, secret: &[u8; 32]) -> Result<Self, DtlsError> {
        let DtlsOptions { keys, certificate, peers_max } = options;
        let has_keys = !keys.is_empty();
        let keys = Arc::new(Keys { keys: AssertUnwindSafe(keys), found: AssertUnwindSafe(Mutex::default()) });
        let by_key = has_keys.then(|| config(Some(keys.clone()), false)).transpose()?;
        let (mut by_certificate, mut judge) = (None, None);
        if let Some(own) = certificate {
            let loaded = provider().key_provider.load_private_key(&own.key);
            loaded.map_err(|problem| DtlsError(problem.to_string()))?;
            let shown = DtlsCertificate { certificate: own.certificate, private_key: own.key };
            by_certificate = Some((config(None, own.judge.is_some())?, shown));
            judge = own.judge;
        }
        let cookies = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let (peers, handshakes, timers) = (HashMap::new(), BTreeSet::new(), BTreeSet::new());
        let (messages, buffer) = (Vec::new(), vec![0; BUFFER_BYTES]);
        Ok(Self {
            begun: now,
            cookies,
            keys,
            by_key,
            by_certificate,
            judge,
            peers_max,
            peers,
            handshakes,
            timers,
            messages,
            buffer,
        })
    }

    /// Peers whose handshake goes on, and those with whom it is over.
    pub fn peers(&self) -> (usize, usize) {
        (self.handshakes.len(), self.peers.len() - self.handshakes.len())
    }

    /// Messages that have come.
    pub fn messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// A datagram has come. What is none of DTLS is dropped.
    pub fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], send: &mut Send<'_>) {
        let is_open = self.peers.get(&from).is_some_and(|peer| peer.is_open);
        if !is_open && bytes.len() > HANDSHAKE_DATAGRAM_BYTES_MAX {
            return;
        }
        let Some(hello) = Hello::parse(bytes) else {
            return self.with_peer(now, from, send, |peer| peer.take(now, bytes));
        };
        match self.peers.get(&from) {
            // Once more the one that its handshake began with.
            Some(peer) if peer.random == *hello.random => {
                if !peer.is_open {
                    self.with_peer(now, from, send, |peer| peer.take(now, bytes));
                }
            }
            _ => self.hello(now, from, &hello, bytes, send),
        }
    }

    /// A client that nothing is known of, or one that begins anew.
    fn hello(
        &mut self,
        now: Instant,
        from: SocketAddr,
        hello: &Hello<'_>,
        bytes: &[u8],
        send: &mut Send<'_>,
    ) {
        let Some(good) = self.good_cookie(now, from, hello) else {
            let request = hello.request(&self.cookie(self.age(now), from, hello));
            // No hello is as short as that; an answer that were longer than what it answers is not sent in anybody's name.
            if request.len() <= bytes.len() {
                send(from, &request);
            }
            return;
        };
        self.forget(from);
        if self.peers.len() - self.handshakes.len() >= self.peers_max {
            return;
        }
        if self.handshakes.len() >= HANDSHAKES_MAX
            && let Some((_, oldest)) = self.handshakes.first().copied()
        {
            self.forget(oldest);
        }
        let dtls = match (&self.by_key, &self.by_certificate) {
            (Some(config), _) if hello.offers_psk => dimpl::Dtls::new_12_psk(config.clone(), now),
            (_, Some((config, shown))) => dimpl::Dtls::new_12(config.clone(), shown.clone(), now),
            _ => return,
        };
        let mut peer = Peer::new(dtls, *hello.random, now);
        // The library is told of a first hello, which it refuses, so that it goes on with the second one. What else came with that is dropped.
        let begins = peer.take(now, &as_first(hello.record)) && peer.is_silenced(&mut self.buffer);
        if begins && with_good_cookie(good, || peer.take(now, hello.record)) {
            self.peers.insert(from, peer);
            self.handshakes.insert((now, from));
            self.with_peer(now, from, send, |_| true);
        }
    }

    fn age(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_secs() / COOKIE_AGE.as_secs()
    }

    /// The cookie of this age for a client.
    fn cookie(&self, age: u64, from: SocketAddr, hello: &Hello<'_>) -> [u8; COOKIE_BYTES] {
        let ip = match from.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let said = [&age.to_be_bytes()[..], &ip, &from.port().to_be_bytes(), hello.random].concat();
        let tag = hmac::sign(&self.cookies, &said);
        tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// The cookie that a client has repeated, if it is good.
    fn good_cookie(&self, now: Instant, from: SocketAddr, hello: &Hello<'_>) -> Option<[u8; COOKIE_BYTES]> {
        let age = self.age(now);
        let ages = [age, age.saturating_sub(1)];
        let mut cookies = ages.into_iter().map(|age| self.cookie(age, from, hello));
        // Nobody learns from the time what a cookie is who cannot ask for one anyway.
        cookies.find(|cookie| cookie == hello.cookie)
    }

    /// Has a peer do something, and does what comes of it.
    fn with_peer(
        &mut self,
        now: Instant,
        at: SocketAddr,
        send: &mut Send<'_>,
        call: impl FnOnce(&mut Peer) -> bool,
    ) {
        let Some(peer) = self.peers.get_mut(&at) else { return };
        let mut goes_on = call(peer);
        if let Some(user) = self.keys.found.lock().take() {
            peer.user = Some(user);
        }
        while goes_on {
            match peer.next(&mut self.buffer) {
                Made::Datagram(bytes) => send(at, bytes),
                Made::Message(bytes) => {
                    let user = peer.user.clone();
                    self.messages.push(Message { from: at, user, bytes: bytes.to_vec() });
                }
                Made::Open(certificate) => {
                    self.handshakes.remove(&(peer.begun, at));
                    match (certificate, &self.judge) {
                        (Some(certificate), Some(judge)) => match judge(&certificate) {
                            Some(user) => peer.user = user,
                            None => goes_on = false,
                        },
                        // Clients without a shared key need a certificate where there is a judge.
                        (None, Some(_)) => goes_on = peer.user.is_some(),
                        _ => {}
                    }
                }
                Made::Closed => goes_on = false,
                Made::Wait(until) => {
                    let idle = peer.heard + if peer.is_open { IDLE_TIMEOUT } else { HANDSHAKE_TIMEOUT };
                    let until = until.min(idle.max(now + Duration::from_millis(1)));
                    if let Some(set) = peer.timer.replace(until) {
                        self.timers.remove(&(set, at));
                    }
                    self.timers.insert((until, at));
                    return;
                }
            }
        }
        self.leave(at, send);
    }

    /// Tells a peer that it is over, and forgets it.
    fn leave(&mut self, at: SocketAddr, send: &mut Send<'_>) {
        if let Some(peer) = self.peers.get_mut(&at)
            && peer.close()
        {
            while let Made::Datagram(bytes) = peer.next(&mut self.buffer) {
                send(at, bytes);
            }
        }
        self.forget(at);
    }

    fn forget(&mut self, at: SocketAddr) {
        if let Some(peer) = self.peers.remove(&at) {
            self.handshakes.remove(&(peer.begun, at));
            if let Some(set) = peer.timer {
                self.timers.remove(&(set, at));
            }
        }
    }

    /// Sends a message to a peer. Without one, or if it is too long, it is lost, as the network loses what it sends.
    pub fn send(&mut self, now: Instant, to: SocketAddr, bytes: &[u8], send: &mut Send<'_>) {
        if bytes.len() <= MESSAGE_BYTES_MAX {
            self.with_peer(now, to, send, |peer| peer.is_open && peer.say(now, bytes));
        }
    }

    /// When [`Dtls::expire`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// A deadline has come. Who has been silent for long is forgotten, but whom somebody knows.
    pub fn expire(
        &mut self,
        now: Instant,
        is_known: &mut dyn FnMut(SocketAddr) -> bool,
        send: &mut Send<'_>,
    ) {
        while let Some((_, at)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.pop_first();
            let is_idle = |peer: &mut Peer| {
                peer.timer = None;
                let since = now.saturating_duration_since(peer.heard);
                if peer.is_open { since >= IDLE_TIMEOUT } else { since >= HANDSHAKE_TIMEOUT }
            };
            let Some(peer) = self.peers.get_mut(&at) else { continue };
            let (is_idle, is_open) = (is_idle(peer), peer.is_open);
            if is_idle && !(is_open && is_known(at)) {
                self.leave(at, send);
            } else {
                if is_idle {
                    peer.heard = now;
                }
                self.with_peer(now, at, send, |peer| peer.expire(now));
            }
        }
    }

    /// Tells all peers that this end leaves.
    pub fn shut_down(&mut self, send: &mut Send<'_>) {
        let all: Vec<SocketAddr> = self.peers.keys().copied().collect();
        for at in all {
            self.leave(at, send);
        }
    }
}
