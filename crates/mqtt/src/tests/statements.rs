//! More statements of MQTT 3.1.1 and 5.0, of which docs/mqtt-statements.md has the list.

use super::*;
use dialtone_wire::mqtt::{SubscribeOptions, Will};
use std::num::NonZeroU16;

#[test]
fn mqtt_3_1_3_5_identifiers_that_every_server_takes() {
    let letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for version in [Version::V31, Version::V311, Version::V5] {
        for at in 0..letters.len() {
            let longest: String = letters.chars().cycle().skip(at).take(23).collect();
            for client_id in [&longest[..1], &longest] {
                let connect = Connect { client_id, ..connect(version) };
                let agreed = agree(&connect, &Options::default()).unwrap();
                assert!(!agreed.needs_client_id);
            }
        }
    }
}

/// [MQTT-3.1.2-12] of 3.1.1, too: without a will there is none.
#[test]
fn mqtt_3_1_2_14_and_15_the_will_is_retained_if_it_says_so() {
    for (retain, qos) in [(false, Qos::AtMostOnce), (true, Qos::AtLeastOnce), (false, Qos::ExactlyOnce)] {
        let will = Will { qos, retain, topic: "w", properties: Properties::NONE, payload: b"bye" };
        let client = Client::new(&Connect { will: Some(will), ..connect(Version::V311) }, Options::default());
        let rest = client.connection.end(Ended::Refused(Reason::UnspecifiedError));
        let message = rest.will.as_ref().unwrap().0.message();
        assert_eq!((message.retain, message.qos, message.payload), (retain, qos, &b"bye"[..]));
    }
    let without = Client::v311().connection.end(Ended::Refused(Reason::UnspecifiedError));
    assert!(without.will.is_none());
}

#[test]
fn mqtt_3_1_3_10_user_properties_of_the_will_keep_their_order() {
    let list = ["b", "a", "b", "c"].map(|name| Property::UserProperty((name, "v")));
    let wills = properties(&[list[0], Property::WillDelay(5), list[1], list[2], list[3]]);
    let (qos, retain, properties) = (Qos::AtMostOnce, false, wills.properties());
    let will = Will { qos, retain, topic: "w", properties, payload: b"" };
    let own = OwnWill::of(&will);
    assert_eq!(own.message().properties.iter().collect::<Vec<_>>(), list);
}

/// Nothing of what is not asked for is in CONNACK or in any answer.
#[test]
fn mqtt_3_1_2_28_and_29_no_information_that_was_not_asked_for() {
    let asked = properties(&[Property::RequestProblemInfo(false), Property::RequestResponseInfo(false)]);
    let connect = Connect { client_id: "", properties: asked.properties(), ..connect(Version::V5) };
    let options = Options { keep_alive_max: 5, reject_qos2_publish: true, ..Options::default() };
    let told = agree(&connect, &options).unwrap().properties(&connect, "given", &options);
    let is_extra = |property: &Property<'_>| {
        matches!(property, Property::ResponseInfo(_) | Property::ReasonString(_) | Property::UserProperty(_))
    };
    assert!(!told.properties().iter().any(|property| is_extra(&property)));
    let mut client = Client::new(&connect, Options::default());
    client.publish(Qos::AtLeastOnce, 1).unwrap();
    client.stored(Ticket::Once(id(1)), Reason::NotAuthorized);
    client.publish(Qos::ExactlyOnce, 2).unwrap();
    client.stored(Ticket::Held(id(2)), Reason::QuotaExceeded);
    client.send(b"\x62\x02\x00\x02").unwrap();
    client.stored(Ticket::Released(id(2)), Reason::PacketIdentifierNotFound);
    client.send(b"\x82\x07\x00\x03\x00\x00\x01a\x00").unwrap();
    client.with(|connection, _, commands| connection.granted(id(3), 0, Err(Reason::NotAuthorized), commands));
    client.with(|connection, out, _| connection.saved(id(3), out));
    // Three acknowledgements of a reason and no more, and a SUBACK with properties of length 0.
    assert_eq!(
        client.bytes,
        b"\x40\x03\x00\x01\x87\x50\x03\x00\x02\x97\x70\x03\x00\x02\x92\x90\x04\x00\x03\x00\x87"
    );
}

/// The session is there as long as the connection, and afterwards for as long as was agreed.
#[test]
fn mqtt_3_1_2_6_and_23_and_4_1_0_1_a_session_is_kept_when_it_may_live() {
    let own = properties(&[Property::SessionExpiry(60)]);
    let keeps = Connect { clean_start: false, properties: own.properties(), ..connect(Version::V5) };
    let mut client = Client::resume(&keeps, Options::default(), None);
    assert!(client.connection.session().subscriptions().is_empty(), "a new one");
    client.send(b"\x82\x07\x00\x01\x00\x00\x01a\x01").unwrap();
    client.with(|connection, _, commands| connection.granted(id(1), 0, Ok(Qos::ExactlyOnce), commands));
    for _ in 0..3 {
        client.send(b"\xC0\x00").unwrap();
        assert_eq!(client.connection.session().subscriptions().len(), 1);
    }
    let kept = client.connection.end(Ended::Refused(Reason::KeepAliveTimeout)).session.unwrap();
    assert_eq!((kept.subscriptions().len(), kept.expiry()), (1, Expiry::After(60)));
}

/// DUP of what comes says nothing: the same command as without, and no DUP in what is sent on.
#[test]
fn mqtt_3_3_1_3_and_4_3_2_5_dup_is_not_passed_on() {
    let mut client = Client::v5();
    client.send(b"\x32\x07\x00\x01t\x00\x07\x00x").unwrap();
    client.stored(Ticket::Once(id(7)), Reason::Success);
    let first = client.commands();
    client.send(b"\x3A\x07\x00\x01t\x00\x07\x00x").unwrap();
    client.stored(Ticket::Once(id(7)), Reason::Success);
    assert_eq!(client.commands(), first, "a new publication");
    assert_eq!(client.packets(), ["PUBACK 7 Success"; 2]);
    client.deliver(Qos::AtLeastOnce, 1);
    client.deliver(Qos::ExactlyOnce, 2);
    client.deliver(Qos::AtMostOnce, 0);
    assert!(client.packets().iter().all(|packet| !packet.ends_with("dup")));
}

/// Without a window for messages everything else goes on.
#[test]
fn mqtt_3_3_4_10_and_4_9_0_3_a_full_window_holds_back_messages_only() {
    let asked = properties(&[Property::ReceiveMaximum(NonZeroU16::MIN)]);
    let with = Connect { properties: asked.properties(), ..connect(Version::V5) };
    let mut client = Client::new(&with, Options::default());
    assert_eq!(client.deliver(Qos::ExactlyOnce, 1), Delivered::Sent);
    assert_eq!(client.deliver(Qos::AtLeastOnce, 2), Delivered::Full);
    client.packets();
    client.send(b"\xC0\x00").unwrap();
    client.publish(Qos::AtLeastOnce, 9).unwrap();
    client.stored(Ticket::Once(id(9)), Reason::Success);
    client.send(b"\x82\x07\x00\x03\x00\x00\x01a\x01").unwrap();
    client.with(|connection, _, commands| connection.granted(id(3), 0, Ok(Qos::ExactlyOnce), commands));
    client.with(|connection, out, _| connection.saved(id(3), out));
    client.send(b"\x50\x02\x00\x01").unwrap();
    client.stored(Ticket::Received(id(1)), Reason::Success);
    let expected = ["PingResp", "PUBACK 9 Success", "SUBACK 3 [GrantedQos1]", "PUBREL 1 Success"];
    assert_eq!(client.packets(), expected);
    // PUBREC does not make room, PUBCOMP does.
    assert_eq!(client.deliver(Qos::AtLeastOnce, 2), Delivered::Full);
    client.send(b"\x70\x02\x00\x01").unwrap();
    assert_eq!(client.deliver(Qos::AtLeastOnce, 2), Delivered::Sent);
}

/// Errors of clients are answers like others: the message is over, for all.
#[test]
fn mqtt_4_4_0_2_and_4_8_2_6_a_message_that_a_client_refuses_is_over() {
    let keeps = Connect { clean_start: false, ..connect(Version::V5) };
    let own = properties(&[Property::SessionExpiry(60)]);
    let keeps = Connect { properties: own.properties(), ..keeps };
    let mut client = Client::new(&keeps, Options::default());
    client.deliver(Qos::AtLeastOnce, 5);
    client.deliver(Qos::ExactlyOnce, 6);
    client.send(b"\x40\x03\x00\x01\x83").unwrap();
    client.send(b"\x50\x03\x00\x02\x97").unwrap();
    assert_eq!(client.commands(), ["Acknowledge(Place(5))", "Room", "Acknowledge(Place(6))", "Room"]);
    let session = client.connection.end(Ended::Refused(Reason::UnspecifiedError)).session;
    let mut client = Client::resume(&keeps, Options::default(), session);
    client
        .with(|connection, out, commands| connection.welcome(true, Properties::NONE, out, commands))
        .unwrap();
    assert!(client.commands().is_empty() && client.packets().len() == 1, "CONNACK and nothing again");
}

#[test]
fn mqtt_4_4_0_1_nothing_is_sent_again_while_the_connection_lasts() {
    let mut client = Client::v5();
    client.deliver(Qos::AtLeastOnce, 1);
    client.deliver(Qos::ExactlyOnce, 2);
    client.packets();
    for minutes in 1..10 {
        client.now += Duration::from_secs(5 * minutes);
        client.send(b"\xC0\x00").unwrap();
        let now = client.now;
        client.connection.expire(now).unwrap();
        assert_eq!((client.packets(), client.commands().len()), (vec!["PingResp".to_string()], 0));
        // Nor when the stream brings it again.
        let message = Message { topic: "t", retain: false, properties: Properties::NONE, payload: b"x" };
        for place in [1, 2] {
            let is_there = client.with(|connection, out, commands| {
                connection.deliver_again(Place(place), &message, out, commands)
            });
            assert!(is_there && client.packets().is_empty());
        }
    }
    client.send(b"\x50\x02\x00\x02").unwrap();
    client.stored(Ticket::Received(id(2)), Reason::Success);
    client.with(|connection, out, _| connection.release(id(2), Place(2), true, out));
    assert_eq!(client.packets(), ["PUBREL 2 Success"], "and not again");
}

#[test]
fn mqtt_3_10_4_3_what_was_sent_is_completed_after_unsubscribe() {
    let mut client = Client::v5();
    client.send(b"\x82\x07\x00\x01\x00\x00\x01t\x02").unwrap();
    client.with(|connection, _, commands| connection.granted(id(1), 0, Ok(Qos::ExactlyOnce), commands));
    client.with(|connection, out, _| connection.saved(id(1), out));
    client.deliver(Qos::AtLeastOnce, 5);
    client.deliver(Qos::ExactlyOnce, 6);
    client.send(b"\xA2\x06\x00\x02\x00\x00\x01t").unwrap();
    client.with(|connection, out, _| connection.saved(id(2), out));
    client.packets();
    client.commands();
    client.send(b"\x40\x02\x00\x01").unwrap();
    client.send(b"\x50\x02\x00\x02").unwrap();
    client.stored(Ticket::Received(id(2)), Reason::Success);
    client.send(b"\x70\x02\x00\x02").unwrap();
    assert_eq!(client.packets(), ["PUBREL 2 Success"]);
    let ends: Vec<_> = client.commands().into_iter().filter(|of| of.starts_with("Acknowledge")).collect();
    assert_eq!(ends, ["Acknowledge(Place(5))", "Acknowledge(Place(6))"]);
}

/// Filters are compared as they are written, not by what they match.
#[test]
fn mqtt_3_10_4_1_filters_are_compared_character_by_character() {
    let mut client = Client::v311();
    client.send(b"\x82\x08\x00\x01\x00\x03a/+\x01").unwrap();
    client.with(|connection, _, commands| connection.granted(id(1), 0, Ok(Qos::ExactlyOnce), commands));
    client.commands();
    for (other, at) in [b"a/#", b"a/b", b"A/+", b"#/+"].into_iter().zip(2..) {
        client.send(&[b"\xA2\x07\x00", &[at][..], b"\x00\x03", other].concat()).unwrap();
        assert_eq!(client.commands(), [format!("Save(PacketId({at}))")]);
    }
    assert_eq!(client.connection.session().subscriptions().len(), 1);
    client.send(b"\xA2\x07\x00\x09\x00\x03a/+").unwrap();
    assert!(client.connection.session().subscriptions().is_empty());
}

/// Aliases end with their connection, in both directions.
#[test]
fn mqtt_3_3_2_7_aliases_are_forgotten_with_the_connection() {
    let own = properties(&[Property::SessionExpiry(60), Property::TopicAliasMaximum(5)]);
    let keeps = Connect { clean_start: false, properties: own.properties(), ..connect(Version::V5) };
    let mut client = Client::new(&keeps, Options::default());
    client.send(b"\x30\x07\x00\x01a\x03\x23\x00\x01").unwrap();
    client.deliver(Qos::AtMostOnce, 0);
    client.deliver(Qos::AtMostOnce, 0);
    assert_eq!(client.packets(), [r#"PUBLISH "t" qos 0"#, r#"PUBLISH "" qos 0"#]);
    let session = client.connection.end(Ended::Orderly).session;
    let mut client = Client::resume(&keeps, Options::default(), session);
    client.deliver(Qos::AtMostOnce, 0);
    assert_eq!(client.packets(), [r#"PUBLISH "t" qos 0"#]);
    assert_eq!(client.send(b"\x30\x06\x00\x00\x03\x23\x00\x01"), refused(Reason::ProtocolError));
}

/// From 1 to the maximum that CONNACK tells, all aliases are taken.
#[test]
fn mqtt_3_3_2_12_every_alias_up_to_the_maximum_is_taken() {
    let options = Options { topic_alias_max: 300, ..Options::default() };
    let mut client = Client::new(&connect(Version::V5), options);
    for alias in (1..=300_u16).rev() {
        let [high, low] = alias.to_be_bytes();
        client.send(&[0x30, 7, 0, 1, b'a', 3, 0x23, high, low]).unwrap();
    }
    assert_eq!(client.send(b"\x30\x07\x00\x01a\x03\x23\x01\x2D"), refused(Reason::TopicAliasInvalid));
}

/// What the options of a subscription say is what the server is asked for.
#[test]
fn mqtt_3_8_3_3_options_reach_the_server() {
    let mut client = Client::v5();
    for (byte, no_local, retain_as_published) in
        [(0x00, false, false), (0x04, true, false), (0x08, false, true)]
    {
        client.send(&[0x82, 7, 0, 1, 0, 0, 1, b'a', byte]).unwrap();
        client.with(|connection, _, commands| connection.granted(id(1), 0, Ok(Qos::ExactlyOnce), commands));
        let subscribed = &client.connection.session().subscriptions()[0];
        let expected = SubscribeOptions { no_local, retain_as_published, ..SubscribeOptions::default() };
        assert_eq!(subscribed.options, expected);
        let commands = client.commands().concat();
        assert!(commands.contains(&format!("{expected:?}")), "{commands}");
        client.with(|connection, out, _| connection.saved(id(1), out));
    }
}

/// A server that refuses to publish with 2 grants subscriptions with it all the same.
#[test]
fn mqtt_3_2_2_10_subscriptions_of_quality_of_service_2_where_it_cannot_be_published() {
    let options = Options { reject_qos2_publish: true, ..Options::default() };
    let mut client = Client::new(&connect(Version::V5), options);
    client.send(b"\x82\x07\x00\x01\x00\x00\x01a\x02").unwrap();
    client.with(|connection, _, commands| connection.granted(id(1), 0, Ok(Qos::ExactlyOnce), commands));
    client.with(|connection, out, _| connection.saved(id(1), out));
    assert_eq!(client.packets(), ["SUBACK 1 [GrantedQos2]"]);
}

/// CONNACK with an identifier that does not fit is not sent at all, and no packet is longer than was asked for.
#[test]
fn mqtt_3_1_2_24_no_packet_is_longer_than_the_client_takes() {
    let asked = properties(&[Property::MaximumPacketSize(std::num::NonZeroU32::new(4).unwrap())]);
    let with = Connect { properties: asked.properties(), ..connect(Version::V5) };
    let mut client = Client::new(&with, Options::default());
    let welcome = |connection: &mut Connection, out: &mut Vec<u8>, commands: &mut dyn FnMut(Command<'_>)| {
        connection.welcome(false, Properties::NONE, out, commands)
    };
    assert_eq!(client.with(welcome), refused(Reason::PacketTooLarge));
    client.deliver(Qos::AtMostOnce, 0);
    client.send(b"\x82\x07\x00\x01\x00\x00\x01a\x02").unwrap();
    client.with(|connection, _, commands| connection.granted(id(1), 0, Ok(Qos::ExactlyOnce), commands));
    client.with(|connection, out, _| connection.saved(id(1), out));
    client.publish(Qos::AtLeastOnce, 1).unwrap();
    client.stored(Ticket::Once(id(1)), Reason::NotAuthorized);
    client.send(b"\xC0\x00").unwrap();
    client.with(|connection, out, _| connection.farewell(Reason::ServerShuttingDown, Properties::NONE, out));
    assert_eq!(client.packets(), ["PingResp", "DISCONNECT ServerShuttingDown"]);
}

/// Expiry is for who waits to deliver: once a message was sent, its exchange goes on to its end.
#[test]
fn mqtt_4_3_3_7_what_was_sent_does_not_expire() {
    let own = properties(&[Property::SessionExpiry(u32::MAX)]);
    let keeps =
        Connect { clean_start: false, keep_alive: 0, properties: own.properties(), ..connect(Version::V5) };
    let mut client = Client::new(&keeps, Options::default());
    let short = properties(&[Property::MessageExpiry(1)]);
    let message = Message { topic: "t", retain: false, properties: short.properties(), payload: b"x" };
    client.with(|connection, out, commands| {
        connection.deliver_stored(&message, (Qos::ExactlyOnce, false), Place(5), out, commands)
    });
    client.now += Duration::from_secs(3600);
    client.connection.expire(client.now).unwrap();
    assert_eq!(client.connection.session().in_flight().count(), 1);
    let session = client.connection.end(Ended::Refused(Reason::UnspecifiedError)).session;
    let mut client = Client::resume(&keeps, Options::default(), session);
    client
        .with(|connection, out, commands| connection.welcome(true, Properties::NONE, out, commands))
        .unwrap();
    assert_eq!(client.commands(), ["Fetch(PacketId(1), Place(5))"]);
    client.with(|connection, out, commands| connection.fetched(id(1), Some(&message), out, commands));
    assert_eq!(client.packets()[1..], [r#"PUBLISH "t" qos 2 1 dup"#]);
}

#[test]
fn mqtt_4_3_3_13_an_exchange_goes_on_whatever_becomes_of_its_message() {
    let mut client = Client::v5();
    client.send(b"\x34\x0C\x00\x01t\x00\x07\x05\x02\x00\x00\x00\x00x").unwrap();
    client.stored(Ticket::Held(id(7)), Reason::Success);
    client.send(b"\x62\x02\x00\x07").unwrap();
    assert_eq!(client.commands().pop().unwrap(), "Release(PacketId(7))");
    client.stored(Ticket::Released(id(7)), Reason::PacketIdentifierNotFound);
    assert_eq!(client.packets(), ["PUBREC 7 Success", "PUBCOMP 7 Success"]);
    assert!(!client.connection.holds(id(7)));
}
