//! `/metrics` as a scraper reads it.

use crate::common::mqtt::{CONNECT, Device, publish};
use crate::common::waiting::{Bounded, NextLine, tries, wait_until};
use crate::common::{Client, options, start};
use dialtone_server::Server;
use dialtone_server::policy::ListenerKind;
use dialtone_wire::mqtt::{Connect, Qos, Version};
use std::collections::BTreeMap;
use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;

/// What the monitoring port answers.
fn get(server: &Server, path: &str) -> String {
    let port = server.node().monitoring.ports().http;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected").bounded();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

/// Every series with its labels, and its value.
fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let body = get(server, "/metrics");
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            Some((line.rsplit_once(' ')?.0.to_owned(), line.rsplit_once(' ')?.1.parse().ok()?))
        })
        .collect()
}

/// Connects in the process and reads until the server closes.
fn refused(server: &Server, connect: &str) {
    let mut stream = server.connect_in_process().expect("connected").bounded();
    stream.write_all(connect.as_bytes()).expect("sent");
    let mut all = String::new();
    stream.read_to_string(&mut all).expect("closed");
    assert!(all.contains("-ERR 'Auth"), "{all}");
}

#[test]
fn figures_are_those_of_the_server() {
    let server = start(options(
        "http: '127.0.0.1:-1'\nmax_connections: 70\n\
         accounts { A { users: [ { user: a }, { user: b, password: x }, { user: p, password: x, proxy_required: true } ] } }\n\
         authorization { timeout: 60 }",
    ));
    let mut client = Client::connect(&server, "a");
    client.send("SUB a 1\r\nSUB b 2\r\nPUB a 2\r\nhi\r\n");
    assert_eq!(client.sync(), ["MSG a 1 2", "hi"]);
    for password in ["y", "z"] {
        refused(&server, &format!("CONNECT {{\"user\":\"b\",\"pass\":\"{password}\"}}\r\n"));
    }
    refused(&server, "CONNECT {\"user\":\"p\",\"pass\":\"x\"}\r\n");
    let found = scrape(&server);
    for (series, expected) in [
        ("dialtone_connections_max", 70.0),
        ("dialtone_pending_bytes", 0.0),
        ("dialtone_received_messages_total", 1.0),
        ("dialtone_failed_logins_total{reason=\"credentials\"}", 2.0),
        ("dialtone_failed_logins_total{reason=\"proxy\"}", 1.0),
        ("dialtone_failed_logins_total{reason=\"token\"}", 0.0),
    ] {
        assert_eq!(found.get(series), Some(&expected), "{series}: {found:#?}");
    }
    // The server has as many of its own in both accounts.
    let of = |account: &str| {
        found[&format!("dialtone_account_subscriptions{{account=\"{account}\",account_name=\"{account}\"}}")]
    };
    assert_eq!(of("A") - of("$G"), 2.0);
    let of_accounts =
        |(name, value): (&String, &f64)| name.starts_with("dialtone_account_subscriptions").then_some(*value);
    assert_eq!(found["dialtone_subscriptions"], found.iter().filter_map(of_accounts).sum::<f64>());
    let info =
        found.keys().find(|name| name.starts_with("dialtone_build_info{version=\"")).expect("build info");
    assert_eq!(found[info], 1.0);
    assert!(found["process_open_fds"] >= 3.0 && found["process_open_fds"] <= found["process_max_fds"]);
    assert!(found["process_start_time_seconds"] > 1.7e9);
}

/// A link is one row for all links to the same other end, and what went by it counts when it is over.
#[test]
fn a_link_has_figures_and_its_counters_only_grow() {
    let hub = start(options("http: '127.0.0.1:-1', leafnodes { listen: '127.0.0.1:-1' }"));
    let port = hub.node().settings.identity.port(ListenerKind::LeafNodes);
    let mut spoke = BufReader::new(TcpStream::connect(("127.0.0.1", port)).expect("connected").bounded());
    spoke
        .get_mut()
        .write_all(b"CONNECT {\"name\":\"edge\",\"protocol\":3}\r\nLS+ x\r\nLMSG y 2\r\nhi\r\nPING\r\n")
        .expect("sent");
    let mut await_line = |expected: &str| {
        tries(expected).find(|()| spoke.next_line().trim_end() == expected);
    };
    await_line("PONG");
    let of = |name: &str| scrape(&hub).get(&format!("{name}{{kind=\"spoke\",remote=\"edge\"}}")).copied();
    let told = of("dialtone_link_interest_told_total").expect("a link");
    let mut client = Client::connect(&hub, "");
    client.send("SUB z 1\r\nPUB x 3\r\nabc\r\n");
    client.sync();
    await_line("LS+ z");
    await_line("LMSG x 3");
    for (series, expected) in [
        ("dialtone_links", 1.0),
        ("dialtone_link_subscriptions", 1.0),
        ("dialtone_link_interest_told_total", told + 1.0),
        ("dialtone_link_received_messages_total", 1.0),
        ("dialtone_link_received_bytes_total", 2.0),
        ("dialtone_link_sent_messages_total", 1.0),
        ("dialtone_link_sent_bytes_total", 3.0),
        ("dialtone_link_pending_bytes", 0.0),
    ] {
        assert_eq!(of(series), Some(expected), "{series}");
    }
    let slow: serde_json::Value = serde_json::from_str(&get(&hub, "/slowz")).expect("JSON");
    let link = &slow["links"][0];
    let shown = ["kind", "remote", "account"].map(|key| link[key].as_str().unwrap_or_default());
    assert_eq!(shown, ["spoke", "edge", "$G"]);
    assert_eq!(
        (&link["in_msgs"], &link["out_bytes"], &link["subscriptions"]),
        (&1.into(), &3.into(), &1.into())
    );
    drop(spoke);
    wait_until("the link is gone", || of("dialtone_links") == Some(0.0));
    assert_eq!(of("dialtone_link_sent_messages_total"), Some(1.0));
    hub.stop();
}

#[test]
fn whoever_says_nothing_in_time_is_counted() {
    let server =
        start(options("http: '127.0.0.1:-1', authorization { user: a, password: x, timeout: 0.01 }"));
    refused(&server, "");
    assert_eq!(scrape(&server)["dialtone_failed_logins_total{reason=\"timeout\"}"], 1.0);
}

#[test]
fn figures_of_mqtt_are_those_of_its_clients_and_streams() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(options(&format!(
        "server_name: A\nhttp: '127.0.0.1:-1'\njetstream {{ store_dir: '{}' }}\nmqtt {{ listen: '127.0.0.1:-1' }}",
        folder.path().display()
    )));
    let mut device = Device::named(&server, "a");
    let mut old = Device::connect(
        &server,
        Connect { version: Version::V311, client_id: "b", clean_start: true, ..CONNECT },
    );
    assert!(old.next().contains("reason: Success"));
    let mut refused = Device::connect(&server, Connect { client_id: "no.name", ..CONNECT });
    assert!(refused.next().contains("reason: ClientIdentifierNotValid"));
    for (qos, count) in [(Qos::AtMostOnce, 3), (Qos::AtLeastOnce, 2)] {
        (0..count).for_each(|_| publish(&mut device, "t", qos, 1, "x"));
    }
    let found = scrape(&server);
    for (series, expected) in [
        ("dialtone_mqtt_connections{version=\"3.1\"}", 0.0),
        ("dialtone_mqtt_connections{version=\"3.1.1\"}", 1.0),
        ("dialtone_mqtt_connections{version=\"5.0\"}", 1.0),
        ("dialtone_mqtt_refused_connections_total", 1.0),
        ("dialtone_mqtt_received_messages_total{qos=\"0\"}", 3.0),
        ("dialtone_mqtt_received_messages_total{qos=\"1\"}", 2.0),
        ("dialtone_mqtt_kept{what=\"session\"}", 1.0),
        ("dialtone_mqtt_kept{what=\"message\"}", 0.0),
        ("dialtone_mqtt_waiting_wills", 0.0),
        ("dialtone_mqtt_sn_clients{state=\"asleep\"}", 0.0),
    ] {
        assert_eq!(found.get(series), Some(&expected), "{series}: {found:#?}");
    }
    server.stop();
}
