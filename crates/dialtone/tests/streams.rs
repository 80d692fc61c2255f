//! Streams of a server that is killed: what was acknowledged is there, in order, and consumers go on where they were.

#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use waiting::{Bounded, NextLine, wait_until};

/// Messages that are published in each life.
const MESSAGES: u64 = 200;

/// A server in a process of its own, and a client.
struct Life {
    process: Child,
    stream: BufReader<TcpStream>,
}

impl Life {
    fn begin(dir: &Path) -> Self {
        Self::begin_with(&["-js".as_ref(), "-sd".as_ref(), dir.as_os_str()])
    }

    /// One that has checkpoints all the time.
    fn begin_with_checkpoints(dir: &Path) -> Self {
        let file = dir.join("server.conf");
        let text = format!("jetstream {{ store_dir: {dir:?}, sync_interval: 20ms }}");
        std::fs::write(&file, text).expect("written");
        Self::begin_with(&["-c".as_ref(), file.as_os_str()])
    }

    fn begin_with(args: &[&OsStr]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dialtone"));
        command.args(["-a", "127.0.0.1", "-p", "-1"]).args(args).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the server starts");
        let mut lines = BufReader::new(process.stderr.take().expect("stderr")).lines();
        let said = "Listening for client connections on ";
        let address =
            lines.find_map(|line| line.ok()?.split_once(said).map(|(_, address)| address.to_owned()));
        let stream = TcpStream::connect(address.expect("it listens")).expect("connected").bounded();
        // Whatever else it says is of no interest, but must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        let mut life = Self { process, stream: BufReader::new(stream) };
        assert!(life.line().contains("\"jetstream\":true"), "INFO says that there are streams");
        life.send("CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB r 1\r\nSUB in.* 2\r\n");
        life
    }

    fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).expect("sent");
    }

    fn line(&mut self) -> String {
        self.stream.next_line()
    }

    /// The next message: its subject, reply and payload.
    fn message(&mut self) -> (String, String, String) {
        let line = self.line();
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (subject, reply) = match fields.as_slice() {
            ["MSG", subject, _, _] => (subject, ""),
            ["MSG", subject, _, reply, _] => (subject, *reply),
            other => panic!("{other:?} is no message"),
        };
        let bytes: usize = fields.last().expect("its size").parse().expect("a number");
        let (subject, reply) = ((*subject).to_owned(), reply.to_owned());
        let mut payload = vec![0; bytes + 2];
        self.stream.read_exact(&mut payload).expect("the payload");
        payload.truncate(bytes);
        (subject, reply, String::from_utf8(payload).expect("text"))
    }

    fn ask(&mut self, subject: &str, payload: &Value) -> Value {
        let payload = if payload.is_null() { String::new() } else { payload.to_string() };
        self.send(&format!("PUB {subject} r {}\r\n{payload}\r\n", payload.len()));
        let (_, _, answer) = self.message();
        serde_json::from_str(&answer).expect("JSON")
    }

    /// Takes so many messages of the consumer, and acknowledges them, waiting for it.
    fn consume(&mut self, from: u64, count: u64) {
        let request = json!({ "batch": count, "expires": 60_000_000_000_u64 }).to_string();
        self.send(&format!("PUB $JS.API.CONSUMER.MSG.NEXT.S.C in.1 {}\r\n{request}\r\n", request.len()));
        for number in from..from + count {
            let (subject, reply, payload) = self.message();
            assert_eq!((subject, payload), (format!("s.{}", number % 3), format!("message {number}")));
            self.send(&format!("PUB {reply} r 4\r\n+ACK\r\n"));
        }
        // The confirmations come behind all messages that were asked for.
        (0..count).for_each(|_| assert_eq!(self.message().2, ""));
    }

    fn kill(mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("over");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    lives(Life::begin);
}

#[test]
fn what_was_acknowledged_survives_a_kill_amid_checkpoints() {
    let dir = lives(Life::begin_with_checkpoints);
    let mut life = Life::begin_with_checkpoints(dir.path());
    // The log is cut behind a checkpoint, and what it held is in segments.
    let segments = dir.path().join("jetstream/dialtone/segments");
    let is_there = || std::fs::read_dir(&segments).expect("a folder").count() > 0;
    wait_until("there is a checkpoint", is_there);
    let deleted = life.ask("$JS.API.STREAM.MSG.DELETE.S", &json!({ "seq": 2 }));
    assert_eq!(deleted["success"], true, "{deleted}");
    life.kill();
    let mut life = Life::begin_with_checkpoints(dir.path());
    let info = life.ask("$JS.API.STREAM.INFO.S", &json!({ "deleted_details": true }));
    assert_eq!(
        (info["state"]["deleted"].clone(), info["state"]["messages"].as_u64()),
        (json!([2]), Some(799))
    );
    for seq in [1, 3, 4 * MESSAGES] {
        let got = life.ask("$JS.API.STREAM.MSG.GET.S", &json!({ "seq": seq }));
        assert_eq!(got["message"]["subject"], format!("s.{}", seq % 3), "{got}");
    }
    life.kill();
}

/// Publishes, consumes and kills, again and again.
fn lives(begin: fn(&Path) -> Life) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let mut published = 0;
    for round in 0..4 {
        let mut life = begin(dir.path());
        if round == 0 {
            let made = life.ask(
                "$JS.API.STREAM.CREATE.S",
                &json!({ "name": "S", "subjects": ["s.*"], "storage": "file" }),
            );
            assert_eq!(made["config"]["name"], "S", "{made}");
            let asked =
                json!({ "stream_name": "S", "config": { "durable_name": "C", "ack_policy": "explicit" } });
            let made = life.ask("$JS.API.CONSUMER.DURABLE.CREATE.S.C", &asked);
            assert_eq!(made["name"], "C", "{made}");
        }
        let info = life.ask("$JS.API.STREAM.INFO.S", &Value::Null);
        assert_eq!(
            (info["state"]["messages"].as_u64(), info["state"]["last_seq"].as_u64()),
            (Some(published), Some(published))
        );
        let half = MESSAGES / 2;
        if round > 0 {
            let from = (round - 1) * MESSAGES + half;
            life.consume(from + 1, half);
        }
        for number in published + 1..=published + MESSAGES {
            let text = format!("message {number}");
            life.send(&format!("PUB s.{} r {}\r\n{text}\r\n", number % 3, text.len()));
        }
        for number in published + 1..=published + MESSAGES {
            assert_eq!(life.message().2, format!("{{\"stream\":\"S\",\"seq\":{number}}}"));
        }
        life.consume(published + 1, half);
        published += MESSAGES;
        life.kill();
        let mut life = begin(dir.path());
        let consumer = life.ask("$JS.API.CONSUMER.INFO.S.C", &Value::Null);
        assert_eq!(consumer["ack_floor"]["stream_seq"].as_u64(), Some(published - half), "{consumer}");
        life.kill();
    }
    dir
}

#[test]
fn a_stream_in_memory_acknowledges_at_once_and_is_gone_with_the_server() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut life = Life::begin(dir.path());
    life.ask(
        "$JS.API.STREAM.CREATE.M",
        &json!({ "name": "M", "subjects": ["m"], "storage": "memory", "max_msgs": 2 }),
    );
    for number in 1..=3 {
        assert_eq!(life.ask("m", &json!(number)), json!({ "stream": "M", "seq": number }));
    }
    let info = life.ask("$JS.API.STREAM.INFO.M", &Value::Null);
    assert_eq!((info["state"]["messages"].as_u64(), info["state"]["first_seq"].as_u64()), (Some(2), Some(2)));
    let got = life.ask("$JS.API.STREAM.MSG.GET.M", &json!({ "last_by_subj": "m" }));
    assert_eq!((got["message"]["seq"].as_u64(), got["message"]["data"].as_str()), (Some(3), Some("Mw==")));
    life.kill();
    let mut life = Life::begin(dir.path());
    let info = life.ask("$JS.API.STREAM.INFO.M", &Value::Null);
    assert_eq!(info["error"]["err_code"], 10059, "{info}");
    life.kill();
}
