//! Streams and their consumers in the answers of a running server.

use super::waiting::{Bounded as _, NextLine as _, tries};
use crate::explain::{server, text};
use dialtone_config::load_text;
use dialtone_server::Server;
use dialtone_server::explain::{Action, Question};
use expect_test::expect;
use std::io::{BufReader, Write as _};

const CONFIG: &str = "listen: \"127.0.0.1:-1\"\nsystem_account: SYS\njetstream { store_dir: \"FOLDER\" }
accounts {
  SYS { users = [ { user: admin, password: secret } ] }
  APP { jetstream: enabled, users = [ { user: app, password: x } ] }
}";

/// Requests to the API, and publishes, one after the other.
const REQUESTS: [(&str, &str); 7] = [
    (
        "$JS.API.STREAM.CREATE.S",
        r#"{"name":"S","storage":"memory","subjects":["s.>"],"subject_transform":{"src":"s.>","dest":"kept.>"},"max_msgs":1,"discard":"new"}"#,
    ),
    (
        "$JS.API.STREAM.CREATE.I",
        r#"{"name":"I","storage":"memory","subjects":["i"],"retention":"interest","no_ack":true}"#,
    ),
    ("$JS.API.CONSUMER.CREATE.S.pulled", r#"{"stream_name":"S","config":{"name":"pulled"}}"#),
    (
        "$JS.API.CONSUMER.CREATE.S.push",
        r#"{"stream_name":"S","config":{"name":"push","durable_name":"push","deliver_subject":"d"}}"#,
    ),
    (
        "$JS.API.CONSUMER.CREATE.S.late",
        r#"{"stream_name":"S","config":{"name":"late","pause_until":"2999-01-01T00:00:00Z"}}"#,
    ),
    (
        "$JS.API.CONSUMER.CREATE.S.other",
        r#"{"stream_name":"S","config":{"name":"other","filter_subject":"kept.z"}}"#,
    ),
    ("s.1", ""),
];

#[test]
fn streams_and_consumers_are_named_and_why_a_message_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = CONFIG.replace("FOLDER", &folder.path().display().to_string());
    let options = load_text(&config, "t.conf", &mut |_: &std::path::Path| unreachable!(), &|_| None);
    let running = Server::builder().options(options.expect("good")).quiet().start().expect("a server");
    let mut client = BufReader::new(running.connect_in_process().expect("a connection").bounded());
    let hello = "CONNECT {\"user\":\"app\",\"pass\":\"x\",\"verbose\":false}\r\nSUB answers 1\r\nPING\r\n";
    client.get_mut().write_all(hello.as_bytes()).expect("sent");
    tries("PONG").find(|()| client.next_line() == "PONG\r\n");
    let address = running.client_address().expect("it listens");
    let ask = |subject: &str| {
        let question =
            Question { user: Some("app".into()), ..Question::new("APP", Action::Publish, subject) };
        let answer = server::ask(&format!("nats://admin:secret@{address}"), None, None, &question);
        text::describe(&answer.expect("an answer"))
    };
    for (at, (subject, body)) in REQUESTS.iter().enumerate() {
        if at + 1 == REQUESTS.len() {
            expect![[r#"
                user app of account APP publishes to s.1
                  may publish s.1: nothing denies it
                  arrives in account APP as s.1
                    may receive it: app
                    listening now: 1 subscription
                  stream S stores it as kept.1
                    consumers that get it: late (it is paused), pulled, push (sends it to d; nobody listens there)
                it may be received
            "#]]
            .assert_eq(&ask("s.1"));
        }
        let request = format!("PUB {subject} answers {}\r\n{body}\r\n", body.len());
        client.get_mut().write_all(request.as_bytes()).expect("sent");
        tries("an answer").find(|()| client.next_line().starts_with("MSG answers"));
        let answer = client.next_line();
        assert!(!answer.contains("\"error\""), "{subject}: {answer}");
    }
    expect![[r#"
        user app of account APP publishes to s.2
          may publish s.2: nothing denies it
          arrives in account APP as s.2
            may receive it: app
            listening now: 1 subscription
          stream S refuses it: maximum messages exceeded
            consumers that would get it: late (it is paused), pulled, push (sends it to d; nobody listens there)
        it may be received
    "#]]
    .assert_eq(&ask("s.2"));
    expect![[r#"
        user app of account APP publishes to i
          may publish i: nothing denies it
          arrives in account APP as i
            may receive it: app
            listening now: 1 subscription
          stream I stores it
            note: it answers no publisher (no_ack)
            note: it acknowledges and does not keep what no consumer wants (interest retention)
            no consumer gets it
        it may be received
    "#]]
    .assert_eq(&ask("i"));
    expect![[r#"
        user app of account APP publishes to elsewhere
          may publish elsewhere: nothing denies it
          arrives in account APP as elsewhere
            may receive it: app
            listening now: 0 subscriptions
          note: no stream of the account stores it: who waits for an acknowledgement of a stream gets none
        it may be received
    "#]]
    .assert_eq(&ask("elsewhere"));
}
