//! Sessions of MQTT that end and begin without a pause in between: who comes next finds what the one before has left, and nothing of it
//! goes later.

use crate::common::mqtt::{CONNECT, Device, id, properties, publish, start_with_streams};
use dialtone_server::Server;
use dialtone_wire::mqtt::{
    Ack, AckKind, Connect, Delivery, Disconnect, Packet, Properties, Property, Publish, Qos, Reason,
};

/// Each is a chance for the one that leaves and the one that comes to meet.
const ROUNDS: u32 = 40;
const LONG: u32 = 600;

/// A client whose session lives so many seconds longer than its connection, and whether a session of before goes on.
fn connect(server: &Server, client_id: &str, clean_start: bool, expiry: u32) -> (Device, bool) {
    let expiry = properties(&[Property::SessionExpiry(expiry)]);
    let properties = expiry.properties();
    let mut device = Device::connect(server, Connect { client_id, clean_start, properties, ..CONNECT });
    let connack = device.next();
    assert!(connack.contains("reason: Success"), "{connack}");
    (device, connack.contains("session_present: true"))
}

fn subscribe(device: &mut Device) {
    let granted = device.subscribe("t", Qos::AtLeastOnce);
    assert!(granted.contains("[GrantedQos1]"), "{granted}");
}

/// The payload of the next packet, which is a message.
fn take(device: &mut Device) -> String {
    let taken = device.next_as(|packet| match packet {
        Packet::Publish(publish) => String::from_utf8_lossy(publish.payload).into_owned(),
        other => panic!("{other:?}"),
    });
    taken.expect("a message")
}

/// Publishes, and awaits that and the acknowledgement, which may come in any order.
fn hears_itself(device: &mut Device) {
    let (delivery, properties) = (Delivery::AtLeastOnce { id: id(2), dup: false }, Properties::NONE);
    device.send(&Packet::Publish(Publish { delivery, retain: false, topic: "t", properties, payload: b"x" }));
    for _ in 0..2 {
        let came = device.next_as(|packet| match packet {
            Packet::Ack(Ack { kind: AckKind::PubAck, .. }) => None,
            Packet::Publish(publish) => publish.delivery.sent().map(|(id, _)| id),
            other => panic!("{other:?}"),
        });
        if let Some(id) = came.expect("it is connected") {
            let (kind, reason, properties) = (AckKind::PubAck, Reason::Success, Properties::NONE);
            device.send(&Packet::Ack(Ack { kind, id, reason, properties }));
        }
    }
}

/// Its session lives so many seconds more.
fn disconnect(device: &mut Device, expiry: u32) {
    let expiry = properties(&[Property::SessionExpiry(expiry)]);
    let (reason, properties) = (Reason::Success, expiry.properties());
    device.send(&Packet::Disconnect(Disconnect { reason, properties }));
}

/// In each round a session is left in some way, and begun in some way at once. Whether it is the same one must be certain, and its subscription work.
#[track_caller]
fn play(is_same: bool, leave: impl Fn(&mut Device), next: (bool, u32)) {
    let (server, _folder) = start_with_streams("ack_wait: 1h");
    for round in 0..ROUNDS {
        let id = format!("c{round}");
        let (mut before, is_present) = connect(&server, &id, false, LONG);
        assert!(!is_present);
        subscribe(&mut before);
        leave(&mut before);
        // Every other one does not wait until the server closes.
        let kept = (round % 2 == 0).then_some(before);
        let (mut after, is_present) = connect(&server, &id, next.0, next.1);
        assert_eq!(is_present, is_same, "in round {round}");
        if !is_same {
            subscribe(&mut after);
        }
        hears_itself(&mut after);
        drop(kept);
    }
    server.stop();
}

#[test]
fn a_session_that_disconnect_ends_is_over_for_who_comes_at_once() {
    play(false, |device| disconnect(device, 0), (false, LONG));
}

#[test]
fn a_session_that_disconnect_ends_may_be_followed_by_one_that_ends_by_itself() {
    play(false, |device| disconnect(device, 0), (false, 0));
}

#[test]
fn a_session_goes_on_when_disconnect_changes_its_expiry() {
    play(true, |device| disconnect(device, 2 * LONG), (false, LONG));
}

#[test]
fn a_session_goes_on_when_it_is_taken_over() {
    play(true, |_| {}, (false, LONG));
}

#[test]
fn a_session_is_forgotten_by_a_clean_start_of_who_takes_over() {
    play(false, |_| {}, (true, LONG));
}

#[test]
fn a_session_is_forgotten_by_a_clean_start_for_one_connection() {
    play(false, |device| disconnect(device, LONG), (true, 0));
}

#[test]
fn what_was_not_acknowledged_comes_at_once_to_the_next_connection() {
    let (server, _folder) = start_with_streams("ack_wait: 1h");
    let (mut publisher, _) = connect(&server, "publisher", true, 0);
    let payloads = ["1", "2", "3"];
    let ways: [fn(&mut Device); 3] = [|device| disconnect(device, LONG), |device| device.shut(), |_| {}];
    for (client_id, leave) in ["orderly", "lost", "taken"].into_iter().zip(ways) {
        let (mut before, _) = connect(&server, client_id, false, LONG);
        subscribe(&mut before);
        for (number, payload) in (2..).zip(payloads) {
            publish(&mut publisher, "t", Qos::AtLeastOnce, number, payload);
        }
        payloads.iter().for_each(|payload| assert_eq!(take(&mut before), *payload));
        leave(&mut before);
        let (mut after, is_present) = connect(&server, client_id, false, LONG);
        assert!(is_present);
        payloads.iter().for_each(|payload| assert_eq!(take(&mut after), *payload));
    }
    server.stop();
}
