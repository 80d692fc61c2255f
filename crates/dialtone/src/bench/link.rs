//! One client connection of the generator: entered with blocking calls, then non-blocking under a `mio` poll.

use super::operations::{Operation, Operations};
use super::target::{Target, Transport};
use super::websocket::WebSocket;
use anyhow::{Context as _, Result, bail, ensure};
use mio::{Interest, Registry, Token};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

/// How long a server may take over each step of entering.
const ENTER_TIMEOUT: Duration = Duration::from_secs(30);
/// Ciphertext read at once.
const TLS_READ_BYTES: usize = 64 * 1024;
/// Room for what one turn of the generator reads from one connection.
pub const READ_BYTES: usize = 256 * 1024;

/// A connection that has entered.
pub struct Link {
    stream: Stream,
    /// What must go out before anything else.
    queued: Vec<u8>,
}

enum Stream {
    Plain(mio::net::TcpStream),
    Tls(Box<TlsStream>),
    WebSocket(Box<WebSocket>),
}

/// What a read found.
pub struct Found {
    /// Bytes put into the buffer.
    pub bytes: usize,
    /// The connection may hold more; false means that the poll will tell.
    pub more: bool,
}

impl Link {
    /// Connects, enters, sends `setup` (subscriptions) and waits until the server has carried it out.
    ///
    /// Errors: no connection, a server that is none, an -ERR as answer.
    pub fn open(target: &Target, setup: &[u8]) -> Result<(Link, Operations)> {
        let at = || format!("server {}", target.address);
        let mut operations = Operations::default();
        let stream = connect(&target.address).with_context(at)?;
        if let Transport::WebSocket { compression } = target.transport {
            let mut socket = WebSocket::upgrade(stream, &target.address, compression).with_context(at)?;
            let info = wait_for(&mut socket, &mut operations, info).with_context(at)?;
            socket.write_all(&entry(target, setup, &info).with_context(at)?)?;
            wait_for(&mut socket, &mut operations, pong).with_context(at)?;
            set_nonblocking(&socket.socket)?;
            return Ok((
                Link { stream: Stream::WebSocket(Box::new(socket)), queued: Vec::new() },
                operations,
            ));
        }
        let info = wait_for(&mut &stream, &mut operations, info).with_context(at)?;
        let entry = entry(target, setup, &info).with_context(at)?;
        let demands_tls = info.get("tls_required").and_then(serde_json::Value::as_bool).unwrap_or(false);
        let stream = if target.tls || demands_tls {
            let mut tls = TlsStream::handshake(stream, target).with_context(at)?;
            tls.enter(&entry, &mut operations).with_context(at)?;
            Stream::Tls(Box::new(tls))
        } else {
            (&stream).write_all(&entry).with_context(at)?;
            wait_for(&mut &stream, &mut operations, pong).with_context(at)?;
            stream.set_nonblocking(true)?;
            Stream::Plain(mio::net::TcpStream::from_std(stream))
        };
        Ok((Link { stream, queued: Vec::new() }, operations))
    }

    /// Makes the poll report this connection as `token`: always when it can be read, and on demand when written.
    pub fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> Result<()> {
        let socket = match &mut self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &mut tls.socket,
            Stream::WebSocket(socket) => &mut socket.socket,
        };
        Ok(registry.register(socket, token, interest)?)
    }

    /// Reads what is there; `None` when nothing is. Errors: the server closed the connection.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Option<Found>> {
        let room = buffer.len();
        let (result, plain) = match &mut self.stream {
            Stream::Plain(socket) => (socket.read(buffer), true),
            Stream::Tls(tls) => (tls.read(buffer), false),
            Stream::WebSocket(socket) => (socket.read(buffer), false),
        };
        match result {
            Ok(0) => bail!("the server closed the connection"),
            Ok(bytes) => Ok(Some(Found { bytes, more: !plain || bytes == room })),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Some(Found { bytes: 0, more: true })),
            Err(error) => Err(error).context("reading from the server"),
        }
    }

    /// Sends some of `bytes` and returns how many; fewer than all means that the poll will tell when to go on. What is
    /// queued must be gone.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        debug_assert!(self.queued.is_empty(), "what is queued goes first");
        write_some(&mut self.stream, bytes)
    }

    /// Puts bytes in line for [`Link::flush`].
    pub fn queue(&mut self, bytes: &[u8]) {
        self.queued.extend_from_slice(bytes);
    }

    /// Sends what is queued, and what TLS still holds; true when all is gone.
    pub fn flush(&mut self) -> Result<bool> {
        if let Stream::Tls(tls) = &mut self.stream
            && !tls.flush().context("writing to the server")?
        {
            return Ok(false);
        }
        if let Stream::WebSocket(socket) = &mut self.stream
            && !socket.flush_frame().context("writing to the server")?
        {
            return Ok(false);
        }
        if self.queued.is_empty() {
            return Ok(true);
        }
        let sent = write_some(&mut self.stream, &self.queued)?;
        self.queued.drain(..sent);
        Ok(self.queued.is_empty())
    }
}

fn write_some(stream: &mut Stream, bytes: &[u8]) -> Result<usize> {
    let result = match stream {
        Stream::Plain(socket) => socket.write(bytes),
        Stream::Tls(tls) => tls.write(bytes),
        Stream::WebSocket(socket) => socket.send(bytes),
    };
    match result {
        Ok(sent) => Ok(sent),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        Err(error) => Err(error).context("writing to the server"),
    }
}

/// A blocking connection, whose reads and writes have a time. Errors: none of the addresses answers.
pub fn connect(address: &str) -> Result<TcpStream> {
    let mut last = None;
    for resolved in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&resolved, ENTER_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(ENTER_TIMEOUT))?;
                stream.set_write_timeout(Some(ENTER_TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| ErrorKind::NotFound.into())).context("cannot connect")
}

/// Reads with blocking calls until `wanted` finds its operation. Errors: an -ERR, or the end of the connection.
fn wait_for<T>(
    from: &mut impl Read,
    operations: &mut Operations,
    wanted: impl Fn(&Operation<'_>) -> Option<T>,
) -> Result<T> {
    let mut buffer = [0; 16 * 1024];
    loop {
        while let Some(operation) = operations.next()? {
            if let Operation::Error(text) = &operation {
                bail!("the server refused: {text}");
            }
            if let Some(found) = wanted(&operation) {
                return Ok(found);
            }
        }
        let bytes = from.read(&mut buffer).context("waiting for the server")?;
        ensure!(bytes > 0, "the server closed the connection");
        operations.push(buffer.get(..bytes).unwrap_or_default());
    }
}

/// The server's INFO.
fn info(operation: &Operation<'_>) -> Option<serde_json::Value> {
    match operation {
        Operation::Info(json) => Some(serde_json::from_slice(json).unwrap_or_default()),
        _ => None,
    }
}

/// What a client sends first: CONNECT, the setup, and a PING whose answer shows that all is carried out.
///
/// Errors: INFO is no JSON.
fn entry(target: &Target, setup: &[u8], info: &serde_json::Value) -> Result<Vec<u8>> {
    ensure!(info.is_object(), "the server's INFO is no JSON");
    let nonce = info.get("nonce").and_then(serde_json::Value::as_str).unwrap_or_default();
    let mut entry = format!("CONNECT {}\r\n", target.connect_json(nonce)).into_bytes();
    entry.extend_from_slice(setup);
    entry.extend_from_slice(b"PING\r\n");
    Ok(entry)
}

fn pong(operation: &Operation<'_>) -> Option<()> {
    (*operation == Operation::Pong).then_some(())
}

/// TLS over a socket. Ciphertext is read in large pieces, since `rustls` itself asks for small ones.
struct TlsStream {
    session: ClientConnection,
    socket: mio::net::TcpStream,
    raw: Vec<u8>,
    raw_used: usize,
}

impl TlsStream {
    /// Makes the handshake with blocking calls and leaves the socket blocking.
    fn handshake(mut stream: TcpStream, target: &Target) -> Result<TlsStream> {
        let address = target.address.as_str();
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned())
            .with_context(|| format!("`{host}` is no TLS server name"))?;
        let config = target.tls_config.clone().map_or_else(|| trusting_config().map(Arc::new), Ok)?;
        let mut session = ClientConnection::new(config, name)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream).context("TLS handshake")?;
        }
        Ok(TlsStream { session, socket: mio::net::TcpStream::from_std(stream), raw: Vec::new(), raw_used: 0 })
    }

    fn enter(&mut self, entry: &[u8], operations: &mut Operations) -> Result<()> {
        let mut blocking = rustls::Stream::new(&mut self.session, &mut self.socket);
        blocking.write_all(entry)?;
        blocking.flush()?;
        wait_for(&mut blocking, operations, pong)?;
        set_nonblocking(&self.socket)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if self.raw_used == self.raw.len() {
                self.raw.resize(TLS_READ_BYTES, 0);
                let read = self.socket.read(&mut self.raw);
                self.raw.truncate(*read.as_ref().unwrap_or(&0));
                self.raw_used = 0;
                if read? == 0 {
                    return Ok(0);
                }
            }
            let mut unread = self.raw.get(self.raw_used..).unwrap_or_default();
            self.raw_used += self.session.read_tls(&mut unread)?;
            self.session.process_new_packets().map_err(io::Error::other)?;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.flush()? {
            return Ok(0);
        }
        let taken = self.session.writer().write(bytes)?;
        self.flush()?;
        Ok(taken)
    }

    /// True when all ciphertext is in the socket.
    fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// `mio` sockets have no such call of their own.
fn set_nonblocking(socket: &mio::net::TcpStream) -> Result<()> {
    Ok(rustix::io::ioctl_fionbio(socket, true)?)
}

fn trusting_config() -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// Accepts every certificate: unless it is told whom to trust, a load generator measures a server and need not trust it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
