//! What a server makes of another server of its cluster, which here is a script.

use crate::churn::{Churn, FILTERS, View};
use crate::common::waiting::{Bounded, NextLine, accept, wait_until};
use crate::common::{Client, options};
use dialtone_broker::kind::Kind;
use dialtone_config::Options;
use dialtone_server::Server;
use dialtone_server::policy::ListenerKind;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// The other server.
struct Other(BufReader<TcpStream>);

impl Other {
    /// Joins the cluster, which has no pools, so that one connection is for all accounts.
    fn join(server: &Server) -> Self {
        Self::join_as(server, "OTHER", "")
    }

    fn join_as(server: &Server, id: &str, password: &str) -> Self {
        let mut other = Self(BufReader::new(connect(server)));
        assert!(other.line().starts_with("INFO {"));
        let who = format!("\"name\":\"{id}\",\"user\":\"u\",\"pass\":\"{password}\"");
        other.send(&format!("CONNECT {{{who},\"cluster\":\"C\",\"headers\":true}}\r\n"));
        other.send(&info("").replace("OTHER", id).replace("other", id));
        other
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

    /// The lines up to a PING that stands behind this one; how many PINGs there were, none of which is answered.
    fn until_ping_behind(&mut self, last: &str) -> usize {
        let (mut pings, mut is_there) = (0, false);
        loop {
            let line = self.0.next_line();
            is_there |= line.trim_end() == last;
            pings += usize::from(line == "PING\r\n");
            if is_there && line == "PING\r\n" {
                return pings;
            }
        }
    }

    /// Answers these PINGs and all that come, until the end.
    fn answer_pings(mut self, pings: usize) {
        self.send(&"PONG\r\n".repeat(pings));
        let mut line = String::new();
        while self.0.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            if line == "PING\r\n" && self.0.get_mut().write_all(b"PONG\r\n").is_err() {
                return;
            }
            line.clear();
        }
    }

    /// All about the global account up to the answer of a PING.
    fn sync(&mut self) -> Vec<String> {
        self.send("PING\r\n");
        let mut lines = Vec::new();
        loop {
            match self.line() {
                line if line == "PONG" => return lines,
                line if line.contains(" $G ") => lines.push(line),
                _ => {}
            }
        }
    }
}

/// A connection to where servers connect, of whoever.
fn connect(server: &Server) -> TcpStream {
    let port = server.node().settings.identity.port(ListenerKind::Cluster);
    TcpStream::connect(("localhost", port)).expect("connected").bounded()
}

/// What the other server says of itself.
fn info(more: &str) -> String {
    format!(
        "INFO {{\"server_id\":\"OTHER\",\"server_name\":\"other\",\"headers\":true,\"cluster\":\"C\"{more}}}\r\n"
    )
}

/// A cluster without pools.
fn config(block: &str) -> Options {
    options(&format!(
        "no_system_account: true, cluster {{ name: C, listen: 'localhost:-1', pool_size: -1, {block} }}"
    ))
}

fn start(block: &str) -> Server {
    crate::common::start(config(block))
}

/// A trace is published in the account of its message, whichever account another server names for it, since nobody has asked whether that
/// account lets in what the first one sends.
#[test]
fn another_server_names_no_account_for_a_trace() {
    let server = crate::common::start(config(
        "}, accounts { A { users: [ { user: a } ] }, B { users: [ { user: b } ] }",
    ));
    let mut other = Other::join(&server);
    let (mut a, mut b) = (Client::connect(&server, "a"), Client::connect(&server, "b"));
    a.send("SUB > 1\r\n");
    b.send("SUB > 1\r\n");
    a.sync();
    b.sync();
    for named in ["Nats-Trace-Origin-Account: B\r\n", ""] {
        let head = format!("NATS/1.0\r\nNats-Trace-Dest: trace\r\n{named}\r\n");
        other.send(&format!("HMSG A work {} {}\r\n{head}hi\r\n", head.len(), head.len() + 2));
    }
    other.sync();
    // Traces and what they are of are in no order.
    let is_of = |line: &str, subject: &str| line.contains(&format!("MSG {subject} 1 "));
    let mut got = Vec::new();
    while !got.iter().any(|line: &String| is_of(line, "trace")) {
        got.push(a.line());
    }
    got.extend(a.sync());
    let count = |subject: &str| got.iter().filter(|line| is_of(line, subject)).count();
    assert_eq!((count("work"), count("trace")), (2, 1), "of the first there is none");
    assert_eq!(b.sync(), [""; 0]);
    server.stop();
}

#[test]
fn a_wildcard_lets_in_and_out_only_what_the_permissions_of_the_cluster_allow() {
    let server = start("permissions { import { deny: a.no }, export: 'e.*' }");
    let mut other = Other::join(&server);
    let mut client = Client::connect(&server, "");
    client.send("SUB a.* 1\r\nSUB a.no 2\r\n");
    client.sync();
    assert_eq!(other.sync(), ["RS+ $G a.*"]);
    other.send("RS+ $G e.>\r\nRS+ $G f\r\nRMSG $G a.no 2\r\nno\r\nRMSG $G a.ok 2\r\nok\r\n");
    other.sync();
    assert_eq!(client.sync(), ["MSG a.ok 1 2", "ok"]);
    client.send("PUB e.a.b 2\r\nno\r\nPUB f 2\r\nno\r\nPUB e.a 2\r\nok\r\n");
    client.sync();
    assert_eq!(other.sync(), ["RMSG $G e.a 2"]);
    server.stop();
}

/// What comes behind CONNECT waits for what is found about the password, and is not lost.
#[test]
fn a_hashed_password_is_checked_elsewhere_and_nothing_is_read_meanwhile() {
    let hash = bcrypt::hash("p", 4).expect("a hash");
    let server = start(&format!("authorization {{ user: u, password: '{hash}' }}"));
    let mut client = Client::connect(&server, "");
    for (password, is_right) in [("p", true), ("q", false), ("", false)] {
        let mut other = Other(BufReader::new(connect(&server)));
        assert!(other.line().contains("\"auth_required\":true"));
        let connect = format!(
            "CONNECT {{\"name\":\"OTHER\",\"cluster\":\"C\",\"headers\":true,\"user\":\"u\",\"pass\":\"{password}\"}}"
        );
        other.send(&format!("{connect}\r\n{}RS+ $G {password}.x\r\n", info("")));
        if is_right {
            other.sync();
            client.send("PUB p.x 2\r\nok\r\n");
            assert_eq!(other.line(), "RMSG $G p.x 2");
        } else {
            assert_eq!(other.line(), "-ERR 'Authorization Violation'");
            let mut rest = String::new();
            other.0.read_to_string(&mut rest).expect("the end");
            assert_eq!(rest, "");
        }
    }
    server.stop();
}

/// A folder with a certificate of its own, and the block that names it.
fn certificate() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let (certificate, key) = (folder.path().join("own.pem"), folder.path().join("own.key"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let (certificate, key) = (certificate.display(), key.display());
    let tls = format!(
        "tls {{ cert_file: '{certificate}', key_file: '{key}', ca_file: '{certificate}', timeout: 0.1 }}"
    );
    (folder, tls)
}

/// Whoever does not begin TLS, or does not go on with it, hears nothing, and is not waited for for ever.
#[test]
fn who_connects_and_does_not_finish_tls_hears_nothing() {
    let (_folder, tls) = certificate();
    let server = start(&format!("{tls}, authorization {{ user: u, password: p, timeout: 0.01 }}"));
    for sent in [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"CONNECT {}\r\n"] {
        let mut stream = connect(&server);
        stream.write_all(sent).expect("sent");
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("the end");
        assert_eq!(heard, b"", "{sent:?}");
    }
    server.stop();
}

/// Nor does whoever is dialled: nothing but a handshake comes to it.
#[test]
fn who_is_dialled_and_does_not_answer_tls_hears_a_handshake_alone() {
    let (_folder, tls) = certificate();
    let listener = TcpListener::bind("localhost:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let server = start(&format!("{tls}, routes: [ 'nats://u:p@localhost:{port}' ]"));
    for answer in [&b""[..], b"INFO {}\r\n"] {
        let mut stream = accept(&listener);
        stream.write_all(answer).expect("sent");
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("the end");
        assert_eq!(heard.first(), Some(&0x16), "{answer:?}");
        assert!(!heard.windows(7).any(|window| window == b"CONNECT"));
    }
    server.stop();
}

/// The other server is told of a change of permissions, which INFO names, and of what it may hear of now and no longer.
#[test]
fn a_reload_of_permissions_tells_and_takes_back_interest() {
    let server = start("");
    let mut other = Other::join(&server);
    other.sync();
    let mut client = Client::connect(&server, "");
    client.send("SUB a 1\r\nSUB a q 2\r\nSUB b 3\r\n");
    client.sync();
    other.send("RS+ $G a\r\nRS+ $G b\r\n");
    assert_eq!(other.sync(), ["RS+ $G a", "RS+ $G a q 1", "RS+ $G b"]);
    let is_told = |other: &mut Other, permissions: &str, expected: &[&str]| {
        server.reload(Ok(config(permissions)));
        let mut lines = Vec::new();
        let info = loop {
            match other.line() {
                line if line.starts_with("INFO {") => break line,
                line => lines.push(line),
            }
        };
        lines.append(&mut other.sync());
        lines.sort();
        assert_eq!(lines, expected, "{permissions}");
        info
    };
    let info =
        is_told(&mut other, "permissions { import: b, export: a }", &["RS+ $G b", "RS- $G a", "RS- $G a q"]);
    assert!(info.contains("\"import\":{\"allow\":[\"b\"]},\"export\":{\"allow\":[\"a\"]}"), "{info}");
    client.send("PUB a 1\r\nx\r\nPUB b 1\r\ny\r\nSUB a.b 4\r\n");
    assert_eq!(client.sync(), ["MSG a 1 1", "x", "MSG a 2 1", "x", "MSG b 3 1", "y"]);
    assert_eq!(other.sync(), ["RMSG $G a 1"]);
    is_told(&mut other, "", &["RS+ $G a", "RS+ $G a q 1", "RS+ $G a.b", "RS+ $G b"]);
    // What it did not let out before it has ignored: it is told again by who wants it, here the other server.
    other.send("RS+ $G b\r\n");
    other.sync();
    client.send("PUB b 1\r\nz\r\n");
    client.sync();
    assert_eq!(other.sync(), ["RMSG $G b 1"]);
    server.stop();
}

/// The other server lets out more than before, as its INFO says: it has ignored what it was told of that.
#[test]
fn who_lets_out_other_subjects_is_told_all_again() {
    let server = start("");
    let mut other = Other::join(&server);
    let mut client = Client::connect(&server, "");
    client.send("SUB a 1\r\n");
    client.sync();
    assert_eq!(other.sync(), ["RS+ $G a"]);
    other.send(&info(",\"export\":{\"allow\":[\"a\"]}"));
    assert_eq!(other.sync(), ["RS+ $G a"]);
    other.send(&info(",\"export\":{\"allow\":[\"a\"]}"));
    assert_eq!(other.sync(), [""; 0]);
    server.stop();
}

#[test]
fn a_reload_closes_the_routes_of_who_may_not_be_in_the_cluster_any_more() {
    let server = start("authorization { user: u, password: old }");
    let (mut one, mut other) =
        (Other::join_as(&server, "ONE", "old"), Other::join_as(&server, "OTHER", "old"));
    one.sync();
    other.sync();
    server.reload(Ok(config("authorization { user: u, password: old, timeout: 7 }")));
    one.sync();
    other.sync();
    server.reload(Ok(config("authorization { user: u, password: new }")));
    for other in [&mut one, &mut other] {
        let mut line = other.line();
        while line.starts_with("INFO") {
            line = other.line();
        }
        assert_eq!(line, "-ERR 'Authorization Violation'");
        assert_eq!(other.0.fill_buf().map(<[u8]>::len).ok(), Some(0), "the end");
    }
    let mut new = Other::join_as(&server, "OTHER", "new");
    new.sync();
    server.stop();
}

/// Accounts of a configuration, each with a user of its name.
fn accounts(names: &[&str], block: &str) -> Options {
    let accounts: Vec<String> =
        names.iter().map(|name| format!("{name} {{ users: [ {{ user: {name} }} ] }}")).collect();
    let accounts = accounts.join(", ");
    options(&format!(
        "no_system_account: true, accounts {{ {accounts}, {block} }}, cluster {{ name: C, listen: 'localhost:-1', pool_size: -1 }}"
    ))
}

/// Interest is announced once; the account may come, go and come again.
#[test]
fn an_account_that_a_reload_brings_has_what_was_announced_before() {
    let server = crate::common::start(accounts(&["A"], ""));
    let mut other = Other::join(&server);
    other.send("RS+ N foo\r\nRS+ N foo q 2\r\nRS+ N ended\r\nRS- N ended\r\nRS+ A foo\r\n");
    other.sync();
    for round in 0..2 {
        server.reload(Ok(accounts(&["A", "N"], "")));
        let mut client = Client::connect(&server, "N");
        other.sync();
        client.send("PUB foo 1\r\nx\r\nPUB ended 1\r\ny\r\n");
        client.sync();
        assert_eq!(other.line(), "RMSG N foo | q 1", "{round}");
        assert_eq!((other.line(), other.sync()), ("x".to_owned(), vec![]));
        // A message of the other server is for the account that is here.
        client.send("SUB answer 1\r\n");
        client.sync();
        other.send("RMSG N answer 1\r\nz\r\n");
        other.sync();
        assert_eq!(client.sync(), ["MSG answer 1 1", "z"]);
        server.reload(Ok(accounts(&["A"], "")));
        other.sync();
        assert_eq!(client.line_or_end(), None);
    }
    other.send("RS- N foo\r\nRS- N foo q\r\n");
    other.sync();
    server.reload(Ok(accounts(&["A", "N"], "")));
    let mut client = Client::connect(&server, "N");
    client.send("PUB foo 1\r\nx\r\n");
    client.sync();
    assert_eq!(other.sync(), [""; 0]);
    server.stop();
}

/// What an account takes from another as a stream is interest in that one as long as it takes it.
#[test]
fn imports_that_a_reload_changes_are_told_and_taken_back() {
    let config = |imports: &str| {
        accounts(
            &["A"],
            &format!(
                "EXP {{ exports: [ {{ stream: 'ev.>' }}, {{ stream: 'ew.>' }} ] }},
                 IMP {{ users: [ {{ user: i }} ], imports: [ {imports} ] }}"
            ),
        )
    };
    let import = |subject: &str, to: &str| {
        format!("{{ stream: {{ account: EXP, subject: '{subject}' }}, to: '{to}' }}")
    };
    let server = crate::common::start(config(""));
    let mut other = Other::join(&server);
    let told = |other: &mut Other| {
        other.send("PING\r\n");
        let mut lines = Vec::new();
        loop {
            match other.line() {
                line if line == "PONG" => break,
                line if line.contains(" EXP ") || line.contains(" IMP ") => lines.push(line),
                _ => {}
            }
        }
        lines.sort();
        lines
    };
    let mut client = Client::connect(&server, "i");
    client.send("SUB in.a 1\r\nSUB in.a q 2\r\nSUB in.a q 3\r\n");
    client.sync();
    told(&mut other);
    server.reload(Ok(config(&import("ev.>", "in.>"))));
    assert_eq!(told(&mut other), ["RS+ EXP ev.a", "RS+ EXP ev.a q 2"]);
    server.reload(Ok(config(&import("ew.>", "in.>"))));
    assert_eq!(told(&mut other), ["RS+ EXP ew.a", "RS+ EXP ew.a q 2", "RS- EXP ev.a", "RS- EXP ev.a q"]);
    client.send("UNSUB 1\r\nUNSUB 2\r\n");
    client.sync();
    assert_eq!(told(&mut other), ["RS+ EXP ew.a q 1", "RS+ IMP in.a q 1", "RS- EXP ew.a", "RS- IMP in.a"]);
    server.reload(Ok(config("")));
    assert_eq!(told(&mut other), ["RS- EXP ew.a q"]);
    server.stop();
}

#[test]
fn a_route_has_limits_of_its_own() {
    let server = start("ping_interval: '20ms', ping_max: 1");
    let mut other = Other::join(&server);
    let error = (0..100).map(|_| other.line()).find(|line| line.starts_with("-ERR"));
    assert_eq!(error.as_deref(), Some("-ERR 'Stale Connection'"));
    // It is counted when it is gone, which is a moment later.
    wait_until("a stale route", || server.node().connections.failures.stale.of(Kind::Route) > 0);
    server.stop();

    let server = start("write_deadline: '20ms', write_timeout: close");
    let mut other = Other::join(&server);
    other.send("RS+ $G a\r\n");
    other.sync();
    // More than sockets take.
    let mut client = Client::connect(&server, "");
    let body = "x".repeat(1_000_000);
    wait_until("a slow route", || {
        client.send(&format!("PUB a {}\r\n{body}\r\n", body.len()));
        client.sync();
        server.node().connections.failures.slow.of(Kind::Route) > 0
    });
    server.stop();
}

/// Takes in what the other server is told up to the answer of a PING. How often it was asked for PONG, and how many bytes came.
fn hear(other: &mut Other, view: &mut View) -> (usize, usize) {
    other.send("PING\r\n");
    let (mut asked, mut bytes) = (0, 0);
    loop {
        let line = other.0.next_line();
        bytes += line.len();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["PONG"] => return (asked, bytes),
            ["PING"] => asked += 1,
            [verb, "$G", rest @ ..] => {
                assert!(crate::churn::take(view, &[&[*verb], rest].concat()), "{line}")
            }
            _ => assert!(line.starts_with("INFO "), "{line}"),
        }
    }
}

/// What a route is told when it begins comes a piece at a time, and what changes meanwhile is told as well: in the end the other server knows
/// what there is, whatever was ahead of the pieces and whatever behind them, and with rights that change on the way.
#[test]
fn a_route_that_begins_is_told_a_piece_at_a_time_and_all_that_changes_meanwhile() {
    for seed in 1..=4u64 {
        let server = start("");
        let mut churn = Churn::begin(&server, seed);
        let (mut other, mut view) = (Other::join(&server), View::new());
        let (mut pieces, mut denied) = (0, None);
        loop {
            let (asked, bytes) = hear(&mut other, &mut view);
            if asked == 0 {
                break;
            }
            pieces += 1;
            assert!(bytes < 512 * 1024, "{bytes} bytes at once");
            if pieces == 1 {
                assert!(view.len() < FILTERS as usize / 2, "{} at once", view.len());
            }
            churn.go_on();
            if pieces == 2 && seed.is_multiple_of(2) {
                server.reload(Ok(config("permissions { import: { deny: 'a.0.>' } }")));
                denied = Some(5);
            }
            // No more comes before it has answered.
            let (asked_then, bytes) = hear(&mut other, &mut view);
            assert!(bytes < 64 * 1024, "{bytes} bytes unasked");
            other.send(&"PONG\r\n".repeat(asked + asked_then));
        }
        let is_wanted = |number: u64| denied.is_none_or(|denied| !number.is_multiple_of(denied));
        let expected = churn.expected(u32::MAX, is_wanted);
        assert!(view == expected, "seed {seed}: {} told, {} expected", view.len(), expected.len());
        assert!(pieces > 1, "{pieces}");
        server.stop();
    }
}

/// A cluster without a name takes that of another server, and mappings that go by the name count then.
#[test]
fn mappings_go_by_the_name_that_a_cluster_takes() {
    let server = crate::common::start(options(
        "no_system_account: true, cluster { listen: 'localhost:-1', pool_size: -1 }
         mappings { here: [ { destination: nowhere, weight: 100%, cluster: D }, { destination: mapped, weight: 100%, cluster: C } ] }",
    ));
    let mut client = Client::connect(&server, "");
    client.send("SUB > 1\r\nPUB here 1\r\nx\r\n");
    assert_eq!(client.sync(), ["MSG here 1 1", "x"]);
    let mut other = Other::join(&server);
    other.sync();
    // Another thread takes the name over.
    wait_until("the name is taken over", || {
        client.send("PUB here 1\r\nx\r\n");
        match client.sync() {
            lines if lines == ["MSG mapped 1 1", "x"] => true,
            lines => lines != ["MSG here 1 1", "x"] && panic!("{lines:?}"),
        }
    });
    server.stop();
}

const ACKNOWLEDGES: &str =
    "cluster { name: C, listen: 'localhost:-1', pool_size: -1, acknowledge_subscriptions: true }";

/// Subscribes, and asks whether all know that.
fn ask(client: &mut Client, number: usize) {
    let ask = format!("PUB $SYS.REQ.USER.SUBSCRIBED r.{number} 0");
    client.send(&format!("SUB s.{number} {number}\r\n{ask}\r\n\r\n"));
}

/// Reads the answer, by which so many other servers know it.
#[track_caller]
fn acknowledged(client: &mut Client, number: usize, servers: usize) {
    assert!(client.line().starts_with(&format!("HMSG r.{number} 99 ")));
    assert_eq!((client.line(), client.line()), ("NATS/1.0 200 Subscribed".into(), String::new()));
    assert!(client.line().ends_with(&format!("\"data\":{{\"servers\":{servers}}}}}")));
}

/// The other server has taken what stands before a PING when it answers that.
#[test]
fn a_subscription_is_acknowledged_when_another_server_has_taken_it() {
    let server = crate::common::start(options(ACKNOWLEDGES));
    let mut client = Client::connect(&server, "");
    client.send("SUB r.* 99\r\n");
    ask(&mut client, 1);
    acknowledged(&mut client, 1, 0);
    let mut other = Other::join(&server);
    other.sync();
    ask(&mut client, 2);
    let pings = other.until_ping_behind("RS+ $G s.2");
    assert_eq!(client.sync(), [""; 0]);
    ask(&mut client, 3);
    let answers = std::thread::spawn(move || other.answer_pings(pings));
    acknowledged(&mut client, 2, 1);
    acknowledged(&mut client, 3, 1);
    server.stop();
    answers.join().expect("it ends");
}

#[test]
fn a_server_that_is_gone_is_not_waited_for() {
    let server = crate::common::start(options(ACKNOWLEDGES));
    let mut client = Client::connect(&server, "");
    client.send("SUB r.* 99\r\n");
    let mut other = Other::join(&server);
    other.sync();
    ask(&mut client, 1);
    other.until_ping_behind("RS+ $G s.1");
    assert_eq!(client.sync(), [""; 0]);
    drop(other);
    acknowledged(&mut client, 1, 1);
    server.stop();
}

#[test]
fn nobody_answers_where_subscriptions_are_not_acknowledged() {
    let server = crate::common::start(options("cluster { name: C, listen: 'localhost:-1', pool_size: -1 }"));
    let mut client = Client::connect(&server, "");
    client.send("SUB r 1\r\nPUB $SYS.REQ.USER.SUBSCRIBED r 0\r\n\r\n");
    assert_eq!(client.sync(), [""; 0]);
    server.stop();
}
