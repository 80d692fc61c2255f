//! Shared subscriptions of MQTT 5 with quality of service 1 and 2.

use crate::common::mqtt::{CONNECT, Device, id, properties, publish, start_with_streams};
use crate::common::waiting::wait_until;
use crate::common::{options, start};
use dialtone_config::Options;
use dialtone_server::Server;
use dialtone_wire::mqtt::{Ack, AckKind, Connect, Packet, PacketId, Properties, Property, Qos, Reason};
use std::collections::BTreeSet;
use std::path::Path;

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

/// A user that may have all, and one that is denied `denied`.
fn with_users(folder: &Path, denied: &str) -> Options {
    options(&format!(
        "server_name: A\njetstream {{ store_dir: '{}' }}\nmqtt {{ listen: '127.0.0.1:-1', ack_wait: 1h }}\n\
         authorization {{ users: [ {{ user: all, password: p }}\n\
         {{ user: some, password: p, permissions: {{ subscribe: {{ allow: '>', deny: [ {denied:?} ] }} }} }} ] }}",
        folder.display()
    ))
}

fn login(server: &Server, user: &str, client_id: &str) -> Device {
    let expiry = properties(&[Property::SessionExpiry(u32::MAX)]);
    let (username, password, properties) = (Some(user), Some(&b"p"[..]), expiry.properties());
    let mut device =
        Device::connect(server, Connect { client_id, username, password, properties, ..CONNECT });
    assert!(device.next().contains("reason: Success"));
    device
}

#[test]
fn who_may_not_have_all_of_a_group_is_no_member_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(with_users(folder.path(), "t.secret"));
    let mut member = login(&server, "some", "s");
    let granted = member.subscribe("$share/g/t/+", Qos::AtLeastOnce);
    assert!(granted.contains("[NotAuthorized]"), "{granted}");
    // Each message is looked at where there is no consumer for all members, or it is the client's own.
    for (filter, qos) in
        [("$share/g/t/+", Qos::AtMostOnce), ("t/+", Qos::AtLeastOnce), ("$share/g/u/+", Qos::AtLeastOnce)]
    {
        let granted = member.subscribe(filter, qos);
        assert!(granted.contains("[GrantedQos") || granted.contains("[Success]"), "{filter}: {granted}");
    }
    server.stop();
}

#[test]
fn a_member_that_loses_the_right_to_a_message_leaves_it_to_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(with_users(folder.path(), "other"));
    let (mut all, mut some) = (login(&server, "all", "a"), login(&server, "some", "s"));
    for member in [&mut all, &mut some] {
        let granted = member.subscribe("$share/g/t/+", Qos::AtLeastOnce);
        assert!(granted.contains("[GrantedQos1]"), "{granted}");
    }
    server.reload(Ok(with_users(folder.path(), "t.secret")));
    wait_until("the right is gone", || {
        some.subscribe("t/secret", Qos::AtMostOnce).contains("[NotAuthorized]")
    });
    let mut publisher = login(&server, "all", "p");
    for number in 0..20 {
        publish(&mut publisher, "t/secret", Qos::AtLeastOnce, 1, &number.to_string());
    }
    let came: BTreeSet<String> = (0..20).map(|_| take(&mut all, true).0).collect();
    assert_eq!(came, (0..20).map(|number| number.to_string()).collect());
    some.send(&Packet::PingReq);
    assert_eq!(some.next(), "PingResp");
    server.stop();
}
