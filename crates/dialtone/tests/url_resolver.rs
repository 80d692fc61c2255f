//! A server that asks for account JWTs over HTTPS, with certificates that it verifies.

#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use data_encoding::BASE64URL_NOPAD;
use dialtone_identity::jwt::account::{Account, AccountLimits};
use dialtone_identity::jwt::claims::{Operator, User, UserLimits};
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::{Kind, Seed};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use waiting::{Bounded, NextLine, receive};

const ISSUED_AT: i64 = 1_700_000_000;
/// The accounts: one whose JWT comes at once, one whose JWT comes when the other is asked for, one that nobody has.
const QUICK: u8 = 1;
const SLOW: u8 = 2;
const MISSING: u8 = 3;

fn certificates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/tls")
}

fn seed(kind: Kind, number: u8) -> Seed {
    Seed::from_bytes(kind, [number; 32])
}

fn account(number: u8) -> (String, String) {
    let subject = seed(Kind::Account, number).public();
    let body = Account { limits: AccountLimits::unlimited(), ..Account::default() };
    let jwt = Draft::new(subject, "A", body).sign(&seed(Kind::Operator, 9), ISSUED_AT).expect("signed");
    (subject.to_string(), jwt)
}

/// Answers over TLS. A request for the slow account is told to the receiver, and answered when the quick one is asked for.
fn serve() -> (u16, Receiver<()>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificates().join("server.pem")).expect("a file").collect();
    let key = PrivateKeyDer::from_pem_file(certificates().join("server.key")).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain.expect("certificates"), key)
        .expect("a certificate");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let (asked, is_asked) = channel();
    let (quick, is_quick) = channel();
    let is_quick = Arc::new(Mutex::new(is_quick));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(config.clone()).expect("a session");
            let mut stream = rustls::StreamOwned::new(session, stream.expect("a connection"));
            let (asked, quick, is_quick) = (asked.clone(), quick.clone(), is_quick.clone());
            std::thread::spawn(move || answer(&mut stream, &asked, &quick, &is_quick));
        }
    });
    (port, is_asked)
}

fn answer(
    stream: &mut (impl Read + Write),
    asked: &Sender<()>,
    quick: &Sender<()>,
    is_quick: &Mutex<Receiver<()>>,
) {
    let mut line = String::new();
    if BufReader::new(&mut *stream).read_line(&mut line).is_err() {
        // A client that does not trust the certificate.
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default();
    let wanted = path.strip_prefix("/jwt/v1/accounts/").expect("the path of the address");
    let (status, body) = match [QUICK, SLOW].into_iter().find(|number| account(*number).0 == wanted) {
        Some(number) => ("200 OK", account(number).1),
        None if wanted.is_empty() => ("200 OK", String::new()),
        None => ("404 Not Found", String::new()),
    };
    if wanted == account(QUICK).0 {
        quick.send(()).expect("told");
    }
    if wanted == account(SLOW).0 {
        asked.send(()).expect("told");
        receive(&is_quick.lock().expect("a lock"), "the quick one is not asked for");
    }
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Whoever asked may have given up.
    let _ = stream.write_all((head + &body).as_bytes()).and_then(|()| stream.flush());
}

struct Server {
    process: Child,
    /// What it said until it listened or ended.
    log: String,
    port: Option<u16>,
}

impl Server {
    fn start(dir: &Path, address: &str, tls: &str) -> Self {
        let operator = seed(Kind::Operator, 9);
        let token = Draft::new(operator.public(), "O", Operator::default()).sign(&operator, ISSUED_AT);
        let config = format!(
            "host: 127.0.0.1, port: -1\noperator: {}\nresolver: URL({address})\n{tls}\n",
            token.expect("signed")
        );
        let file = dir.join("server.conf");
        std::fs::write(&file, config).expect("written");
        let mut process = Command::new(env!("CARGO_BIN_EXE_dialtone"))
            .arg("-c")
            .arg(file)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(process.stderr.take().expect("stderr")).lines();
        let mut log = String::new();
        let port = lines.find_map(|line| {
            let line = line.ok()?;
            log += &format!("{line}\n");
            line.split_once("Listening for client connections on ")?.1.rsplit_once(':')?.1.parse().ok()
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, log, port }
    }

    /// Says that it is a user of this account, and has not heard what comes of that.
    fn enter(&self, number: u8) -> BufReader<TcpStream> {
        let port = self.port.unwrap_or_else(|| panic!("it does not listen: {}", self.log));
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connected").bounded();
        let mut stream = BufReader::new(stream);
        let info = stream.next_line();
        let info: serde_json::Value = serde_json::from_str(info.trim_start_matches("INFO ")).expect("INFO");
        let user = seed(Kind::User, number);
        let signature = BASE64URL_NOPAD.encode(&user.sign(info["nonce"].as_str().expect("nonce").as_bytes()));
        let body = User { limits: UserLimits::unlimited(), ..User::default() };
        let jwt = Draft::new(user.public(), "U", body).sign(&seed(Kind::Account, number), ISSUED_AT);
        let connect = serde_json::json!({ "verbose": false, "jwt": jwt.expect("signed"), "sig": signature });
        stream.get_mut().write_all(format!("CONNECT {connect}\r\nPING\r\n").as_bytes()).expect("sent");
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn line(stream: &mut BufReader<TcpStream>) -> String {
    stream.next_line().trim_end().to_owned()
}

#[test]
fn accounts_are_asked_for_over_https_and_a_slow_answer_holds_up_no_other() {
    let dir = tempfile::tempdir().expect("dir");
    let (port, slow_is_asked) = serve();
    let tls = format!("resolver_tls {{ ca_file: {:?} }}", certificates().join("ca.pem"));
    let server = Server::start(dir.path(), &format!("https://localhost:{port}/jwt/v1/accounts/"), &tls);
    let mut missing = server.enter(MISSING);
    assert_eq!(line(&mut missing), "-ERR 'Authorization Violation'");
    let mut slow = server.enter(SLOW);
    receive(&slow_is_asked, "the slow one is not asked for");
    // If this one waited for the slow one, that would wait in vain.
    let mut quick = server.enter(QUICK);
    assert_eq!(line(&mut quick), "PONG");
    assert_eq!(line(&mut slow), "PONG");
    assert_eq!(line(&mut server.enter(SLOW)), "PONG");
}

#[test]
fn a_resolver_that_is_not_who_it_says_is_not_asked() {
    let dir = tempfile::tempdir().expect("dir");
    let (port, _slow_is_asked) = serve();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let other_file = dir.path().join("other.pem");
    std::fs::write(&other_file, other.cert.pem()).expect("written");
    let tls = format!("resolver_tls {{ ca_file: {other_file:?} }}");
    let server = Server::start(dir.path(), &format!("https://localhost:{port}/jwt/v1/accounts/"), &tls);
    assert!(server.port.is_none() && server.log.contains("could not fetch"), "{}", server.log);
    let trusting = format!("resolver_tls {{ ca_file: {:?} }}", certificates().join("ca.pem"));
    let server = Server::start(dir.path(), &format!("https://127.0.0.2:{port}/jwt/v1/accounts/"), &trusting);
    assert!(server.port.is_none(), "{}", server.log);
    let server = Server::start(dir.path(), &format!("https://localhost:{port}/jwt/v1/accounts/"), "");
    assert!(server.port.is_none() && server.log.contains("could not fetch"), "{}", server.log);
}
