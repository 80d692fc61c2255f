//! Packets byte by byte, as the tables and figures of the specifications have them.

use super::*;
use std::num::{NonZeroU16, NonZeroU32};

/// These bytes are this packet, and this packet is these bytes.
#[track_caller]
fn check(sender: Sender, version: Version, bytes: &[u8], packet: Packet<'_>) {
    let limits = limits(sender, version_before(bytes, version));
    assert_eq!(read(bytes, &limits), Ok(Parsed::Packet(packet, bytes.len())));
    let behind = [bytes, b"\xC0\x00"].concat();
    assert_eq!(
        parse(&behind, &limits),
        Ok(Parsed::Packet(packet, bytes.len())),
        "it looks behind the packet"
    );
    let mut out = b"before".to_vec();
    encode::packet(&mut out, &packet, version, bytes.len()).unwrap();
    assert_eq!(out.escape_ascii().to_string(), [b"before", bytes].concat().escape_ascii().to_string());
    let too_large = encode::EncodeError::TooLarge { bytes: bytes.len(), max: bytes.len() - 1 };
    assert_eq!(encode::packet(&mut out, &packet, version, bytes.len() - 1), Err(too_large));
    assert_eq!(out.len(), 6 + bytes.len(), "something was appended");
}

fn properties(list: &[Property<'_>]) -> PropertiesBuf {
    let mut properties = PropertiesBuf::default();
    list.iter().for_each(|property| properties.push(*property).unwrap());
    properties
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

#[test]
fn connect_of_each_version() {
    let plain = Connect {
        version: Version::V311,
        clean_start: true,
        keep_alive: 10,
        client_id: "c",
        will: None,
        username: None,
        password: None,
        properties: Properties::NONE,
    };
    check(
        Sender::Client,
        Version::V311,
        b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x0A\x00\x01c",
        Packet::Connect(plain),
    );
    let old = Connect { version: Version::V31, clean_start: false, ..plain };
    check(
        Sender::Client,
        Version::V31,
        b"\x10\x0F\x00\x06MQIsdp\x03\x00\x00\x0A\x00\x01c",
        Packet::Connect(old),
    );
    // MQTT 3.1.1 figure 3.6: user, password, will of quality of service 1, clean session.
    let will = Will {
        qos: Qos::AtLeastOnce,
        retain: false,
        topic: "w/t",
        properties: Properties::NONE,
        payload: b"\x00bye",
    };
    let full = Connect { will: Some(will), username: Some("u"), password: Some(b"\xFF\x00"), ..plain };
    check(
        Sender::Client,
        Version::V311,
        b"\x10\x1F\x00\x04MQTT\x04\xCE\x00\x0A\x00\x01c\x00\x03w/t\x00\x04\x00bye\x00\x01u\x00\x02\xFF\x00",
        Packet::Connect(full),
    );
    // MQTT 5.0 figure 3-6: session expiry 10.
    let own = properties(&[Property::SessionExpiry(10)]);
    let wills = properties(&[Property::WillDelay(1), Property::UserProperty(("a", "b"))]);
    let new = Connect {
        version: Version::V5,
        will: Some(Will { retain: true, qos: Qos::ExactlyOnce, properties: wills.properties(), ..will }),
        password: Some(b"only"),
        properties: own.properties(),
        ..plain
    };
    check(
        Sender::Client,
        Version::V5,
        b"\x10\x31\x00\x04MQTT\x05\x76\x00\x0A\x05\x11\x00\x00\x00\x0A\x00\x01c\x0C\x18\x00\x00\x00\x01\x26\x00\x01a\x00\x01b\
          \x00\x03w/t\x00\x04\x00bye\x00\x04only",
        Packet::Connect(new),
    );
}

#[test]
fn connack() {
    let accepted = ConnAck { session_present: true, reason: Reason::Success, properties: Properties::NONE };
    check(Sender::Server, Version::V311, b"\x20\x02\x01\x00", Packet::ConnAck(accepted));
    check(Sender::Server, Version::V5, b"\x20\x03\x01\x00\x00", Packet::ConnAck(accepted));
    let refused =
        |reason| Packet::ConnAck(ConnAck { session_present: false, reason, properties: Properties::NONE });
    check(Sender::Server, Version::V31, b"\x20\x02\x00\x05", refused(Reason::NotAuthorized));
    check(Sender::Server, Version::V311, b"\x20\x02\x00\x01", refused(Reason::UnsupportedProtocolVersion));
    check(Sender::Server, Version::V5, b"\x20\x03\x00\x84\x00", refused(Reason::UnsupportedProtocolVersion));
    let all = properties(&[
        Property::SessionExpiry(u32::MAX),
        Property::ReceiveMaximum(NonZeroU16::MAX),
        Property::MaximumQos(true),
        Property::RetainAvailable(false),
        Property::MaximumPacketSize(NonZeroU32::MIN),
        Property::AssignedClientId("x"),
        Property::TopicAliasMaximum(0),
        Property::ServerKeepAlive(60),
    ]);
    check(
        Sender::Server,
        Version::V5,
        b"\x20\x1E\x00\x00\x1B\x11\xFF\xFF\xFF\xFF\x21\xFF\xFF\x24\x01\x25\x00\x27\x00\x00\x00\x01\x12\x00\x01x\x22\x00\x00\x13\x00\x3C",
        Packet::ConnAck(ConnAck { session_present: false, reason: Reason::Success, properties: all.properties() }),
    );
    let mut out = Vec::new();
    let no_code = refused(Reason::MalformedPacket);
    assert_eq!(
        encode::packet(&mut out, &no_code, Version::V311, 100),
        Err(encode::EncodeError::NotInVersion)
    );
}

#[test]
fn publish() {
    // MQTT 3.1.1 figure 3.11: topic a/b, packet identifier 10.
    let message = Publish {
        delivery: Delivery::AtLeastOnce { id: id(10), dup: false },
        retain: false,
        topic: "a/b",
        properties: Properties::NONE,
        payload: b"x",
    };
    check(Sender::Client, Version::V311, b"\x32\x08\x00\x03a/b\x00\x0Ax", Packet::Publish(message));
    check(Sender::Server, Version::V5, b"\x32\x09\x00\x03a/b\x00\x0A\x00x", Packet::Publish(message));
    let again =
        Publish { delivery: Delivery::ExactlyOnce { id: id(10), dup: true }, retain: true, ..message };
    check(Sender::Client, Version::V31, b"\x3D\x08\x00\x03a/b\x00\x0Ax", Packet::Publish(again));
    let empty = Publish { delivery: Delivery::AtMostOnce, payload: b"", ..message };
    check(Sender::Client, Version::V311, b"\x30\x05\x00\x03a/b", Packet::Publish(empty));
    let alias = properties(&[Property::TopicAlias(NonZeroU16::new(7).unwrap())]);
    let short = Publish { topic: "", properties: alias.properties(), ..empty };
    check(Sender::Client, Version::V5, b"\x30\x06\x00\x00\x03\x23\x00\x07", Packet::Publish(short));
    let several = [1, 128, 268_435_455].map(|id| Property::SubscriptionId(SubscriptionId::new(id).unwrap()));
    let several = properties(&several);
    let matched = Publish { properties: several.properties(), ..empty };
    check(
        Sender::Server,
        Version::V5,
        b"\x30\x10\x00\x03a/b\x0A\x0B\x01\x0B\x80\x01\x0B\xFF\xFF\xFF\x7F",
        Packet::Publish(matched),
    );
}

#[test]
fn acknowledgements() {
    let ack = |kind, reason| Ack { kind, id: id(258), reason, properties: Properties::NONE };
    for (kind, first) in
        [(AckKind::PubAck, 0x40), (AckKind::PubRec, 0x50), (AckKind::PubRel, 0x62), (AckKind::PubComp, 0x70)]
    {
        for version in [Version::V31, Version::V311, Version::V5] {
            check(Sender::Client, version, &[first, 2, 1, 2], Packet::Ack(ack(kind, Reason::Success)));
        }
    }
    let denied = ack(AckKind::PubAck, Reason::NotAuthorized);
    check(Sender::Server, Version::V5, b"\x40\x03\x01\x02\x87", Packet::Ack(denied));
    let mut out = Vec::new();
    encode::packet(&mut out, &Packet::Ack(denied), Version::V311, 100).unwrap();
    assert_eq!(out, b"\x40\x02\x01\x02", "3.1.1 has no reason in it");
    let why = properties(&[Property::ReasonString("no")]);
    let told = Ack { properties: why.properties(), ..ack(AckKind::PubRel, Reason::PacketIdentifierNotFound) };
    check(Sender::Client, Version::V5, b"\x62\x09\x01\x02\x92\x05\x1F\x00\x02no", Packet::Ack(told));
}

#[test]
fn subscribe_and_its_answer() {
    // MQTT 3.1.1 figure 3.23: a/b with 1, c/d with 2.
    let options = |qos| SubscribeOptions { qos, ..SubscribeOptions::default() };
    let mut filters = Vec::new();
    let one = Subscription { filter: "a/b", options: options(Qos::AtLeastOnce) };
    let two = Subscription { filter: "c/d", options: options(Qos::ExactlyOnce) };
    Filters::push(&mut filters, one).unwrap();
    Filters::push(&mut filters, two).unwrap();
    let bytes = b"\x82\x0E\x00\x0A\x00\x03a/b\x01\x00\x03c/d\x02";
    for version in [Version::V31, Version::V311] {
        let filters = Filters { bytes: &filters, version };
        assert_eq!(filters.iter().collect::<Vec<_>>(), [one, two]);
        let packet = Packet::Subscribe(Subscribe { id: id(10), properties: Properties::NONE, filters });
        check(Sender::Client, version, bytes, packet);
    }
    let all = SubscribeOptions {
        qos: Qos::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::Never,
    };
    filters.clear();
    Filters::push(&mut filters, Subscription { filter: "#", options: all }).unwrap();
    let own = properties(&[Property::SubscriptionId(SubscriptionId::new(200).unwrap())]);
    let packet = Subscribe { id: id(1), properties: own.properties(), filters: Filters::of(&filters) };
    check(
        Sender::Client,
        Version::V5,
        b"\x82\x0A\x00\x01\x03\x0B\xC8\x01\x00\x01#\x2E",
        Packet::Subscribe(packet),
    );
    let mut out = Vec::new();
    encode::packet(&mut out, &Packet::Subscribe(packet), Version::V311, 100).unwrap();
    assert_eq!(out, b"\x82\x06\x00\x01\x00\x01#\x02", "3.1.1 has no such options");

    let codes = [0, 2, 0x80];
    let packet = SubAck { id: id(10), properties: Properties::NONE, reasons: Reasons::of(&codes).unwrap() };
    check(Sender::Server, Version::V311, b"\x90\x05\x00\x0A\x00\x02\x80", Packet::SubAck(packet));
    check(Sender::Server, Version::V5, b"\x90\x06\x00\x0A\x00\x00\x02\x80", Packet::SubAck(packet));
    let packet = SubAck { reasons: Reasons::of(&[0x8F]).unwrap(), ..packet };
    out.clear();
    encode::packet(&mut out, &Packet::SubAck(packet), Version::V311, 100).unwrap();
    assert_eq!(out, b"\x90\x03\x00\x0A\x80");
    assert_eq!(Reasons::of(&[0, 3]), None);
}

#[test]
fn unsubscribe_and_its_answer() {
    let mut filters = Vec::new();
    Topics::push(&mut filters, "a/b").unwrap();
    Topics::push(&mut filters, "c/d").unwrap();
    let packet = Unsubscribe { id: id(10), properties: Properties::NONE, filters: Topics::of(&filters) };
    assert_eq!(packet.filters.iter().collect::<Vec<_>>(), ["a/b", "c/d"]);
    check(
        Sender::Client,
        Version::V311,
        b"\xA2\x0C\x00\x0A\x00\x03a/b\x00\x03c/d",
        Packet::Unsubscribe(packet),
    );
    check(
        Sender::Client,
        Version::V5,
        b"\xA2\x0D\x00\x0A\x00\x00\x03a/b\x00\x03c/d",
        Packet::Unsubscribe(packet),
    );
    let none = UnsubAck { id: id(10), properties: Properties::NONE, reasons: Reasons { bytes: &[] } };
    check(Sender::Server, Version::V311, b"\xB0\x02\x00\x0A", Packet::UnsubAck(none));
    let both = UnsubAck { reasons: Reasons::of(&[0, 0x11]).unwrap(), ..none };
    check(Sender::Server, Version::V5, b"\xB0\x05\x00\x0A\x00\x00\x11", Packet::UnsubAck(both));
}

#[test]
fn what_is_a_byte_or_two() {
    for version in [Version::V31, Version::V311, Version::V5] {
        check(Sender::Client, version, b"\xC0\x00", Packet::PingReq);
        check(Sender::Server, version, b"\xD0\x00", Packet::PingResp);
        let end = Disconnect { reason: Reason::Success, properties: Properties::NONE };
        check(Sender::Client, version, b"\xE0\x00", Packet::Disconnect(end));
    }
    let end = |reason| Packet::Disconnect(Disconnect { reason, properties: Properties::NONE });
    check(Sender::Client, Version::V5, b"\xE0\x01\x04", end(Reason::DisconnectWithWill));
    check(Sender::Server, Version::V5, b"\xE0\x01\x8E", end(Reason::SessionTakenOver));
    let method = properties(&[Property::AuthMethod("nkey"), Property::AuthData(b"\x00")]);
    let auth = Packet::Auth(Auth { reason: Reason::ContinueAuthentication, properties: method.properties() });
    check(Sender::Client, Version::V5, b"\xF0\x0D\x18\x0B\x15\x00\x04nkey\x16\x00\x01\x00", auth);
    let bare = Auth { reason: Reason::ReAuthenticate, properties: Properties::NONE };
    check(Sender::Client, Version::V5, b"\xF0\x02\x19\x00", Packet::Auth(bare));
    let done = Packet::Auth(Auth { reason: Reason::Success, ..bare });
    check(Sender::Server, Version::V5, b"\xF0\x00", done);
    assert_eq!(
        encode::packet(&mut Vec::new(), &auth, Version::V311, 100),
        Err(encode::EncodeError::NotInVersion)
    );
}

/// MQTT 5.0 table 1-1.
#[test]
fn numbers_of_variable_length() {
    for (value, bytes) in [
        (0, &b"\x00"[..]),
        (127, b"\x7F"),
        (128, b"\x80\x01"),
        (16_383, b"\xFF\x7F"),
        (16_384, b"\x80\x80\x01"),
        (2_097_151, b"\xFF\xFF\x7F"),
        (2_097_152, b"\x80\x80\x80\x01"),
        (268_435_455, b"\xFF\xFF\xFF\x7F"),
    ] {
        let mut out = Vec::new();
        fields::put_variable(&mut out, value);
        assert_eq!((out.as_slice(), fields::variable_bytes(value)), (bytes, bytes.len()));
        assert_eq!(fields::variable(bytes), Ok(Some((value, bytes.len()))));
        assert_eq!(fields::variable(&bytes[..bytes.len() - 1]), Ok(None));
    }
    assert_eq!(fields::variable(b"\xFF\xFF\xFF\xFF"), Err(DecodeError::VariableInteger));
}

/// 3.1 lets credentials be missing though their flags are set, and has no rule for flags that mean nothing.
#[test]
fn what_only_mqtt_3_1_lets_pass() {
    let accepted = [
        (None, &b"\x10\x0F\x00\x06MQIsdp\x03\xC3\x00\x0A\x00\x01c"[..]),
        (None, b"\x10\x12\x00\x06MQIsdp\x03\xC0\x00\x0A\x00\x01c\x00\x01u"),
        (None, b"\x10\x0F\x00\x06MQIsdp\x03\x38\x00\x0A\x00\x01c"),
        (Some(Version::V31), b"\x8A\x06\x00\x01\x00\x01a\x02"),
        (Some(Version::V31), b"\x82\x06\x00\x01\x00\x01a\xFE"),
        (Some(Version::V31), b"\x6A\x02\x00\x01"),
        (Some(Version::V31), b"\x38\x03\x00\x01a"),
        (Some(Version::V31), b"\xC7\x00"),
    ];
    for (version, bytes) in accepted {
        let read = read(bytes, &limits(Sender::Client, version));
        assert!(matches!(read, Ok(Parsed::Packet(..))), "{}: {read:?}", bytes.escape_ascii());
    }
    // The official server takes DUP from 3.1.1, too.
    let only_old = |(version, bytes): &(Option<Version>, &[u8])| version.is_some() && bytes[0] != 0x38;
    for (version, bytes) in accepted.into_iter().filter(only_old) {
        let newer = version.map(|_| Version::V311);
        assert!(read(bytes, &limits(Sender::Client, newer)).is_err(), "{}", bytes.escape_ascii());
    }
}
