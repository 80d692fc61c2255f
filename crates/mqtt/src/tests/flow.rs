//! Messages of each quality of service, both ways.

use super::*;
use std::num::{NonZeroU16, NonZeroU32};

#[test]
fn mqtt_4_3_1_1_quality_of_service_0_is_published_without_an_answer() {
    let mut client = Client::v311();
    client.publish(Qos::AtMostOnce, 1).unwrap();
    let commands = client.commands();
    assert!(commands.len() == 1 && commands[0].ends_with("None)"), "{commands:?}");
    assert_eq!(client.deliver(Qos::AtMostOnce, 0), Delivered::Sent);
    assert_eq!(client.packets(), [r#"PUBLISH "t" qos 0"#]);
}

#[test]
fn mqtt_4_3_2_4_puback_comes_when_it_is_stored() {
    let mut client = Client::v5();
    client.publish(Qos::AtLeastOnce, 7).unwrap();
    assert!(client.commands()[0].contains("Once(PacketId(7))"));
    assert!(client.packets().is_empty(), "nothing is stored yet");
    client.stored(Ticket::Once(id(7)), Reason::Success);
    assert_eq!(client.packets(), ["PUBACK 7 Success"]);
    client.publish(Qos::AtLeastOnce, 8).unwrap();
    client.stored(Ticket::Once(id(8)), Reason::NotAuthorized);
    assert_eq!(client.packets(), ["PUBACK 8 NotAuthorized"]);
}

#[test]
fn mqtt_4_3_3_10_and_11_a_message_of_quality_of_service_2_is_published_once() {
    let mut client = Client::v311();
    client.publish(Qos::ExactlyOnce, 7).unwrap();
    assert!(client.commands()[0].starts_with("Hold(PacketId(7)"));
    client.publish(Qos::ExactlyOnce, 7).unwrap();
    assert!(client.commands().is_empty() && client.packets().is_empty(), "the answer is under way");
    client.stored(Ticket::Held(id(7)), Reason::Success);
    assert_eq!(client.packets(), ["PUBREC 7 Success"]);
    client.publish(Qos::ExactlyOnce, 7).unwrap();
    assert_eq!((client.packets(), client.commands().len()), (vec!["PUBREC 7 Success".to_string()], 0));
    client.send(b"\x62\x02\x00\x07").unwrap();
    client.send(b"\x62\x02\x00\x07").unwrap();
    assert_eq!((client.commands(), client.packets().len()), (vec!["Release(PacketId(7))".to_string()], 0));
    client.stored(Ticket::Released(id(7)), Reason::Success);
    assert_eq!(client.packets(), ["PUBCOMP 7 Success"]);
    // The identifier is free.
    client.publish(Qos::ExactlyOnce, 7).unwrap();
    assert_eq!(client.commands().len(), 1);
}

#[test]
fn mqtt_4_3_3_9_a_refused_message_frees_its_identifier() {
    let mut client = Client::v5();
    client.publish(Qos::ExactlyOnce, 7).unwrap();
    client.stored(Ticket::Held(id(7)), Reason::QuotaExceeded);
    assert_eq!(client.packets(), ["PUBREC 7 QuotaExceeded"]);
    assert!(!client.connection.holds(id(7)));
    client.send(b"\x62\x02\x00\x07").unwrap();
    assert!(client.packets().is_empty());
    client.stored(Ticket::Released(id(7)), Reason::PacketIdentifierNotFound);
    assert_eq!(client.packets(), ["PUBCOMP 7 PacketIdentifierNotFound"]);
}

/// What is held from a connection before is known to the stream alone, so it is asked.
#[test]
fn a_release_of_something_unknown_is_asked_about() {
    let mut client = Client::v311();
    client.send(b"\x62\x02\x00\x07").unwrap();
    client.send(b"\x62\x02\x00\x07").unwrap();
    assert_eq!((client.commands(), client.packets()), (vec!["Release(PacketId(7))".to_owned()], Vec::new()));
    client.stored(Ticket::Released(id(7)), Reason::Success);
    assert_eq!(client.packets(), ["PUBCOMP 7 Success"]);
    assert!(!client.connection.holds(id(7)));
}

/// A stream brings again what was not acknowledged in time: the step that it is at is sent again.
#[test]
fn what_comes_again_is_sent_again_at_its_step() {
    let mut client = Client::v311();
    client.deliver(Qos::ExactlyOnce, 5);
    let message = Message { topic: "t", retain: false, properties: Properties::NONE, payload: b"x" };
    let again = |client: &mut Client, place: u64| {
        client
            .with(|connection, out, commands| connection.deliver_again(Place(place), &message, out, commands))
    };
    assert!(again(&mut client, 5) && !again(&mut client, 6));
    assert_eq!(client.packets(), ["PUBLISH \"t\" qos 2 1", "PUBLISH \"t\" qos 2 1 dup"]);
    client.send(b"\x50\x02\x00\x01").unwrap();
    client.stored(Ticket::Received(id(1)), Reason::Success);
    assert!(again(&mut client, 5));
    assert_eq!(client.packets(), ["PUBREL 1 Success", "PUBREL 1 Success"]);
    client.with(|connection, out, _| connection.release(id(1), Place(5), false, out));
    assert!(client.packets().is_empty());
    // One of a connection before is asked for at once.
    client.with(|connection, out, _| connection.release(id(9), Place(8), false, out));
    client.with(|connection, out, _| connection.release(id(9), Place(8), true, out));
    assert_eq!(client.packets(), ["PUBREL 9 Success", "PUBREL 9 Success"]);
    client.commands();
    client.send(b"\x70\x02\x00\x09").unwrap();
    assert_eq!(client.commands(), ["Acknowledge(Place(8))", "Room"]);
}

#[test]
fn mqtt_3_3_4_7_and_8_more_than_the_receive_maximum_ends_it() {
    let options = Options { receive_maximum: NonZeroU16::new(2).unwrap(), ..Options::default() };
    let mut client = Client::new(&connect(Version::V5), options);
    client.publish(Qos::AtLeastOnce, 1).unwrap();
    client.publish(Qos::ExactlyOnce, 2).unwrap();
    client.publish(Qos::AtMostOnce, 0).unwrap();
    client.publish(Qos::ExactlyOnce, 2).unwrap();
    assert_eq!(client.publish(Qos::AtLeastOnce, 3), refused(Reason::ReceiveMaximumExceeded));
    client.stored(Ticket::Once(id(1)), Reason::Success);
    client.publish(Qos::AtLeastOnce, 3).unwrap();
    let mut old = Client::new(&connect(Version::V311), options);
    (1..10).for_each(|pid| old.publish(Qos::AtLeastOnce, pid).unwrap());
}

#[test]
fn quality_of_service_2_can_be_refused() {
    let options = Options { reject_qos2_publish: true, ..Options::default() };
    let mut client = Client::new(&connect(Version::V5), options);
    assert_eq!(client.publish(Qos::ExactlyOnce, 1), refused(Reason::QosNotSupported));
    let terms = agree(&connect(Version::V5), &options).unwrap();
    let told = terms.properties(&connect(Version::V5), "c", &options);
    assert!(told.properties().iter().any(|property| property == Property::MaximumQos(true)));
}

#[test]
fn mqtt_3_3_2_7_to_9_topic_aliases_of_the_client() {
    let mut client = Client::v5();
    client.send(b"\x30\x07\x00\x01a\x03\x23\x00\x02").unwrap();
    client.send(b"\x30\x06\x00\x00\x03\x23\x00\x02").unwrap();
    client.send(b"\x30\x07\x00\x01b\x03\x23\x00\x02").unwrap();
    client.send(b"\x30\x06\x00\x00\x03\x23\x00\x02").unwrap();
    let topics: Vec<String> =
        client.commands().iter().map(|command| command[28..].chars().take(1).collect()).collect();
    assert_eq!(topics.concat(), "aabb");
    assert_eq!(client.send(b"\x30\x06\x00\x00\x03\x23\x00\x01"), refused(Reason::ProtocolError));
    assert_eq!(client.send(b"\x30\x07\x00\x01a\x03\x23\x00\x11"), refused(Reason::TopicAliasInvalid));
}

#[test]
fn mqtt_3_1_2_26_and_27_topic_aliases_of_the_server_stay_below_the_maximum() {
    let asked = properties(&[Property::TopicAliasMaximum(1)]);
    let with = Connect { properties: asked.properties(), ..connect(Version::V5) };
    let mut client = Client::new(&with, Options::default());
    let mut deliver = |topic| {
        let message = Message { topic, retain: false, properties: Properties::NONE, payload: b"" };
        client.with(|connection, out, _| connection.deliver(&message, out));
        client.packets().concat()
    };
    assert_eq!(deliver("a"), r#"PUBLISH "a" qos 0"#);
    assert_eq!(deliver("a"), r#"PUBLISH "" qos 0"#);
    assert_eq!(deliver("b"), r#"PUBLISH "b" qos 0"#);
    assert_eq!(deliver("b"), r#"PUBLISH "b" qos 0"#);
    let mut without = Client::v5();
    without.deliver(Qos::AtMostOnce, 0);
    without.deliver(Qos::AtMostOnce, 0);
    assert_eq!(without.packets(), [r#"PUBLISH "t" qos 0"#; 2]);
}

#[test]
fn mqtt_3_1_2_24_and_25_what_is_too_large_for_the_client_counts_as_delivered() {
    let asked = properties(&[Property::MaximumPacketSize(NonZeroU32::new(8).unwrap())]);
    let with = Connect { properties: asked.properties(), ..connect(Version::V5) };
    let mut client = Client::new(&with, Options::default());
    assert_eq!(client.deliver(Qos::AtMostOnce, 0), Delivered::Sent);
    assert_eq!(client.packets().len(), 1);
    assert_eq!(client.deliver(Qos::AtLeastOnce, 5), Delivered::TooLarge);
    assert_eq!((client.packets().len(), client.commands()), (0, vec!["Acknowledge(Place(5))".to_string()]));
    assert_eq!(client.connection.session().in_flight().count(), 0);
}

#[test]
fn mqtt_4_3_2_quality_of_service_1_to_the_client() {
    let mut client = Client::v311();
    assert_eq!(client.deliver(Qos::AtLeastOnce, 5), Delivered::Sent);
    assert_eq!(client.packets(), [r#"PUBLISH "t" qos 1 1"#]);
    client.send(b"\x40\x02\x00\x09").unwrap();
    assert!(client.commands().is_empty());
    client.send(b"\x40\x02\x00\x01").unwrap();
    assert_eq!(client.commands(), ["Acknowledge(Place(5))", "Room"]);
    client.send(b"\x40\x02\x00\x01").unwrap();
    assert!(client.commands().is_empty());
}

#[test]
fn mqtt_4_3_3_quality_of_service_2_to_the_client() {
    let mut client = Client::v5();
    client.deliver(Qos::ExactlyOnce, 5);
    assert_eq!(client.packets(), [r#"PUBLISH "t" qos 2 1"#]);
    client.send(b"\x50\x02\x00\x01").unwrap();
    assert_eq!(client.commands(), ["Received(PacketId(1), Place(5))"]);
    assert!(client.packets().is_empty(), "PUBREL waits until that is written");
    client.stored(Ticket::Received(id(1)), Reason::Success);
    assert_eq!(client.packets(), ["PUBREL 1 Success"]);
    client.send(b"\x50\x02\x00\x01").unwrap();
    assert_eq!(client.packets(), ["PUBREL 1 Success"]);
    client.send(b"\x70\x02\x00\x01").unwrap();
    assert_eq!(client.commands(), ["Acknowledge(Place(5))", "Room"]);
    client.send(b"\x50\x02\x00\x01").unwrap();
    assert_eq!(client.packets(), ["PUBREL 1 PacketIdentifierNotFound"]);
}

#[test]
fn mqtt_4_3_3_4_pubrec_with_an_error_ends_the_exchange() {
    let mut client = Client::v5();
    client.deliver(Qos::ExactlyOnce, 5);
    client.send(b"\x50\x03\x00\x01\x97").unwrap();
    assert_eq!(client.commands(), ["Acknowledge(Place(5))", "Room"]);
    assert_eq!(client.packets().len(), 1);
}

#[test]
fn mqtt_3_3_4_9_no_more_in_flight_than_the_client_takes() {
    let asked = properties(&[Property::ReceiveMaximum(NonZeroU16::new(2).unwrap())]);
    let with = Connect { properties: asked.properties(), ..connect(Version::V5) };
    let mut client = Client::new(&with, Options::default());
    assert_eq!(client.deliver(Qos::AtLeastOnce, 1), Delivered::Sent);
    assert_eq!(client.deliver(Qos::ExactlyOnce, 2), Delivered::Sent);
    assert_eq!(client.deliver(Qos::AtLeastOnce, 3), Delivered::Full);
    assert_eq!(client.deliver(Qos::AtMostOnce, 0), Delivered::Sent);
    client.send(b"\x40\x02\x00\x01").unwrap();
    assert_eq!(client.deliver(Qos::AtLeastOnce, 3), Delivered::Sent);
}

#[test]
fn mqtt_2_2_1_4_an_identifier_in_use_is_not_used_again() {
    let mut client = Client::v311();
    client.deliver(Qos::AtLeastOnce, 1);
    for place in 2..=70_000_u64 {
        client.deliver(Qos::AtLeastOnce, place);
        let sent = client.packets().pop().unwrap();
        let pid: u16 =
            sent.split(' ').nth(4).unwrap_or(sent.split(' ').next_back().unwrap()).parse().unwrap();
        if pid != 1 {
            client.send(&[&b"\x40\x02"[..], &pid.to_be_bytes()].concat()).unwrap();
        }
    }
    assert_eq!(client.connection.session().in_flight().map(|(id, ..)| id).collect::<Vec<_>>(), [id(1)]);
}

/// What is in flight when the connection breaks goes on in the next, in its order, each in its step.
#[test]
fn mqtt_4_4_0_1_and_4_6_0_1_a_session_goes_on_where_it_was() {
    let keeps = Connect { clean_start: false, ..connect(Version::V311) };
    let mut client = Client::new(&keeps, Options::default());
    client.deliver(Qos::AtLeastOnce, 1);
    client.deliver(Qos::ExactlyOnce, 2);
    client.deliver(Qos::ExactlyOnce, 3);
    client.send(b"\x50\x02\x00\x02").unwrap();
    client.publish(Qos::ExactlyOnce, 9).unwrap();
    client.stored(Ticket::Held(id(9)), Reason::Success);
    let session = client.connection.end(Ended::Refused(Reason::UnspecifiedError)).session;
    let mut client = Client::resume(&keeps, Options::default(), session);
    client
        .with(|connection, out, commands| connection.welcome(true, Properties::NONE, out, commands))
        .unwrap();
    assert_eq!(client.packets()[1..], ["PUBREL 2 Success"]);
    assert_eq!(client.commands(), ["Fetch(PacketId(1), Place(1))", "Fetch(PacketId(3), Place(3))"]);
    client.fetched(1);
    client.fetched(3);
    assert_eq!(client.packets(), [r#"PUBLISH "t" qos 1 1 dup"#, r#"PUBLISH "t" qos 2 3 dup"#]);
    client.publish(Qos::ExactlyOnce, 9).unwrap();
    assert_eq!(client.packets(), ["PUBREC 9 Success"], "it is held already");
    client.send(b"\x62\x02\x00\x09").unwrap();
    assert_eq!(client.commands(), ["Release(PacketId(9))"]);
    // One that the stream has no more is over.
    client.with(|connection, out, commands| connection.fetched(id(1), None, out, commands));
    assert_eq!(client.commands(), ["Acknowledge(Place(1))", "Room"]);
}

#[test]
fn a_resumed_session_keeps_to_a_smaller_window() {
    let mut session = Session::default();
    (1..=3).for_each(|n| session.restore_in_flight(id(n), Place(n.into()), Some(Qos::AtLeastOnce)));
    let asked = properties(&[Property::ReceiveMaximum(NonZeroU16::MIN)]);
    let with = Connect { clean_start: false, properties: asked.properties(), ..connect(Version::V5) };
    let mut client = Client::resume(&with, Options::default(), Some(session));
    client
        .with(|connection, out, commands| connection.welcome(true, Properties::NONE, out, commands))
        .unwrap();
    assert_eq!(client.commands(), ["Fetch(PacketId(1), Place(1))"]);
    assert_eq!(client.deliver(Qos::AtLeastOnce, 9), Delivered::Full);
    client.fetched(1);
    client.send(b"\x40\x02\x00\x01").unwrap();
    assert_eq!(client.commands(), ["Acknowledge(Place(1))", "Fetch(PacketId(2), Place(2))", "Room"]);
}

#[test]
fn mqtt_4_4_0_1_what_comes_again_to_the_next_connection_keeps_its_identifier() {
    let message = Message { topic: "t", retain: false, properties: Properties::NONE, payload: b"x" };
    for (version, qos) in [(Version::V311, Qos::AtLeastOnce), (Version::V5, Qos::ExactlyOnce)] {
        let window = properties(&[Property::ReceiveMaximum(std::num::NonZeroU16::new(2).unwrap())]);
        let asked = if version == Version::V5 { window.properties() } else { Properties::NONE };
        let options =
            Options { ack_pending_max: std::num::NonZeroU16::new(2).unwrap(), ..Options::default() };
        let mut client = Client::new(&Connect { properties: asked, ..connect(version) }, options);
        for (number, place) in [(1, 11), (3, 13), (4, 14)] {
            client.connection.await_resumed(id(number), Place(place), qos);
        }
        // What is new takes none of their identifiers, and need not wait for them.
        client.deliver(qos, 20);
        let resumed = |client: &mut Client, number| {
            client.with(|connection, out, commands| {
                connection.deliver_resumed(id(number), Some(&message), out, commands)
            })
        };
        assert_eq!(resumed(&mut client, 1), Delivered::Sent);
        // The window holds for them, too.
        assert_eq!(resumed(&mut client, 3), Delivered::Full);
        let packets = client.packets();
        assert!(packets[0].ends_with(" 5") && packets[1].ends_with(" 1 dup"), "{packets:?}");
        // An answer to what was not sent yet means nothing.
        let early = if qos == Qos::AtLeastOnce { b"\x40\x02\x00\x03" } else { b"\x50\x02\x00\x03" };
        assert_eq!(client.send(early), OK);
        let ids: Vec<_> =
            client.connection.session().unanswered().map(|(id, place, _)| (id.get(), place.0)).collect();
        assert_eq!(ids, [(1, 11), (3, 13), (4, 14), (5, 20)]);
        // One that does not come leaves its identifier.
        client.with(|connection, out, commands| connection.deliver_resumed(id(4), None, out, commands));
        assert_eq!(client.connection.session().unanswered().count(), 3);
    }
}

#[test]
fn what_a_client_may_not_send() {
    let mut client = Client::v5();
    client.deliver(Qos::ExactlyOnce, 1);
    assert_eq!(client.send(b"\x40\x02\x00\x01"), refused(Reason::ProtocolError));
    assert_eq!(client.send(b"\x70\x02\x00\x01"), refused(Reason::ProtocolError));
    assert_eq!(client.send(b"\xF0\x00"), refused(Reason::ProtocolError));
    client.publish(Qos::ExactlyOnce, 4).unwrap();
    assert_eq!(client.send(b"\x62\x02\x00\x04"), refused(Reason::ProtocolError), "PUBREL before PUBREC");
}
