//! Rate limits with real connections. What is allowed comes back so slowly here that no test can see it: no clock decides.

use crate::common::{Client, options};
use dialtone_server::Server;
use std::time::{Duration, Instant};

/// 32 bytes; with `SLOW`, three of them may come, and no fourth for half a minute.
const PAYLOAD: &str = "................................";
const SLOW: &str = "bytes_per_sec: 1, bytes_burst: 96, action: refuse";
/// The same, and the fourth has to wait for it.
const DELAYED: &str = "bytes_per_sec: 1, bytes_burst: 96, action: delay";

fn start(config: &str) -> Server {
    crate::common::start(options(config))
}

impl Client {
    fn send_messages(&mut self, subjects: &[&str]) {
        let publish = |subject: &&str| format!("PUB {subject} {}\r\n{PAYLOAD}\r\n", PAYLOAD.len());
        let all: String = subjects.iter().map(publish).collect();
        self.send(&all);
    }

    /// The subjects of the next messages.
    fn messages(&mut self, count: usize) -> Vec<String> {
        let message = |client: &mut Self| {
            let line = client.line();
            let subject =
                line.strip_prefix("MSG ").and_then(|line| line.split(' ').next()).map(str::to_owned);
            assert_eq!(client.line(), PAYLOAD);
            subject.expect("a message")
        };
        (0..count).map(|_| message(self)).collect()
    }

    /// Publishes to each of these subjects, at once. Which were refused.
    fn publish(&mut self, subjects: &[&str]) -> Vec<String> {
        self.send_messages(subjects);
        let refused = |line: String| {
            let line = line.strip_prefix("-ERR 'Permissions Violation for Publish to \"").map(str::to_owned);
            let subject = line.as_deref().and_then(|line| line.strip_suffix("\" (rate limit exceeded)'"));
            subject.expect("only messages are refused").to_owned()
        };
        self.sync().into_iter().map(refused).collect()
    }
}

/// A limit for a subject holds for who writes it and for who is mapped to it: an alias is no way round it, and neither is
/// a mapping away from it.
#[test]
fn a_limit_holds_for_the_written_subject_and_for_the_mapped_one() {
    for (mappings, from) in [("alias: limited", "alias"), ("limited: elsewhere", "limited")] {
        let server = start(&format!(
            "accounts {{ A {{ rate_limits: [ {{ subjects: [ limited ], {SLOW} }} ], mappings {{ {mappings} }},
             users: [ {{ user: a }} ] }} }}"
        ));
        let mut publisher = Client::connect(&server, "a");
        assert_eq!(publisher.publish(&[from, "limited", from, "other", from, "limited"]), [from, "limited"]);
    }
}

#[test]
fn what_is_too_much_is_refused_and_the_connection_lives_on() {
    let server = start(&format!("accounts {{ A {{ rate_limits {{ {SLOW} }}, users: [ {{ user: a }} ] }} }}"));
    let (mut publisher, mut subscriber) = (Client::connect(&server, "a"), Client::connect(&server, "a"));
    subscriber.send("SUB > 1\r\n");
    subscriber.sync();
    assert_eq!(publisher.publish(&["a", "b", "c", "d", "e"]), ["d", "e"]);
    // Nothing of what was refused was delivered.
    let got: Vec<String> = subscriber.sync().into_iter().filter(|line| line.starts_with("MSG")).collect();
    assert_eq!(got, ["MSG a 1 32", "MSG b 1 32", "MSG c 1 32"]);
    // It may still subscribe, and is delivered to.
    publisher.send("SUB x 1\r\n");
    assert!(publisher.sync().is_empty());
}

#[test]
fn connections_of_an_account_share_its_limits_and_others_do_not() {
    let account = |name: &str, rates: &str| {
        format!("{name} {{ {rates}\nusers: [ {{ user: {name}1 }}, {{ user: {name}2 }} ] }}")
    };
    let rates = format!("rate_limits {{ {SLOW} }}");
    let accounts = [account("a", &rates), account("b", &rates), account("c", "")].join("\n");
    let server = start(&format!("accounts {{ {accounts} }}"));
    let mut clients = ["a1", "a2", "b1", "c1"].map(|user| Client::connect(&server, user));
    let refused: Vec<usize> = clients.iter_mut().map(|client| client.publish(&["x", "y"]).len()).collect();
    assert_eq!(refused, [0, 1, 0, 0]);
    // Who leaves and comes again has no more than before.
    assert_eq!(Client::connect(&server, "a1").publish(&["x"]), ["x"]);
}

#[test]
fn a_rule_is_for_its_subjects() {
    let rules = format!("[ {{ subjects: [a.*, b], {SLOW} }}, {{ subjects: a.>, {SLOW} }} ]");
    let server = start(&format!("accounts {{ A {{ rate_limits: {rules}, users: [ {{ user: a }} ] }} }}"));
    let mut client = Client::connect(&server, "a");
    assert_eq!(
        client.publish(&["b", "a.1", "a.2", "a.3", "b", "a.1.2", "a.1.2", "c"]),
        ["a.3", "b", "a.1.2"]
    );
}

#[test]
fn a_reload_holds_for_those_who_are_there() {
    let config = |rates: &str| format!("accounts {{ A {{ {rates}\nusers: [ {{ user: a }} ] }} }}");
    let limited = config(&format!("rate_limits {{ {SLOW} }}"));
    let server = start(&config(""));
    let mut client = Client::connect(&server, "a");
    assert!(client.publish(&["a"; 9]).is_empty());
    server.reload(Ok(options(&limited)));
    assert_eq!(client.publish(&["a"; 9]).len(), 6);
    // The same limits again: what was used stays used.
    server.reload(Ok(options(&format!("# the same\n{limited}"))));
    assert_eq!(client.publish(&["a"; 9]).len(), 9);
    server.reload(Ok(options(&config(""))));
    assert!(client.publish(&["a"; 9]).is_empty());
}

#[test]
fn a_request_over_an_import_counts_for_who_asks() {
    let server = start(&format!(
        "accounts {{
            A {{ users: [ {{ user: a }} ], exports: [ {{ service: s }} ], rate_limits {{ {SLOW} }} }}
            B {{ users: [ {{ user: b }} ], imports: [ {{ service: {{ account: A, subject: s }} }} ] }}
        }}"
    ));
    let (mut service, mut requester) = (Client::connect(&server, "a"), Client::connect(&server, "b"));
    service.send("SUB s 1\r\n");
    service.sync();
    assert!(requester.publish(&["s"; 9]).is_empty());
    assert_eq!(service.sync().into_iter().filter(|line| line.contains("MSG s ")).count(), 9);
    assert_eq!(service.publish(&["x"; 4]), ["x"]);
}

#[test]
fn a_user_has_limits_of_its_own_within_those_of_its_account() {
    let server = start(&format!(
        "accounts {{ A {{
            rate_limits {{ subjects: s.>, {SLOW} }}
            default_rate_limits {{ subjects: u.>, {SLOW} }}
            users: [ {{ user: a }}, {{ user: b }}, {{ user: c, rate_limits: [] }} ]
        }} }}"
    ));
    let mut clients = ["a", "a", "b", "c"].map(|user| Client::connect(&server, user));
    let mut refused = |subject: &str| clients.each_mut().map(|client| client.publish(&[subject; 2]).len());
    assert_eq!(refused("u.x"), [0, 1, 0, 0]);
    assert_eq!(refused("s.x"), [0, 1, 2, 2]);
    assert_eq!(refused("x"), [0, 0, 0, 0]);
}

#[test]
fn what_is_delayed_arrives_whole_in_order_and_no_faster_than_allowed() {
    let rates = "rate_limits { msgs_per_sec: 100, msgs_burst: 2 }";
    let server = start(&format!("accounts {{ A {{ {rates}\nusers: [ {{ user: a }} ] }} }}"));
    let (mut publisher, mut subscriber) = (Client::connect(&server, "a"), Client::connect(&server, "a"));
    subscriber.send("SUB > 1\r\n");
    subscriber.sync();
    let subjects: Vec<String> = (0..22).map(|number| number.to_string()).collect();
    let start = Instant::now();
    publisher.send_messages(&subjects.iter().map(String::as_str).collect::<Vec<_>>());
    // What stands behind the messages is answered behind them.
    assert!(publisher.sync().is_empty());
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
    assert_eq!(subscriber.messages(22), subjects);
}

/// More than a loop reads at once waits, most of it in the kernel.
#[test]
fn a_long_queue_of_delayed_messages_loses_nothing() {
    let rates = "rate_limits { msgs_per_sec: 40k, msgs_burst: 400 }";
    let server = start(&format!("accounts {{ A {{ {rates}\nusers: [ {{ user: a }} ] }} }}"));
    let (mut publisher, mut subscriber) = (Client::connect(&server, "a"), Client::connect(&server, "a"));
    subscriber.send("SUB > 1\r\n");
    subscriber.sync();
    let subjects: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let sent = subjects.clone();
    let writer = std::thread::spawn(move || {
        publisher.send_messages(&sent.iter().map(String::as_str).collect::<Vec<_>>());
        publisher.sync()
    });
    assert_eq!(subscriber.messages(20_000), subjects);
    assert!(writer.join().expect("written").is_empty());
}

#[test]
fn who_is_delayed_holds_nobody_up_and_goes_on_when_a_reload_allows_it() {
    let config = |rates: &str| {
        format!("accounts {{ A {{ {rates}\nusers: [ {{ user: a }} ] }}, B {{ users: [ {{ user: b }} ] }} }}")
    };
    let delayed = config(&format!("rate_limits {{ {DELAYED} }}"));
    let server = start(&delayed);
    let (mut first, mut second) = (Client::connect(&server, "a"), Client::connect(&server, "a"));
    let mut subscriber = Client::connect(&server, "a");
    subscriber.send("SUB > 1\r\n");
    subscriber.sync();
    first.send_messages(&["1", "2", "3", "4", "5"]);
    first.send("PING\r\n");
    assert_eq!(subscriber.messages(3), ["1", "2", "3"]);
    second.send_messages(&["6"]);
    second.send("PING\r\n");
    // Others are on the same loops.
    for _ in 0..8 {
        let mut other = Client::connect(&server, "b");
        assert!(other.publish(&["a"; 9]).is_empty());
        assert!(Client::connect(&server, "a").sync().is_empty());
    }
    assert!(subscriber.sync().is_empty());
    // The same limits again: they wait on.
    server.reload(Ok(options(&format!("# the same\n{delayed}"))));
    assert!(subscriber.sync().is_empty());
    server.reload(Ok(options(&config(""))));
    assert_eq!((first.line(), second.line()), ("PONG".to_owned(), "PONG".to_owned()));
    let mut rest = subscriber.messages(3);
    rest.sort();
    assert_eq!(rest, ["4", "5", "6"]);
}

#[test]
fn who_is_delayed_is_not_stale() {
    let server = start(
        "ping_interval: 20ms, ping_max: 1
        accounts { A { users: [ { user: a, rate_limits { msgs_per_sec: 10, msgs_burst: 1 } } ] } }",
    );
    // Who does not answer is closed.
    let mut silent = Client::connect(&server, "a");
    silent.line();
    // So is this one, when all of its messages have been taken, and not before.
    let mut publisher = Client::connect(&server, "a");
    publisher.send_messages(&["a"; 6]);
    publisher.send("SUB done 1\r\nPUB done 0\r\n\r\n");
    let line = std::iter::repeat_with(|| publisher.line()).find(|line| line != "PONG");
    assert_eq!(line.as_deref(), Some("MSG done 1 0"));
}

#[test]
fn who_is_closed_while_it_is_delayed_is_gone() {
    let config = |user: &str| {
        format!("accounts {{ A {{ rate_limits {{ {DELAYED} }}\nusers: [ {{ user: {user} }} ] }} }}")
    };
    let server = start(&config("a"));
    let mut client = Client::connect(&server, "a");
    client.send_messages(&["1", "2", "3", "4"]);
    client.send("PING\r\n");
    server.reload(Ok(options(&config("b"))));
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut client.0, &mut rest).expect("the end");
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

/// A request with these subjects: what comes back, without what is inside the headers.
fn request(client: &mut Client, subject: &str, reply: &str) -> Vec<String> {
    client.send(&format!("PUB {subject} {reply} 0\r\n\r\n"));
    let kept = |line: &String| ["-ERR", "HMSG", "NATS/1.0"].iter().any(|start| line.starts_with(start));
    client.sync().into_iter().filter(kept).collect()
}

#[test]
fn a_request_that_is_denied_is_answered_where_that_is_wanted() {
    let account = |name: &str, more: &str| {
        let rates = "rate_limits { subjects: fast, bytes_per_sec: 1, bytes_burst: 1, action: refuse }";
        let user = format!("{{ user: {name}, permissions {{ publish: {{ deny: secret }} }} }}");
        format!("{name} {{ {more}\n{rates}\nusers: [ {user}, {{ user: {name}2 }} ] }}")
    };
    let accounts = [account("a", ""), account("b", "denied_publish_status: false")].join("\n");
    let server = start(&format!("denied_publish_status: true, accounts {{ {accounts} }}"));
    let mut clients = ["a", "a2", "b"].map(|user| Client::connect(&server, user));
    for client in &mut clients {
        client.send("SUB inbox.* 1\r\nSUB inbox.* q 2\r\n");
        client.sync();
    }
    let [asker, other, elsewhere] = &mut clients;
    let denied = "-ERR 'Permissions Violation for Publish to \"secret\"'";
    let answer = ["HMSG inbox.1 1 157 157", "NATS/1.0 403 Permissions Violation"];
    assert_eq!(request(asker, "secret", "inbox.1"), [denied, answer[0], answer[1]]);
    // It goes to no one else, and nowhere that the asker does not listen.
    assert!(other.sync().is_empty());
    assert_eq!(request(asker, "secret", "outbox.1"), [denied]);
    assert_eq!(request(asker, "secret", ""), [denied]);
    // The account has the last word.
    assert_eq!(request(elsewhere, "secret", "inbox.1"), [denied]);
    other.send("PUB fast 1\r\n1\r\n");
    asker.send("UNSUB 2\r\n");
    other.send("UNSUB 2\r\n");
    other.sync();
    let refused = "-ERR 'Permissions Violation for Publish to \"fast\" (rate limit exceeded)'";
    asker.send("PUB fast inbox.2 1\r\n1\r\n");
    assert_eq!(asker.line(), refused);
    assert!(asker.line().starts_with("HMSG inbox.2 1 "));
    assert_eq!(asker.line(), "NATS/1.0 429 Rate Limit Exceeded");
    // A reload takes it back.
    let config = format!("denied_publish_status: false, accounts {{ {accounts} }}");
    server.reload(Ok(options(&config)));
    asker.sync();
    assert_eq!(request(asker, "secret", "inbox.1"), [denied]);
}
