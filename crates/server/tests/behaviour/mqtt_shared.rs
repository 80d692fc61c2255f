//! Shared subscriptions of MQTT 5 with quality of service 1 and 2.

use crate::common::mqtt::{Device, id, publish, start_with_streams};
use dialtone_wire::mqtt::{Ack, AckKind, Packet, PacketId, Properties, Qos, Reason};
use std::collections::BTreeSet;

/// The payload of the next message, which is answered if it is to be.
fn take(device: &mut Device, answers: bool) -> (String, PacketId) {
    let taken = device.next_as(|packet| match packet {
        Packet::Publish(publish) => {
            let (id, _) = publish.delivery.sent().expect("quality of service 1");
            (String::from_utf8_lossy(publish.payload).into_owned(), id)
        }
        other => panic!("{other:?}"),
    });
    let (payload, id) = taken.expect("a message");
    if answers {
        let (kind, reason, properties) = (AckKind::PubAck, Reason::Success, Properties::NONE);
        device.send(&Packet::Ack(Ack { kind, id, reason, properties }));
    }
    (payload, id)
}

#[test]
fn mqtt_4_8_2_a_message_goes_to_one_member_and_is_kept_while_all_are_away() {
    let (server, _folder) = start_with_streams("");
    let mut publisher = Device::named(&server, "p");
    let mut members = ["a", "b"].map(|name| Device::named(&server, name));
    for member in &mut members {
        let granted = member.subscribe("$share/g/t/+", Qos::AtLeastOnce);
        assert!(granted.contains("[GrantedQos1]"), "{granted}");
    }
    for number in 0..20 {
        publish(&mut publisher, "t/x", Qos::AtLeastOnce, 1, &number.to_string());
    }
    let [a, b] = &mut members;
    // A ping is answered behind what came before it.
    let mut all = BTreeSet::new();
    for () in crate::common::waiting::tries("all messages") {
        if all.len() == 20 {
            break;
        }
        for member in [&mut *a, &mut *b] {
            member.send(&Packet::PingReq);
            for () in crate::common::waiting::tries("the answer of a ping") {
                let next = member.next_as(|packet| match packet {
                    Packet::Publish(publish) => {
                        let id = publish.delivery.sent().expect("quality of service 1").0;
                        Some((String::from_utf8_lossy(publish.payload).into_owned(), id))
                    }
                    Packet::PingResp => None,
                    other => panic!("{other:?}"),
                });
                let Some((payload, id)) = next.expect("connected") else { break };
                assert!(all.insert(payload.clone()), "{payload} came twice");
                let (kind, reason, properties) = (AckKind::PubAck, Reason::Success, Properties::NONE);
                member.send(&Packet::Ack(Ack { kind, id, reason, properties }));
            }
        }
    }
    // While both are away, what is published is kept for whoever comes first.
    members.into_iter().for_each(Device::leave);
    publish(&mut publisher, "t/x", Qos::AtLeastOnce, 1, "kept");
    let mut again = Device::named(&server, "b");
    assert_eq!(take(&mut again, true).0, "kept");
}

#[test]
fn mqtt_4_8_2_what_a_member_has_not_acknowledged_goes_to_another() {
    let (server, _folder) = start_with_streams("ack_wait: 1s");
    let mut publisher = Device::named(&server, "p");
    let mut first = Device::named(&server, "a");
    first.subscribe("$share/g/t", Qos::AtLeastOnce);
    publish(&mut publisher, "t", Qos::AtLeastOnce, 1, "x");
    assert_eq!(take(&mut first, false).0, "x");
    let mut second = Device::named(&server, "b");
    second.subscribe("$share/g/t", Qos::AtLeastOnce);
    drop(first);
    assert_eq!(take(&mut second, true), ("x".into(), id(1)));
    // Who unsubscribes leaves the others what there is.
    let mut third = Device::named(&server, "c");
    third.subscribe("$share/g/t", Qos::AtLeastOnce);
    second.unsubscribe("$share/g/t");
    publish(&mut publisher, "t", Qos::AtLeastOnce, 1, "y");
    assert_eq!(take(&mut third, true).0, "y");
}
