//! A stream socket of either family.

use crate::pipe::PipeEnd;
use std::fmt::Debug;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

/// A stream socket, non-blocking.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(mio::net::TcpStream),
    /// A Unix-domain socket.
    Unix(mio::net::UnixStream),
    /// A pipe inside the process.
    Pipe(PipeEnd),
    /// None of the system's: only a [`crate::SteppedLoop`] can watch it.
    Carried(Box<dyn Carrier>),
}

/// What carries the bytes of a connection in the place of a socket of the system's. It does not block.
pub trait Carrier: Debug + Send + Sync {
    /// What it is called in place of a file descriptor.
    fn number(&self) -> RawFd;

    /// Takes what has come, as from a socket.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Takes as many bytes as there is room for, as a socket does.
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Nothing more is written, or read.
    fn shutdown(&self, how: Shutdown);
}

impl Socket {
    /// Two ends of one connection inside this process: one for the loops, and one that blocks.
    ///
    /// Errors: there are no more file descriptors.
    pub fn pair() -> io::Result<(Self, std::os::unix::net::UnixStream)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((Self::Unix(mio::net::UnixStream::from_std(ours)), theirs))
    }

    /// Reads what is there.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => (&mut &*socket).read(buffer),
            Self::Unix(socket) => (&mut &*socket).read(buffer),
            Self::Pipe(pipe) => pipe.read(buffer),
            Self::Carried(carrier) => carrier.read(buffer),
        }
    }

    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            (Self::Tcp(socket), [one]) => (&mut &*socket).write(one),
            (Self::Tcp(socket), _) => (&mut &*socket).write_vectored(slices),
            (Self::Unix(socket), [one]) => (&mut &*socket).write(one),
            (Self::Unix(socket), _) => (&mut &*socket).write_vectored(slices),
            (Self::Pipe(pipe), _) => pipe.write(slices),
            (Self::Carried(carrier), _) => carrier.write(slices),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) {
        // The peer may be gone already, which is what was wanted.
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown(how),
            Self::Unix(socket) => socket.shutdown(how),
            Self::Pipe(pipe) => {
                pipe.shutdown(how);
                Ok(())
            }
            Self::Carried(carrier) => {
                carrier.shutdown(how);
                Ok(())
            }
        };
    }

    /// This end's address, for TCP.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) | Self::Pipe(_) | Self::Carried(_) => None,
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(socket) => socket.as_raw_fd(),
            Self::Unix(socket) => socket.as_raw_fd(),
            // It has none, and nobody asks the system about it.
            Self::Pipe(_) => -1,
            Self::Carried(carrier) => carrier.number(),
        }
    }
}
