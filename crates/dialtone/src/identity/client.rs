//! A NATS connection with blocking calls, for a handful of requests as one user.

use anyhow::{Context as _, Result, bail, ensure};
use data_encoding::BASE64URL_NOPAD;
use dialtone_identity::creds::Credentials;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

const PORT_DEFAULT: u16 = 4222;
/// How long a server may take over each step of entering.
const ENTER_TIMEOUT: Duration = Duration::from_secs(10);
/// After an answer, how long others are waited for: nobody says how many servers there are.
const QUIET: Duration = Duration::from_millis(500);
/// Bytes of a message; a server sends no larger one.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of a protocol line.
const LINE_BYTES_MAX: usize = 256 * 1024;
/// Where systems keep the certificates of authorities.
const AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// A server to connect to.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    tls: bool,
}

impl Address {
    /// Reads `nats://host:port` or `tls://host:port`; of several, the first.
    pub fn parse(urls: &str) -> Result<Self> {
        let url = urls.split(',').next().unwrap_or_default().trim();
        let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
        let tls = match scheme {
            "nats" => false,
            "tls" => true,
            other => bail!("{url}: {other} is not carried out here; use nats:// or tls://"),
        };
        let rest = rest.trim_end_matches('/');
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let after_brackets = host.rsplit_once(']').map_or(host, |(_, after)| after);
        let (host, port) = match after_brackets.rsplit_once(':') {
            None => (host, PORT_DEFAULT),
            Some((_, port)) => {
                let host = host.get(..host.len() - port.len() - 1).unwrap_or_default();
                (host, port.parse().with_context(|| format!("{url}: `{port}` is no port"))?)
            }
        };
        let host = host.trim_matches(['[', ']']);
        ensure!(!host.is_empty(), "{url}: there is no host");
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

/// A connection that has entered.
pub struct Client {
    stream: Stream,
    /// What was read and not yet used.
    buffer: Vec<u8>,
    inbox: String,
    requests: u64,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.get_ref(),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }
}

/// What a server sends.
enum Operation {
    Info(Value),
    Message { sid: u64, payload: Vec<u8>, no_responders: bool },
    Ping,
    Error(String),
    Other,
}

/// Who enters.
pub enum Login {
    /// Whoever a connection without credentials is.
    Nobody,
    /// A user with its password.
    Password(String, Zeroizing<String>),
    /// A user with its JWT and seed.
    Signed(Box<Credentials>),
}

impl Login {
    /// How people call it.
    fn name(&self) -> &str {
        match self {
            Self::Nobody => "without credentials",
            Self::Password(user, _) => user,
            Self::Signed(user) => &user.token.name,
        }
    }
}

impl Client {
    /// Connects and enters as this user. `authorities`: a file with the certificates that verify servers.
    pub fn connect(address: &Address, user: &Login, authorities: Option<&Path>) -> Result<Self> {
        let at = || format!("server {}:{}", address.host, address.port);
        let stream = Stream::Plain(open(address).with_context(at)?);
        let inbox = format!("_INBOX.{:032x}", rand::random::<u128>());
        let mut client = Self { stream, buffer: Vec::new(), inbox, requests: 0 };
        client.enter(address, user, authorities).with_context(at)?;
        Ok(client)
    }

    fn enter(&mut self, address: &Address, user: &Login, authorities: Option<&Path>) -> Result<()> {
        let until = Instant::now() + ENTER_TIMEOUT;
        let Some(Operation::Info(info)) = self.next(until)? else {
            bail!("it does not speak the NATS protocol")
        };
        let is_set = |field: &str| info.get(field).and_then(Value::as_bool).unwrap_or(false);
        if address.tls || is_set("tls_required") {
            self.encrypt(address, authorities)?;
        }
        let nonce = info.get("nonce").and_then(Value::as_str).unwrap_or_default();
        let mut connect = json!({
            "verbose": false, "pedantic": false, "lang": "dialtone-identity", "version": env!("CARGO_PKG_VERSION"),
            "protocol": 1, "headers": true, "no_responders": true, "name": "dialtone identity",
        });
        match user {
            Login::Nobody => {}
            Login::Password(user, password) => {
                connect["user"] = user.as_str().into();
                connect["pass"] = password.as_str().into();
            }
            Login::Signed(user) => {
                connect["jwt"] = user.jwt.as_str().into();
                connect["sig"] = BASE64URL_NOPAD.encode(&user.seed.sign(nonce.as_bytes())).into();
            }
        }
        self.stream.send(format!("CONNECT {connect}\r\nSUB {}.* 1\r\nPING\r\n", self.inbox).as_bytes())?;
        loop {
            match self.next(until)?.context("it does not let in")? {
                Operation::Error(text) => bail!("it refuses user `{}`: {text}", user.name()),
                Operation::Other => return Ok(()),
                _ => {}
            }
        }
    }

    fn encrypt(&mut self, address: &Address, authorities: Option<&Path>) -> Result<()> {
        let name = ServerName::try_from(address.host.clone()).context("not a name that TLS can verify")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(authorities)?)
            .with_no_client_auth();
        let mut session = ClientConnection::new(Arc::new(config), name)?;
        let mut socket = self.stream.socket().try_clone()?;
        socket.set_read_timeout(Some(ENTER_TIMEOUT))?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).context("TLS handshake")?;
        }
        self.stream = Stream::Tls(Box::new(StreamOwned::new(session, socket)));
        Ok(())
    }

    /// Sends a request, and returns what is answered: the first answer within `timeout`, and those that follow closely, until
    /// `is_last` says that nothing does.
    pub fn request(
        &mut self,
        subject: &str,
        payload: &[u8],
        timeout: Duration,
        is_last: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<Vec<u8>>> {
        self.requests += 1;
        let mut line =
            format!("PUB {subject} {}.{} {}\r\n", self.inbox, self.requests, payload.len()).into_bytes();
        line.extend_from_slice(payload);
        line.extend_from_slice(b"\r\n");
        self.stream.send(&line)?;
        let mut answers = Vec::new();
        let mut until = Instant::now() + timeout;
        while let Some(operation) = self.next(until)? {
            match operation {
                Operation::Message { no_responders: true, .. } => {
                    bail!(
                        "no server answers to {subject}: is its resolver of another kind, or the user not of the system account?"
                    )
                }
                Operation::Message { sid: 1, payload, .. } => {
                    let last = is_last(&payload);
                    answers.push(payload);
                    if last {
                        break;
                    }
                    until = Instant::now() + QUIET;
                }
                Operation::Error(text) => bail!("the server refuses: {text}"),
                _ => {}
            }
        }
        ensure!(!answers.is_empty(), "no answer to {subject} within {timeout:?}");
        Ok(answers)
    }

    /// The next operation; `None` when none comes in time. PINGs are answered.
    fn next(&mut self, until: Instant) -> Result<Option<Operation>> {
        loop {
            if let Some((operation, used)) = parse(&self.buffer)? {
                self.buffer.drain(..used);
                if matches!(operation, Operation::Ping) {
                    self.stream.send(b"PONG\r\n")?;
                    continue;
                }
                return Ok(Some(operation));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.socket().set_read_timeout(Some(left))?;
            let mut chunk = [0; 16 * 1024];
            let read = match &mut self.stream {
                Stream::Plain(socket) => socket.read(&mut chunk),
                Stream::Tls(tls) => tls.read(&mut chunk),
            };
            match read {
                Ok(0) => bail!("the server closed the connection"),
                Ok(count) => self.buffer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading from the server"),
            }
        }
    }
}

/// The first operation in `bytes` and its length; `None` while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Operation, usize)>> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        ensure!(bytes.len() <= LINE_BYTES_MAX, "the server sends a line without end");
        return Ok(None);
    };
    let line = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
    let operation = match verb {
        "INFO" => Operation::Info(serde_json::from_str(rest).context("the server's INFO is no JSON")?),
        "PING" => Operation::Ping,
        "-ERR" => Operation::Error(rest.trim_matches('\'').to_owned()),
        "MSG" | "HMSG" => return message(verb, rest, bytes, end + 2),
        _ => Operation::Other,
    };
    // What a server sends without being asked is no answer to PING.
    let operation = if verb == "+OK" { return Ok(Some((Operation::Ping, end + 2))) } else { operation };
    Ok(Some((operation, end + 2)))
}

fn message(verb: &str, rest: &str, bytes: &[u8], start: usize) -> Result<Option<(Operation, usize)>> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let number = |word: Option<&&str>| word.and_then(|word| word.parse::<usize>().ok());
    let sid = words.get(1).and_then(|word| word.parse().ok()).context("a message that cannot be read")?;
    let total = number(words.last())
        .filter(|total| *total <= MESSAGE_BYTES_MAX)
        .context("a message that cannot be read")?;
    let headers = match verb {
        "HMSG" => number(words.len().checked_sub(2).and_then(|at| words.get(at))).unwrap_or(total),
        _ => 0,
    };
    let Some(body) = bytes.get(start..start + total) else { return Ok(None) };
    if bytes.len() < start + total + 2 {
        return Ok(None);
    }
    let (head, payload) = body.split_at_checked(headers).context("a message that cannot be read")?;
    let no_responders = head.starts_with(b"NATS/1.0 503");
    Ok(Some((Operation::Message { sid, payload: payload.to_vec(), no_responders }, start + total + 2)))
}

fn open(address: &Address) -> Result<TcpStream> {
    let mut last = None;
    for resolved in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&resolved, ENTER_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(ENTER_TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| ErrorKind::NotFound.into())).context("cannot connect")
}

/// The certificates that verify servers: of the file, else of the system.
pub fn roots(authorities: Option<&Path>) -> Result<RootCertStore> {
    let of_system = || {
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        named.into_iter().chain(AUTHORITIES.map(PathBuf::from)).find(|file| file.is_file())
    };
    let file = authorities.map(Path::to_owned).or_else(of_system);
    let file = file.context("no certificates of authorities are known here; say --tls-ca FILE")?;
    let reading = || format!("certificates of {}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&file).with_context(reading)? {
        // Systems keep some that are not understood here: the others count.
        let _ = roots.add(certificate.with_context(reading)?);
    }
    ensure!(!roots.is_empty(), "{} has no certificate", file.display());
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let address = |host: &str, port, tls| Address { host: host.to_owned(), port, tls };
        for (url, expected) in [
            ("nats://h:1", address("h", 1, false)),
            ("h", address("h", 4222, false)),
            ("tls://[::1]:2,nats://x", address("::1", 2, true)),
            ("nats://u:p@h/", address("h", 4222, false)),
        ] {
            assert_eq!(Address::parse(url).expect(url), expected);
        }
        for url in ["", "ws://h", "nats://h:x", "nats://:1", "http://h"] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn operations_are_read_when_they_are_whole() {
        let bytes = b"HMSG _INBOX.a.1 1 14 17\r\nNATS/1.0 200\r\nabc\r\nMSG b 2 r 2\r\nhi\r\n+OK\r\nPONG\r\n";
        let mut at = 0;
        let mut payloads = Vec::new();
        while let Some((operation, used)) = parse(&bytes[at..]).expect("readable") {
            if let Operation::Message { payload, .. } = operation {
                payloads.push(payload);
            }
            at += used;
        }
        assert_eq!((payloads, at), (vec![b"abc".to_vec(), b"hi".to_vec()], bytes.len()));
        for end in 0..44 {
            assert!(parse(&bytes[..end]).expect("readable").is_none(), "{end}");
        }
        for rubbish in
            ["MSG\r\n", "MSG a x 1\r\n", "MSG a 1 99999999999\r\n", "HMSG a 1 5 2\r\nhi\r\n", "INFO {\r\n"]
        {
            assert!(parse(rubbish.as_bytes()).is_err(), "{rubbish}");
        }
        assert!(parse(&[b'x'; LINE_BYTES_MAX + 1]).is_err());
    }
}
