//! What a server of a cluster makes of what other servers publish: here a user of the system account speaks for them.

use crate::common::waiting::{Bounded, wait_until};
use crate::common::{Client, options};
use dialtone_server::Server;
use std::io::BufReader;

const CONFIG: &str = "system_account: SYS, cluster { name: C, port: -1 }
    accounts {
        A { users: [ { user: a } ], limits { max_connections: 1 } }
        SYS { users: [ { user: s } ] }
    }";
const EXCEEDED: &str = "-ERR 'maximum account active connections exceeded'";

/// What another server says when the connections of the account change.
fn connections(server: &str, count: u32) -> String {
    let body = format!("{{\"server\":{{\"id\":\"{server}\"}},\"acc\":\"A\",\"conns\":{count}}}");
    format!("PUB $SYS.SERVER.ACCOUNT.A.CONNS {}\r\n{body}\r\n", body.len())
}

/// Waits until the server says that so many are known.
fn await_servers(system: &mut Client, count: u32) {
    let wanted = format!("\"active_servers\":{count},");
    wait_until(&wanted, || system.line().contains(&wanted));
}

/// A client of the account; the first line that it gets.
fn log_in(server: &Server) -> (Client, String) {
    let stream = server.connect_in_process().expect("connected").bounded();
    let mut client = Client(BufReader::new(stream));
    assert!(client.line().starts_with("INFO {"));
    client.send("CONNECT {\"verbose\":false,\"user\":\"a\"}\r\nPING\r\n");
    let line = client.line();
    (client, line)
}

#[test]
fn an_account_has_no_more_connections_than_it_may_on_all_servers() {
    let server = crate::common::start(options(CONFIG));
    let id = server.node().settings.identity.id.clone();
    let mut system = Client::connect(&server, "s");
    system.send(&format!("SUB $SYS.SERVER.{id}.STATSZ 1\r\n"));
    system.sync();
    system.send(&connections("OTHER", 1));
    await_servers(&mut system, 2);
    assert_eq!(log_in(&server).1, EXCEEDED);
    // What is said to be of the server itself does not count.
    system.send(&connections(&id, 7));
    system.send("PUB $SYS.SERVER.SECOND.STATSZ 0\r\n\r\n");
    await_servers(&mut system, 3);
    // OTHER ends, and its connections do not count any more.
    system.send("PUB $SYS.SERVER.OTHER.SHUTDOWN 0\r\n\r\nPUB $SYS.SERVER.SECOND.SHUTDOWN 0\r\n\r\n");
    system.send("PUB $SYS.SERVER.THIRD.STATSZ 0\r\n\r\n");
    await_servers(&mut system, 2);
    let (mut client, line) = log_in(&server);
    assert_eq!(line, "PONG");
    // Two servers have let somebody in at the same time.
    system.send(&connections("THIRD", 1));
    assert_eq!(client.line(), EXCEEDED);
    server.stop();
}
