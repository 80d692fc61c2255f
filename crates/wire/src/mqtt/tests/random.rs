//! Packets at random: what is written is read again, in every version. And bytes at random, which must not break anything.

use super::*;
use proptest::prelude::*;
use std::num::{NonZeroU16, NonZeroU32};

/// What packets are made of.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    kind: u8,
    texts: [String; 3],
    data: Vec<u8>,
    id: PacketId,
    number: u16,
    flags: [bool; 4],
    qos: Qos,
    reason: prop::sample::Index,
    properties: Vec<(u8, u32, String, String)>,
    filters: Vec<(String, u8)>,
}

pub(super) fn parts() -> impl Strategy<Value = Parts> {
    let text = "[a-z/é ]{0,5}";
    let filters = proptest::collection::vec(("[a+#/$]{1,5}", 0_u8..48), 1..4);
    let properties = proptest::collection::vec((1_u8..0x2B, any::<u32>(), text, text), 0..4);
    (
        0_u8..16,
        [text, text, "[a-z/é]{1,200}"],
        proptest::collection::vec(any::<u8>(), 0..150),
        1_u16..,
        any::<u16>(),
        any::<[bool; 4]>(),
        0_u8..3,
        any::<prop::sample::Index>(),
        properties,
        filters,
    )
        .prop_map(|(kind, texts, data, id, number, flags, qos, reason, properties, filters)| {
            let (id, qos) = (PacketId::new(id).unwrap(), Qos::of(qos).unwrap());
            Parts { kind, texts, data, id, number, flags, qos, reason, properties, filters }
        })
}

/// A property of each number, of these values.
fn property<'a>(id: u8, number: u32, one: &'a str, other: &'a str) -> Option<Property<'a>> {
    use Property as P;
    Some(match id {
        0x01 => P::PayloadFormat(number & 1 != 0),
        0x02 => P::MessageExpiry(number),
        0x03 => P::ContentType(one),
        0x08 => P::ResponseTopic(if one.is_empty() { "r" } else { one }),
        0x09 => P::CorrelationData(other.as_bytes()),
        0x0B => P::SubscriptionId(SubscriptionId::new(number >> 4 | 1)?),
        0x11 => P::SessionExpiry(number),
        0x12 => P::AssignedClientId(one),
        0x13 => P::ServerKeepAlive(number as u16),
        0x15 => P::AuthMethod(one),
        0x17 => P::RequestProblemInfo(number & 1 != 0),
        0x18 => P::WillDelay(number),
        0x19 => P::RequestResponseInfo(number & 1 != 0),
        0x1A => P::ResponseInfo(one),
        0x1C => P::ServerReference(one),
        0x1F => P::ReasonString(one),
        0x21 => P::ReceiveMaximum(NonZeroU16::new(number as u16 | 1)?),
        0x22 => P::TopicAliasMaximum(number as u16),
        0x23 => P::TopicAlias(NonZeroU16::new(number as u16 | 1)?),
        0x24 => P::MaximumQos(number & 1 != 0),
        0x25 => P::RetainAvailable(number & 1 != 0),
        0x26 => P::UserProperty((one, other)),
        0x27 => P::MaximumPacketSize(NonZeroU32::new(number | 1)?),
        0x28 => P::WildcardSubscriptionsAvailable(number & 1 != 0),
        0x29 => P::SubscriptionIdsAvailable(number & 1 != 0),
        0x2A => P::SharedSubscriptionsAvailable(number & 1 != 0),
        _ => return None,
    })
}

/// Those of the properties that this packet, or the will, may have.
fn properties_for(parts: &Parts, place: property::Place, version: Version) -> PropertiesBuf {
    let mut buf = PropertiesBuf::default();
    let mut seen = Vec::new();
    let sender = match place {
        property::Place::Packet(kind) => sender_of(kind, parts, version),
        property::Place::Will => Sender::Client,
    };
    for (id, number, one, other) in parts.properties.iter().filter(|_| version == Version::V5) {
        let Some(property) = property(*id, *number, one, other) else { continue };
        let is_first = !seen.contains(id) || property.may_repeat(place) && sender == Sender::Server;
        if property.is_for(place) && property.is_from(sender, place) && is_first {
            seen.push(*id);
            buf.push(property).unwrap();
        }
    }
    buf
}

/// Which end sends such a packet.
fn sender_of(kind: PacketKind, parts: &Parts, version: Version) -> Sender {
    use PacketKind as K;
    match kind {
        K::Connect | K::Subscribe | K::Unsubscribe | K::PingReq => Sender::Client,
        K::ConnAck | K::SubAck | K::UnsubAck | K::PingResp => Sender::Server,
        K::Disconnect if version != Version::V5 => Sender::Client,
        _ if parts.flags[3] => Sender::Server,
        _ => Sender::Client,
    }
}

/// A reason code that such a packet may have in this version.
fn reason_for(parts: &Parts, kind: PacketKind, version: Version) -> Reason {
    let fits = |reason: &&Reason| match (version, kind) {
        (Version::V5, _) => reason.is_for(kind),
        (_, PacketKind::ConnAck) => (0..=0x10).any(|code| Reason::of_return_code(code) == Some(**reason)),
        (_, PacketKind::SubAck) => {
            reason.is_for(kind) && (!reason.is_error() || **reason == Reason::UnspecifiedError)
        }
        _ => **reason == Reason::Success,
    };
    let fitting: Vec<&Reason> = Reason::ALL.iter().filter(fits).collect();
    if fitting.is_empty() { Reason::Success } else { **parts.reason.get(&fitting) }
}

/// The packet that these parts make, as far as this version has it.
pub(super) fn with_packet(parts: &Parts, version: Version, check: impl FnOnce(Sender, Packet<'_>)) {
    use PacketKind as K;
    let kind = PacketKind::of(parts.kind << 4).unwrap_or(K::Publish);
    let is_v5 = version == Version::V5;
    let kind = if kind == K::Auth && !is_v5 { K::Publish } else { kind };
    let sender = sender_of(kind, parts, version);
    let buf = properties_for(parts, property::Place::Packet(kind), version);
    let wills = properties_for(parts, property::Place::Will, version);
    let (properties, id) = (buf.properties(), parts.id);
    let [one, two, topic] = &parts.texts;
    let [a, b, c, _] = parts.flags;
    let reason = reason_for(parts, kind, version);
    let codes = [reason.code()];
    let ack = |kind| Packet::Ack(Ack { kind, id, reason, properties });
    let mut bytes = Vec::new();
    let packet = match kind {
        K::Connect => Packet::Connect(Connect {
            version,
            clean_start: a,
            keep_alive: parts.number,
            client_id: one,
            will: b.then_some(Will {
                qos: parts.qos,
                retain: c,
                topic: two,
                properties: wills.properties(),
                payload: &parts.data,
            }),
            username: (a || c).then_some(topic),
            password: (a || c && is_v5).then_some(&parts.data),
            properties,
        }),
        K::ConnAck => {
            let session_present = a && reason == Reason::Success && version != Version::V31;
            Packet::ConnAck(ConnAck { session_present, reason, properties })
        }
        K::Publish => {
            let delivery = match parts.qos {
                Qos::AtMostOnce => Delivery::AtMostOnce,
                Qos::AtLeastOnce => Delivery::AtLeastOnce { id, dup: b },
                Qos::ExactlyOnce => Delivery::ExactlyOnce { id, dup: b },
            };
            Packet::Publish(Publish { delivery, retain: a, topic, properties, payload: &parts.data })
        }
        K::PubAck => ack(AckKind::PubAck),
        K::PubRec => ack(AckKind::PubRec),
        K::PubRel => ack(AckKind::PubRel),
        K::PubComp => ack(AckKind::PubComp),
        K::Subscribe => {
            for (filter, options) in &parts.filters {
                let options = if is_v5 { *options } else { options & 0b11 };
                let options = SubscribeOptions::of(options, version).unwrap_or_default();
                Filters::push(&mut bytes, Subscription { filter, options }).unwrap();
            }
            Packet::Subscribe(Subscribe { id, properties, filters: Filters { bytes: &bytes, version } })
        }
        K::SubAck => Packet::SubAck(SubAck { id, properties, reasons: Reasons::of(&codes).unwrap() }),
        K::Unsubscribe => {
            parts.filters.iter().for_each(|(filter, _)| Topics::push(&mut bytes, filter).unwrap());
            Packet::Unsubscribe(Unsubscribe { id, properties, filters: Topics::of(&bytes) })
        }
        K::UnsubAck => {
            let codes = if is_v5 { &codes[..] } else { &[] };
            Packet::UnsubAck(UnsubAck { id, properties, reasons: Reasons::of(codes).unwrap() })
        }
        K::PingReq => Packet::PingReq,
        K::PingResp => Packet::PingResp,
        K::Disconnect => Packet::Disconnect(Disconnect { reason, properties }),
        K::Auth => Packet::Auth(Auth { reason, properties }),
    };
    check(sender, packet);
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(vec![Version::V31, Version::V311, Version::V5])
}

proptest! {
    #[test]
    fn what_is_written_is_read_again_however_it_is_cut(parts in parts(), version in version()) {
        with_packet(&parts, version, |sender, packet| {
            let mut out = Vec::new();
            encode::packet(&mut out, &packet, version, usize::MAX).unwrap();
            let limits = limits(sender, version_before(&out, version));
            let bytes = out.len();
            assert_eq!(read(&out, &limits), Ok(Parsed::Packet(packet, bytes)), "{}", out.escape_ascii());
            // Debug walks through all that the packet holds.
            assert!(!format!("{packet:?}").is_empty());
        });
    }

    /// A changed byte gives the same end however it is cut, and what is still a packet is read alike when it is written again.
    #[test]
    fn a_changed_byte_breaks_nothing(
        parts in parts(), version in version(), at in any::<prop::sample::Index>(), byte in any::<u8>(), other in version(),
    ) {
        with_packet(&parts, version, |sender, packet| {
            let mut bytes = Vec::new();
            encode::packet(&mut bytes, &packet, version, usize::MAX).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            for version in [version, other] {
                let limits = limits(sender, version_before(&bytes, version));
                let Ok(Parsed::Packet(packet, _)) = read(&bytes, &limits) else { continue };
                let mut again = Vec::new();
                encode::packet(&mut again, &packet, version, usize::MAX).unwrap();
                let total = again.len();
                let limits = Limits { version: version_before(&again, version), ..limits };
                assert_eq!(parse(&again, &limits), Ok(Parsed::Packet(packet, total)));
            }
        });
    }

    #[test]
    fn any_bytes_are_something(bytes in proptest::collection::vec(any::<u8>(), 0..60), version in version()) {
        for sender in [Sender::Client, Sender::Server] {
            for version in [None, Some(version)] {
                let _ = read(&bytes, &limits(sender, version));
            }
        }
    }

    /// A filter is well formed if some topic can be found that it matches, and what the levels are.
    #[test]
    fn filters_match_what_they_are_made_of(topic in "[ab]{0,2}(/[ab]{0,2}){0,3}", levels in any::<[u8; 4]>(), cut in 0_usize..4) {
        prop_assume!(topic::is_name(&topic));
        let names: Vec<&str> = topic.split('/').collect();
        let level = |at: usize| if levels[at] & 1 == 0 { names[at] } else { "+" };
        let mut filter: Vec<&str> = (0..names.len()).map(level).collect();
        if cut < filter.len() && levels[cut] & 2 != 0 {
            filter.truncate(cut);
            filter.push("#");
        }
        let filter = filter.join("/");
        prop_assert!(filter.is_empty() || topic::is_filter(&filter), "{filter}");
        prop_assert!(filter.is_empty() || topic::matches(&filter, &topic), "{filter} {topic}");
        let longer = topic.clone() + "c";
        prop_assert!(!topic::matches(&filter, &longer) || filter.ends_with(['#', '+']));
    }
}

/// MQTT 5.0 §4.7 and §4.8.2, with their examples.
#[test]
fn topics_and_filters() {
    for filter in [
        "#",
        "+",
        "sport/tennis/#",
        "+/tennis/#",
        "sport/+/player1",
        "/",
        "//",
        "+/+",
        "/+",
        "$SYS/#",
        " ",
        "a//b",
    ] {
        assert!(topic::is_filter(filter), "{filter}");
    }
    for filter in ["", "sport/tennis#", "sport/tennis/#/ranking", "sport+", "+a", "#/", "a/b+/c", "##"] {
        assert!(!topic::is_filter(filter), "{filter}");
    }
    for (filter, topics) in [
        ("sport/tennis/player1/#", &["sport/tennis/player1", "sport/tennis/player1/score/wimbledon"][..]),
        ("sport/#", &["sport", "sport/", "sport/a"]),
        ("sport/+", &["sport/", "sport/a"]),
        ("+/+", &["/finance"]),
        ("/+", &["/finance"]),
        ("$SYS/#", &["$SYS/", "$SYS", "$SYS/a/b"]),
        ("#", &["/", "a"]),
    ] {
        topics.iter().for_each(|topic| assert!(topic::matches(filter, topic), "{filter} {topic}"));
    }
    for (filter, topic) in [
        ("sport/+", "sport"),
        ("+", "/finance"),
        ("#", "$SYS/a"),
        ("+/a", "$SYS/a"),
        ("sport/tennis/+", "sport/tennis/a/b"),
    ] {
        assert!(!topic::matches(filter, topic), "{filter} {topic}");
    }
    let shared = |group, filter| Ok(Some(topic::Shared { group, filter }));
    assert_eq!(topic::shared("$share/g/a/#"), shared("g", "a/#"));
    assert_eq!(topic::shared("$share/g//a"), shared("g", "/a"));
    assert_eq!(topic::shared("a/$share/g/b"), Ok(None));
    assert_eq!(topic::shared("$shared/g/b"), Ok(None));
    for filter in ["$share", "$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/g/#/a"] {
        assert_eq!(topic::shared(filter), Err(topic::InvalidShare), "{filter}");
    }
}
