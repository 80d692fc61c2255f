//! Sessions that are over go, with what they are owed, though their clients do not come back; and wills are published though their server ended.

use crate::common::mqtt::{CONNECT, Device, properties, start_with_streams};
use crate::common::waiting::wait_until;
use crate::common::{Client, options, start};
use dialtone_server::Server;
use dialtone_wire::mqtt::{Connect, Property, Qos, Will};
use std::fs;
use std::path::Path;

const FOR_EVER: u32 = u32::MAX;

fn connect(server: &Server, client_id: &str, clean_start: bool, expiry: u32) -> Device {
    let expiry = properties(&[Property::SessionExpiry(expiry)]);
    let properties = expiry.properties();
    let mut device = Device::connect(server, Connect { client_id, clean_start, properties, ..CONNECT });
    assert!(device.next().contains("reason: Success"));
    device
}

/// Has a server that was made so read a copy of what another one has stored so far, as if that had been killed.
fn killed(nats: &mut Client, folder: &Path) -> (Server, tempfile::TempDir) {
    // All that came before it is on disk when this is answered.
    let config = r#"{"name":"LAST","subjects":["last"]}"#;
    nats.send(&format!("PUB $JS.API.STREAM.CREATE.LAST answers {}\r\n{config}\r\n", config.len()));
    let (head, body) = (nats.line(), nats.line());
    assert!(head.starts_with("MSG answers ") && body.contains("\"did_create\":true"), "{head} {body}");
    let copy = tempfile::tempdir().expect("a folder");
    copy_all(folder, copy.path());
    let text = format!(
        "server_name: A\njetstream {{ store_dir: '{}' }}\nmqtt {{ listen: '127.0.0.1:-1' }}",
        copy.path().display()
    );
    (start(options(&text)), copy)
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            fs::create_dir_all(&target).expect("made");
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Messages of a stream, and its consumers.
fn state(nats: &mut Client, stream: &str) -> (u64, u64) {
    nats.send(&format!("PUB $JS.API.STREAM.INFO.{stream} answers 0\r\n\r\n"));
    let (head, body) = (nats.line(), nats.line());
    assert!(head.starts_with("MSG answers "), "{head}");
    let body: serde_json::Value = serde_json::from_str(&body).expect("an answer");
    let figure = |name: &str| body["state"][name].as_u64().unwrap_or_else(|| panic!("{body}"));
    (figure("messages"), figure("consumer_count"))
}

fn asking(server: &Server) -> Client {
    let mut nats = Client::connect(server, "");
    nats.send("SUB answers 1\r\n");
    nats.sync();
    nats
}

#[test]
fn a_session_goes_when_its_time_is_over() {
    let (server, _folder) = start_with_streams("");
    let mut nats = asking(&server);
    for (client_id, expiry) in [("short", 1), ("long", 600), ("kept", FOR_EVER)] {
        let mut device = connect(&server, client_id, false, expiry);
        device.subscribe("t", Qos::AtLeastOnce);
        device.leave();
    }
    wait_until("the short session has gone", || state(&mut nats, "$MQTT_sess").0 == 2);
    wait_until("its consumer has, too", || state(&mut nats, "$MQTT_msgs").1 == 2);
    server.stop();
}

#[test]
fn sessions_that_nobody_could_end_go_after_a_kill() {
    let (server, folder) = start_with_streams("");
    connect(&server, "clean", false, FOR_EVER).leave();
    let sessions = [("clean", true, 0), ("short", false, 1), ("long", false, 600), ("kept", false, FOR_EVER)];
    let devices = sessions.map(|(client_id, clean_start, expiry)| {
        let mut device = connect(&server, client_id, clean_start, expiry);
        device.subscribe("t", Qos::AtLeastOnce);
        device
    });
    let mut nats = asking(&server);
    assert_eq!((state(&mut nats, "$MQTT_sess").0, state(&mut nats, "$MQTT_msgs").1), (4, 4));
    let (again, _copy) = killed(&mut nats, folder.path());
    let mut nats = asking(&again);
    wait_until("two sessions have gone", || state(&mut nats, "$MQTT_sess").0 == 2);
    wait_until("their consumers have, too", || state(&mut nats, "$MQTT_msgs").1 == 2);
    drop(devices);
    again.stop();
    server.stop();
}

/// Leaves the will of a client waiting, and waits until it is kept.
fn leave_will(server: &Server, nats: &mut Client, delay: u32) {
    let (expiry, delay) =
        (properties(&[Property::SessionExpiry(FOR_EVER)]), properties(&[Property::WillDelay(delay)]));
    let will = Will {
        topic: "w",
        payload: b"gone",
        qos: Qos::AtLeastOnce,
        retain: true,
        properties: delay.properties(),
    };
    let (will, properties) = (Some(will), expiry.properties());
    let mut device = Device::connect(server, Connect { client_id: "w", will, properties, ..CONNECT });
    assert!(device.next().contains("reason: Success"));
    drop(device);
    wait_until("the will is kept", || state(nats, "$MQTT_qos2in").0 == 1);
}

#[test]
fn mqtt_3_1_3_9_a_will_that_waits_outlives_its_server() {
    let (server, folder) = start_with_streams("");
    let mut nats = asking(&server);
    leave_will(&server, &mut nats, 600);
    // One as that server would have kept it, and that is due.
    let headers =
        "NATS/1.0\r\nNmqtt-Pub:13\r\nNmqtt-Subject:w\r\nNmqtt-Will-Due:1\r\nNmqtt-ROrigin:NUmM6cRx\r\n\r\n";
    let (head, all) = (headers.len(), headers.len() + "gone".len());
    nats.send(&format!("HPUB $MQTT.qos2.in.x.will.1-1 {head} {all}\r\n{headers}gone\r\n"));
    wait_until("it is kept", || state(&mut nats, "$MQTT_qos2in").0 == 2);
    let (again, _copy) = killed(&mut nats, folder.path());
    let mut nats_again = asking(&again);
    wait_until("the will is published", || state(&mut nats_again, "$MQTT_rmsgs").0 == 1);
    wait_until("and kept no longer", || state(&mut nats_again, "$MQTT_qos2in").0 == 1);
    let mut device = connect(&again, "reader", true, 0);
    device.subscribe("w", Qos::AtMostOnce);
    assert!(device.next().contains(&format!("{:?}", b"gone")));
    // Where it waits it is not due before its time.
    assert_eq!((state(&mut nats, "$MQTT_rmsgs").0, state(&mut nats, "$MQTT_qos2in").0), (0, 2));
    again.stop();
    server.stop();
}

#[test]
fn mqtt_3_1_3_9_a_client_that_comes_back_takes_back_its_will() {
    let (server, folder) = start_with_streams("");
    let mut nats = asking(&server);
    leave_will(&server, &mut nats, 600);
    let (again, _copy) = killed(&mut nats, folder.path());
    for server in [&server, &again] {
        let mut nats = asking(server);
        let device = connect(server, "w", false, FOR_EVER);
        wait_until("the will is kept no longer", || state(&mut nats, "$MQTT_qos2in").0 == 0);
        assert_eq!(state(&mut nats, "$MQTT_rmsgs").0, 0);
        device.leave();
    }
    again.stop();
    server.stop();
}
