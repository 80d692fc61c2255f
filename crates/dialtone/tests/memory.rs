//! What a server with many streams, subjects and slow consumers takes of memory: no more than it may, and a fifth.

mod life;
#[path = "../../server/tests/common/waiting.rs"]
mod waiting;

use life::Life;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use waiting::{Bounded, wait_until};

const LIMIT_BYTES: u64 = 96 << 20;
const STREAMS: usize = 2000;
/// Messages in all streams, each with a subject of its own.
const SUBJECTS: usize = 40 * STREAMS;
/// Messages of the stream whose bodies have no room in memory, and bytes of each.
const LARGE: usize = 30_000;
const LARGE_BYTES: usize = 1000;
/// Messages of the stream of which not even what is known of each has room.
const SMALL: usize = 350_000;
/// Consumers of each kind that are slow.
const SLOW: usize = 10;
/// Deliveries for which each of those waits that are pulled.
const WAITING: usize = 2000;

fn begin(dir: &Path) -> Life {
    let file = dir.join("server.conf");
    let text = format!("jetstream {{ store_dir: {dir:?}, memory_limit: {LIMIT_BYTES} }}");
    std::fs::write(&file, text).expect("written");
    Life::begin_with(&[OsStr::new("-c"), file.as_os_str()])
}

/// Sends all of it, some at a time, and waits for the answers.
fn send_all(life: &mut Life, batch: usize, all: impl Iterator<Item = (String, String)>) {
    let mut all = all.peekable();
    while all.peek().is_some() {
        let (mut text, mut count) = (String::new(), 0);
        for (subject, payload) in all.by_ref().take(batch) {
            let _ = write!(text, "PUB {subject} r {}\r\n{payload}\r\n", payload.len());
            count += 1;
        }
        life.send(&text);
        for _ in 0..count {
            let (_, _, answer) = life.message();
            assert!(!answer.contains("\"error\""), "{answer}");
        }
    }
}

/// Has a consumer made, and returns its information.
fn consume(life: &mut Life, stream: &str, name: &str, config: Value) -> Value {
    let mut asked = json!({ "stream_name": stream, "config": { "name": name, "durable_name": name } });
    asked["config"]
        .as_object_mut()
        .expect("an object")
        .extend(config.as_object().expect("an object").clone());
    let made = life.ask(&format!("$JS.API.CONSUMER.CREATE.{stream}.{name}"), &asked);
    assert_eq!(made["name"], name, "{made}");
    made
}

#[test]
fn memory_is_bounded_whatever_streams_and_consumers_have() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut life = begin(dir.path());
    // The program itself, which in a debug build is large.
    let program = life.memory_bytes("RssFile");
    let mut seen = Vec::new();
    let mut note = |life: &Life, what| seen.push((what, (life.memory_bytes("VmHWM") - program) >> 20));
    let streams = (0..STREAMS).map(|number| {
        let config = json!({ "name": format!("S{number}"), "subjects": [format!("s.{number}.>")] });
        (format!("$JS.API.STREAM.CREATE.S{number}"), config.to_string())
    });
    send_all(&mut life, 100, streams);
    note(&life, "streams");
    let body = "x".repeat(300);
    let one_each = |number| (format!("s.{}.subject.{number}", number % STREAMS), body.clone());
    send_all(&mut life, 2000, (0..SUBJECTS).map(one_each));
    note(&life, "with messages");
    let body = "y".repeat(LARGE_BYTES);
    send_all(&mut life, 2000, (0..LARGE).map(|number| (format!("s.0.{}", number % 10), body.clone())));
    note(&life, "with large ones");
    send_all(&mut life, 4000, (0..SMALL).map(|number| (format!("s.1.{}", number % 10), "z".to_owned())));
    note(&life, "with many small ones");

    let idle: Vec<TcpStream> = (0..SLOW)
        .map(|number| {
            let mut client = TcpStream::connect(life.address()).expect("connected").bounded();
            let text = format!("CONNECT {{\"verbose\":false}}\r\nSUB slow.{number} 1\r\nPING\r\n");
            client.write_all(text.as_bytes()).expect("sent");
            client
        })
        .collect();
    for number in 0..SLOW {
        // It sends as fast as it can, to a client that reads nothing.
        let name = format!("P{number}");
        consume(
            &mut life,
            "S0",
            &name,
            json!({ "deliver_subject": format!("slow.{number}"), "ack_policy": "none" }),
        );
        // And of this one all is taken, and nothing acknowledged.
        let name = format!("C{number}");
        consume(&mut life, "S0", &name, json!({ "ack_policy": "explicit", "max_ack_pending": WAITING }));
        let request = WAITING.to_string();
        life.send(&format!(
            "PUB $JS.API.CONSUMER.MSG.NEXT.S0.{name} in.pull {}\r\n{request}\r\n",
            request.len()
        ));
        (0..WAITING).for_each(|_| assert!(life.message().1.starts_with("$JS.ACK.S0.C")));
    }
    for number in 0..SLOW {
        wait_until("as much is on its way as its client may leave unread", || {
            let info = life.ask(&format!("$JS.API.CONSUMER.INFO.S0.P{number}"), &Value::Null);
            info["delivered"]["consumer_seq"].as_u64().is_some_and(|seq| seq > 2000)
        });
    }
    note(&life, "with slow consumers");
    drop(idle);
    println!("MiB at most, without the program: {seen:?}");
    let peak = life.memory_bytes("VmHWM") - program;
    assert!(
        peak <= LIMIT_BYTES / 5 * 6,
        "{peak} bytes, where {LIMIT_BYTES} and a fifth are allowed: {seen:?}"
    );
    life.kill();
}
