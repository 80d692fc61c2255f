//! A message is followed over routes, gateways and leaf nodes, and not into what is somebody else's.

use super::super::server::ask;
use super::waiting::{Bounded as _, NextLine as _, tries};
use crate::explain::hops::Answer;
use crate::explain::text;
use dialtone_config::load_text;
use dialtone_server::Server;
use dialtone_server::explain::{Action, Link, Question, Verdict};
use dialtone_server::policy::ListenerKind;
use std::collections::BTreeSet;
use std::io::{BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long is waited for what must come: long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(60);

const ACCOUNTS: &str = "system_account: SYS
accounts { A { users: [ { user: a, password: x } ] }, SYS { users: [ { user: s, password: x } ] } }";

/// What is among the words, in no order.
const EXPECTED: &[&str] = &[
    "  may publish x: nothing denies it",
    "  goes on to server b, by a route",
    "  goes on to server far of cluster F, by a gateway",
    "  goes on to leaf node own, to account X",
    "  goes on to leaf node others, to account $G",
    "    stops: it has no part in this system account, so it belongs to somebody else and is not asked",
    "at server b, by a route from a",
    "at server far, by a gateway from a",
    "at server own, by its hub a",
    "  arrives in account A as x",
    "  arrives in account X as x",
    "    listening now: 1 subscription",
    "it may be received",
];

/// The same for a subscription at `far`.
const COMES: &[&str] = &[
    "  may subscribe x: nothing denies it",
    "  may come from server a of cluster C, by a gateway",
    "at server a, by a gateway to far",
    "  that server has told that it wants x",
    "  note: what users of the account publish here goes on to it",
    "  may come from leaf node own, from account X",
    "  may come from leaf node others, from account $G",
    "    stops: it has no part in this system account, so it belongs to somebody else and is not asked",
    "at server own, by its hub a",
    "  that server has told that it wants x",
    "it may subscribe",
];

/// Asks until all that is expected is said.
fn ask_until(server: &Server, question: &Question, expected: &[&str]) -> Answer {
    let url = format!("nats://s:x@{}", server.client_address().expect("it listens"));
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = ask(&url, None, None, question).expect("an answer");
        let words = text::describe(&answer);
        let lines: BTreeSet<&str> = words.lines().collect();
        let missing: Vec<_> = expected.iter().filter(|line| !lines.contains(**line)).collect();
        if missing.is_empty() {
            return answer;
        }
        assert!(Instant::now() < until, "{missing:#?}\n{words}");
    }
}

fn start(config: &str) -> Server {
    let config = format!("port: -1, host: 127.0.0.1\n{config}");
    let options = load_text(&config, "t.conf", &mut |_: &std::path::Path| unreachable!(), &|_| None);
    Server::builder().options(options.expect("good")).quiet().start().expect("a server")
}

fn listen(server: &Server, user: &str, subject: &str) -> BufReader<UnixStream> {
    let mut listener = BufReader::new(server.connect_in_process().expect("a connection").bounded());
    let hello = format!(
        "CONNECT {{\"user\":\"{user}\",\"pass\":\"x\",\"verbose\":false}}\r\nSUB {subject} 1\r\nPING\r\n"
    );
    listener.get_mut().write_all(hello.as_bytes()).expect("sent");
    tries("PONG").find(|()| listener.next_line() == "PONG\r\n");
    listener
}

#[test]
fn a_message_is_followed_over_the_network_up_to_where_it_is_somebody_elses() {
    let port = |server: &Server, kind| server.node().settings.identity.port(kind);
    let a = start(&format!(
        "server_name: a, cluster {{ name: C, listen: '127.0.0.1:-1' }}, leafnodes {{ listen: '127.0.0.1:-1' }}
         gateway {{ name: C, listen: '127.0.0.1:-1' }}\n{ACCOUNTS}"
    ));
    let (route, gateway) = (port(&a, ListenerKind::Cluster), port(&a, ListenerKind::Gateway));
    let leaf = port(&a, ListenerKind::LeafNodes);
    let b = start(&format!(
        "server_name: b, cluster {{ name: C, listen: '127.0.0.1:-1', routes: ['nats://127.0.0.1:{route}'] }}
         gateway {{ name: C, listen: '127.0.0.1:-1' }}\n{ACCOUNTS}"
    ));
    let far = start(&format!(
        "server_name: far, gateway {{ name: F, listen: '127.0.0.1:-1',
         gateways: [ {{ name: C, url: 'nats://127.0.0.1:{gateway}' }} ] }}\n{ACCOUNTS}"
    ));
    let own = start(&format!(
        "server_name: own, leafnodes {{ remotes: [
           {{ url: 'nats-leaf://a:x@127.0.0.1:{leaf}', account: X }},
           {{ url: 'nats-leaf://s:x@127.0.0.1:{leaf}', account: SYS }} ] }}
         system_account: SYS
         accounts {{ X {{ users: [ {{ user: a, password: x }} ] }}, SYS {{ users: [ {{ user: s, password: x }} ] }} }}"
    ));
    let others = start(&format!(
        "server_name: others, leafnodes {{ remotes: [ {{ url: 'nats-leaf://a:x@127.0.0.1:{leaf}' }} ] }}"
    ));
    let listeners =
        [(&b, "a"), (&far, "a"), (&own, "a"), (&others, "")].map(|(at, user)| listen(at, user, "x"));
    let url = format!("nats://s:x@{}", a.client_address().expect("it listens"));
    let question = Question { user: Some("a".into()), ..Question::new("A", Action::Publish, "x") };
    let answer = ask_until(&a, &question, EXPECTED);
    assert_eq!((answer.hops.len(), answer.verdict()), (3, Verdict::Path));
    let question_back = Question { action: Action::Subscribe, ..question.clone() };
    let back = ask_until(&far, &question_back, COMES);
    assert_eq!(back.verdict(), Verdict::Path);
    // What came to a server of the other cluster by a route, that one has sent itself.
    let from_route = back.hops.iter().filter(|hop| hop.link == Link::Route && hop.from != "far");
    assert_eq!(from_route.count(), 0);
    drop(listeners);
    // Of what nobody is subscribed to, no server has heard that it is wanted.
    let unheard = Question { subject: "y".into(), ..question_back };
    let unheard = ask_until(
        &far,
        &unheard,
        &["  stops: that server has not told of anybody there who wants such messages"],
    );
    assert!(unheard.hops.iter().all(|hop| hop.link == Link::Gateway), "nothing is asked behind them");
    // What nobody wants stays, and a server that is not there is said to be.
    let alone = Question { subject: "y".into(), ..question.clone() };
    assert_eq!(ask(&url, None, None, &alone).expect("an answer").hops.len(), 0);
    let lost = Question { server: Some("NOSUCH".into()), ..question };
    let problem = ask(&url, None, None, &lost).expect_err("nobody").to_string();
    assert_eq!(problem, "server NOSUCH is not reached from here");
    [a, b, far, own, others].iter().for_each(Server::stop);
}
