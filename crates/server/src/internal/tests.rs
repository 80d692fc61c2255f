use super::mailbox::{Inlet, Mailbox, WORKS_MAX, Work};
use super::{Answer, Outgoing};
use crate::lifecycle::Server;
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::outbox::Sink;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::time::Duration;

fn server() -> Server {
    match Server::builder().host("127.0.0.1").port(None).quiet().start() {
        Ok(server) => server,
        Err(error) => panic!("{error}"),
    }
}

/// What comes of a question to `subject` in a server where `echo.*` is answered with the question's headers, subject
/// and payload.
#[track_caller]
fn check(subject: &str, timeout: Duration, expected: &str) {
    let server = server();
    let shared = server.shared();
    let echo = Arc::new(|desk: &mut super::Desk, message: &super::Message| {
        let asked = message.header("X").unwrap_or_default();
        let text = [asked, b"|", message.token(1).as_bytes(), b"|", &message.payload].concat();
        desk.reply(message, text);
    });
    shared.internal.serve(&shared.registry, &shared.global, "echo.*", None, echo);
    shared.internal.serve(&shared.registry, &shared.global, "silent", Some("q"), Arc::new(|_, _| {}));
    let question = Outgoing {
        subject: subject.to_owned(),
        headers: b"NATS/1.0\r\nX: y\r\n\r\n".to_vec(),
        payload: b"body".to_vec(),
        ..Outgoing::default()
    };
    let (sender, answer) = sync_channel(1);
    shared.internal.run(move |desk| {
        let global = desk.shared.global.clone();
        desk.ask(&global, question, timeout, move |_, answer| {
            let text = match answer {
                Answer::Message(message) => String::from_utf8_lossy(&message.payload).into_owned(),
                other => format!("{other:?}"),
            };
            sender.send(text).unwrap_or_default();
        });
    });
    assert_eq!(answer.recv().as_deref(), Ok(expected));
}

#[test]
fn questions_are_answered() {
    check("echo.me", Duration::from_secs(60), "y|me|body");
    check("nobody", Duration::from_secs(60), "NoResponders");
    check("silent", Duration::ZERO, "TimedOut");
}

#[test]
fn a_withdrawn_handler_gets_nothing() {
    let server = server();
    let shared = server.shared();
    let (sender, got) = sync_channel(8);
    let handler = Arc::new(move |_: &mut super::Desk, message: &super::Message| {
        sender.send(message.subject.to_string()).unwrap_or_default();
    });
    let served = shared.internal.serve(&shared.registry, &shared.global, ">", None, handler);
    let publish = |subject: &'static str| {
        shared.internal.run(move |desk| {
            let global = desk.shared.global.clone();
            desk.publish(&global, &Outgoing::new(subject, ""));
        });
    };
    publish("first");
    assert_eq!(got.recv().as_deref(), Ok("first"));
    shared.internal.withdraw(&served);
    publish("second");
    server.stop();
    assert!(got.recv().is_err(), "the handler is gone, and nothing came before");
}

proptest::proptest! {
    #[test]
    fn messages_arrive_whole_however_they_are_cut(
        payloads in proptest::collection::vec("[a-z\r\n]{0,12}", 1..6),
        cuts in proptest::collection::vec(0usize..300, 0..8),
    ) {
        let (sender, works) = channel();
        let account = Account::new(AccountId(7), "A");
        let inlet = Inlet::new(Arc::new(Mailbox::new(sender)), &account);
        let all: String =
            payloads.iter().map(|p| format!("PING\r\nMSG a.b 3 r {}\r\n{p}\r\n", p.len())).collect();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(all.len())).chain([all.len()]).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for cut in cuts {
            let piece = IoSlice::new(&all.as_bytes()[from..cut]);
            proptest::prop_assert_eq!(inlet.write(&[piece]).ok(), Some(cut - from));
            from = cut;
        }
        let got: Vec<_> = works
            .try_iter()
            .map(|work| match work {
                Work::Message(m) => (m.sid, m.reply.to_string(), String::from_utf8_lossy(&m.payload).into_owned()),
                _ => panic!("a message"),
            })
            .collect();
        let sent: Vec<_> = payloads.into_iter().map(|p| (3, "r".to_owned(), p)).collect();
        proptest::prop_assert_eq!(got, sent);
    }
}

#[test]
fn no_more_waits_than_may() {
    let (sender, works) = channel();
    let mailbox = Mailbox::new(sender);
    let (done, _) = sync_channel(1);
    assert!((0..WORKS_MAX).all(|_| mailbox.post(Work::Stop(done.clone()))));
    assert!(!mailbox.post(Work::Stop(done.clone())));
    assert_eq!((mailbox.waiting(), mailbox.take_lost()), (WORKS_MAX, 1));
    mailbox.taken(&works.recv().expect("work"));
    assert!(mailbox.post(Work::Stop(done)));
}

#[test]
fn an_account_that_is_gone_is_forgotten() {
    let server = server();
    let shared = server.shared();
    let account = Account::new(AccountId(77), "gone");
    // What the control thread serves itself, it serves from its start on.
    let (done, begun) = sync_channel(1);
    shared.internal.run(move |_| assert_eq!(done.send(()), Ok(())));
    begun.recv().expect("it works");
    let before = shared.internal.handlers.read().len();
    shared.internal.serve(&shared.registry, &account, "a.*", None, Arc::new(|_, _| {}));
    assert_eq!((account.interest().len(), shared.internal.handlers.read().len()), (1, before + 1));
    shared.internal.forget(&shared.registry, &account);
    assert_eq!((account.interest().len(), shared.internal.handlers.read().len()), (0, before));
}
