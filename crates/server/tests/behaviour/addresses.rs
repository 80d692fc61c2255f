//! What a server without a host listens on, and what it calls those who come.

use crate::common::waiting::{Bounded, NextLine};
use dialtone_config::Options;
use dialtone_server::Server;
use std::io::{BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

/// The addresses of this machine to itself: IPv6 may be absent.
fn own_addresses() -> Vec<IpAddr> {
    let all = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    all.into_iter().filter(|&ip: &IpAddr| TcpListener::bind((ip, 0)).is_ok()).collect()
}

fn get(ip: IpAddr, port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect((ip, port)).expect("connected").bounded();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn without_a_host_a_server_is_reached_by_both_families() {
    let mut options = Options::default();
    (options.clients.port, options.operation.http.port) = (None, Some(0));
    let server = Server::builder().options(options).quiet().start().expect("started");
    let clients = server.client_address().expect("it listens").port();
    let monitoring = server.node().monitoring.ports().http;
    let addresses = own_addresses();
    assert!(addresses.contains(&Ipv4Addr::LOCALHOST.into()), "{addresses:?}");
    for ip in addresses {
        let stream = TcpStream::connect((ip, clients)).expect("connected").bounded();
        let info = BufReader::new(&stream).next_line();
        // Not `::ffff:127.0.0.1`, which no list of networks has.
        assert!(info.contains(&format!("\"client_ip\":\"{ip}\"")), "{info}");
        let connections = get(ip, monitoring, "/connz");
        assert!(connections.contains(&format!("\"ip\": \"{ip}\"")), "{connections}");
    }
}
