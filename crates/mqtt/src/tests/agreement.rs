//! CONNECT, its answer, and the ends of connections.

use super::*;
use dialtone_wire::mqtt::{ConnAck, Will};
use std::num::{NonZeroU16, NonZeroU32};

fn agreed(connect: &Connect<'_>) -> Result<Agreed, Reason> {
    agree(connect, &Options::default())
}

#[test]
fn mqtt_3_1_3_6_and_7_a_client_without_identifier_is_given_one() {
    let anonymous = Connect { client_id: "", ..connect(Version::V5) };
    let terms = agreed(&anonymous).unwrap();
    assert!(terms.needs_client_id);
    let told = terms.properties(&anonymous, "given", &Options::default());
    assert!(told.properties().iter().any(|property| property == Property::AssignedClientId("given")));
    let named = connect(Version::V5);
    let told = agreed(&named).unwrap().properties(&named, "c", &Options::default());
    assert!(!told.properties().iter().any(|property| matches!(property, Property::AssignedClientId(_))));
}

#[test]
fn v311_mqtt_3_1_3_8_without_identifier_only_for_a_clean_session() {
    let anonymous = Connect { client_id: "", ..connect(Version::V311) };
    assert!(agreed(&anonymous).unwrap().needs_client_id);
    let keeping = Connect { clean_start: false, ..anonymous };
    assert_eq!(agreed(&keeping), Err(Reason::ClientIdentifierNotValid));
    let old = Connect { client_id: "", ..connect(Version::V31) };
    assert_eq!(agreed(&old), Err(Reason::ClientIdentifierNotValid));
}

#[test]
fn v311_mqtt_3_1_2_6_a_clean_session_lasts_as_long_as_the_connection() {
    assert_eq!(agreed(&connect(Version::V311)).unwrap().expiry, Expiry::AtEnd);
    let kept = agreed(&Connect { clean_start: false, ..connect(Version::V311) }).unwrap();
    assert_eq!((kept.expiry, kept.keep), (Expiry::Never, Keep::Resume));
    let client = Client::v311();
    assert!(client.connection.end(Ended::Orderly).session.is_none());
}

/// MQTT 5.0 §3.1.2.11.2: 0 or nothing ends it with the connection, the largest number is for ever.
#[test]
fn session_expiry() {
    for (seconds, expiry) in [(0, Expiry::AtEnd), (1, Expiry::After(1)), (u32::MAX, Expiry::Never)] {
        let asked = properties(&[Property::SessionExpiry(seconds)]);
        let connect = Connect { properties: asked.properties(), ..connect(Version::V5) };
        assert_eq!(agreed(&connect).unwrap().expiry, expiry);
        let options = Options { session_expiry_max: 100, ..Options::default() };
        let terms = agree(&connect, &options).unwrap();
        let is_lowered = seconds > 100;
        assert_eq!(terms.expiry, if is_lowered { Expiry::After(100) } else { expiry });
        let told = terms.properties(&connect, "c", &options);
        let is_told = told.properties().iter().any(|property| property == Property::SessionExpiry(100));
        assert_eq!(is_told, is_lowered);
    }
}

#[test]
fn mqtt_3_1_2_4_and_5_clean_start_forgets_the_session() {
    let mut old = Session::default();
    old.restore_held(id(1));
    let clean = Client::resume(&connect(Version::V5), Options::default(), Some(old.clone()));
    assert!(!clean.connection.holds(id(1)));
    let goes_on = Connect { clean_start: false, ..connect(Version::V5) };
    assert!(Client::resume(&goes_on, Options::default(), Some(old)).connection.holds(id(1)));
}

#[test]
fn mqtt_3_1_2_22_silence_of_one_and_a_half_times_the_keep_alive_ends_it() {
    let mut client = Client::v5();
    let begin = client.now;
    assert_eq!(client.connection.deadline(), Some(begin + Duration::from_secs(15)));
    assert_eq!(client.connection.expire(begin + Duration::from_millis(14_999)), OK);
    assert_eq!(client.connection.expire(begin + Duration::from_secs(15)), refused(Reason::KeepAliveTimeout));
    client.now = begin + Duration::from_secs(14);
    client.send(b"\xC0\x00").unwrap();
    assert_eq!(client.connection.expire(begin + Duration::from_secs(15)), OK);
    let without = Client::new(&Connect { keep_alive: 0, ..connect(Version::V5) }, Options::default());
    assert_eq!(without.connection.deadline(), None);
}

#[test]
fn mqtt_3_2_2_21_and_22_the_server_may_shorten_the_keep_alive() {
    let options = Options { keep_alive_max: 5, ..Options::default() };
    for asked in [0, 10] {
        let connect = Connect { keep_alive: asked, ..connect(Version::V5) };
        let terms = agree(&connect, &options).unwrap();
        assert_eq!(terms.keep_alive, 5);
        let told = terms.properties(&connect, "c", &options);
        assert!(told.properties().iter().any(|property| property == Property::ServerKeepAlive(5)));
        // 3.1.1 cannot be told.
        assert_eq!(
            agree(&Connect { version: Version::V311, ..connect }, &options).unwrap().keep_alive,
            asked
        );
    }
}

#[test]
fn mqtt_3_12_4_1_pingreq_is_answered() {
    let mut client = Client::v311();
    client.send(b"\xC0\x00").unwrap();
    assert_eq!(client.packets(), ["PingResp"]);
}

#[test]
fn mqtt_3_2_0_1_connack_is_the_first_packet() {
    let mut session = Session::default();
    session.restore_in_flight(id(3), Place(7), None);
    let goes_on = Connect { clean_start: false, ..connect(Version::V311) };
    let mut client = Client::resume(&goes_on, Options::default(), Some(session));
    client
        .with(|connection, out, commands| connection.welcome(true, Properties::NONE, out, commands))
        .unwrap();
    let connack = ConnAck { session_present: true, reason: Reason::Success, properties: Properties::NONE };
    assert_eq!(client.packets(), [short(&Packet::ConnAck(connack)), "PUBREL 3 Success".into()]);
}

#[test]
fn what_is_refused_at_connect() {
    let will =
        Will { qos: Qos::ExactlyOnce, retain: false, topic: "w", properties: Properties::NONE, payload: b"" };
    let with = |will| Connect { will: Some(will), ..connect(Version::V5) };
    assert!(agreed(&with(will)).is_ok());
    for topic in ["", "a/#", "+"] {
        assert_eq!(agreed(&with(Will { topic, ..will })), Err(Reason::TopicNameInvalid));
    }
    let options = Options { reject_qos2_publish: true, ..Options::default() };
    assert_eq!(agree(&with(will), &options), Err(Reason::QosNotSupported));
    let method = properties(&[Property::AuthMethod("m")]);
    let auth = Connect { properties: method.properties(), ..connect(Version::V5) };
    assert_eq!(agreed(&auth), Err(Reason::BadAuthenticationMethod));
}

fn with_will(delay: u32, expiry: u32) -> Client {
    let wills = properties(&[Property::WillDelay(delay), Property::ContentType("text")]);
    let own = properties(&[Property::SessionExpiry(expiry)]);
    let will = Will {
        qos: Qos::AtLeastOnce,
        retain: true,
        topic: "w",
        properties: wills.properties(),
        payload: b"bye",
    };
    Client::new(
        &Connect { will: Some(will), properties: own.properties(), ..connect(Version::V5) },
        Options::default(),
    )
}

#[test]
fn mqtt_3_1_2_8_and_10_the_will_is_published_unless_the_end_is_orderly() {
    let broken = || Ended::Refused(Reason::UnspecifiedError);
    let rest = with_will(0, 0).connection.end(broken());
    let (will, delay) = rest.will.unwrap();
    assert_eq!((will.message().topic, will.message().payload, delay), ("w", &b"bye"[..], Duration::ZERO));
    let published: Vec<_> = will.message().properties.iter().collect();
    assert_eq!(published, [Property::ContentType("text")], "the delay is not published");
    let mut client = with_will(0, 0);
    assert_eq!(client.send(b"\xE0\x00"), Err(Ended::Orderly));
    assert!(client.connection.end(Ended::Orderly).will.is_none());
    let mut client = with_will(0, 0);
    assert_eq!(client.send(b"\xE0\x01\x04"), Err(Ended::WithWill));
    assert!(client.connection.end(Ended::WithWill).will.is_some());
}

#[test]
fn mqtt_3_1_3_9_the_will_waits_no_longer_than_the_session_lives() {
    for (delay, expiry, waits) in [(60, 0, 0), (60, 10, 10), (60, 100, 60), (60, u32::MAX, 60)] {
        let rest = with_will(delay, expiry).connection.end(Ended::Refused(Reason::SessionTakenOver));
        assert_eq!(rest.will.unwrap().1, Duration::from_secs(waits));
        assert_eq!(rest.session.is_some(), expiry > 0);
    }
}

/// MQTT 5.0 §3.14.2.2.2.
#[test]
fn disconnect_may_change_the_expiry_of_a_session_that_lives() {
    let later = b"\xE0\x07\x00\x05\x11\x00\x00\x00\x3C";
    assert_eq!(with_will(0, 0).send(later), refused(Reason::ProtocolError));
    let mut client = with_will(0, 10);
    assert_eq!(client.send(later), Err(Ended::Orderly));
    assert_eq!(client.connection.session().expiry(), Expiry::After(60));
    let mut client = with_will(0, 10);
    assert_eq!(client.send(b"\xE0\x07\x00\x05\x11\x00\x00\x00\x00"), Err(Ended::Orderly));
    assert!(client.connection.end(Ended::Orderly).session.is_none());
}

#[test]
fn mqtt_4_13_1_1_only_mqtt_5_is_told_why() {
    let mut client = Client::v5();
    client.with(|connection, out, _| connection.farewell(Reason::SessionTakenOver, Properties::NONE, out));
    assert_eq!(client.packets(), ["DISCONNECT SessionTakenOver"]);
    let mut client = Client::v311();
    client.with(|connection, out, _| connection.farewell(Reason::SessionTakenOver, Properties::NONE, out));
    assert!(client.packets().is_empty());
}

#[test]
fn mqtt_3_14_2_3_more_is_said_at_the_end_where_there_is_room() {
    let more = properties(&[Property::ServerReference("a:1 b:1"), Property::ReasonString("why")]);
    for (max, expected) in [
        (20, &b"\xE0\x12\x9C\x10\x1C\x00\x07a:1 b:1\x1F\x00\x03why"[..]),
        (19, &b"\xE0\x01\x9C"[..]),
        (2, b""),
    ] {
        let asked = properties(&[Property::MaximumPacketSize(NonZeroU32::new(max).unwrap())]);
        let connect = Connect { properties: asked.properties(), ..connect(Version::V5) };
        let client = Client::new(&connect, Options::default());
        let mut out = Vec::new();
        client.connection.farewell(Reason::UseAnotherServer, more.properties(), &mut out);
        assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{max}");
    }
}

#[test]
fn mqtt_3_4_2_2_and_3_5_2_2_reasons_are_told_to_who_wants_them_and_has_room() {
    for (wanted, max, expected) in [
        (true, 100, &b"\x40\x0A\x00\x01\x97\x06\x1F\x00\x03why"[..]),
        (true, 11, b"\x40\x03\x00\x01\x97"),
        (false, 100, b"\x40\x03\x00\x01\x97"),
    ] {
        let asked = properties(&[
            Property::RequestProblemInfo(wanted),
            Property::MaximumPacketSize(NonZeroU32::new(max).unwrap()),
        ]);
        let connect = Connect { properties: asked.properties(), ..connect(Version::V5) };
        let mut client = Client::new(&connect, Options::default());
        client.publish(Qos::AtLeastOnce, 1).unwrap();
        client.publish(Qos::ExactlyOnce, 2).unwrap();
        let mut out = Vec::new();
        let why = Some("why");
        client.connection.stored_because(Ticket::Once(id(1)), Reason::QuotaExceeded, why, &mut out);
        assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
        out.clear();
        client.connection.stored_because(Ticket::Held(id(2)), Reason::QuotaExceeded, why, &mut out);
        assert_eq!(out.len(), expected.len());
        // What was done needs no reason.
        client.publish(Qos::AtLeastOnce, 1).unwrap();
        out.clear();
        client.connection.stored_because(Ticket::Once(id(1)), Reason::Success, why, &mut out);
        assert_eq!(out, b"\x40\x02\x00\x01");
    }
}

/// What a client asks for and what the server grants, the lower of both.
#[test]
fn limits_of_both_ends() {
    let asked = properties(&[
        Property::ReceiveMaximum(NonZeroU16::new(3).unwrap()),
        Property::TopicAliasMaximum(100),
        Property::MaximumPacketSize(NonZeroU32::new(50).unwrap()),
        Property::RequestProblemInfo(false),
    ]);
    let terms = agreed(&Connect { properties: asked.properties(), ..connect(Version::V5) }).unwrap();
    let expected = (3, 16, 50, false);
    assert_eq!(
        (terms.window.get(), terms.topic_alias_max, terms.packet_bytes_max, terms.problem_info),
        expected
    );
    let plain = agreed(&connect(Version::V5)).unwrap();
    assert_eq!((plain.window.get(), plain.topic_alias_max, plain.packet_bytes_max), (1024, 0, usize::MAX));
}
