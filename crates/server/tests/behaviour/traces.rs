//! Traces of messages that other servers of a network would go on with.

use crate::common::{Client, options};

const MESSAGES: usize = 64;
const HEADERS: &str = "NATS/1.0\r\ntraceparent: 00-a-b-01\r\n\r\n";

/// Another server sees only what it gets: what was not drawn is marked, so that either all servers trace a message or none.
#[test]
fn a_message_that_is_not_sampled_is_marked_for_all_servers() {
    let config = "accounts { A { msg_trace: { dest: t, sampling: \"50%\" }, users: [ { user: a } ] } }";
    let server = crate::common::start(options(config));
    let (mut receiver, mut tracer) = (Client::connect(&server, "a"), Client::connect(&server, "a"));
    receiver.send("SUB m 1\r\n");
    receiver.sync();
    tracer.send("SUB t 1\r\n");
    tracer.sync();
    let mut sender = Client::connect(&server, "a");
    for _ in 0..MESSAGES {
        sender.send(&format!("HPUB m {} {0}\r\n{HEADERS}\r\n", HEADERS.len()));
    }
    sender.sync();
    let marked = receiver.sync().iter().filter(|line| *line == "Nats-Trace-Dest: trace disabled").count();
    assert!(marked < MESSAGES, "all were left out");
    for _ in marked..MESSAGES {
        assert!(tracer.line().starts_with("MSG t 1 "));
        assert!(tracer.line().contains("\"traceparent\""));
    }
    assert_eq!(tracer.sync(), [""; 0]);
    server.stop();
}
