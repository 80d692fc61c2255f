//! Subscriptions.

use super::*;

fn granted(client: &mut Client, packet: u16, at: usize, decision: Result<Qos, Reason>) {
    client.with(|connection, _, commands| connection.granted(id(packet), at, decision, commands));
}

fn saved(client: &mut Client, packet: u16) {
    client.with(|connection, out, _| connection.saved(id(packet), out));
}

fn filters(client: &Client) -> Vec<&str> {
    client.connection.session().subscriptions().iter().map(|subscribed| &*subscribed.filter).collect()
}

#[test]
fn mqtt_3_8_4_5_to_7_each_filter_has_its_answer_in_order() {
    let mut client = Client::v311();
    // a with 2, a/#/b, b with 1, c with 0.
    client.send(b"\x82\x16\x00\x09\x00\x01a\x02\x00\x05a/#/b\x00\x00\x01b\x01\x00\x01c\x00").unwrap();
    assert_eq!(client.commands().len(), 3);
    granted(&mut client, 9, 3, Ok(Qos::ExactlyOnce));
    granted(&mut client, 9, 0, Ok(Qos::ExactlyOnce));
    assert!(client.commands().is_empty());
    granted(&mut client, 9, 2, Err(Reason::NotAuthorized));
    assert_eq!(client.commands(), ["Save(PacketId(9))"]);
    assert!(client.packets().is_empty(), "it is answered when the session is written");
    saved(&mut client, 9);
    assert_eq!(client.packets(), ["SUBACK 9 [GrantedQos2, UnspecifiedError, UnspecifiedError, Success]"]);
    assert_eq!(filters(&client), ["c", "a"]);
    saved(&mut client, 9);
    assert!(client.packets().is_empty());
}

#[test]
fn mqtt_5_is_told_why_a_filter_is_refused() {
    let mut client = Client::v5();
    client.send(b"\x82\x0F\x00\x09\x00\x00\x05a/#/b\x00\x00\x01b\x01").unwrap();
    granted(&mut client, 9, 1, Err(Reason::NotAuthorized));
    saved(&mut client, 9);
    assert_eq!(client.packets(), ["SUBACK 9 [TopicFilterInvalid, NotAuthorized]"]);
}

#[test]
fn mqtt_3_8_4_3_the_same_filter_replaces_the_subscription() {
    let mut client = Client::v5();
    let retained = |commands: Vec<String>| commands.iter().any(|command| command.contains("retained: true"));
    client.send(b"\x82\x07\x00\x01\x00\x00\x01a\x12").unwrap();
    assert!(retained(client.commands()), "new, and retained messages for new ones");
    granted(&mut client, 1, 0, Ok(Qos::ExactlyOnce));
    client.send(b"\x82\x07\x00\x02\x00\x00\x01a\x11").unwrap();
    assert!(!retained(client.commands()));
    granted(&mut client, 2, 0, Ok(Qos::ExactlyOnce));
    client.send(b"\x82\x07\x00\x03\x00\x00\x01a\x01").unwrap();
    assert!(retained(client.commands()), "always");
    client.send(b"\x82\x07\x00\x04\x00\x00\x01b\x21").unwrap();
    assert!(!retained(client.commands()), "never");
    assert_eq!(client.connection.session().subscriptions().len(), 1);
    assert_eq!(client.connection.session().subscriptions()[0].options.qos, Qos::AtLeastOnce);
}

#[test]
fn mqtt_4_8_2_shared_subscriptions_are_queue_groups() {
    let mut client = Client::v5();
    client.send(b"\x82\x11\x00\x01\x00\x00\x0B$share/g/a\x2F\x01").unwrap();
    let command = client.commands().concat();
    assert!(
        command.contains(r#"filter: "a/", group: Some("g")"#) && command.contains("retained: false"),
        "{command}"
    );
    // [MQTT-3.8.3-4]
    assert_eq!(client.send(b"\x82\x10\x00\x02\x00\x00\x0A$share/g/a\x05"), refused(Reason::ProtocolError));
    // Before MQTT 5 it is a filter like others.
    let mut old = Client::v311();
    old.send(b"\x82\x0F\x00\x01\x00\x0A$share/g/a\x01").unwrap();
    assert!(old.commands().concat().contains(r#"filter: "$share/g/a", group: None"#));
}

#[test]
fn mqtt_3_10_4_unsubscribe_is_answered_filter_by_filter() {
    let mut client = Client::v5();
    client.send(b"\x82\x07\x00\x01\x00\x00\x01a\x01").unwrap();
    granted(&mut client, 1, 0, Ok(Qos::ExactlyOnce));
    client.commands();
    client.send(b"\xA2\x0C\x00\x02\x00\x00\x01b\x00\x01a\x00\x01#").unwrap();
    assert_eq!(client.commands(), [r#"Unsubscribe { filter: "a", group: None }"#, "Save(PacketId(2))"]);
    saved(&mut client, 2);
    assert_eq!(client.packets(), ["UNSUBACK 2 [NoSubscriptionExisted, Success, NoSubscriptionExisted]"]);
    assert!(filters(&client).is_empty());
}

#[test]
fn a_session_has_so_many_subscriptions_and_no_more() {
    let options = Options { subscriptions_max: 2, ..Options::default() };
    let mut client = Client::new(&connect(Version::V5), options);
    client.send(b"\x82\x0F\x00\x01\x00\x00\x01a\x00\x00\x01b\x00\x00\x01c\x00").unwrap();
    granted(&mut client, 1, 0, Ok(Qos::ExactlyOnce));
    granted(&mut client, 1, 1, Ok(Qos::ExactlyOnce));
    saved(&mut client, 1);
    assert_eq!(client.packets(), ["SUBACK 1 [Success, Success, QuotaExceeded]"]);
    client.send(b"\x82\x07\x00\x02\x00\x00\x01a\x01").unwrap();
    granted(&mut client, 2, 0, Ok(Qos::ExactlyOnce));
    saved(&mut client, 2);
    assert_eq!(client.packets(), ["SUBACK 2 [GrantedQos1]"], "it replaces one");
}

#[test]
fn questions_without_waiting_for_answers_are_bounded() {
    let mut client = Client::v311();
    let mut ask = || client.send(b"\x82\x06\x00\x01\x00\x01a\x00");
    let answers: Vec<_> = (0..65).map(|_| ask()).collect();
    assert!(answers[..64].iter().all(Result::is_ok));
    assert_eq!(answers[64], refused(Reason::QuotaExceeded));
}

#[test]
fn subscriptions_can_be_held_to_quality_of_service_1() {
    let options = Options { downgrade_qos2_subscribe: true, ..Options::default() };
    let mut client = Client::new(&connect(Version::V311), options);
    client.send(b"\x82\x06\x00\x01\x00\x01a\x02").unwrap();
    granted(&mut client, 1, 0, Ok(Qos::ExactlyOnce));
    saved(&mut client, 1);
    assert_eq!(client.packets(), ["SUBACK 1 [GrantedQos1]"]);
}
