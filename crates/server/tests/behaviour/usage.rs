//! What accounts and users used, as the system account is told. A reload with another interval ends the one before, so no
//! test waits for time to pass.

use crate::common::Client;
use dialtone_config::Options;
use dialtone_server::Server;
use serde_json::{Value, json};
use std::io::Read;

fn options(interval: &str) -> Options {
    let config = format!(
        "{interval}
        accounts {{
            A {{ users: [ {{ user: a }}, {{ user: b }} ], rate_limits {{ subjects: r, msgs_per_sec: 1, action: refuse }} }}
            C {{ users: [ {{ user: c }} ] }}
            $SYS {{ users: [ {{ user: s }} ] }}
        }}"
    );
    crate::common::options(&config)
}

fn start(interval: &str) -> Server {
    crate::common::start(options(interval))
}

impl Client {
    /// The record that comes next.
    fn record(&mut self) -> Value {
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
    let first = system.record();
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
    assert_eq!(system.record()["client"]["user"], "a");
    drop(Client::connect(&server, "a"));
    assert_eq!(system.record()["client"]["user"], "a");
    server.stop();
    let last = system.record();
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
    assert!(system.record()["id"].is_string());
    c.send("PUB x 2\r\n12\r\n");
    c.sync();
    server.reload(Ok(options("")));
    let record = system.record();
    assert_eq!(record["last"], true);
    assert_eq!(figures(&record), json!([[1, 0, 0], [1, 2, 0, 0], 0]));
}
