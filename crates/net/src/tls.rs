//! TLS between a socket and the protocol. Whoever writes to a connection encrypts, in turn: the lock keeps records in
//! order.

use crate::socket::Socket;
use rustls::{ClientConfig, ClientConnection, Connection, ProtocolVersion, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// Plain bytes that are encrypted before the socket is asked to take them.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// One connection's TLS.
pub(crate) struct Tls {
    connection: Box<Connection>,
}

/// TLS as the end that connects.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// Whom it trusts, and the certificate that it shows.
    pub config: Arc<ClientConfig>,
    /// Whose certificate the other end must show.
    pub name: ServerName<'static>,
    /// How long the handshake may take.
    pub timeout: Duration,
}

/// What a handshake agreed on.
#[derive(Clone, Debug, Default)]
pub struct Secured {
    /// The protocol version, such as `1.3`.
    pub version: &'static str,
    /// The cipher suite's standard name.
    pub cipher_suite: String,
    /// The peer's certificates, its own first.
    pub certificates: Vec<rustls_pki_types::CertificateDer<'static>>,
}

/// What came of encrypted bytes.
pub(crate) enum Decrypted {
    /// Plain bytes were put into the buffer; there may be more.
    Bytes(usize),
    /// The input is used up.
    NeedsMore,
    /// The peer says that nothing more comes.
    Eof,
}

impl Tls {
    /// The end that was connected to.
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self::of(ServerConnection::new(config)?.into()))
    }

    /// The end that connected.
    pub(crate) fn client(tls: &ClientTls) -> Result<Self, rustls::Error> {
        Ok(Self::of(ClientConnection::new(tls.config.clone(), tls.name.clone())?.into()))
    }

    fn of(mut connection: Connection) -> Self {
        connection.set_buffer_limit(Some(WRITE_BYTES_MAX));
        Self { connection: Box::new(connection) }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Encrypts and writes. What was encrypted counts as written: it leaves before anything else does.
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>], socket: &Socket) -> io::Result<usize> {
        if self.connection.is_handshaking() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.flush(socket)?;
        let taken = self.connection.writer().write_vectored(slices)?;
        match self.flush(socket) {
            Ok(()) => Ok(taken),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && taken > 0 => Ok(taken),
            Err(e) => Err(e),
        }
    }

    /// Writes the encrypted bytes that wait.
    pub(crate) fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Plain(socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Decrypts from the front of `input`, moving it on, into `plain`.
    pub(crate) fn read(&mut self, input: &mut &[u8], plain: &mut [u8]) -> Result<Decrypted, rustls::Error> {
        loop {
            match self.connection.reader().read(plain) {
                Ok(0) => return Ok(Decrypted::Eof),
                Ok(bytes) => return Ok(Decrypted::Bytes(bytes)),
                // The socket shows an end without a goodbye.
                Err(_) if input.is_empty() => return Ok(Decrypted::NeedsMore),
                Err(_) => {}
            }
            if self.connection.read_tls(input).is_err() {
                return Err(rustls::Error::General("record buffer is full".into()));
            }
            self.connection.process_new_packets()?;
        }
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn goodbye(&mut self, socket: &Socket) {
        self.connection.send_close_notify();
        // The peer may be gone, or not reading; then it does not miss a goodbye.
        let _ = self.flush(socket);
    }

    /// What was agreed on.
    pub(crate) fn secured(&self) -> Secured {
        Secured {
            version: match self.connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "1.3",
                Some(ProtocolVersion::TLSv1_2) => "1.2",
                _ => "unknown",
            },
            cipher_suite: self
                .connection
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str().map(|name| name.replace("TLS13_", "TLS_")))
                .unwrap_or_default(),
            certificates: self
                .connection
                .peer_certificates()
                .map(|certificates| certificates.iter().map(|c| c.clone().into_owned()).collect())
                .unwrap_or_default(),
        }
    }
}

struct Plain<'a>(&'a Socket);

impl Write for Plain<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
