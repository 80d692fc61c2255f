//! The PROXY protocol, versions 1 and 2: who is really behind a load balancer.
//! Source: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Bytes of a version 1 line, CRLF included.
const V1_BYTES_MAX: usize = 107;
/// Bytes behind a version 2 header: the addresses and a bounded number of extensions.
const V2_BODY_BYTES_MAX: usize = 4096;
/// How long a peer may take to send the header. The official figure.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who is behind the proxy; `None` if the proxy speaks for itself (LOCAL, UNKNOWN).
    pub source: Option<SocketAddr>,
    /// Bytes that the header took.
    pub used: usize,
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// The bytes are something else: the connection did not come through a proxy.
    Absent,
    /// The header is wrong, for this reason.
    Bad(&'static str),
}

/// Reads the header at the front of `input`. `None` while it is not whole; no error, then, as long as it could be one.
///
/// Errors: see [`NoHeader`].
pub fn parse(input: &[u8]) -> Result<Option<Header>, NoHeader> {
    let begins = |start: &[u8]| input.iter().zip(start).all(|(a, b)| a == b);
    if begins(b"PROXY ") {
        version_1(input).map_err(NoHeader::Bad)
    } else if begins(V2_SIGNATURE) {
        version_2(input).map_err(NoHeader::Bad)
    } else {
        Err(NoHeader::Absent)
    }
}

fn version_1(input: &[u8]) -> Result<Option<Header>, &'static str> {
    let window = input.get(..V1_BYTES_MAX).unwrap_or(input);
    let Some(end) = window.windows(2).position(|w| w == b"\r\n") else {
        return if input.len() >= V1_BYTES_MAX { Err("proxy protocol v1 line too long") } else { Ok(None) };
    };
    let line = std::str::from_utf8(window.get(6..end).unwrap_or_default())
        .map_err(|_| "invalid proxy protocol v1 header")?;
    let used = end + 2;
    let mut words = line.split(' ');
    let source = match words.next() {
        Some("UNKNOWN") => return Ok(Some(Header { source: None, used })),
        Some(family @ ("TCP4" | "TCP6")) => {
            let mut ip = || words.next().and_then(|w| w.parse::<IpAddr>().ok());
            let (source, target) = (ip(), ip());
            let mut port = || words.next().and_then(|w| w.parse::<u16>().ok());
            let (source_port, target_port) = (port(), port());
            let (Some(source), Some(target), Some(port), Some(_)) =
                (source, target, source_port, target_port)
            else {
                return Err("invalid proxy protocol v1 addresses");
            };
            if [source, target].iter().any(|ip| ip.is_ipv4() != (family == "TCP4")) {
                return Err("proxy protocol v1 address family mismatch");
            }
            SocketAddr::new(source, port)
        }
        _ => return Err("unsupported proxy protocol v1 transport"),
    };
    if words.next().is_some() {
        return Err("invalid proxy protocol v1 header");
    }
    Ok(Some(Header { source: Some(source), used }))
}

fn version_2(input: &[u8]) -> Result<Option<Header>, &'static str> {
    let Some((&[command, family, high, low], rest)) =
        input.get(V2_SIGNATURE.len()..).and_then(|i| i.split_first_chunk())
    else {
        return Ok(None);
    };
    let body_bytes = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 {
        return Err("unsupported proxy protocol version");
    }
    if body_bytes > V2_BODY_BYTES_MAX {
        return Err("proxy protocol v2 header too long");
    }
    let Some(body) = rest.get(..body_bytes) else { return Ok(None) };
    let used = V2_SIGNATURE.len() + 4 + body_bytes;
    let source = match (command & 0xF, family) {
        (0, _) | (1, 0) => None,
        (1, 0x11) => {
            let (&[a, b, c, d], rest) = body.split_first_chunk().ok_or("proxy protocol v2 too short")?;
            let port = rest.get(4..6).ok_or("proxy protocol v2 too short")?;
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port_of(port)))
        }
        (1, 0x21) => {
            let (&ip, rest) = body.split_first_chunk::<16>().ok_or("proxy protocol v2 too short")?;
            let port = rest.get(16..18).ok_or("proxy protocol v2 too short")?;
            Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(ip)), port_of(port)))
        }
        (1, _) => return Err("unsupported proxy protocol v2 address family"),
        _ => return Err("unsupported proxy protocol v2 command"),
    };
    Ok(Some(Header { source, used }))
}

fn port_of(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |port, &b| port << 8 | u16::from(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &[u8], expected: Result<Option<&str>, ()>) {
        let read = parse(&[input, b"PING\r\n"].concat());
        match expected {
            Err(()) => assert!(read.is_err(), "{read:?}"),
            Ok(source) => {
                let source = source.map(|s| s.parse().expect("address"));
                assert_eq!(read, Ok(Some(Header { source, used: input.len() })));
                for cut in 0..input.len() {
                    assert_eq!(parse(&input[..cut]), Ok(None), "cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn version_1_names_the_source() {
        check(b"PROXY TCP4 1.2.3.4 5.6.7.8 10 20\r\n", Ok(Some("1.2.3.4:10")));
        check(b"PROXY TCP6 ::1 ::2 10 20\r\n", Ok(Some("[::1]:10")));
        check(b"PROXY UNKNOWN\r\n", Ok(None));
        check(b"PROXY UNKNOWN ff a b\r\n", Ok(None));
    }

    #[test]
    fn version_1_is_strict() {
        for bad in [
            &b"PROXY TCP4 ::1 ::2 10 20\r\n"[..],
            b"PROXY TCP4 1.2.3.4 5.6.7.8 10\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 10 99999\r\n",
            b"PROXY UDP4 1.2.3.4 5.6.7.8 10 20\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 10 20 30\r\n",
            b"CONNECT {}\r\n",
            &[b'x'; 200],
            &[b"PROXY TCP4 ".as_slice(), &[b'1'; 120]].concat(),
        ] {
            check(bad, Err(()));
        }
    }

    #[test]
    fn version_2_names_the_source() {
        let header = |command: u8, family: u8, body: &[u8]| {
            let length = (body.len() as u16).to_be_bytes();
            [&V2_SIGNATURE[..], &[command, family], &length, body].concat()
        };
        let v4 = [1, 2, 3, 4, 5, 6, 7, 8, 0, 10, 0, 20];
        check(&header(0x21, 0x11, &v4), Ok(Some("1.2.3.4:10")));
        check(&header(0x21, 0x11, &[&v4[..], &[3, 0, 1, 0]].concat()), Ok(Some("1.2.3.4:10")));
        let v6 = [[0; 15].as_slice(), &[1], &[0; 16], &[0, 10, 0, 20]].concat();
        check(&header(0x21, 0x21, &v6), Ok(Some("[::1]:10")));
        check(&header(0x20, 0x00, &[]), Ok(None));
        for bad in [
            header(0x11, 0x11, &v4),
            header(0x22, 0x11, &v4),
            header(0x21, 0x31, &v4),
            header(0x21, 0x11, &[1]),
        ] {
            check(&bad, Err(()));
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_breaks_it(input in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = parse(&input);
            let _ = parse(&[&V2_SIGNATURE[..], &input].concat());
            let _ = parse(&[&b"PROXY "[..], &input].concat());
        }
    }
}
