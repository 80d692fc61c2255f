//! Peers that play whatever they like at the ports of servers, for other servers: what they are told, and that nobody else notices.
#![cfg(test)]

use super::check::STRANGE;
use super::plan::{ClientPlan, Domain, Plan, Site, Sub, Uplink};
use super::world::World;
use crate::policy::ListenerKind;
use std::collections::BTreeSet;
use std::time::Duration;

const KINDS: [ListenerKind; 3] = [ListenerKind::Cluster, ListenerKind::LeafNodes, ListenerKind::Gateway];
const SECOND: Duration = Duration::from_secs(1);

/// Two clusters that gateways connect, the first of two servers, and a leaf node of the first; a client of one account at each server,
/// and one of another account that listens to everything.
fn plan(more: &'static str) -> Plan {
    let domain = |servers, has_gateway| Domain {
        servers,
        pool_size: 1,
        is_dedicated: false,
        is_compressed: false,
        has_gateway,
        uplinks: Vec::new(),
    };
    let mut domains = vec![domain(2, true), domain(1, true), domain(1, false)];
    domains[2].uplinks.push(Uplink { to: 0, accounts: [0, 0], to_all: false });
    let client = |domain, index, account, filter| ClientPlan {
        site: Site { domain, index },
        account,
        subs: vec![Sub { filter, queue: None }, Sub { filter, queue: Some("q") }],
    };
    let clients = vec![
        client(0, 0, 0, "a"),
        client(0, 1, 0, "a"),
        client(1, 0, 0, "a"),
        client(2, 0, 0, "a"),
        client(0, 0, 1, ">"),
    ];
    Plan {
        seed: 1,
        domains,
        clients,
        steps: Vec::new(),
        delay_max: Duration::from_millis(1),
        piece_bytes_max: 4096,
        starts_within: Duration::ZERO,
        is_guarded: true,
        more,
    }
}

/// A world in which all is connected.
fn connected(plan: &Plan) -> World<'_> {
    let mut world = World::new(plan);
    world.pass(20 * SECOND);
    world.check_deliveries().expect("whole");
    world
}

/// Nobody else has noticed: no connection was made anew, and all is delivered.
fn unharmed(world: &mut World<'_>, connections: usize) {
    assert_eq!(world.connections(), connections, "a connection between servers was lost");
    world.check_deliveries().expect("whole");
}

/// What a stranger heard, INFO aside.
fn heard(world: &mut World<'_>, stranger: usize) -> String {
    let got = String::from_utf8_lossy(&world.stranger_at(stranger).got).into_owned();
    got.split_inclusive("\r\n").filter(|line| !line.starts_with("INFO ")).collect()
}

/// One of everything that clients and servers say.
fn operations() -> Vec<Vec<u8>> {
    let lines = [
        "PING\r\n",
        "PONG\r\n",
        "+OK\r\n",
        "-ERR 'x'\r\n",
        "SUB a 1\r\n",
        "UNSUB 1\r\n",
        "PUB a 7\r\nstrange\r\n",
        "RS+ A a\r\n",
        "RS+ A a q 7\r\n",
        "RS- A a\r\n",
        "LS+ a\r\n",
        "LS- a\r\n",
        "LS+ c9 A a\r\n",
        "A+ A\r\n",
        "A- A\r\n",
        "RMSG A a 7\r\nstrange\r\n",
        "LMSG a 7\r\nstrange\r\n",
        "LMSG c9 A a 7\r\nstrange\r\n",
        "HMSG A a 12 19\r\nNATS/1.0\r\n\r\nstrange\r\n",
        "INFO {}\r\n",
        "INFO {\"gateway\":\"c1\",\"gateway_cmd\":1,\"server_id\":\"x\"}\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "FROB\r\n",
        "\r\n",
    ];
    let mut all: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    all.push(vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
    all.push(b"\xff\x06\x00\x00S2sTwO".to_vec());
    all.push([b"CONNECT {".as_slice(), &[b'['; 5000], b"}\r\n"].concat());
    all
}

/// Each operation, and each two of them in any order, to someone who has not heard CONNECT.
#[test]
fn who_has_not_said_who_it_is_may_say_nothing_else_on_any_port() {
    let plan = plan("");
    let mut world = connected(&plan);
    let connections = world.connections();
    let operations = operations();
    for kind in KINDS {
        let mut heard_by = BTreeSet::new();
        for first in &operations {
            let group: Vec<usize> = operations
                .iter()
                .map(|second| {
                    let stranger = world.stranger(0, kind);
                    world.say(stranger, &[first.as_slice(), second].concat());
                    stranger
                })
                .collect();
            world.pass(SECOND * 4);
            for (stranger, second) in group.into_iter().zip(&operations) {
                let what = [String::from_utf8_lossy(first), String::from_utf8_lossy(second)];
                let answer = heard(&mut world, stranger);
                assert!(world.stranger_at(stranger).is_closed, "{kind:?} {what:?} is not closed: {answer}");
                assert!(world.stranger_at(stranger).got.len() < 4096, "{kind:?} {what:?}");
                heard_by.insert(answer);
            }
        }
        let known = [
            "",
            "-ERR 'Authorization Violation'\r\n",
            "-ERR 'Authentication Timeout'\r\n",
            "-ERR 'Maximum Control Line Exceeded'\r\n",
        ];
        let other: Vec<&String> =
            heard_by.iter().filter(|answer| !known.contains(&answer.as_str())).collect();
        assert!(other.is_empty(), "{kind:?}: {other:?}");
    }
    unharmed(&mut world, connections);
}

/// Says CONNECT and what follows; what is answered, and whether the connection is over.
fn answer(world: &mut World<'_>, kind: ListenerKind, said: &str) -> (String, bool) {
    let stranger = world.stranger(0, kind);
    world.say(stranger, said.as_bytes());
    world.pass(SECOND);
    (heard(world, stranger), world.stranger_at(stranger).is_closed)
}

#[test]
fn who_says_it_is_somebody_else_is_refused() {
    use ListenerKind::{Cluster, Gateway, LeafNodes};
    let plan = plan("");
    let mut world = connected(&plan);
    let connections = world.connections();
    let message = "RMSG A a 7\r\nstrange\r\n";
    for (kind, connect, error) in [
        (Cluster, "{}", "Authorization Violation"),
        (Cluster, r#"{"user":"r","pass":"q"}"#, "Authorization Violation"),
        (Cluster, r#"{"user":"A","pass":"p"}"#, "Authorization Violation"),
        (Cluster, r#"{"user":"r","pass":"p","lang":"go"}"#, "attempted to connect to route port"),
        (Cluster, r#"{"user":"r","pass":"p","gateway":"c1"}"#, "Rejecting connection from gateway"),
        (Cluster, r#"{"user":"r","pass":"p","cluster":"c1"}"#, "cluster name"),
        (Gateway, "{}", "Authorization Violation"),
        (Gateway, r#"{"user":"r","pass":"q","gateway":"c1"}"#, "Authorization Violation"),
        (Gateway, r#"{"user":"r","pass":"p"}"#, "attempted to connect to gateway port"),
        (
            Gateway,
            r#"{"user":"r","pass":"p","gateway":"c1","lang":"go"}"#,
            "attempted to connect to gateway port",
        ),
        (Gateway, r#"{"user":"r","pass":"p","gateway":"c0"}"#, "rejected"),
        (LeafNodes, r#"{"user":"r","pass":"p"}"#, "Authorization Violation"),
        (LeafNodes, r#"{"user":"A","pass":"q"}"#, "Authorization Violation"),
        (LeafNodes, r#"{"user":"A","pass":"p","lang":"go"}"#, "attempted to connect to leaf node port"),
        (LeafNodes, r#"{"user":"A","pass":"p","gateway":"c1"}"#, "Rejecting connection from gateway"),
        (LeafNodes, r#"{"user":"A","pass":"p","cluster":"c0"}"#, "same cluster name"),
        (LeafNodes, r#"{"user":"A","pass":"p","cluster":"c 0"}"#, "cluster name cannot contain spaces"),
    ] {
        let line = if kind == LeafNodes { "LMSG a 7\r\nstrange\r\n" } else { message };
        let said = format!("CONNECT {connect}\r\n{line}");
        let (heard, is_closed) = answer(&mut world, kind, &said);
        assert!(heard.contains(error) && is_closed, "{kind:?} {connect}: {heard:?}, closed: {is_closed}");
    }
    // Whoever has shown a password and not said which server it is has no place yet.
    for (kind, connect) in [
        (Cluster, r#"{"user":"r","pass":"p","cluster":"c0"}"#),
        (Gateway, r#"{"user":"r","pass":"p","gateway":"c1"}"#),
    ] {
        for line in ["RS+ A a\r\n", "RS- A a\r\n", message] {
            let (_, is_closed) = answer(&mut world, kind, &format!("CONNECT {connect}\r\n{line}{line}"));
            assert!(is_closed, "{kind:?} {line:?}");
        }
    }
    world.pass(30 * SECOND);
    let strange = (0..plan.clients.len()).flat_map(|client| world.client(client).got.clone());
    let strange: Vec<_> = strange.filter(|got| got.body == STRANGE).collect();
    assert!(strange.is_empty(), "{strange:?}");
    unharmed(&mut world, connections);
}

/// A leaf node is in the account of its user, whatever it claims, and speaks no other dialect.
#[test]
fn a_leaf_node_reaches_no_account_but_its_own() {
    let plan = plan("");
    let mut world = connected(&plan);
    let connections = world.connections();
    for claim in ["", r#","account":"A""#, r#","remote_account":"A""#, r#","acc":"A","is_hub":false"#] {
        let stranger = world.stranger(0, ListenerKind::LeafNodes);
        world.say(
            stranger,
            format!("CONNECT {{\"user\":\"B\",\"pass\":\"p\",\"name\":\"x\"{claim}}}\r\n").as_bytes(),
        );
        world.say(stranger, b"LS+ a\r\nLMSG a 7\r\nstrange\r\n");
        world.pass(SECOND);
        for foreign in ["RMSG A a 7\r\nstrange\r\n", "RS+ A a\r\n", "A- A\r\n"] {
            let stranger = world.stranger(0, ListenerKind::LeafNodes);
            let said = format!("CONNECT {{\"user\":\"B\",\"pass\":\"p\",\"name\":\"y\"}}\r\n{foreign}");
            world.say(stranger, said.as_bytes());
            world.pass(SECOND);
            assert!(world.stranger_at(stranger).is_closed, "{foreign}");
        }
        let in_a: usize = (0..4)
            .map(|client| world.client(client).got.iter().filter(|got| got.body == STRANGE).count())
            .sum();
        assert_eq!(in_a, 0, "{claim}");
        assert!(world.client(4).got.iter().any(|got| got.body == STRANGE), "{claim}");
        world.stranger_at(stranger).end.as_ref().expect("open").close();
        world.pass(SECOND);
    }
    unharmed(&mut world, connections);
}

/// What waits for a peer that does not read is bounded, whatever it is, and it is closed.
#[test]
fn a_server_that_does_not_read_costs_no_more_than_may_wait() {
    const MOST: usize = 200_000;
    let plan = plan("max_pending: 200000, max_payload: 20000\n");
    let info = r#""server_id":"X","server_name":"X","version":"2.15.0","headers":true,"proto":1"#;
    for (kind, joins) in [
        (
            ListenerKind::LeafNodes,
            r#"CONNECT {"user":"A","pass":"p","name":"X","server_id":"X"}
LS+ big.>
"#
            .to_owned(),
        ),
        (
            ListenerKind::Cluster,
            format!(
                "CONNECT {{\"user\":\"r\",\"pass\":\"p\",\"name\":\"X\",\"cluster\":\"c0\"}}\n\
                 INFO {{{info},\"cluster\":\"c0\",\"host\":\"192.0.2.1\",\"port\":6222}}\nRS+ A big.>\n"
            ),
        ),
        (
            ListenerKind::Gateway,
            format!(
                "CONNECT {{\"user\":\"r\",\"pass\":\"p\",\"name\":\"X\",\"gateway\":\"c7\"}}\n\
                 INFO {{{info},\"gateway\":\"c7\",\"gateway_url\":\"192.0.2.1:7222\"}}\n"
            ),
        ),
    ] {
        let mut world = connected(&plan);
        let connections = world.connections();
        let stranger = world.stranger(0, kind);
        world.say(stranger, joins.replace('\n', "\r\n").as_bytes());
        world.pass(SECOND);
        assert!(!world.stranger_at(stranger).is_closed, "{kind:?}: {}", heard(&mut world, stranger));
        world.stranger_at(stranger).end.as_ref().expect("open").set_reading(false);
        let mut most = 0;
        for round in 0..100 {
            // Interest goes to other clusters, messages to the others.
            let flood = match kind {
                ListenerKind::Gateway => {
                    let filter = "x".repeat(900);
                    (0..10)
                        .map(|n| format!("SUB {filter}.{round}.{n} {}\r\n", 5000 + round * 10 + n))
                        .collect()
                }
                _ => format!("PUB big.{round} 9000\r\n{}\r\n", "x".repeat(9000)),
            };
            world.client(0).send(&flood);
            world.pass(Duration::from_millis(20));
            most = most.max(world.pending_bytes(0));
        }
        assert!(most > MOST / 2 && most <= MOST + 20_000, "{kind:?}: {most} bytes waited");
        world.pass(15 * SECOND);
        world.stranger_at(stranger).end.as_ref().expect("open").set_reading(true);
        world.pass(SECOND);
        assert!(world.stranger_at(stranger).is_closed, "{kind:?}");
        unharmed(&mut world, connections);
    }
}
