//! Receivers inside the server: what a turn staged comes whole and in order, and what they answer goes out in the same turn.

use dialtone_broker::account::Account;
use dialtone_broker::inlet::{Batch, Inlet, Publish};
use dialtone_broker::kind::{Entry, Kind};
use dialtone_broker::outbox::Sink;
use dialtone_broker::peer::{Basics, Peer, Place};
use dialtone_wire::message::Message;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;
use world::{Unheard, World};

mod order;
mod seen;
mod world;

/// Messages with their subjects, replies, headers and payloads, by the subscriptions that they are for; and their answers
/// leave with all else of the turn, behind what caused them.
#[test]
fn a_turn_comes_as_one_batch_and_is_answered_in_it() {
    let mut world = World::new();
    let (client, echo) = (world.client("client"), world.echo(None));
    world.subscribe(&client, "in", None, "9");
    world.subscribe(&echo, "a.b", None, "1");
    world.subscribe(&echo, "a.c", None, "2");
    assert_eq!(world.publish(&client, "a.b", Some("in"), "", "one"), 1);
    assert_eq!(world.publish(&client, "a.c", None, "NATS/1.0\r\nk:v\r\n\r\n", "two"), 1);
    assert_eq!(world.publish(&client, "in", None, "", "itself"), 1);
    world.turn.send(&client, b"PONG\r\n");
    assert!(world.take_log().is_empty(), "nothing happens before the turn ends");
    assert!(!world.turn.finish());
    let inlet = "inlet: 1 a.b +one, 2 a.c NATS/1.0\r\nk:v\r\n\r\n+two";
    assert_eq!(world.take_log(), [inlet, "client: MSG in 9 6|itself|PONG|MSG in 9 4|one!|"]);
    assert!(!world.turn.finish(), "nothing is left");
    assert!(world.take_log().is_empty());
}

/// Hands what it gets to another thread, which is quicker than the turn.
struct Quick(Arc<Peer>);

impl Inlet for Quick {
    fn take(&self, _: &Batch, _: &mut dyn Publish) {
        let client = self.0.clone();
        let answering = std::thread::spawn(move || client.send(b"ANSWER\r\n", Instant::now()));
        answering.join().expect("it answers");
    }

    fn account(&self) -> Option<Arc<Account>> {
        None
    }

    fn posts(&self) -> bool {
        true
    }
}

/// What another thread makes of a batch does not come before what the turn staged with it.
#[test]
fn an_answer_from_another_thread_comes_behind_its_cause() {
    let mut world = World::new();
    let client = world.client("client");
    let receiver =
        Peer::inside(world.basics(Entry::OF_SERVER.from), Arc::default(), Arc::new(Quick(client.clone())));
    world.subscribe(&client, "q", None, "9");
    world.subscribe(&receiver, "q", None, "1");
    assert_eq!(world.publish(&client, "q", None, "", "asked"), 2);
    world.turn.send(&client, b"PONG\r\n");
    world.turn.finish();
    assert_eq!(world.take_log(), ["client: MSG q 9 5|asked|PONG|ANSWER|"]);
}

/// Two that answer each other for ever get four rounds a turn; others are written in it, and the next turn goes on.
#[test]
fn rounds_are_bounded_and_nothing_is_lost() {
    let mut world = World::new();
    let (client, ping, pong) = (world.client("client"), world.echo(Some(b"pong")), world.echo(Some(b"ping")));
    world.subscribe(&client, "hello", None, "9");
    world.subscribe(&ping, "ping", None, "1");
    world.subscribe(&pong, "pong", None, "2");
    world.publish(&client, "ping", None, "", "x");
    world.publish(&client, "hello", None, "", "you");
    assert!(world.turn.finish(), "more is left");
    let rounds = ["inlet: 1 ping +x", "inlet: 2 pong +x!", "inlet: 1 ping +x!!", "inlet: 2 pong +x!!!"];
    let mut expected: Vec<String> = rounds.map(str::to_owned).into();
    expected.push("client: MSG hello 9 3|you|".to_owned());
    assert_eq!(world.take_log(), expected);
    assert!(world.turn.finish());
    assert_eq!(world.take_log().first().map(String::as_str), Some("inlet: 1 ping +x!!!!"));
}

/// What waits for receivers counts by the memory that it takes: messages of a few bytes are not kept by the hundred thousand.
#[test]
fn a_turn_full_of_small_messages_is_handed_over_in_its_midst() {
    let mut world = World::new();
    let (client, echo) = (world.client("client"), world.echo(None));
    world.subscribe(&echo, "a", None, "1");
    for _ in 0..20_000 {
        world.publish(&client, "a", None, "", "");
    }
    let before_end = world.take_log();
    assert!(!before_end.is_empty(), "the turn is not over");
    world.turn.finish();
    let taken = [before_end, world.take_log()].concat().join("\n").matches("1 a +").count();
    assert_eq!(taken, 20_000);
}

/// One that ends its subscription in the midst of a turn still gets what was published before, as a connection does.
#[test]
fn a_subscription_that_ends_in_the_turn_gets_what_came_before() {
    let mut world = World::new();
    let (client, echo) = (world.client("client"), world.echo(None));
    let subscription = world.subscribe(&echo, "a", None, "1");
    world.publish(&client, "a", None, "", "before");
    world.gate.unsubscribe(&world.account, &subscription, None);
    assert_eq!(world.publish(&client, "a", None, "", "behind"), 0);
    world.turn.finish();
    assert_eq!(world.take_log(), ["inlet: 1 a +before"]);
}

/// A subscription with a maximum ends with its last message, as a connection's does: nothing of it is left.
#[test]
fn a_subscription_inside_ends_at_its_maximum() {
    let mut world = World::new();
    let (client, echo) = (world.client("client"), world.echo(None));
    let subscription = world.subscribe(&echo, "a", None, "1");
    subscription.set_max(2);
    let delivered = ["x", "y", "z"].map(|payload| world.publish(&client, "a", None, "", payload));
    assert_eq!(delivered, [1, 1, 0]);
    world.turn.finish();
    assert_eq!(world.take_log(), ["inlet: 1 a +x, 1 a +y"]);
    assert!(echo.subscriptions().find(b"1").is_none());
    assert!(!world.gate.unsubscribe(&world.account, &subscription, None), "it is taken out already");
    world.subscribe(&echo, "b", None, "2");
    assert_eq!(world.turn.unsubscribe_all(&echo).len(), 1);
}

/// A closed receiver gets nothing, and another member of its group takes its place.
#[test]
fn a_receiver_is_a_member_of_a_queue_group_like_others() {
    let mut world = World::new();
    let (client, echo) = (world.client("client"), world.echo(None));
    world.subscribe(&client, "a", Some("q"), "9");
    world.subscribe(&echo, "a", Some("q"), "1");
    for _ in 0..64 {
        assert_eq!(world.publish(&client, "a", None, "", "x"), 1);
    }
    world.turn.finish();
    let log = world.take_log().join("\n");
    let (inside, outside) = (log.matches("1 a +x").count(), log.matches("MSG a 9 1|x|").count());
    assert_eq!(inside + outside, 64);
    assert!(inside > 8 && outside > 8, "{inside} and {outside}");
    echo.close(dialtone_wire::CloseReason::ServerShutdown);
    for _ in 0..8 {
        assert_eq!(world.publish(&client, "a", None, "", "x"), 1);
    }
    world.turn.finish();
    assert_eq!(world.take_log().join("\n").matches("MSG a 9 1|x|").count(), 8);
}

/// The server publishes what it likes, but to no subject that is none. A wildcard is taken literally, as in what clients publish: the API has subjects
/// that end in a filter.
#[test]
fn what_is_emitted_must_have_a_subject() {
    let mut world = World::new();
    let client = world.client("client");
    world.subscribe(&client, ">", None, "9");
    let account = world.account.clone();
    let mut emit = |subject: &[u8]| {
        world.turn.emit(&account, &Message { subject, reply: None, header_bytes: 0, framed: b"x\r\n" })
    };
    assert_eq!([&b"a"[..], b"$SYS.a", b"a..b", b"a b", b"", b"a.*"].map(&mut emit), [1, 1, 0, 0, 0, 1]);
}

/// A message of a stream comes to whoever listens where it is sent, under the subject that it was stored under.
#[test]
fn a_message_of_a_stream_keeps_its_subject() {
    let mut world = World::new();
    let (client, other) = (world.client("client"), world.client("other"));
    let account = world.account.clone();
    let message = |reply| Message { subject: b"orders.1", reply, header_bytes: 0, framed: b"x\r\n" };
    let (stored, unanswered) = (message(Some(b"$JS.ACK.S.C.1.1.1.5.0")), message(None));
    assert!(!world.turn.is_awaited(&account, b"in.5"));
    world.subscribe(&client, "in.*", None, "9");
    assert!(Publish::is_awaited(&mut world.turn, &account, b"in.5"));
    for (to, message, expected) in
        [("in.5", &stored, 1), ("orders.1", &stored, 0), ("in.*", &stored, 0), ("in.5", &unanswered, 0)]
    {
        assert_eq!(world.turn.emit_stored(&account, to.as_bytes(), message), expected, "{to}");
    }
    world.turn.finish();
    assert_eq!(world.take_log(), ["client: MSG orders.1 9 $JS.ACK.S.C.1.1.1.5.0 1|x|"]);
    world.subscribe(&other, "in.5", None, "7");
    assert_eq!(world.turn.emit_stored(&account, b"in.5", &stored), 2);
    world.turn.finish();
    let mut log = world.take_log();
    log.sort();
    assert_eq!(
        log,
        [
            "client: MSG orders.1 9 $JS.ACK.S.C.1.1.1.5.0 1|x|",
            "other: MSG orders.1 7 $JS.ACK.S.C.1.1.1.5.0 1|x|"
        ]
    );
    // What else is published goes as it is.
    assert_eq!(world.turn.emit(&account, &Message { subject: b"in.5", ..stored }), 2);
    world.turn.finish();
    assert!(world.take_log().iter().all(|line| line.contains("MSG in.5 ")));
}

proptest! {
    /// Whatever is published in whatever turns, in whatever sizes: a receiver inside gets what a connection with the same
    /// subscription gets, in the same order.
    #[test]
    fn a_receiver_inside_gets_what_a_connection_gets(
        messages in proptest::collection::vec((0usize..3, 0usize..40_000, any::<bool>()), 1..40),
    ) {
        struct Seen(Mutex<Vec<u8>>);
        impl Sink for Seen {
            fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                slices.iter().for_each(|slice| self.0.lock().extend_from_slice(slice));
                Ok(slices.iter().map(|slice| slice.len()).sum())
            }
        }
        impl Inlet for Seen {
            fn take(&self, batch: &Batch, _: &mut dyn Publish) {
                for received in batch.messages() {
                    let Message { subject, framed, .. } = received.message;
                    let head = format!("MSG {} 1 {}\r\n", String::from_utf8_lossy(subject), framed.len() - 2);
                    self.0.lock().extend_from_slice(&[head.as_bytes(), framed].concat());
                }
            }

            fn account(&self) -> Option<Arc<Account>> {
                None
            }
        }
        let mut world = World::new();
        let (outside, inside) = (Arc::new(Seen(Mutex::default())), Arc::new(Seen(Mutex::default())));
        let publisher = world.client("publisher");
        let connection = Peer::new(
            Basics { pending_bytes_max: 1 << 30, ..world.basics(Kind::default()) },
            Arc::default(), outside.clone(), Box::new(Unheard),
        );
        let receiver = Peer::inside(world.basics(Entry::OF_SERVER.from), Arc::default(), inside.clone());
        connection.set_place(Place { account: Some(world.account.clone()), permissions: None });
        world.subscribe(&connection, "s.*", None, "1");
        world.subscribe(&receiver, "s.*", None, "1");
        for (number, (subject, size, ends)) in messages.into_iter().enumerate() {
            let payload = format!("{number} {}", "x".repeat(size));
            prop_assert_eq!(world.publish(&publisher, &format!("s.{subject}"), None, "", &payload), 2);
            if ends {
                world.turn.finish();
            }
        }
        world.turn.finish();
        prop_assert!(*outside.0.lock() == *inside.0.lock());
    }
}
