//! Leaf nodes: what a hub makes of whoever connects, and two servers that are hub and spoke.

use crate::churn::{Churn, FILTERS, View};
use crate::common::waiting::{Bounded, NextLine, tries, wait_until};
use crate::common::{Client, options, start};
use data_encoding::BASE64URL_NOPAD;
use dialtone_config::Options;
use dialtone_identity::nkey::{Kind, Seed};
use dialtone_server::Server;
use dialtone_server::policy::ListenerKind;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;

/// A spoke that is a script.
struct Spoke(BufReader<TcpStream>);

impl Spoke {
    fn connect(hub: &Server) -> (Self, String) {
        let port = hub.node().settings.identity.port(ListenerKind::LeafNodes);
        let stream = TcpStream::connect(("localhost", port)).expect("connected").bounded();
        let mut spoke = Self(BufReader::new(stream));
        let info = spoke.line();
        assert!(info.starts_with("INFO {"), "{info}");
        (spoke, info)
    }

    fn join(hub: &Server, connect: &str) -> Self {
        let (mut spoke, _) = Self::connect(hub);
        spoke.send(&format!("CONNECT {{\"headers\":true,\"protocol\":3,{connect}}}\r\n"));
        assert!(spoke.line().contains("\"connect_info\":true"));
        spoke.sync();
        spoke
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("sent");
    }

    /// The next line that is no PING.
    fn line(&mut self) -> String {
        loop {
            let line = self.0.next_line();
            if line != "PING\r\n" {
                return line.trim_end().to_owned();
            }
        }
    }

    /// What came up to the answer of a PING, without what is always there.
    fn sync(&mut self) -> Vec<String> {
        self.send("PING\r\n");
        let mut lines = Vec::new();
        loop {
            match self.line() {
                line if line == "PONG" => return lines,
                line if line.contains(" $SYS.") || line.contains(" $LDS.") => {}
                line => lines.push(line),
            }
        }
    }

    /// All that comes before the connection ends.
    fn rest(mut self) -> String {
        let mut text = Vec::new();
        // What was not read when it ended resets the connection.
        let _ = self.0.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn hub(block: &str, more: &str) -> Server {
    start(options(&format!("leafnodes {{ listen: 'localhost:-1', {block} }}\n{more}")))
}

fn spoke_options(hub: &Server, url: &str, block: &str) -> Options {
    let port = hub.node().settings.identity.port(ListenerKind::LeafNodes);
    options(&format!(
        "server_name: spoke, leafnodes {{ reconnect: '10ms', remotes: [ {{ url: 'nats://{url}localhost:{port}', {block} }} ] }}"
    ))
}

/// Waits until so many connections of leaf nodes are there.
fn wait_for(server: &Server, connections: usize) {
    let what = format!("{connections} connections of leaf nodes");
    wait_until(what, || server.node().delivery.leafs.len() == connections);
}

/// Waits until the leaf node that is there wants messages to `filter`.
fn wait_for_interest(server: &Server, filter: &[u8]) {
    wait_until("interest", || {
        let open = server.node().delivery.leafs.open();
        open.first().is_some_and(|leaf| leaf.interest.lock().has_filter(filter))
    });
}

/// Before CONNECT nothing else counts: in any order, twice, and with what would crash a parser that is in a hurry.
#[test]
fn strangers_may_say_nothing_but_connect() {
    let hub = hub("authorization { user: u, password: p }", "");
    let operations = [
        "LS+ foo\r\n",
        "LS- foo\r\n",
        "LMSG foo 2\r\nhi\r\n",
        "HMSG foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        "PING\r\n",
        "PONG\r\n",
        "+OK\r\n",
        "-ERR 'x'\r\n",
        "SUB foo 1\r\n",
        "FROB\r\n",
        "INFO {}\r\nLS+ foo\r\n",
        "INFO {}\r\nCONNECT {\"user\":\"u\",\"pass\":\"p\"}\r\n",
    ];
    for (first, second) in operations.iter().flat_map(|first| operations.map(|second| (*first, second))) {
        let (mut spoke, _) = Spoke::connect(&hub);
        spoke.send(&format!("{first}{second}"));
        let answer = spoke.rest();
        assert_eq!(answer, "-ERR 'Authorization Violation'\r\n", "{first:?} {second:?}");
    }
    for wrong in
        ["{}", "{\"user\":\"u\"}", "{\"user\":\"u\",\"pass\":\"q\"}", "{\"user\":\"v\",\"pass\":\"p\"}"]
    {
        let (mut spoke, _) = Spoke::connect(&hub);
        spoke.send(&format!("CONNECT {wrong}\r\nLS+ foo\r\n"));
        assert_eq!(spoke.rest(), "-ERR 'Authorization Violation'\r\n", "{wrong}");
    }
    for broken in ["CONNECT {\r\n", "CONNECT {\"is_hub\":7}\r\n", "CONNECT\r\n"] {
        let (mut spoke, _) = Spoke::connect(&hub);
        spoke.send(broken);
        assert!(!spoke.rest().contains("INFO"), "{broken}");
    }
    // Behind an agreement on compression only S2 counts, and a stranger is a stranger there, too.
    for second in operations {
        let (mut spoke, _) = Spoke::connect(&hub);
        spoke.send(&format!("INFO {{\"compression\":\"s2_fast\"}}\r\n{second}"));
        let answer = spoke.rest();
        assert!(!answer.contains("connect_info") && !answer.contains("PONG"), "{second:?}: {answer}");
    }
    let mut known = Spoke::join(&hub, "\"user\":\"u\",\"pass\":\"p\"");
    assert_eq!(known.sync(), [""; 0]);
    wait_for(&hub, 1);
    hub.stop();
}

/// Who does not finish what it begins with is closed in time, and at once when it is longer than a line may be: what is kept of a stranger is
/// bounded.
#[test]
fn a_spoke_that_does_not_finish_connect_is_closed() {
    let hub = hub("authorization { user: u, password: p, timeout: '50ms' }", "max_control_line: 1024");
    for begin in ["", "C", "CONNECT {\"user\":\"u\"", "INFO {\"compression\":"] {
        let (mut spoke, _) = Spoke::connect(&hub);
        spoke.send(begin);
        assert_eq!(spoke.rest(), "-ERR 'Authentication Timeout'\r\n", "{begin:?}");
    }
    hub.stop();
    let hub = self::hub("authorization { user: u, password: p, timeout: 60 }", "max_control_line: 1024");
    for begin in ["CONNECT {\"user\":\"", "INFO {\"compression\":\""] {
        let (mut spoke, _) = Spoke::connect(&hub);
        // It is closed before all is sent.
        let long = format!("{begin}{}", "x".repeat(1 << 20));
        let _ = spoke.0.get_mut().write_all(long.as_bytes());
        assert_eq!(spoke.rest(), "-ERR 'maximum control line exceeded'\r\n", "{begin:?}");
    }
    hub.stop();
}

/// What a service is told of who asks is this server's word, whatever headers a spoke sends along.
#[test]
fn a_spoke_cannot_say_who_asks() {
    let hub = hub(
        "",
        "accounts {
            EXP { users: [ { user: e } ], exports: [ { service: svc } ] }
            IMP { users: [ { user: i } ], imports: [ { service: { account: EXP, subject: svc } } ] }
        }",
    );
    let mut spoke = Spoke::join(&hub, "\"user\":\"i\"");
    let mut exporter = Client::connect(&hub, "e");
    exporter.send("SUB svc 1\r\n");
    exporter.sync();
    for forged in [
        "Nats-Request-Info: {\"acc\":\"EXP\"}\r\n",
        "nats-request-info: {\"acc\":\"EXP\"}\r\n",
        "Nats-Request-Info: {\"acc\":\"EXP\"}\r\nNATS-REQUEST-INFO: {\"acc\":\"EXP\"}\r\n",
        "Nats-Request-Info:\r\n {\"acc\":\"EXP\"}\r\n",
        "Nats-Request-Info : {\"acc\":\"EXP\"}\r\n",
    ] {
        let head = format!("NATS/1.0\r\n{forged}x: y\r\n\r\n");
        spoke.send(&format!("HMSG svc r.1 {} {}\r\n{head}hi\r\n", head.len(), head.len() + 2));
        spoke.sync();
        let got = exporter.sync().join("\n").to_lowercase();
        assert!(got.contains("x: y") && got.contains("\"acc\":\"imp\""), "{forged:?}: {got}");
        assert!(!got.contains("\"acc\":\"exp\""), "{forged:?}: {got}");
    }
    hub.stop();
}

/// A filter may be wider than what a spoke may have: each message is checked, for queue groups too; and so is what it sends.
#[test]
fn what_a_spoke_may_not_have_comes_by_no_wildcard_and_no_queue_group() {
    let rights = "subscribe: { allow: 'in.>', deny: 'in.no' }, publish: { allow: 'out.>', deny: 'out.no' }";
    let hub = hub(
        "",
        &format!(
            "accounts {{ A {{ users: [ {{ user: a }}, {{ user: u, permissions: {{ {rights} }} }} ] }} }}"
        ),
    );
    let mut client = Client::connect(&hub, "a");
    for wanted in ["in.*", "in.* q 1", ">", "> q 1", "*.*", "in.> q 3"] {
        let mut spoke = Spoke::join(&hub, "\"user\":\"u\",\"name\":\"s\",\"remote_account\":\"X\"");
        spoke.send(&format!("LS+ {wanted}\r\n"));
        spoke.sync();
        client.send("PUB in.no 2\r\nno\r\nPUB other.x 2\r\nno\r\nPUB in.yes 2\r\nhi\r\n");
        client.sync();
        let got = spoke.sync();
        let is_right = got.len() == 2 && got[0].starts_with("LMSG in.yes ") && got[1] == "hi";
        assert!(is_right, "{wanted}: {got:?}");
    }
    client.send("SUB > 1\r\n");
    client.sync();
    for denied in ["out.no", "in.yes", "other", "$SYS.REQ.SERVER.PING"] {
        let mut spoke = Spoke::join(&hub, "\"user\":\"u\",\"name\":\"s\",\"remote_account\":\"X\"");
        spoke.send(&format!("LMSG out.yes 2\r\nhi\r\nLMSG {denied} 2\r\nno\r\n"));
        let error = format!("-ERR 'Permissions Violation for Publish to \"{denied}\"'\r\n");
        assert!(spoke.rest().ends_with(&error), "{denied}");
        assert_eq!(client.sync(), ["MSG out.yes 1 2", "hi"], "{denied}");
    }
    hub.stop();
}

/// A message whose trace goes to a subject.
fn traced(destination: &str, only: bool) -> String {
    let only = if only { "Nats-Trace-Only: true\r\n" } else { "" };
    format!("NATS/1.0\r\nNats-Trace-Dest: {destination}\r\n{only}\r\n")
}

/// The subjects of what came until something had come to each of these, or at once behind that: traces and what they are of are in no order.
fn subjects_with(client: &mut Client, awaited: &[&str]) -> Vec<String> {
    let subject_of = |line: &str| {
        let mut words = line.split(' ');
        let is_message = words.next().is_some_and(|word| word == "MSG" || word == "HMSG");
        words.next().filter(|_| is_message).map(str::to_owned)
    };
    let mut subjects = Vec::new();
    wait_until(format!("{awaited:?}"), || {
        subjects.extend(subject_of(&client.line()));
        awaited.iter().all(|subject| subjects.iter().any(|came| came == subject))
    });
    subjects.extend(client.sync().iter().filter_map(|line| subject_of(line)));
    subjects.sort();
    subjects
}

/// GHSA-p3j5-5hrq-p75h: whoever may not publish to a subject has no trace published there in its place, and the message that asks for it is
/// dropped. The other end should have known, but need not be honest.
#[test]
fn a_spoke_has_no_trace_published_where_it_may_not_publish() {
    let rights = "publish: { allow: ['work', 'ok'] }";
    let users = format!("{{ user: a }}, {{ user: u, permissions: {{ {rights} }} }}");
    let hub = hub("", &format!("accounts {{ A {{ users: [ {users} ] }} }}"));
    let mut client = Client::connect(&hub, "a");
    client.send("SUB > 1\r\n");
    client.sync();
    for is_hub in [false, true] {
        for only in [false, true] {
            let connect =
                format!("\"user\":\"u\",\"is_hub\":{is_hub},\"name\":\"s\",\"remote_account\":\"X\"");
            let mut spoke = Spoke::join(&hub, &connect);
            for destination in ["secret", "ok"] {
                let head = traced(destination, only);
                spoke.send(&format!("HMSG work {} {}\r\n{head}hi\r\n", head.len(), head.len() + 2));
            }
            spoke.sync();
            let expected: &[&str] = if only { &["ok"] } else { &["ok", "work"] };
            assert_eq!(subjects_with(&mut client, &["ok"]), expected, "{is_hub} {only}");
        }
    }
    hub.stop();
}

/// The same for a hub, which may publish here what `deny_imports` lets in.
#[test]
fn a_hub_has_no_trace_published_where_it_may_not_publish() {
    let hub = hub("", "");
    let spoke = start(spoke_options(&hub, "", "deny_imports: [ 'secret' ]"));
    wait_for(&hub, 1);
    let mut receiver = Client::connect(&spoke, "");
    receiver.send("SUB secret 1\r\nSUB ok 2\r\nSUB work 3\r\nSUB end 4\r\n");
    receiver.sync();
    let mut sender = Client::connect(&hub, "");
    wait_for_interest(&hub, b"end");
    for destination in ["secret", "ok"] {
        let head = traced(destination, false);
        sender.send(&format!("HPUB work {} {}\r\n{head}hi\r\n", head.len(), head.len() + 2));
    }
    sender.send("PUB end 0\r\n\r\n");
    sender.sync();
    let got = subjects_with(&mut receiver, &["ok", "end"]);
    assert!(!got.contains(&"secret".to_owned()), "{got:?}");
    assert_eq!(got.iter().filter(|subject| *subject == "work").count(), 1, "{got:?}");
    spoke.stop();
    hub.stop();
}

/// Anybody may say that it is the hub. It is told what a hub is, and has no right more for it.
#[test]
fn who_dials_as_a_hub_has_the_rights_of_its_user_all_the_same() {
    let rights = "permissions: { subscribe: { allow: 'in.>' }, publish: { allow: 'out.>' } }";
    let hub = hub(
        "isolate: true",
        &format!("accounts {{ A {{ users: [ {{ user: a }}, {{ user: u, {rights} }} ] }} }}"),
    );
    let mut other = Spoke::join(&hub, "\"user\":\"a\",\"name\":\"o\",\"cluster\":\"O\"");
    other.send("LS+ out.other\r\n");
    other.sync();
    let mut client = Client::connect(&hub, "a");
    client.send("SUB out.x 1\r\nSUB in.x 2\r\n");
    client.sync();
    let join = || Spoke::join(&hub, "\"user\":\"u\",\"is_hub\":true,\"name\":\"h\",\"remote_account\":\"X\"");
    let mut dialing = join();
    assert!(
        hub.node().delivery.leafs.open().iter().any(|leaf| leaf.is_spoke()),
        "seen from here it is a hub"
    );
    client.send("SUB out.y 3\r\nSUB in.y 4\r\n");
    client.sync();
    assert_eq!(dialing.sync(), ["LS+ out.y"], "neither what it may not send nor what others want");
    dialing.send("LS+ >\r\nLMSG out.x 2\r\nhi\r\n");
    dialing.sync();
    client.send("PUB out.z 2\r\nno\r\nPUB in.z 2\r\nhi\r\n");
    assert_eq!(client.sync(), ["MSG out.x 1 2", "hi"]);
    assert_eq!(dialing.sync(), ["LMSG in.z 2", "hi"]);
    dialing.send("LMSG in.x 2\r\nno\r\n");
    assert!(dialing.rest().ends_with("-ERR 'Permissions Violation for Publish to \"in.x\"'\r\n"));
    hub.stop();
}

/// The block's own users are all that there are, and no account named in CONNECT is obeyed.
#[test]
fn a_spoke_is_in_the_account_of_its_user() {
    let hub = hub(
        "authorization { users: [ { user: u, password: p, account: A } ] }",
        "accounts { A { users: [ { user: a } ] }, B { users: [ { user: b } ] } }, no_auth_user: b",
    );
    for claim in ["\"account\":\"B\"", "\"remote_account\":\"B\""] {
        let mut spoke = Spoke::join(&hub, &format!("\"user\":\"u\",\"pass\":\"p\",{claim}"));
        let (mut a, mut b) = (Client::connect(&hub, "a"), Client::connect(&hub, "b"));
        a.send("SUB x 1\r\n");
        b.send("SUB x 1\r\n");
        a.sync();
        b.sync();
        assert_eq!(spoke.sync(), ["LS+ x"]);
        spoke.send("LMSG x 2\r\nhi\r\n");
        spoke.sync();
        assert_eq!((a.sync(), b.sync()), (vec!["MSG x 1 2".to_owned(), "hi".to_owned()], vec![]));
        a.send("UNSUB 1\r\n");
        a.sync();
        assert_eq!(spoke.sync(), ["LS- x"]);
    }
    // Neither a user of an account nor who has none is let in by this listener.
    for who in ["\"user\":\"a\"", "\"name\":\"n\""] {
        let (mut spoke, _) = Spoke::connect(&hub);
        spoke.send(&format!("CONNECT {{{who}}}\r\n"));
        assert_eq!(spoke.rest(), "-ERR 'Authorization Violation'\r\n", "{who}");
    }
    hub.stop();
}

#[test]
fn an_nkey_shows_who_a_spoke_is() {
    let seed = Seed::from_bytes(Kind::User, [7; 32]);
    let key = seed.public().to_string();
    let hub = hub(&format!("authorization {{ nkey: {key} }}"), "");
    let answer_to = |nonce: fn(&str) -> String| {
        let (mut spoke, info) = Spoke::connect(&hub);
        let said =
            info.split("\"nonce\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce");
        let signature = BASE64URL_NOPAD.encode(&seed.sign(nonce(said).as_bytes()));
        spoke.send(&format!("CONNECT {{\"nkey\":\"{key}\",\"sig\":\"{signature}\"}}\r\n"));
        spoke.line()
    };
    assert!(answer_to(str::to_owned).contains("\"connect_info\":true"));
    assert_eq!(answer_to(|nonce| format!("{nonce}x")), "-ERR 'Authorization Violation'");
    // This server as the spoke.
    let spoke = start(spoke_options(&hub, "", &format!("nkey: {}", *seed.reveal())));
    wait_for(&spoke, 1);
    spoke.stop();
    hub.stop();
}

/// As many as the account may have, and when one goes another may come.
#[test]
fn an_account_has_so_many_leaf_nodes_and_no_more() {
    let accounts = "accounts { A { users: [ { user: u } ], limits { max_leafnodes: 1 } } }";
    let hub = hub("", accounts);
    let first = Spoke::join(&hub, "\"user\":\"u\",\"name\":\"one\"");
    wait_for(&hub, 1);
    let (mut second, _) = Spoke::connect(&hub);
    second.send("CONNECT {\"user\":\"u\",\"name\":\"two\"}\r\n");
    assert!(second.rest().starts_with("-ERR '"));
    // Clients count apart.
    Client::connect(&hub, "u");
    drop(first);
    wait_for(&hub, 0);
    let mut third = Spoke::join(&hub, "\"user\":\"u\",\"name\":\"three\"");
    third.sync();
    hub.stop();
}

/// Where a leaf node is in, somebody is; and the server itself is in the system account.
#[test]
fn an_account_with_a_leaf_node_is_active() {
    let accounts = "system_account: SYS
        accounts { SYS { users: [ { user: s } ] }, A { users: [ { user: a } ] }, B { users: [ { user: b } ] } }";
    let hub = hub("", accounts);
    let mut system = Spoke::join(&hub, "\"user\":\"s\",\"name\":\"one\"");
    let _other = Spoke::join(&hub, "\"user\":\"a\",\"name\":\"two\"");
    system.send("LS+ _INBOX.1\r\nLMSG $SYS.REQ.SERVER.PING _INBOX.1 0\r\n\r\n");
    let answers = tries("the answer").map(|()| system.line());
    let answer = answers.into_iter().find(|line| line.contains("\"statsz\"")).expect("tries have no end");
    assert!(answer.contains("\"active_accounts\":2,"), "{answer}");
    hub.stop();
}

/// A message that comes back by another leaf node of the cluster that it is from would be there twice.
#[test]
fn leaf_nodes_of_one_cluster_are_no_way_round() {
    let hub = hub("", "");
    let connect = |name: &str, cluster: &str| {
        Spoke::join(&hub, &format!("\"name\":\"{name}\",\"cluster\":\"{cluster}\",\"remote_account\":\"X\""))
    };
    let (mut one, mut two, mut other) = (connect("1", "EDGE"), connect("2", "EDGE"), connect("3", "FAR"));
    two.send("LS+ x\r\n");
    assert_eq!(two.sync(), [""; 0]);
    other.send("LS+ x\r\nLS+ x q 2\r\n");
    assert_eq!(other.sync(), ["LS+ x"], "what another cluster wants, and not its own");
    assert_eq!(
        (one.sync(), two.sync()),
        (vec!["LS+ x".into(), "LS+ x q 2".to_owned()], vec!["LS+ x".to_owned(), "LS+ x q 2".into()])
    );
    one.send("LMSG x | q 2\r\nhi\r\n");
    one.sync();
    assert_eq!((two.sync(), other.sync()), (vec![], vec!["LMSG x | q 2".to_owned(), "hi".to_owned()]));
    hub.stop();
}

/// A name that comes by two ways is a loop, and so is a server's own that comes back. Whoever brings it is closed, the others stay.
#[test]
fn loops_are_found() {
    let hub = hub("", "");
    let mut one = Spoke::join(&hub, "\"name\":\"1\",\"cluster\":\"ONE\",\"remote_account\":\"X\"");
    one.send("LS+ $LDS.abc\r\n");
    one.sync();
    let mut two = Spoke::join(&hub, "\"name\":\"2\",\"cluster\":\"TWO\",\"remote_account\":\"X\"");
    two.send("LS+ $LDS.abc\r\n");
    let error = "Loop detected for leafnode account=\"$G\". Delaying attempt to reconnect for 30s";
    assert!(two.rest().contains(error));
    let (mut three, _) = Spoke::connect(&hub);
    three.send("CONNECT {\"name\":\"3\"}\r\n");
    let is_own = |line: &String| line.starts_with("LS+ $LDS.") && line != "LS+ $LDS.abc";
    let own = tries("its own name").map(|()| three.line()).find(is_own).expect("tries have no end");
    three.send(&format!("{own}\r\n"));
    assert!(three.rest().contains(error));
    assert_eq!(one.sync(), [""; 0]);
    wait_for(&hub, 1);
    hub.stop();
}

/// A server that began without leaf nodes has its first hub by a reload, which is told what there is by then: subscriptions, what comes by
/// imports, and what is asked of others. Where the port for leaf nodes is, only a restart changes.
#[test]
fn a_reload_brings_the_first_hub() {
    const ACCOUNTS: &str = "accounts {
        X { users: [ { user: x } ], exports: [ { stream: ev.> }, { service: svc } ] }
        Y { users: [ { user: y } ], imports: [ { stream: { account: X, subject: ev.> } }, { service: { account: X, subject: svc } } ] }
    }";
    let (hub, alone) = (hub("", ""), start(options(&format!("server_name: alone\n{ACCOUNTS}"))));
    let (mut x, mut y) = (Client::connect(&alone, "x"), Client::connect(&alone, "y"));
    x.send("SUB a 1\r\nSUB b q 2\r\nSUB b q 3\r\nSUB c 4\r\nUNSUB 4\r\n");
    x.sync();
    y.send("SUB ev.d 1\r\n");
    y.sync();
    let port = hub.node().settings.identity.port(ListenerKind::LeafNodes);
    let with = |account: &str| {
        options(&format!(
            "server_name: alone, leafnodes {{ remotes: [ {{ url: 'nats://localhost:{port}', account: {account} }} ] }}\n{ACCOUNTS}"
        ))
    };
    let told = |filter: &[u8]| {
        let leafs = hub.node().delivery.leafs.open();
        leafs.iter().any(|leaf| leaf.interest.lock().iter().any(|(_, of)| of.filter() == filter))
    };
    let await_filter = |filter: &[u8]| {
        wait_until("interest", || told(filter));
    };
    alone.reload(Ok(with("X")));
    wait_for(&hub, 1);
    for filter in ["a", "b", "ev.d"] {
        await_filter(filter.as_bytes());
    }
    assert!(!told(b"c"));
    let mut there = Client::connect(&hub, "");
    there.send("PUB a 2\r\nhi\r\nPUB ev.d 2\r\nhi\r\n");
    there.sync();
    assert_eq!([x.line(), x.line(), y.line(), y.line()], ["MSG a 1 2", "hi", "MSG ev.d 1 2", "hi"]);
    // What changes afterwards is counted too, and what was there ends once.
    x.send("UNSUB 2\r\nUNSUB 3\r\nSUB f 5\r\n");
    x.sync();
    await_filter(b"f");
    assert!(!told(b"b"));
    alone.reload(Ok(with("Y")));
    await_filter(b"svc");
    let listens = options(&format!("server_name: alone, leafnodes {{ listen: 'localhost:-1' }}\n{ACCOUNTS}"));
    alone.reload(Ok(listens));
    assert!(alone.node().settings.policy().options.leafnodes.as_ref().is_some_and(|own| !own.listens()));
    for server in [hub, alone] {
        server.stop();
    }
}

/// What a spoke does not want it does not get after a reload either. With other rights it comes in anew, since what each end has told the
/// other goes by the former ones.
#[test]
fn a_reload_keeps_what_a_spoke_denies_and_ends_it_with_other_rights() {
    let config = |more: &str, max: u32| {
        options(&format!(
            "leafnodes {{ listen: 'localhost:-1' }}, max_connections: {max}
             accounts {{ A {{ users: [ {{ user: a }}, {{ user: u, {more} }} ] }} }}"
        ))
    };
    let hub = start(config("", 100));
    let mut spoke = Spoke::join(&hub, "\"user\":\"u\",\"deny_pub\":[\"no.>\"]");
    spoke.send("LS+ >\r\n");
    spoke.sync();
    let mut client = Client::connect(&hub, "a");
    for max in [101, 102] {
        hub.reload(Ok(config("", max)));
        client.send("PUB no.x 2\r\nno\r\nPUB yes.x 2\r\nhi\r\n");
        client.sync();
        assert_eq!(spoke.sync(), ["LMSG yes.x 2", "hi"], "{max}");
    }
    hub.reload(Ok(config("permissions: { publish: 'a' }", 101)));
    assert!(!spoke.rest().contains("-ERR"));
    let mut spoke = Spoke::join(&hub, "\"user\":\"u\"");
    client.send("SUB a 1\r\nSUB b 2\r\n");
    client.sync();
    assert_eq!(spoke.sync(), ["LS+ a"]);
    hub.stop();
}

/// A remote that a reload takes out or disables is left, and one that it brings is dialled; one that stays is kept.
#[test]
fn a_reload_changes_the_hubs() {
    let hub = hub("", "");
    let spoke = start(spoke_options(&hub, "", ""));
    wait_for(&hub, 1);
    let id = |server: &Server| server.node().delivery.leafs.open().first().map(|leaf| leaf.session.peer.id);
    let before = id(&hub);
    let mut same = spoke_options(&hub, "", "");
    same.limits.connections_max = 99;
    spoke.reload(Ok(same));
    assert_eq!((id(&hub), hub.node().delivery.leafs.len()), (before, 1));
    spoke.reload(Ok(spoke_options(&hub, "", "disabled: true")));
    wait_for(&hub, 0);
    spoke.reload(Ok(spoke_options(&hub, "", "deny_exports: 'no'")));
    wait_for(&hub, 1);
    wait_for(&spoke, 1);
    let (mut here, mut there) = (Client::connect(&hub, ""), Client::connect(&spoke, ""));
    here.send("SUB * 1\r\n");
    here.sync();
    let told = || {
        let leafs = spoke.node().delivery.leafs.open();
        leafs.first().is_some_and(|leaf| leaf.interest.lock().has_filter(b"*"))
    };
    wait_until("interest", told);
    there.send("PUB no 2\r\nno\r\nPUB yes 2\r\nhi\r\n");
    there.sync();
    assert_eq!((here.line(), here.line()), ("MSG yes 1 2".to_owned(), "hi".to_owned()));
    spoke.stop();
    hub.stop();
}

/// What a spoke is told when it joins comes a piece at a time, the next when it has taken the last; what changes meanwhile is told as well.
#[test]
fn a_spoke_that_joins_is_told_a_piece_at_a_time_and_all_that_changes_meanwhile() {
    for seed in 1..=2u64 {
        let hub = hub("", "");
        let mut churn = Churn::begin(&hub, seed);
        let (mut spoke, _) = Spoke::connect(&hub);
        spoke.send("CONNECT {\"headers\":true}\r\n");
        let (mut view, mut pieces) = (View::new(), 0);
        // How often it is asked whether it has taken what it was told, and how many bytes that was.
        let hear = |spoke: &mut Spoke, view: &mut View| {
            spoke.send("PING\r\n");
            let (mut asked, mut bytes) = (0, 0);
            loop {
                let line = spoke.0.next_line();
                bytes += line.len();
                match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                    ["PONG"] => return (asked, bytes),
                    ["PING"] => asked += 1,
                    words if words.iter().any(|word| word.starts_with('$')) => {}
                    words => assert!(crate::churn::take(view, words) || line.starts_with("INFO "), "{line}"),
                }
            }
        };
        loop {
            let (asked, bytes) = hear(&mut spoke, &mut view);
            if asked == 0 {
                break;
            }
            pieces += 1;
            assert!(bytes < 512 * 1024, "{bytes} bytes at once");
            assert!(pieces > 1 || view.len() < FILTERS as usize / 2, "{} at once", view.len());
            churn.go_on();
            let (asked_then, bytes) = hear(&mut spoke, &mut view);
            assert!(bytes < 64 * 1024, "{bytes} bytes unasked");
            spoke.send(&"PONG\r\n".repeat(asked + asked_then));
        }
        let expected = churn.expected(u32::MAX, |_| true);
        assert!(view == expected, "seed {seed}: {} told, {} expected", view.len(), expected.len());
        assert!(pieces > 1, "{pieces}");
        hub.stop();
    }
}
