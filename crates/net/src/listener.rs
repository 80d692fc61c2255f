//! Where connections come in.

use crate::link::Socket;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    /// The number that its connections are told apart by.
    pub number: usize,
    /// Connections may begin with a PROXY header, and how long it may take.
    pub proxy_header: Option<Duration>,
    socket: Listening,
}

#[derive(Debug)]
enum Listening {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener),
}

impl Listener {
    /// Listens on a TCP address. An unspecified IPv6 address takes IPv4 too.
    pub fn tcp(number: usize, address: SocketAddr) -> io::Result<Self> {
        use socket2::{Domain, Protocol, Type};
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self {
            number,
            proxy_header: None,
            socket: Listening::Tcp(mio::net::TcpListener::from_std(socket.into())),
        })
    }

    /// Listens on a Unix-domain socket. The path must not exist.
    pub fn unix(number: usize, path: &Path) -> io::Result<Self> {
        Ok(Self { number, proxy_header: None, socket: Listening::Unix(mio::net::UnixListener::bind(path)?) })
    }

    /// Its connections may begin with a PROXY header, whose last byte, or the first of something else, must come within
    /// this time.
    pub fn proxy_header(mut self, timeout: Duration) -> Self {
        self.proxy_header = Some(timeout);
        self
    }

    /// The address it has, with the port that the system chose.
    pub fn local(&self) -> Option<SocketAddr> {
        match &self.socket {
            Listening::Tcp(listener) => listener.local_addr().ok(),
            Listening::Unix(_) => None,
        }
    }

    pub(crate) fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match &self.socket {
            Listening::Tcp(listener) => {
                let (socket, remote) = listener.accept()?;
                // Without it small answers would wait for the peer's next acknowledgement.
                socket.set_nodelay(true)?;
                Ok((Socket::Tcp(socket), Some(remote)))
            }
            Listening::Unix(listener) => Ok((Socket::Unix(listener.accept()?.0), None)),
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        match &self.socket {
            Listening::Tcp(listener) => listener.as_raw_fd(),
            Listening::Unix(listener) => listener.as_raw_fd(),
        }
    }
}
