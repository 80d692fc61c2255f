//! Rate limits hold for clients of MQTT as for others.

use crate::common::mqtt::{Device, id};
use crate::common::{Client, options, start};
use dialtone_server::Server;
use dialtone_wire::mqtt::{Delivery, Packet, Properties, Publish, Qos};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn server(rates: &str) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "server_name: A\njetstream {{ store_dir: '{}' }}\nmqtt {{ listen: '127.0.0.1:-1' }}\n\
         accounts {{ A {{ jetstream: enabled, users: [ {{ user: a }} ], rate_limits {{ {rates} }} }} }}\nno_auth_user: a",
        folder.path().display()
    );
    (start(options(&text)), folder)
}

/// Publishes to `x`; the answer, if there is one.
fn publish(device: &mut Device, qos: Qos, number: u16) -> Option<String> {
    let delivery = match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        Qos::AtLeastOnce => Delivery::AtLeastOnce { id: id(number), dup: false },
        Qos::ExactlyOnce => Delivery::ExactlyOnce { id: id(number), dup: false },
    };
    let (topic, payload, properties) = ("x", &b"1"[..], Properties::NONE);
    device.send(&Packet::Publish(Publish { delivery, retain: false, topic, properties, payload }));
    (qos != Qos::AtMostOnce).then(|| device.next())
}

/// A message has 26 bytes with its headers: three of them may come, and no fourth for half a minute.
#[test]
fn what_is_too_much_is_refused_with_a_code() {
    let (server, _folder) = server("subjects: x, bytes_per_sec: 1, bytes_burst: 80, action: refuse");
    let mut client = Client::connect(&server, "a");
    client.send("SUB x 1\r\n");
    client.sync();
    let mut device = Device::named(&server, "d");
    publish(&mut device, Qos::AtMostOnce, 1);
    let answers =
        [(Qos::AtLeastOnce, 1), (Qos::ExactlyOnce, 2), (Qos::AtLeastOnce, 3), (Qos::ExactlyOnce, 4)]
            .map(|(qos, number)| publish(&mut device, qos, number).expect("an answer"));
    let is_refused = answers.each_ref().map(|answer| answer.contains("QuotaExceeded"));
    assert_eq!(is_refused, [false, false, true, true], "{answers:?}");
    publish(&mut device, Qos::AtMostOnce, 5);
    device.send(&Packet::PingReq);
    assert_eq!(device.next(), "PingResp");
    // The one that is held is not there yet.
    let got: Vec<String> = client.sync().into_iter().filter(|line| line.starts_with("HMSG")).collect();
    assert_eq!(got.len(), 2, "{got:?}");
}

#[test]
fn what_has_to_wait_holds_up_what_is_behind_it() {
    let (server, _folder) = server("subjects: x, msgs_per_sec: 10, msgs_burst: 1, action: delay");
    let mut device = Device::named(&server, "d");
    let start = Instant::now();
    for number in 1..4 {
        assert!(publish(&mut device, Qos::AtLeastOnce, number).expect("an answer").contains("PubAck"));
    }
    device.send(&Packet::PingReq);
    assert_eq!(device.next(), "PingResp");
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
}
