//! Messages as they stand in datagrams, what is none, and random ones.

use super::fuzzed::bytes_hold;
use super::*;
use proptest::prelude::*;

fn plain(message: Message<'_>) -> Datagram<'_> {
    Datagram { forwarder: None, message }
}

#[track_caller]
fn check(message: Message<'_>, bytes: &[u8]) {
    let mut out = Vec::new();
    encode(&mut out, &plain(message)).unwrap();
    assert_eq!(out.escape_ascii().to_string(), bytes.escape_ascii().to_string());
    assert_eq!(parse(bytes), Ok(plain(message)));
    bytes_hold(bytes);
}

/// MQTT-SN 1.2 §5.4, message by message.
#[test]
fn messages_are_these_bytes() {
    use ReturnCode as R;
    check(Message::Advertise { gateway: 7, seconds: 900 }, b"\x05\x00\x07\x03\x84");
    check(Message::SearchGw(1), b"\x03\x01\x01");
    check(Message::GwInfo(7, b""), b"\x03\x02\x07");
    check(Message::GwInfo(7, b"\x0A\x01"), b"\x05\x02\x07\x0A\x01");
    let connect = Connect { will: false, clean_session: true, keep_alive: 60, client_id: "c1" };
    check(Message::Connect(connect), b"\x08\x04\x04\x01\x00\x3Cc1");
    let connect = Connect { will: true, clean_session: false, ..connect };
    check(Message::Connect(connect), b"\x08\x04\x08\x01\x00\x3Cc1");
    check(Message::ConnAck(R::Congestion), b"\x03\x05\x01");
    check(Message::WillTopicReq, b"\x02\x06");
    let will = WillTopic { qos: Qos::AtLeastOnce, retain: true, topic: "w" };
    check(Message::WillTopic(Some(will)), b"\x04\x07\x30w");
    check(Message::WillTopic(None), b"\x02\x07");
    check(Message::WillMsgReq, b"\x02\x08");
    check(Message::WillMsg(b"gone"), b"\x06\x09gone");
    check(Message::Register { topic_id: 0, id: 5, topic: "a/b" }, b"\x09\x0A\x00\x00\x00\x05a/b");
    check(Message::RegAck { topic_id: 2, id: 5, code: R::Accepted }, b"\x07\x0B\x00\x02\x00\x05\x00");
    let publish = Publish {
        dup: true,
        qos: Qos::ExactlyOnce,
        retain: true,
        topic: Topic::Registered(2),
        id: 9,
        payload: b"21",
    };
    check(Message::Publish(publish), b"\x09\x0C\xD0\x00\x02\x00\x0921");
    let publish =
        Publish { dup: false, qos: Qos::Unconnected, topic: Topic::Predefined(3), id: 0, ..publish };
    check(Message::Publish(publish), b"\x09\x0C\x71\x00\x03\x00\x0021");
    let publish = Publish { topic: Topic::Short(*b"tt"), qos: Qos::AtMostOnce, retain: false, ..publish };
    check(Message::Publish(publish), b"\x09\x0C\x02tt\x00\x0021");
    check(Message::PubAck { topic_id: 2, id: 9, code: R::InvalidTopicId }, b"\x07\x0D\x00\x02\x00\x09\x02");
    check(Message::PubComp(9), b"\x04\x0E\x00\x09");
    check(Message::PubRec(9), b"\x04\x0F\x00\x09");
    check(Message::PubRel(9), b"\x04\x10\x00\x09");
    let name = Filter::Name("a/#");
    let subscribe = Subscribe { dup: false, qos: Qos::AtLeastOnce, id: 4, filter: name };
    check(Message::Subscribe(subscribe), b"\x08\x12\x20\x00\x04a/#");
    let subscribe = Subscribe { dup: true, filter: Filter::Predefined(3), ..subscribe };
    check(Message::Subscribe(subscribe), b"\x07\x12\xA1\x00\x04\x00\x03");
    let suback = Message::SubAck { qos: Qos::AtLeastOnce, topic_id: 2, id: 4, code: R::NotSupported };
    check(suback, b"\x08\x13\x20\x00\x02\x00\x04\x03");
    check(
        Message::Unsubscribe(Unsubscribe { id: 4, filter: Filter::Short(*b"tt") }),
        b"\x07\x14\x02\x00\x04tt",
    );
    check(Message::UnsubAck(4), b"\x04\x15\x00\x04");
    check(Message::PingReq(""), b"\x02\x16");
    check(Message::PingReq("c1"), b"\x04\x16c1");
    check(Message::PingResp, b"\x02\x17");
    check(Message::Disconnect(None), b"\x02\x18");
    check(Message::Disconnect(Some(600)), b"\x04\x18\x02\x58");
    check(Message::WillTopicUpd(Some(will)), b"\x04\x1A\x30w");
    check(Message::WillTopicUpd(None), b"\x02\x1A");
    check(Message::WillTopicResp(R::Accepted), b"\x03\x1B\x00");
    check(Message::WillMsgUpd(b""), b"\x02\x1C");
    check(Message::WillMsgResp(R::Accepted), b"\x03\x1D\x00");
}

#[test]
fn what_is_long_has_a_length_of_three_bytes() {
    for (payload, head) in [(253, &b"\xFF\x09"[..]), (254, b"\x01\x01\x02\x09"), (400, b"\x01\x01\x94\x09")] {
        let payload = vec![b'x'; payload];
        check(Message::WillMsg(&payload), &[head, &payload].concat());
    }
    // Any message may have it.
    assert_eq!(parse(b"\x01\x00\x04\x17"), Ok(plain(Message::PingResp)));
    let largest = vec![0; DATAGRAM_BYTES_MAX - 4];
    let mut out = Vec::new();
    assert_eq!(encode(&mut out, &plain(Message::WillMsg(&largest))), Ok(()));
    assert_eq!(out.len(), DATAGRAM_BYTES_MAX);
    let larger = vec![0; DATAGRAM_BYTES_MAX - 3];
    assert_eq!(encode(&mut out, &plain(Message::WillMsg(&larger))), Err(TooLarge(DATAGRAM_BYTES_MAX + 1)));
    assert_eq!(out.len(), DATAGRAM_BYTES_MAX);
}

#[test]
fn a_forwarder_wraps_a_message() {
    let forwarder = Some(Forwarder { radius: 2, node: b"n1" });
    let datagram = Datagram { forwarder, message: Message::PingResp };
    let bytes = b"\x05\xFE\x02n1\x02\x17";
    let mut out = Vec::new();
    encode(&mut out, &datagram).unwrap();
    assert_eq!((out.as_slice(), parse(bytes)), (&bytes[..], Ok(datagram)));
    bytes_hold(bytes);
    let node = [7; Forwarder::NODE_BYTES_MAX + 1];
    let longest = Some(Forwarder { radius: 0, node: &node[1..] });
    assert_eq!(encode(&mut out, &Datagram { forwarder: longest, ..datagram }), Ok(()));
    let longer = Some(Forwarder { radius: 0, node: &node });
    assert_eq!(encode(&mut out, &Datagram { forwarder: longer, ..datagram }), Err(TooLarge(256)));
}

#[test]
fn what_is_no_message() {
    use DecodeError as E;
    for (bytes, error) in [
        (&b""[..], E::Length { bytes: 0, announced: 0 }),
        (b"\x02", E::Length { bytes: 1, announced: 0 }),
        (b"\x01\x00\x03", E::Length { bytes: 3, announced: 0 }),
        (b"\x03\x17", E::Length { bytes: 2, announced: 3 }),
        (b"\x02\x17\x00", E::Length { bytes: 3, announced: 2 }),
        (b"\x00\x17", E::Length { bytes: 2, announced: 0 }),
        (b"\x02\x03", E::Type(3)),
        (b"\x02\xFF", E::Type(255)),
        (b"\x03\x17\x00", E::Trailing(Kind::PingResp)),
        (b"\x02\x05", E::Short(Kind::ConnAck)),
        (b"\x03\x05\x04", E::ReturnCode(4)),
        (b"\x07\x04\x04\x02\x00\x3Cc", E::Protocol(2)),
        (b"\x07\x04\x04\x01\x00\x3C\xFF", E::Text),
        (b"\x07\x04\x04\x01\x00\x3C\0", E::Text),
        (b"\x07\x0C\x03\x00\x01\x00\x00", E::TopicType),
        (b"\x07\x0C\x02a#\x00\x00", E::Topic),
        (b"\x07\x0A\x00\x00\x00\x05+", E::Topic),
        (b"\x06\x0A\x00\x00\x00\x05", E::Topic),
        (b"\x05\x12\x00\x00\x04", E::Topic),
        (b"\x06\x12\x60\x00\x04a", E::Qos),
        (b"\x06\x12\x03\x00\x04a", E::TopicType),
        (b"\x04\x07\x60w", E::Qos),
        (b"\x03\x18\x00", E::Short(Kind::Disconnect)),
        (b"\x02\xFE\x02\x17", E::Length { bytes: 4, announced: 2 }),
        (b"\x09\xFE\x00n", E::Length { bytes: 4, announced: 9 }),
        (b"\x04\xFE\x00n", E::Length { bytes: 0, announced: 0 }),
        (b"\x01\x00\x06\xFE\x00n\x02\x17", E::Length { bytes: 8, announced: 6 }),
        (b"\x04\xFE\x00n\x04\xFE\x00n\x02\x17", E::Nested),
    ] {
        assert_eq!(parse(bytes), Err(error), "{}", bytes.escape_ascii());
        bytes_hold(bytes);
    }
}

proptest! {
    #[test]
    fn any_bytes_hold(input in proptest::collection::vec(any::<u8>(), 0..80)) {
        bytes_hold(&input);
    }

    /// Datagrams of the right length and a type that is there.
    #[test]
    fn bytes_like_messages_hold(
        kind in prop::sample::select(Kind::ALL.to_vec()),
        body in proptest::collection::vec(prop_oneof![0_u8..8, any::<u8>(), b'a'..=b'f'], 0..300),
        node in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9)),
    ) {
        let mut bytes = Vec::new();
        if let Some(node) = node {
            bytes.extend_from_slice(&[3 + node.len() as u8, 0xFE, 0]);
            bytes.extend_from_slice(&node);
        }
        match u8::try_from(body.len() + 2) {
            Ok(short) => bytes.push(short),
            Err(_) => {
                bytes.push(1);
                bytes.extend_from_slice(&(body.len() as u16 + 4).to_be_bytes());
            }
        }
        bytes.push(kind as u8);
        bytes.extend_from_slice(&body);
        bytes_hold(&bytes);
    }

    #[test]
    fn texts_come_back(topic in "[a-zé/]{1,300}", id in any::<u16>(), topic_id in any::<u16>()) {
        let message = Message::Register { topic_id, id, topic: &topic };
        let mut out = Vec::new();
        encode(&mut out, &plain(message)).unwrap();
        prop_assert_eq!(parse(&out), Ok(plain(message)));
    }
}
