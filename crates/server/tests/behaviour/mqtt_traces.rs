//! A message of MQTT 5 asks for its trace as one of NATS does, by user properties.

use crate::common::mqtt::{CONNECT, Device, id, properties};
use crate::common::{Client, options, start};
use dialtone_server::Server;
use dialtone_wire::mqtt::{Connect, Delivery, Packet, Property, Publish, Qos};
use tempfile::TempDir;

fn server() -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "server_name: A\njetstream {{ store_dir: '{}' }}\nmqtt {{ listen: '127.0.0.1:-1' }}\n\
         accounts {{ A {{ jetstream: enabled, msg_trace: {{ dest: 't.account' }}, users: [\n\
         {{ user: u }}, {{ user: r, permissions: {{ publish: {{ deny: 't.>' }} }} }} ] }} }}",
        folder.path().display()
    );
    (start(options(&text)), folder)
}

fn connect(server: &Server, user: &str) -> Device {
    let mut device = Device::connect(
        server,
        Connect { client_id: user, username: Some(user), clean_start: true, ..CONNECT },
    );
    assert!(device.next().contains("reason: Success"));
    device
}

fn publish(device: &mut Device, qos: Qos, user: &[(&str, &str)], payload: &str) -> String {
    let listed: Vec<_> = user.iter().map(|pair| Property::UserProperty(*pair)).collect();
    let properties = properties(&listed);
    let delivery = match qos {
        Qos::AtMostOnce => Delivery::AtMostOnce,
        _ => Delivery::AtLeastOnce { id: id(1), dup: false },
    };
    let (payload, properties) = (payload.as_bytes(), properties.properties());
    device.send(&Packet::Publish(Publish { delivery, retain: true, topic: "m/1", properties, payload }));
    if qos == Qos::AtMostOnce { String::new() } else { device.next() }
}

/// The traces that have come, each with its subject.
fn traces(tracer: &mut Client, count: usize) -> Vec<String> {
    (0..count).map(|_| [tracer.line(), tracer.line()].join(" ")).collect()
}

#[test]
fn what_user_properties_ask_for_is_traced() {
    let (server, _folder) = server();
    let mut tracer = Client::connect(&server, "u");
    tracer.send("SUB t.> 1\r\n");
    tracer.sync();
    let (mut device, mut receiver) = (connect(&server, "u"), connect(&server, "r"));
    receiver.subscribe("m/+", Qos::AtMostOnce);
    publish(&mut device, Qos::AtMostOnce, &[("Nats-Trace-Dest", "t.1")], "own");
    publish(&mut device, Qos::AtMostOnce, &[("traceparent", "00-a-b-01")], "context");
    let told = traces(&mut tracer, 2);
    assert!(told[0].starts_with("MSG t.1 ") && told[0].contains(r#""name":"u""#), "{told:?}");
    assert!(told[0].contains(r#""type":"eg""#) && told[0].contains(r#""name":"r""#), "{told:?}");
    assert!(told[1].starts_with("MSG t.account ") && told[1].contains(r#""subj":"m.1""#), "{told:?}");
    for payload in ["own", "context"] {
        let came = receiver.next();
        assert!(came.contains(&format!("{:?}", payload.as_bytes())), "{came}");
    }
    // What is not sampled, and what names no subject, is a message like any other.
    publish(&mut device, Qos::AtMostOnce, &[("traceparent", "00-a-b-00")], "x");
    publish(&mut device, Qos::AtMostOnce, &[("Nats-Trace-Dest", "a b")], "x");
    for _ in 0..2 {
        assert!(receiver.next().contains("[120]"));
    }
    assert_eq!(tracer.sync(), [""; 0]);
    server.stop();
}

#[test]
fn what_is_only_to_be_traced_goes_nowhere_and_is_not_kept() {
    let (server, _folder) = server();
    let mut tracer = Client::connect(&server, "u");
    tracer.send("SUB t.> 1\r\n");
    tracer.sync();
    let (mut device, mut receiver) = (connect(&server, "u"), connect(&server, "r"));
    receiver.subscribe("m/+", Qos::AtLeastOnce);
    let only = [("Nats-Trace-Dest", "t.1"), ("Nats-Trace-Only", "true")];
    let answer = publish(&mut device, Qos::AtLeastOnce, &only, "only");
    assert!(answer.contains("reason: Success"), "{answer}");
    assert!(traces(&mut tracer, 1)[0].starts_with("MSG t.1 "));
    publish(&mut device, Qos::AtLeastOnce, &[], "after");
    let came = receiver.next();
    assert!(came.contains(&format!("{:?}", b"after")), "{came}");
    server.stop();
}

#[test]
fn a_trace_goes_where_its_client_may_publish() {
    let (server, _folder) = server();
    let mut tracer = Client::connect(&server, "u");
    tracer.send("SUB t.> 1\r\nSUB m.> 2\r\n");
    tracer.sync();
    let mut device = connect(&server, "r");
    for asked in [("Nats-Trace-Dest", "t.1"), ("traceparent", "00-a-b-01")] {
        let answer = publish(&mut device, Qos::AtLeastOnce, &[asked], "denied");
        assert!(answer.contains("reason: NotAuthorized"), "{answer}");
    }
    assert_eq!(tracer.sync(), [""; 0]);
    server.stop();
}
