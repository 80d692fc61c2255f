//! Wills. MQTT-SN 1.2 §6.3, §6.4

use super::*;
use dialtone_wire::mqtt_sn::WillTopic;

const WITH_WILL: Message<'static> =
    Message::Connect(Connect { will: true, clean_session: true, keep_alive: 60, client_id: "c" });
const TOPIC: Message<'static> =
    Message::WillTopic(Some(WillTopic { qos: Qos::ExactlyOnce, retain: false, topic: "gone" }));

fn with_will() -> World {
    let mut world = World::new();
    assert_eq!(world.say(A, WITH_WILL), ["WILLTOPICREQ"]);
    assert_eq!(world.say(A, TOPIC), ["WILLMSGREQ"]);
    assert_eq!(world.say(A, Message::WillMsg(b"away")), ["CONNACK Accepted"]);
    world
}

#[track_caller]
fn check_published(world: &World, expected: &[(&str, &str, MqttQos)]) {
    let published: Vec<_> = world
        .server
        .published
        .iter()
        .map(|stored| (&*stored.topic, std::str::from_utf8(&stored.payload).unwrap(), stored.qos))
        .collect();
    assert_eq!(published, expected);
}

#[test]
fn the_dialogue_goes_on_whatever_of_it_is_lost() {
    let mut world = World::new();
    assert_eq!(world.say(A, WITH_WILL), ["WILLTOPICREQ"]);
    assert_eq!(world.say(A, WITH_WILL), ["WILLTOPICREQ"]);
    assert_eq!(world.say(A, TOPIC), ["WILLMSGREQ"]);
    assert_eq!(world.say(A, TOPIC), ["WILLMSGREQ"]);
    assert_eq!(world.say(A, WITH_WILL), ["WILLMSGREQ"]);
    assert_eq!((world.gateway.connected(), world.gateway.unconnected()), (0, 1));
    assert_eq!(world.say(A, Message::WillMsg(b"")), ["CONNACK Accepted"]);
    assert_eq!((world.gateway.connected(), world.gateway.unconnected()), (1, 0));
    assert_eq!(world.say(2, WITH_WILL), ["2: WILLTOPICREQ"]);
    assert_eq!(
        world.say(2, Message::WillTopic(None)),
        ["DISCONNECT", "2: CONNACK Accepted"],
        "without one after all"
    );
    assert_eq!(world.say(3, WITH_WILL), ["3: WILLTOPICREQ"]);
    assert!(world.wait(30).is_empty());
    assert_eq!(world.gateway.unconnected(), 0, "it never answered");
}

#[test]
fn a_client_that_is_lost_leaves_its_will_and_one_that_leaves_does_not() {
    let mut world = with_will();
    world.wait(90);
    check_published(&world, &[("gone", "away", MqttQos::ExactlyOnce)]);
    assert_eq!(world.server.connections(), 0);
    let mut world = with_will();
    world.say(A, Message::Disconnect(None));
    world.wait(90);
    check_published(&world, &[]);
}

#[test]
fn a_will_is_published_when_another_takes_the_place_or_the_server_closes() {
    let mut world = with_will();
    world.say(2, connect("c"));
    check_published(&world, &[("gone", "away", MqttQos::ExactlyOnce)]);
    let mut world = with_will();
    world.say(A, connect("other"));
    check_published(&world, &[("gone", "away", MqttQos::ExactlyOnce)]);
    let mut world = with_will();
    let link = world.server.break_connection("c").unwrap();
    world.gateway(|gateway, now, out| gateway.server_closed(now, link, out));
    check_published(&world, &[("gone", "away", MqttQos::ExactlyOnce)]);
}

#[test]
fn a_will_may_be_changed_and_taken_back() {
    let mut world = with_will();
    let topic = WillTopic { qos: Qos::AtMostOnce, retain: false, topic: "other" };
    assert_eq!(world.say(A, Message::WillTopicUpd(Some(topic))), ["WILLTOPICRESP Accepted"]);
    assert_eq!(world.say(A, Message::WillMsgUpd(b"new")), ["WILLMSGRESP Accepted"]);
    world.wait(90);
    check_published(&world, &[("other", "new", MqttQos::AtMostOnce)]);
    let mut world = with_will();
    assert_eq!(world.say(A, Message::WillTopicUpd(None)), ["WILLTOPICRESP Accepted"]);
    world.wait(90);
    check_published(&world, &[]);
}

#[test]
fn a_session_that_goes_on_keeps_its_will() {
    let mut world = World::new();
    let keeps =
        |will| Message::Connect(Connect { will, clean_session: false, keep_alive: 60, client_id: "c" });
    world.say(A, keeps(true));
    world.say(A, TOPIC);
    world.say(A, Message::WillMsg(b"away"));
    world.say(A, Message::Disconnect(None));
    assert_eq!(world.say(A, keeps(false)), ["CONNACK Accepted"]);
    world.wait(90);
    check_published(&world, &[("gone", "away", MqttQos::ExactlyOnce)]);
}

#[test]
fn many_wills_are_published_some_at_a_time() {
    let mut world = World::new();
    for port in 10..610 {
        let client_id = port.to_string();
        let connect = Connect { will: true, clean_session: true, keep_alive: 60, client_id: &client_id };
        world.say(port, Message::Connect(connect));
        world.say(port, TOPIC);
        world.say(port, Message::WillMsg(client_id.as_bytes()));
    }
    assert_eq!(world.gateway.connected(), 600);
    world.server.is_mute = true;
    world.wait(90);
    // Each takes up to ten seconds, and no more than 256 are under way.
    world.wait(10);
    world.server.is_mute = false;
    world.wait(20);
    assert_eq!(world.server.published.len(), 600 - 2 * 256);
    assert_eq!(world.gateway.deadline(), None);
}

/// Its will is published as its user, and another user at its address is another client.
#[test]
fn a_client_and_its_will_are_the_user_that_it_is_found_to_be() {
    let mut options = Options::default();
    let user = std::sync::Arc::from("meters");
    options.identities.0.push(Identity { client_id: Some("m-*".into()), network: None, user });
    let mut world = World::with(options);
    let with_will = |client_id| {
        let connect = Connect { will: true, clean_session: true, keep_alive: 60, client_id };
        [Message::Connect(connect), TOPIC, Message::WillMsg(b"away")]
    };
    for message in with_will("m-1") {
        world.say(A, message);
    }
    world.wait(90);
    let came = |world: &mut World| {
        let came = std::mem::take(&mut world.server.came);
        came.into_iter().map(|(id, user)| format!("{id}:{}", user.unwrap_or_default())).collect::<Vec<_>>()
    };
    assert_eq!(came(&mut world), ["m-1:meters", ":meters"]);
    for message in with_will("x") {
        world.say_as(Some("shown"), message);
    }
    assert_eq!(world.say_as(Some("shown"), Message::PingReq("")), ["PINGRESP"]);
    assert_eq!(world.say_as(Some("other"), Message::PingReq("")), ["DISCONNECT"], "not its client");
    assert_eq!(came(&mut world), ["x:shown", ":shown"]);
    assert_eq!((world.gateway.connected(), world.server.published.len()), (0, 2));
    assert_eq!(world.say_as(Some("other"), connect("m-2")), ["CONNACK Accepted"]);
    assert_eq!(came(&mut world), ["m-2:other"]);
}
