//! What accounts and users used, as the system account is told. A reload with another interval ends the one before, so no
//! test waits for time to pass.

use dialtone_config::Options;
use dialtone_server::Server;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

fn options(interval: &str) -> Options {
    let config = format!(
        "{interval}
        accounts {{
            A {{ users: [ {{ user: a }}, {{ user: b }} ], rate_limits {{ subjects: r, msgs_per_sec: 1, action: refuse }} }}
            C {{ users: [ {{ user: c }} ] }}
            $SYS {{ users: [ {{ user: s }} ] }}
        }}"
    );
    let mut files = |_: &Path| Err(ErrorKind::NotFound.into());
    dialtone_config::load_text(&config, "t.conf", &mut files, &|_| None).expect("options")
}

fn start(interval: &str) -> Server {
    Server::builder().options(options(interval)).in_process_only().quiet().start().expect("started")
}

struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(server: &Server, user: &str) -> Self {
        let stream = server.connect_in_process().expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        let mut client = Self(BufReader::new(stream));
        client.send(&format!("CONNECT {{\"verbose\":false,\"protocol\":0,\"user\":\"{user}\"}}\r\n"));
        client.sync();
        client
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("sent");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn sync(&mut self) {
        self.send("PING\r\n");
        while self.line() != "PONG" {}
    }

    /// The next message.
    fn message(&mut self) -> Value {
        let line = self.line();
        let bytes = line.rsplit(' ').next().and_then(|bytes| bytes.parse::<usize>().ok());
        let mut payload = vec![0; bytes.expect("a message") + 2];
        self.0.read_exact(&mut payload).expect("its payload");
        serde_json::from_slice(&payload).expect("JSON")
    }
}

/// The figures of a record or of one of its users, without the time.
fn figures(of: &Value) -> Value {
    let connections = [&of["connections"], &of["connects"], &of["disconnects"]];
    let traffic =
        [&of["received"]["msgs"], &of["received"]["bytes"], &of["sent"]["msgs"], &of["sent"]["bytes"]];
    json!([connections, traffic, of["refused_msgs"]])
}

#[test]
fn each_interval_has_what_was_used_in_it_and_no_more() {
    let server = start("usage_interval: 1h");
    let mut system = Client::connect(&server, "s");
    system.send("SUB $SYS.ACCOUNT.A.USAGE 1\r\nSUB $SYS.ACCOUNT.*.DISCONNECT 2\r\n");
    system.sync();
    let (mut a, mut b) = (Client::connect(&server, "a"), Client::connect(&server, "b"));
    b.send("SUB x 1\r\n");
    b.sync();
    a.send("PUB x 3\r\nabc\r\nPUB x 2\r\nab\r\nPUB r 1\r\n1\r\nPUB r 1\r\n1\r\n");
    a.sync();

    server.reload(Ok(options("usage_interval: 2h")));
    let first = system.message();
    assert_eq!(first["type"], "io.dialtone.server.advisory.v1.usage");
    assert_eq!((&first["account"], &first["last"]), (&json!("A"), &json!(false)));
    assert_eq!(figures(&first), json!([[2, 2, 0], [4, 7, 2, 5], 1]));
    let users = first["users"].as_array().expect("users");
    assert_eq!(users.iter().map(|user| &user["user"]).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(figures(&users[0]), json!([[1, 1, 0], [4, 7, 0, 0], 1]));
    assert_eq!(figures(&users[1]), json!([[1, 1, 0], [0, 0, 2, 5], 0]));
    let time = |of: &Value| of["connected_ns"].as_u64().expect("a number");
    assert!(time(&users[0]) > 0 && time(&users[1]) > 0);
    assert_eq!(time(&first), time(&users[0]) + time(&users[1]));

    // One goes, another comes and goes.
    a.send("PUB x 1\r\na\r\n");
    a.sync();
    drop(a);
    assert_eq!(system.message()["client"]["user"], "a");
    drop(Client::connect(&server, "a"));
    assert_eq!(system.message()["client"]["user"], "a");
    server.stop();
    let last = system.message();
    assert_eq!((&last["start"], &last["last"]), (&first["end"], &json!(true)));
    assert_eq!(figures(&last), json!([[1, 1, 2], [1, 1, 1, 1], 0]));
    let users = last["users"].as_array().expect("users");
    assert_eq!(figures(&users[0]), json!([[0, 1, 2], [1, 1, 0, 0], 0]));
    assert_eq!(figures(&users[1]), json!([[1, 0, 0], [0, 0, 1, 1], 0]));
}

#[test]
fn what_was_used_before_it_was_to_be_told_is_not_told() {
    let server = start("");
    let mut system = Client::connect(&server, "s");
    system.send("SUB $SYS.ACCOUNT.C.USAGE 1\r\n");
    system.sync();
    let mut c = Client::connect(&server, "c");
    c.send("PUB x 1\r\n1\r\n");
    c.sync();
    server.reload(Ok(options("usage_interval: 1h")));
    // The control thread works in order: when it has answered, it has begun.
    system.send("SUB inbox 2\r\nPUB $SYS.REQ.SERVER.PING.IDZ inbox 0\r\n\r\n");
    assert!(system.message()["id"].is_string());
    c.send("PUB x 2\r\n12\r\n");
    c.sync();
    server.reload(Ok(options("")));
    let record = system.message();
    assert_eq!(record["last"], true);
    assert_eq!(figures(&record), json!([[1, 0, 0], [1, 2, 0, 0], 0]));
}
