//! What a server makes of another server of its cluster, which here is a script.

mod common;

use common::{Client, options};
use dialtone_server::Server;
use dialtone_server::policy::ListenerKind;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long the other server waits for what must come: long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The other server.
struct Other(BufReader<TcpStream>);

impl Other {
    /// Joins the cluster, which has no pools, so that one connection is for all accounts.
    fn join(server: &Server) -> Self {
        let port = server.node().settings.identity.port(ListenerKind::Cluster);
        let stream = TcpStream::connect(("localhost", port)).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut other = Self(BufReader::new(stream));
        assert!(other.line().starts_with("INFO {"));
        other.send("CONNECT {\"name\":\"OTHER\",\"cluster\":\"C\",\"headers\":true}\r\n");
        other.send(&info(""));
        other
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("sent");
    }

    /// The next line that is no PING.
    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a line");
            if line != "PING\r\n" {
                return line.trim_end().to_owned();
            }
        }
    }

    /// All about the global account up to the answer of a PING.
    fn sync(&mut self) -> Vec<String> {
        self.send("PING\r\n");
        let mut lines = Vec::new();
        loop {
            match self.line() {
                line if line == "PONG" => return lines,
                line if line.contains(" $G ") => lines.push(line),
                _ => {}
            }
        }
    }
}

/// What the other server says of itself.
fn info(more: &str) -> String {
    format!(
        "INFO {{\"server_id\":\"OTHER\",\"server_name\":\"other\",\"headers\":true,\"cluster\":\"C\"{more}}}\r\n"
    )
}

/// A server of a cluster without pools.
fn start(block: &str) -> Server {
    common::start(options(&format!(
        "no_system_account: true, cluster {{ name: C, listen: 'localhost:-1', pool_size: -1, {block} }}"
    )))
}

#[test]
fn a_wildcard_lets_in_and_out_only_what_the_permissions_of_the_cluster_allow() {
    let server = start("permissions { import { deny: a.no }, export: 'e.*' }");
    let mut other = Other::join(&server);
    let mut client = Client::connect(&server, "");
    client.send("SUB a.* 1\r\nSUB a.no 2\r\n");
    client.sync();
    assert_eq!(other.sync(), ["RS+ $G a.*"]);
    other.send("RS+ $G e.>\r\nRS+ $G f\r\nRMSG $G a.no 2\r\nno\r\nRMSG $G a.ok 2\r\nok\r\n");
    other.sync();
    assert_eq!(client.sync(), ["MSG a.ok 1 2", "ok"]);
    client.send("PUB e.a.b 2\r\nno\r\nPUB f 2\r\nno\r\nPUB e.a 2\r\nok\r\n");
    client.sync();
    assert_eq!(other.sync(), ["RMSG $G e.a 2"]);
    server.stop();
}
