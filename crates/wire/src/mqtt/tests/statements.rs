//! Statements of MQTT 3.1.1 and 5.0 that a table or a loop shows better than single packets: `mqtt_1_5_4_1` is [MQTT-1.5.4-1] of 5.0.

use super::*;

/// A packet of these bytes behind its first, of which there are fewer than 128.
fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[first, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn is_read(bytes: &[u8], sender: Sender, version: Option<Version>) -> bool {
    let limits = limits(sender, version_before(bytes, version.unwrap_or(Version::V5)));
    matches!(read(bytes, &limits), Ok(Parsed::Packet(_, used)) if used == bytes.len())
}

/// Packets of MQTT 5 with this text in every place where one may stand.
fn packets_with(text: &[u8]) -> Vec<(Sender, Vec<u8>)> {
    let (text, size) = (framed(text), u8::try_from(text.len()).unwrap());
    let property = |id: u8| [&[size + 3, id][..], &text].concat();
    let head = b"\x00\x04MQTT\x05";
    let mut packets = vec![
        packet(0x10, &[head, b"\x02\x00\x0A\x00", &text]),
        packet(0x10, &[head, b"\x06\x00\x0A\x00\x00\x01c\x00", &text, b"\x00\x00"]),
        packet(0x10, &[head, b"\x82\x00\x0A\x00\x00\x01c", &text]),
        packet(0x10, &[head, b"\x02\x00\x0A", &property(0x15), b"\x00\x01c"]),
        packet(0x30, &[&text, b"\x00"]),
        packet(0x30, &[b"\x00\x01t", &property(0x03)]),
        packet(0x30, &[b"\x00\x01t", &property(0x08)]),
        packet(0x30, &[b"\x00\x01t", &[size + 6, 0x26], b"\x00\x01n", &text]),
        packet(0x30, &[b"\x00\x01t", &[size + 6, 0x26], &text, b"\x00\x01v"]),
        packet(0x82, &[b"\x00\x01\x00", &text, b"\x00"]),
        packet(0xA2, &[b"\x00\x01\x00", &text]),
        packet(0xE0, &[b"\x80", &property(0x1F)]),
    ];
    let mut all: Vec<_> = packets.drain(..).map(|bytes| (Sender::Client, bytes)).collect();
    for id in [0x12, 0x1A, 0x1C, 0x1F] {
        all.push((Sender::Server, packet(0x20, &[b"\x00\x00", &property(id)])));
    }
    all
}

#[test]
fn mqtt_1_5_4_1_and_2_every_text_is_utf_8_without_u_0000() {
    for text in ["a", "é", "\u{10FFFF}", "\u{D7FF}\u{E000}", "\u{1}"] {
        for (sender, bytes) in packets_with(text.as_bytes()) {
            assert!(is_read(&bytes, sender, Some(Version::V5)), "{}", bytes.escape_ascii());
        }
    }
    // Half a character, both ends of the surrogates, more bytes than needed, beyond the last character, U+0000.
    let bad = [
        &b"\xC3"[..],
        b"\xFF",
        b"\xED\xA0\x80",
        b"\xED\xBF\xBF",
        b"\xC0\x80",
        b"\xE0\x80\xAF",
        b"\xF4\x90\x80\x80",
        b"a\0",
    ];
    for (text, (sender, bytes)) in
        bad.iter().flat_map(|text| packets_with(text).into_iter().map(move |of| (text, of)))
    {
        let limits = limits(sender, version_before(&bytes, Version::V5));
        let error = if bytes[0] == 0x10 && bytes[9] == 0x02 && bytes[12] == 0 {
            DecodeError::ClientId
        } else {
            DecodeError::Text
        };
        assert_eq!(read(&bytes, &limits), Err(error), "{} in {}", text.escape_ascii(), bytes.escape_ascii());
    }
}

#[test]
fn mqtt_1_5_4_3_a_byte_order_mark_is_part_of_its_text() {
    let topic = "\u{FEFF}a";
    let bytes = packet(0x30, &[&framed(topic.as_bytes()), b"x"]);
    let limits = limits(Sender::Client, Some(Version::V311));
    let Ok(Parsed::Packet(Packet::Publish(publish), _)) = read(&bytes, &limits) else { panic!("not read") };
    assert_eq!(publish.topic, topic);
    let mut out = Vec::new();
    encode::packet(&mut out, &publish.into(), Version::V311, 100).unwrap();
    assert_eq!(out, bytes);
    let mut subject = Vec::new();
    subject::put_subject(&mut subject, topic).unwrap();
    assert_eq!(subject, topic.as_bytes());
    assert!(!topic::matches("a", topic));
}

/// Table 2-2 of MQTT 5.0, table 2.2 of 3.1.1: the flags of each packet, of which only those of PUBLISH are free.
#[test]
fn mqtt_2_1_3_1_reserved_flags_are_as_they_must_be() {
    for version in [Version::V311, Version::V5] {
        for (kind, sender) in (1..=15_u8).flat_map(|kind| [(kind, Sender::Client), (kind, Sender::Server)]) {
            let comes_from = match kind {
                1 | 8 | 10 | 12 => sender == Sender::Client,
                2 | 9 | 11 | 13 => sender == Sender::Server,
                14 => sender == Sender::Client || version == Version::V5,
                15 => version == Version::V5,
                _ => true,
            };
            let expected = if matches!(kind, 6 | 8 | 10) { 2 } else { 0 };
            for flags in (0..16).filter(|_| kind != 3) {
                let first = kind << 4 | flags;
                let is_good = parse(&[first], &limits(sender, version_before(&[first], version))).is_ok();
                assert_eq!(is_good, comes_from && flags == expected, "{first:#x} from {sender:?}");
            }
        }
    }
}

/// Every set of fields of CONNECT behind every set of flags: they must be those that the flags name, in their order.
#[test]
fn mqtt_3_1_2_9_and_16_to_19_the_fields_of_connect_are_those_of_its_flags() {
    for version in [Version::V311, Version::V5] {
        let no_properties: &[u8] = if version == Version::V5 { b"\0" } else { b"" };
        let will = [no_properties, b"\x00\x01w\x00\x00"].concat();
        let fields = [will.as_slice(), b"\x00\x03use", b"\x00\x02pa"];
        for (flags, there) in (0..8_u8).flat_map(|flags| (0..8_u8).map(move |there| (flags, there))) {
            let has = |set: u8, field: u8| set & 1 << field != 0;
            let byte =
                u8::from(has(flags, 0)) << 2 | u8::from(has(flags, 1)) << 7 | u8::from(has(flags, 2)) << 6;
            let fields = (0..3)
                .filter(|field| has(there, *field))
                .flat_map(|field| fields[usize::from(field)].to_vec());
            let fields: Vec<u8> = fields.collect();
            let head = [b"\x00\x04MQTT", &[version as u8, byte | 2, 0, 10][..], no_properties, b"\x00\x01c"]
                .concat();
            let bytes = packet(0x10, &[&head, &fields]);
            let is_password_alone = version == Version::V311 && has(flags, 2) && !has(flags, 1);
            // Fields do not say what they are. In 3.1.1 only their number is seen, and a will is two; in MQTT 5 a will begins with properties.
            let shape = |set: u8| {
                let credentials = u8::from(has(set, 1)) + u8::from(has(set, 2));
                let is_will = u8::from(has(set, 0));
                if version == Version::V5 { (is_will, credentials) } else { (0, 2 * is_will + credentials) }
            };
            let is_good = shape(flags) == shape(there) && !is_password_alone;
            assert_eq!(is_read(&bytes, Sender::Client, Some(version)), is_good, "{}", bytes.escape_ascii());
        }
    }
}

#[test]
fn mqtt_3_1_2_11_to_13_flags_of_a_will_mean_nothing_without_one() {
    for version in [Version::V311, Version::V5] {
        let no_properties: &[u8] = if version == Version::V5 { b"\0" } else { b"" };
        for flags in 0..=255_u8 {
            let (is_will, qos) = (flags & 4 != 0, flags >> 3 & 3);
            let will = if is_will { [no_properties, b"\x00\x01w\x00\x00"].concat() } else { Vec::new() };
            let user: &[u8] = if flags & 0x80 != 0 { b"\x00\x01u" } else { b"" };
            let password: &[u8] = if flags & 0x40 != 0 { b"\x00\x01p" } else { b"" };
            let head =
                [b"\x00\x04MQTT", &[version as u8, flags, 0, 10][..], no_properties, b"\x00\x01c"].concat();
            let bytes = packet(0x10, &[&head, &will, user, password]);
            let is_reserved_clear = flags & 1 == 0;
            let is_will_good = if is_will { qos < 3 } else { flags & 0b0011_1000 == 0 };
            let is_user_good = version == Version::V5 || flags & 0xC0 != 0x40;
            let is_good = is_reserved_clear && is_will_good && is_user_good;
            assert_eq!(is_read(&bytes, Sender::Client, Some(version)), is_good, "{flags:#010b} {version:?}");
        }
    }
}

/// The tables of reason codes in the sections of the packets. DISCONNECT has one more by §2.4 (0x8C).
#[test]
fn mqtt_3_2_2_8_and_its_like_each_packet_has_its_reason_codes() {
    use PacketKind as K;
    let refused = [0x80, 0x83, 0x87];
    for (kind, others) in [
        (
            K::ConnAck,
            &[
                0, 0x81, 0x82, 0x84, 0x85, 0x86, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B,
                0x9C, 0x9D, 0x9F,
            ][..],
        ),
        (K::PubAck, &[0, 0x10, 0x90, 0x91, 0x97, 0x99]),
        (K::PubRec, &[0, 0x10, 0x90, 0x91, 0x97, 0x99]),
        (K::SubAck, &[0, 1, 2, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2]),
        (K::UnsubAck, &[0, 0x11, 0x8F, 0x91]),
        (
            K::Disconnect,
            &[
                0, 4, 0x81, 0x82, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
                0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
            ],
        ),
        (K::PubRel, &[0, 0x92]),
        (K::PubComp, &[0, 0x92]),
        (K::Auth, &[0, 0x18, 0x19]),
    ] {
        let may_refuse = !matches!(kind, K::PubRel | K::PubComp | K::Auth);
        for code in 0..=255 {
            let is_there = others.contains(&code) || may_refuse && refused.contains(&code);
            let reason = Reason::of(code);
            assert_eq!(reason.is_some_and(|reason| reason.is_for(kind)), is_there, "{kind} {code:#x}");
        }
    }
}

#[test]
fn mqtt_3_2_2_1_and_6_flags_of_connack() {
    for version in [Version::V31, Version::V311, Version::V5] {
        for (reason, session_present) in
            Reason::ALL.iter().flat_map(|reason| [(*reason, false), (*reason, true)])
        {
            let connack = ConnAck { session_present, reason, properties: Properties::NONE };
            let mut out = Vec::new();
            if !reason.is_for(PacketKind::ConnAck)
                || encode::packet(&mut out, &Packet::ConnAck(connack), version, 100).is_err()
            {
                continue;
            }
            let is_told = session_present && reason == Reason::Success && version != Version::V31;
            assert_eq!(out[2], u8::from(is_told), "{reason:?} {version:?}");
        }
    }
}

#[test]
fn mqtt_4_7_3_3_a_topic_has_at_most_65535_bytes() {
    let longest = "a".repeat(65_535);
    let send = |topic: &str| {
        let (delivery, retain, properties, payload) =
            (Delivery::AtMostOnce, false, Properties::NONE, &b""[..]);
        let publish = Publish { delivery, retain, topic, properties, payload };
        let mut out = Vec::new();
        encode::packet(&mut out, &publish.into(), Version::V311, usize::MAX).map(|()| out)
    };
    let bytes = send(&longest).unwrap();
    let limits = limits(Sender::Client, Some(Version::V311));
    assert!(
        matches!(parse(&bytes, &limits), Ok(Parsed::Packet(Packet::Publish(publish), _)) if publish.topic == longest)
    );
    let too_long = format!("{longest}a");
    assert_eq!(send(&too_long), Err(encode::EncodeError::TooLong(property::TooLong(65_536))));
    let mut filters = Vec::new();
    assert!(Topics::push(&mut filters, &longest).is_ok() && Topics::push(&mut filters, &too_long).is_err());
    let mut properties = PropertiesBuf::default();
    assert!(
        properties.push(Property::ResponseTopic(&too_long)).is_err() && properties.properties().is_empty()
    );
}

/// SUBACK of 3.1.1 knows four codes.
#[test]
fn v311_mqtt_3_9_3_2_suback_has_no_other_codes() {
    for reason in Reason::ALL.iter().filter(|reason| reason.is_for(PacketKind::SubAck)) {
        let codes = [reason.code()];
        let reasons = Reasons::of(&codes).unwrap();
        let suback = SubAck { id: PacketId::new(1).unwrap(), properties: Properties::NONE, reasons };
        let mut out = Vec::new();
        encode::packet(&mut out, &Packet::SubAck(suback), Version::V311, 100).unwrap();
        assert_eq!(out[4], if reason.is_error() { 0x80 } else { reason.code() });
    }
}

/// A packet of MQTT 5 with these properties; `None`: a CONNECT whose will has them.
fn packet_with_properties(kind: Option<PacketKind>, properties: &[u8]) -> Vec<u8> {
    use PacketKind as K;
    let properties = [&[u8::try_from(properties.len()).unwrap()], properties].concat();
    let connect = b"\x00\x04MQTT\x05";
    let code = match kind {
        Some(K::Auth) => 0x18,
        Some(K::PubRel | K::PubComp) => 0x92,
        _ => 0x80,
    };
    match kind {
        None => packet(0x10, &[connect, b"\x06\x00\x0A\x00\x00\x01c", &properties, b"\x00\x01w\x00\x00"]),
        Some(K::Connect) => packet(0x10, &[connect, b"\x02\x00\x0A", &properties, b"\x00\x01c"]),
        Some(K::ConnAck) => packet(0x20, &[b"\x00\x00", &properties]),
        Some(K::Publish) => packet(0x30, &[b"\x00\x01t", &properties]),
        Some(K::Subscribe) => packet(0x82, &[b"\x00\x01", &properties, b"\x00\x01a\x00"]),
        Some(K::Unsubscribe) => packet(0xA2, &[b"\x00\x01", &properties, b"\x00\x01a"]),
        Some(kind @ (K::SubAck | K::UnsubAck)) => {
            packet((kind as u8) << 4, &[b"\x00\x01", &properties, &[code]])
        }
        Some(kind @ (K::Disconnect | K::Auth)) => packet((kind as u8) << 4, &[&[code], &properties]),
        Some(kind) => {
            assert!(matches!(kind, K::PubAck | K::PubRec | K::PubRel | K::PubComp), "{kind}");
            packet(
                (kind as u8) << 4 | if kind == K::PubRel { 2 } else { 0 },
                &[b"\x00\x01", &[code], &properties],
            )
        }
    }
}

/// A property, a value of it, and the packets that it may stand in; `None` is a will.
type Row<'a> = (u8, &'a [u8], &'a [Option<PacketKind>]);

/// Table 2-4 of MQTT 5.0: where each property may stand, and that it stands there once, but for user properties.
#[test]
fn each_property_stands_where_the_table_has_it() {
    use PacketKind as K;
    let (message, both) = ([Some(K::Publish), None], [Some(K::Connect), Some(K::ConnAck)]);
    let (text, numbers): (&[u8], _) = (b"\x00\x01x", [&b"\x01"[..], b"\x00\x01", b"\x00\x00\x00\x01"]);
    let answers =
        [K::PubAck, K::PubRec, K::PubRel, K::PubComp, K::SubAck, K::UnsubAck, K::Disconnect, K::Auth];
    let places =
        [K::Connect, K::ConnAck, K::Publish, K::Subscribe, K::Unsubscribe].into_iter().chain(answers);
    let places: Vec<_> = places.map(Some).chain([None]).collect();
    let reasons: Vec<_> = [K::ConnAck].into_iter().chain(answers).map(Some).collect();
    let table: [Row<'_>; 27] = [
        (0x01, numbers[0], &message),
        (0x02, numbers[2], &message),
        (0x03, text, &message),
        (0x08, text, &message),
        (0x09, text, &message),
        (0x0B, numbers[0], &[Some(K::Publish), Some(K::Subscribe)]),
        (0x11, numbers[2], &[both[0], both[1], Some(K::Disconnect)]),
        (0x12, text, &both[1..]),
        (0x13, numbers[1], &both[1..]),
        (0x15, text, &[both[0], both[1], Some(K::Auth)]),
        (0x16, text, &[both[0], both[1], Some(K::Auth)]),
        (0x17, numbers[0], &both[..1]),
        (0x18, numbers[2], &[None]),
        (0x19, numbers[0], &both[..1]),
        (0x1A, text, &both[1..]),
        (0x1C, text, &[both[1], Some(K::Disconnect)]),
        (0x1F, text, &reasons),
        (0x21, numbers[1], &both),
        (0x22, numbers[1], &both),
        (0x23, numbers[1], &message[..1]),
        (0x24, numbers[0], &both[1..]),
        (0x25, numbers[0], &both[1..]),
        (0x26, b"\x00\x01x\x00\x01x", &places),
        (0x27, numbers[2], &both),
        (0x28, numbers[0], &both[1..]),
        (0x29, numbers[0], &both[1..]),
        (0x2A, numbers[0], &both[1..]),
    ];
    for (id, value, may_stand) in table {
        let one = [&[id], value].concat();
        // Data of a method come with its name.
        let before: &[u8] = if id == 0x16 { b"\x15\x00\x01m" } else { b"" };
        for place in &places {
            let is_read_from_either = |properties: &[u8]| {
                [Sender::Client, Sender::Server].into_iter().any(|sender| {
                    is_read(&packet_with_properties(*place, properties), sender, Some(Version::V5))
                })
            };
            assert_eq!(
                is_read_from_either(&[before, &one].concat()),
                may_stand.contains(place),
                "{id:#x} {place:?}"
            );
            let repeats = id == 0x26 || id == 0x0B && *place == Some(K::Publish);
            let is_twice = is_read_from_either(&[before, &one, &one].concat());
            assert_eq!(is_twice, may_stand.contains(place) && repeats, "{id:#x} twice, {place:?}");
        }
    }
}
