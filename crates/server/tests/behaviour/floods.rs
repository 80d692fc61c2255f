//! What one tenant leaves open or asks for in great numbers costs nobody else anything: each test plays more than every
//! bound that is concerned, and asserts what the others still get.

use crate::common::waiting::{Bounded, receive, tries, wait_until};
use crate::common::{Client, options, start};
use dialtone_server::Server;
use dialtone_server::share::{Lane, LaneFigures};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};

/// Requests of one tenant that nobody answers. A responder may have 4,096 open.
const UNANSWERED: usize = 5_000;
/// Requests of one tenant whose latency is reported. An account may await 16,384 answers.
const TRACKED: usize = 16_000;
/// Subscriptions that come and go while those wait.
const PAIRS: usize = 1_500;
/// Subscriptions that each traced message comes to.
const SUBSCRIPTIONS: usize = 2_000;
/// Traced messages, which together say that they take more than the lane of reports holds.
const TRACES: usize = 300;
/// Bytes that a lane holds at most.
const LANE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Holds up the control thread, which has nothing else to do, until what is returned is dropped.
fn hold_control(server: &Server) -> Sender<()> {
    let is_left = |(queue, _, figures): (&str, Lane, LaneFigures)| queue == "control" && figures.waiting > 0;
    wait_until("what waits for the control thread", || !server.node().internal.figures().any(is_left));
    let ((held, is_held), (release, wait)) = (channel(), channel::<()>());
    server.node().internal.run(move |_| {
        held.send(()).expect("the test waits");
        let _ = wait.recv();
    });
    receive(&is_held, "the control thread does not work");
    release
}

/// What waits for the control thread in the lane of reports.
fn reports(server: &Server) -> LaneFigures {
    let mut all = server.node().internal.figures();
    let reports = all.find(|(queue, lane, _)| (*queue, *lane) == ("control", Lane::Report));
    reports.expect("the lane of reports").2
}

/// Numbered requests that want their answers at `r.N`.
fn requests(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|n| format!("PUB q r.{n} 1\r\nf\r\n")).collect()
}

/// The next requests: the subject that each wants its answer at, and its body.
fn replies(service: &mut Client, count: usize) -> Vec<(String, String)> {
    let one = |_| {
        let head = service.line();
        // Those of other accounts have headers, which end with an empty line.
        if head.starts_with("HMSG") {
            tries("headers without an end").find(|()| service.line().is_empty());
        }
        let reply = head.split(' ').nth(3).unwrap_or_else(|| panic!("{head}")).to_owned();
        (reply, service.line())
    };
    (0..count).map(one).collect()
}

#[track_caller]
fn a_responder_answers_another(accounts: &str, limits: &str) {
    let server = start(options(
        &format!("write_deadline: '600s', max_pending: 1GB, accounts {{ {accounts} }}")
            .replace("RIGHTS", &format!("permissions: {{ subscribe: q, allow_responses: {{ {limits} }} }}")),
    ));
    let mut service = Client::connect(&server, "s");
    service.send("SUB q 1\r\n");
    service.sync();
    let (mut flood, mut other) = (Client::connect(&server, "t"), Client::connect(&server, "o"));
    flood.send("SUB r.* 7\r\n");
    flood.sync();
    other.send("SUB o 7\r\n");
    other.sync();
    flood.send(&requests(0..UNANSWERED));
    assert!(flood.sync().is_empty());
    other.send("PUB q o 1\r\no\r\n");
    assert!(other.sync().is_empty());
    flood.send(&requests(UNANSWERED..2 * UNANSWERED));
    assert!(flood.sync().is_empty());
    let asked = replies(&mut service, 2 * UNANSWERED + 1);
    assert_eq!(asked[UNANSWERED].1, "o");
    let answer = |at: usize| format!("PUB {} 2\r\nok\r\n", asked[at].0);
    // The other's, and the flood's last; of the flood's first nobody knows any more.
    service.send(&(answer(UNANSWERED) + &answer(2 * UNANSWERED)));
    assert_eq!(service.sync(), [""; 0], "{limits}");
    assert_eq!(other.sync(), ["MSG o 7 2", "ok"]);
    assert_eq!(flood.sync(), [&format!("MSG r.{} 7 2", 2 * UNANSWERED - 1), "ok"]);
    service.send(&answer(0));
    let refused = format!("-ERR 'Permissions Violation for Publish to \"{}\"'", asked[0].0);
    assert_eq!(service.sync(), [refused]);
}

#[test]
fn a_responder_answers_who_asked_during_a_flood_of_another_account() {
    let accounts = "
        S { users: [ { user: s, RIGHTS } ], exports: [ { service: q } ] }
        T { users: [ { user: t } ], imports: [ { service: { account: S, subject: q } } ] }
        O { users: [ { user: o } ], imports: [ { service: { account: S, subject: q } } ] }";
    a_responder_answers_another(accounts, "max: 1");
    a_responder_answers_another(accounts, "max: 1, expires: '-1s'");
}

#[test]
fn a_responder_answers_who_asked_during_a_flood_of_another_connection() {
    let accounts = "S { users: [ { user: s, RIGHTS }, { user: t }, { user: o } ] }";
    a_responder_answers_another(accounts, "max: 1");
    a_responder_answers_another(accounts, "max: 1, expires: '-1s'");
}

/// Loops look at none of the answers that are awaited: nothing is found before the control thread goes on.
#[test]
fn subscriptions_end_without_a_look_at_answers_that_are_awaited() {
    let server = start(options(
        "write_deadline: '600s', max_pending: 1GB
         accounts {
             S { users: [ { user: s } ]
                 exports: [ { service: q, response_threshold: '1h', latency: { sampling: 100, subject: lat } } ] }
             T { users: [ { user: t } ], imports: [ { service: { account: S, subject: q } } ] }
             O { users: [ { user: o } ] }
         }",
    ));
    let mut service = Client::connect(&server, "s");
    service.send("SUB q 1\r\nSUB lat 2\r\n");
    service.sync();
    let mut other = Client::connect(&server, "o");
    let mut flood = Client::connect(&server, "t");
    flood.send("SUB r.* 7\r\n");
    flood.sync();
    let release = hold_control(&server);
    flood.send(&requests(0..TRACKED));
    assert!(flood.sync().is_empty());
    let asked = replies(&mut service, TRACKED);
    let pairs: String = (0..PAIRS).map(|n| format!("SUB x.{n} {0}\r\nUNSUB {0}\r\n", n + 10)).collect();
    flood.send(&(pairs + "PING\r\n"));
    assert_eq!(other.sync(), [""; 0]);
    assert_eq!(flood.line(), "PONG");
    // What is awaited is still answered.
    service.send(&format!("PUB {} 2\r\nok\r\n", asked[0].0));
    assert_eq!(service.sync(), [""; 0]);
    assert_eq!(flood.sync(), ["MSG r.0 7 2", "ok"]);
    assert_eq!(reports(&server).waiting, 1, "the latency of the answer");
    flood.send("UNSUB 7\r\n");
    flood.sync();
    assert_eq!(other.sync(), [""; 0]);
    let found = reports(&server);
    assert_eq!((found.waiting, found.dropped), (1, 0), "no loop found out that nobody listens");
    drop(release);
    let mut statuses = Vec::new();
    for _ in 0..TRACKED {
        assert!(service.line().starts_with("MSG lat 2 "));
        let metric: serde_json::Value = serde_json::from_str(&service.line()).expect("a metric");
        statuses.push(metric["status"].as_u64());
    }
    assert_eq!(statuses.remove(0), Some(200));
    assert!(statuses.iter().all(|status| *status == Some(408)), "each of the others is lost, once");
    assert_eq!(service.sync(), [""; 0]);
}

/// Publishes messages that are traced and not delivered.
fn traced(count: usize, destination: &str) -> String {
    let headers = format!("NATS/1.0\r\nNats-Trace-Dest: {destination}\r\nNats-Trace-Only: true\r\n\r\n");
    format!("HPUB x {0} {0}\r\n{headers}\r\n", headers.len()).repeat(count)
}

/// A connection with so many subscriptions that a trace of `x` lists.
fn listed(server: &Server, user: &str) -> Client {
    let mut client = Client::connect(server, user);
    let subscriptions: String = (10..10 + SUBSCRIPTIONS).map(|n| format!("SUB x {n}\r\n")).collect();
    client.send(&subscriptions);
    assert!(client.sync().is_empty());
    client
}

/// The value of a series of the lane of reports.
fn scraped(server: &Server, series: &str) -> usize {
    let mut stream = TcpStream::connect(("127.0.0.1", server.node().monitoring.ports().http))
        .expect("connected")
        .bounded();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let name = format!("{series}{{queue=\"control\",lane=\"report\"}} ");
    let value = answer.lines().find_map(|line| line.strip_prefix(&name)).expect(&name);
    value.parse().expect("a number")
}

/// The control thread stands still, so nothing of the traces leaves the lane before all that is asserted of it.
#[test]
fn traces_are_dropped_first_while_the_control_thread_is_busy() {
    let folder = tempfile::tempdir().expect("folder");
    let log = folder.path().join("log");
    let config = format!(
        "http: '127.0.0.1:-1', write_deadline: '600s', max_pending: 1GB, log_file: {log:?}, system_account: SYS
         accounts {{
             T {{ users: [ {{ user: t }} ], exports: [ {{ stream: traces }} ] }}
             O {{ users: [ {{ user: o }} ] }}
             SYS {{ users: [ {{ user: s }} ], imports: [ {{ stream: {{ account: T, subject: traces }} }} ] }}
         }}"
    );
    let server = Server::builder().options(options(&config)).in_process_only().start().expect("started");
    let mut flood = listed(&server, "t");
    let mut other = Client::connect(&server, "o");
    other.send("SUB answer 1\r\nSUB traces 2\r\n");
    other.sync();
    let mut system = Client::connect(&server, "s");
    system.send("SUB traces 1\r\nSUB answer 2\r\n");
    system.sync();
    let release = hold_control(&server);
    flood.send(&traced(TRACES, "traces"));
    assert!(flood.sync().is_empty());
    let full = reports(&server);
    assert!(full.cost <= LANE_BYTES_MAX && full.dropped > 0, "{full:?}");
    assert_eq!(full.waiting + full.dropped as usize, TRACES, "{full:?}");
    assert_eq!(full.largest_share, full.cost, "all of one account");
    // The others go on: questions do not pass the control thread, and its reports make room.
    other.send("PUB $SYS.REQ.USER.INFO answer 0\r\n\r\n");
    assert!(other.line().starts_with("MSG answer 1 "));
    other.line();
    other.send(&traced(1, "traces"));
    assert!(other.sync().is_empty());
    let all = reports(&server);
    assert!(all.cost <= LANE_BYTES_MAX && all.shares == 2, "{all:?}");
    assert_eq!(all.waiting + all.dropped as usize, TRACES + 1, "{all:?}");
    assert_eq!(scraped(&server, "dialtone_queue_dropped_items_total"), all.dropped as usize);
    assert_eq!(scraped(&server, "dialtone_queue_cost"), all.cost);
    let id = &server.node().settings.identity.id;
    system.send(&format!("PUB $SYS.REQ.SERVER.{id}.KICK answer 9\r\n{{\"cid\":0}}\r\n"));
    assert!(system.sync().is_empty());
    drop(release);
    assert!(system.line().starts_with("MSG answer 2 "), "the command comes before all traces");
    system.line();
    for _ in 1..all.waiting {
        assert!(system.line().starts_with("MSG traces 1 "));
        system.line();
    }
    assert!(other.line().starts_with("MSG traces 2 "));
    assert!(system.sync().is_empty(), "the others were dropped");
    let line = format!("{} items of the report lane of the control queue were dropped", all.dropped);
    wait_until(&line, || std::fs::read_to_string(&log).expect("log").contains(&line));
}

/// Who reads no traces is one slow consumer, as with any other messages.
#[test]
fn who_reads_no_traces_is_closed_and_nobody_waits_for_it() {
    let server = start(options(
        "max_pending: 2MB
         accounts { T { users: [ { user: t } ] } }",
    ));
    let mut reader = Client::connect(&server, "t");
    reader.send("SUB traces 1\r\n");
    assert!(reader.sync().is_empty());
    let mut flood = listed(&server, "t");
    flood.send("SUB traces 1\r\n");
    let mut bytes = 0;
    while server.node().connections.failures.slow.total() == 0 {
        assert!(bytes < 100_000_000, "all of them wait for the reader");
        flood.send(&traced(1, "traces"));
        assert!(flood.line().starts_with("MSG traces 1 "));
        bytes += flood.line().len();
    }
    assert!(bytes > 2_000_000, "it is not closed before: {bytes}");
    flood.send(&traced(1, "traces"));
    assert!(flood.line().starts_with("MSG traces 1 "));
    let found = reports(&server);
    assert!(found.cost <= LANE_BYTES_MAX && found.dropped == 0, "{found:?}");
}
