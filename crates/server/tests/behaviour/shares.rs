//! What strangers share: a flood costs who floods, and what is urgent comes before what is not.
//!
//! Each test asserts in which order things happen, by what is still unanswered when something else is.

use crate::common::Client;
use crate::common::waiting::{Bounded, NextLine, receive, wait_until};
use dialtone_broker::account::AccountId;
use dialtone_config::Options;
use dialtone_server::Server;
use dialtone_server::internal::Domain;
use dialtone_server::share::Lane;
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc::channel;

/// Questions of a flood: answering them takes far longer than asking.
const FLOOD: usize = 2000;
/// Subscriptions that each answer lists.
const LISTED: usize = 1000;
/// Bytes that such an answer has at least.
const ANSWER_BYTES_MIN: usize = 60_000;

/// A server that listens.
fn listening(config: &str) -> Server {
    let options: Options = crate::common::options(&format!("host: 127.0.0.1, port: -1\n{config}"));
    Server::builder().options(options).quiet().start().expect("started")
}

fn tenants() -> Server {
    let config = "write_deadline: '600s', max_pending: 1GB, system_account: SYS
        accounts {
            T { users: [ { user: t } ] }
            O { users: [ { user: o } ] }
            SYS { users: [ { user: s } ] }
        }";
    crate::common::start(crate::common::options(config))
}

/// A client whose connection has much to be listed of it.
fn large(server: &Server, user: &str) -> Client {
    let mut client = Client::connect(server, user);
    let subscriptions: String = (0..LISTED).map(|n| format!("SUB some.subject.{n} {}\r\n", n + 10)).collect();
    client.send(&subscriptions);
    client.send("SUB flood 1\r\nSUB other 2\r\n");
    client.sync();
    client
}

fn questions() -> String {
    let body = r#"{"subscriptions_detail":true}"#;
    format!("PUB $SYS.REQ.SERVER.PING.CONNZ flood {}\r\n{body}\r\n", body.len()).repeat(FLOOD)
}

/// What still waits in a lane of a queue.
fn waiting(server: &Server, queue: &str, lane: Lane) -> usize {
    let node = server.node();
    let all = node.internal.figures().chain(node.verifier.figures());
    let wanted = all.filter(|(name, of, _)| *name == queue && *of == lane);
    wanted.map(|(_, _, figures)| figures.waiting).sum()
}

/// In one write, so the command stands behind all questions when the first is answered.
#[test]
fn a_command_comes_before_the_questions_that_were_asked_first() {
    let server = tenants();
    let mut system = large(&server, "s");
    let id = &server.node().settings.identity.id;
    let command = format!("PUB $SYS.REQ.SERVER.{id}.KICK other 9\r\n{{\"cid\":0}}\r\n");
    system.send(&(questions() + &command));
    let mut answers = 0;
    loop {
        let line = system.line();
        answers += usize::from(line.starts_with("MSG flood "));
        let is_document = line.starts_with('{') && line.contains("some.subject.");
        assert!(!is_document || line.len() >= ANSWER_BYTES_MIN, "{}", line.len());
        if line.starts_with("MSG other ") {
            break;
        }
    }
    assert!(answers < FLOOD / 2, "{answers} questions were answered before the command");
}

/// Whoever asks authorization services is held up here by all that they are asked about.
#[test]
fn a_command_does_not_wait_for_authorization_services() {
    let server = tenants();
    let ((begun, at_work), (_go, held)) = (channel(), channel::<()>());
    server.node().internal.run_in(Domain::Authorization, move |_| {
        begun.send(()).expect("the test waits");
        // Until the test is over.
        let _ = held.recv();
    });
    receive(&at_work, "the thread is not held");
    let mut system = Client::connect(&server, "s");
    let id = &server.node().settings.identity.id;
    system.send(&format!("SUB kicked 1\r\nPUB $SYS.REQ.SERVER.{id}.KICK kicked 9\r\n{{\"cid\":0}}\r\n"));
    assert!(system.line().starts_with("MSG kicked 1 "));
}

#[test]
fn a_tenants_flood_of_questions_holds_up_no_other_tenant() {
    let server = tenants();
    let mut flood = large(&server, "t");
    let mut other = Client::connect(&server, "o");
    other.send("SUB answer 1\r\n");
    other.sync();
    let mut system = Client::connect(&server, "s");
    system.send("SUB kicked 1\r\n");
    system.sync();
    flood.send(&questions());
    flood.send("PING\r\n");
    let mut answers = 0;
    let mut count = |line: &str| answers += usize::from(line.starts_with("MSG flood "));
    loop {
        match flood.line() {
            line if line == "PONG" => break,
            line => count(&line),
        }
    }
    other.send("PUB $SYS.REQ.USER.INFO answer 0\r\n\r\n");
    assert!(other.line().starts_with("MSG answer "));
    let left = waiting(&server, "questions", Lane::Question);
    assert!(left > FLOOD / 2, "{left} questions of the flood still wait");
    // The flood is ended by a command, and nothing more is answered.
    let account = server.node().accounts.find("T").map(|account| account.id);
    let [session] = &server.node().connections.registry.open_in(account)[..] else {
        panic!("one connection")
    };
    let (id, cid) = (&server.node().settings.identity.id, session.peer.id.0);
    let command = format!("{{\"cid\":{cid}}}");
    system.send(&format!("PUB $SYS.REQ.SERVER.{id}.KICK kicked {}\r\n{command}\r\n", command.len()));
    assert!(system.line().starts_with("MSG kicked "));
    while let Some(line) = flood.line_or_end() {
        count(&line);
    }
    assert!(answers < FLOOD / 2, "{answers} questions were answered before the command");
}

#[test]
fn the_connections_of_an_account_are_found_without_the_others() {
    let server = tenants();
    let of = |name: &str| {
        let account = server.node().accounts.find(name).expect(name);
        server.node().connections.registry.open_in(Some(account.id)).len()
    };
    let _others: Vec<Client> = (0..5).map(|_| Client::connect(&server, "o")).collect();
    let mine = Client::connect(&server, "t");
    assert_eq!((of("T"), of("O"), of("SYS")), (1, 5, 0));
    assert_eq!(server.node().connections.registry.open_in(Some(AccountId(u32::MAX))).len(), 0);
    let mut stranger = server.connect_in_process().expect("connected").bounded();
    let mut info = [0; 4];
    stranger.read_exact(&mut info).expect("INFO");
    assert_eq!(server.node().connections.registry.open_in(None).len(), 1);
    drop((mine, stranger));
    wait_until("both are gone", || {
        of("T") == 0 && server.node().connections.registry.open_in(None).is_empty()
    });
    assert_eq!(server.node().connections.registry.len(), 5);
}

/// A client that comes through a proxy from this address.
fn from(server: &Server, source: &str) -> BufReader<TcpStream> {
    let mut stream =
        TcpStream::connect(server.client_address().expect("it listens")).expect("connected").bounded();
    stream.write_all(format!("PROXY TCP4 {source} 192.0.2.9 1 1\r\n").as_bytes()).expect("sent");
    let mut stream = BufReader::new(stream);
    assert!(line(&mut stream).starts_with("INFO {"));
    stream
}

/// The next line that is no PING: whoever waits for long is asked whether it is there.
fn line(stream: &mut BufReader<TcpStream>) -> String {
    loop {
        let line = stream.next_line();
        if line != "PING\r\n" {
            return line.trim_end().to_owned();
        }
    }
}

fn log_in(stream: &mut BufReader<TcpStream>, password: &str) {
    let hello = format!("CONNECT {{\"verbose\":false,\"user\":\"u\",\"pass\":\"{password}\"}}\r\nPING\r\n");
    stream.get_mut().write_all(hello.as_bytes()).expect("sent");
}

#[test]
fn a_right_password_gets_in_behind_many_wrong_ones() {
    let server = listening(
        "proxy_protocol: true
         authorization { timeout: 600, users: [
             { user: u, password: \"$2b$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC\" }
         ] }",
    );
    let mut wrong: Vec<_> = (0..1100).map(|_| from(&server, "192.0.2.1")).collect();
    let (mut behind, mut other) = (from(&server, "192.0.2.1"), from(&server, "192.0.2.2"));
    wrong.iter_mut().for_each(|client| log_in(client, "wrong"));
    log_in(&mut behind, "right");
    log_in(&mut other, "right");
    assert_eq!(line(&mut other), "PONG");
    assert!(waiting(&server, "passwords", Lane::Login) > 0, "those of another address still wait");
    assert_eq!(line(&mut behind), "PONG", "it waited for its turn");
    for client in &mut wrong {
        assert_eq!(line(client), "-ERR 'Authorization Violation'");
    }
}

/// More than can ever be open at once, so that whoever waits for a place waits for several timeouts.
#[test]
fn half_requests_do_not_hold_up_the_monitoring_port() {
    let server = listening("http: \"127.0.0.1:-1\"");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.node().monitoring.ports().http));
    let open = || TcpStream::connect(address).expect("connected").bounded();
    let mut half: Vec<_> = (0..1000)
        .map(|_| {
            let mut stream = open();
            // The oldest are closed already.
            let _ = stream.write_all(b"GET /healthz HT");
            stream
        })
        .collect();
    let mut asking = open();
    asking.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut answer = [0; 12];
    asking.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    // Those that came last are still there, and the first are gone without an answer.
    let mut last = half.pop().expect("one of them");
    last.write_all(b"TP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    last.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    let first = half.first_mut().expect("one of them");
    assert!(matches!(first.read(&mut answer), Ok(0) | Err(_)));
}
