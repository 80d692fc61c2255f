//! Where connections come in.

use crate::address::canonical;
use crate::socket::Socket;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    /// The number that its connections carry.
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
    /// Takes over a socket of [`crate::address::listen`].
    pub fn tcp(number: usize, socket: std::net::TcpListener) -> Self {
        let socket = mio::net::TcpListener::from_std(socket);
        Self { number, proxy_header: None, socket: Listening::Tcp(socket) }
    }

    /// Listens on a Unix-domain socket. The path must not exist, or be a socket that nobody listens on any more: a process that
    /// was killed leaves it behind, and the next one must be able to start.
    pub fn unix(number: usize, path: &Path) -> io::Result<Self> {
        let socket = match mio::net::UnixListener::bind(path) {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && is_left_behind(path) => {
                std::fs::remove_file(path)?;
                mio::net::UnixListener::bind(path)?
            }
            other => other?,
        };
        Ok(Self { number, proxy_header: None, socket: Listening::Unix(socket) })
    }

    /// Its connections may begin with a PROXY header, whose last byte, or the first of something else, must come within
    /// this time.
    pub fn proxy_header(mut self, timeout: Duration) -> Self {
        self.proxy_header = Some(timeout);
        self
    }

    pub(crate) fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match &self.socket {
            Listening::Tcp(listener) => {
                let (socket, remote) = listener.accept()?;
                // Without it small answers would wait for the peer's next acknowledgement.
                socket.set_nodelay(true)?;
                Ok((Socket::Tcp(socket), Some(canonical(remote))))
            }
            Listening::Unix(listener) => Ok((Socket::Unix(listener.accept()?.0), None)),
        }
    }
}

/// Whether the path is a socket without a listener. A path that is anything else is refused otherwise.
fn is_left_behind(path: &Path) -> bool {
    let refused = std::os::unix::net::UnixStream::connect(path).map_err(|e| e.kind());
    let is_socket = path.symlink_metadata().is_ok_and(|file| file.file_type().is_socket());
    is_socket && refused.err() == Some(io::ErrorKind::ConnectionRefused)
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        match &self.socket {
            Listening::Tcp(listener) => listener.as_raw_fd(),
            Listening::Unix(listener) => listener.as_raw_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_socket_that_a_dead_process_left_behind_is_taken_over() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("socket");
        // Dropping a listener of the standard library leaves the path, as a kill does.
        drop(UnixListener::bind(&path).expect("bind"));
        let listener = Listener::unix(0, &path).expect("taken over");
        let kind = |path: &Path| Listener::unix(0, path).map_err(|e| e.kind()).err();
        assert_eq!(kind(&path), Some(io::ErrorKind::AddrInUse), "somebody listens there");
        drop(listener);
        let file = folder.path().join("file");
        std::fs::write(&file, "mine").expect("write");
        assert_eq!(kind(&file), Some(io::ErrorKind::AddrInUse));
        assert_eq!(std::fs::read_to_string(&file).expect("read"), "mine");
    }
}
