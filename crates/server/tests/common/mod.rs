//! A server in this process, and a client that speaks to it.
#![allow(dead_code, reason = "no test needs all of it")]

pub mod mqtt;
pub mod waiting;

use dialtone_config::Options;
use dialtone_server::Server;
use dialtone_server::policy::ListenerKind;
use std::io::{BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use waiting::{Bounded, NextLine};

pub fn options(config: &str) -> Options {
    let mut files = |_: &Path| Err(ErrorKind::NotFound.into());
    dialtone_config::load_text(config, "t.conf", &mut files, &|_| None).expect(config)
}

pub fn start(options: Options) -> Server {
    Server::builder().options(options).in_process_only().quiet().start().expect("started")
}

/// What makes a server of the cluster C that dials others: `top` stands beside the block of the cluster, `block` in it.
pub fn member(top: &str, block: &str, routes: &[&Server]) -> Options {
    let port = |server: &&Server| server.node().settings.identity.port(ListenerKind::Cluster);
    let routes: Vec<String> =
        routes.iter().map(|server| format!("'nats://127.0.0.1:{}'", port(server))).collect();
    let routes = routes.join(", ");
    options(&format!("{top}\ncluster {{ name: C, listen: '127.0.0.1:-1', routes: [ {routes} ], {block} }}"))
}

pub struct Client(pub BufReader<UnixStream>);

impl Client {
    pub fn connect(server: &Server, user: &str) -> Self {
        let mut client = Self::open(server);
        assert!(client.line().starts_with("INFO {"));
        let hello =
            format!("CONNECT {{\"verbose\":false,\"protocol\":0,\"headers\":true,\"user\":\"{user}\"}}\r\n");
        client.send(&hello);
        client.sync();
        client
    }

    /// A connection that has said nothing yet and has read nothing.
    pub fn open(server: &Server) -> Self {
        Self(BufReader::new(server.connect_in_process().expect("connected").bounded()))
    }

    pub fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("sent");
    }

    /// The next line that is no PING: the server asks now and then whether the client is there.
    pub fn line(&mut self) -> String {
        self.line_or_end().expect("the server has closed the connection")
    }

    /// The next line as [`line`](Self::line) has it, `None` when the server has closed the connection.
    pub fn line_or_end(&mut self) -> Option<String> {
        loop {
            let line = self.0.line_or_end()?;
            if line != "PING\r\n" {
                return Some(line.trim_end().to_owned());
            }
        }
    }

    /// Everything up to the answer of a PING.
    pub fn sync(&mut self) -> Vec<String> {
        self.send("PING\r\n");
        let mut lines = Vec::new();
        for () in waiting::tries("PONG") {
            match self.line() {
                line if line == "PONG" => break,
                line => lines.push(line),
            }
        }
        lines
    }
}
