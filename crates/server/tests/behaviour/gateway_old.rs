//! A server of another cluster, of a version before 2.9, which here is a script: it takes all messages, and says which it does not want.

use crate::common::waiting::{NextLine, accept, tries};
use crate::common::{Client, options, start};
use dialtone_server::Server;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// The server that is dialled, by a server that is asked here, and a client of that.
struct Old {
    stream: BufReader<TcpStream>,
    server: Server,
    client: Client,
}

impl Old {
    fn dialed() -> Self {
        let listener = TcpListener::bind("localhost:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let remote = format!("gateways: [ {{ name: O, url: 'nats://localhost:{port}' }} ]");
        let text =
            format!("no_system_account: true, gateway {{ name: A, listen: 'localhost:-1', {remote} }}");
        let server = start(options(&text));
        let mut stream = BufReader::new(accept(&listener));
        let info = "{\"server_id\":\"OLD\",\"version\":\"2.8.4\",\"gateway\":\"O\",\"gateway_nrp\":true}";
        stream.get_mut().write_all(format!("INFO {info}\r\n").as_bytes()).expect("sent");
        let client = Client::connect(&server, "");
        let mut old = Self { stream, server, client };
        // CONNECT and INFO; who has answered PING has gone on to what is behind.
        old.says("");
        old
    }

    /// Says something; what comes meanwhile, as soon as it was taken.
    fn says(&mut self, text: &str) -> Vec<String> {
        self.stream.get_mut().write_all(format!("{text}PING\r\n").as_bytes()).expect("sent");
        let mut lines = Vec::new();
        for () in tries("PONG") {
            match self.stream.next_line().trim_end() {
                "PONG" => break,
                "PING" => self.stream.get_mut().write_all(b"PONG\r\n").expect("sent"),
                line => lines.push(line.to_owned()),
            }
        }
        lines
    }

    /// The subjects that come of those that are published.
    fn gets(&mut self, subjects: &[&str]) -> Vec<String> {
        for subject in subjects {
            self.client.send(&format!("PUB {subject} 1\r\nx\r\n"));
        }
        self.client.sync();
        let lines = self.says("");
        let subject = |line: &String| line.strip_prefix("RMSG $G ")?.split(' ').next().map(str::to_owned);
        lines.iter().filter_map(subject).collect()
    }
}

#[test]
fn everything_is_sent_until_nobody_wants_it() {
    let mut old = Old::dialed();
    let all = ["foo", "bar"];
    assert_eq!(old.gets(&all), all);
    old.says("RS- $G foo\r\n");
    assert_eq!(old.gets(&all), ["bar"]);
    old.says("RS+ $G foo\r\n");
    assert_eq!(old.gets(&all), all);
    // Of the account nothing at all, and then something.
    old.says("RS- $G foo\r\nA- $G\r\n");
    assert!(old.gets(&all).is_empty());
    old.says("A+ $G\r\n");
    assert_eq!(old.gets(&all), all);
    old.server.stop();
}

/// With INFO it says where all its interest in an account begins and ends ("JEc=" is $G): then that is what counts.
#[test]
fn who_changes_to_sending_its_interest_gets_that_alone() {
    let mut old = Old::dialed();
    let command = |number: u32| {
        format!("INFO {{\"gateway\":\"O\",\"gateway_cmd\":{number},\"gateway_cmd_payload\":\"JEc=\"}}\r\n")
    };
    old.says(&format!("RS- $G foo\r\n{}RS+ $G baz\r\n", command(2)));
    assert_eq!(old.gets(&["bar", "baz"]), ["bar", "baz"], "as long as not all has come");
    old.says(&format!("RS+ $G foo\r\n{}", command(3)));
    assert_eq!(old.gets(&["foo", "bar", "baz"]), ["foo", "baz"]);
    old.says("RS- $G foo\r\nRS+ $G bar\r\n");
    assert_eq!(old.gets(&["foo", "bar", "baz"]), ["bar", "baz"]);
    old.server.stop();
}
