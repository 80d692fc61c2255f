use super::mailbox::{ITEM_BYTES_MIN, LANE_BYTES_MAX, Mailbox, Queues, Work};
use super::{Domain, Internal, Listener, OWN_ID, Outgoing, Reply, Subscribed};
use crate::lifecycle::Server;
use crate::node::Node;
use crate::policy::ListenerKind;
use crate::registry::Session;
use crate::share::{Lane, Share};
use crate::verdict::Verdict;
use crate::waiting::{PATIENCE, receive};
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::inlet::{Publisher, Received};
use dialtone_broker::kind::Entry;
use dialtone_broker::peer::{Basics, ClientId, Peer, Place};
use dialtone_broker::subscription::Subscription;
use dialtone_wire::message;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

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
    let node = server.node();
    let echo = Arc::new(|executor: &mut crate::node::Executor, message: &super::Message| {
        let asked = message.header("X").unwrap_or_default();
        let text = [asked, b"|", message.token(1).as_bytes(), b"|", &message.payload].concat();
        executor.reply(message, text);
    });
    let listener = Listener::Control(Lane::Control, echo);
    node.internal.serve(&node.connections.registry, &node.accounts.global, "echo.*", None, listener);
    node.internal.serve(
        &node.connections.registry,
        &node.accounts.global,
        "silent",
        Some("q"),
        Listener::Nobody,
    );
    let question = Outgoing {
        subject: subject.to_owned(),
        headers: b"NATS/1.0\r\nX: y\r\n\r\n".to_vec(),
        payload: b"body".to_vec(),
        ..Outgoing::default()
    };
    let (sender, answer) = sync_channel(1);
    node.internal.run(move |executor| {
        let global = executor.node.accounts.global.clone();
        executor.ask(&global, question, timeout, Share::Server, move |_, answer| {
            let text = match answer {
                Reply::Message(message) => String::from_utf8_lossy(&message.payload).into_owned(),
                other => format!("{other:?}"),
            };
            sender.send(text).unwrap_or_default();
        });
    });
    assert_eq!(receive(&answer, "no answer"), expected);
}

#[test]
fn questions_are_answered() {
    check("echo.me", Duration::from_secs(60), "y|me|body");
    check("nobody", Duration::from_secs(60), "NoResponders");
    check("silent", Duration::ZERO, "TimedOut");
}

#[test]
fn a_subscription_knows_where_its_messages_wait() {
    let places = Domain::ALL.into_iter().flat_map(|domain| Lane::ALL.map(|lane| Some((domain, lane))));
    for place in places.chain([None]) {
        assert_eq!(Subscribed::new(77, place).place(), place);
    }
}

#[test]
fn a_withdrawn_handler_gets_nothing() {
    let server = server();
    let node = server.node();
    let (sender, got) = sync_channel(8);
    let handler = Arc::new(move |_: &mut crate::node::Executor, message: &super::Message| {
        sender.send(message.subject.to_string()).unwrap_or_default();
    });
    let listener = Listener::Control(Lane::Control, handler);
    let served = node.internal.serve(&node.connections.registry, &node.accounts.global, ">", None, listener);
    let publish = |subject: &'static str| {
        node.internal.run(move |executor| {
            let global = executor.node.accounts.global.clone();
            executor.publish(&global, &Outgoing::new(subject, ""));
        });
    };
    publish("first");
    assert_eq!(receive(&got, "nothing comes"), "first");
    node.internal.withdraw(&served);
    publish("second");
    server.stop();
    assert_eq!(
        got.recv_timeout(PATIENCE),
        Err(RecvTimeoutError::Disconnected),
        "the handler is gone, and nothing came before"
    );
}

#[test]
fn no_more_waits_than_may() {
    let queues = Queues::<Node>::new();
    let post = |share| queues.post((Domain::Control, Lane::Report), share, 0, Work::Task(Box::new(|_| {})));
    let fit = LANE_BYTES_MAX / ITEM_BYTES_MIN;
    (0..fit + 3).for_each(|_| post(Share::Local));
    let figures = || queues.of(Domain::Control).figures()[Lane::Report as usize].1;
    assert_eq!((figures().waiting, figures().dropped), (fit, 3));
    // Another's work fits all the same; it comes from the share of who has most.
    post(Share::Server);
    assert_eq!((figures().waiting, figures().dropped, figures().shares), (fit, 4, 2));
}

/// What is not known to be allowed must not stay because too much waits.
#[test]
fn a_review_beyond_the_bound_is_a_verdict() {
    // Nobody takes anything out.
    let internal = Internal::<Node>::new(Arc::default(), Arc::default());
    let account = Account::new(AccountId(7), "A");
    let basics = Basics {
        id: ClientId(99),
        kind: Entry::OF_SERVER.from,
        slot: 0,
        pending_bytes_max: 0,
        start: Instant::now(),
    };
    let mailbox = Arc::new(Mailbox::new(Arc::new(Queues::<Node>::new()), &account));
    let peer = Peer::inside(basics, Arc::default(), mailbox);
    peer.set_place(Place { account: Some(account), permissions: None });
    let session = Arc::new(Session::new(peer, ListenerKind::InProcess, None));
    let review = || internal.run_review(&session, 0, |_| {});
    (0..LANE_BYTES_MAX / ITEM_BYTES_MIN).for_each(|_| review());
    assert!(session.take_verdict().is_none(), "all of them fit");
    review();
    assert!(matches!(session.take_verdict(), Some(Verdict::Overloaded)));
}

/// The account that asks is named by the server, where the question came from another account.
#[test]
fn a_message_counts_for_who_asks() {
    let account = Account::new(AccountId(7), "A");
    let share = |headers: &[u8]| {
        let basics = Basics {
            id: OWN_ID,
            kind: Entry::OF_SERVER.from,
            slot: 0,
            pending_bytes_max: 0,
            start: Instant::now(),
        };
        let mailbox = Arc::new(Mailbox::new(Arc::new(Queues::<Node>::new()), &account));
        let subscription = Subscription::new(Peer::inside(basics, Arc::default(), mailbox), b"s", None, b"1");
        let publisher = Publisher { id: OWN_ID, kind: Entry::OF_SERVER.from };
        let framed = [headers, b"\r\n"].concat();
        let message =
            message::Message { subject: b"s", reply: None, header_bytes: headers.len(), framed: &framed };
        let received = Received { subscription: &subscription, publisher, message, traced: None };
        super::Message::of(&account, &received).map(|message| message.share())
    };
    assert_eq!(share(b""), Some(Share::Account("A".into())));
    assert_eq!(
        share(b"NATS/1.0\r\nNats-Request-Info: {\"acc\":\"B\",\"rtt\":1}\r\n\r\n"),
        Some(Share::Account("B".into()))
    );
    assert_eq!(share(b"NATS/1.0\r\nNats-Request-Info: x\r\n\r\n"), Some(Share::Account("A".into())));
}

/// Nothing is worked out for who has left or has ended its subscription.
#[test]
fn a_question_that_nobody_waits_for_is_not_answered() {
    let server = server();
    let node = server.node();
    let (sender, asked) = sync_channel(8);
    let handler = move |_: &mut crate::node::Publisher, message: &super::Message| {
        sender.send(message.reply.to_string()).unwrap_or_default();
    };
    let listener = Listener::Question(Arc::new(handler));
    node.internal.serve(&node.connections.registry, &node.accounts.global, "ask", None, listener);
    node.internal.serve(&node.connections.registry, &node.accounts.global, "here.*", None, Listener::Nobody);
    node.internal.run(|executor| {
        let global = executor.node.accounts.global.clone();
        for reply in ["gone.1", "here.1", "", "gone.2", "here.2"] {
            let question = Outgoing { reply: reply.to_owned(), ..Outgoing::new("ask", "") };
            executor.publish(&global, &question);
        }
    });
    let got: Vec<_> = asked.iter().take(3).collect();
    assert_eq!(got, ["here.1", "", "here.2"]);
}

#[test]
fn an_account_that_is_gone_is_forgotten() {
    let server = server();
    let node = server.node();
    let account = Account::new(AccountId(77), "gone");
    // What the control thread serves itself, it serves from its start on.
    let (done, begun) = sync_channel(1);
    node.internal.run(move |_| assert_eq!(done.send(()), Ok(())));
    receive(&begun, "it does not work");
    let before = node.internal.handlers.read().len();
    node.internal.serve(&node.connections.registry, &account, "a.*", None, Listener::Nobody);
    assert_eq!((account.interest().len(), node.internal.handlers.read().len()), (1, before + 1));
    node.internal.forget(&node.connections.registry, &account);
    assert_eq!((account.interest().len(), node.internal.handlers.read().len()), (0, before));
}
