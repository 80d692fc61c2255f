//! What anybody may send: nothing grows, and nobody is told more than he sent.

use super::*;
use proptest::prelude::*;

#[test]
fn who_is_not_connected_is_told_to_connect_by_no_more_bytes_than_he_sent() {
    for message in [
        Message::Register { topic_id: 0, id: 1, topic: "t" },
        publish(Topic::Registered(1), Qos::AtLeastOnce, 1, b""),
        Message::PubRel(1),
        subscribe(Filter::Name("t"), Qos::AtMostOnce),
        Message::PingReq(""),
        Message::WillTopicUpd(None),
        Message::WillMsgUpd(b""),
    ] {
        assert_eq!(World::new().say(A, message), ["DISCONNECT"], "{message:?}");
    }
    // What a gateway says, and what answers it.
    for message in [
        Message::Disconnect(None),
        Message::Disconnect(Some(9)),
        Message::PingResp,
        Message::ConnAck(ReturnCode::Accepted),
        Message::PubAck { topic_id: 0, id: 1, code: ReturnCode::InvalidTopicId },
        Message::Advertise { gateway: 1, seconds: 1 },
        Message::GwInfo(1, b""),
        Message::WillMsg(b"x"),
    ] {
        assert!(World::new().say(A, message).is_empty(), "{message:?}");
    }
}

#[test]
fn answers_to_the_unknown_are_counted() {
    let mut world = World::with(Options { answers_per_second_max: 10, ..Options::default() });
    let told =
        |world: &mut World| (0..30).map(|port| world.say(port, Message::SearchGw(0)).len()).sum::<usize>();
    assert_eq!(told(&mut world), 10);
    assert_eq!(told(&mut world), 0);
    world.now += Duration::from_secs(1);
    assert_eq!(told(&mut world), 10);
    assert_eq!(world.say(A, connect("c")), ["CONNACK Accepted"], "connecting is something else");
}

#[test]
fn what_is_kept_of_the_unknown_is_bounded() {
    let mut world = World::with(Options { unconnected_max: 100, clients_max: 50, ..Options::default() });
    for port in 2..10_000 {
        let connect = Connect { will: true, clean_session: true, keep_alive: 0, client_id: "c" };
        world.say(port, Message::Connect(connect));
    }
    assert_eq!((world.gateway.unconnected(), world.server.connections()), (100, 0));
    // The newest are there still.
    assert_eq!(world.say(9_999, Message::WillTopic(None)), ["9999: CONNACK Accepted"]);
    for port in 10_001..10_100 {
        world.say(port, connect(&port.to_string()));
    }
    assert_eq!((world.gateway.connected(), world.server.connections()), (50, 50));
    assert_eq!(world.say(A, connect("more")), ["CONNACK Congestion"]);
    world.say(10_001, Message::Disconnect(None));
    assert_eq!(world.say(A, connect("more")), ["CONNACK Accepted"]);
    world.wait(60);
    assert_eq!(world.gateway.unconnected(), 0);
}

/// Whoever gives another's address as his own cannot have him flooded: without the number that only the address was told, little is sent there.
#[test]
fn an_address_that_shows_nothing_gets_little() {
    let mut world = World::new();
    world.connect(A, "c");
    world.subscribe(A, "some/topic", Qos::AtMostOnce);
    let payload = "x".repeat(200);
    let bytes_sent = |world: &mut World| {
        let bytes: usize = world.sent.iter().map(|(_, bytes)| bytes.len()).sum();
        world.sent.clear();
        bytes
    };
    let mut bytes = 0;
    for _ in 0..50 {
        let mut answers = Vec::new();
        world.server.publish(published("some/topic", payload.as_bytes(), MqttQos::AtMostOnce), &mut answers);
        for (link, answer) in answers {
            world.gateway(|gateway, now, out| gateway.server(now, link, &answer.unwrap(), out));
        }
        bytes += bytes_sent(&mut world);
    }
    assert!(bytes > 0 && bytes < 100, "{bytes} bytes");
    // REGACK with a number that was made up changes nothing, the right one opens the way.
    for id in 0..100 {
        world.say(A, Message::RegAck { topic_id: 1, id, code: ReturnCode::Accepted });
    }
    assert_eq!(bytes_sent(&mut world), 0);
    let register = {
        world.now = world.gateway.deadline().unwrap();
        world.gateway(|gateway, now, out| gateway.expire(now, out));
        std::mem::take(&mut world.sent).pop().unwrap().1
    };
    assert_eq!(world.acknowledge_register(A, &register).len(), 50);
    assert_eq!(world.publish("some/topic", &payload, MqttQos::AtMostOnce).len(), 1);
}

proptest! {
    /// Whatever comes from an address that has not connected, the answer is no longer.
    #[test]
    fn an_answer_is_no_longer_than_what_came(
        first in any::<u8>(),
        kind in prop_oneof![0_u8..0x1E, Just(0xFE)],
        body in proptest::collection::vec(prop_oneof![0_u8..8, any::<u8>()], 0..40),
    ) {
        let mut world = World::new();
        let lengths = [body.len() as u8 + 2, first];
        for length in lengths {
            let bytes = [&[length, kind][..], &body].concat();
            world.gateway(|gateway, now, out| gateway.datagram(now, address(A), None, &bytes, out));
            let told: usize = std::mem::take(&mut world.sent).iter().map(|(_, bytes)| bytes.len()).sum();
            prop_assert!(told <= bytes.len(), "{} bytes to {}", told, bytes.len());
        }
    }

    /// No sequence of messages makes the gateway fail, or send a packet that ends the connection.
    #[test]
    fn any_messages_are_taken(
        messages in proptest::collection::vec(
            (0_u16..3, 0_u8..0x1E, proptest::collection::vec(prop_oneof![0_u8..4, b'a'..=b'c', any::<u8>()], 0..12), 0_u64..40), 0..60),
    ) {
        let mut world = World::with(Options { topics_max: 3, queue_messages_max: 3, ..Options::default() });
        for (from, kind, body, seconds) in messages {
            let connect = [0x07, 0x04, 0x04, 0x01, 0x00, 0x3C, b'c' + from as u8];
            if kind == 3 {
                world.bytes(from, &connect);
            }
            world.bytes(from, &[&[body.len() as u8 + 2, kind][..], &body].concat());
            world.publish("a", "x", MqttQos::ExactlyOnce);
            world.wait(seconds);
        }
        prop_assert!(world.gateway.connected() <= 3);
    }
}
