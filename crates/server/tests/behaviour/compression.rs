//! Compression of routes, whose other end here is a script.

use crate::common::waiting::{Bounded, accept};
use crate::common::{Client, options};
use dialtone_server::Server;
use dialtone_server::policy::ListenerKind;
use dialtone_wire::s2::{Framed, Level, Reader, Scratch, Writer};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// A block that says that it is larger than any may be.
const BOMB: &[u8] = include_bytes!("../../../wire/src/s2/samples/bomb.s2");

const CONNECT: &str = "CONNECT {\"name\":\"OTHER\",\"cluster\":\"C\",\"headers\":true}\r\n";

/// What the other server says of itself.
fn info(compression: &str) -> String {
    format!(
        "INFO {{\"server_id\":\"OTHER\",\"server_name\":\"other\",\"headers\":true,\"cluster\":\"C\",\"compression\":\"{compression}\"}}\r\n"
    )
}

/// A stream of S2 of some pieces, each a block.
fn compressed(pieces: &[&str]) -> Vec<u8> {
    let (mut writer, mut scratch, mut out) = (Writer::new(Level::Better), Scratch::default(), Vec::new());
    for piece in pieces {
        let framed = writer.frame(std::iter::once(piece.as_bytes()), &mut scratch, &mut out);
        assert_eq!(framed, Framed::Whole(piece.len()));
    }
    out
}

/// The other server, which sees lines first and then a stream.
struct Other {
    stream: TcpStream,
    came: Vec<u8>,
    /// Behind the line by which the ends agreed.
    reader: Option<Reader>,
}

impl Other {
    fn new(stream: TcpStream) -> Self {
        Self { stream, came: Vec::new(), reader: None }
    }

    fn connect(server: &Server) -> Self {
        let port = server.node().settings.identity.port(ListenerKind::Cluster);
        Self::new(TcpStream::connect(("localhost", port)).expect("connected").bounded())
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// What came from here on is compressed.
    fn begin(&mut self) {
        let wire = std::mem::take(&mut self.came);
        self.reader = Some(Reader::new(1 << 20));
        self.take(&wire);
    }

    fn take(&mut self, mut wire: &[u8]) {
        let Some(reader) = &mut self.reader else { return self.came.extend_from_slice(wire) };
        while !wire.is_empty() {
            let decoded = reader.decode(wire, &mut self.came);
            assert_eq!(decoded.ended, None);
            wire = &wire[decoded.used..];
        }
    }

    /// The next line.
    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.came.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.came.drain(..end + 2).collect();
                return String::from_utf8_lossy(&line).trim_end().to_owned();
            }
            let mut buffer = [0; 4096];
            let got = self.stream.read(&mut buffer).expect("read");
            assert_ne!(got, 0, "the connection ended behind {:?}", String::from_utf8_lossy(&self.came));
            self.take(&buffer[..got]);
        }
    }

    /// Lines up to the answer of a PING that was sent, without what is about other accounts.
    fn until_pong(&mut self) -> Vec<String> {
        let lines = std::iter::from_fn(|| Some(self.line()).filter(|line| line != "PONG"));
        lines.filter(|line| line != "PING").collect()
    }
}

fn start(block: &str) -> Server {
    crate::common::start(options(&format!(
        "no_system_account: true, cluster {{ name: C, listen: 'localhost:-1', pool_size: -1, {block} }}"
    )))
}

fn says(line: &str, compression: &str) -> bool {
    line.starts_with("INFO {") && line.contains(&format!("\"compression\":\"{compression}\""))
}

/// What comes behind INFO is a stream already, in the same write as well as in another.
#[test]
fn who_connects_goes_on_in_s2_behind_its_info() {
    let server = start("compression: s2_best");
    let stream = compressed(&[&info("s2_fast"), "RS+ $G fo", "o\r\nPING\r\n"]);
    let sent = [CONNECT.as_bytes(), info("s2_fast").as_bytes(), &stream].concat();
    for cut in [sent.len(), CONNECT.len(), sent.len() - stream.len(), sent.len() - 30] {
        let mut other = Other::connect(&server);
        let (first, second) = sent.split_at(cut);
        other.send(first);
        assert!(says(&other.line(), "s2_best"));
        other.send(second);
        other.begin();
        let lines = other.until_pong();
        assert!(says(&lines[0], "s2_best"), "{lines:?}");
        let mut client = Client::connect(&server, "");
        client.send("PUB foo 2\r\nhi\r\n");
        client.sync();
        assert_eq!([other.line(), other.line()], ["RMSG $G foo 2", "hi"], "cut at {cut}");
    }
    server.stop();
}

/// Who dials says in its INFO what came of it, and waits for that of the other end in the stream.
#[test]
fn who_dials_goes_on_in_s2_behind_its_info() {
    let listener = TcpListener::bind(("localhost", 0)).expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let server = start(&format!("compression: accept, routes: [ 'nats://localhost:{port}' ]"));
    let mut other = Other::new(accept(&listener));
    other.send(info("s2_better").as_bytes());
    assert!(other.line().starts_with("CONNECT {"));
    assert!(says(&other.line(), "s2_better"));
    other.begin();
    other.send(&compressed(&[&info("s2_better"), "RS+ $G foo\r\nPING\r\n"]));
    let lines = other.until_pong();
    assert!(says(&lines[0], "s2_better"), "{lines:?}");
    server.stop();
}

#[test]
fn what_cannot_be_expanded_ends_the_connection_and_nothing_else() {
    let server = start("compression: s2_fast");
    let mut client = Client::connect(&server, "");
    for bad in [BOMB, b"RS+ $G foo\r\n", b"\xff\x06\x00\x00S2sTwO\x02\x00\x00\x00"] {
        let mut other = Other::connect(&server);
        other.send(&[CONNECT.as_bytes(), info("s2_fast").as_bytes(), bad].concat());
        let mut all = Vec::new();
        other.stream.read_to_end(&mut all).expect("it ends");
        client.sync();
    }
    server.stop();
}

#[test]
fn an_unknown_mode_is_refused_by_name() {
    let server = start("");
    let mut other = Other::connect(&server);
    other.send(&[CONNECT, &info("zstd")].concat().into_bytes());
    other.line();
    assert_eq!(other.line(), "-ERR 'unsupported route compression mode \"zstd\"'");
    assert_eq!(other.stream.read(&mut [0]).expect("it ends"), 0);
    server.stop();
}
