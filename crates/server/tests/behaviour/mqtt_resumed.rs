//! What a client of MQTT has not answered comes to its next connection under the identifier that it had.

use crate::common::mqtt::{CONNECT, Device, id, properties, publish};
use crate::common::options;
use crate::common::waiting::tries;
use dialtone_server::Server;
use dialtone_wire::mqtt::{Ack, AckKind, Connect, Packet, Properties, Property, Qos, Reason, Version};
use std::path::Path;

fn server(folder: &Path) -> Server {
    let folder = folder.display();
    let text =
        format!("server_name: A\njetstream {{ store_dir: '{folder}' }}\nmqtt {{ listen: '127.0.0.1:-1' }}");
    // The store of one that has stopped is free once the last of its threads has let go of it.
    let started = || Server::builder().options(options(&text)).in_process_only().quiet().start().ok();
    tries("the store is free").find_map(|()| started()).expect("it is tried until it fails")
}

fn connect(server: &Server, version: Version) -> Device {
    let expiry = properties(&[Property::SessionExpiry(600)]);
    let properties = if version == Version::V5 { expiry.properties() } else { Properties::NONE };
    let mut device = Device::connect(server, Connect { version, client_id: "c", properties, ..CONNECT });
    assert!(device.next().contains("reason: Success"));
    device
}

/// Payload, identifier, quality of service and whether it was sent before, of the next message.
fn take(device: &mut Device) -> (String, u16, u8, bool) {
    let taken = device.next_as(|packet| match packet {
        Packet::Publish(publish) => {
            let (id, dup) = publish.delivery.sent().expect("an identifier");
            let payload = String::from_utf8_lossy(publish.payload).into_owned();
            (payload, id.get(), publish.delivery.qos() as u8, dup)
        }
        other => panic!("{other:?}"),
    });
    taken.expect("a message")
}

fn acknowledge(device: &mut Device, number: u16) {
    let (kind, reason, properties) = (AckKind::PubAck, Reason::Success, Properties::NONE);
    device.send(&Packet::Ack(Ack { kind, id: id(number), reason, properties }));
}

#[test]
fn mqtt_4_4_0_1_messages_keep_their_identifiers() {
    for version in [Version::V311, Version::V5] {
        let folder = tempfile::tempdir().expect("a folder");
        let first = server(folder.path());
        let mut device = connect(&first, version);
        device.subscribe("t", Qos::ExactlyOnce);
        let mut publisher = Device::named(&first, "p");
        for payload in ["1", "2", "3"] {
            publish(&mut publisher, "t", Qos::AtLeastOnce, 1, payload);
        }
        let sent: Vec<_> = (0..3).map(|_| take(&mut device)).collect();
        acknowledge(&mut device, sent[0].1);
        device.send(&Packet::PingReq);
        assert_eq!(device.next(), "PingResp");
        let again = |(payload, id, qos, _): &(String, u16, u8, bool)| (payload.clone(), *id, *qos, true);
        let expected: Vec<_> = sent[1..].iter().map(again).collect();
        // Taken over, lost, and once more after a restart of the server.
        let mut taken = connect(&first, version);
        assert_eq!([take(&mut taken), take(&mut taken)].to_vec(), expected, "{version:?}");
        drop(device);
        drop(taken);
        let mut lost = connect(&first, version);
        assert_eq!([take(&mut lost), take(&mut lost)].to_vec(), expected, "{version:?}");
        drop(publisher);
        first.stop();
        drop(first);
        let second = server(folder.path());
        let mut restarted = connect(&second, version);
        assert_eq!([take(&mut restarted), take(&mut restarted)].to_vec(), expected, "{version:?}");
        // What is new has an identifier of its own, and what is answered is over.
        let mut publisher = Device::named(&second, "p");
        publish(&mut publisher, "t", Qos::AtLeastOnce, 1, "4");
        let new = take(&mut restarted);
        assert!(new.0 == "4" && !new.3 && sent.iter().skip(1).all(|(_, id, ..)| *id != new.1), "{new:?}");
        second.stop();
    }
}
