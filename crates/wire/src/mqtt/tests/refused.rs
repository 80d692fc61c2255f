//! Bytes that are no packets, each for its reason.

use super::*;
use DecodeError as E;
use PacketKind as K;

#[track_caller]
fn refused(sender: Sender, version: Option<Version>, bytes: &[u8], error: DecodeError) {
    assert_eq!(read(bytes, &limits(sender, version)), Err(error), "{}", bytes.escape_ascii());
}

#[track_caller]
fn v311(bytes: &[u8], error: DecodeError) {
    refused(Sender::Client, Some(Version::V311), bytes, error);
}

#[track_caller]
fn v5(bytes: &[u8], error: DecodeError) {
    refused(Sender::Client, Some(Version::V5), bytes, error);
}

#[track_caller]
fn connect(bytes: &[u8], error: DecodeError) {
    refused(Sender::Client, None, bytes, error);
}

#[test]
fn what_comes_at_the_wrong_time_or_from_the_wrong_end() {
    connect(b"\xC0\x00", E::NotConnected(K::PingReq));
    connect(b"\x30", E::NotConnected(K::Publish));
    v311(b"\x10", E::ConnectedAlready);
    v311(b"\x00\x00", E::PacketType);
    for (first, kind) in [(0x20, K::ConnAck), (0x90, K::SubAck), (0xB0, K::UnsubAck), (0xD0, K::PingResp)] {
        v5(&[first], E::Direction(kind));
    }
    v311(b"\xF0\x00", E::Direction(K::Auth));
    refused(Sender::Server, Some(Version::V311), b"\xE0\x00", E::Direction(K::Disconnect));
    for (first, kind) in
        [(0x10, K::Connect), (0x82, K::Subscribe), (0xA2, K::Unsubscribe), (0xC0, K::PingReq)]
    {
        refused(Sender::Server, Some(Version::V5), &[first], E::Direction(kind));
    }
}

#[test]
fn first_bytes() {
    v311(b"\xC1\x00", E::Flags { kind: K::PingReq, flags: 1 });
    v311(b"\x60\x02\x00\x01", E::Flags { kind: K::PubRel, flags: 0 });
    v311(b"\x80\x02", E::Flags { kind: K::Subscribe, flags: 0 });
    v311(b"\xA0\x02", E::Flags { kind: K::Unsubscribe, flags: 0 });
    connect(b"\x11", E::Flags { kind: K::Connect, flags: 1 });
    v5(b"\x38\x04\x00\x01a\x00", E::Flags { kind: K::Publish, flags: 8 });
    v311(b"\x36\x05\x00\x01a\x00\x01", E::Qos);
    v311(b"\x30\xFF\xFF\xFF\xFF", E::VariableInteger);
    v5(b"\xC0\x80\x00", E::VariableInteger);
    v5(b"\x40\x83\x00\x00\x01\x00", E::VariableInteger);
    let large = E::TooLarge { bytes: (1 << 20) + 1, max: 1 << 20 };
    v311(b"\x30\xFD\xFF\x3F", large);
    assert_eq!(large.reason(), Reason::PacketTooLarge);
}

#[test]
fn connect_is_checked() {
    connect(b"\x10\x0D\x00\x04MQXX\x04\x02\x00\x0A\x00\x01c", E::ProtocolName);
    connect(b"\x10\x0D\x00\x04MQTT\x06\x02\x00\x0A\x00\x01c", E::ProtocolLevel(6));
    connect(b"\x10\x0D\x00\x04MQTT\x03\x02\x00\x0A\x00\x01c", E::ProtocolLevel(3));
    connect(b"\x10\x0F\x00\x06MQIsdp\x04\x02\x00\x0A\x00\x01c", E::ProtocolLevel(4));
    assert_eq!(E::ProtocolLevel(6).reason().return_code(), Some(1));
    for flags in [0x03, 0x0A, 0x22, 0x42] {
        let bytes = [b"\x10\x0D\x00\x04MQTT\x04", &[flags][..], b"\x00\x0A\x00\x01c"].concat();
        connect(&bytes, E::ConnectFlags(flags));
    }
    connect(b"\x10\x13\x00\x04MQTT\x04\x1C\x00\x0A\x00\x01c\x00\x01w\x00\x01x", E::Qos);
    connect(b"\x10\x0D\x00\x04MQTT\x04\x82\x00\x0A\x00\x01c", E::Short(K::Connect));
    connect(b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x0A\x00\x01cx", E::Trailing(K::Connect));
    connect(b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x0A\x00\x02c", E::Short(K::Connect));
    connect(b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x0A\x00\x01\x00", E::ClientId);
    connect(b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x0A\x00\x01\xFF", E::ClientId);
    connect(b"\x10\x0F\x00\x04MQTT\x04\x02\x00\x0A\x00\x03\xED\xA0\x80", E::ClientId);
    connect(b"\x10\x00", E::Short(K::Connect));
    // The length in five bytes where one is enough, which 3.1.1 does not forbid.
    let long = b"\x10\x8D\x00\x00\x04MQTT\x04\x02\x00\x0A\x00\x01c";
    assert!(matches!(parse(long, &limits(Sender::Client, None)), Ok(Parsed::Packet(_, 16))));
    connect(b"\x10\x8E\x00\x00\x04MQTT\x05\x02\x00\x0A\x00\x00\x01c", E::VariableInteger);
}

#[test]
fn identifiers_topics_and_lists() {
    v311(b"\x32\x05\x00\x01a\x00\x00", E::PacketId(K::Publish));
    v311(b"\x40\x02\x00\x00", E::PacketId(K::PubAck));
    v311(b"\x40\x01\x00", E::Short(K::PubAck));
    v311(b"\x40\x03\x00\x01\x00", E::Trailing(K::PubAck));
    v311(b"\x82\x06\x00\x00\x00\x01a\x00", E::PacketId(K::Subscribe));
    v311(b"\x30\x02\x00\x00", E::TopicEmpty);
    v5(b"\x30\x03\x00\x00\x00", E::TopicEmpty);
    v311(b"\x82\x05\x00\x01\x00\x00\x00", E::FilterEmpty);
    v311(b"\xA2\x04\x00\x01\x00\x00", E::FilterEmpty);
    v311(b"\x82\x06\x00\x01\x00\x01\xFF\x00", E::Text);
    v311(b"\x30\x05\x00\x03a/#", E::TopicWildcard);
    v311(b"\x30\x05\x00\x03+/a", E::TopicWildcard);
    v311(b"\x82\x02\x00\x01", E::Empty(K::Subscribe));
    v5(b"\x82\x03\x00\x01\x00", E::Empty(K::Subscribe));
    v311(b"\xA2\x02\x00\x01", E::Empty(K::Unsubscribe));
    v311(b"\x82\x06\x00\x01\x00\x01a\x03", E::Qos);
    v311(b"\x82\x06\x00\x01\x00\x01a\x04", E::SubscribeOptions(4));
    v5(b"\x82\x07\x00\x01\x00\x00\x01a\x40", E::SubscribeOptions(0x40));
    v5(b"\x82\x07\x00\x01\x00\x00\x01a\x30", E::SubscribeOptions(0x30));
    v311(b"\x82\x05\x00\x01\x00\x01a", E::Short(K::Subscribe));
    v311(b"\xC0\x01\x00", E::Trailing(K::PingReq));
    v311(b"\xE0\x01\x00", E::Trailing(K::Disconnect));
    let few = Limits { filters_max: 2, ..limits(Sender::Client, Some(Version::V311)) };
    assert!(parse(b"\xA2\x08\x00\x01\x00\x01a\x00\x01b", &few).is_ok());
    assert_eq!(parse(b"\xA2\x0B\x00\x01\x00\x01a\x00\x01b\x00\x01c", &few), Err(E::Filters(2)));
}

#[test]
fn properties_are_checked() {
    let publish = |properties: &[u8]| {
        let head = [0x30, (4 + properties.len()) as u8, 0, 1, b'a', properties.len() as u8];
        [&head[..], properties].concat()
    };
    v5(&publish(b"\x00\x00"), E::PropertyUnknown(0));
    v5(&publish(b"\x7F\x00"), E::PropertyUnknown(0x7F));
    v5(&publish(b"\xFF\x7F\x00"), E::PropertyUnknown(0x3FFF));
    v5(&publish(b"\x11\x00\x00\x00\x01"), E::PropertyUnknown(0x11));
    v5(&publish(b"\x18\x00\x00\x00\x01"), E::PropertyUnknown(0x18));
    v5(&publish(b"\x01\x01\x01\x01"), E::PropertyTwice(1));
    v5(&publish(b"\x01\x02"), E::PropertyValue(1));
    v5(&publish(b"\x23\x00\x00"), E::PropertyValue(0x23));
    v5(&publish(b"\x0B\x01"), E::PropertyValue(0x0B));
    v5(&publish(b"\x08\x00\x01#"), E::PropertyValue(8));
    v5(&publish(b"\x08\x00\x00"), E::PropertyValue(8));
    v5(&publish(b"\x03\x00\x02a"), E::Short(K::Publish));
    v5(&publish(b"\x03\x00\x01\x00"), E::Text);
    v5(b"\x30\x04\x00\x01a\x05", E::Short(K::Publish));
    v5(b"\x30\x05\x00\x01a\x80\x00", E::VariableInteger);
    v5(b"\x82\x09\x00\x01\x02\x0B\x00\x00\x01a\x00", E::PropertyValue(0x0B));
    v5(b"\x82\x0B\x00\x01\x04\x0B\x01\x0B\x02\x00\x01a\x00", E::PropertyTwice(0x0B));
    connect(b"\x10\x11\x00\x04MQTT\x05\x02\x00\x0A\x03\x21\x00\x00\x00\x01c", E::PropertyValue(0x21));
    connect(b"\x10\x12\x00\x04MQTT\x05\x02\x00\x0A\x04\x16\x00\x01x\x00\x01c", E::AuthMethod);
    v5(b"\xE0\x06\x00\x04\x1C\x00\x01x", E::PropertyValue(0x1C));
    refused(
        Sender::Server,
        Some(Version::V5),
        b"\xE0\x07\x00\x05\x11\x00\x00\x00\x01",
        E::PropertyValue(0x11),
    );
    let few = Limits { user_properties_max: 1, ..limits(Sender::Client, Some(Version::V5)) };
    let one = b"\x26\x00\x01a\x00\x01b";
    assert!(parse(&publish(one), &few).is_ok());
    assert_eq!(parse(&publish(&[one, &one[..]].concat()), &few), Err(E::UserProperties(1)));
}

#[test]
fn reason_codes_are_checked() {
    v5(b"\x40\x03\x00\x01\x92", E::ReasonCode(0x92));
    v5(b"\x62\x03\x00\x01\x10", E::ReasonCode(0x10));
    v5(b"\xE0\x01\x01", E::ReasonCode(1));
    v5(b"\xF0\x01\x04", E::ReasonCode(4));
    v5(b"\xF0\x01\x19", E::Short(K::Auth));
    refused(Sender::Server, Some(Version::V311), b"\x20\x02\x00\x06", E::ReasonCode(6));
    refused(
        Sender::Server,
        Some(Version::V311),
        b"\x20\x02\x01\x01",
        E::Flags { kind: K::ConnAck, flags: 1 },
    );
    refused(
        Sender::Server,
        Some(Version::V311),
        b"\x20\x02\x02\x00",
        E::Flags { kind: K::ConnAck, flags: 2 },
    );
    refused(Sender::Server, Some(Version::V311), b"\x90\x03\x00\x01\x87", E::ReasonCode(0x87));
}

/// Each error has a code that a server may send, in DISCONNECT or in CONNACK.
#[test]
fn every_error_has_a_reason_that_can_be_told() {
    for error in [
        E::PacketType,
        E::TopicEmpty,
        E::TooLarge { bytes: 1, max: 0 },
        E::ProtocolName,
        E::TopicWildcard,
        E::Filters(1),
    ] {
        let reason = error.reason();
        assert!(reason.is_error() && (reason.is_for(K::Disconnect) || reason.is_for(K::ConnAck)), "{error}");
    }
    assert_eq!(Reason::ALL.len(), 43);
    for reason in Reason::ALL {
        assert_eq!(Reason::of(reason.code()), Some(*reason));
    }
}
