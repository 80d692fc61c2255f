//! Those who look at deliveries see receivers inside as they see connections.

use super::world::World;
use dialtone_broker::explain::Listeners;
use dialtone_broker::permission;
use dialtone_broker::trace::{Event, Problem, Trace};
use dialtone_wire::CloseReason;
use std::time::SystemTime;

/// Publishes a traced message to `a` in a world with a receiver that listens there, closed or not. What the trace notes of arrivals,
/// and what happened.
fn trace(only: bool, is_closed: bool) -> (Vec<Option<Problem>>, Vec<String>) {
    let mut world = World::new();
    let (client, echo) = (world.client("client"), world.echo(None));
    world.subscribe(&echo, "a", None, "1");
    if is_closed {
        echo.close(CloseReason::ServerShutdown);
    }
    let destination = permission::trace(&client, None, b"trace").expect("allowed");
    world.turn.begin_trace(Trace::new(&destination, only, world.account.id, SystemTime::now));
    world.publish(&client, "a", None, "", "x");
    let trace = world.turn.end_trace().expect("it was begun");
    world.turn.finish();
    let arrivals = trace.events().iter().map(|(_, event)| match event {
        Event::Arrival(arrival) => {
            assert_eq!((arrival.peer.id, &*arrival.filter), (echo.id, &b"a"[..]));
            arrival.problem
        }
        other => panic!("{other:?}"),
    });
    (arrivals.collect(), world.take_log())
}

#[test]
fn a_trace_notes_a_receiver_inside() {
    assert_eq!(trace(false, false), (vec![None], vec!["inlet: 1 a +x".to_owned()]));
    assert_eq!(trace(true, false), (vec![None], vec![]), "it is only traced");
    assert_eq!(trace(false, true), (vec![Some(Problem::Closed)], vec![]));
}

/// What receivers publish is no part of the trace of what they take, even if they take it while that is being published.
#[test]
fn what_a_receiver_publishes_is_not_traced() {
    let mut world = World::new();
    let (client, echo) = (world.client("client"), world.echo(Some(b"b")));
    world.subscribe(&echo, "a", None, "1");
    world.subscribe(&client, "b", None, "2");
    let destination = permission::trace(&client, None, b"trace").expect("allowed");
    // So much is staged that it is written in the midst of the turn, with the trace under way.
    let large = "x".repeat(1 << 20);
    world.turn.begin_trace(Trace::new(&destination, false, world.account.id, SystemTime::now));
    world.publish(&client, "a", None, "", &large);
    assert_eq!(world.take_log().len(), 2, "it was taken, and the answer written");
    let trace = world.turn.end_trace().expect("it goes on");
    assert_eq!(trace.events().len(), 1);
}

#[test]
fn explain_counts_receivers_inside() {
    let mut world = World::new();
    let (client, echo) = (world.client("client"), world.echo(None));
    world.subscribe(&client, "a", Some("q"), "1");
    world.subscribe(&echo, "a", Some("q"), "1");
    world.subscribe(&echo, "*", None, "2");
    let listeners = Listeners::of(&world.account, b"a", dialtone_broker::kind::Entry::OF_SERVER);
    let groups: Vec<_> = listeners.groups.iter().map(|(name, members)| (&**name, *members)).collect();
    assert_eq!((listeners.plain, groups), (1, vec![(&b"q"[..], 2)]));
}

/// A receiver that is closed after a message was staged for it does not take it, as a connection would not be written to.
#[test]
fn a_receiver_that_is_closed_in_the_turn_takes_nothing() {
    let mut world = World::new();
    let (client, echo) = (world.client("client"), world.echo(None));
    world.subscribe(&client, "a", None, "9");
    world.subscribe(&echo, "a", None, "1");
    assert_eq!(world.publish(&client, "a", None, "", "x"), 2);
    echo.close(CloseReason::ServerShutdown);
    assert!(!world.turn.finish(), "nothing waits for who is closed");
    assert_eq!(world.take_log(), ["client: MSG a 9 1|x|"]);
}
