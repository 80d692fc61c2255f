//! Clients' certificates, checked by themselves and by a server.

use super::*;
use crate::lifecycle::Server;
use crate::tls::ocsp::cache::{PeerCache, fingerprint};
use crate::tls::ocsp::peer::{Judgement, PeerCheck};
use crate::waiting::{Bounded as _, NextLine as _, wait_until};
use dialtone_config::ocsp::{OcspCache, OcspPeer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A responder that gives an answer of `key` that counts a day from `now` on, and how often it was asked.
fn says(status: Vec<u8>, key: KeyPair, now: i64) -> (Responder, Arc<AtomicUsize>) {
    counted(status, key, (now, Some(now + DAY)))
}

fn counted(status: Vec<u8>, key: KeyPair, times: (i64, Option<i64>)) -> (Responder, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let responder = Responder::new(move |_, request| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(answer(request, &status, times, &key, &[]))
    });
    (responder, asked)
}

fn key_of(authority: &Authority) -> KeyPair {
    KeyPair::from_pem(&authority.key.serialize_pem()).expect("key")
}

fn check(authority: &Authority, options: &OcspPeer) -> PeerCheck {
    let authorities = vec![authority.certificate.clone()];
    PeerCheck { options: options.clone(), authorities, algorithms: algorithms() }
}

fn cache() -> (tempfile::TempDir, PeerCache) {
    let folder = tempfile::tempdir().expect("folder");
    let cache = PeerCache::default();
    let options = OcspCache { local_store: folder.path().to_owned(), ..OcspCache::default() };
    cache.configure(Some(&options)).expect("configured");
    (folder, cache)
}

/// Whether the client may not come in, and the reasons of its bad links.
fn outcome(judgement: &Judgement) -> (bool, Vec<&str>) {
    (judgement.is_rejected, judgement.bad.iter().map(|(_, reason)| &**reason).collect())
}

#[test]
fn what_the_responder_says_of_a_client_decides() {
    let authority = Authority::new("ca");
    let strict = OcspPeer::default();
    let lenient = OcspPeer { unknown_is_good: true, ..strict.clone() };
    let warning = OcspPeer { warn_only: true, ..strict.clone() };
    let (revoked_reason, unknown_reason) =
        ("Invalid OCSP response status: revoked", "Invalid OCSP response status: unknown");
    for (options, status, rejected, reasons) in [
        (&strict, GOOD.to_vec(), false, vec![]),
        (&strict, revoked(), true, vec![revoked_reason]),
        (&strict, UNKNOWN.to_vec(), true, vec![unknown_reason]),
        (&lenient, UNKNOWN.to_vec(), false, vec![]),
        (&lenient, revoked(), true, vec![revoked_reason]),
        (&warning, revoked(), false, vec![revoked_reason]),
        (&warning, UNKNOWN.to_vec(), false, vec![unknown_reason]),
    ] {
        let (responder, asked) = says(status.clone(), key_of(&authority), NOW);
        let (leaf, _) = authority.issue(&responder.address, false);
        let (_folder, cache) = cache();
        let judgement = check(&authority, options).check(std::slice::from_ref(&leaf), &cache, NOW);
        assert_eq!(outcome(&judgement), (rejected, reasons.clone()), "{options:?} {status:?}");
        assert_eq!(judgement.warnings.is_empty(), reasons.is_empty(), "{judgement:?}");
        // What was said is known, and nobody is asked again.
        let again = check(&authority, options).check(&[leaf], &cache, NOW + DAY);
        assert_eq!(outcome(&again), (rejected, reasons), "{options:?} {status:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(
            (cache.figures()["cache_hits"].as_u64(), cache.figures()["cache_misses"].as_u64()),
            (Some(1), Some(1))
        );
    }
}

#[test]
fn a_certificate_without_a_responder_needs_none() {
    let authority = Authority::new("ca");
    let (leaf, _) = authority.sign(named("client"));
    let judgement = check(&authority, &OcspPeer::default()).check(&[leaf], &cache().1, NOW);
    assert_eq!(judgement, Judgement::default());
}

#[test]
fn every_link_of_the_chain_must_be_good() {
    let root = Authority::new("root");
    let (responder, _) = says(revoked(), key_of(&root), NOW);
    let mut middle = Authority::new("middle");
    let mut params = middle.params.clone();
    let method = element(OID, &[&[0x2B, 6, 1, 5, 5, 7, 0x30, 1]]);
    let access = element(SEQUENCE, &[&method, &element(0x86, &[responder.address.as_bytes()])]);
    let access =
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], element(SEQUENCE, &[&access]));
    params.custom_extensions.push(access);
    (middle.certificate, middle.key) = root.sign(params);
    let (leaf, _) = middle.sign(named("client"));
    let shown = [leaf, middle.certificate.clone()];
    let judgement = check(&root, &OcspPeer::default()).check(&shown, &cache().1, NOW);
    assert_eq!(outcome(&judgement), (true, vec!["Invalid OCSP response status: revoked"]));
    assert_eq!(judgement.bad[0].0, middle.certificate);
}

#[test]
fn nobody_answers() {
    let authority = Authority::new("ca");
    let (leaf, _) = authority.issue("http://127.0.0.1:1", false);
    let (strict, lenient) =
        (OcspPeer::default(), OcspPeer { allow_when_ca_unreachable: true, ..OcspPeer::default() });
    let (folder, cache) = cache();
    let judgement = check(&authority, &strict).check(std::slice::from_ref(&leaf), &cache, NOW);
    assert!(judgement.is_rejected && judgement.bad[0].1.starts_with("failed to obtain OCSP CA response"));
    assert!(!check(&authority, &lenient).check(std::slice::from_ref(&leaf), &cache, NOW).is_rejected);
    // Whom it is known of that it is revoked does not get in so, even when the time of that answer is over.
    let kept = |status, said: &[u8]| {
        let question = authority.question(&leaf);
        let response = authority.answer(&question, said, (NOW - 2 * DAY, Some(NOW - DAY)));
        crate::tls::ocsp::cache::Kept { response, status }
    };
    cache.put(fingerprint(&leaf), kept(Status::Revoked, &revoked()));
    assert!(check(&authority, &lenient).check(std::slice::from_ref(&leaf), &cache, NOW).is_rejected);
    assert_eq!(cache.get(&fingerprint(&leaf)), None, "what is outdated is forgotten");
    cache
        .configure(Some(&OcspCache {
            local_store: folder.path().to_owned(),
            preserve_revoked: true,
            ..OcspCache::default()
        }))
        .expect("configured");
    cache.put(fingerprint(&leaf), kept(Status::Revoked, &revoked()));
    for _ in 0..2 {
        assert!(check(&authority, &lenient).check(std::slice::from_ref(&leaf), &cache, NOW).is_rejected);
    }
}

#[test]
fn an_answer_counts_as_long_as_the_options_say() {
    let authority = Authority::new("ca");
    let (responder, asked) = counted(GOOD.to_vec(), key_of(&authority), (NOW + 20, None));
    let (leaf, _) = authority.issue(&responder.address, false);
    let (_folder, cache) = cache();
    let options = OcspPeer::default();
    let at = |now, options: &OcspPeer| {
        check(&authority, options).check(std::slice::from_ref(&leaf), &cache, now).is_rejected
    };
    let exact = OcspPeer { clock_skew: Duration::from_secs(10), ..options.clone() };
    assert!(at(NOW, &exact), "it is of the future");
    assert!(!at(NOW, &options));
    assert!(!at(NOW + 3600, &options));
    assert_eq!(asked.load(Ordering::SeqCst), 2, "the third time it is known");
    // An hour and the skew of the clocks later it is asked for again, and too old.
    assert!(at(NOW + 3600 + 51, &options));
}

/// A server, what it is asked with, and who speaks to it.
struct World {
    server: Server,
    _folder: tempfile::TempDir,
    roots: RootCertStore,
    events: BufReader<UnixStream>,
}

impl World {
    fn new(authority: &Authority, tls: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let (certificate, key) = authority.sign(named("server"));
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("written");
        let pem = |der: &CertificateDer<'_>| {
            let lines = data_encoding::BASE64.encode(der);
            format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
        };
        write("cert.pem", pem(&certificate));
        write("key.pem", key.serialize_pem());
        write("ca.pem", pem(&authority.certificate));
        let dir = folder.path().display();
        let config = format!(
            "accounts {{ SYS {{ users: [ {{ user: s, password: p }} ] }}, A {{ users: [ {{ user: a, password: p }} ] }} }}\n\
             system_account: SYS, no_auth_user: a, ocsp_cache {{ local_store: '{dir}/kept' }}\n\
             tls {{ cert_file: '{dir}/cert.pem', key_file: '{dir}/key.pem', ca_file: '{dir}/ca.pem', verify: true, {tls} }}"
        );
        let mut files = |_: &Path| Err(io::ErrorKind::NotFound.into());
        let options = dialtone_config::load_text(&config, "t.conf", &mut files, &|_| None).expect("options");
        let builder = Server::builder().options(options).host("127.0.0.1").port(None).quiet();
        let server = builder.start().expect("started");
        let events = server.connect_in_process().expect("connected").bounded();
        let mut events = BufReader::new(events);
        let hello = "CONNECT {\"verbose\":false,\"user\":\"s\",\"pass\":\"p\"}\r\nSUB $SYS.SERVER.*.OCSP.> 1\r\nPING\r\n";
        events.get_mut().write_all(hello.as_bytes()).expect("sent");
        wait_until("PONG", || line(&mut events) == "PONG");
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.clone()).expect("added");
        Self { server, _folder: folder, roots, events }
    }

    /// What a client with this certificate gets for a PING; nothing if it is closed.
    fn ping(&self, (certificate, key): (CertificateDer<'static>, KeyPair)) -> String {
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("key");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(vec![certificate], key)
            .expect("config");
        let address = self.server.client_address().expect("address");
        let socket = TcpStream::connect(address).expect("connected").bounded();
        let mut plain = BufReader::new(socket.try_clone().expect("cloned"));
        assert!(line(&mut plain).starts_with("INFO {"));
        let name = "localhost".try_into().expect("name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("connection");
        let mut stream = StreamOwned::new(connection, socket);
        let mut said = String::new();
        if stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").is_ok() {
            let mut bytes = [0; 512];
            while let Ok(n @ 1..) = stream.read(&mut bytes) {
                said += &String::from_utf8_lossy(&bytes[..n]);
                if said.ends_with("PONG\r\n") {
                    break;
                }
            }
        }
        said.lines().last().unwrap_or_default().to_owned()
    }

    /// The next event: its subject behind the server's id, and its body.
    fn event(&mut self) -> (String, serde_json::Value) {
        let head = line(&mut self.events);
        let subject =
            head.split(' ').nth(1).expect("a message").splitn(4, '.').nth(3).expect("a kind").to_owned();
        let body = line(&mut self.events);
        (subject, serde_json::from_str(&body).expect("JSON"))
    }
}

fn line(reader: &mut impl BufRead) -> String {
    reader.next_line().trim_end().to_owned()
}

#[test]
fn a_client_gets_in_when_its_certificate_is_good() {
    let authority = Authority::new("ca");
    let ((good, _), (bad, _)) = (
        says(GOOD.to_vec(), key_of(&authority), clock::now()),
        says(revoked(), key_of(&authority), clock::now()),
    );
    let mut world = World::new(&authority, "ocsp_peer: true");
    assert_eq!(world.ping(authority.issue(&good.address, false)), "PONG");
    let revoked = authority.issue(&bad.address, false);
    let fingerprint = data_encoding::BASE64.encode(&Sha256::digest(&revoked.0));
    assert_eq!(world.ping(revoked), "");
    let (subject, event) = world.event();
    assert_eq!(subject, "OCSP.PEER.LINK.INVALID");
    assert_eq!(event["type"], "io.nats.server.advisory.v1.ocsp_peer_link_invalid");
    assert_eq!(event["reason"], "Invalid OCSP response status: revoked");
    assert_eq!((&event["link"], &event["peer"]["subject"]), (&event["peer"], &"CN=server".into()));
    let (subject, event) = world.event();
    assert_eq!((subject.as_str(), &event["kind"]), ("OCSP.PEER.CONN.REJECT", &"Client".into()));
    assert_eq!(
        (&event["peer"]["fingerprint"], &event["peer"]["issuer"]),
        (&fingerprint.into(), &"CN=ca".into())
    );
    assert_eq!(event["reason"], "client not OCSP valid");
    let figures = world.server.node().connections.peer_cache.figures();
    assert_eq!(
        (&figures["cached_good_responses"], &figures["cached_revoked_responses"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn a_client_waits_for_its_greeting_where_tls_comes_first() {
    let authority = Authority::new("ca");
    let world = World::new(&authority, "ocsp_peer: true, handshake_first: true");
    let (good, asked) = says(GOOD.to_vec(), key_of(&authority), clock::now());
    let (certificate, key) = authority.issue(&good.address, false);
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("key");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(world.roots.clone())
        .with_client_auth_cert(vec![certificate], key)
        .expect("config");
    let address = world.server.client_address().expect("address");
    let socket = TcpStream::connect(address).expect("connected").bounded();
    let connection =
        ClientConnection::new(Arc::new(config), "localhost".try_into().expect("name")).expect("connection");
    let mut stream = BufReader::new(StreamOwned::new(connection, socket));
    assert!(line(&mut stream).starts_with("INFO {"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
