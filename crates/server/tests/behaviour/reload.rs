//! Reloads under load: in accounts that they do not change, no message is lost and none comes twice.

use crate::common::Client;
use dialtone_config::Options;
use dialtone_server::Server;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

const RELOADS: usize = 60;
/// Messages between two looks at whether the reloads are over.
const BATCH: usize = 50;

/// Accounts A and B, which stay as they are, among others that change each time in every way.
fn options(number: usize) -> Options {
    let other = if number.is_multiple_of(2) { "Y" } else { "Z" };
    let config = format!(
        "accounts {{
            {other} {{ users: [ {{ user: {other} }} ], exports: [ {{ stream: x }}, {{ service: y.{number} }} ] }}
            A {{
                users: [ {{ user: a }} ]
                exports: [ {{ stream: s.> }}, {{ service: q }} ]
                mappings {{ m.in: m.out }}
            }}
            B {{
                users: [ {{ user: b, permissions {{ publish: q, subscribe: [ f.>, inbox ] }} }} ]
                imports: [ {{ stream {{ account: A, subject: s.> }}, prefix: f }}, {{ service {{ account: A, subject: q }} }} ]
            }}
            X {{
                users: [ {{ user: x, permissions {{ publish {{ deny: d.{number} }} }} }} ]
                exports: [ {{ stream: x.{number} }} ]
                imports: [ {{ stream {{ account: {other}, subject: x }} }}, {{ stream {{ account: A, subject: s.> }}, prefix: n{number} }} ]
                mappings {{ y.{number}: z }}
                limits {{ max_subscriptions: {} }}
            }}
        }}",
        100 + number
    );
    crate::common::options(&config)
}

/// A message: its subject, where an answer goes, and its payload.
type Message = (String, Option<String>, String);

impl Client {
    fn with(server: &Server, user: &str, subscribe: &str) -> Self {
        let mut client = Self::connect(server, user);
        client.send(subscribe);
        client.sync();
        client
    }

    /// The next message.
    fn message(&mut self) -> Message {
        let line = std::iter::repeat_with(|| self.line()).find(|line| line != "PONG");
        let line = line.unwrap_or_default();
        let words: Vec<&str> = line.split(' ').collect();
        let with_headers = match words[0] {
            "HMSG" => 1,
            "MSG" => 0,
            _ => panic!("no message: {line}"),
        };
        let sizes: Vec<usize> =
            words[words.len() - 1 - with_headers..].iter().filter_map(|n| n.parse().ok()).collect();
        let reply = (words.len() == 5 + with_headers).then(|| words[3].to_owned());
        let mut body = vec![0; sizes[with_headers] + 2];
        self.0.read_exact(&mut body).expect("a body");
        let from = if with_headers == 1 { sizes[0] } else { 0 };
        (words[1].to_owned(), reply, String::from_utf8_lossy(&body[from..body.len() - 2]).into_owned())
    }

    /// Messages to `subject` numbered from 0 up to one that says `end`. How many.
    fn count(mut self, subject: &str) -> usize {
        for number in 0.. {
            let (got, _, payload) = self.message();
            assert_eq!(got, subject);
            if payload == "end" {
                return number;
            }
            assert_eq!(payload, number.to_string(), "{subject}");
        }
        unreachable!("numbers do not end")
    }
}

#[test]
fn accounts_that_do_not_change_lose_nothing_and_get_nothing_twice() {
    let server = start();
    let over = AtomicBool::new(false);
    let here = Client::with(&server, "a", "SUB s.> 1\r\n");
    let queue = Client::with(&server, "a", "SUB s.> q 1\r\n");
    let mapped = Client::with(&server, "a", "SUB m.out 1\r\n");
    let imported = Client::with(&server, "b", "SUB f.> 1\r\n");
    let mut service = Client::with(&server, "a", "SUB q 1\r\n");
    let mut asker = Client::with(&server, "b", "SUB inbox 1\r\n");
    let mut publisher = Client::with(&server, "a", "");
    let publish = |client: &mut Client, payload: &str| {
        let one = |subject: &str| format!("PUB {subject} {}\r\n{payload}\r\n", payload.len());
        client.send(&(one("s.1") + &one("m.in")));
    };
    std::thread::scope(|scope| {
        let counts = [(here, "s.1"), (queue, "s.1"), (mapped, "m.out"), (imported, "f.s.1")]
            .map(|(client, subject)| scope.spawn(move || client.count(subject)));
        let sent = scope.spawn(|| {
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                (0..BATCH).for_each(|more| publish(&mut publisher, &(sent + more).to_string()));
                publisher.sync();
                sent += BATCH;
            }
            publish(&mut publisher, "end");
            publisher.sync();
            sent
        });
        scope.spawn(move || {
            loop {
                let (_, reply, payload) = service.message();
                service.send(&format!(
                    "PUB {} {}\r\n{payload}\r\n",
                    reply.expect("a request"),
                    payload.len()
                ));
                if payload == "end" {
                    return service.sync();
                }
            }
        });
        let asked = scope.spawn(|| {
            let ask = |asker: &mut Client, payload: &str| {
                asker.send(&format!("PUB q inbox {}\r\n{payload}\r\n", payload.len()));
                let (subject, _, answer) = asker.message();
                assert_eq!((subject.as_str(), answer.as_str()), ("inbox", payload));
            };
            let mut asked = 0;
            while !over.load(Ordering::Relaxed) {
                ask(&mut asker, &asked.to_string());
                asked += 1;
            }
            ask(&mut asker, "end");
            // No answer came twice.
            asker.send("PUB q inbox 1\r\n!\r\nPING\r\n");
            assert_eq!(asker.line(), "PONG");
            asked
        });
        for number in 1..=RELOADS {
            server.reload(Ok(options(number)));
            assert_eq!(server.node().settings.generation(), number as u32);
        }
        over.store(true, Ordering::Relaxed);
        let sent = sent.join().expect("sent");
        assert!(sent > 0 && asked.join().expect("asked") > 0);
        assert_eq!(counts.map(|count| count.join().expect("counted")), [sent; 4]);
    });
}

fn start() -> Server {
    crate::common::start(options(0))
}
