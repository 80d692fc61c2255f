//! Servers that join a cluster and leave it, and what clients are told of them. One that leaves for good says so, and the others forget it.

use crate::common::Client;
use crate::common::mqtt::{CONNECT, Device};
use crate::common::waiting::{tries, wait_until};
use dialtone_server::Server;
use dialtone_server::policy::ListenerKind;
use dialtone_wire::mqtt::Connect;
use std::path::Path;

/// A server of a cluster, which dials `routes`, and logs in `log`.
fn start(block: &str, routes: &[&Server], log: Option<&Path>) -> Server {
    let system = "system_account: SYS, accounts { SYS { users: [ { user: s } ] } }";
    // How long clients have to go by themselves: the one that asked may still count as connected.
    let grace = "lame_duck_grace_period: 1ms";
    let logs = log.map(|path| format!("log_file: '{}', ", path.display())).unwrap_or_default();
    let options =
        crate::common::member(&format!("{logs} listen: '127.0.0.1:-1', {grace}, {system}"), block, routes);
    let builder = Server::builder().options(options);
    let builder = if log.is_none() { builder.quiet() } else { builder };
    builder.start().expect("started")
}

/// A client of the system account that is told of new addresses; the addresses that it was told first.
fn connect(server: &Server) -> (Client, Vec<String>) {
    let mut client = Client::open(server);
    let told = urls(&client.line());
    let hello = "{\"verbose\":false,\"protocol\":1,\"headers\":true,\"no_responders\":true,\"user\":\"s\"}";
    // After its first PONG it is told of all that changes, and of what has changed since it connected.
    client.send(&format!("CONNECT {hello}\r\nPING\r\n"));
    assert_eq!(client.line(), "PONG");
    (client, told)
}

fn urls(line: &str) -> Vec<String> {
    let info: serde_json::Value =
        serde_json::from_str(line.strip_prefix("INFO ").expect(line)).expect("a document");
    let urls = info["connect_urls"].as_array().cloned().unwrap_or_default();
    urls.iter().map(|url| url.as_str().expect("a text").to_owned()).collect()
}

fn address(server: &Server) -> String {
    server.client_address().expect("an address").to_string()
}

/// Waits until clients are told of this address, or no longer.
fn await_url(client: &mut Client, mut told: Vec<String>, address: &str, is_there: bool) {
    for () in tries(format!("clients hear of {address}: {is_there}")) {
        if told.iter().any(|url| url == address) == is_there {
            return;
        }
        let line = client.line();
        if line.starts_with("INFO ") {
            told = urls(&line);
        }
    }
}

/// Asks until somebody answers; the answer.
fn request(client: &mut Client, subject: &str) -> String {
    client.send("SUB r 9\r\n");
    let mut answers = tries(format!("an answer to {subject}")).map(|()| {
        client.send(&format!("PUB {subject} r 0\r\n\r\n"));
        let is_answer = |line: &String| line.starts_with("MSG r ") || line.starts_with("HMSG r ");
        let line = tries("what comes of a request").map(|()| client.line()).find(is_answer);
        line.filter(|line| line.starts_with("MSG")).map(|_| client.line())
    });
    answers.find_map(|answer| answer).expect("tries have no end")
}

/// Waits for the last event of the server; its body.
fn await_end(client: &mut Client, server: &str) -> String {
    let subject = format!("MSG $SYS.SERVER.{server}.SHUTDOWN ");
    wait_until(&subject, || client.line().starts_with(&subject));
    client.line()
}

fn await_routes(client: &mut Client, server: &Server, count: usize) {
    let subject = format!("$SYS.REQ.SERVER.{}.ROUTEZ", server.node().settings.identity.id);
    let wanted = format!("\"num_routes\":{count},");
    wait_until(&wanted, || request(client, &subject).contains(&wanted));
}

/// A library that waits for the PONG of its first PING fails by any other line.
#[test]
fn nothing_comes_between_connect_and_the_first_pong() {
    let first = start("", &[], None);
    let (mut other, told) = connect(&first);
    let mut client = Client::open(&first);
    client.line();
    client.send("CONNECT {\"verbose\":false,\"protocol\":1,\"user\":\"s\"}\r\n");
    other.send("SUB taken 1\r\n");
    other.sync();
    client.send("PUB taken 0\r\n\r\n");
    wait_until("the message", || other.line().starts_with("MSG taken "));
    let second = start("", &[&first], None);
    await_url(&mut other, told, &address(&second), true);
    client.send("PING\r\n");
    assert_eq!(client.line(), "PONG");
    assert!(urls(&client.line()).contains(&address(&second)));
    second.stop();
    first.stop();
}

#[test]
fn a_server_that_is_asked_to_leave_is_forgotten_by_those_that_have_it_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let leaving = start("", &[], None);
    let stays = start("", &[&leaving], Some(&log));
    let id = leaving.node().settings.identity.id.clone();
    let (mut client, told) = connect(&stays);
    await_url(&mut client, told, &address(&leaving), true);
    client.send("SUB $SYS.SERVER.*.SHUTDOWN 1\r\n");
    client.sync();
    // Its own clients ask it: others' figures are those of official servers, which have no such request.
    let leave = format!("$SYS.REQ.SERVER.{id}.LEAVE");
    let answer = request(&mut connect(&leaving).0, &leave);
    assert!(answer.contains(&format!("\"id\":\"{id}\"")) && !answer.contains("error"), "{answer}");
    assert!(await_end(&mut client, &id).contains("\"leaves_for_good\":true"));
    await_routes(&mut client, &stays, 0);
    let (mut late, told) = connect(&stays);
    await_url(&mut late, told, &address(&leaving), false);
    // It hears the same event, on a thread of its own.
    let is_forgotten = |text: &str| text.contains("left for good, and is not dialed");
    wait_until("it is forgotten", || {
        late.sync();
        is_forgotten(&std::fs::read_to_string(&log).expect("a log"))
    });
    stays.stop();
    leaving.stop();
}

#[test]
fn whether_a_server_that_ends_is_waited_for_is_configured() {
    let stays = start("", &[], None);
    let (mut client, _) = connect(&stays);
    client.send("SUB $SYS.SERVER.*.SHUTDOWN 1\r\n");
    client.sync();
    for (block, for_good) in [("leave_at_shutdown: true", true), ("", false)] {
        let ends = start(block, &[&stays], None);
        let id = ends.node().settings.identity.id.clone();
        // It knows that somebody listens once it answers.
        request(&mut client, &format!("$SYS.REQ.SERVER.{id}.IDZ"));
        ends.stop();
        assert_eq!(await_end(&mut client, &id).contains("leaves_for_good"), for_good);
        await_routes(&mut client, &stays, 0);
    }
    stays.stop();
}

/// A server of a cluster with MQTT, whose streams are on the hub.
fn start_with_mqtt(hub: &Server, routes: &[&Server]) -> Server {
    let port = hub.node().settings.identity.port(ListenerKind::LeafNodes);
    let top = format!(
        "server_name: S{}, listen: '127.0.0.1:-1', lame_duck_grace_period: 1ms, \
         mqtt {{ listen: '127.0.0.1:-1', js_domain: hub }}, no_auth_user: a, system_account: SYS, \
         accounts {{ SYS {{ users: [ {{ user: s }} ] }}, A {{ users: [ {{ user: a }} ] }} }}, \
         leafnodes {{ remotes: [ {{ url: 'nats://127.0.0.1:{port}', account: A }} ] }}",
        routes.len()
    );
    Server::builder().options(crate::common::member(&top, "", routes)).quiet().start().expect("started")
}

/// A client of MQTT, once the streams can be reached.
fn device(server: &Server, client_id: &str) -> Device {
    let connected = tries("the hub has the streams").find_map(|()| {
        let mut device = Device::connect(server, Connect { client_id, ..CONNECT });
        device.next_or_end().map(|_| device)
    });
    connected.expect("tries have no end")
}

/// MQTT 5.0 §4.11.
#[test]
fn clients_of_mqtt_are_told_where_to_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = format!(
        "server_name: H, jetstream {{ store_dir: '{}', domain: hub }}, leafnodes {{ listen: '127.0.0.1:-1' }}",
        folder.path().display()
    );
    let hub = crate::common::start(crate::common::options(&hub));
    let first = start_with_mqtt(&hub, &[]);
    let second = start_with_mqtt(&hub, &[&first]);
    let (mut client, told) = connect(&first);
    await_url(&mut client, told, &address(&second), true);
    drop(client);
    let mut goes = device(&first, "d");
    first.lame_duck();
    let port = second.node().settings.identity.port(ListenerKind::Mqtt);
    let said = goes.next();
    assert!(said.contains("UseAnotherServer"), "{said}");
    assert!(said.contains(&format!("ServerReference(\"127.0.0.1:{port}\")")), "{said}");
    assert_eq!(goes.next_or_end(), None);
    // The last one knows no other.
    let mut goes = device(&second, "e");
    second.lame_duck();
    let said = goes.next();
    assert!(said.contains("ServerShuttingDown") && !said.contains("ServerReference"), "{said}");
}
