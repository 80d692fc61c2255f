//! Clients that sleep. MQTT-SN 1.2 §6.14

use super::*;

/// A client that sleeps, subscribed to `tt` by number 1.
fn asleep(options: Options) -> World {
    let mut world = World::with(options);
    world.connect(A, "c");
    world.subscribe(A, "tt", Qos::AtLeastOnce);
    assert_eq!(world.say(A, Message::Disconnect(Some(600))), ["DISCONNECT"]);
    world
}

fn accept(id: u16) -> Message<'static> {
    Message::PubAck { topic_id: 1, id, code: ReturnCode::Accepted }
}

#[test]
fn what_comes_while_it_sleeps_waits_until_it_asks() {
    let mut world = asleep(Options::default());
    assert!(world.publish("tt", "1", MqttQos::AtMostOnce).is_empty());
    assert!(world.publish("tt", "2", MqttQos::AtLeastOnce).is_empty());
    assert!(world.publish("tt", "3", MqttQos::AtMostOnce).is_empty());
    assert!(world.wait(500).is_empty());
    let told = world.say(A, Message::PingReq("c"));
    assert_eq!(told, ["PUBLISH Registered(1) AtMostOnce 0 1", "PUBLISH Registered(1) AtLeastOnce 1 2"]);
    assert!(world.publish("tt", "4", MqttQos::AtMostOnce).is_empty());
    let told = world.say(A, accept(1));
    assert_eq!(
        told,
        ["PUBLISH Registered(1) AtMostOnce 0 3", "PUBLISH Registered(1) AtMostOnce 0 4", "PINGRESP"]
    );
    assert!(world.wait(800).is_empty(), "its sleep began anew");
    assert_eq!(world.say(A, Message::PingReq("c")), ["PINGRESP"]);
}

#[test]
fn one_that_oversleeps_is_lost() {
    let mut world = asleep(Options::default());
    assert!(world.wait(899).is_empty());
    assert_eq!((world.gateway.connected(), world.gateway.asleep()), (1, 1));
    assert_eq!(world.wait(1), ["DISCONNECT"]);
    assert_eq!((world.gateway.connected(), world.server.connections()), (0, 0));
    assert_eq!(world.gateway.asleep(), 0);
}

#[test]
fn what_is_not_acknowledged_comes_again_when_it_wakes_again() {
    let mut world = asleep(Options::default());
    world.publish("tt", "1", MqttQos::AtLeastOnce);
    assert_eq!(world.say(A, Message::PingReq("c")), ["PUBLISH Registered(1) AtLeastOnce 1 1"]);
    let again = "PUBLISH Registered(1) AtLeastOnce 1 dup 1";
    assert_eq!(world.wait(100), [again; 3], "then it sleeps, as it seems");
    assert_eq!(world.say(A, Message::PingReq("c")), [again]);
    assert_eq!(world.say(A, Message::PingReq("c")), [again], "that was lost");
    assert_eq!(world.say(A, accept(1)), ["PINGRESP"]);
}

#[test]
fn the_steps_of_an_exchange_go_on_after_sleep() {
    let mut world = World::new();
    world.connect(A, "c");
    world.subscribe(A, "tt", Qos::ExactlyOnce);
    assert_eq!(world.publish("tt", "1", MqttQos::ExactlyOnce), ["PUBLISH Registered(1) ExactlyOnce 1 1"]);
    world.say(A, Message::Disconnect(Some(60)));
    assert_eq!(world.say(A, Message::PingReq("c")), ["PUBLISH Registered(1) ExactlyOnce 1 dup 1"]);
    assert_eq!(world.say(A, Message::PubRec(1)), ["PUBREL 1"]);
    world.say(A, Message::Disconnect(Some(60)));
    assert!(world.wait(30).is_empty());
    assert_eq!(world.say(A, Message::PingReq("c")), ["PUBREL 1"]);
    assert_eq!(world.say(A, Message::PubComp(1)), ["PINGRESP"]);
}

#[test]
fn it_may_sleep_longer_wake_up_or_leave() {
    let mut world = asleep(Options::default());
    assert_eq!(world.say(A, Message::Disconnect(Some(6000))), ["DISCONNECT"]);
    assert!(world.wait(8000).is_empty());
    world.publish("tt", "1", MqttQos::AtMostOnce);
    let wakes =
        Message::Connect(Connect { will: false, clean_session: false, keep_alive: 30, client_id: "c" });
    assert_eq!(world.say(A, wakes), ["CONNACK Accepted", "PUBLISH Registered(1) AtMostOnce 0 1"]);
    assert_eq!(world.publish("tt", "2", MqttQos::AtMostOnce), ["PUBLISH Registered(1) AtMostOnce 0 2"]);
    assert_eq!(world.wait(45), ["DISCONNECT"]);
    let mut world = asleep(Options::default());
    world.say(A, Message::Disconnect(None));
    assert_eq!(world.server.connections(), 0);
}

#[test]
fn what_waits_is_bounded_and_the_oldest_goes_first() {
    let mut world = asleep(Options { queue_messages_max: 2, ..Options::default() });
    for payload in ["1", "2", "3", "4"] {
        world.publish("tt", payload, MqttQos::AtMostOnce);
    }
    for payload in ["a", "b", "c", "d", "e", "f"] {
        world.publish("tt", payload, MqttQos::AtLeastOnce);
    }
    let mut told = world.say(A, Message::PingReq("c"));
    for id in 1..=6 {
        told.extend(world.say(A, accept(id)));
        // As many as waited; then those that had no room in the window.
        if told.last().unwrap() == "PINGRESP" {
            told.extend(world.say(A, Message::PingReq("c")));
        }
    }
    let payloads: String =
        told.iter().filter(|line| line.starts_with("PUBLISH")).map(|line| &line[line.len() - 1..]).collect();
    assert_eq!(payloads, "34abcdef");
    let mut world = asleep(Options { queue_bytes_max: 10, ..Options::default() });
    for payload in ["1111", "2222", "33333333333333333"] {
        world.publish("tt", payload, MqttQos::AtMostOnce);
    }
    assert_eq!(world.say(A, Message::PingReq("c")), ["PINGRESP"]);
}

#[test]
fn a_wake_has_an_end_however_much_comes() {
    let mut world = asleep(Options { queue_messages_max: 3, ..Options::default() });
    world.publish("tt", "0", MqttQos::AtLeastOnce);
    let mut told = world.say(A, Message::PingReq("c"));
    for id in 1..=4 {
        told.extend(world.publish("tt", "more", MqttQos::AtLeastOnce));
        told.extend(world.say(A, accept(id)));
    }
    assert_eq!((told.len(), told.last().unwrap().as_str()), (4, "PINGRESP"));
}

#[test]
fn somebody_else_at_its_address_is_not_it() {
    let mut world = asleep(Options::default());
    world.publish("tt", "1", MqttQos::AtMostOnce);
    assert_eq!(world.say(A, Message::PingReq("other")), ["DISCONNECT"]);
    assert_eq!(world.say(2, Message::PingReq("c")), ["2: DISCONNECT"]);
    assert_eq!(world.say(A, Message::PingReq("c")).len(), 2);
}
