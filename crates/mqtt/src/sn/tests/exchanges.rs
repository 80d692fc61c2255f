//! Messages of the specification, one by one. MQTT-SN 1.2 §6

use super::*;
use dialtone_wire::mqtt_sn::Unsubscribe;

#[test]
fn a_gateway_is_found() {
    let mut world = World::with(Options { gateway_id: 5, ..Options::default() });
    assert_eq!(world.say(A, Message::SearchGw(1)), ["GWINFO 5"]);
    let interval = Some(Duration::from_secs(900));
    let mut gateway =
        Gateway::new(world.now, Options { advertise_interval: interval, ..Options::default() }, [0; 2]);
    let mut told = Vec::new();
    for turn in 0..3 {
        let at = gateway.deadline().unwrap();
        assert_eq!(at, world.now + Duration::from_secs(turn * 900));
        gateway.expire(at, &mut |action| told.push(format!("{action:?}")));
    }
    assert_eq!(told, ["Broadcast([5, 0, 1, 3, 132])"; 3]);
}

#[test]
fn a_topic_is_registered_and_published_to() {
    let mut world = World::new();
    world.connect(A, "c");
    let register = Message::Register { topic_id: 0, id: 3, topic: "a/b" };
    assert_eq!(world.say(A, register), ["REGACK 1 3 Accepted"]);
    assert_eq!(world.say(A, register), ["REGACK 1 3 Accepted"], "it was lost");
    let registered = Topic::Registered(1);
    assert!(world.say(A, publish(registered, Qos::AtMostOnce, 0, b"0")).is_empty());
    assert_eq!(world.say(A, publish(registered, Qos::AtLeastOnce, 4, b"1")), ["PUBACK 1 4 Accepted"]);
    assert_eq!(world.say(A, publish(registered, Qos::ExactlyOnce, 5, b"2")), ["PUBREC 5"]);
    assert_eq!(world.say(A, publish(registered, Qos::ExactlyOnce, 5, b"2")), ["PUBREC 5"], "it was lost");
    assert_eq!(world.say(A, Message::PubRel(5)), ["PUBCOMP 5"]);
    assert_eq!(world.say(A, Message::PubRel(5)), ["PUBCOMP 5"], "it was lost");
    assert!(world.say(A, publish(Topic::Short(*b"tt"), Qos::AtMostOnce, 0, b"3")).is_empty());
    assert!(world.say(A, publish(Topic::Predefined(7), Qos::AtMostOnce, 0, b"4")).is_empty());
    let published: Vec<_> =
        world.server.published.iter().map(|stored| (&*stored.topic, &*stored.payload)).collect();
    let expected: [(&str, &[u8]); 5] =
        [("a/b", b"0"), ("a/b", b"1"), ("a/b", b"2"), ("tt", b"3"), ("predefined/topic", b"4")];
    assert_eq!(published, expected);
}

#[test]
fn what_cannot_be_published_is_refused() {
    let mut world = World::with(Options { topics_max: 1, ..Options::default() });
    world.connect(A, "c");
    let unknown = publish(Topic::Registered(9), Qos::AtMostOnce, 0, b"x");
    assert_eq!(world.say(A, unknown), ["PUBACK 9 0 InvalidTopicId"]);
    let unknown = publish(Topic::Predefined(9), Qos::AtLeastOnce, 4, b"x");
    assert_eq!(world.say(A, unknown), ["PUBACK 9 4 InvalidTopicId"]);
    let unnumbered = publish(Topic::Predefined(7), Qos::AtLeastOnce, 0, b"x");
    assert_eq!(world.say(A, unnumbered), ["PUBACK 7 0 NotSupported"]);
    world.say(A, Message::Register { topic_id: 0, id: 3, topic: "a" });
    let another = Message::Register { topic_id: 0, id: 4, topic: "b" };
    assert_eq!(world.say(A, another), ["REGACK 0 4 Congestion"]);
    assert_eq!(
        world.say(A, subscribe(Filter::Name("c"), Qos::AtMostOnce)),
        ["SUBACK AtMostOnce 0 9 Congestion"]
    );
    let predefined = subscribe(Filter::Predefined(8), Qos::AtMostOnce);
    assert_eq!(world.say(A, predefined), ["SUBACK AtMostOnce 0 9 InvalidTopicId"]);
    let filter = subscribe(Filter::Name("a/#/b"), Qos::AtMostOnce);
    assert_eq!(world.say(A, filter), ["SUBACK AtMostOnce 0 9 NotSupported"]);
    assert!(world.server.published.is_empty());
}

#[test]
fn subscriptions_by_name_by_number_and_short() {
    let mut world = World::new();
    world.connect(A, "c");
    assert_eq!(world.subscribe(A, "a/b", Qos::AtMostOnce), "SUBACK AtMostOnce 1 9 Accepted");
    assert_eq!(world.publish("a/b", "1", MqttQos::AtMostOnce), ["PUBLISH Registered(1) AtMostOnce 0 1"]);
    let told = world.say(A, subscribe(Filter::Predefined(7), Qos::AtMostOnce));
    assert_eq!(told, ["SUBACK AtMostOnce 7 9 Accepted"]);
    let told = world.publish("predefined/topic", "2", MqttQos::AtMostOnce);
    assert_eq!(told, ["PUBLISH Predefined(7) AtMostOnce 0 2"]);
    assert_eq!(
        world.say(A, subscribe(Filter::Short(*b"tt"), Qos::AtMostOnce)),
        ["SUBACK AtMostOnce 0 9 Accepted"]
    );
    assert_eq!(world.publish("tt", "3", MqttQos::AtMostOnce), ["PUBLISH Short([116, 116]) AtMostOnce 0 3"]);
    for filter in
        [Filter::Name("a/b"), Filter::Predefined(7), Filter::Short(*b"tt"), Filter::Name("not/there")]
    {
        assert_eq!(world.say(A, Message::Unsubscribe(Unsubscribe { id: 8, filter })), ["UNSUBACK 8"]);
    }
    for topic in ["a/b", "predefined/topic", "tt"] {
        assert!(world.publish(topic, "4", MqttQos::AtMostOnce).is_empty(), "{topic}");
    }
}

#[test]
fn a_topic_of_a_wildcard_is_registered_before_its_first_message() {
    let mut world = World::new();
    world.connect(A, "c");
    assert_eq!(world.subscribe(A, "a/#", Qos::AtMostOnce), "SUBACK AtMostOnce 0 9 Accepted");
    assert_eq!(world.publish("a/x", "1", MqttQos::AtMostOnce), ["REGISTER 1 a/x"]);
    assert!(world.publish("a/x", "2", MqttQos::AtMostOnce).is_empty(), "the first is to be known");
    let told = world.wait(10);
    assert_eq!(told, ["REGISTER 1 a/x"]);
    world.publish("a/y", "3", MqttQos::AtMostOnce);
    world.gateway(|_, _, _| {});
    let register = world.register_again();
    let told = world.acknowledge_register(A, &register);
    assert_eq!(told[..2], ["PUBLISH Registered(1) AtMostOnce 0 1", "PUBLISH Registered(1) AtMostOnce 0 2"]);
    assert_eq!(told[2..], ["REGISTER 2 a/y"]);
}

impl World {
    /// Waits until REGISTER comes again, and hands it out.
    fn register_again(&mut self) -> Vec<u8> {
        let at = self.gateway.deadline().unwrap();
        self.now = at;
        self.gateway(|gateway, now, out| gateway.expire(now, out));
        std::mem::take(&mut self.sent).pop().unwrap().1
    }
}

#[test]
fn messages_to_a_client_are_sent_again_until_they_are_acknowledged() {
    let mut world = World::new();
    world.connect(A, "c");
    world.subscribe(A, "tt", Qos::ExactlyOnce);
    let told = world.publish("tt", "1", MqttQos::AtLeastOnce);
    assert_eq!(told, ["PUBLISH Registered(1) AtLeastOnce 1 1"]);
    assert!(world.publish("tt", "2", MqttQos::ExactlyOnce).is_empty(), "one at a time");
    assert_eq!(world.wait(10), ["PUBLISH Registered(1) AtLeastOnce 1 dup 1"]);
    let ack = Message::PubAck { topic_id: 1, id: 1, code: ReturnCode::Accepted };
    assert_eq!(world.say(A, ack), ["PUBLISH Registered(1) ExactlyOnce 2 2"]);
    assert!(world.say(A, ack).is_empty(), "twice");
    assert_eq!(world.wait(10), ["PUBLISH Registered(1) ExactlyOnce 2 dup 2"]);
    assert_eq!(world.say(A, Message::PubRec(2)), ["PUBREL 2"]);
    assert_eq!(world.say(A, Message::PubRec(2)), ["PUBREL 2"]);
    assert_eq!(world.wait(10), ["PUBREL 2"]);
    assert!(world.say(A, Message::PubComp(2)).is_empty());
    assert!(world.say(A, Message::PubComp(2)).is_empty());
    assert_eq!(world.publish("tt", "3", MqttQos::AtMostOnce), ["PUBLISH Registered(1) AtMostOnce 0 3"]);
    assert!(world.wait(20).is_empty());
}

#[test]
fn a_client_that_does_not_know_a_topic_is_told_once_more() {
    let mut world = World::new();
    world.connect(A, "c");
    world.subscribe(A, "tt", Qos::AtLeastOnce);
    world.publish("tt", "1", MqttQos::AtLeastOnce);
    let unknown = Message::PubAck { topic_id: 1, id: 1, code: ReturnCode::InvalidTopicId };
    assert_eq!(world.say(A, unknown), ["REGISTER 1 tt"]);
    let register = world.register_again();
    assert_eq!(world.acknowledge_register(A, &register), ["PUBLISH Registered(1) AtLeastOnce 1 dup 1"]);
    let refused = Message::PubAck { topic_id: 1, id: 1, code: ReturnCode::NotSupported };
    assert!(world.say(A, refused).is_empty());
    assert_eq!(world.publish("tt", "2", MqttQos::AtLeastOnce), ["PUBLISH Registered(1) AtLeastOnce 2 2"]);
}

#[test]
fn a_client_that_does_not_answer_is_lost() {
    let mut world = World::new();
    world.connect(A, "c");
    world.subscribe(A, "tt", Qos::AtLeastOnce);
    world.publish("tt", "1", MqttQos::AtLeastOnce);
    let again = "PUBLISH Registered(1) AtLeastOnce 1 dup 1";
    assert_eq!(world.wait(60), [again, again, again, "DISCONNECT"]);
    assert_eq!((world.gateway.connected(), world.server.connections()), (0, 0));
}

#[test]
fn a_client_that_is_silent_is_lost_and_one_that_pings_is_not() {
    let mut world = World::new();
    world.connect(A, "c");
    for _ in 0..5 {
        assert!(world.wait(80).is_empty());
        assert_eq!(world.say(A, Message::PingReq("")), ["PINGRESP"]);
    }
    assert_eq!(world.wait(90), ["DISCONNECT"]);
    assert_eq!((world.gateway.connected(), world.server.connections()), (0, 0));
    let forever = Connect { will: false, clean_session: true, keep_alive: 0, client_id: "c" };
    assert_eq!(world.say(A, Message::Connect(forever)), ["CONNACK Accepted"]);
    assert!(world.wait(1_000_000).is_empty());
}

#[test]
fn a_client_leaves_and_its_goodbye_is_answered_as_often_as_it_comes() {
    let mut world = World::new();
    world.connect(A, "c");
    assert_eq!(world.say(A, Message::Disconnect(None)), ["DISCONNECT"]);
    assert_eq!(world.say(A, Message::Disconnect(None)), ["DISCONNECT"]);
    assert_eq!(world.say(A, Message::PingReq("")), ["DISCONNECT"]);
    assert_eq!(
        (world.gateway.connected(), world.gateway.unconnected(), world.server.connections()),
        (0, 1, 0)
    );
    assert!(world.wait(60).is_empty());
    assert_eq!(world.gateway.unconnected(), 0);
    assert!(
        world.say(A, Message::Disconnect(None)).is_empty(),
        "two gateways would answer each other for ever"
    );
}

#[test]
fn a_connect_that_comes_again_is_answered_and_another_begins_anew() {
    let mut world = World::new();
    world.connect(A, "c");
    assert_eq!(world.say(A, connect("c")), ["CONNACK Accepted"]);
    world.subscribe(A, "tt", Qos::AtMostOnce);
    assert_eq!(world.say(A, connect("c")), ["CONNACK Accepted"], "a copy of the first");
    assert_eq!(world.publish("tt", "0", MqttQos::AtMostOnce).len(), 1);
    world.wait(1);
    assert_eq!(world.say(A, connect("c")), ["CONNACK Accepted"]);
    assert!(world.publish("tt", "1", MqttQos::AtMostOnce).is_empty(), "the session was a clean one");
    assert_eq!((world.gateway.connected(), world.server.connections()), (1, 1));
}

#[test]
fn a_session_goes_on() {
    let mut world = World::new();
    let keeps =
        Message::Connect(Connect { will: false, clean_session: false, keep_alive: 60, client_id: "c" });
    assert_eq!(world.say(A, keeps), ["CONNACK Accepted"]);
    world.subscribe(A, "a/topic", Qos::AtLeastOnce);
    assert_eq!(
        world.publish("a/topic", "1", MqttQos::AtLeastOnce),
        ["PUBLISH Registered(1) AtLeastOnce 1 1"]
    );
    world.say(A, Message::Disconnect(None));
    assert_eq!(world.say(2, keeps), ["2: CONNACK Accepted", "2: REGISTER 1 a/topic"]);
    let register = world.register_again();
    assert_eq!(world.acknowledge_register(2, &register), ["2: PUBLISH Registered(1) AtLeastOnce 1 dup 1"]);
}

#[test]
fn who_is_not_let_in_is_told() {
    let mut world = World::new();
    world.server.banned = Some("bad");
    assert_eq!(world.say(A, connect("bad")), ["CONNACK NotSupported"]);
    let unnamed = Connect { will: false, clean_session: false, keep_alive: 0, client_id: "" };
    assert_eq!(world.say(A, Message::Connect(unnamed)), ["CONNACK NotSupported"]);
    assert_eq!(world.bytes(A, b"\x07\x04\x04\x02\x00\x3Cc"), ["CONNACK NotSupported"]);
    assert_eq!(world.gateway.connected() + world.gateway.unconnected(), 0);
    world.server.is_mute = true;
    assert!(world.say(A, connect("c")).is_empty());
    assert_eq!(world.wait(30), ["CONNACK Congestion"]);
    assert_eq!(world.gateway.connected(), 0);
}

#[test]
fn a_client_whose_connection_the_server_closes_is_told() {
    let mut world = World::new();
    world.connect(A, "c");
    let link = world.server.break_connection("c").unwrap();
    world.gateway(|gateway, now, out| gateway.server_closed(now, link, out));
    assert_eq!(world.told(), ["DISCONNECT"]);
    // The same client elsewhere takes its place at the server.
    world.connect(A, "c");
    let told = world.say(2, connect("c"));
    assert_eq!(told, ["DISCONNECT", "2: CONNACK Accepted"]);
}

#[test]
fn clients_behind_a_forwarder_are_told_apart() {
    let mut world = World::new();
    let connect = b"\x07\x04\x04\x01\x00\x3Cc";
    assert_eq!(world.bytes(A, &[b"\x05\xFE\x01n1", &connect[..]].concat()), ["CONNACK Accepted @n1"]);
    assert_eq!(world.bytes(A, b"\x05\xFE\x01n1\x02\x16"), ["PINGRESP @n1"]);
    assert_eq!(world.bytes(A, b"\x05\xFE\x01n2\x02\x16"), ["DISCONNECT @n2"]);
    assert_eq!(world.bytes(A, b"\x02\x16"), ["DISCONNECT"]);
}

#[test]
fn messages_of_clients_that_do_not_connect() {
    let mut world = World::new();
    for (topic, payload) in
        [(Topic::Predefined(7), b"1"), (Topic::Short(*b"tt"), b"2"), (Topic::Registered(1), b"3")]
    {
        assert!(world.say(A, publish(topic, Qos::Unconnected, 0, payload)).is_empty());
    }
    assert!(world.say(2, publish(Topic::Predefined(8), Qos::Unconnected, 0, b"4")).is_empty());
    let published: Vec<_> = world.server.published.iter().map(|stored| &*stored.topic).collect();
    assert_eq!(published, ["predefined/topic", "tt"]);
    assert_eq!((world.server.connections(), world.gateway.unconnected()), (1, 0), "one for all of them");
    // What is connected may, too.
    world.connect(A, "c");
    world.say(A, publish(Topic::Short(*b"tt"), Qos::Unconnected, 0, b"5"));
    assert_eq!(world.server.published.len(), 3);
    let link = world.server.break_connection("").unwrap();
    world.gateway(|gateway, now, out| gateway.server_closed(now, link, out));
    world.say(2, publish(Topic::Short(*b"tt"), Qos::Unconnected, 0, b"6"));
    assert_eq!(world.server.published.len(), 3, "not at once again");
    world.wait(10);
    world.say(2, publish(Topic::Short(*b"tt"), Qos::Unconnected, 0, b"7"));
    assert_eq!(world.server.published.len(), 4);
}

#[test]
fn a_late_copy_of_a_message_that_is_over_is_not_published_again() {
    let mut world = World::new();
    world.connect(A, "c");
    let message = |dup, payload| {
        let (qos, topic) = (Qos::ExactlyOnce, Topic::Short(*b"tt"));
        Message::Publish(Publish { dup, qos, retain: false, topic, id: 1, payload })
    };
    let finish = |world: &mut World, message| {
        assert_eq!(world.say(A, message), ["PUBREC 1"]);
        assert_eq!(world.say(A, Message::PubRel(1)), ["PUBCOMP 1"]);
        world.server.published.len()
    };
    assert_eq!(finish(&mut world, message(false, b"x")), 1);
    assert_eq!(finish(&mut world, message(false, b"x")), 1, "a copy at once");
    assert_eq!(finish(&mut world, message(true, b"x")), 1, "sent again");
    assert_eq!(finish(&mut world, message(true, b"y")), 2, "another message");
    world.wait(1);
    assert_eq!(finish(&mut world, message(false, b"y")), 3, "the same once more");
    world.wait(20);
    assert_eq!(finish(&mut world, message(true, b"y")), 4);
}
