//! Clients that a server hands over to others of its cluster that have fewer.

use crate::common::Client;
use crate::common::waiting::{Bounded, NextLine, tries};
use dialtone_config::Options;
use dialtone_server::Server;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;

const ON: &str = "rebalance: true";
/// What a client is sent that is to go.
const GO: &str = "\"ldm\":true";

fn options(block: &str, routes: &[&Server]) -> Options {
    crate::common::member("listen: '127.0.0.1:-1', lame_duck_grace_period: '1ms'", block, routes)
}

fn start(block: &str, routes: &[&Server]) -> Server {
    Server::builder().options(options(block, routes)).quiet().start().expect("started")
}

fn address(server: &Server) -> String {
    server.client_address().expect("an address").to_string()
}

/// A client that came over the network.
struct Remote(BufReader<TcpStream>);

impl Remote {
    /// `protocol` 1: it takes INFO at any time.
    fn connect(server: &Server, protocol: u32) -> Self {
        let stream = TcpStream::connect(address(server)).expect("connected").bounded();
        let mut client = Self(BufReader::new(stream));
        client.send(&format!("CONNECT {{\"verbose\":false,\"protocol\":{protocol}}}\r\n"));
        client.sync();
        client
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("sent");
    }

    fn line(&mut self) -> String {
        self.0.next_line().trim_end().to_owned()
    }

    /// What came meanwhile.
    fn sync(&mut self) -> Vec<String> {
        self.send("PING\r\n");
        let mut lines = Vec::new();
        loop {
            match &*self.line() {
                "PONG" => return lines,
                line => lines.push(line.to_owned()),
            }
        }
    }

    /// Waits until it is asked to go, and then closed since it stays. Where to.
    fn goes(&mut self) -> Vec<String> {
        let mut lines = tries("it is asked to go").map(|()| self.line());
        let info = lines.find(|line| line.contains(GO)).expect("tries have no end");
        drop(lines);
        match self.0.read_to_end(&mut Vec::new()) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("it is not closed: {error}"),
            _ => {}
        }
        let info: serde_json::Value = serde_json::from_str(&info["INFO ".len()..]).expect("a document");
        let urls = info["connect_urls"].as_array().expect("addresses").iter();
        urls.map(|url| url.as_str().expect("a text").to_owned()).collect()
    }

    #[track_caller]
    fn stays(&mut self) {
        let lines = self.sync();
        assert!(!lines.iter().any(|line| line.contains(GO)), "{lines:?}");
    }
}

#[test]
fn clients_go_to_a_server_that_joins_and_takes_part() {
    let full = start(ON, &[]);
    let _beside = start("", &[&full]);
    // Who does not understand that it is to go, or cannot, stays.
    let (mut old, mut local) = (Remote::connect(&full, 0), Client::connect(&full, ""));
    let mut clients: Vec<Remote> = (0..4).map(|_| Remote::connect(&full, 1)).collect();
    let other = start(ON, &[&full]);
    // Three of six are as many as there should be.
    for client in clients.iter_mut().take(3) {
        assert_eq!(client.goes(), [address(&other)]);
    }
    clients[3].stays();
    old.stays();
    assert_eq!(local.sync().iter().filter(|line| line.contains(GO)).count(), 0);
    // All three come back here, and there is nobody else: whoever came after the other server is left alone.
    let mut back: Vec<Remote> = (0..3).map(|_| Remote::connect(&full, 1)).collect();
    assert_eq!(clients[3].goes(), [address(&other)]);
    back.iter_mut().chain([&mut old]).for_each(Remote::stays);
}

#[test]
fn a_reload_switches_it_on() {
    let full = start("", &[]);
    let mut clients: Vec<Remote> = (0..3).map(|_| Remote::connect(&full, 1)).collect();
    let other = start("", &[&full]);
    let mut at_other = Remote::connect(&other, 1);
    // The other server takes part, and this one not yet.
    other.reload(Ok(options(ON, &[&full])));
    let mut client = Remote::connect(&full, 1);
    client.stays();
    full.reload(Ok(options(ON, &[])));
    assert_eq!(clients[0].goes(), [address(&other)]);
    clients[1].stays();
    at_other.stays();
}
