//! How connections come to be, and connecting to others.

use crate::tls::ClientTls;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How a connection came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The other end connected by the listener with this number, or was handed over as if.
    Listener(usize),
    /// This end connected: the number of its [`Dial`].
    Dialed(u64),
}

/// A connection that is wanted.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The number that the connection carries, or what is said of it if there is none.
    pub number: u64,
    /// Where to, one after the other until one answers. Names are resolved before, since that may take long.
    pub addresses: Vec<SocketAddr>,
    /// How long each of them may take.
    pub timeout: Duration,
    /// TLS that the connection begins with, before anything is said; `None`: it begins in plain.
    pub tls: Option<ClientTls>,
}

/// Why there is no connection: what came of each address.
#[derive(Debug, Default)]
pub struct DialError {
    /// In the order in which they were tried.
    pub tried: Vec<(SocketAddr, io::Error)>,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tried.is_empty() {
            return f.write_str("there is no address to connect to");
        }
        for (number, (address, why)) in self.tried.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{address}: {why}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DialError {}
