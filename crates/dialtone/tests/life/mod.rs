//! A server with streams in a process of its own, and a client.
#![allow(dead_code, reason = "no test needs all of it")]

mod process;

use crate::waiting::NextLine;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// Whether the newest checkpoint in the folder of a store is whole: the manifest names its segments, so it is written behind them.
pub fn has_checkpoint(store: &Path) -> bool {
    let written = |path: PathBuf| std::fs::metadata(path).and_then(|known| known.modified()).ok();
    let segments = std::fs::read_dir(store.join("segments")).expect("a folder");
    let segment = segments.filter_map(|entry| written(entry.expect("an entry").path())).max();
    let manifest =
        ["manifest-a", "manifest-b"].into_iter().filter_map(|name| written(store.join(name))).max();
    segment.is_some() && manifest >= segment
}

/// A server in a process of its own, and a client.
pub struct Life {
    process: Child,
    stream: BufReader<TcpStream>,
}

impl Life {
    pub fn begin(dir: &Path) -> Self {
        Self::begin_with(&["-js".as_ref(), "-sd".as_ref(), dir.as_os_str()])
    }

    /// One that has checkpoints all the time.
    pub fn begin_with_checkpoints(dir: &Path) -> Self {
        let file = dir.join("server.conf");
        let text = format!("jetstream {{ store_dir: {dir:?}, sync_interval: 20ms }}");
        std::fs::write(&file, text).expect("written");
        Self::begin_with(&["-c".as_ref(), file.as_os_str()])
    }

    pub fn begin_with(args: &[&OsStr]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dialtone"));
        command.args(["-a", "127.0.0.1", "-p", "-1"]).args(args);
        Self::begin_by(command)
    }

    /// One that a command starts.
    pub fn begin_by(command: Command) -> Self {
        let (process, stream) = process::begin(command);
        let mut life = Self { process, stream };
        assert!(life.line().contains("\"jetstream\":true"), "INFO says that there are streams");
        life.send("CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB r 1\r\nSUB in.* 2\r\n");
        life
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.stream.get_ref().peer_addr().expect("connected")
    }

    /// Bytes of memory, by their name in `/proc/PID/status`.
    pub fn memory_bytes(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kilobytes = line.expect("it is known").trim().trim_end_matches(" kB").parse::<u64>();
        kilobytes.expect("a number") * 1024
    }

    pub fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).expect("sent");
    }

    pub fn line(&mut self) -> String {
        self.stream.next_line()
    }

    /// The next message: its subject, reply and payload.
    pub fn message(&mut self) -> (String, String, String) {
        let mut line = self.line();
        while line.trim_end() == "PING" {
            self.send("PONG\r\n");
            line = self.line();
        }
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

    pub fn ask(&mut self, subject: &str, payload: &Value) -> Value {
        let payload = if payload.is_null() { String::new() } else { payload.to_string() };
        self.send(&format!("PUB {subject} r {}\r\n{payload}\r\n", payload.len()));
        let (_, _, answer) = self.message();
        serde_json::from_str(&answer).expect("JSON")
    }

    /// Takes so many messages of the consumer, and acknowledges them, waiting for it.
    pub fn consume(&mut self, from: u64, count: u64) {
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

    /// Ends it in order, so that the log says to its end what was durable.
    pub fn stop(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(pid).status().expect("it runs").success());
        self.process.wait().expect("over");
    }

    /// Ends it without a word.
    pub fn kill(self) {}
}

impl Drop for Life {
    /// A test that fails leaves no server behind.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
