//! Authorities, certificates and responders made on the spot.

mod peer;

use super::der::{
    BIT_STRING, ENUMERATED, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, context, element,
};
use super::message::Unusable;
use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, SigningKey,
};
use rustls::crypto::ring;
use rustls_pki_types::PrivateKeyDer;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};

/// A moment of these tests, and what a day is from there.
const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
/// `ecdsa-with-SHA256`.
const ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2];
const GOOD: &[u8] = &[0x80, 0];
const UNKNOWN: &[u8] = &[0x82, 0];

fn revoked() -> Vec<u8> {
    element(context(1), &[&time(NOW - DAY)])
}

fn time(second: i64) -> Vec<u8> {
    let time = jiff::Timestamp::from_second(second).expect("time").strftime("%Y%m%d%H%M%SZ").to_string();
    element(GENERALIZED_TIME, &[time.as_bytes()])
}

struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("key");
        let certificate = params.self_signed(&key).expect("certificate").der().clone();
        Self { params, key, certificate }
    }

    fn sign(&self, params: CertificateParams) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().expect("key");
        let issuer = Issuer::from_params(&self.params, &self.key);
        (params.signed_by(&key, &issuer).expect("signed").der().clone(), key)
    }

    /// A server's certificate that names this responder, and may demand a staple.
    fn issue(&self, responder: &str, must_staple: bool) -> (CertificateDer<'static>, KeyPair) {
        let mut params = named("server");
        let method = element(OID, &[&[0x2B, 6, 1, 5, 5, 7, 0x30, 1]]);
        let access = element(SEQUENCE, &[&method, &element(0x86, &[responder.as_bytes()])]);
        let extension = |oid: &[u64], content: Vec<u8>| CustomExtension::from_oid_content(oid, content);
        params.custom_extensions.push(extension(&[1, 3, 6, 1, 5, 5, 7, 1, 1], element(SEQUENCE, &[&access])));
        if must_staple {
            let features = element(SEQUENCE, &[&[INTEGER, 1, 17], &[INTEGER, 1, 5]]);
            params.custom_extensions.push(extension(&[1, 3, 6, 1, 5, 5, 7, 1, 24], features));
        }
        self.sign(params)
    }

    fn question(&self, certificate: &[u8]) -> Question {
        Question::new(certificate, std::slice::from_ref(&self.certificate), algorithms())
            .expect("the issuer is there")
    }

    fn answer(&self, question: &Question, status: &[u8], times: (i64, Option<i64>)) -> Vec<u8> {
        answer(&question.request(), status, times, &self.key, &[])
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    ring::default_provider().signature_verification_algorithms
}

/// An answer about the certificate that a request asks for.
fn answer(
    request: &[u8],
    status: &[u8],
    (this, next): (i64, Option<i64>),
    key: &KeyPair,
    certificates: &[CertificateDer<'static>],
) -> Vec<u8> {
    let mut id = Reader(request);
    for _ in 0..4 {
        id = id.enter(SEQUENCE).expect("a request");
    }
    let next = next.map(|next| element(context(0), &[&time(next)])).unwrap_or_default();
    let single = element(SEQUENCE, &[id.element(SEQUENCE).expect("an id").raw, status, &time(this), &next]);
    let by_key = element(context(2), &[&element(OCTET_STRING, &[&[7; 20]])]);
    let data = element(SEQUENCE, &[&by_key, &time(this), &element(SEQUENCE, &[&single])]);
    let signature = key.sign(&data).expect("signed");
    let signature = element(BIT_STRING, &[&[0], &signature]);
    let certificates: Vec<u8> = certificates.iter().flat_map(|c| c.iter().copied()).collect();
    let certificates = match certificates.as_slice() {
        [] => Vec::new(),
        some => element(context(0), &[&element(SEQUENCE, &[some])]),
    };
    let basic = element(SEQUENCE, &[&data, ECDSA_SHA256, &signature, &certificates]);
    let kind = element(OID, &[&[0x2B, 6, 1, 5, 5, 7, 0x30, 1, 1]]);
    let bytes = element(context(0), &[&element(SEQUENCE, &[&kind, &element(OCTET_STRING, &[&basic])])]);
    element(SEQUENCE, &[&[ENUMERATED, 1, 0], &bytes])
}

#[test]
fn an_answer_says_how_the_certificate_stands() {
    let authority = Authority::new("ca");
    let question = authority.question(&authority.issue("http://x", true).0);
    let times = (NOW - 60, Some(NOW + DAY));
    for (said, status) in [(GOOD, Status::Good), (&revoked(), Status::Revoked), (UNKNOWN, Status::Unknown)] {
        let answer = authority.answer(&question, said, times);
        assert_eq!(
            question.read(&answer, NOW),
            Ok(Answer { status, next_update: Some(NOW + DAY), this_update: NOW - 60 })
        );
        for cut in 0..answer.len() {
            assert!(question.read(&answer[..cut], NOW).is_err(), "cut at {cut}");
        }
    }
    let forever = authority.answer(&question, GOOD, (NOW, None));
    assert_eq!(
        question.read(&forever, NOW),
        Ok(Answer { status: Status::Good, next_update: None, this_update: NOW })
    );
}

/// Nobody can make another answer out of a good one, whichever byte is changed.
#[test]
fn a_changed_answer_is_refused_or_the_same() {
    let authority = Authority::new("ca");
    let question = authority.question(&authority.issue("http://x", true).0);
    let answer = authority.answer(&question, &revoked(), (NOW, Some(NOW + DAY)));
    let said = question.read(&answer, NOW);
    assert!(said.is_ok());
    for at in 0..answer.len() {
        for bit in [1, 0x80] {
            let mut changed = answer.clone();
            changed[at] ^= bit;
            let read = question.read(&changed, NOW);
            assert!(read.is_err() || read == said, "byte {at}: {read:?}");
        }
    }
}

#[test]
fn an_answer_counts_in_its_time() {
    let authority = Authority::new("ca");
    let question = authority.question(&authority.issue("http://x", true).0);
    let read =
        |times| question.read(&authority.answer(&question, GOOD, times), NOW).map(|answer| answer.status);
    assert_eq!(read((NOW + 30, Some(NOW + DAY))), Ok(Status::Good));
    assert_eq!(read((NOW + 120, Some(NOW + DAY))), Err(Unusable::Future));
    assert_eq!(read((NOW - DAY, Some(NOW - 1))), Err(Unusable::Past));
}

#[test]
fn an_answer_about_another_certificate_is_none() {
    let authority = Authority::new("ca");
    let (one, other) = (authority.issue("http://x", true).0, authority.issue("http://x", true).0);
    let answer = authority.answer(&authority.question(&other), GOOD, (NOW, None));
    assert_eq!(authority.question(&one).read(&answer, NOW), Err(Unusable::Other));
}

#[test]
fn only_the_issuer_and_whom_it_allows_may_answer() {
    let authority = Authority::new("ca");
    let stranger = Authority::new("ca");
    let question = authority.question(&authority.issue("http://x", true).0);
    let delegate = |by: &Authority, may: bool| {
        let mut params = named("responder");
        if may {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::OcspSigning);
        }
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        by.sign(params)
    };
    let read = |(certificate, key): (CertificateDer<'static>, KeyPair), now: i64| {
        let answer = answer(
            &question.request(),
            GOOD,
            (NOW, None),
            &key,
            &[stranger.certificate.clone(), certificate],
        );
        question.read(&answer, now).map(|answer| answer.status)
    };
    assert_eq!(read(delegate(&authority, true), NOW), Ok(Status::Good));
    assert_eq!(read(delegate(&authority, false), NOW), Err(Unusable::Signature));
    assert_eq!(read(delegate(&stranger, true), NOW), Err(Unusable::Signature));
    assert_eq!(read(delegate(&authority, true), 2_000_000_000), Err(Unusable::Signature));
    let by_stranger = stranger.answer(&question, GOOD, (NOW, None));
    assert_eq!(question.read(&by_stranger, NOW), Err(Unusable::Signature));
    assert_eq!(question.read(&[0x30, 3, ENUMERATED, 1, 6], NOW), Err(Unusable::Refused(6)));
}

#[test]
fn the_issuer_is_the_one_that_signed() {
    let authority = Authority::new("ca");
    let (certificate, _) = authority.issue("http://x", true);
    let same_name = Authority::new("ca").certificate;
    let find =
        |issuers: &[CertificateDer<'static>]| Question::new(&certificate, issuers, algorithms()).is_some();
    assert!(!find(&[]));
    assert!(!find(std::slice::from_ref(&same_name)));
    assert!(find(&[same_name, authority.certificate.clone()]));
}

#[test]
fn certificates_say_what_they_wish() {
    let authority = Authority::new("ca");
    let wishes = |must_staple| Wishes::of(&authority.issue("http://x:1/y", must_staple).0);
    assert_eq!(wishes(true), Wishes { responders: vec!["http://x:1/y".into()], must_staple: true });
    assert_eq!(wishes(false), Wishes { responders: vec!["http://x:1/y".into()], must_staple: false });
    assert_eq!(Wishes::of(&authority.certificate), Wishes::default());
    assert_eq!(Wishes::of(b"no certificate"), Wishes::default());
}

/// A responder that gives each request what `say` makes of it, or status 404.
struct Responder {
    address: String,
    asked: Receiver<String>,
}

impl Responder {
    fn new(say: impl Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = format!("http://{}", listener.local_addr().expect("address"));
        let (tell, asked) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stream.ok().and_then(|stream| serve(stream, &say, &tell)).is_none() {
                    return;
                }
            }
        });
        Self { address, asked }
    }

    /// The methods of the requests so far.
    fn asked(&self) -> Vec<String> {
        self.asked.try_iter().collect()
    }
}

/// Answers one request; its method goes to `asked` before whoever asked can have the answer.
fn serve(
    stream: TcpStream,
    say: &impl Fn(&str, &[u8]) -> Option<Vec<u8>>,
    asked: &Sender<String>,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if method == "GET" {
        let base64 = path.trim_start_matches('/').replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
        body = data_encoding::BASE64.decode(base64.as_bytes()).ok()?;
    }
    let (status, said) = say(&method, &body).map_or((404, Vec::new()), |said| (200, said));
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", said.len());
    asked.send(method).ok()?;
    let mut stream = reader.into_inner();
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&said).ok()
}

/// A listener with one certificate, and the authority behind it.
struct Listener {
    authority: Authority,
    certificates: Certificates,
}

impl Listener {
    fn new(responder: &str, must_staple: bool) -> Self {
        let authority = Authority::new("ca");
        let (certificate, key) = authority.issue(responder, must_staple);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("key");
        let chain = vec![certificate, authority.certificate.clone()];
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).expect("pair");
        Self { authority, certificates: Certificates::new(vec![certified]) }
    }

    fn begin(&self, mode: OcspMode, urls: &[&str], store: Option<&Path>) -> Result<Staples, StapleError> {
        let urls = urls.iter().map(|&url| url.to_owned()).collect();
        let files = [PathBuf::from("cert.pem")];
        Staples::begin(&self.certificates, &files, &[], algorithms(), &Ocsp { mode, urls }, store)
    }

    fn key(&self) -> KeyPair {
        KeyPair::try_from(self.authority.key.serialize_der()).expect("key")
    }

    fn staple(&self) -> Option<Vec<u8>> {
        self.certificates.all().first().and_then(|certified| certified.ocsp.clone())
    }
}

/// A responder of this listener's authority, for whom `status` says what to say.
fn responder(listener: &Listener, status: impl Fn() -> Vec<u8> + Send + 'static) -> Responder {
    let key = listener.key();
    Responder::new(move |_, request| {
        let now = clock::now();
        Some(answer(request, &status(), (now, Some(now + DAY)), &key, &[]))
    })
}

#[test]
fn the_mode_and_the_certificate_decide() {
    let cases = [
        (OcspMode::Auto, false, None),
        (OcspMode::Auto, true, Some(Stop::No)),
        (OcspMode::Must, false, None),
        (OcspMode::Must, true, Some(Stop::Yes)),
        (OcspMode::Always, false, Some(Stop::Yes)),
        (OcspMode::Always, true, Some(Stop::Yes)),
        (OcspMode::Never, true, None),
    ];
    for (mode, must_staple, expected) in cases {
        assert_eq!(wanted(mode, must_staple), expected, "{mode:?} {must_staple}");
    }
}

#[test]
fn clients_get_the_staple() {
    let listener = Listener::new("http://127.0.0.1:1", true);
    let responder = responder(&listener, || GOOD.to_vec());
    let staples =
        listener.begin(OcspMode::Auto, &["http://127.0.0.1:1", &responder.address], None).expect("begun");
    assert!(!staples.are_none());
    let question = listener.authority.question(&listener.certificates.all()[0].cert[0]);
    let staple = listener.staple().expect("stapled");
    assert_eq!(question.read(&staple, clock::now()).expect("good").status, Status::Good);
    let news = staples.look_after(&listener.certificates, Instant::now());
    assert!(
        matches!(&news[..], [News::Good(text)] if text.starts_with("Found OCSP status for Client certificate at 'cert.pem': good")),
        "{news:?}"
    );
    assert_eq!(staples.look_after(&listener.certificates, Instant::now()), []);
    assert_eq!(responder.asked(), ["POST"]);
}

#[test]
fn who_knows_no_post_is_asked_by_get() {
    let listener = Listener::new("http://127.0.0.1:1", true);
    let key = listener.key();
    let responder = Responder::new(move |method, request| {
        (method == "GET").then(|| answer(request, GOOD, (clock::now(), None), &key, &[]))
    });
    listener.begin(OcspMode::Auto, &[&format!("{}/", responder.address)], None).expect("begun");
    assert!(listener.staple().is_some());
    assert_eq!(responder.asked(), ["POST", "GET"]);
}

#[test]
fn without_an_answer_there_is_no_start() {
    let listener = Listener::new("http://127.0.0.1:1", true);
    let problem = listener.begin(OcspMode::Auto, &[], None).expect_err("nobody there").to_string();
    assert!(
        problem.starts_with(
            "bad OCSP status update for certificate at 'cert.pem': exhausted ocsp servers: Post"
        ),
        "{problem}"
    );
    let listener = Listener::new("http://127.0.0.1:1", false);
    assert!(listener.begin(OcspMode::Auto, &[], None).expect("not needed").are_none());
    assert!(listener.begin(OcspMode::Always, &[], None).is_err());
}

#[test]
fn a_revoked_certificate_starts_only_where_that_is_no_matter() {
    let listener = Listener::new("http://x", true);
    let responder = responder(&listener, revoked);
    let begin = |mode| listener.begin(mode, &[&responder.address], None);
    let problem = begin(OcspMode::Must).expect_err("revoked").to_string();
    assert_eq!(problem, "found existing OCSP status for certificate at 'cert.pem': revoked");
    let staples = begin(OcspMode::Auto).expect("begun");
    let text = "Received OCSP status for Client certificate 'cert.pem': revoked".to_owned();
    assert_eq!(staples.look_after(&listener.certificates, Instant::now()), [News::Bad(text, Stop::No)]);
    // There is nothing more to ask.
    let later = Instant::now() + Duration::from_secs(10 * DAY as u64);
    assert_eq!(staples.look_after(&listener.certificates, later), []);
}

#[test]
fn a_certificate_that_is_revoked_later_stops_the_server() {
    let listener = Listener::new("http://x", false);
    let told = std::sync::atomic::AtomicBool::new(false);
    let responder = responder(&listener, move || {
        if told.swap(true, std::sync::atomic::Ordering::Relaxed) { revoked() } else { GOOD.to_vec() }
    });
    let staples = listener.begin(OcspMode::Always, &[&responder.address], None).expect("begun");
    staples.look_after(&listener.certificates, Instant::now());
    let half = Instant::now() + Duration::from_secs(DAY as u64 / 2 + 5);
    assert_eq!(staples.look_after(&listener.certificates, half - Duration::from_secs(60)), []);
    let text = "Received OCSP status for Client certificate 'cert.pem': revoked".to_owned();
    assert_eq!(staples.look_after(&listener.certificates, half), [News::Bad(text, Stop::Yes)]);
}

#[test]
fn a_responder_that_is_gone_costs_nothing_while_the_staple_counts() {
    let listener = Listener::new("http://x", true);
    let key = listener.key();
    let asked = std::sync::atomic::AtomicBool::new(false);
    let responder = Responder::new(move |_, request| {
        let first = !asked.swap(true, std::sync::atomic::Ordering::Relaxed);
        let now = clock::now();
        first.then(|| answer(request, GOOD, (now, Some(now + DAY)), &key, &[]))
    });
    let staples = listener.begin(OcspMode::Must, &[&responder.address], None).expect("begun");
    staples.look_after(&listener.certificates, Instant::now());
    let half = Instant::now() + Duration::from_secs(DAY as u64 / 2 + 5);
    let news = staples.look_after(&listener.certificates, half);
    assert!(matches!(&news[..], [News::Failed(text)] if text.contains("404")), "{news:?}");
    assert!(listener.staple().is_some());
    assert_eq!(staples.look_after(&listener.certificates, half), []);
}

#[test]
fn a_staple_is_kept_over_a_restart() {
    let store = tempfile::tempdir().expect("folder");
    let listener = Listener::new("http://127.0.0.1:1", true);
    let responder = responder(&listener, || GOOD.to_vec());
    listener.begin(OcspMode::Auto, &[&responder.address], Some(store.path())).expect("begun");
    let staple = listener.staple();
    listener.certificates.set_staple(0, None);
    listener.begin(OcspMode::Auto, &[], Some(store.path())).expect("from the store");
    assert_eq!(listener.staple(), staple);
    let file =
        fs::read_dir(store.path().join("ocsp")).expect("folder").next().expect("a file").expect("a file");
    assert_eq!(file.file_name().len(), 64);
    // What is damaged is asked for again.
    fs::write(file.path(), b"damaged").expect("written");
    assert!(listener.begin(OcspMode::Auto, &[], Some(store.path())).is_err());
    listener.begin(OcspMode::Auto, &[&responder.address], Some(store.path())).expect("asked again");
    assert_eq!(responder.asked().len(), 2);
}
