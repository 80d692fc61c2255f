//! `$SYS/broker/…`.

use crate::common::mqtt::{Device, id, publish, start_with_streams};
use dialtone_wire::mqtt::{Delivery, Packet, Properties, Publish, Qos};
use std::collections::BTreeMap;

/// What comes up to the answer of a PING: topics with payloads, all of them retained.
fn told(device: &mut Device) -> BTreeMap<String, String> {
    device.send(&Packet::PingReq);
    let mut out = BTreeMap::new();
    for () in crate::common::waiting::tries("the answer of a ping") {
        let next = device.next_as(|packet| match packet {
            Packet::Publish(publish) => {
                assert!(publish.retain);
                Some((publish.topic.to_owned(), String::from_utf8_lossy(publish.payload).into_owned()))
            }
            Packet::PingResp => None,
            other => panic!("{other:?}"),
        });
        match next.expect("connected") {
            Some((topic, payload)) => out.insert(topic, payload),
            None => break,
        };
    }
    out
}

#[test]
fn who_subscribes_is_told_at_once_and_nobody_else_publishes_there() {
    let (server, _folder) = start_with_streams("broker_topics: true");
    let mut other = Device::named(&server, "o");
    publish(&mut other, "x", Qos::AtLeastOnce, 1, "1");
    let mut device = Device::named(&server, "d");
    device.subscribe("$SYS/broker/#", Qos::AtMostOnce);
    let topics = told(&mut device);
    let of = |name: &str| topics.get(&format!("$SYS/broker/{name}")).map(String::as_str);
    assert!(of("version").is_some_and(|version| version.starts_with("dialtone ")), "{topics:?}");
    assert!(of("uptime").is_some_and(|uptime| uptime.ends_with(" seconds")), "{topics:?}");
    assert_eq!(
        (of("clients/connected"), of("clients/total"), of("retained/count")),
        (Some("2"), Some("2"), Some("0"))
    );
    assert_eq!(topics.len(), 10);
    device.subscribe("$SYS/broker/clients/+", Qos::AtLeastOnce);
    assert_eq!(told(&mut device).len(), 2);
    // What begins with a wildcard does not match them.
    other.subscribe("#", Qos::AtMostOnce);
    assert!(told(&mut other).is_empty());
    let delivery = Delivery::AtLeastOnce { id: id(1), dup: false };
    let (topic, payload, properties) = ("$SYS/broker/version", &b"mine"[..], Properties::NONE);
    other.send(&Packet::Publish(Publish { delivery, retain: true, topic, properties, payload }));
    let answer = other.next();
    assert!(answer.contains("NotAuthorized"), "{answer}");
}

#[test]
fn they_are_off_unless_asked_for() {
    let (server, _folder) = start_with_streams("");
    let mut device = Device::named(&server, "d");
    device.subscribe("$SYS/#", Qos::AtMostOnce);
    assert!(told(&mut device).is_empty());
}
