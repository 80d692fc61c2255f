//! Where a server listens: from a host as it is written to a socket, in one way for every listener.
//!
//! The rules are those of the official server: `0.0.0.0`, which stands for no host too, is all addresses of IPv4 and IPv6; of a
//! name with several addresses the first of IPv4 is taken.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;
/// What no host stands for.
const ALL: &str = "0.0.0.0";

/// Why a host cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It is no address, and no name of one.
    #[error("cannot resolve the address {0:?}")]
    Host(String),
    /// The system refuses the address.
    #[error("{address}, {cause}")]
    Bind {
        /// Host and port as they are written.
        address: String,
        /// Why.
        cause: io::Error,
    },
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: Box<str>,
    address: SocketAddr,
    /// It takes both families, though the address is of one.
    both_families: bool,
}

impl Endpoint {
    /// The address that was asked for, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Whether it can be reached by IPv6.
    pub fn takes_v6(&self) -> bool {
        self.both_families || self.address.is_ipv6()
    }
}

/// The host as it is written, with the port.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_port(&self.host, self.port()))
    }
}

fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Listens on a host, an address or a name; empty: on all addresses. Port 0 takes a free one.
///
/// # Errors
/// See [`ListenError`].
pub fn listen(host: &str, port: u16) -> Result<(TcpListener, Endpoint), ListenError> {
    listen_by(host, port, bind, TcpListener::local_addr)
}

/// The same for datagrams.
///
/// # Errors
/// See [`ListenError`].
pub fn listen_udp(host: &str, port: u16) -> Result<(UdpSocket, Endpoint), ListenError> {
    listen_by(host, port, bind_udp, UdpSocket::local_addr)
}

fn listen_by<T>(
    host: &str,
    port: u16,
    bind: impl FnMut(SocketAddr, Families) -> io::Result<T>,
    local: impl Fn(&T) -> io::Result<SocketAddr>,
) -> Result<(T, Endpoint), ListenError> {
    let host = if host.is_empty() { ALL } else { host };
    let found = (host, port).to_socket_addrs().ok();
    let address = found.and_then(|found| in_order(found).into_iter().next());
    let address = address.ok_or_else(|| ListenError::Host(host.to_owned()))?;
    let bound = first_bound(address, bind).and_then(|(socket, both_families)| {
        let port = local(&socket)?.port();
        let address = SocketAddr::new(address.ip(), port);
        Ok((socket, Endpoint { host: host.into(), address, both_families }))
    });
    bound.map_err(|cause| ListenError::Bind { address: with_port(host, port), cause })
}

/// The addresses of a name in the order in which they are tried: those of IPv4 first, otherwise as the system has them.
pub fn in_order(found: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = found.into_iter().map(canonical).collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found
}

/// An IPv4 address that is written as one of IPv6, as it is at a socket for both, is one of IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

/// Which families a socket takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    Both,
    One,
}

/// Binds all addresses for both families, if the machine has IPv6; else, and anything else, as it is. Whether the socket takes both.
fn first_bound<T>(
    address: SocketAddr,
    mut bind: impl FnMut(SocketAddr, Families) -> io::Result<T>,
) -> io::Result<(T, bool)> {
    if address.ip().is_unspecified() {
        let all = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
        match bind(all, Families::Both) {
            Ok(bound) => return Ok((bound, true)),
            // Somebody else has the port, or this user may not.
            Err(e) if matches!(e.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
                return Err(e);
            }
            Err(e) if address.is_ipv6() => return Err(e),
            Err(_) => {}
        }
    }
    Ok((bind(address, Families::One)?, false))
}

fn bind_udp(address: SocketAddr, families: Families) -> io::Result<UdpSocket> {
    use socket2::{Domain, Protocol, Type};
    let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(families == Families::One)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn bind(address: SocketAddr, families: Families) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Type};
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(families == Families::One)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn addresses_of_ipv4_come_first() {
        #[track_caller]
        fn check(found: &[&str], order: &[&str]) {
            assert_eq!(in_order(addresses(found)), addresses(order));
        }
        check(&["[::1]:1", "127.0.0.1:1"], &["127.0.0.1:1", "[::1]:1"]);
        check(
            &["[::2]:1", "10.0.0.2:1", "[::1]:1", "10.0.0.1:1"],
            &["10.0.0.2:1", "10.0.0.1:1", "[::2]:1", "[::1]:1"],
        );
        check(&["[::1]:1"], &["[::1]:1"]);
        check(&["[::ffff:127.0.0.1]:1"], &["127.0.0.1:1"]);
    }

    /// What is bound in turn, where binding IPv6 fails like this.
    fn tried(
        address: &str,
        v6: Result<(), io::ErrorKind>,
    ) -> (Vec<(String, Families)>, Result<bool, io::ErrorKind>) {
        let mut tried = Vec::new();
        let address = address.parse().expect("an address");
        let bound = first_bound(address, |address, families| {
            tried.push((address.to_string(), families));
            if address.is_ipv6() { v6.map_err(io::Error::from) } else { Ok(()) }
        });
        (tried, bound.map(|((), both)| both).map_err(|e| e.kind()))
    }

    #[test]
    fn all_addresses_are_those_of_both_families_if_there_are_both() {
        let both = ("[::]:7".to_owned(), Families::Both);
        let v4 = ("0.0.0.0:7".to_owned(), Families::One);
        assert_eq!(tried("0.0.0.0:7", Ok(())), (vec![both.clone()], Ok(true)));
        assert_eq!(tried("[::]:7", Ok(())), (vec![both.clone()], Ok(true)));
        // A machine without IPv6.
        let absent = Err(io::ErrorKind::Unsupported);
        assert_eq!(tried("0.0.0.0:7", absent), (vec![both.clone(), v4], Ok(false)));
        assert_eq!(tried("[::]:7", absent), (vec![both.clone()], Err(io::ErrorKind::Unsupported)));
        // Half of what was asked for is not enough.
        let taken = Err(io::ErrorKind::AddrInUse);
        assert_eq!(tried("0.0.0.0:7", taken), (vec![both], Err(io::ErrorKind::AddrInUse)));
        assert_eq!(tried("127.0.0.1:7", absent), (vec![("127.0.0.1:7".into(), Families::One)], Ok(false)));
        assert_eq!(tried("[::1]:7", Ok(())), (vec![("[::1]:7".into(), Families::One)], Ok(false)));
    }

    #[test]
    fn an_endpoint_is_spoken_of_as_it_was_asked_for() {
        let (socket, endpoint) = listen("127.0.0.1", 0).expect("listen");
        let port = socket.local_addr().expect("address").port();
        assert_eq!((endpoint.to_string(), endpoint.port()), (format!("127.0.0.1:{port}"), port));
        assert!(!endpoint.takes_v6());
        let (_socket, endpoint) = listen("", 0).expect("listen");
        assert_eq!(endpoint.to_string(), format!("0.0.0.0:{}", endpoint.port()));
        assert_eq!(with_port("::1", 7), "[::1]:7");
        let (_socket, endpoint) = listen("::ffff:127.0.0.1", 0).expect("listen");
        assert_eq!(endpoint.address().ip(), IpAddr::from([127, 0, 0, 1]));
        assert!(matches!(listen("[::1]", 0), Err(ListenError::Host(_))));
    }
}
