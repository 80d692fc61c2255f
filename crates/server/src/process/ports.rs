//! The ports file: shows programs beside the server where it listens, when it chose the ports itself.

use dialtone_net::Endpoint;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Addresses that the file lists of one listener.
const ADDRESSES_MAX: usize = 64;

/// The file that lists the ports of this process: `<program>_<pid>.ports`.
pub(crate) fn ports_file(folder: &Path) -> PathBuf {
    folder.join(format!("{}_{}.ports", super::program(), std::process::id()))
}

/// Writes that file: which protocol is where. An address that stands for all of the machine's is spelled out.
///
/// `listeners` are fields of the file with the scheme of their URLs; `http` is where monitoring is, with its scheme.
pub(crate) fn write_ports(
    folder: &Path,
    listeners: &[(&str, &str, &Endpoint)],
    http: &[(&str, Endpoint)],
) -> io::Result<()> {
    let monitoring: Vec<String> = http.iter().flat_map(|(scheme, endpoint)| urls(scheme, endpoint)).collect();
    // Programs look for clients' URLs, even if there are none.
    let mut ports = serde_json::json!({ "nats": [] });
    if !monitoring.is_empty() {
        ports["monitoring"] = monitoring.into();
    }
    for (field, scheme, endpoint) in listeners {
        ports[*field] = urls(scheme, endpoint).into();
    }
    std::fs::write(ports_file(folder), ports.to_string())
}

fn urls(scheme: &str, endpoint: &Endpoint) -> Vec<String> {
    let ip = endpoint.address().ip();
    let hosts = if ip.is_unspecified() { local(!endpoint.takes_v6()) } else { vec![ip] };
    hosts.into_iter().map(|ip| format!("{scheme}://{}", SocketAddr::new(ip, endpoint.port()))).collect()
}

/// The machine's addresses; where they are unknown, the loopback address.
fn local(only_v4: bool) -> Vec<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut found = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    if !only_v4 {
        found.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
    }
    let v4 = addresses_v4(&read("/proc/net/fib_trie")).map(IpAddr::V4).collect::<Vec<_>>();
    let v6 = addresses_v6(&read("/proc/net/if_inet6")).map(IpAddr::V6).collect::<Vec<_>>();
    for ip in v4.into_iter().chain(v6.into_iter().filter(|_| !only_v4)) {
        if !found.contains(&ip) && found.len() < ADDRESSES_MAX {
            found.push(ip);
        }
    }
    found
}

/// `|-- 192.0.2.2`, then `/32 host LOCAL`: an address of an interface.
fn addresses_v4(table: &str) -> impl Iterator<Item = Ipv4Addr> {
    let following = table.lines().skip(1);
    table.lines().zip(following).filter(|(_, next)| next.trim() == "/32 host LOCAL").filter_map(
        |(line, _)| {
            let ip: Ipv4Addr = line.trim().strip_prefix("|-- ")?.parse().ok()?;
            Some(ip).filter(|ip| !ip.is_loopback())
        },
    )
}

/// An address in 32 digits first.
fn addresses_v6(table: &str) -> impl Iterator<Item = Ipv6Addr> {
    table.lines().filter_map(|line| u128::from_str_radix(line.get(..32)?, 16).ok()).map(Ipv6Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialtone_net::address;

    #[test]
    fn the_file_tells_urls() {
        let folder = tempfile::tempdir().expect("folder");
        let (_clients, clients) = address::listen("127.0.0.1", 0).expect("listen");
        let (_monitor, monitor) = address::listen("127.0.0.1", 0).expect("listen");
        let listeners = [("nats", "nats", &clients), ("websocket", "ws", &clients)];
        write_ports(folder.path(), &listeners, &[("https", monitor.clone())]).expect("write");
        let text = std::fs::read_to_string(ports_file(folder.path())).expect("read");
        let ports: serde_json::Value = serde_json::from_str(&text).expect("json");
        assert_eq!(
            ports,
            serde_json::json!({ "nats": [format!("nats://{clients}")], "monitoring": [format!("https://{monitor}")], "websocket": [format!("ws://{clients}")] })
        );
    }

    #[test]
    fn an_address_for_all_is_spelled_out() {
        let (_socket, endpoint) = address::listen("", 0).expect("listen");
        let (all, port) = (urls("nats", &endpoint), endpoint.port());
        assert_eq!(all.first(), Some(&format!("nats://127.0.0.1:{port}")));
        assert_eq!(all.contains(&format!("nats://[::1]:{port}")), endpoint.takes_v6(), "{all:?}");
        assert!(!all.iter().any(|url| url.contains("0.0.0.0") || url.contains("[::]")), "{all:?}");
    }

    #[test]
    fn tables_of_the_system_are_read() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 192.0.2.2\n        \
                     /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n";
        assert_eq!(addresses_v4(table).collect::<Vec<_>>(), [Ipv4Addr::new(192, 0, 2, 2)]);
        let table = "fd000000000000000000000000000002 02 40 00 80     eth0\nshort\n";
        assert_eq!(addresses_v6(table).map(|ip| ip.to_string()).collect::<Vec<_>>(), ["fd00::2"]);
    }
}
